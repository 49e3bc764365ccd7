"""What both ends showed at one second as the quantities that tell causes apart; windows of them.

Means and spreads of a window are kept as rows are put in, so that a second costs the same whatever
the window's length. Pure.
"""

import math
from collections import deque
from typing import NamedTuple

from shorewatch.cable.budget import Shown, healthy_sum_v
from shorewatch.cable.line import Cable
from shorewatch.cable.pairing import Pair


class Row(NamedTuple):
    """One second; or a mean, or one sigma, of many.

    `balance_v` is A's share of the voltage less B's, weighed by the sources' droops so that an
    earth potential does not move it. `sum_v` is the sum of both voltages as it would be at the
    cable's nominal current.
    """

    at_s: float
    volts_a: float
    amps_a: float
    volts_b: float
    amps_b: float
    amps: float
    balance_v: float
    leak_a: float
    sum_v: float


def row_of(cable: Cable, droop_a: float, droop_b: float, pair: Pair) -> Row:
    """A pair of which both ends are there."""
    a, b = pair.a, pair.b
    assert a is not None and b is not None, "nothing is judged of one end alone"
    amps = (a.amps + b.amps) / 2
    balance_v = (droop_a * a.volts - droop_b * b.volts) / (droop_a + droop_b)
    more_v = healthy_sum_v(cable, amps) - healthy_sum_v(cable, cable.nominal_a)
    sum_v = a.volts + b.volts - more_v
    return Row(pair.at_s, a.volts, a.amps, b.volts, b.amps, amps, balance_v, a.amps - b.amps, sum_v)


def ends_of(row: Row) -> tuple[Shown, Shown]:
    """What both ends showed."""
    return Shown(row.volts_a, row.amps_a), Shown(row.volts_b, row.amps_b)


class Window:
    """The last `count_max` rows, with their mean and their spread."""

    def __init__(self, count_max: int) -> None:
        self.rows: deque[Row] = deque()
        self._count_max = count_max
        self._totals = [0.0] * 9
        self._squares = [0.0] * 9
        self._origin: Row | tuple[()] = ()
        self._mean: Row | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def add(self, row: Row) -> None:
        """Put one in; the oldest goes out when the window is full."""
        if not self._origin:
            self._origin = row
        self._mean = None
        self.rows.append(row)
        self._count(row, 1)
        if len(self.rows) > self._count_max:
            self._count(self.rows.popleft(), -1)

    def keep(self, count: int) -> None:
        """Leave the newest `count` rows alone in it."""
        while len(self.rows) > count:
            self._mean = None
            self._count(self.rows.popleft(), -1)

    @property
    def mean(self) -> Row:
        """The mean of each quantity."""
        if self._mean is None:
            count = len(self.rows)
            pairs = zip(self._origin, self._totals, strict=True)
            self._mean = Row(*(origin + total / count for origin, total in pairs))
        return self._mean

    @property
    def sigma(self) -> Row:
        """The spread of each quantity."""
        count = len(self.rows)
        pairs = zip(self._totals, self._squares, strict=True)
        return Row(*(math.sqrt(max(0.0, s / count - (t / count) ** 2)) for t, s in pairs))

    def _count(self, row: Row, sign: int) -> None:
        # Sums of differences from the first row: small numbers, so that little is rounded.
        for i, (value, origin) in enumerate(zip(row, self._origin, strict=True)):
            off = value - origin
            self._totals[i] += sign * off
            self._squares[i] += sign * off * off
