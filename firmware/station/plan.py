"""plan.bin, format 2: what a board reads, how often, where it shows it, which changes are events.

Parsed once at start into parallel arrays (objects would cost ten times the memory). Layout, all
big-endian: 16 bytes of header (magic "SWPL", format u16, size u16, counts of buses, devices, blocks
and inputs u8, count of watches u16, zero u16), buses of 12 bytes, devices of 8, blocks of 12,
inputs of 4 (index u8, flags u8, debounce ms u16), watches of 10 (block u8, kind u8, offset,
threshold, hysteresis, code u16), three names, CRC-32.
Limits: 2 buses, 32 devices, 120 blocks, 16 inputs, 256 watches, image addresses 0x1000 to 0x7FFF.
"""

import binascii
import struct
from array import array

from station import frame

# Why a plan was refused.
ACCEPTED = 0
BAD_MAGIC = 1
BAD_FORMAT = 2
BAD_SIZE = 3
BAD_CRC = 4
BAD_COUNT = 5
BAD_FUNCTION = 6
BAD_IMAGE = 7
BAD_REFERENCE = 8
BAD_LIMIT = 9

BUSES_MAX = 2
DEVICES_MAX = 32
BLOCKS_MAX = 120
INPUTS_MAX = 16
WATCHES_MAX = 256
HEAD_SIZE = 16
SIZE_MAX = 6144  # a full plan with the longest names has 5,132 bytes
AREA_START = 0x1000
AREA_END = 0x8000
HEADER_REGISTERS = 4  # of a block in the image: generation, status, age (2)

# Kinds of watches. Bit n of a block's data is bit n % 16 of its register n // 16.
BIT_CHANGED = 1
ABOVE = 2
BELOW = 3
ABOVE_SIGNED = 4
BELOW_SIGNED = 5

NORMALLY_CLOSED = 1  # flag of an input: the closed contact is the quiet one
NO_WATCH = 0xFFFF


class Plan:
    """An empty plan, until parse() fills it."""

    def __init__(self) -> None:
        self.crc_high = 0
        self.crc_low = 0
        self.bus_uart = bytearray()
        self.bus_parity = bytearray()
        self.bus_stop_bits = bytearray()
        self.bus_baud: list[int] = []
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
        self.block_period_ms: list[int] = []
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


def parse(data: bytes, plan: Plan) -> int:
    """Fills an empty plan from the bytes of plan.bin; anything but ACCEPTED leaves it unusable."""
    if len(data) < HEAD_SIZE or data[0:4] != b"SWPL":
        return BAD_MAGIC
    form, size, buses, devices, blocks, inputs, watches, _ = struct.unpack_from(
        ">HHBBBBHH", data, 4
    )
    if form != 2:
        return BAD_FORMAT
    devices_at = HEAD_SIZE + 12 * buses
    blocks_at = devices_at + 8 * devices
    inputs_at = blocks_at + 12 * blocks
    watches_at = inputs_at + 4 * inputs
    names_at = watches_at + 10 * watches
    if size != len(data) or size < names_at + 3 + 4:
        return BAD_SIZE
    high, low = struct.unpack_from(">HH", data, size - 4)
    crc = binascii.crc32(data[: size - 4])
    if (high, low) != (crc >> 16 & 0xFFFF, crc & 0xFFFF):
        return BAD_CRC
    if buses > BUSES_MAX or devices > DEVICES_MAX or blocks > BLOCKS_MAX:
        return BAD_COUNT
    if inputs > INPUTS_MAX or watches > WATCHES_MAX:
        return BAD_COUNT
    for _ in range(3):
        if names_at >= size - 4:
            return BAD_SIZE
        names_at += 1 + data[names_at]
    if names_at != size - 4:
        return BAD_SIZE
    fault = _parse_buses(data, HEAD_SIZE, buses, plan)
    if fault == ACCEPTED:
        fault = _parse_devices(data, devices_at, devices, plan)
    if fault == ACCEPTED:
        fault = _parse_blocks(data, blocks_at, blocks, plan)
    if fault == ACCEPTED:
        fault = _parse_inputs(data, inputs_at, inputs, plan)
    if fault == ACCEPTED:
        fault = _parse_watches(data, watches_at, watches, plan)
    plan.crc_high = high
    plan.crc_low = low
    return fault


def forget_parser() -> None:
    """Frees the code that only the start needs, some 4 kB of a board's heap; for a board only."""
    names = globals()
    for name in ("parse", "_parse_buses", "_parse_devices", "_parse_blocks", "_parse_inputs"):
        del names[name]
    for name in ("_parse_watches", "_chain_watches"):
        del names[name]


