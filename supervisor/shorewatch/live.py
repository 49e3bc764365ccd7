"""What a running station shows, for tools on this machine: once, or a line a change.

`once` is the status snapshot, whole or of one board or device. `follow` begins with a line for each
device, then sends those that change: a new value, another quality, a value that ages out, a device
that is no more ({"device", "removed": true}). A reader that is slow gets the newest of each device,
never a queue of old ones; one that does not read is dropped (control.py).

Limits: 8 followers; a device's line every 0.2 s at most; a line with only the time in silence.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Set
from contextlib import suppress

from shorewatch.control import Caller, Reply, Request
from shorewatch.gateway import Gateway
from shorewatch.model import to_text, utc_now
from shorewatch.status import Snapshot

FOLLOWERS_MAX = 8
PACE_S = 0.2
LOOK_S = 1.0
SILENCE_S = 3.0


class Live:
    """The eyes of those who ask one gateway."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._followers = 0

    async def once(self, request: Request, caller: Caller) -> Snapshot:
        """{} for everything, {"board"} or {"device"} for one; ValueError if there is no such.

        Beside the snapshot it has "tasks", how many run in the gateway's loop.
        """
        wanted = self._wanted(request)
        found = self._gateway.look() | {"tasks": len(asyncio.all_tasks())}
        if "board" in request:
            board_id = str(request["board"])
            events = list(self._gateway.links[board_id].events)
            found["boards"] = {board_id: found["boards"][board_id] | {"events": events}}
        elif "device" in request:
            found["boards"] = {}
        if request.keys() & {"board", "device"}:
            found["directs"] = {}
        found["devices"] = {name: row for name, row in found["devices"].items() if name in wanted}
        return found

    async def follow(self, request: Request, caller: Caller) -> AsyncGenerator[Reply, None]:
        """The changes of everything, of one {"board"} or of one {"device"}, without end.

        Raises ValueError if there is no such, or if too many follow already.
        """
        self._wanted(request)
        if self._followers >= FOLLOWERS_MAX:
            raise ValueError(f"{FOLLOWERS_MAX} tools follow the station already: end one of them")
        return self._changes(request)

    async def _changes(self, request: Request) -> AsyncGenerator[Reply, None]:
        gateway = self._gateway
        changes = gateway.image.watch()
        self._followers += 1
        shown: dict[str, object] = {}
        changed: set[str] = set()
        look_s = said_s = float("-inf")
        try:
            while True:
                if time.monotonic() >= look_s:  # what ages out, comes or goes tells nobody
                    look_s = time.monotonic() + LOOK_S
                    wanted = self._ids(request)
                    changed |= {d for d in wanted if shown.get(d) != self._qualities(d)}
                    changed |= shown.keys() - wanted
                for device_id in sorted(changed & (shown.keys() | wanted)):
                    said_s = time.monotonic()
                    if device_id in gateway.station.devices:
                        shown[device_id] = self._qualities(device_id)
                        yield self._line(device_id)
                    elif shown.pop(device_id, None) is not None:
                        yield {"device": device_id, "at": to_text(utc_now()), "removed": True}
                if time.monotonic() - said_s > SILENCE_S:
                    said_s = time.monotonic()
                    yield {"at": to_text(utc_now())}
                await asyncio.sleep(PACE_S)
                changed = set()
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_S - PACE_S):
                        changed = await changes.take()
        finally:
            self._followers -= 1
            changes.close()

    def _line(self, device_id: str) -> Snapshot:
        row = self._gateway.look_at(device_id)
        return {"device": device_id, "at": to_text(utc_now()), **row}

    def _qualities(self, device_id: str) -> object:
        values = self._gateway.image.look(device_id).values()
        return [(value.quality, value.reason) for value in values]

    def _wanted(self, request: Request) -> Set[str]:
        """The devices that a request is about; raises ValueError if it names what is not there."""
        station = self._gateway.station
        if "device" in request and request["device"] not in station.devices:
            raise ValueError(f"the station has no device {request['device']!r}")
        if "board" in request and request["board"] not in station.boards:
            raise ValueError(f"the station has no board {request['board']!r}")
        return self._ids(request)

    def _ids(self, request: Request) -> Set[str]:
        return {
            device.id
            for device in self._gateway.station.devices.values()
            if request.get("device", device.id) == device.id
            and request.get("board", device.place["board"]) == device.place["board"]
        }
