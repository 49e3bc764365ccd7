"""The outbox: the durable, numbered queue between acquisition and the uplinks.

A record is numbered and committed (SQLite, WAL, synchronous=FULL: also a power cut keeps it) before
any uplink may see it. All of SQLite runs in one thread; records that arrive within `GATHER_S` share
one commit. It is not the history (that is thinned and may be thrown away) and knows no MQTT.

    put -> bounded queue -> one writer (number, evict, commit) -> read by uplinks -> acknowledge

A record may bring facts to keep (the state of the alarm that it is about). They are committed
together, so that what is kept never says other than what the journal says.

The journal is one strictly ascending sequence with a random identity that is new with every new
database. A number is never used twice: not after a kill, not when everything was evicted.

Limits: the file and its write-ahead log stay within `size_bytes_max`. Over it the oldest go:
acknowledged ones first, then samples, then the rest. What some uplink had not acknowledged is named
in a `loss` record of the same transaction; a loss record that must go itself is folded into it.
A disk that is full or fails is no crash: `health` says so, the writer retries, records wait in
memory. When that queue is full too, nobody waits for a disk: its oldest samples make room, and when
it has none, what comes is dropped. Both are counted in loss records (with times, not numbers).

The same holds at the start. A file that cannot be written is read, if it can be; else the outbox is
empty until it can be used. One that is damaged is moved aside: the new one, another journal, says
so in a loss record. One of a newer version or another program is left alone.
"""

import asyncio
import json
import logging
import os
import secrets
import sqlite3
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from shorewatch.database import DAMAGED, explained, move_aside, primary_code, run_in
from shorewatch.errors import OutboxError
from shorewatch.model import to_text, utc_now

KINDS: Final = ("sample", "event", "alarm", "loss", "audit", "note")
BODY_BYTES_MAX: Final = 64_000
QUEUE_RECORDS_MAX: Final = 4096
QUEUE_BYTES_MAX: Final = 8_000_000
READ_BYTES_MAX: Final = 1_000_000
SIZE_BYTES_MIN: Final = 2_000_000
GATHER_S: Final = 0.02
RETRY_S_MIN: Final = 0.1
RETRY_S_MAX: Final = 5.0

_VERSION = 2
_APPLICATION = 0x53576F78
_COMMIT_RECORDS_MAX = 1000
_COMMIT_BYTES_MAX = 256_000
_WAL_PAGES = 128
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_KEPT_TABLE = "CREATE TABLE kept (name TEXT PRIMARY KEY, facts TEXT NOT NULL) WITHOUT ROWID"
_SCHEMA = f"""
    CREATE TABLE journal (one INTEGER PRIMARY KEY CHECK (one = 1), id TEXT NOT NULL,
                          last INTEGER NOT NULL);
    CREATE TABLE record (seq INTEGER PRIMARY KEY, kind TEXT NOT NULL, at_ms INTEGER NOT NULL,
                         body TEXT NOT NULL);
    CREATE INDEX sample ON record (seq) WHERE kind = 'sample';
    CREATE TABLE cursor (uplink TEXT PRIMARY KEY, seq INTEGER NOT NULL) WITHOUT ROWID;
    {_KEPT_TABLE};
    PRAGMA application_id = {_APPLICATION};
    PRAGMA user_version = {_VERSION};
"""
# From each older version to the next one.
_MIGRATIONS: Final = {1: _KEPT_TABLE}
# What a record costs on disk beside its body: row header, time, kind, its entry in the index.
_ROW_BYTES = 40

Facts = Mapping[str, object]
_log = logging.getLogger("shorewatch.outbox")


@dataclass(frozen=True, slots=True)
class Record:
    """One committed entry of the journal; `at` is UTC in whole milliseconds."""

    seq: int
    kind: str
    at: datetime
    body: Mapping[str, object]


