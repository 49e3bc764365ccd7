"""Frames of the field bus against the examples of the Modbus specifications."""

import pytest
from fw_fakes import crc16, sealed
from hypothesis import given
from hypothesis import strategies as st

from station import crc, frame

# MODBUS Application Protocol V1.1b3: request PDU, response PDU, section.
EXAMPLES = [
    pytest.param("010013 0013", "01 03 CD6B05", id="6.1 read coils"),
    pytest.param("0200C4 0016", "02 03 ACDB35", id="6.2 read discrete inputs"),
    pytest.param("03006B 0003", "03 06 022B 0000 0064", id="6.3 read holding registers"),
    pytest.param("040008 0001", "04 02 000A", id="6.4 read input registers"),
]
UNIT = 0x11


def example(request_pdu, reply_pdu):
    request, reply = bytes.fromhex(request_pdu), bytes.fromhex(reply_pdu)
    function, address, count = (
        request[0],
        request[1] << 8 | request[2],
        request[3] << 8 | request[4],
    )
    return function, address, count, sealed(bytes([UNIT]) + request), sealed(bytes([UNIT]) + reply)


def check(data, function, count):
    buf = bytearray(260)
    buf[: len(data)] = data
    return frame.check_reply(buf, len(data), UNIT, function, count)


def test_crc_of_the_specification():
    """The CRC of 02 07 is 1241 hex (MODBUS over Serial Line V1.02, appendix B)."""
    assert crc.crc16(bytearray((0x02, 0x07)), 0, 2) == 0x1241


@given(st.binary(min_size=0, max_size=256), st.integers(0, 256), st.integers(0, 256))
def test_crc_by_table_is_the_crc_by_bits(data, start, end):
    """The table gives the same CRC as the definition, for any part of any buffer."""
    start, end = sorted((min(start, len(data)), min(end, len(data))))
    assert crc.crc16_bytecode(bytearray(data), start, end) == crc16(data[start:end])


@pytest.mark.parametrize(("request_pdu", "reply_pdu"), EXAMPLES)
def test_request_of_the_specification(request_pdu, reply_pdu):
    """A read is encoded byte for byte as the specification's example."""
    function, address, count, request, _ = example(request_pdu, reply_pdu)
    buf = bytearray(8)
    frame.encode_read(buf, UNIT, function, address, count)
    assert bytes(buf) == request


@pytest.mark.parametrize("function", [f for f in range(256) if f not in (1, 2, 3, 4)])
def test_only_reads_can_be_encoded(function):
    """A function code other than 01 to 04 is a programmer's error and never reaches a buffer."""
    buf = bytearray(8)
    with pytest.raises(AssertionError):
        frame.encode_read(buf, 1, function, 0, 1)
    assert bytes(buf) == bytes(8)


@pytest.mark.parametrize(("request_pdu", "reply_pdu"), EXAMPLES)
def test_reply_of_the_specification_is_good(request_pdu, reply_pdu):
    """The specification's reply is accepted, and its size is known beforehand."""
    function, _, count, _, reply = example(request_pdu, reply_pdu)
    assert check(reply, function, count) == frame.GOOD
    assert frame.reply_size(function, count) == len(reply)


@pytest.mark.parametrize(("request_pdu", "reply_pdu"), EXAMPLES)
def test_truncated_reply_is_never_good(request_pdu, reply_pdu):
    """A reply cut short at any length is not accepted."""
    function, _, count, _, reply = example(request_pdu, reply_pdu)
    assert {check(reply[:n], function, count) for n in range(len(reply))} == {frame.BAD_CRC}


@pytest.mark.parametrize(("request_pdu", "reply_pdu"), EXAMPLES)
def test_any_flipped_bit_is_found(request_pdu, reply_pdu):
    """A reply with any one bit flipped is damage, whatever field the bit is in."""
    function, _, count, _, reply = example(request_pdu, reply_pdu)
    for bit in range(8 * len(reply)):
        damaged = bytearray(reply)
        damaged[bit // 8] ^= 1 << bit % 8
        assert check(damaged, function, count) == frame.BAD_CRC


@pytest.mark.parametrize(("request_pdu", "reply_pdu"), EXAMPLES)
def test_garbage_around_a_reply_is_not_good(request_pdu, reply_pdu):
    """A frame with a byte before or after the reply is not accepted as a whole."""
    function, _, count, _, reply = example(request_pdu, reply_pdu)
    for byte in range(256):
        extra = bytes([byte])
        assert check(extra + reply, function, count) == frame.BAD_CRC
        assert check(reply + extra, function, count) != frame.GOOD


@pytest.mark.parametrize(
    "pdu",
    [
        pytest.param((UNIT + 1, 3, 6, 0, 0, 0, 0, 0, 0), id="another unit"),
        pytest.param((UNIT, 4, 6, 0, 0, 0, 0, 0, 0), id="another function"),
        pytest.param((UNIT, 3, 4, 0, 0, 0, 0), id="fewer registers"),
        pytest.param((UNIT, 3, 8, 0, 0, 0, 0, 0, 0, 0, 0), id="more registers"),
        pytest.param((UNIT, 3, 6, 0, 0, 0, 0), id="byte count without its bytes"),
        pytest.param((UNIT, 0x84, 2), id="exception to another function"),
        pytest.param((UNIT, 0x83, 2, 0), id="exception too long"),
        pytest.param((UNIT, 3), id="no byte count"),
    ],
)
def test_intact_frame_that_is_no_answer_is_rejected(pdu):
    """A frame with a right CRC that does not answer the request exactly is rejected."""
    assert check(sealed(pdu), 3, 3) == frame.REJECTED


def test_exception_reply():
    """An exception to the asked function is known as such (Application Protocol V1.1b3, 7)."""
    assert check(sealed((UNIT, 0x83, 2)), 3, 3) == frame.EXCEPTION


@given(st.integers(1, 4), st.binary(max_size=260), st.integers(1, 121))
def test_noise_is_not_a_reply(function, noise, count):
    """No noise without a right CRC is ever good."""
    if len(noise) >= 4 and crc16(noise[:-2]) == noise[-2] | noise[-1] << 8:
        return
    assert check(noise, function, count) == frame.BAD_CRC


def test_bits_take_whole_registers():
    """Bits are shown in the image 16 a register, the last one partly used."""
    assert [frame.registers(1, n) for n in (1, 16, 17, 1936)] == [1, 1, 2, 121]
    assert frame.registers(4, 121) == 121
