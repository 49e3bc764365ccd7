"""One point of a device type: its keys in a profile, and registers to its value and back.

A point says where it stands (table, 0-based address, type, word order), what it means (scale, unit,
labels, range) and how often it is worth reading. Here is what one point by itself can do; what its
keys must not say together stands in rules.py, what each key is for in profiles/README.md.
"""

import math
import re
import struct
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from functools import lru_cache
from typing import Annotated, Literal, cast

from pydantic import AfterValidator, BeforeValidator, Field

from shorewatch import conversion
from shorewatch.conversion import Converter, Doubt, Found, Scaling, decimal, to_float
from shorewatch.model import Quality, Reason, Scalar
from shorewatch.registers import Kind, Order, Raw, bounds, count_of, pack, unpack
from shorewatch.tie import QualityBy, ScaleBy
from shorewatch.toml import Table, printable

FUNCTIONS = {"coil": 1, "discrete": 2, "holding": 3, "input": 4}
AGE_S_MAX = 86_400.0
REGISTERS_MAX = 121
WORDS = ("u16", "s16")
SCALED = ("u16", "s16", "u32", "s32", "u64", "s64", "f32", "f64")
ENUMS = ("enum", "enum32")


def _plain(given: object, pattern: str, noun: str) -> object:
    """A table of codes, if each key is one, written plainly."""
    for key in given if isinstance(given, dict) else ():
        if not re.fullmatch(pattern, key):
            raise ValueError(f"{noun} key {key!r} must be a number, written plainly")
    return given


def _codes(given: object) -> object:
    """A list of raw numbers is a table without words."""
    if not isinstance(given, list):
        return _plain(given, r"0|-?[1-9][0-9]{0,19}", "sentinel")
    if not all(isinstance(code, int) and not isinstance(code, bool) for code in given):
        raise ValueError("sentinels are whole raw numbers")
    return {str(code): "" for code in given}


def _labels(given: object) -> object:
    return _plain(given, r"0|[1-9][0-9]{0,9}", "label")


# What a profile says to people: of a code or as a unit, and as a name.
Words = Annotated[str, Field(max_length=80), AfterValidator(printable)]
Name = Annotated[str, Field(min_length=1, max_length=80), AfterValidator(printable)]
Codes = Annotated[
    dict[str, Words], BeforeValidator(_codes, json_schema_input_type=list[int] | dict[str, str])
]
Id = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")]
TableName = Literal["coil", "discrete", "holding", "input"]
Beside = Mapping[str, Found]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LONG_S = 120


