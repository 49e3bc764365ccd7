"""Where a shunt fault is: from the voltages and currents of one end or both, as an interval; pure.

The place is weighed kilometre by kilometre: how well would a contact to the sea there explain what
both ends show, given everything that may be wrong (budget.py)? From these weights come the median
and the shortest interval that holds the place with `CONFIDENCE`. Nothing is known
beforehand of the place.

What one moment's direct currents cannot tell, and what is therefore said instead:
  - A leak of high resistance looks like a contact nearer to the virtual earth. `Onset` decides: a
    sudden fault is taken for a contact (its ohms are in the budget), and `leak` says between which
    kilometres it would be otherwise; a slow one is a leak, of which only that is said. Moving a set
    current tells them apart, and places both (contact.py).
  - A fault where the healthy potential is about 0 moves nothing: see `blind`.
Source of the walk: the shunt-fault equations of a line between two regulated sources.
"""

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import Final, Literal

from shorewatch.cable.budget import Budget, Evidence, Shown, healthy_sum_v, log_likelihood
from shorewatch.cable.contact import Contact
from shorewatch.cable.line import REFERENCE_DEGC, Cable, End

CONFIDENCE: Final = 0.95
Onset = Literal["sudden", "slow"]
Method = Literal["two-ended", "single-ended from A", "single-ended from B"]
_STEPS = 300
_LOOKS = 3
_SIGMAS = 3.0
_SPLIT_SHARE = 0.05
_TAIL = 1e-7  # of the weight, that a closer look leaves out on each side


@dataclass(frozen=True, slots=True)
class Interval:
    """From one kilometre to another, and how surely."""

    low_km: float
    high_km: float
    confidence: float = CONFIDENCE

    def __contains__(self, km: float) -> bool:
        return self.low_km <= km <= self.high_km

    @property
    def width_km(self) -> float:
        """How long it is."""
        return self.high_km - self.low_km


@dataclass(frozen=True, slots=True)
class Place:
    """What is known of a fault's place.

    `km` is None where only an interval can be honest. `walk_a_km` and `walk_b_km` are what each
    end alone would say with the cable's nominal figures. `sum_off_v` is the sum of both voltages
    less that of a sound cable on a quiet day, `sum_sigma_v` how far off the budget lets it be.
    """

    method: Method
    km: float | None
    interval: Interval
    leak: Interval | None = None
    contact: Contact | None = None
    walk_a_km: float | None = None
    walk_b_km: float | None = None
    sum_off_v: float | None = None
    sum_sigma_v: float | None = None

    @property
    def is_consistent(self) -> bool:
        """Whether the sum of both voltages is that of this cable: a shunt does not change it."""
        if self.sum_off_v is None or self.sum_sigma_v is None:
            return True
        return abs(self.sum_off_v) <= _SIGMAS * self.sum_sigma_v


def locate(
    cable: Cable,
    budget: Budget,
    evidence: Evidence,
    *,
    onset: Onset = "sudden",
    side: End | None = None,
    contact: Contact | None = None,
) -> Place:
    """Weigh all places.

    A `contact` that was measured decides what `onset` only lets one guess.

    `side` is the end whose voltage fell when the fault came: a leak lies between it and where a
    contact would be. Without it a leak may be anywhere.
    """
    if contact is not None and (contact.is_leak or onset == "slow"):
        evidence = replace(evidence, fault_v=(contact.volts, contact.volts_sigma))
    kms, shares = _weights(cable, budget, evidence)
    is_split = _is_split(evidence)
    whole = Interval(0.0, cable.length_km, 1.0)
    leak = None
    if side == "A":
        leak = Interval(0.0, _quantile(kms, shares, CONFIDENCE))
    elif side == "B":
        leak = Interval(_quantile(kms, shares, 1 - CONFIDENCE), cable.length_km)
    is_contact = onset == "sudden" or contact is not None
    return Place(
        method=_method(evidence),
        km=_quantile(kms, shares, 0.5) if is_contact else None,
        interval=_shortest(kms, shares) if is_contact else (leak or whole),
        leak=leak if is_contact and contact is None and not is_split else None,
        contact=contact,
        walk_a_km=walk(cable, evidence.a, "A") if evidence.a and not is_split else None,
        walk_b_km=walk(cable, evidence.b, "B") if evidence.b and not is_split else None,
        sum_off_v=sum_off_v(cable, evidence),
        sum_sigma_v=sum_sigma_v(cable, budget, evidence),
    )


def walk(cable: Cable, shown: Shown, end: End) -> float:
    """The kilometre, from A, at which one end's voltage is used up; or the cable's end."""
    assert shown.amps > 0, "a walk goes along with a current"
    left = shown.volts - shown.amps * cable.bed_ohm(end)
    per_km = cable.warm_ohm_per_km * shown.amps
    drop_v = cable.repeater_drop_v(shown.amps)
    stops = [0.0, *cable.repeaters_km, cable.length_km]
    if end == "B":
        stops = [cable.length_km - km for km in reversed(stops)]
    gone = stops[-1]
    for start, stop in pairwise(stops):
        if left <= (stop - start) * per_km:
            gone = start + max(0.0, left) / per_km
            break
        left -= (stop - start) * per_km
        if left <= drop_v:
            gone = stop
            break
        left -= drop_v
    return gone if end == "A" else cable.length_km - gone


