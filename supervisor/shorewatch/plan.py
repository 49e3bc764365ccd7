"""From a station file to what each board and direct line shall read: the plan, and its binary form.

For each device the points are merged into blocks (one block = one read request = one snapshot).
Merging is by cost: reading across a hole is worth it when the hole's bytes take less wire time than
another request. `compile_board` also adds up the bus time and refuses what cannot be kept.

Points with a watch become watches: the board stamps each change of a bit, or of a word against a
threshold, as an event whose code is the watch's number. Boards know bits and single 16-bit words;
a 32-bit field of bits is watched as the bits of its two words.

plan.bin, format 2, big-endian; the firmware's station/plan.py reads it:

    0   4  b"SWPL"       4  2  format       6  2  size in bytes, CRC included
    8   1  buses         9  1  devices     10  1  blocks           11  1  inputs
    12  2  watches      14  2  zero
    16     buses,   12 bytes: uart u8, parity u8, stop bits u8, 0, baud u32, t3.5 us u16, 0 u16
           devices,  8 bytes: bus u8, unit u8, timeout ms u16, worst ms u16, retries u8, 0
           blocks,  12 bytes: device u8, function u8, address u16, count u16, period ms u32,
                     image address u16
           inputs,   4 bytes: contact u8, flags u8 (1: normally closed), debounce ms u16
           watches, 10 bytes: block u8, kind u8, offset u16, threshold u16, hysteresis u16, code u16
                     kind 1 bit changed (offset: bit of the block's data), 2 above, 3 below,
                     4 above, 5 below signed (offset: register of the block's data)
           names, each u8 length and UTF-8: cable, station, board (they make the CRC unique)
    -4  4  CRC-32 of everything before
"""

import math
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from shorewatch.budget import PROBE_SHARE, Budget, Request, budget, oldest_s
from shorewatch.config import (
    BoardConfig,
    BusConfig,
    Device,
    DeviceConfig,
    DirectConfig,
    InputConfig,
    LinkConfig,
    Station,
    load_board_type,
)
from shorewatch.decoder import Decoder
from shorewatch.errors import ConfigError, Problem
from shorewatch.point import Point
from shorewatch.profile import Profile

FORMAT = 2
BLOCK_AREA = 0x1000
BLOCK_AREA_END = 0x8000
BLOCK_HEADER = 4
READ_MAX = 125
TURNAROUND_S = 0.005
BUSY_MAX = 1 - PROBE_SHARE
WATCHES_MAX = 256
BIT_CHANGED, ABOVE, BELOW, ABOVE_SIGNED, BELOW_SIGNED = range(1, 6)
_PARITY = {"N": 0, "E": 1, "O": 2}


