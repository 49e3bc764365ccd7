"""What happened at the station, for people who look back: the journal, read from its end.

    outbox (newest first) ─▶ diary ─▶ page, `shorewatch alarm history`, support bundle

    {"do": "alarm-history", ...}   what happened to alarms, notes, maintenance of the station
    {"do": "alarm-figures", ...}   the figures of ISA-18.2 over a span (figures.py)
    {"do": "events", ...}          what boards stamped, lines, starts, losses; with uncertainty

Each may be asked for `from` and `to`; the lists also for `priority`, `state` (lists with commas),
`source` (a device, a point, a board; or an alarm's id), `count`, and `before`, the sequence to go
on from, with the `journal` that it is one of. The journal keeps what fits its file: `reaches` says
back to when, and figures that would begin before that begin there.

Limits: one question at a time, STEPS_MAX steps of the outbox's thread each, COUNT_MAX records an
answer, DAYS_MAX of figures, RAISED_MAX alarms in them.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol, TypeVar

from shorewatch.alarms import State
from shorewatch.clock import CLOCK_AT_MIN
from shorewatch.control import Caller, Reply, Request
from shorewatch.errors import OutboxError
from shorewatch.figures import HIDDEN, PRIORITIES, Raised, figures
from shorewatch.mode import TEST
from shorewatch.model import from_text, to_text, utc_now
from shorewatch.store import KINDS, Record

STEPS_MAX: Final = 250
COUNT_MAX: Final = 500
COUNT: Final = 100
RAISED_MAX: Final = 100_000
DAYS_MAX: Final = 31
# A stamped event may be older than the records around it: so much, and no more, is looked past.
LATE: Final = timedelta(hours=1)
EVER: Final = datetime(1970, 1, 1, tzinfo=UTC)
END: Final = datetime(3000, 1, 1, tzinfo=UTC)
HISTORY: Final = ("alarm", "note", "audit")
EVENTS: Final = ("event", "loss")
_SHOWN_AUDITS = frozenset({"maintenance-begin", "maintenance-end"})
_RAISES = frozenset({"raised", "realarmed"})

Row = dict[str, Any]
T = TypeVar("T")


class Journal(Protocol):
    """What is read: the outbox."""

    @property
    def journal(self) -> str | None: ...
    @property
    def first(self) -> int: ...
    @property
    def last(self) -> int: ...
    async def read_back(self, before: int, kinds: Collection[str]) -> tuple[list[Record], int]: ...


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which records are asked for; empty sets and an empty source ask for all."""

    from_at: datetime
    to_at: datetime
    priorities: frozenset[str] = frozenset()
    states: frozenset[str] = frozenset()
    source: str = ""

    def takes(self, record: Record) -> bool:
        """Whether it is one of those."""
        body = record.body
        return (
            self.from_at <= record.at <= self.to_at
            and (record.kind != "audit" or body.get("what") in _SHOWN_AUDITS)
            and (not self.priorities or body.get("priority") in self.priorities)
            and (not self.states or body.get("state") in self.states)
            and (not self.source or self._is_of(body))
        )

    def _is_of(self, body: Mapping[str, object]) -> bool:
        """Of this source or a part of it (a device's point), of this board, or this alarm."""
        source = str(body.get("source", ""))
        names = {source, source.partition(".")[0], body.get("alarm"), body.get("board")}
        return self.source in names or source.endswith(f"/{self.source}")


