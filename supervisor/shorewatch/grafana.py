"""A Grafana dashboard of one station, made from its file, on the figures of /metrics. Pure.

A row for what must be known first (is it up, alarms, values that are not good, the way out), one
for lines and buses, then one a device: a panel for each unit, with the limits of its alarms as
lines. Texts have no line. Where several stations stand in one Prometheus, `job` and `instance`
choose; a value that is not good has no sample: a gap in a line is a gap in what is known.

The dashboard is imported as a file; its data source is asked for then.
Source: Grafana, "Dashboard JSON model", schema version 39.
"""

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any, Final

from shorewatch.config import AlarmConfig, Device, Station
from shorewatch.point import ENUMS, Point

SCHEMA_VERSION: Final = 39
_COLUMNS: Final = 24
_SOURCE: Final = {"type": "prometheus", "uid": "${DS_PROMETHEUS}"}
_WHERE: Final = 'job=~"$job",instance=~"$instance"'
_BAD_COLOUR, _WARN_COLOUR = "#a3161a", "#b87a00"
_LIMIT_COLOURS: Final = {
    "critical": _BAD_COLOUR, "major": _BAD_COLOUR, "minor": _WARN_COLOUR, "warning": _WARN_COLOUR,
}  # fmt: skip
# Grafana's names of units; any other is shown as it is.
_UNITS: Final[Mapping[str, str]] = {
    "V": "volt", "A": "amp", "W": "watt", "kW": "kwatt", "degC": "celsius", "%": "percent",
    "Hz": "hertz", "s": "s", "Pa": "pressurepa", "bar": "pressurebar", "m": "lengthm", "Ohm": "ohm",
    "VA": "voltamp", "kWh": "kwatth", "min": "m", "h": "h",
}  # fmt: skip

Panel = dict[str, Any]


def dashboard(station: Station) -> dict[str, Any]:
    """The dashboard as Grafana imports it; the same station gives the same identity."""
    about = station.file.station
    whole = f"{about.cable_name} {station.id}"
    return {
        "__inputs": [
            {
                "name": "DS_PROMETHEUS", "label": "Prometheus", "description": "",
                "type": "datasource", "pluginId": "prometheus", "pluginName": "Prometheus",
            }
        ],
        "uid": f"sw-{hashlib.sha256(whole.encode()).hexdigest()[:16]}",
        "title": f"Shorewatch {about.name}",
        "description": about.cable_name,
        "tags": ["shorewatch", station.id],
        "timezone": "utc",
        "schemaVersion": SCHEMA_VERSION,
        "refresh": "30s",
        "time": {"from": "now-24h", "to": "now"},
        "templating": {"list": [*_variables(station)]},
        "panels": _placed([*_first(), *_lines(), *_devices(station)]),
    }  # fmt: skip


def _variables(station: Station) -> Iterator[dict[str, Any]]:
    """Which of several gateways: the one that says it is this station, unless chosen else."""
    info = f'shorewatch_info{{station="{station.id}"}}'
    for name in ("job", "instance"):
        query = f"label_values({info}, {name})"
        yield {
            "name": name, "type": "query", "datasource": _SOURCE, "refresh": 2, "sort": 1,
            "query": {"query": query, "refId": name}, "definition": query, "includeAll": True,
            "multi": True, "current": {"text": "All", "value": "$__all"},
        }  # fmt: skip


def _first() -> Iterator[Panel]:
    yield _row("First")
    yield _stat("Lines that are down", f"count(shorewatch_line_up{{{_WHERE}}} == 0) or vector(0)")
    yield _stat("Alarms that are on", f"sum(shorewatch_alarm_active{{{_WHERE}}}) or vector(0)")
    bad = f'sum(shorewatch_device_points{{{_WHERE},quality!="good"}})'
    yield _stat("Values that are not good", f"{bad} or vector(0)")
    yield _stat(
        "Uplinks without a broker", f"count(shorewatch_uplink_online{{{_WHERE}}} == 0) or vector(0)"
    )
    yield _stat("Outbox cannot write", f"max(shorewatch_outbox_fault{{{_WHERE}}})")
    lag = f"max(shorewatch_loop_lag_seconds{{{_WHERE}}})"
    yield _stat("Lag of the gateway", lag, unit="s", bad_from=0.5)
    alarms = f"shorewatch_alarm_active{{{_WHERE}}} > 0"
    yield _graph("Alarms", [(alarms, "{{alarm}} ({{priority}})")], "")
    waiting = f"shorewatch_uplink_waiting_records{{{_WHERE}}}"
    written = f"rate(shorewatch_outbox_records_total{{{_WHERE}}}[5m])"
    yield _graph("Records", [(waiting, "{{uplink}} waiting"), (written, "written each second")], "")


