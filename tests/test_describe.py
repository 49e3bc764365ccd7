"""describe.py: what a station is."""

from shorewatch.describe import describe
from shorewatch.model import encode


def test_every_point_says_where_it_is_read_and_what_is_too_much(sumqayit):
    """Unit, range, register, and the limits of the alarms that watch it; all of it JSON."""
    found = describe(sumqayit)
    assert found["devices"].keys() == sumqayit.devices.keys()
    pfe = found["devices"]["pfe"]
    assert (pfe["area"], pfe["board"], pfe["uart"], pfe["unit_id"]) == ("feed", "pfe-room", 0, 1)
    volts = pfe["points"]["line_voltage"]
    assert (volts["function"], volts["address"], volts["count"]) == (4, 7, 2)
    assert volts["headline"] and volts["unit"] == "V"
    room = found["devices"]["room"]["points"]["temperature"]
    assert room["range"] == [-40, 80]
    limits = [(limit["when"], limit["at"], limit["priority"]) for limit in room["limits"]]
    assert ("above", 32.0, "major") in limits
    assert encode(found)


def test_contacts_are_security(sumqayit):
    """Doors and lids stand where the guard looks."""
    assert describe(sumqayit)["devices"]["beach-contacts"]["area"] == "security"
