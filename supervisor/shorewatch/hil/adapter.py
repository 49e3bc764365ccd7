"""A serial adapter of a bench: where simulated devices answer, or a relay listens."""

import os
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import serial

from shorewatch.errors import DemoError


@dataclass(slots=True)
class Adapter:
    """A serial adapter; raises DemoError when it is gone."""

    port: serial.Serial

    @property
    def near_fd(self) -> int:
        """What to wait for."""
        return int(self.port.fileno())

    def receive(self) -> bytes:
        """What has come."""
        try:
            return bytes(self.port.read(4096))
        except (OSError, serial.SerialException) as error:
            raise DemoError(f"the adapter {self.port.port} is gone: {error}") from error

    def send(self, data: bytes) -> int:
        """Send; returns the bytes sent."""
        try:
            return int(self.port.write(data) or 0) if data else 0
        except (OSError, serial.SerialException) as error:
            raise DemoError(f"the adapter {self.port.port} is gone: {error}") from error


@contextmanager
def open_adapter(path: str, baud: int, line: str) -> Iterator[Adapter]:
    """A serial adapter at a baud rate and format (8E1), for us alone; raises DemoError."""
    bits, parity, stop_bits = line[0], line[1], line[2]
    if os.path.realpath(path).startswith("/dev/pts/"):
        parity = "N"  # a pty carries none, and refuses to be asked for it
    try:
        port = serial.Serial(
            path, baud, int(bits), parity, int(stop_bits), timeout=0, exclusive=True
        )
    except (OSError, ValueError, termios.error) as error:
        raise DemoError(f"the adapter {path} cannot be opened: {error}") from error
    with port:
        yield Adapter(port)
