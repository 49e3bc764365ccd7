"""The processes of `bench chaos`, and what can be done to them; the account of it all at the end.

    counting ──▶ gateway (under stepping) ──▶ breaking ──▶ broker ──▶ breaking ──▶ watch --jsonl
     devices      outbox in state/             one line for both       the consumer, with its file

Each method leaves the scene whole, or says by DemoError why it cannot. A process that ends although
nobody ended it is named in `crashes`. `PORTS` ports from `first_port` on: broker, line, devices,
and as many where nobody listens, for the rival: a second gateway of the same identity.
"""

import asyncio
import os
import random
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from shorewatch.bench import counting, stepping
from shorewatch.bench.breaking import Breaker
from shorewatch.bench.uplink import OUTBOX_MB
from shorewatch.bench.witness import Account, Kept, Life, judge
from shorewatch.control import ControlError, ask
from shorewatch.errors import DemoError
from shorewatch.mqtt.broker import wait_for_broker
from shorewatch.outbox import Outbox
from shorewatch.process import die_with

DEVICES: Final = 6
PORTS: Final = 2 + 2 * DEVICES
STOP_S_MAX: Final = 30.0
CATCH_UP_S_MAX: Final = 120.0
_LOOK_S: Final = 0.1
_KEY: Final = "the key of a consumer that lives on one machine\n"
Process = asyncio.subprocess.Process


@dataclass(frozen=True, slots=True)
class Size:
    """What a process holds."""

    rss_mb: float
    files: int
    threads: int


