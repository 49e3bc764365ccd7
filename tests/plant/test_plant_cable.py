"""The cable's circuit: the published vectors, the laws of circuits, one cable for two processes."""

import math
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shorewatch.cable.line import Cable
from shorewatch.plant.cable import (
    CABLE,
    HEALTHY,
    Circuit,
    Cut,
    Shunt,
    Source,
    earth_v,
    end_of,
    profile,
    solve,
)
from shorewatch.plant.world import World

UTC_S = 1_795_000_000.0


def fault(km: float, ohm: float) -> Circuit:
    return replace(HEALTHY, shunts=(Shunt(km, ohm),))


@pytest.mark.parametrize(
    ("circuit", "current_a_a", "current_b_a", "voltage_a_v", "voltage_b_v"),
    [
        (HEALTHY, 1.00000, 1.00000, 282.000, 282.000),
        (replace(HEALTHY, a=Source(set_a=1.001)), 1.00050, 1.00050, 433.616, 130.584),
        (fault(20, 0), 1.00086, 0.99914, 22.019, 541.673),
        (fault(76.5, 0), 1.00052, 0.99948, 123.544, 440.333),
        (fault(100, 0), 1.00045, 0.99955, 147.048, 416.868),
        (fault(100, 10), 1.00045, 0.99955, 147.057, 416.859),
        (fault(250, 5), 0.99965, 1.00035, 386.904, 177.051),
        (fault(370, 1), 0.99911, 1.00089, 551.649, 12.012),
        (fault(190, 0), 1.00000, 1.00000, 282.000, 282.000),
        (fault(190, 5000), 1.00000, 1.00000, 282.000, 282.000),
    ],
)
def test_reference_vectors(
    circuit: Circuit,
    current_a_a: float,
    current_b_a: float,
    voltage_a_v: float,
    voltage_b_v: float,
) -> None:
    """The cases of the 380 km reference line come out to a few millivolts."""
    ends = solve(circuit)
    assert ends["A"].current_a == pytest.approx(current_a_a, abs=6e-6)
    assert ends["B"].current_a == pytest.approx(current_b_a, abs=6e-6)
    assert ends["A"].voltage_v == pytest.approx(voltage_a_v, abs=0.003)
    assert ends["B"].voltage_v == pytest.approx(voltage_b_v, abs=0.003)


def test_single_end_feed_vector() -> None:
    """Fed from A alone, with B earthed, the whole 564 V stand at A."""
    ends = solve(Circuit(CABLE, a=Source(nominal_v=564), b=Source(is_on=False, is_earthed=True)))
    assert ends["A"].voltage_v == pytest.approx(564.000, abs=1e-6)
    assert (ends["B"].voltage_v, ends["B"].mode) == (pytest.approx(0, abs=1e-6), "off")
    assert ends["A"].current_a == pytest.approx(1.0, abs=1e-9) == ends["B"].current_a


@pytest.mark.parametrize(("ohm", "shift_v"), [(1e5, 81), (1e6, 18)])
def test_a_weak_leak_moves_the_balance(ohm: float, shift_v: float) -> None:
    """At km 100 a leak of 100 kOhm moves V_A by 81 V and one of 1 MOhm by 18 V."""
    assert 282 - solve(fault(100, ohm))["A"].voltage_v == pytest.approx(shift_v, abs=0.6)


def test_a_uniform_emf_and_a_lumped_potential_move_the_reference_fault() -> None:
    """20 V at A's coast take 20 V off V_A; 0.1 V/km take off 10 V and, from B, 28 V."""
    lumped = solve(replace(fault(100, 0), earth_a_v=20.0))
    uniform = solve(replace(fault(100, 0), emf_v_per_km=0.1))
    straight = solve(fault(100, 0))
    assert straight["A"].voltage_v - lumped["A"].voltage_v == pytest.approx(20, abs=0.03)
    assert straight["A"].voltage_v - uniform["A"].voltage_v == pytest.approx(10, abs=0.03)
    assert straight["B"].voltage_v - uniform["B"].voltage_v == pytest.approx(28, abs=0.03)


