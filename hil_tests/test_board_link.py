"""The link of a board in the wrong hands: garbage, writes, floods; and a clock that wraps."""

import asyncio
import os
import random
import struct

import pytest

from shorewatch.direct.frame import with_crc
from shorewatch.hil.bench import Bench
from shorewatch.hil.witness import asked_on
from shorewatch.plant.trouble import Trouble

pytestmark = pytest.mark.timeout(240)
# A board's milliseconds and microseconds as a small one has them: of 30 bits, a little before both
# wrap. `time` of the file system goes before the one that is built in.
WRAPPING = """
import utime as _time
from utime import *

_MASK = (1 << 30) - 1
_us = _MASK - {before_us} - _time.ticks_us()
_ms = _MASK - {before_us} // 1000 - _time.ticks_ms()


def ticks_us():
    return (_time.ticks_us() + _us) & _MASK


def ticks_ms():
    return (_time.ticks_ms() + _ms) & _MASK


def ticks_add(ticks, delta):
    return (ticks + delta) & _MASK


def ticks_diff(end, start):
    return ((end - start + (1 << 29)) & _MASK) - (1 << 29)
"""
BEFORE_US = 9_000_000
WRITES = (
    bytes([5, 0, 0, 0xFF, 0]), bytes([6, 0, 0, 0, 1]), bytes([15, 0, 0, 0, 8, 1, 0xFF]),
    bytes([16, 0, 0, 0, 1, 2, 0, 1]), bytes([22, 0, 0, 0, 0, 0, 0]), bytes([8, 0, 1, 0, 0]),
    bytes([21, 3, 6, 0, 1]), bytes([23, 0, 0, 0, 1, 0, 0, 0, 1, 2, 0, 1]),
)  # fmt: skip


@pytest.mark.simulated
async def test_a_wrap_of_the_clock_changes_nothing(cold: Bench) -> None:
    """A board whose counters of milliseconds and microseconds wrap reads on, its times right."""
    await cold.start()
    await cold.until_good()
    board = cold.boards["north"]
    await cold.noc.until(lambda noc: len(noc.shown) > 50 or None, "values")
    await asyncio.to_thread(
        (board.flash / "time.py").write_text, WRAPPING.format(before_us=BEFORE_US)
    )
    await board.cut_power()
    await board.give_power()
    await cold.gateway.until(
        lambda live: (
            live["boards"]["north"]["up"] and live["boards"]["north"]["running_s"] < 8
        ) or None,
        "the board that will wrap",
    )  # fmt: skip
    await cold.until_good()
    await cold.gateway.until(
        lambda live: (live["boards"]["north"]["running_s"] or 0) > 13 or None, "the wrap to be over"
    )
    before = {name: cold.readings(name) for name in ("pfe", "room", "rack")}
    await cold.noc.until(
        lambda _: all(cold.readings(n) >= count + 5 for n, count in before.items()) or None,
        "readings after the wrap",
    )
    assert cold.is_good("pfe") and cold.is_good("room")
    assert cold.wrong() == []
    live = await cold.gateway.ask("live")
    assert live["boards"]["north"]["boot_reason"] == "power"


@pytest.mark.simulated
@pytest.mark.needs("north", "LINK")
async def test_a_hostile_client_of_the_link_changes_nothing(bench: Bench) -> None:
    """Writing requests, garbage and floods on a link: no write reaches a device, all works on."""
    board = bench.boards["north"]
    await board.pull_link()
    fate = random.Random(bench.seed)
    fd = await asyncio.to_thread(os.open, board.link, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    try:
        for turn in range(600):
            pdu = fate.choice(WRITES) if turn % 3 else fate.randbytes(fate.randint(1, 250))
            unit_id = fate.choice((0, 1, 3, 10, 20, 247))
            frame = with_crc(bytes([unit_id]) + pdu)
            if turn % 10 == 0:
                frame = fate.randbytes(600)
            try:
                os.write(fd, frame)
                os.read(fd, 4096)
            except BlockingIOError:
                pass
            await asyncio.sleep(0.01)
        assert board.console().count("crashed") == 0
    finally:
        os.close(fd)
    await board.plug_link()
    await bench.until_good()
    assert bench.written() == []
    assert bench.wrong() == []
    live = await bench.gateway.ask("live")
    assert live["boards"]["north"]["plan"] == f"{bench.compiled.plans['north'].crc:08x}"


@pytest.mark.simulated
async def test_only_reads_are_on_the_wire(bench: Bench) -> None:
    """Whatever goes wrong on the lines, all that a board sends are whole frames that read."""
    await bench.buses["north", 0].set_trouble(
        Trouble(damaged=0.1, dropped=0.05, late=0.1, late_s=0.4, noise_per_s=20, dead=[4])
    )
    await asyncio.sleep(8)
    await bench.buses["north", 0].set_trouble()
    await bench.until_good()
    pieces = [piece for bus in bench.buses.values() for piece in asked_on(bus.recorded())]
    assert {piece.function for piece in pieces if piece.is_frame} <= {1, 2, 3, 4}
    asked = {
        (b.device.config.unit_id, b.function, struct.pack(">HH", b.address, b.count))
        for plan in bench.compiled.plans.values()
        for b in plan.blocks
    }
    frames = [piece for piece in pieces if piece.is_frame]
    assert {(p.unit_id, p.function, p.data[2:6]) for p in frames} <= asked
    # A recording may begin or end within a frame.
    assert sum(not piece.is_frame for piece in pieces) <= 2 * len(bench.buses)
    bench.figures["frames that left the boards, all of them reads of the plan"] = len(frames)
