"""Records sent again to who asked: batches in the journal's form, behind the live journal.

A replay walks from `first` to `last` as the journal's sender does, with fewer batches in flight,
and stands still while the live journal has more than a batch to send. The last batch says so
(`end`), also where nothing is kept. A broker that refuses a batch, or a requester that does not
listen, ends it: who still wants the rest asks again.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from shorewatch.mqtt import topics
from shorewatch.mqtt.client import NO_SUBSCRIBERS, Connection
from shorewatch.mqtt.journal import Flight, Sender
from shorewatch.outbox import Outbox

IN_FLIGHT: Final = 2
BUSY_S: Final = 0.1
# What stands around the records of a batch, and the packet's own head with its topic.
_ROUND_BYTES = 600
_TOO_LARGE = 0x95

_log = logging.getLogger("shorewatch.requests")


@dataclass(frozen=True, slots=True)
class Span:
    """What is to be sent to whom: (after, last], of which something is kept up to `end`."""

    identity: str
    request_id: str
    after: int
    last: int
    end: int


class Replay:
    """One replay on one connection."""

    def __init__(
        self, span: Span, prefix: str, outbox: Outbox, connection: Connection,
        *, is_busy: Callable[[], bool], clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._span = span
        self._topic = topics.records_topic(prefix, span.identity, span.request_id)
        self._outbox = outbox
        self._connection = connection
        self._is_busy = is_busy
        self._clock = clock
        self._sender = Sender(span.after, window=IN_FLIGHT)
        self._bytes_max = connection.packet_bytes_max - _ROUND_BYTES
        self._answered = asyncio.Event()
        self._is_refused = False

    async def run(self) -> None:
        """Send all of it; UplinkError when the connection is gone."""
        async with asyncio.TaskGroup() as tasks:
            while self._sender.after < self._span.last and not self._is_refused:
                if self._is_busy():
                    await asyncio.sleep(BUSY_S)
                elif not self._sender.has_room:
                    self._answered.clear()
                    await self._answered.wait()
                else:
                    batch = await self._next()
                    flight = self._sender.send(batch.after, batch.last, self._clock())
                    tasks.create_task(self._send(batch, flight))

    async def _next(self) -> topics.Batch:
        """The next batch; what was evicted meanwhile is left out, and it then ends sooner."""
        after, span = self._sender.after, self._span
        found = await self._outbox.read(after, topics.BATCH_RECORDS_MAX)
        records = [record for record in found if record.seq <= span.last]
        if not records:
            journal = self._outbox.journal
            return topics.replayed_nothing(journal, after + 1, span.last, span.request_id)
        bytes_max = min(self._sender.batch_bytes_max, self._bytes_max)
        batch = topics.batch(self._outbox.journal, after, records, bytes_max=bytes_max)
        is_end = batch.last >= span.end
        found_batch = topics.replayed(batch, span.request_id, is_end=is_end)
        return found_batch._replace(last=span.last) if is_end else found_batch

    async def _send(self, batch: topics.Batch, flight: Flight) -> None:
        code = _TOO_LARGE
        if len(batch.payload) <= self._bytes_max + _ROUND_BYTES // 2:
            code = await self._connection.publish(self._topic, batch.payload, qos=1)
        self._sender.taken(flight, self._clock())
        if code >= NO_SUBSCRIBERS and not self._is_refused:
            self._is_refused = True
            _log.warning("replay %s ended by code 0x%02x of the broker", self._topic, code)
        self._answered.set()
