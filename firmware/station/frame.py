"""Modbus RTU frames of a field bus: read requests out, checked replies in. Pure.

Request: unit u8, function u8, address u16, count u16, CRC u16 (low byte first): 8 bytes.
Reply: unit, function, byte count, data, CRC. Exception: unit, function | 0x80, code, CRC: 5 bytes.
Identity request: unit, 2B, 0E, code u8, object u8, CRC: 7 bytes; its reply ends by silence.
Source: MODBUS Application Protocol V1.1b3, 6.1-6.4, 6.21, 7; MODBUS over Serial Line V1.02, 2.5.1.

Read-only by construction: no function here can put anything but 01, 02, 03, 04 or 2B/0E in a
request.
"""

from station.crc import crc16

# What became of a request; the numbers are those of a block's status in the image.
PENDING = 0
GOOD = 1
TIMEOUT = 2
BAD_CRC = 3
REJECTED = 4
EXCEPTION = 5

REQUEST_SIZE = 8
IDENTIFY_SIZE = 7
IDENTIFY = 0x2B
IDENTIFICATION = 0x0E  # the one kind of 2B that reads
IDENTITY_MIN = 10  # unit, 2B, 0E, code, conformity, more, next, number of objects, CRC
HEAD_SIZE = 5  # no reply is shorter, and an exception is exactly this long
REGISTERS_MAX = 121
BITS_MAX = 1936
MORE = bytearray(260)  # for all ports: what is read into it is taken from it in the same call


def registers(function: int, count: int) -> int:
    """Registers that a block's data takes in the image."""
    return (count + 15) >> 4 if function <= 2 else count


def reply_size(function: int, count: int) -> int:
    """Size in bytes of the whole good reply, CRC included."""
    return 5 + ((count + 7) >> 3 if function <= 2 else count << 1)


def encode_read(buf: bytearray, unit_id: int, function: int, address: int, count: int) -> None:
    """Writes the 8 bytes of a read request to the start of buf."""
    assert 1 <= function <= 4, "a field bus carries only the reads 01 to 04"
    buf[0] = unit_id
    buf[1] = 1 + ((function - 1) & 3)  # holds also where asserts are compiled out
    buf[2] = address >> 8
    buf[3] = address & 0xFF
    buf[4] = count >> 8
    buf[5] = count & 0xFF
    seal(buf, 6)


def encode_identify(buf: bytearray, unit_id: int, code: int, object_id: int) -> None:
    """Writes the 7 bytes of a read of identity (code 1 to 4) to the start of buf."""
    assert 1 <= code <= 4, "codes of read device identification are 1 to 4"
    buf[0] = unit_id
    buf[1] = IDENTIFY
    buf[2] = IDENTIFICATION
    buf[3] = code
    buf[4] = object_id
    seal(buf, 5)


def seal(buf: bytearray, size: int) -> None:
    """Appends the CRC of the first size bytes."""
    crc = crc16(buf, 0, size)
    buf[size] = crc & 0xFF
    buf[size + 1] = crc >> 8


def has_crc(buf: bytearray, start: int, end: int) -> bool:
    """Whether buf[start:end] ends in its own CRC."""
    if end - start < 4:
        return False
    crc = crc16(buf, start, end - 2)
    return buf[end - 2] == crc & 0xFF and buf[end - 1] == crc >> 8


def check_head(buf: bytearray, unit_id: int, function: int, count: int) -> int:
    """Judges the first 5 bytes, CRC not looked at.

    GOOD: the wanted reply may follow. EXCEPTION: these 5 bytes are all. REJECTED: another's frame.
    """
    if buf[0] != unit_id:
        return REJECTED
    if buf[1] == function:
        return GOOD if buf[2] == reply_size(function, count) - 5 else REJECTED
    return EXCEPTION if buf[1] == function | 0x80 else REJECTED


def check_identity(buf: bytearray, size: int, unit_id: int, code: int) -> int:
    """Judges a whole reply to a read of identity, as check_reply() does."""
    if not has_crc(buf, 0, size):
        return BAD_CRC
    if buf[0] != unit_id or size < HEAD_SIZE:
        return REJECTED
    if buf[1] == IDENTIFY | 0x80:
        return EXCEPTION if size == HEAD_SIZE else REJECTED
    if buf[1] != IDENTIFY or buf[2] != IDENTIFICATION or buf[3] != code:
        return REJECTED
    return GOOD if size >= IDENTITY_MIN else REJECTED


def check_reply(buf: bytearray, size: int, unit_id: int, function: int, count: int) -> int:
    """Judges a whole frame of size bytes: GOOD, BAD_CRC, REJECTED or EXCEPTION (code in buf[2])."""
    if not has_crc(buf, 0, size):
        return BAD_CRC
    if size < HEAD_SIZE:
        return REJECTED
    head = check_head(buf, unit_id, function, count)
    if head == GOOD and size != reply_size(function, count):
        return REJECTED
    if head == EXCEPTION and size != HEAD_SIZE:
        return REJECTED
    return head
