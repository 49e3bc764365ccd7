"""The powered cable as both PFEs see it: one DC circuit, solved for a moment.

A source feeds I = I_set - g (V - V_nom), g its droop; at its voltage limit it holds V_max and gives
less, at 0 V its output diodes carry what the far end drives, and it never takes current backwards.
Off it is open, or earthed. Each is one falling curve of voltage over current, bent at known points,
and so is what stands behind any place of the line: a series drop is subtracted point by point, a
shunt moves each point. Left and right curve meet in exactly one point of each node, found segment
by segment: no iteration, no start value, no guess of the mode.

Quasi-static: the line's time constant is milliseconds. Ramps, trips and time are not here. A shunt
below 1 mOhm counts as that; a faultless cable leaks 0.1 pS, so that an open one has a voltage.
Both stations' PFE processes solve this from (seed, UTC time) alone, so their readings belong to
one cable without any talk between them. Source of the droop: bell-labs SG system tables.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final, Literal

from shorewatch.cable.line import Cable, End
from shorewatch.plant.noise import Noise

Mode = Literal["current", "voltage", "bypass", "off"]
Curve = list[tuple[float, float]]  # (current from A to B, volts to remote sea), current rising

_FAR_A = 1e7
_FAR_V = 1e6
_LEAST_OHM = 1e-3
_LEAK_OHM = 1e13
_NEAR_V = 1e-6


@dataclass(frozen=True, slots=True)
class Source:
    """One PFE as the circuit sees it; off it is open, or earthed: a link to its ground bed."""

    set_a: float = 1.0
    nominal_v: float = 282.0
    droop_a_per_v: float = 3.3e-6
    voltage_max_v: float = 800.0
    is_on: bool = True
    is_earthed: bool = False

    def __post_init__(self) -> None:
        assert self.droop_a_per_v > 0, "two ideal current sources in series have no solution"
        assert self.voltage_max_v > 0, "a source has a voltage limit"

    def curve(self) -> Curve:
        """Terminal voltage (>= 0 while on) over line current."""
        if not self.is_on:
            if self.is_earthed:
                return [(-_FAR_A, 0.0), (_FAR_A, 0.0)]
            return [(0.0, _FAR_V), (0.0, -_FAR_V)]
        at_limit_a = self.set_a - self.droop_a_per_v * (self.voltage_max_v - self.nominal_v)
        short_a = max(0.0, self.set_a + self.droop_a_per_v * self.nominal_v)
        open_v = max(0.0, self.nominal_v + self.set_a / self.droop_a_per_v)
        knee = (at_limit_a, self.voltage_max_v) if at_limit_a > 0 else (0.0, open_v)
        points = [(0.0, _FAR_V), (0.0, knee[1]), knee, (short_a, 0.0), (_FAR_A, 0.0)]
        return [point for i, point in enumerate(points) if i == 0 or point != points[i - 1]]

    def mode(self, voltage_v: float) -> Mode:
        """What it does while its terminals have this voltage."""
        if not self.is_on:
            return "off"
        if voltage_v >= self.voltage_max_v - _NEAR_V:
            return "voltage"
        return "current" if voltage_v > _NEAR_V else "bypass"


@dataclass(frozen=True, slots=True)
class Shunt:
    """A leak from the conductor to the sea, whose local potential is `earth_v`."""

    km: float
    ohm: float
    earth_v: float = 0.0


@dataclass(frozen=True, slots=True)
class Cut:
    """A complete break: resistance of each broken end to the sea, None where it is sealed."""

    km: float
    ohm_a: float | None = None
    ohm_b: float | None = None


@dataclass(frozen=True, slots=True)
class Circuit:
    """Everything that decides the currents of one moment.

    Potentials and emf are true ones, to remote sea and from A to B. `is_reversed`: B is positive.
    """

    cable: Cable
    a: Source = Source()
    b: Source = Source()
    shunts: tuple[Shunt, ...] = ()
    cut: Cut | None = None
    earth_a_v: float = 0.0
    earth_b_v: float = 0.0
    emf_v_per_km: float = 0.0
    is_reversed: bool = False

    def __post_init__(self) -> None:
        places = [shunt.km for shunt in self.shunts] + ([self.cut.km] if self.cut else [])
        assert all(0 <= km <= self.cable.length_km for km in places), "a fault is on the cable"


@dataclass(frozen=True, slots=True)
class EndState:
    """One end: terminal voltage to its own ground bed, as its polarity goes, and line current.

    Both are positive when the PFE drives the current its way.
    """

    voltage_v: float
    current_a: float
    mode: Mode = "current"


# The Trans-Caspian cable of the demo. Plausible, not factual.
CABLE: Final = Cable(
    length_km=380.0,
    repeaters_km=(76.0, 152.0, 228.0, 304.0),
    ohm_per_km=1.0,
    repeater_v=45.0,
    repeater_ohm=5.0,
    bed_a_ohm=2.0,
    bed_b_ohm=2.0,
)
HEALTHY: Final = Circuit(CABLE)
# A feeds positive, B negative. A station not listed plays end A.
_ENDS: dict[str, End] = {"sumqayit": "A", "aktau": "B"}

_EARTH_RMS_V = 2.0
_EARTH_PERIOD_S = 720.0
_METER_RMS_V = 0.1
_METER_RMS_A = 0.00005


def end_of(station_id: str) -> End:
    """Which end of the cable a station is."""
    return _ENDS.get(station_id, "A")


def solve(circuit: Circuit) -> dict[End, EndState]:
    """What both PFEs have at their terminals."""
    cable, seen = circuit.cable, _upright(circuit)
    spans = _spans(seen)
    first, last = spans[0], spans[-1]
    volts_a = first.start_v - seen.earth_a_v + first.current_a * cable.bed_a_ohm
    volts_b = seen.earth_b_v + last.current_a * cable.bed_b_ohm - _end_v(seen, last)
    return {
        "A": EndState(volts_a, first.current_a, seen.a.mode(volts_a)),
        "B": EndState(volts_b, last.current_a, seen.b.mode(volts_b)),
    }


def profile(circuit: Circuit) -> list[tuple[float, float]]:
    """The conductor's potential to remote sea along the cable: corners as (km, volts).

    Between two corners it is straight; a repeater and a cut are two corners at one kilometre.
    """
    seen = _upright(circuit)
    sign = -1 if circuit.is_reversed else 1
    points: list[tuple[float, float]] = []
    for span in _spans(seen):
        points += [(km, sign * volts) for km, volts in _corners(seen, span)]
    return [point for i, point in enumerate(points) if i == 0 or point != points[i - 1]]


def earth_v(seed: int, utc_s: float) -> float:
    """The dEP of a geomagnetically quiet day: 2 V rms, periods of 3 to 12 minutes."""
    return _EARTH_RMS_V * Noise(seed, "cable/earth").drift(utc_s, _EARTH_PERIOD_S)


def metered(state: EndState, end: End, seed: int, utc_s: float) -> EndState:
    """What the meters of one end's PFE make of its state: metering noise."""
    meter = Noise(seed, f"cable/{end}/voltage"), Noise(seed, f"cable/{end}/current")
    return EndState(
        state.voltage_v + _METER_RMS_V * meter[0].grain(utc_s),
        state.current_a + _METER_RMS_A * meter[1].grain(utc_s),
        state.mode,
    )


