"""The journal of one station as a consumer reads it: where it is, what waits, what to ask. Pure.

    batches, replays -> Order -> Account -> ready -> the user -> mark -> acknowledged

What the user has taken and called safe is the mark; only that is acknowledged. Without a user
everything is safe at once. What the user has not taken waits in `ready`; when that is full nothing
more is put out, and what the order cannot hold either is asked for again when there is room.

A journal belongs to the station that names it in its state: a batch of another one is ignored
until the state says so too, and one that was read before goes on where it was. So neither an old
batch nor somebody who plays another journal makes a record come twice.
Limits: `READY_RECORDS_MAX` records and `READY_BYTES_MAX` ready, as many journals remembered as the
ledger does: one that is forgotten and comes back would begin anew, and its records come twice.
"""

import math
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple, TypeVar

from shorewatch.mqtt import said
from shorewatch.mqtt.account import Account
from shorewatch.mqtt.ask import Replay
from shorewatch.mqtt.asking import REPLAY_SEQUENCES_MAX
from shorewatch.mqtt.ledger import JOURNALS_MAX
from shorewatch.mqtt.order import Chunk, Gone, Late, Order, Out, Run
from shorewatch.mqtt.reservoir import Reservoir
from shorewatch.mqtt.said import JsonObject, Nonsense, whole

READY_RECORDS_MAX: Final = 20_000
READY_BYTES_MAX: Final = 8_000_000
EVENTS_MAX: Final = 500
KINDS_MAX: Final = 20
TAIL_S_MAX: Final = 10.0
TAIL_ASK_S: Final = 2.0
ASK_S: Final = 6.0
NEXT_S: Final = 2.5  # a station answers one request in two seconds
UNANSWERED_S: Final = 24.0  # a replay that is refused is not asked for again at once


_T = TypeVar("_T")


class Ready(NamedTuple):
    """Something in order, of a journal."""

    journal: str
    what: Out


