"""The cable file: the shipped one is the plant's cable; what is wrong is told with its line."""

from pathlib import Path

import pytest

from shorewatch.assets import asset_folder
from shorewatch.cable.budget import Budget
from shorewatch.cable.file import load_cable
from shorewatch.cable.watcher import Feed
from shorewatch.errors import ConfigError
from shorewatch.plant.cable import CABLE, HEALTHY

SHIPPED = asset_folder("stations") / "cables" / "trans-caspian.toml"


def test_the_shipped_file_is_the_cable_that_the_plant_plays() -> None:
    """Line and feed of the file are those of the simulated cable."""
    file = load_cable(SHIPPED)
    assert file.line == CABLE
    for end, source in zip(file.end, (HEALTHY.a, HEALTHY.b), strict=True):
        assert (end.volts, end.amps) == (source.nominal_v, source.set_a)
        assert (end.droop_a_per_v, end.volts_max) == (source.droop_a_per_v, source.voltage_max_v)


def test_what_a_file_leaves_out_has_the_shipped_values(tmp_path: Path) -> None:
    """Without its budget the shipped file gives the same budget and meters."""
    file = tmp_path / "cable.toml"
    file.write_text(SHIPPED.read_text().split("[budget]")[0])
    assert load_cable(file).sigmas == load_cable(SHIPPED).sigmas == Budget()
    assert load_cable(file).feed == load_cable(SHIPPED).feed == Feed(3.3e-6, 3.3e-6)


def test_a_cable_without_repeaters_is_one(tmp_path: Path) -> None:
    """A file without repeaters and nodes describes a plain line."""
    text = SHIPPED.read_text()
    start, end = text.index("[repeater]"), text.index("[[end]]")
    file = tmp_path / "cable.toml"
    file.write_text(text[:start] + text[end : text.index("# Places")])
    assert load_cable(file).line.repeaters_km == ()
    assert load_cable(file).coordinates(10.0) is None


@pytest.mark.parametrize(
    ("old", "new", "line_of", "rule"),
    [
        ("length_km = 380.0", "length_km = 300.0", "at_km =", "within the cable, 0 to 300"),
        ("76.0, 152.0", "152.0, 76.0", "at_km =", "must rise"),
        ("km = 152.0", "km = 0.0", "km = 0.0", "must rise"),
        ('station = "aktau"', 'station = "sumqayit"', 'station = "sumqayit"', "other station"),
        ("volts = 45.0", "volts = 4.0", "[repeater]", "more than ohm takes"),
        ("volts = 282.0", "volts = 900.0", "volts = 900.0", "below volts_max"),
        ("ohm_per_km = 1.0", "ohm_per_mile = 1.0", "ohm_per_mile", "did you mean"),
        ("meter_v = 0.5", "meter_v = 0.0", "meter_v", "greater than 0"),
        ("droop_a_per_v = 3.3e-6", "droop_a_per_v = 0.0", "droop_a_per_v", "greater than"),
    ],
)
def test_what_is_wrong_has_file_line_and_rule(
    tmp_path: Path, old: str, new: str, line_of: str, rule: str
) -> None:
    """Each mistake is told with the file, the line on which it stands, and the rule."""
    file = tmp_path / "cable.toml"
    text = SHIPPED.read_text().replace(old, new)
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_cable(file)
    lines = [i for i, line in enumerate(text.splitlines(), 1) if line_of in line]
    found = [p for p in caught.value.problems if rule in p.rule]
    assert found and found[0].file == str(file) and found[0].line in lines


def test_coordinates_are_on_the_straight() -> None:
    """Half way between two places is half way between their coordinates."""
    latitude, longitude = load_cable(SHIPPED).coordinates(76.0) or (0.0, 0.0)
    assert latitude == pytest.approx((40.60 + 41.40) / 2)
    assert longitude == pytest.approx((49.70 + 50.75) / 2)