def test_an_open_cut_drives_both_ends_to_their_limits() -> None:
    """With sealed ends no current flows and both sources stand at their voltage limits."""
    ends = solve(replace(HEALTHY, cut=Cut(150)))
    for end in ends.values():
        assert (end.current_a, end.mode) == (pytest.approx(0, abs=1e-6), "voltage")
        assert end.voltage_v == pytest.approx(800)


def test_a_cut_with_earthed_ends_is_two_circuits() -> None:
    """Each end feeds its own stretch and its own sea earth."""
    ends = solve(replace(HEALTHY, cut=Cut(150, 10, 20)))
    for end, km, repeaters, ohm in (("A", 150, 1, 10), ("B", 230, 3, 20)):
        amps = ends[end].current_a
        line_v = amps * (km + ohm + 2) + repeaters * (45 + 5 * (amps - 1))
        assert ends[end].voltage_v == pytest.approx(line_v, abs=1e-6)
        assert amps == pytest.approx(1.0 - 3.3e-6 * (line_v - 282), abs=1e-9)


def test_at_the_voltage_limit_the_current_gives_way() -> None:
    """A source whose limit is below what the line needs holds it and gives less current."""
    low = replace(HEALTHY, a=Source(voltage_max_v=400), b=Source(is_on=False, is_earthed=True))
    end = solve(low)["A"]
    assert (end.voltage_v, end.mode) == (pytest.approx(400), "voltage")
    needed_v = end.current_a * 384 + 4 * CABLE.repeater_drop_v(end.current_a)
    assert needed_v == pytest.approx(400) and end.current_a < 1.0


def test_a_source_that_is_not_needed_is_bypassed() -> None:
    """A source set far below its partner passes the partner's current at 0 V."""
    ends = solve(replace(HEALTHY, b=Source(set_a=0.98)))
    assert (ends["B"].voltage_v, ends["B"].mode) == (pytest.approx(0, abs=1e-9), "bypass")
    assert ends["A"].mode == "current" and ends["B"].current_a > 0.98


def test_polarity_turns_the_potentials_alone() -> None:
    """With the feed turned both meters show the same and the conductor has the other sign."""
    there, turned = fault(100, 10), replace(fault(100, 10), is_reversed=True)
    assert solve(there) == solve(turned)
    assert profile(turned) == [(km, -volts) for km, volts in profile(there)]


def test_polarity_matters_to_the_sea() -> None:
    """An earth potential that helps the feed hinders it once the feed is turned."""
    storm = replace(HEALTHY, earth_a_v=20.0)
    sums = [
        sum(end.voltage_v for end in solve(circuit).values())
        for circuit in (storm, replace(storm, is_reversed=True))
    ]
    assert sums == [pytest.approx(544, abs=0.1), pytest.approx(584, abs=0.1)]


def test_warm_copper_needs_more_volts() -> None:
    """5 K add 0.393 % a kelvin of the copper's 380 V."""
    warm = solve(replace(HEALTHY, cable=replace(CABLE, copper_degc=15.0)))
    sum_v = warm["A"].voltage_v + warm["B"].voltage_v
    assert sum_v == pytest.approx(564 + 380 * 5 * 0.00393, abs=0.01)


def test_a_starved_repeater_lets_its_voltage_go() -> None:
    """V_rep is continuous at its knee, odd, and 0 without current."""
    assert CABLE.repeater_drop_v(0.0) == 0
    assert CABLE.repeater_drop_v(0.7) == pytest.approx(43.5)
    assert CABLE.repeater_drop_v(0.35) == pytest.approx(43.5 / 2)
    assert CABLE.repeater_drop_v(-1.0) == -45


SOURCES = st.builds(
    Source,
    set_a=st.floats(0.0, 1.6),
    nominal_v=st.floats(10, 6000),
    droop_a_per_v=st.floats(1e-7, 1e-4),
    voltage_max_v=st.floats(100, 15000),
    is_on=st.sampled_from([True, True, True, False]),
    is_earthed=st.booleans(),
)
LINES = st.builds(
    Cable,
    length_km=st.floats(100, 10_000),
    repeaters_km=st.lists(st.floats(0, 100), max_size=60).map(lambda kms: tuple(sorted(kms))),
    ohm_per_km=st.floats(0.5, 2.0),
    repeater_v=st.floats(10, 60),
    repeater_ohm=st.floats(0, 9),
    bed_a_ohm=st.floats(0, 20),
    bed_b_ohm=st.floats(0, 20),
    copper_degc=st.floats(-2, 30),
)
SHUNTS = st.lists(
    st.builds(Shunt, km=st.floats(0, 100), ohm=st.floats(0, 1e7), earth_v=st.floats(-40, 40)),
    max_size=3,
)
CIRCUITS = st.builds(
    Circuit,
    cable=LINES,
    a=SOURCES,
    b=SOURCES,
    shunts=SHUNTS.map(tuple),
    earth_a_v=st.floats(-100, 100),
    earth_b_v=st.floats(-100, 100),
    emf_v_per_km=st.floats(-0.2, 0.2),
)


