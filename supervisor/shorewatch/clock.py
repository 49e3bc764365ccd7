"""Whose clock says what: a board's clock to the gateway's monotonic one, and that to UTC. Pure.

    board clock (ms since boot) ──BoardClock──▶ monotonic seconds ──StationClock──▶ UTC

`BoardClock` keeps bounds on the offset of a board's clock. A header that was asked for at a, came
at b and says c bounds it: at an instant between a and b the clock was c, in whole milliseconds.
Each poll narrows the bounds, and between polls they widen by the least and the greatest rate at
which the two clocks may drift apart: RATE_MAX at first, then what a minute and more of polls have
shown, and RATE_WANDER. The uncertainty of a time is half the distance of the bounds. Bounds that
contradict each other (the gateway slept) are dropped for those of the newest poll.

`StationClock` holds the monotonic and the wall clock together. Ages are never taken from the wall
clock, so a step of it changes no age; times worked out after a step are by the clock as it stands
then. What the kernel says of its clock adds to the uncertainty where it claims to be synchronised.
"""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from shorewatch.model import utc_now

# A board's crystal, 100 ppm, and a gateway's clock that is being slewed, 500 ppm (adjtimex(2)).
RATE_MAX = 600e-6
# How far a rate that was measured may change: temperature.
RATE_WANDER = 50e-6
BASELINE_S = 60.0
BASELINE_S_MAX = 3600.0
TICK_S = 0.001
# Slewing moves a clock by less than this between two looks; a step may be smaller and is then none.
STEP_S = 0.05
STEPS_MAX = 16
# Older than this program: a wall clock before it was never set. What is known then is a value and
# its age, not its time, so it is uncertain.
CLOCK_AT_MIN = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Kernel:
    """What the kernel says of the wall clock; `error_s_max` means something if synchronised."""

    is_synchronised: bool
    error_s_max: float


@dataclass(frozen=True, slots=True)
class Step:
    """The wall clock was set at `at` (after it) by `span_s`."""

    at: datetime
    span_s: float


class StationClock:
    """The gateway's clocks: seconds that never step, and UTC."""

    def __init__(
        self,
        mono_s: Callable[[], float] = time.monotonic,
        utc: Callable[[], datetime] = utc_now,
        kernel: Callable[[], Kernel | None] = lambda: None,
    ) -> None:
        self.mono_s = mono_s
        self._utc = utc
        self._read_kernel = kernel
        self.kernel = kernel()
        # The newest steps that nobody has recorded yet.
        self.steps: deque[Step] = deque(maxlen=STEPS_MAX)
        self._pair = utc(), mono_s()

    def look(self) -> None:
        """Hold the clocks together; notes a step."""
        at, mono_s = self._utc(), self.mono_s()
        span_s = (at - self.at(mono_s)).total_seconds()
        if abs(span_s) > STEP_S + RATE_MAX * (mono_s - self._pair[1]):
            self.steps.append(Step(at, span_s))
        self.kernel = self._read_kernel()
        self._pair = at, mono_s

    def now(self) -> datetime:
        """The wall clock."""
        self.look()
        return self._pair[0]

    def at(self, mono_s: float) -> datetime:
        """UTC at that monotonic time, by the wall clock as last looked at."""
        at, then_s = self._pair
        return at + timedelta(seconds=mono_s - then_s)

    @property
    def is_set(self) -> bool:
        """Whether the wall clock was ever set."""
        return self._pair[0] >= CLOCK_AT_MIN

    @property
    def error_s_max(self) -> float:
        """How far the kernel says the wall clock may be off; 0 if it does not know."""
        kernel = self.kernel
        return kernel.error_s_max if kernel is not None and kernel.is_synchronised else 0.0


@dataclass(frozen=True, slots=True)
class _Fix:
    """Bounds on the offset, monotonic minus board clock, when the board's was `board_s`."""

    board_s: float
    low_s: float
    high_s: float


class BoardClock:
    """The clock of one board since the boot of that id."""

    def __init__(self, boot_id: int | None) -> None:
        self.boot_id = boot_id
        self._fix: _Fix | None = None
        self._rates = -RATE_MAX, RATE_MAX
        # What rates are measured from; the second takes over when the first is an hour old.
        self._origins: tuple[_Fix, _Fix] | None = None

    @property
    def rate_max(self) -> float:
        """The greatest rate, either way, at which the board's clock may drift off ours."""
        return max(map(abs, self._rates))

    @property
    def drift_ppm(self) -> float | None:
        """By how much the board's clock is slow, in parts per million; None if not measured yet."""
        low, high = self._rates
        return None if high - low >= 2 * RATE_MAX else round((low + high) / 2 * 1e6, 1)

    def note(self, clock_ms: int, before_s: float, after_s: float) -> None:
        """The board's clock said `clock_ms` at some instant between two monotonic times."""
        board_s = clock_ms / 1000
        found = _Fix(board_s, before_s - TICK_S - board_s, after_s - board_s)
        if self._fix is not None and self._origins is not None and board_s >= self._fix.board_s:
            low_s, high_s = self._bounds(board_s)
            low_s, high_s = max(low_s, found.low_s), min(high_s, found.high_s)
            if low_s <= high_s:
                self._fix = _Fix(board_s, low_s, high_s)
                self._measure(self._fix, *self._origins)
                return
        self._fix, self._rates, self._origins = found, (-RATE_MAX, RATE_MAX), (found, found)

    def at(self, clock_ms: int) -> tuple[float, float]:
        """Monotonic time at which the board's clock said `clock_ms`, and how far it may be off."""
        board_s = clock_ms / 1000
        low_s, high_s = self._bounds(board_s)
        # Within the millisecond that the board cut off.
        return board_s + (low_s + high_s + TICK_S) / 2, (high_s - low_s + TICK_S) / 2

    def _bounds(self, board_s: float) -> tuple[float, float]:
        """Bounds on the offset when the board's clock is, or was, `board_s`."""
        assert self._fix is not None, "a clock that was never read says nothing"
        span_s = board_s - self._fix.board_s
        ends = [rate * span_s for rate in self._rates]
        return self._fix.low_s + min(ends), self._fix.high_s + max(ends)

    def _measure(self, fix: _Fix, first: _Fix, second: _Fix) -> None:
        span_s = fix.board_s - first.board_s
        if span_s < BASELINE_S:
            return
        low = (fix.low_s - first.high_s) / span_s - RATE_WANDER
        high = (fix.high_s - first.low_s) / span_s + RATE_WANDER
        self._rates = max(low, -RATE_MAX), min(high, RATE_MAX)
        if span_s > BASELINE_S_MAX:
            self._origins = second, fix
        elif second is first and span_s > BASELINE_S_MAX / 2:
            self._origins = first, fix
