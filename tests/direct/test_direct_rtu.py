"""direct/rtu.py: one transaction on a serial line, by a clock of ours."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from shorewatch.direct.frame import Identify, Outcome, Read, with_crc
from shorewatch.direct.rtu import BABBLE_S, GAP_S, RtuClient

CHAR_S = 11 / 19200
T35_S = 0.002
TIMEOUT_S = 0.2
READ = Read(7, 4, 0x10, 3)
REQUEST = with_crc(bytes([7, 4, 0, 0x10, 0, 3]))
REPLY = with_crc(bytes([7, 4, 6, 0, 1, 0, 2, 0, 3]))
SENT_S = 8 * CHAR_S

cuts = st.lists(st.integers(1, len(REPLY) - 1), unique=True).map(sorted)


def asked(request=READ, at_s=0.0):
    """A client whose request has just gone out."""
    client = RtuClient(CHAR_S, T35_S)
    client.start(at_s, request, TIMEOUT_S)
    assert client.poll(at_s)
    return client


def told(*pieces, request=READ, first_s=SENT_S + 0.01):
    """A client that heard these pieces, a millisecond apart, and then nothing."""
    client = asked(request)
    for i, piece in enumerate(pieces):
        if client.outcome is Outcome.PENDING:
            client.poll(first_s + i / 1000)
        client.hear(first_s + i / 1000, piece)
    while client.outcome is Outcome.PENDING:
        client.poll(client.wake_s)
    return client


def pieces_of(data, places):
    edges = [0, *places, len(data)]
    return [data[a:b] for a, b in pairwise(edges)]


@given(cuts)
def test_a_reply_in_pieces_is_one_reply(places):
    """However a reply is cut up, it is good, and its PDU is whole."""
    client = told(*pieces_of(REPLY, places))

    assert client.outcome is Outcome.GOOD
    assert READ.words(client.reply) == [1, 2, 3]
    assert client.strays == 0


@given(st.integers(0, len(REPLY) - 1))
def test_a_truncated_reply_is_none(size):
    """A reply that ends early is a time-out."""
    assert told(REPLY[:size] or b"").outcome is Outcome.TIMEOUT


@given(st.integers(0, 8 * len(REPLY) - 1))
def test_each_flipped_bit_is_noticed(bit):
    """One wrong bit anywhere, and the reply is not taken."""
    damaged = bytearray(REPLY)
    damaged[bit // 8] ^= 1 << bit % 8

    assert told(bytes(damaged)).outcome not in (Outcome.GOOD, Outcome.EXCEPTION)


@given(st.binary(min_size=1, max_size=300), cuts)
def test_noise_before_a_reply_spoils_it(noise, places):
    """What begins with something else is no answer, unless the noise was itself an echo."""
    client = told(noise, *pieces_of(REPLY, places))

    is_clean = noise.startswith(REPLY) or (REQUEST * 40).startswith(noise)
    assert client.outcome is not Outcome.GOOD or is_clean


def test_noise_after_a_reply_is_counted():
    """What follows a whole reply is drained and counted, and the reply stands."""
    client = told(REPLY + b"\xff\xff")

    assert client.outcome is Outcome.GOOD
    assert client.strays == 2


def test_foreign_frames_and_damage_are_told_apart():
    """A whole frame of another unit, function or length is rejected; a damaged one is damage."""
    for body in ([8, 4, 6, *[0] * 6], [7, 3, 6, *[0] * 6], [7, 4, 4, *[0] * 4]):
        assert told(with_crc(bytes(body))).outcome is Outcome.REJECTED
    assert told(REPLY[:-1] + b"\0").outcome is Outcome.BAD_CRC


def test_an_exception_carries_its_code():
    """Function with the high bit and one code is the device's own no."""
    client = told(with_crc(bytes([7, 0x84, 2])))

    assert client.outcome is Outcome.EXCEPTION
    assert client.reply[1] == 2


@given(st.integers(0, 8))
def test_an_echo_is_skipped(split):
    """A transceiver that repeats the request does not hide the reply, however early it comes."""
    client = asked()
    client.hear(SENT_S / 2, REQUEST[:split])
    client.poll(SENT_S + 0.001)
    client.hear(SENT_S + 0.001, REQUEST[split:])
    assert client.outcome is Outcome.PENDING
    client.hear(SENT_S + 0.02, REPLY)

    assert client.outcome is Outcome.GOOD
    assert client.strays == 0


def test_an_echo_is_never_a_reply():
    """A request that would pass for its own good reply is not taken for one."""
    request = Read(7, 1, 0x0305, 20)  # echo: 07 01 03 05 00 14 crc = three bytes of bits
    echo = with_crc(bytes([7, 1, 3, 5, 0, 20]))

    assert told(echo, request=request).outcome is Outcome.TIMEOUT


def test_nothing_can_answer_before_the_request_has_ended():
    """A whole reply that comes while we transmit is stray bytes."""
    client = asked()
    client.hear(SENT_S * 0.9, REPLY)
    while client.outcome is Outcome.PENDING:
        client.poll(client.wake_s)

    assert client.outcome is Outcome.TIMEOUT
    assert client.strays == len(REPLY)


def test_the_line_must_be_silent_before_a_request():
    """After an answer t3.5 is kept; after bytes that nobody asked for, the gap of an adapter."""
    client = told(REPLY)
    ended_s = client.ended_s
    client.start(ended_s, READ, TIMEOUT_S)
    assert not client.poll(ended_s + T35_S * 0.99)
    assert client.poll(ended_s + T35_S)

    client = told(REPLY)
    client.hear(5.0, b"\x07")
    client.start(5.0, READ, TIMEOUT_S)
    assert not client.poll(5.0 + GAP_S * 0.99)
    assert client.poll(5.0 + GAP_S)
    assert client.strays == 1


def test_a_line_that_is_never_silent_is_given_up():
    """Babble keeps the request from leaving; that is a time-out without a request."""
    client = RtuClient(CHAR_S, T35_S)
    client.start(0.0, READ, TIMEOUT_S)
    now_s = 0.0
    while client.outcome is Outcome.PENDING:
        client.hear(now_s, b"\x55")
        assert not client.poll(now_s)
        now_s += 0.01

    assert client.outcome is Outcome.TIMEOUT
    assert not client.was_sent
    assert now_s <= BABBLE_S + 0.02


def test_endless_bytes_end():
    """A babbling line ends a transaction as damage, in bounded time and memory."""
    client = asked()
    now_s = SENT_S + 0.01
    while client.outcome is Outcome.PENDING:
        client.hear(now_s, b"\x55" * 100)
        client.poll(now_s)
        now_s += 0.01

    assert client.outcome is Outcome.BAD_CRC
    assert now_s < SENT_S + TIMEOUT_S + BABBLE_S + 0.02


def test_an_identity_is_heard_whole():
    """The reply to 2B/0E ends where its objects do."""
    body = bytes.fromhex("07 2B 0E 01 01 00 00 01 00 03") + b"ACM"

    client = told(*[bytes([byte]) for byte in with_crc(body)], request=Identify(7))

    assert client.outcome is Outcome.GOOD
    assert Identify(7).objects(client.reply) == {0: "ACM"}
