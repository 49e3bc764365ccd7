"""The types of points as 16-bit words: how raw numbers and texts stand in registers. Pure.

A raw number is what a register says before scale, labels or sentinels: an int, a float, or the
bytes of a string. conversion.py gives it its meaning, decoder.py reads whole blocks of them.

Word orders of a 32-bit value 0xAABBCCDD in two registers: ABCD = AABB CCDD (big-endian, the
default), CDAB = words swapped, BADC = bytes swapped in each word, DCBA = both. 64-bit alike. A
string knows ABCD (its first character in the high byte) and BADC.
"""

import struct
from collections.abc import Sequence
from typing import Literal

Kind = Literal[
    "u16", "s16", "u32", "s32", "u64", "s64", "f32", "f64",
    "bit", "bits", "bits32", "enum", "enum32", "string",
]  # fmt: skip
Order = Literal["ABCD", "CDAB", "BADC", "DCBA"]
Raw = int | float | bytes

ADDRESSES = 0x10000
_FORMATS = {
    "u16": "H", "s16": "h", "u32": "I", "s32": "i", "u64": "Q", "s64": "q", "f32": "f", "f64": "d",
    "bit": "H", "bits": "H", "bits32": "I", "enum": "H", "enum32": "I",
}  # fmt: skip


def count_of(kind: str, registers: int = 1) -> int:
    """Registers (or bits) one of `kind` takes; a string takes `registers` of them."""
    return registers if kind == "string" else struct.calcsize(_FORMATS[kind]) // 2


def format_of(kind: str, registers: int = 1) -> str:
    """What struct calls the type."""
    return f"{2 * registers}s" if kind == "string" else _FORMATS[kind]


def bounds(kind: str) -> tuple[int, int] | None:
    """The least and the greatest raw number of an integer type; None for the others."""
    form = _FORMATS.get(kind, "f")
    if form in "fd":
        return None
    width = 8 * struct.calcsize(form)
    return (-(1 << width - 1), (1 << width - 1) - 1) if form.islower() else (0, (1 << width) - 1)


def is_exact(kind: str, number: int) -> bool:
    """Whether a raw number of this type can be `number`."""
    if limits := bounds(kind):
        return limits[0] <= number <= limits[1]
    try:
        return bool(struct.unpack(_FORMATS[kind], struct.pack(_FORMATS[kind], number))[0] == number)
    except OverflowError:
        return False


def picked(count: int, order: str) -> Sequence[int]:
    """The places of a value's registers in big-endian order of words."""
    return range(count - 1, -1, -1) if order in ("CDAB", "DCBA") else range(count)


def is_little(order: str) -> bool:
    """Whether the bytes of each register are swapped."""
    return order in ("BADC", "DCBA")


def unpack(words: Sequence[int], kind: str, order: str) -> Raw:
    """Registers, as read, to the raw number or bytes in them."""
    ends = "<" if is_little(order) else ">"
    data = struct.pack(f"{ends}{len(words)}H", *(words[i] for i in picked(len(words), order)))
    found: Raw = struct.unpack(f">{format_of(kind, len(words))}", data)[0]
    return found


def pack(raw: Raw, kind: str, order: str, registers: int = 1) -> list[int]:
    """The inverse of `unpack`; a string is filled up with NUL. Raises struct.error if it is out."""
    data = struct.pack(f">{format_of(kind, registers)}", raw)
    if len(data) > 2 * count_of(kind, registers):
        raise struct.error(f"{kind} is longer than {registers} registers")
    count = len(data) // 2
    words = struct.unpack(f"{'<' if is_little(order) else '>'}{count}H", data)
    return [words[i] for i in picked(count, order)]