class Outbox:
    """The queue of one station; made by `opened` only."""

    def __init__(self, store: "_Store", thread: ThreadPoolExecutor) -> None:
        self._store = store
        self._thread = thread
        self._queue: deque[_Entry] = deque()
        self._queue_bytes = 0
        self._in_flight = 0
        self._dropped = {"sample": _Dropped(), "record": _Dropped()}
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
            store = await run_in(thread, partial(_Store, path, size_bytes_max))
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
        text = _json(body)
        size = len(text.encode())
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
        self._queue.append(_Entry(kind, _to_ms(at), text, size, kept))
        self._queue_bytes += size
        self._wake.set()
        return True

    def keep(self, name: str, facts: Facts) -> bool:
        """Keep facts anew with no record; False, and not kept, while the queue is full."""
        self._raise_if_dead()
        if self._is_full:
            return False
        self._queue.append(_Entry("", 0, "", 0, self._kept_entry(name, facts)))
        self._wake.set()
        return True

    def _kept_entry(self, name: str, facts: Facts) -> "_Kept":
        self.kept[name] = facts
        return _Kept(name, _json(facts))

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
                self._dropped["sample"].add(_EPOCH + timedelta(milliseconds=entry.at_ms))
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
        if not self._is_closing and len(self._queue) < _COMMIT_RECORDS_MAX:
            await asyncio.sleep(GATHER_S)
        return True

    def _next_batch(self) -> "list[_Entry]":
        batch: list[_Entry] = []
        size = 0
        for entry in self._queue:
            size += entry.size_bytes
            if batch and (size > _COMMIT_BYTES_MAX or len(batch) == _COMMIT_RECORDS_MAX):
                break
            batch.append(entry)
        return batch

    def _adopt(
        self,
        batch: "list[_Entry]",
        cursors: dict[str, int],
        dropped: "Mapping[str, _Dropped]",
        done: "_Done",
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

    async def _written(self, work: "Callable[[], _Done]") -> "_Done":
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


class _Entry(NamedTuple):
    """A record on its way: not numbered yet."""

    kind: str
    at_ms: int
    body: str
    size_bytes: int
    kept: "_Kept | None" = None


class _Kept(NamedTuple):
    """Facts to keep, as JSON."""

    name: str
    facts: str


class _Done(NamedTuple):
    """What a commit changed."""

    written: int
    journal: str
    first: int
    last: int


class _Stopped(Exception):
    """The outbox is closing and the disk does not take what is left."""


@dataclass(slots=True)
class _Dropped:
    """Records that found no room while the disk was sick: how many, between which times."""

    count: int = 0
    from_at: datetime | None = None
    to_at: datetime | None = None

    def add(self, at: datetime) -> None:
        self.count += 1
        self.from_at = at if self.from_at is None else min(at, self.from_at)
        self.to_at = at if self.to_at is None else max(at, self.to_at)

    def copy(self) -> "_Dropped":
        return _Dropped(self.count, self.from_at, self.to_at)

    def subtract(self, written: "_Dropped") -> None:
        self.count -= written.count
        if self.count == 0:
            self.from_at = self.to_at = None

    def body(self, what: str) -> dict[str, object]:
        return {
            "uplink": None, "what": what, "from": None, "to": None, "count": self.count,
            "from_at": to_text(self.from_at), "to_at": to_text(self.to_at),
            "why": "the disk could not be written and the queue in memory was full",
        }  # fmt: skip


@dataclass(slots=True)
class _Loss:
    """What one uplink loses by an eviction."""

    first: int
    last: int
    count: int = 0

    def add(self, first: int, last: int, count: int) -> None:
        self.first, self.last = min(first, self.first), max(last, self.last)
        self.count += count


class _Store:
    """The database; every method runs in the outbox's thread.

    `trouble` says why the file cannot be written. While it does, a stand-in takes the file's place:
    the file itself, read-only, or an empty one in memory. Each commit then tries the file again.
    """

    def __init__(self, path: Path, size_bytes_max: int) -> None:
        self._path, self._size_bytes_max = path, size_bytes_max
        self._damage: str | None = None
        self._moved: str | None = None
        self.trouble: str | None = None
        # The identity of a new file. Nothing may be told under it before a number is used.
        self.journal, self.first, self.last = secrets.token_hex(16), 0, 0
        self._db = sqlite3.connect(":memory:", isolation_level=None)
        try:
            self._attach()
        except (sqlite3.DatabaseError, OutboxError) as error:
            if isinstance(error, sqlite3.Error) and primary_code(error) == sqlite3.SQLITE_BUSY:
                self._db.close()
                raise OutboxError(self.explain(error)) from error
            self.trouble = self.explain(error)
            self._stand_in(error)
            _log.error("%s", self.trouble)

    def _attach(self) -> None:
        """Open the file for writing; one that is damaged is moved aside first, and a new one made.

        Raises sqlite3.DatabaseError and OutboxError; what was open before is then open still.
        """
        try:
            if self._damage is not None:
                self._move_aside(self._damage)
            self._connect()
        except sqlite3.DatabaseError as error:
            if primary_code(error) not in DAMAGED:
                raise
            self._move_aside(self.explain(error))
            self._connect()

    def _connect(self) -> None:
        before = self._db
        if os.path.exists(self._path) and not os.path.isfile(self._path):  # noqa: PTH110, PTH113
            raise sqlite3.DatabaseError("it is no file")
        try:
            self._db = sqlite3.connect(self._path, timeout=2, isolation_level=None)
            self._open()
        except UnicodeDecodeError as error:
            self._db.close()
            self._db = before
            raise sqlite3.DatabaseError(f"text that is none: {error}") from error
        except (sqlite3.Error, OutboxError):
            if self._db is not before:
                self._db.close()
            self._db = before
            raise
        before.close()

    def _open(self) -> None:
        run = self._db.execute
        # One owner: a second process finds it locked. Also spares the shared-memory file.
        run("PRAGMA locking_mode = EXCLUSIVE")
        is_new = self._number("SELECT count(*) FROM sqlite_schema") == 0
        version = _VERSION if is_new else self._version()
        if is_new:
            run("PRAGMA auto_vacuum = INCREMENTAL")
        run("PRAGMA journal_mode = WAL")
        run("PRAGMA synchronous = FULL")
        run(f"PRAGMA wal_autocheckpoint = {_WAL_PAGES}")
        self._page_bytes = self._number("PRAGMA page_size")
        wal_bytes = 2 * _WAL_PAGES * self._page_bytes
        run(f"PRAGMA journal_size_limit = {wal_bytes}")
        self._pages_max = (self._size_bytes_max - wal_bytes) // self._page_bytes
        # The cap that SQLite itself holds; ours comes first, by the room one commit may need.
        run(f"PRAGMA max_page_count = {self._pages_max}")
        self._pages_high = self._pages_max - 2 * _COMMIT_BYTES_MAX // self._page_bytes
        self._chunk_bytes = min(self._size_bytes_max // 20, 1_000_000)
        if is_new:
            self._make()
        elif version < _VERSION:  # else nothing is written: a full disk opens all the same
            run("BEGIN IMMEDIATE")
            for old in range(version, _VERSION):
                run(_MIGRATIONS[old])
            run(f"PRAGMA user_version = {_VERSION}")
            run("COMMIT")
        self._read_head()

    def _version(self) -> int:
        """The version of the open file; raises OutboxError if it is none that we may touch."""
        if self._number("PRAGMA application_id") != _APPLICATION:
            raise OutboxError(f"{self._path} is another program's database: name another file")
        version = self._number("PRAGMA user_version")
        if version > _VERSION:
            raise OutboxError(
                f"{self._path} was written by a newer Shorewatch (schema {version}, this one knows"
                f" {_VERSION}): run that version, or move the file away and lose what is in it"
            )
        if version not in (*_MIGRATIONS, _VERSION):
            raise sqlite3.DatabaseError(f"a schema {version} that never was")
        return version

    def _make(self) -> None:
        """Make a new journal in an empty file, in one transaction."""
        # What was told so far, as long as no number was.
        self.journal = self.journal if self.last == 0 else secrets.token_hex(16)
        run = self._db.execute
        run("BEGIN IMMEDIATE")
        for statement in _SCHEMA.split(";"):
            run(statement)
        run("INSERT INTO journal VALUES (1, ?, 0)", (self.journal,))
        run("COMMIT")

    def _read_head(self) -> None:
        """Read what is known of the journal; raises sqlite3.DatabaseError if that cannot be."""
        run = self._db.execute
        journal, last = run("SELECT id, last FROM journal").fetchone() or (None, None)
        if not isinstance(journal, str) or not isinstance(last, int):
            raise sqlite3.DatabaseError("no identity")
        if self._number("SELECT coalesce(max(seq), 0) FROM record") > last:
            raise sqlite3.DatabaseError("a number beyond the last")
        first = self._number("SELECT coalesce(min(seq), 0) FROM record")
        # A cursor that a disk has garbled begins anew: what is sent twice has the same number.
        cursors = {
            uplink.decode(errors="replace"): seq
            for uplink, seq in run("SELECT CAST(uplink AS BLOB), seq FROM cursor")
            if isinstance(uplink, bytes) and isinstance(seq, int) and 0 <= seq <= last
        }
        self.kept: dict[str, Facts] = self._kept()
        self._cursors, self.journal, self.first, self.last = cursors, journal, first, last

    def _stand_in(self, trouble: Exception) -> None:
        """Open the file for reading, or, if it is damaged or not ours, an empty one in memory."""
        is_world = isinstance(trouble, sqlite3.Error) and primary_code(trouble) not in DAMAGED
        if is_world and self._path.is_file():
            before = self._db
            # What a crash left in the write-ahead log is not seen: reading it needs a lock, and a
            # lock needs a file that can be written.
            uri = f"{self._path.absolute().as_uri()}?mode=ro&immutable=1"
            try:
                self._db = sqlite3.connect(uri, uri=True, isolation_level=None)
                self._version()
                self._read_head()
            except (sqlite3.Error, UnicodeDecodeError, OutboxError):
                self._db.close()
                self._db = before
            else:
                before.close()
                return
        self._make()
        self._read_head()

    def _move_aside(self, why: str) -> None:
        """Take the file away; raises OutboxError if that cannot be."""
        try:
            aside = move_aside(self._path, utc_now())
        except OSError as error:
            text = f"{why} It cannot be moved aside ({error.strerror}): move it away."
            raise OutboxError(text) from error
        self._damage = None
        self._moved = f"{why} It was moved to {aside.name}, and what it had is not sent"
        _log.error("%s", self._moved)

    def _suffer(self, error: sqlite3.Error) -> None:
        """What is found damaged at work is moved aside by the next commit."""
        if primary_code(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            self._damage = self.trouble = self.explain(error)

    def cursor(self, uplink: str) -> int:
        """The cursor as last committed (no I/O)."""
        return self._cursors.get(uplink, 0)

    def _kept(self) -> dict[str, Facts]:
        """What was kept; an entry that a disk has garbled is left out."""
        found: dict[str, Facts] = {}
        rows = self._db.execute("SELECT CAST(name AS BLOB), CAST(facts AS BLOB) FROM kept")
        for name, text in rows:
            with suppress(ValueError, TypeError, RecursionError):
                facts = json.loads(text)
                if isinstance(facts, dict):
                    found[name.decode()] = facts
        return found

    def commit(
        self,
        batch: Sequence[_Entry],
        cursors: Mapping[str, int],
        dropped: Mapping[str, _Dropped],
        uplinks: frozenset[str],
    ) -> _Done:
        """Number and write a batch, move cursors, evict if need be: all or nothing."""
        if self.trouble is not None:
            self._attach()
            self.trouble = None
        run = self._db.execute
        last = self.last
        # A cursor of another journal, that of a file that was moved aside, says nothing here.
        cursors = {up: seq for up, seq in cursors.items() if self.cursor(up) < seq <= last}
        try:
            run("BEGIN IMMEDIATE")
            run_many = self._db.executemany
            run_many(
                "INSERT INTO cursor VALUES (?, ?) ON CONFLICT DO UPDATE SET seq = excluded.seq",
                cursors.items(),
            )
            run_many(
                "INSERT INTO kept VALUES (?, ?) ON CONFLICT DO UPDATE SET facts = excluded.facts",
                [entry.kept for entry in batch if entry.kept is not None],
            )
            rows = [(entry.kind, entry.at_ms, entry.body) for entry in batch if entry.kind]
            losses = [count.body(what) for what, count in dropped.items() if count.count]
            losses += self._evicted(cursors, uplinks)
            if self._moved is not None:
                losses.append(_moved_body(self._moved))
            now_ms = _to_ms(utc_now())
            rows += [("loss", now_ms, json.dumps(loss)) for loss in losses]
            numbered = [(last + i, *row) for i, row in enumerate(rows, 1)]
            run_many("INSERT INTO record VALUES (?, ?, ?, ?)", numbered)
            last += len(rows)
            run("UPDATE journal SET last = ?", (last,))
            first = self._number("SELECT coalesce(min(seq), 0) FROM record")
            run("COMMIT")
        except sqlite3.Error as error:
            if self._db.in_transaction:
                with suppress(sqlite3.Error):
                    run("ROLLBACK")
            self._suffer(error)
            raise
        self._moved = None
        self.first, self.last = first, last
        self._cursors.update(cursors)
        self._shrink()
        return _Done(len(rows), self.journal, first, last)

    def read(self, after: int, count: int) -> list[Record]:
        try:
            return self._read(after, count)
        except sqlite3.DatabaseError as error:
            self._suffer(error)
            raise

    def _read(self, after: int, count: int) -> list[Record]:
        rows = self._db.execute(
            "SELECT seq, CAST(kind AS BLOB), at_ms, coalesce(CAST(body AS BLOB), x'')"
            " FROM record WHERE seq > ? ORDER BY seq LIMIT ?",
            (after, count),
        )
        records: list[Record] = []
        size = 0
        for seq, kind, at_ms, body in rows:
            size += len(body)
            if records and size > READ_BYTES_MAX:
                break
            records.append(_record(seq, kind, at_ms, body))
        rows.close()
        return records

    def kept_between(self, first: int, last: int) -> tuple[int, int, int]:
        found = self._db.execute(
            "SELECT coalesce(min(seq), 0), coalesce(max(seq), 0), count(*) FROM record"
            " WHERE seq BETWEEN ? AND ?",
            (first, last),
        ).fetchone()
        return int(found[0]), int(found[1]), int(found[2])

    def explain(self, error: sqlite3.Error | OutboxError) -> str:
        """One sentence on what is wrong, with what to do."""
        return (
            explained("outbox", self._path, error)
            if isinstance(error, sqlite3.Error)
            else str(error)
        )

    def close(self) -> None:
        self._db.close()

    def _evicted(
        self, cursors: Mapping[str, int], uplinks: frozenset[str]
    ) -> list[dict[str, object]]:
        """Make room if the file is near its cap; the loss bodies for what was not acknowledged."""
        known = {uplink: max(self.cursor(uplink), cursors.get(uplink, 0)) for uplink in uplinks}
        acked = min(known.values(), default=self.last)
        losses: dict[tuple[str, str], _Loss] = {}
        while self._used_pages() > self._pages_high and self._evict_chunk(acked, known, losses):
            pass
        return [
            {
                "uplink": uplink, "what": what, "from": loss.first, "to": loss.last,
                "count": loss.count, "why": "the outbox reached its size limit",
            }
            for (uplink, what), loss in losses.items()
        ]  # fmt: skip

    def _evict_chunk(
        self, acked: int, known: Mapping[str, int], losses: dict[tuple[str, str], _Loss]
    ) -> bool:
        """Delete the oldest of the most dispensable class; False when nothing is left."""
        classes = (
            ("record", "seq <= ?", (acked,)),
            ("sample", "kind = 'sample'", ()),
            ("record", "true", ()),
        )
        for what, condition, values in classes:
            rows = self._db.execute(
                f"SELECT seq, coalesce(length(body), 0), CASE kind WHEN 'loss' THEN"
                f" coalesce(CAST(body AS BLOB), x'') END FROM record WHERE {condition}"
                f" ORDER BY seq",
                values,
            )
            taken: list[tuple[int, bytes | None]] = []
            size = 0
            for seq, length, body in rows:
                taken.append((seq, body))
                size += length + _ROW_BYTES
                if size >= self._chunk_bytes:
                    break
            rows.close()
            if not taken:
                continue
            self._db.execute(
                f"DELETE FROM record WHERE seq BETWEEN ? AND ? AND {condition}",
                (taken[0][0], taken[-1][0], *values),
            )
            for uplink, cursor in known.items():
                _account(losses, uplink, what, [row for row in taken if row[0] > cursor])
            return True
        return False

    def _shrink(self) -> None:
        """Give pages back to a file system when the cap was lowered below the file."""
        if self._number("PRAGMA page_count") > self._pages_max:
            # The batch is committed: what fails here is tried again after the next one.
            with suppress(sqlite3.OperationalError):
                self._db.executescript("PRAGMA incremental_vacuum(1024)")

    def _used_pages(self) -> int:
        return self._number("PRAGMA page_count") - self._number("PRAGMA freelist_count")

    def _number(self, query: str) -> int:
        return int(self._db.execute(query).fetchone()[0])


def _moved_body(why: str) -> dict[str, object]:
    return {
        "uplink": None, "what": "record", "from": None, "to": None, "count": None,
        "from_at": None, "to_at": to_text(utc_now()), "why": why,
    }  # fmt: skip


def _account(
    losses: dict[tuple[str, str], _Loss],
    uplink: str,
    what: str,
    lost: Sequence[tuple[int, bytes | None]],
) -> None:
    """Add lost rows (seq, body of loss records) to the losses of `uplink`."""
    if not lost:
        return
    loss = losses.setdefault((uplink, what), _Loss(lost[0][0], lost[-1][0]))
    loss.add(lost[0][0], lost[-1][0], len(lost))
    for seq, body in lost:
        if body is None:
            continue
        old = _record(seq, b"loss", 0, body).body
        first, last, count = old.get("from"), old.get("to"), old.get("count")
        if not isinstance(count, int):
            continue
        if old.get("uplink") is None:
            loss.count += count
        elif old["uplink"] == uplink and isinstance(first, int) and isinstance(last, int):
            loss.add(first, last, count)


def _record(seq: int, kind: bytes, at_ms: int, body: bytes) -> Record:
    """A row as a record; one that a disk has damaged becomes the record of its own loss."""
    at = utc_now()
    with suppress(ValueError, TypeError, OverflowError, RecursionError):
        at = _EPOCH + timedelta(milliseconds=at_ms)
        found = json.loads(body)
        if kind.decode() in KINDS and isinstance(found, dict):
            return Record(seq, kind.decode(), at, found)
    what = "sample" if kind == b"sample" else "record"
    loss: dict[str, object] = {
        "uplink": None, "what": what, "from": seq, "to": seq, "count": 1,
        "why": "its entry in the outbox is damaged",
    }  # fmt: skip
    return Record(seq, "loss", at, loss)


def _json(body: Facts) -> str:
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _to_ms(at: datetime) -> int:
    assert at.tzinfo is not None, "times carry their zone"
    return round((at - _EPOCH) / timedelta(milliseconds=1))
