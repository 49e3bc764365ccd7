"""batch.py: several boards with one command, as `shorewatch flash --all` does them."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import BOARD, STATION, Bench

pytestmark = pytest.mark.timeout(240)
OTHER = "pfe-room"


@pytest.fixture
def two(tmp_path: Path) -> Iterator[tuple[Bench, Bench]]:
    """Two boards as they come, of one bag."""
    made = Bench(tmp_path, OTHER), Bench(tmp_path, BOARD)
    try:
        for bench in made:
            bench.start("--empty")
        yield made
    finally:
        for bench in made:
            bench.stop()


def ports(two: tuple[Bench, Bench]) -> list[str]:
    return [word for bench in two for word in ("--port", str(bench.link))]


def test_each_board_becomes_what_the_file_has_it_as(two: tuple[Bench, Bench]) -> None:
    """By its unique id each gets its own role and plan; in the end it is said how many did."""
    done = two[0].tool("flash", "--all", "--station", str(STATION), *ports(two), timeout_s=200)

    assert done.returncode == 0, done.stderr
    assert f"sumqayit/{OTHER}, plan" in done.stdout and f"sumqayit/{BOARD}, plan" in done.stdout
    assert done.stdout.endswith("2 of 2 boards are as they should be\n")


def test_a_board_that_fails_in_the_middle_stops_no_other(
    two: tuple[Bench, Bench], tmp_path: Path
) -> None:
    """The other one is flashed, the failure is told, recorded and counted, and gives 1."""
    record, found = tmp_path / "r.jsonl", tmp_path / "all.json"
    command = two[0].command("flash", "--all", "--board", "virtual", *ports(two))
    files = ("--record", str(record), "--json", str(found))
    with subprocess.Popen(
        [*command, *files], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as tool:
        assert tool.stderr is not None and tool.stdout is not None
        for line in tool.stderr:
            if "(5 of 23)" in line:
                two[0].kill_vm()
                break
        told, out = tool.stderr.read(), tool.stdout.read()
        assert tool.wait() == 1

    assert f"{two[0].link}: " in told and f"{two[1].link}: flashed" in out
    assert out.endswith(f"1 of 2 boards are as they should be; failed: {two[0].link}\n")
    lines = [json.loads(line) for line in record.read_text().splitlines()]
    assert [line["result"] for line in lines] == ["failed", "flashed"] and lines[0]["why"]
    assert json.loads(found.read_text()) == lines
    assert not (two[0].flash_folder / "slots.state").exists()
    assert str(two[1].boards()["state"]) == "Shorewatch 0.1.0"


def test_a_board_that_the_file_has_not_is_left_alone(
    two: tuple[Bench, Bench], tmp_path: Path
) -> None:
    """Nothing is written to it; it is said what is missing, and the other one is flashed."""
    before, name, after = STATION.read_text().partition(f'id = "{OTHER}"')
    other = tmp_path / "other.toml"
    other.write_text(
        before + name + after.replace('unique_id = "53570000', 'unique_id = "53570009', 1)
    )
    done = two[0].tool("flash", "--all", "--station", str(other), *ports(two), timeout_s=200)

    assert done.returncode == 1
    assert "has no board with unique id 5357" in done.stderr and "add it" in done.stderr
    assert not list(two[0].flash_folder.iterdir())
    assert "1 of 2 boards" in done.stdout
