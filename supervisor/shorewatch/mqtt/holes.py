"""Which sequences of a journal never came, as ascending spans: pure.

A span is (first, last, count, why). Normally `count` is all of it. Beyond `HOLES_MAX` spans each
two neighbours become one: its ends and its count stay true, only what lies between its parts is
forgotten. So 10^5 holes cost no more memory than `HOLES_MAX`, and no number is ever wrong.
"""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

HOLES_MAX: Final = 4096


@dataclass(frozen=True, slots=True)
class Hole:
    """`count` sequences from `first` to `last` that never came, and why."""

    first: int
    last: int
    count: int
    why: str

    @property
    def is_whole(self) -> bool:
        """Whether nothing between its ends came."""
        return self.count == self.last - self.first + 1


class Holes:
    """The holes of one journal. `count` is how many sequences they hold."""

    def __init__(self) -> None:
        self._holes: list[Hole] = []
        self._lasts: list[int] = []
        self.count = 0

    def __iter__(self) -> Iterator[Hole]:
        return iter(self._holes)

    def __len__(self) -> int:
        return len(self._holes)

    @property
    def first(self) -> Hole | None:
        """The lowest of them."""
        return self._holes[0] if self._holes else None

    def covers(self, seq: int) -> bool:
        """Whether `seq` lies in a hole."""
        i = bisect_left(self._lasts, seq)
        return i < len(self._holes) and self._holes[i].first <= seq

    def add(self, hole: Hole) -> None:
        """Add a hole that overlaps none."""
        assert hole.first <= hole.last and hole.count >= 1, "a hole holds something"
        i = bisect_left(self._lasts, hole.first)
        assert i == len(self._holes) or self._holes[i].first > hole.last, "holes do not overlap"
        self._holes.insert(i, hole)
        self._lasts.insert(i, hole.last)
        self.count += hole.count
        if len(self._holes) > HOLES_MAX:
            self._halve()

    def remove(self, first: int, last: int) -> int:
        """Take first..last out; how many that were.

        Of a hole that was made of several, nothing is taken unless all of it is.
        """
        low = bisect_left(self._lasts, first)
        high = low
        kept: list[Hole] = []
        found = 0
        while high < len(self._holes) and self._holes[high].first <= last:
            hole = self._holes[high]
            rest = _without(hole, first, last)
            found += hole.count - sum(part.count for part in rest)
            kept += rest
            high += 1
        self._holes[low:high] = kept
        self._lasts[low:high] = [hole.last for hole in kept]
        self.count -= found
        return found

    def _halve(self) -> None:
        pairs = [self._holes[i : i + 2] for i in range(0, len(self._holes), 2)]
        self._holes = [_joined(pair) for pair in pairs]
        self._lasts = [hole.last for hole in self._holes]


def _without(hole: Hole, first: int, last: int) -> list[Hole]:
    if first <= hole.first and hole.last <= last:
        return []
    if not hole.is_whole:
        return [hole]
    parts = (hole.first, min(hole.last, first - 1)), (max(hole.first, last + 1), hole.last)
    return [Hole(a, b, b - a + 1, hole.why) for a, b in parts if a <= b]


def _joined(pair: list[Hole]) -> Hole:
    if len(pair) == 1:
        return pair[0]
    one, other = pair
    why = one.why if one.why == other.why else f"{one.why}; {other.why}"[:200]
    return Hole(one.first, other.last, one.count + other.count, why)
