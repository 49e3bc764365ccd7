"""Findings in words and records, numbers judged without a history, and the picture."""

import json
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

import pytest
from cable_field import faulty, shown
from hypothesis import given
from hypothesis import strategies as st

from shorewatch.assets import asset_folder
from shorewatch.cable.budget import Shown
from shorewatch.cable.file import load_cable
from shorewatch.cable.finding import FAULTS, Finding
from shorewatch.cable.locate import Interval, Place
from shorewatch.cable.picture import picture, profile_from
from shorewatch.cable.verdict import judge
from shorewatch.cable.words import place_record, record, sentence
from shorewatch.plant.cable import HEALTHY, Cut, Source, profile

FILE = load_cable(asset_folder("stations") / "cables" / "trans-caspian.toml")
BEFORE = shown(HEALTHY)
PLACE = Place("two-ended", 143.2, Interval(141.94, 144.6), Interval(0, 144.3))


def test_a_shunt_fault_reads_like_this() -> None:
    """Place, interval with its confidence, and repeaters stand in one sentence."""
    text = "shunt fault 143.2 km from Sumqayit (95 %: 141.9 to 144.6), between repeaters 1 and 2"
    assert sentence(FILE, Finding("shunt", 0, 3, PLACE)) == text


@pytest.mark.parametrize(
    ("interval", "words"),
    [
        (Interval(0, 148.3), "somewhere between Sumqayit and km 148.3 (95 %)"),
        (Interval(250.0, 380), "somewhere between km 250.0 and Aktau (95 %)"),
        (Interval(0, 380, 1.0), "not locatable"),
    ],
)
def test_a_leak_has_no_kilometre(interval: Interval, words: str) -> None:
    """A leak is told by the stretch on which it lies."""
    assert words in sentence(FILE, Finding("leak", 0, 3, Place("two-ended", None, interval)))


@pytest.mark.parametrize(
    ("interval", "words"),
    [
        (Interval(3, 9), "between Sumqayit and repeater 1"),
        (Interval(310, 330), "between repeater 4 and Aktau"),
        (Interval(70, 160), "between Sumqayit and repeater 3"),
    ],
)
def test_sections_at_the_ends_are_named(interval: Interval, words: str) -> None:
    """Where no repeater is on one side the station is named."""
    place = Place("two-ended", interval.low_km, interval)
    assert words in sentence(FILE, Finding("shunt", 0, 3, place))


@pytest.mark.parametrize(
    "kind", ["cut", "lost", "over", "source", "unclear", "off", "storm", "calm"]
)
def test_everything_else_has_a_sentence_and_a_record(kind: str) -> None:
    """Each kind of finding can be said and written as JSON; only faults are faults."""
    finding = Finding(kind, 0.0, 5.0, step_v=-20.0, sum_v=12.0)  # type: ignore[arg-type]
    body = json.loads(json.dumps(record(FILE, finding)))
    assert body["text"] and body["is_fault"] is (kind in FAULTS)
    assert (body["since"], body["at"]) == ("1970-01-01T00:00:00Z", "1970-01-01T00:00:05Z")


def test_a_record_says_what_a_place_hangs_on() -> None:
    """A place's record has the interval, its confidence, the assumptions and the coordinates."""
    body = record(FILE, Finding("shunt", 0, 3, PLACE))["place"]
    assert (body["low_km"], body["km"], body["high_km"]) == (141.94, 143.2, 144.6)
    assert body["confidence"] == 0.95 and body["if_leak_km"] == [0, 144.3]
    assert body["latitude"] == pytest.approx(41.35, abs=0.01)
    assert any("contact" in text for text in body["assumed"])


def test_numbers_with_those_of_before_are_a_fault() -> None:
    """Balance and currents that moved together are a fault with a place."""
    said = judge(FILE, *shown(faulty(100.0)), before=BEFORE)
    assert said.verdict == "fault"
    assert said.place is not None and 100.0 in said.place.interval


def test_numbers_of_a_moved_set_current_are_no_fault() -> None:
    """The same balance without a leak's current is a source."""
    moved = shown(replace(HEALTHY, a=Source(set_a=1.001)))
    assert judge(FILE, *moved, before=BEFORE).verdict == "source"


def test_healthy_numbers_name_the_blind_zone() -> None:
    """Nothing to be seen is said with the kilometres in which nothing would be seen."""
    said = judge(FILE, *BEFORE)
    assert said.verdict == "nothing" and said.place is None
    assert said.blind is not None and 190.0 in said.blind


def test_a_dead_cable_is_not_located() -> None:
    """Without a current there is no place, and it is said why."""
    said = judge(FILE, Shown(800.0, 0.0), Shown(800.0, 0.0))
    assert (said.verdict, said.place) == ("dead", None) and "no line current" in said.because[0]


