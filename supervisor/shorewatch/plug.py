"""Serial ports of this machine, looked at from outside: why one does not open, which one it is."""

import os
from pathlib import Path

# Source: Linux, Documentation/admin-guide/devices.txt: Unix98 PTY slaves.
_PTYS = range(136, 144)


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


def is_simulated(port: str) -> bool:
    """Whether it is a pseudo-terminal, as simulated lines have: it keeps no parity."""
    try:
        return os.major(Path(port).stat().st_rdev) in _PTYS
    except OSError:
        return False


def identity(port: str) -> tuple[int, int] | None:
    """What tells a port from the same one plugged in anew; None while it is gone."""
    try:
        found = Path(port).stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
