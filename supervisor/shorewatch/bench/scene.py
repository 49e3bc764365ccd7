"""Everything that runs in `bench chaos`, and what can be done to it; the account of it at the end.

                 ┌▶ steady ─┐                               ┌▶ noc    watch --acknowledge --verify
    counting ────┼▶ left ───┼─▶ breaking ─▶ broker ─▶ breaking
     devices     └▶ right ──┘    one line for all           └▶ judge  the same, with its own file

Three stations (victim.py). The gateway of `steady` lives from beginning to end, the others are
killed, too. Each method leaves the scene whole, or says by DemoError why it cannot. `PORTS` ports
from `first_port` on: broker, line, devices, and as many where nobody listens as a station has, for
the rival: a second gateway of one's identity.
"""

import asyncio
import json
import random
import signal
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from enum import Enum, auto
from pathlib import Path
from typing import Any, Final

from shorewatch.bench import counting, layer
from shorewatch.bench.breaking import Breaker
from shorewatch.bench.children import LOOK_S, STOP_S_MAX, Children
from shorewatch.bench.room import mounted
from shorewatch.bench.victim import OUTBOX_MB, UNREACHABLE, Victim
from shorewatch.bench.witness import Account, Kept, agreed, compared, judge
from shorewatch.errors import DemoError
from shorewatch.mqtt.broker import wait_for_broker
from shorewatch.outbox import Outbox

STATIONS: Final = ("steady", "left", "right")
DEVICES: Final = 4  # of each station
CONSUMERS: Final = ("noc", "judge")
PORTS: Final = 2 + (len(STATIONS) + 1) * DEVICES
_KEY: Final = "the key of a consumer that lives on one machine\n"
# What --verify finds when it is stopped under way and is no fault of anybody.
_UNDER_WAY: Final = ("have not come, later ones have", "no record came")


class Need(Enum):
    """What a disturbance cannot be made without."""

    NOTHING = auto()
    MOUNT = auto()
    LAYER = auto()
    EITHER = auto()


