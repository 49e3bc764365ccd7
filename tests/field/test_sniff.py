"""field/sniff.py: frames found in bytes that were heard, whole and damaged."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wiring import asking

from shorewatch.direct.frame import with_crc
from shorewatch.field.sniff import Kind, Listener, split

REPLY = with_crc(bytes([1, 3, 4, 0, 7, 0, 9]))
REFUSAL = with_crc(bytes([1, 0x83, 2]))


@given(st.lists(st.one_of(st.just(REPLY), st.just(asking(9)), st.binary(max_size=9)), max_size=6))
def test_no_byte_is_left_out(parts: list[bytes]) -> None:
    """Frames and noise together are what was heard, in its order."""
    data = b"".join(parts)
    assert b"".join(piece.data for piece in split(data)) == data


@given(st.binary(max_size=12), st.binary(max_size=3))
def test_a_frame_is_found_behind_garbage(before: bytes, after: bytes) -> None:
    """Garbage before and behind a frame hides it only if the garbage makes a frame with it."""
    pieces = split(before + REPLY + after)
    is_whole = any(piece.data == REPLY for piece in pieces)
    assert is_whole or any(piece.is_frame for piece in pieces)


@pytest.mark.parametrize("bit", range(8 * len(REPLY)))
def test_a_frame_with_a_wrong_bit_is_none(bit: int) -> None:
    """One bit flipped anywhere leaves noise."""
    data = bytearray(REPLY)
    data[bit // 8] ^= 1 << bit % 8
    assert not any(piece.is_frame for piece in split(bytes(data)))


@pytest.mark.parametrize("size", range(1, len(REPLY)))
def test_a_frame_that_is_cut_is_none(size: int) -> None:
    """What is left of a frame is noise."""
    assert [piece.kind for piece in split(REPLY[:size])] == [Kind.NOISE]


def heard(*bursts: bytes, pace_s: float = 0.1) -> tuple[Listener, list[object]]:
    listener = Listener(10 / 9600, 0.004)
    talks: list[object] = []
    for at, burst in enumerate(bursts):
        talks += listener.hear(at * pace_s, burst)
    talks += listener.end(len(bursts) * pace_s)
    talks += listener.end(len(bursts) * pace_s + 10)
    return listener, talks


def test_requests_and_replies_make_pairs() -> None:
    """A reply belongs to the request before it, and tells its registers and its time."""
    _, (talk,) = heard(asking(1, count=2), REPLY)
    assert talk.words == [7, 9] and talk.reply_s == pytest.approx(0.1)  # type: ignore[attr-defined]


def test_a_pair_in_one_burst_is_one() -> None:
    """An adapter that delivers both at once hides the silence between them, not the pair."""
    _, talks = heard(asking(1, count=2) + REPLY)
    assert len(talks) == 1 and talks[0].words == [7, 9]  # type: ignore[attr-defined]


def test_a_reply_of_another_length_answers_nothing() -> None:
    """Two registers are no answer to a request for three."""
    listener, talks = heard(asking(1, count=3), REPLY)
    assert len(talks) == 2 and listener.counts.unanswered == 1


def test_an_exception_answers() -> None:
    """A refusal ends its request."""
    listener, (talk,) = heard(asking(1), REFUSAL)
    assert talk.reply.kind is Kind.EXCEPTION and listener.counts.exceptions == 1  # type: ignore[attr-defined]


def test_a_request_that_nobody_answers_is_counted() -> None:
    """A second request ends the wait for the first one's answer."""
    listener, talks = heard(asking(1), asking(2), with_crc(bytes([2, 3, 2, 0, 1])))
    assert len(talks) == 2 and listener.counts.unanswered == 1


@pytest.mark.parametrize("function", [5, 6, 15, 16, 22, 23])
def test_a_write_is_named(function: int) -> None:
    """Every function that changes something is told from those that read."""
    data = bytes([0, 1, 0, 2, 4, 0, 1, 0, 2]) if function in (15, 16) else bytes([0, 1, 0, 2])
    (piece,) = split(with_crc(bytes([1, function]) + data))
    assert piece.is_write and piece.is_foreign


def test_reads_are_no_writes() -> None:
    """What Shorewatch itself asks is neither foreign nor a write."""
    pieces = [*split(asking(1)), *split(with_crc(bytes([1, 0x2B, 0x0E, 1, 0])))]
    assert not any(piece.is_write or piece.is_foreign for piece in pieces)


def test_noise_without_end_is_told_in_pieces() -> None:
    """A line that is never silent fills no memory."""
    listener = Listener(10 / 9600, 0.004)
    rng = random.Random(1)
    talks = [t for i in range(200) for t in listener.hear(i * 0.001, rng.randbytes(100))]
    assert talks and listener.counts.noise_bytes > 10_000


def test_a_reply_whose_crc_ends_in_nought_is_no_request() -> None:
    """Without its last byte it would be a request with a right CRC: the longer frame it is."""
    (piece,) = split(bytes.fromhex("0b0304411bc5dee700"))
    assert piece.kind is Kind.REPLY and len(piece.data) == 9
