"""Hours of everything at once: nothing grows, nothing is wrong. Only with --soak-hours."""

import asyncio
import random
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from shorewatch.hil.bench import Bench
from shorewatch.hil.page import Course
from shorewatch.hil.part import Edge, Need
from shorewatch.plant.trouble import QUIET, Trouble

pytestmark = pytest.mark.timeout(0)
LOOK_S = 10.0
KEEP_S = 300.0  # how late a value may come to the NOC
READS_S = 1800.0  # a recording of a busy bus holds twice as long
GROWTH_MB_MAX = 8.0
GROWTH_FILES_MAX = 3
GROWTH_TASKS_MAX = 3
SHRUNK_KB_MAX = 1.0  # of a board's heap
TROUBLES = (
    QUIET, QUIET, Trouble(damaged=0.02), Trouble(dead=[21]), Trouble(late=0.1, late_s=0.5),
    Trouble(noise_per_s=5), Trouble(is_cut=True),
)  # fmt: skip


def held(pid: int) -> tuple[float, int]:
    """Megabytes and open files of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    (rss,) = [line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")]
    return int(rss) / 1024, len(list(Path(f"/proc/{pid}/fd").iterdir()))


def growth(values: Sequence[float]) -> float:
    """How much more there always is in the last quarter than there ever was in the first."""
    quarter = max(1, len(values) // 4)
    return min(values[-quarter:]) - max(values[:quarter])


async def test_hours_of_trouble_leave_everything_as_it_was(
    cold: Bench, pytestconfig: pytest.Config
) -> None:
    """Through hours of troubles, moving contacts and lost lines nothing grows or is wrong."""
    hours = pytestconfig.getoption("--soak-hours")
    if hours <= 0:
        pytest.skip("takes hours: name how many with --soak-hours 8")
    await cold.start()
    await cold.until_good()
    chance = random.Random(cold.seed)
    has_contacts = cold.need("north", Need.CONTACTS) is None
    memory_mb, files, tasks = [], [], []
    heap_kb: dict[str, list[float]] = {name: [] for name in cold.boards}
    values = records = 0
    begun_s = time.monotonic()
    reads_s = begun_s + READS_S
    while time.monotonic() < begun_s + hours * 3600:
        bus = chance.choice(list(cold.buses.values()))
        await bus.set_trouble(chance.choice(TROUBLES))
        if has_contacts:
            edges = [Edge(i, is_closed=chance.random() < 0.5) for i in (0, 1)]
            await cold.boards["north"].move(edges)
        if chance.random() < 0.1:
            await cold.lose_wan()
            await asyncio.sleep(chance.uniform(1, LOOK_S))
            await cold.mend_wan()
        await asyncio.sleep(LOOK_S)
        mb, count = held(cold.gateway.process.pid)
        live = await cold.gateway.ask("live")
        memory_mb.append(mb)
        files.append(float(count))
        tasks.append(float(live["tasks"]))
        for name, board in live["boards"].items():
            if board["heap_free"] is not None:
                heap_kb[name].append(board["heap_free"] / 1024)
        # What was judged is forgotten, so that the soak itself does not grow.
        assert cold.wrong() == []
        values += len(cold.noc.shown)
        records += len(cold.noc.records)
        cold.forget(KEEP_S)
        if time.monotonic() > reads_s:
            assert cold.written() == []
            reads_s += READS_S
    for bus in cold.buses.values():
        await bus.set_trouble()
    await cold.until_good()
    await cold.all_received()

    every_s = (time.monotonic() - begun_s) / len(memory_mb)
    cold.figures |= {
        "hours": hours,
        "values compared": values,
        "records": records,
        "memory of the gateway, MB": Course(every_s=every_s, values=memory_mb),
        "open files of the gateway": Course(every_s=every_s, values=files),
        "tasks of the gateway": Course(every_s=every_s, values=tasks),
    }
    for name, free in heap_kb.items():
        cold.figures[f"free heap of board {name}, kB"] = Course(every_s=every_s, values=free)
    assert cold.noc.holes == []
    assert growth(memory_mb) < GROWTH_MB_MAX
    assert growth(files) < GROWTH_FILES_MAX
    assert growth(tasks) < GROWTH_TASKS_MAX
    for name, free in heap_kb.items():
        assert growth([-kb for kb in free]) < SHRUNK_KB_MAX, name
