"""reload.py with a real daemon: what changes does, what stays is not disturbed."""

import asyncio
import re
import subprocess
import sys
from importlib import resources
from pathlib import Path

import pytest
from running_station import STEPS, RunningStation, room_samples, running_station, whats

from shorewatch.compiled import load_compiled
from shorewatch.control import ControlError
from shorewatch.plant.devices import simulated
from shorewatch.plant.direct import serving
from shorewatch.plant.world import World
from shorewatch.reload import LINE_MAX, LINES_MAX

SHIPPED = Path(str(resources.files("shorewatch"))) / "profiles"
ALARM = """
[[alarm]]
id = "room-warm"
text = "Room is warm"
action = "Check the air conditioning."
priority = "minor"
point = "room.temperature"
above = 70
"""

DIRECT = """
[[direct]]
id = "{id}"
tcp = "127.0.0.1:{port}"
[[direct.device]]
id = "{id}"
name = "Climate"
profile = "xy-md02"
unit_id = 1
"""


def reload(state: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "shorewatch", "reload", "--state-dir", str(state)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


async def undisturbed(station: RunningStation) -> list[dict]:
    """The journal of a station that was stopped: no reading of the room is missing or bad."""
    await station.until_read_on()
    records = await station.stop()
    samples = room_samples(records)
    assert all("bad" not in sample for sample in samples)
    steps = [round(sample["points"]["temperature"] / 0.3) for sample in samples]
    assert steps == [(steps[0] - 1 + i) % STEPS + 1 for i in range(len(steps))]
    assert whats(records, "board/beach") == ["up"]
    return records


async def test_a_file_that_says_the_same_changes_nothing(tmp_path, quiet_text):
    """A reload of an unchanged file is answered so, and no value notices."""
    async with running_station(tmp_path, quiet_text) as station:
        await station.until_good()
        reply = await station.ask("reload")
        assert len(reply["lines"]) == 1 and "nothing changes" in reply["lines"][0]
        await undisturbed(station)


async def test_alarms_alone_come_and_go_without_disturbing_a_value(tmp_path, quiet_text):
    """SIGHUP brings an alarm, another one changes its limit, a third takes it away."""
    async with running_station(tmp_path, quiet_text) as station:
        await station.until_good()
        for text in (quiet_text + ALARM, quiet_text + ALARM.replace("70", "-30")):
            station.path.write_text(text)
            before = (await station.ask("live"))["config"]
            station.hang_up()
            await station.until(lambda live, before=before: live["config"] != before)
        await station.until(lambda live: [row["id"] for row in live["alarms"]] == ["room-warm"])
        station.path.write_text(quiet_text)
        lines = (await station.ask("reload"))["lines"]
        assert lines[1:] == ["alarm room-warm removed"]
        assert (await station.ask("live"))["alarms"] == []
        records = await undisturbed(station)
    said = [(r["what"], r["state"]) for r in records if r["kind"] == "alarm"]
    assert said == [("raised", "unacknowledged"), ("removed", "normal")]
    reloads = [r for r in records if r.get("what") == "reloaded"]
    assert [r["by"] for r in reloads] == ["SIGHUP", "SIGHUP", "ali"]
    assert reloads[1]["lines"] == ["alarm room-warm: above 70.0 → -30.0"]


async def test_many_hangups_at_once_are_reloads_in_turn(tmp_path, quiet_text):
    """However often and fast it is asked, the last file is what runs, and no value notices."""
    async with running_station(tmp_path, quiet_text) as station:
        await station.until_good()
        for above in range(60, 72):
            station.path.write_text(quiet_text + ALARM.replace("70", str(above)))
            for _ in range(4):
                station.hang_up()
            await asyncio.sleep(0)
        config = load_compiled(station.path).station.config_hash
        await station.until(lambda live: live["config"] == config)
        await undisturbed(station)


async def test_a_file_with_errors_changes_nothing_and_is_shown(tmp_path, quiet_text):
    """All its problems are answered, recorded and shown until a good file is loaded."""
    async with running_station(tmp_path, quiet_text) as station:
        await station.until_good()
        config = (await station.ask("live"))["config"]
        wrong = quiet_text.replace("unit_id = 10\n", "unit_id = 1000\n", 1) + "nonsense=1"
        station.path.write_text(wrong)
        done = await asyncio.to_thread(reload, station.state)
        assert done.returncode == 78 and "found 1000" in done.stderr and "nonsense" in done.stderr
        live = await station.ask("live")
        assert live["config"] == config
        trouble = live["config_trouble"]
        assert config in trouble["text"] and len(trouble["problems"]) == trouble["count"] == 2
        station.path.write_text(quiet_text)
        done = await asyncio.to_thread(reload, station.state)
        assert done.returncode == 0 and "nothing changes" in done.stdout
        assert (await station.ask("live"))["config_trouble"] is None
        records = await undisturbed(station)
    refused = next(r for r in records if r.get("what") == "reload refused")
    assert any("found 1000" in line for line in refused["lines"])


async def test_what_is_wrong_is_recorded_however_long_it_is(tmp_path, quiet_text):
    """More text than a record may hold is cut: refused as loaded, the station goes on."""
    names = "".join(f"a{i:0>38} = 1\n" for i in range(300))
    labels = {side: ", ".join(f'{i} = "{side}{i:0>78}"' for i in range(900)) for side in "ab"}
    (tmp_path / "profiles").mkdir()
    own = tmp_path / "profiles" / "own.toml"
    profile = (
        'id = "own"\nname = "Own"\nsource = "none"\n[[point]]\nid = "p"\nname = "P"\n'
        'table = "input"\naddress = 0\ntype = "enum"\nlabels = { LABELS }\n'
    )
    own.write_text(profile.replace("LABELS", labels["a"]))
    text = quiet_text.replace('profile = "sdm630"', 'profile = "own"')
    async with running_station(tmp_path, text) as station:
        await station.until_good()
        station.path.write_text(names + text)
        with pytest.raises(ControlError, match="is no key of this table"):
            await station.ask("reload")
        own.write_text(profile.replace("LABELS", labels["b"]))
        station.path.write_text(text)
        assert len((await station.ask("reload"))["lines"]) == 2
        records = await undisturbed(station)
    refused, reloaded = (r for r in records if str(r.get("what")).startswith("reload"))
    assert refused["count"] == 300 and len(refused["lines"]) == LINES_MAX
    assert refused["what"] == "reload refused" and reloaded["what"] == "reloaded"
    assert [len(line) for line in reloaded["lines"]] == [LINE_MAX]


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ('cable = "trans', 'cable = "no-trans', "station.cable"),
        ("[station]", "[outbox]\nsize_mb_max = 9\n\n[station]", "outbox.size_mb_max"),
        ("[station]", "[page]\nport = 19310\n\n[station]", "page"),
    ],
)
async def test_what_needs_a_restart_is_refused(tmp_path, quiet_text, old, new, key):
    """It is named with its place and the word restart; nothing changes."""
    async with running_station(tmp_path, quiet_text) as station:
        await station.until_good()
        station.path.write_text(quiet_text.replace(old, new, 1))
        with pytest.raises(ControlError, match=rf"s.toml:\d+: {re.escape(key)}: .*restart"):
            await station.ask("reload")
        await undisturbed(station)


