"""One transaction on a simulated line: silence kept, replies judged, stray bytes kept out."""

from itertools import pairwise

import pytest
from fw_fakes import Line, Ticks, reply_to, run, sealed

from station import client, frame

T35_US = 2005
CHAR_US = 573
UNIT = 5


class Field:
    """A client on a line whose device answers as told, 4 ms after the request."""

    def __init__(self, answer=None, before_wrap_us=3_000_000):
        self.ticks = Ticks(before_wrap_us)
        self.line = Line(self.ticks, answer or (lambda request: [(4000, reply_to(request))]))
        self.client = client.Client(self.line, self.ticks, T35_US, CHAR_US)

    def ask(self, function=4, address=0x10, count=3, timeout_us=100_000):
        self.client.timeout_us = timeout_us
        self.client.start(self.ticks.ticks_us(), UNIT, function, address, count)
        self.rest(timeout_us + 2_000_000, lambda: self.client.state == client.IDLE)
        assert self.client.state == client.IDLE
        return self.client.result

    def rest(self, us, on_pass=None):
        run(self.client, [self.line], self.ticks, self.ticks.us + us, on_pass=on_pass)


def answers(*parts):
    return lambda request: list(parts)


@pytest.mark.parametrize("function", [1, 2, 3, 4])
def test_reply_is_taken(function):
    """Each kind of read gets its reply whole, and the time from request to reply."""
    field = Field()
    assert field.ask(function, 0x10, 20) == frame.GOOD
    request = field.line.sent[0][1]
    reply = reply_to(request)
    assert bytes(field.client.reply[: len(reply)]) == reply
    assert field.client.strays == 0
    assert field.client.reply_us == pytest.approx(4000 + CHAR_US * len(reply), abs=500)


def test_one_request_reaches_the_line():
    """What goes out is the 8 bytes of the read, once."""
    field = Field()
    field.ask()
    assert [data for _, data in field.line.sent] == [sealed((UNIT, 4, 0, 0x10, 0, 3))]


def test_driver_is_on_for_the_request_only():
    """The driver goes on with the first bit and off when the last stop bit is out."""
    field = Field()
    field.ask()
    (on_us, on), (off_us, off) = field.line.driver
    assert (on, off) == (True, False)
    assert on_us == field.line.sent[0][0]
    assert 8 * CHAR_US <= off_us - on_us <= 8 * CHAR_US + 200


def test_silence_before_every_request():
    """No request begins within t3.5 of the last byte on the line."""
    field = Field()
    for _ in range(20):
        assert field.ask() == frame.GOOD
    gaps = [
        later[0] - (earlier[0] + (8 + 11) * CHAR_US + 4000)
        for earlier, later in pairwise(field.line.sent)
    ]
    assert min(gaps) >= T35_US
    assert max(gaps) <= T35_US + 500


class SlowLine(Line):
    """A port that takes its time to find a reply: it comes after the pass began that sees it."""

    def any(self):
        if self._coming:
            self.ticks.advance(400)
        return super().any()

    def next_us(self):
        next_us = super().next_us()
        return None if next_us is None else next_us - 300


def test_silence_counts_from_the_look_that_found_the_last_byte():
    """A byte that comes in the middle of a pass does not shorten the silence after it."""
    field = Field()
    field.line = field.client.port = SlowLine(field.ticks, field.line.answer)
    for _ in range(20):
        assert field.ask() == frame.GOOD
    gaps = [
        later[0] - (earlier[0] + (8 + 11) * CHAR_US + 4000)
        for earlier, later in pairwise(field.line.sent)
    ]
    assert min(gaps) >= T35_US


def test_stray_bytes_are_drained_and_hold_the_request():
    """Bytes on an idle line are counted, and the request waits for t3.5 after the last of them."""
    field = Field()
    field.rest(10_000)
    field.line.arrive(b"\x00\xff", 0)
    field.line.arrive(b"\x11", 1500)
    heard_us = field.ticks.us + 1500
    assert field.ask() == frame.GOOD
    assert field.line.sent[0][0] - heard_us >= T35_US
    assert field.client.strays == 3


def test_byte_by_byte():
    """A reply that comes a byte at a time is taken."""

    def answer(request):
        reply = reply_to(request)
        return [(4000 + i * CHAR_US, reply[i : i + 1]) for i in range(len(reply))]

    field = Field(answer)
    assert field.ask() == frame.GOOD


def test_truncated_reply_is_a_timeout():
    """A reply cut short at any length is a timeout, and its rest is not read as the next reply."""
    for length in range(11):
        field = Field(lambda request, n=length: [(4000, reply_to(request)[:n])])
        assert field.ask() == frame.TIMEOUT
        field.line.answer = lambda request: [(4000, reply_to(request))]
        assert field.ask() == frame.GOOD


