"""`shorewatch status` beside a real daemon."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

from running_station import running_station
from still import still

from shorewatch.control import serving


async def status(state: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "shorewatch", "status", "--state-dir", str(state), *arguments]
    return await asyncio.to_thread(
        subprocess.run, command, capture_output=True, text=True, timeout=60, check=False
    )


async def test_the_exit_code_says_how_a_station_is(tmp_path, quiet_text):
    """1 a board is silent, 2 nobody answers; and the first lines say so."""
    async with running_station(tmp_path, quiet_text) as station:
        await station.until_good()
        station.boards["beach"].delay_s = None
        await station.until(lambda live: not live["boards"]["beach"]["up"])
        done = await status(station.state)
        assert done.returncode == 1 and "✕ Board beach is down since" in done.stdout
        done = await status(station.state, "--json")
        told = json.loads(done.stdout)
        assert (done.returncode, told["verdict"]["level"]) == (1, "alarm")
        assert told["boards"]["beach"]["up"] is False
    done = await status(station.state)
    assert done.returncode == 2 and "no station runs in" in done.stderr


async def test_a_station_without_fault_is_exit_code_0(tmp_path):
    """So that a script may ask; nothing is on stderr."""

    async def answer(request, caller):
        return still()

    async with serving(tmp_path, answer):
        done = await status(tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[1] == "✓ All 4 points are good"
