"""The scheduler of a bus in simulated time: periods, retries, quarantine, breaker, probes."""

from itertools import pairwise

import pytest
from fw_fakes import reply_to, sealed
from fw_field import LATENCY_US, Field
from fw_plan_file import device

from station import bus as scheduler
from station import frame, image


def gaps(times):
    return [b - a for a, b in pairwise(times)]


def test_each_block_keeps_its_period():
    """Blocks of 100 ms to 5 s are each asked once a period, over two minutes and a tick wrap."""
    periods = [100, 250, 1000, 5000]
    field = Field([device(0, 1)], [(0, 4, 10 * i, 4, p) for i, p in enumerate(periods)])
    field.run(120)
    for i, period_ms in enumerate(periods):
        asked = len(field.requests(address=10 * i))
        assert asked == pytest.approx(120_000 / period_ms, abs=1)
    assert field.word(image.SLIPS) == 0
    assert field.word(image.REQUESTS + 1) == field.word(image.GOOD + 1) == len(field.line.sent)


def test_good_data_reaches_the_image():
    """A good reply is in the image with status good, one generation up, aged from its request."""
    field = Field([device(0, 1)], [(0, 3, 0x20, 3, 1000), (0, 1, 0x41, 20, 1000)])
    field.run(0.9)
    generation, status, age_ms, data = field.block(0)
    assert (generation, status, data) == (1, frame.GOOD, [0x20, 0x21, 0x22])
    assert age_ms == pytest.approx((field.ticks.us - field.requests(address=0x20)[0]) / 1000, abs=1)
    assert field.block(1)[3] == [0x4241, 0x0043]


def test_fast_blocks_are_not_starved():
    """On an overloaded bus a fast block of a third of the period runs nearly twice as often."""
    rows = [(0, 4, 0, 2, 100)] + [(0, 4, 100 * i, 100, 300) for i in range(1, 8)]
    field = Field([device(0, 1, 500, 500)], rows)
    field.run(60)
    slow = [len(field.requests(address=100 * i)) for i in range(1, 8)]
    assert len(field.requests(address=0)) > 1.8 * max(slow)
    assert min(slow) > 0.8 * max(slow)
    assert field.word(image.SLIPS) > 0


def test_retries_are_bounded():
    """A block is asked once and as often again as its device's retries say, then marked."""
    field = Field([device(0, 1, retries=2)], [(0, 4, 0, 2, 60000)])
    field.answers[1] = lambda request: []
    field.run(0.25)
    assert len(field.requests()) == 1
    assert field.block(0)[:2] == (0, 0)
    field.run(0.6)
    assert len(field.requests()) == 3
    assert field.block(0)[:2] == (1, frame.TIMEOUT)
    assert field.device(0, image.STATE) == scheduler.DOWN


def test_a_retry_that_succeeds_leaves_no_trace_in_the_block():
    """A block whose retry is answered shows good and one generation."""
    field = Field([device(0, 1, retries=1)], [(0, 4, 7, 2, 60000)])
    field.answers[1] = lambda request: (
        [] if len(field.line.sent) < 2 else [(LATENCY_US, reply_to(request))]
    )
    field.run(1)
    assert field.block(0)[0:2] == (1, frame.GOOD)
    assert field.word(image.TIMEOUTS) == 1
    assert field.device(0, image.STATE) == scheduler.UP


@pytest.mark.parametrize("fault", ["silence", "damage", "another unit"])
def test_quarantine(fault):
    """After any improper answer that device rests until its worst reply time; others go on."""
    devices = [device(0, 1, 50, 400), device(0, 2)]
    field = Field(devices, [(0, 4, 0, 2, 100), (1, 4, 0, 2, 100)])
    replies = {
        "silence": [],
        "damage": [(LATENCY_US, b"\x01\x04\x04\x00\x00\x00\x00\x12\x34")],
        "another unit": [(LATENCY_US, sealed((9, 4, 4, 0, 0, 0, 0)))],
    }
    field.answers[1] = lambda request: replies[fault]
    field.run(1.1)
    assert min(gaps(field.requests(unit=1))) >= 400_000
    assert len(field.requests(unit=2)) >= 10


