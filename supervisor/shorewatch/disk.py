"""Files and disks: how much room is left, opening what may be a pipe, writing what must last."""

import os
from pathlib import Path


def free_bytes(folder: Path) -> int:
    """What the disk of `folder` has left for us; 0 if it cannot be asked."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return 0
    return found.f_bavail * found.f_frsize


def open_at_once(path: str, flags: int) -> int:
    """An opener for `open`: where a pipe without a writer stands, it does not wait for one."""
    return os.open(path, flags | os.O_NONBLOCK)


def write_durably(path: Path, data: bytes, mode: int | None = None) -> None:
    """Put `data` in place of the file, so that after any power cut it is the old or the new one.

    The new file has `mode` before anything is in it.
    """
    beside = path.with_name(f"{path.name}.new")
    with beside.open("wb") as stream:
        if mode is not None:
            os.fchmod(stream.fileno(), mode)
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    beside.rename(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
