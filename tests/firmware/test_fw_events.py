"""The ring of events and the watch rules: what is an event, when it was, and what is never lost."""

import struct

import pytest
from fw_fakes import Ticks, sealed
from fw_plan_file import blocks, bus, device, plan_file, watch

from station import events, frame, image, parser, plan

BIT, ABOVE, BELOW, ABOVE_SIGNED, BELOW_SIGNED = range(1, 6)
NEVER_WRITTEN = 0xFFFFFFFF


class Board:
    """Image and events of a plan with two blocks: 4 input registers, 20 coils."""

    def __init__(self, *watches, before_wrap_us=3_000_000):
        self.ticks = Ticks(before_wrap_us)
        self.plan = plan.Plan()
        rows = blocks((0, 4, 0, 4, 1000), (0, 1, 0, 20, 1000))
        data = plan_file([bus()], [device()], rows, watches=watches)
        assert parser.parse(data, self.plan) == parser.ACCEPTED
        self.image = image.Image(self.plan, self.ticks)
        self.events = events.Events(self.plan, self.image, self.ticks)

    def now_ms(self):
        return self.ticks.ticks_ms()

    def read(self, *words, later_ms=0):
        """A good reply with these registers, asked for now and stored later_ms later."""
        asked_ms = self.now_ms()
        self.ticks.advance(later_ms * 1000)
        data = struct.pack(">4H", *(words + (0,) * 4)[:4])
        reply = bytearray(sealed(bytes((1, 4, 8)) + data))
        self.events.store(0, reply, asked_ms, self.now_ms())
        self.settle()

    def read_coils(self, *numbers):
        value = sum(1 << n for n in numbers)
        reply = bytearray(sealed(bytes((1, 1, 3)) + value.to_bytes(3, "little")))
        self.events.store(1, reply, self.now_ms(), self.now_ms())
        self.settle()

    def settle(self):
        while self.events.step(self.ticks.ticks_us(), self.now_ms()) == 0:
            pass

    def next(self):
        head = self.image.board
        return image.get(head, image.EVENT_NEXT) << 16 | image.get(head, image.EVENT_NEXT + 1)

    def entry(self, sequence):
        """(sequence, source, code, value, ms) as the link serves them."""
        buf = bytearray(16)
        assert self.image.read(0x8000 + 8 * (sequence % 256), 8, self.now_ms(), buf, 0)
        high, low, source, code, value, *clock = struct.unpack(">8H", buf)
        return high << 16 | low, source, code, value, clock[0] << 32 | clock[1] << 16 | clock[2]

    def facts(self):
        """(code, value) of all events so far."""
        return [self.entry(n)[2:4] for n in range(self.next())]


def test_the_first_good_read_is_no_event():
    """What a block holds when it is first read sets the state and is no event."""
    board = Board(watch(0, BIT, 0), watch(0, ABOVE, 1, 10))
    board.read(1, 99)
    assert board.next() == 0


def test_a_changed_bit_is_an_event_each_way():
    """A watched bit gives one event as it comes and one as it goes, none in between."""
    board = Board(watch(0, BIT, 16 * 2 + 15, code=7))
    for word in (0, 0, 0x8000, 0x8000, 0, 0x7FFF):
        board.read(5, 6, word)
    assert board.facts() == [(0x8007, 1), (0x0007, 0)]
    assert board.entry(0)[1] == 0


def test_a_changed_coil_is_an_event():
    """Bit n of a block of coils is its coil n, also in the second register and the last one."""
    board = Board(*(watch(1, BIT, n, code=n) for n in (0, 8, 15, 16, 19)))
    board.read_coils()
    for n in (0, 8, 15, 16, 19):
        board.read_coils(n)
        board.read_coils()
    assert [code for code, _ in board.facts()] == [
        code for n in (0, 8, 15, 16, 19) for code in (0x8000 | n, n)
    ]
    assert board.entry(0)[1] == 1


@pytest.mark.parametrize(
    ("kind", "threshold", "hysteresis", "words", "expected"),
    [
        pytest.param(ABOVE, 100, 0, [100, 101, 100], [+101, -100], id="above"),
        pytest.param(ABOVE, 100, 5, [100, 101, 100, 96, 95, 96], [+101, -95], id="above, margin"),
        pytest.param(BELOW, 100, 0, [100, 99, 100], [+99, -100], id="below"),
        pytest.param(BELOW, 100, 5, [100, 99, 104, 105, 104], [+99, -105], id="below, margin"),
        pytest.param(ABOVE, 0x8000, 0, [0, 0x8001, 0x7FFF], [+0x8001, -0x7FFF], id="unsigned"),
        pytest.param(
            ABOVE_SIGNED, 0xFFF6, 0, [0xFFF6, 0xFFF7, 3, 0xFFF6], [+0xFFF7, -0xFFF6], id="signed"
        ),
        pytest.param(BELOW_SIGNED, 0, 2, [0, 0xFFFF, 1, 2], [+0xFFFF, -2], id="below 0"),
        pytest.param(ABOVE_SIGNED, 1, 3, [2, 1, 0xFFFE], [-0xFFFE], id="margin over 0"),
        pytest.param(ABOVE, 2, 5, [3, 0], [], id="a margin that cannot be left"),
        pytest.param(BELOW, 0xFFFF, 5, [3, 0xFFFF], [], id="nor upwards"),
    ],
)
def test_thresholds(kind, threshold, hysteresis, words, expected):
    """A condition begins past its threshold and ends at the threshold less the hysteresis."""
    board = Board(watch(0, kind, 3, threshold, hysteresis, code=1))
    for word in words:
        board.read(0, 0, 0, word)
    # A begin is written as a positive number, an end as a negative one.
    assert [value if code == 0x8001 else -value for code, value in board.facts()] == expected


