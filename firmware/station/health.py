"""What the board knows about itself: clock, worst pass, heap, load, and whether all of it lives.

The watchdog is fed only when every state machine has reported progress since the last time.
Garbage is never collected behind our back: every 10 s the buses are held at their next gap, the
heap is measured and, if it has run low, collected.
"""

import gc

from station import image

TYPE_CHECKING = False  # a board has no typing module
if TYPE_CHECKING:
    from station.bus import Bus
    from station.image import Image
    from station.seams import Dog, Machine, Ticks

NO_PLAN = 1
PLAN_REFUSED = 2
CRASH_STORED = 4

BEAT_MS = 100
WINDOW_MS = 10000
COLLECT_BELOW = 32768  # bytes of heap


class Health:
    """A state machine like the others; note_pass() tells it how long a pass took."""

    def __init__(self, img: "Image", ticks: "Ticks", dog: "Dog", buses: "tuple[Bus, ...]") -> None:
        self.image = img
        self.ticks = ticks
        self.dog = dog
        self.buses = buses
        self.machines: tuple[Machine, ...] = ()  # all that must report progress
        self.progress = True
        self.heap_least = (1 << 29) - 1
        self._beat_ms = self._window_ms = ticks.ticks_ms()
        self._worst_us = 0
        self._last_worst_us = 0
        self._wants_gap = False

    def step(self, now_us: int, now_ms: int) -> int:
        """Keeps the board clock; every 100 ms ages a block and feeds the watchdog if all live."""
        self.progress = True
        self.image.advance_clock(now_ms)
        if self._wants_gap and self._is_gap():
            self._measure_heap()
        if self.ticks.ticks_diff(now_ms, self._window_ms) >= WINDOW_MS:
            self._window_ms = now_ms
            self._end_window()
        spent_ms = self.ticks.ticks_diff(now_ms, self._beat_ms)
        if spent_ms < BEAT_MS:
            return (BEAT_MS - spent_ms) * 1000
        self._beat_ms = now_ms
        self.image.tend(now_ms)
        self._feed()
        return BEAT_MS * 1000

    def note_pass(self, pass_us: int) -> None:
        """Takes the length of one pass without its rest."""
        if pass_us > self._worst_us:
            self._worst_us = pass_us
        worst_us = max(self._worst_us, self._last_worst_us)
        image.put(self.image.board, image.WORST_PASS, min(worst_us // 100, 0xFFFF))

    def note_heap(self) -> None:
        """Measures the free heap now; costs milliseconds."""
        self._put_heap(gc.mem_free())

    def _feed(self) -> None:
        for machine in self.machines:
            if not machine.progress:
                return
        for machine in self.machines:
            machine.progress = False
        self.dog.feed()

    def _is_gap(self) -> bool:
        for bus in self.buses:
            if not bus.is_quiet:
                return False
        return True

    def _end_window(self) -> None:
        self._last_worst_us = self._worst_us
        self._worst_us = 0
        self._wants_gap = True
        for bus in self.buses:
            image.put(self.image.board, bus.word + image.BUSY, min(bus.busy_us // 10000, 1000))
            bus.busy_us = 0
            bus.hold = True

    def _measure_heap(self) -> None:
        self._wants_gap = False
        free = gc.mem_free()
        self._put_heap(free)
        if free < COLLECT_BELOW:
            gc.collect()
            self._put_heap(gc.mem_free())
        for bus in self.buses:
            bus.hold = False

    def _put_heap(self, free: int) -> None:
        if free < self.heap_least:
            self.heap_least = free
        image.put(self.image.board, image.HEAP_FREE, free >> 16)
        image.put(self.image.board, image.HEAP_FREE + 1, free & 0xFFFF)
        image.put(self.image.board, image.HEAP_LEAST, self.heap_least >> 16)
        image.put(self.image.board, image.HEAP_LEAST + 1, self.heap_least & 0xFFFF)
