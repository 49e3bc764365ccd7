"""A station's image and outbox with an edge node, and a host at the same broker."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import datetime

from fake_alarms import FakeAlarms
from fake_host import FakeHost

from shorewatch.config import UplinkConfig
from shorewatch.errors import UplinkError
from shorewatch.image import Image
from shorewatch.model import Quality, Value, utc_now
from shorewatch.mqtt.client import Connection, connected
from shorewatch.outbox import Outbox
from shorewatch.sparkplug.node import EdgeNode


class Bench:
    """A station's image and outbox, an edge node on them, and a host at the same broker."""

    def __init__(self, station, outbox: Outbox, port: int, **config: str) -> None:
        self.station, self.outbox, self.port = station, outbox, port
        self.image = Image(station)
        self.alarms = FakeAlarms()
        self.lines = {"board/pfe-room": {"up": True, "reason": None}}
        url = f"mqtt://127.0.0.1:{port}"
        self.config = UplinkConfig.model_validate(
            {"id": "scada", "url": url, "plane": "sparkplug", **config}
        )
        self.host = FakeHost()
        self.node = self.made()

    def made(self, clock: Callable[[], float] = time.monotonic) -> EdgeNode:
        return EdgeNode(
            self.station,
            self.config,
            self.image,
            self.outbox,
            lambda: self.lines,
            self.alarms,
            clock=clock,
        )

    def measure(self, device: str, **values: float) -> None:
        """Points of a device are good and have just been acquired."""
        self.image.put(device, {name: good(value) for name, value in values.items()})

    async def sample(self, device: str, point: str, value: float, at: datetime) -> None:
        """A record that the journal has."""
        body = {"device": device, "uncertainty_s": 0.0, "points": {point: value}}
        await self.outbox.put("sample", at, body)
        await self.outbox.settled()

    def last(self, device: str, point: str) -> object:
        """The value that the host shows, None if it knows of none."""
        tag = self.host.tags.get(device, {}).get(point)
        return None if tag is None else tag.last.value

    def past(self, device: str, point: str) -> list[tuple[object, int | None]]:
        """The values and times that the host was told as history."""
        tag = self.host.tags.get(device, {}).get(point)
        return [] if tag is None else [(m.value, m.timestamp_ms) for m in tag.past]


def good(value: float) -> Value:
    return Value(Quality.GOOD, value=value, acquired_at=utc_now(), acquired_s=time.monotonic())


@asynccontextmanager
async def hearing(host: FakeHost, port: int) -> AsyncIterator[Connection]:
    """Give the host everything that passes; what it does not believe fails the test at the end."""

    async def hear() -> None:
        with suppress(UplinkError):  # a broker may be killed
            async for message in connection.messages():
                if "/STATE/" not in message.topic:
                    host.take(message.topic, message.payload)

    async with connected(
        "127.0.0.1",
        port,
        client_id=f"host-{os.urandom(4).hex()}",
        incoming_bytes_max=1_000_000,
        incoming_count_max=100_000,
    ) as connection:
        await connection.subscribe("spBv1.0/#")
        task = asyncio.create_task(hear())
        try:
            yield connection
        finally:
            task.cancel()
            await asyncio.wait([task])
            if not task.cancelled():
                task.result()
