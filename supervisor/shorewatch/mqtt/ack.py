"""The topic `ack/<consumer>`: how far the consumers are, and the cursor that follows them.

What outlives a connection: whose acknowledgement is believed is decided by journal.py, and here it
is counted, shown, put on record and made durable in the outbox. With no consumer configured the
broker's word is the acknowledgement.
Limits: one wanted cursor and one audit record wait for the disk.
"""

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta

from shorewatch.model import utc_now
from shorewatch.mqtt.client import Message
from shorewatch.mqtt.journal import Acks, Listening, Refusals, Refused, Trail, is_late
from shorewatch.mqtt.source import Source
from shorewatch.outbox import Record


class AckDesk:
    """The acknowledgements of one uplink; `published` is the highest sequence the broker took."""

    def __init__(self, source: Source) -> None:
        outbox, config = source.outbox, source.config
        self._source = source
        cursor = outbox.cursor(config.id)
        self._acks = Acks(outbox.journal, config.consumers, cursor=cursor, sent=outbox.last)
        self._refusals = Refusals()
        self._listening = Listening(config.consumers)
        self._wanted = 0
        self._moved = asyncio.Event()
        self._audit: dict[str, object] | None = None
        self._has_audit = asyncio.Event()
        self.acked_at: dict[str, datetime | None] = dict.fromkeys(config.consumers)
        self.last_refusal: str | None = None
        self.published = cursor
        self._trail = Trail()
        self._unheard_at: datetime | None = None

    @property
    def refused(self) -> int:
        """How many acknowledgements were refused."""
        return self._refusals.count

    @property
    def cursor(self) -> int:
        """The durable one."""
        return self._source.outbox.cursor(self._source.config.id)

    @property
    def silent(self) -> Mapping[str, datetime]:
        """The consumers that acknowledge nothing although records wait for them; since when."""
        spans_s = self._listening.silent(self._source.clock())
        return {name: utc_now() - timedelta(seconds=span_s) for name, span_s in spans_s.items()}

    @property
    def unheard_since(self) -> datetime | None:
        """Since when nobody at all listens; None if somebody does, or nothing is to be heard."""
        silent = self.silent
        is_silent = len(silent) == len(self.acked_at) > 0
        return self._unheard_at or (min(silent.values()) if is_silent else None)

    def connection_ended(self) -> None:
        """Nobody can be silent to a station that is not connected."""
        self._listening = Listening(self._source.config.consumers)
        self._unheard_at = None

    def look(self, sent: int) -> None:
        """Note who has not acknowledged what was sent on this connection."""
        self._listening.look(self._acks.acked, sent, self._source.clock())
        self.note_time()

    def note_time(self) -> None:
        """Note where the journal ends by now."""
        self._trail.note(self._source.outbox.last, self._source.clock())

    def is_history(self, record: Record) -> bool:
        """Whether a record goes out late, or once more."""
        is_old = record.seq <= self._trail.old(self._source.clock())
        return is_old or record.seq <= self._acks.sent or is_late(record, utc_now())

    def note_sent(self, seq: int) -> None:
        """Everything up to `seq` has gone out."""
        self._acks.note_sent(seq)

    def note_unheard(self) -> None:
        """The broker says that nobody listens to the journal."""
        self._unheard_at = self._unheard_at or utc_now()

    def note_taken(self, seq: int) -> None:
        """The broker has everything up to `seq`."""
        self._unheard_at = None
        self.published = max(self.published, seq)
        if not self._source.config.consumers:
            self._want(self.published)

    def hear(self, consumer: str, message: Message) -> int | None:
        """Judge an acknowledgement; the sequence after which the consumer lacks records, if any."""
        now_s = self._source.clock()
        verdict = self._acks.decide(
            consumer, message.payload, now_s, is_retained=message.is_retained
        )
        if isinstance(verdict, Refused):
            self.last_refusal = f"{message.topic[:200]} {verdict.why}"
            self._audit = self._refusals.audit(message.topic, verdict, now_s) or self._audit
            if self._audit is not None:
                self._has_audit.set()
            return None
        self.acked_at[consumer] = utc_now()
        self._listening.heard(consumer)
        self._want(verdict.cursor)
        return verdict.resend_after

    async def keep_cursor(self) -> None:
        """Make the cursor durable as it moves."""
        while True:
            await self._moved.wait()
            self._moved.clear()
            await self._source.outbox.acknowledge(self._source.config.id, self._wanted)

    async def keep_audits(self) -> None:
        """Put on record what was refused."""
        while True:
            await self._has_audit.wait()
            self._has_audit.clear()
            body, self._audit = self._audit, None
            if body is not None:
                body = {"uplink": self._source.config.id, **body}
                await self._source.outbox.put("audit", utc_now(), body)

    def _want(self, seq: int) -> None:
        self._wanted = max(seq, self._wanted)
        self._moved.set()
