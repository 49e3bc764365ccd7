"""The NOC's loop: one connection that feeds a `Follower` and sends its acknowledgements.

    broker -> state, birth, now, journal, own ack -> Follower.receive -> ack/<consumer> -> broker

It decides nothing: follower.py does. The demo, `shorewatch watch` and the tests use it. At most one
ack a station every `ACK_S`; a broker that goes away is tried again after 0.2 to 5 s. One that only
falls silent is noticed after twice `KEEPALIVE_S` and a second.
"""

import asyncio
import random
import secrets
import time
from collections.abc import Callable
from contextlib import aclosing
from typing import Final
from urllib.parse import urlsplit

from shorewatch.errors import UplinkError
from shorewatch.model import utc_now
from shorewatch.mqtt import topics
from shorewatch.mqtt.client import Connection, connected
from shorewatch.mqtt.follower import PAYLOAD_BYTES_MAX, Follower

ACK_S: Final = 0.5
KEEPALIVE_S: Final = 3
WAITING_MAX: Final = 1024
BACKOFF_S_MIN: Final = 0.2
BACKOFF_S_MAX: Final = 5.0


async def follow(
    url: str,
    follower: Follower,
    *,
    acknowledge: str | None = None,
    on_change: Callable[[], None] = lambda: None,
) -> None:
    """Follow every station on the broker at `url` (mqtt://host:port) until cancelled.

    `acknowledge` is the consumer to acknowledge as; None only listens. `on_change` is called after
    each message, and when the broker comes or goes (`follower.broker_state`, `broker_text`).
    """
    parts = urlsplit(url)
    assert parts.scheme == "mqtt" and parts.hostname, "the url looks like mqtt://host:1883"
    wait_s = BACKOFF_S_MIN
    follower.is_consumer = acknowledge is not None
    client_id = f"shorewatch-{acknowledge or 'watch'}-{secrets.token_hex(4)}"
    while True:
        try:
            async with connected(
                parts.hostname,
                parts.port or 1883,
                client_id=client_id,
                keepalive_s=KEEPALIVE_S,
                incoming_bytes_max=PAYLOAD_BYTES_MAX,
                incoming_count_max=WAITING_MAX,
            ) as connection:
                wait_s = BACKOFF_S_MIN
                await _session(connection, follower, acknowledge, on_change)
        except* UplinkError as group:
            error = group.exceptions[0]
            follower.broker_state = error.state if isinstance(error, UplinkError) else "lost"
            follower.broker_text = str(error)
        on_change()
        await asyncio.sleep(wait_s * random.uniform(0.5, 1.0))
        wait_s = min(2 * wait_s, BACKOFF_S_MAX)


async def _session(
    connection: Connection,
    follower: Follower,
    acknowledge: str | None,
    on_change: Callable[[], None],
) -> None:
    kinds = ["state", "birth/+", "now/+", "alarms", "journal"]
    kinds += [f"ack/{acknowledge}"] if acknowledge else []
    codes = await connection.subscribe(*(f"{topics.ROOT}/+/+/{kind}" for kind in kinds))
    if refused := [kind for kind, code in zip(kinds, codes, strict=True) if code >= 0x80]:
        text = f"the broker refuses a subscription to {', '.join(refused)}: allow it"
        raise UplinkError("not-authorised", text)
    follower.connected()
    follower.broker_state, follower.broker_text = "online", "connected"
    on_change()
    async with asyncio.TaskGroup() as tasks:
        if acknowledge is not None:
            tasks.create_task(_acknowledge(connection, follower, acknowledge))
        async with aclosing(connection.messages()) as messages:
            async for message in messages:
                follower.receive(message.topic, message.payload, utc_now(), time.monotonic())
                on_change()


async def _acknowledge(connection: Connection, follower: Follower, consumer: str) -> None:
    while True:
        await asyncio.sleep(ACK_S)
        for prefix in list(follower.stations):
            due = follower.ack_due(prefix, time.monotonic())
            if due is None:
                continue
            payload = topics.encode(topics.ack(*due))
            topic = topics.ack_topic(prefix, consumer)
            code = await connection.publish(topic, payload, qos=1, is_retained=True)
            if code >= 0x80:
                raise UplinkError("not-authorised", f"the broker refuses a publish to {topic}")
            follower.note_acked(prefix, *due, time.monotonic())