@dataclass(frozen=True, slots=True)
class _Span:
    """A stretch of line without a leak, so with one current."""

    start_km: float
    end_km: float
    start_v: float
    current_a: float


def _upright(circuit: Circuit) -> Circuit:
    """The same seen with A positive: turning the feed is turning all that is not the feed."""
    if not circuit.is_reversed:
        return circuit
    return replace(
        circuit,
        shunts=tuple(replace(shunt, earth_v=-shunt.earth_v) for shunt in circuit.shunts),
        earth_a_v=-circuit.earth_a_v,
        earth_b_v=-circuit.earth_b_v,
        emf_v_per_km=-circuit.emf_v_per_km,
    )


def _spans(circuit: Circuit) -> list[_Span]:
    cable, cut = circuit.cable, circuit.cut
    bed_a, bed_b = cable.bed_a_ohm, cable.bed_b_ohm
    left = [(amps, volts + circuit.earth_a_v - amps * bed_a) for amps, volts in circuit.a.curve()]
    right = [(amps, circuit.earth_b_v + amps * bed_b - volts) for amps, volts in circuit.b.curve()]
    if cut is None:
        return list(_part(circuit, (0.0, cable.length_km), left, right))
    return [
        *_part(circuit, (0.0, cut.km), left, _broken(cut.ohm_a, 1)),
        *_part(circuit, (cut.km, cable.length_km), _broken(cut.ohm_b, -1), right),
    ]


def _broken(ohm: float | None, sign: int) -> Curve:
    """A broken end: its potential rises (sign 1) or falls with the current from A to B."""
    if ohm is None:
        return [(0.0, -sign * _FAR_V), (0.0, sign * _FAR_V)]
    return [(-_FAR_A, -sign * _FAR_A * ohm), (_FAR_A, sign * _FAR_A * ohm)]


