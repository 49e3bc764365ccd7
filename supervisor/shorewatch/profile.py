"""Device types as data: profiles/*.toml, and registers to values and back.

A profile lists a device type's points: where each stands (table, 0-based address, type, word
order), what it means (scale, unit, range) and how often it is worth reading. The gateway decodes
with it, the plan compiler merges by it, the simulated devices encode with it.

Word orders of a 32-bit value 0xAABBCCDD in two registers: ABCD = AABB CCDD (big-endian, the
default), CDAB = words swapped, BADC = bytes swapped in each word, DCBA = both. 64-bit alike.

A profile is checked twice: each table by itself, as it is read, then what only the whole shows
(`load_profile`). What could never work or never matter is refused rather than ignored.
"""

import math
import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from shorewatch.errors import ConfigError, Problem
from shorewatch.model import Quality, Reason, Scalar
from shorewatch.toml import Key, Table, read_toml

FUNCTIONS = {"coil": 1, "discrete": 2, "holding": 3, "input": 4}
_FORMATS = {
    "u16": ">H", "s16": ">h", "u32": ">I", "s32": ">i", "u64": ">Q", "s64": ">q",
    "f32": ">f", "f64": ">d", "bits": ">H", "bits32": ">I", "enum": ">H",
}  # fmt: skip

_ADDRESSES = 0x10000
_AGE_S_MAX = 86_400.0
_EXACT_MAX = 2**53
_WORDS = ("u16", "s16")
_SCALED = ("u16", "s16", "u32", "s32", "u64", "s64", "f32", "f64")
_CODES = {"bit": 2, "bits": 16, "bits32": 32, "enum": 0x10000}
_ONLY = "a board knows bits and single 16-bit words; let an alarm of the station watch this point"

Id = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")]
Name = Annotated[str, Field(min_length=1)]


