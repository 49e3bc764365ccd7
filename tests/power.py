"""A disk that remembers what was written and what was synced, so that a power cut can be played.

`watched` puts a layer under SQLite, below the very library that Python's sqlite3 uses: each write,
truncation, sync, creation and deletion of a database's files is done and noted. `Disk.cut` then
makes the files as a cut at some moment would leave them: what was synced is there; of what was
written since, each sector of 512 bytes is there or not, as chance wants, and so is each change of
length, each new file and each deletion that no sync had made sure of.

Source of the interface: SQLite's C interface, sqlite3_vfs and sqlite3_io_methods (versions 1 to 3).
"""

import _sqlite3
import ctypes
import os
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

SECTOR_BYTES = 512
# With the first sync of such a new file SQLite syncs the folder too, with all that changed in it.
_FOLDER_TOO = ("-wal", "-journal")
_WORD = ctypes.sizeof(ctypes.c_void_p)
_OK = 0
# Where in the structures, in bytes on 64-bit machines.
_VFS_BYTES = 168
_VFS_NAME, _VFS_OPEN, _VFS_DELETE = 24, 40, 48
_METHODS_BYTES = 8 + 18 * _WORD
_WRITE, _TRUNCATE, _SYNC = 8 + 2 * _WORD, 8 + 3 * _WORD, 8 + 4 * _WORD

# The path of a file is passed on as the pointer it came as: behind its end stand its options.
_Open = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p
)
_Delete = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int)
_Write = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_int64
)
_Truncate = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int64)
_Sync = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int)


@dataclass(frozen=True, slots=True)
class _Step:
    """One thing that happened to a file: create, write, truncate, sync or delete."""

    do: str
    name: str
    at: int = 0
    data: bytes = b""
    is_sure: bool = False


@dataclass(slots=True)
class _File:
    """A file as it is played again: what a cut cannot take, and what it may."""

    sure: bytearray = field(default_factory=bytearray)
    loose: list[_Step] = field(default_factory=list)
    is_sure: bool = False

    def sync(self) -> None:
        for step in self.loose:
            _do(self.sure, step)
        self.loose.clear()
        self.is_sure = True

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
    """The files below one folder, from their first step on."""

    def __init__(self) -> None:
        self._steps: list[_Step] = []
        self._known: set[str] = set()
        self._lock = threading.Lock()

    @property
    def moment(self) -> int:
        """How many steps were made so far."""
        return len(self._steps)

    def note(self, step: _Step) -> None:
        with self._lock:
            self._steps.append(step)
            if step.do in ("create", "delete"):
                (self._known.add if step.do == "create" else self._known.discard)(step.name)

    def meet(self, path: Path) -> None:
        """A file is opened; one that was there before is as it is for sure."""
        if path.name in self._known:
            return
        self.note(_Step("create", path.name))
        if path.exists():
            self.note(_Step("write", path.name, 0, path.read_bytes()))
            self.note(_Step("sync", path.name))

    def cut(self, moment: int, folder: Path, chance: random.Random) -> None:
        """Write into `folder` what is left after a power cut at `moment`."""
        files: dict[str, _File] = {}
        gone: dict[str, _File] = {}
        for step in self._steps[:moment]:
            if step.do == "create":
                files.setdefault(step.name, _File())
            elif step.do == "sync":
                if not files[step.name].is_sure and step.name.endswith(_FOLDER_TOO):
                    gone.clear()
                    for file in files.values():
                        file.is_sure = True
                files[step.name].sync()
            elif step.do == "delete":
                file = files.pop(step.name, None)
                if file is not None and not step.is_sure:
                    gone[step.name] = file
            else:
                files[step.name].loose.append(step)
        folder.mkdir(parents=True)
        for name, file in files.items():
            if file.is_sure or chance.random() < 0.5:
                (folder / name).write_bytes(file.left(chance))
        for name, file in gone.items():
            if name not in files and file.is_sure and chance.random() < 0.5:
                (folder / name).write_bytes(file.left(chance))


@contextmanager
def watched(folder: Path) -> Iterator[Disk]:
    """Note what SQLite does to files below `folder` while inside; one at a time in a process.

    Skips the test where Python's sqlite3 has a library of its own inside.
    """
    library = _library()
    disk = Disk()
    default = ctypes.c_void_p(library.sqlite3_vfs_find(None))
    layer = _Layer(disk, folder, int(default.value or 0))
    assert library.sqlite3_vfs_register(layer.vfs, 1) == _OK
    try:
        yield disk
    finally:
        library.sqlite3_vfs_unregister(layer.vfs)
        library.sqlite3_vfs_register(default, 1)


