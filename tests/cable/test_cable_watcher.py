"""What happens to a cable, told from pairs of readings: faults found, everything else named."""

from collections.abc import Callable, Iterable
from dataclasses import replace

import pytest
from cable_field import START_S, faulty, seconds

from shorewatch.cable.budget import Budget, Shown
from shorewatch.cable.finding import Finding
from shorewatch.cable.pairing import Pair
from shorewatch.cable.standing import Standing
from shorewatch.cable.watcher import Feed, Watcher
from shorewatch.plant.cable import CABLE, HEALTHY, Circuit, Cut, Shunt, Source
from shorewatch.plant.noise import Noise
from shorewatch.plant.scenario import Play, load_scenario
from shorewatch.plant.world import World

FEED = Feed(3.3e-6, 3.3e-6)


def watched(pairs: Iterable[Pair], feed: Feed = FEED) -> list[Finding]:
    watcher = Watcher(CABLE, Budget(), feed)
    return [finding for pair in pairs for finding in watcher.take(pair)]


def turned(at_s: int, then: Circuit) -> Callable[[int], Circuit]:
    """Healthy up to a second, then otherwise."""
    return lambda second: HEALTHY if second < at_s else then


@pytest.mark.parametrize("km", [5.0, 60.0, 143.2, 240.0, 375.0])
def test_a_shunt_fault_is_found_within_seconds(km: float) -> None:
    """A sudden fault is told within 10 s, with its place, and once more from more readings."""
    first, final = watched(seconds(turned(900, faulty(km)), 960))
    assert (first.kind, final.kind) == ("shunt", "shunt")
    assert first.since_s == START_S + 900 and first.at_s <= START_S + 910
    assert final.is_final and not first.is_final
    for finding in (first, final):
        assert finding.place is not None and km in finding.place.interval


def test_a_fault_at_the_virtual_earth_is_not_seen() -> None:
    """At km 190 nothing moves and nothing is claimed."""
    assert watched(seconds(turned(300, faulty(190.0)), 600)) == []


def test_near_the_virtual_earth_nothing_is_claimed_that_cannot_be_told() -> None:
    """10 km from the virtual earth the balance moves, too little to name a cause."""
    (finding,) = watched(seconds(turned(300, faulty(180.0)), 500))
    assert finding.kind == "unclear" and not finding.is_fault


def test_a_fault_from_before_is_not_called_health() -> None:
    """Watching begins with the fault there: the balance is told to be off, nothing more."""
    (finding,) = watched(seconds(lambda second: faulty(100.0), 200))
    assert finding.kind == "off" and finding.step_v == pytest.approx(-135, abs=1)


def test_a_repair_ends_the_fault() -> None:
    """When balance and currents are as before, the fault is over."""
    circuit = lambda second: faulty(100.0) if 300 <= second < 500 else HEALTHY  # noqa: E731
    kinds = [finding.kind for finding in watched(seconds(circuit, 700))]
    assert kinds == ["shunt", "shunt", "over"]


@pytest.mark.parametrize("at_s", [312, 500])
@pytest.mark.parametrize(
    "volts", [[], [570.0], [900.0] * 30, [700.0] * 60, [700.0 - 7 * i for i in range(100)]]
)
def test_a_far_end_that_trips_into_a_fault_leaves_it_where_it_is(
    volts: list[float], at_s: int
) -> None:
    """From its limit it falls to 0 V without current: the fault is not over, nor moved."""
    pairs = list(seconds(turned(300, faulty(143.2)), at_s + 300))
    for number, pair in enumerate(pairs[at_s:]):
        end = Shown(volts[number] if number < len(volts) else 0.0, 0.0)
        pairs[at_s + number] = replace(pair, b=end)
    found = watched(pairs)
    assert [finding.kind for finding in found] == ["shunt", "shunt"]
    assert [finding.is_final for finding in found] == [False, True]
    for finding in found:
        assert finding.place is not None and 143.2 in finding.place.interval
        assert finding.place.interval.width_km < 5


@pytest.mark.parametrize("seed", range(1, 6))
def test_the_anchor_drag_is_placed_from_its_beginning_to_its_end(seed: int) -> None:
    """As the scenario has it: a shunt, then a parted cable, and equipment that trips."""
    begins_s = START_S + 100
    world = World(seed, Play(load_scenario("anchor-drag"), begins_s, 10.0))
    watcher, standing = Watcher(CABLE, Budget(), FEED), Standing(CABLE)
    for second in range(220):
        at_s = START_S + second
        world.bring(at_s)
        ends = [world.seen("A", at_s), world.seen("B", at_s)]
        a, b = (Shown(round(end.voltage_v, 1), round(end.current_a, 4)) for end in ends)
        pair = Pair(at_s, a, b)
        for finding in [*watcher.take(pair), *standing.take(pair)]:
            standing.note(finding)
        if second >= 115:
            fault = standing.fault
            assert fault is not None and fault.place is not None, second
            assert 143.2 in fault.place.interval and fault.place.interval.width_km < 5


