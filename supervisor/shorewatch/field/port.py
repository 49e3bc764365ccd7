"""Serial ports of this machine, for a technician's tools: which there are, and one opened alone.

`attached` knows what USB tells of a port; `locked` keeps a second tool of ours away from it, also
between two openings; `opened` has it exclusively, and says who else has it. The one importer of
pyserial among the tools.
"""

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import serial
import serial.tools.list_ports

from shorewatch.errors import AbsentError, FieldError
from shorewatch.field.holder import holders
from shorewatch.plug import why_closed

READ_SIZE = 4096


@dataclass(frozen=True, slots=True)
class Attached:
    """A serial port and what USB says of it; no `usb` where it hangs on none."""

    path: str
    usb: str | None = None  # vendor:product in hexadecimal
    serial_number: str | None = None
    product: str | None = None


class Line(Protocol):
    """An open port."""

    def write(self, data: bytes) -> None:
        """Send; raises AbsentError if the port has gone."""
        ...

    def read(self, wait_s: float) -> bytes:
        """What is there, or the first that comes within `wait_s`; raises AbsentError."""
        ...


def attached() -> list[Attached]:
    """The ports of this machine, by path."""
    return [
        Attached(
            found.device,
            None if found.vid is None else f"{found.vid:04x}:{found.pid:04x}",
            found.serial_number or None,
            found.product or None,
        )
        for found in sorted(serial.tools.list_ports.comports())
    ]


def find_again(port: Attached) -> Attached | None:
    """The same board after it was unplugged or restarted, maybe under another name; None: away."""
    if port.usb is not None and port.serial_number is not None:
        for found in attached():
            if found.serial_number == port.serial_number:
                return found
    # Known by a lasting name (/dev/serial/by-id/..., the pty of a virtual board), or by none.
    return port if Path(port.path).exists() else None


@contextmanager
def locked(path: str) -> Iterator[int]:
    """Keep other tools of ours from this port; gives what a child inherits to hold it as well.

    Raises FieldError if somebody is at work there.
    """
    name = os.path.realpath(path).strip("/").replace("/", "-")
    file = Path(tempfile.gettempdir()) / f"shorewatch-{name}.lock"
    fd = _lock_file(file)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            text = f"{path}: another shorewatch tool works on this board; wait until it has ended"
            raise FieldError(text) from error
        yield fd
    finally:
        os.close(fd)


def _lock_file(file: Path) -> int:
    """The file, open for reading: in /tmp that of another user cannot be had for more.

    Nor may it be opened as one to be made (Linux, sysctl fs.protected_regular).
    """
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        try:
            return os.open(file, flags)
        except FileNotFoundError:
            fd = os.open(file, flags | os.O_CREAT, 0o644)
            os.fchmod(fd, 0o644)  # whatever the umask is: others have to read it
            return fd
    except OSError as error:
        text = f"{file}: {error.strerror}; it keeps two tools from one board: remove it"
        raise FieldError(text) from error


@contextmanager
def opened(path: str, *, baud: int = 115_200) -> Iterator[Line]:
    """The port, ours alone; raises AbsentError if it is not there, FieldError if it is not ours."""
    try:
        found = serial.Serial(path, baud, timeout=0, write_timeout=1.0, exclusive=True)
    except (OSError, ValueError) as error:
        raise _refusal(path) from error
    try:
        yield _Open(path, found)
    finally:
        with suppress(OSError):
            found.close()


def _refusal(path: str) -> FieldError:
    if not Path(path).exists():
        return AbsentError(f"{path}: {why_closed(path, 'the board')}")
    having = holders(path)
    if having:
        names = ", ".join(str(holder) for holder in having)
        return FieldError(f"{path}: held by {names}; end that program, then try again")
    why = why_closed(path, "the board")
    if "another program" in why:
        why += f"; `sudo fuser -v {path}` names it"
    return FieldError(f"{path}: cannot be opened: {why}")


class _Open:
    def __init__(self, path: str, port: serial.Serial) -> None:
        self._path = path
        self._port = port

    def write(self, data: bytes) -> None:
        try:
            self._port.write(data)
        except OSError as error:
            raise self._gone() from error

    def read(self, wait_s: float) -> bytes:
        try:
            self._port.timeout = wait_s
            first: bytes = self._port.read(1)
            self._port.timeout = 0
            more: bytes = self._port.read(READ_SIZE) if first else b""
        except OSError as error:
            raise self._gone() from error
        return first + more

    def _gone(self) -> AbsentError:
        return AbsentError(f"{self._path}: the board has gone; is its USB plug in?")
