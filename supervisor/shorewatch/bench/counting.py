"""Modbus TCP devices that count their answers and log each before it leaves: for `bench chaos`.

All values of an answer follow from the device and its count (`values`), and all differ from those
before, so that every answer is worth a record. A line of the log is an answer: device, connection
and count, and the monotonic clock in nanoseconds, which is one for all processes of a machine.

`python -m shorewatch.bench.counting FIRST_PORT COUNT LOG` serves on 127.0.0.1 until SIGTERM.
"""

import asyncio
import itertools
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from shorewatch.bench.field import Device

PERIOD_S: Final = 0.2
_WORDS: Final = 6
_REGISTERS: Final = 2 + _WORDS
_FACTORS: Final = (9973, 7919, 6101, 4099, 2053, 1021)  # odd: the next word always differs


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer as its device logged it."""

    device: str
    connection: int
    count: int
    at_ns: int


def values(device: int, count: int) -> dict[str, int]:
    """What a device says in its answer of that count, by point."""
    words = {
        f"w{i}": (factor * count + 257 * device + i) & 0xFFFF for i, factor in enumerate(_FACTORS)
    }
    return {"count": count & 0xFFFF_FFFF, **words}


def name_of(device: int) -> str:
    """Its id in the station file."""
    return f"d{device}"


def write_station(
    path: Path, *, first_port: int, devices: Sequence[int], tail: str, name: str = "chaos"
) -> None:
    """A station file of these devices, and its profile beside it; `tail` is added."""
    profiles = path.parent / "profiles"
    profiles.mkdir(parents=True, exist_ok=True)
    (profiles / "counting.toml").write_text("\n".join(_profile()), "utf-8")
    path.write_text("\n".join([*_station(name, first_port, devices), tail]), "utf-8")


def load_answers(path: Path) -> list[Answer]:
    """The log of the devices, in order."""
    rows = (line.split() for line in path.read_text("ascii").splitlines())
    return [Answer(row[0], *map(int, row[1:])) for row in rows]


def _profile() -> Iterator[str]:
    yield 'id = "counting"\nname = "Counting device"\nsource = "none: a device of the benchmark"'
    # An answer that comes too late is none, and a machine that others use is late now and then.
    yield "timeout_ms = 5000\nworst_ms = 5000"
    for i, name in enumerate(values(0, 0)):
        yield f'[[point]]\nid = "{name}"\nname = "{name}"\ntable = "input"'
        kind, address = ("u32", 0) if i == 0 else ("u16", 1 + i)
        yield f'type = "{kind}"\naddress = {address}\nperiod_s = {PERIOD_S}\nage_s_max = 10'


def _station(name: str, first_port: int, devices: Sequence[int]) -> Iterator[str]:
    yield f'[station]\nid = "{name}"\nname = "Chaos"\ncable = "bench"\ncable_name = "Bench"'
    for port, device in enumerate(devices, first_port):
        own = name_of(device)
        yield f'[[direct]]\nid = "l{device}"\ntcp = "127.0.0.1:{port}"'
        yield f'[[direct.device]]\nid = "{own}"\nname = "{own}"\nunit_id = 1'
        yield 'profile = "counting"'


def _next_words(device: int, connection: int, counts: Iterator[int], log: int) -> Sequence[int]:
    count = next(counts)
    line = f"{name_of(device)} {connection} {count} {time.monotonic_ns()}\n"
    os.write(log, line.encode("ascii"))
    found = values(device, count)
    number = found.pop("count")
    return (number >> 16, number & 0xFFFF, *found.values())


def connect(device: int, connections: Iterator[int], counts: Iterator[int], log: int) -> Device:
    """A new connection to a device; `log` is the open file of the log."""
    next_words = partial(_next_words, device, next(connections), counts, log)
    return Device(_REGISTERS, next_words)


async def _serve(first_port: int, count: int, log: int) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    connections = itertools.count(1)
    for device in range(count):
        make = partial(connect, device, connections, itertools.count(1), log)
        await loop.create_server(make, "127.0.0.1", first_port + device)
    print("ready", flush=True)
    await stop.wait()


if __name__ == "__main__":
    _log = os.open(sys.argv[3], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    asyncio.run(_serve(int(sys.argv[1]), int(sys.argv[2]), _log))
