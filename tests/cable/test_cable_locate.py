"""Fault location: the published example, the reference vectors, and intervals that hold."""

import math
import random
from dataclasses import replace

import pytest
from cable_field import faulty, shown
from hypothesis import given
from hypothesis import strategies as st

from shorewatch.cable.budget import Baseline, Budget, Evidence, Shown, log_likelihood
from shorewatch.cable.line import Cable
from shorewatch.cable.locate import (
    Interval,
    blind,
    locate,
    section,
    self_calibrated,
    walk,
)
from shorewatch.plant.cable import CABLE, HEALTHY, Source

BUDGET = Budget()
# N. M. Chaves Jr, "Calculations on a Subsea Shunt Fault": Rio to Fortaleza, as built.
RIO = Cable(
    length_km=3529.0,
    repeaters_km=tuple(50.4 * i for i in range(1, 21))
    + tuple(1100.0 + 48.0 * i for i in range(49)),
    ohm_per_km=1.38,
    repeater_v=31.75,
    repeater_ohm=0.0,
    nominal_a=0.9,
)


def test_the_published_example_walks_to_section_21() -> None:
    """1952 V at Rio end 27.38 km behind repeater 20, at km 1060.39 of the as-built sections."""
    # The 20 sections are 1283 V, so 1033.01 km long; repeaters stand at their ends.
    at_km = [1033.01 * i / 20 for i in range(1, 21)]
    cable = replace(RIO, repeaters_km=(*at_km, *RIO.repeaters_km[20:]))
    assert walk(cable, Shown(1952.0, 0.9), "A") == pytest.approx(1060.39, abs=0.01)


def test_the_published_example_walks_from_the_far_end() -> None:
    """4659 V at Fortaleza, 49 repeaters taken off, end at km 1030.41."""
    assert walk(RIO, Shown(4659.0, 0.9), "B") == pytest.approx(1030.41, abs=0.02)


def test_the_published_example_self_calibrates() -> None:
    """The sum of both voltages gives 1.39172 Ohm/km, and both walks with it km 1051.45."""
    ohm, km = self_calibrated(RIO, Shown(1952.0, 0.9), Shown(4659.0, 0.9))
    assert ohm == pytest.approx(1.39172, abs=5e-6)
    assert km == pytest.approx(1051.45, abs=0.02)


def test_the_published_example_needs_an_interval() -> None:
    """The ends of the published example disagree by 30 km: the interval is wider than 10 km."""
    place = locate(RIO, BUDGET, Evidence(Shown(1952.0, 0.9), Shown(4659.0, 0.9)))
    assert 1051.45 in place.interval and place.interval.width_km > 10


@pytest.mark.parametrize("km", [1.0, 20.0, 75.5, 76.5, 100.0, 151.0, 250.0, 303.0, 304.5, 370.0])
def test_each_end_walks_to_a_dead_short(km: float) -> None:
    """With perfect meters and a dead short both ends' walks end where the fault is."""
    a, b = shown(faulty(km, 0.0))
    assert walk(CABLE, a, "A") == pytest.approx(km, abs=0.01)
    assert walk(CABLE, b, "B") == pytest.approx(km, abs=0.01)


@pytest.mark.parametrize("km", [1.0, 20.0, 100.0, 190.0, 250.0, 370.0])
def test_the_interval_holds_a_dead_short(km: float) -> None:
    """With perfect meters the median is within 0.3 km and the interval around it."""
    place = locate(CABLE, BUDGET, Evidence(*shown(faulty(km, 0.0))))
    assert place.km == pytest.approx(km, abs=0.3)
    assert km in place.interval and place.is_consistent


def test_one_end_is_less_sure_than_two() -> None:
    """A single end's interval holds the place and is wider than that of both."""
    a, b = shown(faulty(150.0))
    both = locate(CABLE, BUDGET, Evidence(a, b)).interval
    for alone in (Evidence(a, None), Evidence(None, b)):
        single = locate(CABLE, BUDGET, alone)
        assert 150.0 in single.interval and single.method.startswith("single-ended")
        assert single.interval.width_km > 1.5 * both.width_km


def test_a_tracked_sum_narrows_a_single_end() -> None:
    """Knowing what the healthy cable took, one end is surer than with the file's ohms alone."""
    a, _ = shown(faulty(250.0))
    tracked = Baseline(564.0, 1.0, 0.5)
    narrow = locate(CABLE, BUDGET, Evidence(a, None, tracked)).interval
    assert 250.0 in narrow
    assert narrow.width_km < 0.75 * locate(CABLE, BUDGET, Evidence(a, None)).interval.width_km


@pytest.mark.parametrize(("earth_a_v", "earth_b_v"), [(20.0, 0.0), (0.0, -20.0), (0.0, 20.0)])
def test_a_lumped_potential_widens_the_interval(earth_a_v: float, earth_b_v: float) -> None:
    """20 V at either coast lead self-calibration astray; the interval still holds the place."""
    circuit = replace(faulty(100.0, 0.0), earth_a_v=earth_a_v, earth_b_v=earth_b_v)
    a, b = shown(circuit)
    place = locate(CABLE, BUDGET, Evidence(a, b))
    assert abs(self_calibrated(CABLE, a, b)[1] - 100.0) > 3
    assert 100.0 in place.interval and place.interval.width_km > 15
    assert not place.is_consistent


