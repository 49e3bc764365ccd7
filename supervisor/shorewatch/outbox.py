"""The outbox: the durable, numbered queue between acquisition and the uplinks.

A record is numbered and committed (SQLite, WAL, synchronous=FULL: also a power cut keeps it) before
any uplink may see it. All of SQLite runs in one thread; records that arrive within `GATHER_S` share
one commit; a cursor that moves waits up to `CURSOR_S` for records to share theirs. It is not the
history (that is thinned and may be thrown away) and knows no MQTT.

    put -> bounded queue -> one writer (number, evict, commit) -> read by uplinks -> acknowledge

A record may bring facts to keep (the state of the alarm that it is about). They are committed
together, so that what is kept never says other than what the journal says.

The journal is one strictly ascending sequence with a random identity that is new with every new
database. A number is never used twice: not after a kill, not when everything was evicted.

Limits: the file and its write-ahead log stay within `size_bytes_max`. Over it the oldest go:
acknowledged ones first, then samples, then the rest. What some uplink had not acknowledged is named
in a `loss` record of the same transaction; a loss record that must go itself is folded into it.
On a full disk room is made within the file: acknowledged records go, then samples; a ballast beside
it (`BALLAST_BYTES`) is given up for that, and made again when there is room. A disk that fails, or
that is full of what must stay, is no crash: `health` says so, the writer retries, records wait in
memory. When that queue is full too, nobody waits for a disk: its oldest samples make room, and when
it has none, what comes is dropped. Both are counted in loss records (with times, not numbers).

The same holds at the start. A file that cannot be written is read, if it can be; else the outbox is
empty until it can be used. One that is damaged is moved aside: the new one, another journal, says
so in a loss record. One of a newer version or another program is left alone.
"""

import asyncio
import logging
import sqlite3
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Final

from shorewatch.database import run_in
from shorewatch.errors import OutboxError
from shorewatch.model import encode
from shorewatch.store import (
    COMMIT_BYTES_MAX,
    COMMIT_RECORDS_MAX,
    EPOCH,
    KINDS,
    Done,
    Dropped,
    Entry,
    Facts,
    Kept,
    Store,
    to_ms,
)
from shorewatch.store import READ_BYTES_MAX as READ_BYTES_MAX
from shorewatch.store import Record as Record

BODY_BYTES_MAX: Final = 64_000
QUEUE_RECORDS_MAX: Final = 4096
QUEUE_BYTES_MAX: Final = 8_000_000
SIZE_BYTES_MIN: Final = 2_000_000
GATHER_S: Final = 0.04
CURSOR_S: Final = 0.5
RETRY_S_MIN: Final = 0.1
RETRY_S_MAX: Final = 5.0

_log = logging.getLogger("shorewatch.outbox")


