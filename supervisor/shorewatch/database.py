"""What outbox.py and archive.py share: a database's error in words, a file that is moved aside.

The two files stay apart: the outbox is durable and goes first, the history may be thrown away.
"""

import asyncio
import os
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Final, TypeVar

# With SQL and keys that are right, an error in them is damage to the schema or to an index.
DAMAGED: Final = frozenset(
    {
        sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR,
        sqlite3.SQLITE_CONSTRAINT,
    }
)  # fmt: skip
ASIDE_MAX: Final = 2
_ASIDE = ".aside-"
_T = TypeVar("_T")


def explained(noun: str, path: Path, error: sqlite3.Error) -> str:
    """One sentence on a database error, with what to do."""
    what = {
        sqlite3.SQLITE_FULL: "cannot grow, the disk is full: free some space",
        sqlite3.SQLITE_IOERR: "meets disk errors: check the disk and its cabling",
        sqlite3.SQLITE_READONLY: "is read-only: make the file and its folder writable",
        sqlite3.SQLITE_PERM: "is not ours to write: check the owner of its folder",
        sqlite3.SQLITE_CANTOPEN: "cannot be opened: check that its folder exists and is writable",
        sqlite3.SQLITE_BUSY: "is in use by another process: stop that one",
        sqlite3.SQLITE_CORRUPT: "is damaged: it makes room for a new one",
        sqlite3.SQLITE_NOTADB: "is no database: it makes room for a new one",
    }.get(primary_code(error), "cannot be used")
    return f"The {noun} {path} {what} ({error})."


def primary_code(error: sqlite3.Error) -> int:
    """The primary code; an error that SQLite itself has not named is damage."""
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF


async def run_in(thread: ThreadPoolExecutor, work: Callable[[], _T]) -> _T:
    """Run `work` in a thread; of a garbled file, sqlite3 cannot always decode its own complaint."""
    try:
        return await asyncio.get_running_loop().run_in_executor(thread, work)
    except UnicodeDecodeError as error:
        raise sqlite3.DatabaseError(f"text that is none: {error}") from error


def move_aside(path: Path, at: datetime) -> Path:
    """Rename a file that is of no use, and keep the newest `ASIDE_MAX`; raises OSError."""
    aside = path.with_name(f"{path.name}{_ASIDE}{at:%Y%m%dT%H%M%S}")
    for end in ("-wal", "-shm", ""):
        with suppress(FileNotFoundError):
            path.with_name(path.name + end).rename(f"{aside}{end}")
    for old in asides(path)[:-ASIDE_MAX]:
        delete(old)
    return aside


def asides(path: Path) -> list[Path]:
    """Files moved aside, the oldest first; what was no file is nobody's to delete."""
    found = path.parent.glob(f"{path.name}{_ASIDE}*")
    return sorted(
        path
        for path in found
        if not path.name.endswith(("-wal", "-shm")) and (path.is_symlink() or path.is_file())
    )


def delete(path: Path) -> bool:
    """Delete a database with what belongs to it; False if it is still there."""
    for end in ("-wal", "-shm", ""):
        with suppress(OSError):
            path.with_name(path.name + end).unlink(missing_ok=True)
    return not os.path.lexists(path)
