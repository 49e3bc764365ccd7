"""Dry contacts in simulated time: debounced, and stamped with the first edge."""

import pytest
from fw_fakes import Line, Ticks, reply_to, run
from fw_plan_file import blocks, bus, contact, device, plan_file
from hypothesis import given, settings
from hypothesis import strategies as st

from station import bus as scheduler
from station import client, events, image, inputs, parser, plan

NORMALLY_CLOSED = 1


class Contacts:
    """Contacts of a board that follow a list of edges (us, index, closed)."""

    count = 16

    def __init__(self, ticks, wakes_idle=False):
        self.ticks = ticks
        self.wakes_idle = wakes_idle
        self.edges = []
        self.mask = 0

    def read(self):
        while self.edges and self.edges[0][0] <= self.ticks.us:
            _, index, closed = self.edges.pop(0)
            self.mask = self.mask | 1 << index if closed else self.mask & ~(1 << index)
        return self.mask

    def next_us(self):
        """For run(): only a board that wakes at edges ends its rest at one."""
        return self.edges[0][0] if self.edges and self.wakes_idle else None


class Board:
    def __init__(self, *rows, wakes_idle=False, before_wrap_us=3_000_000, closed=()):
        self.ticks = Ticks(before_wrap_us)
        loaded = plan.Plan()
        assert parser.parse(plan_file(inputs=rows), loaded) == parser.ACCEPTED
        self.image = image.Image(loaded, self.ticks)
        self.events = events.Events(loaded, self.image, self.ticks)
        self.contacts = Contacts(self.ticks, wakes_idle)
        for index in closed:
            self.contacts.mask |= 1 << index
        self.inputs = inputs.Inputs(loaded, self.image, self.events, self.contacts, self.ticks)

    def run(self, ms, *edges):
        """Runs for ms with edges (ms from now, index, closed)."""
        now_us = self.ticks.us
        self.contacts.edges = [(now_us + round(1000 * at), i, c) for at, i, c in edges]
        run(self.inputs, [self.contacts], self.ticks, now_us + 1000 * ms)

    def word(self, offset):
        return image.get(self.image.contacts, offset)

    def found(self):
        """(source, code, value, ms since boot) of all events."""
        rows = []
        for n in range(image.get(self.image.board, image.EVENT_NEXT + 1)):
            words = [image.get(self.image.events, 8 * n + i) for i in range(8)]
            clock = words[5] << 32 | words[6] << 16 | words[7]
            rows.append((*words[2:5], clock))
        return rows


def test_a_change_is_stamped_at_its_first_edge():
    """The event of a contact carries the first edge's time, not that of the debounce's end."""
    board = Board(contact(0, debounce_ms=50))
    board.run(1000, (300, 0, 1), (303, 0, 0), (306, 0, 1), (330, 0, 0), (331, 0, 1))
    ((source, code, value, at_ms),) = board.found()
    assert (source, code, value) == (0x0100, 0x8000, 1)
    assert 300 <= at_ms <= 302
    assert (board.word(0), board.word(1), board.word(2)) == (1, 1, 1)


def test_a_glitch_is_nothing():
    """A pulse shorter than the debounce time leaves no event, no count and the old state."""
    board = Board(contact(0, debounce_ms=20))
    board.run(1000, (300, 0, 1), (310, 0, 0), (500, 0, 1), (519, 0, 0))
    assert board.found() == []
    assert (board.word(0), board.word(2)) == (0, 0)


def test_a_glitch_does_not_date_the_next_change():
    """A change after a glitch is stamped at its own first edge."""
    board = Board(contact(0, debounce_ms=20))
    board.run(1000, (300, 0, 1), (301, 0, 0), (600, 0, 1))
    assert 600 <= board.found()[0][3] <= 602


def test_what_stands_at_boot_is_no_event():
    """The first level that a contact keeps is its state, valid from then, without an event."""
    board = Board(contact(3, debounce_ms=100), contact(5), closed=(3,))
    board.run(90)
    assert (board.word(0), board.word(1)) == (0, 0b10)
    board.run(100)
    assert (board.word(0), board.word(1)) == (0b01, 0b11)
    assert board.found() == []


def test_a_normally_closed_loop_is_active_when_open():
    """With the flag, the closed contact is quiet and the open one, or a cut wire, is active."""
    board = Board(contact(2, NORMALLY_CLOSED), closed=(2,))
    board.run(100)
    assert board.word(0) == 0
    board.run(100, (10, 2, 0))
    board.run(100, (10, 2, 1))
    assert [(code, value) for _, code, value, _ in board.found()] == [(0x8000, 1), (0, 2)]


def test_bits_and_sources_follow_the_plan():
    """State bit, change counter and source are those of the plan's input, whatever its contact."""
    board = Board(contact(9), contact(4), contact(15))
    board.run(100)
    board.run(200, (10, 15, 1), (100, 4, 1))
    assert [row[0] for row in board.found()] == [0x0102, 0x0101]
    assert board.word(0) == 0b110
    assert [board.word(2 + i) for i in range(3)] == [0, 1, 1]


@pytest.mark.parametrize("wakes_idle", [False, True])
def test_sixteen_at_once(wakes_idle):
    """Sixteen contacts that change in one instant give sixteen events of that instant."""
    board = Board(*(contact(i) for i in range(16)), wakes_idle=wakes_idle)
    board.run(100)
    board.run(200, *((50, i, 1) for i in range(16)))
    rows = board.found()
    assert [row[0] for row in rows] == [0x0100 | i for i in range(16)]
    assert all(150 <= row[3] <= 152 for row in rows)
    assert board.word(0) == 0xFFFF


