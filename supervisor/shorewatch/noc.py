"""The library for a NOC's own Python: every record of the stations, once, in order, acknowledged.

    from shorewatch.noc import follow

    async with follow("mqtt://broker.example", consumer="noc") as noc:
        async for delivery in noc:
            store(delivery.station, delivery.records)      # yours: into a database, say
            await delivery.done()                          # now it is safe: acknowledge it

A station keeps a record until it is acknowledged, and it is acknowledged only after `done`. After a
crash of yours everything comes again that was not `done`, and nothing else, if you give `marks`: a
file that `done` writes, or what you stored with your records (then nothing comes twice at all).
Without marks the last ack on the broker counts, half a second behind `done` at most.

What never came is not hidden: `delivery.holes`; what comes after all is in `delivery.late`.
Live values are beside: `noc.stations`.
Limits: those of follower.py; deliveries of about `RECORDS_MAX` records; a user who is slow holds
READY_RECORDS_MAX records of each station (reading.py), and what comes meanwhile is asked for later.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from shorewatch.config import UplinkConfig
from shorewatch.disk import write_durably
from shorewatch.errors import ConfigError, Problem, UsageError
from shorewatch.mqtt import said, topics
from shorewatch.mqtt.ask import Key
from shorewatch.mqtt.follower import Follower
from shorewatch.mqtt.ledger import JOURNALS_MAX
from shorewatch.mqtt.order import Gone, Late, Out, Run
from shorewatch.mqtt.station import FollowedStation, Seen
from shorewatch.mqtt.tls import Tls
from shorewatch.mqtt.watch import Access
from shorewatch.mqtt.watch import follow as follow_into

__all__ = ["Access", "Delivery", "Gone", "Key", "Noc", "Record", "Seen", "Tls", "follow"]

RECORDS_MAX: Final = 1000
Marks = Mapping[str, Mapping[str, int]]


@dataclass(frozen=True, slots=True)
class Record:
    """One record of a journal. `body` is all of it, as the station sent it.

    `at` is None where that is no time. `is_history` is one that was sent late, so that its latency
    says nothing.
    """

    seq: int
    kind: str
    at: datetime | None
    body: Mapping[str, object]
    is_history: bool


@dataclass(frozen=True, slots=True)
class Delivery:
    """What came next of one station (`<cable>/<station>`), all of it up to sequence `last`.

    `records` ascend; `holes` are the sequences among them that never came, and why. `late` are
    records whose holes were told, here or in an earlier delivery, before they came.
    """

    station: str
    journal: str
    last: int
    records: tuple[Record, ...]
    holes: tuple[Gone, ...]
    late: tuple[Record, ...]
    _done: Callable[["Delivery"], Awaitable[None]] = field(repr=False, compare=False)

    async def done(self) -> None:
        """This delivery, and all before it of this station, is safe: it may be acknowledged."""
        await self._done(self)


class Noc:
    """An asynchronous iterator of deliveries, made by `follow`."""

    def __init__(self, follower: Follower, file: Path | None, marks: Marks) -> None:
        self.follower = follower
        self._file = file
        self._marks = {station: dict(journals) for station, journals in marks.items()}
        self._saving = asyncio.Lock()
        self._changed = asyncio.Event()
        self._following: asyncio.Task[None] | None = None
        self._turn = 0

    @property
    def stations(self) -> dict[str, FollowedStation]:
        """What is known of each station now, by `<cable>/<station>`: life, values, alarms."""
        return {_name(prefix): found for prefix, found in self.follower.stations.items()}

    @property
    def broker(self) -> tuple[str, str]:
        """The state of the connection in a word ("online", "lost", ...), and in a sentence."""
        return self.follower.broker_state, self.follower.broker_text

    def __aiter__(self) -> "Noc":
        return self

    async def __anext__(self) -> Delivery:
        while True:
            self._changed.clear()
            if (found := self.ready()) is not None:
                return found
            assert self._following is not None, "made by follow"
            if self._following.done():
                self._following.result()
            await self._changed.wait()

    def ready(self) -> Delivery | None:
        """The next delivery if there is one now; the stations take turns."""
        stations = list(self.follower.stations.values())
        for i in range(len(stations)):
            station = stations[(self._turn + i) % len(stations)]
            found = station.reading.next_ready(RECORDS_MAX)
            if found is not None:
                self._turn += i + 1
                return self._delivery(station, *found)
        return None

    def note_change(self) -> None:
        """Something may be ready."""
        self._changed.set()

    def _delivery(self, station: FollowedStation, journal: str, outs: list[Out]) -> Delivery:
        holes = tuple(out for out in outs if isinstance(out, Gone))
        records = tuple(one for out in outs if isinstance(out, Run) for one in _records(out))
        late = tuple(one for out in outs if isinstance(out, Late) for one in _records(out))
        return Delivery(
            _name(station.prefix), journal, max(map(_end, outs)), records, holes, late,
            self._note_done,
        )  # fmt: skip

    async def _note_done(self, delivery: Delivery) -> None:
        """Whoever waits for it may be cancelled; two writers of one file there must not be."""
        await asyncio.shield(asyncio.ensure_future(self._save(delivery)))

    async def saved(self) -> None:
        """Return when every `done` that was begun is on the disk."""
        async with self._saving:
            pass

    async def _save(self, delivery: Delivery) -> None:
        reading = self.follower.stations[f"{topics.ROOT}/{delivery.station}"].reading
        if self._file is not None:
            async with self._saving:
                marks = self._marks.setdefault(delivery.station, {})
                marks.pop(delivery.journal, None)
                marks[delivery.journal] = delivery.last
                while len(marks) > JOURNALS_MAX:
                    del marks[next(iter(marks))]
                await asyncio.to_thread(write_durably, self._file, topics.encode(self._marks))
        reading.mark(delivery.journal, delivery.last)


@asynccontextmanager
async def follow(
    url: str,
    *,
    consumer: str | None = None,
    stations: Collection[str] | None = None,
    marks: Path | Marks | None = None,
    access: Access = Access(),  # noqa: B008 (it is frozen)
    is_from_first: bool = False,
) -> AsyncGenerator[Noc, None]:
    """Follow stations (`<cable>/<station>`, or all) on the broker at `url` (mqtt:// or mqtts://).

    `consumer` is the name to acknowledge as, one of the stations' configured consumers; without one
    nothing is acknowledged. `marks` is a file, kept by `done`, or the marks themselves: by station
    and journal the last sequence that you have. With `access.key` missing records are asked for by
    a replay, and `is_from_first` begins at the first record that a station still keeps.

    A broker that goes away is no error: `noc.broker` says so and it is tried again. Raises
    ConfigError for a url or consumer of no form, UsageError for a file of marks that is none.
    """
    check_broker(url, consumer)
    file = marks if isinstance(marks, Path) else None
    known = _load_marks(file) if file is not None else marks or {}
    assert not isinstance(known, Path), "loaded above"
    only = None if stations is None else {f"{topics.ROOT}/{name}" for name in stations}
    follower = Follower(
        only=only,
        marks={f"{topics.ROOT}/{name}": journals for name, journals in known.items()},
        has_user=True,
        is_from_first=is_from_first,
    )
    noc = Noc(follower, file, known)
    following = asyncio.create_task(
        follow_into(
            url,
            follower,
            acknowledge=consumer,
            prefixes=sorted(only) if only is not None else (f"{topics.ROOT}/+/+",),
            access=access,
            on_change=noc.note_change,
        )
    )
    following.add_done_callback(lambda _: noc.note_change())
    noc._following = following
    try:
        yield noc
    finally:
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following
        await noc.saved()


def check_broker(url: str, consumer: str | None) -> None:
    """The rules of a station's uplink, which is the other end; raises ConfigError."""
    consumers = [] if consumer is None else [consumer]
    try:
        UplinkConfig.model_validate({"id": "watch", "url": url, "consumers": consumers})
    except ValidationError as error:
        problems = []
        for found in error.errors():
            key, value, rule = "url", url, found["msg"].removeprefix("Value error, ")
            if found["loc"][0] == "consumers":
                key, value = "consumer", consumer or ""
                rule = "must be a name of at most 40 characters: a-z, 0-9, _ and -"
            elif "mqtt://" not in rule:
                rule += "; it looks like mqtt://host:1883"
            problems.append(Problem("command line", None, key, repr(value), rule))
        raise ConfigError(problems) from error


def _end(out: Out) -> int:
    """The sequence up to which all is out after it."""
    match out:
        case Gone():
            return out.last
        case Late():
            return out.to
        case Run():
            return said.whole(out.records[-1]["seq"])


def _records(run: Run | Late) -> Iterator[Record]:
    is_history = isinstance(run, Late) or run.is_history
    for body in run.records:
        seq, kind = body["seq"], said.text(body.get("kind"))
        assert isinstance(seq, int), "checked when it came"
        yield Record(seq, kind or "none", said.time(body.get("at")), body, is_history)


def _load_marks(path: Path) -> dict[str, dict[str, int]]:
    try:
        found = topics.parse_object(path.read_bytes())
    except FileNotFoundError:
        return {}
    except OSError as error:
        text = f"the marks in {path} cannot be read: {error.strerror}; name another file"
        raise UsageError(text) from error
    marks: dict[str, dict[str, int]] = {}
    for station, journals in (found or {"": None}).items():
        table = journals if isinstance(journals, dict) else {"": None}
        marks[station] = {}
        for journal, seq in table.items():
            if not isinstance(seq, int) or isinstance(seq, bool) or seq < 0:
                text = f"{path} holds no marks (by station and journal a sequence): name another"
                raise UsageError(text)
            marks[station][str(journal)] = seq
    return marks


def _name(prefix: str) -> str:
    return prefix.removeprefix(f"{topics.ROOT}/")
