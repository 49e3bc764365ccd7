"""The NOC's end: what a consumer knows of the stations it follows, and what it may believe.

Pure: topics, payloads and times in; no I/O. watch.py feeds it from a broker. For each station it
keeps the state, the last values (aged here, never shown fresher than they are), the journal with
its gaps, duplicates and losses, and what is to be acknowledged.

A sequence is `missing` if it was never delivered to us: asking again (repeating the last ack)
brings it. It is `lost` if the station no longer had it to send; a loss record must explain that, or
it is `unexplained`. Acknowledged is only what has come without a missing one before it.

Ages: `age_s` of the message, plus the wall-clock time between its `at` and its arrival, plus the
time since. So a retained message that lay on the broker is as old as it is; the clocks of both ends
must agree (NTP), and a follower whose clock is ahead errs to the old side. The same holds for the
sign of life of a station: it is as old as the message says, not as our hearing of it.
Limits: `STATIONS_MAX` stations, `DEVICES_MAX` devices each, `RANGES_MAX` gaps, `EVENTS_MAX` kept
records that are no samples, `ALARMS_MAX` alarms, `LATENCIES_MAX` latency samples; more is counted
in `refused`.
"""

import math
import random
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from shorewatch.model import from_text
from shorewatch.mqtt.topics import parse_object, parse_topic

STATIONS_MAX: Final = 200
DEVICES_MAX: Final = 512
POINTS_MAX: Final = 1000
RANGES_MAX: Final = 256
EVENTS_MAX: Final = 500
ALARMS_MAX: Final = 1000
LATENCIES_MAX: Final = 2000
PAYLOAD_BYTES_MAX: Final = 1_048_576
TAIL_S_MAX: Final = 10.0
TAIL_ASK_S: Final = 2.0
ASK_S: Final = 6.0
SILENT_S_MIN: Final = 5.0
SILENT_S_MAX: Final = 45.0  # a station repeats its state each 30 s

Range = tuple[int, int]
JsonObject = dict[str, object]


class Ranges:
    """A set of sequences as ascending disjoint ranges, at most `RANGES_MAX` of them."""

    def __init__(self) -> None:
        self._firsts: list[int] = []
        self._lasts: list[int] = []

    def __iter__(self) -> Iterator[Range]:
        return iter(zip(self._firsts, self._lasts, strict=True))

    def __len__(self) -> int:
        return len(self._firsts)

    @property
    def count(self) -> int:
        """How many sequences are in it."""
        return sum(last - first + 1 for first, last in self)

    def covers(self, seq: int) -> bool:
        """Whether `seq` is in it."""
        i = bisect_left(self._lasts, seq)
        return i < len(self._firsts) and self._firsts[i] <= seq

    def add(self, first: int, last: int) -> bool:
        """Add first..last, both included; False if it does not fit any more."""
        if first > last:
            return True
        low = bisect_left(self._lasts, first - 1)
        high = low
        while high < len(self._firsts) and self._firsts[high] <= last + 1:
            first, last = min(first, self._firsts[high]), max(last, self._lasts[high])
            high += 1
        if low == high and len(self._firsts) >= RANGES_MAX:
            return False
        self._firsts[low:high] = [first]
        self._lasts[low:high] = [last]
        return True

    def remove(self, first: int, last: int) -> None:
        """Take first..last out; what no longer fits is left in."""
        for a, b in list(self):
            if b < first or a > last:
                continue
            i = self._firsts.index(a)
            del self._firsts[i], self._lasts[i]
            self.add(a, first - 1)
            self.add(last + 1, b)


@dataclass(frozen=True, slots=True)
class Seen:
    """A point as the NOC may show it now: `value` is None unless it is young enough."""

    value: object
    quality: str
    reason: str | None
    age_s: float
    acquired_at: str | None
    last_good: object
    last_good_at: str | None


@dataclass(slots=True)
class _Now:
    """A device's last message: its points, their ages at `arrived_s`."""

    points: Mapping[str, JsonObject]
    extra_s: float
    arrived_s: float


