"""A cable for `bench cable`: its circuit under an earth that never rests, read by imperfect meters.

The circuit is the plant's; between two changes of it the readings are taken as linear in the earth
potentials, which they are within a mode of the sources. Two weeks of seconds then take minutes.
Everything follows from the seed.
"""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, replace

from shorewatch.cable.budget import Baseline, Budget, Shown
from shorewatch.cable.line import End
from shorewatch.cable.pairing import Pair
from shorewatch.plant.cable import CABLE, HEALTHY, Circuit, EndState, Shunt, Source, solve

VOLT_STEP, AMP_STEP = 0.1, 0.0001
VOLT_NOISE, AMP_NOISE = 0.1, 0.00005
ENDS: tuple[End, ...] = ("A", "B")
_WAVES = (1.0, 0.618, 0.382, 0.236)

Weather = Callable[[float], tuple[float, float, float]]  # E_A, E_B, e L at a second, in V


@dataclass(frozen=True, slots=True)
class Drawn:
    """One fault with all errors drawn from a budget: where it is, and what is known of it."""

    km: float
    a: Shown
    b: Shown
    baseline: Baseline


def draw(
    chance: random.Random,
    budget: Budget,
    *,
    baseline_earth_v: float,
    coasts: tuple[float, float] | None = None,
) -> Drawn:
    """A contact somewhere on a cable that is not quite the file's, read by meters that are off."""

    def error(sigma: float) -> float:
        return chance.gauss(0, sigma)

    def coast() -> float:
        is_storm = chance.random() < budget.storm_share
        return error(budget.coast_storm_v if is_storm else budget.coast_v)

    true = replace(
        CABLE,
        ohm_per_km=CABLE.ohm_per_km * (1 + error(budget.ohm_per_km_share)),
        bed_a_ohm=CABLE.bed_a_ohm + error(budget.bed_ohm),
        bed_b_ohm=CABLE.bed_b_ohm + error(budget.bed_ohm),
    )
    km = chance.uniform(0, true.length_km)
    earth_a_v, earth_b_v = (coast(), coast()) if coasts is None else coasts
    contact = Shunt(km, abs(error(budget.contact_ohm)), error(budget.contact_v))
    sound = Circuit(true)
    broken = Circuit(
        true, shunts=(contact,), earth_a_v=earth_a_v, earth_b_v=earth_b_v,
        emf_v_per_km=error(budget.earth_v) / true.length_km,
    )  # fmt: skip
    # Repeaters differ: what each takes more, at once on its side of the fault.
    more = [error(budget.repeater_v) for _ in true.repeaters_km]
    before = sum(extra for extra, at in zip(more, true.repeaters_km, strict=True) if at < km)
    behind = sum(more) - before
    meters = [
        (
            1 + error(budget.meter_volt_share),
            error(budget.meter_v),
            1 + error(budget.meter_amp_share),
        )
        for _ in "AB"
    ]
    shown, tracked = (
        [
            Shown((end.voltage_v + extra) * gain + offset, end.current_a * amps)
            for end, extra, (gain, offset, amps) in zip(
                solve(circuit).values(), (before, behind), meters, strict=True
            )
        ]
        for circuit in (broken, sound)
    )
    sum_v = tracked[0].volts + tracked[1].volts - error(baseline_earth_v)
    baseline = Baseline(sum_v, (tracked[0].amps + tracked[1].amps) / 2, baseline_earth_v)
    return Drawn(km, shown[0], shown[1], baseline)


class Sea:
    """What both PFEs show, second by second."""

    def __init__(self, seed: int, weather: Weather) -> None:
        self._chance = random.Random(seed)
        self._weather = weather
        self._circuit: Circuit | None = None
        self._states: list[dict[End, EndState]] = []

    def pair(self, second: int, circuit: Circuit, *, silent: str = "") -> Pair:
        """The pair of a second; `silent` are the ends that say nothing."""
        if circuit is not self._circuit:
            self._circuit = circuit
            per_km = 1 / circuit.cable.length_km
            self._states = [
                dict(solve(one))
                for one in (
                    circuit,
                    replace(circuit, earth_a_v=1.0),
                    replace(circuit, earth_b_v=1.0),
                    replace(circuit, emf_v_per_km=per_km),
                )
            ]
        earth = self._weather(second)
        found: dict[End, Shown | None] = {
            end: None if end in silent else self._shown(end, earth) for end in ENDS
        }
        return Pair(float(second), found["A"], found["B"])

    def _shown(self, end: End, earth: tuple[float, float, float]) -> Shown:
        rest, *moved = (state[end] for state in self._states)
        volts, amps = rest.voltage_v, rest.current_a
        for by_v, state in zip(earth, moved, strict=True):
            volts += by_v * (state.voltage_v - rest.voltage_v)
            amps += by_v * (state.current_a - rest.current_a)
        volts += self._chance.gauss(0, VOLT_NOISE)
        amps += self._chance.gauss(0, AMP_NOISE)
        return Shown(
            abs(round(volts / VOLT_STEP)) * VOLT_STEP, abs(round(amps / AMP_STEP)) * AMP_STEP
        )


