"""The powered cable as both PFEs see it: one DC circuit, solved for a moment.

A healthy repeatered line between two regulating sources. With I the line current, u to remote sea:

    V_A + |V_B| = I (r L + R_GA + R_GB) + N V_rep(I) - dEP      V_rep(I) = V0 + R_d (I - I0)    (1)
    I = I_set,k - g (|V_k| - V_nom)                             for each end k that feeds       (2)

Two ideal current sources in series are ill-posed; the droop g makes them a system with exactly one
solution, and moves the balance by 303 V for 1 mA of difference between the set currents.

Both stations' PFE processes solve this from (seed, UTC time) alone, so their readings belong to one
cable without any talk between them. Quasi-static: the line's time constant is milliseconds.
Faults are not here: a shunt would give the two ends different currents, hence one state an end.
Source: bell-labs SG system tables for the droop; the 380 km figures are plausible, not factual.
"""

from dataclasses import dataclass
from typing import Literal

from shorewatch.plant.noise import Noise

End = Literal["A", "B"]
# The Trans-Caspian cable: A feeds positive, B negative. A station not listed plays end A.
_ENDS: dict[str, End] = {"sumqayit": "A", "aktau": "B"}

_EARTH_RMS_V = 2.0
_EARTH_PERIOD_S = 720.0
_METER_RMS_V = 0.1
_METER_RMS_A = 0.00005


@dataclass(frozen=True, slots=True)
class Cable:
    """What does not change: ohms, volts, amperes, km."""

    length_km: float = 380.0
    repeaters: int = 4
    ohm_per_km: float = 1.0
    repeater_v: float = 45.0
    repeater_ohm: float = 5.0
    nominal_a: float = 1.0
    bed_a_ohm: float = 2.0
    bed_b_ohm: float = 2.0
    droop_a_per_v: float = 3.3e-6
    nominal_v: float = 282.0

    def bed_ohm(self, end: End) -> float:
        """Resistance of one end's ground bed."""
        return self.bed_a_ohm if end == "A" else self.bed_b_ohm


@dataclass(frozen=True, slots=True)
class Feed:
    """How the cable is fed: set currents in A; single-end means A feeds and B is earthed."""

    set_a: float = 1.0
    set_b: float = 1.0
    single_end: bool = False


@dataclass(frozen=True, slots=True)
class EndState:
    """One end: magnitude of the terminal voltage to its own ground bed, and line current.

    Current is positive from A to B, so healthy ends show the same.
    """

    voltage_v: float
    current_a: float


CABLE = Cable()
FEED = Feed()


def end_of(station_id: str) -> End:
    """Which end of the cable a station is."""
    return _ENDS.get(station_id, "A")


def solve(cable: Cable, feed: Feed, earth_v: float = 0.0) -> dict[End, EndState]:
    """Both ends of a healthy cable; `earth_v` is dEP in (1), the volts that help the current."""
    assert cable.droop_a_per_v > 0, "two ideal current sources in series have no solution"
    ohms = cable.length_km * cable.ohm_per_km + cable.bed_a_ohm + cable.bed_b_ohm
    ohms += cable.repeaters * cable.repeater_ohm
    fixed_v = cable.repeaters * (cable.repeater_v - cable.repeater_ohm * cable.nominal_a) - earth_v
    droop = cable.droop_a_per_v
    # Sum (2) over the feeding ends and put (1) in: one linear equation for I.
    ends = 1 if feed.single_end else 2
    set_sum = feed.set_a + (0.0 if feed.single_end else feed.set_b)
    current = (set_sum - droop * (fixed_v - 2 * cable.nominal_v)) / (ends + droop * ohms)
    total_v = current * ohms + fixed_v
    if feed.single_end:
        return {"A": EndState(total_v, current), "B": EndState(0.0, current)}
    voltage_a = cable.nominal_v + (feed.set_a - current) / droop
    return {"A": EndState(voltage_a, current), "B": EndState(total_v - voltage_a, current)}


def earth_v(seed: int, utc_s: float) -> float:
    """The dEP of a geomagnetically quiet day: 2 V rms, periods of 3 to 12 minutes."""
    return _EARTH_RMS_V * Noise(seed, "cable/earth").drift(utc_s, _EARTH_PERIOD_S)


def reading(end: End, seed: int, utc_s: float) -> EndState:
    """What the meters of one end's PFE show: the cable of this moment, and metering noise."""
    state = solve(CABLE, FEED, earth_v(seed, utc_s))[end]
    meter = Noise(seed, f"cable/{end}/voltage"), Noise(seed, f"cable/{end}/current")
    return EndState(
        state.voltage_v + _METER_RMS_V * meter[0].grain(utc_s),
        state.current_a + _METER_RMS_A * meter[1].grain(utc_s),
    )