class Reservoir:
    """A fair sample of at most `LATENCIES_MAX` numbers out of any many."""

    def __init__(self, seed: int = 0) -> None:
        self._chance = random.Random(seed)
        self._kept: list[float] = []
        self.count = 0

    def add(self, value: float) -> None:
        """Take one number into account."""
        self.count += 1
        if len(self._kept) < LATENCIES_MAX:
            self._kept.append(value)
        elif (i := self._chance.randrange(self.count)) < LATENCIES_MAX:
            self._kept[i] = value

    def quantile(self, share: float) -> float | None:
        """The value below which `share` (0 to 1) of the numbers lie; None without any."""
        if not self._kept:
            return None
        return sorted(self._kept)[min(len(self._kept) - 1, int(share * len(self._kept)))]


@dataclass(slots=True)
class FollowedStation:
    """What is known of one station; fields are for reading.

    `alarms` are the first of its list of `alarm_count`, None until it was heard. `received_to` is
    the sequence up to which everything is settled; `late` counts records that came
    after a later one, `skipped` those acknowledged in our name before we had them. `since` is when
    it came online or went offline; at the latest then, if `is_since_late`.
    """

    prefix: str
    state: JsonObject = field(default_factory=dict)
    is_online: bool | None = None
    since: datetime | None = None
    is_since_late: bool = False
    journal: str | None = None
    received_to: int | None = None
    highest: int = 0
    duplicates: int = 0
    late: int = 0
    skipped: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    events: deque[JsonObject] = field(default_factory=lambda: deque(maxlen=EVENTS_MAX))
    losses: deque[JsonObject] = field(default_factory=lambda: deque(maxlen=EVENTS_MAX))
    lost: int = 0
    explained: Ranges = field(default_factory=Ranges)
    unexplained: Ranges = field(default_factory=Ranges)
    births: dict[str, JsonObject] = field(default_factory=dict)
    alarms: list[JsonObject] | None = None
    alarm_count: int = 0
    now_latency: Reservoir = field(default_factory=Reservoir)
    journal_latency: Reservoir = field(default_factory=Reservoir)
    journals_seen: int = 0
    _sign_s: float = -math.inf
    _now: dict[str, _Now] = field(default_factory=dict)
    _acquired: dict[str, str] = field(default_factory=dict)
    _seen: Ranges = field(default_factory=Ranges)
    _acked: tuple[str, int] | None = None
    _contradicted_at: datetime | None = None
    _tail_s: float | None = None
    _newest: int = 0
    _has_acked: bool = False
    _is_greeted: bool = False

    @property
    def id(self) -> str:
        """The station's id, from its topic."""
        return self.prefix.rsplit("/", 1)[-1]

    @property
    def gaps(self) -> list[Range]:
        """Sequences never delivered to us, as (from, to): asking again brings them."""
        if self.received_to is None:
            return []
        found: list[Range] = []
        at = self.received_to
        for first, last in self._seen:
            if first > at + 1:
                found.append((at + 1, first - 1))
            at = max(at, last)
        return found

    @property
    def next_seq(self) -> int | None:
        """The sequence expected next; None before anything of this journal is known."""
        return None if self.received_to is None else self.received_to + 1

    @property
    def sequence_gaps(self) -> int:
        """Sequences missing, or gone at the station without a loss record: 0 when all is well."""
        return sum(b - a + 1 for a, b in self.gaps) + self.unexplained.count

    def silent_s(self, mono_s: float) -> float:
        """The age of its last sign of life; infinite without any."""
        return max(0.0, mono_s - self._sign_s)

    @property
    def silent_s_max(self) -> float:
        """A longer silence is none of a station that lives: it sends `now` in half an age."""
        points = (birth.get("points") for birth in self.births.values())
        tables = (table.values() for table in points if isinstance(table, dict))
        limits = (point for table in tables for point in table if isinstance(point, dict))
        ages_s = (_number(point.get("age_s_max"), math.inf) for point in limits)
        return max(SILENT_S_MIN, min(SILENT_S_MAX, 2 * min(ages_s, default=math.inf)))

    def tail_s(self, mono_s: float) -> float:
        """For how long the station has had later records than we got; 0 when we have all."""
        return 0.0 if self._tail_s is None else mono_s - self._tail_s

    def tail_lost(self, mono_s: float) -> bool:
        """Whether that is longer than any delivery takes."""
        return self.tail_s(mono_s) > TAIL_S_MAX

    @property
    def devices(self) -> list[str]:
        """The devices heard of."""
        return sorted(self.births.keys() | self._now.keys())

    def look(self, device: str, mono_s: float) -> dict[str, Seen]:
        """A device's points as they are now: aged, and bad when the station is offline."""
        now = self._now.get(device)
        if now is None:
            return {}
        metadata = self.births.get(device, {}).get("points")
        limits = metadata if isinstance(metadata, dict) else {}
        waited_s = now.extra_s + max(0.0, mono_s - now.arrived_s)
        return {
            name: self._see(point, limits.get(name), waited_s) for name, point in now.points.items()
        }

    def _see(self, point: JsonObject, limits: object, waited_s: float) -> Seen:
        age_s = max(0.0, _number(point.get("age_s"), math.inf)) + waited_s
        age_max_s = _number(limits.get("age_s_max"), -1.0) if isinstance(limits, dict) else -1.0
        quality, reason = str(point.get("quality")), _text(point.get("reason"))
        value, acquired_at = point.get("value"), _text(point.get("acquired_at"))
        last_good, last_good_at = point.get("last_good"), _text(point.get("last_good_at"))
        if quality in ("good", "uncertain"):
            why = None
            if not self.is_online:
                why = "offline"
            elif age_max_s < 0:
                why = "no-birth"
            elif age_s > age_max_s:
                why = "stale"
            if why is not None:
                quality, reason = "bad", why
                value, last_good, last_good_at = None, value, acquired_at
        else:
            quality, value = "bad", None
        return Seen(value, quality, reason, age_s, acquired_at, last_good, last_good_at)


