"""The ring of events, and the watch rules that find changes in what was read.

An entry, 8 registers at 0x8000 + 8 * (sequence % 256): sequence (2), source, code, value, board
clock ms (3). Source: 0x0000 + block of a watch, 0x0100 + input of a contact, 0x0200 the board. Bit
15 of the code says that the condition is true now. An entry that was never written has the sequence
0xFFFFFFFF; an overwritten one is known by its sequence alone, so nothing is lost unseen.
An entry is written whole within one call and the link reads between calls: none is ever torn.
Watches know bits and single words, nothing else. They are looked at 8 a pass, before the block is
stored again; an event carries the time at which the data was asked for.
"""

from station import image
from station.plan import ABOVE_SIGNED, BIT_CHANGED, NO_WATCH

TYPE_CHECKING = False  # a board has no typing module
if TYPE_CHECKING:
    from station.image import Image
    from station.plan import Plan
    from station.seams import Ticks

FROM_CONTACT = 0x0100
ACTIVE = 0x8000

WATCHES_A_PASS = 8
FAR_US = 60000000


class Events:
    """A state machine: store() takes a good reply, step() looks at its watches."""

    def __init__(self, plan: "Plan", img: "Image", ticks: "Ticks") -> None:
        self.plan = plan
        self.image = img
        self.ticks = ticks
        self.progress = True
        blocks = len(plan.block_image)
        self._known = bytearray(blocks)  # read well since boot: its watches have a state
        self._state = bytearray(len(plan.watch_block))
        self._is_queued = bytearray(blocks)
        self._queue = bytearray(blocks)  # a block is in it at most once
        self._head = 0
        self._queued = 0
        self._watch = NO_WATCH  # the next one of the block at the head of the queue
        image.put(img.board, image.EVENT_CAPACITY, image.EVENT_RING)
        for i in range(image.EVENT_RING):
            image.put(img.events, image.EVENT_REGISTERS * i, 0xFFFF)
            image.put(img.events, image.EVENT_REGISTERS * i + 1, 0xFFFF)

    def store(self, block: int, reply: bytearray, asked_ms: int, now_ms: int) -> None:
        """Puts a good reply into the image and its block in the queue of those to look at."""
        while self._is_queued[block]:
            self._look(now_ms)  # rare: else its last change would be lost
        self.image.store(block, reply, asked_ms)
        if self.plan.watch_first[block] != NO_WATCH:
            self._queue[(self._head + self._queued) % len(self._queue)] = block
            self._is_queued[block] = 1
            if self._queued == 0:
                self._watch = self.plan.watch_first[block]
            self._queued += 1

    def step(self, now_us: int, now_ms: int) -> int:
        """Looks at the next watches; returns the microseconds it can wait."""
        self.progress = True
        for _ in range(WATCHES_A_PASS):
            if self._queued == 0:
                return FAR_US
            self._look(now_ms)
        return 0

    def record(self, source: int, code: int, value: int, at_ms: int, now_ms: int) -> None:
        """Writes an entry that happened at the tick at_ms, not after now_ms."""
        img = self.image
        high = image.get(img.board, image.EVENT_NEXT)
        low = image.get(img.board, image.EVENT_NEXT + 1)
        word = image.EVENT_REGISTERS * (low % image.EVENT_RING)
        image.put(img.events, word, high)
        image.put(img.events, word + 1, low)
        image.put(img.events, word + 2, source)
        image.put(img.events, word + 3, code)
        image.put(img.events, word + 4, value)
        img.advance_clock(now_ms)
        img.stamp(img.events, word + 5, max(self.ticks.ticks_diff(now_ms, at_ms), 0))
        if image.bump(img.board, image.EVENT_NEXT + 1):
            image.bump(img.board, image.EVENT_NEXT)

    def _look(self, now_ms: int) -> None:
        """Looks at one watch of the block at the head; after its last, the block is done."""
        block = self._queue[self._head]
        watch = self._watch
        before = self._state[watch]
        value = self._value(block, watch)
        now = self._is_active(watch, value, before)
        self._state[watch] = now
        if now != before and self._known[block]:
            code = self.plan.watch_code[watch] | (ACTIVE if now else 0)
            self.record(block, code, value, self.image.asked_ms(block), now_ms)
        self._watch = self.plan.watch_next[watch]
        if self._watch == NO_WATCH:
            self._known[block] = 1
            self._is_queued[block] = 0
            self._head = (self._head + 1) % len(self._queue)
            self._queued -= 1
            if self._queued:
                self._watch = self.plan.watch_first[self._queue[self._head]]

    def _value(self, block: int, watch: int) -> int:
        """The watched bit or word."""
        offset = self.plan.watch_offset[watch]
        if self.plan.watch_kind[watch] == BIT_CHANGED:
            return self.image.word_of(block, offset >> 4) >> (offset & 15) & 1
        return self.image.word_of(block, offset)

    def _is_active(self, watch: int, value: int, before: int) -> int:
        """1 if the bit is set or the condition holds, given whether it did before."""
        kind = self.plan.watch_kind[watch]
        if kind == BIT_CHANGED:
            return value
        threshold = self.plan.watch_threshold[watch]
        if kind >= ABOVE_SIGNED:
            value = (value ^ 0x8000) - 0x8000
            threshold = (threshold ^ 0x8000) - 0x8000
        margin = self.plan.watch_hysteresis[watch] if before else 0
        if kind & 1 == 0:  # ABOVE and ABOVE_SIGNED
            return 1 if value > threshold - margin else 0
        return 1 if value < threshold + margin else 0
