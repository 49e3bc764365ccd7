"""What judging and planning cost: the alarms of the fullest station, the plan of the fullest board.

    alarms_cpu_share   10,000 alarms on as many points, all looked at once a second: processor time
                       of the whole desk, ageing of the values included, as a share of one core
    plan_compile_s     a station of 120 requests on two buses, from its tables to plan.bin

The station is a file as a user's would be: 8 boards, 32 devices, 320 points each.
"""

import asyncio
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from shorewatch.alarmdesk import LOOK_S, AlarmDesk
from shorewatch.bench import stations
from shorewatch.bench.figures import Figure
from shorewatch.compiled import Compiled, load_compiled
from shorewatch.image import Image
from shorewatch.model import Quality, Value, utc_now
from shorewatch.outbox import SIZE_BYTES_MIN, Outbox
from shorewatch.plan import compile_board

ALARMS = 10_000
_BOARDS, _DEVICES, _POINTS = 8, 4, 320
_SHARE_MAX = 0.1
_COMPILE_S_MAX = 1.0
_RUNS = 5


def alarms_share(span_s: float) -> Figure:
    """`alarms_cpu_share`, over this many seconds."""
    with tempfile.TemporaryDirectory(prefix="shorewatch-bench-") as name:
        folder = Path(name)
        path = folder / "bench.toml"
        path.write_text("\n".join(_station()), "utf-8")
        (folder / "profiles").mkdir()
        (folder / "profiles" / "wide.toml").write_text("\n".join(_profile()), "utf-8")
        share = asyncio.run(_judged(load_compiled(path), folder, span_s))
    return Figure(share, "share", _SHARE_MAX)


def plan_time() -> Figure:
    """`plan_compile_s`."""
    with tempfile.TemporaryDirectory(prefix="shorewatch-bench-") as name:
        plan = stations.full(Path(name), baud=19200)
    spent = []
    for _ in range(_RUNS):
        start_s = time.process_time()
        assert compile_board(plan.station, plan.board_id).data == plan.data, "same in, same out"
        spent.append(time.process_time() - start_s)
    return Figure(median(spent), "s", _COMPILE_S_MAX)


async def _judged(compiled: Compiled, folder: Path, span_s: float) -> float:
    image = Image(compiled.station)
    good = Value(Quality.GOOD, value=20, acquired_at=utc_now(), acquired_s=time.monotonic())
    for device in compiled.station.devices.values():
        image.put(device.id, dict.fromkeys(device.points, good))
    async with Outbox.opened(folder / "outbox.sqlite", size_bytes_max=SIZE_BYTES_MIN) as outbox:
        desk = AlarmDesk(compiled.station, compiled.rules, image, outbox, dict)
        running = asyncio.create_task(desk.run())
        await asyncio.sleep(2 * LOOK_S)  # the first looks, which begin every alarm
        start_s, busy_s = time.monotonic(), time.process_time()
        await asyncio.sleep(span_s)
        share = (time.process_time() - busy_s) / (time.monotonic() - start_s)
        running.cancel()
        await asyncio.wait([running])
    return share


def _station() -> Iterator[str]:
    yield '[station]\nid = "bench"\nname = "Bench"\ncable = "bench"\ncable_name = "Bench"'
    devices = []
    for board in range(_BOARDS):
        yield f'[[board]]\nid = "b{board}"\ntype = "virtual"\nunique_id = "{board:016x}"'
        yield f'[board.link]\nport = "b{board}.link"'
        yield '[[board.bus]]\nuart = 0\nbaud = 115200\nformat = "8E1"'
        for unit in range(1, _DEVICES + 1):
            devices.append(f"d{board}-{unit}")
            yield f'[[board.bus.device]]\nid = "{devices[-1]}"\nname = "D"\nprofile = "wide"'
            yield f"unit_id = {unit}"
    for alarm in range(ALARMS):
        device, point = devices[alarm // _POINTS], f"p{alarm % _POINTS}"
        yield f'[[alarm]]\nid = "a{alarm}"\ntext = "T"\naction = "Do."\npriority = "minor"'
        yield f'point = "{device}.{point}"\nabove = 1000\ndeadband = 5\non_delay_s = 5'


def _profile() -> Iterator[str]:
    yield 'id = "wide"\nname = "Wide device"\nsource = "none: a device of the benchmark"'
    for point in range(_POINTS):
        yield f'[[point]]\nid = "p{point}"\nname = "P"\ntable = "input"\ntype = "u16"'
        yield f"address = {point}\nperiod_s = 10\nage_s_max = 3600"