class Follower:
    """All stations one consumer follows."""

    def __init__(self) -> None:
        self.stations: dict[str, FollowedStation] = {}
        self.is_consumer = False
        self.refused = 0
        self.last_refusal: str | None = None
        self.broker_state = "connecting"
        self.broker_text = ""
        self.heard_s: float | None = None
        self._asked_s: dict[str, float] = {}

    def receive(self, topic: str, payload: bytes, at: datetime, mono_s: float) -> None:
        """Take one message that arrived at `at` (monotonic `mono_s`); nonsense is only counted."""
        self.heard_s = mono_s
        address = parse_topic(topic)
        if address is None:
            return self._refuse(topic, "no topic of a station")
        if not payload:
            return self._forget(address.prefix, address.kind, address.name)
        body = parse_object(payload) if len(payload) <= PAYLOAD_BYTES_MAX else None
        if body is None:
            return self._refuse(topic, "no JSON object")
        station = self.stations.get(address.prefix)
        if station is None:
            if len(self.stations) >= STATIONS_MAX:
                return self._refuse(topic, f"more than {STATIONS_MAX} stations")
            station = self.stations[address.prefix] = FollowedStation(address.prefix)
        try:
            self._take(station, address.kind, address.name, body, at, mono_s)
        except _Nonsense as error:
            self._refuse(topic, str(error))
        return None

    def life(self, station: FollowedStation, mono_s: float) -> str:
        """What may be said of a station now, in a few words; only of one that lives "online...".

        Without a broker, or after too long a silence, nobody knows.
        """
        if self.broker_state != "online":
            return f"unknown: broker {self.broker_state}"
        if station.is_online is None:
            return "unknown: no state yet"
        if not station.is_online:
            return f"offline ({station.state.get('reason')})"
        if station.silent_s(mono_s) > station.silent_s_max:
            return "unknown: silent"
        down = [
            f"{noun} {name}"
            for noun in ("board", "direct")
            for name, line in _entries(station.state.get(f"{noun}s"))
            if not line.get("up")
        ]
        return f"online, {', '.join(down)} down" if down else "online"

    def connected(self) -> None:
        """The broker is (again) there: what stations sent meanwhile is unknown, so greet them."""
        for station in self.stations.values():
            station._is_greeted = False

    def ack_due(self, prefix: str, mono_s: float) -> tuple[str, int] | None:
        """(journal, seq) to acknowledge to a station now, or None.

        Due when more has come without a gap than was acknowledged; once after each connection; and,
        at most every `ASK_S`, when something is missing. A station that sees an ack repeated while
        it has sent more sends that again.
        """
        station = self.stations[prefix]
        if station.journal is None or station.received_to is None:
            return None
        due = station.journal, station.received_to
        if due != station._acked or not station._is_greeted:
            return due
        is_behind = bool(station.gaps) or station.tail_s(mono_s) > TAIL_ASK_S
        is_time = mono_s - self._asked_s.get(prefix, -math.inf) >= ASK_S
        return due if is_behind and is_time else None

    def note_acked(self, prefix: str, journal: str, seq: int, mono_s: float) -> None:
        """An ack was sent."""
        station = self.stations[prefix]
        station._acked, station._has_acked, station._is_greeted = (journal, seq), True, True
        self._asked_s[prefix] = mono_s

    def _take(
        self,
        station: FollowedStation,
        kind: str,
        name: str,
        body: JsonObject,
        at: datetime,
        mono_s: float,
    ) -> None:
        if kind == "state":
            _take_state(station, body, at, mono_s, is_consumer=self.is_consumer)
        elif kind == "birth":
            if name not in station.births and len(station.births) >= DEVICES_MAX:
                raise _Nonsense(f"more than {DEVICES_MAX} devices")
            station.births[name] = body
        elif kind == "now":
            _take_now(station, name, body, at, mono_s)
        elif kind == "alarms":
            _take_alarms(station, body)
        elif kind == "journal":
            _take_batch(station, body, at)
        elif kind == "ack":
            _take_own_ack(station, body)

    def _forget(self, prefix: str, kind: str, name: str) -> None:
        station = self.stations.get(prefix)
        if station is not None and kind == "birth":
            station.births.pop(name, None)
        if station is not None and kind == "alarms":
            station.alarms, station.alarm_count = None, 0
        if station is not None and kind in ("birth", "now"):
            station._now.pop(name, None)

    def _refuse(self, topic: str, why: str) -> None:
        self.refused += 1
        self.last_refusal = f"{topic[:200]}: {why}"