class Scene:
    """Everything that runs; made by `playing`."""

    def __init__(self, folder: Path, first_port: int, chance: random.Random) -> None:
        self._folder = folder
        self._broker_port, self._line_port = first_port, first_port + 1
        self._devices_port = first_port + 2
        self._state = folder / "state"
        self._log = (folder / "processes.log").open("ab")
        self._children: list[Process] = []
        self._parts: dict[str, Process] = {}
        self._started_ns = 0
        self._lives: list[Life] = []
        self._old = 0
        self.line = Breaker(self._broker_port, chance)
        self.crashes: list[str] = []

    async def start_broker(self) -> None:
        """Start it, and again if the one before has not let go of its port."""
        words = ("plant", "broker", "--port", str(self._broker_port), "--state-dir")
        for _ in range(10):
            broker = await self._start("broker", "shorewatch", *words, str(self._folder / "broker"))
            waiting = asyncio.create_task(wait_for_broker(self._broker_port))
            ending = asyncio.create_task(broker.wait())
            await asyncio.wait([waiting, ending], return_when=asyncio.FIRST_COMPLETED)
            ending.cancel()
            if broker.returncode is None:
                await waiting
                return
            waiting.cancel()
            await asyncio.wait([waiting])
        raise DemoError(f"port {self._broker_port} is taken; choose others with --first-port")

    async def start_gateway(self) -> None:
        """Start it; return at once."""
        self._started_ns = time.monotonic_ns()
        await self._start_gateway("gateway", self._folder / "station.toml", self._state)

    async def start_consumer(self) -> None:
        """Start it; return at once. It goes on with its file."""
        await self._start(
            "consumer", "shorewatch", "watch", f"mqtt://127.0.0.1:{self._line_port}",
            "--acknowledge", "noc", "--jsonl", str(self._folder / "records.jsonl"),
            "--from-first", "--identity", "noc", "--key-file", str(self._folder / "noc.key"),
        )  # fmt: skip

    async def kill(self, part: str) -> None:
        """SIGKILL to the broker, the consumer or the gateway; return when it is gone."""
        await self._end(part, signal.SIGKILL)

    async def stop(self, part: str) -> None:
        """SIGTERM to the broker, the consumer or the gateway; return when it has ended well."""
        await self._end(part, signal.SIGTERM)

    async def kill_while_stopping(self, part: str, after_s: float) -> None:
        """SIGTERM, then SIGKILL if it still runs."""
        _send(self._parts[part], signal.SIGTERM)
        await asyncio.sleep(after_s)
        await self._end(part, signal.SIGKILL, is_stopping=True)

    async def play_rival(self, for_s: float) -> None:
        """For a while a second gateway has our identity; it has an outbox of its own."""
        rival = self._folder / "rival"
        await self._start_gateway("rival", rival / "station.toml", rival / "state")
        await asyncio.sleep(for_s)
        await self._end("rival", signal.SIGTERM)

    def take_outbox(self) -> None:
        """Put the database of the gateway, which does not run, aside: the next one is empty."""
        self._old += 1
        old = self._folder / f"old-{self._old}"
        old.mkdir()
        for path in self._state.glob("outbox.sqlite*"):
            path.rename(old / path.name)

    def step_clock(self, step_s: float) -> None:
        """Set the gateway's wall clock that far off."""
        stepping.write_step(self._folder / "step", step_s)

    def size(self) -> Size:
        """What the gateway holds now."""
        folder = Path(f"/proc/{self._parts['gateway'].pid}")
        status = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines())
        rss_mb = int(status["VmRSS"].split()[0]) / 1024
        return Size(rss_mb, len(list((folder / "fd").iterdir())), int(status["Threads"]))

    async def caught_up(self) -> None:
        """Return when the consumer has acknowledged what was recorded when this was called."""
        target = (await self._look())["outbox"]["last"]
        deadline_s = time.monotonic() + CATCH_UP_S_MAX
        while (found := (await self._look())["uplinks"]["noc"])["acknowledged"] < target:
            if time.monotonic() > deadline_s:
                where = f"{found['acknowledged']} of {target}: {found['text']}"
                raise DemoError(f"the consumer does not catch up ({where}); see {self._folder}")
            await asyncio.sleep(_LOOK_S)

    async def account(self) -> Account:
        """End everything in order, the devices first, and judge what there is."""
        await self._end("devices", signal.SIGTERM)
        await self.caught_up()
        for part in ("gateway", "consumer"):
            await self.stop(part)
        kept = [record async for record in self._kept()]
        return await asyncio.to_thread(self._judged, kept)

    def prepare(self) -> None:
        """Write the files that the processes begin with."""
        self._state.mkdir()
        self.step_clock(0)
        key = self._folder / "noc.key"
        key.write_text(_KEY, "utf-8")
        key.chmod(0o600)
        tail = "\n".join(_tail(self._line_port, key))
        (self._folder / "rival" / "state").mkdir(parents=True)
        for path, port in ((self._folder, 0), (self._folder / "rival", DEVICES)):
            counting.write_station(
                path / "station.toml",
                first_port=self._devices_port + port, count=DEVICES, tail=tail,
            )  # fmt: skip

    async def start_devices(self) -> None:
        """Start them; DemoError if their ports are taken."""
        log = self._folder / "answers.log"
        devices = await self._start(
            "devices", "shorewatch.bench.counting", str(self._devices_port), str(DEVICES), str(log)
        )
        deadline_s = time.monotonic() + STOP_S_MAX
        while not log.exists() or devices.returncode is not None:
            if devices.returncode is not None or time.monotonic() > deadline_s:
                text = f"ports from {self._devices_port} on are taken"
                raise DemoError(f"{text}; choose others with --first-port")
            await asyncio.sleep(_LOOK_S)

    async def end_all(self) -> None:
        """Kill what still runs."""
        for child in self._children:
            if child.returncode is None:
                child.kill()
            await child.wait()
        self._log.close()

    async def _start(self, part: str, *words: str) -> Process:
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", *words,
            stdin=asyncio.subprocess.DEVNULL, stdout=self._log, stderr=self._log,
            preexec_fn=partial(die_with, os.getpid()),
        )  # fmt: skip
        self._children = [c for c in self._children if c.returncode is None] + [child]
        self._parts[part] = child
        return child

    async def _start_gateway(self, part: str, station: Path, state: Path) -> None:
        await self._start(
            part, "shorewatch.bench.stepping", str(self._folder / "step"),
            "run", str(station), "--state-dir", str(state),
        )  # fmt: skip

    async def _end(self, part: str, signum: int, *, is_stopping: bool = False) -> None:
        child = self._parts[part]
        if child.returncode is not None and not is_stopping:
            self.crashes.append(f"the {part} ended by itself with code {child.returncode}")
        _send(child, signum)
        try:
            code = await asyncio.wait_for(child.wait(), STOP_S_MAX)
        except TimeoutError as error:
            text = f"the {part} does not end within {STOP_S_MAX:.0f} s of SIGTERM"
            raise DemoError(f"{text}; see {self._folder}") from error
        # By SIGTERM itself, if it came before Python's first line.
        if code not in (0, -signal.SIGTERM, -signal.SIGKILL):
            self.crashes.append(f"the {part}, told to end, ended with code {code}")
        if part == "gateway":
            self._lives.append(Life(self._started_ns, time.monotonic_ns(), code != 0))

    async def _look(self) -> dict[str, Any]:
        """What the gateway says of itself, when it does."""
        deadline_s = time.monotonic() + STOP_S_MAX
        while True:
            try:
                return await asyncio.to_thread(ask, self._state, {"do": "live"})
            except ControlError as error:
                has_ended = self._parts["gateway"].returncode is not None
                if has_ended or time.monotonic() > deadline_s:
                    text = f"the gateway is silent ({error}); see {self._folder}"
                    raise DemoError(text) from error
            await asyncio.sleep(_LOOK_S)

    async def _kept(self) -> AsyncIterator[Kept]:
        """The records of all databases there were, the rival's included."""
        folders = [self._state, self._folder / "rival" / "state", *self._folder.glob("old-*")]
        for folder in folders:
            path = folder / "outbox.sqlite"
            if not path.exists():
                continue
            async with Outbox.opened(path, size_bytes_max=OUTBOX_MB * 1_000_000) as outbox:
                after = 0
                while records := await outbox.read(after, 1000):
                    after = records[-1].seq
                    for record in records:
                        yield Kept(outbox.journal, record.seq, record.kind, record.body)

    def _judged(self, kept: list[Kept]) -> Account:
        answers = counting.load_answers(self._folder / "answers.log")
        with (self._folder / "records.jsonl").open("rb") as lines:
            return judge(lines, kept, answers, self._lives)


