"""The station's gateway on a bench: `shorewatch run` with its clock in our hand (bench/rig.py)."""

import asyncio
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from shorewatch.bench.rig import Levers, Refusal
from shorewatch.control import ControlError, ask
from shorewatch.hil.part import PATIENCE_S, until
from shorewatch.hil.process import Process

_T = TypeVar("_T")


class Gateway:
    """The daemon; its state is in `state`."""

    def __init__(self, file: Path, folder: Path, state: Path, settings: Sequence[str]) -> None:
        self.state = state
        self._levers = Levers(folder / "levers")
        words = ["shorewatch.bench.rig", str(folder / "levers"), "-", "-", "run", str(file)]
        words += ["--state-dir", str(state)]
        for setting in settings:
            words += ["--set", setting]
        self.process = Process("gateway", words, folder / "gateway.log")

    async def start(self, *settings: str) -> None:
        """Start it, with more KEY=VALUE if given; return at once."""
        await self.process.start([word for text in settings for word in ("--set", text)])

    async def stop(self) -> None:
        """SIGTERM; return when it has ended."""
        await self.process.end()

    async def kill(self) -> None:
        """SIGKILL."""
        await self.process.end(signal.SIGKILL)

    def step_clock(self, by_s: float) -> None:
        """Its wall clock jumps; the monotonic one does not."""
        self._levers.step_s += by_s

    def fail_disk(self, refusal: Refusal = Refusal.NOTHING) -> None:
        """From now on its disk refuses this; by default nothing."""
        self._levers.refusal = refusal

    async def ask(self, do: str, **more: object) -> dict[str, Any]:
        """An answer of its control socket; raises ControlError."""
        return dict(await asyncio.to_thread(ask, self.state, {"do": do, **more}))

    async def until(
        self, fact: Callable[[dict[str, Any]], _T | None], what: str, for_s: float = PATIENCE_S
    ) -> _T:
        """Return what `fact` finds in its live snapshot; raises DemoError if it never does."""

        async def look() -> _T | None:
            try:
                return fact(await self.ask("live"))
            except ControlError:
                return None

        return await until(look, what, for_s)
