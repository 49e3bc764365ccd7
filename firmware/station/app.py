"""The superloop: one step() a pass over all state machines. start.py makes them.

Nothing is written in normal running.
"""

import gc
import sys

import station

gc.threshold(8192)  # while code is compiled: garbage between what stays would leave small holes

from station import health, image

TYPE_CHECKING = False  # a board has no typing module
if TYPE_CHECKING:
    from station.bus import Bus
    from station.events import Events
    from station.health import Health
    from station.seams import Board, Dog, Ticks
    from station.server import Server

REST_MAX_US = 50000
MAINTENANCE = 5  # for board.reset()
MAINTENANCE_AFTER_MS = 500  # the reply leaves, the buses come to rest


class App:
    """All state machines of a board; step() is one pass of the superloop."""

    def __init__(self, board: "Board", ticks: "Ticks", dog: "Dog") -> None:
        self.ticks = ticks
        self.buses, self.server, self.events, self.health = _build(board, ticks, dog)
        self.image = self.health.image
        self.machines = self.health.machines
        self._asked_ms = 0
        self._is_ending = False
        gc.threshold(-1)
        gc.collect()
        self.health.note_heap()

    def step(self) -> int:
        """One pass; returns the microseconds to rest."""
        now_us = self.ticks.ticks_us()
        now_ms = self.ticks.ticks_ms()
        rest_us = REST_MAX_US
        for machine in self.machines:
            wait_us = machine.step(now_us, now_ms)
            if wait_us < rest_us:
                rest_us = wait_us
        self.health.note_pass(self.ticks.ticks_diff(self.ticks.ticks_us(), now_us))
        return rest_us

    def ends(self) -> bool:
        """Whether the board is to restart for maintenance: asked for, answered, buses at rest."""
        if not self.server.wants_maintenance:
            return False
        now_ms = self.ticks.ticks_ms()
        if not self._is_ending:
            self._is_ending = True
            self._asked_ms = now_ms
            bits = image.get(self.image.board, image.HEALTH) | health.MAINTENANCE_ASKED
            image.put(self.image.board, image.HEALTH, bits)
        for bus in self.buses:
            bus.hold = True
        return self.ticks.ticks_diff(now_ms, self._asked_ms) >= MAINTENANCE_AFTER_MS


def _build(
    board: "Board", ticks: "Ticks", dog: "Dog"
) -> "tuple[tuple[Bus, ...], Server, Events, Health]":
    """The parts; the code that only their making has needed is then garbage."""
    from station import start

    parts = start.build(board, ticks, dog)
    for name in ("start", "parser"):
        del sys.modules["station." + name]
        delattr(station, name)
    return parts


def run(board: "Board", ticks: "Ticks") -> None:
    """Runs until an exception or maintenance ends it."""
    app = App(board, ticks, board.watchdog())
    gc.disable()
    board.led(True)
    while not app.ends():
        rest_us = app.step()
        if rest_us > 0:
            board.idle(rest_us)
    board.reset(MAINTENANCE)
