"""plan.bin, looked at from outside: everything that is in it, and everything wrong with it; pure.

The compiler (plan.py) writes the format, the firmware (station/plan.py) takes it or refuses it.
This reads it for people: `parse` never fails, goes as far as the bytes make sense, and says what a
board would refuse, and where. Formats 1 and 2, big-endian:

    0   4  b"SWPL"       4  2  format       6  2  size in bytes, CRC included
    8   1  buses         9  1  devices     10  1  blocks           11  1  inputs (format 1: 0)
    12  2  watches, 14 2 zero (format 2 only)
           buses, 12 bytes: uart u8, parity u8, stop bits u8, 0, baud u32, t3.5 us u16, 0 u16
           devices, 8: bus u8, unit u8, timeout ms u16, worst ms u16, retries u8, 0
           blocks, 12: device u8, function u8, address u16, count u16, period ms u32, image u16
           inputs, 4: index u8, flags u8 (bit 0: normally closed), debounce ms u16
           watches, 10: block u8, kind u8, offset, threshold, hysteresis, code u16
           names, each u8 length and UTF-8: cable, station, board
    -4  4  CRC-32 of everything before
"""

import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

BUSES_MAX, DEVICES_MAX, BLOCKS_MAX, INPUTS_MAX, WATCHES_MAX = 2, 32, 120, 16, 256
REGISTERS_MAX, BITS_MAX = 121, 1936
AREA_START, AREA_END = 0x1000, 0x8000
PERIOD_MS_MIN, PERIOD_MS_MAX = 100, 3_600_000
HEAD_SIZES = {1: 12, 2: 16}
NAMES = ("cable", "station", "board")
WATCH_KINDS = {1: "bit changed", 2: "above", 3: "below", 4: "above, signed", 5: "below, signed"}
_BUS, _DEVICE, _BLOCK = (
    struct.Struct(">BBBxIHxx"),
    struct.Struct(">BBHHBx"),
    struct.Struct(">BBHHIH"),
)
_INPUT, _WATCH = struct.Struct(">BBH"), struct.Struct(">BBHHHH")


@dataclass(frozen=True, slots=True)
class Fault:
    """Something a board would refuse, and the byte where it stands."""

    offset: int
    text: str

    def __str__(self) -> str:
        return f"byte {self.offset}: {self.text}"


@dataclass(frozen=True, slots=True)
class Bus:
    """One line; parity 0 none, 1 even, 2 odd."""

    uart: int
    parity: int
    stop_bits: int
    baud: int
    t35_us: int


@dataclass(frozen=True, slots=True)
class Device:
    """One device; `bus` is an index."""

    bus: int
    unit_id: int
    timeout_ms: int
    worst_ms: int
    retries: int