def test_flipped_bit_is_never_good():
    """A reply with one bit flipped is a CRC error or, if a length grew, a timeout; never good."""
    for bit in range(8 * 11):

        def answer(request, bit=bit):
            damaged = bytearray(reply_to(request))
            damaged[bit // 8] ^= 1 << bit % 8
            return [(4000, damaged)]

        assert Field(answer).ask() == frame.BAD_CRC


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(sealed((UNIT + 1, 4, 6, 0, 0, 0, 0, 0, 0)), id="unit"),
        pytest.param(sealed((UNIT, 3, 6, 0, 0, 0, 0, 0, 0)), id="function"),
        pytest.param(sealed((UNIT, 4, 4, 0, 0, 0, 0)), id="length"),
        pytest.param(sealed((UNIT, 4, 250, *range(250))), id="long"),
        pytest.param(sealed((UNIT, 0x83, 2)), id="exception to another function"),
    ],
)
def test_foreign_frame_is_rejected(other):
    """An intact frame that is not the answer is rejected, as soon as the line is silent again."""
    field = Field(answers((4000, other)))
    assert field.ask(timeout_us=500_000) == frame.REJECTED
    assert field.client.reply_us < 4000 + CHAR_US * len(other) + 2 * T35_US + 500


@pytest.mark.parametrize("noise", [b"\x00", b"\xff\xff\xff"])
def test_noise_before_the_reply_is_a_crc_error(noise):
    """Noise that runs into the reply makes it a CRC error."""
    field = Field(lambda request: [(4000, noise + reply_to(request))])
    assert field.ask() == frame.BAD_CRC


def test_noise_after_the_reply_is_stray():
    """Bytes after a good reply do not spoil it; they are drained before the next request."""
    field = Field(lambda request: [(4000, reply_to(request) + b"\x00\x01")])
    assert field.ask() == frame.GOOD
    assert field.ask() == frame.GOOD
    assert field.client.strays == 2


def test_exception_is_known_at_once():
    """An exception reply ends the transaction without waiting for the timeout."""
    field = Field(answers((4000, sealed((UNIT, 0x84, 2)))))
    assert field.ask(timeout_us=900_000) == frame.EXCEPTION
    assert field.client.reply[2] == 2
    assert field.client.reply_us < 10_000


def test_damaged_exception_is_a_crc_error():
    """An exception reply with a wrong CRC is a CRC error."""
    assert Field(answers((4000, (UNIT, 0x84, 2, 0, 0)))).ask() == frame.BAD_CRC


def test_timeout_runs_from_the_end_of_the_request():
    """A silent device costs its timeout, counted from the last stop bit of the request."""
    field = Field(answers())
    assert field.ask(timeout_us=50_000) == frame.TIMEOUT
    end_us = field.line.sent[0][0] + 8 * CHAR_US
    assert 50_000 <= field.ticks.us - end_us <= 50_500


def test_duplicate_is_not_the_next_answer():
    """The second copy of a reply is drained and never taken for the answer to the next request."""
    count = {"asked": 0}

    def answer(request):
        count["asked"] += 1
        reply = reply_to(request)
        return [(4000, reply + reply)] if count["asked"] == 1 else []

    field = Field(answer)
    assert field.ask(address=0x10) == frame.GOOD
    assert field.ask(address=0x20) == frame.TIMEOUT
    assert field.client.strays == 11


def test_reply_during_the_request_is_stray():
    """A frame that comes while the request is still being sent cannot be its answer."""
    field = Field(answers())
    field.rest(10_000)
    late = reply_to(sealed((UNIT, 4, 0, 0x20, 0, 3)))
    field.line.arrive(late, T35_US + 2000 if not field.client._silent else 2000)
    assert field.ask() == frame.TIMEOUT
    assert field.client.strays == len(late)


def test_babble_ends():
    """A line that is never silent ends the attempt, and nothing is sent into it."""
    field = Field()
    for i in range(2000):
        field.line.arrive(b"\x55", i * 1000)
    assert field.ask() == frame.TIMEOUT
    assert field.line.sent == []
    assert not field.client.was_sent


def test_stuck_transmitter_ends():
    """A transmitter that never gets empty ends the attempt with the driver off."""
    field = Field()
    field.line.tx_idle = lambda: False
    assert field.ask() == frame.TIMEOUT
    assert field.line.driver[-1][1] is False


def test_ticks_wrap_anywhere_in_a_transaction():
    """A transaction is the same wherever in it the ticks wrap."""
    for before_wrap_us in range(500, 30_000, 500):
        field = Field(before_wrap_us=before_wrap_us)
        assert [field.ask(), field.ask()] == [frame.GOOD, frame.GOOD]


def test_an_hour_of_rest_does_not_confuse_the_silence():
    """After a rest longer than ticks can tell, the next request goes out at once."""
    field = Field()
    field.ask()
    for _ in range(72):
        field.client.step(field.ticks.ticks_us(), field.ticks.ticks_ms())
        field.ticks.advance(50_000_000)
    before_us = field.ticks.us
    assert field.ask() == frame.GOOD
    assert field.line.sent[-1][0] - before_us < 500
