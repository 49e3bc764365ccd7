"""Simulated devices on one bus of a board, as the stories hold them: our side of rack.py."""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shorewatch.config import Station
from shorewatch.errors import DemoError
from shorewatch.hil.process import Process
from shorewatch.hil.witness import Served, parse_served
from shorewatch.plant.record import Entry, read_recording
from shorewatch.plant.trouble import QUIET, Trouble


class Bus:
    """One line; `name` is board/uart."""

    def __init__(
        self, station: Station, file: Path, board_id: str, uart: int, folder: Path, *,
        pty: Path | None, adapter: str | None, seed: int,
    ) -> None:  # fmt: skip
        """On a new pty of that name, or behind an adapter; recordings and log go to `folder`."""
        self.name = f"{board_id}/{uart}"
        self.wire = folder / f"{station.id}-{board_id}-{uart}.wire"
        self._served = self.wire.with_suffix(".served")
        self._served_to = 0  # bytes of it that were read
        where = ["--tty", adapter] if adapter is not None else ["--pty", str(pty)]
        words = ["shorewatch.hil.rack", str(file), board_id, str(uart), *where]
        words += ["--record", str(folder), "--seed", str(seed)]
        log = folder / f"{board_id}-{uart}.log"
        self.process = Process(f"bus {self.name}", words, log, is_asked=True)
        self._child: asyncio.subprocess.Process | None = None
        self._asking = asyncio.Lock()

    async def start(self) -> None:
        """Return when its devices can be asked; raises DemoError if they cannot."""
        self._child = await self.process.start()
        await self._read("start")

    async def set_trouble(self, trouble: Trouble = QUIET) -> None:
        """From now on this is wrong with the line; by default nothing."""
        await self.tell(do="trouble", trouble=trouble.model_dump())

    async def hold(self, utc_s: float | None) -> None:
        """The devices stand still at a moment; None: they go on."""
        await self.tell(do="hold", utc_s=utc_s)

    async def set_cells(self, unit_id: int, table: str, cells: Mapping[int, int]) -> None:
        """Registers that stand in a device's table, whatever it would have there."""
        await self.tell(do="cells", unit_id=unit_id, table=table, cells=cells)

    async def counts(self) -> dict[str, int]:
        """What happened on the line since its start (plant/line.py)."""
        found: dict[str, int] = (await self.tell(do="counts"))["counts"]
        return found

    async def tell(self, **told: object) -> dict[str, Any]:
        """Tell the rack; its answer. Raises DemoError if it does not take it."""
        async with self._asking:
            assert self._child is not None and self._child.stdin is not None, "it was started"
            self._child.stdin.write(json.dumps(told).encode() + b"\n")
            return await self._read(str(told["do"]))

    def recorded(self) -> list[Entry]:
        """All bytes that passed so far."""
        return read_recording(self.wire)

    def served(self) -> list[Served]:
        """What its devices have answered with since this was asked last."""
        with self._served.open("rb") as file:
            file.seek(self._served_to)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._served_to += len(whole)
        return parse_served(whole.decode("ascii"))

    async def _read(self, do: str) -> dict[str, Any]:
        assert self._child is not None and self._child.stdout is not None, "it was started"
        line = await self._child.stdout.readline()
        if not line:
            await self._child.wait()
            raise DemoError(f"bus {self.name}: {do}: its process ended: {self.process.tail()}")
        found: dict[str, Any] = json.loads(line)
        if "error" in found:
            raise DemoError(f"bus {self.name}: {found['error']}")
        return found