class _Nonsense(Exception):
    """A message that is not what its topic promises."""


def _take_state(
    station: FollowedStation, body: JsonObject, at: datetime, mono_s: float, *, is_consumer: bool
) -> None:
    is_online = body.get("online")
    if not isinstance(is_online, bool):
        raise _Nonsense("a state without online")
    since = _time(body.get("since"))
    if not is_online and body.get("reason") == "connection lost":
        mine = _time(station.state.get("since"))
        if station.is_online and since is not None and mine is not None and since < mine:
            return  # the Will of an earlier connection, delivered late
    told = _time(body.get("since" if is_online else "at"))
    if told is not None:
        station.since, station.is_since_late = told, False
    elif is_online != station.is_online:
        station.since, station.is_since_late = at, station.is_online is None
    station.is_online = is_online
    _note_sign(station, _time(body.get("at")), at, mono_s)
    station.state = {**station.state, **body} if not is_online else body
    journal = body.get("journal")
    if not isinstance(journal, str):
        raise _Nonsense("a state without journal")
    _turn_to(station, journal)
    if not is_online:
        return
    first, last, cursor = (_whole(body.get(name)) for name in ("first", "last", "cursor"))
    if cursor > last or first > last + 1:
        raise _Nonsense("a state whose sequences do not ascend from first to cursor to last")
    if _is_contradicted(station, _time(body.get("at")), last):
        station.journal = None
        station._acked = None
        _turn_to(station, journal)
    station.highest = max(station.highest, last)
    if station.received_to is None:
        if not is_consumer:
            return  # who only listens begins with the first batch: nothing before it was for them
        # What was acknowledged before, or is no longer kept, never comes: begin after it.
        station.received_to = max(cursor, _own(station), first - 1)
        station._acked = journal, station.received_to
    elif is_consumer and cursor > station.received_to:
        station.skipped += cursor - station.received_to
    _advance(station, cursor if is_consumer else station.received_to)
    _note_tail(station, last, mono_s)


