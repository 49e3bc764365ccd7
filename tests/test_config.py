"""config.py: station files, good and bad."""

import pytest

from shorewatch.assets import asset_folder
from shorewatch.compiled import load_compiled
from shorewatch.config import load_station, parse_override
from shorewatch.errors import ConfigError
from shorewatch.profile import load_profiles

INPUT = '[[board.input]]\nid = "{}"\nname = "Door"\ninput = {}\nnormally = "open"\n'
UPLINK = 'url = "mqtt://127.0.0.1:18830"\n'
TLS = 'url = "mqtts://127.0.0.1"\n'

DIRECTS = """
[[direct]]
id = "ups"
tcp = "192.0.2.7:502"
[[direct.device]]
id = "rack"
name = "UPS"
profile = "xy-md02"
unit_id = 255
[[direct]]
id = "meters"
port = "/dev/ttyUSB0"
baud = 9600
format = "8N1"
[[direct.device]]
id = "meter"
name = "Meter"
profile = "sdm630"
unit_id = 1
"""


def problems(path):
    with pytest.raises(ConfigError) as caught:
        load_station(path)
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize("name", ["sumqayit", "aktau"])
def test_the_shipped_stations_are_valid(name):
    """Both stations of the demo load."""
    from shorewatch.assets import asset_folder

    station = load_station(asset_folder("stations") / f"{name}.toml")

    assert station.id == name
    assert list(station.devices) == [
        "pfe", "mains", "manhole", "room", "ups", "dc-plant", "genset", "hvac", "hydrogen",
        "insulation", "pfe-room-contacts", "beach-contacts",
    ]  # fmt: skip


def test_what_only_the_whole_shows_is_found(write, station_text):
    """Unknown profiles, unknown board types and repeated ids are all listed, with lines."""
    text = (
        station_text.replace('profile = "sdm630"', 'profile = "sdm999"')
        .replace('type = "virtual"', 'type = "pico9"', 1)
        .replace('id = "room"', 'id = "pfe"')
    )
    path = write("bad.toml", text)

    found = problems(path)

    assert len(found) == 3
    assert any("board.0.type: is no board type" in line for line in found)
    assert any("profile: is no profile" in line and "sdm999" in line for line in found)
    assert any("device is used twice (first at board.0.bus.0.device.0.id)" in f for f in found)
    lines = text.splitlines()
    for problem in found:
        number = int(problem.removeprefix(f"{path}:").split(":")[0])
        assert any(word in lines[number - 1] for word in ("sdm999", "pico9", '"pfe"'))


def test_two_devices_may_not_share_an_address(write, station_text):
    """One unit id twice on a bus is refused."""
    extra = '\n[[board.bus.device]]\nid = "x"\nname = "x"\nprofile = "xy-md02"\nunit_id = 1\n'

    head, tail = station_text.split('[[board]]\nid = "power"')
    text = head + extra + '[[board]]\nid = "power"' + tail

    (found,) = problems(write("bad.toml", text))

    assert "unit id on this bus is used twice" in found


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("baud = 19200", "baud = 19201", "baud"),
        ("uart = 0", "uart = 5", "has UARTs 0, 1"),
        ("mqtt://127.0.0.1:18830", "http://x", "must look like mqtt://"),
        ("mqtt://127.0.0.1:18830", "mqtt://u:p@x", "must not contain a user"),
        ("mqtt://127.0.0.1:18830", "mqtt://a..b", "must name a host"),
        (UPLINK, UPLINK + 'ca_file = "/ca.pem"\n', "the url must begin with mqtts://"),
        (UPLINK, TLS + 'ca_file = "ca.pem"\n', "ca_file must be a whole path"),
        (UPLINK, TLS + 'cert_file = "/a.pem"\n', "both of cert_file and key_file"),
        (UPLINK, TLS + 'key_file = "/a.key"\n', "both of cert_file and key_file"),
        ('unique_id = "', 'unique_id = "Z', "unique_id"),
        ('port = "', 'port = "\\u0000', "control characters"),
        ("unit_id = 10", "unit_id = 248", "248"),
        # A board with fewer contacts than the largest number that one may have.
        (
            'type = "virtual"\nunique_id = "5357000000010001"\n\n',
            'type = "pico"\nunique_id = "5357000000010001"\n\n' + INPUT.format("door", 8),
            "has inputs 0, 1, 2, 3",
        ),
        (
            "[board.link]",
            INPUT.format("door", 1) + INPUT.format("lid", 1) + "[board.link]",
            "input of this board is used twice",
        ),
        (
            "[board.link]",
            INPUT.format("door", 1) + INPUT.format("door", 2) + "[board.link]",
            "input is used twice",
        ),
        (
            "[board.link]",
            INPUT.format("door", 1).replace('"open"', '"ajar"') + "[board.link]",
            "'ajar'",
        ),
        (
            "[board.link]",
            INPUT.format("door", 1) + "debounce_ms = 0\n[board.link]",
            "board.0.input.0.debounce_ms",
        ),
    ],
)
def test_bad_values_are_named(write, station_text, old, new, words):
    """A bad value is refused in words that name it."""
    assert old in station_text
    text = station_text.replace(old, new, 1)
    assert any(words in line for line in problems(write("b.toml", text)))