@dataclass(frozen=True, slots=True)
class Block:
    """One read request; `device` is an index, `image` the address of its header."""

    device: int
    function: int
    address: int
    count: int
    period_ms: int
    image: int

    @property
    def size(self) -> int:
        """Registers it takes in the image, header included."""
        return 4 + (-(-self.count // 16) if self.function < 3 else self.count)


@dataclass(frozen=True, slots=True)
class Input:
    """One contact input of the board."""

    index: int
    flags: int
    debounce_ms: int

    @property
    def is_normally_closed(self) -> bool:
        """Whether a closed contact reads 0."""
        return bool(self.flags & 1)


@dataclass(frozen=True, slots=True)
class Watch:
    """One rule that makes events of a block; `kind` as in WATCH_KINDS."""

    block: int
    kind: int
    offset: int
    threshold: int
    hysteresis: int
    code: int


@dataclass(frozen=True, slots=True)
class PlanFile:
    """All that could be read; `faults` is empty if a board would take it."""

    size: int
    format: int | None = None
    crc: int | None = None  # as stored
    is_crc_right: bool = False
    names: tuple[str, ...] = ()
    buses: tuple[Bus, ...] = ()
    devices: tuple[Device, ...] = ()
    blocks: tuple[Block, ...] = ()
    inputs: tuple[Input, ...] = ()
    watches: tuple[Watch, ...] = ()
    faults: tuple[Fault, ...] = ()


def parse(data: bytes) -> PlanFile:
    """Everything in the bytes of a plan, and everything wrong with them."""
    start = data[:4]
    if start != b"SWPL":
        return _unread(data, 0, f"begins with {start!r}, a plan begins with b'SWPL'")
    if len(data) < 8:
        return _unread(data, len(data), "ends within the head; copy the file again")
    form, size = struct.unpack_from(">HH", data, 4)
    if form not in HEAD_SIZES:
        known = " and ".join(map(str, HEAD_SIZES))
        return _unread(data, 4, f"format {form}; this program knows {known}", form)
    if len(data) < HEAD_SIZES[form] + 4:
        return _unread(data, len(data), "ends within the head; copy the file again", form)
    return _Reader(data, form, size).plan()


def _unread(data: bytes, offset: int, text: str, form: int | None = None) -> PlanFile:
    return PlanFile(len(data), form, faults=(Fault(offset, text),))


class _Reader:
    """One pass through a plan whose head is there."""

    def __init__(self, data: bytes, form: int, size: int) -> None:
        self._data = data
        self._form = form
        self._size = size
        self._end = len(data) - 4
        self._at = HEAD_SIZES[form]
        self._faults: list[Fault] = []

    def plan(self) -> PlanFile:
        crc = int.from_bytes(self._data[-4:])
        right = zlib.crc32(self._data[:-4])
        self._check_size()
        if crc != right:
            self._fault(self._end, f"CRC {crc:08x}, the bytes before it make {right:08x}")
        counts = self._counts()
        at_buses = self._at
        buses = [Bus(*row) for row in self._rows("bus", _BUS, counts[0])]
        at_devices = self._at
        devices = [Device(*row) for row in self._rows("device", _DEVICE, counts[1])]
        at_blocks = self._at
        blocks = [Block(*row) for row in self._rows("block", _BLOCK, counts[2])]
        at_inputs = self._at
        inputs = [Input(*row) for row in self._rows("input", _INPUT, counts[3])]
        at_watches = self._at
        watches = [Watch(*row) for row in self._rows("watch", _WATCH, counts[4])]
        names = self._names()
        self._check(at_buses, _BUS.size, "bus", bus_faults(buses))
        self._check(at_devices, _DEVICE.size, "device", device_faults(devices, len(buses)))
        self._check(at_blocks, _BLOCK.size, "block", block_faults(blocks, len(devices)))
        self._check(at_inputs, _INPUT.size, "input", input_faults(inputs))
        self._check(at_watches, _WATCH.size, "watch", watch_faults(watches, blocks))
        return PlanFile(
            size=len(self._data),
            format=self._form,
            crc=crc,
            is_crc_right=crc == right,
            names=names,
            buses=tuple(buses),
            devices=tuple(devices),
            blocks=tuple(blocks),
            inputs=tuple(inputs),
            watches=tuple(watches),
            faults=tuple(sorted(self._faults, key=lambda fault: fault.offset)),
        )

    def _fault(self, offset: int, text: str) -> None:
        self._faults.append(Fault(offset, text))

    def _check_size(self) -> None:
        found = len(self._data)
        if self._size != found:
            why = "cut short" if found < self._size else "something was added"
            self._fault(6, f"the head says {self._size} bytes, there are {found}: {why}")

    def _counts(self) -> tuple[int, int, int, int, int]:
        """Buses, devices, blocks, inputs, watches, as the head says."""
        buses, devices, blocks, inputs = self._data[8:12]
        watches = int.from_bytes(self._data[12:14]) if self._form == 2 else 0
        if self._form == 1 and inputs:
            self._fault(11, f"format 1 knows no inputs (found {inputs})")
            inputs = 0
        limits = (
            (8, "buses", buses, BUSES_MAX),
            (9, "devices", devices, DEVICES_MAX),
            (10, "blocks", blocks, BLOCKS_MAX),
            (11, "inputs", inputs, INPUTS_MAX),
            (12, "watches", watches, WATCHES_MAX),
        )
        for offset, noun, count, most in limits:
            if count > most:
                self._fault(offset, f"{count} {noun}; a board takes at most {most}")
        return buses, devices, blocks, inputs, watches

    def _rows(self, noun: str, form: struct.Struct, count: int) -> Iterator[tuple[int, ...]]:
        for index in range(count):
            if self._at + form.size > self._end:
                self._fault(self._at, f"the file ends where {noun} {index} of {count} should be")
                self._at = self._end
                return
            yield form.unpack_from(self._data, self._at)
            self._at += form.size

    def _names(self) -> tuple[str, ...]:
        found: list[str] = []
        for noun in NAMES:
            if self._at >= self._end:
                self._fault(self._at, f"the file ends where the name of the {noun} should be")
                return tuple(found)
            length = self._data[self._at]
            text = self._data[self._at + 1 : min(self._at + 1 + length, self._end)]
            if len(text) < length:
                self._fault(self._at, f"the name of the {noun} runs past the end")
            try:
                found.append(text.decode())
            except UnicodeDecodeError:
                self._fault(self._at, f"the name of the {noun} is not UTF-8")
                found.append(text.decode("utf-8", "replace"))
            self._at += 1 + length
        if self._at < self._end:
            self._fault(self._at, f"{self._end - self._at} bytes between names and CRC")
        return tuple(found)

    def _check(self, start: int, size: int, noun: str, found: Iterator[tuple[int, str]]) -> None:
        for index, text in found:
            self._fault(start + index * size, f"{noun} {index}: {text}")


def bus_faults(buses: Sequence[Bus]) -> Iterator[tuple[int, str]]:
    """(index, what is wrong) of each bus."""
    seen: set[int] = set()
    for index, bus in enumerate(buses):
        if bus.uart in seen:
            yield index, f"UART {bus.uart} is used twice"
        seen.add(bus.uart)
        if bus.parity > 2 or not 1 <= bus.stop_bits <= 2:
            yield index, f"parity {bus.parity}, {bus.stop_bits} stop bits: no such line"
        if not 300 <= bus.baud <= 4_000_000:
            yield index, f"{bus.baud} baud is outside 300 to 4000000"


def device_faults(devices: Sequence[Device], buses: int) -> Iterator[tuple[int, str]]:
    """(index, what is wrong) of each device."""
    for index, device in enumerate(devices):
        if device.bus >= buses:
            yield index, f"on bus {device.bus}, there are {buses}"
        if not 1 <= device.unit_id <= 247:
            yield index, f"unit id {device.unit_id} is outside 1 to 247"
        if device.timeout_ms == 0:
            yield index, "a timeout of 0 ms"


def block_faults(blocks: Sequence[Block], devices: int) -> Iterator[tuple[int, str]]:
    """(index, what is wrong) of each block; they stand in the image in order, without overlap."""
    free_from = AREA_START
    for index, block in enumerate(blocks):
        most = BITS_MAX if block.function < 3 else REGISTERS_MAX
        if block.device >= devices:
            yield index, f"of device {block.device}, there are {devices}"
        if not 1 <= block.function <= 4:
            yield index, f"function {block.function:02X} is not a read (01 to 04)"
        if not 1 <= block.count <= most or block.address + block.count > 0x10000:
            yield index, f"{block.count} from address {block.address}: at most {most} below 65536"
        if not PERIOD_MS_MIN <= block.period_ms <= PERIOD_MS_MAX:
            yield index, f"period {block.period_ms} ms is outside 100 to 3600000"
        if block.image < free_from or block.image + block.size > AREA_END:
            yield index, f"image 0x{block.image:04X} is not between 0x{free_from:04X} and 0x8000"
        free_from = block.image + block.size


def input_faults(inputs: Sequence[Input]) -> Iterator[tuple[int, str]]:
    """(index, what is wrong) of each input."""
    seen: set[int] = set()
    for index, contact in enumerate(inputs):
        if contact.index in seen:
            yield index, f"contact {contact.index} is used twice"
        seen.add(contact.index)
        if contact.flags > 1:
            yield index, f"flags 0x{contact.flags:02X}: only bit 0 has a meaning"


def watch_faults(watches: Sequence[Watch], blocks: Sequence[Block]) -> Iterator[tuple[int, str]]:
    """(index, what is wrong) of each watch."""
    for index, watch in enumerate(watches):
        if watch.kind not in WATCH_KINDS:
            yield index, f"kind {watch.kind} is none of 1 to 5"
        if watch.code >= 0x8000:
            yield index, f"code 0x{watch.code:04X} is not below 0x8000"
        if watch.block >= len(blocks):
            yield index, f"of block {watch.block}, there are {len(blocks)}"
            continue
        block = blocks[watch.block]
        is_bits = block.function < 3
        if watch.kind == 1:
            room = block.count if is_bits else 16 * block.count
        else:
            room = 0 if is_bits else block.count
        if watch.offset >= room:
            yield index, f"offset {watch.offset} is outside block {watch.block} (room for {room})"
