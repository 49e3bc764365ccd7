"""The station's image: the newest value of every point, and who must hear of a change.

link.py puts values in; the uplinks, the page and the terminal look at them. Looking ages: what is
older than its maximum age comes out bad (stale), whoever asks (Promise 2). A device whose heartbeat
stands still for longer than its profile allows (`unchanged_s_max`) serves what its application last
wrote, not what is: everything read from it is bad (frozen) until the heartbeat moves again, and
each value then until it is read anew. One thread, no I/O.
"""

import asyncio
import math
import time
from collections.abc import Callable, Mapping, Set
from dataclasses import replace

from shorewatch.config import Station
from shorewatch.model import NEVER, Quality, Reason, Scalar, Value

DeviceValues = Mapping[str, Value]
_GOOD = Quality.GOOD
# So much before the first value is stale, each is looked at again: no rounding may keep it good.
_MARGIN_S = 0.001


class Image:
    """Newest values by device and point. `clock` is monotonic seconds (injected in tests)."""

    def __init__(self, station: Station, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._values: dict[str, dict[str, Value]] = {}
        # By device: until when no value of it can have gone stale, and its shortest maximum age.
        self._fresh_until_s: dict[str, float] = {}
        self._age_s_max: dict[str, float] = {}
        self._heartbeats: dict[str, Heartbeats] = {}
        self._watchers: list[Changes] = []
        self._listeners: list[Callable[[str, DeviceValues], None]] = []
        self.adopt(station, {})

    def adopt(self, station: Station, kept: Mapping[str, Set[str]]) -> None:
        """Hold the points of `station` from here on; those in `kept` (by device) keep their values.

        A device with a point that is not kept is told as changed.
        """
        values, heartbeats = self._values, self._heartbeats
        self._station = station
        self._values, self._heartbeats = {}, {}
        for device in station.devices.values():
            stays = kept.get(device.id, frozenset())
            self._values[device.id] = {
                name: values[device.id][name] if name in stays else NEVER for name in device.points
            }
            ages_s = (point.age_max_s for point in device.points.values())
            self._age_s_max[device.id] = min(ages_s, default=math.inf)
            self._fresh_until_s[device.id] = -math.inf
            spans_s = {p.id: p.unchanged_s_max for p in device.points.values() if p.unchanged_s_max}
            is_same = bool(stays) and stays >= spans_s.keys()
            is_same = is_same and heartbeats[device.id].spans_s == spans_s
            self._heartbeats[device.id] = heartbeats[device.id] if is_same else Heartbeats(spans_s)
            if stays != device.points.keys():
                self._tell(device.id, self._values[device.id])

    def put(self, device_id: str, values: DeviceValues) -> DeviceValues:
        """Take new values of one device and wake whoever watches; returns them as they are kept."""
        known = self._values[device_id]
        assert values.keys() <= known.keys(), f"{device_id} has no such points"
        heartbeats = self._heartbeats[device_id]
        was_frozen = heartbeats.is_frozen
        heartbeats.note(values)
        if heartbeats.is_frozen:
            if not was_frozen:
                known.update({name: _frozen(value) for name, value in known.items()})
            # What is read now was never good: without its number the one before stays the last.
            values = {
                name: replace(_frozen(value), last_good=None, last_good_at=None)
                for name, value in values.items()
            }
        kept = {
            name: value if value.quality is _GOOD else _remembering(known[name], value)
            for name, value in values.items()
        }
        known.update(kept)
        times_s = [value.acquired_s for value in kept.values() if value.acquired_s is not None]
        if times_s:
            until_s = min(times_s) + self._age_s_max[device_id] - _MARGIN_S
            self._fresh_until_s[device_id] = min(until_s, self._fresh_until_s[device_id])
        has_more = heartbeats.is_frozen and not was_frozen
        self._tell(device_id, known if has_more else kept)
        return kept

    def put_bad(self, device_id: str, reason: Reason) -> None:
        """Make every point of a device bad; last good values stay readable."""
        known = self._values[device_id]
        known.update({name: value.made_bad(reason) for name, value in known.items()})
        self._tell(device_id, known)

    def look(self, device_id: str) -> dict[str, Value]:
        """The device's values as they are now, aged."""
        if self._clock() > self._fresh_until_s[device_id]:
            self._age(device_id)
        return dict(self._values[device_id])

    def age(self) -> None:
        """Find what has gone stale, and tell it to whoever watches or listens."""
        now_s = self._clock()
        for device_id in [name for name, at_s in self._fresh_until_s.items() if now_s > at_s]:
            self._age(device_id)

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

    def listen(self, listener: Callable[[str, DeviceValues], None]) -> None:
        """Have `listener` given every set of values as it is put, of one device each."""
        self._listeners.append(listener)

    def _age(self, device_id: str) -> None:
        """Make bad what is too old, and note until when the rest is not."""
        now_s = self._clock()
        points, known = self._station.devices[device_id].points, self._values[device_id]
        until_s = math.inf
        stale: dict[str, Value] = {}
        for name, value in known.items():
            age_s_max = points[name].age_max_s
            aged = value.aged(now_s, age_s_max)
            if aged is not value:
                stale[name] = aged
            elif value.quality is not Quality.BAD and value.acquired_s is not None:
                until_s = min(until_s, value.acquired_s + age_s_max)
        self._fresh_until_s[device_id] = until_s - _MARGIN_S
        if stale:
            known.update(stale)
            self._tell(device_id, stale)

    def _tell(self, device_id: str, values: DeviceValues) -> None:
        for changes in self._watchers:
            changes.add(device_id)
        for listener in self._listeners:
            listener(device_id, values)


class Heartbeats:
    """Whether one device's heartbeats still move: `spans_s` says how long each may stand still.

    Time is that of the readings, so that a device that is not read is not called frozen.
    """

    def __init__(self, spans_s: Mapping[str, float]) -> None:
        self.spans_s = spans_s
        self._moved: dict[str, tuple[Scalar, float]] = {}
        self._frozen: set[str] = set()

    @property
    def is_frozen(self) -> bool:
        """Whether any of them has stood still for too long."""
        return bool(self._frozen)

    def note(self, values: DeviceValues) -> None:
        """Look at new readings; those that failed say nothing of a heartbeat."""
        for name, span_s in self.spans_s.items():
            value = values.get(name)
            if value is None or value.value is None or value.acquired_s is None:
                continue
            before, moved_s = self._moved.setdefault(name, (value.value, value.acquired_s))
            if value.value != before:
                self._moved[name] = value.value, value.acquired_s
                self._frozen.discard(name)
            elif value.acquired_s - moved_s > span_s:
                self._frozen.add(name)


def _frozen(value: Value) -> Value:
    """`value`, bad (frozen) unless it is bad for a reason of its own."""
    return value if value.quality is Quality.BAD else value.made_bad(Reason.FROZEN)


def _remembering(old: Value, new: Value) -> Value:
    """`new`, which is not good, with the last good value of `old` if it has none of its own."""
    if new.last_good_at is not None:
        return new
    before = old.made_bad(Reason.STALE)
    return replace(new, last_good=before.last_good, last_good_at=before.last_good_at)


class Changes:
    """What changed since last taken, by id: a set, so a slow reader costs nothing."""

    def __init__(self, registry: list["Changes"]) -> None:
        self._registry = registry
        self._ids: set[str] = set()
        self._event = asyncio.Event()

    def add(self, id_: str) -> None:
        """Note a change."""
        self._ids.add(id_)
        self._event.set()

    async def take(self) -> set[str]:
        """Wait for a change, then return all changed ids at once."""
        await self._event.wait()
        return self.taken()

    def taken(self) -> set[str]:
        """All ids that changed so far; the empty set if none did."""
        self._event.clear()
        taken, self._ids = self._ids, set()
        return taken

    def close(self) -> None:
        """Stop hearing."""
        self._registry.remove(self)
