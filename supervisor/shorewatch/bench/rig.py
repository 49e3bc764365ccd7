"""A command of ours in a process whose clock and disk the benchmark holds: for `bench chaos`.

`python -m shorewatch.bench.rig LEVERS PIPE FOLDER run STATION ...` is `shorewatch run STATION ...`
with two things held by whoever has the file LEVERS, too:

    clock   `model.utc_now`, where the whole product takes its time from, is the machine's plus a
            step. It is replaced before anybody imports it; the monotonic clock stays, as really
    disk    a layer below SQLite writes each step in FOLDER to PIPE (an open file's number), refuses
            what LEVERS says, and ends the process by SIGKILL after as many steps as it says

With PIPE "-" the disk is left alone. LEVERS is three little-endian numbers of 8 bytes.
"""

import mmap
import os
import runpy
import signal
import struct
import sys
import threading
from collections.abc import Callable
from contextlib import nullcontext
from datetime import datetime, timedelta
from enum import IntEnum
from pathlib import Path
from typing import Final

from shorewatch import model
from shorewatch.bench.layer import FULL, IOERR_FSYNC, IOERR_TRUNCATE, IOERR_WRITE, OK, watching
from shorewatch.bench.power import Step

_LEVERS: Final = struct.Struct("<dqq")
_STEP: Final = struct.Struct("<d")
_NUMBER: Final = struct.Struct("<q")
_DISK_AT, _LEFT_AT = 8, 16


class Refusal(IntEnum):
    """What a disk refuses: nothing; whatever makes a file longer; every write, as after EROFS."""

    NOTHING = 0
    GROWTH = 1
    WRITES = 2


class Levers:
    """What is held, in a file that both sides have in their memory."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(bytes(_LEVERS.size))
        with path.open("r+b") as file:
            self._shared = mmap.mmap(file.fileno(), _LEVERS.size)

    @property
    def step_s(self) -> float:
        """How far the wall clock is from the machine's."""
        return float(_STEP.unpack_from(self._shared)[0])

    @step_s.setter
    def step_s(self, value: float) -> None:
        _STEP.pack_into(self._shared, 0, value)

    @property
    def refusal(self) -> Refusal:
        """What the disk refuses."""
        return Refusal(_NUMBER.unpack_from(self._shared, _DISK_AT)[0])

    @refusal.setter
    def refusal(self, value: Refusal) -> None:
        _NUMBER.pack_into(self._shared, _DISK_AT, value)

    @property
    def steps_left(self) -> int:
        """The process is killed instead of making the step that takes this to 0; 0 never."""
        return int(_NUMBER.unpack_from(self._shared, _LEFT_AT)[0])

    @steps_left.setter
    def steps_left(self, value: int) -> None:
        _NUMBER.pack_into(self._shared, _LEFT_AT, value)


def stepped(levers: Levers, utc_now: Callable[[], datetime]) -> Callable[[], datetime]:
    """`utc_now` plus the step at each call."""
    return lambda: utc_now() + timedelta(seconds=levers.step_s)


class Teller:
    """Tells each step by a pipe; obeys the levers."""

    def __init__(self, levers: Levers, pipe: int) -> None:
        self._levers, self._pipe = levers, pipe
        self._lock = threading.Lock()

    def meet(self, path: Path) -> None:
        """Whether it is there already is known at the other end."""
        self.note(Step("create", path.name))

    def refuse(self, do: str, path: Path, end: int) -> int:
        """What the levers say."""
        if left := self._levers.steps_left:
            self._levers.steps_left = left - 1
            if left == 1:
                os.kill(os.getpid(), signal.SIGKILL)
        refusal = self._levers.refusal
        if refusal == Refusal.WRITES:
            return {"write": IOERR_WRITE, "truncate": IOERR_TRUNCATE, "sync": IOERR_FSYNC}[do]
        if refusal == Refusal.GROWTH and do == "write" and end > path.stat().st_size:
            return FULL
        return OK

    def note(self, step: Step) -> None:
        """Whole, and in order."""
        data = memoryview(step.encoded())
        with self._lock:
            while data:
                data = data[os.write(self._pipe, data) :]


if __name__ == "__main__":
    _levers = Levers(Path(sys.argv[1]))
    _pipe, _folder = sys.argv[2], Path(sys.argv[3])
    del sys.argv[1:4]
    vars(model)["utc_now"] = stepped(_levers, model.utc_now)
    _seen = (
        nullcontext() if _pipe == "-" else watching(_folder.resolve(), Teller(_levers, int(_pipe)))
    )
    with _seen:
        runpy.run_module("shorewatch", run_name="__main__", alter_sys=True)
