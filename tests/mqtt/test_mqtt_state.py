"""mqtt/state.py: what a station says of itself, to the end."""

import asyncio
from typing import Any

from shorewatch.model import utc_now
from shorewatch.mqtt.state import State


class SlowPost:
    """A post whose broker takes its time."""

    def __init__(self) -> None:
        self.said: list[object] = []

    async def keep(self, topic: str, body: dict[str, Any]) -> int:
        await asyncio.sleep(0.01)
        self.said.append(body["online"])
        return 0


async def test_nothing_that_lives_is_said_after_the_goodbye(bench, free_port) -> None:  # type: ignore[no-untyped-def]
    """Whatever is under way: the last word that the broker keeps is that the station stopped."""
    async with bench(f"mqtt://127.0.0.1:{free_port}") as b:
        up, post = b.uplink, SlowPost()
        state = State(up._source, up._acks, up.expiries, since=utc_now(), identity="x")
        await asyncio.gather(state.publish(post), state.say_goodbye(post), state.publish(post))
        await state.publish(post)
    assert post.said == [True, False]
