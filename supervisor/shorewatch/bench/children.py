"""The child processes of `bench chaos`: started, ended as one says, and missed if they end alone.

A process that ends although nobody ended it, or with a code that says it failed, is named in
`crashes`. All of them write to one log. None outlives this process.
"""

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeVar

from shorewatch.bench.nursery import Child, Nursery
from shorewatch.errors import DemoError

STOP_S_MAX: Final = 30.0
LOOK_S: Final = 0.05
_T = TypeVar("_T")


class Children:
    """Processes by the part they play."""

    def __init__(self, log: Path) -> None:
        self.log_path = log
        self._log = log.open("ab")
        self._nursery: Nursery | None = None
        self._parts: dict[str, Child] = {}
        self.crashes: list[str] = []

    def __getitem__(self, part: str) -> Child:
        return self._parts[part]

    async def start(self, part: str, *words: str, keep: Sequence[int] = ()) -> Child:
        """Start `python -m words`; "{}" among them stand for the open files `keep`."""
        if self._nursery is None:
            self._nursery = await Nursery.opened(self._log.fileno())
        child = await self._nursery.start(words, [self._log.fileno(), *keep])
        self._parts[part] = child
        return child

    def signal(self, part: str, signum: int) -> None:
        """Send it, if the part still runs."""
        # Not by the child's own method: before it signals it asks whether the child has ended, and
        # who asks first is the only one who learns with what code.
        child = self._parts[part]
        if child.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(child.pid, signum)

    async def end(
        self, part: str, signum: int, *, is_ending: bool = False, well: Sequence[int] = (0,)
    ) -> int:
        """Signal a part and wait for its end; its code.

        `is_ending`: it may have ended before. `well` are the codes that say nothing of a failure.
        """
        child = self._parts[part]
        if child.returncode is not None and not is_ending:
            self.crashes.append(f"the {part} ended by itself with code {child.returncode}")
        self.signal(part, signum)
        try:
            code = await asyncio.wait_for(child.wait(), STOP_S_MAX)
        except TimeoutError as error:
            text = f"the {part} does not end within {STOP_S_MAX:.0f} s of signal {signum}"
            raise DemoError(f"{text}; see {self.log_path}") from error
        # By SIGTERM itself, if it came before Python's first line.
        if code not in (*well, -signal.SIGTERM, -signal.SIGKILL):
            self.crashes.append(f"the {part}, told to end, ended with code {code}")
        return code

    async def end_all(self) -> None:
        """Kill what still runs."""
        for part, child in self._parts.items():
            self.signal(part, signal.SIGKILL)
            await child.wait()
        if self._nursery is not None:
            await self._nursery.close()
        self._log.close()


async def looked(look: Callable[[], Awaitable[_T | None]], for_s: float) -> _T | None:
    """What `look` finds first, looking again and again; None if it finds nothing in that time."""
    deadline_s = time.monotonic() + for_s
    while True:
        found = await look()
        if found is not None or time.monotonic() > deadline_s:
            return found
        await asyncio.sleep(LOOK_S)
