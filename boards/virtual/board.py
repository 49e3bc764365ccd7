"""A board without hardware: the MicroPython unix VM on ptys; its supervisor plays the hardware.

Told by the environment: SHOREWATCH_LINK, SHOREWATCH_BUS0 and _BUS1 (paths of ttys; a link may
vanish and come back as another), SHOREWATCH_UID, SHOREWATCH_BOOT_REASON.
Dry contacts: edges.py plays what comes on the tty SHOREWATCH_INPUTS; without it all stay open.

The watchdog is one "." on stdout at most each 100 ms: the supervisor kills a VM that misses it for
WATCHDOG_MS. Exit code 70 is a reset. A pty carries no speed and no parity: tx_idle() works out when
a wire would be free.
The VM must not lead a session: it would be hung up with the first pty that closes.
"""

import os
import select
import sys
import termios
import time

import micropython

TYPE_CHECKING = False  # a board has no typing module
if TYPE_CHECKING:
    from typing import Any

TYPE = "virtual"
WATCHDOG_MS = 8000
MAINTENANCE = "link"

_REOPEN_MS = 250
_BEAT_MS = 100
# SHOREWATCH_MAINTENANCE=1 starts a VM for maintenance, whose deadline is the supervisor's;
# SHOREWATCH_STRAP=1 is a bridged strap.
# Linux, asm-generic/termbits.h; MicroPython names only some of them.
_SPEEDS = {
    1200: 9,
    2400: 11,
    4800: 12,
    9600: 13,
    19200: 14,
    38400: 15,
    57600: 4097,
    115200: 4098,
}

_INPUTS = 16

_poller = select.poll()
_scratch = bytearray(256)  # of the port at hand