class Reading:
    """What has come of one station's journal; fields are for reading.

    `events` are the last records that are no samples, `losses` those of kind loss; `journals_seen`
    counts how often the station turned to another journal.
    """

    def __init__(
        self,
        marks: Mapping[str, int] | None = None,
        *,
        has_user: bool = False,
        is_from_first: bool = False,
    ) -> None:
        """Begin after `marks` (by journal) where they know the journal.

        Else it begins at the station's cursor, or, `is_from_first`, at the first record it keeps.
        """
        self.journal: str | None = None
        self.order: Order | None = None
        self.account: Account | None = None
        self.kinds: Counter[str] = Counter()
        self.events: deque[JsonObject] = deque(maxlen=EVENTS_MAX)
        self.losses: deque[JsonObject] = deque(maxlen=EVENTS_MAX)
        self.latency = Reservoir()
        self.journals_seen = 0
        self.foreign = 0
        self.marks = dict(marks or {})
        self.replay: Replay | None = None
        self.refusal: str | None = None
        self._has_user = has_user
        self._is_from_first = is_from_first
        self._past: dict[str, tuple[Order, Account]] = {}
        self._ready: deque[Ready] = deque()
        self._ready_records = self._ready_bytes = 0
        self._told: int | None = None
        self._contradicted_at: datetime | None = None
        self._tail_s: float | None = None
        self._own: tuple[str, int] | None = None
        self._acked: tuple[str, int] | None = None
        self._is_greeted = False
        self._is_quiet = True
        self._asked_s = self._replayed_s = -math.inf

    @property
    def has_room(self) -> bool:
        """Whether more may become ready."""
        within = self._ready_records < READY_RECORDS_MAX and self._ready_bytes < READY_BYTES_MAX
        return within or not self._ready

    def tail_s(self, mono_s: float) -> float:
        """For how long the station has had later records than we got; 0 when we have all."""
        return 0.0 if self._tail_s is None else mono_s - self._tail_s

    def turn(self, journal: str) -> None:
        """The station has this journal: go on with it, or begin it."""
        if journal == self.journal:
            return
        if self.journal is not None and self.order is not None and self.account is not None:
            self.order.back(self.order.to)
            if self.account.records:
                self._past[self.journal] = self.order, self.account
                _forget_oldest(self._past)
        self.journal = journal
        self.journals_seen += 1
        self.order, self.account = self._past.pop(journal, (None, None))
        self.replay = self._tail_s = self._contradicted_at = None
        if self.order is None and journal in self.marks:
            self._begin(self.marks[journal])

    def tell(self, body: JsonObject, mono_s: float, *, is_consumer: bool) -> None:
        """Take what the state of a living station says of its journal."""
        journal = body.get("journal")
        if not isinstance(journal, str):
            raise Nonsense("a state without journal")
        first, last, cursor = (whole(body.get(name)) for name in ("first", "last", "cursor"))
        if cursor > last or first > last + 1:
            raise Nonsense("a state whose sequences do not ascend from first to cursor to last")
        self._told = last
        self.turn(journal)
        if self.order is None:
            if not is_consumer and not self._is_from_first:
                return  # who only listens begins with the first batch: nothing before was for them
            kept_after = first - 1 if first else last
            if self._is_from_first:
                self._begin(kept_after, promised_from=cursor)
            else:
                self._begin(max(cursor, self._own_seq, kept_after if first else 0))
        assert self.order is not None, "begun"
        self.order.told, self.order.cursor = last, cursor if is_consumer else 0
        if self._is_contradicted(said.time(body.get("at")), last):
            self._go_back(last)
        self.advance(None)
        self._note_tail(last, mono_s)

    def take_own_ack(self, body: JsonObject) -> None:
        """Our own retained ack: where we were before a restart, if nothing knows that better."""
        journal, seq = body.get("journal"), whole(body.get("seq"))
        if not isinstance(journal, str):
            raise Nonsense("an ack without journal")
        if self._acked is not None or self._is_from_first:
            return  # the echo of our own
        self._own = journal, seq
        is_begun = self.account is not None and self.account.records > 0
        if journal == self.journal and journal not in self.marks and not is_begun:
            self._begin(max(seq, 0 if self.order is None else self.order.to))

    def take_batch(self, body: JsonObject, size_bytes: int, at: datetime) -> None:
        """Take a message of `journal` that arrived at `at`."""
        journal = body.get("journal")
        chunk = _chunk(body, size_bytes, is_history=body.get("history") is True)
        if journal != self.journal and (self._told is not None or not isinstance(journal, str)):
            self.foreign += 1
            return
        assert isinstance(journal, str), "checked above"
        self.turn(journal)
        self._is_quiet = False
        if self.order is None:
            self._begin(self._own_seq or chunk.after)
        assert self.order is not None, "begun"
        self.order.hold(chunk)
        self.advance(at)
        if self.order.to >= (self.order.told or 0) and not self.order.gaps:
            self._tail_s = None

    def take_reply(self, identity: str, body: JsonObject, mono_s: float) -> None:
        """Take the answer to the replay that was asked for."""
        replay = self.replay
        if replay is None or replay.id != identity:
            return
        replay.heard_s = mono_s
        if body.get("ok") is True:
            replay.kept = whole(body.get("count"))
            self.refusal = None
        else:
            self.refusal = (said.text(body.get("why")) or "without a reason")[:200]
            self._end_replay(mono_s)

    def take_replayed(
        self, identity: str, body: JsonObject, size_bytes: int, at: datetime, mono_s: float
    ) -> None:
        """Take a batch of the replay that was asked for."""
        replay = self.replay
        if replay is None or replay.id != identity or body.get("journal") != self.journal:
            return
        replay.heard_s = mono_s
        if body.get("records"):
            chunk = _chunk(body, size_bytes, is_history=True)
            replay.note(chunk.seqs)
            assert self.order is not None, "nothing is asked for before"
            self.order.hold(chunk)
        if body.get("end") is True:
            if replay.is_complete and self.order is not None:
                self.order.hold(Chunk(replay.first - 1, replay.last, (), (), 0, True))
            self.replay = None
            self._replayed_s = mono_s - ASK_S + NEXT_S
        self.advance(at)

    def advance(self, at: datetime | None) -> None:
        """Make ready what can be; `at` is when the newest of it arrived, None if long ago."""
        if self.order is not None and self.has_room:
            for out in self.order.put_out():
                self._put(out, at)

    def give_up(self, mono_s: float, *, is_served: bool) -> None:
        """Tell the hole that was waited for too long."""
        if self.order is None:
            return
        gone = self.order.give_up(mono_s, is_served=is_served and self.has_room)
        if gone is not None:
            self._put(gone, None)
            self.advance(None)

    def next_ready(self, records_max: int) -> tuple[str, list[Out]] | None:
        """Take up to about `records_max` records of one journal that are ready, and holes."""
        if not self._ready:
            return None
        journal, count = self._ready[0].journal, 0
        taken: list[Out] = []
        while self._ready and self._ready[0].journal == journal and count < records_max:
            out = self._ready.popleft().what
            taken.append(out)
            if not isinstance(out, Gone):
                count += len(out.records)
                self._ready_records -= len(out.records)
                self._ready_bytes -= out.size_bytes
        self.advance(None)
        return journal, taken

    def mark(self, journal: str, seq: int) -> None:
        """The user has everything of `journal` up to `seq` safe."""
        self.marks[journal] = max(seq, self.marks.pop(journal, 0))
        _forget_oldest(self.marks)

    def greet(self) -> None:
        """The broker is (again) there: what was sent meanwhile is unknown, so ack once."""
        self._is_greeted = False
        self._is_quiet = True
        self.replay = None

    def ack_due(self, mono_s: float) -> tuple[str, int] | None:
        """(journal, seq) to acknowledge now, or None.

        Due when more is safe than was acknowledged; once after each connection, and once more if
        nothing has come since (what was sent before we listened is not missed yet, and the first
        ack may have been news); and, at most every `ASK_S`, when something is missing that no
        replay brings. A station that sees an ack repeated while it has sent more sends that again.
        """
        order = self.order
        if self.journal is None or order is None:
            return None
        due = self.journal, self.marks.get(self.journal, self.begun_after)
        if due[1] < order.cursor:
            return None  # the station would refuse it
        if due != self._acked or not self._is_greeted:
            return due
        is_time = mono_s - self._asked_s >= ASK_S
        is_wanted = self.replay is None and (self._is_quiet or self._is_behind(mono_s))
        return due if is_time and is_wanted else None

    def note_acked(self, journal: str, seq: int, mono_s: float) -> None:
        """An ack was sent."""
        if self._is_greeted:
            self._is_quiet = False
        self._acked, self._is_greeted = (journal, seq), True
        self._asked_s = mono_s

    def replay_due(self, mono_s: float) -> tuple[int, int] | None:
        """The sequences to ask a replay of now, or None.

        One at a time, no more than there is room for; one that stays without an answer leaves
        `ack_due` the next try.
        """
        if self.replay is not None and self.replay.is_silent(mono_s):
            self._end_replay(mono_s)
        order = self.order
        if self.replay is not None or order is None or not self._is_behind(mono_s):
            return None
        if mono_s - self._replayed_s < ASK_S:
            return None
        assert order.missing is not None, "behind"
        first, last = order.missing
        room = READY_RECORDS_MAX - self._ready_records
        return first, min(last, first + min(REPLAY_SEQUENCES_MAX, max(room, 1)) - 1)

    def note_asked(self, identity: str, first: int, last: int, mono_s: float) -> Replay:
        """A replay is asked for as request `identity`."""
        assert self.journal is not None, "nothing is asked for before"
        self.replay = Replay(identity, self.journal, first, last, mono_s, to=first - 1)
        self._replayed_s = mono_s
        return self.replay

    @property
    def _own_seq(self) -> int:
        """What we acknowledged of this journal in an earlier life."""
        return self._own[1] if self._own is not None and self._own[0] == self.journal else 0

    @property
    def begun_after(self) -> int:
        """Where this reading of the journal began."""
        return 0 if self.account is None else self.account.begun_after

    def _begin(self, to: int, *, promised_from: int = 0) -> None:
        assert self.journal is not None, "a position belongs to a journal"
        self.order = Order(to, promised_from=promised_from)
        self.order.told = self._told
        self.account = Account(self.journal, to)

    def _put(self, out: Out, at: datetime | None) -> None:
        assert self.account is not None and self.journal is not None, "begun"
        if isinstance(out, Gone):
            self.account.skip(*out)
        else:
            is_late = isinstance(out, Late)
            for record in out.records:
                self.account.take(record, is_late=is_late)
            self._look(out, at)
        if not self._has_user:
            self.mark(self.journal, self.account.to)
            return
        self._ready.append(Ready(self.journal, out))
        if not isinstance(out, Gone):
            self._ready_records += len(out.records)
            self._ready_bytes += out.size_bytes

    def _look(self, run: Run | Late, at: datetime | None) -> None:
        is_history = isinstance(run, Late) or run.is_history
        for record in run.records:
            kind = record.get("kind")
            name = kind if isinstance(kind, str) else "none"
            if name in self.kinds or len(self.kinds) < KINDS_MAX:
                self.kinds[name] += 1
            if name != "sample":
                self.events.append(dict(record) | ({"history": True} if is_history else {}))
                if name == "loss":
                    self.losses.append(dict(record))
            if at is not None and not is_history:
                happened = said.time(record.get("at"))
                if happened is not None:
                    self.latency.add((at - happened).total_seconds())

    def _is_behind(self, mono_s: float) -> bool:
        """Whether something is missing that could come, and there is room for it."""
        if self.order is None or not self.has_room or self.order.missing is None:
            return False
        return bool(self.order.gaps) or self.tail_s(mono_s) > TAIL_ASK_S

    def _is_contradicted(self, told_at: datetime | None, last: int) -> bool:
        """Whether we believe to have what the station says that it never wrote.

        Its state may be older than its last batch, but not twice: two states of different times
        that both say so prove that something we took for its word was not.
        """
        if self.order is None or last >= self.order.to or told_at is None:
            self._contradicted_at = None
            return False
        before, self._contradicted_at = self._contradicted_at, told_at
        return before is not None and told_at > before

    def _go_back(self, last: int) -> None:
        """To the last record that the station wrote and we were not made to pass over."""
        assert self.order is not None and self.account is not None and self.journal is not None
        to = min([last, *(hole.first - 1 for hole in self.account.holes if hole.last > last)])
        self.order.back(to)
        self.account.go_back(to)
        if self.marks.get(self.journal, 0) > to:
            self.marks[self.journal] = to
        self._acked = self._contradicted_at = None

    def _note_tail(self, last: int, mono_s: float) -> None:
        assert self.order is not None, "begun"
        if last <= self.order.to:
            self._tail_s = None
        elif self._tail_s is None:
            self._tail_s = mono_s

    def _end_replay(self, mono_s: float) -> None:
        self.replay = None
        self._replayed_s = mono_s + UNANSWERED_S


def _forget_oldest(by_journal: dict[str, _T]) -> None:
    while len(by_journal) > JOURNALS_MAX:
        del by_journal[next(iter(by_journal))]


def _chunk(body: JsonObject, size_bytes: int, *, is_history: bool) -> Chunk:
    records = body.get("records")
    if not isinstance(records, list) or not records:
        raise Nonsense("a batch without records")
    after, last = whole(body.get("after")), whole(body.get("last"))
    seqs = _seqs(records)
    if not after < seqs[0] or seqs[-1] != last:
        raise Nonsense("a batch whose sequences do not ascend from after to last")
    return Chunk(after, last, records, seqs, size_bytes, is_history)


def _seqs(records: Sequence[object]) -> list[int]:
    seqs: list[int] = []
    before = 0
    for record in records:
        if not isinstance(record, dict):
            raise Nonsense("a record that is no object")
        seq = whole(record.get("seq"))
        if seq <= before:
            raise Nonsense("a batch whose sequences do not ascend from after to last")
        seqs.append(seq)
        before = seq
    return seqs
