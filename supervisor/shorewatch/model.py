"""The values that flow through the gateway: a number is nothing without its time and quality.

A `Value` is made once, by link.py, at the moment a block is decoded; everything after it (image,
outbox, MQTT, page) carries it unchanged. Ageing is the one thing that changes it later:
`Value.aged` turns a good value bad (stale) when its maximum age has passed (Promise 2).

Two clocks: `_at` is aware UTC, for people and records; `_s` is the monotonic clock, for ages, so
that a step of the wall clock can make no old value young.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum

import orjson

Scalar = float | int | bool | str

_JSON_INTEGER_MAX = 2**53 - 1


class Quality(StrEnum):
    """How far a value may be trusted."""

    GOOD = "good"
    UNCERTAIN = "uncertain"
    BAD = "bad"


class Reason(StrEnum):
    """Why a value is not good."""

    NEVER_READ = "never-read"
    STALE = "stale"
    LINK_DOWN = "link-down"
    DEVICE_TIMEOUT = "device-timeout"
    DEVICE_GARBLED = "device-garbled"
    DEVICE_EXCEPTION = "device-exception"
    SENTINEL = "sentinel"
    OUT_OF_RANGE = "out-of-range"
    FROZEN = "frozen"
    UNKNOWN_CODE = "unknown-code"
    DEVICE_DOUBT = "device-doubt"
    UNSETTLED = "unsettled"
    CONFIG = "config"
    MAINTENANCE = "maintenance"
    CLOCK = "clock-unsynchronised"


@dataclass(frozen=True, slots=True)
class Value:
    """One point at one moment.

    `value` is None exactly when quality is bad: the last good one is kept apart, with its time.
    `uncertainty_s` says how far `acquired_at` may be off, either way. `acquired_s` is not after the
    acquisition: an age by it may be too great by the time of a read, and is never too small.
    `detail` is what the device says of a value that is not good ("transducer fault"), in its
    profile's words.
    """

    quality: Quality
    reason: Reason | None = None
    value: Scalar | None = None
    acquired_at: datetime | None = None
    acquired_s: float | None = None
    uncertainty_s: float = 0.0
    last_good: Scalar | None = None
    last_good_at: datetime | None = None
    detail: str | None = None

    def __post_init__(self) -> None:
        assert (self.value is None) == (self.quality is Quality.BAD), "bad values carry no number"
        assert (self.reason is None) == (self.quality is Quality.GOOD), "not good, so say why"

    def made_bad(self, reason: Reason) -> "Value":
        """The same point, now bad for `reason`; the last good value and its time stay readable.

        An uncertain value is no good one: the last good one is then the one before it, if any.
        """
        if self.quality is Quality.BAD:
            return self if self.reason is reason else replace(self, reason=reason, detail=None)
        if self.quality is Quality.UNCERTAIN:
            return replace(self, quality=Quality.BAD, reason=reason, value=None, detail=None)
        return Value(
            Quality.BAD,
            reason,
            acquired_at=self.acquired_at,
            acquired_s=self.acquired_s,
            uncertainty_s=self.uncertainty_s,
            last_good=self.value,
            last_good_at=self.acquired_at,
        )

    def aged(self, now_s: float, age_s_max: float) -> "Value":
        """The same point seen at monotonic `now_s`: bad (stale) once older than `age_s_max`."""
        if self.quality is not Quality.BAD and self.age_s(now_s) > age_s_max:
            return self.made_bad(Reason.STALE)
        return self

    def age_s(self, now_s: float) -> float:
        """Seconds since acquisition; infinity if the point was never read."""
        return math.inf if self.acquired_s is None else max(0.0, now_s - self.acquired_s)


NEVER = Value(Quality.BAD, Reason.NEVER_READ)


class _Draft:
    """A good value while it is made: the slots of `Value`, not frozen yet."""

    __slots__ = Value.__slots__

    def __init__(
        self, value: Scalar, acquired_at: datetime, acquired_s: float, uncertainty_s: float
    ) -> None:
        self.quality = Quality.GOOD
        self.reason = None
        self.value = value
        self.acquired_at = acquired_at
        self.acquired_s = acquired_s
        self.uncertainty_s = uncertainty_s
        self.last_good = None
        self.last_good_at = None
        self.detail = None


def good_value(
    value: Scalar, acquired_at: datetime, acquired_s: float, uncertainty_s: float
) -> Value:
    """`Value(GOOD, None, value, ...)` in a quarter of its time; its rules hold by construction.

    A frozen dataclass sets each field through a function call; decoding makes a value for every
    point of every poll. A class of the same slots is filled and then given its real name.
    """
    draft = _Draft(value, acquired_at, acquired_s, uncertainty_s)
    draft.__class__ = Value  # type: ignore[assignment]
    return draft  # type: ignore[return-value]


def to_json(value: Scalar | None) -> Scalar | None:
    """The value as JSON carries it: an integer past 2^53 - 1, of either sign, as decimal text.

    Most readers of JSON (browsers among them) hold numbers as doubles and would round it in
    silence. Source: RFC 7493 (I-JSON), 2.2.
    """
    if type(value) is int and abs(value) > _JSON_INTEGER_MAX:
        return str(value)
    return value


def encode(body: Mapping[str, object]) -> bytes:
    """A JSON object as it is kept and as it goes out: compact UTF-8; NaN and infinity are null."""
    return orjson.dumps(body)


def utc_now() -> datetime:
    """The gateway's wall clock."""
    return datetime.now(UTC)


def to_text(at: datetime | None) -> str | None:
    """RFC 3339 in UTC with milliseconds, the one form we publish: 2026-11-22T16:44:00.123Z."""
    if at is None:
        return None
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def from_text(text: str) -> datetime:
    """The inverse of `to_text`; raises ValueError for what has no zone or is in no year in UTC."""
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError(f"a time needs its zone: {text!r}")
    try:
        return at.astimezone(UTC)
    except OverflowError as error:
        raise ValueError(f"{text!r} is before the year 1 or after 9999 in UTC") from error
