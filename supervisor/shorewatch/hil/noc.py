"""A NOC at a bench's broker: every record once, in order, acknowledged; and each value it showed.

It knows no more than what came by MQTT.

    follow (noc.py) ─┬─▶ records   as they were delivered
                     └─▶ shown     (device, point, its time) ─▶ what a NOC's screen had
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Final, TypeVar

from shorewatch.hil.part import PATIENCE_S, until
from shorewatch.mqtt.station import FollowedStation, Seen
from shorewatch.noc import Gone, Noc, Record, follow

_LOOK_S: Final = 0.02
_T = TypeVar("_T")
Key = tuple[str, str, str]


class BenchNoc:
    """The NOC; `start` it when the broker is there."""

    def __init__(self, url: str, station: str, consumer: str) -> None:
        """`station` is <cable>/<station>."""
        self._url, self._station, self._consumer = url, station, consumer
        self._task: asyncio.Task[None] | None = None
        self._marks: dict[str, dict[str, int]] = {}
        self._noc: Noc | None = None
        self.records: list[Record] = []
        self.holes: list[Gone] = []
        self.late: list[Record] = []
        self.shown: dict[Key, object] = {}

    async def start(self) -> None:
        """Begin, or go on where it was."""
        is_there = asyncio.Event()
        self._task = asyncio.create_task(self._follow(is_there))
        await is_there.wait()

    async def stop(self) -> None:
        """Hear nothing more."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    @property
    def station(self) -> FollowedStation | None:
        """What it knows of the station now."""
        assert self._noc is not None, "it was started"
        return self._noc.stations.get(self._station)

    @property
    def life(self) -> str:
        """Whether the station lives, as a NOC is told."""
        assert self._noc is not None, "it was started"
        if self.station is None:
            return "unknown"
        return self._noc.follower.life(self.station, time.monotonic())

    @property
    def received_to(self) -> int:
        """The last sequence up to which it has everything that there is."""
        return max((last for found in self._marks.values() for last in found.values()), default=0)

    @property
    def latencies_ms(self) -> list[float]:
        """From the acquisition of a value to its arrival here, a fair sample, ascending."""
        if self._noc is None or self.station is None:
            return []
        return [latency_s * 1000 for latency_s in self.station.now_latency.kept()]

    def seen(self, device: str, point: str) -> Seen | None:
        """A point as it may be shown now."""
        station = self.station
        if station is None or device not in station.devices:
            return None
        return station.look(device, time.monotonic()).get(point)

    def events(self, source: str) -> list[dict[str, Any]]:
        """The events of one source, in order."""
        found = [record.body for record in self.records if record.kind == "event"]
        return [dict(body) for body in found if body.get("source") == source]

    def alarms(self, alarm: str) -> list[dict[str, Any]]:
        """What happened to an alarm, in order."""
        return [dict(r.body) for r in self.records if r.body.get("alarm") == alarm]

    def forget(self) -> None:
        """Drop what was delivered and shown until now."""
        self.records.clear()
        self.shown.clear()

    def samples(self) -> Iterator[tuple[str, str, str, object]]:
        """(device, point, its time, value) of each good value that was recorded."""
        for record in self.records:
            points = record.body.get("points")
            if record.kind == "sample" and isinstance(points, dict):
                for point, value in points.items():
                    yield str(record.body["device"]), point, str(record.body["at"]), value

    async def until(
        self, fact: Callable[["BenchNoc"], _T | None], what: str, for_s: float = PATIENCE_S
    ) -> _T:
        """Return what `fact` finds; raises DemoError if it never does."""

        async def look() -> _T | None:
            if self._task is not None and self._task.done():
                self._task.result()
            return fact(self)

        return await until(look, what, for_s)

    async def _follow(self, is_there: asyncio.Event) -> None:
        marks = {name: dict(found) for name, found in self._marks.items()}
        async with follow(
            self._url, consumer=self._consumer, stations=[self._station], marks=marks
        ) as self._noc:
            is_there.set()
            looking = asyncio.create_task(self._look())
            try:
                async for delivery in self._noc:
                    self.records += delivery.records
                    self.holes += delivery.holes
                    self.late += delivery.late
                    journals = self._marks.setdefault(delivery.station, {})
                    journals[delivery.journal] = delivery.last
                    await delivery.done()
            finally:
                looking.cancel()
                with suppress(asyncio.CancelledError):
                    await looking

    async def _look(self) -> None:
        """Keep what a screen would have shown as good."""
        while True:
            station = self.station
            for device in station.devices if station is not None else ():
                assert station is not None, "it has devices"
                for point, seen in station.look(device, time.monotonic()).items():
                    if seen.quality == "good" and seen.acquired_at is not None:
                        self.shown.setdefault((device, point, seen.acquired_at), seen.value)
            await asyncio.sleep(_LOOK_S)
