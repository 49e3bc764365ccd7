"""Two brokers at once, say one for each owner of the cable: neither is in the other's way."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from fake_alarms import FakeAlarms

from shorewatch.config import Station, UplinkConfig
from shorewatch.image import Image
from shorewatch.model import utc_now
from shorewatch.mqtt.follower import Follower
from shorewatch.mqtt.uplink import Uplink
from shorewatch.mqtt.watch import follow
from shorewatch.outbox import Outbox

EAST, WEST = "east", "west"


class Two:
    """One outbox, an uplink to each broker, and who follows there and acknowledges."""

    def __init__(self, station: Station, outbox: Outbox, urls: dict[str, str]) -> None:
        self.outbox = outbox
        self.prefix = station.prefix
        self.urls = urls
        self.followers = {name: Follower() for name in urls}
        self.uplinks = {
            name: Uplink(
                station,
                UplinkConfig(id=name, url=url, consumers=[f"noc-{name}"]),
                Image(station),
                outbox,
                dict,
                FakeAlarms(),
            )
            for name, url in urls.items()
        }

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Two"]:
        async with AsyncExitStack() as stack:
            for name, uplink in self.uplinks.items():
                task = asyncio.create_task(uplink.run())
                stack.push_async_callback(asyncio.wait, [task])
                stack.push_async_callback(uplink.stop)
                follower = self.followers[name]
                url = self.urls[name]
                following = asyncio.create_task(follow(url, follower, acknowledge=f"noc-{name}"))
                stack.push_async_callback(asyncio.wait, [following])
                stack.callback(following.cancel)
            yield self

    async def write(self, count: int, size: int = 20) -> None:
        text = os.urandom(size // 2).hex()
        for number in range(count):
            body = {"device": "pfe", "points": {"u": number}, "text": text}
            await self.outbox.put("sample", utc_now(), body)

    def is_done(self, name: str) -> bool:
        """Whether all that is written is acknowledged there."""
        return self.outbox.queued == 0 and self.uplinks[name].status.backlog == 0


@pytest.fixture
async def two(brokers, station, tmp_path: Path):  # type: ignore[no-untyped-def]
    """Give it the size of the outbox."""

    @asynccontextmanager
    async def make(size_bytes_max: int = 64_000_000) -> AsyncIterator[Two]:
        path = tmp_path / "outbox.sqlite"
        urls = {name: broker.url for name, broker in brokers.items()}
        async with (
            Outbox.opened(path, size_bytes_max=size_bytes_max) as outbox,
            Two(station, outbox, urls).running() as made,
        ):
            yield made

    return make


async def test_a_broker_that_is_away_delays_nothing_at_the_other(two, brokers, until) -> None:  # type: ignore[no-untyped-def]
    """One killed for ten thousand records costs the other none, and catches up without a hole."""
    async with two() as both:
        await both.write(100)
        await until(lambda: both.is_done(EAST) and both.is_done(WEST))
        await brokers[WEST].kill()
        await both.write(10_000)
        await until(lambda: both.is_done(EAST), "all acknowledged at the one that is there")
        missing = both.uplinks[WEST].status.backlog
        assert missing >= 10_000
        await brokers[WEST].start()
        await until(lambda: both.is_done(WEST))
        for follower in both.followers.values():
            known = follower.stations[both.prefix]
            assert (known.gaps, known.lost) == ([], 0)
            assert known.received_to == both.outbox.last
            assert sum(known.kinds.values()) == both.outbox.last


async def test_a_broker_that_stalls_delays_nothing_at_the_other(two, brokers, until) -> None:  # type: ignore[no-untyped-def]
    """One that takes connections and answers nothing costs the other none."""
    async with two() as both:
        await both.write(100)
        await until(lambda: both.is_done(EAST) and both.is_done(WEST))
        brokers[WEST].signal(signal.SIGSTOP)
        await both.write(2000)
        await until(lambda: both.is_done(EAST))
        assert both.uplinks[WEST].status.backlog > 0
        brokers[WEST].signal(signal.SIGCONT)
        await until(lambda: both.is_done(WEST))
        assert sum(both.followers[WEST].stations[both.prefix].kinds.values()) == both.outbox.last


async def test_what_is_evicted_is_the_loss_of_whom_it_was_not_sent_to(two, brokers, until) -> None:  # type: ignore[no-untyped-def]
    """With a full outbox, loss records name the uplink that was away; its NOC misses no more."""
    async with two(2_000_000) as both:
        await both.write(100)
        await until(lambda: both.is_done(EAST) and both.is_done(WEST))
        await brokers[WEST].kill()
        while both.outbox.first < 500:
            await both.write(200, size=1000)
            await until(lambda: both.is_done(EAST))
        await brokers[WEST].start()
        await until(lambda: both.is_done(WEST) and both.is_done(EAST))
        east, west = (both.followers[name].stations[both.prefix] for name in (EAST, WEST))
        assert (east.gaps, sum(east.kinds.values())) == ([], both.outbox.last)
        assert west.gaps == []
        assert west.lost > 0 and west.lost + sum(west.kinds.values()) == both.outbox.last
        assert (account := west.reading.account) and account.holes.count == 0, (
            "a loss that no record explains"
        )
        losses = [r for r in await both.outbox.read(0, 100_000) if r.kind == "loss"]
        assert {record.body["uplink"] for record in losses} == {WEST}
