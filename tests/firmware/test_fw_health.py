"""Health: board clock, worst pass, load, heap, and a watchdog that knows a hung part."""

import gc

import pytest
from fw_fakes import Ticks

from station import health, image, plan


class Part:
    """A state machine or a bus, as health sees it."""

    def __init__(self, word=image.BUS_START):
        self.progress = True
        self.hold = False
        self.is_quiet = True
        self.busy_us = 0
        self.word = word


class Dog:
    def __init__(self):
        self.fed = 0

    def feed(self):
        self.fed += 1


class Board:
    def __init__(self, monkeypatch):
        self.free = [150_000]
        monkeypatch.setattr(gc, "mem_free", lambda: self.free[-1], raising=False)
        self.ticks = Ticks()
        loaded = plan.Plan()
        loaded.bus_uart.append(0)
        self.image = image.Image(loaded, self.ticks)
        self.bus = Part()
        self.dog = Dog()
        self.health = health.Health(self.image, self.ticks, self.dog, (self.bus,))
        self.health.machines = (self.bus, self.health)

    def run(self, seconds, pass_us=20_000, hung=False):
        for _ in range(int(seconds * 1e6 / pass_us)):
            self.ticks.advance(pass_us)
            self.bus.progress = not hung
            self.health.step(self.ticks.ticks_us(), self.ticks.ticks_ms())

    def word(self, address):
        return image.get(self.image.board, address)


@pytest.fixture
def board(monkeypatch):
    return Board(monkeypatch)


def test_the_clock_counts_48_bits(board):
    """The board clock is milliseconds since boot and carries through its three words."""
    for _ in range(500):
        board.ticks.advance(400_000_000_000)
        board.health.step(board.ticks.ticks_us(), board.ticks.ticks_ms())
    clock = [board.word(image.CLOCK + i) for i in range(3)]
    assert clock[0] << 32 | clock[1] << 16 | clock[2] == 500 * 400_000_000


def test_the_watchdog_is_fed_while_all_report(board):
    """With every part alive the watchdog is fed ten times a second."""
    board.run(10)
    assert board.dog.fed == pytest.approx(100, abs=2)


def test_a_hung_part_starves_the_watchdog(board):
    """One part without progress, and the watchdog is not fed any more."""
    board.run(1)
    fed = board.dog.fed
    board.run(10, hung=True)
    assert board.dog.fed <= fed + 1


def test_the_worst_pass_is_of_the_last_ten_seconds(board):
    """A long pass shows at once, in tenths of a millisecond, and is gone after 20 s at most."""
    board.health.note_pass(12_345)
    board.health.note_pass(500)
    assert board.word(image.WORST_PASS) == 123
    board.run(9)
    board.health.note_pass(500)
    assert board.word(image.WORST_PASS) == 123
    board.run(12)
    board.health.note_pass(500)
    assert board.word(image.WORST_PASS) == 5


def test_the_load_is_per_mille_of_the_window(board):
    """Busy time of a bus in 10 s is shown per mille and begins anew."""
    board.bus.busy_us = 4_210_000
    board.run(10.1)
    assert board.word(image.BUS_START + image.BUSY) == 421
    assert board.bus.busy_us == 0


def test_the_heap_is_measured_in_a_gap(board):
    """The buses are held until all are quiet; then the heap is measured and they go on."""
    board.bus.is_quiet = False
    board.run(10.5)
    assert board.bus.hold
    assert board.word(image.HEAP_FREE + 1) == 0
    board.bus.is_quiet = True
    board.run(0.1)
    assert not board.bus.hold
    free = [board.word(image.HEAP_FREE + i) for i in range(4)]
    assert free == [150_000 >> 16, 150_000 & 0xFFFF] * 2


def test_the_least_heap_is_remembered(board):
    """The least free heap stays when there is more again."""
    for free in (150_000, 90_000, 120_000):
        board.free.append(free)
        board.run(10.1)
    assert board.word(image.HEAP_FREE) << 16 | board.word(image.HEAP_FREE + 1) == 120_000
    assert board.word(image.HEAP_LEAST) << 16 | board.word(image.HEAP_LEAST + 1) == 90_000


@pytest.mark.parametrize(("free", "collections"), [(40_000, 0), (20_000, 1)])
def test_garbage_is_collected_only_when_the_heap_is_low(board, monkeypatch, free, collections):
    """A heap with room is left alone; a low one is collected in a gap."""
    done = []
    monkeypatch.setattr(gc, "collect", lambda: done.append(1))
    board.free.append(free)
    board.run(10.1)
    assert len(done) == collections
