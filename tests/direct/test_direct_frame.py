"""direct/frame.py: what can be asked, and what is an answer to it."""

import inspect

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shorewatch.direct import frame
from shorewatch.direct.frame import Identify, Outcome, Read, encode_rtu, encode_tcp, judge

reads = st.builds(
    Read,
    unit_id=st.integers(0, 255),
    function=st.integers(1, 4),
    address=st.integers(0, 0xFFFF),
    count=st.integers(1, 125),
)


def test_a_read_is_framed_as_the_standard_shows():
    """Golden vector: MODBUS Application Protocol V1.1b3, 6.3, registers 108 to 110 of unit 0x11."""
    request = Read(0x11, 3, 0x6B, 3)

    assert encode_rtu(request) == bytes.fromhex("11 03 006B 0003 7687")
    assert encode_tcp(request, 0x1501) == bytes.fromhex("1501 0000 0006 11 03 006B 0003")


@given(reads, st.integers(0, 0xFFFF))
def test_only_reads_can_leave(request, transaction):
    """Whatever is asked, the function code on the wire is 01, 02, 03, 04."""
    assert encode_rtu(request)[1] in (1, 2, 3, 4)
    assert encode_tcp(request, transaction)[7] in (1, 2, 3, 4)


@pytest.mark.parametrize("function", [0, 5, 6, 8, 15, 16, 22, 23, 0x2B, 0x81])
def test_no_other_function_can_be_asked_for(function):
    """A request that is no read cannot be made, nor framed where asserts are compiled out."""
    with pytest.raises(AssertionError):
        Read(1, function, 0, 1)
    request = object.__new__(Read)
    for name, value in (("unit_id", 1), ("function", function), ("address", 0), ("count", 1)):
        object.__setattr__(request, name, value)
    assert encode_rtu(request)[1] in (1, 2, 3, 4)


def test_there_are_no_other_requests():
    """Of all that frame.py defines, only Read and Identify have a request's PDU."""
    classes = [found for _, found in inspect.getmembers(frame, inspect.isclass)]

    assert {found for found in classes if hasattr(found, "pdu")} == {Read, Identify}
    assert Identify(1, 0x80).pdu == bytes([0x2B, 0x0E, 1, 0x80])


@given(reads, st.data())
def test_a_reply_is_good_only_whole(request, data):
    """Function and byte count must be those asked for, and the size must be right."""
    body = bytes([request.function, request.data_size]) + bytes(request.data_size)
    assert judge(request, request.unit_id, body) is Outcome.GOOD
    assert judge(request, request.unit_id ^ 1, body) is Outcome.REJECTED
    cut = data.draw(st.integers(0, len(body) - 1))
    assert judge(request, request.unit_id, body[:cut]) is Outcome.REJECTED
    assert judge(request, request.unit_id, body + b"\0") is Outcome.REJECTED
    other = bytes([body[0] % 4 + 1]) + body[1:]
    assert judge(request, request.unit_id, other) is Outcome.REJECTED
    refusal = bytes([request.function | 0x80, 2])
    assert judge(request, request.unit_id, refusal) is Outcome.EXCEPTION


def test_bits_become_registers_lowest_first():
    """Bits are packed 16 to a register, as a board serves them; registers are big-endian."""
    assert Read(1, 2, 0, 19).words(bytes([2, 3, 0x01, 0x80, 0x05])) == [0x8001, 0x0005]
    assert Read(1, 4, 0, 2).words(bytes([4, 4, 0x12, 0x34, 0xFF, 0xFE])) == [0x1234, 0xFFFE]


IDENTITY = bytes.fromhex("2B 0E 01 01 00 00 02 00 03") + b"ACM" + bytes([1, 2]) + b"U7"


def test_an_identity_is_read_object_by_object():
    """The reply's own lengths say where it ends, and its texts come by object id."""
    request = Identify(1)

    sizes = {request.reply_size(IDENTITY[:size]) for size in range(len(IDENTITY) - 2)}
    assert sizes == {None}
    assert request.reply_size(IDENTITY) == len(IDENTITY)
    assert request.objects(IDENTITY) == {0: "ACM", 1: "U7"}
    assert request.reply_size(bytes([0x2B, 0x0D])) == 0