def _take_alarms(station: FollowedStation, body: JsonObject) -> None:
    """The list as it stands: with it, no alarm is missed that came and went unseen."""
    rows, count = body.get("alarms"), _whole(body.get("count"))
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise _Nonsense("a list of alarms that is none")
    station.alarms, station.alarm_count = rows[:ALARMS_MAX], count


def _is_contradicted(station: FollowedStation, told_at: datetime | None, last: int) -> bool:
    """Whether we believe to have what the station says that it never wrote.

    Its state may be older than its last batch, but not twice: two states of different times that
    both say so prove that something we took for its word was not.
    """
    if station.received_to is None or last >= station.received_to or told_at is None:
        station._contradicted_at = None
        return False
    before, station._contradicted_at = station._contradicted_at, told_at
    return before is not None and told_at > before


def _turn_to(station: FollowedStation, journal: str) -> None:
    """Begin anew when the station has a new journal: its numbers mean other records."""
    if station.journal == journal:
        return
    station.journal = journal
    station.journals_seen += 1
    station.received_to = None
    station.highest = station._newest = 0
    station._seen, station.lost = Ranges(), 0
    station.explained, station.unexplained = Ranges(), Ranges()
    station._tail_s = None


def _own(station: FollowedStation) -> int:
    """What we acknowledged of this journal, also in an earlier life."""
    acked = station._acked
    return acked[1] if acked is not None and acked[0] == station.journal else 0


def _take_own_ack(station: FollowedStation, body: JsonObject) -> None:
    """Our own retained ack: where we were before a restart."""
    journal, seq = body.get("journal"), body.get("seq")
    if not isinstance(journal, str):
        raise _Nonsense("an ack without journal")
    seq = _whole(seq)
    if station._has_acked or (station.journal is not None and station.journal != journal):
        return  # the echo of our own, or of an old journal
    if station.received_to is None:
        station._acked = journal, seq
    elif seq > station.received_to:
        station._acked = journal, seq
        _advance(station, seq)


def _take_now(
    station: FollowedStation, device: str, body: JsonObject, at: datetime, mono_s: float
) -> None:
    points, sent_at = body.get("points"), _time(body.get("at"))
    if not isinstance(points, dict) or sent_at is None or len(points) > POINTS_MAX:
        raise _Nonsense("no values with their time")
    if not all(isinstance(point, dict) for point in points.values()):
        raise _Nonsense("a point that is no object")
    if device not in station._now and len(station._now) >= DEVICES_MAX:
        raise _Nonsense(f"more than {DEVICES_MAX} devices")
    _note_sign(station, sent_at, at, mono_s)
    extra_s = max(0.0, (at - sent_at).total_seconds())
    station._now[device] = _Now(points, extra_s, mono_s)
    newest = max((_text(p.get("acquired_at")) or "" for p in points.values()), default="")
    if newest > station._acquired.get(device, ""):
        acquired_at = _time(newest)
        if device in station._acquired and acquired_at is not None:
            station.now_latency.add((at - acquired_at).total_seconds())
        station._acquired[device] = newest


