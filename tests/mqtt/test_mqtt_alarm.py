"""The alarms that stand at a real broker."""

import asyncio
import json
from contextlib import suppress
from functools import partial

from shorewatch.mqtt.client import Message, connected


async def test_many_alarms_do_not_hold_up_the_list(broker, bench, listening, until) -> None:  # type: ignore[no-untyped-def]
    """After connecting, a new alarm is listed before the topics of thousands are in order."""
    async with listening(broker.port) as listener, bench(broker.url) as b:

        def told() -> list[Message]:
            return [m for m in listener.messages if "/alarm/" in m.topic]

        b.alarms.ids = tuple(f"a{i}" for i in range(3000))
        for name in b.alarms.ids[:1000]:
            b.alarms.become(name, "unacknowledged")
        await until(lambda: len(listener.of("/alarms")) >= 1)
        b.alarms.become("late", "unacknowledged")
        await until(lambda: json.loads(listener.of("/alarms")[-1].payload)["count"] == 1001)
        assert len(told()) < 1000
        await until(lambda: len({m.topic for m in told() if m.payload}) == 1001)


async def test_alarms_stand_retained_while_they_are_not_normal(broker, bench, until) -> None:  # type: ignore[no-untyped-def]
    """`alarms` is the list as it stands, `alarm/<id>` each of it; what is over leaves no topic."""
    async with bench(broker.url) as b:
        b.alarms.become("lid-open", "unacknowledged")
        await b.until_state("online")
        b.alarms.become("current-low", "unacknowledged")
        listed = partial(retained, broker.port, b.prefix)
        await until(lambda: len(b.alarms.listed()) == 2)
        found = {}
        while found.keys() != {"alarms", "alarm/lid-open", "alarm/current-low"}:
            found = await listed()
        assert found["alarm/lid-open"]["state"] == "unacknowledged"
        b.alarms.become("lid-open", None)
        while found.keys() != {"alarms", "alarm/current-low"}:
            found = await listed()
        while found["alarms"]["count"] != 1:
            found = await listed()
        assert [row["id"] for row in found["alarms"]["alarms"]] == ["current-low"]
        assert found["alarms"]["journal"] == b.outbox.journal


async def test_alarms_left_by_an_earlier_life_are_emptied(broker, bench, until) -> None:  # type: ignore[no-untyped-def]
    """An alarm that ended while nobody could say so is no longer retained after connecting."""
    prefix = "shorewatch/v1/trans-caspian/sumqayit"
    async with connected("127.0.0.1", broker.port, client_id="earlier") as earlier:
        left = f"{prefix}/alarm/lid-open"
        await earlier.publish(left, b'{"id": "lid-open"}', qos=1, is_retained=True)
        await earlier.disconnect()
    async with bench(broker.url) as b:
        await b.until_state("online")
        while "alarm/lid-open" in await retained(broker.port, prefix):
            await asyncio.sleep(0.05)


async def retained(port: int, prefix: str) -> dict[str, dict[str, object]]:
    """What stands below `alarms` and `alarm/`, by the rest of its topic."""
    found = {}
    async with connected("127.0.0.1", port, client_id="looks", incoming_bytes_max=100_000) as c:
        await c.subscribe(f"{prefix}/alarms", f"{prefix}/alarm/+")
        messages = c.messages()
        with suppress(TimeoutError):
            async with asyncio.timeout(0.3):
                async for message in messages:
                    if message.payload:
                        name = message.topic.removeprefix(f"{prefix}/")
                        found[name] = json.loads(message.payload)
        await messages.aclose()
        await c.disconnect()
    return found