async def test_a_board_with_another_plan_waits_for_it_alone(tmp_path, quiet_text):
    """Its points are bad (config) until it carries the plan; the other board goes on unmoved."""
    async with running_station(tmp_path, quiet_text) as station:
        await station.until_good()
        text = quiet_text.replace('profile = "sdm630"', 'profile = "xy-md02"')
        station.path.write_text(text)
        lines = (await station.ask("reload"))["lines"]
        assert any("board pfe-room needs its new plan" in line for line in lines)

        def reason(live, device="pfe", point="line_current"):
            return live["devices"][device]["points"][point]["reason"]

        await station.until(lambda live: reason(live) == "config")
        plan = load_compiled(station.path).plans["pfe-room"]
        station.boards["pfe-room"].plan_crc = plan.crc
        station.boards["pfe-room"].plan = plan
        await station.until(lambda live: live["boards"]["pfe-room"]["up"])
        await station.until(lambda live: reason(live, "mains", "humidity") == "never-read")
        await undisturbed(station)


async def test_another_scale_needs_no_plan_but_its_values_begin_anew(tmp_path, quiet_text):
    """A profile changed in its scale alone is decoded so at once, over the same connection."""
    profiles = tmp_path / "profiles"
    profiles.mkdir()
    own = profiles / "own.toml"
    own.write_text((SHIPPED / "xy-md02.toml").read_text().replace('"xy-md02"', '"own"', 1))
    text = quiet_text.replace('profile = "sdm630"', 'profile = "own"')
    async with running_station(tmp_path, text) as station:
        board = station.boards["pfe-room"]
        (block,) = [b for b in board.plan.blocks if b.device.id == "mains"]
        board.set_block(block.index, status=1, age_ms=5, data=[200, 500])

        def found(live):
            return live["devices"]["mains"]["points"]["temperature"]

        await station.until(lambda live: found(live)["value"] == 20.0)
        await station.until_good()
        own.write_text(own.read_text().replace("scale = 0.1", "scale = 0.01"))
        lines = (await station.ask("reload"))["lines"]
        assert "point mains.temperature: scale 0.1 → 0.01" in lines
        await station.until(lambda live: found(live)["value"] == 2.0)
        records = await undisturbed(station)
    assert whats(records, "board/pfe-room") == ["up"]


