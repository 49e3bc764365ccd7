"""Boards looked at, through the gateway that runs or over their own ports.

`seen` asks the daemon (control.py), which holds every port; where none runs, it reads the boards of
the station file itself, as a gateway without alarms, records and uplinks. Both give the same table:
that of status.py, as far as boards, direct lines and devices go. `port_seen` reads one board of
which no station file is at hand: what it says of itself, its buses and devices by their numbers.

Only reads leave: the parts are those of the gateway (link.py, wire.py, direct/).
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from shorewatch import decode, wire
from shorewatch.clock import StationClock
from shorewatch.compiled import Compiled
from shorewatch.config import LinkConfig
from shorewatch.control import DEFAULT_STATE, UnreachableError, ask, station_folder
from shorewatch.direct.line import DirectLine
from shorewatch.events import FROM_BOARD, FROM_CONTACT, RING, parse_entry
from shorewatch.image import Image
from shorewatch.kernel import read_kernel
from shorewatch.link import BoardLink
from shorewatch.model import to_text, utc_now
from shorewatch.report import Reporter
from shorewatch.status import board_row, device_row, direct_row

Row = dict[str, Any]
LAST_EVENTS = 8
SETTLE_S, LOOK_S = 8.0, 0.2
_COUNTS = 0x12  # of buses and devices, in the header
_BUSES_MAX, _DEVICES_MAX = 4, 32


def folder_of(compiled: Compiled | None, state_dir: Path | None) -> Path:
    """The state directory meant; raises UnreachableError if several are there, or none."""
    if compiled is not None and state_dir is None:
        return DEFAULT_STATE / compiled.station.id
    return station_folder(state_dir)


class Sight(Protocol):
    """What one looks through."""

    @property
    def source(self) -> str:
        """Through what, in words."""

    async def look(self, board_id: str | None = None) -> Row:
        """All of the station, or one board and what hangs on it; raises ControlError, LinkError."""


async def settled(sight: Sight, board_id: str | None = None, *, for_s: float = SETTLE_S) -> Row:
    """The table as soon as each line in it has told its figures, or after so many seconds."""
    until_s = time.monotonic() + for_s
    while True:
        row = await sight.look(board_id)
        told = [board["buses"] for board in row["boards"].values()]
        told += [line["bus"] for line in row["directs"].values()]
        if all(told) or time.monotonic() >= until_s:
            return row
        await asyncio.sleep(LOOK_S)


@asynccontextmanager
async def seen(
    state_dir: Path, compiled: Compiled | None, board_ids: Iterable[str] | None = None
) -> AsyncIterator[Sight]:
    """A sight of the station: the gateway in `state_dir`, else its boards read by ourselves.

    `board_ids` limits the boards that are then read. Raises UnreachableError without a gateway and
    a station file.
    """
    through = _Gateway(state_dir)
    try:
        await through.look()
    except UnreachableError:
        if compiled is None:
            raise
    else:
        yield through
        return
    own = _Own(compiled, state_dir, board_ids)
    own.start()
    try:
        yield own
    finally:
        await own.stop()


@asynccontextmanager
async def port_seen(port: str, config: LinkConfig) -> AsyncIterator[Sight]:
    """A sight of the one board at a port; raises LinkError if it does not open."""
    async with wire.opened(port, config) as line:
        yield _Bare(port, line)


class _Gateway:
    """The station as the daemon shows it."""

    def __init__(self, state_dir: Path) -> None:
        self._state_dir = state_dir
        self.source = f"the gateway in {state_dir}"

    async def look(self, board_id: str | None = None) -> Row:
        request = {"do": "live"} if board_id is None else {"do": "live", "board": board_id}
        return await asyncio.to_thread(ask, self._state_dir, request)


class _NoRecords:
    """Where records go that nobody keeps."""

    def __init__(self) -> None:
        self.kept: Mapping[str, Mapping[str, object]] = {}

    async def put(
        self,
        kind: str,
        at: datetime,
        body: Mapping[str, object],
        keep: tuple[str, Mapping[str, object]] | None = None,
    ) -> object:
        return None

    def keep(self, name: str, facts: Mapping[str, object]) -> bool:
        return True


class _Own:
    """The station read by this process."""

    source = "its own ports (no gateway runs)"

    def __init__(
        self, compiled: Compiled, state_dir: Path, board_ids: Iterable[str] | None
    ) -> None:
        self._station = compiled.station
        self._tasks: list[asyncio.Task[None]] = []
        self._image = Image(compiled.station)
        reporter, records = Reporter(compiled.station), _NoRecords()
        clock = StationClock(kernel=read_kernel)
        wanted = set(compiled.plans if board_ids is None else board_ids)
        self.links = {
            board_id: BoardLink(
                plan, state_dir, self._image, reporter=reporter, records=records, clock=clock
            )
            for board_id, plan in compiled.plans.items()
            if board_id in wanted
        }
        self.directs = {
            direct_id: DirectLine(plan, state_dir, self._image, reporter=reporter, records=records)
            for direct_id, plan in compiled.directs.items()
            if board_ids is None
        }

    def start(self) -> None:
        """Begin to read."""
        parts = [*self.links.values()], [*self.directs.values()]
        self._tasks = [asyncio.create_task(part.run()) for each in parts for part in each]

    async def stop(self) -> None:
        """End reading."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def look(self, board_id: str | None = None) -> Row:
        for task in self._tasks:
            if task.done():
                task.result()  # it ends by a fault of ours alone
        now_s, station = time.monotonic(), self._station
        links = {id_: link for id_, link in self.links.items() if board_id in (None, id_)}
        directs = {} if board_id is not None else self.directs
        lines = (link.status.devices for link in links.values())
        more = (line.status.devices for line in directs.values())
        counters = {name: found for each in (*lines, *more) for name, found in each.items()}
        return {
            "station": station.id,
            "at": to_text(utc_now()),
            "boards": {
                id_: board_row(station, id_, link.status) | {"events": list(link.events)}
                for id_, link in links.items()
            },
            "directs": {
                id_: direct_row(station, id_, line.status) for id_, line in directs.items()
            },
            "devices": {
                device.id: device_row(
                    device, self._image.look(device.id), counters.get(device.id), now_s
                )
                for device in station.devices.values()
                if device.place["board"] in links or device.place["direct"] in directs
            },
        }


