"""Which parts of the gateway itself are well: what alarms with `gateway = ...` watch."""

import os
from pathlib import Path
from typing import Final

# With less than this the outbox will soon have to evict what was not acknowledged.
FREE_BYTES_MIN: Final = 50_000_000


def free_bytes(folder: Path) -> int:
    """What the disk of `folder` has left for us; 0 if it cannot be asked."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return 0
    return found.f_bavail * found.f_frsize
