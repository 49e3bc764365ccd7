"""A station's page with values that all change each second, in a process of its own: for bench web.

    python -m shorewatch.bench.page FOLDER STATION PORT [CERT KEY]

Everything is the product's but what fills the image. It ends with SIGTERM.
"""

import asyncio
import random
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

from shorewatch.cable.budget import Shown
from shorewatch.cable.picture import picture
from shorewatch.clock import StationClock
from shorewatch.config import Station, load_station
from shorewatch.describe import describe
from shorewatch.direct.line import DirectStatus
from shorewatch.image import Image
from shorewatch.link import BoardStatus
from shorewatch.model import Quality, Value, to_text, utc_now
from shorewatch.outbox import Outbox
from shorewatch.status import Snapshot, snapshot
from shorewatch.web.app import Place, serve

_FEED = Shown(282.0, 1.0)


async def show(path: Path, port: int, cert: Path | None, key: Path | None, folder: Path) -> None:
    """Serve the page of a station file until SIGTERM."""
    station = load_station(path)
    image, stop, at = Image(station), asyncio.Event(), utc_now()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    boards = {name: BoardStatus(True, None, at) for name in station.boards}
    directs = {name: DirectStatus(True, None, at) for name in station.directs}
    watch = _cable(station)
    cable = station.cable_file
    async with Outbox.opened(folder / "o.sqlite", size_bytes_max=4_000_000) as outbox:

        def look() -> Snapshot:
            return snapshot(
                station, image, outbox, boards=boards, directs=directs, uplinks={}, alarms=[],
                clock=StationClock(), started_at=at, cable_watch=watch,
            )  # fmt: skip

        place = Place(
            cert_file=cert,
            key_file=key,
            describe=lambda: describe(station),
            draw=None if cable is None else lambda _: picture(cable, _FEED, _FEED),
        )
        listener = socket.create_server(("127.0.0.1", port))
        listener.setblocking(False)
        changing = asyncio.create_task(_change(station, image))
        await serve(look, listener, stop, place)
        changing.cancel()


async def _change(station: Station, image: Image) -> None:
    chance = random.Random(1)
    while True:
        at, at_s = utc_now(), time.monotonic()
        for device in station.devices.values():
            values = {
                name: Value(Quality.GOOD, None, chance.randrange(100), at, at_s)
                for name in device.points
            }
            image.put(device.id, values)
        await asyncio.sleep(1)


def _cable(station: Station) -> dict[str, Any] | None:
    if station.cable_file is None:
        return None
    ends = {
        end.station: {"name": end.name, "volts": 282.0, "amps": 1.0}
        for end in station.cable_file.end
    }
    cable, at = station.cable_file.cable, to_text(utc_now())
    return {
        "name": cable.name, "length_km": cable.length_km, "at": at, "ends": ends, "since": at,
        "balance_v": 0.0, "sum_v": 564.0, "leak_a": 0.0, "trouble": None, "heard_at": at,
        "standing": [],
    }  # fmt: skip


def main(words: list[str]) -> None:
    """The command line of this process."""
    folder, path, port, *files = words
    cert, key = (Path(files[0]), Path(files[1])) if files else (None, None)
    asyncio.run(show(Path(path), int(port), cert, key, Path(folder)))


if __name__ == "__main__":
    main(sys.argv[1:])
