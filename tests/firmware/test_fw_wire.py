"""What a bad wire does to a bus: echoes, late, doubled, joined and foreign frames, byte by byte.

Every reply carries the number of its request. `Watched` looks at each one that becomes data: it has
to be, byte for byte, what the device answered to the request that was last sent.
"""

import itertools
import re
import struct
from pathlib import Path

import pytest
from fw_fakes import Line, Ticks, reply_to, run, sealed
from fw_field import LATENCY_US, Field
from fw_plan_file import device

from station import client, frame, image

FIRMWARE = Path(frame.__file__).parents[1]
CHAR_US = 573
T35_US = 2005
UNIT = 5


def numbered(request, number):
    """A right reply whose data tells address and number of its request."""
    unit, function, address, count = struct.unpack(">BBHH", request[:6])
    if function <= 2:
        data = bytearray((number + i) & 0xFF for i in range((count + 7) // 8))
        data[0] = address & 0xFF
    else:
        data = struct.pack(f">{count}H", address, *([number & 0xFFFF] * (count - 1)))
    return sealed(bytes((unit, function, len(data))) + bytes(data))


def by_bytes(after_us, data):
    """The parts of a frame that begins after_us after the request, a byte a character.

    The line adds the time of each part's own length.
    """
    return [(after_us + i * CHAR_US, data[i : i + 1]) for i in range(len(data))]


class Watched(Field):
    """A bus whose devices answer through `spoil(reply, number, unit)`, a list of parts."""

    def __init__(self, devices, rows, spoil):
        super().__init__(devices, rows)
        self.spoil = spoil
        self.number = 0
        self.truth = b""
        self.taken = []  # (request, reply)
        store = self.events.store

        def watched_store(block, reply, asked_ms, now_ms):
            got = bytes(reply[: self.client.size])
            assert got == self.truth, f"{got.hex()} is not {self.truth.hex()}"
            self.taken.append((self.line.sent[-1][1], got))
            store(block, reply, asked_ms, now_ms)

        self.events.store = watched_store

    def answer(self, request):
        self.number += 1
        self.truth = numbered(request, self.number)
        return self.spoil(self.truth, self.number, request[0])


TWO = [device(0, 1, 50, 300), device(0, 2, 50, 300)]
ROWS = [
    (0, 4, 0x0000, 3, 200),
    (0, 4, 0x0600, 3, 300),
    (0, 1, 0x0300, 24, 500),
    (1, 4, 0x0000, 3, 200),
]


@pytest.mark.parametrize("late_us", range(0, 300_000, 1_000))
def test_late_by_every_offset(late_us):
    """A reply late by any time up to the worst one is never taken for a later request's."""

    def spoil(reply, number, unit):
        late = late_us if unit == 1 and number % 3 == 0 else LATENCY_US
        return by_bytes(late, reply)

    # The line's parts carry their own length; the worst time is that of the whole reply.
    field = Watched([device(0, 1, 50, 300 + 11), device(0, 2, 50, 311)], ROWS, spoil)
    field.run(6)
    assert len(field.taken) > 20


@pytest.mark.parametrize("after_us", range(0, 300_000, 1_500))
def test_doubled_at_every_offset(after_us):
    """A second copy of a reply, any time up to the worst one later, is never another's answer."""

    def spoil(reply, number, unit):
        constant = numbered(field.line.sent[-1][1], 7)  # a copy of live data need not differ
        field.truth = constant
        # Slow enough for a whole copy of the last reply to come before the right one.
        first = by_bytes(25_000, constant)
        end_us = 25_000 + len(reply) * CHAR_US
        return first + (by_bytes(max(after_us, end_us), constant) if unit == 1 else [])

    rows = [(0, 4, 0x0000, 3, 100), (0, 4, 0x0600, 3, 100), (1, 4, 0x0000, 3, 100)]
    field = Watched([device(0, 1, 50, 320), device(0, 2, 50, 320)], rows, spoil)
    field.run(6)
    addresses = {(request[0], request[2]) for request, _ in field.taken}
    assert len(field.taken) > 10
    # A block whose every reply is hit by a copy is bad, and says so.
    for index, key in enumerate([(1, 0), (1, 6), (2, 0)]):
        assert key in addresses or field.block(index)[1] != frame.GOOD


def test_twins_of_the_same_content_are_both_read():
    """Two blocks of one shape that hold the same are each read well, only not so often."""
    field = Field([device(0, 1, 50, 300)], [(0, 4, 0, 3, 500), (0, 4, 100, 3, 500)])
    same = sealed((1, 4, 6, 0, 0, 0, 0, 0, 0))
    field.answers[1] = lambda request: [(LATENCY_US, same)]
    field.run(20)
    for index in (0, 1):
        generation, status, age_ms, _ = field.block(index)
        assert status == frame.GOOD
        assert age_ms < 1500
        assert generation > 20
    assert field.device(0, image.FAILURES) == 0


@pytest.mark.parametrize("function", [1, 4])
def test_twins_keep_their_periods(function):
    """Twins of the same content are read at their periods, kept apart, with one doubt at first."""
    counts = (20, 24) if function == 1 else (3, 3)  # bits: the shape is that of the bytes
    rows = [(0, function, 0, counts[0], 1000), (0, function, 100, counts[1], 1000)]
    field = Field([device(0, 1, 50, 300)], [*rows, (0, 4, 0, 5, 200)])
    same = sealed((1, function, 3 if function == 1 else 6, *bytes(3 if function == 1 else 6)))
    field.answers[1] = lambda request: [
        (LATENCY_US, same if request[5] != 5 else reply_to(request))
    ]
    field.run(60)
    assert field.word(image.REJECTED) <= 1
    assert field.word(image.SLIPS) <= 3
    for index, reads in enumerate((60, 60, 300)):
        assert reads - 3 <= field.block(index)[0] <= reads + 1
    asked = [(us, request[3]) for us, request in field.line.sent if request[5] != 5]
    gaps = [b[0] - a[0] for a, b in itertools.pairwise(asked[3:]) if a[1] != b[1]]
    assert min(gaps) > 300_000


def test_a_slow_twin_is_not_starved():
    """A twin with a long period is read in its time beside a fast one of the same content."""
    field = Field([device(0, 1, 50, 300)], [(0, 4, 0, 3, 100), (0, 4, 100, 3, 5000)])
    same = sealed((1, 4, 6, 0, 0, 0, 0, 0, 0))
    field.answers[1] = lambda request: [(LATENCY_US, same)]
    field.run(60)
    assert field.block(1)[0] >= 11
    assert field.block(0)[0] > 400


@pytest.mark.parametrize("length", range(1, 11))
def test_cut_short_at_every_length(length):
    """A reply of which only the first bytes come is never data, nor joined to what comes later."""

    def spoil(reply, number, unit):
        return by_bytes(LATENCY_US, reply[:length] if number % 2 else reply)

    field = Watched(TWO, ROWS, spoil)
    field.run(6)
    assert len(field.taken) > 5
    assert field.word(image.TIMEOUTS) + field.word(image.CRC_ERRORS) > 3


@pytest.mark.parametrize("gap_us", [0, 300, 900, 1_900, 2_500, 10_000])
@pytest.mark.parametrize("first", ["old", "foreign", "double", "exception"])
def test_joined_frames(first, gap_us):
    """Another frame right before the reply never makes data of anything but the reply."""
    last = {}

    def spoil(reply, number, unit):
        other = {
            "old": last.get(unit, b""),
            "foreign": sealed((9, 4, 6, 1, 2, 3, 4, 5, 6)),
            "double": reply,
            "exception": sealed((unit + 1, 0x84, 2)),
        }[first]
        last[unit] = sealed(bytes((unit, 4, 6)) + b"\x09" * 6) if first == "old" else reply
        if number % 4 or not other or (first == "old" and other[:1] == bytes((unit,))):
            return by_bytes(LATENCY_US, reply)
        start_us = LATENCY_US + len(other) * CHAR_US + gap_us
        return by_bytes(LATENCY_US, other) + by_bytes(start_us, reply)

    field = Watched(TWO, ROWS, spoil)
    field.run(6)
    assert len(field.taken) > 20


@pytest.mark.parametrize("start_us", range(-8 * CHAR_US, 30_000, 700))
def test_a_foreign_frame_at_every_offset(start_us):
    """A frame of another unit, begun anywhere in a transaction, never becomes data."""
    foreign = sealed((UNIT + 1, 4, 6, 1, 2, 3, 4, 5, 6))

    def answer(request):
        if start_us < 0:
            for i in range(len(foreign)):
                line.arrive(foreign[i : i + 1], 8 * CHAR_US + start_us + i * CHAR_US)
            return by_bytes(15_000, reply_to(request))
        return by_bytes(15_000, reply_to(request)) + by_bytes(start_us, foreign)

    ticks = Ticks()
    line = Line(ticks, answer)
    wire = client.Client(line, ticks, T35_US, CHAR_US)
    wire.timeout_us = 100_000
    wire.start(ticks.ticks_us(), UNIT, 4, 0x10, 3)
    run(wire, [line], ticks, 400_000, on_pass=lambda: wire.state == client.IDLE)
    if wire.result == frame.GOOD:
        assert bytes(wire.reply[:11]) == reply_to(line.sent[0][1])


@pytest.mark.parametrize("pass_us", [100, 1_500])
@pytest.mark.parametrize("start_us", range(-8 * CHAR_US, 0, 150))
def test_an_old_frame_that_began_before_the_end_of_the_request(start_us, pass_us):
    """A fitting frame that begins while we transmit is older than the request, and never data."""
    old = sealed((UNIT, 4, 6, 1, 2, 3, 4, 5, 6))

    def answer(request):
        for i in range(len(old)):
            line.arrive(old[i : i + 1], 8 * CHAR_US + start_us + (i + 1) * CHAR_US)
        return []

    ticks = Ticks()
    line = Line(ticks, answer)
    wire = client.Client(line, ticks, T35_US, CHAR_US)
    wire.timeout_us = 100_000
    wire.start(ticks.ticks_us(), UNIT, 4, 0x10, 3)
    run(wire, [line], ticks, 400_000, pass_us, on_pass=lambda: wire.state == client.IDLE)
    # Bytes that are all seen only after the end cannot be told from a prompt reply.
    began_unseen = start_us + CHAR_US > -pass_us
    assert wire.result != frame.GOOD or began_unseen


# -- echoes -------------------------------------------------------------------------------------

# Reads whose own request looks like the beginning, or the whole, of their reply.
LOOKALIKES = [
    pytest.param(4, 0x0010, 3, id="plain"),
    pytest.param(4, 0x0600, 3, id="address begins with the byte count"),
    pytest.param(1, 0x0300, 24, id="request as long as the reply"),
    pytest.param(1, 0x0311, 20, id="the same, other bits"),
    pytest.param(1, 0x0100, 8, id="reply shorter than the request"),
    pytest.param(2, 0x0200, 16, id="reply shorter by one"),
    pytest.param(3, 0x0200, 1, id="one register"),
]


class Echoing(Line):
    """A line whose transceiver hears itself: each byte sent comes back echo_us after its end."""

    def __init__(self, ticks, answer, echo_us=0, damage=None):
        super().__init__(ticks, answer)
        self.echo_us = echo_us
        self.damage = damage

    def write(self, buf, n):
        start_us = max(self.ticks.us, self._free_us)
        super().write(buf, n)
        echo = bytearray(buf[:n])
        if self.damage is not None:
            echo[self.damage // 8] ^= 1 << self.damage % 8
        for i in range(n):
            at_us = start_us + (i + 1) * self.char_us + self.echo_us
            self.arrive(echo[i : i + 1], at_us - self.ticks.us)
        return n


def ask_echoing(function, address, count, answer, *, echo_us=0, pass_us=100, damage=None):
    ticks = Ticks()
    line = Echoing(ticks, answer, echo_us, damage)
    wire = client.Client(line, ticks, T35_US, CHAR_US)
    wire.timeout_us = 100_000
    wire.start(ticks.ticks_us(), UNIT, function, address, count)
    run(wire, [line], ticks, 2_000_000, pass_us, on_pass=lambda: wire.state == client.IDLE)
    return wire


@pytest.mark.parametrize("pass_us", [100, 700, 3_000, 9_000])
@pytest.mark.parametrize("echo_us", [0, 400, 900, 2_500, 4_700])
@pytest.mark.parametrize(("function", "address", "count"), LOOKALIKES)
def test_an_echo_is_skipped(function, address, count, echo_us, pass_us):
    """With an echoing transceiver, seen at once or late, the reply after the echo is taken."""
    truth = []

    def answer(request):
        truth.append(numbered(request, 0x77))
        return by_bytes(6_000, truth[0])

    wire = ask_echoing(function, address, count, answer, echo_us=echo_us, pass_us=pass_us)
    assert wire.result == frame.GOOD
    assert bytes(wire.reply[: wire.size]) == truth[0]
    assert wire.strays == 0


@pytest.mark.parametrize("pass_us", [100, 700, 3_000, 9_000])
@pytest.mark.parametrize("echo_us", [0, 400, 900, 2_500, 4_700])
@pytest.mark.parametrize(("function", "address", "count"), LOOKALIKES)
def test_an_echo_alone_is_no_reply(function, address, count, echo_us, pass_us):
    """The echo of a request that nobody answers is a timeout, even if it would pass as a reply."""
    wire = ask_echoing(function, address, count, lambda r: [], echo_us=echo_us, pass_us=pass_us)
    assert wire.result == frame.TIMEOUT


@pytest.mark.parametrize("bit", range(64))
@pytest.mark.parametrize("pass_us", [100, 9_000])
def test_a_damaged_echo_is_never_data(bit, pass_us):
    """Whatever bit of the echo is wrong, only the true reply can be data."""
    for function, address, count in ((4, 0x10, 3), (1, 0x0300, 24)):
        truth = []

        def answer(request, truth=truth):
            truth.append(numbered(request, 0x77))
            return by_bytes(6_000, truth[0])

        wire = ask_echoing(function, address, count, answer, pass_us=pass_us, damage=bit)
        if wire.result == frame.GOOD:
            assert bytes(wire.reply[: wire.size]) == truth[0]
        silent = ask_echoing(function, address, count, lambda r: [], pass_us=pass_us, damage=bit)
        assert silent.result != frame.GOOD


def test_a_short_echo_with_a_right_crc_is_no_reply():
    """A request whose first six bytes happen to end in their own CRC is not its own answer."""
    found = 0
    for unit in range(1, 248):
        for low in range(256):
            head = sealed((unit, 1, 1, low))
            count = head[4] << 8 | head[5]
            if not 1 <= count <= 8:
                continue
            found += 1
            ticks = Ticks()
            line = Echoing(ticks, lambda request: [], 4_700)
            wire = client.Client(line, ticks, T35_US, CHAR_US)
            wire.timeout_us = 50_000
            wire.start(ticks.ticks_us(), unit, 1, 0x0100 | low, count)
            run(wire, [line], ticks, 300_000, 9_000, on_pass=lambda w=wire: w.state == 0)
            assert wire.result == frame.TIMEOUT
    assert found > 3


def test_a_reply_that_begins_like_the_request_is_taken():
    """Without an echo, data that repeat the request's first bytes are a good reply."""
    for function, address, count, data in (
        (4, 0x0600, 3, bytes(6)),
        (4, 0x0600, 3, b"\x00\x00\x03\x00\x00\x00"),
        (1, 0x0300, 24, b"\x00\x00\x17"),
        (2, 0x0200, 16, b"\x00\x00"),
    ):
        reply = sealed(bytes((UNIT, function, len(data))) + data)
        ticks = Ticks()
        line = Line(ticks, lambda request, reply=reply: by_bytes(4_000, reply))
        wire = client.Client(line, ticks, T35_US, CHAR_US)
        wire.timeout_us = 100_000
        wire.start(ticks.ticks_us(), UNIT, function, address, count)
        run(wire, [line], ticks, 300_000, on_pass=lambda w=wire: w.state == client.IDLE)
        assert wire.result == frame.GOOD
        assert bytes(wire.reply[: wire.size]) == reply


# -- identity -----------------------------------------------------------------------------------

# MODBUS Application Protocol V1.1b3, 6.21: the example's first answer, with another unit id.
IDENTITY = sealed(
    bytes((UNIT, 0x2B, 0x0E, 1, 1, 0, 0, 3))
    + b"\x00\x16Company identification\x01\x0dProduct code "
    + b"\x02\x05V2.11"
)


def identify(*parts, echo=False):
    ticks = Ticks()
    line = Echoing(ticks, lambda r: list(parts), 0) if echo else Line(ticks, lambda r: list(parts))
    wire = client.Client(line, ticks, T35_US, CHAR_US)
    wire.timeout_us = 100_000
    wire.start_identify(ticks.ticks_us(), UNIT, 1, 0)
    run(wire, [line], ticks, 2_000_000, on_pass=lambda: wire.state == client.IDLE)
    return wire, line


@pytest.mark.parametrize("echo", [False, True])
def test_identity_is_read(echo):
    """A read of identity is 7 bytes and gets its answer of any length, also past an echo."""
    wire, line = identify(*by_bytes(5_000, IDENTITY), echo=echo)
    assert line.sent[0][1] == sealed((UNIT, 0x2B, 0x0E, 1, 0))
    assert wire.result == frame.GOOD
    assert bytes(wire.reply[: wire.size]) == IDENTITY


@pytest.mark.parametrize(
    ("reply", "result"),
    [
        pytest.param(sealed((UNIT, 0xAB, 1)), frame.EXCEPTION, id="exception"),
        pytest.param(sealed((UNIT + 1,)) + IDENTITY[1:], frame.BAD_CRC, id="damaged"),
        pytest.param(sealed((UNIT + 1, *IDENTITY[1:-2])), frame.REJECTED, id="another unit"),
        pytest.param(sealed((UNIT, 0x2B, 0x0D, *IDENTITY[3:-2])), frame.REJECTED, id="other kind"),
        pytest.param(sealed((UNIT, 0x2B, 0x0E, 2, *IDENTITY[4:-2])), frame.REJECTED, id="code"),
        pytest.param(sealed((UNIT, 3, 6, 0, 0, 0, 0, 0, 0)), frame.REJECTED, id="a read's reply"),
        pytest.param(sealed((UNIT, 0x2B, 0x0E, 1, 1)), frame.REJECTED, id="too short"),
        pytest.param(b"", frame.TIMEOUT, id="silence"),
    ],
)
def test_what_is_no_identity(reply, result):
    """Anything but an answer to the read of identity has the result of its fault."""
    assert identify(*by_bytes(5_000, reply))[0].result == result


def test_only_codes_of_identity_can_be_encoded():
    """encode_identify() writes unit, 2B, 0E, a code of 1 to 4, an object, the CRC, nothing else."""
    for code in range(256):
        buf = bytearray(8)
        if 1 <= code <= 4:
            frame.encode_identify(buf, 3, code, 0x80)
            assert bytes(buf[:7]) == sealed((3, 0x2B, 0x0E, code, 0x80))
        else:
            with pytest.raises(AssertionError):
                frame.encode_identify(buf, 3, code, 0)
            assert bytes(buf) == bytes(8)


def test_nothing_that_runs_reads_an_identity():
    """Only the client can read an identity, no part calls it, and the server knows no client."""
    texts = {path.name: path.read_text() for path in (FIRMWARE / "station").glob("*.py")}
    assert {name for name in texts if "encode_identify(" in texts[name]} == {
        "frame.py",
        "client.py",
    }
    assert {name for name in texts if "start_identify" in texts[name]} == {"client.py"}
    assert "self.start_identify" not in texts["client.py"]
    imported = re.findall(r"from station(?:\.| import )(\w+)", texts["server.py"])
    assert imported and not {"client", "bus"} & set(imported)


# -- adaptive timeout ---------------------------------------------------------------------------


def silence_cost_us(latency_us, timeout_ms=1000, count=3, worst_ms=2000):
    """How long a bus waits for a device that has answered in latency_us and then falls silent."""
    field = Field([device(0, 1, timeout_ms, worst_ms)], [(0, 4, 0, count, 1000)])
    field.answers[1] = lambda request: [(latency_us, reply_to(request))]
    field.run(20)
    assert field.word(image.TIMEOUTS) == 0
    field.answers[1] = lambda request: []
    busy_us = field.bus.busy_us
    while field.word(image.TIMEOUTS) == 0:
        field.run(0.01)
    return field.bus.busy_us - busy_us - 8 * CHAR_US, field


@pytest.mark.parametrize(
    ("latency_us", "expected_us"),
    [(5_000, 100_000), (24_000, 100_000), (40_000, 160_000), (200_000, 800_000)],
)
def test_a_quick_device_is_given_up_sooner(latency_us, expected_us):
    """A device's timeout is 4 times its turnaround, 100 ms at least, and its reply's wire time."""
    cost_us, _ = silence_cost_us(latency_us)
    assert cost_us == pytest.approx(expected_us + 11 * CHAR_US, abs=4_000)


def test_the_plan_bounds_the_timeout():
    """No adapted timeout is longer than the plan's."""
    cost_us, _ = silence_cost_us(300_000, timeout_ms=400)
    assert cost_us == pytest.approx(400_000, abs=2_000)


def test_a_long_reply_gets_its_time_on_the_wire():
    """The adapted timeout has room for the longest reply of a quick device."""
    field = Field([device(0, 1, 1000, 2000)], [(0, 4, 0, 2, 200), (0, 4, 500, 121, 5000)])
    field.run(30)
    assert field.word(image.TIMEOUTS) == 0
    assert field.block(1)[1] == frame.GOOD


def test_timeouts_lead_back_to_the_plans():
    """Each timeout makes the next one four times as long, up to the plan's."""
    _, field = silence_cost_us(5_000)
    costs_ms = []
    for n in range(1, 4):
        busy_us = field.bus.busy_us
        while field.word(image.TIMEOUTS) == n:
            field.run(0.01)
        costs_ms.append((field.bus.busy_us - busy_us) // 1000)
    assert costs_ms == pytest.approx([4 * 106 + 10, 1000, 1000], rel=0.05)


def test_quarantine_is_the_plans_whatever_the_timeout():
    """A device given up early is still left alone until its worst reply time has passed."""
    _, field = silence_cost_us(5_000)
    given_up_us = field.requests()[-1]
    field.run(4)
    assert next(at for at in field.requests() if at > given_up_us) >= given_up_us + 2_000_000


def test_a_jittery_device_is_not_given_up():
    """A device that is slow now and then is remembered as slow: one timeout in two minutes."""
    field = Field([device(0, 1, 500, 1000, 1)], [(0, 4, 0, 3, 250)])
    field.answers[1] = lambda request: [
        (80_000 if len(field.line.sent) % 9 == 0 else 5_000, reply_to(request))
    ]
    field.run(120)
    assert field.word(image.TIMEOUTS) <= 1
