"""A bench: boards with simulated devices on their buses, a gateway, a broker, a NOC.

    devices (rack.py) ─ bus ─▶ board ─ link ─▶ gateway ─▶ wan ─▶ broker ─▶ NOC (noc.py)

Benches differ only in their boards, and in where the devices answer: on ptys, or behind RS-485
adapters. `opened` gives one whose parts are made, none of them started; `start` starts them.
At the end nothing runs; a process that ended by itself is an error.
"""

import asyncio
import random
import shutil
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final, Protocol

from shorewatch.bench.breaking import Breaker
from shorewatch.compiled import Compiled, load_compiled
from shorewatch.config import parse_override
from shorewatch.control import ControlError, ask
from shorewatch.errors import DemoError
from shorewatch.field.sniff import READS
from shorewatch.hil.bus import Bus
from shorewatch.hil.gateway import Gateway
from shorewatch.hil.noc import BenchNoc
from shorewatch.hil.page import Figures
from shorewatch.hil.part import Board, Need
from shorewatch.hil.process import Process
from shorewatch.hil.sim import SimBoard
from shorewatch.hil.witness import Testimony, asked_on
from shorewatch.mqtt.broker import wait_for_broker
from shorewatch.mqtt.station import Seen
from shorewatch.plant.run import line_path

CONSUMER: Final = "noc"
_ERRORS: Final = (
    ("timeouts", "unanswered"), ("crc_errors", "damaged"), ("exceptions", "refused"),
    ("rejected", "not theirs"), ("stray_bytes", "stray bytes"),
)  # fmt: skip


class Plug(Protocol):
    """What is plugged in: how a bench comes by its boards and by the devices' lines."""

    name: str

    def settings(self) -> Sequence[str]:
        """What the station file of this bench says otherwise, as KEY=VALUE."""

    def board(self, file: Path, board_id: str, folder: Path, state: Path) -> "Played": ...

    def adapter(self, board_id: str, uart: int) -> str | None:
        """The tty behind which the devices of a bus answer; None: a pty."""


class Played(Board, Protocol):
    """A board that a bench starts and ends."""

    @property
    def processes(self) -> list[Process]: ...

    async def start(self) -> None: ...

    async def end(self) -> None: ...


class Sim:
    """The simulated bench."""

    name = "sim"

    def __init__(self, compiled: Compiled) -> None:
        self._boards = list(compiled.station.boards)

    def settings(self) -> Sequence[str]:
        """The links go through cords."""
        return [f"board.{i}.link.port=links/{name}.tty" for i, name in enumerate(self._boards)]

    def board(self, file: Path, board_id: str, folder: Path, state: Path) -> Played:
        """A virtual board."""
        return SimBoard(file, board_id, folder, state)

    def adapter(self, board_id: str, uart: int) -> str | None:
        """A pty."""
        return None


