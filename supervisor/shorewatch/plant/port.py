"""A pty under a name: what another process opens as if it were a serial port.

The far (slave) side is raw and stays open here, so that its last client leaving causes no EIO. The
symlink appears and changes in one step (rename), and only after the port is ready. A pty has no
baud rate: pacing is the caller's business. Stale bytes are bounded: what nobody reads is dropped
once SIZE_MAX bytes wait, as a USB port drops what its host does not fetch.
"""

import fcntl
import os
import struct
import sys
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from shorewatch.errors import UsageError

SIZE_MAX = 2048


@dataclass(frozen=True, slots=True)
class Port:
    """The near side of a pty, and the path of its far side."""

    near_fd: int
    far_fd: int
    far_path: str

    def receive(self) -> bytes:
        """What the far side has written; empty if nothing is there."""
        try:
            return os.read(self.near_fd, SIZE_MAX)
        except BlockingIOError:
            return b""

    def send(self, data: bytes) -> int:
        """Give the far side what it has room for, drop the rest; returns the bytes given."""
        room = SIZE_MAX - self.waiting()
        if not data or room <= 0:
            return 0
        try:
            return os.write(self.near_fd, data[:room])
        except BlockingIOError:
            return 0

    def waiting(self) -> int:
        """Bytes that the far side has not read yet."""
        count = fcntl.ioctl(self.far_fd, termios.FIONREAD, bytes(4))
        return int(struct.unpack("i", count)[0])


@contextmanager
def open_port(link: Path | None = None) -> Iterator[Port]:
    """A new pty, raw and without echo, reachable as `link` if given; closed and unlinked after.

    Raises UsageError if `link` cannot be made.
    """
    near_fd, far_fd = os.openpty()
    try:
        tty.setraw(far_fd)
        os.set_blocking(near_fd, False)
        target = _target(far_fd)
        if link is not None:
            try:
                _symlink(link, target)
            except OSError as error:
                text = f"{link}: no port can be made there: {error.strerror}; choose another path"
                raise UsageError(text) from error
        try:
            yield Port(near_fd, far_fd, os.ttyname(far_fd))
        finally:
            if link is not None:
                _unlink(link, target)
    finally:
        os.close(far_fd)
        os.close(near_fd)


def _target(far_fd: int) -> str:
    """A path to the far side for others, gone when we are.

    /dev/pts numbers are used again: after a kill -9 a link to one would lead a board, which looks
    for its line, to whoever has that number next.
    """
    path = f"/proc/{os.getpid()}/fd/{far_fd}"
    return path if sys.platform == "linux" else os.ttyname(far_fd)


def _symlink(link: Path, target: str) -> None:
    link.parent.mkdir(parents=True, exist_ok=True)
    new = link.with_name(f".{link.name}.{os.getpid()}")
    with suppress(FileNotFoundError):
        new.unlink()
    new.symlink_to(target)
    new.replace(link)


def _unlink(link: Path, target: str) -> None:
    """Remove the link if it is still ours: a successor may have taken the name."""
    with suppress(OSError):
        if str(link.readlink()) == target:
            link.unlink()
