"""The image: what the link serves. Segments of big-endian bytes; this module owns every address.

  0x0000 board, and from 0x0040 16 registers a bus      0x0800 generation of each block
  0x0100 8 registers a device                           0x0900 contacts: states, validity, counts
  0x0A00 tail of the last crash text                    0x8000 ring of 256 events (events.py)
  0x1000 blocks: generation, status, age ms (2), data as last read well
Of buses, devices and blocks, only what the plan has is mapped. Ages are worked out when they are
served; tend() ages the rest in turn, so that no tick wraps between two looks at a block (ticks
compare within 2^29 ms).
"""

from station import frame
from station.crc import copy
from station.plan import AREA_END, AREA_START, HEADER_REGISTERS

TYPE_CHECKING = False  # a board has no typing module
if TYPE_CHECKING:
    from station.plan import Plan
    from station.seams import Ticks

READ_MAX = 125
AGE_MAX_MS = 1 << 28

# Words of the board segment; before them magic, map version, plan CRC (2), firmware id (2), boot id
# (2), boot reason: start.py puts them there.
HEALTH = 0x09
CLOCK = 0x0A
WORST_PASS = 0x0D
HEAP_FREE = 0x0E
HEAP_LEAST = 0x10
COUNTS = 0x12
EVENT_NEXT = 0x16
EVENT_CAPACITY = 0x18
WATCHDOG = 0x19
SLOT = 0x1A
SLOT_STATE = 0x1B

# Words of a bus, from BUS_START + 16 * index in the board segment.
BUS_START = 0x40
REQUESTS = 0
GOOD = 2
TIMEOUTS = 4
CRC_ERRORS = 5
EXCEPTIONS = 6
REJECTED = 7
STRAYS = 8
BUSY = 9
SLIPS = 10

# Words of a device, from 8 * index in the device segment.
STATE = 0
FAILURES = 1
LAST_EXCEPTION = 2
LAST_REPLY_MS = 3
WORST_REPLY_MS = 4
DEVICE_GOOD = 5
DEVICE_BAD = 6
BUS_UNIT = 7

# Words of the contact segment.
CONTACT_STATES = 0
CONTACT_VALID = 1
CONTACT_CHANGES = 2

EVENT_RING = 256
EVENT_REGISTERS = 8

_BOARD = 0  # the segment with the clock, and the one with ages: worked out when they are read
_AREA = 5


def put(buf: bytearray, word: int, value: int) -> None:
    """Stores one 16-bit word."""
    buf[word + word] = value >> 8 & 0xFF
    buf[word + word + 1] = value & 0xFF


def get(buf: bytearray, word: int) -> int:
    """One 16-bit word."""
    return buf[word + word] << 8 | buf[word + word + 1]


def bump(buf: bytearray, word: int, by: int = 1) -> int:
    """Adds to a word that wraps at 2^16; returns the carry."""
    value = get(buf, word) + by
    put(buf, word, value & 0xFFFF)
    return value >> 16


