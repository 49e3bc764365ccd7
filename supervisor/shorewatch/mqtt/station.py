"""One station as a NOC may show it: does it live, its values now, its alarms, its journal. Pure.

Ages: `age_s` of the message, plus the wall-clock time between its `at` and its arrival, plus the
time since. So a retained message that lay on the broker is as old as it is; the clocks of both ends
must agree (NTP), and a follower whose clock is ahead errs to the old side. The same holds for the
sign of life of a station: it is as old as the message says, not as our hearing of it.
Limits: `DEVICES_MAX` devices of `POINTS_MAX` points, `ALARMS_MAX` alarms.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from shorewatch.mqtt import said
from shorewatch.mqtt.reading import TAIL_S_MAX, Reading
from shorewatch.mqtt.reservoir import Reservoir
from shorewatch.mqtt.said import JsonObject, Nonsense, whole

DEVICES_MAX: Final = 512
POINTS_MAX: Final = 1000
ALARMS_MAX: Final = 1000
SILENT_S_MIN: Final = 5.0
SILENT_S_MAX: Final = 45.0  # a station repeats its state each 30 s


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
    detail: str | None = None


@dataclass(slots=True)
class _Now:
    """A device's last message: its points, their ages at `arrived_s`."""

    points: Mapping[str, JsonObject]
    extra_s: float
    arrived_s: float


