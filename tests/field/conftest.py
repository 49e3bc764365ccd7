"""A virtual board to flash: the real MicroPython, its link a pty, its flash a folder."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from shorewatch.assets import asset_folder
from shorewatch.field.package import Catalogue

STATION = asset_folder("stations") / "sumqayit.toml"
BOARD = "beach"
UNIQUE_ID = "5357000000010002"


class Bench:
    """One board in a process of its own, and the tools at work on it."""

    def __init__(self, folder: Path, board: str = BOARD) -> None:
        self.folder = folder
        self.board = board
        self.link = folder / "boards" / f"{board}.link"
        self.flash_folder = folder / "boards" / f"{board}.flash"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *words: str) -> None:
        """Plug the board in."""
        command = [sys.executable, "-m", "shorewatch", "plant", "board", str(STATION), self.board]
        self._process = subprocess.Popen(
            [*command, "--state-dir", str(self.folder), *words], stderr=subprocess.DEVNULL
        )
        self.until(self.link.exists, "the board's link")

    def stop(self) -> None:
        """Pull it out."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(20)
            self._process = None

    def kill_vm(self) -> None:
        """Cut the board's power for a moment."""
        assert self._process is not None
        pid = self._process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for child in children:
            os.kill(int(child), signal.SIGKILL)

    @staticmethod
    def until(is_true: Callable[[], object], what: str, limit_s: float = 60.0) -> None:
        end_s = time.monotonic() + limit_s
        while not is_true():
            assert time.monotonic() < end_s, f"waited {limit_s:g} s for {what}"
            time.sleep(0.02)

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "shorewatch", *words]

    def tool(self, *words: str, timeout_s: float = 100) -> "subprocess.CompletedProcess[str]":
        """A tool of ours, to its end."""
        return subprocess.run(
            self.command(*words), capture_output=True, text=True, check=False, timeout=timeout_s,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def flash(self, *words: str) -> "subprocess.CompletedProcess[str]":
        return self.tool("flash", "--port", str(self.link), *words)

    def flash_role(self, *words: str) -> "subprocess.CompletedProcess[str]":
        return self.flash("--station", str(STATION), "--board-id", self.board, *words)

    def boards(self) -> dict[str, object]:
        """What `shorewatch boards` says of it."""
        found = self.folder / "boards.json"
        self.tool("boards", "--port", str(self.link), "--json", str(found))
        rows = json.loads(found.read_text())
        return next(row for row in rows if row["port"] == str(self.link))


def by_strap(folder: Path) -> Catalogue:
    """Our firmware, and a virtual board whose REPL opens by its strap alone."""
    shutil.copytree(asset_folder("boards"), folder / "types")
    for name, more in (("board.py", ""), ("board.toml", "\nstrap_pin = 0")):
        path = folder / "types" / "virtual" / name
        text = re.sub(r'(?mi)^(maintenance = )"link"', rf'\1"strap"{more}', path.read_text())
        path.write_text(text)
    return Catalogue(asset_folder("firmware"), folder / "types")


class Person:
    """Somebody beside the board, who does as told about its strap."""

    def __init__(self, bench: Bench) -> None:
        self.did: list[str] = []
        self._bench = bench
        self._strap = bench.folder / "boards" / f"{bench.board}.strap"

    def hear(self, text: str) -> None:
        if "bridge" not in text:
            return
        self.did.append(text.partition(" ")[0])
        if text.startswith("bridge"):
            self._strap.touch()
        else:
            self._strap.unlink()
        self._bench.kill_vm()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    try:
        yield made
    finally:
        made.stop()


@pytest.fixture
def empty(bench: Bench) -> Bench:
    """A board as it comes: MicroPython and not one file."""
    bench.start("--empty")
    return bench


@pytest.fixture
def older(tmp_path: Path) -> Path:
    """A folder of firmware that is not quite ours: an earlier version."""
    folder = tmp_path / "older"
    shutil.copytree(asset_folder("firmware"), folder)
    path = folder / "station" / "__init__.py"
    path.write_text(path.read_text().replace("VERSION = (0, 1, 0)", "VERSION = (0, 0, 9)"))
    return folder
