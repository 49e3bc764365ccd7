"""A station's daemon in a process of its own, with boards that the test plays."""

import asyncio
import json
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from fake_board import FakeBoard

from shorewatch.compiled import Compiled, load_compiled
from shorewatch.control import ControlError, ask
from shorewatch.plan import BoardPlan

PATIENCE_S = 60.0
STEPS = 200


class CountingBoard(FakeBoard):
    """A board whose room grows warmer by a step each time that somebody has read it.

    The temperature is a step of 0.3 degrees a reading, from 1 to `STEPS`, and again.
    """

    def __init__(self, plan: BoardPlan, port_path: Path) -> None:
        super().__init__(plan, port_path)
        found = [block for block in plan.blocks if block.device.id == "room"]
        self._block = found[0] if found else None
        self.readings = 0
        self._warm()

    def _warm(self) -> None:
        if self._block is not None:
            tenths = 3 * (self.readings % STEPS + 1)
            self.set_block(self._block.index, status=1, age_ms=5, data=[tenths, 500])

    def _reply(self, request: bytes) -> bytes:
        reply = super()._reply(request)
        address, count = int.from_bytes(request[2:4]), int.from_bytes(request[4:6])
        if request[1] == 4 and self._block and address <= self._block.image < address + count:
            self.readings += 1
            self._warm()
        return reply


class RunningStation:
    """One daemon; its station file may be written anew."""

    def __init__(self, process: asyncio.subprocess.Process, path: Path, state: Path) -> None:
        self.process = process
        self.path = path
        self.state = state
        self.boards: dict[str, CountingBoard] = {}

    async def ask(self, do: str, **more: object) -> dict[str, Any]:
        return await asyncio.to_thread(ask, self.state, {"do": do, "by": "ali", **more})

    async def until(self, fact: Callable[[dict[str, Any]], Any], what: str = "it") -> Any:
        """Wait until something is so in the live snapshot."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                try:
                    if found := fact(await self.ask("live")):
                        return found
                except ControlError:
                    assert self.process.returncode is None, "the daemon ended"
                await asyncio.sleep(0.05)

    async def until_good(self) -> None:
        """Wait until the room is read."""
        await self.until(lambda live: temperature(live)["quality"] == "good")

    async def until_read_on(self, count: int = 5) -> None:
        """Wait until the room has been read some more times."""
        wanted = self.boards["beach"].readings + count
        async with asyncio.timeout(PATIENCE_S):
            while self.boards["beach"].readings < wanted:
                await asyncio.sleep(0.02)

    def hang_up(self) -> None:
        self.process.send_signal(signal.SIGHUP)

    async def stop(self) -> list[dict[str, Any]]:
        """End it in order; the records of its journal."""
        self.process.terminate()
        assert await self.process.wait() == 0
        with sqlite3.connect(self.state / "outbox.sqlite") as database:
            rows = database.execute("SELECT kind, body FROM record ORDER BY seq").fetchall()
        database.close()
        return [{"kind": kind, **json.loads(body)} for kind, body in rows]


def temperature(live: Mapping[str, Any]) -> Mapping[str, Any]:
    """The room's temperature in a live snapshot."""
    return live["devices"]["room"]["points"]["temperature"]


def room_samples(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The room's samples from its first good one on."""
    found = [r for r in records if r["kind"] == "sample" and r["device"] == "room"]
    while found and "temperature" not in found[0].get("points", {}):
        found.pop(0)
    return found


def whats(records: list[dict[str, Any]], source: str) -> list[str]:
    """What the events of a source say."""
    return [r["what"] for r in records if r["kind"] == "event" and r["source"] == source]


@asynccontextmanager
async def running_station(folder: Path, text: str) -> AsyncIterator[RunningStation]:
    """A daemon that runs the station file `text`; the boards in it answer."""
    path, state = folder / "s.toml", folder / "state"
    path.write_text(text)
    compiled: Compiled = load_compiled(path)
    with ExitStack() as boards:
        played = {
            board_id: CountingBoard(plan, state / compiled.station.boards[board_id].link.port)
            for board_id, plan in compiled.plans.items()
        }
        for board in played.values():
            boards.callback(board.close)
        command = ["-m", "shorewatch", "run", str(path), "--state-dir", str(state)]
        process = await asyncio.create_subprocess_exec(sys.executable, *command)
        station = RunningStation(process, path, state)
        station.boards = played
        try:
            yield station
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()
