"""`shorewatch console`: a board through the gateway, over its own port, and on a small screen."""

import json
from contextlib import ExitStack
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from fake_board import fake_board
from rich.console import Console
from running_station import running_station
from still import AT, BEFORE, device, point
from typed import typed

from shorewatch.compiled import load_compiled
from shorewatch.field.console import fitted, whole


async def test_a_board_is_seen_through_the_gateway(tmp_path, quiet_text):  # type: ignore[no-untyped-def]
    """What the gateway has of a board is shown with its values and events, and it goes on."""
    async with running_station(tmp_path, quiet_text) as station:
        await station.until_good()
        out_file = tmp_path / "c.json"
        code, out, err = await typed(
            "console", "beach", "--state-dir", station.state, "--json", out_file
        )
        await station.until_read_on()
    look = json.loads(out_file.read_text())

    assert code in (0, 1), err
    assert "board beach" in out and "room.temperature" in out and "heap" in out
    assert look["boards"].keys() == {"beach"}
    assert [event["what"] for event in look["boards"]["beach"]["events"]][:1] == ["up"]


async def test_without_a_gateway_the_port_is_read(tmp_path: Path, quiet_text: str) -> None:
    """By the station file values are shown too; by the port alone what the board says of itself."""
    path, state = tmp_path / "s.toml", tmp_path / "state"
    path.write_text(quiet_text)
    compiled = load_compiled(path)
    with ExitStack() as stack:
        link = state / compiled.station.boards["beach"].link.port
        board = stack.enter_context(fake_board(compiled.plans["beach"], link))
        board.words |= {0x12: 2, 0x13: 1, 0x40 + 1: 70, 0x100: 1, 0x104: 12, 0x107: 0x0105}
        _, by_file, _ = await typed(
            "console", "beach", "--station", path, "--state-dir", state, "--once"
        )
        code, by_port, _ = await typed("console", "--port", link, "--once")

    assert "by its own ports" in by_file and "room.temperature" in by_file
    assert code == 0 and "bus-1-unit-5" in by_port and "bus 1" in by_port


async def test_a_board_that_is_away_gives_2(tmp_path: Path, quiet_text: str) -> None:
    """Why it is not reached is said, and no value is shown."""
    path = tmp_path / "s.toml"
    path.write_text(quiet_text)
    code, out, _ = await typed(
        "console", "beach", "--station", path, "--state-dir", tmp_path, "--once"
    )

    assert code == 2 and "not up" in out and "room.temperature" not in out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "name one board"),
        (("a", "--port", "b"), "name one board"),
        (("--port", "b", "--unit", "0"), "1 to 247"),
        (("--listen", "x", "--port", "b"), "--listen hears"),
        (("--listen", "x", "--baud", "7"), "is none of"),
    ],
)
async def test_what_makes_no_sense_is_usage(arguments: tuple[str, ...], told: str) -> None:
    """It is said what is wrong, and the exit code is 64."""
    code, _, err = await typed("console", *arguments)
    assert code == 64 and told in err


def look(points: int = 40) -> Any:
    counts = {"requests": 123_456, "good": 1, "timeouts": 2, "crc_errors": 3, "exceptions": 4,
              "rejected": 5, "stray_bytes": 6, "busy_share": 0.31, "slips": 0}  # fmt: skip
    board = {
        "up": True, "reason": None, "since": BEFORE, "firmware": "0.1.0", "plan": "0012abcd",
        "boot_reason": "power", "running_s": 300, "heap_free": 98_304, "heap_free_least": 90_000,
        "worst_pass_ms": 1.2, "round_trip_ms": 4.1, "drift_ppm": 3.0, "events_stamped": 9,
        "buses": [{"uart": i, "baud": 9600, "format": "8N1", **counts} for i in (0, 1)],
        "events": [{"at": BEFORE, "kind": "event", "source": "board/beach", "what": f"e{i}"}
                   for i in range(9)],
    }  # fmt: skip
    counters = {"state": "up", "failures": 0, "exception": 0, "reply_ms": 7, "reply_ms_max": 21,
                "good": 1234, "bad": 0}  # fmt: skip
    row = device("Room", "beach", *[point() for _ in range(points)], point("bad", "sentinel"))
    return {
        "at": AT, "boards": {"beach": board}, "directs": {},
        "devices": {"room": {**row, "unit_id": 5, "counters": counters}},
    }  # fmt: skip


def drawn(shown: Any, width: int = 80, height: int = 24) -> list[str]:
    out = Console(file=StringIO(), width=width, height=height)
    out.print(shown)
    return out.file.getvalue().splitlines()  # type: ignore[attr-defined, no-any-return]


@pytest.mark.parametrize("points", [0, 1, 5, 6, 7, 8, 40])
@pytest.mark.parametrize(("width", "height"), [(80, 24), (80, 18), (120, 40)])
def test_it_fits_the_screen(points: int, width: int, height: int) -> None:
    """However many values there are, no line is left out below or beside the screen."""
    shown = fitted(look(points), "the gateway in /x", width=width, height=height)
    lines = drawn(shown, width, height)

    assert len(lines) <= height and all(len(line) <= width for line in lines)
    assert lines[0].startswith("board beach") and any("UART 1" in line for line in lines)


def test_what_is_not_good_comes_first_and_the_rest_is_counted() -> None:
    """A bad value is seen on a small screen; how many values are not is told."""
    lines = drawn(fitted(look(), "x", width=80, height=24))

    values = next(i for i, line in enumerate(lines) if line.startswith("point"))
    assert "sentinel" in lines[values + 1]
    assert any("more" in line for line in lines) and any(": e8" in line for line in lines)


def test_a_source_that_is_gone_shows_no_values() -> None:
    """When nothing is heard any more, what was last known is not shown as if it were of now."""
    lines = drawn(fitted(look(), "x", width=80, height=24, lost="no word from the gateway"))

    assert any("no word" in line for line in lines) and not any("room.p0" in line for line in lines)


def test_everything_is_printed_once() -> None:
    """The whole has every value and event, however many."""
    text = "\n".join(drawn(whole(look(), "x"), 120))
    assert text.count("room.p") == 41 and text.count(": e") == 9
