"""The world: causes have consequences, and every process plays the same one."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shorewatch.plant.genset import Phase as Engine
from shorewatch.plant.pfe import DOOR_INTERLOCK, INPUT_FAILED, UNDER_CURRENT, Phase
from shorewatch.plant.readings import room_degc, water_m, water_ms_cm
from shorewatch.plant.scenario import Play, load_scenario
from shorewatch.plant.world import World

START_S = 1_795_000_000.0
HEAD = 'id = "{}"\nname = "T"\nstory = "S"\nlength_s = 7200\n'
Playing = Callable[[str], World]


@pytest.fixture
def playing(tmp_path: Path) -> Playing:
    """A world in which these events happen."""

    def play(events: str, speed: float = 1.0) -> World:
        path = tmp_path / "now.toml"
        path.write_text(HEAD.format("now") + events, "utf-8")
        return World(4, Play(load_scenario(str(path)), START_S, speed))

    return play


def event(at_s: float, what: str) -> str:
    return f'[[event]]\nat_s = {at_s}\nsay = "x"\n{what}\n'


def test_without_a_scenario_nothing_is_stepped() -> None:
    """A world without events stands at its first state, whatever the time."""
    world = World(1)
    world.bring(START_S + 1e7)
    assert world.now_s == 0


def test_a_failed_grid_is_carried_by_the_generator_after_ten_seconds(playing: Playing) -> None:
    """UPS and battery carry until the generator runs, 10 s after, and has been taken over."""
    world = playing(event(10, 'station = "sumqayit"\ngrid = false'))
    site = world.site("sumqayit")
    seen = []
    for after_s in (1, 9.5, 10.5, 13):
        world.bring(START_S + 10 + after_s)
        seen.append((site.power.has_ac, site.power.genset.phase))
    assert seen == [
        (False, Engine.STOPPED),
        (False, Engine.CRANKING),
        (False, Engine.RUNNING),
        (True, Engine.RUNNING),
    ]
    assert world.site("aktau").power.takes_grid


def test_a_battery_falls_until_it_is_cut_off(playing: Playing) -> None:
    """Without grid and generator -48 V falls, is cut off at 43.2 V, and takes the PFE with it."""
    lost = 'station = "sumqayit"\ngrid = false\ngenerator = false\nbattery_ah = 10'
    world = playing(event(0, lost))
    site, volts = world.site("sumqayit"), []
    for minute in range(1, 31):
        world.bring(START_S + 60 * minute)
        volts.append(site.power.dc_v)
    assert volts == sorted(volts, reverse=True)
    assert min(v for v in volts if v) > 43.1 and volts[-1] == 0
    assert site.pfe.phase is Phase.OFF and site.pfe.alarms & INPUT_FAILED
    assert site.power.genset.has_failed


def test_a_room_without_cooling_warms_and_cools_again(playing: Playing) -> None:
    """0.6 K a minute without cooling; with it again the heat goes."""
    world = playing(event(0, 'station = "aktau"\ncooling = false') + event(900, "cooling = true"))
    site = world.site("aktau")
    world.bring(START_S + 1)
    before = room_degc(site, START_S)
    world.bring(START_S + 900)
    assert room_degc(site, START_S) - before == pytest.approx(9.0, abs=0.1)
    world.bring(START_S + 3600)
    assert room_degc(site, START_S) - before == pytest.approx(0.0, abs=0.1)


def test_rain_thins_and_the_sea_salts_the_manholes_water(playing: Playing) -> None:
    """Rain raises the water and lowers its conductivity; sea water makes it the Caspian's."""
    world = playing(
        event(0, 'station = "sumqayit"\nrain_mm_h = 30')
        + event(600, 'station = "sumqayit"\nrain_mm_h = 0\nsea_m3_h = 4')
        + event(1500, 'station = "sumqayit"\nsea_m3_h = 0\npump_m3_h = 20')
    )
    site, seen = world.site("sumqayit"), []
    for at_s in (0, 600, 1500, 2400):
        world.bring(START_S + at_s)
        seen.append((water_m(site, START_S), water_ms_cm(site, START_S)))
    (quiet_m, quiet), (rain_m, rain), (sea_m, sea), (end_m, _) = seen
    assert quiet_m < 0.05 < rain_m < sea_m and end_m == pytest.approx(quiet_m)
    assert rain < quiet < 5 < sea


