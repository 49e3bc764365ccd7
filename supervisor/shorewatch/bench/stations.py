"""Plans for the benchmark's boards: stations of equal devices, compiled by the product's compiler.

The station is written as a file and loaded as any other, so that a plan is what a user's would be.
`saturated` then shortens every period to the least a board takes: more than any bus can carry,
which the compiler would refuse, and so a bus that is never idle.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from shorewatch.config import load_station
from shorewatch.plan import BoardPlan, compile_board

PERIOD_MS_MIN = 100
BOARD = "bench"


@dataclass(frozen=True, slots=True)
class Device:
    """A device to be read in `blocks` requests of `registers` each."""

    unit_id: int
    blocks: int = 1
    registers: int = 10


def compiled(
    folder: Path, buses: Sequence[Sequence[Device]], *, baud: int, period_s: float
) -> BoardPlan:
    """The plan of one board with these devices on its buses (UART 0, 1); writes into `folder`."""
    profiles = folder / "profiles"
    profiles.mkdir(parents=True, exist_ok=True)
    kinds = {(device.blocks, device.registers) for bus in buses for device in bus}
    for blocks, registers in kinds:
        text = "\n".join(_profile(blocks, registers, period_s))
        (profiles / f"bench-{blocks}x{registers}.toml").write_text(text, "utf-8")
    path = folder / "bench.toml"
    path.write_text("\n".join(_station(buses, baud)), "utf-8")
    return compile_board(load_station(path), BOARD)


def saturated(plan: BoardPlan) -> BoardPlan:
    """The same blocks, all wanted each 100 ms."""
    blocks = tuple(replace(block, period_ms=PERIOD_MS_MIN) for block in plan.blocks)
    return replace(plan, blocks=blocks)


def full(folder: Path, *, baud: int) -> BoardPlan:
    """All that a board takes: 2 buses, 32 devices, 120 blocks of 50 registers each."""
    buses = [[Device(unit, 4 if unit <= 12 else 3, 50) for unit in range(1, 17)] for _ in range(2)]
    return compiled(folder, buses, baud=baud, period_s=10)


def _profile(blocks: int, registers: int, period_s: float) -> Iterator[str]:
    yield f'id = "bench-{blocks}x{registers}"'
    yield 'name = "Bench device"'
    yield 'source = "none: a device of the benchmark"'
    yield f"registers_max = {registers}"
    for block in range(blocks):
        yield f'[[whole]]\ntable = "input"\naddress = {1000 * block}\ncount = {registers}'
    for block in range(blocks):
        yield f'[[point]]\nid = "p{block}"\nname = "p"\ntable = "input"\ntype = "u16"'
        yield f"address = {1000 * block}\nperiod_s = {period_s}"


def _station(buses: Sequence[Sequence[Device]], baud: int) -> Iterator[str]:
    yield '[station]\nid = "bench"\nname = "Bench"\ncable = "bench"\ncable_name = "Bench"'
    yield f'[[board]]\nid = "{BOARD}"\ntype = "virtual"\nunique_id = "0000000000000000"'
    yield '[board.link]\nport = "bench.link"'
    for uart, devices in enumerate(buses):
        yield f'[[board.bus]]\nuart = {uart}\nbaud = {baud}\nformat = "8E1"'
        for device in devices:
            name = f"d{uart}-{device.unit_id}"
            yield f'[[board.bus.device]]\nid = "{name}"\nname = "{name}"'
            yield f"unit_id = {device.unit_id}"
            yield f'profile = "bench-{device.blocks}x{device.registers}"'
