"""Device types as data: profiles/*.toml, and registers to values and back.

A profile lists a device type's points: where each stands (table, 0-based address, type, word
order), what it means (scale, unit, range) and how often it is worth reading. The gateway decodes
with it, the plan compiler merges by it, the simulated devices encode with it.

Word orders of a 32-bit value 0xAABBCCDD in two registers: ABCD = AABB CCDD (big-endian, the
default), CDAB = words swapped, BADC = bytes swapped in each word, DCBA = both. 64-bit alike.
"""

import math
import struct
from collections.abc import Mapping, Sequence
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from shorewatch.errors import ConfigError, Problem
from shorewatch.model import Quality, Reason, Scalar
from shorewatch.toml import Table, load_toml

FUNCTIONS = {"coil": 1, "discrete": 2, "holding": 3, "input": 4}
_FORMATS = {
    "u16": ">H", "s16": ">h", "u32": ">I", "s32": ">i", "u64": ">Q", "s64": ">q",
    "f32": ">f", "f64": ">d", "bits": ">H", "bits32": ">I", "enum": ">H",
}  # fmt: skip

_WORDS = ("u16", "s16")
_ONLY = "a board knows bits and single 16-bit words; let an alarm of the station watch this point"

Id = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")]


class Point(Table):
    """One measured thing of a device type."""

    id: Id
    name: str
    table: Literal["coil", "discrete", "holding", "input"]
    address: Annotated[int, Field(ge=0, le=0xFFFF)]
    type: Literal[
        "u16", "s16", "u32", "s32", "u64", "s64", "f32", "f64", "bit", "bits", "bits32", "enum"
    ]
    order: Literal["ABCD", "CDAB", "BADC", "DCBA"] = "ABCD"
    scale: float = 1.0
    offset: float = 0.0
    unit: str = ""
    digits: Annotated[int, Field(ge=0, le=9)] = 0
    range: Annotated[list[float], Field(min_length=2, max_length=2)] | None = None
    sentinels: list[int] = []
    labels: dict[str, str] = {}
    period_s: Annotated[float, Field(ge=0.1, le=3600)] = 1.0
    age_s_max: Annotated[float, Field(gt=0)] | None = None
    deadband: Annotated[float, Field(ge=0)] = 0.0
    record: bool = True
    # Changes that the board itself stamps: each labelled bit, or a 16-bit word that passes a
    # threshold (in the point's unit; over again after falling back by the hysteresis).
    watch: Literal["change"] | None = None
    watch_above: float | None = None
    watch_below: float | None = None
    watch_hysteresis: Annotated[float, Field(ge=0)] = 0.0

    @field_validator("watch")
    @classmethod
    def _is_watchable(cls, watch: str | None, info: ValidationInfo) -> str | None:
        kind, labels = info.data.get("type"), info.data.get("labels", {})
        if watch is not None and kind not in (None, "bit", "bits", "bits32"):
            rule = "boards watch words by watch_above and watch_below" if kind in _WORDS else _ONLY
            raise ValueError(f'watch = "change" is for types bit, bits and bits32; {rule}')
        if watch is not None and kind in ("bits", "bits32"):
            if not labels:
                raise ValueError("the labelled bits are watched, and there are no labels")
            width = 16 if kind == "bits" else 32
            for label in labels:
                if label.isdecimal() and int(label) >= width:
                    raise ValueError(f"label {label} is no bit of {kind}: there are {width}")
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
        if self.scale == 0:
            raise ValueError("scale must not be 0: every value would be the same")
        if self.range is not None and self.range[0] > self.range[1]:
            raise ValueError("range must be [low, high] with low <= high")
        if self.labels and self.type not in ("enum", "bit", "bits", "bits32"):
            raise ValueError("labels belong to types bit, bits, bits32 and enum")
        for label in self.labels:
            if not label.isdecimal():
                raise ValueError(f"label key {label!r} must be a number")
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
        return 1 if self.type == "bit" else struct.calcsize(_FORMATS[self.type]) // 2

    @property
    def age_max_s(self) -> float:
        """Seconds after which the value is stale: as given, else three periods and two seconds."""
        return self.age_s_max if self.age_s_max is not None else 3 * self.period_s + 2.0

    @property
    def is_numeric(self) -> bool:
        """Whether scale, range and deadband mean anything for it."""
        return self.type not in ("bit", "bits", "bits32", "enum")

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
        # Rounded as decode() rounds: 0.3 / 0.1 is 3, not 2.9999999999999996.
        begin, end = (to_raw(round((edge - self.offset) / self.scale, 6)) for edge in (limit, back))
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

        `words` holds exactly `count` entries, as read. Numbers are scaled, and rounded to nine
        decimals (f32: to the seven digits it has); a sentinel, NaN, infinity or a value outside the
        range is bad, never a number.
        """
        assert len(words) == self.count, f"{self.id}: {self.count} words belong to it"
        if self.type == "bit":
            return bool(words[0]), Quality.GOOD, None
        raw = struct.unpack(_FORMATS[self.type], _ordered(words, self.order))[0]
        if raw in self.sentinels:
            return None, Quality.BAD, Reason.SENTINEL
        if not self.is_numeric:
            return self._labelled(raw), Quality.GOOD, None
        if raw != raw or raw in (float("inf"), float("-inf")):
            return None, Quality.BAD, Reason.SENTINEL
        if self.type == "f32":
            raw = float(f"{raw:.7g}")
        value = round(raw * self.scale + self.offset, 9)
        if self.range is not None and not self.range[0] <= value <= self.range[1]:
            return None, Quality.BAD, Reason.OUT_OF_RANGE
        return value, Quality.GOOD, None

    def encode(self, value: Scalar) -> list[int]:
        """A value to registers (or one bit): what a device of this type would hold.

        Enum and bits take the raw number here. Raises struct.error if it does not fit the type.
        """
        if self.type == "bit":
            return [int(bool(value))]
        assert not isinstance(value, str), "encode takes numbers"
        raw: float = (value - self.offset) / self.scale if self.is_numeric else value
        if self.type not in ("f32", "f64"):
            raw = round(raw)
        data = struct.pack(_FORMATS[self.type], raw)
        words = [int.from_bytes(data[i : i + 2]) for i in range(0, len(data), 2)]
        packed = _ordered(words, self.order)
        return [int.from_bytes(packed[i : i + 2]) for i in range(0, len(packed), 2)]

    def _labelled(self, raw: int) -> Scalar:
        if self.type == "enum":
            return self.labels.get(str(raw), f"unknown ({raw})")
        return raw

    def text(self, value: Scalar | None) -> str:
        """A value as people read it, without its unit: `282.0`, `closed`."""
        if value is None:
            return "—"
        if self.type == "bit":
            return self.labels.get(str(int(value)), "on" if value else "off")
        if self.type in ("bits", "bits32") and isinstance(value, int):
            names = [text for bit, text in self.labels.items() if value >> int(bit) & 1]
            return ", ".join(names) or "none"
        return str(value) if isinstance(value, str) else f"{value:.{self.digits}f}"


class Whole(Table):
    """Registers that belong to one snapshot: always read together, in one request."""

    table: Literal["coil", "discrete", "holding", "input"]
    address: Annotated[int, Field(ge=0, le=0xFFFF)]
    count: Annotated[int, Field(ge=1, le=1936)]


class Profile(Table):
    """One device type: profiles/<id>.toml."""

    id: Id
    name: str
    source: str
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

    @model_validator(mode="after")
    def _consistent(self) -> "Profile":
        if self.worst_ms < self.timeout_ms:
            raise ValueError("worst_ms must not be shorter than timeout_ms")
        seen: set[str] = set()
        for point in self.point:
            if point.id in seen:
                raise ValueError(f"point id {point.id!r} is used twice")
            seen.add(point.id)
        for whole in self.whole:
            bits = whole.table in ("coil", "discrete")
            if whole.count > self.registers_max * (16 if bits else 1):
                raise ValueError(f"whole at {whole.address} is longer than one request may be")
        return self

    @cached_property
    def points(self) -> Mapping[str, Point]:
        """The points by id, in the file's order."""
        return {point.id: point for point in self.point}


def load_profile(path: Path) -> Profile:
    """Read and validate one profile file; raises ConfigError with every problem in it."""
    return load_toml(path, Profile)


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


def _ordered(words: Sequence[int], order: str) -> bytes:
    """Registers as big-endian bytes in ABCD order, undoing `order` (its own inverse)."""
    swapped = list(reversed(words)) if order in ("CDAB", "DCBA") else words
    little = order in ("BADC", "DCBA")
    return b"".join(word.to_bytes(2, "little" if little else "big") for word in swapped)
