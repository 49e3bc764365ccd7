"""The topics `birth/<device>` of one connection: what each device is, and none that is no more.

What the broker refuses is tried again while the rest goes on. Devices that an earlier run had are
emptied, their `now` as well.
Limits: `BIRTHS_IN_FLIGHT` at a time.
"""

import asyncio
from collections.abc import Mapping
from typing import Final

from shorewatch.config import Device
from shorewatch.mqtt import topics
from shorewatch.mqtt.post import Post
from shorewatch.mqtt.source import Source
from shorewatch.mqtt.standing import Standing

BIRTHS_IN_FLIGHT: Final = 8


class Births:
    """Which births are still to be sent."""

    def __init__(self, source: Source, post: Post) -> None:
        self._source = source
        self._post = post
        self._prefix = source.station.prefix
        self._standing = Standing("births", source.config, source.outbox)
        self._devices = source.station.devices
        self._unsent = set(self._devices)
        self._publishing = asyncio.Lock()

    @property
    def are_other(self) -> bool:
        """Whether the station has other devices than were born."""
        return self._source.station.devices is not self._devices

    async def publish(self, *, again: bool = False) -> None:
        """Publish every birth that is to be sent; all of them `again` if that is asked."""
        async with self._publishing:
            self._follow()
            devices = self._devices
            if again:
                self._unsent |= devices.keys()
            standing = self._standing.names | devices.keys()
            self._standing.note(standing)
            await self._bear(devices)
            gone = standing - devices.keys()
            left = {name for name in sorted(gone) if not await self._emptied(name)}
            self._standing.note(devices.keys() | left)

    def _follow(self) -> None:
        """If the station has changed: what is new in it, or other than it was, is to be born."""
        before, self._devices = self._devices, self._source.station.devices
        if before is self._devices:
            return
        self._unsent &= self._devices.keys()
        self._unsent |= {
            name
            for name, device in self._devices.items()
            if name not in before or topics.birth(before[name]) != topics.birth(device)
        }

    async def _emptied(self, device: str) -> bool:
        """Take away what stands of a device that is no more; whether the broker took both."""
        named = topics.birth_topic(self._prefix, device), topics.now_topic(self._prefix, device)
        taken = [await self._post.empty(topic) for topic in named]
        return all(taken)

    async def _bear(self, devices: Mapping[str, Device]) -> None:
        limit = asyncio.Semaphore(BIRTHS_IN_FLIGHT)

        async def publish(device: Device) -> None:
            topic = topics.birth_topic(self._prefix, device.id)
            async with limit:
                code = await self._post.keep(topic, topics.birth(device))
            if self._post.judge(topic, code):
                self._unsent.discard(device.id)

        async with asyncio.TaskGroup() as births:
            for name in sorted(self._unsent & devices.keys()):
                births.create_task(publish(devices[name]))
