"""Changes and minutes as few bytes, and back, exactly. Pure.

A chunk is columns, deflated where that helps:

    chunk   0 body | 1 deflate(body)
    body    count, column of times, states, values            an integer is a zigzag varint
    states  1 state (all the same) | 0 states, one byte each
    values  1 | 0 mask (one byte each: is there), kind, column
    kind    n none · i integers · b bits · 0 to 9 decimals · r single precision, rounded to nine
            decimals (as profile.py does) · f single · d double precision · j JSON
    column  first, least step, width, then each step less the least one, byte by byte of its width

Integers and decimals are kept as steps from one to the next. What is no number, or passes 63 bits,
is JSON. `DamagedError` is raised for bytes that no packing made.
"""

import json
import math
import struct
import zlib
from collections.abc import Sequence
from itertools import accumulate, pairwise

from shorewatch.model import Scalar
from shorewatch.trend import HOUR_MS, MINUTE_MS, Change, Span

_INTEGER_MAX = 2**62
_EXACT_MAX = 2**53
_DECIMALS = 9
_FLOATS = {"f": "f", "r": "f", "d": "d"}
_WIDTHS = (0, 1, 2, 4, 8)


class DamagedError(ValueError):
    """These bytes are no chunk."""


def pack_changes(changes: Sequence[Change]) -> bytes:
    """Ascending changes as bytes."""
    out = bytearray()
    _put_integer(out, len(changes))
    _put_integers(out, [change.at_ms for change in changes])
    _put_states(out, [change.state for change in changes])
    _put_values(out, [change.value for change in changes])
    return _deflated(out)


def unpack_changes(data: bytes) -> list[Change]:
    """The inverse of `pack_changes`."""
    reader = _Reader(data)
    count = reader.count()
    times, states = reader.integers(count), reader.states(count)
    return list(map(Change, times, states, reader.values(count)))


