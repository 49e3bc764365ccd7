"""What an uplink decides about its journal: what to send next, what counts, whose ack is believed.

Pure: time, sequences and payloads in, decisions out. uplink.py moves the bytes, outbox.py keeps the
records and the cursor.

`Sender` walks the journal from the cursor in batches, a few in flight, and only counts what the
broker took, without holes. `Acks` believes an acknowledgement only from a configured consumer, for
this journal, between the cursor and what was sent. A consumer that repeats its acknowledgement
while more has been sent is behind (it was away, or missed a batch): it asks for what follows, and
the sender goes back there, at most every `REWIND_S_MIN`.
What is sent late (`history`) takes at most `share` of what the broker and the line can carry: from
one such batch to the next it is as long as one takes, divided by the share.

`Trail` knows what is history by the monotonic clock, `is_late` by the wall clock's times.
`Listening` tells a consumer that is silent from one that has nothing to say.
Limits: `WINDOW` batches in flight. It begins with one small batch; as long as that is answered
quickly batches grow, and then go several at a time. A batch shrinks so that its PUBACK takes about
a second, which is the longest a live message may have to queue behind the journal on a slow line.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from shorewatch.mqtt.topics import ACK_BYTES_MAX, BATCH_BYTES_MAX, parse_object
from shorewatch.outbox import Record

WINDOW: Final = 4
BATCH_BYTES_MIN: Final = 2_000
SLOW_S: Final = 1.0
FAST_S: Final = 0.25
# An answer this many times later than the soonest one has queued, however far the broker is.
QUEUED: Final = 1.5
PAUSE_S_MIN: Final = 0.5
PAUSE_S_MAX: Final = 5.0
REWIND_S_MIN: Final = 5.0
AUDIT_S_MIN: Final = 60.0
SILENT_S: Final = 30.0
HISTORY_AGE_S: Final = 10.0
TRAIL_S_MIN: Final = 1.0


@dataclass(slots=True, eq=False)
class Flight:
    """A batch on its way: (after, last], sent at `sent_s`; `is_full` if there was more to send."""

    after: int
    last: int
    sent_s: float
    is_full: bool = True
    is_taken: bool = False


class Sender:
    """Where one connection is in the journal. `start` is the cursor when the connection began."""

    def __init__(self, start: int, *, window: int = WINDOW, share: float = 1.0) -> None:
        assert window >= 1, "at least one batch must be in flight"
        assert 0 < share <= 1, "a share of the line"
        self._share = share
        self._took_s = 0.0
        self._paced_s = float("-inf")
        self._flights: deque[Flight] = deque()
        self._window = window
        self._pause_s = 0.0
        self._resume_s = 0.0
        self.after = start
        self.published = start
        self.sent = start
        self._open = 1
        self._least_s = float("inf")
        self.batch_bytes_max = BATCH_BYTES_MIN

    @property
    def has_room(self) -> bool:
        """Whether another batch may be sent now."""
        return len(self._flights) < self._open

    def wait_s(self, now_s: float) -> float:
        """Seconds for which the broker's last refusal, or the pace, still holds us back."""
        return max(0.0, max(self._resume_s, self._paced_s) - now_s)

    def send(
        self,
        after: int,
        last: int,
        now_s: float,
        *,
        is_history: bool = False,
        is_full: bool = True,
    ) -> Flight:
        """Note a batch (after, last] as sent; what it returns is given back when it is answered.

        Only one that `is_full` proves that batches may grow.
        """
        assert self.has_room and after == self.after < last, "batches go out in order"
        if is_history:
            self._paced_s = now_s + self._took_s / self._share
        flight = Flight(after, last, now_s, is_full)
        self._flights.append(flight)
        self.after = last
        self.sent = max(self.sent, last)
        return flight

    def taken(self, flight: Flight, now_s: float) -> int:
        """The broker took it: the highest sequence now taken without holes."""
        flight.is_taken = True
        took_s = now_s - flight.sent_s
        self._took_s += (took_s - self._took_s) / 4
        self._least_s = min(took_s, self._least_s)
        if took_s > max(SLOW_S, QUEUED * self._least_s):
            self._open = 1
            self.batch_bytes_max = max(BATCH_BYTES_MIN, self.batch_bytes_max // 2)
        elif flight.is_full and took_s < max(FAST_S, QUEUED * self._least_s):
            if self.batch_bytes_max == BATCH_BYTES_MAX:
                self._open = min(self._open + 1, self._window)
            self.batch_bytes_max = min(BATCH_BYTES_MAX, self.batch_bytes_max * 2)
        if flight in self._flights:
            self._pause_s = 0.0
        while self._flights and self._flights[0].is_taken:
            self.published = max(self.published, self._flights.popleft().last)
        return self.published

    def refused(self, flight: Flight, now_s: float) -> None:
        """The broker refused it, or nobody listens: go back to it after a growing pause."""
        if flight not in self._flights:
            return
        while self._flights and self._flights[-1] is not flight:
            self._flights.pop()
        self._flights.pop()
        self.after = flight.after
        self.hold(now_s)

    def hold(self, now_s: float) -> None:
        """What is next cannot go now: a pause, longer each time until something is taken."""
        self._pause_s = min(max(PAUSE_S_MIN, 2 * self._pause_s), PAUSE_S_MAX)
        self._resume_s = now_s + self._pause_s

    def rewind(self, seq: int) -> None:
        """Go on after `seq`, which a consumer asked for; what is in flight counts no more."""
        assert seq <= self.sent, "only what was sent can be sent again"
        self._flights.clear()
        self.after = min(self.after, seq)


@dataclass(frozen=True, slots=True)
class Accepted:
    """An acknowledgement that counts.

    `cursor` is what all consumers have; `resend_after` is where to go back to, if anywhere.
    """

    consumer: str
    seq: int
    cursor: int
    resend_after: int | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """An acknowledgement that does not count, and why."""

    consumer: str
    why: str


class Acks:
    """The consumers of one uplink and how far each of them is.

    `cursor` is the durable one at start; `sent` the highest sequence that may have been sent by
    then. The cursor returned is the lowest of all consumers, so that none loses what it lacks.
    """

    def __init__(self, journal: str, consumers: Sequence[str], *, cursor: int, sent: int) -> None:
        self._journal = journal
        self._seqs = dict.fromkeys(consumers, cursor)
        self._rewound_s = dict.fromkeys(consumers, float("-inf"))
        self._cursor = cursor
        self._sent = max(cursor, sent)

    @property
    def acked(self) -> Mapping[str, int]:
        """What each consumer has acknowledged, the durable cursor at least."""
        return self._seqs

    @property
    def sent(self) -> int:
        """The highest sequence that may have been sent."""
        return self._sent

    def note_sent(self, seq: int) -> None:
        """Everything up to `seq` has gone out."""
        self._sent = max(seq, self._sent)

    def decide(
        self, consumer: str, payload: bytes, now_s: float, *, is_retained: bool = False
    ) -> Accepted | Refused:
        """Judge one message on `ack/<consumer>`; a retained one is old and asks for nothing."""
        if consumer not in self._seqs:
            return Refused(consumer, "is no configured consumer")
        why = self._flaw(payload)
        if why is not None:
            return Refused(consumer, why)
        seq = self._seq(payload)
        is_repeated = seq <= self._seqs[consumer] and not is_retained and seq < self._sent
        self._seqs[consumer] = max(seq, self._seqs[consumer])
        self._cursor = max(self._cursor, min(self._seqs.values()))
        if not is_repeated or now_s - self._rewound_s[consumer] < REWIND_S_MIN:
            return Accepted(consumer, seq, self._cursor)
        self._rewound_s[consumer] = now_s
        return Accepted(consumer, seq, self._cursor, resend_after=seq)

    def _flaw(self, payload: bytes) -> str | None:
        if len(payload) > ACK_BYTES_MAX:
            return f"sent {len(payload)} bytes, more than {ACK_BYTES_MAX}"
        body = parse_object(payload)
        if body is None or not isinstance(body.get("journal"), str):
            return 'sent no {"journal": text, "seq": number}'
        seq = body.get("seq")
        if not isinstance(seq, int) or isinstance(seq, bool):
            return 'sent no {"journal": text, "seq": number}'
        if body["journal"] != self._journal:
            return "acknowledges another journal"
        if seq < self._cursor:
            return f"acknowledges {seq}, which is before the cursor {self._cursor}"
        if seq > self._sent:
            return f"acknowledges {seq}, of which only {self._sent} was sent"
        return None

    @staticmethod
    def _seq(payload: bytes) -> int:
        body = parse_object(payload)
        assert body is not None and isinstance(body["seq"], int), "judged before"
        return body["seq"]


class Trail:
    """Where the journal ended, a while ago and since, by a clock that nobody sets.

    After the wall clock was put back, records from before look as if they were of today.
    """

    def __init__(self) -> None:
        self._ends: deque[tuple[float, int]] = deque()
        self._old = 0

    def note(self, last: int, now_s: float) -> None:
        """The journal ends with `last` at `now_s`."""
        if not self._ends or now_s - self._ends[-1][0] >= TRAIL_S_MIN:
            self._ends.append((now_s, last))
        self.old(now_s)

    def old(self, now_s: float) -> int:
        """The highest sequence known to be older than `HISTORY_AGE_S`; 0 at first."""
        while self._ends and now_s - self._ends[0][0] > HISTORY_AGE_S:
            self._old = self._ends.popleft()[1]
        return self._old


def is_late(record: Record, at: datetime) -> bool:
    """Whether a record is sent so long after it was made that it is history."""
    return (at - record.at).total_seconds() > HISTORY_AGE_S


class Listening:
    """Which consumers are silent although records that they were sent wait for their word.

    One that never had anything to acknowledge is not silent, however long it says nothing.
    """

    def __init__(self, consumers: Sequence[str]) -> None:
        self._since_s: dict[str, float | None] = dict.fromkeys(consumers)

    def heard(self, consumer: str) -> None:
        """It acknowledged something."""
        self._since_s[consumer] = None

    def look(self, acked: Mapping[str, int], sent: int, now_s: float) -> None:
        """Note who has not acknowledged all that was sent."""
        for consumer, since_s in self._since_s.items():
            if acked[consumer] >= sent:
                self._since_s[consumer] = None
            elif since_s is None:
                self._since_s[consumer] = now_s

    def silent(self, now_s: float) -> dict[str, float]:
        """The silent ones, and for how many seconds: at least `SILENT_S`."""
        spans_s = {
            consumer: now_s - since_s
            for consumer, since_s in self._since_s.items()
            if since_s is not None
        }
        return {consumer: span_s for consumer, span_s in spans_s.items() if span_s >= SILENT_S}


class Refusals:
    """Counts what was refused (`what`: "ack refused"), and says which are worth an audit record.

    `noun` is what the one who sent it is called there.

    The first is, then at most one every `AUDIT_S_MIN`, with the count since: nobody can fill the
    outbox by sending us nonsense.
    """

    def __init__(self, what: str = "ack refused", noun: str = "consumer") -> None:
        self.count = 0
        self._what, self._noun = what, noun
        self._unsaid = 0
        self._said_s = float("-inf")

    def audit(self, topic: str, refused: Refused, now_s: float) -> dict[str, object] | None:
        """The body of an audit record for this refusal, or None if it is too soon."""
        self.count += 1
        self._unsaid += 1
        if now_s - self._said_s < AUDIT_S_MIN:
            return None
        self._said_s = now_s
        count, self._unsaid = self._unsaid, 0
        return {
            "what": self._what,
            "topic": topic[:200],
            self._noun: refused.consumer[:40],
            "why": refused.why,
            "count": count,
        }
