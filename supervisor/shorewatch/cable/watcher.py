"""What happens to a powered cable, second by second, from pairs of readings; pure.

Three quantities tell causes apart, for sources with droops g_A and g_B:

    balance  (g_A V_A - g_B V_B) / (g_A + g_B)    moved by shunts and set currents, not the earth
    leak     I_A - I_B                            a shunt moving the balance by d: -(g_A + g_B) d
    sum      V_A + V_B at the nominal current     moved by earth and copper; a shunt leaves it

    cause                      balance   leak         sum        current
    shunt fault                step      as it must   stays      stays
    set current, converter     step      none         stays      steps at both ends
    geomagnetic storm          stays     none         drifts     stays
    cut, both ends sealed, or a trip                             to 0
    shunt, fed from one end    moves     most of it   falls      halves
    feed ramped, single-end    moves     none         stays      moves

A step is held against the minute before it. It is judged as soon as the leak's current can be told
from none, at the latest after `JUDGE_S`; what cannot be told is named `unclear`, never a fault. Of
one end alone nothing is judged: a set current moved at the far end looks like a shunt from here.

A slow leak shows in the means of ten minutes: balance and leak's current drift together, over hours
to days; a set current that drifts moves the balance alone, earth and temperature only the sum.
"""

import math
from collections import deque
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from shorewatch.cable.budget import (
    DEAD_SHARE,
    Baseline,
    Budget,
    Evidence,
    Shown,
    healthy_sum_v,
    telling,
)
from shorewatch.cable.contact import Contact, measured
from shorewatch.cable.finding import Finding
from shorewatch.cable.line import Cable
from shorewatch.cable.locate import locate
from shorewatch.cable.pairing import Pair
from shorewatch.cable.tracked import Tracked
from shorewatch.cable.window import Row, Window, ends_of, row_of

JUDGE_S: Final = 60.0
FINAL_S: Final = 30.0
_REFERENCE = 60  # pairs
_REFERENCE_MIN = 20
_TRIGGER = 3
_STEP_V_MIN = 4.0
_TRIGGER_SIGMAS = 6.0
_TELL_SIGMAS = 8.0
_GAP_S = 3600.0
_RAMP_S = 120.0
_FEED_SHARE = 0.003  # of the nominal current: more than any fault moves it
_LIVE_SHARE = 0.9
_LEAK_SHARE = 0.05
_STEADY_SHARE = 0.03  # of nominal current and sum, within which readings are of one state
_OFF_V = 20.0
_EARTHED_SHARE = 0.02  # of the sum: an end with less does not feed
_MEASURE_STEPS = 2.0  # of the ammeters, that the leak's current must have changed by
_FINER = 0.3


@dataclass(frozen=True, slots=True)
class Feed:
    """The sources' droops in A per V, and the ammeters: what they resolve, what they drift.

    `balance_v` is the balance of both ends' nominal shares.
    """

    droop_a: float
    droop_b: float
    balance_v: float = 0.0
    amp_step_a: float = 0.0001
    amp_drift_a: float = 0.00003

    @property
    def both(self) -> float:
        """Amperes of leak for a volt of balance."""
        return self.droop_a + self.droop_b


@dataclass(frozen=True, slots=True)
class _Step:
    """The balance moved: since when, what was before, and all since."""

    since_s: float
    before: Window
    after: Window


