"""A scan of the shipped station's simulated lines: each device is found as what it is."""

import asyncio
import sys
from pathlib import Path

import pytest

from shorewatch.assets import asset_folder
from shorewatch.config import load_station
from shorewatch.field.scan import Scan
from shorewatch.field.sweep import Setting
from shorewatch.profile import load_profiles

FILE = asset_folder("stations") / "sumqayit.toml"
STATION = load_station(FILE)
LINES = [(board.id, bus.uart) for board in STATION.boards.values() for bus in board.bus]


@pytest.mark.parametrize(("board", "uart"), LINES)
async def test_what_is_on_a_simulated_line_is_found(tmp_path: Path, board: str, uart: int) -> None:
    """Unit ids and types come out as in the station file, and the line has no symptoms."""
    (bus,) = [bus for bus in STATION.boards[board].bus if bus.uart == uart]
    wanted = {device.unit_id: device.profile for device in bus.device}
    line = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "shorewatch", "plant", "line", str(FILE), board, str(uart)),
        *("--state-dir", str(tmp_path)),
    )
    path = tmp_path / "lines" / f"{board}-{uart}.tty"
    try:
        while not path.exists():
            assert line.returncode is None, "the line ended"
            await asyncio.sleep(0.05)
        units = sorted({*wanted, min(wanted) + 1})
        profiles = list(load_profiles().values())
        scan = Scan(
            str(path), [Setting(bus.baud, bus.format)], units, profiles, wait_s=0.15, listen_s=0.3
        )
        await scan.run()
    finally:
        line.terminate()
        await line.wait()

    best = {unit: found.guess.best for unit, found in scan.found.items()}
    assert {unit: fit and fit.profile.id for unit, fit in best.items()} == wanted
    assert not scan.symptoms
