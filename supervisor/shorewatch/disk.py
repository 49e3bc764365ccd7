"""Files and disks, asked without waiting: how much room is left, and opening what may be a pipe."""

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
