"""What may be wrong, how much, and how that spreads into the two voltages; pure.

Every source of error is a normal one of its own size (`Budget`, one sigma each) that moves the
voltages which both ends should show for a fault at a kilometre, and the healthy sum that was
tracked before, by known amounts. What moves several of them together makes them agree in their
error: the ohms of the whole cable that the sum tells of are those on both sides of the fault. The
coasts' earth potentials have two sizes each, quiet and disturbed: the four cases are weighed by
what is seen, so that a sum which a quiet earth cannot explain widens the interval.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from shorewatch.cable.line import Cable

_APART = 5.0
Vector = tuple[float, float, float]  # on V_A, V_B and the tracked healthy sum


@dataclass(frozen=True, slots=True)
class Budget:
    """One sigma of everything that is not known; shares are of the value.

    `earth_v` is the emf along the whole cable, `coast_v` each end's own potential, which is
    `coast_storm_v` in a `storm_share` of all cases. A contact to the sea has a voltage of its own
    and ohms that the leak's current meets: `bare_ohm` those of one that takes the whole current, as
    a bared end does when the far source drives nothing. `leak_a` is half of what sources with
    droops drive into one: so far both ends carry the same current, whatever their ammeters say.
    """

    ohm_per_km_share: float = 0.01
    repeater_v: float = 0.5
    bed_ohm: float = 0.5
    meter_volt_share: float = 0.001
    meter_v: float = 0.5
    meter_amp_share: float = 0.002
    earth_v: float = 2.0
    coast_v: float = 0.3
    coast_storm_v: float = 20.0
    storm_share: float = 0.05
    contact_v: float = 0.3
    contact_ohm: float = 100.0
    bare_ohm: float = 15.0
    leak_a: float = 0.0006

    def __post_init__(self) -> None:
        assert 0 < self.storm_share < 1, "both quiet and disturbed coasts exist"
        assert self.meter_v > 0 and self.meter_volt_share >= 0, "no meter is exact"


@dataclass(frozen=True, slots=True)
class Shown:
    """What one end's PFE shows, as magnitudes: volts to its own ground bed, amperes."""

    volts: float
    amps: float


@dataclass(frozen=True, slots=True)
class Baseline:
    """The healthy sum of both voltages, tracked: its mean at a line current.

    `earth_v` is one sigma of what the earth's potentials may have left in it.
    """

    sum_v: float
    amps: float
    earth_v: float

    def __post_init__(self) -> None:
        assert self.earth_v > 0, "no mean of the earth's potentials is exact"


DEAD_SHARE: Final = 0.2  # of the nominal current: an end with less drives none
_EARTHED_SHARE: Final = 0.02  # of both voltages: an end with less does not feed


def telling(
    now: tuple[Shown, Shown], was: tuple[Shown, Shown], nominal_a: float
) -> tuple[Shown | None, Shown | None]:
    """Both ends as they are `now`; None for one that fed the cable and drives no current any more.

    It stands at its limit or is off, behind a cut or by a trip: its volts say nothing of a fault.
    An end that was earthed all the time has none to lose, and tells. Both out stay as they are.
    """
    fed_v = _EARTHED_SHARE * sum(end.volts for end in was)
    is_out = [
        end.amps < DEAD_SHARE * nominal_a and before.volts > fed_v
        for end, before in zip(now, was, strict=True)
    ]
    if all(is_out):
        return now
    return (None if is_out[0] else now[0], None if is_out[1] else now[1])


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of a fault: one end or both, and the tracked sum where there is one.

    `fault_v` is the voltage at the fault and one sigma of it, where that was measured. With
    `is_all_lost` the end that is not there drives nothing, and the fault takes all the current.
    """

    a: Shown | None
    b: Shown | None
    baseline: Baseline | None = None
    fault_v: tuple[float, float] | None = None
    is_all_lost: bool = False

    def __post_init__(self) -> None:
        assert self.a is not None or self.b is not None, "somebody must have measured something"

    @property
    def amps_a(self) -> float:
        """Current on A's side, as far as is known."""
        shown = self.a or self.b
        assert shown is not None, "one of them is there"
        return shown.amps

    @property
    def amps_b(self) -> float:
        """Current on B's side, as far as is known."""
        shown = self.b or self.a
        assert shown is not None, "one of them is there"
        return shown.amps

    @property
    def leak_a(self) -> float:
        """What the fault takes, as far as both meters tell."""
        return abs(self.amps_a - self.amps_b)


