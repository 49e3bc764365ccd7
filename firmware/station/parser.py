"""plan.bin, format 2, into the arrays of a Plan. Needed at start only: app.py then forgets it.

Layout, all big-endian: 16 bytes of header (magic "SWPL", format u16, size u16, counts of buses,
devices, blocks and inputs u8, count of watches u16, zero u16), buses of 12 bytes, devices of 8,
blocks of 12, inputs of 4, watches of 10 (the columns of each: parse()), three names, CRC-32.
"""

import binascii
import struct

from station import frame
from station.plan import (
    AREA_END,
    AREA_START,
    BELOW_SIGNED,
    BIT_CHANGED,
    NO_WATCH,
    NORMALLY_CLOSED,
)

TYPE_CHECKING = False  # a board has no typing module
if TYPE_CHECKING:
    from typing import Any

    from station.plan import Plan

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

# Header, buses, devices, blocks, inputs, watches. One string: MicroPython keeps short ones forever.
FORMS = ">4sHHBBBBHH >BBBBIHH >BBHHBB >BBHHIH >BBH >BBHHHH"
COUNTS_MAX = (2, 32, 120, 16, 256)  # of the same, without the header
SIZE_MAX = 6144  # a full plan with the longest names has 5,132 bytes


def parse(data: bytes, plan: "Plan") -> int:
    """Fills an empty plan from the bytes of plan.bin; anything but ACCEPTED leaves it unusable."""
    forms = FORMS.split()
    at = struct.calcsize(forms[0])
    if len(data) < at:
        return BAD_MAGIC
    head = struct.unpack_from(forms[0], data, 0)
    fault = _check_head(data, head, forms)
    if fault != ACCEPTED:
        return fault
    more = bytearray()  # a column that nobody needs
    # The columns in the order of the file.
    rows = (
        (
            plan.bus_uart,
            plan.bus_parity,
            plan.bus_stop_bits,
            more,
            plan.bus_baud,
            plan.bus_t35_us,
        ),
        (
            plan.device_bus,
            plan.device_unit,
            plan.device_timeout_ms,
            plan.device_worst_ms,
            plan.device_retries,
        ),
        (
            plan.block_device,
            plan.block_function,
            plan.block_address,
            plan.block_count,
            plan.block_period_ms,
            plan.block_image,
        ),
        (plan.input_index, plan.input_flags, plan.input_debounce_ms),
        (
            plan.watch_block,
            plan.watch_kind,
            plan.watch_offset,
            plan.watch_threshold,
            plan.watch_hysteresis,
            plan.watch_code,
        ),
    )
    for i in range(5):
        at = _take(data, at, head[3 + i], forms[1 + i], rows[i])
    for check in (_check_buses, _check_devices, _check_blocks, _check_inputs, _check_watches):
        fault = check(plan)
        if fault != ACCEPTED:
            return fault
    _chain(plan)
    plan.crc_high = data[-4] << 8 | data[-3]
    plan.crc_low = data[-2] << 8 | data[-1]
    return ACCEPTED


def _check_head(data: bytes, head: "tuple[Any, ...]", forms: "list[str]") -> int:
    """All that can be said without a look at the rows: head, sizes, names, CRC."""
    if head[0] != b"SWPL":
        return BAD_MAGIC
    if head[1] != 2:
        return BAD_FORMAT
    at = struct.calcsize(forms[0])
    for i in range(5):
        at += head[3 + i] * struct.calcsize(forms[1 + i])
    end = len(data) - 4
    if head[2] != len(data) or end < at + 3:
        return BAD_SIZE
    if binascii.crc32(data[:end]) != int.from_bytes(data[end:], "big"):
        return BAD_CRC
    for i in range(5):
        if head[3 + i] > COUNTS_MAX[i]:
            return BAD_COUNT
    for _ in range(3):
        if at >= end:
            return BAD_SIZE
        at += 1 + data[at]
    return ACCEPTED if at == end else BAD_SIZE


