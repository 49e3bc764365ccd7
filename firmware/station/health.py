"""What the board knows about itself: clock, worst pass, heap, load, and whether all of it lives.

A slot on trial is confirmed once a gateway has looked and 10 s more have gone well.
The watchdog is fed only when every state machine has reported progress since the last time.
Garbage is never collected behind our back: every 10 s the buses are held at their next gap, the
heap is measured and, if it has run low, collected.
"""

import gc

from station import image
from station.slots import ON_TRIAL

TYPE_CHECKING = False  # a board has no typing module
if TYPE_CHECKING:
    from station.bus import Bus
    from station.image import Image
    from station.seams import Dog, Machine, Ticks
    from station.server import Server
    from station.slots import Trial

NO_PLAN = 1
PLAN_REFUSED = 2
CRASH_STORED = 4
SAFE_MODE = 8
MAINTENANCE_ASKED = 16
FALLBACK = 32
BY_WATCHDOG = 64

BEAT_MS = 100
WINDOW_MS = 10000
COLLECT_BELOW = 32768  # bytes of heap
CONFIRM_MS = 10000  # from a gateway's first look to the end of a trial


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
        self._server: Server | None = None
        self._trial: Trial | None = None
        self._looked = False
        self._looked_ms = 0
        self._is_proved = False

    def watch(self, server: "Server", trial: "Trial") -> None:
        """Takes whose polls confirm which trial, and shows the slot."""
        self._trial = trial
        if trial.state == ON_TRIAL:
            self._server = server
        self._put_slot(trial)

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
        if self._server is not None:
            self._judge(self._server, now_ms)
        self._feed()
        return BEAT_MS * 1000

    def note_pass(self, spent_us: int) -> None:
        """Takes the length of one pass without its rest."""
        if spent_us > self._worst_us:
            self._worst_us = spent_us
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
        self._want_gap()
        for bus in self.buses:
            image.put(self.image.board, bus.word + image.BUSY, min(bus.busy_us // 10000, 1000))
            bus.busy_us = 0

    def _measure_heap(self) -> None:
        self._wants_gap = False
        free = gc.mem_free()
        self._put_heap(free)
        if free < COLLECT_BELOW:
            gc.collect()
            self._put_heap(gc.mem_free())
        if self._is_proved:
            self._confirm()
        for bus in self.buses:
            bus.hold = False

    def _judge(self, server: "Server", now_ms: int) -> None:
        """Once the trial has gone well for long enough, asks for a gap to write that down."""
        if not self._looked:
            self._looked = server.looks > 0
            self._looked_ms = now_ms
        elif self.ticks.ticks_diff(now_ms, self._looked_ms) >= CONFIRM_MS:
            self._server = None
            self._is_proved = True
            self._want_gap()

    def _confirm(self) -> None:
        # In a gap: writing flash stops a small board's interrupts, and so its UARTs.
        self._is_proved = False
        if self._trial is not None:
            self._trial.confirm()
            self._put_slot(self._trial)

    def _want_gap(self) -> None:
        self._wants_gap = True
        for bus in self.buses:
            bus.hold = True

    def _put_slot(self, trial: "Trial") -> None:
        image.put(self.image.board, image.SLOT, 1 if trial.slot == "b" else 0)
        image.put(self.image.board, image.SLOT_STATE, trial.state)

    def _put_heap(self, free: int) -> None:
        if free < self.heap_least:
            self.heap_least = free
        image.put(self.image.board, image.HEAP_FREE, free >> 16)
        image.put(self.image.board, image.HEAP_FREE + 1, free & 0xFFFF)
        image.put(self.image.board, image.HEAP_LEAST, self.heap_least >> 16)
        image.put(self.image.board, image.HEAP_LEAST + 1, self.heap_least & 0xFFFF)