class Point(Table):
    """One measured thing of a device type."""

    id: Id
    name: Name
    table: Literal["coil", "discrete", "holding", "input"]
    type: Literal[
        "u16", "s16", "u32", "s32", "u64", "s64", "f32", "f64", "bit", "bits", "bits32", "enum"
    ]
    address: Annotated[int, Field(ge=0, le=0xFFFF)]
    order: Literal["ABCD", "CDAB", "BADC", "DCBA"] = "ABCD"
    scale: float = 1.0
    offset: float = 0.0
    unit: str = ""
    digits: Annotated[int, Field(ge=0, le=9)] = 0
    range: Annotated[list[float], Field(min_length=2, max_length=2)] | None = None
    sentinels: list[int] = []
    labels: dict[str, str] = {}
    period_s: Annotated[float, Field(ge=0.1, le=3600)] = 1.0
    age_s_max: Annotated[float, Field(gt=0, le=_AGE_S_MAX)] | None = None
    # A heartbeat: standing still for longer than this, every point of the device is bad (frozen).
    unchanged_s_max: Annotated[float, Field(gt=0, le=_AGE_S_MAX)] | None = None
    deadband: Annotated[float, Field(ge=0)] = 0.0
    record: bool = True
    # Changes that the board itself stamps: each labelled bit, or a 16-bit word that passes a
    # threshold (in the point's unit; over again after falling back by the hysteresis).
    watch: Literal["change"] | None = None
    watch_above: float | None = None
    watch_below: float | None = None
    watch_hysteresis: Annotated[float, Field(ge=0)] = 0.0

    @field_validator("address")
    @classmethod
    def _ends_in_time(cls, address: int, info: ValidationInfo) -> int:
        kind = info.data.get("type")
        if kind is not None and address + _count(kind) > _ADDRESSES:
            raise ValueError(
                f"a {kind} takes {_count(kind)} registers, and the last one is {_ADDRESSES - 1}; "
                f"addresses here count from 0"
            )
        return address

    @field_validator("scale", "offset", "range", "deadband")
    @classmethod
    def _is_for_numbers(cls, given: object, info: ValidationInfo) -> object:
        kind = info.data.get("type")
        if given is not None and kind is not None and kind not in _SCALED:
            raise ValueError(f"belongs to numbers, and {kind} is none; leave it out")
        return given

    @field_validator("scale")
    @classmethod
    def _is_no_zero(cls, scale: float) -> float:
        if scale == 0:
            raise ValueError("scale must not be 0: every value would be the same")
        return scale

    @field_validator("range")
    @classmethod
    def _can_be_met(cls, limits: list[float] | None, info: ValidationInfo) -> list[float] | None:
        if limits is None:
            return None
        if limits[0] > limits[1]:
            raise ValueError("range must be [low, high] with low <= high")
        bounds = _bounds(info.data.get("type", ""))
        if bounds is not None and "scale" in info.data and "offset" in info.data:
            ends = sorted(raw * info.data["scale"] + info.data["offset"] for raw in bounds)
            if limits[1] < ends[0] or limits[0] > ends[1]:
                raise ValueError(
                    f"no value could be in [{limits[0]:g}, {limits[1]:g}]: with this type, scale "
                    f"and offset they go from {ends[0]:g} to {ends[1]:g}"
                )
        return limits

    @field_validator("sentinels")
    @classmethod
    def _can_be_read(cls, sentinels: list[int], info: ValidationInfo) -> list[int]:
        for sentinel in sentinels if "type" in info.data else []:
            if flaw := _sentinel_flaw(info.data["type"], sentinel):
                raise ValueError(flaw)
        return sentinels

    @field_validator("labels")
    @classmethod
    def _are_its_codes(cls, labels: dict[str, str], info: ValidationInfo) -> dict[str, str]:
        kind = info.data.get("type")
        if labels and kind is not None and kind not in _CODES:
            raise ValueError("labels belong to types bit, bits, bits32 and enum")
        seen: dict[str, str] = {}
        for label, text in labels.items():
            if not re.fullmatch(r"0|[1-9][0-9]{0,9}", label):
                raise ValueError(f"label key {label!r} must be a number, written plainly")
            if kind in _CODES and int(label) >= _CODES[kind]:
                codes = f"they go from 0 to {_CODES[kind] - 1}"
                noun = "bit" if kind.startswith("bits") else "value"
                raise ValueError(f"label {label} is no {noun} of {kind}: {codes}")
            if not text or text in seen:
                fault = f"labels {seen[text]} and {label} both say" if text else f"label {label} is"
                raise ValueError(f"{fault} {text!r}: give each its own words")
            seen[text] = label
        return labels

    @field_validator("unchanged_s_max")
    @classmethod
    def _has_time_to_change(cls, span_s: float | None, info: ValidationInfo) -> float | None:
        period_s = info.data.get("period_s")
        if span_s is not None and period_s is not None and span_s < 2 * period_s:
            raise ValueError(f"must be at least two periods ({2 * period_s:g} s)")
        return span_s

    @field_validator("watch")
    @classmethod
    def _is_watchable(cls, watch: str | None, info: ValidationInfo) -> str | None:
        kind, labels = info.data.get("type"), info.data.get("labels")
        if watch is not None and kind not in (None, "bit", "bits", "bits32"):
            rule = "boards watch words by watch_above and watch_below" if kind in _WORDS else _ONLY
            raise ValueError(f'watch = "change" is for types bit, bits and bits32; {rule}')
        if watch is not None and kind in ("bits", "bits32") and labels == {}:
            raise ValueError("the labelled bits are watched, and there are no labels")
        return watch

    @field_validator("watch_above", "watch_below")
    @classmethod
    def _is_a_word(cls, limit: float | None, info: ValidationInfo) -> float | None:
        kind = info.data.get("type")
        if limit is not None and kind is not None and kind not in _WORDS:
            raise ValueError(f"thresholds are for types u16 and s16; {_ONLY}")
        if limit is not None and info.data.get("order") in ("BADC", "DCBA"):
            raise ValueError(
                "boards compare words as they are read: none with swapped bytes; "
                "let an alarm of the station watch this point"
            )
        return limit

    @model_validator(mode="after")
    def _consistent(self) -> "Point":
        if (self.type == "bit") != (self.table in ("coil", "discrete")):
            raise ValueError("type bit belongs to tables coil and discrete, and to no other")
        if self.type == "enum" and not self.labels:
            raise ValueError("type enum needs labels: without, no value would mean anything")
        thresholds = (self.watch_above, self.watch_below)
        if self.watch_hysteresis and thresholds == (None, None):
            raise ValueError("watch_hysteresis needs watch_above or watch_below")
        if None not in thresholds and self.watch_below >= self.watch_above:  # type: ignore[operator]
            raise ValueError("watch_below must be less than watch_above")
        for limit, is_above in ((self.watch_above, True), (self.watch_below, False)):
            if limit is not None:
                self.threshold(limit, is_above=is_above)
        if self.age_max_s <= self.period_s:
            raise ValueError("age_s_max must be longer than period_s")
        return self

    @property
    def function(self) -> int:
        """The Modbus function code that reads it."""
        return FUNCTIONS[self.table]

    @property
    def count(self) -> int:
        """Registers (or bits) it takes."""
        return _count(self.type)

    @property
    def age_max_s(self) -> float:
        """Seconds after which the value is stale: as given, else three periods and two seconds."""
        return self.age_s_max if self.age_s_max is not None else 3 * self.period_s + 2.0

    @property
    def is_numeric(self) -> bool:
        """Whether scale, range and deadband mean anything for it."""
        return self.type in _SCALED

    @cached_property
    def _whole(self) -> tuple[int, int] | None:
        """Scale and offset if they keep integers exact, else None."""
        parts = (self.scale, self.offset)
        if not self.type.startswith(("u", "s")) or any(
            part != int(part) or abs(part) > _EXACT_MAX for part in parts
        ):
            return None
        return int(self.scale), int(self.offset)

    def bit_places(self) -> dict[int, tuple[int, int]]:
        """For each labelled bit, the register (from the point's first) and its bit there."""
        places = {}
        for bit in sorted(int(label) for label in self.labels):
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
        back = limit - self.watch_hysteresis if is_above else limit + self.watch_hysteresis
        raw_above = is_above == (self.scale > 0)
        to_raw = math.floor if raw_above else math.ceil
        raw = [(edge - self.offset) / self.scale for edge in (limit, back)]
        if not all(map(math.isfinite, raw)):
            raise ValueError(f"{key} = {limit:g}: no 16-bit word is that far out")
        # Rounded as decode() rounds: 0.3 / 0.1 is 3, not 2.9999999999999996.
        begin, end = (to_raw(round(number, 6)) for number in raw)
        ends = sorted(
            round(edge * self.scale + self.offset, 9)
            for edge in ((low, high - 1) if raw_above else (low + 1, high))
        )
        if not (low <= begin < high if raw_above else low < begin <= high):
            raise ValueError(f"{key} = {limit:g}: must be from {ends[0]:g} to {ends[1]:g} here")
        if not low <= end <= high:
            raise ValueError(f"watch_hysteresis = {self.watch_hysteresis:g}: {key} would never end")
        return raw_above, begin, abs(begin - end)

    def decode(self, words: Sequence[int]) -> tuple[Scalar | None, Quality, Reason | None]:
        """Registers (or one bit) to a value with its quality; the value is None when bad.

        `words` holds exactly `count` entries, as read. Integers stay exact where scale and offset
        are whole; other numbers are rounded to nine decimals (f32: to the seven digits it has). A
        sentinel, NaN, infinity, a value that scaling makes infinite or one outside the range is
        bad, never a number. A code without a label is uncertain: it was read well, but what it
        says is not known here. A bit without one leaves the others their meaning: good.
        """
        assert len(words) == self.count, f"{self.id}: {self.count} words belong to it"
        if self.type == "bit":
            return bool(words[0]), Quality.GOOD, None
        raw = struct.unpack(_FORMATS[self.type], _ordered(words, self.order))[0]
        if raw in self.sentinels:
            return None, Quality.BAD, Reason.SENTINEL
        if self.type == "enum":
            if str(raw) in self.labels:
                return self.labels[str(raw)], Quality.GOOD, None
            return f"unknown ({raw})", Quality.UNCERTAIN, Reason.UNKNOWN_CODE
        if not self.is_numeric:
            return raw, Quality.GOOD, None
        if not math.isfinite(raw):
            return None, Quality.BAD, Reason.SENTINEL
        value = self._scaled(raw)
        low, high = self.range or (-math.inf, math.inf)
        if not (math.isfinite(value) and low <= value <= high):
            return None, Quality.BAD, Reason.OUT_OF_RANGE
        return value, Quality.GOOD, None

    def encode(self, value: Scalar) -> list[int]:
        """A value to registers (or one bit): what a device of this type would hold.

        Enum and bits take the raw number here. Raises struct.error if it does not fit the type.
        """
        if self.type == "bit":
            return [int(bool(value))]
        assert not isinstance(value, str), "encode takes numbers"
        raw: float = value
        if self._whole is not None:
            scale, offset = self._whole
            raw = round((Fraction(value) - offset) / scale)
        elif self.is_numeric:
            raw = (value - self.offset) / self.scale
        if self.type not in ("f32", "f64"):
            raw = round(raw)
        data = struct.pack(_FORMATS[self.type], raw)
        words = [int.from_bytes(data[i : i + 2]) for i in range(0, len(data), 2)]
        packed = _ordered(words, self.order)
        return [int.from_bytes(packed[i : i + 2]) for i in range(0, len(packed), 2)]

    def _scaled(self, raw: float) -> float | int:
        if self._whole is not None:
            scale, offset = self._whole
            return int(raw) * scale + offset
        if self.type == "f32":
            raw = float(f"{raw:.7g}")
        return round(raw * self.scale + self.offset, 9)

    def text(self, value: Scalar | None) -> str:
        """A value as people read it, without its unit: `282.0`, `closed`."""
        if value is None:
            return "—"
        if self.type == "bit":
            return self.labels.get(str(int(value)), "on" if value else "off")
        if self.type in ("bits", "bits32") and isinstance(value, int):
            bits = [bit for bit in range(value.bit_length()) if value >> bit & 1]
            return ", ".join(self.labels.get(str(bit), f"bit {bit}") for bit in bits) or "none"
        if isinstance(value, str) or (isinstance(value, int) and not self.digits):
            return str(value)
        return f"{value:.{self.digits}f}"


