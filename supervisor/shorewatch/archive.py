"""The file of the history: chunks of changes and minutes in SQLite. Synchronous; no clock.

    series    one a point: its number, from when on its changes are kept, until when minutes exist
    session   one a run of the gateway, with the last moment at which it was known to be alive:
              outside all sessions nothing was recorded, however long a value may have held
    tail      changes as they came, a row a commit: what a crash must not lose
    raw       chunks of changes (pack.py), one point each; with the last of an hour the tail goes
    minute    an hour of minutes of one point

Each hour's first chunk of a point begins with what held then, so nobody has to search further back.
When the wall clock was set back, a later session overrules an earlier one from its beginning on.

One connection writes and one reads, each in a thread of its own: WAL keeps them out of each other's
way. Limits: file and write-ahead log stay within `size_bytes_max`; over it the oldest hours go.
The log keeps its size on disk, so that there is room to delete on a full disk.
"""

import json
import sqlite3
import zlib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from shorewatch.errors import HistoryError
from shorewatch.pack import (
    DamagedError,
    pack_changes,
    pack_minutes,
    unpack_changes,
    unpack_minutes,
)
from shorewatch.trend import (
    HOUR_MS,
    MINUTE_MS,
    NOT_RECORDED,
    Change,
    Span,
    folded,
    gap,
    to_spans,
)

_VERSION = 1
_APPLICATION = 0x53576869
_WAL_PAGES = 128
# Room for what one commit may add.
_SPARE_BYTES = 500_000
_NEVER_MS = -(2**62)
_SCHEMA = f"""
    CREATE TABLE series (id INTEGER PRIMARY KEY, name TEXT UNIQUE NOT NULL,
                         raw_ms INTEGER NOT NULL, rolled_ms INTEGER);
    CREATE TABLE session (id INTEGER PRIMARY KEY, from_ms INTEGER NOT NULL, to_ms INTEGER NOT NULL);
    CREATE TABLE tail (id INTEGER PRIMARY KEY, data BLOB NOT NULL);
    CREATE TABLE raw (id INTEGER PRIMARY KEY, series INTEGER NOT NULL, session INTEGER NOT NULL,
                      from_ms INTEGER NOT NULL, to_ms INTEGER NOT NULL, data BLOB NOT NULL);
    CREATE INDEX raw_series ON raw (series, from_ms);
    CREATE INDEX raw_time ON raw (from_ms);
    CREATE TABLE minute (id INTEGER PRIMARY KEY, series INTEGER NOT NULL, hour_ms INTEGER NOT NULL,
                         data BLOB NOT NULL, UNIQUE (series, hour_ms));
    CREATE INDEX minute_time ON minute (hour_ms);
    PRAGMA application_id = {_APPLICATION};
    PRAGMA user_version = {_VERSION};
"""

Changes = Mapping[str, Sequence[Change]]


@dataclass(frozen=True, slots=True)
class Live:
    """What only memory has: the session that runs, and changes that stand in no chunk yet."""

    session: int
    from_ms: int
    to_ms: int
    changes: Sequence[Change]


