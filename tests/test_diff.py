"""diff.py: what would change from one station file to another, and who can take it."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from shorewatch.assets import asset_folder
from shorewatch.compiled import Compiled, load_compiled
from shorewatch.diff import Change, Diff, compare, kept_points


@pytest.fixture
def old(write, station_text) -> Compiled:
    """Sumqayit as shipped."""
    return load_compiled(write("old.toml", station_text))


@pytest.fixture
def cable_file(tmp_path) -> Path:
    """The shipped cable file beside the station file, to be changed."""
    (tmp_path / "cables").mkdir()
    path = tmp_path / "cables" / "trans-caspian.toml"
    path.write_text((asset_folder("stations") / "cables" / path.name).read_text())
    return path


@pytest.fixture
def change(old, write, station_text) -> Callable[..., Diff]:
    """The difference that replacing one text by another makes."""

    def _change(before: str, after: str) -> Diff:
        assert before in station_text
        new = write("new.toml", station_text.replace(before, after, 1))
        return compare(old, load_compiled(new))

    return _change


def test_a_file_is_no_change_to_itself(old):
    """Nothing differs, and that is what the one line says."""
    found = compare(old, old)
    assert found.is_empty and not found.changes and not found.plans
    assert found.lines() == [f"sumqayit: nothing changes (configuration {found.old})"]


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ('name = "Sumqayit"', 'name = "S"', 'station: name "Sumqayit" → "S"'),
        ("port = 8101", "port = 8102", "page: port 8101 → 8102"),
        ("size_mb_max = 256", "size_mb_max = 99", "outbox: size_mb_max 256 → 99"),
        ("[page]\nhost", "[page]\n# here\nhost", None),
        ('consumers = ["noc"]', "", "uplink noc: consumers ['noc'] → []"),
        ("below = 0.9", "below = 0.8", "alarm pfe-current-low: below 0.9 → 0.8"),
        ('"Beach manhole"', '"Manhole"', 'device manhole: name "Beach manhole" → "Manhole"'),
        ("baud = 9600", "baud = 4800", "bus pfe-room.1: baud 9600 → 4800"),
        ('"boards/beach.link"', '"b"', 'board beach: link.port "boards/beach.link" → "b"'),
    ],
)
def test_each_change_is_one_line(change, before, after, said):
    """What differs is said by its name, its key, and both values."""
    found = change(before, after)
    assert [str(one) for one in found.changes] == ([] if said is None else [said])


@pytest.mark.parametrize(
    ("before", "after", "is_enough"),
    [
        ('name = "Sumqayit"', 'name = "S"', True),
        ('cable_name = "Trans', 'cable_name = "No', True),
        ('cable = "trans-caspian"', 'cable = "other"', False),
        ('id = "sumqayit"', 'id = "other"', False),
        ("port = 8101", "port = 8102", False),
        ('[page]\nhost = "127.0.0.1"\nport = 8101\n', "", False),
        ("size_mb_max = 256", "size_mb_max = 99", False),
        ("below = 0.9", "below = 0.8", True),
        ("baud = 9600", "baud = 4800", True),
    ],
)
def test_what_a_reload_cannot_take_needs_a_restart(change, cable_file, before, after, is_enough):
    """Identity, page and outbox are opened once; boards, alarms and uplinks come and go."""
    if '"other"' in after:
        value = before.partition(" = ")[2]
        cable_file.write_text(cable_file.read_text().replace(value, '"other"'))
    assert (not change(before, after).restarts) is is_enough


def test_a_table_that_nobody_thought_of_needs_a_restart():
    """Only what is known to be applied is said to be."""
    assert Change("history", "", "changed", (("days", 1, 2),)).needs_restart
    assert Change("history", "", "added").needs_restart
    assert not Change("alarm", "lid", "added").needs_restart


def test_a_board_with_another_plan_is_named_with_both_crcs(change, old):
    """A bus at another baud is another plan; the other board keeps its own."""
    found = change("baud = 9600", "baud = 4800")
    ((board, (was, now)),) = found.plans.items()
    assert (board, was) == ("pfe-room", old.plans["pfe-room"].crc) and was != now
    (line,) = found.waiting
    assert f"{was:08x} → {now:08x}" in line and "until it is pushed" in line


def test_a_device_that_comes_or_goes_is_one_change(write, station_text):
    """Its points are not listed one by one: they come and go with it."""
    text = station_text.partition("\n[[alarm]]")[0]
    before = load_compiled(write("old.toml", text))
    after = load_compiled(write("new.toml", text.replace('id = "mains"', 'id = "grid"')))
    assert [str(one) for one in compare(before, after).changes] == [
        "device mains removed",
        "device grid added",
    ]


def test_an_order_alone_is_said_to_be_one(old, write, station_text):
    """Two alarms that change places are no change, but another configuration."""
    tables = re.split(r"(?=\n\[\[alarm\]\])", station_text)
    tables[1], tables[2] = tables[2], tables[1]
    found = compare(old, load_compiled(write("new.toml", "".join(tables))))
    assert not found.is_empty and not found.changes
    assert found.lines()[0].endswith("only the order")


def test_values_go_on_where_the_same_is_read_from_the_same_place(old, write, station_text):
    """Another name keeps a device's values, another unit id, profile or bus does not."""
    renamed = station_text.replace('"Beach manhole"', '"Manhole"')
    moved = renamed.replace(
        'profile = "bmh-unit"\nunit_id = 3', 'profile = "bmh-unit"\nunit_id = 4'
    )
    for text, stays in ((renamed, True), (moved, False)):
        new = load_compiled(write("new.toml", text)).station
        kept = kept_points(old.station, new)
        assert kept["pfe"] == old.station.devices["pfe"].points.keys()
        assert bool(kept["manhole"]) is stays


