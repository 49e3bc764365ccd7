"""Points as metrics: their types, what is said of a value, and whether that is news. Pure.

    point  -> name (its id), alias, datatype; unit, range, labels, name as properties of the birth
    value  -> value, time of acquisition, Quality (192 good, 0 bad or uncertain, 500 stale), Reason

A stale value keeps its last good one with that one's own time, so that no old value ever has a
fresh time. Any other bad value is null, at the time when that was found. Sparkplug has no word for
uncertain: such a value goes out as bad, with its number and the reason.
Source: Sparkplug 3.0.0, 6.4.12 (properties) and 6.4.13 (quality codes).
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from shorewatch.config import Station
from shorewatch.model import Quality, Reason, Scalar, Value
from shorewatch.point import ENUMS, Point
from shorewatch.registers import bounds
from shorewatch.sparkplug.payload import DataType, Metric, Plain, Property

BAD: Final = 0
GOOD: Final = 192
STALE: Final = 500
# Reasons for which nothing is known of the device itself: with all points so, it is lost.
_LOST: Final = frozenset(
    {
        Reason.NEVER_READ,
        Reason.STALE,
        Reason.LINK_DOWN,
        Reason.DEVICE_TIMEOUT,
        Reason.DEVICE_GARBLED,
        Reason.CONFIG,
        Reason.MAINTENANCE,
    }
)
_INTEGERS: Final = (
    (DataType.INT32, -(2**31), 2**31 - 1),
    (DataType.INT64, -(2**63), 2**63 - 1),
    (DataType.UINT64, 0, 2**64 - 1),
)


@dataclass(frozen=True, slots=True)
class Said:
    """What is told of a point: its value (None is null) at `at_ms`, its Quality and why."""

    value: Plain | None
    quality: int
    reason: str | None
    at_ms: int


@dataclass(frozen=True, slots=True)
class PointMetric:
    """One point of a device as the session knows it."""

    point: Point
    alias: int
    datatype: DataType

    def said(self, value: Value, now_ms: int) -> Said:
        """What is to be told of `value`, which was looked at at `now_ms`."""
        reason = None if value.reason is None else str(value.reason)
        if value.quality is not Quality.BAD:
            code = GOOD if value.quality is Quality.GOOD else BAD
            found = fitted(value.value, self.datatype)
            assert found is not None, f"{self.point.id}: {value.value!r} is no {self.datatype.name}"
            return Said(found, code, reason, to_ms(value.acquired_at, now_ms))
        if value.reason is Reason.STALE:
            last = fitted(value.last_good, self.datatype)
            return Said(last, STALE, reason, to_ms(value.last_good_at, now_ms))
        return Said(None, BAD, reason, now_ms)

    def is_news(self, before: Said, said: Said) -> bool:
        """Whether a host that knows `before` must be told: changed beyond the deadband, if at all.

        What the profile keeps out of the records (a heartbeat, a clock) is told twice within its
        maximum age, not at each reading.
        """
        if (before.quality, before.reason) != (said.quality, said.reason):
            return True
        if before.value == said.value:
            return False
        if not self.point.record:
            return said.at_ms - before.at_ms >= 500 * self.point.age_max_s
        if not self.point.is_numeric or before.value is None or said.value is None:
            return True
        assert not isinstance(before.value, (str, bytes)), "numeric points have numbers"
        assert not isinstance(said.value, (str, bytes)), "numeric points have numbers"
        return abs(said.value - before.value) - self.point.deadband > 1e-9 * abs(said.value)

    def birth(self, said: Said) -> Metric:
        """The metric with all that defines it."""
        return Metric(
            self.point.id,
            self.alias,
            said.at_ms,
            self.datatype,
            said.value,
            is_null=said.value is None,
            properties={**dict(_definition(self.point)), **_quality(said)},
        )

    def data(self, said: Said, before: Said | None = None) -> Metric:
        """The metric in DATA, its alias alone; historical without what was said `before`.

        The quality is left out where it is good and was: the commonest case by far.
        """
        is_still_good = before is not None and before.quality == said.quality == GOOD
        return Metric(
            None,
            self.alias,
            said.at_ms,
            self.datatype,
            said.value,
            is_null=said.value is None,
            is_historical=before is None,
            properties={} if is_still_good else _quality(said),
        )


def point_metrics(station: Station, first_alias: int) -> dict[str, dict[str, PointMetric]]:
    """The metrics of all devices by device and point; aliases count from `first_alias` on."""
    alias = first_alias
    found: dict[str, dict[str, PointMetric]] = {}
    for device in station.devices.values():
        found[device.id] = {}
        for point in device.points.values():
            found[device.id][point.id] = PointMetric(point, alias, datatype_of(point))
            alias += 1
    return found


def datatype_of(point: Point) -> DataType:
    """The type that holds every value of the point."""
    if point.type == "bit":
        return DataType.BOOLEAN
    if point.type == "string" or point.type in ENUMS:
        return DataType.STRING
    if not point.is_numeric:
        return DataType.UINT32
    scaling, raw = point.scaling, bounds(point.type)
    if raw is None or not scaling.is_whole or point.scale_by is not None:
        return DataType.DOUBLE
    ends = sorted(scaling.gain * end + scaling.offset for end in raw)
    for datatype, low, high in _INTEGERS:
        if low <= ends[0] and ends[1] <= high:
            return datatype
    return DataType.DOUBLE


def fitted(value: Scalar | None, datatype: DataType) -> Plain | None:
    """`value`, also as a record has it (a long integer as text), as `datatype`; None if it is none.

    A record may be older than the point's definition.
    """
    if value is None or datatype is DataType.STRING:
        return None if value is None else str(value)
    if datatype is DataType.BOOLEAN:
        return value if isinstance(value, bool) else None
    if isinstance(value, bool):
        return None
    if datatype is not DataType.DOUBLE and isinstance(value, float) and not value.is_integer():
        return None
    try:
        number = float(value) if datatype is DataType.DOUBLE else int(value)
    except (ValueError, OverflowError):
        return None
    return number if datatype is DataType.DOUBLE or _holds(datatype, int(number)) else None


def _holds(datatype: DataType, number: int) -> bool:
    limits = {kind: (low, high) for kind, low, high in _INTEGERS}
    low, high = limits.get(datatype, (0, 2**32 - 1))
    return low <= number <= high


def is_lost(values: Mapping[str, Value]) -> bool:
    """Whether nothing is known of the device: every point is bad for want of an answer."""
    return all(value.quality is Quality.BAD and value.reason in _LOST for value in values.values())


def to_ms(at: datetime | None, otherwise_ms: int) -> int:
    """Milliseconds since 1970, none before it."""
    return otherwise_ms if at is None else max(0, round(at.timestamp() * 1000))


def _definition(point: Point) -> Iterator[tuple[str, Property]]:
    """What a birth says of a point beside its value, by the names that Ignition reads."""
    yield "documentation", Property(DataType.STRING, point.name)
    yield "readOnly", Property(DataType.BOOLEAN, True)
    if point.unit:
        yield "engUnit", Property(DataType.STRING, point.unit)
    if point.range is not None:
        yield "engLow", Property(DataType.DOUBLE, point.range[0])
        yield "engHigh", Property(DataType.DOUBLE, point.range[1])
    if point.labels:
        text = json.dumps(point.labels, ensure_ascii=False)
        yield "labels", Property(DataType.STRING, text)


def _quality(said: Said) -> dict[str, Property]:
    found = {"Quality": Property(DataType.INT32, said.quality)}
    if said.reason is not None:
        found["Reason"] = Property(DataType.STRING, said.reason)
    return found
