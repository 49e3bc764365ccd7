"""A process of a bench: started, ended as one says, its words kept in a file of its own.

None outlives the process that started it. One that ends by itself is no secret: `fault` says so.
"""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

from shorewatch.errors import DemoError
from shorewatch.process import die_with

STOP_S_MAX: Final = 20.0
_TAIL_BYTES: Final = 800


class Process:
    """`python -m words`; `log` has what it says, of all its lives.

    `more` are words that each start has beside.
    """

    def __init__(
        self, name: str, words: Sequence[str], log: Path, *, is_asked: bool = False
    ) -> None:
        """One that is asked has pipes for stdin and stdout."""
        self.name, self.log = name, log
        self._is_asked = is_asked
        self._words, self.more = list(words), list[str]()
        self._child: asyncio.subprocess.Process | None = None
        self._is_told = False

    @property
    def pid(self) -> int:
        """Of the process that runs."""
        assert self._child is not None and self._child.returncode is None, f"{self.name} runs"
        return self._child.pid

    @property
    def is_running(self) -> bool:
        return self._child is not None and self._child.returncode is None

    @property
    def fault(self) -> str | None:
        """What is wrong with how it ended, if it did; None: nothing."""
        code = None if self._child is None else self._child.returncode
        if code is None or (self._is_told and code in (0, -signal.SIGTERM, -signal.SIGKILL)):
            return None
        how = "when it was told to end" if self._is_told else "by itself"
        return f"{self.name} ended {how} with code {code}; the last it said: {self.tail()}"

    async def start(self, words: Sequence[str] = ()) -> asyncio.subprocess.Process:
        """Start it, with more words if given; return at once."""
        assert not self.is_running, f"{self.name} is started once"
        self._is_told = False
        with self.log.open("ab") as log:
            self._child = await asyncio.create_subprocess_exec(
                sys.executable, "-m", *self._words, *self.more, *words,
                stdin=asyncio.subprocess.PIPE if self._is_asked else asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE if self._is_asked else log, stderr=log,
                preexec_fn=partial(die_with, os.getpid(), signal.SIGKILL),
            )  # fmt: skip
        return self._child

    async def end(self, signum: int = signal.SIGTERM) -> None:
        """Signal it and wait; raises DemoError if it does not end."""
        child = self._child
        if child is None or child.returncode is not None:
            return
        self._is_told = True
        child.send_signal(signum)
        try:
            await asyncio.wait_for(child.wait(), STOP_S_MAX)
        except TimeoutError as error:
            child.kill()
            await child.wait()
            text = f"{self.name} does not end within {STOP_S_MAX:.0f} s of signal {signum}"
            raise DemoError(f"{text}; see {self.log}") from error

    def send(self, signum: int) -> None:
        """Signal it and go on."""
        os.kill(self.pid, signum)

    def tail(self) -> str:
        """The end of what it said."""
        with contextlib.suppress(OSError):
            return self.log.read_bytes()[-_TAIL_BYTES:].decode("utf-8", "replace").strip()
        return ""
