"""A board at its REPL, through mpremote as a child process: run a program there, copy files to it.

mpremote has no stable library interface (its maintainers, 2026), hence the command. `resume`
always: without it mpremote restarts the board first, which a virtual board answers in its own way.
A child dies with us, and holds our lock of the port for as long as it lives.
"""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from signal import SIGKILL
from typing import Any

from shorewatch.errors import AbsentError, FieldError
from shorewatch.process import die_with

_MARK = "shorewatch:"
_TIMEOUT_S = 30.0
_COPY_S = 20.0  # of one file
_GONE = ("failed to access", "Input/output error", "device disconnected", "could not enter raw",
         "could not open port", "no device found", "returned no data")  # fmt: skip
_FULL = ("ENOSPC", "OSError: 28", "Errno 28", "No space left")


class Repl:
    """A board at its prompt. Every method raises AbsentError if it has gone, FieldError else."""

    def __init__(self, path: str, *, lock_fd: int | None = None) -> None:
        self._path = path
        self._lock_fd = lock_fd

    def run(self, program: str, *, timeout_s: float = _TIMEOUT_S) -> Any:
        """Run a program on the board; gives what it handed to `answer`, a JSON value, or None.

        The program has a function `answer(value)`.
        """
        head = f"def answer(v):\n import json\n print({_MARK!r} + json.dumps(v))\n"
        out = self._mpremote(["exec", head + program], timeout_s=timeout_s)
        for line in out.splitlines():
            if line.startswith(_MARK):
                return json.loads(line.removeprefix(_MARK))
        return None

    def leave(self, program: str) -> None:
        """Run a program that restarts the board: nothing comes back from it."""
        self._mpremote(["exec", "--no-follow", program], timeout_s=_TIMEOUT_S)

    def copy(
        self, folder: Path, files: Mapping[str, str], done: Callable[[str], None] = lambda _: None
    ) -> None:
        """Copy files of a folder to paths on the board; `done` is told each one that begins."""
        chain: list[str] = []
        for name, target in files.items():
            chain += [*(["+"] if chain else []), "fs", "cp", "-f", str(folder / name), f":{target}"]
        if chain:
            self._mpremote(chain, timeout_s=_COPY_S, done=done)

    def _mpremote(
        self,
        words: Sequence[str],
        *,
        timeout_s: float,
        done: Callable[[str], None] | None = None,
    ) -> str:
        # mpremote knows a pty by its real name only.
        argv = [
            sys.executable,
            "-m",
            "mpremote",
            "connect",
            os.path.realpath(self._path),
            "resume",
            *words,
        ]
        child = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            pass_fds=() if self._lock_fd is None else (self._lock_fd,),
            preexec_fn=partial(die_with, os.getpid(), SIGKILL),
        )
        with child:
            try:
                out, is_late = _read(child, timeout_s, done)
            finally:
                child.kill()
        if is_late:
            text = f"the board has said nothing for {timeout_s:.0f} s; has it power?"
            raise AbsentError(f"{self._path}: {text} Then flash again")
        if child.returncode:
            raise self._failure(out)
        return out

    def _failure(self, out: str) -> FieldError:
        last = out.strip().splitlines()[-1] if out.strip() else "mpremote ended without a word"
        if any(sign in out for sign in _FULL):
            text = (
                f"{self._path}: the board's file system is full: remove what is not Shorewatch's "
                f"(mpremote connect {self._path} resume fs ls), then flash again"
            )
            return FieldError(text)
        if any(sign in out for sign in _GONE):
            text = (
                f"{self._path}: the board has gone ({last}); is its USB plug in? Then flash again"
            )
            return AbsentError(text)
        return FieldError(f"{self._path}: the board's MicroPython says: {last}")


def _read(
    child: "subprocess.Popen[str]", timeout_s: float, done: Callable[[str], None] | None
) -> tuple[str, bool]:
    """All that the child says; kills it when it has said nothing for too long, and tells so."""
    last_s, is_late, has_ended = [time.monotonic()], threading.Event(), threading.Event()

    def watch() -> None:
        while not has_ended.wait(max(0.05, last_s[0] + timeout_s - time.monotonic())):
            if time.monotonic() >= last_s[0] + timeout_s:
                is_late.set()
                child.kill()
                return

    watching = threading.Thread(target=watch, daemon=True)
    watching.start()
    lines = []
    try:
        assert child.stdout is not None, "its output is a pipe"
        for line in child.stdout:
            last_s[0] = time.monotonic()
            lines.append(line)
            if done is not None and line.startswith("cp "):
                done(line.split()[1])
        child.wait()
    finally:
        has_ended.set()
        watching.join()
    return "".join(lines), is_late.is_set()
