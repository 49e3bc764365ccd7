"""A recording of one line: every byte that passed, when, and from whom, as lines of text.

    # shorewatch recording: > from the client, < from the devices
    2026-11-22T18:31:00.123456Z > 010400000040f1fa

A line of the file is what arrived or left at once, in hexadecimal; a frame may take several. Times
are the gateway's clock in UTC. The file is appended to; at half of SIZE_MAX it becomes FILE.old
(replacing the one before) and a new one begins: at most SIZE_MAX bytes stand on disk, and at least
the newest half of them is there. A file that cannot be written ends the recording, not the line.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path

from shorewatch.errors import DemoError

SIZE_MAX = 16 * 1024 * 1024
HEAD = "# shorewatch recording: > from the client, < from the devices\n"
_FORM = "%Y-%m-%dT%H:%M:%S.%fZ"

_log = logging.getLogger(__name__)


class Direction(Enum):
    """Whose bytes they are."""

    FROM_CLIENT = ">"
    FROM_DEVICES = "<"


@dataclass(frozen=True, slots=True)
class Entry:
    """Bytes that passed together."""

    at: datetime
    direction: Direction
    data: bytes


class Recorder:
    """Writes one recording; `note` what passes."""

    def __init__(self, path: Path, size_max: int = SIZE_MAX) -> None:
        """Raises OSError if the file cannot be opened for writing."""
        self._path = path
        self._size_max = size_max
        # Unbuffered: what was noted is there, whenever the process is killed.
        self._file = path.open("ab", buffering=0)
        self._is_over = False
        if self._file.tell() == 0:
            self._file.write(HEAD.encode())

    def note(self, direction: Direction, data: bytes, utc_s: float) -> None:
        """Write down what passed; nothing for no bytes."""
        if not data or self._is_over:
            return
        try:
            self._write(encode(Entry(datetime.fromtimestamp(utc_s, UTC), direction, data)))
        except OSError as error:
            self._is_over = True
            _log.error("%s: recording ends: %s", self._path, error.strerror)

    def close(self) -> None:
        """End the recording."""
        self._file.close()

    def _write(self, line: str) -> None:
        if self._file.tell() + len(line) > self._size_max // 2:
            self._path.replace(old(self._path))
            self._file.close()
            self._file = self._path.open("ab", buffering=0)
            self._file.write(HEAD.encode())
        self._file.write(line.encode())


@contextmanager
def recording(folder: Path, name: str) -> Iterator[Recorder]:
    """A recorder into `folder`/`name`.wire; raises DemoError if it cannot be written there."""
    path = folder / f"{name}.wire"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        recorder = Recorder(path)
    except OSError as error:
        text = f"{path}: {error.strerror}; choose another folder with --record"
        raise DemoError(text) from error
    try:
        yield recorder
    finally:
        recorder.close()


def old(path: Path) -> Path:
    """Where the older half of a recording stands."""
    return path.with_name(path.name + ".old")


def encode(entry: Entry) -> str:
    """One line of a recording."""
    return f"{entry.at.strftime(_FORM)} {entry.direction.value} {entry.data.hex()}\n"


def parse(text: str) -> list[Entry]:
    """The entries of a recording's text; raises ValueError for a line that is none.

    An unfinished last line (the process was killed) and lines that begin with # are passed over.
    """
    found = []
    for line in text[: text.rfind("\n") + 1].splitlines():
        if not line.startswith("#"):
            at, direction, data = line.split(" ")
            moment = datetime.strptime(at, _FORM).replace(tzinfo=UTC)
            found.append(Entry(moment, Direction(direction), bytes.fromhex(data)))
    return found


def read_recording(path: Path) -> list[Entry]:
    """All that is there of a recording, its older half first."""
    parts = [part for part in (old(path), path) if part.exists()]
    return [entry for part in parts for entry in parse(part.read_text("ascii"))]