class Whole(Table):
    """Registers that belong to one snapshot: always read together, in one request."""

    table: Literal["coil", "discrete", "holding", "input"]
    address: Annotated[int, Field(ge=0, le=0xFFFF)]
    count: Annotated[int, Field(ge=1, le=1936)]


class Profile(Table):
    """One device type: profiles/<id>.toml."""

    id: Id
    name: Name
    source: Name
    synthetic: bool = False
    # How the device answers: at most this many registers (bits: 16 times as many) a request ...
    registers_max: Annotated[int, Field(ge=1, le=121)] = 121
    # ... whether a request may run across registers no point needs ...
    merge: bool = True
    # ... when its reply is usually complete at the latest, and when it may still come at worst.
    timeout_ms: Annotated[int, Field(ge=20, le=5000)] = 200
    worst_ms: Annotated[int, Field(ge=20, le=10000)] = 400
    retries: Annotated[int, Field(ge=0, le=3)] = 1
    whole: list[Whole] = []
    point: Annotated[list[Point], Field(min_length=1, max_length=400)]

    @cached_property
    def points(self) -> Mapping[str, Point]:
        """The points by id, in the file's order."""
        return {point.id: point for point in self.point}


def load_profile(path: Path) -> Profile:
    """Read and validate one profile file; raises ConfigError with every problem in it."""
    source = read_toml(path)
    profile, problems = source.parse(Profile)
    if profile is not None:
        problems = [source.problem(*found) for found in _problems(profile)]
    if profile is None or problems:
        raise ConfigError(problems)
    return profile


