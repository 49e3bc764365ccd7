"""The topic `state` of one connection: that the station lives, its journal, lines and outbox.

Retained; the Will takes its place when we are gone without a word. A broker that refuses it is of
no use: that alone of all topics ends the connection.
"""

import asyncio
from datetime import datetime

from shorewatch.model import utc_now
from shorewatch.mqtt import topics
from shorewatch.mqtt.ack import AckDesk
from shorewatch.mqtt.client import Will
from shorewatch.mqtt.post import REFUSED, Post, refusal
from shorewatch.mqtt.source import Source
from shorewatch.mqtt.tls import Expiries


class State:
    """What is said of a station: `since` is when its connection began, `identity` which process."""

    def __init__(
        self,
        source: Source,
        acks: AckDesk,
        expiries: Expiries,
        *,
        since: datetime,
        identity: str,
    ) -> None:
        self._source = source
        self._acks = acks
        self._expiries = expiries
        self._since = since
        self._identity = identity
        self._topic = topics.state_topic(source.station.prefix)
        self._is_over = False
        self._turn = asyncio.Lock()  # nothing that lives may be said after the goodbye

    @property
    def will(self) -> Will:
        """What the broker says for us when we are gone."""
        return Will(self._topic, topics.encode(self._offline("connection lost")))

    @property
    def health(self) -> object:
        """What is told at once when it changes."""
        source = self._source
        return (
            source.lines(),
            source.outbox.health,
            source.station.config_hash,
            self._acks.silent.keys(),
        )

    async def publish(self, post: Post) -> None:
        """Say that the station lives, until the goodbye; UplinkError if the broker refuses it."""
        async with self._turn:
            if not self._is_over:
                await self._publish(post)

    async def _publish(self, post: Post) -> None:
        source, outbox = self._source, self._source.outbox
        state = topics.online(
            source.station,
            journal=(outbox.journal, outbox.first, outbox.last, self._acks.cursor),
            times=(utc_now(), self._since),
            lines=source.lines(),
            points=source.image.counts(),
            outbox=outbox.health,
            silent=self._acks.silent,
            gateway=self._identity,
            certificates=self._expiries.known,
        )
        code = await post.keep(self._topic, state)
        if code >= REFUSED:
            raise refusal(self._topic, code)

    async def say_goodbye(self, post: Post) -> None:
        """Say that the station stops, and where its journal ends."""
        async with self._turn:
            self._is_over = True
            last = utc_now(), self._source.outbox.last
            await post.keep(self._topic, self._offline("stopped", last))

    def _offline(self, reason: str, last: tuple[datetime, int] | None = None) -> dict[str, object]:
        source = self._source
        return topics.offline(
            source.station,
            reason=reason,
            journal=source.outbox.journal,
            since=self._since,
            gateway=self._identity,
            last=last,
        )
