"""Ports of boards with a chip: UARTs with a driver, and the USB-CDC that MicroPython has as stdio.

Flashed beside each chip's board.py, which makes UARTs and pins: only that imports machine.
A write to USB-CDC blocks up to 500 ms on rp2 unless POLLOUT was seen; Ctrl-C would end the program
unless kbd_intr(-1).
"""

import select
import sys

import micropython

TYPE_CHECKING = False  # a board has no typing module
if TYPE_CHECKING:
    from typing import Any

RX_SIZE = 512  # bytes that may wait in a port


class Port:
    """A machine.UART with a driver enable pin, a machine.Pin."""

    def __init__(self, uart: "Any", de: "Any") -> None:
        self._uart = uart
        self._de = de

    def any(self) -> int:
        count: int = self._uart.any()
        return count

    def readinto(self, buf: bytearray, n: int) -> int:
        return self._uart.readinto(buf, n) or 0

    def write(self, buf: bytearray, n: int) -> int:
        return self._uart.write(buf, n) or 0

    def tx_idle(self) -> bool:
        return bool(self._uart.txdone())

    def de(self, on: bool) -> None:
        self._de.value(on)


class UsbPort:
    """The built-in USB-CDC, bytes as they are. Without a host it reads nothing, swallows writes."""

    def __init__(self) -> None:
        micropython.kbd_intr(-1)
        self._poll = select.poll()
        self._poll.register(sys.stdin, select.POLLIN)
        self._out = select.poll()
        self._out.register(sys.stdout, select.POLLOUT)
        self._one = bytearray(1)
        self._ring = micropython.RingIO(RX_SIZE + 1)

    def any(self) -> int:
        # One byte at a time: readinto() of more would wait until all have come.
        room = min(RX_SIZE - self._ring.any(), 64)
        while room > 0 and self._ready(self._poll, select.POLLIN):
            sys.stdin.buffer.readinto(self._one)
            self._ring.write(self._one)
            room -= 1
        return self._ring.any()

    def readinto(self, buf: bytearray, n: int) -> int:
        return self._ring.readinto(buf, n) or 0

    def write(self, buf: bytearray, n: int) -> int:
        if not self._ready(self._out, select.POLLOUT):
            return 0
        return sys.stdout.buffer.write(buf, n) or 0

    def tx_idle(self) -> bool:
        return True

    def de(self, on: bool) -> None:
        pass

    def _ready(self, poll: select.poll, wanted: int) -> bool:
        flags = 0
        for _, found in poll.ipoll(0):
            flags = found
        return bool(flags & wanted)