def _part(
    circuit: Circuit, extent: tuple[float, float], left: Curve, right: Curve
) -> Iterator[_Span]:
    """A line without a break between two curves: at `extent`'s start falling, at its end rising."""
    start_km, end_km = extent
    shunts = sorted(
        (shunt for shunt in circuit.shunts if _is_on(shunt, circuit.cut, extent)),
        key=lambda shunt: shunt.km,
    ) or [Shunt((start_km + end_km) / 2, _LEAK_OHM)]
    places = [start_km, *(shunt.km for shunt in shunts), end_km]
    lefts: list[tuple[Curve, Curve]] = []  # before and behind each shunt, seen from A
    for i, shunt in enumerate(shunts):
        left = _along(circuit, left, (places[i], shunt.km), -1)
        lefts.append((left, _leaked(left, shunt, -1)))
        left = lefts[-1][1]
    rights: list[Curve] = []  # behind each shunt, seen from B, so in reverse
    for i, shunt in reversed(list(enumerate(shunts))):
        right = _along(circuit, right, (shunt.km, places[i + 2]), 1)
        rights.append(right)
        right = _leaked(right, shunt, 1)
    rights.reverse()
    for i, ((before, behind), beyond) in enumerate(zip(lefts, rights, strict=True)):
        at, share, node_v, onward_a = _meeting(behind, beyond)
        current_a = before[at][0] + share * (before[at + 1][0] - before[at][0])
        there = (places[i], places[i + 1])
        yield _Span(*there, node_v + _drop_v(circuit, there, current_a), current_a)
        if i == len(shunts) - 1:
            yield _Span(places[-2], places[-1], node_v, onward_a)


def _is_on(shunt: Shunt, cut: Cut | None, extent: tuple[float, float]) -> bool:
    """Whether it leaks from this side of the cut; one exactly at the cut is on A's."""
    if cut is None:
        return True
    return shunt.km <= cut.km if extent[0] == 0 and extent[1] == cut.km else shunt.km > cut.km


def _along(
    circuit: Circuit, curve: Curve, there: tuple[float, float], sign: Literal[1, -1]
) -> Curve:
    """A curve moved along the line: from A onwards (-1), or from B back (1)."""
    knee_a = circuit.cable.knee_a
    bent = _split(_split(curve, -knee_a), knee_a)
    return [(amps, volts + sign * _drop_v(circuit, there, amps)) for amps, volts in bent]


def _drop_v(circuit: Circuit, there: tuple[float, float], current_a: float) -> float:
    emf_v = circuit.emf_v_per_km * (there[1] - there[0])
    return circuit.cable.drop_v(*there, current_a) - emf_v


def _split(curve: Curve, at_a: float) -> Curve:
    """The same curve with a corner at this current."""
    found = [curve[0]]
    for (amps, volts), (next_a, next_v) in pairwise(curve):
        if amps < at_a < next_a:
            share = (at_a - amps) / (next_a - amps)
            found.append((at_a, volts + share * (next_v - volts)))
        found.append((next_a, next_v))
    return found


def _leaked(curve: Curve, shunt: Shunt, sign: Literal[1, -1]) -> Curve:
    """A curve with a shunt across, seen from A (-1): it takes of the current; or from B (1)."""
    siemens = 1 / max(shunt.ohm, _LEAST_OHM)
    return [(amps + sign * siemens * (volts - shunt.earth_v), volts) for amps, volts in curve]


def _meeting(falling: Curve, rising: Curve) -> tuple[int, float, float, float]:
    """Where two curves meet: segment of the first, share along it, volts and amperes.

    The pair of segments is taken that is crossed inside, or least outside by rounding.
    """
    best = (1e-6, 0, 0.0, 0.0, 0.0)
    for i, ((i1, u1), (i2, u2)) in enumerate(_segments(falling)):
        for (i3, u3), (i4, u4) in _segments(rising):
            cross = (i2 - i1) * (u4 - u3) - (u2 - u1) * (i4 - i3)
            if cross == 0:
                continue
            along = ((i3 - i1) * (u4 - u3) - (u3 - u1) * (i4 - i3)) / cross
            other = ((i3 - i1) * (u2 - u1) - (u3 - u1) * (i2 - i1)) / cross
            outside = max(0.0, -along, along - 1, -other, other - 1)
            if outside < best[0]:
                volts, amps = u1 + along * (u2 - u1), i3 + other * (i4 - i3)
                best = (outside, i, along, volts, amps)
    assert best[0] < 1e-6, "a falling and a rising curve without end meet"
    return best[1:]


def _segments(curve: Curve) -> Sequence[tuple[tuple[float, float], tuple[float, float]]]:
    return list(pairwise(curve))


def _end_v(circuit: Circuit, span: _Span) -> float:
    return span.start_v - _drop_v(circuit, (span.start_km, span.end_km), span.current_a)


def _corners(circuit: Circuit, span: _Span) -> Iterator[tuple[float, float]]:
    cable = circuit.cable
    first, last = (cable.repeaters_before(km) for km in (span.start_km, span.end_km))
    yield span.start_km, span.start_v
    for km in cable.repeaters_km[first:last]:
        before_v = span.start_v - _drop_v(circuit, (span.start_km, km), span.current_a)
        yield km, before_v
        yield km, before_v - cable.repeater_drop_v(span.current_a)
    yield span.end_km, _end_v(circuit, span)
