"""A whole station without a board: the simulated devices, the gateway, its page and its alarms."""

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import ExitStack

PAGE, TCP = 19156, 19157
STATION = f"""
[station]
id = "sumqayit"
name = "Sumqayit"
cable = "c"
cable_name = "C"

[page]
port = {PAGE}

[[direct]]
id = "room-tcp"
tcp = "127.0.0.1:{TCP}"

[[direct.device]]
id = "room"
name = "Room"
profile = "xy-md02"
unit_id = 255

[[direct]]
id = "rs485"
port = "rs485.tty"
baud = 19200
format = "8N1"

[[direct.device]]
id = "manhole"
name = "Manhole"
profile = "bmh-unit"
unit_id = 3

[[alarm]]
id = "room-line-lost"
text = "Room's line is lost"
action = "Look."
priority = "major"
direct = "room-tcp"
"""


def status():
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{PAGE}/api/v1/status", timeout=10) as reply:
            return json.load(reply)
    except (OSError, urllib.error.URLError):
        return {"points": {}, "directs": {}, "alarms": []}


def until(is_true, limit_s=60):
    end_s = time.monotonic() + limit_s
    while not is_true(found := status()):
        assert time.monotonic() < end_s, found
        time.sleep(0.1)
    return found


def test_a_station_of_direct_lines_runs_raises_alarms_and_heals(write, tmp_path):
    """Both kinds of line give good values; one that is lost raises its alarm and comes back."""
    station = write("s.toml", STATION)

    def started(stack, *args):
        command = [sys.executable, "-m", "shorewatch", *args, "--state-dir", str(tmp_path / "s")]
        process = stack.enter_context(subprocess.Popen(command, stderr=subprocess.DEVNULL))
        stack.callback(process.terminate)
        return process

    with ExitStack() as stack:
        room = started(stack, "plant", "direct", str(station), "room-tcp")
        started(stack, "plant", "direct", str(station), "rs485")
        started(stack, "run", str(station))
        found = until(lambda s: s["points"].get("good") == 8)
        assert found["devices"]["room"]["direct"] == "room-tcp"
        assert found["directs"]["rs485"]["where"] == "rs485.tty, 19200 8N1"

        room.terminate()
        room.wait(20)
        found = until(lambda s: s["points"].get("good") == 6 and s["alarms"][0]["active"])
        assert found["alarms"][0]["id"] == "room-line-lost"
        assert found["devices"]["room"]["points"]["temperature"]["reason"] == "link-down"
        assert found["devices"]["manhole"]["points"]["lid"]["quality"] == "good"

        started(stack, "plant", "direct", str(station), "room-tcp")
        until(lambda s: s["points"].get("good") == 8 and not s["alarms"][0]["active"])