def load_profiles(folder: Path | None = None) -> Mapping[str, Profile]:
    """All profiles shipped with Shorewatch, plus those of `folder`, by id.

    A file's name is its profile's id; a user's profile may not take the id of a shipped one.
    """
    shipped = Path(str(resources.files("shorewatch"))) / "profiles"
    found: dict[str, Profile] = {}
    problems: list[Problem] = []
    for path in [
        *sorted(shipped.glob("*.toml")),
        *(sorted(folder.glob("*.toml")) if folder else ()),
    ]:
        try:
            profile = load_profile(path)
        except ConfigError as error:
            problems += error.problems
            continue
        if profile.id != path.stem:
            problems.append(Problem(str(path), 1, "id", profile.id, "must equal the file's name"))
        elif profile.id in found:
            problems.append(Problem(str(path), 1, "id", profile.id, "is already a shipped profile"))
        found.setdefault(profile.id, profile)
    if problems:
        raise ConfigError(problems)
    return found


def _problems(profile: Profile) -> Iterator[tuple[Key, str, str]]:
    """What only the whole file shows: (key, value, rule)."""
    if profile.worst_ms < profile.timeout_ms:
        key = "worst_ms" if "worst_ms" in profile.model_fields_set else "timeout_ms"
        rule = f"worst_ms must not be shorter than timeout_ms ({profile.timeout_ms})"
        yield (key,), str(profile.worst_ms), rule
    seen: set[str] = set()
    for i, point in enumerate(profile.point):
        if point.id in seen:
            yield ("point", i, "id"), point.id, "this point id is used twice"
        seen.add(point.id)
        if point.type != "bit" and point.count > profile.registers_max:
            rule = (
                f"takes {point.count} registers, and registers_max allows {profile.registers_max} "
                f"a request: its parts would be of different moments"
            )
            yield ("point", i, "type"), point.type, rule
    for i, whole in enumerate(profile.whole):
        for rule in _whole_flaws(profile, whole):
            yield ("whole", i), f"address {whole.address}, count {whole.count}", rule


