"""How much room a disk has left: what history.py and the alarm on the disk go by."""

import os
from pathlib import Path


def free_bytes(folder: Path) -> int:
    """What the disk of `folder` has left for us; 0 if it cannot be asked."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return 0
    return found.f_bavail * found.f_frsize
