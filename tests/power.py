"""A disk below SQLite in this process, whose power is cut at any moment: bench/layer and power.

`watched` notes what SQLite does to the files of a folder; `Noted.cut` makes them as a cut at some
moment would leave them, `Noted.kill` as `kill -9` would: nothing that was written is lost.
"""

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from shorewatch.bench.layer import OK, watching
from shorewatch.bench.power import Disk, Step
from shorewatch.errors import DemoError


class Noted:
    """The files directly in one folder, step by step; `before` is what happened to them until."""

    def __init__(self, before: list[Step]) -> None:
        self._steps = before
        self._known: set[str] = {step.name for step in before}
        self._lock = threading.Lock()

    @property
    def moment(self) -> int:
        """How many steps were made so far."""
        return len(self._steps)

    def until(self, moment: int) -> list[Step]:
        return self._steps[:moment]

    def meet(self, path: Path) -> None:
        """A file is opened; one that nothing is known of is as it is for sure."""
        is_known = path.name in self._known
        self.note(Step("create", path.name))
        if path.exists() and not is_known:
            self.note(Step("write", path.name, 0, path.read_bytes()))
            self.note(Step("sync", path.name))

    def refuse(self, do: str, path: Path, end: int) -> int:
        return OK

    def note(self, step: Step) -> None:
        with self._lock:
            self._steps.append(step)
            self._known.add(step.name)

    def cut(self, moment: int, folder: Path, chance: random.Random) -> None:
        """Write into `folder` what is left after a power cut at `moment`."""
        _lay(folder, Disk(self._steps[:moment]).left(chance))

    def kill(self, moment: int, folder: Path) -> None:
        """Write into `folder` what a process leaves that is killed at `moment`."""
        _lay(folder, Disk(self._steps[:moment]).whole())


@contextmanager
def watched(folder: Path, before: list[Step] | None = None) -> Iterator[Noted]:
    """Note what SQLite does to files in `folder` while inside; one at a time in a process.

    Skips the test where Python's sqlite3 has a library of its own inside.
    """
    noted = Noted([] if before is None else before)
    try:
        with watching(folder, noted):
            yield noted
    except DemoError as error:
        pytest.skip(str(error))


def _lay(folder: Path, files: dict[str, bytes]) -> None:
    folder.mkdir(parents=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
