"""A commissioning's results on disk, one line of JSON each, synced before the next is asked.

    line 1      what is commissioned: station, board, unique id, plan
    then        a line a result (commission.py), in order; a step may have several

A process that is killed at any instant loses at most what was being typed: a last line that is cut
is dropped when the file is opened again. A file of another board, station or plan is refused.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from shorewatch.errors import UsageError
from shorewatch.field.commission import Outcome, Reading, Result

SIZE_MAX = 10_000_000

Head = dict[str, str]


@dataclass
class Ledger:
    """The results so far; `add` puts one more on disk."""

    begun_at: str
    results: list[Result]
    stream: BinaryIO

    def add(self, result: Result) -> None:
        """Durable when it returns; raises UsageError if the disk does not take it."""
        _append(self.stream, result.as_row())
        self.results.append(result)


@contextmanager
def ledger(path: Path, head: Head, at: str) -> Iterator[Ledger]:
    """The results in a file, begun at `at` if there is none; raises UsageError."""
    try:
        stream = path.open("a+b")
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}; choose another file") from error
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            text = f"{path} is in use: this board is being commissioned already"
            raise UsageError(text) from error
        yield _opened(path, stream, head, at)


def _opened(path: Path, stream: BinaryIO, head: Head, at: str) -> Ledger:
    stream.seek(0)
    data = stream.read(SIZE_MAX)
    whole = data[: data.rfind(b"\n") + 1]
    lines = whole.splitlines()
    if not lines:
        stream.truncate(0)
        _append(stream, {**head, "begun_at": at})
        return Ledger(at, [], stream)
    known = _parsed(path, 1, lines[0])
    for key, value in head.items():
        if known.get(key) != value:
            text = f"{path} is of {key} {known.get(key)}, not {value}"
            raise UsageError(f"{text}; name another --record, or move this one away")
    results = [_result(path, at, _parsed(path, at, line)) for at, line in enumerate(lines[1:], 2)]
    stream.truncate(len(whole))
    return Ledger(str(known.get("begun_at")), results, stream)


def _append(stream: BinaryIO, row: dict[str, Any]) -> None:
    try:
        stream.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")
        stream.flush()
        os.fsync(stream.fileno())
    except OSError as error:
        text = f"{stream.name}: {error.strerror}; make room, then go on with the same command"
        raise UsageError(text) from error


def _parsed(path: Path, line: int, text: bytes) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise UsageError(_no_ledger(path, line)) from error
    if not isinstance(found, dict):
        raise UsageError(_no_ledger(path, line))
    return found


def _result(path: Path, line: int, row: dict[str, Any]) -> Result:
    try:
        seen = row.pop("reading")
        outcome = Outcome(row.pop("outcome"))
        return Result(outcome=outcome, reading=None if seen is None else Reading(**seen), **row)
    except (KeyError, ValueError, TypeError) as error:
        raise UsageError(_no_ledger(path, line)) from error


def _no_ledger(path: Path, line: int) -> str:
    return f"{path}:{line}: is no result of a commissioning; move the file away and begin anew"
