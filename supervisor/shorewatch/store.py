"""The outbox's file: a SQLite database that one thread opens, writes, reads and keeps small.

`outbox.py` says what it promises; here is how the file keeps it. A commit numbers a batch, moves
cursors and evicts, all or nothing. A file that cannot be written has a stand-in until it can.
"""

import json
import logging
import math
import os
import secrets
import sqlite3
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple

import orjson

from shorewatch.database import DAMAGED, explained, move_aside, primary_code
from shorewatch.disk import free_bytes
from shorewatch.errors import OutboxError
from shorewatch.eviction import Eviction
from shorewatch.model import encode, to_text, utc_now

KINDS: Final = ("sample", "event", "alarm", "loss", "audit", "note")
READ_BYTES_MAX: Final = 1_000_000
BACK_ROWS: Final = 20_000
BACK_RECORDS: Final = 500
BALLAST_BYTES: Final = 3_000_000
_VERSION = 2
_APPLICATION = 0x53576F78
COMMIT_RECORDS_MAX: Final = 1000
COMMIT_BYTES_MAX: Final = 256_000
_WAL_PAGES = 128
# Above it JSON readers round; nobody writes so many records.
_SEQ_MAX = 2**53
_BALLAST_ROOM = 4  # so many times its size must be free to make it
_THAW_ROOM = 2  # so many, to let a file grow that cannot do without
_BALLAST_TRY_S = 60.0
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
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
_COLUMNS: Final = "seq, CAST(kind AS BLOB), at_ms, coalesce(CAST(body AS BLOB), x'')"
# From each older version to the next one.
_MIGRATIONS: Final = {1: _KEPT_TABLE}
Facts = Mapping[str, object]
_log = logging.getLogger("shorewatch.outbox")


@dataclass(frozen=True, slots=True)
class Record:
    """One committed entry of the journal; `at` is UTC in whole milliseconds.

    `text` is the body as it stands in the file, None where that is no JSON object.
    """

    seq: int
    kind: str
    at: datetime
    body: Mapping[str, object]
    text: bytes | None = field(default=None, compare=False, repr=False)


class Entry(NamedTuple):
    """A record on its way: not numbered yet."""

    kind: str
    at_ms: int
    body: str
    size_bytes: int
    kept: "Kept | None" = None


class Kept(NamedTuple):
    """Facts to keep, as JSON."""

    name: str
    facts: str


class Done(NamedTuple):
    """What a commit changed."""

    written: int
    journal: str
    first: int
    last: int


@dataclass(slots=True)
class Dropped:
    """Records that found no room while the disk was sick: how many, between which times."""

    count: int = 0
    from_at: datetime | None = None
    to_at: datetime | None = None

    def add(self, at: datetime) -> None:
        self.count += 1
        self.from_at = at if self.from_at is None else min(at, self.from_at)
        self.to_at = at if self.to_at is None else max(at, self.to_at)

    def copy(self) -> "Dropped":
        return Dropped(self.count, self.from_at, self.to_at)

    def subtract(self, written: "Dropped") -> None:
        self.count -= written.count
        if self.count == 0:
            self.from_at = self.to_at = None

    def body(self, what: str) -> dict[str, object]:
        return {
            "uplink": None, "what": what, "from": None, "to": None, "count": self.count,
            "from_at": to_text(self.from_at), "to_at": to_text(self.to_at),
            "why": "the disk could not be written and the queue in memory was full",
        }  # fmt: skip


