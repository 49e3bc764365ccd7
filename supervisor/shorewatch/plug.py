"""Serial ports of this machine, looked at from outside: why one does not open, which one it is."""

import os
from pathlib import Path


def why_closed(port: str, what: str) -> str:
    """What a technician can do about a port that does not open; `what` should be plugged in."""
    path = Path(port)
    if not path.exists():
        return f"there is no such port; is {what} plugged in?"
    if not path.is_char_device():
        return "it is no serial port"
    if not os.access(path, os.R_OK | os.W_OK):
        return "no permission; add this user to the group dialout"
    return "another program holds it, or the adapter does not answer"


def identity(port: str) -> tuple[int, int] | None:
    """What tells a port from the same one plugged in anew; None while it is gone."""
    try:
        found = Path(port).stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
