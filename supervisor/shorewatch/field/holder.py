"""Which programs of this machine hold a serial port (Linux: /proc). Source: proc(5).

Those of other users are seen by root alone; elsewhere than on Linux nobody is seen.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that has the port open."""

    pid: int
    argv: tuple[str, ...]

    @property
    def is_station(self) -> bool:
        """Whether it is a `shorewatch run`, which lends its ports."""
        names = [Path(word).name for word in self.argv[:4]]
        return any(pair == ("shorewatch", "run") for pair in pairwise(names))

    @property
    def state_dir(self) -> Path | None:
        """The state directory that a `shorewatch run` was given."""
        for word, value in zip(self.argv, (*self.argv[1:], ""), strict=True):
            name, _, joined = word.partition("=")
            if name == "--state-dir":
                with suppress(OSError):
                    return Path(_PROC / str(self.pid) / "cwd").resolve() / (joined or value)
        return None

    def __str__(self) -> str:
        words = " ".join(self.argv[:4]) if self.is_station else Path(self.argv[0]).name
        return f"{words} (process {self.pid})"


def holders(path: str) -> list[Holder]:
    """Who has the device at `path` open, ourselves left out."""
    try:
        device = Path(path).stat().st_rdev
    except OSError:
        return []
    found = [
        Holder(int(folder.name), _argv(folder))
        for folder in _PROC.glob("[0-9]*")
        if int(folder.name) != os.getpid() and device in _devices(folder)
    ]
    return sorted(found, key=lambda holder: holder.pid)


def _devices(folder: Path) -> Iterator[int]:
    with suppress(OSError):
        for fd in (folder / "fd").iterdir():
            with suppress(OSError):
                yield fd.stat().st_rdev


def _argv(folder: Path) -> tuple[str, ...]:
    words: list[str] = []
    with suppress(OSError):
        words = (folder / "cmdline").read_bytes().decode("utf-8", "replace").split("\0")[:-1]
    return tuple(words) or ("a program",)