def _lines() -> Iterator[Panel]:
    yield _row("Lines and buses")
    busy = f"shorewatch_bus_busy_ratio{{{_WHERE}}}"
    yield _graph("Buses busy", [(busy, "{{line}} bus {{bus}}")], "percentunit")
    queries = [
        (f"rate(shorewatch_bus_{name}_total{{{_WHERE}}}[5m])", "{{line}} bus {{bus}} " + what)
        for name, what in (
            ("timeouts", "timeouts"), ("crc_errors", "CRC errors"), ("rejected", "rejected"),
        )
    ]  # fmt: skip
    yield _graph("Requests without a value, each second", queries, "")
    trip = f"shorewatch_board_round_trip_seconds{{{_WHERE}}}"
    yield _graph("Answers of boards", [(trip, "{{line}}")], "s")
    heap = f"shorewatch_board_heap_free_least_bytes{{{_WHERE}}}"
    yield _graph("Least free heap", [(heap, "{{line}}")], "bytes")
    held = [(f"process_resident_memory_bytes{{{_WHERE}}}", "gateway")]
    yield _graph("Memory of the gateway", held, "bytes")
    counts = [("process_open_fds", "open files"), ("shorewatch_tasks", "tasks")]
    queries = [(f"{name}{{{_WHERE}}}", what) for name, what in counts]
    yield _graph("What the gateway holds", queries, "")


def _devices(station: Station) -> Iterator[Panel]:
    limits: dict[str, list[AlarmConfig]] = {}
    for alarm in station.file.alarm:
        if alarm.point is not None:
            limits.setdefault(alarm.point, []).append(alarm)
    for device in station.devices.values():
        yield _row(f"{device.config.name} ({device.id})")
        yield from _units(device, limits)


def _units(device: Device, limits: Mapping[str, list[AlarmConfig]]) -> Iterator[Panel]:
    """A panel for each unit of a device's numbers, and one for how old they are."""
    by_unit: dict[str, list[Point]] = {}
    for point in device.points.values():
        if point.type != "string" and point.type not in ENUMS and point.shown_as != "time":
            by_unit.setdefault(point.unit, []).append(point)
    for unit, points in by_unit.items():
        names = "|".join(point.id for point in points)
        query = f'shorewatch_point{{{_WHERE},device="{device.id}",point=~"{names}"}}'
        alarms = [alarm for point in points for alarm in limits.get(f"{device.id}.{point.id}", [])]
        title = points[0].name if len(points) == 1 else (unit or "States and numbers")
        yield _graph(title, [(query, "{{point}}")], _UNITS.get(unit, unit), alarms)
    age = f'shorewatch_device_age_seconds{{{_WHERE},device="{device.id}"}}'
    yield _graph("Age of the oldest value", [(age, "age")], "s")


def _row(title: str) -> Panel:
    return {"type": "row", "title": title, "collapsed": False, "panels": []}


def _stat(title: str, query: str, unit: str = "", bad_from: float = 1) -> Panel:
    steps = [{"color": "text", "value": None}, {"color": _BAD_COLOUR, "value": bad_from}]
    return {
        "type": "stat", "title": title, "datasource": _SOURCE,
        "targets": [_target(0, query, "")],
        "fieldConfig": {
            "defaults": {"unit": unit, "thresholds": {"mode": "absolute", "steps": steps}},
            "overrides": [],
        },
        "options": {
            "colorMode": "value", "graphMode": "none",
            "reduceOptions": {"calcs": ["lastNotNull"]},
        },
    }  # fmt: skip


def _graph(
    title: str, queries: list[tuple[str, str]], unit: str, alarms: list[AlarmConfig] | None = None
) -> Panel:
    """Lines with gaps where nothing is known; limits of alarms are dashed."""
    levels = sorted(
        (float(at), _LIMIT_COLOURS[alarm.priority])
        for alarm in alarms or []
        for when, at in alarm.conditions.items()
        if when in ("above", "below") and isinstance(at, (int, float))
    )
    steps: list[dict[str, object]] = [{"color": "transparent", "value": None}]
    steps += [{"color": colour, "value": at} for at, colour in levels]
    style = {"mode": "dashed" if levels else "off"}
    custom = {"spanNulls": False, "lineWidth": 1, "thresholdsStyle": style}
    return {
        "type": "timeseries", "title": title, "datasource": _SOURCE,
        "targets": [_target(i, query, legend) for i, (query, legend) in enumerate(queries)],
        "fieldConfig": {
            "defaults": {
                "unit": unit, "custom": custom, "thresholds": {"mode": "absolute", "steps": steps},
            },
            "overrides": [],
        },
        "options": {
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
            "tooltip": {"mode": "multi", "sort": "none"},
        },
    }  # fmt: skip


def _target(index: int, query: str, legend: str) -> dict[str, Any]:
    return {
        "refId": chr(ord("A") + index), "expr": query, "legendFormat": legend,
        "datasource": _SOURCE,
    }  # fmt: skip


def _placed(panels: list[Panel]) -> list[Panel]:
    """Numbered, and set from left to right: rows over the whole width, what they have below."""
    x = y = height = 0
    placed = []
    for number, panel in enumerate(panels, 1):
        w, h = {"row": (_COLUMNS, 1), "stat": (4, 4)}.get(panel["type"], (12, 8))
        if x + w > _COLUMNS or (panel["type"] == "row" and x):
            x, y = 0, y + height
        placed.append({"id": number, **panel, "gridPos": {"x": x, "y": y, "w": w, "h": h}})
        x, height = x + w, h
    return placed