def test_a_tripped_pfe_leaves_the_feed_to_the_other(playing: Playing) -> None:
    """An open door trips one end; the other then feeds the whole cable at the same current."""
    world = playing(event(5, 'station = "sumqayit"\ncontacts_off = ["pfe-door"]'))
    world.bring(START_S + 4)
    assert world.seen("B", START_S).voltage_v == pytest.approx(282, abs=6)
    world.bring(START_S + 6)
    here, there = world.seen("A", START_S), world.seen("B", START_S)
    assert world.site("sumqayit").pfe.trips == DOOR_INTERLOCK
    assert here.voltage_v == pytest.approx(0, abs=1)
    assert there.voltage_v == pytest.approx(564, abs=6)
    assert here.current_a == pytest.approx(1.0, abs=0.002)


def test_an_open_cable_trips_by_under_current_at_the_limit(playing: Playing) -> None:
    """A sealed break drives its end to the voltage limit and trips it; the other feeds on."""
    world = playing(event(5, "cut = { km = 143.2, ohm_a = 15.0 }"))
    world.bring(START_S + 6)
    assert world.seen("B", START_S).mode == "voltage"
    assert world.site("aktau").pfe.alarms & UNDER_CURRENT and not world.site("aktau").pfe.trips
    world.bring(START_S + 12)
    assert world.site("aktau").pfe.trips == UNDER_CURRENT
    assert world.site("aktau").contact_is_off("pfe-alarm")
    assert world.site("sumqayit").pfe.phase is Phase.FEEDING
    assert world.seen("A", START_S).current_a == pytest.approx(1.0, abs=0.002)


def test_a_pfe_that_is_turned_off_and_on_ramps_up(playing: Playing) -> None:
    """It starts only when somebody turns it on, and its current rises on a ramp."""
    world = playing(
        event(5, 'station = "aktau"\npfe_on = false')
        + event(20, 'station = "aktau"\npfe_on = true')
    )
    pfe, amps = world.site("aktau").pfe, []
    world.bring(START_S + 15)
    assert pfe.phase is Phase.OFF
    for at_s in range(21, 80):
        world.bring(START_S + at_s)
        amps.append(pfe.set_a)
    assert amps[0] < 0.1 and amps == sorted(amps) and amps[-1] == 1.0
    assert pfe.phase is Phase.FEEDING and not pfe.trips


def test_a_leak_moves_the_balance_and_keeps_the_sum(playing: Playing) -> None:
    """A leak at 100 km draws the near end down and the far one up; the sum stays."""
    world = playing(event(0, "leak_km = 100.0") + event(1, "leak_ohm = 100000.0\nover_s = 60"))
    world.bring(START_S + 90)
    a, b = world.seen("A", START_S), world.seen("B", START_S)
    assert a.voltage_v == pytest.approx(282 - 81, abs=6)
    assert a.voltage_v + b.voltage_v == pytest.approx(564, abs=8)


def test_a_storm_moves_the_sum_but_no_current(playing: Playing) -> None:
    """A magnetic storm changes the line's voltage for minutes; the sources hold the current."""
    world = playing(event(0, "storm_v = 15.0\nover_s = 60"))
    sums, amps = [], []
    for at_s in range(60, 3600, 20):
        world.bring(START_S + at_s)
        a, b = world.seen("A", START_S), world.seen("B", START_S)
        sums.append(a.voltage_v + b.voltage_v)
        amps.append(a.current_a)
    assert max(sums) - min(sums) > 25
    assert all(amp == pytest.approx(1.0, abs=0.001) for amp in amps)


def test_hydrogen_gathers_only_without_fans(playing: Playing) -> None:
    """A battery that is charged without ventilation fills its room with gas."""
    world = playing(
        event(0, 'station = "sumqayit"\ngrid = false\nventilation = false\ngenerator = false')
        + event(3600, 'station = "sumqayit"\ngrid = true')
    )
    world.bring(START_S + 7200)
    assert world.site("sumqayit").room.hydrogen_lel_pct > 5
    assert world.site("aktau").room.hydrogen_lel_pct < 1


@settings(max_examples=10)
@given(cuts=st.lists(st.floats(0, 2300), max_size=6), speed=st.sampled_from([1.0, 7.3, 10.0]))
def test_a_process_that_starts_late_has_the_same_world(cuts: list[float], speed: float) -> None:
    """However often and late a world is looked at, its state at one moment is one."""
    play = Play(load_scenario("mains-failure"), START_S, speed)
    seldom, often = World(9, play), World(9, play)
    end_s = START_S + 2300 / speed
    for cut_s in sorted(cuts):
        often.bring(START_S + cut_s / speed)
    for world in (seldom, often):
        world.bring(end_s)
    assert seldom.now_s == often.now_s
    for name in ("sumqayit", "aktau"):
        assert seldom.site(name) == often.site(name)
    assert seldom.seen("A", end_s) == often.seen("A", end_s)
