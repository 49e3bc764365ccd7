"""Many Modbus TCP devices in one process, each at a port of its own: the load of `bench uplink`.

Every register of every device has another value in each answer. The first two are the wall clock of
the answer in milliseconds (low word first, modulo 2^32), so that a subscriber on the same machine
can tell how long a value took. They answer at once: it is the gateway that is measured, not they.

`python -m shorewatch.bench.field FIRST_PORT COUNT` serves on 127.0.0.1 until SIGTERM.
"""

import asyncio
import signal
import struct
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final

REGISTERS: Final = 100
STAMP_POINTS: Final = ("p0", "p1")
_REQUEST: Final = struct.Struct(">HHHBBHH")
_READ_INPUT: Final = 4


class Device(asyncio.Protocol):
    """One connection to one device; it takes just the request for all its `registers`.

    `next_words` gives what they hold, for each request anew.
    """

    def __init__(self, registers: int, next_words: Callable[[], Sequence[int]]) -> None:
        self._registers = registers
        self._next_words = next_words
        self._reply = struct.Struct(f">HHHBBB{registers}H")
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport), "a stream"
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._rest += data
        while len(self._rest) >= _REQUEST.size:
            head, self._rest = self._rest[: _REQUEST.size], self._rest[_REQUEST.size :]
            transaction, _, _, unit, function, address, count = _REQUEST.unpack(head)
            if (function, address, count) != (_READ_INPUT, 0, self._registers):
                self._transport.abort()  # a stranger
                return
            size, words = 2 * self._registers, self._next_words()
            self._transport.write(
                self._reply.pack(transaction, 0, 3 + size, unit, function, size, *words)
            )


def stamped_words(counter: Iterator[int]) -> Sequence[int]:
    """The time, then words that are others for each number."""
    now_ms = time.time_ns() // 1_000_000
    number = next(counter)
    words = ((9973 * number + 31 * i) & 0xFFFF for i in range(REGISTERS - 2))
    return (now_ms & 0xFFFF, now_ms >> 16 & 0xFFFF, *words)


def write_station(folder: Path, *, first_port: int, count: int, tail: str) -> Path:
    """A station file of so many devices read once a second, and its profile; `tail` is added."""
    profiles = folder / "profiles"
    profiles.mkdir(parents=True, exist_ok=True)
    (profiles / "field.toml").write_text("\n".join(_profile()), "utf-8")
    path = folder / "station.toml"
    path.write_text("\n".join([*_station(first_port, count), tail]), "utf-8")
    return path


def _profile() -> Iterator[str]:
    yield 'id = "field"\nname = "Bench device"\nsource = "none: a device of the benchmark"'
    for i in range(REGISTERS):
        yield f'[[point]]\nid = "p{i}"\nname = "Value {i}"\ntable = "input"\ntype = "u16"'
        yield f"address = {i}\nperiod_s = 1\n" + ("" if i < 2 else "scale = 0.1")


def _station(first_port: int, count: int) -> Iterator[str]:
    yield '[station]\nid = "bench"\nname = "Bench"\ncable = "bench"\ncable_name = "Bench"'
    for i in range(count):
        yield f'[[direct]]\nid = "l{i}"\ntcp = "127.0.0.1:{first_port + i}"'
        yield f'[[direct.device]]\nid = "d{i}"\nname = "Device {i}"\nunit_id = 1\nprofile = "field"'


async def _serve(first_port: int, count: int) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    for i in range(count):
        next_words = partial(stamped_words, iter(range(i, sys.maxsize)))
        make = partial(Device, REGISTERS, next_words)
        await loop.create_server(make, "127.0.0.1", first_port + i)
    print("ready", flush=True)
    await stop.wait()


if __name__ == "__main__":
    asyncio.run(_serve(*map(int, sys.argv[1:3])))
