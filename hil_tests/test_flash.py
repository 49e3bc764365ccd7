"""Firmware: onto an empty board, cut off while it is written, and taken back when it fails."""

import asyncio
import contextlib
import shutil
import signal
import sys
from pathlib import Path

import pytest

from shorewatch.assets import asset_folder
from shorewatch.errors import FieldError
from shorewatch.field.flash import Account, Talk, Wish, flash
from shorewatch.field.package import Catalogue
from shorewatch.field.port import Attached
from shorewatch.hil.bench import Bench

pytestmark = [pytest.mark.timeout(400), pytest.mark.needs("north", "EMPTY")]


async def tool(bench: Bench, *words: str) -> asyncio.subprocess.Process:
    board = bench.boards["north"]
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "shorewatch", "flash", "--port", str(board.tty)),
        *("--station", str(bench.file), "--board-id", "north", "--yes"),
        *("--state-dir", str(bench.state), "--by", "ali", *words),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )


async def flashed(bench: Bench, *words: str) -> str:
    child = await tool(bench, *words)
    said = (await child.communicate())[0].decode()
    assert child.returncode == 0, said
    return said


@pytest.mark.simulated
async def test_an_empty_board_is_flashed_beside_the_gateway(cold: Bench) -> None:
    """A board at its prompt is named and gets nothing typed; flashed, it gives every value."""
    cold.boards["north"].process.more = ["--empty"]
    await cold.start()
    why = await cold.gateway.until(
        lambda live: not live["boards"]["north"]["up"] and live["boards"]["north"]["reason"],
        "the board to be told",
    )
    assert why
    seen = await cold.noc.until(lambda noc: noc.seen("pfe", "line_voltage"), "what is shown")
    assert seen.value is None
    said = await flashed(cold)
    assert "flashed" in said
    await cold.until_good()
    assert cold.wrong() == []


@pytest.mark.simulated
@pytest.mark.needs("north", "POWER", "LINK")
async def test_power_cuts_while_flashing_leave_a_board_to_flash(
    cold: Bench, pytestconfig: pytest.Config
) -> None:
    """Cut off at any moment of flashing, the next run goes on, and the last one ends well."""
    board = cold.boards["north"]
    board.process.more = ["--empty"]
    cuts = pytestconfig.getoption("--cuts")
    await cold.start_field()
    for turn in range(cuts):
        child = await tool(cold)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(child.wait(), 0.8 + (turn * 37 % cuts) / cuts * 6)
        # One plug has both.
        await asyncio.gather(board.cut_power(), board.pull_link())
        # Where it waits for the board to come back, its technician does not.
        ending = asyncio.create_task(child.communicate())
        await asyncio.wait([ending], timeout=3)
        if not ending.done():
            child.send_signal(signal.SIGINT)
        await ending
        await board.give_power()
        await board.plug_link()
    await flashed(cold)
    await cold.start_broker()
    await cold.noc.start()
    await cold.gateway.start()
    await cold.until_good()
    assert cold.wrong() == []
    cold.figures["power cuts while flashing"] = cuts


@pytest.mark.simulated
async def test_firmware_that_fails_is_taken_back(bench: Bench, tmp_path: Path) -> None:
    """An update whose firmware crashes is given up by the board, which runs the old one."""
    await flashed(bench)
    await bench.until_good()
    broken = tmp_path / "broken"
    shutil.copytree(asset_folder("firmware"), broken)
    app = broken / "station" / "app.py"
    app.write_text(app.read_text("utf-8") + "\n\nraise RuntimeError('a bad day')\n", "utf-8")
    board = bench.boards["north"]
    wish = Wish(type="virtual", state_dir=bench.state, by="ali")
    work = (Attached(str(board.tty)), wish, Catalogue(broken, asset_folder("boards")), Talk())
    with pytest.raises(FieldError, match="did not come through its trial, the one before runs"):
        await asyncio.to_thread(flash, *work, Account())
    await bench.until_good()
    assert bench.wrong() == []
