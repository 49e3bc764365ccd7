"""Readings of two stations, paired by the time at which they were acquired; pure.

Records come late, in bursts, and from one end before the other. A pair is made for each whole
second of UTC once both ends have said something later, of what each showed then; whoever has been
silent for `HOLD_S` shows nothing. An end of which nothing has come for `WAIT_S` is not waited for:
then pairs are made with None in its place. That time is one of receipt, not of acquisition, so that
a backlog of one end that comes before the other's is paired. What comes for a second that is over
is dropped.
"""

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from shorewatch.cable.budget import Shown
from shorewatch.cable.line import End

HOLD_S: Final = 5.0
WAIT_S: Final = 30.0
_READINGS_MAX = 100_000


@dataclass(frozen=True, slots=True)
class Reading:
    """What one end showed at a time (UTC seconds), or None where it was bad."""

    at_s: float
    end: End
    shown: Shown | None


@dataclass(frozen=True, slots=True)
class Pair:
    """Both ends at one second; None is an end that is silent or bad."""

    at_s: float
    a: Shown | None
    b: Shown | None


class Pairing:
    """Takes readings in any order between the ends, in order of time from each."""

    def __init__(self) -> None:
        self._waiting: dict[End, deque[Reading]] = {"A": deque(), "B": deque()}
        self._held: dict[End, Reading | None] = {"A": None, "B": None}
        self._newest_s: dict[End, float] = {}
        self._received_s: dict[End, float] = {}
        self._next_s: float | None = None
        self.dropped = 0

    def take(self, reading: Reading, received_s: float) -> Iterator[Pair]:
        """Put one reading in; the pairs that can now be made come out.

        `received_s` is of any clock that does not go back; from a file it is the reading's time.
        """
        for end in self._waiting:
            self._received_s.setdefault(end, received_s)
        self._received_s[reading.end] = received_s
        if reading.at_s <= self._newest_s.get(reading.end, -math.inf):
            self.dropped += 1
            return
        waiting = self._waiting[reading.end]
        waiting.append(reading)
        self._newest_s[reading.end] = reading.at_s
        if self._next_s is None:
            self._next_s = float(math.ceil(reading.at_s))
        while self._next_s <= self._ready_s(received_s):
            yield self._pair(self._next_s)
            self._next_s += 1
            self._skip()
        if len(waiting) > _READINGS_MAX:
            self._held[reading.end] = waiting.popleft()

    def _ready_s(self, received_s: float) -> float:
        """Up to when all is there that is waited for."""
        waited_for = [
            self._newest_s.get(end, -math.inf)
            for end, last_s in self._received_s.items()
            if received_s - last_s < WAIT_S
        ]
        return min(waited_for)

    def _skip(self) -> None:
        """Nothing is told of a time in which both ends were silent."""
        assert self._next_s is not None, "it has begun"
        ahead = [waiting[0].at_s for waiting in self._waiting.values() if waiting]
        held = [reading.at_s for reading in self._held.values() if reading is not None]
        if ahead and min(ahead) > self._next_s and max(held, default=0.0) < self._next_s - HOLD_S:
            self._next_s = float(math.ceil(min(ahead)))

    def _pair(self, at_s: float) -> Pair:
        shown: dict[End, Shown | None] = {}
        for end, waiting in self._waiting.items():
            while waiting and waiting[0].at_s <= at_s:
                self._held[end] = waiting.popleft()
            held = self._held[end]
            is_there = held is not None and at_s - held.at_s < HOLD_S
            shown[end] = held.shown if held is not None and is_there else None
        return Pair(at_s, shown["A"], shown["B"])
