"""The topics `alarms` and `alarm/<id>` of one connection: what is not normal, retained.

The list tells all of it. Of many single ones (after connecting, each there is) only a part goes out
before the list is told again, those that are not normal first. One that is normal is emptied, also
one that an earlier run left.
Limits: `ALARMS_A_TURN` single ones between two lists; a list within the broker's packet limit.
"""

import asyncio
from collections.abc import Mapping
from typing import Final

from shorewatch.model import utc_now
from shorewatch.mqtt import topics
from shorewatch.mqtt.post import Post
from shorewatch.mqtt.source import Source
from shorewatch.mqtt.standing import Standing

ALARMS_A_TURN: Final = 64


class AlarmTopics:
    """The alarms on one connection; used as a context, it follows the alarm desk's changes."""

    def __init__(self, source: Source, post: Post) -> None:
        self._source = source
        self._post = post
        self._prefix = source.station.prefix
        self._standing = Standing("alarms", source.config, source.outbox)
        self._changes = source.alarms.watch()

    def __enter__(self) -> "AlarmTopics":
        return self

    def __exit__(self, *_: object) -> None:
        self._changes.close()

    def resend(self) -> None:
        """Every alarm is due."""
        for alarm in self._source.alarms.ids:
            self._changes.add(alarm)

    async def run(self) -> None:
        """Publish the list of alarms and each of them when they change; empty what is over."""
        source = self._source
        changed = {*source.alarms.ids, *self._standing.names}
        while True:
            rows = source.alarms.listed()
            by_id = {str(row["id"]): row for row in rows}
            body = topics.alarms(
                rows,
                journal=(source.outbox.journal, source.outbox.last),
                at=utc_now(),
                bytes_max=min(topics.BATCH_BYTES_MAX, self._post.connection.packet_bytes_max - 200),
            )
            topic = topics.alarms_topic(self._prefix)
            self._post.judge(topic, await self._post.keep(topic, body))
            standing = self._standing.names | by_id.keys()
            self._standing.note(standing)
            waiting = sorted(changed, key=lambda alarm: (alarm not in by_id, alarm))
            turn = waiting[:ALARMS_A_TURN]
            sent = await asyncio.gather(*(self._publish(one, by_id.get(one)) for one in turn))
            gone = {one for one, ok in zip(turn, sent, strict=True) if ok and one not in by_id}
            self._standing.note(standing - gone)
            changed = set(waiting[ALARMS_A_TURN:])
            if changed:
                changed |= self._changes.taken()
            else:
                changed = await self._changes.take()

    async def _publish(self, alarm: str, row: Mapping[str, object] | None) -> bool:
        """Publish one alarm, or that it is normal; whether the broker took it."""
        topic = topics.alarm_topic(self._prefix, alarm)
        if row is None:
            return await self._post.empty(topic)
        return self._post.judge(topic, await self._post.keep(topic, row))
