"""The cable: the published vectors, and one cable for two processes."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shorewatch.plant.cable import CABLE, FEED, Cable, Feed, earth_v, end_of, reading, solve

UTC_S = 1_795_000_000.0


@pytest.mark.parametrize(
    ("feed", "current_a", "voltage_a_v", "voltage_b_v"),
    [
        (Feed(), 1.00000, 282.000, 282.000),
        (Feed(set_a=1.001), 1.00050, 433.616, 130.584),
        (Feed(single_end=True), 1.00000, 564.000, 0.0),
    ],
)
def test_reference_vectors(
    feed: Feed, current_a: float, voltage_a_v: float, voltage_b_v: float
) -> None:
    """The healthy cases of the 380 km reference line come out to a few millivolts."""
    ends = solve(CABLE, feed)
    assert ends["A"].current_a == ends["B"].current_a == pytest.approx(current_a, abs=5e-6)
    assert ends["A"].voltage_v == pytest.approx(voltage_a_v, abs=0.003)
    assert ends["B"].voltage_v == pytest.approx(voltage_b_v, abs=0.003)


@given(
    set_a=st.floats(0.99, 1.01),
    set_b=st.floats(0.99, 1.01),
    earth=st.floats(-40, 40),
    length_km=st.floats(100, 10_000),
    repeaters=st.integers(0, 100),
)
def test_both_ends_obey_the_equations(
    set_a: float, set_b: float, earth: float, length_km: float, repeaters: int
) -> None:
    """For any healthy cable the solution satisfies the line's equation and both droops."""
    cable = Cable(length_km=length_km, repeaters=repeaters)
    ends = solve(cable, Feed(set_a, set_b), earth)
    current = ends["A"].current_a
    repeater_v = cable.repeater_v + cable.repeater_ohm * (current - cable.nominal_a)
    line_v = current * (length_km * cable.ohm_per_km + cable.bed_a_ohm + cable.bed_b_ohm)
    total_v = line_v + repeaters * repeater_v - earth
    assert ends["A"].voltage_v + ends["B"].voltage_v == pytest.approx(total_v, rel=1e-9, abs=1e-6)
    for set_current, end in ((set_a, ends["A"]), (set_b, ends["B"])):
        droop_a = cable.droop_a_per_v * (end.voltage_v - cable.nominal_v)
        assert end.current_a == pytest.approx(set_current - droop_a, rel=1e-9)


@given(seed=st.integers(0, 2**32), offset_s=st.floats(0, 1e8))
def test_two_stations_read_one_cable(seed: int, offset_s: float) -> None:
    """At any moment the two ends' meters add up to the one line voltage, within meter noise."""
    at_s = UTC_S + offset_s
    a, b = reading("A", seed, at_s), reading("B", seed, at_s)
    ends = solve(CABLE, FEED, earth_v(seed, at_s))
    total_v = ends["A"].voltage_v + ends["B"].voltage_v
    assert a.voltage_v + b.voltage_v == pytest.approx(total_v, abs=2 * 3.47 * 0.1)
    assert a.current_a == pytest.approx(b.current_a, abs=2 * 3.47 * 0.00005)
    assert (a, b) == (reading("A", seed, at_s), reading("B", seed, at_s))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_earth_is_quiet(seed: int) -> None:
    """The earth potential difference has 1 to 3 V rms, and moves less than 0.2 V in a second."""
    volts = [earth_v(seed, UTC_S + 37.0 * k) for k in range(20_000)]
    rms = math.sqrt(sum(v * v for v in volts) / len(volts))
    assert 1.0 < rms < 3.0
    steps = [abs(earth_v(seed, UTC_S + k + 1) - earth_v(seed, UTC_S + k)) for k in range(3000)]
    assert max(steps) < 0.2


def test_seeds_differ() -> None:
    """Another seed is another world."""
    assert earth_v(1, UTC_S) != earth_v(2, UTC_S)


def test_polarity_by_station() -> None:
    """Sumqayit is end A and Aktau end B."""
    assert (end_of("sumqayit"), end_of("aktau")) == ("A", "B")
