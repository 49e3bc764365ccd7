"""The topic `journal` of one connection: records from the cursor on, a few batches in flight.

What goes next and when is decided by journal.py's `Sender`; here it is read, sent and answered.
Records that come late, or once more, are marked as history and take a share of the line only.
Limits: the sender's window; one batch in memory for each of it.
"""

import asyncio

from shorewatch.errors import UplinkError
from shorewatch.mqtt import topics
from shorewatch.mqtt.ack import AckDesk
from shorewatch.mqtt.client import NO_SUBSCRIBERS
from shorewatch.mqtt.journal import WINDOW, Flight, Sender
from shorewatch.mqtt.post import HEAD_BYTES, Post
from shorewatch.mqtt.source import Source
from shorewatch.mqtt.waiting import either


class Delivery:
    """The journal on its way over one connection."""

    def __init__(self, source: Source, post: Post, acks: AckDesk) -> None:
        self._source = source
        self._post = post
        self._acks = acks
        self._topic = topics.journal_topic(source.station.prefix)
        self._head_bytes = len(self._topic) + HEAD_BYTES
        self._bytes_max = post.connection.packet_bytes_max - self._head_bytes
        window = max(1, min(WINDOW, post.connection.receive_max // 2))
        self._sender = Sender(acks.cursor, window=window, share=source.config.backfill_share)
        self._answered = asyncio.Event()
        self._moved = asyncio.Event()

    @property
    def sent(self) -> int:
        """The highest sequence sent on this connection."""
        return self._sender.sent

    @property
    def is_behind(self) -> bool:
        """Whether the journal has more than a batch to send, and may send it."""
        unsent = self._source.outbox.last - self._sender.after
        return unsent > topics.BATCH_RECORDS_MAX and self._sender.wait_s(self._source.clock()) <= 0

    def send_again(self, after: int) -> None:
        """A consumer lacks what follows `after`."""
        if after < self._sender.after:
            self._sender.rewind(after)
            self._answered.set()

    async def drain(self) -> None:
        """Wait until the broker has the journal's tail; what it lacks stays in the outbox."""
        outbox = self._source.outbox
        while outbox.queued or self._sender.published < outbox.last:
            self._moved.clear()
            await either(self._moved.wait(), outbox.wait_beyond(outbox.last))

    async def run(self, tasks: asyncio.TaskGroup) -> None:
        """Send the journal from the cursor, a window of batches in flight, forever."""
        sender, outbox, clock = self._sender, self._source.outbox, self._source.clock
        while True:
            self._answered.clear()
            if not sender.has_room:
                await self._answered.wait()
                continue
            if (pause_s := sender.wait_s(clock())) > 0:
                await asyncio.sleep(pause_s)
                continue
            after = sender.after
            if outbox.last <= after:
                await either(outbox.wait_beyond(after), self._answered.wait())
                continue
            records = await outbox.read(after, topics.BATCH_RECORDS_MAX)
            if sender.after != after or not records:
                continue
            is_history = self._acks.is_history(records[0])
            batch = topics.batch(
                outbox.journal, after, records,
                bytes_max=min(sender.batch_bytes_max, self._bytes_max), is_history=is_history,
            )  # fmt: skip
            if len(batch.payload) > self._bytes_max:
                self._post.refuse(self._topic, self._too_long(batch))
                sender.hold(clock())
                continue
            is_full = batch.last < records[-1].seq or len(records) == topics.BATCH_RECORDS_MAX
            flight = sender.send(
                batch.after, batch.last, clock(), is_history=is_history, is_full=is_full
            )
            self._acks.note_sent(batch.last)
            tasks.create_task(self._send(batch, flight))

    def _too_long(self, batch: topics.Batch) -> UplinkError:
        return UplinkError(
            "quota",
            f"the broker takes packets of {self._post.connection.packet_bytes_max} bytes, record"
            f" {batch.last} needs {len(batch.payload) + self._head_bytes}: raise its maximum packet"
            " size; the journal waits",
        )

    async def _send(self, batch: topics.Batch, flight: Flight) -> None:
        code = await self._post.connection.publish(self._topic, batch.payload, qos=1)
        now_s = self._source.clock()
        if self._post.judge(self._topic, code) and code != NO_SUBSCRIBERS:
            self._acks.note_taken(self._sender.taken(flight, now_s))
        else:
            self._sender.refused(flight, now_s)
            if code == NO_SUBSCRIBERS:
                self._acks.note_unheard()
        self._answered.set()
        self._moved.set()