class _Layer:
    """The default layer with five of its functions wrapped. Kept alive as long as it is in use."""

    def __init__(self, disk: Disk, folder: Path, default: int) -> None:
        self._disk, self._folder = disk, folder
        self._names: dict[int, str] = {}
        self._tables: dict[int, Any] = {}
        self._alive: list[Any] = []
        self.vfs = ctypes.create_string_buffer(ctypes.string_at(default, _VFS_BYTES), _VFS_BYTES)
        self._open = _Open(_read_pointer(default + _VFS_OPEN))
        self._delete = _Delete(_read_pointer(default + _VFS_DELETE))
        self._default = default
        name = ctypes.create_string_buffer(b"power")
        base = ctypes.addressof(self.vfs)
        _write_pointer(base + _VFS_NAME, ctypes.addressof(name))
        _write_pointer(base + _VFS_OPEN, self._keep(_Open(self._do_open)))
        _write_pointer(base + _VFS_DELETE, self._keep(_Delete(self._do_delete)))
        self._alive.append(name)

    def _keep(self, function: Any) -> int:
        self._alive.append(function)
        return int(ctypes.cast(function, ctypes.c_void_p).value or 0)

    def _name(self, path: bytes) -> str | None:
        found = Path(os.fsdecode(path))
        return found.name if found.parent == self._folder else None

    def _do_open(self, vfs: int, path: int | None, file: int, flags: int, out: int | None) -> int:
        name = None if path is None else self._name(ctypes.string_at(path))
        if name is not None:
            self._disk.meet(self._folder / name)
        result = int(self._open(self._default, path, file, flags, out))
        if result == _OK and name is not None:
            self._names[file] = name
            _write_pointer(file, self._table(_read_pointer(file)))
        return result

    def _do_delete(self, vfs: int, path: bytes, sync_folder: int) -> int:
        result = int(self._delete(self._default, path, sync_folder))
        name = self._name(path)
        if result == _OK and name is not None:
            self._disk.note(_Step("delete", name, is_sure=bool(sync_folder)))
        return result

    def _table(self, methods: int) -> int:
        """The file's functions with three of them wrapped."""
        if methods not in self._tables:
            table = ctypes.create_string_buffer(
                ctypes.string_at(methods, _METHODS_BYTES), _METHODS_BYTES
            )
            base = ctypes.addressof(table)
            write = _Write(_read_pointer(methods + _WRITE))
            truncate = _Truncate(_read_pointer(methods + _TRUNCATE))
            sync = _Sync(_read_pointer(methods + _SYNC))

            def do_write(file: int, data: int, count: int, at: int) -> int:
                result = int(write(file, data, count, at))
                if result == _OK:
                    text = ctypes.string_at(data, count)
                    self._disk.note(_Step("write", self._names[file], at, text))
                return result

            def do_truncate(file: int, size: int) -> int:
                result = int(truncate(file, size))
                if result == _OK:
                    self._disk.note(_Step("truncate", self._names[file], size))
                return result

            def do_sync(file: int, flags: int) -> int:
                result = int(sync(file, flags))
                if result == _OK:
                    self._disk.note(_Step("sync", self._names[file]))
                return result

            _write_pointer(base + _WRITE, self._keep(_Write(do_write)))
            _write_pointer(base + _TRUNCATE, self._keep(_Truncate(do_truncate)))
            _write_pointer(base + _SYNC, self._keep(_Sync(do_sync)))
            self._tables[methods] = table
        return ctypes.addressof(self._tables[methods])


def _library() -> Any:
    """SQLite as Python's own module has loaded it."""
    module = getattr(_sqlite3, "__file__", None)
    lines = Path("/proc/self/maps").read_text().splitlines()
    paths = {line.split()[-1] for line in lines if "libsqlite3" in line}
    if module is None or len(paths) != 1 or _WORD != 8:
        pytest.skip("this Python's SQLite is no library that can be found")
    library = ctypes.CDLL(paths.pop())
    library.sqlite3_vfs_find.restype = ctypes.c_void_p
    library.sqlite3_vfs_find.argtypes = [ctypes.c_char_p]
    library.sqlite3_vfs_register.argtypes = [ctypes.c_void_p, ctypes.c_int]
    library.sqlite3_vfs_unregister.argtypes = [ctypes.c_void_p]
    return library


def _do(data: bytearray, step: _Step) -> None:
    if step.do == "truncate":
        del data[step.at :]
        return
    if len(data) < step.at:
        data.extend(bytes(step.at - len(data)))
    data[step.at : step.at + len(step.data)] = step.data


def _sectors(step: _Step) -> Iterator[_Step]:
    """A write in parts that a disk writes whole."""
    at, rest = step.at, step.data
    while rest:
        count = SECTOR_BYTES - at % SECTOR_BYTES
        yield _Step("write", step.name, at, rest[:count])
        at, rest = at + count, rest[count:]


def _read_pointer(address: int) -> int:
    return int(ctypes.c_void_p.from_address(address).value or 0)


def _write_pointer(address: int, value: int) -> None:
    ctypes.c_void_p.from_address(address).value = value