def _note_sign(
    station: FollowedStation, sent_at: datetime | None, at: datetime, mono_s: float
) -> None:
    """It lived at `sent_at`, says a message that arrived at `at`."""
    if sent_at is not None:
        age_s = max(0.0, (at - sent_at).total_seconds())
        station._sign_s = max(station._sign_s, mono_s - age_s)


def _take_batch(station: FollowedStation, body: JsonObject, at: datetime) -> None:
    journal, records = body.get("journal"), body.get("records")
    if not isinstance(journal, str) or not isinstance(records, list) or not records:
        raise _Nonsense("a batch without journal or records")
    after, last = _whole(body.get("after")), _whole(body.get("last"))
    seqs = [_whole(record.get("seq")) if isinstance(record, dict) else -1 for record in records]
    if seqs != sorted(set(seqs)) or not after < seqs[0] or seqs[-1] != last:
        raise _Nonsense("a batch whose sequences do not ascend from after to last")
    _turn_to(station, journal)
    station.highest = max(station.highest, last)
    if station.received_to is None:
        # No state has told us where to begin: with our own ack, else with this batch.
        station.received_to = _own(station) or after
    expected = after
    for seq, record in zip(seqs, records, strict=True):
        if seq <= station.received_to or station._seen.covers(seq):
            station.duplicates += 1
        else:
            station.late += seq < station._newest
            station._newest = max(seq, station._newest)
            _take_record(station, record, at)
        if seq > expected + 1:
            _note_lost(station, expected + 1, seq - 1)
        expected = seq
    station._seen.add(after + 1, last)
    _advance(station, station.received_to)
    if station.received_to >= station.highest:
        station._tail_s = None


def _take_record(station: FollowedStation, record: JsonObject, at: datetime) -> None:
    kind = str(record.get("kind"))
    if kind in station.kinds or len(station.kinds) < 20:
        station.kinds[kind] += 1
    if kind == "loss":
        station.losses.append(record)
        first, last = record.get("from"), record.get("to")
        if isinstance(first, int) and isinstance(last, int):
            station.explained.add(first, last)
            station.unexplained.remove(first, last)
    if kind != "sample":
        station.events.append(record)
    happened = _time(record.get("at"))
    if happened is not None:
        station.journal_latency.add((at - happened).total_seconds())


def _note_lost(station: FollowedStation, first: int, last: int) -> None:
    """The station says that it no longer has first..last, which we never got."""
    assert station.received_to is not None, "known by now"
    holes = Ranges()
    holes.add(max(first, station.received_to + 1), last)
    for a, b in station._seen:
        holes.remove(a, b)
    for a, b in holes:
        station.lost += b - a + 1
        station.unexplained.add(a, b)
    for a, b in station.explained:
        station.unexplained.remove(a, b)


def _advance(station: FollowedStation, seq: int) -> None:
    """Everything up to `seq` is settled, and what follows it without a hole."""
    assert station.received_to is not None, "known by now"
    at = max(station.received_to, seq)
    rest = Ranges()
    for first, last in station._seen:
        if first <= at + 1:
            at = max(at, last)
        else:
            rest.add(first, last)
    station.received_to, station._seen = at, rest


def _note_tail(station: FollowedStation, last: int, mono_s: float) -> None:
    assert station.received_to is not None, "known by now"
    if last <= station.received_to:
        station._tail_s = None
    elif station._tail_s is None:
        station._tail_s = mono_s


def _entries(value: object) -> Iterator[tuple[object, Mapping[object, object]]]:
    """The tables in a table of a stranger's message."""
    for name, entry in value.items() if isinstance(value, dict) else ():
        if isinstance(entry, dict):
            yield name, entry


def _whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**63:
        raise _Nonsense("a sequence that is no number")
    return value


def _number(value: object, otherwise: float) -> float:
    try:
        return float(value) if isinstance(value, (int, float)) else otherwise
    except OverflowError:
        return otherwise


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _time(value: object) -> datetime | None:
    try:
        return from_text(value) if isinstance(value, str) else None
    except (ValueError, OverflowError):
        return None
