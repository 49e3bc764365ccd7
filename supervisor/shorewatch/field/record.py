"""What was done to a board, for whoever comes next: a file of JSON lines, one an attempt.

Appended to and on the disk before the command ends; a bag of boards makes one file. Keys: at, by,
machine, what ("flash", "plan push"), port, result ("flashed", "already there", "failed",
"interrupted"), why, seconds, and what was found on the way: unique_id, type, micropython,
firmware_before, firmware, firmware_running, slot, files (of a slot that was written: SHA-256 of
each), role, plan_crc, plan_crc_running, ...
"""

import json
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from shorewatch.errors import UsageError
from shorewatch.model import to_text, utc_now


def check_writable(path: Path) -> None:
    """Raise UsageError before any work if the record could not be written."""
    try:
        with path.open("ab"):
            pass
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}; choose another file with --record") from error


def append(path: Path, body: Mapping[str, object]) -> None:
    """Add one line; raises UsageError."""
    line = json.dumps(body, ensure_ascii=False, sort_keys=True).encode() + b"\n"
    try:
        with path.open("a+b") as file:
            if file.tell() and not _ends_whole(file):
                line = b"\n" + line  # what a full disk has cut stays a line of its own
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}; choose another file with --record") from error


def _ends_whole(file: BinaryIO) -> bool:
    file.seek(-1, os.SEEK_END)
    return file.read(1) == b"\n"


def head(what: str, by: str, port: str | None) -> dict[str, object]:
    """How every line begins: when, who, on which machine, what, where."""
    return {
        "at": to_text(utc_now()),
        "by": by,
        "machine": platform.node(),
        "what": what,
        "port": port,
    }
