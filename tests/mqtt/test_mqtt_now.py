"""When live values are sent."""

from shorewatch.config import Station
from shorewatch.mqtt.now import NOW_S_MIN, Pace


def test_the_pace_sends_changes_soon_and_the_rest_in_time(station: Station) -> None:
    """A changed device is due at once, not twice within the minimum; any at half its expiry."""
    pace = Pace(station.devices, 100.0)
    assert sorted(pace.due(100.0)) == sorted(station.devices)
    for name in station.devices:
        pace.sent(name, 100.0, 4)
    assert pace.due(100.01) == []
    pace.changed("pfe")
    assert pace.due(100.01) == []
    assert pace.due(100.0 + NOW_S_MIN) == ["pfe"]
    pace.sent("pfe", 100.2, 4)
    assert set(pace.due(200.0)) == set(station.devices)
    assert pace.wait_s(100.3) > 0
