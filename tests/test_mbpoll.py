"""A Modbus client nobody here wrote reads a board and the simulated devices: firmware/README.md."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from programs import need

from shorewatch.assets import asset_folder

STATION = str(asset_folder("stations") / "sumqayit.toml")


@asynccontextmanager
async def plant(path: Path, *arguments: str) -> AsyncIterator[None]:
    """A `shorewatch plant` process, from the moment its port is there."""
    command = [sys.executable, "-m", "shorewatch", "plant", *arguments]
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.DEVNULL)
    try:
        while not path.exists():
            assert process.returncode is None, "it ended"
            await asyncio.sleep(0.05)
        yield
    finally:
        process.terminate()
        await process.wait()


async def mbpoll(path: Path, arguments: str) -> dict[int, str]:
    """What mbpoll reads, by reference; asked again until the device answers."""
    while True:
        process = await asyncio.create_subprocess_exec(
            *(need("mbpoll"), "-m", "rtu", *arguments.split(), "-1", str(path)),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out = (await process.communicate())[0].decode(errors="replace")
        if process.returncode == 0:
            rows = [line.split("\t", 1) for line in out.splitlines() if line.startswith("[")]
            return {int(head.strip("[]: ")): value.strip() for head, value in rows}


async def test_mbpoll_reads_a_boards_image_over_its_link(tmp_path):
    """The header has our magic, and the first block fills with what the PFE says."""
    need("mbpoll")
    state = ("--state-dir", str(tmp_path))
    line = tmp_path / "lines" / "pfe-room-0.tty"
    link = tmp_path / "boards" / "pfe-room.link"
    async with (
        plant(line, "line", STATION, "pfe-room", "0", *state),
        plant(link, "board", STATION, "pfe-room", *state),
    ):
        header = await mbpoll(link, "-a 1 -b 115200 -P none -t 3:hex -r 1 -c 28")
        assert header[1] == "0x5357"
        while True:
            block = await mbpoll(link, "-a 1 -b 115200 -P none -t 3 -r 4097 -c 20")
            if block[4098] == "1":
                break
        assert block[4101] == "1"
        assert 2700 < int(block[4109]) < 2950


async def test_mbpoll_reads_simulated_devices_on_their_line(tmp_path):
    """Volts of the SDM630 come as floats, its line at 9,600 8N1."""
    need("mbpoll")
    line = tmp_path / "lines" / "pfe-room-1.tty"
    async with plant(line, "line", STATION, "pfe-room", "1", "--state-dir", str(tmp_path)):
        values = await mbpoll(line, "-a 10 -b 9600 -P none -t 3:float -B -r 1 -c 3")

    assert all(200 < float(values[reference]) < 260 for reference in (1, 3, 5))
