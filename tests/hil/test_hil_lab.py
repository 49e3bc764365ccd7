"""A bench file's boards: stories told on them, and what is wired wrongly is said."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest
from hil_lab import BUSES, STATION, bench_text, wired

pytestmark = pytest.mark.timeout(240)
ROOT = Path(__file__).parents[2]


class Lab:
    """Boards that run; `file` is their bench file."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder, self.file = folder, folder / "bench.toml"
        self.adapters = dict(stack.enter_context(wired(folder)))
        (folder / "state").mkdir()
        for name, uarts in BUSES.items():
            words = [sys.executable, "-m", "shorewatch", "plant", "board", str(STATION), name]
            words += ["--state-dir", str(folder / "state")]
            for uart in uarts:
                words += ["--bus", f"{uart}={folder / f'{name}-{uart}.board'}"]
            child = subprocess.Popen(words, stderr=subprocess.DEVNULL)
            stack.callback(self._end, child)
            (folder / f"{name}.pid").write_text(str(child.pid))
        self.write()

    def write(self, relays: Mapping[tuple[str, int], int] = {}) -> None:
        self.file.write_text(bench_text(self.folder, self.adapters, relays))

    def check(self) -> dict[str, tuple[str, str]]:
        """What `bench check` finds: by what, its verdict and text."""
        found = self.folder / "found.json"
        words = ["bench", "check", str(self.file), "--station", str(STATION), "--json", str(found)]
        done = subprocess.run(
            [sys.executable, "-m", "shorewatch", *words],
            capture_output=True,
            text=True,
            check=False,
        )
        assert found.exists(), done.stdout + done.stderr
        rows = {row["what"]: (row["verdict"], row["text"]) for row in json.loads(found.read_text())}
        assert (done.returncode == 0) == all(v != "wrong" for v, _ in rows.values()), done.stdout
        return rows

    @staticmethod
    def _end(child: "subprocess.Popen[bytes]") -> None:
        child.send_signal(signal.SIGTERM)
        child.wait(20)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with ExitStack() as stack:
        made = Lab(tmp_path, stack)
        for name in BUSES:
            while not (tmp_path / "state" / "boards" / f"{name}.link").exists():
                asyncio.run(asyncio.sleep(0.05))
        yield made


def test_stories_are_told_on_the_boards_of_a_file(lab: Lab) -> None:
    """The same tests run on a bench file's boards, and say what they were skipped for want of."""
    stories = "two_contacts or hung or unplugged"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rs", "-n", "0", "-p", "no:cacheprovider",
         "hil_tests", "-k", stories, "--bench", str(lab.file)],
        cwd=ROOT, capture_output=True, text=True, check=False, env={**os.environ},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:]
    assert "2 passed, 1 skipped" in done.stdout
    assert "for want of a switch for the board's link (board north)" in done.stdout


def test_a_bench_that_is_right_is_said_to_be(lab: Lab) -> None:
    """Ports, boards, power, buses and contacts are looked at, and nothing is found wrong."""
    found = lab.check()
    assert {verdict for verdict, _ in found.values()} == {"ok"}
    assert set(found) >= {
        "board north",
        "power of south",
        "halt of south",
        "bus north/0",
        "contact north/1",
    }


def test_what_is_wired_wrongly_is_named(lab: Lab) -> None:
    """Exchanged buses, an adapter that hears nothing, and exchanged relays are each told apart."""
    one, two = lab.adapters["north", 0], lab.adapters["north", 1]
    lab.adapters["north", 0], lab.adapters["north", 1] = two, one
    lab.write(relays={("north", 0): 1, ("north", 1): 0})
    found = lab.check()
    assert found["bus north/0"][0] == found["bus north/1"][0] == "wrong"
    assert "belongs to bus north/1: exchange the two" in found["bus north/0"][1]
    assert "its relay moves door, not lid: exchange them" in found["contact north/0"][1]


def test_boards_in_each_others_place_are_named(lab: Lab) -> None:
    """Where another board of the bench is plugged in, the two to be exchanged are said."""
    text = lab.file.read_text()
    text = text.replace("north.link", "x").replace("south.link", "north.link")
    lab.file.write_text(text.replace("/x", "/south.link"))
    found = lab.check()
    assert "that is board south: exchange the two plugs" in found["board north"][1]
    assert found["buses"] == ("left out", "first the boards must be right")
