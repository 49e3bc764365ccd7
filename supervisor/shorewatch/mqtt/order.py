"""One journal put in order: batches in as they come, records out once and ascending. Pure.

    live batches, repeated batches, replays -> hold -> put_out -> runs of records, holes, late ones

A batch says of (after, last] that the station keeps the records in it and no others. So a sequence
that it passes over is gone at the station: a hole, told at once. What lies between two batches
was never delivered: the records behind it wait, held, until it is. They wait for `HOLE_S_MAX` at
most, while a station is there that could be asked; then the hole is told as given up, since a
consumer that waits forever shows nothing at all. An acknowledging consumer asks all that time.
A record that comes after its hole was told is not kept back: it is put out as late, once.

The station's state bounds what is believed: a hole that ends after its last record is forged or
too new, and waits for the next state. Records beyond it that nothing leads to are dropped then.

Limits: `HELD_BYTES_MAX` and `HELD_MAX` batches held, of which the highest are let go first: what
was not acknowledged comes again. Holes are remembered as in holes.py, for what comes late.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Final, NamedTuple

from shorewatch.mqtt.account import BEFORE, GONE
from shorewatch.mqtt.holes import Hole, Holes

HELD_MAX: Final = 256
HELD_BYTES_MAX: Final = 8_000_000
HOLE_S_MAX: Final = 75.0  # more than two of a station's states, which come each 30 s
JsonObject = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Chunk:
    """Of (after, last] the station keeps `records`, ascending, with sequences `seqs`, no others."""

    after: int
    last: int
    records: Sequence[JsonObject]
    seqs: Sequence[int]
    size_bytes: int
    is_history: bool


class Run(NamedTuple):
    """Records that follow each other without a hole."""

    records: Sequence[JsonObject]
    size_bytes: int
    is_history: bool


class Gone(NamedTuple):
    """Sequences that do not come, and why."""

    first: int
    last: int
    why: str


class Late(NamedTuple):
    """Records whose holes were told before they came; everything up to `to` was put out by then."""

    records: Sequence[JsonObject]
    size_bytes: int
    to: int


Out = Run | Gone | Late


class Order:
    """The order of one journal; everything up to `to` has been put out.

    `told` is the last record and `cursor` the last acknowledged one, by the station's own state.
    """

    def __init__(self, to: int, *, promised_from: int = 0) -> None:
        """What is not kept up to `promised_from` was acknowledged before: nobody promised it."""
        self.to = to
        self.told: int | None = None
        self.cursor = 0
        self.discarded = 0
        self.disbelieved = 0
        self._promised_from = promised_from
        self._held: list[Chunk] = []
        self._held_bytes = 0
        self._came = 0
        self._out = 0
        self._waiting: tuple[int, float] | None = None
        self._holes = Holes()
        self._late: list[Late] = []

    @property
    def duplicates(self) -> int:
        """Records that came when they had been put out before."""
        waiting = sum(self._unread(chunk) for chunk in self._held)
        return self._came - self._out - self.discarded - waiting

    @property
    def gaps(self) -> list[tuple[int, int]]:
        """Sequences before something held that were never delivered, as (first, last)."""
        found: list[tuple[int, int]] = []
        at = self.to
        for chunk in self._held:
            if chunk.after > at:
                found.append((at + 1, chunk.after))
            at = max(at, chunk.last)
        return found

    @property
    def missing(self) -> tuple[int, int] | None:
        """What must come next, as (first, last); None if nothing is known to be missing."""
        end = self.told or 0
        if self._held and self._held[0].after > self.to:
            end = self._held[0].after
        return (self.to + 1, end) if end > self.to else None

    def hold(self, chunk: Chunk) -> None:
        """Take a chunk; records that we hold already are dropped."""
        self._came += len(chunk.seqs)
        if len(self._holes) and sum(late.size_bytes for late in self._late) < HELD_BYTES_MAX:
            self._note_late(chunk)
        if chunk.last <= self.to:
            return
        if any(_says_as_much(old, chunk) for old in self._held):
            return
        insort(self._held, chunk, key=attrgetter("after"))
        self._held_bytes += chunk.size_bytes
        while len(self._held) > 1 and not self._is_within:
            self._discard(-1)

    @property
    def _is_within(self) -> bool:
        return len(self._held) <= HELD_MAX and self._held_bytes <= HELD_BYTES_MAX

    def put_out(self) -> list[Out]:
        """Everything that can go out now: what is late, and then the rest in order."""
        out: list[Out] = [*self._late]
        self._late.clear()
        while self._held and self._held[0].after <= self.to:
            before, covering = self.to, [c for c in self._held if c.after <= self.to]
            for chunk in covering:
                self._walk(chunk, out)
            self._trim()
            if self.to == before:
                break
        return out

    def give_up(self, mono_s: float, *, is_served: bool) -> Gone | None:
        """The hole that was waited for too long, if any: `put_out` goes on after it.

        `is_served` is whether somebody is there who could fill it; else nobody waits.
        """
        end = self._held[0].after if self._held else self.cursor
        is_blocked = bool(self._held) or self.cursor > self.to
        if not is_served or not is_blocked:
            self._waiting = None
            return None
        if self._waiting is None or self._waiting[0] != self.to:
            self._waiting = self.to, mono_s
        if mono_s - self._waiting[1] < HOLE_S_MAX:
            return None
        self._waiting = None
        if end <= self.to or (self._held and self.told is not None and end >= self.told):
            self.disbelieved += self._discard(0)
            return None
        why = f"it did not come within {HOLE_S_MAX:g} s of waiting"
        if end <= self.cursor:
            why = "it was acknowledged in this consumer's name before it came"
        gone = Gone(self.to + 1, end, why)
        self._note_gone(gone)
        return gone

    def back(self, to: int) -> None:
        """Begin again after `to`; what is held is dropped."""
        while self._held:
            self._discard(-1)
        self._holes.remove(to + 1, self.to)
        self.to = to
        self._waiting = None

    def _note_late(self, chunk: Chunk) -> None:
        """Take out of a chunk what was told as a hole."""
        read = bisect_right(chunk.seqs, self.to)
        seqs = chunk.seqs[:read]
        late = [chunk.records[i] for i, seq in enumerate(seqs) if self._holes.remove(seq, seq)]
        if late:
            size = chunk.size_bytes * len(late) // len(chunk.seqs)
            self._late.append(Late(late, size, self.to))
            self._out += len(late)

    def _walk(self, chunk: Chunk, out: list[Out]) -> None:
        """Put out of `chunk` what follows; ends at a hole that another chunk may fill."""
        seqs = chunk.seqs
        while self.to < chunk.last:
            i = bisect_right(seqs, self.to)
            following = seqs[i] if i < len(seqs) else chunk.last + 1
            if i < len(seqs) and following == self.to + 1:
                end = _run_end(seqs, i)
                size = chunk.size_bytes * (end - i) // len(seqs)
                out.append(Run(chunk.records[i:end], size, chunk.is_history))
                self._out += end - i
                self.to = seqs[end - 1]
                continue
            if len(self._held) > 1:
                following = min(following, self._lowest_held())
            if following == self.to + 1:
                return
            if self.told is not None and following - 1 > self.told:
                return
            self._tell_gone(following - 1, out)

    def _tell_gone(self, last: int, out: list[Out]) -> None:
        if self.to < self._promised_from:
            end = min(last, self._promised_from)
            out.append(Gone(self.to + 1, end, BEFORE))
            self.to = end
        if self.to < last:
            gone = Gone(self.to + 1, last, GONE)
            self._note_gone(gone)
            out.append(gone)

    def _note_gone(self, gone: Gone) -> None:
        self._holes.add(Hole(gone.first, gone.last, gone.last - gone.first + 1, gone.why))
        self.to = gone.last

    def _lowest_held(self) -> int:
        """The lowest sequence past `to` that any chunk has: it had it before it was gone."""
        lowest = [
            chunk.seqs[i]
            for chunk in self._held
            if (i := bisect_right(chunk.seqs, self.to)) < len(chunk.seqs)
        ]
        return min(lowest, default=self._held[-1].last + 1)

    def _trim(self) -> None:
        """Let go of the chunks that are wholly put out."""
        done = [i for i, chunk in enumerate(self._held) if chunk.last <= self.to]
        for i in reversed(done):
            self._drop(i)

    def _drop(self, i: int) -> Chunk:
        chunk = self._held.pop(i)
        self._held_bytes -= chunk.size_bytes
        return chunk

    def _discard(self, i: int) -> int:
        count = self._unread(self._drop(i))
        self.discarded += count
        return count

    def _unread(self, chunk: Chunk) -> int:
        return len(chunk.seqs) - bisect_right(chunk.seqs, self.to)


def _says_as_much(old: Chunk, new: Chunk) -> bool:
    if old.after > new.after or new.last > old.last:
        return False
    low, high = bisect_right(old.seqs, new.after), bisect_right(old.seqs, new.last)
    return old.seqs[low:high] == new.seqs


def _run_end(seqs: Sequence[int], i: int) -> int:
    """The index after the last of the sequences from `i` on that follow each other."""
    if seqs[-1] - seqs[i] == len(seqs) - 1 - i:
        return len(seqs)
    # Ascending and distinct, so seqs[k] - k never falls: where it rises, the run ends.
    return i + bisect_left(range(i, len(seqs)), True, key=lambda k: seqs[k] - k > seqs[i] - i)
