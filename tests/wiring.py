"""An RS-485 line on a pty, with devices of the plant and wiring that a test breaks.

The devices answer at their own baud rate only: what the client has set is read from its end of
the pty, which carries no parity. Each device has a line of its own (plant/line.py), so that two may
have one unit id; what two say at once is spoiled.
"""

import asyncio
import random
import termios
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from shorewatch.direct.frame import with_crc
from shorewatch.plant.line import Line, Refusal
from shorewatch.plant.port import Port, open_port

Cells = Mapping[int, int]
SILENCE_S = 0.008


@dataclass
class Cabinet:
    """A server with these cells by function; what it has not it refuses."""

    cells: Mapping[int, Cells]
    turnaround_s: float = 0.002

    @property
    def functions(self) -> frozenset[int]:
        return frozenset(self.cells)

    def read(self, function: int, address: int, count: int, utc_s: float) -> object:
        found = [self.cells[function].get(at) for at in range(address, address + count)]
        return Refusal.ADDRESS if None in found else found


def full(first: int = 0, count: int = 200, value: int = 7) -> Cabinet:
    """A device with so many holding registers and nothing to be recognised by."""
    return Cabinet({3: dict.fromkeys(range(first, first + count), value)})


def climate(unit_id: int, baud: int = 9600, tenths: int = 215) -> Cabinet:
    """An XY-MD02: readings under function 04, settings under 03."""
    codes = {9600: 0, 14400: 1, 19200: 2}
    settings = {0x0101: unit_id, 0x0102: codes.get(baud, 0), 0x0103: 0, 0x0104: 0}
    return Cabinet({3: settings, 4: {1: tenths, 2: 450}})


@dataclass
class Wiring:
    """What is on the line, and what is wrong with it."""

    devices: Sequence[tuple[int, Cabinet]] = ()
    baud: int = 115200
    deaf: frozenset[int] = frozenset()  # functions that nobody answers
    is_echoing: bool = False
    lead: bytes = b""  # before each reply
    is_first_garbled: bool = False
    flips: float = 0.0  # share of bytes with a wrong bit
    lost: float = 0.0  # share of replies that never come
    strays: bytes = b""  # said on the idle line, each `strays_s`
    strays_s: float = 0.05
    strays_baud: int | None = None  # at which these are what they are; else garbage
    asked: list[bytes] = field(default_factory=list)
    rng: random.Random = field(default_factory=lambda: random.Random(7))

    def __post_init__(self) -> None:
        char_s = 10 / self.baud
        t35_s = 0.00175 if self.baud > 19200 else 3.5 * char_s
        self._lines = [
            Line({unit_id: cabinet}, char_s=char_s, t35_s=t35_s, utc=lambda now_s: now_s)
            for unit_id, cabinet in self.devices
        ]
        self._heard_s = self._said_s = self._stray_s = 0.0
        self._is_lost = False

    def step(self, now_s: float, data: bytes, baud: int) -> bytes:
        """What the client hears at `now_s`, when it has said `data` at its baud rate."""
        if data:
            self._heard_s = now_s
            self.asked.append(data)
        echo = data if self.is_echoing else b""
        if baud != self.baud or data[1:2] in map(bytes, zip(self.deaf, strict=True)):
            data = b""
        for line in self._lines:
            line.hear(now_s, data)
        reply = _mixed([line.take(now_s) for line in self._lines])
        if reply:
            is_new = now_s - self._said_s > SILENCE_S or self._heard_s > self._said_s
            self._is_lost = self.rng.random() < self.lost if is_new else self._is_lost
            self._said_s = now_s
            return echo + (b"" if self._is_lost else self._spoiled(reply, is_new=is_new))
        if self.strays and now_s - max(self._stray_s, self._said_s) > self.strays_s:
            self._stray_s = now_s
            is_clear = self.strays_baud in (None, baud)
            return echo + (self.strays if is_clear else bytes(b ^ 0x5A for b in self.strays[:5]))
        return echo

    @asynccontextmanager
    async def at(self, path: Path) -> AsyncIterator[Path]:
        """The line, to be opened at `path`."""
        with open_port(path) as port:
            task = asyncio.create_task(self._pump(port))
            try:
                yield path
            finally:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task

    async def _pump(self, port: Port) -> None:
        while True:
            await asyncio.sleep(0.001)
            port.send(self.step(time.monotonic(), port.receive(), _baud(port)))

    def _spoiled(self, reply: bytes, *, is_new: bool) -> bytes:
        said = bytearray(reply)
        if is_new and self.is_first_garbled:
            said[0] = 0xFF
        for at in range(len(said)):
            if self.rng.random() < self.flips:
                said[at] ^= 1 << self.rng.randrange(8)
        return (self.lead if is_new else b"") + bytes(said)


def _mixed(said: Sequence[bytes]) -> bytes:
    """What is on the wire when several speak."""
    found = [part for part in said if part]
    size = max(map(len, found), default=0)
    mixed = bytearray(b"\xff" * size)
    for part in found:
        for at, byte in enumerate(part):
            mixed[at] &= byte
    return bytes(mixed)


def _baud(port: Port) -> int:
    return _BAUDS.get(termios.tcgetattr(port.far_fd)[4], 0)


def asking(unit_id: int, function: int = 3, address: int = 0, count: int = 1) -> bytes:
    """A client's frame, also such as we never send."""
    return with_crc(bytes([unit_id, function]) + address.to_bytes(2) + count.to_bytes(2))


_BAUDS = {
    getattr(termios, f"B{baud}"): baud
    for baud in (1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200)
}
