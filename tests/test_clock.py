"""clock.py and kernel.py: a board's time as UTC, with an uncertainty that is true."""

import sys
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shorewatch.clock import BASELINE_S, RATE_MAX, BoardClock, Kernel, StationClock
from shorewatch.kernel import read_kernel

NOW = datetime(2026, 11, 23, tzinfo=UTC)
DELAYS = st.floats(0.0, 0.2)


class Wall:
    """A wall clock and a monotonic one, moved by hand."""

    def __init__(self) -> None:
        self.mono_s = 1000.0
        self.utc = NOW
        self.kernel: Kernel | None = None
        self.clock = StationClock(lambda: self.mono_s, lambda: self.utc, lambda: self.kernel)

    def wait(self, span_s: float) -> None:
        self.mono_s += span_s
        self.utc += timedelta(seconds=span_s)


def said(true_s: float, rate: float, offset_s: float) -> int:
    """What a board's clock says at a monotonic time."""
    return int((true_s - offset_s) * rate * 1000)


@given(
    polls=st.lists(st.tuples(st.floats(0.02, 900.0), DELAYS, DELAYS), min_size=1, max_size=40),
    ppm=st.floats(-100, 100),
    offset_s=st.floats(-4e6, 999.0),
    back_s=st.floats(-5.0, 3600.0),
)
def test_the_uncertainty_contains_the_true_time(polls, ppm, offset_s, back_s):
    """Whatever the delays of its polls and its drift, a board's time is within what is said."""
    clock, rate, now_s = BoardClock(1), 1 + ppm * 1e-6, 1000.0
    for wait_s, there_s, back in polls:
        now_s += wait_s
        clock.note(said(now_s + there_s, rate, offset_s), now_s, now_s + there_s + back)
        now_s += there_s + back
    true_s = max(now_s - back_s, offset_s)

    found_s, error_s = clock.at(said(true_s, rate, offset_s))
    assert abs(found_s - true_s) <= error_s + 1e-6


def test_a_slow_poll_widens_nothing():
    """The bounds are those of the fastest poll, aged; a slow one after it costs nothing."""
    clock = BoardClock(1)
    clock.note(1000, 1001.0, 1001.002)
    clock.note(1100, 1001.05, 1001.9)

    _, error_s = clock.at(1100)
    assert error_s == pytest.approx((0.002 + 0.001 + 0.001 + 2 * 0.1 * RATE_MAX) / 2)


def test_a_minute_of_polls_tells_the_rate():
    """After a minute the drift is known well enough to look back ten minutes within 0.1 s."""
    clock, rate = BoardClock(1), 1 + 80e-6
    for n in range(int(BASELINE_S) + 30):
        clock.note(said(1000.0 + n, rate, 900.0), 1000.0 + n - 0.001, 1000.0 + n + 0.001)

    assert clock.drift_ppm == pytest.approx(-80, abs=20)
    _, error_s = clock.at(said(490.0, rate, 900.0))
    assert error_s < 0.1 < 600 * RATE_MAX


def test_a_gateway_that_slept_begins_anew():
    """Bounds that contradict the newest poll are dropped."""
    clock = BoardClock(1)
    clock.note(1000, 1001.0, 1001.002)
    clock.note(100_000, 1002.0, 1002.002)

    found_s, error_s = clock.at(100_000)
    assert abs(found_s - 1002.001) <= error_s < 0.01


def test_a_step_of_the_wall_clock_is_noted_once():
    """A step is told with its span, and times worked out from then on are by the clock as set."""
    wall = Wall()
    wall.wait(5.0)
    wall.clock.look()
    wall.utc += timedelta(hours=-1)
    wall.clock.look()
    wall.clock.look()

    assert [round(step.span_s, 3) for step in wall.clock.steps] == [-3600.0]
    assert wall.clock.at(1001.0) == NOW + timedelta(seconds=1.0, hours=-1)


def test_slewing_is_no_step():
    """A clock that is being slewed by 500 ppm is not called stepped."""
    wall = Wall()
    for _ in range(100):
        wall.wait(10.0)
        wall.utc += timedelta(seconds=10.0 * 500e-6)
        wall.clock.look()

    assert not wall.clock.steps


def test_a_clock_before_2026_was_never_set():
    """A machine that has started in 1970 does not know the time."""
    wall = Wall()
    assert wall.clock.is_set
    wall.utc = datetime(1970, 1, 1, 0, 3, tzinfo=UTC)
    wall.clock.look()

    assert not wall.clock.is_set


@pytest.mark.parametrize(
    ("kernel", "error_s"), [(None, 0.0), (Kernel(False, 16.0), 0.0), (Kernel(True, 0.02), 0.02)]
)
def test_the_kernels_error_counts_where_it_claims_to_know(kernel, error_s):
    """Only of a clock that is synchronised does the kernel know how far it may be off."""
    wall = Wall()
    wall.kernel = kernel
    wall.clock.look()

    assert wall.clock.error_s_max == error_s


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has adjtimex")
def test_the_kernel_is_asked_without_privilege():
    """adjtimex gives an error bound that the kernel keeps at 16 s or below, or nothing."""
    found = read_kernel()

    assert found is None or 0.0 <= found.error_s_max <= 16.0
