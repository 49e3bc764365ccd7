"""A station's alarms as rules: what the file says, checked against the points that there are.

`compile_alarms` gives the rules that alarms.py runs, and every alarm that cannot be one, with its
place in the file: points that do not exist, limits that could never be passed, labels that no
device sends, alarms that would hide each other.
"""

import difflib
from collections.abc import Iterable, Mapping

from shorewatch.alarms import Rule, When
from shorewatch.config import AlarmConfig, Station
from shorewatch.errors import Problem
from shorewatch.mode import BUILT_IN
from shorewatch.model import Scalar
from shorewatch.point import ENUMS, Point

_WHEN = {
    "above": When.ABOVE, "below": When.BELOW, "is": When.IS, "is_not": When.IS_NOT,
    "bit": When.BIT, "bit_clear": When.BIT_CLEAR, "bad": When.BAD,
}  # fmt: skip


# What gateway/cable says of a cable without a fault; of another it says the fault.
NO_FAULT = ""


class _Wrong(Exception):
    """One thing wrong with the alarm at hand: key, value, rule."""

    def __init__(self, key: str, value: object, rule: str) -> None:
        super().__init__(rule)
        self.key, self.value, self.rule = key, value, rule


def compile_alarms(station: Station) -> tuple[list[Rule], list[Problem]]:
    """The rules of all alarms, and what is wrong with the others."""
    rules: list[Rule] = []
    problems: list[Problem] = []
    for config in station.file.alarm:
        try:
            rules.append(_compile(station, config))
        except _Wrong as wrong:
            value = None if wrong.value is None else str(wrong.value)
            problems.append(station.alarm_problem(config.id, wrong.key, value, wrong.rule))
    known = {config.id: config for config in station.file.alarm}
    problems += [
        station.alarm_problem(config.id, "suppressed_by", cause, rule)
        for config in station.file.alarm
        for cause in config.suppressed_by
        if (rule := _cause_fault(known, config, cause)) is not None
    ]
    return rules, problems


def _compile(station: Station, config: AlarmConfig) -> Rule:
    if config.id in BUILT_IN:
        raise _Wrong("id", config.id, "this alarm is Shorewatch's own; choose another id")
    when, limit = When.BAD, True
    found: Scalar = limit
    if config.point is None:
        noun, _, name = config.source.partition("/")
        table = "uplink" if noun == "consumers" else noun
        if noun != "gateway" and not station.has_raw(table, name):
            raise _Wrong(noun, name, f"the station has no {table} of this id")
        if config.gateway == "cable":
            if "cable" not in station.source.data:
                raise _Wrong(noun, name, "the station names no cable file: [cable] file = ...")
            when, found = When.IS_NOT, NO_FAULT
    else:
        (key, given), *_ = config.conditions.items()
        when = _WHEN[key]
        point = _point(station, config.point)
        found = given if point is None else _limit(point, key, given, config)
    return Rule(
        config.id, config.source, when, found, config.deadband, config.on_delay_s,
        config.off_delay_s, config.latch, tuple(config.suppressed_by), config.group,
        config.realarm_s or 0.0,
    )  # fmt: skip


def _point(station: Station, source: str) -> Point | None:
    """The point of that name; None if its device has a fault of its own."""
    device_id, _, name = source.partition(".")
    device = station.devices.get(device_id)
    if device is None:
        if station.has_raw("device", device_id):
            return None
        raise _Wrong("point", source, f"the station has no device {device_id!r}")
    if name not in device.points:
        rule = f"{device.profile.id} has no point {name!r}{_hint(name, device.points)}"
        raise _Wrong("point", source, rule)
    return device.points[name]


def _limit(point: Point, key: str, given: Scalar, config: AlarmConfig) -> Scalar:
    """The limit as the values of this point come."""
    if key == "bad":
        return True
    if key in ("above", "below"):
        if not point.is_numeric:
            raise _Wrong(key, given, f"{point.id} is of type {point.type}: it is no number")
        assert isinstance(given, (int, float)), "pydantic saw to it"
        if point.range is not None and not point.range[0] <= given <= point.range[1]:
            low, high = point.range
            rule = f"{point.id} is from {low:g} to {high:g} {point.unit}: this is never passed"
            raise _Wrong(key, given, rule)
        return given
    if key in ("bit", "bit_clear"):
        if point.type not in ("bits", "bits32"):
            raise _Wrong(key, given, f"{point.id} is of type {point.type}: it has no bits")
        return _labelled_bit(point, key, given)
    if point.type == "bit":
        if isinstance(given, bool):
            return given
        return bool(_labelled_bit(point, key, given))
    if point.type in ENUMS:
        if given not in point.labels.values():
            raise _Wrong(key, given, f"{point.id} is one of {_listed(point.labels.values())}")
        return given
    if point.type == "string":
        if not isinstance(given, str):
            raise _Wrong(key, given, f"{point.id} is of type string: give a text")
        return given
    raise _Wrong(key, given, f"{point.id} is of type {point.type}: use above, below or bit")


def _labelled_bit(point: Point, key: str, given: Scalar) -> int:
    numbers = {text: int(number) for number, text in point.labels.items()}
    if isinstance(given, str) and given in numbers:
        return numbers[given]
    most = 1 if point.type == "bit" else point.width - 1
    if isinstance(given, int) and not isinstance(given, bool) and 0 <= given <= most:
        return given
    near = _hint(str(given), numbers)
    raise _Wrong(key, given, f"{point.id} is one of {_listed(numbers)}{near}")


def _cause_fault(known: Mapping[str, AlarmConfig], config: AlarmConfig, cause: str) -> str | None:
    """Why `cause` cannot hide `config`, or None."""
    if cause not in known:
        return f"there is no alarm of this id{_hint(cause, known)}"
    return "it would hide itself" if config.id in _causes(known, cause) else None


def _causes(known: Mapping[str, AlarmConfig], alarm_id: str) -> set[str]:
    """The alarm and all that hide it, through any number of steps."""
    seen: set[str] = set()
    waiting = [alarm_id]
    while waiting:
        here = waiting.pop()
        if here not in seen and here in known:
            seen.add(here)
            waiting += known[here].suppressed_by
    return seen


def _hint(given: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(given, list(known), 1)
    return f"; did you mean {near[0]!r}?" if near else ""


def _listed(words: Iterable[str]) -> str:
    return ", ".join(repr(word) for word in words)
