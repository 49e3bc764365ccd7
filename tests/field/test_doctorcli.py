"""`shorewatch bus doctor` beside a running gateway, without one, and with nothing to ask."""

import json
from contextlib import ExitStack
from pathlib import Path

from fake_board import FakeBoard, fake_board
from running_station import running_station
from typed import typed

from shorewatch.compiled import load_compiled

BUS = 0x0040


def count(board: FakeBoard, bus: int, *, requests: int, crc_errors: int = 0) -> None:
    """What the board has counted on one bus."""
    good = requests - crc_errors
    for at, word in enumerate([0, requests, 0, good, 0, crc_errors]):
        board.words[BUS + 16 * bus + at] = word


async def test_help_has_an_example() -> None:
    """--help shows how the command is typed."""
    code, out, _ = await typed("bus", "doctor", "--help")
    assert code == 0 and "shorewatch bus doctor --seconds 60" in out


async def test_a_running_gateway_is_asked(tmp_path, quiet_text):  # type: ignore[no-untyped-def]
    """Figures come through the gateway, which goes on reading; a damaged bus gives 1 and advice."""
    async with running_station(tmp_path, quiet_text) as station:
        for board in station.boards.values():
            count(board, 0, requests=1000)
            count(board, 1, requests=1000, crc_errors=80 if board.plan.board_id == "beach" else 0)
        await station.until(lambda live: live["boards"]["beach"]["buses"][1:] and
                            live["boards"]["beach"]["buses"][1]["crc_errors"] == 80)  # fmt: skip
        out_file = tmp_path / "doctor.json"
        code, out, err = await typed(
            "bus", "doctor", "--state-dir", station.state, "--json", out_file
        )
        await station.until_read_on()

    assert code == 1, out + err
    assert "board beach, UART 1" in out and "80 of 1000 answers came damaged" in out
    found = {row["where"][:20]: row["advice"] for row in json.loads(out_file.read_text())["buses"]}
    assert [len(advice) for advice in found.values()].count(1) == 1


async def test_without_a_gateway_the_boards_are_read(tmp_path: Path, quiet_text: str) -> None:
    """A station file is enough where no gateway runs; a board that is away gives 2."""
    path, state = tmp_path / "s.toml", tmp_path / "state"
    path.write_text(quiet_text)
    compiled = load_compiled(path)
    with ExitStack() as stack:
        link = state / compiled.station.boards["beach"].link.port
        count(
            board := stack.enter_context(fake_board(compiled.plans["beach"], link)), 0, requests=9
        )
        count(board, 1, requests=9)
        where = (path, "--state-dir", state)
        code, out, _ = await typed("bus", "doctor", *where, "--board", "beach")
        assert (code, out.count("nothing is wrong")) == (0, 2)
        code, out, _ = await typed(
            "bus", "doctor", path, "--state-dir", state, "--board", "pfe-room"
        )
    assert code == 2 and "board pfe-room is not reached" in out


async def test_where_nothing_runs_it_says_so(tmp_path: Path) -> None:
    """Without gateway and station file there is nothing to judge."""
    code, _, err = await typed("bus", "doctor", "--state-dir", tmp_path)
    assert code == 2 and "no station runs" in err


async def test_a_board_that_is_not_there_is_usage(tmp_path: Path, quiet_text: str) -> None:
    """The boards there are are named."""
    path = tmp_path / "s.toml"
    path.write_text(quiet_text)
    code, _, err = await typed("bus", "doctor", path, "--board", "attic")
    assert code == 64 and "pfe-room" in err
