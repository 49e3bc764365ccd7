"""Dry contacts: sampled every pass, debounced, each change an event timed at its first edge.

A burst begins with the first edge and ends when the contact has kept one level for its debounce
time. If that is the other level, the contact has changed, at the first edge; if it is the old one,
it was a glitch and nothing has happened. The first level that a contact keeps after boot is its
state without an event. Changes that are due in one pass are told in the order of their first edges.
A contact that chatters for 10 s is not valid until it keeps a level again.
Resolution: one pass and, on a board that cannot wake at an edge, one rest of 1 ms.
"""

from station import image
from station.events import ACTIVE, FROM_CONTACT

TYPE_CHECKING = False  # a board has no typing module
if TYPE_CHECKING:
    from station.events import Events
    from station.image import Image
    from station.plan import Plan
    from station.seams import Contacts, Ticks

SAMPLE_US = 1000
CHATTER_MS = 10000
CHANGES_A_PASS = 2
FAR_US = 60000000


class Inputs:
    """A state machine over the contacts of the plan; all masks have a bit an input of the plan."""

    def __init__(
        self, plan: "Plan", img: "Image", events: "Events", contacts: "Contacts", ticks: "Ticks"
    ) -> None:
        self.plan = plan
        self.image = img
        self.events = events
        self.contacts = contacts
        self.ticks = ticks
        self.progress = True
        self.count = len(plan.input_index)
        now_ms = ticks.ticks_ms()
        self._first_ms = [now_ms] * self.count  # the first edge of the burst
        self._last_ms = [now_ms] * self.count  # the last edge
        self._level = contacts.read()  # as read: a bit a contact of the board
        self._bursts = (1 << self.count) - 1  # the first level has to be kept, too
        self._known = 0  # has kept a level since boot

    def step(self, now_us: int, now_ms: int) -> int:
        """Samples; returns the microseconds until it has to be done again."""
        self.progress = True
        if self.count == 0:
            return FAR_US
        level = self.contacts.read()
        edges = level ^ self._level
        self._level = level
        if edges == 0 and self._bursts == 0:
            return FAR_US if self.contacts.wakes_idle else SAMPLE_US
        for i in range(self.count):
            if edges >> self.plan.input_index[i] & 1:
                self._last_ms[i] = now_ms
                if not self._bursts >> i & 1:
                    self._bursts |= 1 << i
                    self._first_ms[i] = now_ms
        # An entry of the ring takes its time: more changes than these wait a pass.
        for _ in range(CHANGES_A_PASS):
            if not self._settle(now_ms):
                break
        return SAMPLE_US

    def _settle(self, now_ms: int) -> bool:
        """Ends the bursts that are over and changed nothing, and the oldest that is a change.

        Says whether there was one. The oldest: a pass may last longer than two contacts are apart.
        """
        oldest = -1
        for i in range(self.count):
            if not self._bursts >> i & 1:
                continue
            if self.ticks.ticks_diff(now_ms, self._last_ms[i]) < self.plan.input_debounce_ms[i]:
                if self.ticks.ticks_diff(now_ms, self._first_ms[i]) >= CHATTER_MS:
                    self._first_ms[i] = self._last_ms[i]
                    self._put(image.CONTACT_VALID, i, 0)
            elif not self._is_change(i):
                self._end(i)
            elif (
                oldest < 0
                or self.ticks.ticks_diff(self._first_ms[i], self._first_ms[oldest]) < 0
            ):
                oldest = i
        if oldest < 0:
            return False
        self._end(oldest)
        image.bump(self.image.contacts, image.CONTACT_CHANGES + oldest)
        value = image.get(self.image.contacts, image.CONTACT_CHANGES + oldest)
        code = ACTIVE if self._state(oldest) else 0
        self.events.record(FROM_CONTACT | oldest, code, value, self._first_ms[oldest], now_ms)
        return True

    def _state(self, i: int) -> int:
        """Whether a contact is off its normal level, as it was read last."""
        return (self._level >> self.plan.input_index[i] ^ self.plan.input_flags[i]) & 1

    def _is_change(self, i: int) -> bool:
        before = image.get(self.image.contacts, image.CONTACT_STATES) >> i & 1
        return bool(self._known >> i & 1) and self._state(i) != before

    def _end(self, i: int) -> None:
        """Ends the burst of a contact: it has kept its level."""
        self._bursts &= ~(1 << i)
        self._known |= 1 << i
        self._put(image.CONTACT_VALID, i, 1)
        self._put(image.CONTACT_STATES, i, self._state(i))

    def _put(self, word: int, i: int, bit: int) -> None:
        mask = image.get(self.image.contacts, word) & ~(1 << i)
        image.put(self.image.contacts, word, mask | bit << i)
