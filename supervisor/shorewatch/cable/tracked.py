"""What a healthy cable's readings say over hours and days: its sum, the earth, a leak that grows.

The sum's mean over a day or so is what copper, repeaters and ground beds take: earth potentials
come and go in it. How far the sum strays from it within an hour says whether the earth is calm; a
fault in a calm hour is located with less doubt about the coasts.

A leak that grows is looked for in means of ten minutes, over a week at most: the balance drifts and
the currents' difference drifts with it, in the proportion that both sources' droops demand. Pure.
"""

import math
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from shorewatch.cable.budget import Baseline, Budget, Evidence
from shorewatch.cable.finding import Finding
from shorewatch.cable.line import Cable, End
from shorewatch.cable.locate import locate
from shorewatch.cable.window import Row, Window, ends_of

_DAY_S = 86_400.0
_HOUR_S = 3600.0
_LEAST_S = 600.0
_LEAST_V = 0.3
_CALM_SHARE = 0.005
_STORM_SHARE = 0.5
_CALM, _STORMY = 1.5, 2.5  # times the quiet earth's sigma
_STORM_SIGMAS = 5.0
_CALM_S = 1800
_SPAN = 600  # seconds of readings
_SPANS = 7 * 144
_ENDS = 6  # spans whose mean is compared: the newest hour with the oldest
_LEAK_V_MIN = 15.0
_LEAK_SIGMAS = 5.0
_TOLD_AGAIN = 1.3
_SAVED = ("seconds", "sum_v", "square", "spread", "shifted_v", "told_v")


def suited(budget: Budget, strays_v: float, *, is_hour: bool) -> Budget:
    """The budget of an hour in which the sum strayed by `strays_v` rms.

    In a calm hour the coasts are calm. In a storm its potentials, of which only the sum is seen,
    may be those of either coast or lie along the cable.
    """
    if strays_v > _STORMY * budget.earth_v:
        # Their squares add up to that of the strays, if each coast takes part half of the time.
        return replace(
            budget, earth_v=0.6 * strays_v, coast_storm_v=0.8 * strays_v, storm_share=_STORM_SHARE
        )
    is_calm = is_hour and strays_v < _CALM * budget.earth_v
    return replace(budget, storm_share=_CALM_SHARE) if is_calm else budget


class Tracked:
    """Takes the seconds in which nothing stepped."""

    def __init__(
        self,
        cable: Cable,
        budget: Budget,
        droops: float,
        amp_drift_a: float,
        known: Mapping[str, Any] | None = None,
    ) -> None:
        """`droops` is leak current a volt of balance, `amp_drift_a` a week's drift of meters.

        `known` is what `saved` gave before a restart; LookupError, TypeError or ValueError for
        anything else.
        """
        self._cable = cable
        self._budget = budget
        self._droops = droops
        self._amp_drift_a = amp_drift_a
        self._seconds = 0.0
        self._sum_v = 0.0
        self._square = 0.0  # of what the sum strays, over an hour
        self._spread = 0.0  # the same, over a day
        self._is_storm = False
        self._near_s = 0
        self._shifted_v = 0.0
        self._span = Window(_SPAN)
        self._spans: deque[Row] = deque(maxlen=_SPANS)
        self._told_v = _LEAK_V_MIN
        if known is not None:
            for name in _SAVED:
                setattr(self, f"_{name}", float(known[name]))
            self._is_storm, self._near_s = bool(known["is_storm"]), int(known["near_s"])
            self._spans.extend(Row(*map(float, row)) for row in known["spans"])

    @property
    def saved(self) -> dict[str, Any]:
        """All of it but the span that has begun, as JSON."""
        found: dict[str, Any] = {name: getattr(self, f"_{name}") for name in _SAVED}
        found |= {"is_storm": self._is_storm, "near_s": self._near_s}
        return found | {"spans": [list(row) for row in self._spans]}

    @property
    def baseline(self) -> Baseline | None:
        """The sum's mean at the nominal current; None in the first ten minutes."""
        if self._seconds < _LEAST_S:
            return None
        hours = 1 + min(self._seconds, _DAY_S) / _HOUR_S
        # A quiet hour is a sample of an earth that may stray as far as the budget says.
        earth_v = math.hypot(
            _LEAST_V, max(math.sqrt(self._spread), self._budget.earth_v) / hours**0.5
        )
        return Baseline(self._sum_v, self._cable.nominal_a, earth_v)

    @property
    def budget(self) -> Budget:
        """The cable's budget, as the last hour's earth asks for."""
        if self._seconds < _LEAST_S:
            return self._budget
        strays_v = math.sqrt(self._square)
        return suited(self._budget, strays_v, is_hour=self._seconds >= _HOUR_S)

    def take(self, row: Row) -> Iterator[Finding]:
        """Look at one second."""
        self._seconds += 1
        off_v = row.sum_v - self._sum_v if self._seconds > 1 else 0.0
        self._sum_v = row.sum_v if self._seconds == 1 else self._sum_v
        self._sum_v += off_v / min(self._seconds, _DAY_S)
        self._square += (off_v * off_v - self._square) / min(self._seconds, _HOUR_S)
        self._spread += (off_v * off_v - self._spread) / min(self._seconds, _DAY_S)
        if self._seconds >= _LEAST_S:
            yield from self._weather(row, off_v)
        self._span.add(row._replace(balance_v=row.balance_v - self._shifted_v))
        if len(self._span) == _SPAN:
            self._spans.append(self._span.mean)
            self._span = Window(_SPAN)
            yield from self._leak(row.at_s)

    def shift(self, moved_v: float) -> None:
        """A source moved the balance: that is no drift."""
        self._shifted_v += moved_v

    def pause(self) -> None:
        """What comes next does not follow on what was."""
        self._span = Window(_SPAN)

    def _weather(self, row: Row, off_v: float) -> Iterator[Finding]:
        """A storm: the sum is far off; over when it has been near its mean for half an hour."""
        limit_v = _STORM_SIGMAS * self._budget.earth_v
        self._near_s = 0 if abs(off_v) > limit_v / 2 else self._near_s + 1
        if not self._is_storm and abs(off_v) > limit_v:
            self._is_storm = True
            yield Finding("storm", row.at_s, row.at_s, sum_v=off_v)
        elif self._is_storm and self._near_s >= _CALM_S:
            self._is_storm = False
            yield Finding("calm", row.at_s - _CALM_S, row.at_s, sum_v=off_v)

    def _leak(self, at_s: float) -> Iterator[Finding]:
        if len(self._spans) < 2 * _ENDS:
            return
        old, new = Window(_ENDS), Window(_ENDS)
        for i in range(_ENDS):
            old.add(self._spans[i])
            new.add(self._spans[-1 - i])
        moved_v = new.mean.balance_v - old.mean.balance_v
        leak_a = new.mean.leak_a - old.mean.leak_a
        due_a = -self._droops * moved_v
        is_clear = abs(due_a) > _LEAK_SIGMAS * self._amp_drift_a and abs(moved_v) > self._told_v
        if not is_clear or abs(leak_a - due_a) > abs(due_a) / 2:
            return
        self._told_v = _TOLD_AGAIN * abs(moved_v)
        newest = new.mean
        evidence = Evidence(*ends_of(newest), self.baseline)
        side: End = "A" if moved_v < 0 else "B"
        place = locate(self._cable, self.budget, evidence, onset="slow", side=side)
        yield Finding("leak", old.mean.at_s, at_s, place, moved_v, leak_a, is_final=True)