class Outbox:
    """The queue of one station; made by `opened` only."""

    def __init__(self, store: Store, thread: ThreadPoolExecutor) -> None:
        self._store = store
        self._thread = thread
        self._queue: deque[Entry] = deque()
        self._queue_bytes = 0
        self._in_flight = 0
        self._dropped = {"sample": Dropped(), "record": Dropped()}
        self._cursors: dict[str, int] = {}
        self._cursors_wanted: dict[str, int] = {}
        self._first, self._last = store.first, store.last
        self._wake = asyncio.Event()
        self._room = asyncio.Event()
        self._committed = asyncio.Event()
        self._is_closing = False
        self._settled = 0
        self._trouble: str | None = store.trouble
        self._read_trouble: str | None = None
        self.journal = store.journal
        self.kept: dict[str, Facts] = dict(store.kept)
        self.written = 0
        self._writer = asyncio.create_task(self._write_forever(), name="outbox")

    @classmethod
    @asynccontextmanager
    async def opened(cls, path: Path, *, size_bytes_max: int) -> AsyncIterator["Outbox"]:
        """The outbox at `path`, made if absent; what is queued is flushed on leaving.

        Raises OutboxError if another process has it. Within the block, and on leaving it, it is
        raised when the file can be used again but has another journal than was told: start anew.
        """
        assert size_bytes_max >= SIZE_BYTES_MIN, f"an outbox takes at least {SIZE_BYTES_MIN} bytes"
        thread = ThreadPoolExecutor(1, thread_name_prefix="outbox")
        try:
            store = await run_in(thread, partial(Store, path, size_bytes_max))
            outbox = cls(store, thread)
            try:
                yield outbox
            finally:
                await outbox._close()
        finally:
            thread.shutdown(wait=False)

    @property
    def first(self) -> int:
        """The first sequence still kept; 0 if none is."""
        return self._first

    @property
    def last(self) -> int:
        """The last sequence ever committed; 0 if none was."""
        return self._last

    @property
    def health(self) -> str | None:
        """None if records are being written, else one sentence on what is wrong and what to do."""
        return self._trouble or self._read_trouble

    @property
    def queued(self) -> int:
        """Records that wait in memory for their commit."""
        return len(self._queue)

    async def put(
        self,
        kind: str,
        at: datetime,
        body: Mapping[str, object],
        keep: tuple[str, Facts] | None = None,
    ) -> bool:
        """Queue a record; waits while the queue is full. Durable once `settled` has returned.

        `body` is JSON of at most `BODY_BYTES_MAX` bytes; `keep` is (name, facts), to be found in
        `kept` after a restart. With a sick disk nothing waits: what finds no room is counted, and
        named in a loss record as soon as the disk takes it. Returns False for such a one.
        """
        assert kind in KINDS, f"{kind!r} is no kind of record"
        text = encode(body)
        size = len(text)
        assert size <= BODY_BYTES_MAX, f"a {kind} record of {size} bytes is over {BODY_BYTES_MAX}"
        while self._is_full:
            if self._trouble is None:
                self._room.clear()
                await self._room.wait()
            elif kind == "sample" or not self._drop_sample():
                self._dropped["sample" if kind == "sample" else "record"].add(at)
                return False
        self._raise_if_dead()
        kept = None if keep is None else self._kept_entry(*keep)
        self._queue.append(Entry(kind, to_ms(at), text.decode(), size, kept))
        self._queue_bytes += size
        self._wake.set()
        return True

    def keep(self, name: str, facts: Facts) -> bool:
        """Keep facts anew with no record; False, and not kept, while the queue is full."""
        self._raise_if_dead()
        if self._is_full:
            return False
        self._queue.append(Entry("", 0, "", 0, self._kept_entry(name, facts)))
        self._wake.set()
        return True

    def _kept_entry(self, name: str, facts: Facts) -> Kept:
        self.kept[name] = facts
        return Kept(name, encode(facts).decode())

    async def settled(self) -> None:
        """Return when all that was put before is durable."""
        target = self._settled + len(self._queue)
        while self._settled < target:
            self._raise_if_dead()
            await self._committed.wait()

    async def wait_beyond(self, seq: int) -> None:
        """Return once a record after `seq` is committed."""
        while self._last <= seq:
            self._raise_if_dead()
            await self._committed.wait()

    async def read(self, after: int, count: int) -> list[Record]:
        """Up to `count` committed records after sequence `after`, ascending.

        Fewer come when they are large (`READ_BYTES_MAX`). A disk that cannot be read is waited for.
        """
        wait_s = RETRY_S_MIN
        while True:
            try:
                found = await run_in(self._thread, partial(self._store.read, after, count))
            except sqlite3.DatabaseError as error:
                self._read_trouble = self._store.explain(error)
                self._wake.set()
            else:
                self._read_trouble = None
                return found
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, RETRY_S_MAX)

    async def read_back(self, before: int, kinds: Collection[str]) -> tuple[list[Record], int]:
        """One step back from sequence `before`: records of these kinds, the newest first.

        With them comes before which to go on, 0 if there are no more. A step is some ms of the
        thread, so that no commit waits long for one. Raises OutboxError for a disk that fails.
        """
        try:
            return await run_in(self._thread, partial(self._store.read_back, before, kinds))
        except sqlite3.DatabaseError as error:
            raise OutboxError(self._store.explain(error)) from error

    async def kept_between(self, first: int, last: int) -> tuple[int, int, int]:
        """First, last and count of the records from `first` to `last` that are still kept.

        All 0 if none is. Raises OutboxError if the disk cannot be read.
        """
        try:
            return await run_in(self._thread, partial(self._store.kept_between, first, last))
        except sqlite3.DatabaseError as error:
            raise OutboxError(self._store.explain(error)) from error

    def cursor(self, uplink: str) -> int:
        """The durable acknowledged sequence of `uplink`, 0 at first.

        Who has asked for a cursor counts: what it has not acknowledged is not evicted unnoticed.
        """
        return self._cursors.setdefault(uplink, self._store.cursor(uplink))

    def forget(self, uplink: str) -> None:
        """An uplink is no more: what it had not acknowledged is nobody's loss."""
        self._cursors.pop(uplink, None)
        self._cursors_wanted.pop(uplink, None)

    async def acknowledge(self, uplink: str, seq: int) -> None:
        """Move the cursor up to `seq`; returns when that is durable. It never goes back."""
        assert 0 <= seq <= self._last, f"{seq} was never committed"
        if seq <= self.cursor(uplink):
            return
        self._cursors_wanted[uplink] = max(seq, self._cursors_wanted.get(uplink, 0))
        self._wake.set()
        while self._cursors[uplink] < seq:
            self._raise_if_dead()
            await self._committed.wait()

    @property
    def _is_full(self) -> bool:
        return len(self._queue) >= QUEUE_RECORDS_MAX or self._queue_bytes >= QUEUE_BYTES_MAX

    def _drop_sample(self) -> bool:
        """Drop the oldest queued sample that is not being written; False if there is none."""
        for place in range(self._in_flight, len(self._queue)):
            entry = self._queue[place]
            if entry.kind == "sample":
                del self._queue[place]
                self._settled += 1
                self._queue_bytes -= entry.size_bytes
                self._dropped["sample"].add(EPOCH + timedelta(milliseconds=entry.at_ms))
                return True
        return False

    def _raise_if_dead(self) -> None:
        if self._writer.done():
            self._writer.result()
            raise AssertionError("the outbox is closed")

    async def _write_forever(self) -> None:
        """The one writer; ends when closing and the queue is empty, or the disk fails."""
        try:
            while await self._has_work():
                batch = self._next_batch()
                self._in_flight = len(batch)
                cursors = dict(self._cursors_wanted)
                dropped = {what: count.copy() for what, count in self._dropped.items()}
                uplinks = frozenset(self._cursors)
                work = partial(self._store.commit, batch, cursors, dropped, uplinks)
                done = await self._written(work)
                self._adopt(batch, cursors, dropped, done)
        except _Stopped:
            pass
        finally:
            self._tell()
            self._room.set()

    @property
    def _has_dropped(self) -> bool:
        return any(dropped.count for dropped in self._dropped.values())

    async def _has_work(self) -> bool:
        while not (self._queue or self._cursors_wanted or self._has_dropped or self._store.trouble):
            if self._is_closing:
                return False
            self._wake.clear()
            await self._wake.wait()
        with suppress(TimeoutError):
            async with asyncio.timeout(CURSOR_S):
                while not (self._queue or self._has_dropped or self._is_closing):
                    self._wake.clear()
                    await self._wake.wait()
        if not self._is_closing and len(self._queue) < COMMIT_RECORDS_MAX:
            await asyncio.sleep(GATHER_S)
        return True

    def _next_batch(self) -> "list[Entry]":
        batch: list[Entry] = []
        size = 0
        for entry in self._queue:
            size += entry.size_bytes
            if batch and (size > COMMIT_BYTES_MAX or len(batch) == COMMIT_RECORDS_MAX):
                break
            batch.append(entry)
        return batch

    def _adopt(
        self,
        batch: "list[Entry]",
        cursors: dict[str, int],
        dropped: "Mapping[str, Dropped]",
        done: Done,
    ) -> None:
        self._in_flight = 0
        for entry in batch:
            taken = self._queue.popleft()
            assert taken is entry, "only the writer takes from the queue"
            self._queue_bytes -= entry.size_bytes
        self._settled += len(batch)
        for uplink, seq in cursors.items():
            if uplink in self._cursors:
                self._cursors[uplink] = max(seq, self._cursors[uplink])
            if self._cursors_wanted.get(uplink, seq + 1) <= seq:
                del self._cursors_wanted[uplink]
        for what, count in dropped.items():
            self._dropped[what].subtract(count)
        self.written += done.written
        self._first, self._last = done.first, done.last
        self._room.set()
        self._tell()
        if done.journal != self.journal:
            raise OutboxError(
                "The outbox can be written again, and has another journal than was told: the"
                " gateway ends, to be started anew with it."
            )

    async def _written(self, work: "Callable[[], Done]") -> Done:
        """Run `work` in the thread until the disk lets it; `health` tells meanwhile.

        Only a write that succeeds ends that: a full disk can be read.
        """
        wait_s = RETRY_S_MIN
        while True:
            try:
                result = await run_in(self._thread, work)
            except (sqlite3.DatabaseError, OutboxError) as error:
                if isinstance(error, (sqlite3.ProgrammingError, sqlite3.IntegrityError)):
                    raise
                self._trouble = self._store.explain(error)
                self._room.set()
                if self._is_closing:
                    raise _Stopped from error
            else:
                self._trouble = None
                return result
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, RETRY_S_MAX)

    def _tell(self) -> None:
        told, self._committed = self._committed, asyncio.Event()
        told.set()

    async def _close(self) -> None:
        self._is_closing = True
        self._wake.set()
        try:
            await self._writer
        finally:
            if self._queue or self._has_dropped:
                lost = len(self._queue) + sum(d.count for d in self._dropped.values())
                _log.error("%d records could not be written and are lost: %s", lost, self._trouble)
            await run_in(self._thread, self._store.close)


class _Stopped(Exception):
    """The outbox is closing and the disk does not take what is left."""
