"""grafana.py: a dashboard that asks for nothing that /metrics does not give."""

import json
import re
import time
from itertools import pairwise

import pytest
from test_web import _snapshot

from shorewatch.assets import asset_folder
from shorewatch.cli import app
from shorewatch.config import load_station
from shorewatch.grafana import dashboard
from shorewatch.image import Image
from shorewatch.model import Quality, Value, utc_now
from shorewatch.mqtt.desk import Requests
from shorewatch.web.metrics import text

_POINTS = r'device="([^"]+)",point=~"([^"]+)"'
STATIONS = sorted(asset_folder("stations").glob("*.toml"))


class Uplink:
    """An uplink that is online."""

    state, text, since, published, cursor = "online", "connected", utc_now(), 9, 9
    is_broker_acknowledged_only, refused_acks = False, 0
    plane, refused_commands, last_refusal = "json", 0, None
    silent = certificates = dict[str, object]()
    requests = Requests()


def queries(found) -> list[str]:
    return [target["expr"] for panel in found["panels"] for target in panel.get("targets", [])]


@pytest.mark.parametrize("path", STATIONS, ids=lambda path: path.stem)
def test_every_figure_that_it_names_is_one_of_ours(path):
    """Its metrics, labels, devices and points are those that /metrics has for the station."""
    station = load_station(path)
    found = dashboard(station)
    image = Image(station)
    for device in station.devices.values():
        good = Value(Quality.GOOD, None, 1.0, utc_now(), time.monotonic())
        image.put(device.id, dict.fromkeys(device.points, good))
    alarm = {"id": "a", "text": "A", "priority": "minor", "state": "acknowledged", "active": True}
    alarm |= {"since": None, "source": "x"}
    look = _snapshot(station, image, {"noc": Uplink()}, alarms=[alarm])
    given = text(look(), 0.1, 30).decode()
    told = set(re.findall(r"^# TYPE (\S+) ", given, re.MULTILINE))

    asked = "\n".join([*queries(found), *(v["definition"] for v in found["templating"]["list"])])
    names = set(re.findall(r"(?:shorewatch|process)_[a-z_]+", asked))
    assert names and names <= told
    labels = set(re.findall(r'([a-z_]+)(?:=~|!=|=)"', asked)) - {"job", "instance"}
    assert labels <= set(re.findall(r'[{,]([a-z_]+)="', given))
    for device, points in re.findall(_POINTS, asked):
        assert set(points.split("|")) <= station.devices[device].points.keys()


def test_every_point_has_a_line(sumqayit):
    """No device and no point is left out but texts, labels and moments, which make no curve."""
    asked = re.findall(
        r'device="([^"]+)",point=~"([^"]+)"', "\n".join(queries(dashboard(sumqayit)))
    )
    drawn = {(device, point) for device, points in asked for point in points.split("|")}

    numbers = {
        (device.id, name)
        for device in sumqayit.devices.values()
        for name, point in device.points.items()
        if point.type not in ("string", "enum", "enum32") and point.shown_as != "time"
    }

    assert drawn == numbers


def test_limits_of_alarms_are_lines(sumqayit):
    """Where an alarm comes stands in the panel of its point, rising, as Grafana wants them."""
    panels = [panel for panel in dashboard(sumqayit)["panels"] if panel["type"] == "timeseries"]
    steps = [
        [step["value"] for step in panel["fieldConfig"]["defaults"]["thresholds"]["steps"][1:]]
        for panel in panels
    ]
    limits = [
        at
        for alarm in sumqayit.file.alarm
        if alarm.point
        for when, at in alarm.conditions.items()
        if when in ("above", "below")
    ]

    assert sorted(at for those in steps for at in those) == sorted(limits)
    assert all(those == sorted(those) for those in steps)


def test_panels_do_not_overlap(sumqayit):
    """Each has a number and a place of its own within 24 columns."""
    panels = dashboard(sumqayit)["panels"]
    cells = [
        (x, y)
        for panel in panels
        for place in [panel["gridPos"]]
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]

    assert len(cells) == len(set(cells)) and max(x for x, _ in cells) < 24
    assert all(before["id"] < after["id"] for before, after in pairwise(panels))


def test_the_same_station_gives_the_same_dashboard(sumqayit):
    """Importing it again replaces it; another station has another identity."""
    aktau = load_station(next(path for path in STATIONS if path.stem == "aktau"))

    assert dashboard(sumqayit) == dashboard(sumqayit)
    assert dashboard(sumqayit)["uid"] != dashboard(aktau)["uid"]
    assert len(dashboard(sumqayit)["uid"]) <= 40


def test_the_command_writes_it(tmp_path, capsys):
    """As JSON, and says how much it is."""
    out = tmp_path / "d.json"
    app(["grafana", str(STATIONS[0]), "--out", str(out)], result_action="return_value")

    assert json.loads(out.read_text())["panels"]
    assert "panels" in capsys.readouterr().out