@given(circuit=CIRCUITS)
def test_any_circuit_obeys_its_sources(circuit: Circuit) -> None:
    """Each end of any circuit is on its source's curve: droop, limit, bypass, or off."""
    for end, source in zip(solve(circuit).values(), (circuit.a, circuit.b), strict=True):
        volts, amps = end.voltage_v, end.current_a
        near_v = 1e-5 * (1 + abs(volts))
        if not source.is_on:
            assert volts == pytest.approx(0, abs=near_v) if source.is_earthed else abs(amps) < 1e-6
            continue
        droop_a = source.set_a - source.droop_a_per_v * (volts - source.nominal_v)
        assert volts >= -near_v and amps >= -1e-6
        if near_v < volts < source.voltage_max_v - near_v and amps > 1e-6:
            assert amps == pytest.approx(droop_a, abs=source.droop_a_per_v * near_v + 1e-7)
        elif amps > 1e-6:
            assert (amps >= droop_a - 1e-6) == (volts <= near_v) or amps == pytest.approx(droop_a)


@given(circuit=CIRCUITS)
def test_any_profile_loses_at_each_shunt_what_leaks_there(circuit: Circuit) -> None:
    """The difference of the ends' currents is what the shunts take at the profile's potentials."""
    ends = solve(circuit)
    corners = profile(circuit)
    leaked_a = 0.0
    for shunt in circuit.shunts:
        # A dead short's current is not a matter of its volts.
        if shunt.ohm < 1:
            return
        # A shunt at a repeater's kilometre is on A's side of it.
        node_v = next(volts for km, volts in corners if km == shunt.km)
        leaked_a += (node_v - shunt.earth_v) / shunt.ohm
    assert ends["A"].current_a - ends["B"].current_a == pytest.approx(leaked_a, abs=2e-6)


@given(circuit=CIRCUITS)
def test_any_profile_runs_from_terminal_to_terminal(circuit: Circuit) -> None:
    """The profile goes from 0 to L without turning back and ends at both terminals' potentials."""
    ends, corners = solve(circuit), profile(circuit)
    cable = circuit.cable
    assert all(a[0] <= b[0] for a, b in pairwise(corners))
    start_v = ends["A"].voltage_v + circuit.earth_a_v - ends["A"].current_a * cable.bed_a_ohm
    end_v = -ends["B"].voltage_v + circuit.earth_b_v + ends["B"].current_a * cable.bed_b_ohm
    assert corners[0] == (0, pytest.approx(start_v, abs=1e-6, rel=1e-9))
    assert corners[-1] == (cable.length_km, pytest.approx(end_v, abs=1e-6, rel=1e-9))


@given(seed=st.integers(0, 2**32), offset_s=st.floats(0, 1e8))
def test_two_stations_read_one_cable(seed: int, offset_s: float) -> None:
    """At any moment the two ends' meters add up to the one line voltage, within meter noise."""
    at_s = UTC_S + offset_s
    world = World(seed)
    a, b = world.seen("A", at_s), world.seen("B", at_s)
    ends = solve(replace(HEALTHY, emf_v_per_km=earth_v(seed, at_s) / CABLE.length_km))
    total_v = ends["A"].voltage_v + ends["B"].voltage_v
    assert a.voltage_v + b.voltage_v == pytest.approx(total_v, abs=2 * 3.47 * 0.1)
    assert a.current_a == pytest.approx(b.current_a, abs=2 * 3.47 * 0.00005)
    assert (a, b) == (World(seed).seen("A", at_s), World(seed).seen("B", at_s))


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
