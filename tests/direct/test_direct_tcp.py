"""direct/tcp.py: one transaction on a TCP connection, by a clock of ours."""

import struct
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from shorewatch.direct.frame import Outcome, Read
from shorewatch.direct.tcp import TcpClient

READ = Read(255, 4, 0x10, 2)
DATA = bytes([4, 4, 0, 1, 0, 2])


def frame(transaction, pdu=DATA, *, unit_id=255, protocol=0):
    return struct.pack(">HHHB", transaction, protocol, len(pdu) + 1, unit_id) + pdu


def asked(client=None, at_s=0.0):
    client = client or TcpClient()
    client.start(at_s, READ, 0.3)
    (transaction,) = struct.unpack_from(">H", client.poll(at_s))
    return client, transaction


@given(st.lists(st.integers(1, 12), unique=True).map(sorted))
def test_a_reply_in_pieces_is_one_reply(places):
    """However the stream is cut up, the reply is good."""
    client, number = asked()
    edges = [0, *places, 13]
    for a, b in pairwise(edges):
        assert client.outcome is Outcome.PENDING
        client.hear(0.1, frame(number)[a:b])

    assert client.outcome is Outcome.GOOD
    assert READ.words(client.reply) == [1, 2]


@given(st.integers(0, 8 * 13 - 1))
def test_a_flipped_bit_of_the_frame_is_noticed(bit):
    """A wrong bit outside the data gives no good reply (TCP's checksum guards the data)."""
    client, number = asked()
    damaged = bytearray(frame(number))
    damaged[bit // 8] ^= 1 << bit % 8
    client.hear(0.1, bytes(damaged))
    client.poll(0.3)

    assert client.outcome is not Outcome.GOOD or bit // 8 >= 9


@given(st.lists(st.integers(0, 0xFFFF), max_size=5), st.booleans())
def test_only_the_reply_with_our_number_counts(others, is_answered):
    """Late and foreign replies, coalesced with ours or alone, are counted and dropped."""
    client, number = asked()
    others = [other for other in others if other != number]
    late = b"".join(frame(other, bytes([4, 4, 9, 9, 9, 9])) for other in others)
    client.hear(0.1, late + frame(number) * is_answered)
    client.poll(0.3)

    assert client.outcome is (Outcome.GOOD if is_answered else Outcome.TIMEOUT)
    assert client.strays == len(late)
    assert not is_answered or READ.words(client.reply) == [1, 2]


def test_a_late_reply_meets_the_next_request_in_vain():
    """The reply to a request that timed out is not taken for the next one's."""
    client, first = asked()
    client.poll(0.3)
    client, second = asked(client, 0.4)
    client.hear(0.45, frame(first, bytes([4, 4, 9, 9, 9, 9])))
    assert client.outcome is Outcome.PENDING
    client.hear(0.5, frame(second))

    assert READ.words(client.reply) == [1, 2]


def test_a_reply_of_another_unit_or_shape_is_rejected():
    """Our number is not enough: unit, function and length must be those asked for."""
    for reply in ({"unit_id": 1}, {"pdu": bytes([3, 4, 0, 1, 0, 2])}, {"pdu": DATA[:-2]}):
        client, number = asked()
        client.hear(0.1, frame(number, **reply))
        assert client.outcome is Outcome.REJECTED
        assert not client.is_broken


def test_an_exception_carries_its_code():
    """A gateway's no is an exception with its code."""
    client, number = asked()
    client.hear(0.1, frame(number, bytes([0x84, 0x0B])))

    assert client.outcome is Outcome.EXCEPTION
    assert client.reply[1] == 0x0B


@given(st.binary(max_size=600))
def test_nonsense_breaks_the_connection_or_waits(data):
    """Any bytes at all: no good reply, and where framing is lost the connection is given up."""
    client, number = asked()
    data = data.replace(number.to_bytes(2, "big"), b"\xff\xff")
    client.hear(0.1, data)
    client.poll(0.3)

    assert client.outcome is not Outcome.GOOD
    if len(data) >= 7 and data[2:4] != b"\0\0":
        assert client.is_broken
