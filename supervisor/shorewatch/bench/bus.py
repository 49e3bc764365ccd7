"""`shorewatch bench bus`: how well a board uses its field buses, beside what other clients do.

    efficiency       a bus that is never idle, and other clients in a tight loop: the least time a
                     transaction can take to the time taken; on tolerant and on strict devices
    healthy period   ten devices, 1 s wanted, one or four dead: what the slowest healthy one gets
    memory, pass     the fullest plan on two busy buses with its link polled: what the VM tells

Three runs, medians; the runs of all clients take turns, so that a busy minute meets them all.
Counts of requests inside t3.5 are sums. The soak is one long run of the full plan. How far the
times can be trusted stands in wire.py; `machine` in the JSON says how busy the machine was.
"""

import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from shorewatch.bench import figures, machine, peers, stations
from shorewatch.bench.board import METER, Reading, running_board
from shorewatch.bench.figures import Figure, Result
from shorewatch.bench.line import TURNAROUND_S, Line, Setting, running_line
from shorewatch.bench.priority import CLIENT, raise_priority
from shorewatch.bench.stations import Device
from shorewatch.bench.wire import Exchange
from shorewatch.plan import BoardPlan
from shorewatch.plant.virtual_board import find_vm

BAUDS = (19200, 115200)
OURS = "shorewatch"
_COUNT = 10
_EFFICIENCY_MIN = {19200: 0.98, 115200: 0.95}
_PERIOD_MAX = {1: 1.01, 4: 1.05}
_DEAD_NAME = {1: "one", 4: "four"}
_DEVICES = 10
_WANTED_S = 1.0
_HEAP_KB_MIN = 90
_PASS_MS_MAX = 1.5
_WORST_PASS, _HEAP_LEAST = 0x000D, 0x0010  # image map, version 1
_BLOCK_KB_MIN = 16
_SOAK_STEPS = 10
_SOAK_RATE_MIN = 50.0  # transactions a second, of both buses


@dataclass(frozen=True, slots=True)
class Extent:
    """How long each part runs, in seconds, and how often."""

    runs: int = 3
    tight_s: float = 4.0
    peer_s: float = 4.0
    opening_s: float = 10.0
    window_s: float = 60.0
    busy_s: float = 22.0
    transactions: int = 1000


QUICK = Extent(
    runs=1, tight_s=0.7, peer_s=0.4, opening_s=3.0, window_s=4.0, busy_s=2.0, transactions=100
)

Say = Callable[[str], None]


@dataclass(slots=True)
class _Tally:
    """Runs of one client: shares of the least time by (baud, strict), early requests by baud."""

    shares: dict[tuple[int, bool], list[float]] = field(default_factory=dict)
    early: dict[int, int] = field(default_factory=dict)

    def add(self, setting: Setting, exchanges: Sequence[Exchange]) -> None:
        baud = setting.baud
        least = figures.least_s(baud, _COUNT, setting.turnaround_s)
        share = figures.efficiency(exchanges, least)
        self.shares.setdefault((baud, setting.is_strict), []).append(share)
        self.early[baud] = self.early.get(baud, 0) + figures.inside_t35(exchanges, baud)


def run_bus(extent: Extent, say: Say) -> Result:
    """Measure everything; `say` is told what is being done.

    Raises DemoError if there is no VM or the firmware does not start on it.
    """
    find_vm()
    busy = machine.ticks()
    with tempfile.TemporaryDirectory(prefix="shorewatch-bench-") as name:
        folder = Path(name)
        found = _tight_loops(folder, extent, say)
        found |= _dead_devices(folder, extent, say)
        found |= _full_plan(folder, extent, say)
    return Result(found, versions(), machine.load(busy))


def run_soak(transactions: int, say: Say) -> Result:
    """That many transactions of the full plan on one VM; its heap must not change."""
    busy = machine.ticks()
    with tempfile.TemporaryDirectory(prefix="shorewatch-bench-") as name:
        say(f"soak: {transactions} transactions on two buses")
        readings = _meter(Path(name), transactions, _SOAK_STEPS, turnaround_s=0.0)
    return Result(soak(readings, transactions), versions(), machine.load(busy))


