"""Records of two stations become readings of the cable's ends; everything else is passed over."""

from datetime import UTC, datetime

import pytest

from shorewatch.assets import asset_folder
from shorewatch.cable.budget import Shown
from shorewatch.cable.file import load_cable
from shorewatch.cable.journal import JournalReader
from shorewatch.cable.pairing import Reading

FILE = load_cable(asset_folder("stations") / "cables" / "trans-caspian.toml")
START_S = 1_795_000_000.0


def body(at_s: float, **tables: dict[str, object]) -> dict[str, object]:
    at = datetime.fromtimestamp(at_s, UTC).isoformat().replace("+00:00", "Z")
    return {"seq": 1, "kind": "sample", "at": at, "device": "pfe", **tables}


def taken(*records: tuple[str, dict[str, object]]) -> list[Reading]:
    reader = JournalReader(FILE)
    return [one for station, record in records for one in reader.take(station, record)]


def test_a_sample_is_a_reading_in_magnitudes() -> None:
    """Aktau's negative volts are end B's positive ones."""
    (found,) = taken(
        ("trans-caspian/aktau", body(START_S, points={"line_voltage": -281.9, "line_current": 1.0}))
    )
    assert found == Reading(START_S, "B", Shown(281.9, 1.0))


def test_what_did_not_change_goes_on() -> None:
    """A record with volts alone has the amperes of the one before it."""
    found = taken(
        ("trans-caspian/sumqayit", body(START_S, points={"line_voltage": 282, "line_current": 1})),
        ("trans-caspian/sumqayit", body(START_S + 1, points={"line_voltage": 281.0})),
    )
    assert found[1].shown == Shown(281.0, 1.0)


def test_what_is_old_does_not_go_on() -> None:
    """Amperes that nobody has repeated for long make the reading unknown."""
    found = taken(
        ("trans-caspian/sumqayit", body(START_S, points={"line_voltage": 282, "line_current": 1})),
        ("trans-caspian/sumqayit", body(START_S + 9, points={"line_voltage": 281.0})),
    )
    assert found[1].shown is None


@pytest.mark.parametrize("table", ["bad", "uncertain"])
def test_what_is_not_good_is_no_reading(table: str) -> None:
    """A bad or uncertain point makes the reading None, whatever number stands beside it."""
    points: dict[str, object] = {"line_voltage": 282, "line_current": 1}
    record = body(START_S, points=points, **{table: {"line_current": "sentinel"}})
    (found,) = taken(("trans-caspian/sumqayit", record))
    assert found.shown is None


@pytest.mark.parametrize(
    ("station", "change"),
    [
        ("other/sumqayit", {}),
        ("trans-caspian/elsewhere", {}),
        ("trans-caspian", {}),
        ("trans-caspian/sumqayit", {"kind": "event"}),
        ("trans-caspian/sumqayit", {"device": "mains"}),
        ("trans-caspian/sumqayit", {"at": "yesterday"}),
        ("trans-caspian/sumqayit", {"at": "2026-11-23T06:00:00"}),
        ("trans-caspian/sumqayit", {"at": 12}),
        ("trans-caspian/sumqayit", {"points": {"set_current": 1.0}}),
        ("trans-caspian/sumqayit", {"points": "none"}),
    ],
)
def test_everything_else_is_passed_over(station: str, change: dict[str, object]) -> None:
    """Other cables, stations, kinds, devices, points, and times that are none, say nothing."""
    record = body(START_S, points={"line_voltage": 282, "line_current": 1}) | change
    assert taken((station, record)) == []


def test_a_truth_value_is_no_number() -> None:
    """True where volts belong is no volt."""
    points: dict[str, object] = {"line_voltage": True, "line_current": 1}
    (found,) = taken(("trans-caspian/sumqayit", body(START_S, points=points)))
    assert found.shown is None