def pack_minutes(minutes: Sequence[Span]) -> bytes:
    """Up to 60 spans of whole minutes of one hour as bytes; means in single precision."""
    out = bytearray()
    _put_integer(out, len(minutes))
    _put_integers(out, [span.from_ms // MINUTE_MS for span in minutes])
    _put_states(out, [span.ended for span in minutes])
    _put_states(out, [span.worst for span in minutes])
    _put_integers(out, [span.good_ms for span in minutes])
    _put_integers(out, [span.known_ms for span in minutes])
    _put_values(out, [span.low for span in minutes])
    _put_values(out, [span.high for span in minutes])
    _put_values(out, [_shorter(span) for span in minutes])
    return _deflated(out)


def unpack_minutes(data: bytes) -> list[Span]:
    """The inverse of `pack_minutes`."""
    reader = _Reader(data)
    count = reader.count()
    if count > HOUR_MS // MINUTE_MS:
        raise DamagedError("an hour has 60 minutes")
    starts, ended, worst = reader.integers(count), reader.states(count), reader.states(count)
    good, known = reader.integers(count), reader.integers(count)
    low, high, mean = reader.numbers(count), reader.numbers(count), reader.numbers(count)
    return [
        Span(
            starts[i] * MINUTE_MS, (starts[i] + 1) * MINUTE_MS, low[i], mean[i], high[i],
            None, ended[i], worst[i], good[i], known[i],
        )
        for i in range(count)
    ]  # fmt: skip


def _shorter(span: Span) -> float | int | None:
    """The mean in single precision, where that stays between the extremes."""
    if span.mean is None or span.low is None or span.high is None:
        return None
    if span.low == span.high:
        return span.low
    try:
        (mean,) = struct.unpack("<f", struct.pack("<f", span.mean))
    except OverflowError:
        return span.mean
    return float(mean) if span.low <= mean <= span.high else span.mean


def _deflated(body: bytearray) -> bytes:
    packer = zlib.compressobj(6, zlib.DEFLATED, -15)
    small = packer.compress(body) + packer.flush()
    return b"\1" + small if len(small) < len(body) else b"\0" + bytes(body)


def _put_integer(out: bytearray, number: int) -> None:
    rest = number << 1 if number >= 0 else ~(number << 1)
    while rest > 0x7F:
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    out.append(rest)


def _put_states(out: bytearray, states: Sequence[int]) -> None:
    is_same = len(set(states)) == 1
    out.append(is_same)
    out += bytes(states[:1] if is_same else states)


def _put_integers(out: bytearray, numbers: Sequence[int]) -> None:
    if not numbers:
        return
    _put_integer(out, numbers[0])
    steps = [after - before for before, after in pairwise(numbers)]
    if steps:
        least = min(steps)
        rest = [step - least for step in steps]
        width = _width(max(rest))
        _put_integer(out, least)
        out.append(width)
        _put_planes(out, b"".join(step.to_bytes(width, "little") for step in rest), width)


def _width(most: int) -> int:
    """Bytes an integer up to `most` takes."""
    return next(width for width in _WIDTHS if most < 1 << 8 * width)


def _put_planes(out: bytearray, data: bytes, width: int) -> None:
    """First bytes first, then second ones: what is alike stands together."""
    for place in range(width):
        out += data[place::width]


def _put_values(out: bytearray, values: Sequence[Scalar | None]) -> None:
    there = [value for value in values if value is not None]
    out.append(len(there) == len(values))
    if len(there) < len(values):
        out += bytes(value is not None for value in values)
    if not there:
        out += b"n"
    elif all(isinstance(value, bool) for value in there):
        out += b"b"
        _put_integers(out, [int(value) for value in there])
    elif all(type(value) is int and abs(value) < _INTEGER_MAX for value in there):
        out += b"i"
        _put_integers(out, [int(value) for value in there])
    elif all(isinstance(value, float) and math.isfinite(value) for value in there):
        _put_floats(out, [float(value) for value in there])
    else:
        text = json.dumps(there, separators=(",", ":"), ensure_ascii=False).encode()
        out += b"j"
        _put_integer(out, len(text))
        out += text


def _put_floats(out: bytearray, values: Sequence[float]) -> None:
    kind = "d"
    if all(_single(value) == value for value in values):
        kind = "f"
    elif all(round(_single(value), _DECIMALS) == value for value in values):
        kind = "r"
    for decimals in range(_DECIMALS + 1):
        scaled = _scaled(values, 10**decimals)
        if scaled is None:
            continue
        steps = [after - before for before, after in pairwise(scaled)] or [0]
        if _width(max(steps) - min(steps)) <= struct.calcsize(_FLOATS[kind]):
            out += b"%d" % decimals
            _put_integers(out, scaled)
            return
        break
    out += kind.encode()
    code = _FLOATS[kind]
    _put_planes(out, struct.pack(f"<{len(values)}{code}", *values), struct.calcsize(code))


def _scaled(values: Sequence[float], factor: int) -> list[int] | None:
    """The values as whole numbers of 1 / factor, if each is one."""
    found: list[int] = []
    for value in values:
        scaled = value * factor
        if abs(scaled) >= _EXACT_MAX or round(scaled) / factor != value:
            return None
        found.append(round(scaled))
    return found


def _single(value: float) -> float:
    try:
        return float(struct.unpack("<f", struct.pack("<f", value))[0])
    except OverflowError:
        return math.nan


class _Reader:
    """Takes a chunk apart."""

    def __init__(self, data: bytes) -> None:
        try:
            self._data = zlib.decompress(data[1:], -15) if data[:1] == b"\1" else data[1:]
        except zlib.error as error:
            raise DamagedError(str(error)) from error
        self._place = 0

    def count(self) -> int:
        count = self._integer()
        if count < 0 or count > 100 * len(self._data) + 100_000:
            raise DamagedError("a count that no chunk has")
        return count

    def states(self, count: int) -> Sequence[int]:
        if self._bytes(1)[0]:
            return self._bytes(min(count, 1)) * count
        return self._bytes(count)

    def integers(self, count: int) -> list[int]:
        if count == 0:
            return []
        first = self._integer()
        if count == 1:
            return [first]
        least, width = self._integer(), self._bytes(1)[0]
        if width not in _WIDTHS:
            raise DamagedError("a width that no column has")
        data = self._planes(count - 1, width)
        steps = (
            least + int.from_bytes(data[i * width : (i + 1) * width], "little")
            for i in range(count - 1)
        )
        return list(accumulate(steps, initial=first))

    def values(self, count: int) -> list[Scalar | None]:
        is_full = self._bytes(1)[0]
        mask = b"\1" * count if is_full else self._bytes(count)
        there = iter(self._there(sum(map(bool, mask))))
        return [next(there) if is_there else None for is_there in mask]

    def numbers(self, count: int) -> list[float | int | None]:
        found: list[float | int | None] = []
        for value in self.values(count):
            if isinstance(value, str):
                raise DamagedError("a text where a number should be")
            found.append(value)
        return found

    def _there(self, count: int) -> Sequence[Scalar]:
        kind = self._bytes(1).decode("latin-1")
        if kind == "n" and count == 0:
            return []
        if kind == "i":
            return self.integers(count)
        if kind == "b":
            return [bool(number) for number in self.integers(count)]
        if kind in "0123456789":
            factor = 10 ** int(kind)
            return [number / factor for number in self.integers(count)]
        if kind in _FLOATS:
            code = _FLOATS[kind]
            found = struct.unpack(f"<{count}{code}", self._planes(count, struct.calcsize(code)))
            return [round(value, _DECIMALS) for value in found] if kind == "r" else found
        if kind == "j":
            return self._json(count)
        raise DamagedError("a kind that no column has")

    def _json(self, count: int) -> list[Scalar]:
        try:
            found = json.loads(self._bytes(self._integer()))
        except ValueError as error:
            raise DamagedError(str(error)) from error
        if not isinstance(found, list) or len(found) != count:
            raise DamagedError("a list of another length")
        return [value for value in found if isinstance(value, (str, int, float))]

    def _planes(self, count: int, width: int) -> bytes:
        data = self._bytes(count * width)
        whole = bytearray(len(data))
        for place in range(width):
            whole[place::width] = data[place * count : (place + 1) * count]
        return bytes(whole)

    def _integer(self) -> int:
        number = shift = 0
        while True:
            byte = self._bytes(1)[0]
            number |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return ~(number >> 1) if number & 1 else number >> 1

    def _bytes(self, count: int) -> bytes:
        found = self._data[self._place : self._place + count]
        if count < 0 or len(found) < count:
            raise DamagedError("it ends too early")
        self._place += count
        return found
