"""By what a device of a type is recognised: the entries of `signature` in a profile. Pure.

A sign asks for one thing that can be read: that a point of the profile is good there, or that a
register holds certain numbers, the device's own unit id, the code of the baud rate it is read at,
or is refused. `Sign.judged` says whether it is so, and how much that tells: in bits, since a word
that happens to fit means little where many would. Small numbers stand in many registers, and zero
in most: they tell less.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from shorewatch.model import Quality
from shorewatch.point import FUNCTIONS, Id, Point, TableName
from shorewatch.toml import Table

_SMALL = 256
_BITS_MAX = 12.0  # of one sign: several that agree tell more than one
_BITS_UNIT_ID = 6.0
_BITS_BAUD = 3.0
_BITS_REFUSED = 2.0
_BITS_FLOAT = 8.0  # few words make a float that could be a measurement
_TINY = 1e-6

Number = Annotated[int, Field(ge=0, le=0xFFFF)]


@dataclass(frozen=True, slots=True)
class Ask:
    """What is to be read for a sign."""

    function: int
    address: int
    count: int


# What came of it: words (of bits, 0 or 1 each), the code of an exception, or None: no answer.
Seen = Sequence[int] | int | None


@dataclass(frozen=True, slots=True)
class Judged:
    """Whether a sign is there (None: nobody knows), how many bits that tells, and in words."""

    is_there: bool | None
    bits: float
    said: str


class Sign(Table):
    """One thing by which a device of a type is recognised."""

    # A point of the profile: a good value is there; a number may have to be within `between`.
    point: Id | None = None
    between: Annotated[list[float], Field(min_length=2, max_length=2)] | None = None
    # Or a register (a bit), and what it holds.
    table: TableName | None = None
    address: Number | None = None
    holds: Annotated[list[Number], Field(min_length=1)] | None = None
    unit_id: bool = False
    baud: dict[str, int] = {}
    refused: bool = False

    def flaws(self, points: dict[str, Point]) -> Iterator[tuple[str, str]]:
        """What is wrong with it among these points: (key, rule)."""
        if self.point is not None:
            yield from self._point_flaws(points)
            return
        if self.table is None or self.address is None:
            yield "point", "names a point of this profile, or table and address of a register"
            return
        given = [bool(self.holds), self.unit_id, bool(self.baud), self.refused]
        if sum(given) != 1:
            yield "table", "says one of holds, unit_id = true, baud and refused = true"
        if self.between is not None:
            yield "between", "belongs to a point; here, holds lists the numbers"
        if self.table in ("coil", "discrete") and (self.unit_id or self.baud):
            yield "table", f"a {self.table} is a single bit: it holds no unit id and no baud rate"
        if self.table in ("coil", "discrete") and any(n > 1 for n in self.holds or ()):
            yield "holds", f"a {self.table} is a single bit: it holds 0 or 1"
        if any(not code.isdecimal() or int(code) > 0xFFFF for code in self.baud):
            yield "baud", "the keys are the codes in the register: numbers from 0 to 65535"

    def _point_flaws(self, points: dict[str, Point]) -> Iterator[tuple[str, str]]:
        point = points.get(str(self.point))
        if self.table is not None or self.address is not None or self.holds or self.baud:
            yield "point", "stands for table and address, and for what is there: leave those out"
        if self.unit_id or self.refused:
            yield "point", "has a value, no unit id and no refusal: leave those out"
        if point is None:
            yield "point", f"there is no point {self.point!r} in this profile"
        elif point.partners:
            yield "point", f"{point.id} is tied to other points; name one that stands alone"
        elif self.between is not None and not point.is_numeric:
            yield "between", f"{point.id} is of type {point.type}: no number"
        elif self.between is not None and self.between[0] > self.between[1]:
            yield "between", "must be [low, high] with low <= high"

    def ask(self, points: dict[str, Point]) -> Ask:
        """What is read for it."""
        if self.point is not None:
            point = points[self.point]
            return Ask(point.function, point.address, point.count)
        assert self.table is not None and self.address is not None, "checked with the profile"
        return Ask(FUNCTIONS[self.table], self.address, 1)

    def judged(
        self, points: dict[str, Point], seen: Seen, *, unit_id: int, baud: int | None
    ) -> Judged:
        """Whether what was read is the sign; `baud` is None where there is no such thing."""
        what = self.point or f"{self.table} {self.address:#06x}"
        if seen is None:
            return Judged(None, 0.0, f"{what}: no answer")
        if isinstance(seen, int):
            bits = _BITS_REFUSED if self.refused else 0.0
            return Judged(self.refused, bits, f"{what}: refused (exception {seen})")
        if self.refused:
            return Judged(False, 0.0, f"{what}: answered, and should be refused")
        if self.point is not None:
            return self._point_judged(points[self.point], seen)
        word = seen[0]
        if self.unit_id:
            return Judged(word == unit_id, _BITS_UNIT_ID, f"{what} holds {word}, the unit id")
        if self.baud:
            is_there = baud is None or self.baud.get(str(word)) == baud
            return Judged(is_there, _BITS_BAUD, f"{what} holds {word}, code of the baud rate")
        holds = self.holds or ()
        bits = _tells(16 - math.log2(len(holds) or 1), seen)
        return Judged(word in holds, bits, f"{what} holds {word}")

    def _point_judged(self, point: Point, words: Sequence[int]) -> Judged:
        value, quality, reason = point.decode(list(words))
        if quality is not Quality.GOOD or value is None:
            return Judged(False, 0.0, f"{point.id}: {reason or 'no value'}")
        said = f"{point.id} {point.text(value)} {point.text_unit}".rstrip()
        is_number = point.is_numeric and isinstance(value, (int, float))
        if is_number and point.type in ("f32", "f64") and any(words) and abs(float(value)) < _TINY:
            return Judged(False, 0.0, f"{point.id}: too small to be a measurement")
        if self.between is not None and is_number:
            low, high = self.between
            if not low <= float(value) <= high:
                return Judged(False, 0.0, f"{said}, not from {low:g} to {high:g}")
        return Judged(True, _tells(self._bits(point), words), said)

    def _bits(self, point: Point) -> float:
        """How much a good value of this point tells, before its words are looked at."""
        if point.type in ("f32", "f64"):
            return _BITS_FLOAT
        if point.type == "string":
            return _BITS_MAX
        if point.labels:
            known = len(point.labels)
            return known and max(0.0, point.width - math.log2(known)) / 2
        limits, span = point.raw_bounds, self.between or point.range
        if limits is None or span is None:
            return 0.0
        gain = abs(float(point.scaling.gain))
        width = max(1.0, (span[1] - span[0]) / gain)
        return max(0.0, math.log2((limits[1] - limits[0] + 1) / width))


def _tells(bits: float, words: Sequence[int]) -> float:
    """Fewer where the words are such as stand everywhere."""
    if not any(words):
        return min(bits, 1.0)
    if all(word < _SMALL for word in words):
        bits /= 2
    return min(bits, _BITS_MAX)
