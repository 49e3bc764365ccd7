"""Everything a person wants to see of a running station, as one plain JSON-ready table.

The page shows it, tools read it at /api/v1/status. Pure: what is known goes in, a table comes out.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from importlib.metadata import version
from typing import Any, Protocol

from shorewatch.certificate import listed
from shorewatch.clock import StationClock
from shorewatch.config import Device, Station
from shorewatch.decode import DeviceCounters
from shorewatch.direct.line import DirectStatus
from shorewatch.image import Image
from shorewatch.link import BoardStatus
from shorewatch.model import Quality, Reason, Value, to_json, to_text, utc_now
from shorewatch.outbox import Outbox
from shorewatch.verdict import Fault, judge

Snapshot = dict[str, Any]
# Exception 2, illegal data address. Source: MODBUS Application Protocol V1.1b3, 7.
_ILLEGAL_ADDRESS = 2
# Nobody reads more at once, and a flood must not cost every viewer megabytes a second.
ALARMS_MAX = 500
FAULTS_MAX = 200


class Requests(Protocol):
    """What mqtt/desk.py says of what it was asked."""

    @property
    def accepted(self) -> int: ...
    @property
    def refused(self) -> int: ...
    @property
    def last_refusal(self) -> str | None: ...
    @property
    def trouble(self) -> str | None: ...


class UplinkStatus(Protocol):
    """What mqtt/uplink.py or sparkplug/node.py says of itself."""

    @property
    def plane(self) -> str: ...

    @property
    def state(self) -> str: ...
    @property
    def text(self) -> str: ...
    @property
    def since(self) -> datetime: ...
    @property
    def published(self) -> int: ...
    @property
    def cursor(self) -> int: ...
    @property
    def is_broker_acknowledged_only(self) -> bool: ...
    @property
    def refused_acks(self) -> int: ...
    @property
    def refused_commands(self) -> int: ...
    @property
    def last_refusal(self) -> str | None: ...
    @property
    def silent(self) -> Mapping[str, datetime]: ...
    @property
    def requests(self) -> Requests: ...
    @property
    def certificates(self) -> Mapping[str, datetime]: ...


def snapshot(
    station: Station,
    image: Image,
    outbox: Outbox,
    *,
    boards: Mapping[str, BoardStatus],
    directs: Mapping[str, DirectStatus],
    uplinks: Mapping[str, UplinkStatus],
    alarms: Sequence[Snapshot],
    alarms_count: int | None = None,
    clock: StationClock,
    started_at: datetime,
    config_trouble: Snapshot | None = None,
    alarm_mode: Snapshot | None = None,
    history: Snapshot | None = None,
    cable_watch: Snapshot | None = None,
) -> Snapshot:
    """The station now. Ages are in seconds, None for never; times are RFC 3339 UTC.

    Of `alarms`, the most urgent first, ALARMS_MAX are in it, and how many more there are of all
    `alarms_count` of them; without a count, of those given.
    """
    now_s = time.monotonic()
    lines: list[BoardStatus | DirectStatus] = [*boards.values(), *directs.values()]
    counters = {name: c for line in lines for name, c in line.devices.items()}
    found = {
        "station": station.id,
        "name": station.file.station.name,
        "cable": station.file.station.cable_name,
        "at": to_text(utc_now()),
        "started_at": to_text(started_at),
        "version": version("shorewatch"),
        "config": station.config_hash,
        "config_trouble": config_trouble,
        "points": {str(quality): count for quality, count in image.counts().items()},
        "boards": {name: board_row(station, name, status) for name, status in boards.items()},
        "directs": {name: direct_row(station, name, status) for name, status in directs.items()},
        "devices": {
            device.id: device_row(device, image.look(device.id), counters.get(device.id), now_s)
            for device in station.devices.values()
        },
        "alarms": list(alarms[:ALARMS_MAX]),
        "alarms_more": max(0, (alarms_count or len(alarms)) - ALARMS_MAX),
        "alarm_mode": alarm_mode,
        "uplinks": {name: _uplink(status, outbox.last) for name, status in uplinks.items()},
        "clock": _clock(clock),
        "outbox": {
            "journal": outbox.journal,
            "first": outbox.first,
            "last": outbox.last,
            "written": outbox.written,
            "health": outbox.health,
        },
        "history": history,
        "cable_watch": cable_watch,
    }
    verdict = judge(found)
    faults = [fault.row for fault in verdict.faults[:FAULTS_MAX]]
    if left := len(verdict.faults) - len(faults):
        faults.append(Fault("verdict.unlisted", {"count": left}).row)
    return found | {"verdict": {"level": verdict.level.name.lower(), "faults": faults}}


def _clock(clock: StationClock) -> Snapshot:
    """The gateway's wall clock; what the kernel says of it is None where it says nothing."""
    kernel = clock.kernel
    return {
        "is_set": clock.is_set,
        "kernel_synchronised": kernel and kernel.is_synchronised,
        "kernel_error_s_max": kernel and kernel.error_s_max,
    }


