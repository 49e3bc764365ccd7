"""What a board has stamped: its ring of events, read exactly once each, and made into records.

A board numbers its events from each boot on and keeps the last 256 in a ring at 0x8000, each in 8
registers: sequence (2), source, code, value, board clock ms (3). Source: block of a watch, 0x0100 +
input of a contact, 0x0200 the board itself. Bit 15 of the code: the condition began. An entry that
was never written has the sequence 0xFFFFFFFF.

The cursor (boot id, next sequence) is kept in the outbox in one commit with the record of each
event, so that a gateway that is killed at any instant neither repeats nor skips one. What cannot be
read any more (overwritten, or gone with a reset) becomes a `loss` record with the last sequence
that was read and the time within which it happened. Before events are believed the boot id is read
again: a board that was reset meanwhile has the same numbers for other events.

Limits: READS_A_POLL reads of ENTRIES_A_READ events in one poll, after the values.
"""

import math
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from shorewatch.clock import TICK_S, BoardClock, StationClock
from shorewatch.config import InputConfig
from shorewatch.conversion import Doubt
from shorewatch.decode import Header, earlier
from shorewatch.model import Reason, to_json, to_text
from shorewatch.plan import ABOVE, ABOVE_SIGNED, BIT_CHANGED, BoardPlan, Watch
from shorewatch.registers import unpack

RING = 0x8000
BOOT_ID = 0x0006
ENTRY_SIZE = 8
ENTRIES_A_READ = 15
READS_A_POLL = 2
SHOWN_MAX = 16
FROM_CONTACT = 0x0100
FROM_BOARD = 0x0200
_ACTIVE = 0x8000
_NEVER = 0xFFFFFFFF

Body = dict[str, object]
Read = Callable[[int, int], Awaitable[Sequence[int]]]


class Records(Protocol):
    """Where records go: the outbox."""

    @property
    def kept(self) -> Mapping[str, Mapping[str, object]]: ...

    async def put(
        self,
        kind: str,
        at: datetime,
        body: Mapping[str, object],
        keep: tuple[str, Mapping[str, object]] | None = None,
    ) -> object: ...

    def keep(self, name: str, facts: Mapping[str, object]) -> bool: ...


