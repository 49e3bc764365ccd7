"""`shorewatch scan`: what a technician types, sees, and gets as exit code."""

import asyncio
import json
import signal
import sys
from pathlib import Path

import pytest
from typed import typed
from wiring import Wiring, asking, climate, full

COMMON = ("--baud", "115200", "--format", "8N1", "--wait-ms", "250")


async def test_help_has_an_example() -> None:
    """--help shows how the command is typed."""
    code, out, _ = await typed("scan", "--help")
    assert code == 0 and "shorewatch scan --port /dev/ttyUSB0" in out


async def test_a_sound_line_gives_a_table_a_piece_and_0(tmp_path: Path) -> None:
    """Devices, their types and the station file's piece are shown; the JSON has the same."""
    out_file = tmp_path / "scan.json"
    async with Wiring([(2, climate(2)), (3, full())]).at(tmp_path / "tty") as port:
        code, out, err = await typed(
            "scan", "--port", port, *COMMON, "--units", "1-4", "--json", out_file, "--quick"
        )
    body = json.loads(out_file.read_text())

    assert code == 0, out + err
    assert "2 devices answer at 115200 8N1" in out and "[[board.bus.device]]" in out
    assert [(d["unit_id"], d["is_sure"]) for d in body["devices"]] == [(2, False), (3, False)]
    assert body["toml"] and body["is_whole"] and body["symptoms"] == []


async def test_a_fault_of_the_line_gives_1(tmp_path: Path) -> None:
    """What is wrong is shown with its figures and what to check."""
    async with Wiring([(2, full())], lead=b"\x00").at(tmp_path / "tty") as port:
        code, out, _ = await typed("scan", "--port", port, *COMMON, "--units", "1-3", "--quick")

    assert code == 1 and "check: the line floats" in " ".join(out.split())


async def test_nobody_gives_1_and_what_to_check(tmp_path: Path) -> None:
    """An empty line is bad, and the first thing to check is power."""
    async with Wiring().at(tmp_path / "tty") as port:
        code, out, _ = await typed("scan", "--port", port, *COMMON, "--units", "1-3", "--quick")

    assert code == 1 and "the devices have power" in " ".join(out.split())


async def test_a_line_in_use_gives_2(tmp_path: Path) -> None:
    """Where another client asks, nothing is asked, and that is said."""
    wiring = Wiring([(2, full())], strays=asking(9))
    async with wiring.at(tmp_path / "tty") as port:
        code, out, _ = await typed("scan", "--port", port, *COMMON)

    assert code == 2 and "Nothing was asked" in out and not wiring.asked


async def test_ctrl_c_gives_what_was_found_and_2(tmp_path: Path) -> None:
    """A scan that is interrupted shows the devices that answered before."""
    wiring = Wiring([(1, full())])
    async with wiring.at(tmp_path / "tty") as port:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "shorewatch", "scan", "--port", str(port), *COMMON),
            stdout=asyncio.subprocess.PIPE,
        )
        while len(wiring.asked) < 3:
            await asyncio.sleep(0.01)
        process.send_signal(signal.SIGINT)
        out, _ = await process.communicate()

    assert process.returncode == 2
    assert "1 device answers" in out.decode() and "found so far" in out.decode()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "name one line"),
        (("--port", "a", "--tcp", "b:1"), "name one line"),
        (("--port", "a", "--units", "300"), "1 to 247"),
        (("--port", "a", "--baud", "1"), "is none of auto"),
        (("--port", "a", "--wait-ms", "0"), "--wait-ms 0 must be"),
        (("--tcp", "nowhere"), "--tcp nowhere"),
    ],
)
async def test_an_argument_that_makes_no_sense_is_usage(
    arguments: tuple[str, ...], told: str
) -> None:
    """It is said what is wrong, and the exit code is 64."""
    code, out, err = await typed("scan", *arguments)
    assert code == 64 and told in " ".join((out + err).split())


async def test_a_port_that_is_not_there_gives_2(tmp_path: Path) -> None:
    """The error says what to check; no device is made up."""
    code, out, err = await typed("scan", "--port", tmp_path / "none", *COMMON)
    assert code == 2 and "plugged in" in " ".join((out + err).split())