class Scene:
    """Everything that runs; made by `playing`."""

    def __init__(self, folder: Path, first_port: int, chance: random.Random) -> None:
        self._folder = folder
        self._broker_port, self._line_port = first_port, first_port + 1
        self._devices_port = first_port + 2
        self._children = Children(folder / "processes.log")
        self.line = Breaker(self._broker_port, chance)
        self.victims: list[Victim] = []

    @property
    def crashes(self) -> list[str]:
        """Processes that failed, and gateways that broke their word."""
        broken = [text for victim in self.victims for text in victim.broken]
        return [*self._children.crashes, *broken]

    def why_not(self, need: Need) -> str | None:
        """Why there is no such thing here; None: there is."""
        mount, below = self.victims[0].why_not, layer.why_not()
        return {
            Need.NOTHING: None,
            Need.MOUNT: mount,
            Need.LAYER: below,
            Need.EITHER: mount and below and f"{mount}; {below}",
        }[need]

    async def start_broker(self) -> None:
        """Start it, and again if the one before has not let go of its port."""
        words = ("plant", "broker", "--port", str(self._broker_port), "--state-dir")
        for _ in range(10):
            folder = str(self._folder / "broker")
            broker = await self._children.start("broker", "shorewatch", *words, folder)
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

    async def start_consumer(self, name: str) -> None:
        """Start it; return at once. It goes on with its file."""
        await self._children.start(
            name, "shorewatch", "watch", f"mqtt://127.0.0.1:{self._line_port}",
            "--acknowledge", name, "--jsonl", str(self._lines(name)), "--from-first",
            "--identity", name, "--key-file", str(self._folder / "noc.key"),
            "--verify", "--json", str(self._verdict(name)),
        )  # fmt: skip

    async def kill(self, part: str) -> None:
        """SIGKILL to the broker or a consumer; return when it is gone."""
        await self._children.end(part, signal.SIGKILL)

    async def stop_broker(self) -> None:
        """SIGTERM; return when it has ended well."""
        await self._children.end("broker", signal.SIGTERM)

    async def stop_consumer(self, name: str) -> None:
        """SIGTERM; return when it has said what it found, which may be that something is late."""
        self._verdict(name).unlink(missing_ok=True)
        code = await self._children.end(name, signal.SIGTERM, well=(0, 1, UNREACHABLE))
        fault = self._said(name).get("fault")
        if code == 1 and not str(fault).endswith(_UNDER_WAY[0]) and _UNDER_WAY[1] not in str(fault):
            self._children.crashes.append(f"the consumer {name} found: {fault}")

    async def play_rival(self, for_s: float) -> None:
        """For a while a second gateway has `left`'s identity; it has an outbox of its own."""
        rival = self._folder / "rival"
        await self._children.start(
            "rival", "shorewatch.bench.rig", str(self._folder / "left" / "levers"), "-", "-",
            "run", str(rival / "station.toml"), "--state-dir", str(rival / "state"),
        )  # fmt: skip
        await asyncio.sleep(for_s)
        await self._children.end("rival", signal.SIGTERM)

    async def caught_up(self) -> None:
        """Return when both consumers have acknowledged all that was recorded until this call."""
        await asyncio.gather(*(victim.caught_up() for victim in self.victims))

    async def account(self) -> Account:
        """End everything in order, the devices first, and judge what there is."""
        await self._children.end("devices", signal.SIGTERM)
        await self.caught_up()
        for victim in self.victims:
            await victim.stop()
        for name in CONSUMERS:
            self._verdict(name).unlink(missing_ok=True)
            await self._children.end(name, signal.SIGTERM)
        kept = [record async for record in self._kept()]
        return await asyncio.to_thread(self._judged, kept)

    async def prepare(self, stack: AsyncExitStack) -> None:
        """Make folders, files and file systems that the processes begin with."""
        key = self._folder / "noc.key"
        key.write_text(_KEY, "utf-8")
        key.chmod(0o600)
        for place, name in enumerate((*STATIONS, "rival")):
            folder = self._folder / name
            (folder / "state").mkdir(parents=True)
            first, port = place * DEVICES, self._devices_port + place * DEVICES
            identity = place
            if name == "rival":
                identity = STATIONS.index("left")
                first = identity * DEVICES
            devices = range(first, first + DEVICES)
            counting.write_station(
                folder / "station.toml", first_port=port, devices=devices,
                tail="\n".join(_tail(self._line_port, key, devices[0])), name=STATIONS[identity],
            )  # fmt: skip
            if name != "rival":
                room = await stack.enter_async_context(mounted(folder / "state"))
                self.victims.append(Victim(self._children, name, folder, room))

    async def start_devices(self) -> None:
        """Start them; DemoError if their ports are taken."""
        log, count = self._folder / "answers.log", len(STATIONS) * DEVICES
        words = (str(self._devices_port), str(count), str(log))
        devices = await self._children.start("devices", "shorewatch.bench.counting", *words)
        deadline_s = time.monotonic() + STOP_S_MAX
        while not log.exists() or devices.returncode is not None:
            if devices.returncode is not None or time.monotonic() > deadline_s:
                text = f"ports from {self._devices_port} on are taken"
                raise DemoError(f"{text}; choose others with --first-port")
            await asyncio.sleep(LOOK_S)

    async def end_all(self) -> None:
        """Kill what still runs."""
        await self._children.end_all()

    def _lines(self, name: str) -> Path:
        return self._folder / f"{name}.jsonl"

    def _verdict(self, name: str) -> Path:
        return self._folder / f"{name}.json"

    def _said(self, name: str) -> dict[str, Any]:
        path = self._verdict(name)
        return dict(json.loads(path.read_bytes())) if path.exists() else {}

    async def _kept(self) -> AsyncIterator[Kept]:
        """The records of all databases there were, the rival's included."""
        paths = [path for victim in self.victims for path in victim.databases]
        rival = self._folder / "rival" / "state" / "outbox.sqlite"
        for path in [*paths, *([rival] if rival.exists() else [])]:
            async with Outbox.opened(path, size_bytes_max=OUTBOX_MB * 1_000_000) as outbox:
                after = 0
                while records := await outbox.read(after, 1000):
                    after = records[-1].seq
                    for record in records:
                        yield Kept(outbox.journal, record.seq, record.kind, record.body)

    def _judged(self, kept: Sequence[Kept]) -> Account:
        answers = counting.load_answers(self._folder / "answers.log")
        lives = {
            counting.name_of(place * DEVICES + device): victim.lives
            for place, victim in enumerate(self.victims)
            for device in range(DEVICES)
        }
        noc, beside = (self._lines(name).read_bytes().splitlines() for name in CONSUMERS)
        account = judge(noc, kept, answers, lives)
        compared(noc, beside, account)
        for name, lines in zip(CONSUMERS, (noc, beside), strict=True):
            agreed(name, lines, self._said(name), account)
        return account


@asynccontextmanager
async def playing(folder: Path, *, first_port: int, chance: random.Random) -> AsyncIterator[Scene]:
    """A scene in `folder`, which is empty, with all its parts running; they end with the block."""
    scene = Scene(folder, first_port, chance)
    async with AsyncExitStack() as stack:
        await scene.prepare(stack)
        stack.push_async_callback(scene.end_all)
        await stack.enter_async_context(scene.line.listening(first_port + 1))
        await scene.start_devices()
        await scene.start_broker()
        for name in CONSUMERS:
            await scene.start_consumer(name)
        for victim in scene.victims:
            await victim.start()
        await scene.caught_up()
        yield scene


def _tail(line_port: int, key: Path, device: int) -> Iterator[str]:
    yield "[history]\nrecord = false"
    yield f"[outbox]\nsize_mb_max = {OUTBOX_MB}"
    yield f'[[uplink]]\nid = "noc"\nurl = "mqtt://127.0.0.1:{line_port}"'
    yield f"consumers = {json.dumps(CONSUMERS)}"
    for name in CONSUMERS:
        yield f'[[uplink.requester]]\nid = "{name}"\nkey_file = "{key}"'
    # On and off again and again: alarms are records, too.
    yield '[[alarm]]\nid = "high"\ntext = "Too high"\naction = "None"\npriority = "minor"'
    yield f'point = "{counting.name_of(device)}.w0"\nabove = 32768'