def test_a_failed_read_changes_nothing():
    """After failures the next good read is compared with the last good one."""
    board = Board(watch(0, BIT, 0, code=3))
    board.read(1)
    board.image.mark(0, frame.TIMEOUT)
    board.settle()
    board.read(1)
    assert board.next() == 0
    board.image.mark(0, frame.TIMEOUT)
    board.read(0)
    assert board.facts() == [(3, 0)]


def test_an_event_carries_the_time_of_its_request():
    """The clock of an entry is the board clock at the moment its data was asked for."""
    for before_wrap_us in range(1_000, 200_000, 17_000):
        board = Board(watch(0, BIT, 0), before_wrap_us=before_wrap_us)
        board.read(0)
        board.ticks.advance(70_000)
        at_ms = board.ticks.us // 1000
        board.read(1, later_ms=90)
        board.ticks.advance(5_000_000)
        assert board.entry(0)[4] == at_ms


def test_the_clock_of_an_entry_borrows_through_its_words():
    """A moment before a carry of the board clock is stamped right in all 48 bits."""
    for carry in (1 << 16, 1 << 32):
        board = Board()
        for _ in range(carry >> 28):
            board.ticks.advance((1 << 28) * 1000)
            board.image.advance_clock(board.now_ms())
        board.ticks.advance(((carry & ((1 << 28) - 1)) + 20) * 1000)
        for back_ms in (0, 20, 21, 60, 70_000):
            if back_ms > carry:
                continue
            at_ms = board.ticks.ticks_add(board.now_ms(), -back_ms)
            board.events.record(0x0200, 0, 0, at_ms, board.now_ms())
            assert board.entry(board.next() - 1)[4] == carry + 20 - back_ms


def test_overwritten_entries_are_countable():
    """After any number of events the ring holds the last 256, each known by its sequence alone."""
    board = Board()
    assert {board.entry(n)[0] for n in range(256)} == {NEVER_WRITTEN}
    for n in range(700):
        board.events.record(0x0200, n & 0x7FFF, n, board.now_ms(), board.now_ms())
    assert board.next() == 700
    kept = sorted(board.entry(n)[0] for n in range(256))
    assert kept == list(range(700 - 256, 700))
    assert all(board.entry(n)[3] == n for n in kept)


def test_the_sequence_carries_into_its_high_word():
    """The 65,536th event has sequence 0x0001_0000 and its entry says so."""
    board = Board()
    image.put(board.image.board, image.EVENT_NEXT + 1, 0xFFFF)
    for _ in range(2):
        board.events.record(0x0200, 0, 0, board.now_ms(), board.now_ms())
    assert board.next() == 0x10001
    assert [board.entry(n)[0] for n in (0xFFFF, 0x10000)] == [0xFFFF, 0x10000]


def test_watches_are_looked_at_a_few_a_pass():
    """256 watches of one block take 32 passes, and none is left out."""
    board = Board(*(watch(0, BIT, n % 64, code=n) for n in range(256)))
    board.read(0, 0, 0, 0)
    reply = bytearray(sealed(bytes((1, 4, 8)) + b"\xff" * 8))
    board.events.store(0, reply, board.now_ms(), board.now_ms())
    passes = 1
    while board.events.step(0, board.now_ms()) == 0:
        assert board.next() <= 8 * passes
        passes += 1
    assert passes == 33
    assert board.facts() == [(0x8000 | n, 1) for n in range(256)]


def test_a_change_is_not_lost_to_the_next_reply():
    """A block that is stored again before its watches were looked at still gives both events."""
    board = Board(watch(0, BIT, 0), watch(1, BIT, 0))
    board.read(0)
    for bit in (1, 0):
        reply = bytearray(sealed(bytes((1, 4, 8, 0, bit)) + bytes(6)))
        board.events.store(0, reply, board.now_ms(), board.now_ms())
    board.settle()
    assert board.facts() == [(0x8000, 1), (0x0000, 0)]


def test_blocks_wait_in_line():
    """Watches of two blocks stored in the same pass are looked at in the order of their replies."""
    board = Board(watch(1, BIT, 0, code=1), watch(0, BIT, 0, code=0), watch(1, BIT, 1, code=2))
    board.read(0)
    board.read_coils()
    coils = bytearray(sealed((1, 1, 3, 3, 0, 0)))
    words = bytearray(sealed((1, 4, 8, 0, 1, 0, 0, 0, 0, 0, 0)))
    board.events.store(1, coils, board.now_ms(), board.now_ms())
    board.events.store(0, words, board.now_ms(), board.now_ms())
    board.settle()
    assert [code for code, _ in board.facts()] == [0x8001, 0x8002, 0x8000]


def test_unwatched_blocks_cost_nothing():
    """A block without watches is stored and asks for no pass."""
    board = Board()
    board.read(1, 2, 3, 4)
    assert board.events.step(0, board.now_ms()) == events.FAR_US
    assert board.image.word_of(0, 3) == 4