def test_late_reply_is_never_the_answer_to_another_request():
    """A reply that comes after its timeout, up to the worst time, never gives data."""
    for late_ms in range(50, 400, 7):
        field = Field([device(0, 1, 50, 400)], [(0, 4, 0, 2, 100), (0, 4, 500, 2, 100)])
        field.answers[1] = lambda request, us=late_ms * 1000: [(us, reply_to(request))]
        field.run(5)
        for index, address in ((0, 0), (1, 500)):
            assert field.block(index)[3] in ([0, 0], [address, address + 1])
        if late_ms > 60:
            assert field.word(image.GOOD + 1) == 0


def test_three_failures_and_a_device_is_down():
    """The third failure in a row marks every block of the device bad, also those read well."""
    rows = [(0, 4, 0, 2, 100), (0, 4, 10, 2, 3600000), (1, 4, 0, 2, 100)]
    field = Field([device(0, 1), device(0, 2)], rows)
    field.run(1)
    assert [field.block(i)[1] for i in range(3)] == [frame.GOOD] * 3
    field.dead.add(1)
    before = field.block(1)
    field.run(1.5)
    assert field.device(0, image.STATE) == scheduler.DOWN
    assert field.device(0, image.FAILURES) >= 3
    after = field.block(1)
    assert (after[0], after[1]) == (before[0] + 1, frame.TIMEOUT)
    assert after[3] == before[3]
    assert field.block(2)[1] == frame.GOOD


def test_an_exception_is_a_sign_of_life():
    """A device that only refuses is up; its blocks carry the exception's code."""
    field = Field([device(0, 1)], [(0, 4, 0, 2, 100)])
    field.answers[1] = lambda request: [(LATENCY_US, sealed((1, 0x84, 2)))]
    field.run(2)
    assert field.device(0, image.STATE) == scheduler.UP
    assert field.device(0, image.FAILURES) == 0
    assert field.device(0, image.LAST_EXCEPTION) == 2
    assert field.block(0)[1] == 2 << 8 | frame.EXCEPTION
    assert len(field.requests()) == 20
    assert field.word(image.EXCEPTIONS) == 20


@pytest.mark.parametrize("dead", [1, 4])
@pytest.mark.parametrize("timeout_ms", [50, 200])
def test_probes_cost_at_most_a_twentieth(dead, timeout_ms):
    """After the opening, one or four dead devices take 5 % of 60 s of bus time at most."""
    devices = [device(0, 1 + i, timeout_ms, 3 * timeout_ms) for i in range(8)]
    field = Field(devices, [(i, 4, 0, 10, 1000) for i in range(8)])
    field.dead = set(range(1, 1 + dead))
    field.run(20)
    start_us = field.ticks.us
    field.run(60)
    probes = [at for at, data in field.line.sent if at >= start_us and data[0] in field.dead]
    assert len(probes) >= 2
    cost_us = timeout_ms * 1000 + 8 * 573 + 2005
    assert len(probes) * cost_us <= 0.05 * 60e6 + cost_us


@pytest.mark.parametrize("dead", [1, 4])
def test_healthy_devices_keep_their_period_beside_dead_ones(dead):
    """With one or four dead devices the others' mean period is theirs within 2 %."""
    devices = [device(0, 1 + i, 100, 300) for i in range(8)]
    field = Field(devices, [(i, 4, 0, 10, 500) for i in range(8)])
    field.dead = set(range(1, 1 + dead))
    field.run(20)
    start_us = field.ticks.us
    slips = field.word(image.SLIPS)
    field.run(60)
    for unit in range(1 + dead, 9):
        asked = field.requests(start_us, unit)
        assert sum(gaps(asked)) / len(gaps(asked)) == pytest.approx(500_000, rel=0.02)
    assert field.word(image.SLIPS) == slips


def test_every_dead_device_gets_its_probe():
    """Dead devices are probed in turn, so that each can come back."""
    field = Field(
        [device(0, 1 + i, 50, 100) for i in range(5)], [(i, 4, 0, 2, 500) for i in range(5)]
    )
    field.dead = {1, 2, 3, 4}
    field.run(20)
    start_us = field.ticks.us
    field.run(20)
    counts = [len(field.requests(start_us, unit)) for unit in (1, 2, 3, 4)]
    assert max(counts) - min(counts) <= 1
    assert min(counts) >= 3


def test_a_device_that_comes_back_is_read_at_once():
    """The first answer of a dead device brings all its blocks back within a second."""
    rows = [(0, 4, 0, 2, 1000), (0, 4, 10, 2, 3600000), (1, 4, 0, 2, 500)]
    field = Field([device(0, 1, 50, 100), device(0, 2)], rows)
    field.dead = {1}
    field.run(10)
    assert field.device(0, image.STATE) == scheduler.DOWN
    field.dead = set()
    field.run(3)
    assert field.device(0, image.STATE) == scheduler.UP
    assert [field.block(i)[1] for i in (0, 1)] == [frame.GOOD] * 2