class Watcher:
    """Takes pairs, one a second in order of time; gives findings.

    What it has learned survives a restart as JSON: `saved`, given again as `known`.
    """

    def __init__(
        self, cable: Cable, budget: Budget, feed: Feed, known: Mapping[str, Any] | None = None
    ) -> None:
        """Raises LookupError, TypeError or ValueError for `known` that `saved` never gave."""
        self._cable = cable
        self._budget = budget
        self._feed = feed
        self._reference = Window(_REFERENCE)
        self._new: deque[Row] = deque(maxlen=_TRIGGER)
        self._step: _Step | None = None
        self._fault: _Step | None = None
        self._is_told = False
        self._is_measured = False
        self._is_lost = False
        self._is_begun = False
        self._last_s = -math.inf
        self._moved_s = -math.inf
        known = known or {}
        self._tracked = Tracked(cable, budget, feed.both, feed.amp_drift_a, known.get("tracked"))
        if known.get("fault") is not None:
            since_s, *rows = known["fault"]
            before, after = (Window(_REFERENCE), Window(int(JUDGE_S) + _TRIGGER))
            before.add(Row(*map(float, rows[0])))
            after.add(Row(*map(float, rows[1])))
            self._fault, self._is_told = _Step(float(since_s), before, after), True

    @property
    def saved(self) -> dict[str, Any]:
        """The healthy sum, what drifts, and the fault that stands, as JSON."""
        fault = self._fault
        found = fault and [fault.since_s, list(fault.before.mean), list(fault.after.mean)]
        return {"tracked": self._tracked.saved, "fault": found}

    @property
    def baseline(self) -> Baseline | None:
        """The healthy sum as tracked so far; None before it is worth anything."""
        return self._tracked.baseline

    def take(self, pair: Pair) -> Iterator[Finding]:
        """Look at one second."""
        if pair.a is None or pair.b is None:
            return
        row = row_of(self._cable, self._feed.droop_a, self._feed.droop_b, pair)
        if row.at_s - self._last_s > _GAP_S:
            self._forget()
        self._last_s = row.at_s
        if row.amps < DEAD_SHARE * self._cable.nominal_a:
            yield from self._dead(row)
            return
        self._is_lost = False
        if self._step is not None:
            self._step.after.add(row)
            yield from self._judge(self._step, row.at_s)
            return
        self._new.append(row)
        if len(self._reference) >= _REFERENCE_MIN and len(self._new) == _TRIGGER:
            if all(self._is_leaking(new) for new in self._new) or self._is_triggered():
                self._begin()
                return
            if all(self._is_off_feed(new) for new in self._new):
                yield from self._moved_feed(row)
        if len(self._new) == _TRIGGER:
            self._reference.add(self._new[0])
            if self._fault is None:
                yield from self._tracked.take(self._new[0])
            elif not self._is_told:
                yield from self._tell_final(self._fault, self._new[0], row.at_s)
            elif not self._is_measured:
                yield from self._measure(self._fault, row.at_s)
            if not self._is_begun and len(self._reference) == _REFERENCE:
                yield from self._begin_watch(row.at_s)

    def _begin_watch(self, at_s: float) -> Iterator[Finding]:
        """A fault from before steps no more: a balance far from nominal is told once."""
        self._is_begun = True
        off_v = self._reference.mean.balance_v - self._feed.balance_v
        since_s = self._reference.rows[0].at_s
        fault = self._fault
        if fault is not None and self._is_back(fault, fault.after, self._reference):
            self._fault = None
            yield Finding("over", since_s, at_s)
        elif abs(off_v) > _OFF_V and self._fault is None:
            yield Finding("off", since_s, at_s, step_v=off_v)

    def _moved_feed(self, row: Row) -> Iterator[Finding]:
        """Both currents moved together; a ramp is told once, however long."""
        is_ramp = row.at_s - self._moved_s < _RAMP_S
        self._moved_s = row.at_s
        since_s = self._new[0].at_s
        self._forget()
        if not is_ramp:
            yield Finding("source", since_s, row.at_s)

    def _dead(self, row: Row) -> Iterator[Finding]:
        """No current: sudden, after a settled feed, is a cut or a trip; else it was ramped down."""
        was_live = len(self._reference) >= _REFERENCE_MIN and (
            self._reference.mean.amps > _LIVE_SHARE * self._cable.nominal_a
        )
        is_sudden = was_live and not any(self._is_halfway(new) for new in self._new)
        if is_sudden and not self._is_lost:
            # A source that drives nothing stands at its limit: then it is the line that is open.
            before = self._reference.mean
            volts = ((before.volts_a, row.volts_a), (before.volts_b, row.volts_b))
            feeding = [(was, now) for was, now in volts if was > _EARTHED_SHARE * before.sum_v]
            is_open = all(now > was for was, now in feeding)
            yield Finding("cut" if is_open else "lost", row.at_s, row.at_s)
        self._is_lost = True
        self._is_begun = False
        self._fault = None
        self._forget()

    def _is_halfway(self, row: Row) -> bool:
        return row.amps < _LIVE_SHARE * self._cable.nominal_a

    def _is_leaking(self, row: Row) -> bool:
        """Whether so much is lost on the way that it needs no proportion: fed from one end."""
        lost_a = abs(row.leak_a - self._reference.mean.leak_a)
        return lost_a > _LEAK_SHARE * self._cable.nominal_a

    def _is_off_feed(self, row: Row) -> bool:
        limit_a = _FEED_SHARE * self._cable.nominal_a
        return abs(row.amps - self._reference.mean.amps) > limit_a

    def _is_triggered(self) -> bool:
        mean, sigma = self._reference.mean.balance_v, self._reference.sigma.balance_v
        limit_v = max(_STEP_V_MIN, _TRIGGER_SIGMAS * sigma)
        offs = [new.balance_v - mean for new in self._new]
        return min(offs) > limit_v or max(offs) < -limit_v

    def _begin(self) -> None:
        after = Window(int(JUDGE_S) + _TRIGGER)
        for new in self._new:
            after.add(new)
        self._step = _Step(self._new[0].at_s, self._reference, after)

    def _judge(self, step: _Step, at_s: float) -> Iterator[Finding]:
        before, after = step.before.mean, step.after.mean
        moved_v = after.balance_v - before.balance_v
        leak_a = after.leak_a - before.leak_a
        due_a = -self._feed.both * moved_v
        is_overdue = at_s - step.since_s >= JUDGE_S
        if abs(leak_a) > _LEAK_SHARE * self._cable.nominal_a or self._is_out(step.after):
            step.after.keep(_TRIGGER)
            if not (self._is_steady(step.after.rows) or is_overdue):
                return
            yield from self._shunt(step, at_s)
        elif abs(due_a) > _TELL_SIGMAS * self._leak_sigma_a(step):
            if abs(leak_a - due_a) < abs(due_a) / 2:
                yield from self._shunt(step, at_s)
            else:
                self._tracked.shift(moved_v)
                yield Finding("source", step.since_s, at_s, step_v=moved_v, leak_a=leak_a)
        elif is_overdue:
            if abs(moved_v) > _STEP_V_MIN / 2:
                yield Finding("unclear", step.since_s, at_s, step_v=moved_v, leak_a=leak_a)
        else:
            return
        self._settle(step)

    def _leak_sigma_a(self, step: _Step) -> float:
        """One sigma of the change of the currents' difference; a still meter hides more."""
        spread = max(step.before.sigma.leak_a, step.after.sigma.leak_a)
        resolution_a = self._feed.amp_step_a
        hidden_a = (0.1 if spread > 0.3 * resolution_a else 0.4) * resolution_a
        return math.hypot(hidden_a, spread * math.sqrt(1 / len(step.before) + 1 / len(step.after)))

    def _is_out(self, after: Window) -> bool:
        """Whether of a fault that stands one end tells nothing any more."""
        return self._fault is not None and None in self._telling(self._fault.before, after)

    def _telling(self, before: Window, after: Window) -> tuple[Shown | None, Shown | None]:
        return telling(ends_of(after.mean), ends_of(before.mean), self._cable.nominal_a)

    def _is_steady(self, rows: Collection[Row]) -> bool:
        """Whether they are of one state: an end that trips goes to its limit first, then to 0."""
        amps = _STEADY_SHARE * self._cable.nominal_a
        volts = _STEADY_SHARE * healthy_sum_v(self._cable, self._cable.nominal_a)
        return all(
            max(seen) - min(seen) <= limit
            for limit, seen in (
                (amps, [row.amps_a for row in rows]),
                (amps, [row.amps_b for row in rows]),
                (volts, [row.volts_a for row in rows]),
                (volts, [row.volts_b for row in rows]),
            )
        )

    def _shunt(self, step: _Step, at_s: float) -> Iterator[Finding]:
        fault = self._fault
        if fault is not None and self._is_back(fault, step.before, step.after):
            self._fault = None
            yield Finding("over", step.since_s, at_s)
            return
        if fault is not None:
            step = replace(step, before=fault.before)
        found = self._finding(step, at_s, is_final=False)
        if fault is not None and self._is_out(step.after):
            # One end alone knows less than both did: what it says must not contradict them.
            known = self._finding(fault, at_s, is_final=True)
            if _is_overlapping(known, found):
                if not self._is_told:
                    yield known
                self._is_told = True
                return
        self._fault = step
        self._is_told = self._is_measured = False
        yield found

    def _tell_final(self, fault: _Step, row: Row, at_s: float) -> Iterator[Finding]:
        if self._is_steady([fault.after.mean, row]):
            fault.after.add(row)
        if at_s - fault.since_s >= FINAL_S:
            self._is_told = True
            yield self._finding(fault, at_s, is_final=True)

    def _measure(self, fault: _Step, at_s: float) -> Iterator[Finding]:
        """Once a set current has moved the leak's current, the fault's ohms are known."""
        if len(self._reference) < _REFERENCE or self._is_out(self._reference):
            return
        moved_a = abs(self._reference.mean.leak_a - fault.after.mean.leak_a)
        if moved_a < _MEASURE_STEPS * self._feed.amp_step_a:
            return
        before, after, moved = (
            ends_of(window.mean) for window in (fault.before, fault.after, self._reference)
        )
        # Means of noisy readings are finer than one reading.
        step_a = _FINER * self._feed.amp_step_a
        budget = self._tracked.budget
        contact = measured(budget, step_a, before=before, after=after, moved=moved)
        if contact is not None:
            self._is_measured = True
            yield self._finding(fault, at_s, is_final=True, contact=contact)

    def _finding(
        self, step: _Step, at_s: float, *, is_final: bool, contact: Contact | None = None
    ) -> Finding:
        before, after = step.before.mean, step.after.mean
        moved_v = after.balance_v - before.balance_v
        a, b = self._telling(step.before, step.after)
        has_a_fallen = moved_v < 0
        if a is None:
            has_a_fallen = after.volts_b > before.volts_b
        elif b is None:
            has_a_fallen = after.volts_a < before.volts_a
        place = locate(
            self._cable,
            self._tracked.budget,
            Evidence(a, b, self._tracked.baseline, is_all_lost=a is None or b is None),
            side="A" if has_a_fallen else "B",
            contact=contact,
        )
        return Finding(
            "shunt",
            step.since_s,
            at_s,
            place,
            step_v=moved_v,
            leak_a=after.leak_a - before.leak_a,
            sum_v=after.sum_v - before.sum_v,
            is_final=is_final,
        )

    def _is_back(self, fault: _Step, was: Window, now: Window) -> bool:
        """Whether the balance has gone from where it `was` to what it had been before the fault.

        An end that trips can pass there, or come near: not while it takes no part in the current.
        """
        healthy = fault.before.mean
        lost_a = abs(now.mean.leak_a - healthy.leak_a)
        if lost_a > _LEAK_SHARE * self._cable.nominal_a:
            return False
        off_v, was_off_v = (
            abs(mean.balance_v - healthy.balance_v) for mean in (now.mean, was.mean)
        )
        return off_v < 0.3 * was_off_v

    def _settle(self, step: _Step) -> None:
        """What came after the step is what is normal from here on."""
        self._reference = Window(_REFERENCE)
        for row in step.after.rows:
            self._reference.add(row)
        self._new.clear()
        self._step = None

    def _forget(self) -> None:
        self._reference = Window(_REFERENCE)
        self._new.clear()
        self._step = None
        self._tracked.pause()


def _is_overlapping(one: Finding, other: Finding) -> bool:
    assert one.place is not None and other.place is not None, "shunts have a place"
    a, b = one.place.interval, other.place.interval
    return a.low_km <= b.high_km and b.low_km <= a.high_km
