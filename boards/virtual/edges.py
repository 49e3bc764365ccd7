"""Plays the dry contacts of a virtual board: edges, each at its time.

They come on the tty SHOREWATCH_INPUTS, a line each: "index level us", decimal: the contact (from
0), 1 closed or 0 open, and how many microseconds (0 to 2^29) after the edge before it. Edges wait
in a queue, at most one is played a pass, and none before its time, so that the writer's scheduling
does not change their distances. A line that is no edge is skipped. At the start the contacts of the
mask SHOREWATCH_CLOSED are closed.
"""

import os
import time

TYPE_CHECKING = False  # a board has no typing module
if TYPE_CHECKING:
    from typing import Any

    from board import Port

_EDGES = 16  # edges that wait; past them the tty waits
_US_MAX = 1 << 29
_EDGE_LATE_US = 20000  # later than this, an edge was not waiting: the next one counts from it


class Contacts:
    """Contacts played from a queue of edges; idle() ends when the next one is due."""

    def __init__(self, port: "Port", count: int) -> None:
        self.count = count
        self.wakes_idle = True
        self._port = port
        self._mask = int(os.getenv("SHOREWATCH_CLOSED") or "0")
        self._last_us: Any = time.ticks_us()  # when the last edge was played
        self._bits = bytearray(_EDGES)
        self._after_us = [0] * _EDGES
        self._head = 0
        self._queued = 0
        self._byte = bytearray(1)
        self._fields = [0, 0, 0]
        self._field = 0
        self._is_edge = True

    def read(self) -> int:
        """The closed contacts, after playing at most one edge."""
        while self._queued < _EDGES and self._port.any():
            self._port.readinto(self._byte, 1)
            self._take(self._byte[0])
        if self._queued and self.due_us() <= 0:
            bit = self._bits[self._head]
            if bit & 1:
                self._mask |= 1 << (bit >> 1)
            else:
                self._mask &= ~(1 << (bit >> 1))
            # From the time it should have had: delays of passes do not add up.
            due_us = time.ticks_add(self._last_us, self._after_us[self._head])
            now_us = time.ticks_us()
            is_late = time.ticks_diff(now_us, due_us) > _EDGE_LATE_US
            self._last_us = now_us if is_late else due_us
            self._head = (self._head + 1) % _EDGES
            self._queued -= 1
        return self._mask

    def due_us(self) -> int:
        """Microseconds until the next edge; a long time if there is none."""
        if self._queued == 0:
            return _US_MAX
        gone_us = time.ticks_diff(time.ticks_us(), self._last_us)
        return self._after_us[self._head] - gone_us

    def _take(self, byte: int) -> None:
        if 48 <= byte <= 57:
            value = self._fields[self._field] * 10 + byte - 48
            self._fields[self._field] = min(value, _US_MAX)
        elif byte == 32 and self._field < 2:
            self._field += 1
        elif byte == 10:
            index, level = self._fields[0], self._fields[1]
            if self._is_edge and self._field == 2 and index < self.count and level < 2:
                at = (self._head + self._queued) % _EDGES
                self._bits[at] = index << 1 | level
                self._after_us[at] = self._fields[2]
                self._queued += 1
            self._fields[0] = self._fields[1] = self._fields[2] = self._field = 0
            self._is_edge = True
        else:
            self._is_edge = False
