"""The link server on a simulated port: requests however they arrive, and all that is no request."""

import random

import pytest
from fw_fakes import Line, Ticks, sealed
from fw_plan_file import blocks, bus, device, plan_file
from hypothesis import given
from hypothesis import strategies as st

from station import image, parser, plan, server

UNIT = 7
IDENTITY = [
    b"Shorewatch", b"virtual", b"0.1.0", b"5357000000000001", b"cable/station/room", b"0f" * 16,
]  # fmt: skip
READ = sealed((UNIT, 4, 0, 0, 0, 2))
ANSWER = sealed((UNIT, 4, 4, 0x53, 0x57, 0, 1))


class Link:
    def __init__(self, identity=IDENTITY):
        self.ticks = Ticks()
        loaded = plan.Plan()
        assert parser.parse(plan_file([bus()], [device()], blocks((0, 4, 0, 2, 100))), loaded) == 0
        img = image.Image(loaded, self.ticks)
        image.put(img.board, 0, 0x5357)
        image.put(img.board, 1, 1)
        self.port = Line(self.ticks, char_us=0)
        self.server = server.Server(self.port, self.ticks, img, UNIT, identity)

    def step(self, us):
        """Passes for us microseconds, one each 100 us or when the server asks."""
        end_us = self.ticks.us + us
        while self.ticks.us < end_us:
            self.server.step(self.ticks.ticks_us(), self.ticks.ticks_ms())
            self.ticks.advance(100)

    def send(self, data, us=3000):
        """Answers to data that arrives whole, us later at the latest."""
        before = len(self.port.sent)
        self.port.arrive(data)
        self.step(us)
        return [answer for _, answer in self.port.sent[before:]]


def test_a_request_is_answered_before_any_silence():
    """A whole request is answered at once, not after a pause."""
    assert Link().send(READ, us=1000) == [ANSWER]


def test_byte_by_byte():
    """A request that comes a byte each 2 ms is answered."""
    link = Link()
    answers = [answer for byte in READ for answer in link.send(bytes([byte]), us=2000)]
    assert answers == [ANSWER]


def test_requests_one_after_the_other():
    """Requests without any pause between them are each answered."""
    assert Link().send(READ * 5) == [ANSWER] * 5


@pytest.mark.parametrize("length", range(1, 8))
def test_half_a_request_is_forgotten(length):
    """A request cut short is dropped after the silence; the next one is answered."""
    link = Link()
    assert link.send(READ[:length], us=6000) == []
    assert link.send(READ, us=1000) == [ANSWER]