class Port:
    """A tty that may be gone: then it reads nothing, swallows writes, and is looked for again."""

    def __init__(
        self,
        path: str,
        char_ns: int,
        *,
        line: "tuple[int, int, int] | None" = None,
        size: int = 512,
    ) -> None:
        """Line: baud, parity and stop bits, where they matter. size: bytes that may wait."""
        self._path = path
        self._line = line
        self._char_ns = char_ns
        self._file: Any = None
        self._poll = select.poll()
        self._size = size
        self._ring = micropython.RingIO(size + 1)
        self._tried_ms: Any = 0
        self._free_us: Any = time.ticks_us()
        self._sending = False
        self._open()

    def any(self) -> int:
        if self._ready(select.POLLIN):
            left = self._size - self._ring.any()
            if left > 0:
                self._pull(min(left, 256))
        return self._ring.any()

    def readinto(self, buf: bytearray, n: int) -> int:
        return self._ring.readinto(buf, n) or 0

    def write(self, buf: bytearray, n: int) -> int:
        now_us = time.ticks_us()
        if not self._sending or time.ticks_diff(self._free_us, now_us) < 0:
            self._free_us = now_us
        self._free_us = time.ticks_add(self._free_us, (n * self._char_ns + 999) // 1000)
        self._sending = True
        # A pty that says POLLOUT takes 256 bytes without blocking (measured).
        if self._ready(select.POLLOUT):
            try:
                self._file.write(buf, n)
            except OSError:
                self._close()
        return n

    def tx_idle(self) -> bool:
        if self._sending and time.ticks_diff(time.ticks_us(), self._free_us) >= 0:
            self._sending = False
        return not self._sending

    def de(self, on: bool) -> None:
        pass

    def _ready(self, wanted: int) -> bool:
        if self._file is None:
            if time.ticks_diff(time.ticks_ms(), self._tried_ms) < _REOPEN_MS:
                return False
            self._open()
            if self._file is None:
                return False
        flags = 0
        for _, flags in self._poll.ipoll(0):  # noqa: B007
            pass
        if flags & (select.POLLHUP | select.POLLERR):
            self._close()
            return False
        return bool(flags & wanted)

    def _pull(self, n: int) -> None:
        try:
            got = self._file.readinto(_scratch, n)
        except OSError:
            self._close()
            return
        if got:
            self._ring.write(_scratch, got)  # type: ignore[call-arg]  # the stub lacks n

    def _open(self) -> None:
        self._tried_ms = time.ticks_ms()
        try:
            file = open(self._path, "r+b")
        except OSError:
            return
        try:
            # VMIN = 0: with 1, readinto() would wait until the whole buffer is full.
            termios.setraw(file.fileno())
            attributes = termios.tcgetattr(file.fileno())
            attributes[6][5] = attributes[6][6] = 0  # VTIME, VMIN
            termios.tcsetattr(file.fileno(), termios.TCSANOW, attributes)
        except OSError:
            file.close()
            return
        if self._line is not None:
            _set_line(attributes, self._line)
            try:
                termios.tcsetattr(file.fileno(), termios.TCSANOW, attributes)
            except OSError:
                pass  # a pty has no parity, and says so when it was asked for it before
        self._poll.register(file, select.POLLIN | select.POLLOUT)
        _poller.register(file, select.POLLIN)
        self._file = file

    def _close(self) -> None:
        self._tried_ms = time.ticks_ms()
        self._poll.unregister(self._file)
        _poller.unregister(self._file)
        self._file.close()
        self._file = None


class _Contacts:
    """Contacts that nobody plays: all stay open."""

    count = _INPUTS
    wakes_idle = True

    def read(self) -> int:
        return 0

    def due_us(self) -> int:
        return 1 << 29


class _Dog:
    def __init__(self) -> None:
        self._fed_ms: Any = time.ticks_add(time.ticks_ms(), -_BEAT_MS)
        self._poll = select.poll()
        self._poll.register(sys.stdout, select.POLLOUT)

    def feed(self) -> None:
        now_ms = time.ticks_ms()
        if time.ticks_diff(now_ms, self._fed_ms) < _BEAT_MS:
            return
        self._fed_ms = now_ms
        flags = 0
        for _, flags in self._poll.ipoll(0):  # noqa: B007
            pass
        if flags & select.POLLERR:
            sys.exit(1)  # nobody holds the other end: this hardware is gone
        if flags & select.POLLOUT:
            try:
                sys.stdout.buffer.write(b".")
            except OSError:
                sys.exit(1)


_contacts: "Any" = _Contacts()


def open_bus(uart: int, baud: int, parity: int, stop_bits: int) -> Port:
    path = os.getenv("SHOREWATCH_BUS" + str(uart))
    if not path:
        raise ValueError("no such UART")
    bits = 9 + (1 if parity else 0) + stop_bits
    return Port(path, bits * 1000000000 // baud, line=(baud, parity, stop_bits))


def open_link(settings: "dict[str, Any]") -> Port:
    # A link is USB on most boards: no speed to keep.
    return Port(os.getenv("SHOREWATCH_LINK") or "", 0)


def open_inputs() -> "Any":
    global _contacts
    path = os.getenv("SHOREWATCH_INPUTS")
    if path:
        import edges  # the simulation's own code: without it, a board like any other

        _contacts = edges.Contacts(Port(path, 0, size=128), _INPUTS)
    return _contacts


def watchdog() -> _Dog:
    return _Dog()


def idle(wait_us: int) -> None:
    """Rests until the time has passed, a byte has come on any port, or an edge is due."""
    wait_us = max(min(wait_us, _contacts.due_us()), 0)
    if wait_us < 1000:
        time.sleep_us(wait_us)
        return
    for _ in _poller.ipoll(wait_us // 1000):
        pass


def open_network(settings: "dict[str, Any]") -> bool:
    """This computer's network, as it is."""
    return True


def reset(reason: int = 3) -> None:
    """Ends the VM: 3 requested, 4 after a fault (its text on stderr), 5 for maintenance."""
    if reason == 4:
        try:
            with open("crash.txt") as file:
                sys.stderr.write(file.read())
        except OSError:
            pass
    sys.exit(67 + reason)


def strap() -> bool:
    """Whether the strap is bridged."""
    return os.getenv("SHOREWATCH_STRAP") == "1"


def maintenance() -> bool:
    """Whether this boot is for maintenance: asked for before the reset, or by the strap."""
    asked = os.getenv("SHOREWATCH_MAINTENANCE") == "1"
    return asked or (MAINTENANCE == "strap" and strap())


def hold(deadline_ms: int) -> None:
    """Nothing to hold: no tty has been opened; the supervisor keeps the deadline."""


def boot_reason() -> int:
    return int(os.getenv("SHOREWATCH_BOOT_REASON") or "0")


def unique_id() -> str:
    return (os.getenv("SHOREWATCH_UID") or "0").lower()


def led(on: bool) -> None:
    pass


def _set_line(attributes: "list[Any]", line: "tuple[int, int, int]") -> None:
    """Speed, parity and stop bits, for a bus that is a serial device of the computer (Linux)."""
    baud, parity, stop_bits = line
    if sys.platform != "linux" or baud not in _SPEEDS:
        return
    # CREAD and CLOCAL; PARENB, PARODD; CSTOPB.
    attributes[2] = attributes[2] & ~0o1500 | (0o4200, 0o4600, 0o5600)[parity]
    if stop_bits == 2:
        attributes[2] |= 0o100
    attributes[4] = attributes[5] = _SPEEDS[baud]
