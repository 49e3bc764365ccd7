"""Report by exception: which values are worth a record.

A value is worth one when its quality or reason changed, or when it moved by more than the point's
deadband since it was last recorded (a point with no deadband: when it changed at all). Unchanged,
it is recorded again before half its maximum age has passed, so that a reader of records alone can
tell "the same" from "no longer read"; a bad one is not, since it cannot go stale. A point with
`record = false` in its profile (a heartbeat, a clock) is recorded on changes of quality only. Pure.
"""

from collections.abc import Mapping, Set

from shorewatch.config import Station
from shorewatch.model import Quality, Scalar, Value, to_json
from shorewatch.point import Point


class Reporter:
    """Remembers what was last recorded of each point. A restart records everything once."""

    def __init__(self, station: Station) -> None:
        self._station = station
        self._last: dict[tuple[str, str], Value] = {}

    def adopt(self, station: Station, kept: Mapping[str, Set[str]]) -> None:
        """Report for `station` from here on; of points not in `kept` (by device) all is new."""
        self._station = station
        self._last = {
            (device, name): value
            for (device, name), value in self._last.items()
            if name in kept.get(device, ())
        }

    def changes(self, device_id: str, values: Mapping[str, Value]) -> dict[str, object] | None:
        """The body of a sample record with the changed ones of `values`, or None.

        Shape: {"device", "points": {id: value}, "bad": {id: reason}, "uncertain": {id: reason},
        "uncertainty_s"}; empty tables are left out. The values must be of one acquisition.
        """
        points: dict[str, Scalar] = {}
        bad: dict[str, str] = {}
        uncertain: dict[str, str] = {}
        uncertainty_s = 0.0
        for name, value in values.items():
            if not self._is_worth(device_id, name, value):
                continue
            self._last[device_id, name] = value
            uncertainty_s = max(uncertainty_s, value.uncertainty_s)
            number = to_json(value.value)
            if number is not None:
                points[name] = number
            if value.quality is Quality.BAD:
                bad[name] = str(value.reason)
            elif value.quality is Quality.UNCERTAIN:
                uncertain[name] = str(value.reason)
        if not points and not bad:
            return None
        body: dict[str, object] = {"device": device_id, "uncertainty_s": round(uncertainty_s, 4)}
        tables = {"points": points, "bad": bad, "uncertain": uncertain}
        return body | {name: table for name, table in tables.items() if table}

    def _is_worth(self, device_id: str, name: str, value: Value) -> bool:
        point = self._station.devices[device_id].points[name]
        last = self._last.get((device_id, name))
        if last is None or (last.quality, last.reason) != (value.quality, value.reason):
            return True
        if not point.record:
            return False
        if _is_due(point, last, value):
            return True
        if point.is_numeric and value.value is not None and last.value is not None:
            assert not isinstance(value.value, str) and not isinstance(last.value, str)
            return abs(value.value - last.value) - point.deadband > 1e-9 * abs(value.value)
        return value.value != last.value


def _is_due(point: Point, last: Value, value: Value) -> bool:
    """Whether the next reading would come too late to end the point's silence."""
    if value.value is None or value.acquired_s is None or last.acquired_s is None:
        return False
    silent_s = value.acquired_s - last.acquired_s
    return silent_s > 0 and silent_s + point.period_s > point.age_max_s / 2