@dataclass(frozen=True)
class Block:
    """One read request, and where its answer stands in the board's image (a direct line has none).

    `points` are (point id, offset in registers or bits from `address`).
    """

    index: int
    device: Device
    function: int
    address: int
    count: int
    period_ms: int
    image: int
    points: tuple[tuple[str, int], ...]

    @property
    def registers(self) -> int:
        """Data registers in the image (bits are packed 16 to one)."""
        return -(-self.count // 16) if self.function < 3 else self.count

    @property
    def size(self) -> int:
        """Registers it takes in the image, header included."""
        return BLOCK_HEADER + self.registers

    @property
    def wire_s(self) -> float:
        """Bus time of one good transaction, seconds."""
        return _wire_s(self.device.bus, self.function, self.count)

    @property
    def age_s_max(self) -> float:
        """Seconds after which the first of its points is stale."""
        return min(self.device.points[name].age_max_s for name, _ in self.points)

    @cached_property
    def decoder(self) -> Decoder:
        """What makes values of its registers."""
        return Decoder([(self.device.points[name], offset) for name, offset in self.points])


@dataclass(frozen=True, slots=True)
class Watch:
    """One change that a board stamps; its place in the plan is the code of its events.

    `offset` is a bit of the block's data for BIT_CHANGED, else a register of it. `bit` is the bit
    of the point's value (0 of a point of type bit), None for thresholds, which are raw numbers.
    """

    block: Block
    point: Point
    kind: int
    offset: int
    bit: int | None = None
    threshold: int = 0
    hysteresis: int = 0


@dataclass(frozen=True)
class BoardPlan:
    """The compiled plan of one board."""

    station: Station
    board_id: str
    blocks: tuple[Block, ...]

    @cached_property
    def watches(self) -> tuple[Watch, ...]:
        """What the board watches, in the order of blocks and points; the index is the code."""
        return tuple(
            watch
            for block in self.blocks
            for name, offset in block.points
            for watch in _watches(block, block.device.points[name], offset)
        )

    @cached_property
    def data(self) -> bytes:
        """plan.bin."""
        board = self.station.boards[self.board_id]
        devices = self.station.of_board(self.board_id)
        names = (self.station.cable, self.station.id, self.board_id)
        position = {device.id: index for index, device in enumerate(devices)}
        on_bus = [(i, d) for i, bus in enumerate(board.bus) for d in devices if d.bus is bus]
        body = b"".join(
            [
                *(_encode_bus(bus) for bus in board.bus),
                *(_encode_device(d, index, _reply_s(self.blocks, d)) for index, d in on_bus),
                *(
                    struct.pack(
                        ">BBHHIH",
                        position[block.device.id],
                        block.function,
                        block.address,
                        block.count,
                        block.period_ms,
                        block.image,
                    )
                    for block in self.blocks
                ),
                *(_encode_input(contact) for contact in board.input),
                *(_encode_watch(watch, code) for code, watch in enumerate(self.watches)),
                *(struct.pack(">B", len(n.encode())) + n.encode() for n in names),
            ]
        )
        counts = (len(board.bus), len(devices), len(self.blocks), len(board.input))
        head = struct.pack(
            ">4sHH4BHH", b"SWPL", FORMAT, 16 + len(body) + 4, *counts, len(self.watches), 0
        )
        return head + body + struct.pack(">I", zlib.crc32(head + body))

    @property
    def crc(self) -> int:
        """The plan's CRC-32: what board and gateway must agree on."""
        return int.from_bytes(self.data[-4:])

    def reads(self, wanted: Sequence[Block]) -> Iterator[list[Block]]:
        """Group blocks, in plan order, into reads: whole blocks, at most 125 registers.

        Blocks between two wanted ones are read along when they fit; that costs less than a read.
        """
        group: list[Block] = []
        for block in wanted:
            if group and block.image + block.size - group[0].image > READ_MAX:
                yield list(self.blocks[group[0].index : group[-1].index + 1])
                group = []
            group.append(block)
        if group:
            yield list(self.blocks[group[0].index : group[-1].index + 1])

    def blocks_of(self, bus: BusConfig) -> list[Block]:
        """What is read on one bus, in plan order."""
        return [block for block in self.blocks if block.device.bus == bus]

    def budget(self, bus: BusConfig) -> Budget | None:
        """Where the time of one bus goes; None if nothing is read there."""
        requests = _timed(self.blocks_of(bus))
        return budget(requests) if requests else None

    def oldest(self, bus: BusConfig) -> list[tuple[Block, float, str | None]]:
        """How old each block's data get on the gateway at worst, and with which other device dead.

        Seconds, while the block's own device answers; None if no death makes it worse.
        """
        return _oldest(self.blocks_of(bus), self.station.boards[self.board_id].link.poll_s)


@dataclass(frozen=True)
class DirectPlan:
    """What the gateway reads itself on one direct line."""

    station: Station
    direct_id: str
    blocks: tuple[Block, ...]

    @property
    def direct(self) -> DirectConfig:
        """The line."""
        return self.station.directs[self.direct_id]

    def budget(self) -> Budget:
        """Where the time of the line goes."""
        return budget(_timed(self.blocks))

    def oldest(self) -> list[tuple[Block, float, str | None]]:
        """As of a board's bus."""
        return _oldest(self.blocks, 0.0)


def compile_board(station: Station, board_id: str) -> BoardPlan:
    """The plan of one board; raises ConfigError if the board or a bus cannot carry it."""
    blocks = compile_blocks(station.of_board(board_id))
    plan = BoardPlan(station, board_id, blocks)
    if problems := list(_limits(plan, BLOCK_AREA + sum(block.size for block in blocks))):
        raise ConfigError(problems)
    return plan


def compile_direct(station: Station, direct_id: str) -> DirectPlan:
    """The plan of one direct line; raises ConfigError if a serial one cannot carry it."""
    plan = DirectPlan(station, direct_id, compile_blocks(station.of_direct(direct_id)))
    line = plan.direct
    if line.port is not None and plan.blocks:
        rule = _overload(plan.budget(), plan.oldest())
        if rule is not None:
            raise ConfigError([station.direct_problem(line.id, "baud", str(line.baud), rule)])
    return plan


def compile_blocks(devices: Sequence[Device]) -> tuple[Block, ...]:
    """The requests that read these devices, in a stable order."""
    blocks: list[Block] = []
    image = BLOCK_AREA
    for device in devices:
        found = _blocks(device, len(blocks), image)
        blocks += found
        image += sum(block.size for block in found)
    return tuple(blocks)


def blocks_alone(profile: Profile, baud: int) -> list[Block]:
    """What a board would ask one device of this type, alone on a bus (8E1) of this baud rate."""
    config = DeviceConfig(id="device", name=profile.name, profile=profile.id, unit_id=1)
    bus = BusConfig.model_validate({"uart": 0, "baud": baud, "device": [config]})
    link = LinkConfig(port="link")
    board = BoardConfig(id="board", type="virtual", unique_id="00000000", link=link, bus=[bus])
    return _blocks(Device(config, profile, board, bus), 0, BLOCK_AREA)


def _blocks(device: Device, index: int, image: int) -> list[Block]:
    """The blocks of one device, numbered from `index`, from `image` on in the board's image."""
    blocks: list[Block] = []
    for function, period_s, address, count, points in _requests(device):
        offsets = tuple((point.id, point.address - address) for point in points)
        period_ms = round(period_s * 1000)
        at = index + len(blocks)
        blocks.append(Block(at, device, function, address, count, period_ms, image, offsets))
        image += blocks[-1].size
    return blocks


def _limits(plan: BoardPlan, image_end: int) -> Iterator[Problem]:
    station, board = plan.station, plan.station.boards[plan.board_id]
    limits = load_board_type(board.type).limits
    counted = (
        ("buses", len(board.bus), limits.buses),
        ("devices", len(station.of_board(board.id)), limits.devices),
        ("blocks", len(plan.blocks), limits.blocks),
        ("watches", len(plan.watches), WATCHES_MAX),
        ("image registers", image_end - BLOCK_AREA, BLOCK_AREA_END - BLOCK_AREA),
    )
    for noun, count, most in counted:
        if count > most:
            rule = f"board type {board.type} takes at most {most} {noun}"
            yield station.problem(board.id, f"{count} {noun}", rule)
    for bus in board.bus:
        found = plan.budget(bus)
        overload = None if found is None else _overload(found, plan.oldest(bus))
        if overload is not None:
            yield station.problem(board.id, str(bus.baud), overload, uart=bus.uart)


def _overload(found: Budget, ages: Sequence[tuple[Block, float, str | None]]) -> str | None:
    """What of a bus cannot be kept, by how much, and what to do; None if all can."""
    if found.busy_share > BUSY_MAX:
        return (
            f"the bus would be busy {found.busy_share:.0%} of the time; at most {BUSY_MAX:.0%} "
            f"leaves room for dead devices: raise the baud rate, lengthen periods, or move devices"
        )
    block, oldest, dead = max(ages, key=lambda age: age[1] - age[0].age_s_max)
    if oldest <= block.age_s_max:
        return None
    return (
        f"{f'with {dead} dead, ' if dead else ''}values of {block.device.id} would get "
        f"{oldest:.1f} s old, and they are stale after {block.age_s_max:g} s: raise the "
        f"baud rate, lengthen periods, {f'shorten timeout_ms of {dead}, ' if dead else ''}"
        f"or move devices"
    )


def _oldest(blocks: Sequence[Block], link_s: float) -> list[tuple[Block, float, str | None]]:
    """The ages of a bus' blocks, which reach the gateway `link_s` later."""
    requests = _timed(blocks)
    found = []
    for block, wanted in zip(blocks, requests, strict=True):
        others = dict.fromkeys(r.device for r in requests if r.device != wanted.device)
        ages = [(oldest_s(requests, wanted, dead), dead) for dead in (None, *others)]
        worst_s, dead = max(ages, key=lambda age: age[0])
        found.append((block, worst_s + link_s, dead))
    return found


def _timed(blocks: Sequence[Block]) -> list[Request]:
    """What the blocks of one bus take of its time."""
    return [
        Request(
            device=block.device.id,
            period_s=block.period_ms / 1000,
            wire_s=block.wire_s,
            lost_s=_lost_s(block.device, _reply_s(blocks, block.device)),
        )
        for block in blocks
    ]


def _reply_s(blocks: Sequence[Block], device: Device) -> float:
    """Wire time of the device's longest reply."""
    longest = max((block.registers * 2 for block in blocks if block.device is device), default=0)
    return (longest + 5) * device.bus.char_us / 1e6


def _requests(device: Device) -> Iterator[tuple[int, float, int, int, list[Point]]]:
    """(function, period, address, count, points) of each request, in a stable order."""
    profile = device.profile
    left = list(profile.point)
    for whole in profile.whole:
        inside = [point for point in left if whole.holds(point)]
        left = [point for point in left if not whole.holds(point)]
        if inside:
            period_s = min(point.period_s for point in inside)
            yield inside[0].function, period_s, whole.address, whole.count, inside
    for function, period_s in sorted({(point.function, point.period_s) for point in left}):
        group = [p for p in left if (p.function, p.period_s) == (function, period_s)]
        group.sort(key=lambda point: (point.address, point.count))
        for run in _merge(group, device):
            start = run[0].address
            end = max(point.address + point.count for point in run)
            yield function, period_s, start, end - start, run


def _merge(points: Sequence[Point], device: Device) -> Iterator[list[Point]]:
    """Cut points, sorted by address, into the runs that take the least wire time together.

    Dynamic programming over the last cut; optimal because a run covers an interval of addresses.
    """
    nothing: tuple[float, int] = (math.inf, 0)
    best = [(0.0, 0)] + [nothing] * len(points)
    for start in range(len(points)):
        for end, count in _runs(points, start, device.profile):
            cost = _wire_s(device.bus, points[start].function, count)
            best[end] = min(best[end], (best[start][0] + cost, start))
    cuts: list[tuple[int, int]] = []
    end = len(points)
    while end:
        start = best[end][1]
        cuts.append((start, end))
        end = start
    for start, end in reversed(cuts):
        yield list(points[start:end])


def _runs(points: Sequence[Point], start: int, profile: Profile) -> Iterator[tuple[int, int]]:
    """The requests that may begin with points[start]: (index after the last point, count)."""
    first, end = points[start].address, points[start].address
    most = profile.registers_max * (16 if points[start].function < 3 else 1)
    for index in range(start, len(points)):
        point = points[index]
        end_before, end = end, max(end, point.address + point.count)
        is_hole = point.address > end_before and not profile.merge
        if index > start and (is_hole or end - first > most):
            return
        yield index + 1, end - first


def _wire_s(bus: BusConfig | DirectConfig, function: int, count: int) -> float:
    """Seconds one good transaction keeps the bus. Source: MODBUS over Serial Line V1.02, 2.5.1."""
    data = -(-count // 8) if function < 3 else 2 * count
    return (8 + 5 + data) * bus.char_us / 1e6 + 2 * bus.t35_us / 1e6 + TURNAROUND_S


def _lost_s(device: Device, reply_s: float) -> float:
    """Seconds that a request without an answer keeps the bus."""
    bus = device.bus
    delay_s = bus.delay_s if isinstance(bus, DirectConfig) else 0.0
    timeout_s = device.profile.timeout_ms / 1000 + delay_s
    return (8 * bus.char_us + 2 * bus.t35_us) / 1e6 + timeout_s + reply_s


def _watches(block: Block, point: Point, offset: int) -> Iterator[Watch]:
    """The watches of one point that stands at `offset` of the block's data."""
    if point.watch == "change":
        first = offset if point.is_contact else 16 * offset
        for bit, (register, place) in point.bit_places().items():
            yield Watch(block, point, BIT_CHANGED, first + 16 * register + place, bit=bit)
    for limit, is_above in ((point.watch_above, True), (point.watch_below, False)):
        if limit is not None:
            raw_above, threshold, hysteresis = point.threshold(limit, is_above=is_above)
            kind = ABOVE if raw_above else BELOW
            if point.type == "s16":
                kind += ABOVE_SIGNED - ABOVE
            yield Watch(
                block, point, kind, offset, threshold=threshold & 0xFFFF, hysteresis=hysteresis
            )


def _encode_input(contact: InputConfig) -> bytes:
    flags = 1 if contact.normally == "closed" else 0
    return struct.pack(">BBH", contact.input, flags, contact.debounce_ms)


def _encode_watch(watch: Watch, code: int) -> bytes:
    return struct.pack(
        ">BBHHHH",
        watch.block.index,
        watch.kind,
        watch.offset,
        watch.threshold,
        watch.hysteresis,
        code,
    )


def _encode_bus(bus: BusConfig) -> bytes:
    parity, stop_bits = _PARITY[bus.format[1]], int(bus.format[2])
    return struct.pack(">BBBBIHH", bus.uart, parity, stop_bits, 0, bus.baud, bus.t35_us, 0)


def _encode_device(device: Device, bus_index: int, reply_s: float) -> bytes:
    reply_ms = round(reply_s * 1000) + 1
    profile = device.profile
    return struct.pack(
        ">BBHHBB",
        bus_index,
        device.config.unit_id,
        profile.timeout_ms + reply_ms,
        profile.worst_ms + reply_ms,
        profile.retries,
        0,
    )