DIRECT = """
[[direct]]
id = "meter"
tcp = "192.0.2.7:502"
[[direct.device]]
id = "meter"
name = "Meter"
profile = "{profile}"
unit_id = 1
"""
TIED = """id = "tied"
name = "Tied"
source = "none"
whole = [{ table = "input", address = 0, count = 5 }]

[[point]]
id = "level"
name = "Level"
table = "input"
address = 0
type = "s16"
scale_by = { decimals = "places" }

[[point]]
id = "places"
name = "Places"
table = "input"
address = 1
type = "u16"
"""


@pytest.mark.parametrize(
    ("before", "after", "device"),
    [
        ("5357000000010001", "5357000000010009", "pfe"),
        ("192.0.2.7:502", "192.0.2.8:502", "meter"),
        ("192.0.2.7:502", "192.0.2.7:503", "meter"),
    ],
)
def test_no_value_goes_on_behind_another_board_or_address(
    write, station_text, before, after, device
):
    """The names stay, and what is read there is another device."""
    text = station_text + DIRECT.format(profile="xy-md02")
    assert before in text
    old = load_compiled(write("old.toml", text)).station
    new = load_compiled(write("new.toml", text.replace(before, after))).station
    assert kept_points(old, old)[device] and not kept_points(old, new)[device]


def test_a_value_goes_with_the_point_that_holds_its_scale(write, tmp_path, station_text):
    """A number whose decimals are read elsewhere from then on begins anew."""
    profile = tmp_path / "profiles" / "tied.toml"
    profile.parent.mkdir()
    path = write("s.toml", station_text + DIRECT.format(profile="tied"))
    profile.write_text(TIED)
    old = load_compiled(path).station
    profile.write_text(TIED.replace("address = 1\n", "address = 2\n"))
    assert kept_points(old, old)["meter"] == {"level", "places"}
    assert kept_points(old, load_compiled(path).station)["meter"] == set()


def test_a_contact_at_another_input_begins_anew(old, write, station_text):
    """What is wired elsewhere has no state yet, though name and place in the file are the same."""
    (contacts, wired) = next(
        (device.id, device.board.input)
        for device in old.station.devices.values()
        if device.line is None
    )
    text = station_text.replace(f"input = {wired[0].input}\n", "input = 7\n", 1)
    kept = kept_points(old.station, load_compiled(write("new.toml", text)).station)
    assert kept[contacts] == {contact.id for contact in wired[1:]}


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "shorewatch", "diff", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_the_command_says_what_a_reload_can_take(tmp_path, write, station_text):
    """Exit code 0 for what a reload takes, 1 for what needs a restart; all of it as JSON."""
    old = write("old.toml", station_text)
    new = write("new.toml", station_text.replace("below = 0.9", "below = 0.8", 1))
    done = run(str(old), str(new), "--json", str(tmp_path / "diff.json"))
    assert done.returncode == 0 and "alarm pfe-current-low: below 0.9 → 0.8" in done.stdout
    found = json.loads((tmp_path / "diff.json").read_text())
    assert found["can_reload"] is True
    assert found["changes"] == [
        {
            "noun": "alarm",
            "name": "pfe-current-low",
            "what": "changed",
            "keys": {"below": {"old": 0.9, "new": 0.8}},
            "needs_restart": False,
        }
    ]
    write("new.toml", station_text.replace("port = 8101", "port = 8102", 1))
    done = run(str(old), str(new))
    assert done.returncode == 1 and "needs a restart: page: port 8101 → 8102" in done.stdout


def test_a_file_that_is_wrong_is_exit_code_78(write, station_text):
    """There is nothing to compare with; its problems are listed."""
    old = write("old.toml", station_text)
    bad = write("bad.toml", station_text.replace("unit_id = 10", "unit_id = 1000"))
    done = run(str(old), str(bad))
    assert done.returncode == 78 and "found 1000" in done.stderr


def test_another_cable_file_needs_a_restart(old, write, station_text, cable_file):
    """What it says differs, and the gateway judges by the one it began with."""
    cable_file.write_text(cable_file.read_text().replace("earth_v = 2.0", "earth_v = 3.0"))

    (change,) = compare(old, load_compiled(write("new.toml", station_text))).restarts
    assert str(change) == "cable file: budget.earth_v 2.0 → 3.0"
