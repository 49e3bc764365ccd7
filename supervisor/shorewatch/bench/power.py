"""What a power cut leaves of files: a model of a disk that is told each step; pure but for folders.

A step creates, writes, truncates, syncs or deletes a file. What was synced is there after a cut; of
what was written since, each sector of 512 bytes is there or not, as chance wants, and so is each
change of length, each new file and each deletion that no sync had made sure of.

A step on a pipe: head, name, data.

    do 1 byte · is_sure 1 · length of the name 2 · at 8 · length of the data 4, little-endian

Limits: a disk holds its files in memory; it is for files of some megabytes.
"""

import random
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

SECTOR_BYTES: Final = 512
HEAD: Final = struct.Struct("<cBHQI")
# With the first sync of such a new file SQLite syncs the folder too, with all that changed in it.
_FOLDER_TOO: Final = ("-wal", "-journal")
_WORDS: Final = ("create", "write", "truncate", "sync", "delete")
_CODES: Final = {word[0].encode(): word for word in _WORDS}


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happened to a file: create, write, truncate, sync or delete."""

    do: str
    name: str
    at: int = 0
    data: bytes = b""
    is_sure: bool = False

    def encoded(self) -> bytes:
        """As it stands on a pipe."""
        name = self.name.encode()
        head = HEAD.pack(self.do[0].encode(), self.is_sure, len(name), self.at, len(self.data))
        return head + name + self.data


def sizes(head: bytes) -> tuple[int, int]:
    """How many bytes of name and data follow a head."""
    _, _, name, _, data = HEAD.unpack(head)
    return int(name), int(data)


def parsed(head: bytes, name: bytes, data: bytes) -> Step:
    """The step of these bytes."""
    code, is_sure, _, at, _ = HEAD.unpack(head)
    return Step(_CODES[code], name.decode(), at, data, bool(is_sure))


@dataclass(slots=True)
class _File:
    """What a cut cannot take of a file, and what it may."""

    sure: bytearray = field(default_factory=bytearray)
    loose: list[Step] = field(default_factory=list)
    is_sure: bool = False

    def sync(self) -> None:
        for step in self.loose:
            _do(self.sure, step)
        self.loose.clear()
        self.is_sure = True

    def whole(self) -> bytes:
        """What is read of it while the power is on."""
        found = bytearray(self.sure)
        for step in self.loose:
            _do(found, step)
        return bytes(found)

    def left(self, chance: random.Random) -> bytes:
        """What a cut leaves of it."""
        found = bytearray(self.sure)
        for step in self.loose:
            if step.do == "truncate":
                if chance.random() < 0.5:
                    _do(found, step)
                continue
            for piece in _sectors(step):
                if chance.random() < 0.5:
                    _do(found, piece)
        return bytes(found)


class Disk:
    """The files of one folder."""

    def __init__(self, steps: Iterable[Step] = ()) -> None:
        self._files: dict[str, _File] = {}
        self._gone: dict[str, _File] = {}
        for step in steps:
            self.take(step)

    def take(self, step: Step) -> None:
        """A step was made."""
        if step.do == "create":
            self._files.setdefault(step.name, _File())
        elif step.do == "sync":
            if not self._files[step.name].is_sure and step.name.endswith(_FOLDER_TOO):
                self._gone.clear()
                for file in self._files.values():
                    file.is_sure = True
            self._files[step.name].sync()
        elif step.do == "delete":
            gone = self._files.pop(step.name, None)
            if gone is not None and not step.is_sure:
                self._gone[step.name] = gone
        else:
            self._files[step.name].loose.append(step)

    def see(self, found: Mapping[str, bytes]) -> None:
        """The files as they are: what differs was done by a step that nobody could tell of."""
        for name in self._files.keys() - found.keys():
            self.take(Step("delete", name))
        for name, data in found.items():
            self.take(Step("create", name))
            if data != self._files[name].whole():
                self.take(Step("truncate", name, len(data)))
                self.take(Step("write", name, 0, data))

    def whole(self) -> dict[str, bytes]:
        """The files while the power is on."""
        return {name: file.whole() for name, file in self._files.items()}

    def left(self, chance: random.Random) -> dict[str, bytes]:
        """The files after a cut."""
        left = {
            name: file.left(chance)
            for name, file in self._files.items()
            if file.is_sure or chance.random() < 0.5
        }
        for name, file in self._gone.items():
            if name not in self._files and file.is_sure and chance.random() < 0.5:
                left[name] = file.left(chance)
        return left


def settled(files: Mapping[str, bytes]) -> Disk:
    """A disk on which these files, and all in them, are sure."""
    disk = Disk()
    disk.see(files)
    for name in files:
        disk.take(Step("sync", name))
    return disk


def load_files(folder: Path, stem: str) -> dict[str, bytes]:
    """The files of a folder whose names begin so."""
    return {path.name: path.read_bytes() for path in folder.glob(f"{stem}*") if path.is_file()}


def _do(data: bytearray, step: Step) -> None:
    if step.do == "truncate":
        del data[step.at :]
        return
    if len(data) < step.at:
        data.extend(bytes(step.at - len(data)))
    data[step.at : step.at + len(step.data)] = step.data


def _sectors(step: Step) -> Iterator[Step]:
    """A write in parts that a disk writes whole."""
    at, rest = step.at, step.data
    while rest:
        count = SECTOR_BYTES - at % SECTOR_BYTES
        yield Step("write", step.name, at, rest[:count])
        at, rest = at + count, rest[count:]
