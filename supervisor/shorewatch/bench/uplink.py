"""From many Modbus TCP devices to a subscriber: what it costs, how long it takes, what gets lost.

Real processes on this machine: the devices (`field`), the gateway as `shorewatch run` starts it, a
broker, a subscriber (`listener`). Processor time is that of the gateway's threads alone, from the
scheduler's own account.

    steady    50 devices of 100 registers, all changing each second: cost and delays; then more of
              them, for the most that one core would carry; beside it `bare`, which stores nothing
    outage    the broker away, and the gateway killed (SIGKILL) in the middle: what is missing, what
              the subscriber takes twice, how soon values flow again
    drain     a backlog from the outbox: its rate, and the delays of live values meanwhile

The steady load runs with alarms, outbox and both kinds of messages and without the history; what
the history adds is a figure of its own. Memory is the gateway's highest over all of it.
"""

import asyncio
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from shorewatch.bench import machine
from shorewatch.bench.field import REGISTERS, write_station
from shorewatch.bench.figures import Figure, Result
from shorewatch.errors import DemoError
from shorewatch.model import utc_now
from shorewatch.mqtt.broker import wait_for_broker
from shorewatch.outbox import Outbox

PREFIX: Final = "shorewatch/v1/bench/bench"
OUTBOX_MB: Final = 600
_READY_S_MAX: Final = 60.0
_ALARMS: Final = 10  # of each device

_SUMMED = ("now_ms", "journal_ms", "alarm_ms", "now_points", "journal_points", "journal_bytes")
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Extent:
    """How much is measured. Ports from `first_port` on: broker, then devices."""

    devices: int = 50
    many: int = 400
    steady_s: float = 30.0
    outage_s: float = 60.0
    backlog_points: int = 20_000_000
    first_port: int = 18900


QUICK: Final = Extent(devices=5, many=10, steady_s=3.0, outage_s=3.0, backlog_points=100_000)


