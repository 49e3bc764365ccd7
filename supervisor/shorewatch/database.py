"""What outbox.py and archive.py share: a database's error in words.

The two files stay apart: the outbox is durable and goes first, the history may be thrown away.
"""

import sqlite3
from pathlib import Path


def explained(noun: str, path: Path, error: sqlite3.Error) -> str:
    """One sentence on a database error, with what to do."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    what = {
        sqlite3.SQLITE_FULL: "cannot grow, the disk is full: free some space",
        sqlite3.SQLITE_IOERR: "meets disk errors: check the disk and its cabling",
        sqlite3.SQLITE_READONLY: "is read-only: make the file and its folder writable",
        sqlite3.SQLITE_PERM: "is not ours to write: check the owner of its folder",
        sqlite3.SQLITE_CANTOPEN: "cannot be opened: check that its folder exists",
        sqlite3.SQLITE_BUSY: "is in use by another process: stop that one",
        sqlite3.SQLITE_CORRUPT: "is damaged: stop, move it away, and start with a new one",
        sqlite3.SQLITE_NOTADB: "is no database: move it away, or name another file",
    }.get(code, "cannot be used")
    return f"The {noun} {path} {what} ({error})."