class Bench:
    """All parts; made by `opened`."""

    def __init__(
        self, compiled: Compiled, file: Path, folder: Path, plug: Plug, *, port: int, seed: int
    ) -> None:
        """`port` and the next one on 127.0.0.1 are the bench's; `folder` is what it leaves."""
        station = compiled.station
        self.compiled, self.file, self.folder = compiled, file, folder
        self.plug, self.seed = plug, seed
        self.state = folder / "state"
        self.state.mkdir(parents=True)
        self.broker_port = port + 1
        self.wan = Breaker(port + 1, random.Random(seed))
        self.broker = Process(
            "broker",
            ["shorewatch", "plant", "broker", "--port", str(port + 1), "--state-dir",
             str(folder / "broker")],
            folder / "broker.log",
        )  # fmt: skip
        self.boards = {name: plug.board(file, name, folder, self.state) for name in station.boards}
        self.buses = {
            (name, bus.uart): Bus(
                station, file, name, bus.uart, folder, seed=seed,
                pty=line_path(self.state, name, bus.uart), adapter=plug.adapter(name, bus.uart),
            )
            for name, board in station.boards.items()
            for bus in board.bus
        }  # fmt: skip
        settings = [f"uplink.0.url=mqtt://127.0.0.1:{port}", *plug.settings()]
        self.gateway = Gateway(file, folder, self.state, settings)
        name = f"{station.cable}/{station.id}"
        self.noc = BenchNoc(f"mqtt://127.0.0.1:{port + 1}", name, CONSUMER)
        self._testimony = Testimony()
        self.figures: Figures = {}

    def need(self, board_id: str, *needs: Need) -> str | None:
        """What the bench lacks of that; None: nothing."""
        lacks = [why for need in needs if (why := self.boards[board_id].why_not(need))]
        return "; ".join(lacks) or None

    async def start(self) -> None:
        """Start every part."""
        await self.start_field()
        await self.start_broker()
        await self.noc.start()
        await self.gateway.start()

    async def start_field(self) -> None:
        """Boards and what hangs on them."""
        await asyncio.gather(*(bus.start() for bus in self.buses.values()))
        await asyncio.gather(*(board.start() for board in self.boards.values()))
        await asyncio.gather(*(board.plug_link() for board in self.boards.values()))

    async def lose_wan(self) -> None:
        """The way to the broker is gone: what is sent vanishes, what was open stays open."""
        self.wan.swallow({"client", "server"})

    async def mend_wan(self) -> None:
        """It is back; connections of before are reset."""
        await self.wan.mend()

    async def start_broker(self) -> None:
        """Start it; return when it listens."""
        await self.broker.start()
        await wait_for_broker(self.broker_port)

    async def until_good(self, for_s: float = 60.0) -> None:
        """Return when the NOC has every point, good."""

        def bad() -> list[str]:
            return [name for name in self.compiled.station.devices if not self.is_good(name)]

        try:
            await self.noc.until(lambda _: not bad() or None, "every point", for_s)
        except DemoError as error:
            text = f"at the NOC these are not good after {for_s:g} s: {', '.join(bad())}"
            raise DemoError(text) from error

    def wrong(self) -> list[str]:
        """Every good value that the NOC was shown or sent and that no device had then."""
        self._testimony.add(
            self.compiled.plans, {key: bus.served() for key, bus in self.buses.items()}
        )
        shown = ((*key, value) for key, value in self.noc.shown.items())
        return self._testimony.faults([*shown, *self.noc.samples()])

    def forget(self, keep_s: float) -> None:
        """Drop all that was judged, and what devices answered so many seconds ago."""
        self.noc.forget()
        self._testimony.forget(time.time() - keep_s)

    def written(self) -> list[str]:
        """Every frame that left a board on a bus and is no read; there must be none, ever."""
        return [
            f"bus {bus.name}: {piece.data.hex()}"
            for bus in self.buses.values()
            for piece in asked_on(bus.recorded())
            if piece.is_frame and piece.function not in READS
        ]

    async def all_received(self) -> int:
        """Return when the NOC has every record that the gateway has written until now."""
        last = (await self.gateway.until(lambda live: live["outbox"], "the outbox"))["last"]
        await self.noc.until(lambda noc: noc.received_to >= last or None, f"record {last}")
        return int(last)

    def is_good(self, device: str) -> bool:
        """Whether the NOC has every point of it, good."""
        return all(seen is not None and seen.quality == "good" for seen in self._seen(device))

    def is_silent(self, device: str) -> bool:
        """Whether the NOC has a value for no point of it, and is told so."""
        found = self._seen(device)
        return all(s is not None and s.quality == "bad" and s.value is None for s in found)

    def readings(self, device: str) -> int:
        """At how many times of acquisition the NOC was shown good values of it."""
        return len({at for name, _, at in self.noc.shown if name == device})

    def _seen(self, device: str) -> list[Seen | None]:
        points = self.compiled.station.devices[device].points
        return [self.noc.seen(device, point) for point in points]

    def note_figures(self) -> None:
        """What any story can say beside its own: latencies at the NOC, errors on the lines."""
        if self.noc.latencies_ms:
            self.figures["from a device's answer to the NOC, ms"] = self.noc.latencies_ms
        with suppress(ControlError):
            live: Mapping[str, Any] = ask(self.state, {"do": "live"})
            for name, board in live["boards"].items():
                for bus in board["buses"]:
                    told = [f"{bus[key]} {text}" for key, text in _ERRORS if bus[key]]
                    text = f"{bus['good']} good, {', '.join(told) or 'none other'}"
                    self.figures[f"requests on {name}/{bus['uart']}"] = text

    def processes(self) -> list[Process]:
        """All of them."""
        boards = [process for board in self.boards.values() for process in board.processes]
        buses = [bus.process for bus in self.buses.values()]
        return [*boards, *buses, self.broker, self.gateway.process]

    async def end(self) -> None:
        """End everything in order, the NOC first; what fails keeps nothing running."""
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self.broker.end)
            for bus in self.buses.values():
                stack.push_async_callback(bus.process.end)
            for board in self.boards.values():
                stack.push_async_callback(board.end)
            stack.push_async_callback(self.gateway.stop)
            stack.push_async_callback(self.noc.stop)

    def faults(self) -> list[str]:
        """Processes that ended although nobody told them to, or badly when they were told."""
        return [process.fault for process in self.processes() if process.fault is not None]


MakePlug = Callable[[Compiled], Plug]


@asynccontextmanager
async def opened(
    file: Path, folder: Path, *, port: int, seed: int = 1, plug: MakePlug = Sim
) -> AsyncIterator[Bench]:
    """A bench of a station file, with its files in `folder`; it ends with the block.

    Raises DemoError at the end if a process has ended by itself.
    """
    copy = _copied(file, folder)
    plugged = plug(load_compiled(copy))
    compiled = load_compiled(copy, [parse_override(text) for text in plugged.settings()])
    bench = Bench(compiled, copy, folder, plugged, port=port, seed=seed)
    async with bench.wan.listening(port):
        try:
            yield bench
        finally:
            await bench.end()
    if faults := bench.faults():
        raise DemoError("; ".join(faults))


def _copied(file: Path, folder: Path) -> Path:
    """The station file, and the profiles beside it, in the bench's folder."""
    folder.mkdir(parents=True, exist_ok=True)
    if (profiles := file.parent / "profiles").is_dir():
        shutil.copytree(profiles, folder / "profiles")
    return Path(shutil.copyfile(file, folder / file.name))
