"""A lab's bench: real boards, on whose buses simulated devices answer behind RS-485 adapters.

Before a story its plan is pushed to each board (`shorewatch plan push`, which leaves a board alone
that has it), with the strap bridged where the bench can do that.
"""

import asyncio
import sys
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from shorewatch.compiled import Compiled
from shorewatch.errors import DemoError
from shorewatch.hil.file import BenchFile, BoardPlug, load_bench
from shorewatch.hil.part import Edge, LackError, Need, until
from shorewatch.hil.process import Process
from shorewatch.hil.switch import run_program
from shorewatch.model import utc_now

PUSH_S_MAX: Final = 180.0
SIMULATED: Final = (Need.EMPTY, Need.SWAP, Need.TICKS)


class LabBoard:
    """One real board."""

    def __init__(self, plug: BoardPlug, file: Path, folder: Path) -> None:
        """Its plan is that of the station file; what tools say goes to `folder`."""
        self.id = plug.id
        self._plug, self._file = plug, file
        self._log = folder / f"{plug.id}.log"

    @property
    def processes(self) -> list[Process]:
        """None: it is hardware."""
        return []

    def why_not(self, need: Need) -> str | None:
        """What the bench file has not for it."""
        has = {
            Need.POWER: self._plug.power is not None,
            Need.LINK: self._plug.link is not None,
            Need.HANG: self._plug.halt is not None,
            Need.CONTACTS: {contact.input for contact in self._plug.contact} >= {0, 1},
        }
        if need in SIMULATED:
            return f"{need.value} (board {self.id} is a real one)"
        return None if has[need] else f"{need.value} (board {self.id})"

    async def start(self) -> None:
        """Power, link and contacts as on a quiet day, and its plan on it; raises DemoError."""
        for switch in (self._plug.power, self._plug.link):
            if switch is not None:
                await switch.switch(is_on=True)
        for contact in self._plug.contact:
            await contact.switch.switch(is_on=True)  # those of the stations are normally closed
        await self._attached()
        await self._push()

    async def cut_power(self) -> None:
        """Take its power away."""
        assert self._plug.power is not None, "the story needs it"
        await self._plug.power.switch(is_on=False)

    async def give_power(self) -> None:
        """Give its power back."""
        assert self._plug.power is not None, "the story needs it"
        await self._plug.power.switch(is_on=True)

    async def pull_link(self) -> None:
        """Take its link away, and leave its power."""
        assert self._plug.link is not None, "the story needs it"
        await self._plug.link.switch(is_on=False)

    async def plug_link(self) -> None:
        """Give its link back, if it can be taken at all."""
        if self._plug.link is not None:
            await self._plug.link.switch(is_on=True)
        await self._attached()

    async def move(self, edges: Sequence[Edge]) -> datetime:
        """Switch the relays, one after the other; the time before the first."""
        relays = {contact.input: contact.switch for contact in self._plug.contact}
        at = utc_now()
        for number, edge in enumerate(edges):
            if number:
                await asyncio.sleep(edge.after_us / 1e6)
            await relays[edge.contact].switch(is_on=edge.is_closed)
        return at

    async def hang(self) -> None:
        """Stop its processor, which its watchdog is not."""
        assert self._plug.halt is not None, "the story needs it"
        await run_program(self._plug.halt)

    def console(self) -> str:
        """What the tools have said of it."""
        return self._log.read_text("utf-8", "replace") if self._log.exists() else ""

    async def end(self) -> None:
        """Leave it as on a quiet day."""
        for contact in self._plug.contact:
            await contact.switch.switch(is_on=True)

    async def _attached(self) -> None:
        async def is_there() -> bool:
            return await asyncio.to_thread(Path(self._plug.port).exists)

        await until(is_there, f"board {self.id} at {self._plug.port}: is it plugged in?")

    async def _push(self) -> None:
        strap = self._plug.strap
        if strap is not None:
            await strap.switch(is_on=True)
        words = ["-m", "shorewatch", "plan", "push", str(self._file), self.id]
        words += ["--port", self._plug.port, "--yes"]
        with self._log.open("ab") as log:
            child = await asyncio.create_subprocess_exec(
                sys.executable, *words, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log
            )
            try:
                code = await asyncio.wait_for(child.wait(), PUSH_S_MAX)
            except TimeoutError:
                child.kill()
                code = await child.wait()
        if strap is not None:
            await strap.switch(is_on=False)
        if code:
            tail = self.console()[-600:].strip()
            raise DemoError(f"the plan does not go onto board {self.id}: {tail}")


class Lab:
    """The bench of a file."""

    def __init__(self, file: BenchFile, compiled: Compiled) -> None:
        """Raises LackError for a board or bus of the station that this bench has not."""
        self.name = file.name
        self._plugs = {plug.id: plug for plug in file.board}
        self._ids = list(compiled.station.boards)
        for name, board in compiled.station.boards.items():
            if name not in self._plugs:
                raise LackError(f"a board {name}")
            have = {bus.uart for bus in self._plugs[name].bus}
            for bus in board.bus:
                if bus.uart not in have:
                    raise LackError(f"an adapter for board {name}, UART {bus.uart}")

    def settings(self) -> Sequence[str]:
        """Type, identity and port of each board."""
        found = []
        for i, name in enumerate(self._ids):
            plug = self._plugs[name]
            found += [f"board.{i}.type={plug.type}", f'board.{i}.unique_id="{plug.unique_id}"']
            found += [f"board.{i}.link.port={plug.port}"]
        return found

    def board(self, file: Path, board_id: str, folder: Path, state: Path) -> LabBoard:
        """A real board."""
        return LabBoard(self._plugs[board_id], file, folder)

    def adapter(self, board_id: str, uart: int) -> str | None:
        """Where the devices answer."""
        return next(bus.adapter for bus in self._plugs[board_id].bus if bus.uart == uart)


def plug_of(path: Path) -> Callable[[Compiled], Lab]:
    """What makes the bench of a file; raises ConfigError for a file that is wrong."""
    file = load_bench(path)
    return lambda compiled: Lab(file, compiled)