class Point(Table):
    """One measured thing of a device type."""

    id: Id
    name: Name
    table: TableName
    type: Kind
    address: Annotated[int, Field(ge=0, le=0xFFFF)]
    # Registers that a string takes.
    registers: Annotated[int, Field(ge=1, le=REGISTERS_MAX)] | None = None
    order: Order = "ABCD"
    # Only these bits of the register are the point's; bit 0 is the least.
    first_bit: Annotated[int, Field(ge=0, le=63)] | None = None
    bit_count: Annotated[int, Field(ge=1, le=64)] | None = None
    scale: float = 1.0
    offset: float = 0.0
    # Fixed point: raw / 2^n. Rated: raw / rated_raw x rated.
    binary_places: Annotated[int, Field(ge=1, le=63)] | None = None
    rated: float | None = None
    rated_raw: Annotated[int, Field(ge=1)] | None = None
    scale_by: ScaleBy | None = None
    quality_by: QualityBy | None = None
    unit: Words = ""
    digits: Annotated[int, Field(ge=0, le=9)] = 0
    # Seconds that are a moment (since 1970, UTC) or a length of time: people see them as such.
    shown_as: Literal["time", "duration"] | None = None
    range: Annotated[list[float], Field(min_length=2, max_length=2)] | None = None
    # Raw numbers that are no measurement, with what they say; bad (sentinel), bad (out-of-range).
    sentinels: Codes = {}
    out_of_range: Codes = {}
    labels: Annotated[dict[str, Words], BeforeValidator(_labels)] = {}
    period_s: Annotated[float, Field(ge=0.1, le=3600)] = 1.0
    age_s_max: Annotated[float, Field(gt=0, le=AGE_S_MAX)] | None = None
    # A heartbeat: standing still for longer than this, every point of the device is bad (frozen).
    unchanged_s_max: Annotated[float, Field(gt=0, le=AGE_S_MAX)] | None = None
    deadband: Annotated[float, Field(ge=0)] = 0.0
    record: bool = True
    # Shown on the page's overview, among the few of its device.
    headline: bool = False
    # Changes that the board itself stamps: each labelled bit, or a 16-bit word that passes a
    # threshold (in the point's unit; over again after falling back by the hysteresis).
    watch: Literal["change"] | None = None
    watch_above: float | None = None
    watch_below: float | None = None
    watch_hysteresis: Annotated[float, Field(ge=0)] = 0.0

    @property
    def function(self) -> int:
        """The Modbus function code that reads it."""
        return FUNCTIONS[self.table]

    @property
    def is_contact(self) -> bool:
        """Whether it stands in a table of single bits."""
        return self.table in ("coil", "discrete")

    @property
    def count(self) -> int:
        """Registers (or bits) it takes."""
        return count_of(self.type, self.registers or 1)

    @property
    def age_max_s(self) -> float:
        """Seconds after which the value is stale: as given, else three periods and two seconds."""
        return self.age_s_max if self.age_s_max is not None else 3 * self.period_s + 2.0

    @property
    def is_numeric(self) -> bool:
        """Whether scale, range and deadband mean anything for it."""
        return self.type in SCALED

    @property
    def width(self) -> int:
        """Bits of its raw number."""
        if self.first_bit is None:
            return 16 * self.count
        return self.bit_count or 1

    @property
    def raw_bounds(self) -> tuple[int, int] | None:
        """The least and the greatest raw number; None for floats and strings."""
        return bounds(self.type) if self.first_bit is None else (0, (1 << self.width) - 1)

    @property
    def scaling(self) -> Scaling:
        """How its raw numbers become values, as far as the profile says."""
        gain = decimal(self.scale)
        if self.binary_places is not None:
            gain /= 1 << self.binary_places
        if self.rated is not None and self.rated_raw is not None:
            gain *= decimal(self.rated) / self.rated_raw
        if self.range is None:
            return Scaling(gain, decimal(self.offset))
        return Scaling(gain, decimal(self.offset), (self.range[0], self.range[1]))

    @property
    def partners(self) -> Sequence[tuple[str, str]]:
        """(key, point) of the points it cannot be decoded without."""
        names = self.scale_by.names() if self.scale_by else ()
        found = [(f"scale_by.{key}", name) for key, name in names]
        return [*found, ("quality_by.point", self.quality_by.point)] if self.quality_by else found

    def converter(self) -> Converter:
        """From its raw number to its value, partners left aside. Made anew: keep it."""
        return self._converter(Fraction(1))

    def contact(self, place: int) -> Converter:
        """From a register in which it is bit `place`: bits are served 16 to one."""
        return cast(Converter, conversion.bit(place))

    def tied(self) -> Callable[[Raw, Beside], Found]:
        """From its raw number and the values of its partners to its value. Made anew: keep it."""
        scale_by, quality_by = self.scale_by, self.quality_by
        # A scale seldom changes, and making a converter costs more than a hundred readings.
        scaled = lru_cache(maxsize=8)(self._converter)

        def convert(raw: Raw, beside: Beside) -> Found:
            gain = Fraction(1) if scale_by is None else scale_by.gain(beside)
            found = gain if isinstance(gain, Doubt) else scaled(gain)(raw)
            if quality_by is None:
                return found
            return quality_by.judged(found, beside[quality_by.point])

        return convert

    def _converter(self, factor: Fraction) -> Converter:
        doubts = self._doubts()
        if self.type == "bit":
            found: object = conversion.bit(self.first_bit or 0)
        elif self.type == "string":
            found = conversion.text
        elif self.type in ("f32", "f64"):
            found = conversion.floating(
                self.scaling.times(factor), doubts, is_single=self.type == "f32"
            )
        else:
            if self.type in ENUMS:
                labels = {int(code): text for code, text in self.labels.items()}
                inner = conversion.enumeration(labels, doubts)
            elif self.is_numeric:
                inner = conversion.integer(self.scaling.times(factor), doubts)
            else:
                inner = conversion.field(doubts)
            if self.first_bit is not None:
                inner = conversion.part(self.first_bit, self.width, inner)
            found = inner
        return cast(Converter, found)  # takes what registers.py unpacks for the type

    def _doubts(self) -> conversion.Doubts:
        given = ((Reason.SENTINEL, self.sentinels), (Reason.OUT_OF_RANGE, self.out_of_range))
        return {
            int(code): Doubt(Quality.BAD, reason, detail=text or None)
            for reason, table in given
            for code, text in table.items()
        }

    def decode(self, words: Sequence[int]) -> tuple[Scalar | None, Quality, Reason | None]:
        """Registers (or one bit) to a value with its quality; the value is None when bad.

        `words` holds exactly `count` entries, as read. Only for a point without partners: the
        others are decoded with their block (decoder.py).
        """
        assert len(words) == self.count, f"{self.id}: {self.count} words belong to it"
        assert not self.partners, f"{self.id}: what it is tied to is missing here"
        found = self.converter()(unpack(words, self.type, self.order))
        if isinstance(found, Doubt):
            return found.value, found.quality, found.reason
        return found, Quality.GOOD, None

    def encode(self, value: Scalar, beside: Beside | None = None) -> list[int]:
        """A value to registers (or one bit): what a device of this type would hold.

        An enum takes a label or the raw number, bits the raw number; some bits of a register come
        in their place, all others 0. `beside` has the values of the points that its scale is tied
        to. Raises struct.error if the value does not fit.
        """
        raw = self._raw(value, beside or {})
        if self.first_bit is not None:
            assert isinstance(raw, int), "only integers have bits"
            if not 0 <= raw < 1 << self.width:
                raise struct.error(f"{self.id}: {raw} is longer than {self.width} bits")
            raw <<= self.first_bit
        return pack(raw, self.type, self.order, self.registers or 1)

    def _raw(self, value: Scalar, beside: Beside) -> Raw:
        if isinstance(value, str):
            if self.type == "string":
                return value.encode("ascii")
            codes = [int(code) for code, text in self.labels.items() if text == value]
            assert codes and self.type in ENUMS, f"{self.id}: {value!r} is no label of it"
            return codes[0]
        if self.type == "bit":
            return int(bool(value))
        if not self.is_numeric:
            return int(value)
        factor = self.scale_by.gain(beside) if self.scale_by else Fraction(1)
        assert isinstance(factor, Fraction), f"{self.id}: no scale beside it"
        scaling = self.scaling.times(factor)
        if self.type in ("f32", "f64"):
            return (value - to_float(scaling.offset)) / to_float(scaling.gain)
        return round((Fraction(value) - scaling.offset) / scaling.gain)

    def bit_places(self) -> dict[int, tuple[int, int]]:
        """For each bit that means something, the register (from its first) and the bit there."""
        places = {}
        for bit in [0] if self.type == "bit" else sorted(int(label) for label in self.labels):
            words = self.encode(1 << bit)
            register = next(i for i, word in enumerate(words) if word)
            places[bit] = (register, words[register].bit_length() - 1)
        return places

    def threshold(self, limit: float, *, is_above: bool) -> tuple[bool, int, int]:
        """A limit in the point's unit as raw numbers: (whether above, threshold, hysteresis).

        A negative scale turns above into below. Raises ValueError if no word could pass the
        threshold, or none could ever come back from it.
        """
        key = "watch_above" if is_above else "watch_below"
        low, high = (-0x8000, 0x7FFF) if self.type == "s16" else (0, 0xFFFF)
        gain, offset = self.scaling.gain, self.scaling.offset
        hysteresis = decimal(self.watch_hysteresis)
        back = decimal(limit) - (hysteresis if is_above else -hysteresis)
        raw_above = is_above == (gain > 0)
        to_raw = math.floor if raw_above else math.ceil
        begin, end = (to_raw((edge - offset) / gain) for edge in (decimal(limit), back))
        first, last = (low, high - 1) if raw_above else (low + 1, high)
        if not first <= begin <= last:
            ends = sorted(to_float(edge * gain + offset) for edge in (first, last))
            raise ValueError(f"must be from {ends[0]:g} to {ends[1]:g} here")
        if not low <= end <= high:
            raise ValueError(f"watch_hysteresis = {self.watch_hysteresis:g}: {key} would never end")
        return raw_above, begin, abs(begin - end)

    def text(self, value: Scalar | None) -> str:
        """A value as people read it, without its unit: `282.0`, `closed`."""
        if value is None:
            return "—"
        if self.type == "bit":
            return self.labels.get(str(int(value)), "on" if value else "off")
        if self.type in ("bits", "bits32") and isinstance(value, int):
            bits = [bit for bit in range(value.bit_length()) if value >> bit & 1]
            return ", ".join(self.labels.get(str(bit), f"bit {bit}") for bit in bits) or "none"
        if isinstance(value, str):
            return value
        if self.shown_as == "time":
            return _moment(value)
        if self.shown_as == "duration":
            return _length(value)
        return (
            str(value) if isinstance(value, int) and not self.digits else f"{value:.{self.digits}f}"
        )

    @property
    def text_unit(self) -> str:
        """The unit to stand behind `text`; none where the text says it all."""
        return self.unit if self.shown_as is None else ""


def _moment(since_1970_s: float) -> str:
    """A moment in UTC; a number that no calendar has stays one."""
    try:
        return f"{_EPOCH + timedelta(seconds=since_1970_s):%Y-%m-%d %H:%M:%S} UTC"
    except (OverflowError, ValueError):
        return f"{since_1970_s:g} s since 1970"


def _length(seconds: float) -> str:
    """A length of time to two units."""
    if abs(seconds) < _LONG_S:
        return f"{seconds:.0f} s"
    minutes = round(abs(seconds) / 60)
    sign = "-" if seconds < 0 else ""
    return (
        f"{sign}{minutes} min" if minutes < 120 else f"{sign}{minutes // 60} h {minutes % 60} min"
    )