class Diary:
    """Answers what is asked of the past."""

    def __init__(self, journal: Journal, listed: Callable[[], Sequence[Mapping[str, Any]]]) -> None:
        """`listed` are the alarms that are not normal."""
        self._journal = journal
        self._listed = listed
        self._turn = asyncio.Lock()

    async def answer(self, request: Request, caller: Caller | None = None) -> Reply:
        """What people ask, see above. Raises ValueError for what makes no sense."""
        async with self._turn:
            try:
                if request.get("do") == "alarm-figures":
                    return await self._figures(request)
                kinds = EVENTS if request.get("do") == "events" else HISTORY
                return await self._listing(request, kinds)
            except OutboxError as error:
                raise ValueError(str(error)) from error

    async def records(self, kinds: Collection[str], from_at: datetime, count: int) -> list[Row]:
        """The newest records of these kinds since a time, as many as `count`, ascending."""
        found: list[Row] = []

        def take(record: Record) -> bool:
            if record.at >= from_at:
                found.append(_row(record))
            return len(found) == count

        async with self._turn:
            await self._back(kinds, self._journal.last + 1, from_at, take)
        return found[::-1]

    async def _listing(self, request: Request, kinds: Collection[str]) -> Reply:
        wanted = _wanted(request)
        journal = self._journal.journal
        if request.get("journal") not in (None, "", journal):
            raise ValueError(
                "another journal has begun, which knows nothing older: ask from its end"
            )
        count = _number(request, "count", COUNT, COUNT_MAX)
        before = _number(request, "before", self._journal.last + 1, self._journal.last + 1)
        found: list[Row] = []

        def take(record: Record) -> bool:
            is_wanted = wanted.takes(record)
            if is_wanted and len(found) < count:
                found.append(_row(record))
                return False
            return is_wanted  # one more than asked for: there it goes on

        go_on = await self._back(kinds, before, wanted.from_at, take)
        return {
            "records": found,
            "before": go_on or None,
            "journal": journal,
            "reaches": await self._reaches(),
        }

    async def _figures(self, request: Request) -> Reply:
        wanted = _wanted(request)
        reaches = await self._reaches()
        from_at = max(wanted.from_at, wanted.to_at - timedelta(days=DAYS_MAX))
        if reaches is not None:
            from_at = max(from_at, min(from_text(reaches), wanted.to_at))
        raised: list[Raised] = []

        def take(record: Record) -> bool:
            body = record.body
            if _is_shown(record):
                raised.append(Raised(record.at, str(body.get("alarm")), str(body.get("priority"))))
            return len(raised) == RAISED_MAX

        go_on = await self._back(("alarm",), self._journal.last + 1, from_at, take)
        if go_on and raised:  # more than can be looked at: the figures begin where that ends
            from_at = max(from_at, raised[-1].at)
        # Some 100 ms for as many as there may be: not in the loop that acquires.
        found = await asyncio.to_thread(figures, raised, from_at, wanted.to_at, self._listed())
        return {**found, "reaches": reaches}

    async def _back(
        self,
        kinds: Collection[str],
        before: int,
        from_at: datetime,
        take: Callable[[Record], bool],
    ) -> int:
        """Give `take` records from `before` back to a time, until it has enough.

        Returns the sequence before which to go on; 0: there is nothing more.
        """
        for _ in range(STEPS_MAX):
            found, before = await self._journal.read_back(before, kinds)
            for record in found:
                # What was written before the clock was ever set says nothing of the order.
                if CLOCK_AT_MIN <= record.at < from_at - LATE:
                    return 0
                if take(record):
                    return record.seq + 1
            if not before:
                break
        return before

    async def _reaches(self) -> str | None:
        """When the first record was written that is still kept."""
        found, _ = await self._journal.read_back(self._journal.first + 1, KINDS)
        return to_text(found[-1].at) if found else None


def _is_shown(record: Record) -> bool:
    body = record.body
    is_hidden = body.get("state") in HIDDEN or body.get("alarm") == TEST
    return body.get("what") in _RAISES and not is_hidden


def _row(record: Record) -> Row:
    return {"seq": record.seq, "kind": record.kind, "at": to_text(record.at), **record.body}


def _wanted(request: Request) -> Wanted:
    to_at = _time(request, "to", utc_now())
    from_at = _time(request, "from", None)
    if from_at is not None and from_at > to_at:
        raise ValueError(f"`from` {to_text(from_at)} is after `to` {to_text(to_at)}: swap them")
    day = to_at - timedelta(days=1) if request.get("do") == "alarm-figures" else EVER
    return Wanted(
        from_at or day,
        to_at,
        _words(request, "priority", PRIORITIES),
        _words(request, "state", [str(state) for state in State]),
        str(request.get("source") or ""),
    )


def _time(request: Request, key: str, default: T) -> datetime | T:
    text = request.get(key)
    if not text:
        return default
    try:
        at = from_text(str(text))
    except ValueError as error:
        rule = "must be a time with its zone, as 2026-11-22T16:00:00Z"
        raise ValueError(f"`{key}` {rule}, not {text!r}") from error
    if not EVER <= at <= END:  # beyond lie years that no reckoning with times survives
        raise ValueError(f"`{key}` must be from 1970 to 2999, not {text!r}")
    return at


def _words(request: Request, key: str, known: Sequence[str]) -> frozenset[str]:
    found = frozenset(filter(None, str(request.get(key) or "").split(",")))
    if strange := found.difference(known):
        raise ValueError(f"`{key}` has no {sorted(strange)[0]!r}; there are {', '.join(known)}")
    return found


def _number(request: Request, key: str, default: int, most: int) -> int:
    text = request.get(key)
    if text in (None, ""):
        return default
    try:
        return max(1, min(int(str(text)), most))
    except ValueError as error:
        raise ValueError(f"`{key}` must be a whole number, not {text!r}") from error