class Noted:
    """Records on their way; the last events and losses among them are kept, to be shown."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self.events: deque[Body] = deque(maxlen=SHOWN_MAX)

    @property
    def kept(self) -> Mapping[str, Mapping[str, object]]:
        return self._records.kept

    async def put(
        self,
        kind: str,
        at: datetime,
        body: Mapping[str, object],
        keep: tuple[str, Mapping[str, object]] | None = None,
    ) -> object:
        if kind in ("event", "loss"):
            self.events.append({"at": to_text(at), "kind": kind, **body})
        return await self._records.put(kind, at, body, keep)

    def keep(self, name: str, facts: Mapping[str, object]) -> bool:
        return self._records.keep(name, facts)


@dataclass(frozen=True, slots=True)
class Entry:
    """One event as the ring holds it."""

    sequence: int
    source: int
    code: int
    value: int
    clock_ms: int


@dataclass(frozen=True, slots=True)
class Cursor:
    """Of which boot everything before `following` is settled: read, or told as lost.

    What follows was stamped after `at`.
    """

    boot_id: int
    following: int
    at: datetime

    @property
    def last(self) -> int | None:
        """The last sequence that is settled."""
        return self.following - 1 if self.following else None


def parse_entry(words: Sequence[int]) -> Entry | None:
    """The 8 registers of an entry; None if it was never written."""
    sequence = words[0] << 16 | words[1]
    clock_ms = words[5] << 32 | words[6] << 16 | words[7]
    return None if sequence == _NEVER else Entry(sequence, words[2], words[3], words[4], clock_ms)


class EventReader:
    """Follows the ring of one board."""

    def __init__(self, plan: BoardPlan, records: Records, clock: StationClock) -> None:
        self.plan = plan
        self._records = records
        self._clock = clock
        self._name = f"events {plan.board_id}"
        self._cursor = _cursor(records.kept.get(self._name))

    @property
    def _inputs(self) -> Sequence[InputConfig]:
        return self.plan.station.boards[self.plan.board_id].input

    async def poll(
        self, header: Header, asked_s: float, board_clock: BoardClock, read: Read
    ) -> None:
        """Record what the board has stamped, by a header that was asked for at `asked_s`."""
        if not (self.plan.watches or self._inputs):
            return
        ring = max(header.event_capacity, 1)
        cursor = await self._turned(header, board_clock)
        if cursor is None:
            return
        lost = header.event_next - ring - cursor.following
        if lost > 0:
            why = f"the board overwrote them before they were read; it keeps the last {ring}"
            after = replace(cursor, following=cursor.following + lost)
            await self._lose(cursor, after, lost, self._clock.now(), why)
            cursor = after
        for entry in await self._entries(cursor, header, read):
            at, error_s, body = self._record(entry, header, board_clock)
            cursor = replace(cursor, following=entry.sequence + 1, at=earlier(at, error_s))
            await self._put("event", at, body, cursor)
        if cursor.following >= header.event_next:
            self._cursor = replace(cursor, at=self._clock.at(asked_s))

    async def _turned(self, header: Header, board_clock: BoardClock) -> Cursor | None:
        """The cursor in this boot of the board; None if it cannot be kept now."""
        cursor = self._cursor
        is_known = cursor is not None and cursor.boot_id == header.boot_id
        if cursor is not None and is_known and cursor.following <= header.event_next:
            return cursor
        boot_s, error_s = board_clock.at(0)
        begun = Cursor(header.boot_id, 0, self._clock.at(boot_s - error_s))
        if cursor is None:
            # Nobody has read this board before: only what the ring no longer has is lost.
            self._cursor = begun if self._records.keep(self._name, _facts(begun)) else None
            return self._cursor
        until = min(self._clock.at(boot_s + error_s), self._clock.now())
        why = "the board started anew; what it stamped since it was last read, if anything, is gone"
        await self._lose(cursor, begun, None, until, why)
        return begun

    async def _lose(
        self, was: Cursor, now: Cursor, count: int | None, until: datetime, why: str
    ) -> None:
        """Record that what follows `was` up to `now` is lost."""
        body: Body = {
            "uplink": None, "what": "event", "from": None, "to": None, "count": count,
            "source": f"board/{self.plan.board_id}", "boot": f"{was.boot_id:08x}",
            "next_boot": f"{now.boot_id:08x}", "last_read": was.last,
            "from_at": to_text(was.at), "to_at": to_text(max(until, was.at)), "why": why,
        }  # fmt: skip
        await self._put("loss", self._clock.now(), body, now)

    async def _entries(self, cursor: Cursor, header: Header, read: Read) -> list[Entry]:
        """The next events, as far as they are there and of this boot."""
        found: list[Entry] = []
        following = cursor.following
        ring = max(header.event_capacity, 1)
        for first, count in _spans(following, header.event_next, ring):
            words = await read(RING + ENTRY_SIZE * (first % ring), ENTRY_SIZE * count)
            for i in range(count):
                entry = parse_entry(words[ENTRY_SIZE * i : ENTRY_SIZE * (i + 1)])
                if entry is None or entry.sequence != following:
                    break  # overwritten, or of another boot: the next header tells
                found.append(entry)
                following += 1
        if found:
            high, low = await read(BOOT_ID, 2)
            if high << 16 | low != header.boot_id:
                return []
        return found

    async def _put(self, kind: str, at: datetime, body: Body, cursor: Cursor) -> None:
        await self._records.put(kind, at, body, keep=(self._name, _facts(cursor)))
        self._cursor = cursor

    def _record(
        self, entry: Entry, header: Header, board_clock: BoardClock
    ) -> tuple[datetime, float, Body]:
        """When it happened, how far that may be off, and its body."""
        mono_s, error_s = board_clock.at(entry.clock_ms)
        body = self._told(entry)
        if FROM_CONTACT <= entry.source < FROM_BOARD:
            # A contact is looked at once a pass, and a millisecond's rest lies between.
            early_s = header.worst_pass_ms / 1000 + TICK_S
            mono_s, error_s = mono_s - early_s / 2, error_s + early_s / 2
        # The record's time is in whole milliseconds.
        uncertainty_s = math.ceil(1000 * (error_s + self._clock.error_s_max) + 0.5) / 1000
        body |= {
            "board": self.plan.board_id,
            "boot": f"{header.boot_id:08x}",
            "sequence": entry.sequence,
            "clock_ms": entry.clock_ms,
            "uncertainty_s": uncertainty_s,
        }
        if not self._clock.is_set:
            body["uncertain"] = str(Reason.CLOCK)
        return self._clock.at(mono_s), uncertainty_s, body

    def _told(self, entry: Entry) -> Body:
        """Its source and what changed, in the words of the station file and the profile."""
        what = "raised" if entry.code & _ACTIVE else "over"
        code = entry.code & ~_ACTIVE
        if entry.source < FROM_CONTACT and code < len(self.plan.watches):
            watch = self.plan.watches[code]
            source = f"{watch.block.device.id}.{watch.point.id}"
            return {"source": source, "what": what} | _condition(watch, entry.value)
        if 0 <= (place := entry.source - FROM_CONTACT) < len(self._inputs):
            source = f"{self.plan.station.contacts[self.plan.board_id].id}.{self._inputs[place].id}"
            return {"source": source, "what": what, "changes": entry.value}
        source = f"board/{self.plan.board_id}"
        return {"source": source, "what": what, "code": code, "word": entry.value}


def _condition(watch: Watch, word: int) -> Body:
    """What of the point a watch looks at, and the word that it saw."""
    point = watch.point
    if watch.kind == BIT_CHANGED:
        if point.type == "bit":
            return {"word": word}
        return {"bit": watch.bit, "label": point.labels.get(str(watch.bit)), "word": word}
    is_above = (watch.kind in (ABOVE, ABOVE_SIGNED)) == (point.scaling.gain > 0)
    limit = {"above": point.watch_above} if is_above else {"below": point.watch_below}
    # The board judged the word alone, whatever another point says of its quality.
    found = point.converter()(unpack([word], point.type, point.order))
    number = {} if isinstance(found, Doubt) else {"value": to_json(found)}
    return {**limit, "word": word, **number}


def _spans(following: int, end: int, ring: int) -> Iterator[tuple[int, int]]:
    """(first sequence, count) of the reads of one poll; none runs past the ring's end."""
    for _ in range(READS_A_POLL):
        count = min(ENTRIES_A_READ, end - following, ring - following % ring)
        if count <= 0:
            return
        yield following, count
        following += count


def _facts(cursor: Cursor) -> dict[str, object]:
    return {"boot": cursor.boot_id, "following": cursor.following, "at": cursor.at.isoformat()}


def _cursor(facts: Mapping[str, object] | None) -> Cursor | None:
    """What `_facts` kept; None if nothing was, or a disk has garbled it."""
    if facts is None:
        return None
    boot_id, following, at = facts.get("boot"), facts.get("following"), facts.get("at")
    if not (isinstance(boot_id, int) and isinstance(following, int) and isinstance(at, str)):
        return None
    try:
        return Cursor(boot_id, following, datetime.fromisoformat(at))
    except ValueError:
        return None