@given(
    a=st.tuples(st.floats(0, 900), st.floats(0, 2)),
    b=st.tuples(st.floats(0, 900), st.floats(0, 2)),
    was=st.tuples(st.floats(0, 900), st.floats(0, 2)),
    is_before=st.booleans(),
    is_moved=st.booleans(),
)
def test_any_numbers_get_a_verdict(
    a: tuple[float, float],
    b: tuple[float, float],
    was: tuple[float, float],
    is_before: bool,
    is_moved: bool,
) -> None:
    """Whatever somebody types is judged, said and drawn, and an interval is on the cable."""
    shown_a, shown_b, shown_was = Shown(*a), Shown(*b), Shown(*was)
    before = (shown_was, shown_b) if is_before else None
    moved = (shown_was, shown_a) if is_moved else None
    said = judge(FILE, shown_a, shown_b, before=before, moved=moved)
    assert said.because
    if said.place is not None:
        assert 0 <= said.place.interval.low_km <= said.place.interval.high_km <= 380
        assert json.dumps(place_record(FILE, said.place))
    assert ElementTree.fromstring(picture(FILE, shown_a, shown_b, said.place)) is not None


def test_of_an_end_that_tripped_the_numbers_are_not_used() -> None:
    """Behind a sealed end a source stands at its limit or is off: the other end gives the place."""
    a, _ = shown(replace(HEALTHY, cut=Cut(143.2, 15.0)))
    for volts in (900.0, 0.0):
        said = judge(FILE, a, Shown(volts, 0.0), before=BEFORE)
        assert said.verdict == "fault" and "Aktau fed the cable" in said.because[0]
        assert said.place is not None and 143.2 in said.place.interval


def test_a_slow_leak_in_numbers_has_only_a_side() -> None:
    """Told as slow, the numbers of a 100 kOhm leak give the stretch that holds it."""
    said = judge(FILE, *shown(faulty(100.0, 1e5)), before=BEFORE, onset="slow")
    assert said.place is not None and said.place.km is None
    assert 100.0 in said.place.interval and said.place.interval.low_km == 0


def test_the_profiles_of_both_ends_meet_the_plants() -> None:
    """On a healthy cable each end's profile is the potential that the plant solves."""
    solved = profile(HEALTHY)
    for end, seen in zip("AB", BEFORE, strict=True):
        drawn = sorted(profile_from(FILE.line, seen, "A" if end == "A" else "B"))
        for km, volts in drawn:
            assert any(
                at == pytest.approx(km) and was == pytest.approx(volts, abs=0.01)
                for at, was in solved
            )


@pytest.mark.parametrize("is_narrow", [False, True])
def test_the_picture_is_well_formed_and_shows_the_fault(is_narrow: bool) -> None:
    """The SVG parses, names the place, and needs no style sheet or script."""
    a, b = shown(faulty(100.0))
    place = judge(FILE, a, b, before=BEFORE).place
    text = picture(FILE, a, b, place, BEFORE, is_narrow=is_narrow)
    root = ElementTree.fromstring(text)
    words = " ".join(element.text or "" for element in root.iter())
    assert "from Sumqayit (95 %" in words and "R4" in words
    assert "style=" not in text and "<script" not in text


def test_a_narrow_picture_is_a_phones_and_has_no_text_outside() -> None:
    """It is no wider than a phone's view, with letters of 12 units and all texts within."""
    a, b = shown(faulty(100.0))
    place = judge(FILE, a, b, before=BEFORE).place
    root = ElementTree.fromstring(picture(FILE, a, b, place, BEFORE, is_narrow=True))
    texts = [element for element in root.iter() if element.tag.endswith("text")]
    assert float(root.attrib["width"]) <= 390
    for element in texts:
        size, x = float(element.attrib["font-size"]), float(element.attrib["x"])
        long = 0.6 * size * len(element.text or "")
        left = x - {"start": 0.0, "middle": long / 2, "end": long}[element.attrib["text-anchor"]]
        assert size >= 12 and left >= 0, element.text
        assert left + long <= float(root.attrib["width"]), element.text
        assert float(element.attrib["y"]) < float(root.attrib["height"])


def test_a_name_cannot_break_the_picture(tmp_path: Path) -> None:
    """Markup in a cable file's names is shown, not obeyed."""
    path = tmp_path / "cable.toml"
    shipped = (asset_folder("stations") / "cables" / "trans-caspian.toml").read_text()
    path.write_text(shipped.replace('name = "Aktau"', 'name = "A<script>&\'x"'))
    root = ElementTree.fromstring(picture(load_cable(path), *BEFORE))
    assert any(element.text == "A<script>&'x" for element in root.iter())