class Store:
    """The database; every method runs in the outbox's thread.

    `trouble` says why the file cannot be written. While it does, a stand-in takes the file's place:
    the file itself, read-only, or an empty one in memory. Each commit then tries the file again.
    """

    def __init__(self, path: Path, size_bytes_max: int) -> None:
        self._path, self._size_bytes_max = path, size_bytes_max
        self._ballast = path.with_name(path.name + "-ballast")
        self._ballast_s = -math.inf
        self._is_frozen = False
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
        self._pages_high = self._pages_max - 2 * COMMIT_BYTES_MAX // self._page_bytes
        self._chunk_bytes = min(self._size_bytes_max // 20, 1_000_000)
        if is_new:
            self._make()
        elif version < _VERSION:  # else nothing is written: a full disk opens all the same
            run("BEGIN IMMEDIATE")
            for old in range(version, _VERSION):
                run(_MIGRATIONS[old])
            run(f"PRAGMA user_version = {_VERSION}")
            run("COMMIT")
        self._sync()
        self._read_head()

    def _sync(self) -> None:
        """Make what is read durable: a process that was killed may have written it, not synced."""
        try:
            self._db.execute("PRAGMA wal_checkpoint").fetchall()
        except sqlite3.OperationalError as error:
            # The log is synced first; only then room is needed.
            if primary_code(error) != sqlite3.SQLITE_FULL:
                raise

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
        if not 0 <= last <= _SEQ_MAX:
            raise sqlite3.DatabaseError(f"a last number {last} that was never reached")
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
            # What a crash left in the write-ahead log is read only where nobody can write to it:
            # that needs a lock, which such a file does not give, so it is done without. A log that
            # could be written would be deleted behind its owner's back when this is closed.
            log = self._path.with_name(self._path.name + "-wal")
            is_fixed = log.is_file() and not os.access(log, os.W_OK)
            way = "vfs=unix-none" if is_fixed else "immutable=1"
            uri = f"{self._path.absolute().as_uri()}?mode=ro&{way}"
            try:
                self._db = sqlite3.connect(uri, uri=True, isolation_level=None)
                self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
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
        batch: Sequence[Entry],
        cursors: Mapping[str, int],
        dropped: Mapping[str, Dropped],
        uplinks: frozenset[str],
    ) -> Done:
        """Number and write a batch, move cursors, evict if need be: all or nothing."""
        if self.trouble is not None:
            self._attach()
            self.trouble = None
        try:
            return self._commit(batch, cursors, dropped, uplinks, is_full=False)
        except sqlite3.DatabaseError as error:
            if primary_code(error) != sqlite3.SQLITE_FULL:
                self._suffer(error)
                raise
        # A file that may not grow is as full as a disk; when nothing in it may go, only this helps.
        is_full = not self._thaw()
        if is_full:
            self._freeze()
        try:
            return self._commit(batch, cursors, dropped, uplinks, is_full=is_full)
        except sqlite3.DatabaseError as error:
            self._suffer(error)
            raise

    def _commit(
        self,
        batch: Sequence[Entry],
        cursors: Mapping[str, int],
        dropped: Mapping[str, Dropped],
        uplinks: frozenset[str],
        *,
        is_full: bool,
    ) -> Done:
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
            losses += self._evicted(cursors, uplinks, is_full=is_full)
            if self._moved is not None:
                losses.append(_moved_body(self._moved))
            now_ms = to_ms(utc_now())
            rows += [("loss", now_ms, encode(loss).decode()) for loss in losses]
            numbered = [(last + i, *row) for i, row in enumerate(rows, 1)]
            run_many("INSERT INTO record VALUES (?, ?, ?, ?)", numbered)
            last += len(rows)
            run("UPDATE journal SET last = ?", (last,))
            first = self._number("SELECT coalesce(min(seq), 0) FROM record")
            run("COMMIT")
        except sqlite3.Error:
            if self._db.in_transaction:
                with suppress(sqlite3.Error):
                    run("ROLLBACK")
            raise
        self._moved = None
        self.first, self.last = first, last
        self._cursors.update(cursors)
        self._shrink()
        self._load_ballast()
        return Done(len(rows), self.journal, first, last)

    def read(self, after: int, count: int) -> list[Record]:
        try:
            return self._read(after, count)
        except sqlite3.DatabaseError as error:
            self._suffer(error)
            raise

    def read_back(self, before: int, kinds: Collection[str]) -> tuple[list[Record], int]:
        """One step back: records of these kinds, descending, and before which to go on; 0: no more.

        It looks at `BACK_ROWS` numbers and gives `BACK_RECORDS` records at most: some ms.
        """
        low = max(before - 1 - BACK_ROWS, self.first - 1, 0)
        marks = ", ".join("?" * len(kinds))
        try:
            rows = self._db.execute(
                f"SELECT {_COLUMNS} FROM record WHERE seq > ? AND seq < ? AND kind IN ({marks})"
                " ORDER BY seq DESC LIMIT ?",
                (low, before, *kinds, BACK_RECORDS),
            ).fetchall()
        except sqlite3.DatabaseError as error:
            self._suffer(error)
            raise
        found = [_record(*row) for row in rows]
        if len(found) == BACK_RECORDS:
            return found, found[-1].seq
        return found, low + 1 if low >= self.first else 0

    def _read(self, after: int, count: int) -> list[Record]:
        rows = self._db.execute(
            f"SELECT {_COLUMNS} FROM record WHERE seq > ? ORDER BY seq LIMIT ?", (after, count)
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

    def _freeze(self) -> None:
        """Let the file grow no more, and have all in it that is in the log.

        A page that is in the log alone needs room in the file before the log can begin anew.
        """
        self._ballast.unlink(missing_ok=True)
        self._ballast_s = time.monotonic() + _BALLAST_TRY_S
        with suppress(sqlite3.OperationalError):
            self._db.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()
        pages = self._number("PRAGMA page_count")
        self._db.execute(f"PRAGMA max_page_count = {min(pages, self._pages_max)}")
        self._is_frozen = True

    def _thaw(self) -> bool:
        """Let a frozen file grow again if the disk has room, for the ballast, too."""
        if not self._is_frozen or free_bytes(self._path.parent) < _THAW_ROOM * BALLAST_BYTES:
            return False
        return self._fill_ballast()

    def _load_ballast(self) -> None:
        """Take room on the disk that is given up when there is no other; then the file may grow."""
        now_s = time.monotonic()
        if now_s < self._ballast_s or self._ballast.exists():
            return
        self._ballast_s = now_s + _BALLAST_TRY_S
        if free_bytes(self._path.parent) >= _BALLAST_ROOM * BALLAST_BYTES:
            self._fill_ballast()

    def _fill_ballast(self) -> bool:
        """Whether there was room for it; the file may then grow."""
        try:
            with self._ballast.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, BALLAST_BYTES)
        except OSError:
            return False
        self._db.execute(f"PRAGMA max_page_count = {self._pages_max}")
        self._is_frozen = False
        return True

    def _evicted(
        self, cursors: Mapping[str, int], uplinks: frozenset[str], *, is_full: bool
    ) -> list[dict[str, object]]:
        """Make room if the file is near its cap or the disk is full; what was not acknowledged.

        On a full disk only what may go: acknowledged records and samples.
        """
        known = {uplink: max(self.cursor(uplink), cursors.get(uplink, 0)) for uplink in uplinks}
        eviction = Eviction(self._db, known, self.last, self._chunk_bytes)
        while self._used_pages() > self._pages_high and eviction.take(is_sparing=False):
            pass
        if not is_full:
            return eviction.bodies("the outbox reached its size limit")
        pages = 2 * COMMIT_BYTES_MAX // self._page_bytes
        while self._number("PRAGMA freelist_count") < pages and eviction.take(is_sparing=True):
            pass
        return eviction.bodies("the disk is full")

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


def _record(seq: int, kind: bytes, at_ms: int, body: bytes) -> Record:
    """A row as a record; one that a disk has damaged becomes the record of its own loss."""
    at = utc_now()
    with suppress(ValueError, TypeError, OverflowError, RecursionError):
        at = EPOCH + timedelta(milliseconds=at_ms)
        found = orjson.loads(body)
        if kind.decode() in KINDS and isinstance(found, dict):
            return Record(seq, kind.decode(), at, found, body)
    what = "sample" if kind == b"sample" else "record"
    loss: dict[str, object] = {
        "uplink": None, "what": what, "from": seq, "to": seq, "count": 1,
        "why": "its entry in the outbox is damaged",
    }  # fmt: skip
    return Record(seq, "loss", at, loss)


def to_ms(at: datetime) -> int:
    assert at.tzinfo is not None, "times carry their zone"
    return round((at - EPOCH) / timedelta(milliseconds=1))