@dataclass(frozen=True, slots=True)
class Currents:
    """What flows on both sides of a fault, in A; one sigma of what is wrong with it.

    `share` is wrong with both alike, `half_a` is too much on one side and too little on the other.
    """

    a: float
    b: float
    share: float
    half_a: float


def currents(budget: Budget, evidence: Evidence) -> Currents:
    """Both ammeters together: they measure the same current but for what the fault takes.

    Unless they are so far apart that the fault takes a great part, as on a cable fed from one end.
    """
    a, b, gain = evidence.amps_a, evidence.amps_b, budget.meter_amp_share
    mean, half = (a + b) / 2, (a - b) / 2
    if evidence.a is None or evidence.b is None:
        return Currents(a, b, gain, 0.0)
    meters_a = gain * mean / math.sqrt(2)
    if meters_a <= 0 or budget.leak_a <= 0:
        return Currents(a, b, meters_a / mean, meters_a)
    share = gain / math.sqrt(2)
    if abs(half) > _APART * math.hypot(meters_a, budget.leak_a):
        return Currents(a, b, share, meters_a)
    trust = 1 / (1 + (meters_a / budget.leak_a) ** 2)
    return Currents(mean + trust * half, mean - trust * half, share, meters_a * math.sqrt(trust))


def residual(cable: Cable, budget: Budget, evidence: Evidence, km: float) -> list[float]:
    """Volts shown less volts expected for a fault at `km`, of what is there."""
    found = []
    flows = currents(budget, evidence)
    length = cable.length_km
    fault_v = evidence.fault_v[0] if evidence.fault_v else 0.0
    if evidence.a is not None:
        line_v = cable.drop_v(0, km, flows.a) + flows.a * cable.bed_a_ohm
        found.append(evidence.a.volts - line_v - fault_v)
    if evidence.b is not None:
        line_v = cable.drop_v(km, length, flows.b) + flows.b * cable.bed_b_ohm
        found.append(evidence.b.volts - line_v + fault_v)
    if evidence.baseline is not None:
        found.append(evidence.baseline.sum_v - healthy_sum_v(cable, evidence.baseline.amps))
    return found


def healthy_sum_v(cable: Cable, amps: float) -> float:
    """The sum of both voltages on a sound cable without earth potentials."""
    return cable.drop_v(0, cable.length_km, amps) + amps * (cable.bed_a_ohm + cable.bed_b_ohm)


def log_likelihood(cable: Cable, budget: Budget, evidence: Evidence, km: float) -> float:
    """How well a fault at `km` explains the evidence; a constant is left out."""
    rest = residual(cable, budget, evidence, km)
    kept = [
        i for i, part in enumerate((evidence.a, evidence.b, evidence.baseline)) if part is not None
    ]
    matrix = [[0.0] * len(kept) for _ in kept]
    for vector in _sources(cable, budget, evidence, km):
        _add(matrix, [vector[i] for i in kept])
    # A coast moves its own end's voltage alone; the tracked sum knows of it as an average.
    terms = []
    ends = [i for i in kept if i < 2]
    for storms in range(1 << len(ends)):
        case = [row[:] for row in matrix]
        weight = 0.0
        for place in range(len(ends)):
            is_storm = bool(storms >> place & 1)
            sigma = budget.coast_storm_v if is_storm else budget.coast_v
            case[place][place] += sigma * sigma
            share = budget.storm_share
            weight += math.log(share if is_storm else 1 - share)
        terms.append(weight + _log_normal(case, rest))
    top = max(terms)
    return top + math.log(sum(math.exp(term - top) for term in terms))