def _whole_flaws(profile: Profile, whole: Whole) -> Iterator[str]:
    end = whole.address + whole.count
    if end > _ADDRESSES:
        yield f"runs past the last address, {_ADDRESSES - 1}"
    if whole.count > profile.registers_max * (1 if whole.table in ("holding", "input") else 16):
        yield f"is longer than one request may be (registers_max = {profile.registers_max})"
    touched = [
        point
        for point in profile.point
        if point.table == whole.table
        and point.address < end
        and point.address + point.count > whole.address
    ]
    if not touched:
        yield "has no point in it"
    for point in touched:
        if point.address < whole.address or point.address + point.count > end:
            yield f"cuts point {point.id!r} in two"


def _sentinel_flaw(kind: str, sentinel: int) -> str | None:
    """Why a sentinel could never be read as this type, with what may have been meant."""
    if kind == "bit":
        return "sentinels belong to registers, and a bit is none; leave them out"
    bounds = _bounds(kind)
    if bounds is None:
        try:
            is_exact = struct.unpack(_FORMATS[kind], struct.pack(_FORMATS[kind], sentinel))[0]
        except OverflowError:
            is_exact = None
        if is_exact == sentinel:
            return None
        return f"{sentinel} is no {kind}, so it would never match; give the nearest one that is"
    low, high = bounds
    if low <= sentinel <= high:
        return None
    text = f"{sentinel} is no {kind} ({low} to {high}), so it would never match"
    meant = (sentinel - low) % (high - low + 1) + low
    is_same_word = abs(sentinel - meant) == high - low + 1
    return f"{text}; the same registers read as {kind} are {meant}" if is_same_word else text


def _count(kind: str) -> int:
    return 1 if kind == "bit" else struct.calcsize(_FORMATS[kind]) // 2


def _bounds(kind: str) -> tuple[int, int] | None:
    """The least and the greatest raw number of an integer type; None for the others."""
    form = _FORMATS.get(kind, ">f")
    if form in (">f", ">d"):
        return None
    width = 8 * struct.calcsize(form)
    return (-(1 << width - 1), (1 << width - 1) - 1) if form[1].islower() else (0, (1 << width) - 1)


def _ordered(words: Sequence[int], order: str) -> bytes:
    """Registers as big-endian bytes in ABCD order, undoing `order` (its own inverse)."""
    swapped = list(reversed(words)) if order in ("CDAB", "DCBA") else words
    little = order in ("BADC", "DCBA")
    return b"".join(word.to_bytes(2, "little" if little else "big") for word in swapped)