def self_calibrated(cable: Cable, a: Shown, b: Shown) -> tuple[float, float]:
    """Ohms per kilometre that make the sum right, and the mean of both walks with them.

    The sum must be more than the repeaters take.
    """
    amps = (a.amps + b.amps) / 2
    beds = cable.bed_a_ohm + cable.bed_b_ohm
    held_v = len(cable.repeaters_km) * cable.repeater_drop_v(amps)
    ohm = (a.volts + b.volts - held_v - amps * beds) / (amps * cable.length_km)
    fitted = replace(cable, ohm_per_km=ohm, copper_degc=REFERENCE_DEGC)
    return ohm, (walk(fitted, a, "A") + walk(fitted, b, "B")) / 2


def blind(cable: Cable, a: Shown, b: Shown, step_v: float) -> Interval:
    """Where a contact would move the balance by less than `step_v`: around the virtual earth.

    `a` and `b` are of the healthy cable.
    """
    ends = []
    for shift in (-step_v, step_v):
        from_a = walk(cable, Shown(a.volts + shift, a.amps), "A")
        ends.append((from_a + walk(cable, Shown(b.volts - shift, b.amps), "B")) / 2)
    return Interval(min(ends), max(ends), 1.0)


def sum_off_v(cable: Cable, evidence: Evidence) -> float | None:
    """The sum of both voltages less that of a sound cable, or less the tracked one; None of one."""
    a, b, base = evidence.a, evidence.b, evidence.baseline
    if a is None or b is None or _is_split(evidence):
        return None
    expected_v = healthy_sum_v(cable, (a.amps + b.amps) / 2)
    if base is not None:
        expected_v += base.sum_v - healthy_sum_v(cable, base.amps)
    return a.volts + b.volts - expected_v


def sum_sigma_v(cable: Cable, budget: Budget, evidence: Evidence) -> float | None:
    """One sigma of `sum_off_v` on a quiet day."""
    a, b, base = evidence.a, evidence.b, evidence.baseline
    if a is None or b is None:
        return None
    earth_v = math.hypot(budget.earth_v, budget.coast_v, budget.coast_v)
    if base is not None:
        return math.hypot(earth_v, base.earth_v)
    amps = (a.amps + b.amps) / 2
    copper_v = cable.warm_ohm_per_km * cable.length_km * amps
    return math.hypot(
        earth_v,
        budget.ohm_per_km_share * copper_v,
        budget.repeater_v * math.sqrt(len(cable.repeaters_km)),
        budget.bed_ohm * amps * math.sqrt(2),
        budget.meter_amp_share * copper_v / math.sqrt(2),
        budget.meter_v * math.sqrt(2),
        budget.meter_volt_share * math.hypot(a.volts, b.volts),
    )


def section(cable: Cable, interval: Interval) -> tuple[int, int]:
    """The repeaters, counted from A as 1, between which an interval lies; 0 and N + 1 are ends."""
    before = bisect_left(cable.repeaters_km, interval.low_km)
    behind = bisect_left(cable.repeaters_km, interval.high_km)
    return before, behind + 1


def _weights(cable: Cable, budget: Budget, evidence: Evidence) -> tuple[list[float], list[float]]:
    """Kilometres, and the weight that has gathered up to each; looked at closer where it is."""
    low, high = 0.0, cable.length_km
    kms: list[float] = []
    shares: list[float] = []
    for _ in range(_LOOKS):
        kms = _grid(cable, low, high)
        logs = [log_likelihood(cable, budget, evidence, km) for km in kms]
        shares = _gathered(kms, logs)
        near = (_quantile(kms, shares, _TAIL), _quantile(kms, shares, 1 - _TAIL))
        # A peak narrower than a step is within two of the highest weight.
        step = 2 * (high - low) / _STEPS
        if near[1] - near[0] > (high - low) / 2:
            break
        low, high = max(0.0, near[0] - step), min(cable.length_km, near[1] + step)
    return kms, shares


def _grid(cable: Cable, low: float, high: float) -> list[float]:
    step = (high - low) / _STEPS
    return [low + step * i for i in range(_STEPS)] + [high]


def _method(evidence: Evidence) -> Method:
    if evidence.a is not None and evidence.b is not None:
        return "two-ended"
    return "single-ended from A" if evidence.a is not None else "single-ended from B"


def _gathered(kms: Sequence[float], logs: Sequence[float]) -> list[float]:
    top = max(logs)
    weights = [math.exp(value - top) for value in logs]
    pieces = [
        (end - start) * (first + second) / 2
        for (start, end), (first, second) in zip(pairwise(kms), pairwise(weights), strict=True)
    ]
    total = sum(pieces)
    return [0.0, *(value / total for value in accumulate(pieces))]


def _is_split(evidence: Evidence) -> bool:
    """Whether the line carries two quite different currents: it is fed from one end alone."""
    return evidence.leak_a > _SPLIT_SHARE * max(evidence.amps_a, evidence.amps_b)


def _shortest(kms: Sequence[float], shares: Sequence[float]) -> Interval:
    """The shortest interval that holds the place as surely as is said.

    Weights that end at a repeater or at the cable's end have their peak there: it must be inside.
    """
    best = Interval(kms[0], kms[-1])
    for low_km, below in zip(kms, shares, strict=True):
        if below + CONFIDENCE > 1.0:
            break
        high_km = _quantile(kms, shares, below + CONFIDENCE)
        if high_km - low_km < best.width_km:
            best = Interval(low_km, high_km)
    return best


def _quantile(kms: Sequence[float], shares: Sequence[float], share: float) -> float:
    at = min(max(bisect_left(shares, share), 1), len(kms) - 1)
    piece = shares[at] - shares[at - 1]
    part = (share - shares[at - 1]) / piece if piece > 0 else 0.0
    return kms[at - 1] + min(max(part, 0.0), 1.0) * (kms[at] - kms[at - 1])