def _sources(cable: Cable, budget: Budget, evidence: Evidence, km: float) -> Iterator[Vector]:
    """One sigma of each source of error, as volts on V_A, V_B and the sum."""
    length, ohm = cable.length_km, cable.warm_ohm_per_km
    flows = currents(budget, evidence)
    a, b, base = flows.a, flows.b, evidence.baseline
    before, total = cable.repeaters_before(km), len(cable.repeaters_km)
    mean = base.amps if base else 0.0
    share = budget.ohm_per_km_share * ohm
    yield share * km * a, share * (length - km) * b, share * length * mean
    held = budget.repeater_v
    is_sum = float(base is not None)
    root_a, root_b = math.sqrt(before), math.sqrt(total - before)
    yield held * root_a, 0.0, held * root_a * is_sum
    yield 0.0, held * root_b, held * root_b * is_sum
    yield budget.bed_ohm * a, 0.0, budget.bed_ohm * mean
    yield 0.0, budget.bed_ohm * b, budget.bed_ohm * mean
    # The ammeters' gains; the tracked sum was read with the mean of both.
    per_a = ohm * km + cable.bed_a_ohm + before * cable.repeater_ohm
    per_b = ohm * (length - km) + cable.bed_b_ohm + (total - before) * cable.repeater_ohm
    yield flows.share * per_a * a, flows.share * per_b * b, flows.share * (per_a + per_b) * mean
    yield flows.half_a * per_a, -flows.half_a * per_b, 0.0
    # Each voltmeter's offset and gain, in the sum as at its time: half of the volts each.
    yield budget.meter_v, 0.0, budget.meter_v * is_sum
    yield 0.0, budget.meter_v, budget.meter_v * is_sum
    half = base.sum_v / 2 if base else 0.0
    volts_a = evidence.a.volts if evidence.a else 0.0
    volts_b = evidence.b.volts if evidence.b else 0.0
    yield budget.meter_volt_share * volts_a, 0.0, budget.meter_volt_share * half
    yield 0.0, budget.meter_volt_share * volts_b, budget.meter_volt_share * half
    yield budget.earth_v * km / length, budget.earth_v * (length - km) / length, 0.0
    if base is not None:
        yield 0.0, 0.0, base.earth_v
    drop_v = budget.contact_ohm * evidence.leak_a
    if evidence.is_all_lost:
        drop_v = budget.bare_ohm * evidence.amps_a
    contact_v = math.hypot(budget.contact_v, drop_v)
    if evidence.fault_v is not None:
        contact_v = evidence.fault_v[1]
    yield contact_v, -contact_v, 0.0


def _add(matrix: list[list[float]], vector: Sequence[float]) -> None:
    for row, left in zip(matrix, vector, strict=True):
        for i, right in enumerate(vector):
            row[i] += left * right


def _log_normal(matrix: list[list[float]], rest: Sequence[float]) -> float:
    """Log density of `rest` for a covariance, by Cholesky; the power of 2 pi is left out."""
    count = len(rest)
    lower = [[0.0] * count for _ in rest]
    solved: list[float] = []
    result = 0.0
    for i in range(count):
        for j in range(i):
            known = sum(lower[i][k] * lower[j][k] for k in range(j))
            lower[i][j] = (matrix[i][j] - known) / lower[j][j]
        pivot = math.sqrt(matrix[i][i] - sum(value * value for value in lower[i][:i]))
        lower[i][i] = pivot
        solved.append((rest[i] - sum(lower[i][k] * solved[k] for k in range(i))) / pivot)
        result -= math.log(pivot) + solved[i] * solved[i] / 2
    return result
