"""The NOC's loop: one connection that feeds a `Follower` and sends its acks and requests.

    broker -> ack, state, birth, now, journal, replies -> Follower.receive
    Follower.ack_due -> ack/<consumer>      Follower.replay_due -> request/<identity>

It decides nothing: follower.py does. The demo, `shorewatch watch`, noc.py and the tests use it. At
most one ack a station every `TEND_S`; a broker that goes away is tried again as in backoff.py. One
that only falls silent is noticed after twice `KEEPALIVE_S` and a second.
"""

import asyncio
import random
import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from shorewatch.errors import UplinkError
from shorewatch.model import utc_now
from shorewatch.mqtt import topics
from shorewatch.mqtt.ask import EXPIRES_S, Key
from shorewatch.mqtt.backoff import Backoff
from shorewatch.mqtt.client import Connection, connected
from shorewatch.mqtt.follower import PAYLOAD_BYTES_MAX, Follower
from shorewatch.mqtt.tls import Tls

TEND_S: Final = 0.5
KEEPALIVE_S: Final = 3
WAITING_MAX: Final = 1024
_REFUSED: Final = 0x80


@dataclass(frozen=True, slots=True)
class Access:
    """How to get into the broker, and the key to ask stations with.

    `login` is user and password; `tls` the files of a url that says mqtts://.
    """

    login: tuple[str, str | None] | None = None
    key: Key | None = None
    tls: Tls = field(default_factory=Tls)


async def follow(
    url: str,
    follower: Follower,
    *,
    acknowledge: str | None = None,
    prefixes: Sequence[str] = (f"{topics.ROOT}/+/+",),
    access: Access = Access(),
    on_change: Callable[[], None] = lambda: None,
) -> None:
    """Follow the stations on the broker at `url` (mqtt:// or mqtts://host:port) until cancelled.

    `acknowledge` is the consumer to acknowledge as; None only listens. `on_change` is called after
    each message, and when the broker comes or goes (`follower.broker_state`, `broker_text`).
    """
    parts = urlsplit(url)
    is_tls = parts.scheme == "mqtts"
    assert is_tls or parts.scheme == "mqtt", "the url looks like mqtt://host:1883"
    assert parts.hostname, "the url names a host"
    backoff = Backoff(random.Random())
    follower.is_consumer = acknowledge is not None
    client_id = f"shorewatch-{acknowledge or 'watch'}-{secrets.token_hex(4)}"
    while True:
        try:
            async with connected(
                parts.hostname,
                parts.port or (8883 if is_tls else 1883),
                client_id=client_id,
                login=access.login,
                tls=access.tls if is_tls else None,
                keepalive_s=KEEPALIVE_S,
                incoming_bytes_max=PAYLOAD_BYTES_MAX,
                incoming_count_max=WAITING_MAX,
            ) as connection:
                backoff.reset()
                session = _Session(connection, follower, acknowledge, access.key, on_change)
                await session.run(prefixes)
        except* UplinkError as group:
            error = group.exceptions[0]
            follower.broker_state = error.state if isinstance(error, UplinkError) else "lost"
            follower.broker_text = str(error)
        # The TaskGroup of Python 3.11 and 3.12 drops a cancellation that comes together with an
        # error in it: whoever wants to end us would wait for ever.
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise asyncio.CancelledError
        on_change()
        await asyncio.sleep(backoff.wait_s(follower.broker_state))


class _Session:
    """One connection."""

    def __init__(
        self,
        connection: Connection,
        follower: Follower,
        consumer: str | None,
        key: Key | None,
        on_change: Callable[[], None],
    ) -> None:
        self._connection = connection
        self._follower = follower
        self._consumer = consumer
        self._key = key
        self._on_change = on_change

    async def run(self, prefixes: Sequence[str]) -> None:
        """Until the connection ends: UplinkError."""
        follower = self._follower
        await self._subscribe(prefixes)
        follower.connected()
        follower.broker_state, follower.broker_text = "online", "connected"
        self._on_change()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._tend())
            async with aclosing(self._connection.messages()) as messages:
                async for message in messages:
                    follower.receive(message.topic, message.payload, utc_now(), time.monotonic())
                    self._on_change()

    async def _subscribe(self, prefixes: Sequence[str]) -> None:
        # The own ack first: it says where to begin, before a state does.
        kinds = [f"ack/{self._consumer}"] if self._consumer else []
        kinds += ["state", "birth/+", "now/+", "alarms"]
        if self._key is not None:
            reply = f"reply/{self._key.identity}/+"
            kinds += [reply, f"{reply}/records"]
        kinds.append("journal")
        wanted = [f"{prefix}/{kind}" for kind in kinds for prefix in prefixes]
        codes = await self._connection.subscribe(*wanted)
        pairs = zip(wanted, codes, strict=True)
        if refused := [topic for topic, code in pairs if code >= _REFUSED]:
            text = f"the broker refuses a subscription to {', '.join(refused[:4])}: allow it"
            raise UplinkError("not-authorised", text)

    async def _tend(self) -> None:
        while True:
            await asyncio.sleep(TEND_S)
            self._follower.give_up(time.monotonic())
            for prefix in list(self._follower.stations):
                await self._ask(prefix)
                await self._acknowledge(prefix)
            self._on_change()

    async def _acknowledge(self, prefix: str) -> None:
        due = self._follower.ack_due(prefix, time.monotonic())
        if self._consumer is None or due is None:
            return
        payload = topics.encode(topics.ack(*due))
        topic = topics.ack_topic(prefix, self._consumer)
        code = await self._connection.publish(topic, payload, qos=1, is_retained=True)
        if code >= _REFUSED:
            raise UplinkError("not-authorised", f"the broker refuses a publish to {topic}")
        self._follower.note_acked(prefix, *due, time.monotonic())

    async def _ask(self, prefix: str) -> None:
        """Ask for what is missing; a broker that refuses it leaves the repeated ack."""
        if self._key is None:
            return
        now_s = time.monotonic()
        due = self._follower.replay_due(prefix, now_s)
        if due is None:
            return
        replay = self._follower.note_asked(prefix, secrets.token_hex(12), *due, now_s)
        payload = self._key.sign(prefix, replay.request(utc_now()))
        topic = topics.request_topic(prefix, self._key.identity)
        await self._connection.publish(topic, payload, qos=1, expiry_s=EXPIRES_S)