def test_the_configuration_hash_follows_the_content(write, station_text):
    """Another value, another hash; comments and spaces do not matter."""
    same = load_station(write("a.toml", station_text + "\n# a comment\n"))
    other = load_station(write("b.toml", station_text.replace("unit_id = 10", "unit_id = 11")))
    original = load_station(write("c.toml", station_text))

    assert same.config_hash == original.config_hash != other.config_hash


@pytest.mark.parametrize(
    ("text", "expected"),
    [("page.port=81", ("page.port", 81)), ("uplink.0.url=mqtt://a", ("uplink.0.url", "mqtt://a"))],
)
def test_overrides_are_toml_or_text(text, expected):
    """A value is read as TOML where it is TOML, else taken as it stands."""
    assert parse_override(text) == expected


def test_an_override_without_equals_is_refused():
    """What is no key=value says how it should look."""
    with pytest.raises(ConfigError, match=r"must look like page\.port=8101"):
        parse_override("page.port")


def test_a_station_may_have_only_direct_lines(write, station_text):
    """Without a board, two direct lines make a station, and its devices say where they hang."""
    station = load_station(write("s.toml", station_text.split("[cable]")[0] + DIRECTS))

    assert not station.boards
    assert station.directs["ups"].address == ("192.0.2.7", 502)
    assert [device.id for device in station.of_direct("meters")] == ["meter"]
    assert station.devices["rack"].place == {"board": None, "uart": None, "direct": "ups"}


def test_a_station_needs_something_to_read(write, station_text):
    """Neither a board nor a direct line is refused."""
    (found,) = problems(write("bad.toml", station_text.split("[[board]]")[0]))

    assert "needs a [[board]] or a [[direct]]" in found


@pytest.mark.parametrize(
    ("old", "new", "rule"),
    [
        ('"192.0.2.7:502"', '"192.0.2.7"', "direct.0.tcp: must look like 192.0.2.7:502"),
        ('"192.0.2.7:502"', '"2001:db8::7:502"', "direct.0.tcp: must look like"),
        ('"192.0.2.7:502"', '"ups:70000"', "direct.0.tcp: the port must be 1 to 65535"),
        ('tcp = "192.0.2.7:502"', "", "direct.0: must have one of tcp"),
        ("baud = 9600\n", "", "direct.1: baud belongs to port, and port needs it"),
        ('tcp = "192.0.2.7:502"', 'tcp = "192.0.2.7:502"\nbaud = 9600', "direct.0: baud belongs"),
        ("unit_id = 1\n", "unit_id = 248\n", "direct.1.device.0.unit_id: must be 1 to 247"),
        ("unit_id = 255", "unit_id = 256", "direct.0.device.0.unit_id: Input should be less than"),
        ('"sdm630"', '"sdm63"', "direct.1.device.0.profile: is no profile"),
        ('id = "meters"', 'id = "ups"', "direct.1.id: direct line is used twice"),
        ('id = "meter"', 'id = "pfe"', "direct.1.device.0.id: device is used twice"),
        ('"/dev/ttyUSB0"', '"boards/beach.link"', "direct.1.port: port is used twice"),
        (
            'port = "/dev/ttyUSB0"\nbaud = 9600\nformat = "8N1"', 'tcp = "192.0.2.7:502"',
            "direct.1.tcp: TCP address is used twice",
        ),
    ],
)  # fmt: skip
def test_a_direct_line_that_cannot_be_is_refused(write, station_text, old, new, rule):
    """Each mistake in a direct line is the one that is told, at its line of the file."""
    assert old in DIRECTS
    text = station_text + DIRECTS.replace(old, new, 1)
    path = write("bad.toml", text)

    (found,) = problems(path)
    assert rule in found
    number = int(found.removeprefix(f"{path}:").split(":")[0])
    assert number > station_text.count("\n")


def test_all_mistakes_of_direct_lines_are_told_at_once(write, station_text):
    """A wrong address hides neither an unknown profile nor an alarm on a line that is not there."""
    text = DIRECTS.replace("192.0.2.7:502", "x").replace("sdm630", "sdm63")
    alarm = '[[alarm]]\nid = "a"\ntext = "T"\naction = "A"\npriority = "minor"\ndirect = "upz"\n'

    with pytest.raises(ConfigError) as caught:
        load_compiled(write("bad.toml", station_text + text + alarm))
    rules = [problem.rule for problem in caught.value.problems]
    assert len(rules) == 3
    assert "the station has no direct of this id" in rules