def soak(readings: Sequence[Reading], wanted: int) -> dict[str, Figure]:
    """The figures of a soak: the first reading is the start."""
    done = readings[-1].transactions - readings[0].transactions
    free = [reading.free for reading in readings[1:]]
    largest = [reading.largest for reading in readings[1:]]
    return {
        "soak_transactions": Figure(done, "count", wanted, is_least=True),
        "soak_bytes_allocated": Figure(sum(r.allocated for r in readings[1:]), "B", 0),
        "soak_free_change": Figure(max(free) - min(free), "B", 0),
        "soak_largest_block_change": Figure(max(largest) - min(largest), "B", 0),
        "soak_free_least_kb": Figure(min(free) / 1024, "KiB", _HEAP_KB_MIN, is_least=True),
        "soak_largest_block_least_kb": Figure(
            min(largest) / 1024, "KiB", _BLOCK_KB_MIN, is_least=True
        ),
    }


def versions() -> dict[str, str]:
    """What was measured, and on what."""
    asked = subprocess.run(
        [str(find_vm()), "-c", "import sys; print(sys.version)"],
        capture_output=True,
        text=True,
        check=False,
    )
    return machine.versions() | {"micropython": asked.stdout.strip()}


def _tight_loops(folder: Path, extent: Extent, say: Say) -> dict[str, Figure]:
    """Efficiency and early requests of ours and of every peer."""
    tallies: dict[str, _Tally] = {}
    plans = {baud: _tight_plan(folder / str(baud), baud) for baud in BAUDS}
    for run in range(extent.runs):
        for baud in BAUDS:
            for is_strict in (False, True):
                setting = Setting(baud, is_strict=is_strict)
                kind = "strict" if is_strict else "tolerant"
                say(f"tight loop, run {run + 1} of {extent.runs}: {baud} baud, {kind} devices")
                exchanges = _ours(folder, plans[baud], setting, extent.tight_s)
                tallies.setdefault(OURS, _Tally()).add(setting, exchanges)
                for name in peers.installed("", baud):
                    exchanges = _peer(name, setting, extent.peer_s)
                    tallies.setdefault(name, _Tally()).add(setting, exchanges)
    return _tight_figures(tallies)


def _tight_figures(tallies: Mapping[str, _Tally]) -> dict[str, Figure]:
    ours = tallies[OURS]
    others = {name: tally for name, tally in tallies.items() if name != OURS}
    found: dict[str, Figure] = {}
    for is_strict in (False, True):
        for baud in BAUDS:
            key = (baud, is_strict)
            found[f"efficiency_{baud}{'_strict' if is_strict else ''}"] = Figure(
                median(ours.shares[key]),
                "share",
                _EFFICIENCY_MIN[baud],
                is_least=True,
                peers={name: median(tally.shares[key]) for name, tally in others.items()},
            )
    for baud in BAUDS:
        early = {name: float(tally.early[baud]) for name, tally in others.items()}
        found[f"inside_t35_{baud}"] = Figure(ours.early[baud], "count", 0, peers=early)
    return found


def _tight_plan(folder: Path, baud: int) -> BoardPlan:
    """Twice as many requests as fit: at 115,200 baud some 15 in the 100 ms of a period."""
    buses = [[Device(1, blocks=32, registers=_COUNT)]]
    return stations.saturated(stations.compiled(folder, buses, baud=baud, period_s=5))


def _ours(folder: Path, plan: BoardPlan, setting: Setting, seconds: float) -> list[Exchange]:
    with running_line(setting) as line, running_board(folder, plan.data, [line.path]):
        time.sleep(seconds)
    return line.exchanges


def _peer(name: str, setting: Setting, seconds: float) -> list[Exchange]:
    with running_line(setting) as line:
        peer = peers.installed(line.path, setting.baud)[name]
        process = subprocess.Popen(
            peer.argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if peer.is_telling else subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=_as_client,
        )
        try:
            if process.stdout is not None:
                process.stdout.read(len(peers.READY))
            time.sleep(seconds)
        finally:
            process.kill()
            process.communicate()
    return line.exchanges


