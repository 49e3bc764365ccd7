"""A plan: what a board reads, how often, where it shows it, which changes are events.

Parallel arrays, filled once at start by parser.py (objects would cost ten times the memory).
Limits: 2 buses, 32 devices, 120 blocks, 16 inputs, 256 watches, image addresses 0x1000 to 0x7FFF.
"""

from array import array

from station import frame

AREA_START = 0x1000
AREA_END = 0x8000
HEADER_REGISTERS = 4  # of a block in the image: generation, status, age (2)

# Kinds of watches. Bit n of a block's data is bit n % 16 of its register n // 16.
BIT_CHANGED = 1
ABOVE_SIGNED = 4  # 2: above, 3: below, unsigned
BELOW_SIGNED = 5

NORMALLY_CLOSED = 1  # flag of an input: the closed contact is the quiet one
NO_WATCH = 0xFFFF


class Plan:
    """An empty plan, until parser.parse() fills it."""

    def __init__(self) -> None:
        self.crc_high = 0
        self.crc_low = 0
        self.bus_uart = bytearray()
        self.bus_parity = bytearray()
        self.bus_stop_bits = bytearray()
        self.bus_baud = array("I")
        self.bus_t35_us = array("H")
        self.device_bus = bytearray()
        self.device_unit = bytearray()
        self.device_timeout_ms = array("H")
        self.device_worst_ms = array("H")
        self.device_retries = bytearray()
        self.block_device = bytearray()
        self.block_function = bytearray()
        self.block_address = array("H")
        self.block_count = array("H")
        self.block_period_ms = array("I")
        self.block_image = array("H")
        self.input_index = bytearray()
        self.input_flags = bytearray()
        self.input_debounce_ms = array("H")
        self.watch_block = bytearray()
        self.watch_kind = bytearray()
        self.watch_offset = array("H")
        self.watch_threshold = array("H")
        self.watch_hysteresis = array("H")
        self.watch_code = array("H")
        # Each block's watches as a chain: the first one, and after each the next, or NO_WATCH.
        self.watch_first = array("H")
        self.watch_next = array("H")

    def area_registers(self) -> int:
        """Length of the block area of the image."""
        blocks = len(self.block_image)
        if not blocks:
            return 0
        return self.block_image[blocks - 1] + self.block_registers(blocks - 1) - AREA_START

    def block_registers(self, block: int) -> int:
        """Length of one block in the image, header included."""
        return HEADER_REGISTERS + frame.registers(
            self.block_function[block], self.block_count[block]
        )