async def test_a_device_that_is_no_more_leaves(tmp_path, quiet_text):
    """What is removed is gone from the snapshot, and what is put back is read again."""
    async with running_station(tmp_path, quiet_text) as station:
        await station.until_good()
        mains = re.search(r"\[\[board\.bus\]\]\nuart = 1.*?unit_id = 10\n", quiet_text, re.S)
        assert mains is not None
        station.path.write_text(quiet_text.replace(mains.group(), "", 1))
        assert "device mains removed" in (await station.ask("reload"))["lines"]
        assert "mains" not in (await station.ask("live"))["devices"]
        station.path.write_text(quiet_text)
        await station.ask("reload")
        await station.until(lambda live: live["boards"]["pfe-room"]["up"])
        assert "mains" in (await station.ask("live"))["devices"]
        await undisturbed(station)


async def test_a_direct_line_can_come_stay_and_go(tmp_path, quiet_text):
    """One that is added is read, goes on while another comes, and leaves with its devices."""
    one = DIRECT.format(id="one", port=19153)
    other = DIRECT.format(id="other", port=19152)
    (tmp_path / "devices.toml").write_text(quiet_text + one)
    there = load_compiled(tmp_path / "devices.toml").station
    servers = {1: simulated(there.devices["one"], "sumqayit", World(1))}

    def is_read(device):
        def check(live):
            row = live["devices"].get(device)
            is_good = row and row["points"]["temperature"]["quality"] == "good"
            return live if is_good else None

        return check

    async with (
        serving(servers, "127.0.0.1", 19153),
        serving(servers, "127.0.0.1", 19152),
        running_station(tmp_path, quiet_text) as station,
    ):
        await station.until_good()
        station.path.write_text(quiet_text + one)
        assert "direct one added" in (await station.ask("reload"))["lines"]
        since = (await station.until(is_read("one")))["directs"]["one"]["since"]
        station.path.write_text(quiet_text + one + other)
        await station.ask("reload")
        live = await station.until(is_read("other"))
        assert live["directs"]["one"]["since"] == since
        assert is_read("one")(live)
        station.path.write_text(quiet_text + other)
        assert "direct one removed" in (await station.ask("reload"))["lines"]
        live = await station.ask("live")
        assert "one" not in live["devices"] and list(live["directs"]) == ["other"]
        records = await undisturbed(station)
    assert whats(records, "direct/one") == ["up"]


async def test_an_uplink_can_come_change_and_go(tmp_path, quiet_text):
    """Each is there at once under its new address, and gone when it is removed."""
    uplink = '\n[[uplink]]\nid = "noc"\nurl = "mqtt://127.0.0.1:19301"\n'
    async with running_station(tmp_path, quiet_text) as station:
        await station.until_good()
        for port in ("19301", "19302"):
            station.path.write_text(quiet_text + uplink.replace("19301", port))
            await station.ask("reload")
            await station.until(lambda live, p=port: p in live["uplinks"]["noc"]["text"])
        station.path.write_text(quiet_text)
        await station.ask("reload")
        assert (await station.ask("live"))["uplinks"] == {}
        await undisturbed(station)


def test_without_a_station_reload_is_exit_code_2(tmp_path):
    """Nobody there: it says so, with what to do."""
    done = reload(tmp_path)

    assert done.returncode == 2 and "no station runs in" in done.stderr