ISOMETER = """
[[board.bus.device]]
id = "earth"
name = "Insulation"
profile = "bender-isometer"
unit_id = 9
without = [WITHOUT]
"""


def with_isometer(station_text: str, without: str) -> str:
    device = ISOMETER.replace("WITHOUT", without)
    return station_text.replace("[[board.bus.device]]", f"{device}[[board.bus.device]]", 1)


def test_a_device_may_lack_points_of_its_profile(write, station_text):
    """Points that a device has not are neither asked for nor shown; the others are."""
    names = '"location", "location_alarm", "location_test", "location_quality", "location_unit"'
    station = load_station(write("s.toml", with_isometer(station_text, names)))

    points = station.devices["earth"].points
    assert "insulation" in points and not any(name.startswith("location") for name in points)
    assert "location" in load_profiles()["bender-isometer"].points


@pytest.mark.parametrize(
    ("without", "said"),
    [
        ('"insulatoin"', "did you mean 'insulation'"),
        ('"insulation_unit"', "insulation cannot be read without it"),
        (
            ", ".join(f'"{name}"' for name in load_profiles()["bender-isometer"].points),
            "leaves no point",
        ),
    ],
)
def test_what_a_device_cannot_lack_is_refused(write, station_text, without, said):
    """A point that is none, one that another needs, or all of them, are told with their line."""
    path = write("s.toml", with_isometer(station_text, without))

    with pytest.raises(ConfigError) as found:
        load_station(path)
    (problem,) = found.value.problems
    assert said in problem.rule
    assert path.read_text().splitlines()[problem.line - 1].startswith("without")


SPARKPLUG = """
[[uplink]]
id = "scada"
url = "mqtt://127.0.0.1:1883"
plane = "sparkplug"
"""
SECOND_JSON = SPARKPLUG.replace("sparkplug", "json").replace("1883", "18830")


def test_a_station_may_have_both_planes(write, station_text):
    """A Sparkplug uplink beside the JSON one, with or without a primary host."""
    path = write("s.toml", station_text + SPARKPLUG + 'primary_host = "IamHost"\n')
    uplinks = load_station(path).file.uplink

    assert [uplink.plane for uplink in uplinks] == ["json", "sparkplug"]
    assert uplinks[1].primary_host == "IamHost"


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        (SPARKPLUG + 'consumers = ["noc"]', "Sparkplug has nothing like it"),
        (SPARKPLUG + 'primary_host = "a/b"', "primary_host"),
        (SPARKPLUG.replace("sparkplug", "json") + 'primary_host = "h"', 'plane = "sparkplug"'),
        (SPARKPLUG + SPARKPLUG.replace("scada", "other"), "Sparkplug uplink is used twice"),
        (SECOND_JSON, "JSON uplink is used twice"),
    ],
)
def test_an_uplink_that_is_of_no_plane_is_refused(write, station_text, text, rule):
    """What belongs to one plane alone, and one plane twice at one broker."""
    with pytest.raises(ConfigError, match=rule):
        load_station(write("s.toml", station_text + text))


def test_the_port_follows_from_the_url(write, station_text):
    """Without a port in it, mqtt:// is 1883 and mqtts:// is 8883."""
    for url, port in (("mqtt://a", 1883), ("mqtts://a", 8883), ("mqtts://a:1883", 1883)):
        text = station_text.replace("mqtt://127.0.0.1:18830", url)
        (uplink,) = load_station(write("good.toml", text)).file.uplink
        assert (uplink.port, uplink.is_tls) == (port, url.startswith("mqtts"))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('cable = "trans-caspian"', 'cable = "other"', "is the file of cable trans-caspian"),
        ('id = "sumqayit"', 'id = "baku"', "has the ends sumqayit and aktau, and not baku"),
        ('id = "pfe"', 'id = "feed"', "says that pfe.line_voltage is this end"),
        ("trans-caspian.toml", "no.toml", "no.toml: file: cannot be read"),
        ("[cable]", '[cable]\nuplink = "x"', "cable.uplink: is no uplink of the JSON plane"),
    ],
)
def test_a_cable_file_that_does_not_fit_is_told(write, station_text, old, new, said):
    """Another cable's, one without this end, an end that is not there, no file, no uplink."""
    assert said in "\n".join(problems(write("bad.toml", station_text.replace(old, new, 1))))


def test_a_cable_file_beside_the_station_goes_before_the_shipped_one(write, station_text, tmp_path):
    """Its facts are part of the configuration: with others the hash is another."""
    shipped = load_station(write("s.toml", station_text))
    text = (asset_folder("stations") / "cables" / "trans-caspian.toml").read_text()
    (tmp_path / "cables").mkdir()
    (tmp_path / "cables" / "trans-caspian.toml").write_text(text.replace("380.0", "381.0"))
    own = load_station(write("s.toml", station_text))

    assert own.cable_file.cable.length_km == 381.0
    assert own.config_hash != shipped.config_hash
