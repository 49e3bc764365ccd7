"""Windows, the tracked sum, and the cable's electrical facts."""

import statistics

import pytest
from cable_field import seconds
from hypothesis import given
from hypothesis import strategies as st

from shorewatch.cable.budget import Budget
from shorewatch.cable.line import Cable
from shorewatch.cable.tracked import Tracked, suited
from shorewatch.cable.window import Row, Window, row_of
from shorewatch.plant.cable import CABLE, HEALTHY

DROOP = 3.3e-6


@given(values=st.lists(st.floats(-1000, 1000), min_size=1, max_size=40), size=st.integers(2, 20))
def test_a_window_knows_mean_and_spread_of_its_last_rows(values: list[float], size: int) -> None:
    """Kept sums give what the last rows give when they are counted anew."""
    window = Window(size)
    for value in values:
        window.add(Row(*[value] * 9))
    last = values[-size:]
    assert len(window) == len(last)
    assert window.mean.balance_v == pytest.approx(statistics.fmean(last), abs=1e-6)
    assert window.sigma.balance_v == pytest.approx(statistics.pstdev(last), abs=1e-4)


@given(earth_v=st.floats(-100, 100), droop_b=st.floats(1e-6, 1e-5))
def test_the_earth_does_not_move_the_balance(earth_v: float, droop_b: float) -> None:
    """What an earth potential takes from both ends, by their droops, cancels in the balance."""
    (pair,) = seconds(lambda second: HEALTHY, 1)
    assert pair.a is not None and pair.b is not None
    before = row_of(CABLE, DROOP, droop_b, pair)
    share = droop_b / (DROOP + droop_b)
    moved = pair.__class__(
        pair.at_s,
        pair.a.__class__(pair.a.volts - share * earth_v, pair.a.amps),
        pair.b.__class__(pair.b.volts - (1 - share) * earth_v, pair.b.amps),
    )
    after = row_of(CABLE, DROOP, droop_b, moved)
    assert after.balance_v == pytest.approx(before.balance_v, abs=1e-6)
    assert after.sum_v == pytest.approx(before.sum_v - earth_v, abs=1e-6)


def tracked(count: int) -> Tracked:
    found = Tracked(CABLE, Budget(), 2 * DROOP, 0.00003)
    for pair in seconds(lambda second: HEALTHY, count):
        assert not list(found.take(row_of(CABLE, DROOP, DROOP, pair)))
    return found


def test_a_baseline_needs_ten_minutes_and_gets_surer() -> None:
    """None at first; then the healthy sum, with less and less of the earth in it."""
    assert tracked(599).baseline is None
    early, late = tracked(600).baseline, tracked(4 * 3600).baseline
    assert early is not None and late is not None
    assert late.sum_v == pytest.approx(564.0, abs=0.05)
    assert 0 < late.earth_v < early.earth_v


def test_a_calm_hour_has_calm_coasts() -> None:
    """Before the hour is over nothing is known; then storms are nearly ruled out."""
    assert tracked(700).budget == Budget()
    assert tracked(3700).budget.storm_share < 0.01


def test_a_storms_budget_is_its_own_size() -> None:
    """In a storm coasts and line may hold what the sum strays, and their squares add up to it."""
    budget = suited(Budget(), 15.0, is_hour=True)
    square = budget.earth_v**2 + 2 * budget.storm_share * budget.coast_storm_v**2
    assert square == pytest.approx(15.0**2)


def test_repeaters_are_counted_on_the_side_that_feeds_them() -> None:
    """At its own kilometre a repeater is not yet passed from A; at B's terminal all are."""
    assert [CABLE.repeaters_before(km) for km in (0, 76, 76.1, 304, 380)] == [0, 0, 1, 3, 4]
    assert CABLE.repeaters_between(76, 304) == 3
    terminal = Cable(100.0, (50.0, 100.0), 1.0, 45.0, 5.0)
    assert terminal.repeaters_before(100.0) == 2


@given(km=st.floats(0, 380), amps=st.floats(-2, 2))
def test_the_line_is_the_sum_of_its_parts(km: float, amps: float) -> None:
    """What both parts take at a current is what the whole takes."""
    parts = CABLE.drop_v(0, km, amps) + CABLE.drop_v(km, 380, amps)
    assert parts == pytest.approx(CABLE.drop_v(0, 380, amps), abs=1e-9)
