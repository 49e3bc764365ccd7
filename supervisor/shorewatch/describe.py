"""What a station is, as against how it is: the part of the page's data that changes with the file.

Pure: the validated station goes in, a JSON-ready table comes out. Beside each point stand its unit,
its range, where it is read, and the limits of the alarms that watch it, so that a value can be
shown where it lies between them.
"""

from collections.abc import Mapping
from typing import Any

from shorewatch.config import AlarmConfig, Device, Station
from shorewatch.point import Point

Description = dict[str, Any]


def describe(station: Station) -> Description:
    """The station, its devices and their points; `config` names the file's content."""
    limits: dict[str, list[AlarmConfig]] = {}
    for alarm in station.file.alarm:
        if alarm.point is not None and alarm.conditions.keys() & {"above", "below"}:
            limits.setdefault(alarm.point, []).append(alarm)
    return {
        "station": station.id,
        "name": station.file.station.name,
        "cable": station.file.station.cable_name,
        "config": station.config_hash,
        "devices": {device.id: _device(device, limits) for device in station.devices.values()},
    }


def _device(device: Device, limits: Mapping[str, list[AlarmConfig]]) -> Description:
    profile = device.profile
    return {
        "name": device.config.name,
        "profile": profile.id,
        "type": profile.name,
        "source": profile.source,
        "synthetic": profile.synthetic,
        "area": profile.area,
        **device.place,
        "unit_id": device.unit_id,
        "points": {
            point.id: _point(point, limits.get(f"{device.id}.{point.id}", []))
            for point in device.points.values()
        },
    }


def _point(point: Point, limits: list[AlarmConfig]) -> Description:
    return {
        "name": point.name,
        "unit": point.unit,
        "digits": point.digits,
        "range": point.range,
        "headline": point.headline,
        "function": point.function,
        "address": point.address,
        "count": point.count,
        "type": point.type,
        "period_s": point.period_s,
        "age_s_max": point.age_max_s,
        "recorded": point.record,
        "limits": [
            {
                "alarm": alarm.id,
                "text": alarm.text,
                "priority": alarm.priority,
                "when": when,
                "at": at,
            }
            for alarm in limits
            for when, at in alarm.conditions.items()
        ],
    }
