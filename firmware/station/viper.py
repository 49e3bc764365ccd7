"""CRC-16 and byte copy as machine code, for VMs that have the viper emitter.

Imported by crc.py only, which falls back to bytecode where this module does not compile.
Nothing here checks bounds: callers pass indices inside their buffers.
"""

from array import array

import micropython

TABLE = array("H")


def attach(table: "array[int]") -> None:
    """Gives the CRC its table of 256 words, once, before the first crc16()."""
    global TABLE
    TABLE = table


@micropython.viper
def crc16(buf: ptr8, start: int, end: int) -> int:  # noqa: F821
    table = ptr16(TABLE)  # noqa: F821
    crc = 0xFFFF
    i = start
    while i < end:
        crc = (crc >> 8) ^ table[(crc ^ buf[i]) & 0xFF]
        i += 1
    return crc


@micropython.viper
def copy(target: ptr8, to: int, source: ptr8, at: int, size: int) -> int:  # noqa: F821
    i = 0
    while i < size:
        target[to + i] = source[at + i]
        i += 1
    return size