@dataclass(slots=True)
class _Bench:
    """The processes of one run, and the gateway's highest memory."""

    folder: Path
    extent: Extent
    stack: ExitStack
    broker: "subprocess.Popen[str] | None" = None
    gateway: "subprocess.Popen[str] | None" = None
    listener: "subprocess.Popen[str] | None" = None
    rss_mb: float = 0.0
    _children: "list[subprocess.Popen[str]]" = field(default_factory=list)

    @property
    def broker_port(self) -> int:
        return self.extent.first_port

    def start(self, *words: str, is_piped: bool = False) -> "subprocess.Popen[str]":
        """A Python process of ours, ended with the bench."""
        log = self.stack.enter_context((self.folder / f"{len(self._children)}.log").open("w"))
        child = subprocess.Popen(
            [sys.executable, "-m", *words],
            stdin=subprocess.PIPE if is_piped else subprocess.DEVNULL,
            stdout=subprocess.PIPE if is_piped else log,
            stderr=log,
            text=True,
        )
        self._children.append(child)
        self.stack.callback(_end, child)
        return child

    def start_broker(self) -> None:
        port, state = str(self.broker_port), str(self.folder / "broker")
        words = ("plant", "broker", "--port", port, "--state-dir", state)
        self.broker = self.start("shorewatch", *words)
        asyncio.run(wait_for_broker(self.broker_port))

    def start_gateway(self, *, count: int, history: bool = False) -> None:
        tail = "\n".join(_tail(self.broker_port, count, history=history))
        path = write_station(
            self.folder, first_port=self.extent.first_port + 1, count=count, tail=tail
        )
        state = str(self.folder / "state")
        self.gateway = self.start("shorewatch", "run", str(path), "--state-dir", state)

    def start_field(self, count: int) -> "subprocess.Popen[str]":
        child = self.start(
            "shorewatch.bench.field", str(self.extent.first_port + 1), str(count), is_piped=True
        )
        assert child.stdout is not None, "piped"
        if child.stdout.readline() != "ready\n":
            raise DemoError(f"ports from {self.extent.first_port} on are taken; choose others")
        return child

    def start_listener(self) -> None:
        self.listener = self.start(
            "shorewatch.bench.listener", str(self.broker_port), PREFIX, is_piped=True
        )

    def mark(self) -> dict[str, Any]:
        """What the subscriber got since the last mark."""
        assert self.listener is not None and self.listener.stdin and self.listener.stdout
        self.listener.stdin.write("mark\n")
        self.listener.stdin.flush()
        found: dict[str, Any] = json.loads(self.listener.stdout.readline())
        return found

    def until_flowing(self, points: int) -> None:
        """Wait until so many values a second come through `now`, then a little longer."""
        deadline_s = time.monotonic() + _READY_S_MAX
        self.mark()
        while time.monotonic() < deadline_s:
            time.sleep(1.0)
            if self.mark()["now_points"] >= 0.9 * points:
                time.sleep(2.0)
                self.mark()
                return
        raise DemoError(f"values do not flow: see {self.folder}")

    def look(self) -> float:
        """Processor seconds of the gateway so far; also notes its memory."""
        assert self.gateway is not None, "started before"
        folder = Path(f"/proc/{self.gateway.pid}")
        for line in (folder / "status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                self.rss_mb = max(self.rss_mb, int(line.split()[1]) / 1024)
        spent_ns = 0
        for thread in (folder / "task").iterdir():
            spent_ns += int((thread / "schedstat").read_text().split()[0])
        return spent_ns / 1e9


def run_uplink(extent: Extent, say: Say) -> Result:
    """Measure everything; `say` is told what is being done. Raises DemoError if it cannot start."""
    busy = machine.ticks()
    found: dict[str, Figure] = {}
    steps: list[tuple[str, Callable[[_Bench], dict[str, Figure]]]] = [
        ("steady load", _steady), ("many devices", _many), ("outage", _outage), ("drain", _drain),
    ]  # fmt: skip
    for text, step in steps:
        say(text)
        with _bench(extent) as bench:
            found |= step(bench)
    return Result(found, machine.versions(), machine.load(busy))


@contextmanager
def _bench(extent: Extent) -> Iterator[_Bench]:
    with (
        tempfile.TemporaryDirectory(prefix="shorewatch-bench-") as name,
        ExitStack() as stack,
    ):
        bench = _Bench(Path(name), extent, stack)
        bench.start_broker()
        bench.start_listener()
        yield bench


def _steady(bench: _Bench) -> dict[str, Figure]:
    extent = bench.extent
    points = extent.devices * REGISTERS
    bench.start_field(extent.devices)
    bare = bench.start(
        "shorewatch.bench.bare", str(bench.broker_port), str(extent.first_port + 1),
        str(extent.devices),
    )  # fmt: skip
    time.sleep(3)
    peer = _cost(lambda: _spent_s(bare.pid), points, extent.steady_s / 2)
    _end(bare)
    bench.start_gateway(count=extent.devices)
    bench.until_flowing(points)
    cost = _cost(bench.look, points, extent.steady_s)
    tally = bench.mark()
    _stop(bench.gateway)
    bench.start_gateway(count=extent.devices, history=True)
    bench.until_flowing(points)
    whole = _cost(bench.look, points, extent.steady_s)
    peers = {"pymodbus and paho, no store": peer}
    return {
        "cpu_s_per_1000_points": Figure(cost, "s", 0.01, peers=peers),
        "cpu_s_with_history": Figure(whole, "s", 0.03),
        "now_p99_ms": Figure(_p99(tally["now_ms"]), "ms", 20),
        "journal_p99_ms": Figure(_p99(tally["journal_ms"]), "ms", 150),
        "wire_bytes_per_point": Figure(
            tally["journal_bytes"] / max(1, tally["journal_points"]), "B", 40
        ),
    }


def _many(bench: _Bench) -> dict[str, Figure]:
    extent = bench.extent
    points = extent.many * REGISTERS
    bench.start_field(extent.many)
    bench.start_gateway(count=extent.many)
    bench.until_flowing(points)
    cost = _cost(bench.look, points, extent.steady_s / 2)
    tally = bench.mark()
    return {
        "ceiling_points_per_s": Figure(1000 / cost, "points/s", 100_000, is_least=True),
        "many_rss_mb": Figure(bench.rss_mb, "MB", 200),
        "many_now_p99_ms": Figure(_p99(tally["now_ms"]), "ms", 500),
    }


def _outage(bench: _Bench) -> dict[str, Figure]:
    extent = bench.extent
    points = extent.devices * REGISTERS
    bench.start_field(extent.devices)
    bench.start_gateway(count=extent.devices)
    bench.until_flowing(points)
    _stop(bench.broker)
    time.sleep(extent.outage_s / 2)
    assert bench.gateway is not None and bench.broker is not None, "started above"
    bench.look()
    bench.gateway.send_signal(signal.SIGKILL)
    bench.gateway.wait()
    bench.start_gateway(count=extent.devices)
    time.sleep(extent.outage_s / 2)
    bench.mark()
    bench.start_broker()
    back_s = time.time()
    tally = _caught_up(bench)
    first_s = tally["first_s"]
    return {
        "outage_lost": Figure(tally["missing"], "records", 0),
        "outage_disordered": Figure(tally["disordered"], "batches", 0),
        "outage_repeated": Figure(tally["repeated"], "records", extent.devices * 100),
        "outage_rss_mb": Figure(bench.rss_mb, "MB", 120),
        "outage_back_s": Figure(max(0.0, first_s - back_s), "s", 2),
    }


def _drain(bench: _Bench) -> dict[str, Figure]:
    extent = bench.extent
    records = extent.backlog_points // REGISTERS
    state = bench.folder / "state"
    state.mkdir()
    asyncio.run(_fill(state / "outbox.sqlite", records))
    size = (state / "outbox.sqlite").stat().st_size
    bench.start_field(extent.devices)
    bench.start_gateway(count=extent.devices)
    tally = _caught_up(bench)
    bench.look()
    spent_s = tally["last_s"] - tally["first_s"]
    came = min(extent.backlog_points, tally["journal_points"])
    return {
        "drain_points_per_s": Figure(
            tally["journal_points"] / spent_s, "points/s", 100_000, is_least=True
        ),
        "drain_now_p99_ms": Figure(_p99(tally["now_ms"]), "ms", 500),
        "drain_alarm_p99_ms": Figure(_p99(tally["alarm_ms"]), "ms", 500),
        "drain_lost": Figure(extent.backlog_points - came, "points", 0),
        "drain_rss_mb": Figure(bench.rss_mb, "MB", 120),
        "outbox_bytes_per_point": Figure(size / extent.backlog_points, "B", 20),
    }


def _caught_up(bench: _Bench) -> dict[str, Any]:
    """Wait until what comes is not from before; everything that came since the last mark."""
    whole: dict[str, Any] = {}
    deadline_s = time.monotonic() + 600
    while time.monotonic() < deadline_s:
        time.sleep(1.0)
        tally = bench.mark()
        bench.look()
        first_s = whole.get("first_s")
        if first_s is not None and tally["journal_ms"] and max(tally["journal_ms"]) < 1500:
            return whole
        whole = {
            name: whole[name] + part if name in _SUMMED and whole else part
            for name, part in tally.items()
        } | {"first_s": first_s or tally["first_s"]}
    raise DemoError(f"the backlog does not come through: see {bench.folder}")


async def _fill(path: Path, records: int) -> None:
    """Records as the devices' would be, from a while ago."""
    at = utc_now() - timedelta(days=1)
    async with Outbox.opened(path, size_bytes_max=OUTBOX_MB * 1_000_000) as outbox:
        for number in range(records):
            points = {f"p{i}": (number * 7 + 31 * i) % 65536 / 10 for i in range(2, REGISTERS)}
            body = {"device": f"d{number % 50}", "uncertainty_s": 0.0012, "points": points}
            await outbox.put("sample", at, body | {"points": {"p0": 1, "p1": 1, **points}})


def _cost(spent_s: Callable[[], float], points: int, for_s: float) -> float:
    """Processor seconds for a thousand points, at so many points a second."""
    before, start_s = spent_s(), time.monotonic()
    time.sleep(for_s)
    return (spent_s() - before) / (time.monotonic() - start_s) / points * 1000


def _spent_s(pid: int) -> float:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def _p99(values: list[float]) -> float:
    return sorted(values)[int(0.99 * len(values))] if values else float("inf")


def _tail(broker_port: int, count: int, *, history: bool) -> Iterator[str]:
    yield f"[history]\nrecord = {'true' if history else 'false'}"
    yield f"[outbox]\nsize_mb_max = {OUTBOX_MB}"
    yield f'[[uplink]]\nid = "noc"\nurl = "mqtt://127.0.0.1:{broker_port}"\nconsumers = ["noc"]'
    for device in range(count):
        for number in range(_ALARMS):
            yield f'[[alarm]]\nid = "a{device}-{number}"\ntext = "Too high"\naction = "None"'
            yield f'priority = "minor"\npoint = "d{device}.p{10 + number}"'
            # Beyond what a register can say; the first one of all is on and off in turn.
            yield f"above = {3000 if device + number == 0 else 6600}"


def _stop(child: "subprocess.Popen[str] | None") -> None:
    assert child is not None, "started before"
    child.send_signal(signal.SIGTERM)
    child.wait(20)


def _end(child: "subprocess.Popen[str]") -> None:
    if child.poll() is None:
        child.kill()
    child.wait()
