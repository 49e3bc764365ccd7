"""A bench itself: what it leaves of a story that failed, and what its processes may do."""

import asyncio
import json
import os
import signal
from pathlib import Path

import pytest
from free_ports import free_ports

from shorewatch.errors import DemoError
from shorewatch.hil.bench import opened
from shorewatch.hil.bundle import write_bundle
from shorewatch.hil.process import Process
from shorewatch.plant.port import open_port
from shorewatch.plant.trouble import Trouble

pytestmark = pytest.mark.timeout(180)
STATION = Path(__file__).parents[2] / "hil_tests" / "stations" / "bench.toml"


async def test_a_bundle_says_all_that_is_known(tmp_path: Path) -> None:
    """How to run it again, every frame in words, the newest records, and what the gateway shows."""
    async with opened(STATION, tmp_path / "bench", port=free_ports(2), seed=9) as bench:
        await bench.start()
        await bench.until_good()
        await bench.buses["north", 1].set_trouble(Trouble(dead=[1]))
        await bench.noc.until(lambda _: bench.is_silent("room") or None, "silence")
        await write_bundle(bench, tmp_path / "left", "test_x.py::test_x[1]", "because")

    left = {path.name: path for path in (tmp_path / "left").iterdir()}
    readme = left["README.md"].read_text("utf-8")
    assert "SHOREWATCH_SEED=9 pytest 'test_x.py::test_x[1]' --bench sim" in readme
    assert "because" in readme and "pymodbus" in readme
    room = left["bench-north-1.txt"].read_text("utf-8")
    assert "temperature" in room and "no answer" in room
    assert "bench-south-0.wire" in left and "gateway.log" in left and "north.log" in left
    records = [json.loads(line) for line in left["records.jsonl"].read_text().splitlines()]
    assert {"started", "up"} <= {record.get("what") for record in records}
    assert all(record["at"].endswith("Z") for record in records)
    live = json.loads(left["station.json"].read_text())
    assert live["devices"]["room"]["points"]["temperature"]["reason"] == "device-timeout"


async def test_a_process_that_ends_by_itself_fails_the_bench(tmp_path: Path) -> None:
    """A broker that is killed by nobody of the story is named at the end, with its last words."""
    with pytest.raises(DemoError, match="broker ended by itself with code -9"):
        async with opened(STATION, tmp_path / "bench", port=free_ports(2)) as bench:
            await bench.start_broker()
            os.kill(bench.broker.pid, signal.SIGKILL)
            while bench.broker.is_running:
                await asyncio.sleep(0.02)


async def test_a_process_says_how_it_ended(tmp_path: Path) -> None:
    """Told to end it has no fault; ended by itself, or badly, it has, with the end of its log."""
    words = ["timeit", "-n", "1", "-r", "1"]
    well = Process("well", [*words, "import time; time.sleep(60)"], tmp_path / "well.log")
    await well.start()
    assert well.is_running and well.fault is None
    await well.end()
    assert not well.is_running and well.fault is None

    ill = Process("ill", [*words, "raise SystemExit('no power')"], tmp_path / "ill.log")
    child = await ill.start()
    await child.wait()
    assert ill.fault is not None
    assert "ill ended by itself with code 1" in ill.fault and "no power" in ill.fault


async def test_a_pulled_cord_is_gone_and_the_board_is_not(tmp_path: Path) -> None:
    """Bytes go both ways; pulled, the near end is no tty any more, and plugged in it is again."""
    near = tmp_path / "near.tty"
    with open_port(tmp_path / "board.link") as board:
        words = ["shorewatch.hil.cord", str(near), str(tmp_path / "board.link"), str(tmp_path)]
        cord = Process("cord", words, tmp_path / "cord.log")
        for turn in (b"1", b"2"):
            await cord.start()
            while not near.exists():
                await asyncio.sleep(0.02)
            fd = os.open(near, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
            os.write(fd, b"ask" + turn)
            asked = b""
            while b"ask" + turn not in asked:
                await asyncio.sleep(0.02)
                asked += board.receive()
            board.send(b"told" + turn)
            told = b""
            while b"told" + turn not in told:
                await asyncio.sleep(0.02)
                try:
                    told += os.read(fd, 100)
                except BlockingIOError:
                    continue
            await cord.end()
            assert not near.exists()
            os.close(fd)
    text = (tmp_path / "near.wire").read_text("ascii")
    assert b"ask1".hex() in text and b"told2".hex() in text
