"""CRC-16 of Modbus RTU, and a byte copy: the two inner loops that are worth machine code.

Polynomial 0xA001 (reflected 0x8005), start value 0xFFFF, low byte first on the wire.
Source: MODBUS over Serial Line V1.02, 2.5.1.2 and appendix B.
Measured on an RP2040 for 25 bytes: bytecode 322 us, viper 26 us. Both allocate nothing.
"""

import sys
from array import array


def _table() -> "array[int]":
    table = array("H")
    for value in range(256):
        for _ in range(8):
            value = (value >> 1) ^ 0xA001 if value & 1 else value >> 1
        table.append(value)
    return table


TABLE = _table()


def crc16_bytecode(buf: bytearray, start: int, end: int) -> int:
    """CRC of buf[start:end]."""
    table = TABLE
    crc = 0xFFFF
    i = start
    while i < end:
        crc = (crc >> 8) ^ table[(crc ^ buf[i]) & 0xFF]
        i += 1
    return crc


def copy_bytecode(target: bytearray, to: int, source: bytearray, at: int, size: int) -> None:
    """Copies size bytes from source[at] to target[to]; both ranges lie inside their buffers."""
    i = 0
    while i < size:
        target[to + i] = source[at + i]
        i += 1


crc16 = crc16_bytecode
copy = copy_bytecode
if sys.implementation.name == "micropython":
    try:
        # A file of its own: a VM without the emitter refuses to compile any file that uses it.
        from station import viper

        viper.attach(TABLE)
        crc16 = viper.crc16  # type: ignore[assignment]  # ptr8 takes any buffer
        copy = viper.copy  # type: ignore[assignment]
    except (ImportError, SyntaxError):
        pass
