"""bench/cable.py and its sea: what is drawn is what the figures say."""

import random
from collections import deque
from dataclasses import replace

import pytest

from shorewatch.bench.cable import FEED, Extent, run_cable
from shorewatch.bench.sea import Sea, draw, shifts, weather
from shorewatch.cable.budget import Budget
from shorewatch.cable.finding import Finding
from shorewatch.cable.watcher import Watcher
from shorewatch.plant.cable import CABLE, HEALTHY, solve


def test_the_sea_is_the_plant_under_an_earth() -> None:
    """A second's readings are the solved circuit's, but for the meters' noise and steps."""
    earth = weather(1, storms=lambda second: True)
    sea = Sea(1, earth)
    for second in (10, 500, 9000):
        a_v, b_v, along_v = earth(second)
        circuit = replace(
            HEALTHY, earth_a_v=a_v, earth_b_v=b_v, emf_v_per_km=along_v / HEALTHY.cable.length_km
        )
        pair, ends = sea.pair(second, HEALTHY), solve(circuit)
        assert pair.a is not None and pair.b is not None
        assert pair.a.volts == pytest.approx(ends["A"].voltage_v, abs=0.6)
        assert pair.b.volts == pytest.approx(ends["B"].voltage_v, abs=0.6)


def test_storms_are_stormy_and_quiet_days_quiet() -> None:
    """The sum's earth potential has 1 to 3 V rms on a quiet day and more than 10 in a storm."""
    for is_storm, low, high in ((False, 1.0, 3.0), (True, 10.0, 40.0)):
        earth = weather(2, storms=lambda second, is_storm=is_storm: is_storm)
        sums = [a - b + along for a, b, along in map(earth, range(0, 86_400, 60))]
        assert low < (sum(v * v for v in sums) / len(sums)) ** 0.5 < high


def test_errors_are_drawn_from_the_budget() -> None:
    """Without errors in the budget both ends' readings are the plant's own."""
    exact = Budget(0, 0, 0, 0, 1e-9, 0, 0, 0, 1e-9, 0.5, 0, 0)
    one = draw(random.Random(1), exact, baseline_earth_v=1e-6)
    assert one.baseline.sum_v == pytest.approx(564.0, abs=0.01)
    assert one.a.volts + one.b.volts == pytest.approx(563.9, abs=0.3)


def test_a_sound_cable_goes_through_much() -> None:
    """A week holds set currents, ramps, single-end feeding and silent ends, in order of time."""
    plan = shifts(1, 7)
    assert [shift.since_s for shift in plan] == sorted(shift.since_s for shift in plan)
    assert any(shift.silent for shift in plan)
    assert any(shift.circuit.b.is_earthed and not shift.circuit.b.is_on for shift in plan)
    assert any(shift.circuit.a.set_a < 0.1 for shift in plan)
    assert not any(shift.circuit.shunts or shift.circuit.cut for shift in plan)


def test_the_figures_have_the_designs_names() -> None:
    """A short run gives each figure that the design names, and intervals are no caricature."""
    extent = Extent(faults=40, quiet_weeks=0, storm_weeks=0, detections=8)
    found = run_cable(extent, lambda text: None).figures
    assert set(found) >= {
        "two_ended_rms_km", "two_ended_coverage_off", "single_ended_rms_km", "lumped_coverage",
        "doubled_two_ended_rms_km", "doubled_single_ended_rms_km", "false_faults", "detection_s",
    }  # fmt: skip
    assert found["detection_s"].is_kept
    for name in ("two_ended_rms_km", "cautious_two_ended_rms_km"):
        assert found[name].value < found[name].peers["plain ratio"]


def test_ten_days_of_a_sound_cable_hold_no_fault() -> None:
    """Quiet days and days of storm, the feed moved about three times an hour: nothing is told."""
    days = 10
    found: dict[str, Finding] = {}
    sea = Sea(5, weather(5, storms=lambda second: int(second // 86_400) in (2, 6)))
    plan = shifts(5, days)
    watcher = Watcher(CABLE, Budget(), FEED)
    current, rest = plan[0], deque(plan[1:])
    for second in range(days * 86_400):
        while rest and rest[0].since_s <= second:
            current = rest.popleft()
        pair = sea.pair(second, current.circuit, silent=current.silent)
        found |= {finding.kind: finding for finding in watcher.take(pair)}
    assert {"source", "storm", "calm"} <= set(found)
    assert not any(finding.is_fault for finding in found.values())