@pytest.mark.parametrize("volts", [[], [570.0], [900.0] * 30])
def test_a_cable_that_parts_with_one_end_sealed_is_placed_by_the_other(volts: list[float]) -> None:
    """The end behind the seal goes to its limit and trips: its volts tell nothing."""
    pairs = list(seconds(turned(300, replace(HEALTHY, cut=Cut(143.2, 15.0))), 600))
    for number, pair in enumerate(pairs[300:]):
        end = Shown(volts[number] if number < len(volts) else 0.0, 0.0)
        pairs[300 + number] = replace(pair, b=end)
    found = watched(pairs)
    assert [finding.kind for finding in found] == ["shunt", "shunt"]
    for finding in found:
        assert finding.place is not None and 143.2 in finding.place.interval
        assert finding.place.method == "single-ended from A"


@pytest.mark.parametrize("set_a", [1.0002, 1.001, 0.9995, 0.9967])
def test_a_set_current_is_no_fault(set_a: float) -> None:
    """A moved set current, also by 3.3 mA as when a converter fails, is named a source."""
    found = watched(seconds(turned(300, replace(HEALTHY, a=Source(set_a=set_a))), 500))
    assert [finding.kind for finding in found] == ["source"]


def test_a_set_current_at_the_far_end_is_no_fault() -> None:
    """The same at end B."""
    found = watched(seconds(turned(300, replace(HEALTHY, b=Source(set_a=1.0005))), 500))
    assert [finding.kind for finding in found] == ["source"]


def test_an_open_cut_is_told_at_once() -> None:
    """No current and both ends at their limits: cut."""
    (finding,) = watched(seconds(turned(300, replace(HEALTHY, cut=Cut(120))), 400))
    assert (finding.kind, finding.at_s) == ("cut", START_S + 300)


def test_both_ends_tripped_is_a_lost_feed() -> None:
    """No current and no voltage says that the feed is lost, not why."""
    off = replace(HEALTHY, a=Source(is_on=False), b=Source(is_on=False))
    (finding,) = watched(seconds(turned(300, off), 400))
    assert finding.kind == "lost" and finding.is_fault


def test_a_cut_with_bare_ends_is_placed() -> None:
    """Each end feeds the sea by itself: placed like a shunt fault, and the sum has risen."""
    found = watched(seconds(turned(900, replace(HEALTHY, cut=Cut(120, 3, 4))), 960))
    assert found[0].kind == "shunt" and found[0].sum_v == pytest.approx(7, abs=0.5)
    assert found[0].place is not None and 120 in found[0].place.interval


def ramp(second: int) -> Circuit:
    """Off, up within 200 s from 300 s on, down from 900 s on."""
    share = min(1.0, max(0.0, (second - 300) / 200), max(0.0, 1 - (second - 900) / 200))
    source = Source(set_a=share, nominal_v=282 * share + 0.001)
    return replace(HEALTHY, a=source, b=source)


def test_ramps_are_no_faults() -> None:
    """Neither ramping up nor down is a fault, and each is told at most once."""
    found = watched(seconds(ramp, 1300))
    assert {finding.kind for finding in found} == {"source"} and len(found) <= 2


def handed_over(second: int) -> Circuit:
    """A takes the whole feed over from B, which is then earthed."""
    share = min(1.0, max(0.0, (second - 300) / 300))
    far = Source(nominal_v=282 * (1 - share)) if share < 1 else Source(is_on=False, is_earthed=True)
    return replace(HEALTHY, a=Source(nominal_v=282 * (1 + share)), b=far)


def test_handing_the_feed_to_one_end_is_no_fault() -> None:
    """Single-end feeding moves the balance by 282 V and nothing leaks."""
    found = watched(seconds(handed_over, 1200))
    assert found and not any(finding.is_fault for finding in found)


FROM_A = replace(FEED, balance_v=282.0)
ONE_END = replace(HEALTHY, a=Source(nominal_v=564), b=Source(is_on=False, is_earthed=True))


def test_a_fault_on_a_cable_fed_from_one_end_is_found() -> None:
    """Nearly all current is lost at the fault; both meters and A's volts give the place."""
    broken = replace(ONE_END, shunts=(Shunt(100.0, 1.0),))
    found = watched(seconds(lambda second: ONE_END if second < 700 else broken, 760), FROM_A)
    assert found[0].kind == "shunt" and found[0].at_s <= START_S + 710
    for finding in found:
        assert finding.place is not None and 100.0 in finding.place.interval
        assert finding.place.interval.width_km < 30