def test_a_dark_bus_is_probed_without_pause():
    """When nothing answers, probing never pauses; the first answer brings all back at once."""
    field = Field(
        [device(0, 1 + i, 50, 100) for i in range(6)], [(i, 4, 0, 2, 500) for i in range(6)]
    )
    field.dead = set(range(1, 7))
    field.run(30)
    start_us = field.ticks.us
    field.run(10)
    assert len(field.requests(start_us)) >= 0.9 * 10e6 / (50_000 + 8 * 573 + 2005)
    field.dead = set()
    field.run(1)
    assert [field.device(i, image.STATE) for i in range(6)] == [scheduler.UP] * 6


def test_probes_move_through_the_blocks():
    """A dead device is probed at each of its blocks in turn: one may be deaf."""
    field = Field([device(0, 1, 50, 60)], [(0, 4, 10 * i, 2, 500) for i in range(3)])
    field.dead = {1}
    field.run(5)
    assert all(field.requests(2_000_000, address=10 * i) for i in range(3))


def test_stray_bytes_reach_the_image():
    """Bytes that nobody asked for are counted in the bus's words."""
    field = Field([device(0, 1)], [(0, 4, 0, 2, 1000)])
    field.run(0.5)
    field.line.arrive(b"\x01\x02\x03")
    field.run(1)
    assert field.word(image.STRAYS) == 3


def test_busy_time_is_the_time_in_transactions():
    """The bus knows how long it was busy: from the start of each request to its end."""
    field = Field([device(0, 1)], [(0, 4, 0, 10, 1000)])
    field.run(10)
    each_us = 8 * 573 + LATENCY_US + 25 * 573
    assert field.bus.busy_us == pytest.approx(10 * each_us, rel=0.05)


def test_hold_stops_at_the_next_gap():
    """A held bus finishes its transaction and starts no other until it is let go."""
    field = Field([device(0, 1)], [(0, 4, 0, 10, 100)])
    field.run(1)
    field.bus.hold = True
    field.run(0.2)
    asked = len(field.requests())
    assert field.bus.is_quiet
    field.run(2)
    assert len(field.requests()) == asked
    field.bus.hold = False
    field.run(1)
    assert len(field.requests()) > asked


def test_saturated_wire_is_used():
    """With more to read than fits, the wire at 19,200 is used for more than 95 %."""
    field = Field([device(0, 1)], [(0, 4, 100 * i, 10, 100) for i in range(8)])
    field.answers[1] = lambda request: [(2005, reply_to(request))]
    field.run(20)
    each_us = 8 * 573 + 2005 + 25 * 573 + 2005
    assert len(field.requests()) * each_us / 20e6 > 0.95


def test_a_full_bus():
    """32 devices with 120 blocks on one bus are all read, each within two of its periods."""
    devices = [device(0, 1 + i) for i in range(32)]
    field = Field(devices, [(i % 32, 4, i, 2, 10000) for i in range(120)], baud=115200)
    field.run(20)
    assert {field.block(i)[1] for i in range(120)} == {frame.GOOD}


def test_a_bus_without_blocks_rests():
    """A bus with nothing to read sends nothing."""
    field = Field([device(0, 1)], [])
    field.run(5)
    assert field.line.sent == []


@pytest.mark.parametrize("before_wrap_us", [1000, 60_000, 777_777])
def test_wrap_changes_nothing(before_wrap_us):
    """The same minute gives the same requests wherever the ticks wrap in it."""
    times = []
    for wrap_us in (before_wrap_us, 1 << 29):
        field = Field(
            [device(0, 1), device(0, 2, 50, 300, 1)],
            [(0, 4, 0, 2, 100), (1, 4, 0, 2, 700)],
            before_wrap_us=wrap_us,
        )
        field.dead = {2}
        field.run(60)
        times.append(field.requests())
    assert times[0] == times[1]


def test_a_stuck_transaction_is_no_progress():
    """A client that does not end its transaction in time keeps the bus from reporting progress."""
    field = Field([device(0, 1)], [(0, 4, 0, 2, 100)])
    field.run(1)
    field.client.step = lambda now_us, now_ms: 1000
    field.run(3)
    field.bus.progress = False
    field.run(1)
    assert not field.bus.progress
