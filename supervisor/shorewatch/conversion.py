"""From raw numbers to what they mean: one function a point, built once, called for each reading.

A converter takes the raw number (registers.py) and returns the value, or a `Doubt`: why there is
none, or why it is not to be trusted. Sentinels, NaN, infinities, what scaling makes infinite and
what lies outside the range are never a number.

Integers are scaled in exact decimals: `scale = 0.1` means a tenth, so that 303 is 30.3, rounded
once, to the nearest double; whole scales keep integers exact at any size. A float32 has seven
digits, which are kept; a scaled float fifteen.
"""

import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction

from shorewatch.model import Quality, Reason, Scalar
from shorewatch.registers import Raw

_EXACT_MAX = 2**53
_PRINTABLE = range(0x20, 0x7F)


@dataclass(frozen=True, slots=True)
class Doubt:
    """What came out of a raw number that is no good value; `value` is None exactly when bad."""

    quality: Quality
    reason: Reason
    value: Scalar | None = None
    detail: str | None = None


Found = Scalar | Doubt
Converter = Callable[[Raw], Found]
Doubts = Mapping[float, Doubt]

OUT_OF_RANGE = Doubt(Quality.BAD, Reason.OUT_OF_RANGE)
_NO_NUMBER = Doubt(Quality.BAD, Reason.SENTINEL, detail="not a number")


@dataclass(frozen=True, slots=True)
class Scaling:
    """How raw numbers become values: times `gain`, plus `offset`, within `limits`."""

    gain: Fraction
    offset: Fraction
    limits: tuple[float, float] = (-sys.float_info.max, sys.float_info.max)

    @property
    def is_whole(self) -> bool:
        """Whether it keeps integers exact as integers."""
        return all(
            part.denominator == 1 and abs(part) <= _EXACT_MAX for part in (self.gain, self.offset)
        )

    def times(self, factor: Fraction) -> "Scaling":
        """The same with another gain."""
        return Scaling(self.gain * factor, self.offset, self.limits)


def decimal(number: float) -> Fraction:
    """The number as it was written: 0.1 is a tenth."""
    return Fraction(repr(number))


def to_float(number: Fraction) -> float:
    """The nearest double; infinite where there is none."""
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf


def integer(scaling: Scaling, doubts: Doubts) -> Callable[[int], Found]:
    """For integer types."""
    low, high = scaling.limits
    common = math.lcm(scaling.gain.denominator, scaling.offset.denominator)
    gain, offset = int(scaling.gain * common), int(scaling.offset * common)
    is_whole = scaling.is_whole

    def convert(raw: int) -> Found:
        if raw in doubts:
            return doubts[raw]
        try:
            value: float = raw * gain + offset
            if not is_whole:
                value /= common
        except OverflowError:
            return OUT_OF_RANGE
        return value if low <= value <= high else OUT_OF_RANGE

    return convert


def floating(scaling: Scaling, doubts: Doubts, *, is_single: bool) -> Callable[[float], Found]:
    """For f32 and f64."""
    low, high = scaling.limits
    gain, offset = to_float(scaling.gain), to_float(scaling.offset)
    is_scaled = (gain, offset) != (1.0, 0.0)

    def convert(raw: float) -> Found:
        if raw in doubts:
            return doubts[raw]
        value = float("%.7g" % raw) if is_single else raw  # noqa: UP031 -- a third faster
        if not math.isfinite(value):
            return _NO_NUMBER
        if is_scaled:
            value = float("%.15g" % (value * gain + offset))
        return value if low <= value <= high else OUT_OF_RANGE

    return convert


def enumeration(labels: Mapping[int, str], doubts: Doubts) -> Callable[[int], Found]:
    """For enum and enum32: the label; a code without one is uncertain, and shown."""
    known: Mapping[float, Found] = dict([*doubts.items(), *labels.items()])

    def convert(raw: int) -> Found:
        found = known.get(raw)
        if found is None:
            return Doubt(Quality.UNCERTAIN, Reason.UNKNOWN_CODE, f"unknown ({raw})")
        return found

    return convert


def field(doubts: Doubts) -> Callable[[int], Found]:
    """For bits and bits32: the number itself."""

    def convert(raw: int) -> Found:
        return doubts.get(raw, raw)

    return convert


def bit(place: int) -> Callable[[int], Found]:
    """For one bit of a word, 0 the least."""
    mask = 1 << place

    def convert(raw: int) -> Found:
        return raw & mask != 0

    return convert


def part(first_bit: int, width: int, inner: Callable[[int], Found]) -> Callable[[int], Found]:
    """For some bits of a word: `inner` gets them as a number of their own."""
    mask = (1 << width) - 1

    def convert(raw: int) -> Found:
        return inner(raw >> first_bit & mask)

    return convert


def text(raw: bytes) -> Found:
    r"""For strings: ASCII up to the first NUL, without spaces around.

    What cannot be printed is shown as `\xNN` and makes the text uncertain: no byte of a device
    may steer a terminal or a page.
    """
    shown = raw.split(b"\0", 1)[0].strip(b" ")
    if all(byte in _PRINTABLE for byte in shown):
        return shown.decode("ascii")
    escaped = "".join(chr(b) if b in _PRINTABLE else f"\\x{b:02x}" for b in shown)
    return Doubt(Quality.UNCERTAIN, Reason.UNKNOWN_CODE, escaped, "bytes that are no text")
