"""The station's image: the newest value of every point, and who must hear of a change.

link.py puts values in; the uplinks, the page and the terminal look at them. Looking ages: what is
older than its maximum age comes out bad (stale), whoever asks (Promise 2). One thread, no I/O.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from shorewatch.config import Station
from shorewatch.model import NEVER, Quality, Reason, Value

DeviceValues = Mapping[str, Value]


class Image:
    """Newest values by device and point. `clock` is monotonic seconds (injected in tests)."""

    def __init__(self, station: Station, clock: Callable[[], float] = time.monotonic) -> None:
        self._station = station
        self._clock = clock
        self._values: dict[str, dict[str, Value]] = {
            device.id: dict.fromkeys(device.points, NEVER) for device in station.devices.values()
        }
        self._watchers: list[Changes] = []

    def put(self, device_id: str, values: DeviceValues) -> None:
        """Take new values of one device and wake whoever watches."""
        known = self._values[device_id]
        assert values.keys() <= known.keys(), f"{device_id} has no such points"
        known.update({name: _remembering(known[name], value) for name, value in values.items()})
        self._tell(device_id)

    def put_bad(self, device_id: str, reason: Reason) -> None:
        """Make every point of a device bad; last good values stay readable."""
        known = self._values[device_id]
        known.update({name: value.made_bad(reason) for name, value in known.items()})
        self._tell(device_id)

    def look(self, device_id: str) -> dict[str, Value]:
        """The device's values as they are now, aged."""
        now_s = self._clock()
        points = self._station.devices[device_id].points
        return {
            name: value.aged(now_s, points[name].age_max_s)
            for name, value in self._values[device_id].items()
        }

    def counts(self) -> dict[Quality, int]:
        """How many points of the station are good, uncertain and bad now."""
        totals = dict.fromkeys(Quality, 0)
        for device_id in self._values:
            for value in self.look(device_id).values():
                totals[value.quality] += 1
        return totals

    def watch(self) -> "Changes":
        """Hear of changed devices from now on; close it when done."""
        changes = Changes(self._watchers)
        self._watchers.append(changes)
        return changes

    def _tell(self, device_id: str) -> None:
        for changes in self._watchers:
            changes.add(device_id)


def _remembering(old: Value, new: Value) -> Value:
    """`new`, keeping the last good value of `old` if it is bad and has none of its own."""
    if new.quality is not Quality.BAD or new.last_good_at is not None:
        return new
    before = old.made_bad(Reason.STALE)
    return replace(new, last_good=before.last_good, last_good_at=before.last_good_at)


class Changes:
    """The ids of devices that changed since last taken: a set, so a slow reader costs nothing."""

    def __init__(self, registry: list["Changes"]) -> None:
        self._registry = registry
        self._devices: set[str] = set()
        self._event = asyncio.Event()

    def add(self, device_id: str) -> None:
        """Note a change."""
        self._devices.add(device_id)
        self._event.set()

    async def take(self) -> set[str]:
        """Wait for a change, then return all changed device ids at once."""
        await self._event.wait()
        self._event.clear()
        taken, self._devices = self._devices, set()
        return taken

    def close(self) -> None:
        """Stop hearing."""
        self._registry.remove(self)
