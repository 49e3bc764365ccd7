"""Hours of everything at once: nothing grows, nothing is wrong. Only with --soak-hours."""

import asyncio
import random
import time
from pathlib import Path

import pytest

from shorewatch.hil.bench import Bench
from shorewatch.hil.part import Edge
from shorewatch.plant.trouble import QUIET, Trouble

pytestmark = pytest.mark.timeout(0)
LOOK_S = 10.0
GROWTH_MB_MAX = 8.0
TROUBLES = (
    QUIET, QUIET, Trouble(damaged=0.02), Trouble(dead=[21]), Trouble(late=0.1, late_s=0.5),
    Trouble(noise_per_s=5), Trouble(is_cut=True),
)  # fmt: skip


def held(pid: int) -> tuple[float, int]:
    """Megabytes and open files of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    (rss,) = [line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")]
    return int(rss) / 1024, len(list(Path(f"/proc/{pid}/fd").iterdir()))


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
    memory_mb, files, heap_kb, tasks = [], [], [], []
    end_s = time.monotonic() + hours * 3600
    while time.monotonic() < end_s:
        bus = chance.choice(list(cold.buses.values()))
        await bus.set_trouble(chance.choice(TROUBLES))
        edges = [Edge(0, is_closed=chance.random() < 0.5), Edge(1, is_closed=chance.random() < 0.5)]
        await cold.boards["north"].move(edges)
        if chance.random() < 0.1:
            await cold.lose_wan()
            await asyncio.sleep(chance.uniform(1, LOOK_S))
            await cold.mend_wan()
        await asyncio.sleep(LOOK_S)
        mb, count = held(cold.gateway.process.pid)
        live = await cold.gateway.ask("live")
        memory_mb.append(mb)
        files.append(count)
        heap_kb.append((live["boards"]["north"]["heap_free"] or 0) / 1024)
        tasks.append(live.get("tasks", 0))
        # What was shown is judged and forgotten, so that the soak itself does not grow.
        assert cold.wrong() == []
        cold.noc.shown.clear()
    for bus in cold.buses.values():
        await bus.set_trouble()
    await cold.until_good()
    await cold.all_received()
    quarter = max(1, len(memory_mb) // 4)
    cold.figures["hours"] = hours
    cold.figures["memory of the gateway, MB"] = memory_mb
    cold.figures["open files of the gateway"] = [float(count) for count in files]
    cold.figures["free heap of board north, kB"] = heap_kb
    cold.figures["records"] = len(cold.noc.records)
    assert cold.noc.holes == []
    growth_mb = min(memory_mb[-quarter:]) - max(memory_mb[:quarter])
    assert growth_mb < GROWTH_MB_MAX, f"the gateway grew by {growth_mb:.1f} MB"
    assert max(files[-quarter:]) <= max(files[: max(quarter, 3)]) + 3