def _as_client() -> None:
    """Between fork and exec, as the board's VM has it."""
    raise_priority(CLIENT)


def _dead_devices(folder: Path, extent: Extent, say: Say) -> dict[str, Figure]:
    """Two buses of a board, ten devices each; one is dead on the first, four on the second."""
    deads = tuple(_PERIOD_MAX)
    units = range(1, _DEVICES + 1)
    bus = [Device(unit, registers=_COUNT) for unit in units]
    plan = stations.compiled(folder / "dead", [bus] * len(deads), baud=19200, period_s=_WANTED_S)
    runs: dict[int, list[float]] = {dead: [] for dead in deads}
    for run in range(extent.runs):
        say(f"dead devices, run {run + 1} of {extent.runs}: one dead, and four dead of ten")
        with ExitStack() as stack:
            lines: list[Line] = []
            for dead in deads:
                setting = Setting(19200, units=tuple(units)[dead:])
                lines.append(stack.enter_context(running_line(setting)))
            paths = [line.path for line in lines]
            stack.enter_context(running_board(folder, plan.data, paths))
            time.sleep(extent.opening_s)
            start_s = time.monotonic()
            time.sleep(extent.window_s)
        for dead, line in zip(deads, lines, strict=True):
            healthy = tuple(units)[dead:]
            period_s = figures.worst_period_s(line.exchanges, healthy, start_s=start_s)
            runs[dead].append(period_s / _WANTED_S)
    return {
        f"healthy_period_{_DEAD_NAME[dead]}_dead": Figure(
            median(runs[dead]), "ratio", _PERIOD_MAX[dead]
        )
        for dead in deads
    }


def _full_plan(folder: Path, extent: Extent, say: Say) -> dict[str, Figure]:
    """What the fullest plan takes of the heap, a transaction allocates, and a pass lasts."""
    plan = stations.saturated(stations.full(folder / "full", baud=115200))
    used: list[float] = []
    heap: list[float] = []
    passes: list[float] = []
    for run in range(extent.runs):
        say(f"full plan, run {run + 1} of {extent.runs}: two busy buses, link polled")
        start, end = _meter(folder, extent.transactions, 1)
        used.append(end.allocated / (end.transactions - start.transactions))
        with ExitStack() as stack:
            paths = _two_lines(stack, 115200, TURNAROUND_S)
            board = stack.enter_context(running_board(folder, plan.data, paths))
            board.poll(extent.busy_s)
            words = board.read(_WORST_PASS, 5)
            passes.append(words[0] / 10)
            heap.append((words[3] << 16 | words[4]) / 1024)
    assert _HEAP_LEAST == _WORST_PASS + 3, "one read gives both"
    return {
        "bytes_per_transaction": Figure(median(used), "B", 0),
        "heap_free_least_kb": Figure(median(heap), "KiB", _HEAP_KB_MIN, is_least=True),
        "loop_pass_worst_ms": Figure(median(passes), "ms", _PASS_MS_MAX),
    }


def _meter(
    folder: Path, transactions: int, steps: int, *, turnaround_s: float = TURNAROUND_S
) -> list[Reading]:
    """The full plan on two busy buses, metered from within."""
    plan = stations.saturated(stations.full(folder / "full", baud=115200))
    with ExitStack() as stack:
        paths = _two_lines(stack, 115200, turnaround_s)
        board = stack.enter_context(
            running_board(
                folder,
                plan.data,
                paths,
                program=METER,
                arguments=[str(transactions), str(steps)],
            )
        )
        return board.readings(30 + transactions / _SOAK_RATE_MIN)


def _two_lines(stack: ExitStack, baud: int, turnaround_s: float) -> list[str]:
    setting = Setting(baud, units=range(1, 17), turnaround_s=turnaround_s)
    return [stack.enter_context(running_line(setting)).path for _ in range(2)]
