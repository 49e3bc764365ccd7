"""A command of ours under a wall clock that can be stepped from outside: for `bench chaos`.

`python -m shorewatch.bench.stepping FILE run STATION ...` is `shorewatch run STATION ...` whose
wall clock is the machine's plus the seconds in FILE (one little-endian double, `write_step`). Only
`model.utc_now`, where the whole product takes its time from, is replaced, before anybody imports
it; the monotonic clock stays, as with a real step.
"""

import mmap
import runpy
import struct
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from shorewatch import model

_SECONDS: Final = struct.Struct("<d")


def write_step(path: Path, step_s: float) -> None:
    """Set how far the clock is from the machine's; whoever runs by it sees it at once."""
    mode = "r+b" if path.exists() else "wb"
    with path.open(mode, buffering=0) as file:
        file.write(_SECONDS.pack(step_s))


def stepped(path: Path, utc_now: Callable[[], datetime]) -> Callable[[], datetime]:
    """`utc_now` plus what `path` says at each call."""
    with path.open("rb") as file:
        shared = mmap.mmap(file.fileno(), _SECONDS.size, access=mmap.ACCESS_READ)

    def now() -> datetime:
        return utc_now() + timedelta(seconds=_SECONDS.unpack_from(shared)[0])

    return now


if __name__ == "__main__":
    vars(model)["utc_now"] = stepped(Path(sys.argv[1]), model.utc_now)
    del sys.argv[1]
    runpy.run_module("shorewatch", run_name="__main__", alter_sys=True)
