"""What a broker costs that comes and goes: nothing that stays."""

import asyncio
import gc
import logging
import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from fake_peer import CONNECT, PUBLISH, SUBSCRIBE, Peer

from shorewatch.mqtt.uplink import Uplink

# 1,000 are wanted before a release: SHOREWATCH_FLAPS=1000.
FLAPS = int(os.environ.get("SHOREWATCH_FLAPS", "100"))
WARM = 30
# A connection that stayed would be dozens.
OBJECTS_A_FLAP = 5


class Hasty(random.Random):
    """Chance that never waits."""

    def uniform(self, a: float, b: float) -> float:
        return 0.0


def gone(peer: Peer) -> None:
    peer.cut()


def dismissed(peer: Peer) -> None:
    peer.dismiss(0x8B)


def garbled(peer: Peer) -> None:
    peer.say(b"\xff" * 40)


ENDS: tuple[Callable[[Peer], None], ...] = (gone, dismissed, garbled)
REFUSALS: tuple[dict[int, bytes], ...] = (
    {CONNECT: b""},
    {CONNECT: b"\x20\x03\x00\x88\x00"},
    {CONNECT: b"\x16\x03\x01"},
    {SUBSCRIBE: b""},
    {PUBLISH: b"\x40"},
)


async def flap(number: int, peer: Peer, uplink: Uplink, until) -> None:  # type: ignore[no-untyped-def]
    """One coming and going of the broker, of another kind each time."""
    attempts = uplink.status.attempts
    if number % 2:
        peer.instead = dict(REFUSALS[number // 2 % len(REFUSALS)])
        gone(peer)
        await until(lambda: uplink.status.attempts > attempts + 1)
        peer.instead = {}
    else:
        ENDS[number // 2 % len(ENDS)](peer)
    await until(lambda: uplink.status.attempts > attempts and uplink.status.state == "online")


def left() -> dict[str, int]:
    """How much there is of what a connection could leave behind."""
    for _ in range(3):
        gc.collect()
    return {
        "tasks": len(asyncio.all_tasks()),
        "descriptors": len(list(Path("/proc/self/fd").iterdir())),
        "objects": len(gc.get_objects()),
    }


@pytest.mark.timeout(30 + FLAPS)
async def test_a_broker_that_comes_and_goes_leaves_nothing_behind(bench, until, caplog) -> None:  # type: ignore[no-untyped-def]
    """Tasks, descriptors and objects are no more after many flaps than after a few."""
    caplog.set_level(logging.CRITICAL, "shorewatch.mqtt")  # pytest keeps what is logged
    peer = Peer()
    async with peer.listening(), bench(peer.url, chance=Hasty()) as b:
        await b.write(50)
        await b.until_state("online")
        found = []
        for count in (WARM, FLAPS):
            for number in range(count):
                await b.write(1)
                b.measure("pfe", float(number))
                await flap(number, peer, b.uplink, until)
            await until(lambda: b.uplink.status.published == b.outbox.last)
            await asyncio.sleep(0.1)
            found.append(left())
        before, after = found
        assert b.uplink.status.state == "online"
    assert after["tasks"] <= before["tasks"]
    assert after["descriptors"] <= before["descriptors"]
    assert after["objects"] - before["objects"] < OBJECTS_A_FLAP * FLAPS, found


async def test_a_broker_that_goes_instead_of_a_suback_is_lost_at_once(bench, until) -> None:  # type: ignore[no-untyped-def]
    """A connection that ends while we wait for a SUBACK is over, and not after a timeout."""
    peer = Peer()
    peer.instead = {SUBSCRIBE: b""}
    async with peer.listening(), bench(peer.url, chance=Hasty()) as b:
        # A timeout would be ten seconds each.
        await until(lambda: b.uplink.status.attempts > 20)
        assert b.uplink.status.state == "lost"
