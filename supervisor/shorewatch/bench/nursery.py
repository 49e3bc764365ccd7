"""A process that has loaded the libraries, and forks at a word: for `bench chaos`.

Three fifths of the time of a start go into modules that are not ours. `python -m
shorewatch.bench.nursery N` loads all that a gateway and `watch` need, forgets what is ours of it,
and then serves the socket N: each message starts `python -m WORDS` in a fork of itself. What is
ours is loaded anew by each, so that nothing that is drawn or kept at import is shared.

    to it    {"words": [...]} with the open files: output, and what "{}" in the words stands for
    from it  {"pid"} for each start; {"pid", "code"} when one has ended

All children end with it, and it ends with the socket.
"""

import asyncio
import gc
import json
import os
import runpy
import select
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

from shorewatch.process import die_with

_MESSAGE_BYTES: Final = 8192
_LOADED: Final = ("shorewatch.cli", "shorewatch.daemon", "shorewatch.watch", "shorewatch.compiled")
_OURS: Final = "shorewatch"


class Child:
    """A process that was forked; as asyncio's own ones are."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._ended = asyncio.Event()

    async def wait(self) -> int:
        """Return its code when it has ended."""
        await self._ended.wait()
        assert self.returncode is not None, "it has ended"
        return self.returncode

    def end(self, code: int) -> None:
        """It has ended."""
        self.returncode = code
        self._ended.set()


class Nursery:
    """Our end of the socket; made by `opened`."""

    def __init__(self, line: socket.socket, keeper: asyncio.subprocess.Process) -> None:
        self._line, self._keeper = line, keeper
        self._started: asyncio.Queue[int] = asyncio.Queue()
        self._asking = asyncio.Lock()
        self._children: dict[int, Child] = {}
        self._codes: dict[int, int] = {}
        asyncio.get_running_loop().add_reader(line, self._hear)

    @classmethod
    async def opened(cls, log: int) -> "Nursery":
        """Start it."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        with theirs:
            keeper = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "shorewatch.bench.nursery", str(theirs.fileno()),
                stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log,
                preexec_fn=partial(die_with, os.getpid()), pass_fds=[theirs.fileno()],
            )  # fmt: skip
        return cls(ours, keeper)

    async def start(self, words: Sequence[str], files: Sequence[int]) -> Child:
        """Start `python -m words`; `files` are its output, and what "{}" stands for."""
        async with self._asking:
            socket.send_fds(self._line, [json.dumps({"words": words}).encode()], files)
            pid = await self._started.get()
        child = self._children[pid] = Child(pid)
        if pid in self._codes:  # it was quick
            self._end(pid, self._codes.pop(pid))
        return child

    async def close(self) -> None:
        """End it; its children ended before."""
        asyncio.get_running_loop().remove_reader(self._line)
        self._line.close()
        await self._keeper.wait()

    def _hear(self) -> None:
        with suppress(BlockingIOError, ConnectionResetError):
            found = json.loads(self._line.recv(_MESSAGE_BYTES) or b"{}")
            if "code" in found:
                self._end(found["pid"], found["code"])
            elif "pid" in found:
                self._started.put_nowait(found["pid"])

    def _end(self, pid: int, code: int) -> None:
        child = self._children.pop(pid, None)
        if child is None:
            self._codes[pid] = code
        else:
            child.end(code)


def _serve(line: socket.socket) -> tuple[list[str], list[int]] | None:
    """Fork at each message; returns words and files in each child, and None at the end."""
    woken, wakes = os.pipe()
    os.set_blocking(wakes, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wakes)
    while True:
        ready, _, _ = select.select([line.fileno(), woken], [], [])
        if woken in ready:
            os.read(woken, 4096)
            _bury(line)
        if line.fileno() not in ready:
            continue
        data, files, _, _ = socket.recv_fds(line, _MESSAGE_BYTES, 8)
        if not data:
            return None
        keeper = os.getpid()
        pid = os.fork()
        if pid == 0:
            die_with(keeper, signal.SIGKILL)
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.close(woken)
            os.close(wakes)
            line.close()
            return json.loads(data)["words"], files
        for file in files:
            os.close(file)
        line.send(json.dumps({"pid": pid}).encode())


def _bury(line: socket.socket) -> None:
    with suppress(ChildProcessError):
        while (found := os.waitpid(-1, os.WNOHANG))[0]:
            code = os.waitstatus_to_exitcode(found[1])
            line.send(json.dumps({"pid": found[0], "code": code}).encode())


def _load() -> None:
    """Load what all need, and forget what is ours."""
    for name in _LOADED:
        __import__(name)
    for name in [name for name in sys.modules if name.split(".")[0] == _OURS]:
        del sys.modules[name]
    gc.collect()
    gc.freeze()


def _become(words: list[str], files: list[int]) -> Any:
    output, *kept = files
    for standard in (1, 2):
        os.dup2(output, standard)
    os.close(output)
    named = iter(kept)
    words = [str(next(named)) if word == "{}" else word for word in words]
    sys.argv = [str(Path(words[0])), *words[1:]]
    return runpy.run_module(words[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _line = socket.socket(fileno=int(sys.argv[1]))
    _load()
    if (_found := _serve(_line)) is not None:
        _become(*_found)