def test_a_fault_before_the_earthed_end_is_found_by_its_current() -> None:
    """3 km before the end that does not feed hardly a volt moves, but the current is lost."""
    broken = replace(ONE_END, shunts=(Shunt(377.0, 0.0),))
    found = watched(seconds(lambda second: ONE_END if second < 300 else broken, 360), FROM_A)
    assert found[0].kind == "shunt"
    assert found[0].place is not None and 377.0 in found[0].place.interval


def test_a_cut_of_a_cable_fed_from_one_end_is_told() -> None:
    """The end that feeds goes to its limit, the other one was earthed all the time."""
    broken = replace(ONE_END, cut=Cut(100))
    (finding,) = watched(seconds(lambda second: ONE_END if second < 300 else broken, 400), FROM_A)
    assert finding.kind == "cut"


@pytest.mark.parametrize(("ohm", "is_leak"), [(1.0, False), (1e5, True)])
def test_a_moved_set_current_measures_the_fault(ohm: float, is_leak: bool) -> None:
    """When a source is moved after the fault its ohms are told, and the place once more."""

    def circuit(second: int) -> Circuit:
        source = Source() if second < 1000 else Source(set_a=1.0007)
        return HEALTHY if second < 900 else replace(faulty(60.0, ohm), a=source)

    found = watched(seconds(circuit, 1200))
    last = [finding for finding in found if finding.kind == "shunt"][-1]
    assert last.place is not None and last.place.contact is not None
    assert last.place.contact.is_leak is is_leak
    assert 60.0 in last.place.interval and last.place.leak is None


def test_a_storm_is_no_fault() -> None:
    """Earth potentials of both coasts, opposite and unequal, 40 V at peak, are named a storm."""
    a, b = Noise(3, "a"), Noise(3, "b")

    def circuit(second: int) -> Circuit:
        if second < 900:
            return HEALTHY
        at_s = START_S + second
        return replace(
            HEALTHY, earth_a_v=15 * a.drift(at_s, 300), earth_b_v=-9 * b.drift(at_s, 240)
        )

    found = watched(seconds(circuit, 3000))
    assert {finding.kind for finding in found} == {"storm"} and len(found) == 1


def test_a_fault_in_a_storm_is_found() -> None:
    """The balance steps in a storm as in a calm; the interval is wider and holds the place."""
    noise = Noise(4, "a")

    def circuit(second: int) -> Circuit:
        healthy = replace(HEALTHY, earth_a_v=15 * noise.drift(START_S + second, 600))
        return healthy if second < 3000 else replace(healthy, shunts=(Shunt(100.0, 1.0),))

    found = [finding for finding in watched(seconds(circuit, 3060)) if finding.kind == "shunt"]
    assert found[0].at_s <= START_S + 3010
    assert found[0].place is not None and 100.0 in found[0].place.interval


def test_of_one_end_alone_nothing_is_claimed() -> None:
    """While B is silent a step at A is not judged; when B is back the fault is told."""
    pairs = list(
        seconds(turned(400, faulty(100.0)), 700, is_b_silent=lambda second: 350 <= second < 600)
    )
    assert watched(pairs[:600]) == []
    assert watched(pairs)[0].kind == "shunt"


def test_a_leak_that_grows_is_told_by_its_drift() -> None:
    """Falling from 100 MOhm to 300 kOhm over a day it is a leak, without a kilometre."""

    def circuit(second: int) -> Circuit:
        return faulty(100.0, 3e5 * 86_400 / max(260.0, second // 600 * 600))

    found = watched(seconds(circuit, 86_400))
    assert {finding.kind for finding in found} == {"leak"}
    for finding in found:
        assert finding.place is not None and finding.place.km is None
        assert 100.0 in finding.place.interval


def test_a_set_current_that_drifts_is_no_leak() -> None:
    """0.33 mA in half a day move the balance by 100 V; no current leaks, so none is claimed."""

    def circuit(second: int) -> Circuit:
        return replace(HEALTHY, a=Source(set_a=1.0 - 0.00033 * (second // 60) / 720))

    assert not any(finding.is_fault for finding in watched(seconds(circuit, 43_200)))


def test_copper_and_earth_that_drift_are_no_leak() -> None:
    """4 K within half a day and a slow earth potential move the sum alone."""

    def circuit(second: int) -> Circuit:
        share = (second // 60) / 720
        warm = replace(CABLE, copper_degc=10 + 4 * share)
        return replace(HEALTHY, cable=warm, earth_b_v=3 * share)

    assert not any(finding.is_fault for finding in watched(seconds(circuit, 43_200)))
