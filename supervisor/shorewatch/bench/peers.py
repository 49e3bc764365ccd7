"""Other Modbus RTU clients, each in a tight loop on one tty, in a process of its own.

    python -m shorewatch.bench.peers NAME TTY BAUD     says "ready", then reads until it is killed

All read ten input registers of unit 1 with 8N2 (11 bits as 8E1; a pty refuses parity), a time-out
of 0.5 s and no retries, everything else as it comes; an error is followed by the next request.
mbpoll pauses 10 ms after each poll, the least it accepts. A library that is not installed is not
measured. `decode_rate` is another thing to compare with: how fast pymodbus decodes.
"""

import asyncio
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

from shorewatch.registers import count_of

_TIMEOUT_S = 0.5
_COUNT = 10
READY = b"ready\n"


@dataclass(frozen=True, slots=True)
class Peer:
    """A program to start; `is_telling` if it says READY on stdout when it begins."""

    argv: tuple[str, ...]
    is_telling: bool


def installed(tty: str, baud: int) -> dict[str, Peer]:
    """Every peer that is installed, by name and version."""
    found = {}
    for name, (package, _) in _LOOPS.items():
        try:
            title = f"{name} {version(package)}"
        except PackageNotFoundError:
            continue
        module = (sys.executable, "-m", "shorewatch.bench.peers")
        found[title] = Peer((*module, name, tty, str(baud)), is_telling=True)
    if path := shutil.which("mbpoll"):
        line = ("-m", "rtu", "-a", "1", "-b", str(baud), "-P", "none", "-s", "2")
        what = ("-t", "3", "-0", "-r", "0", "-c", str(_COUNT))
        timing = ("-l", "10", "-o", str(_TIMEOUT_S))
        found[_mbpoll_title(path)] = Peer((path, *line, *what, *timing, tty), is_telling=False)
    return found


@cache
def _mbpoll_title(path: str) -> str:
    told = subprocess.run([path, "-V"], capture_output=True, text=True, check=False)
    return " ".join(["mbpoll", *told.stdout.split()[:1]])


def decode_rate(points: Sequence[tuple[str, str, int]], blocks: Sequence[list[int]]) -> float:
    """Points a second that pymodbus's own decoder makes of `blocks`, one call a point.

    `points` are (type, order, offset); only types and orders it has. It neither scales nor judges.
    """
    from pymodbus.client.mixin import ModbusClientMixin

    kinds = {
        "u16": "UINT16", "s16": "INT16", "u32": "UINT32", "s32": "INT32", "f32": "FLOAT32",
        "enum": "UINT16", "bits": "UINT16",
    }  # fmt: skip
    convert = ModbusClientMixin.convert_from_registers
    words: dict[str, Literal["big", "little"]] = {"ABCD": "big", "CDAB": "little"}
    calls = [
        (offset, offset + count_of(kind), ModbusClientMixin.DATATYPE[kinds[kind]], words[order])
        for kind, order, offset in points
    ]
    start_s = time.process_time()
    for block in blocks:
        for first, end, kind, order in calls:
            convert(block[first:end], kind, order)
    return len(blocks) * len(points) / (time.process_time() - start_s)


def _say_ready() -> None:
    sys.stdout.buffer.write(READY)
    sys.stdout.flush()


def _pymodbus_sync(tty: str, baud: int) -> None:
    from pymodbus import FramerType
    from pymodbus.client import ModbusSerialClient
    from pymodbus.exceptions import ModbusException

    client = ModbusSerialClient(
        tty, framer=FramerType.RTU, baudrate=baud, stopbits=2, timeout=_TIMEOUT_S, retries=0
    )
    client.connect()
    _say_ready()
    while True:
        try:
            client.read_input_registers(0, count=_COUNT, device_id=1)
        except ModbusException:
            client.connect()


def _pymodbus_async(tty: str, baud: int) -> None:
    asyncio.run(_pymodbus_loop(tty, baud))


async def _pymodbus_loop(tty: str, baud: int) -> None:
    from pymodbus import FramerType
    from pymodbus.client import AsyncModbusSerialClient
    from pymodbus.exceptions import ModbusException

    client = AsyncModbusSerialClient(
        tty, framer=FramerType.RTU, baudrate=baud, stopbits=2, timeout=_TIMEOUT_S, retries=0
    )
    await client.connect()
    _say_ready()
    while True:
        try:
            await client.read_input_registers(0, count=_COUNT, device_id=1)
        except ModbusException:
            if not client.connected:
                await client.connect()


def _minimalmodbus(tty: str, baud: int) -> None:
    import minimalmodbus

    client = minimalmodbus.Instrument(tty, 1)
    client.serial.baudrate = baud
    client.serial.stopbits = 2
    client.serial.timeout = _TIMEOUT_S
    _say_ready()
    while True:
        try:
            client.read_registers(0, _COUNT, functioncode=4)
        except minimalmodbus.ModbusException:
            continue


_LOOPS: dict[str, tuple[str, Callable[[str, int], None]]] = {
    "pymodbus sync": ("pymodbus", _pymodbus_sync),
    "pymodbus async": ("pymodbus", _pymodbus_async),
    "minimalmodbus": ("minimalmodbus", _minimalmodbus),
}


if __name__ == "__main__":
    _LOOPS[sys.argv[1]][1](sys.argv[2], int(sys.argv[3]))
