"""Report by exception: which values are worth a record.

A value is worth one when its quality or reason changed, or when it moved by more than the point's
deadband since it was last recorded (a point with no deadband: when it changed at all). Unchanged,
it is recorded again before half its maximum age has passed, so that a reader of records alone can
tell "the same" from "no longer read"; a bad one is not, since it cannot go stale. A point with
`record = false` in its profile (a heartbeat, a clock) is recorded on changes of quality only. Pure.
"""

from collections.abc import Mapping, Set
from typing import NamedTuple

from shorewatch.config import Station
from shorewatch.model import Quality, Scalar, Value, to_json
from shorewatch.point import Point


class Reporter:
    """Remembers what was last recorded of each point. A restart records everything once."""

    def __init__(self, station: Station) -> None:
        self._last: dict[str, dict[str, Value]] = {}
        self.adopt(station, {})

    def adopt(self, station: Station, kept: Mapping[str, Set[str]]) -> None:
        """Report for `station` from here on; of points not in `kept` (by device) all is new."""
        self._rules = {
            device.id: {point.id: _rule(point) for point in device.points.values()}
            for device in station.devices.values()
        }
        self._last = {
            device: {name: last[name] for name in kept.get(device, ()) if name in last}
            for device, last in ((id_, self._last.get(id_, {})) for id_ in self._rules)
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
        seen, rules = self._last[device_id], self._rules[device_id]
        for name, value in values.items():
            last = seen.get(name)
            if last is value or (last is not None and not _is_worth(rules[name], last, value)):
                continue
            seen[name] = value
            if value.uncertainty_s > uncertainty_s:
                uncertainty_s = value.uncertainty_s
            number = to_json(value.value)
            if number is not None:
                points[name] = number
            if value.reason is None:
                continue
            if value.quality is Quality.BAD:
                bad[name] = str(value.reason)
            else:
                uncertain[name] = str(value.reason)
        if not points and not bad:
            return None
        body: dict[str, object] = {"device": device_id, "uncertainty_s": round(uncertainty_s, 4)}
        tables = {"points": points, "bad": bad, "uncertain": uncertain}
        return body | {name: table for name, table in tables.items() if table}


class _Rule(NamedTuple):
    """What a point's records depend on; `deadband` is None where no number is compared."""

    is_recorded: bool
    deadband: float | None
    silent_s_max: float


def _rule(point: Point) -> _Rule:
    # The next reading must not come too late to end the point's silence.
    silent_s_max = max(0.0, point.age_max_s / 2 - point.period_s)
    return _Rule(point.record, point.deadband if point.is_numeric else None, silent_s_max)


def _is_worth(rule: _Rule, last: Value, value: Value) -> bool:
    if last.quality is not value.quality or last.reason is not value.reason:
        return True
    if not rule.is_recorded:
        return False
    found, before = value.value, last.value
    if found is None:
        return before is not None
    now_s, then_s = value.acquired_s, last.acquired_s
    if now_s is not None and then_s is not None and now_s - then_s > rule.silent_s_max:
        return True
    if rule.deadband is None or before is None:
        return found != before
    assert not isinstance(found, str) and not isinstance(before, str)
    return abs(found - before) - rule.deadband > 1e-9 * abs(found)