@asynccontextmanager
async def playing(folder: Path, *, first_port: int, chance: random.Random) -> AsyncIterator[Scene]:
    """A scene in `folder`, which is empty, with all its parts running; they end with the block."""
    scene = Scene(folder, first_port, chance)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(scene.end_all)
        scene.prepare()
        await stack.enter_async_context(scene.line.listening(first_port + 1))
        await scene.start_devices()
        await scene.start_broker()
        await scene.start_consumer()
        await scene.start_gateway()
        await scene.caught_up()
        yield scene


def _send(child: Process, signum: int) -> None:
    # Not by the child's own method: before it signals it asks whether the child has ended, and who
    # asks first is the only one who learns with what code.
    if child.returncode is None:
        with suppress(ProcessLookupError):
            os.kill(child.pid, signum)


def _tail(line_port: int, key: Path) -> Iterator[str]:
    yield "[history]\nrecord = false"
    yield f"[outbox]\nsize_mb_max = {OUTBOX_MB}"
    yield f'[[uplink]]\nid = "noc"\nurl = "mqtt://127.0.0.1:{line_port}"\nconsumers = ["noc"]'
    yield f'[[uplink.requester]]\nid = "noc"\nkey_file = "{key}"'
    # On and off again and again: alarms are records, too.
    yield '[[alarm]]\nid = "high"\ntext = "Too high"\naction = "None"\npriority = "minor"'
    yield 'point = "d0.w0"\nabove = 32768'
