"""A layer below SQLite that sees, and may refuse, what a process does to its databases' files.

It stands below the very library that Python's sqlite3 uses. The watcher is asked before each write,
truncation and sync, and told of each that was done, and of each file that is opened or deleted.
Source of the interface: SQLite's C interface, sqlite3_vfs and sqlite3_io_methods (versions 1 to 3).

Limits: 64-bit Linux, and a Python whose sqlite3 uses a shared library; one layer at a time.
"""

import _sqlite3
import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Protocol

from shorewatch.bench.power import Step
from shorewatch.errors import DemoError

# Source: sqlite3.h, result codes.
OK: Final = 0
FULL: Final = 13
IOERR_WRITE: Final = 10 | 3 << 8
IOERR_FSYNC: Final = 10 | 4 << 8
IOERR_TRUNCATE: Final = 10 | 6 << 8
_WORD: Final = ctypes.sizeof(ctypes.c_void_p)
# Where in the structures, in bytes on 64-bit machines.
_VFS_BYTES: Final = 168
_VFS_NAME, _VFS_OPEN, _VFS_DELETE = 24, 40, 48
_METHODS_BYTES: Final = 8 + 18 * _WORD
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


class Watcher(Protocol):
    """Who sees the files below one folder; called in SQLite's threads."""

    def meet(self, path: Path) -> None:
        """It is opened next; it may be there already."""

    def refuse(self, do: str, path: Path, end: int) -> int:
        """Before a write up to `end`, a truncation to it, a sync: OK, or SQLite's error code."""

    def note(self, step: Step) -> None:
        """It was done."""


@contextmanager
def watching(folder: Path, watcher: Watcher) -> Iterator[None]:
    """Let `watcher` see the files directly in `folder` while inside.

    Raises DemoError where Python's sqlite3 has a library of its own inside.
    """
    library = _library()
    default = ctypes.c_void_p(library.sqlite3_vfs_find(None))
    layer = _Layer(watcher, folder, int(default.value or 0))
    assert library.sqlite3_vfs_register(layer.vfs, 1) == OK, "SQLite takes a layer"
    try:
        yield
    finally:
        library.sqlite3_vfs_unregister(layer.vfs)
        library.sqlite3_vfs_register(default, 1)


def why_not() -> str | None:
    """Why there can be no layer in this Python; None: there can."""
    try:
        _library()
    except DemoError as error:
        return str(error)
    return None


class _Layer:
    """The default layer with five of its functions wrapped. Kept alive as long as it is in use."""

    def __init__(self, watcher: Watcher, folder: Path, default: int) -> None:
        self._watcher, self._folder = watcher, folder
        self._paths: dict[int, Path] = {}
        self._tables: dict[int, Any] = {}
        self._alive: list[Any] = []
        self.vfs = ctypes.create_string_buffer(ctypes.string_at(default, _VFS_BYTES), _VFS_BYTES)
        self._open = _Open(_read_pointer(default + _VFS_OPEN))
        self._delete = _Delete(_read_pointer(default + _VFS_DELETE))
        self._default = default
        name = ctypes.create_string_buffer(b"watched")
        base = ctypes.addressof(self.vfs)
        _write_pointer(base + _VFS_NAME, ctypes.addressof(name))
        _write_pointer(base + _VFS_OPEN, self._keep(_Open(self._do_open)))
        _write_pointer(base + _VFS_DELETE, self._keep(_Delete(self._do_delete)))
        self._alive.append(name)

    def _keep(self, function: Any) -> int:
        self._alive.append(function)
        return int(ctypes.cast(function, ctypes.c_void_p).value or 0)

    def _path(self, path: bytes) -> Path | None:
        found = Path(os.fsdecode(path))
        return found if found.parent == self._folder else None

    def _do_open(self, vfs: int, path: int | None, file: int, flags: int, out: int | None) -> int:
        found = None if path is None else self._path(ctypes.string_at(path))
        if found is not None:
            self._watcher.meet(found)
        result = int(self._open(self._default, path, file, flags, out))
        if result == OK and found is not None:
            self._paths[file] = found
            _write_pointer(file, self._table(_read_pointer(file)))
        return result

    def _do_delete(self, vfs: int, path: bytes, sync_folder: int) -> int:
        result = int(self._delete(self._default, path, sync_folder))
        found = self._path(path)
        if result == OK and found is not None:
            self._watcher.note(Step("delete", found.name, is_sure=bool(sync_folder)))
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
                path = self._paths[file]
                result = self._watcher.refuse("write", path, at + count)
                if result == OK:
                    result = int(write(file, data, count, at))
                if result == OK:
                    text = ctypes.string_at(data, count)
                    self._watcher.note(Step("write", path.name, at, text))
                return result

            def do_truncate(file: int, size: int) -> int:
                path = self._paths[file]
                result = self._watcher.refuse("truncate", path, size)
                if result == OK:
                    result = int(truncate(file, size))
                if result == OK:
                    self._watcher.note(Step("truncate", path.name, size))
                return result

            def do_sync(file: int, flags: int) -> int:
                path = self._paths[file]
                result = self._watcher.refuse("sync", path, 0)
                if result == OK:
                    result = int(sync(file, flags))
                if result == OK:
                    self._watcher.note(Step("sync", path.name))
                return result

            _write_pointer(base + _WRITE, self._keep(_Write(do_write)))
            _write_pointer(base + _TRUNCATE, self._keep(_Truncate(do_truncate)))
            _write_pointer(base + _SYNC, self._keep(_Sync(do_sync)))
            self._tables[methods] = table
        return ctypes.addressof(self._tables[methods])


def _library() -> Any:
    """SQLite as Python's own module has loaded it."""
    module = getattr(_sqlite3, "__file__", None)
    maps = Path("/proc/self/maps")
    lines = maps.read_text().splitlines() if maps.exists() else []
    paths = {line.split()[-1] for line in lines if "libsqlite3" in line}
    if module is None or len(paths) != 1 or _WORD != 8:
        raise DemoError("this Python's SQLite is no library that can be found")
    library = ctypes.CDLL(paths.pop())
    library.sqlite3_vfs_find.restype = ctypes.c_void_p
    library.sqlite3_vfs_find.argtypes = [ctypes.c_char_p]
    library.sqlite3_vfs_register.argtypes = [ctypes.c_void_p, ctypes.c_int]
    library.sqlite3_vfs_unregister.argtypes = [ctypes.c_void_p]
    return library


def _read_pointer(address: int) -> int:
    return int(ctypes.c_void_p.from_address(address).value or 0)


def _write_pointer(address: int, value: int) -> None:
    ctypes.c_void_p.from_address(address).value = value