def test_a_uniform_emf_does_not_matter_to_two_ends() -> None:
    """0.1 V/km put the walks at 90 and 128 km; both ends together say 100."""
    a, b = shown(replace(faulty(100.0, 0.0), emf_v_per_km=0.1))
    assert walk(CABLE, a, "A") == pytest.approx(90.0, abs=0.2)
    assert walk(CABLE, b, "B") == pytest.approx(128.0, abs=0.2)
    assert self_calibrated(CABLE, a, b)[1] == pytest.approx(100.0, abs=0.3)


@given(km=st.floats(2, 180), ohm=st.floats(1e5, 1e6))
def test_a_slow_leak_gets_no_narrow_answer(km: float, ohm: float) -> None:
    """Of a leak of 100 kOhm to 1 MOhm only the side is told, and the place is within it."""
    a, b = shown(faulty(km, ohm))
    place = locate(CABLE, BUDGET, Evidence(a, b), onset="slow", side="A")
    assert place.km is None
    assert km in place.interval and place.interval.low_km == 0


def test_a_sudden_fault_says_where_it_would_be_as_a_leak() -> None:
    """The alternative reaches from the end whose voltage fell to behind the place."""
    place = locate(CABLE, BUDGET, Evidence(*shown(faulty(300.0))), side="B")
    assert place.leak is not None and place.leak.high_km == 380
    assert place.interval.low_km < place.leak.low_km < 300


def test_nobody_knows_the_side_of_a_leak_alone() -> None:
    """A slow leak without readings from before may be anywhere."""
    place = locate(CABLE, BUDGET, Evidence(*shown(faulty(100.0, 1e5))), onset="slow")
    assert place.interval == Interval(0, 380, 1.0)


def test_the_blind_zone_is_around_the_virtual_earth() -> None:
    """4 V hide a fault within 4 km of the middle; an unbalanced feed moves the zone with it."""
    assert blind(CABLE, *shown(HEALTHY), 4.0).low_km == pytest.approx(186, abs=0.2)
    assert blind(CABLE, *shown(HEALTHY), 4.0).high_km == pytest.approx(194, abs=0.2)
    moved = blind(CABLE, *shown(replace(HEALTHY, a=Source(set_a=1.0005))), 4.0)
    assert moved.low_km > 194


def test_a_voltage_inside_a_repeaters_drop_is_at_the_repeater() -> None:
    """What is left of the volts at repeater 1 is less than it takes: the place is there."""
    a = Shown(2 + 76 + 20.0, 1.0)
    assert walk(CABLE, a, "A") == 76.0
    assert 76.0 in locate(CABLE, BUDGET, Evidence(a, None)).interval


@pytest.mark.parametrize(
    ("low_km", "high_km", "around"),
    [(0, 5, (0, 1)), (80, 120, (1, 2)), (70, 80, (0, 2)), (310, 380, (4, 5))],
)
def test_sections_are_counted_by_repeaters(
    low_km: float, high_km: float, around: tuple[int, int]
) -> None:
    """An interval lies between the last repeater before it and the first behind."""
    assert section(CABLE, Interval(low_km, high_km)) == around


def test_what_cannot_be_is_less_likely() -> None:
    """The true place explains readings better than one 10 km away, on either side."""
    evidence = Evidence(*shown(faulty(120.0)))
    there = log_likelihood(CABLE, BUDGET, evidence, 120.0)
    for km in (110.0, 130.0):
        assert log_likelihood(CABLE, BUDGET, evidence, km) < there - 5


@pytest.mark.parametrize("length_km", [380.0, 3500.0, 9000.0])
def test_a_long_cable_is_looked_at_closely_enough(length_km: float) -> None:
    """The grid finds a peak that is far narrower than its first step."""
    count = int(length_km / 76)
    cable = replace(
        CABLE, length_km=length_km, repeaters_km=tuple(76.0 * i for i in range(1, count))
    )
    sure = Budget(
        ohm_per_km_share=1e-5, repeater_v=0.001, bed_ohm=0.01, meter_volt_share=1e-5,
        meter_v=0.1, meter_amp_share=1e-6, earth_v=0.1, coast_v=0.01, storm_share=1e-6,
    )  # fmt: skip
    km = length_km * 0.371
    a = Shown(cable.drop_v(0, km, 1.0) + 2, 1.0)
    b = Shown(cable.drop_v(km, length_km, 1.0) + 2, 1.0)
    place = locate(cable, sure, Evidence(a, b))
    assert place.km == pytest.approx(km, abs=0.2)
    assert place.interval.width_km < 2


def test_intervals_hold_as_often_as_they_say() -> None:
    """Of 120 faults drawn from the budget's own errors the 95 % interval holds 88 to 100 %."""
    chance = random.Random(5)
    budget = replace(BUDGET, storm_share=0.001, contact_ohm=0.0)
    held = 0
    for _ in range(120):
        km = chance.uniform(2, 378)
        ohms = 1 + chance.gauss(0, budget.ohm_per_km_share)
        true = replace(CABLE, ohm_per_km=ohms)
        a, b = shown(replace(faulty(km, 0.0), cable=true))
        a, b = (Shown(end.volts + chance.gauss(0, budget.meter_v), end.amps) for end in (a, b))
        sure = replace(
            budget, repeater_v=0.0, bed_ohm=0.0, meter_volt_share=0.0, meter_amp_share=0.0,
            earth_v=1e-3, coast_v=0.0, contact_v=0.0,
        )  # fmt: skip
        held += km in locate(CABLE, sure, Evidence(a, b)).interval
    assert 0.88 <= held / 120 <= 1.0 and math.isfinite(held)