def weather(seed: int, *, storms: Callable[[float], bool] = lambda second: False) -> Weather:
    """1 to 2 V rms on quiet days; storms: 17 V at one coast, -8 V at the other, 10 V along."""
    chance = random.Random(seed)
    waves = [
        [(period * ratio, chance.random()) for ratio in _WAVES] for period in (720.0, 540.0, 900.0)
    ]

    def at(second: float) -> tuple[float, float, float]:
        is_storm = storms(second)
        sizes = (17.0, -8.0, 10.0) if is_storm else (0.4, -0.4, 1.4)
        drifts = (
            sum(math.sin(2 * math.pi * (second / period + phase)) for period, phase in wave)
            for wave in waves
        )
        a, b, along = (size * drift * 0.7 for size, drift in zip(sizes, drifts, strict=True))
        return a, b, along

    return at


@dataclass(frozen=True, slots=True)
class Shift:
    """From a second on: another feed, or an end that says nothing. Nothing of it is a fault."""

    since_s: int
    circuit: Circuit
    silent: str = ""


def shifts(seed: int, days: int) -> list[Shift]:
    """What a sound cable goes through: about three changes an hour.

    Set currents that are moved, converters that fail and are replaced, ends that say nothing, a
    feed handed to one end and back once a day, ramped down and up every third day.
    """
    chance = random.Random(seed)
    found = [Shift(0, HEALTHY)]
    second = 3600
    while second < days * 86_400:
        kind = chance.choice(("set", "set", "converter", "silent", "silent", "both"))
        if second % (3 * 86_400) < 3600 and second > 86_400:
            found += _ramped(second)
        elif second % 86_400 < 1800 and second > 3600:
            found += _handed_over(second)
        elif kind == "set":
            a, b = (Source(set_a=1 + chance.gauss(0, 0.00025)) for _ in "AB")
            found.append(Shift(second, replace(HEALTHY, a=a, b=b)))
        elif kind == "converter":
            failed = Source(set_a=1 - chance.uniform(0.0002, 0.0033))
            found.append(Shift(second, replace(HEALTHY, a=failed)))
            found.append(Shift(second + chance.randrange(5, 900), HEALTHY))
        else:
            silent = "AB" if kind == "both" else chance.choice("AB")
            found.append(Shift(second, found[-1].circuit, silent))
            # An end may come back to another feed than it left.
            b = Source(set_a=1 + chance.gauss(0, 0.00025))
            found.append(Shift(second + chance.randrange(2, 600), replace(HEALTHY, b=b)))
        second = max(second, found[-1].since_s) + chance.randrange(300, 2100)
    return found


def _ramped(second: int) -> list[Shift]:
    down = [(i, 1 - i / 100) for i in range(1, 101)]
    up = [(1000 + i, i / 100) for i in range(101)]
    found = []
    for after_s, share in down + up:
        source = Source(set_a=share, nominal_v=282 * share + 0.001)
        found.append(Shift(second + 2 * after_s, replace(HEALTHY, a=source, b=source)))
    return found


def _handed_over(second: int) -> list[Shift]:
    there = [(i, i / 60) for i in range(1, 61)]
    back = [(1200 + i, 1 - i / 60) for i in range(1, 61)]
    found = []
    for after_s, share in there + back:
        a = Source(nominal_v=282 * (1 + share))
        b = Source(nominal_v=282 * (1 - share), is_on=share < 1, is_earthed=True)
        found.append(Shift(second + after_s, replace(HEALTHY, a=a, b=b)))
    return found