def board_row(station: Station, board_id: str, status: BoardStatus) -> Snapshot:
    """One board as the snapshot has it."""
    header = status.header
    places = station.boards[board_id].bus
    return {
        "port": station.boards[board_id].link.port,
        "up": status.up,
        "reason": status.reason,
        "since": to_text(status.since),
        "round_trip_ms": round(status.round_trip_s * 1000, 1),
        "drift_ppm": status.drift_ppm,
        "firmware": header and header.firmware,
        "boot_reason": header and header.boot_reason,
        "running_s": header and header.clock_ms // 1000,
        "plan": header and f"{header.plan_crc:08x}",
        "heap_free": header and header.heap_free,
        "heap_free_least": header and header.heap_free_least,
        "worst_pass_ms": header and header.worst_pass_ms,
        "events_stamped": header and header.event_next,
        "buses": [
            {"uart": place.uart, "baud": place.baud, "format": place.format, **asdict(bus)}
            for place, bus in zip(places, status.buses, strict=False)
        ],
    }


def direct_row(station: Station, direct_id: str, status: DirectStatus) -> Snapshot:
    """One direct line as the snapshot has it."""
    return {
        "up": status.up,
        "reason": status.reason,
        "since": to_text(status.since),
        "where": station.directs[direct_id].where,
        "bus": status.bus and asdict(status.bus),
    }


def device_row(
    device: Device, values: Mapping[str, Value], counters: DeviceCounters | None, now_s: float
) -> Snapshot:
    """One device as the snapshot has it, at monotonic `now_s`."""
    return {
        "name": device.config.name,
        "profile": device.profile.name,
        "synthetic": device.profile.synthetic,
        **device.place,
        "unit_id": device.unit_id,
        "counters": counters and asdict(counters),
        "hint": counters and _hint(device, values, counters),
        "points": {name: _point(device, name, value, now_s) for name, value in values.items()},
    }


def _hint(device: Device, values: Mapping[str, Value], counters: DeviceCounters) -> str | None:
    """What to do about a device that answers, but not with what it was asked for."""
    is_refused = any(value.reason is Reason.DEVICE_EXCEPTION for value in values.values())
    if not is_refused or counters.exception != _ILLEGAL_ADDRESS:
        return None
    text = f"It answers exception 2: profile {device.profile.id} names a register that it has not"
    if device.profile.merge:
        text += ", or it refuses reads across gaps: then set merge = false there"
    return text


def _point(device: Device, name: str, value: Value, now_s: float) -> Snapshot:
    point = device.points[name]
    row: Snapshot = {
        "name": point.name,
        "text": point.text(value.value),
        "unit": point.unit,
        "text_unit": point.text_unit,
        "value": to_json(value.value),
        "quality": str(value.quality),
        "reason": value.reason and str(value.reason),
        "detail": value.detail,
        "age_s_max": point.age_max_s,
        "uncertainty_s": round(value.uncertainty_s, 4),
        "age_s": None if value.acquired_s is None else round(value.age_s(now_s), 3),
        "acquired_at": to_text(value.acquired_at),
    }
    if value.quality is Quality.BAD and value.last_good_at is not None:
        row["last_good_text"] = point.text(value.last_good)
        row["last_good_at"] = to_text(value.last_good_at)
    return row


def _uplink(status: UplinkStatus, last: int) -> Snapshot:
    told = status.published if status.plane == "sparkplug" else status.cursor
    return {
        "state": status.state,
        "text": status.text,
        "certificates": listed(status.certificates, utc_now()),
        "silent": {name: to_text(since) for name, since in status.silent.items()},
        "since": to_text(status.since),
        "published": status.published,
        "acknowledged": status.cursor,
        "waiting": max(0, last - told),
        "broker_acknowledged_only": status.is_broker_acknowledged_only,
        "refused_acks": status.refused_acks,
        "plane": status.plane,
        "refused_commands": status.refused_commands,
        "last_refusal": status.last_refusal,
        "requests": {
            "accepted": status.requests.accepted,
            "refused": status.requests.refused,
            "last_refusal": status.requests.last_refusal,
            "trouble": status.requests.trouble,
        },
    }