class FollowedStation:
    """What is known of one station; fields are for reading.

    `alarms` are the first of its list of `alarm_count`, None until it was heard. `since` is when it
    came online or went offline; at the latest then, if `is_since_late`. `reading` is its journal.
    """

    def __init__(self, prefix: str, reading: Reading | None = None) -> None:
        self.prefix = prefix
        self.reading = reading or Reading()
        self.state: JsonObject = {}
        self.is_online: bool | None = None
        self.since: datetime | None = None
        self.is_since_late = False
        self.births: dict[str, JsonObject] = {}
        self.alarms: list[JsonObject] | None = None
        self.alarm_count = 0
        self.now_latency = Reservoir()
        self._sign_s = -math.inf
        self._now: dict[str, _Now] = {}
        self._acquired: dict[str, str] = {}

    @property
    def id(self) -> str:
        """The station's id, from its topic."""
        return self.prefix.rsplit("/", 1)[-1]

    @property
    def received_to(self) -> int | None:
        """The sequence up to which everything has come or was told as a hole; None before any."""
        return None if self.reading.order is None else self.reading.order.to

    @property
    def kinds(self) -> Mapping[str, int]:
        """How many records of each kind came, in order."""
        return self.reading.kinds

    @property
    def events(self) -> Sequence[JsonObject]:
        """The last records that are no samples; `history` in those that were sent late."""
        return self.reading.events

    @property
    def gaps(self) -> list[tuple[int, int]]:
        """Sequences never delivered to us, as (from, to): asking again brings them."""
        return [] if self.reading.order is None else self.reading.order.gaps

    @property
    def unexplained(self) -> list[tuple[int, int]]:
        """Sequences that do not come any more and that no loss record explains, as (from, to)."""
        account = self.reading.account
        return [] if account is None else [(hole.first, hole.last) for hole in account.holes]

    @property
    def sequence_gaps(self) -> int:
        """Sequences missing, or gone without a loss record: 0 when all is well."""
        account = self.reading.account
        gone = 0 if account is None else account.holes.count
        return sum(b - a + 1 for a, b in self.gaps) + gone

    @property
    def duplicates(self) -> int:
        """Records that came more than once; they were given to nobody twice."""
        return 0 if self.reading.order is None else self.reading.order.duplicates

    @property
    def lost(self) -> int:
        """Records that never came, explained or not."""
        return 0 if self.reading.account is None else self.reading.account.lost

    def tail_s(self, mono_s: float) -> float:
        """For how long the station has had later records than we got; 0 when we have all."""
        return self.reading.tail_s(mono_s)

    def tail_lost(self, mono_s: float) -> bool:
        """Whether the station has had later records than we got for longer than delivery takes."""
        return self.tail_s(mono_s) > TAIL_S_MAX

    def silent_s(self, mono_s: float) -> float:
        """The age of its last sign of life; infinite without any."""
        return max(0.0, mono_s - self._sign_s)

    @property
    def silent_s_max(self) -> float:
        """A longer silence is none of a station that lives: it sends `now` in half an age."""
        points = (birth.get("points") for birth in self.births.values())
        tables = (table.values() for table in points if isinstance(table, dict))
        limits = (point for table in tables for point in table if isinstance(point, dict))
        ages_s = (said.number(point.get("age_s_max"), math.inf) for point in limits)
        return max(SILENT_S_MIN, min(SILENT_S_MAX, 2 * min(ages_s, default=math.inf)))

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
        age_s = max(0.0, said.number(point.get("age_s"), math.inf)) + waited_s
        age_max_s = -1.0
        if isinstance(limits, dict):
            age_max_s = said.number(limits.get("age_s_max"), -1.0)
        quality, reason = str(point.get("quality")), said.text(point.get("reason"))
        value, acquired_at = point.get("value"), said.text(point.get("acquired_at"))
        last_good, last_good_at = point.get("last_good"), said.text(point.get("last_good_at"))
        detail = said.text(point.get("detail"))
        if quality in ("good", "uncertain"):
            why = None
            if not self.is_online:
                why = "offline"
            elif age_max_s < 0:
                why = "no-birth"
            elif age_s > age_max_s:
                why = "stale"
            if why is not None:
                quality, reason, detail = "bad", why, None
                value, last_good, last_good_at = None, value, acquired_at
        else:
            quality, value = "bad", None
        return Seen(value, quality, reason, age_s, acquired_at, last_good, last_good_at, detail)

    def take_state(
        self, body: JsonObject, at: datetime, mono_s: float, *, is_consumer: bool
    ) -> None:
        """Take a message of `state` that arrived at `at` (monotonic `mono_s`)."""
        is_online = body.get("online")
        if not isinstance(is_online, bool):
            raise Nonsense("a state without online")
        since = said.time(body.get("since"))
        if not is_online and body.get("reason") == "connection lost":
            mine = said.time(self.state.get("since"))
            if self.is_online and since is not None and mine is not None and since < mine:
                return  # the Will of an earlier connection, delivered late
        told = said.time(body.get("since" if is_online else "at"))
        if told is not None:
            self.since, self.is_since_late = told, False
        elif is_online != self.is_online:
            self.since, self.is_since_late = at, self.is_online is None
        self.is_online = is_online
        self._note_sign(said.time(body.get("at")), at, mono_s)
        self.state = {**self.state, **body} if not is_online else body
        if is_online:
            self.reading.tell(body, mono_s, is_consumer=is_consumer)

    def take_birth(self, device: str, body: JsonObject) -> None:
        """Take a message of `birth/<device>`."""
        if device not in self.births and len(self.births) >= DEVICES_MAX:
            raise Nonsense(f"more than {DEVICES_MAX} devices")
        self.births[device] = body

    def take_now(self, device: str, body: JsonObject, at: datetime, mono_s: float) -> None:
        """Take a message of `now/<device>`."""
        points, sent_at = body.get("points"), said.time(body.get("at"))
        if not isinstance(points, dict) or sent_at is None or len(points) > POINTS_MAX:
            raise Nonsense("no values with their time")
        if not all(isinstance(point, dict) for point in points.values()):
            raise Nonsense("a point that is no object")
        if device not in self._now and len(self._now) >= DEVICES_MAX:
            raise Nonsense(f"more than {DEVICES_MAX} devices")
        self._note_sign(sent_at, at, mono_s)
        extra_s = max(0.0, (at - sent_at).total_seconds())
        self._now[device] = _Now(points, extra_s, mono_s)
        newest = max((said.text(p.get("acquired_at")) or "" for p in points.values()), default="")
        if newest > self._acquired.get(device, ""):
            acquired_at = said.time(newest)
            if device in self._acquired and acquired_at is not None:
                self.now_latency.add((at - acquired_at).total_seconds())
            self._acquired[device] = newest

    def take_alarms(self, body: JsonObject) -> None:
        """Take the list as it stands: with it, no alarm is missed that came and went unseen."""
        rows, count = body.get("alarms"), whole(body.get("count"))
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise Nonsense("a list of alarms that is none")
        self.alarms, self.alarm_count = rows[:ALARMS_MAX], count

    def forget(self, kind: str, name: str) -> None:
        """A retained topic of it was emptied."""
        if kind == "birth":
            self.births.pop(name, None)
        if kind == "alarms":
            self.alarms, self.alarm_count = None, 0
        if kind in ("birth", "now"):
            self._now.pop(name, None)
            self._acquired.pop(name, None)

    def _note_sign(self, sent_at: datetime | None, at: datetime, mono_s: float) -> None:
        """It lived at `sent_at`, says a message that arrived at `at`."""
        if sent_at is not None:
            age_s = max(0.0, (at - sent_at).total_seconds())
            self._sign_s = max(self._sign_s, mono_s - age_s)
