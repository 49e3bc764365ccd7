"""A simulated board of a bench: the firmware on its VM (plant/virtual_board.py) behind a USB cord.

gateway ─▶ links/<board>.tty ─ cord.py ─ boards/<board>.link ◀─ plant board ─▶ racks
"""

import asyncio
import os
import signal
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from shorewatch.errors import DemoError
from shorewatch.hil.part import Edge, Need, until
from shorewatch.hil.process import Process
from shorewatch.model import utc_now

_SETTLED_S: Final = 1.0


class SimBoard:
    """One board: two processes, and the VM that is a child of the first."""

    def __init__(
        self, file: Path, board_id: str, folder: Path, state: Path, words: Sequence[str] = ()
    ) -> None:
        """`words` are more of `plant board`; logs and the recording of the link go to `folder`."""
        self.id = board_id
        self._contacts = state / "boards" / f"{board_id}.contacts"
        self.flash = state / "boards" / f"{board_id}.flash"
        self.link = state / "boards" / f"{board_id}.link"
        self.tty = state / "links" / f"{board_id}.tty"
        played = ["shorewatch", "plant", "board", str(file), board_id, "--state-dir", str(state)]
        log = folder / f"{board_id}.log"
        self.process = Process(f"board {board_id}", [*played, *words], log)
        self._folder = folder
        self._cord = self._new_cord(self.tty)

    def why_not(self, need: Need) -> str | None:
        """A simulated board has everything."""
        return None

    @property
    def processes(self) -> list[Process]:
        """All that it is."""
        return [self.process, self._cord]

    async def start(self) -> None:
        """Switch it on; return when its link and its contacts are there."""
        await self.process.start()

        async def is_there() -> bool:
            if self.process.fault is not None:
                raise DemoError(self.process.fault)
            return self.link.exists() and self._contacts.exists()

        await until(is_there, f"board {self.id}")

    async def cut_power(self) -> None:
        """Take its power away: its VM is gone at once, its flash stays as it is then."""
        self.process.send(signal.SIGUSR1)
        await until(self._is_off, f"board {self.id} to be off")

    async def give_power(self) -> None:
        """Give its power back."""
        self.process.send(signal.SIGUSR2)

    async def pull_link(self) -> None:
        """Pull its USB plug at the gateway."""
        await self._cord.end()

    async def plug_link(self) -> None:
        """Plug it in."""
        await self._cord.start()
        await self._is_plugged()

    async def plug_into(self, tty: Path) -> None:
        """Plug it in where another board's plug was."""
        await self._cord.end()
        self._cord = self._new_cord(tty)
        await self._cord.start()

    async def move(self, edges: Sequence[Edge]) -> datetime:
        """Play edges on its contacts; the time before the first."""
        text = "".join(f"{e.contact} {int(e.is_closed)} {e.after_us}\n" for e in edges)
        at = utc_now()
        with self._contacts.open("wb", buffering=0) as port:
            port.write(text.encode())
        return at

    async def hang(self) -> None:
        """Its program stops where it is, and does not feed its watchdog."""
        os.kill(self.vm_pid(), signal.SIGSTOP)

    def vm_pid(self) -> int:
        """The process of its MicroPython; raises DemoError while it is off."""
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        if not children:
            raise DemoError(f"board {self.id} is off")
        return int(children[0])

    def console(self) -> str:
        """What its hardware says: starts, resets, crashes."""
        return self.process.log.read_text("utf-8", "replace") if self.process.log.exists() else ""

    async def end(self) -> None:
        """Take it off the bench."""
        await asyncio.gather(self._cord.end(), self.process.end())

    async def _is_off(self) -> bool:
        try:
            self.vm_pid()
        except DemoError:
            return True
        return False

    async def _is_plugged(self) -> None:
        async def is_there() -> bool:
            if self._cord.fault is not None:
                raise DemoError(self._cord.fault)
            return self.tty.exists()

        await until(is_there, f"the link of board {self.id}")

    def _new_cord(self, tty: Path) -> Process:
        words = ["shorewatch.hil.cord", str(tty), str(self.link), str(self._folder)]
        return Process(f"cord {self.id}", words, self._folder / f"{self.id}-cord.log")