def _take(data: bytes, at: int, count: int, form: str, rows: "tuple[Any, ...]") -> int:
    """Appends rows to their columns (what has no column is unused); returns where they end."""
    for _ in range(count):
        value = struct.unpack_from(form, data, at)
        at += struct.calcsize(form)
        for i in range(len(rows)):
            rows[i].append(value[i])
    return at


def _repeats(source: bytearray) -> bool:
    return len(set(source)) != len(source)


def _check_buses(plan: "Plan") -> int:
    if _repeats(plan.bus_uart):
        return BAD_REFERENCE
    for i in range(len(plan.bus_uart)):
        if plan.bus_parity[i] > 2 or not 1 <= plan.bus_stop_bits[i] <= 2:
            return BAD_LIMIT
        if not 300 <= plan.bus_baud[i] <= 4000000:
            return BAD_LIMIT
    return ACCEPTED


def _check_devices(plan: "Plan") -> int:
    for i in range(len(plan.device_bus)):
        if plan.device_bus[i] >= len(plan.bus_uart):
            return BAD_REFERENCE
        if not 1 <= plan.device_unit[i] <= 247 or plan.device_timeout_ms[i] == 0:
            return BAD_LIMIT
        plan.device_worst_ms[i] = max(plan.device_worst_ms[i], plan.device_timeout_ms[i])
    return ACCEPTED


def _check_blocks(plan: "Plan") -> int:
    end = AREA_START
    for i in range(len(plan.block_device)):
        function = plan.block_function[i]
        count = plan.block_count[i]
        if plan.block_device[i] >= len(plan.device_bus):
            return BAD_REFERENCE
        if not 1 <= function <= 4:
            return BAD_FUNCTION
        if not 1 <= count <= (frame.BITS_MAX if function <= 2 else frame.REGISTERS_MAX):
            return BAD_COUNT
        if plan.block_address[i] + count > 0x10000:
            return BAD_COUNT
        if not 100 <= plan.block_period_ms[i] <= 3600000:
            return BAD_LIMIT
        if plan.block_image[i] < end:
            return BAD_IMAGE
        end = plan.block_image[i] + plan.block_registers(i)
        if end > AREA_END:
            return BAD_IMAGE
    return ACCEPTED


def _check_inputs(plan: "Plan") -> int:
    for i in range(len(plan.input_index)):
        if plan.input_index[i] >= COUNTS_MAX[3]:
            return BAD_REFERENCE
        if plan.input_flags[i] > NORMALLY_CLOSED:
            return BAD_LIMIT
    return BAD_REFERENCE if _repeats(plan.input_index) else ACCEPTED


def _check_watches(plan: "Plan") -> int:
    for i in range(len(plan.watch_block)):
        block = plan.watch_block[i]
        kind = plan.watch_kind[i]
        if block >= len(plan.block_device):
            return BAD_REFERENCE
        if not BIT_CHANGED <= kind <= BELOW_SIGNED or plan.watch_code[i] >= 0x8000:
            return BAD_LIMIT
        count = plan.block_count[block]
        if plan.block_function[block] <= 2:
            if kind != BIT_CHANGED:
                return BAD_REFERENCE
        elif kind == BIT_CHANGED:
            count *= 16
        if plan.watch_offset[i] >= count:
            return BAD_REFERENCE
    return ACCEPTED


def _chain(plan: "Plan") -> None:
    for _ in plan.block_image:
        plan.watch_first.append(NO_WATCH)
    for _ in plan.watch_block:
        plan.watch_next.append(NO_WATCH)
    # From the last to the first, so that a chain has the order of the plan.
    for i in range(len(plan.watch_block) - 1, -1, -1):
        block = plan.watch_block[i]
        plan.watch_next[i] = plan.watch_first[block]
        plan.watch_first[block] = i
