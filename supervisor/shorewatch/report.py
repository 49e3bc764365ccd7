"""Report by exception: which values are worth a record.

A value is worth one when its quality or reason changed, or when it moved by more than the point's
deadband since it was last recorded (a point with no deadband: when it changed at all). A point with
`record = false` in its profile (a heartbeat, a clock) is recorded on changes of quality only. Pure.
"""

from collections.abc import Mapping

from shorewatch.config import Station
from shorewatch.model import Quality, Scalar, Value


class Reporter:
    """Remembers what was last recorded of each point. A restart records everything once."""

    def __init__(self, station: Station) -> None:
        self._station = station
        self._last: dict[tuple[str, str], Value] = {}

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
            if value.value is not None:
                points[name] = value.value
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
        if isinstance(value.value, float) and isinstance(last.value, float):
            return abs(value.value - last.value) - point.deadband > 1e-9 * abs(value.value)
        return value.value != last.value