def _parse_buses(data: bytes, at: int, count: int, plan: Plan) -> int:
    for i in range(at, at + 12 * count, 12):
        uart, parity, stop, _, baud, t35_us = struct.unpack_from(">BBBBIH", data, i)
        if uart in list(plan.bus_uart):
            return BAD_REFERENCE
        if parity > 2 or not 1 <= stop <= 2 or not 300 <= baud <= 4000000:
            return BAD_LIMIT
        plan.bus_uart.append(uart)
        plan.bus_parity.append(parity)
        plan.bus_stop_bits.append(stop)
        plan.bus_baud.append(baud)
        plan.bus_t35_us.append(t35_us)
    return ACCEPTED


def _parse_devices(data: bytes, at: int, count: int, plan: Plan) -> int:
    for i in range(at, at + 8 * count, 8):
        bus, unit, timeout, worst, retries = struct.unpack_from(">BBHHB", data, i)
        if bus >= len(plan.bus_uart):
            return BAD_REFERENCE
        if not 1 <= unit <= 247 or timeout == 0:
            return BAD_LIMIT
        plan.device_bus.append(bus)
        plan.device_unit.append(unit)
        plan.device_timeout_ms.append(timeout)
        plan.device_worst_ms.append(max(worst, timeout))
        plan.device_retries.append(retries)
    return ACCEPTED


def _parse_blocks(data: bytes, at: int, count: int, plan: Plan) -> int:
    free_from = AREA_START
    for i in range(at, at + 12 * count, 12):
        device, function, address, amount, period, image = struct.unpack_from(">BBHHIH", data, i)
        if device >= len(plan.device_bus):
            return BAD_REFERENCE
        if not 1 <= function <= 4:
            return BAD_FUNCTION
        if not 1 <= amount <= (frame.BITS_MAX if function <= 2 else frame.REGISTERS_MAX):
            return BAD_COUNT
        if address + amount > 0x10000:
            return BAD_COUNT
        if not 100 <= period <= 3600000:
            return BAD_LIMIT
        if image < free_from:
            return BAD_IMAGE
        free_from = image + HEADER_REGISTERS + frame.registers(function, amount)
        if free_from > AREA_END:
            return BAD_IMAGE
        plan.block_device.append(device)
        plan.block_function.append(function)
        plan.block_address.append(address)
        plan.block_count.append(amount)
        plan.block_period_ms.append(period)
        plan.block_image.append(image)
    return ACCEPTED


def _parse_inputs(data: bytes, at: int, count: int, plan: Plan) -> int:
    for i in range(at, at + 4 * count, 4):
        index, flags, debounce_ms = struct.unpack_from(">BBH", data, i)
        if index >= INPUTS_MAX or index in list(plan.input_index):
            return BAD_REFERENCE
        if flags > NORMALLY_CLOSED:
            return BAD_LIMIT
        plan.input_index.append(index)
        plan.input_flags.append(flags)
        plan.input_debounce_ms.append(debounce_ms)
    return ACCEPTED


def _parse_watches(data: bytes, at: int, count: int, plan: Plan) -> int:
    for i in range(at, at + 10 * count, 10):
        block, kind, offset, threshold, hysteresis, code = struct.unpack_from(">BBHHHH", data, i)
        if block >= len(plan.block_image):
            return BAD_REFERENCE
        if not BIT_CHANGED <= kind <= BELOW_SIGNED or code >= 0x8000:
            return BAD_LIMIT
        is_bits = plan.block_function[block] <= 2
        items = plan.block_count[block]
        if kind == BIT_CHANGED and not is_bits:
            items *= 16
        if offset >= items or (is_bits and kind != BIT_CHANGED):
            return BAD_REFERENCE
        plan.watch_block.append(block)
        plan.watch_kind.append(kind)
        plan.watch_offset.append(offset)
        plan.watch_threshold.append(threshold)
        plan.watch_hysteresis.append(hysteresis)
        plan.watch_code.append(code)
    _chain_watches(plan)
    return ACCEPTED


def _chain_watches(plan: Plan) -> None:
    for _ in plan.block_image:
        plan.watch_first.append(NO_WATCH)
    for _ in plan.watch_block:
        plan.watch_next.append(NO_WATCH)
    # From the last to the first, so that a chain has the order of the plan.
    for watch in range(len(plan.watch_block) - 1, -1, -1):
        block = plan.watch_block[watch]
        plan.watch_next[watch] = plan.watch_first[block]
        plan.watch_first[block] = watch