def test_a_flipped_bit_is_silence():
    """A request with any one bit flipped gets no answer, and the next one does."""
    link = Link()
    for bit in range(8 * len(READ)):
        damaged = bytearray(READ)
        damaged[bit // 8] ^= 1 << bit % 8
        assert link.send(damaged, us=7000) == []
        assert link.send(READ) == [ANSWER]


@pytest.mark.parametrize("noise", [b"\x00", b"\x07", b"\x07\x04", b"\xff" * 7, bytes(range(200))])
def test_noise_before_a_request(noise):
    """Noise that runs into a request does not cost it."""
    assert Link().send(noise + READ, us=8000) == [ANSWER]


@pytest.mark.parametrize("size", [9, 256, 257, 1000, 5000])
def test_overlong_input(size):
    """Input longer than any frame is dropped, and the next request is answered."""
    link = Link()
    assert link.send(b"\x07\x10" + b"\xaa" * size, us=20_000) == []
    assert link.send(READ) == [ANSWER]


def test_a_flood_takes_one_buffer_a_pass():
    """Under a flood each pass takes at most 256 bytes."""
    link = Link()
    link.port.arrive(bytes(10_000))
    for left in range(10_000, 5_000, -256):
        link.server.step(link.ticks.ticks_us(), link.ticks.ticks_ms())
        assert link.port.any() >= left - 256


@given(st.randoms(use_true_random=False))
def test_nothing_costs_the_next_request(rng: random.Random):
    """Whatever came before, after 5 ms of silence a request is answered."""
    link = Link()
    for _ in range(rng.randrange(5)):
        head = bytes(rng.choice(((), (UNIT,), (UNIT, 4), (UNIT, 0x2B, 0x0E), (UNIT, 0x10))))
        link.send(head + rng.randbytes(rng.randrange(300)), us=rng.randrange(8000))
    link.step(12_000)
    assert link.send(READ) == [ANSWER]


@pytest.mark.parametrize(
    "request_bytes",
    [
        pytest.param(sealed((UNIT + 1, 4, 0, 0, 0, 2)), id="another unit"),
        pytest.param(sealed((0, 4, 0, 0, 0, 2)), id="broadcast"),
        pytest.param(READ[:-1] + b"\x00", id="wrong CRC"),
    ],
)
def test_silence(request_bytes):
    """What is not for this board, or damaged, gets no answer."""
    assert Link().send(request_bytes, us=20_000) == []


@pytest.mark.parametrize(
    ("pdu", "code"),
    [
        pytest.param((4, 0, 0, 0, 0), 3, id="quantity 0"),
        pytest.param((4, 0, 0, 0, 126), 3, id="quantity 126"),
        pytest.param((4, 0xFF, 0xFF, 0xFF, 0xFF), 3, id="quantity 65535"),
        pytest.param((4, 0, 0x50, 0, 1), 2, id="behind the buses"),
        pytest.param((4, 0xFF, 0xFF, 0, 125), 2, id="last address"),
        pytest.param((1, 0, 0, 0, 1), 1, id="read coils"),
        pytest.param((3, 0, 0, 0, 1), 1, id="read holding registers"),
        pytest.param((5, 0, 0, 0xFF, 0), 1, id="write single coil"),
        pytest.param((6, 0, 0, 0, 1), 1, id="write single register"),
        pytest.param((8, 0, 0, 0, 0), 1, id="diagnostics"),
        pytest.param((0x0F, 0, 0, 0, 8, 1, 0xFF), 1, id="write multiple coils"),
        pytest.param((0x10, 0, 0, 0, 2, 4, 0, 1, 0, 2), 1, id="write multiple registers"),
        pytest.param((0x11,), 1, id="report server id"),
        pytest.param((0x16, 0, 0, 0, 1, 0, 1), 1, id="mask write"),
        pytest.param((0x17, 0, 0, 0, 1, 0, 0, 0, 1, 2, 0, 0), 1, id="read and write"),
        pytest.param((0x2B, 0x0D, 1, 0), 1, id="other MEI type"),
        pytest.param((0x2B, 0x0D, *range(60)), 1, id="other MEI type, long"),
        pytest.param((0x2B, 0x0E, 0, 0), 3, id="identification code 0"),
        pytest.param((0x2B, 0x0E, 5, 0), 3, id="identification code 5"),
        pytest.param((0x2B, 0x0E, 4, 3), 2, id="unknown object"),
    ],
)
def test_refusals(pdu, code):
    """What the board does not do is answered by the exception that says why."""
    answers = Link().send(sealed((UNIT, *pdu)), us=12_000)
    assert answers == [sealed((UNIT, pdu[0] | 0x80, code))]


def objects(answer):
    """Object ids and texts of an identification reply, its CRC checked."""
    assert sealed(answer[:-2]) == answer
    assert answer[1:3] == b"\x2b\x0e" and answer[4] == 0x83
    found, at = {}, 8
    for _ in range(answer[7]):
        size = answer[at + 1]
        found[answer[at]] = answer[at + 2 : at + 2 + size]
        at += 2 + size
    assert at == len(answer) - 2
    return found


@pytest.mark.parametrize(
    ("code", "ids"), [(1, [0, 1, 2]), (2, [0, 1, 2]), (3, [0, 1, 2, 128, 129, 130])]
)
def test_identification_by_stream(code, ids):
    """Codes 1, 2 and 3 stream the objects of their category (Application Protocol V1.1b3, 6.21)."""
    (answer,) = Link().send(sealed((UNIT, 0x2B, 0x0E, code, 0)))
    texts = dict(zip([0, 1, 2, 128, 129, 130], IDENTITY, strict=True))
    assert objects(answer) == {i: texts[i] for i in ids}
    assert answer[5:7] == b"\x00\x00"


def test_identification_of_one_object():
    """Code 4 gives one object by its id."""
    (answer,) = Link().send(sealed((UNIT, 0x2B, 0x0E, 4, 0x81)))
    assert objects(answer) == {0x81: b"cable/station/room"}


def test_identification_from_an_unknown_object():
    """A stream that begins at an unknown object begins at the first."""
    (answer,) = Link().send(sealed((UNIT, 0x2B, 0x0E, 1, 77)))
    assert sorted(objects(answer)) == [0, 1, 2]


def test_identification_too_long_for_one_reply():
    """What does not fit is announced, and comes when asked for."""
    link = Link([*IDENTITY[:3], b"u" * 200, b"r" * 200, b""])
    (first,) = link.send(sealed((UNIT, 0x2B, 0x0E, 3, 0)))
    assert sorted(objects(first)) == [0, 1, 2, 0x80]
    assert first[5:7] == b"\xff\x81"
    (second,) = link.send(sealed((UNIT, 0x2B, 0x0E, 3, first[6])))
    assert objects(second) == {0x81: b"r" * 200, 0x82: b""}
    assert second[5:7] == b"\x00\x00"


def test_the_driver_is_on_for_the_answer_only():
    """The link's driver goes on for an answer and off after it."""
    link = Link()
    link.send(READ)
    assert [on for _, on in link.port.driver] == [True, False]


def test_a_stuck_transmitter_does_not_hold_the_link():
    """A transmitter that is never done is given up after a second."""
    link = Link()
    link.port.tx_idle = lambda: False
    assert link.send(READ) == [ANSWER]
    link.step(1_100_000)
    assert link.send(READ) == [ANSWER]