class Image:
    """Segments `board`, `devices`, `contacts`, `events`, the blocks; see the module for the map."""

    def __init__(self, plan: "Plan", ticks: "Ticks") -> None:
        self.plan = plan
        self.ticks = ticks
        self.blocks = len(plan.block_image)
        self.board = bytearray(2 * (BUS_START + 16 * len(plan.bus_uart)))
        self.devices = bytearray(16 * len(plan.device_bus))
        self.generations = bytearray(2 * self.blocks)
        self.contacts = bytearray(2 * (CONTACT_CHANGES + 16))
        self.crash = bytearray(2 * 32)
        self.area = bytearray(2 * plan.area_registers())
        self.events = bytearray(2 * EVENT_REGISTERS * EVENT_RING)
        self._starts = (0, 0x0100, 0x0800, 0x0900, 0x0A00, AREA_START, AREA_END)
        self._segments = (
            self.board,
            self.devices,
            self.generations,
            self.contacts,
            self.crash,
            self.area,
            self.events,
        )
        self._clock_tick_ms = ticks.ticks_ms()
        self._asked_ms = [0] * self.blocks
        self._has_age = bytearray(self.blocks)
        self._tended = 0
        for block in range(self.blocks):
            self._put_age(self._word(block), 0xFFFF, 0xFFFF)
        for device in range(len(plan.device_bus)):
            identity = plan.device_bus[device] << 8 | plan.device_unit[device]
            put(self.devices, 8 * device + BUS_UNIT, identity)

    def store(self, block: int, reply: bytearray, asked_ms: int) -> None:
        """Takes the data of a good reply to a request sent at asked_ms."""
        word = self._word(block)
        size = reply[2]
        to = 2 * (word + HEADER_REGISTERS)
        if self.plan.block_function[block] > 2:
            copy(self.area, to, reply, 3, size)
        else:
            # Bits come lowest byte first: pairs are swapped, so that the first bit is bit 0.
            i = 0
            while i < size:
                self.area[to + (i ^ 1)] = reply[3 + i]
                i += 1
        self._asked_ms[block] = asked_ms
        self._has_age[block] = 1
        self.mark(block, frame.GOOD)

    def mark(self, block: int, status: int) -> None:
        """Ends an attempt: status is a code of frame.py, an exception's code above it."""
        word = self._word(block)
        put(self.area, word + 1, status)
        bump(self.area, word)
        put(self.generations, block, get(self.area, word))

    def read(self, address: int, count: int, now_ms: int, buf: bytearray, to: int) -> bool:
        """Copies count registers, ages and clock as of now_ms, to buf[to]; False if not mapped."""
        i = 6
        while address < self._starts[i]:
            i -= 1
        at = 2 * (address - self._starts[i])
        source = self._segments[i]
        if at + 2 * count > len(source):
            return False
        if i == _AREA:
            self._age_range(address, address + count, now_ms)
        elif i == _BOARD:
            self.advance_clock(now_ms)
        copy(buf, to, source, at, 2 * count)
        return True

    def word_of(self, block: int, offset: int) -> int:
        """A register of a block's data as last read well."""
        return get(self.area, self._word(block) + HEADER_REGISTERS + offset)

    def asked_ms(self, block: int) -> int:
        """When the data of a block was asked for; means something only soon after its store()."""
        return self._asked_ms[block]

    def advance_clock(self, now_ms: int) -> None:
        """Brings the board clock to now_ms; called at least once in 6 days, and before stamp()."""
        # Three 16-bit words: a 32-bit board would allocate for a number of 2^30 and more.
        spent_ms = self.ticks.ticks_diff(now_ms, self._clock_tick_ms)
        self._clock_tick_ms = now_ms
        carry = bump(self.board, CLOCK + 2, spent_ms)
        if carry:
            carry = bump(self.board, CLOCK + 1, carry)
            if carry:
                bump(self.board, CLOCK, carry)

    def stamp(self, buf: bytearray, word: int, age_ms: int) -> None:
        """Puts the board clock of age_ms ago (0 to 2^29) into three words of buf."""
        low = get(self.board, CLOCK + 2) - (age_ms & 0xFFFF)
        middle = get(self.board, CLOCK + 1) - (age_ms >> 16) - (1 if low < 0 else 0)
        put(buf, word, get(self.board, CLOCK) - (1 if middle < 0 else 0))
        put(buf, word + 1, middle)
        put(buf, word + 2, low)

    def tend(self, now_ms: int) -> None:
        """Ages one block, the next in turn. Called at least 2 times a second."""
        if self.blocks:
            self._tended = (self._tended + 1) % self.blocks
            self._age(self._tended, now_ms)

    def _word(self, block: int) -> int:
        return self.plan.block_image[block] - AREA_START

    def _age_range(self, start: int, end: int, now_ms: int) -> None:
        # From the first block whose header is not wholly before start.
        low = 0
        high = self.blocks
        while low < high:
            middle = (low + high) >> 1
            if self.plan.block_image[middle] + HEADER_REGISTERS <= start:
                low = middle + 1
            else:
                high = middle
        while low < self.blocks and self.plan.block_image[low] < end:
            self._age(low, now_ms)
            low += 1

    def _age(self, block: int, now_ms: int) -> None:
        if not self._has_age[block]:
            return
        age_ms = self.ticks.ticks_diff(now_ms, self._asked_ms[block])
        if age_ms >= AGE_MAX_MS:
            self._has_age[block] = 0
            self._put_age(self._word(block), 0xFFFF, 0xFFFF)
        else:
            self._put_age(self._word(block), age_ms >> 16, age_ms & 0xFFFF)

    def _put_age(self, word: int, high: int, low: int) -> None:
        put(self.area, word + 2, high)
        put(self.area, word + 3, low)