class Archive:
    """The file, open for writing."""

    def __init__(self, path: Path, size_bytes_max: int) -> None:
        """Open or make it, and put in order what a crash left behind.

        Raises HistoryError (foreign, newer) and sqlite3.Error.
        """
        self._path = path
        self._db = sqlite3.connect(path, timeout=2, isolation_level=None, check_same_thread=False)
        try:
            self._open(size_bytes_max)
        except (sqlite3.Error, HistoryError):
            self._db.close()
            raise

    def _open(self, size_bytes_max: int) -> None:
        run = self._db.execute
        version = self._number("PRAGMA user_version")
        is_new = self._number("SELECT count(*) FROM sqlite_schema") == 0
        if not is_new and self._number("PRAGMA application_id") != _APPLICATION:
            raise HistoryError(f"{self._path} is another program's database")
        if version > _VERSION:
            raise HistoryError(
                f"{self._path} was written by a newer Shorewatch (schema {version}, this one knows"
                f" {_VERSION})"
            )
        if is_new:
            run("PRAGMA auto_vacuum = INCREMENTAL")
        run("PRAGMA journal_mode = WAL")
        run("PRAGMA synchronous = FULL")
        run(f"PRAGMA wal_autocheckpoint = {_WAL_PAGES}")
        page_bytes = self._number("PRAGMA page_size")
        wal_bytes = 2 * _WAL_PAGES * page_bytes
        run(f"PRAGMA journal_size_limit = {wal_bytes}")
        self._pages_max = (size_bytes_max - wal_bytes) // page_bytes
        run(f"PRAGMA max_page_count = {self._pages_max}")
        self._pages_high = self._pages_max - _SPARE_BYTES // page_bytes
        self._page_bytes = page_bytes
        if is_new:
            with self._transaction():
                for statement in _SCHEMA.split(";"):
                    run(statement)
        rows = run("SELECT name, id FROM series").fetchall()
        self._ids: dict[str, int] = {str(name): int(id_) for name, id_ in rows}
        last = run("SELECT max(id) FROM session").fetchone()[0]
        self._session: int | None = None
        with self._transaction():
            if last is not None:
                self._seal_tail(int(last))
            run("DELETE FROM tail")

    def begin(self, from_ms: int) -> int:
        """Begin a session; minutes made of times after `from_ms` are to be made again."""
        with self._transaction():
            found = self._db.execute(
                "INSERT INTO session (from_ms, to_ms) VALUES (?, ?)", (from_ms, from_ms)
            )
            hour_ms = from_ms // HOUR_MS * HOUR_MS
            self._db.execute(
                "UPDATE series SET rolled_ms = min(rolled_ms, ?), raw_ms = min(raw_ms, ?)",
                (hour_ms, hour_ms),
            )
        assert found.lastrowid is not None, "an insert has a row"
        self._session = found.lastrowid
        return self._session

    def register(self, series: Mapping[str, bool]) -> bool:
        """Make known which points there are, and of which of them minutes are made."""
        with self._transaction():
            for name, is_rolled in series.items():
                rolled_ms = _NEVER_MS if is_rolled else None
                self._db.execute(
                    "INSERT INTO series (name, raw_ms, rolled_ms) VALUES (?, ?, ?)"
                    " ON CONFLICT (name) DO UPDATE SET rolled_ms ="
                    " iif(excluded.rolled_ms IS NULL, NULL, coalesce(rolled_ms, raw_ms))",
                    (name, _NEVER_MS, rolled_ms),
                )
        rows = self._db.execute("SELECT name, id FROM series").fetchall()
        self._ids = {str(name): int(id_) for name, id_ in rows}
        return True

    def commit(self, alive_ms: int, changes: Changes, chunks: Changes, *, is_whole: bool) -> int:
        """Write down `changes`, and `chunks` of what was written down before: all or nothing.

        The session was alive until `alive_ms`. `is_whole` says that the chunks leave nothing out
        that was written down, so that the tail can go. Returns the bytes in use.
        """
        assert self._session is not None, "begin a session first"
        with self._transaction():
            self._make_room()
            if is_whole:
                self._db.execute("DELETE FROM tail")
            elif changes:
                rows = [
                    (self._ids[name], *change)
                    for name, some in changes.items()
                    if name in self._ids
                    for change in some
                ]
                data = zlib.compress(json.dumps(rows, separators=(",", ":")).encode(), 1)
                self._db.execute("INSERT INTO tail (data) VALUES (?)", (data,))
            for name, some in chunks.items():
                if name in self._ids:  # else the point went before this file began
                    self._add_chunk(self._ids[name], self._session, some)
            self._db.execute(
                "UPDATE session SET to_ms = max(to_ms, ?) WHERE id = ?", (alive_ms, self._session)
            )
        return self._used_pages() * self._page_bytes

    def roll(self, until_ms: int) -> bool:
        """Make the minutes of one hour of one point, an hour that ended by `until_ms`.

        False if there is nothing to do. A chunk that a disk has garbled counts as not recorded.
        """
        row = self._db.execute(
            "SELECT series.id, min(raw.from_ms) FROM series JOIN raw ON raw.series = series.id"
            " AND raw.from_ms >= series.rolled_ms WHERE series.rolled_ms IS NOT NULL"
            " AND raw.from_ms < ? GROUP BY series.id LIMIT 1",
            (until_ms // HOUR_MS * HOUR_MS,),
        ).fetchone()
        if row is None:
            return False
        series, hour_ms = row[0], row[1] // HOUR_MS * HOUR_MS
        spans = _read_raw(self._db, series, hour_ms, hour_ms + HOUR_MS, None)
        data = pack_minutes(folded(spans, MINUTE_MS))
        with self._transaction():
            self._make_room()
            self._db.execute(
                "INSERT OR REPLACE INTO minute (series, hour_ms, data) VALUES (?, ?, ?)",
                (series, hour_ms, data),
            )
            self._db.execute(
                "UPDATE series SET rolled_ms = ? WHERE id = ?", (hour_ms + HOUR_MS, series)
            )
        return True

    def purge(self, raw_ms: int, oldest_ms: int) -> bool:
        """Delete changes before `raw_ms` that minutes were made of, and all before `oldest_ms`."""
        raw_ms, oldest_ms = raw_ms // HOUR_MS * HOUR_MS, oldest_ms // HOUR_MS * HOUR_MS
        run = self._db.execute
        rows = run("SELECT id, rolled_ms FROM series").fetchall()
        for series, rolled_ms in rows:
            before_ms = oldest_ms if rolled_ms is None else max(oldest_ms, min(raw_ms, rolled_ms))
            with self._transaction():
                run("DELETE FROM raw WHERE series = ? AND from_ms < ?", (series, before_ms))
                run(
                    "UPDATE series SET raw_ms = max(raw_ms, ?) WHERE id = ?",
                    (before_ms, series),
                )
        with self._transaction():
            run("DELETE FROM minute WHERE hour_ms < ?", (oldest_ms,))
            run("DELETE FROM session WHERE to_ms < ? AND id IS NOT ?", (oldest_ms, self._session))
        if self._number("PRAGMA page_count") > self._pages_max:
            self._db.executescript("PRAGMA incremental_vacuum(1024)")
        return True

    def shrink(self, count_bytes: int) -> bool:
        """Delete the oldest and give about that many bytes back to the disk; False: none left."""
        pages = -(-count_bytes // self._page_bytes)
        with self._transaction():
            target = self._used_pages() - pages
            is_some = self._evict_hour()
            while is_some and self._used_pages() > target and self._evict_hour():
                pass
        self._db.executescript(f"PRAGMA incremental_vacuum({pages})")
        self._db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        return is_some or self._number("PRAGMA freelist_count") > 0

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def _transaction(self) -> "_Transaction":
        return _Transaction(self._db)

    def _add_chunk(self, series: int, session: int, changes: Sequence[Change]) -> None:
        """One row for each hour the changes are of, so that hours can be deleted whole."""
        for _, group in groupby(changes, key=lambda change: change.at_ms // HOUR_MS):
            some = list(group)
            self._db.execute(
                "INSERT INTO raw (series, session, from_ms, to_ms, data) VALUES (?, ?, ?, ?, ?)",
                (series, session, some[0].at_ms, some[-1].at_ms, pack_changes(some)),
            )

    def _seal_tail(self, session: int) -> None:
        """Make chunks of what was written down but stands in none."""
        found: dict[int, list[Change]] = {}
        for (data,) in self._db.execute("SELECT data FROM tail ORDER BY id").fetchall():
            with suppress(zlib.error, ValueError, TypeError):
                for series, at_ms, state, value in json.loads(zlib.decompress(data)):
                    found.setdefault(int(series), []).append(Change(int(at_ms), int(state), value))
        for series, changes in found.items():
            sealed_ms = self._db.execute(
                "SELECT coalesce(max(to_ms), ?) FROM raw WHERE series = ? AND session = ?",
                (_NEVER_MS, series, session),
            ).fetchone()[0]
            rest = [change for change in changes if change.at_ms > sealed_ms]
            if rest:
                self._add_chunk(series, session, rest)

    def _make_room(self) -> None:
        if self._used_pages() <= self._pages_high:
            return
        target = self._pages_high - self._pages_high // 50
        while self._used_pages() > target and self._evict_hour():
            pass

    def _evict_hour(self) -> bool:
        """Delete the oldest hour; of changes first where these take more than half."""
        run = self._db.execute
        raw_ms = run("SELECT min(from_ms) FROM raw").fetchone()[0]
        minute_ms = run("SELECT min(hour_ms) FROM minute").fetchone()[0]
        if raw_ms is None and minute_ms is None:
            return False
        raw_bytes, minute_bytes = (
            self._number(f"SELECT coalesce(sum(length(data)), 0) FROM {table}")
            for table in ("raw", "minute")
        )
        if minute_ms is None or (raw_ms is not None and raw_bytes > minute_bytes):
            end_ms = raw_ms // HOUR_MS * HOUR_MS + HOUR_MS
            run("DELETE FROM raw WHERE from_ms < ?", (end_ms,))
            run(
                "UPDATE series SET raw_ms = max(raw_ms, ?), rolled_ms = max(rolled_ms, ?)",
                (end_ms, end_ms),
            )
        else:
            run("DELETE FROM minute WHERE hour_ms = ?", (minute_ms,))
        return True

    def _used_pages(self) -> int:
        return self._number("PRAGMA page_count") - self._number("PRAGMA freelist_count")

    def _number(self, query: str) -> int:
        return int(self._db.execute(query).fetchone()[0])


class Reader:
    """The file, open for reading."""

    def __init__(self, path: Path) -> None:
        uri = f"{path.absolute().as_uri()}?mode=ro"
        self._db = sqlite3.connect(
            uri, uri=True, timeout=2, isolation_level=None, check_same_thread=False
        )

    def read(
        self, name: str, from_ms: int, to_ms: int, live: Live, *, is_coarse: bool = False
    ) -> list[Span]:
        """What a point did, without a hole: changes where they are kept, else minutes.

        `is_coarse`: minutes wherever there are any.
        """
        run = self._db.execute
        run("BEGIN")
        try:
            row = run(
                "SELECT id, raw_ms, coalesce(rolled_ms, ?) FROM series WHERE name = ?",
                (_NEVER_MS, name),
            ).fetchone()
            series, raw_ms, rolled_ms = row or (0, _NEVER_MS, _NEVER_MS)
            edge_ms = min(max(from_ms, rolled_ms if is_coarse else raw_ms), to_ms)
            spans = _read_minutes(self._db, series, from_ms, edge_ms)
            return spans + _read_raw(self._db, series, edge_ms, to_ms, live)
        finally:
            run("COMMIT")

    def oldest_ms(self) -> int | None:
        """The oldest time of which there is anything."""
        found = [
            self._db.execute(query).fetchone()[0]
            for query in ("SELECT min(from_ms) FROM raw", "SELECT min(hour_ms) FROM minute")
        ]
        return min((ms for ms in found if ms is not None), default=None)

    def close(self) -> None:
        """Close the file."""
        self._db.close()


class _Transaction:
    """All that is written in the `with` block, or nothing of it."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def __enter__(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            try:
                self._db.execute("COMMIT")
            except sqlite3.Error:
                self._roll_back()
                raise
        else:
            self._roll_back()

    def _roll_back(self) -> None:
        if self._db.in_transaction:
            with suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")


def _read_minutes(db: sqlite3.Connection, series: int, from_ms: int, to_ms: int) -> list[Span]:
    """The kept minutes of whole hours; what is missing is not recorded. Minutes are not cut."""
    if from_ms >= to_ms:
        return []
    found: list[Span] = []
    at_ms = from_ms
    query = (
        "SELECT CAST(data AS BLOB) FROM minute WHERE series = ? AND hour_ms > ? AND hour_ms < ?"
        " ORDER BY hour_ms"
    )
    with closing(db.execute(query, (series, from_ms - HOUR_MS, to_ms))) as rows:
        for (data,) in rows:
            with suppress(DamagedError):
                for span in unpack_minutes(data):
                    if span.to_ms <= at_ms or span.from_ms >= to_ms:
                        continue
                    if span.from_ms > at_ms:
                        found.append(gap(at_ms, span.from_ms))
                    found.append(span)
                    at_ms = span.to_ms
    if at_ms < to_ms:
        found.append(gap(at_ms, to_ms))
    return found


def _read_raw(
    db: sqlite3.Connection, series: int, from_ms: int, to_ms: int, live: Live | None
) -> list[Span]:
    """The spans between the kept changes, session by session."""
    found: list[Span] = []
    at_ms = from_ms
    for session, begin_ms, end_ms in _visible(_sessions(db, from_ms, live), from_ms, to_ms):
        if begin_ms > at_ms:
            found.append(gap(at_ms, begin_ms))
        changes = _changes(db, series, session, begin_ms, end_ms)
        if live is not None and session == live.session:
            changes += _after(changes, live.changes)
        found += to_spans(changes, begin_ms, end_ms)
        at_ms = end_ms
    if at_ms < to_ms:
        found.append(gap(at_ms, to_ms))
    return found


def _sessions(
    db: sqlite3.Connection, from_ms: int, live: Live | None
) -> Iterable[tuple[int, int, int]]:
    query = "SELECT id, from_ms, to_ms FROM session WHERE to_ms > ? ORDER BY id"
    rows: list[tuple[int, int, int]] = db.execute(query, (from_ms,)).fetchall()
    if live is None:
        return rows
    others = [row for row in rows if row[0] != live.session]
    return [*others, (live.session, live.from_ms, live.to_ms)]


def _visible(
    sessions: Iterable[tuple[int, int, int]], from_ms: int, to_ms: int
) -> list[tuple[int, int, int]]:
    """The part of each session that no later one overrules, in order of time."""
    found: list[tuple[int, int, int]] = []
    for session, begin_ms, end_ms in reversed(list(sessions)):
        begin, end = max(begin_ms, from_ms), min(end_ms, to_ms)
        if begin < end:
            found.append((session, begin, end))
        to_ms = min(to_ms, begin_ms)
    return found[::-1]


def _changes(
    db: sqlite3.Connection, series: int, session: int, from_ms: int, to_ms: int
) -> list[Change]:
    """The session's changes in from-to, with what held at `from_ms`; garbled chunks are a gap."""
    found: list[Change] = []
    query = (
        "SELECT CAST(from_ms AS INTEGER), CAST(data AS BLOB) FROM raw"
        " WHERE series = ? AND session = ? AND from_ms >= ? AND from_ms < ? ORDER BY from_ms"
    )
    hour_ms = from_ms // HOUR_MS * HOUR_MS
    with closing(db.execute(query, (series, session, hour_ms, to_ms))) as rows:
        for begin_ms, data in rows:
            try:
                changes = unpack_changes(data)
            except DamagedError:
                changes = [Change(begin_ms, NOT_RECORDED, None)]
            found += _after(found, changes)
    return found


def _after(found: Sequence[Change], more: Sequence[Change]) -> list[Change]:
    """Those of `more` that are later than what was found; what was written twice counts once."""
    last_ms = found[-1].at_ms if found else _NEVER_MS
    return [change for change in more if change.at_ms > last_ms]