def test_changes_that_end_in_one_long_pass_keep_their_order():
    """Of contacts that moved one after the other the first is told first, however late the pass."""
    board = Board(contact(0), contact(1), contact(2))
    board.run(200)
    for index in (2, 0, 1):
        board.contacts.mask |= 1 << index
        board.inputs.step(board.ticks.ticks_us(), board.ticks.ticks_ms())
        board.ticks.advance(3000)
    board.ticks.advance(500_000)
    for _ in range(2):
        board.inputs.step(board.ticks.ticks_us(), board.ticks.ticks_ms())
    assert [row[0] for row in board.found()] == [0x0102, 0x0100, 0x0101]


def test_a_chattering_contact_is_not_valid():
    """A contact that keeps no level for 10 s is invalid, and valid again when it rests."""
    board = Board(contact(0, debounce_ms=20))
    board.run(100)
    board.run(11_000, *((10 * i, 0, i % 2) for i in range(1, 1100)))
    assert board.word(1) == 0
    board.run(200, (0, 0, 1))
    assert (board.word(0), board.word(1)) == (1, 1)
    ((_, _, _, at_ms),) = board.found()
    assert 10_000 <= at_ms <= 11_100


def test_rest_between_samples():
    """A board that cannot wake at an edge rests 1 ms at most; one that can, until there is one."""
    for wakes_idle, rest_us in ((False, inputs.SAMPLE_US), (True, inputs.FAR_US)):
        board = Board(contact(0), wakes_idle=wakes_idle)
        board.run(100)
        assert board.inputs.step(board.ticks.ticks_us(), board.ticks.ticks_ms()) == rest_us
    board = Board()
    assert board.inputs.step(0, 0) == inputs.FAR_US


@pytest.mark.parametrize("before_wrap_us", range(100_000, 400_000, 23_456))
def test_wraps_do_not_matter(before_wrap_us):
    """Debounce and stamps are the same wherever the ticks wrap."""
    board = Board(contact(0, debounce_ms=50), before_wrap_us=before_wrap_us)
    board.run(500, (150, 0, 1), (160, 0, 0), (170, 0, 1))
    assert [150 <= row[3] <= 152 for row in board.found()] == [True]


@settings(max_examples=100)
@given(
    st.lists(st.integers(1_000, 90_000), min_size=1, max_size=30),
    st.integers(1, 40),
    st.booleans(),
)
def test_debouncing_is_its_definition(steps, debounce_ms, wakes_idle):
    """Any train of edges gives the events that the definition of a burst gives."""
    times, at_us = [], 200_000
    for step in steps:
        at_us += step
        times.append(at_us)
    # Near the debounce time a sampled clock may fall to either side: such trains say nothing.
    if any(abs(step - 1000 * debounce_ms) < 3_000 for step in steps):
        return
    board = Board(contact(0, debounce_ms=debounce_ms), wakes_idle=wakes_idle)
    edges = [(at / 1000, 0, (i + 1) % 2) for i, at in enumerate(times)]
    board.run(at_us // 1000 + 500, *edges)
    expected, level, first = [], 0, None
    for i, at in enumerate(times):
        first = at if first is None else first
        following = times[i + 1] if i + 1 < len(times) else at + 10**9
        if following - at >= 1000 * debounce_ms:
            if (i + 1) % 2 != level:
                level ^= 1
                expected.append((level, first))
            first = None
    found = [(code >> 15, at_ms) for _, code, _, at_ms in board.found()]
    assert [bit for bit, _ in found] == [bit for bit, _ in expected]
    for (_, at_ms), (_, due_us) in zip(found, expected, strict=True):
        assert 0 <= at_ms - due_us // 1000 <= 2


def test_stamps_while_both_buses_are_busy():
    """With both buses saturated every change of a contact is stamped within 2 ms of its edge."""
    ticks = Ticks()
    loaded = plan.Plan()
    devices = [device(0, 1), device(1, 1)]
    rows = blocks(*((i % 2, 4, 20 * i, 10, 100) for i in range(16)))
    data = plan_file([bus(0), bus(1)], devices, rows, [contact(0, debounce_ms=15)])
    assert parser.parse(data, loaded) == parser.ACCEPTED
    img = image.Image(loaded, ticks)
    ring = events.Events(loaded, img, ticks)
    contacts = Contacts(ticks)
    machines = [inputs.Inputs(loaded, img, ring, contacts, ticks)]
    lines = [Line(ticks, lambda request: [(2005, reply_to(request))]) for _ in range(2)]
    for i, line in enumerate(lines):
        wire = client.Client(line, ticks, 2005, 573)
        machines.append(scheduler.Bus(i, loaded, img, ring, wire, ticks))
    machines.append(ring)
    contacts.edges = [(100_000 + 37_777 * i, 0, (i + 1) % 2) for i in range(200)]
    times = [at for at, _, _ in contacts.edges]

    class Pass:
        def step(self, now_us, now_ms):
            return min(machine.step(now_us, now_ms) for machine in machines)

    run(Pass(), lines, ticks, 8_000_000, pass_us=700)
    assert all(len(line.sent) > 150 for line in lines)
    assert image.get(img.contacts, 2) == len(times)
    for n, at_us in enumerate(times):
        clock = image.get(img.events, 8 * n + 6) << 16 | image.get(img.events, 8 * n + 7)
        assert 0 <= clock - at_us // 1000 <= 2
