"""The topics `now/<device>` of one connection: live values, QoS 0, never behind the journal.

A device's message goes out soon after a change, and at half its expiry without one. The broker
drops it when the first of its values goes stale, so that none it still has is good and too old.
Limits: a device at most each `NOW_S_MIN`; what is queued is a set of device ids.
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

from shorewatch.config import Device
from shorewatch.model import utc_now
from shorewatch.mqtt import topics
from shorewatch.mqtt.birth import Births
from shorewatch.mqtt.post import Post
from shorewatch.mqtt.source import Source

NOW_S_MIN: Final = 0.2


class Pace:
    """When each device's `now` is due: soon after a change, and at half its expiry anyway."""

    def __init__(self, devices: Mapping[str, Device], now_s: float) -> None:
        self._due_s = dict.fromkeys(devices, now_s)
        self._sent_s = dict.fromkeys(devices, float("-inf"))

    def changed(self, device: str) -> None:
        """A device has new values: due at once, but not twice within `NOW_S_MIN`."""
        self._due_s[device] = min(self._due_s[device], self._sent_s[device] + NOW_S_MIN)

    def sent(self, device: str, now_s: float, expiry_s: int) -> None:
        """It went out, to be dropped by the broker after `expiry_s`."""
        self._sent_s[device] = now_s
        self._due_s[device] = now_s + expiry_s / 2

    def due(self, now_s: float) -> list[str]:
        """The devices due now, longest due first."""
        found = [name for name, due_s in self._due_s.items() if due_s <= now_s]
        return sorted(found, key=self._due_s.__getitem__)

    def wait_s(self, now_s: float) -> float:
        """Seconds until the next one is due."""
        return max(0.0, min(self._due_s.values(), default=now_s + 60) - now_s)


class Now:
    """The live values of one connection; used as a context, it follows the image's changes."""

    def __init__(self, source: Source, post: Post, births: Births) -> None:
        self._source = source
        self._post = post
        self._births = births
        self._changes = source.image.watch()

    def __enter__(self) -> "Now":
        return self

    def __exit__(self, *_: object) -> None:
        self._changes.close()

    def resend(self) -> None:
        """Every device is due."""
        for device in self._source.station.devices:
            self._changes.add(device)

    async def run(self) -> None:
        """Publish each device's values when they change, and before the broker drops them."""
        source = self._source
        devices = source.station.devices
        pace = Pace(devices, source.clock())
        while True:
            if source.station.devices is not devices:
                devices = source.station.devices
                await self._births.publish()  # a value is never read by what it meant before
                pace = Pace(devices, source.clock())
            for name in pace.due(source.clock()):
                if source.station.devices is not devices:
                    break
                await self._publish(devices[name], pace)
            with suppress(TimeoutError):
                async with asyncio.timeout(pace.wait_s(source.clock())):
                    for name in devices.keys() & await self._changes.take():
                        pace.changed(name)

    async def _publish(self, device: Device, pace: Pace) -> None:
        source, now_s = self._source, self._source.clock()
        values = source.image.look(device.id)
        body = topics.now(device.id, values, utc_now(), now_s)
        topic = topics.now_topic(source.station.prefix, device.id)
        expiry_s = topics.expiry_s(device, values, now_s)
        code = await self._post.keep(topic, body, qos=0, expiry_s=expiry_s)
        self._post.judge(topic, code)
        pace.sent(device.id, now_s, expiry_s)
