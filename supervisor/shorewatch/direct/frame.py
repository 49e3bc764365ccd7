"""Modbus frames of direct lines: read requests out, replies judged. Pure.

    RTU   unit u8 | PDU | CRC-16, low byte first
    TCP   transaction u16 | protocol u16 = 0 | length u16 | unit u8 | PDU     (MBAP header)
    PDU   request: function, address u16, count u16; identity: 2B, 0E, code, object
          reply: function, byte count, data; exception: function | 0x80, code

Read-only by construction: a request is a `Read` (functions 01 to 04) or an `Identify` (2B/0E), and
nothing else can be framed. Source: MODBUS Application Protocol V1.1b3, 6.1-6.4, 6.21, 7; MODBUS
over Serial Line V1.02, 2.5.1; MODBUS Messaging on TCP/IP V1.0b, 3.1.3.
"""

import struct
from dataclasses import dataclass
from enum import IntEnum

IDENTIFY = 0x2B
_IDENTIFICATION = 0x0E
_EXCEPTION = 0x80
MBAP_SIZE = 7
# Unit id and the largest PDU. Source: MODBUS Messaging on TCP/IP V1.0b, 3.1.3.
LENGTH_MAX = 254
RTU_SIZE_MAX = 256


class Outcome(IntEnum):
    """What became of a request; the numbers are those of a block's status in a board's image."""

    PENDING = 0
    GOOD = 1
    TIMEOUT = 2
    BAD_CRC = 3
    REJECTED = 4
    EXCEPTION = 5


@dataclass(frozen=True, slots=True)
class Read:
    """Read `count` bits (functions 1, 2) or registers (3, 4) from `address`."""

    unit_id: int
    function: int
    address: int
    count: int

    def __post_init__(self) -> None:
        assert 1 <= self.function <= 4, "only the reads 01 to 04 exist here"
        assert 0 <= self.unit_id <= 255 and 1 <= self.count <= 2000, "a plan asks for what exists"

    @property
    def pdu(self) -> bytes:
        """The request; a read also where asserts are compiled out."""
        return struct.pack(">BHH", 1 + ((self.function - 1) & 3), self.address, self.count)

    @property
    def data_size(self) -> int:
        """Bytes of data in a good reply."""
        return (self.count + 7) // 8 if self.function < 3 else 2 * self.count

    def reply_size(self, pdu: bytes) -> int | None:
        """Size of the reply's PDU that begins so; None: more is needed; 0: it is none to this."""
        if not pdu:
            return None
        if pdu[0] == self.function | _EXCEPTION:
            return 2
        if pdu[0] != self.function:
            return 0
        if len(pdu) < 2:
            return None
        return 2 + self.data_size if pdu[1] == self.data_size else 0

    def words(self, pdu: bytes) -> list[int]:
        """The data of a good reply as registers; bits are packed 16 to one, the first lowest."""
        data = pdu[2:]
        if self.function < 3:
            return [int.from_bytes(data[i : i + 2], "little") for i in range(0, len(data), 2)]
        return list(struct.unpack(f">{self.count}H", data))


@dataclass(frozen=True, slots=True)
class Identify:
    """Read device identification, code 1: vendor, product and revision."""

    unit_id: int
    object_id: int = 0

    @property
    def pdu(self) -> bytes:
        """The request."""
        return bytes([IDENTIFY, _IDENTIFICATION, 1, self.object_id])

    def reply_size(self, pdu: bytes) -> int | None:
        """As of a Read; the objects tell how long it is."""
        if pdu[:1] == bytes([IDENTIFY | _EXCEPTION]):
            return 2
        if pdu[:3] != bytes([IDENTIFY, _IDENTIFICATION, 1])[: len(pdu)]:
            return 0
        if len(pdu) < 7:
            return None
        size = 7
        for _ in range(pdu[6]):
            if len(pdu) < size + 2:
                return None
            size += 2 + pdu[size + 1]
        return size

    def objects(self, pdu: bytes) -> dict[int, str]:
        """The texts of a good reply by object id."""
        found, at = {}, 7
        for _ in range(pdu[6]):
            size = pdu[at + 1]
            found[pdu[at]] = pdu[at + 2 : at + 2 + size].decode("ascii", "replace")
            at += 2 + size
        return found


Request = Read | Identify


def encode_rtu(request: Request) -> bytes:
    """The request as it goes onto a serial line."""
    return with_crc(bytes([request.unit_id]) + request.pdu)


def encode_tcp(request: Request, transaction: int) -> bytes:
    """The request as it goes to a TCP peer."""
    pdu = request.pdu
    return struct.pack(">HHHB", transaction, 0, len(pdu) + 1, request.unit_id) + pdu


def judge(request: Request, unit_id: int, pdu: bytes) -> Outcome:
    """What a whole, undamaged frame is to a request: GOOD, EXCEPTION or REJECTED."""
    if unit_id != request.unit_id or request.reply_size(pdu) != len(pdu):
        return Outcome.REJECTED
    return Outcome.EXCEPTION if pdu[0] & _EXCEPTION else Outcome.GOOD


def crc16(data: bytes | bytearray) -> int:
    """The CRC of a frame; 0 over a whole frame with a right CRC.

    Source: MODBUS over Serial Line V1.02, 6.2.2 (polynomial 0xA001, initial value 0xFFFF).
    """
    crc = 0xFFFF
    for byte in data:
        crc = crc >> 8 ^ _CRC_TABLE[(crc ^ byte) & 0xFF]
    return crc


def with_crc(body: bytes) -> bytes:
    """A frame: the body and its CRC, low byte first."""
    return body + crc16(body).to_bytes(2, "little")


def _crc_entry(value: int) -> int:
    for _ in range(8):
        value = value >> 1 ^ (0xA001 if value & 1 else 0)
    return value


_CRC_TABLE = tuple(_crc_entry(value) for value in range(256))
