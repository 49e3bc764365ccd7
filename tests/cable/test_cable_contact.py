"""A moved set current tells how many ohms a fault has, and so places a leak."""

from dataclasses import replace

import pytest
from cable_field import faulty, shown
from hypothesis import given
from hypothesis import strategies as st

from shorewatch.assets import asset_folder
from shorewatch.cable.budget import Budget, Shown
from shorewatch.cable.contact import Ends, measured
from shorewatch.cable.file import load_cable
from shorewatch.cable.verdict import judge
from shorewatch.cable.words import assumptions
from shorewatch.plant.cable import HEALTHY, Circuit, Source

FILE = load_cable(asset_folder("stations") / "cables" / "trans-caspian.toml")
BEFORE = shown(HEALTHY)


def metered(circuit: Circuit) -> Ends:
    """What meters of 0.1 V and 0.1 mA show."""
    a, b = shown(circuit)
    return (
        Shown(round(a.volts, 1), round(a.amps, 4)),
        Shown(round(b.volts, 1), round(b.amps, 4)),
    )


def moved(circuit: Circuit, by_a: float = 0.0005) -> Circuit:
    """The same fault after A's set current was moved."""
    return replace(circuit, a=Source(set_a=1 + by_a))


@pytest.mark.parametrize("ohm", [20_000.0, 100_000.0, 300_000.0])
def test_a_leaks_ohms_are_measured(ohm: float) -> None:
    """With perfect meters 1 mA gives the leak's ohms to 1 %."""
    leak = faulty(60.0, ohm)
    there = shown(moved(leak, 0.001))
    found = measured(Budget(), 1e-4, before=BEFORE, after=shown(leak), moved=there)
    assert found is not None and found.is_leak
    assert found.ohm == pytest.approx(ohm, rel=0.01)


@given(km=st.floats(5, 140), ohm=st.floats(3e4, 2e5), by_a=st.sampled_from([-0.0005, 0.0007]))
def test_a_leak_is_placed(km: float, ohm: float, by_a: float) -> None:
    """A leak whose ohms were measured has a kilometre, and its interval holds the place."""
    leak = faulty(km, ohm)
    there = shown(moved(leak, by_a))
    said = judge(FILE, *shown(leak), before=BEFORE, moved=there, onset="slow")
    assert said.place is not None
    assert said.place.km is not None and km in said.place.interval


def test_a_contact_is_confirmed() -> None:
    """The voltages of a contact stay: it is no leak, and the place is as narrow as without."""
    there = faulty(100.0, 5.0)
    said = judge(FILE, *metered(there), before=BEFORE, moved=metered(moved(there)))
    assert said.place is not None and said.place.contact is not None
    assert not said.place.contact.is_leak and said.place.leak is None
    assert 100.0 in said.place.interval and said.place.interval.width_km < 5
    assert any("a contact" in text for text in assumptions(FILE, said.place))


def test_what_was_not_moved_is_not_measured() -> None:
    """The same readings twice say nothing of ohms, and that is told."""
    there = metered(faulty(100.0, 1e5))
    assert measured(Budget(), 1e-4, before=BEFORE, after=there, moved=there) is None
    said = judge(FILE, *there, before=BEFORE, moved=there)
    assert "hardly changed" in said.because[-1]