class _Bare:
    """One board by what it says of itself."""

    def __init__(self, port: str, line: wire.Wire) -> None:
        self._port = port
        self._line = line
        self.source = f"port {port}"

    async def look(self, board_id: str | None = None) -> Row:
        line = self._line
        unique_id = await line.identify()
        words = await line.read(decode.HEADER, decode.HEADER_SIZE)
        header = decode.parse_header(words)
        bus_count, device_count = words[_COUNTS : _COUNTS + 2]
        buses = [
            decode.parse_bus(await line.read(decode.BUSES + i * decode.BUS_SIZE, decode.BUS_SIZE))
            for i in range(min(bus_count, _BUSES_MAX))
        ]
        devices: dict[str, Row] = {}
        for i in range(min(device_count, _DEVICES_MAX)):
            own = await line.read(decode.DEVICES + i * decode.DEVICE_SIZE, decode.DEVICE_SIZE)
            bus, unit_id = own[7] >> 8, own[7] & 0xFF
            devices[f"bus-{bus}-unit-{unit_id}"] = {
                "name": f"Unit {unit_id}", "board": unique_id, "uart": bus, "direct": None,
                "unit_id": unit_id, "counters": asdict(decode.parse_device(own)), "points": {},
            }  # fmt: skip
        now = to_text(utc_now())
        row = {
            "up": True, "reason": None, "since": None, "firmware": header.firmware,
            "boot_reason": header.boot_reason, "running_s": header.clock_ms // 1000,
            "plan": f"{header.plan_crc:08x}", "heap_free": header.heap_free,
            "heap_free_least": header.heap_free_least, "worst_pass_ms": header.worst_pass_ms,
            "events_stamped": header.event_next, "round_trip_ms": None, "drift_ppm": None,
            "buses": [{"uart": i, **asdict(bus)} for i, bus in enumerate(buses)],
            "events": await self._events(header),
        }  # fmt: skip
        return {"at": now, "boards": {unique_id: row}, "directs": {}, "devices": devices}

    async def _events(self, header: decode.Header) -> list[Row]:
        """The last entries of the ring, by numbers alone."""
        found: list[Row] = []
        for sequence in range(max(0, header.event_next - LAST_EVENTS), header.event_next):
            place = sequence % max(1, header.event_capacity)
            entry = parse_entry(await self._line.read(RING + 8 * place, 8))
            if entry is not None and entry.sequence == sequence:
                ago_s = round(max(0.0, (header.clock_ms - entry.clock_ms) / 1000), 1)
                what = f"code {entry.code:#06x}, value {entry.value}"
                found.append({"source": _source(entry.source), "what": what, "ago_s": ago_s})
        return found


def _source(source: int) -> str:
    if source >= FROM_BOARD:
        return "the board"
    return f"input {source - FROM_CONTACT}" if source >= FROM_CONTACT else f"block {source}"
