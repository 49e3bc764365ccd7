"""A profile tried on a live device: each block read once, and what its words could mean.

`read_once` does the reading, over the transport and the client of direct lines, so with their
rules: reads only, nothing taken that does not answer. The rest is pure. A number outside its range
is looked at again: in the other word orders, and one address lower and higher, since tables that
count from 1 are the usual mistake. A block refused by address is asked for one lower, and its first
point alone, since some devices refuse reads across gaps.

Limits: one connection, retries as in the profile, at most 20 requests to look again.
"""

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from shorewatch.config import Device, DirectConfig
from shorewatch.decode import Moment, decode_block
from shorewatch.direct.frame import RTU_SIZE_MAX, Identify, Outcome, Read, Request
from shorewatch.direct.line import Client, client_for, exchange
from shorewatch.direct.wire import Wire, opened
from shorewatch.model import Quality, Reason, Scalar, Value, utc_now
from shorewatch.plan import Block, compile_blocks
from shorewatch.point import Point
from shorewatch.profile import Profile

AGAIN_MAX = 20
_ILLEGAL_ADDRESS, _ILLEGAL_VALUE = 2, 3
_OF_GATEWAY = (10, 11)
_TINY = 1e-6  # what swapped words of a float often look like: no measurement is that small
# What boards watch, they compare as it stands: such a point could not be read in another order.
_WATCHES = {"watch", "watch_above", "watch_below", "watch_hysteresis"}
_BYTE_ORDERS = ("ABCD", "BADC")  # of a single word
_ORDERS = (*_BYTE_ORDERS, "CDAB", "DCBA")
EXCEPTIONS = {
    1: "it does not know this function: is it another table (holding is 03, input is 04)?",
    2: "it has no such register: check the addresses (here they count from 0)",
    3: "it does not give so many at once: lower registers_max",
    4: "it has failed inside: look at the device itself",
    5: "it needs more time: try again later",
    6: "it is busy: does another client ask it too?",
    8: "its memory is damaged: look at the device itself",
    10: "the gateway has no way to this unit: check the unit id and the gateway's ports",
    11: "the gateway got no answer from this unit: check the unit id, its wiring and its power",
}
_ADVICE = {
    Outcome.BAD_CRC: "answers come damaged: check baud rate, parity and termination, and that no "
    "other device has this unit id",
    Outcome.REJECTED: "what came answers another request: does another client use this line, or "
    "another device this unit id?",
}
_SERIAL_ADVICE = (
    "the unit id, baud rate and parity, whether A and B are swapped, and the device's power"
)
_TCP_ADVICE = "the unit id (devices with a TCP port often want 1, 0 or 255), and that it serves it"


@dataclass(frozen=True, slots=True)
class PointTried:
    """One point: its words as read, what they say, and what else they could."""

    point: Point
    words: Sequence[int]
    value: Value
    fits: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BlockTried:
    """One block: what became of its request, said in words, and its points."""

    block: Block
    outcome: Outcome
    said: str
    exception: int | None
    reply_ms: float
    points: tuple[PointTried, ...] = ()


@dataclass(frozen=True, slots=True)
class Tryout:
    """A profile tried on the one device of a line; `identity`: its own names, by object id."""

    line: DirectConfig
    profile: Profile
    blocks: tuple[BlockTried, ...]
    identity: Mapping[int, str] = field(default_factory=dict)

    @property
    def verdict(self) -> str:
        """good, bad, or unreachable if nothing answered at all."""
        if not self.is_reached:
            return "unreachable"
        return "good" if self.is_good else "bad"

    @property
    def is_reached(self) -> bool:
        """Whether the device answered at all; a gateway in front of it does not count."""
        return any(
            block.outcome is Outcome.GOOD
            or (block.outcome is Outcome.EXCEPTION and block.exception not in _OF_GATEWAY)
            for block in self.blocks
        )

    @property
    def is_good(self) -> bool:
        """Whether every point could be read, is good, and is not better read otherwise."""
        points = [tried for block in self.blocks for tried in block.points]
        is_whole = all(block.outcome is Outcome.GOOD for block in self.blocks)
        is_each = all(p.value.quality is Quality.GOOD and not p.fits for p in points)
        return is_whole and is_each


async def read_once(line: DirectConfig, profile: Profile) -> Tryout:
    """Read the one device of `line`; raises LinkError if the line cannot be opened."""
    (config,) = line.device
    device = Device(config, profile, None, line)
    async with opened(line, Path()) as wire:
        asker = _Asker(wire, client_for(line), line, profile)
        blocks = tuple([await _try_block(asker, block) for block in compile_blocks([device])])
        tried = Tryout(line, profile, blocks)
        return replace(tried, identity=await asker.identify()) if tried.is_reached else tried


class _Asker:
    """Asks one device, patiently: after silence it waits until no late answer can come."""

    def __init__(self, wire: Wire, client: Client, line: DirectConfig, profile: Profile) -> None:
        self.again_left = AGAIN_MAX
        self._wire = wire
        self._client = client
        self._unit_id = line.device[0].unit_id
        longest_s = RTU_SIZE_MAX * line.char_us / 1e6
        self._timeout_s = profile.worst_ms / 1000 + line.delay_s + longest_s
        self._retries = profile.retries

    @property
    def reply(self) -> bytes:
        return self._client.reply

    @property
    def exception(self) -> int | None:
        return self.reply[1] if self._client.outcome is Outcome.EXCEPTION else None

    @property
    def reply_ms(self) -> float:
        return (self._client.ended_s - self._client.sent_s) * 1000

    async def ask(self, request: Request) -> Outcome:
        await exchange(self._wire, self._client, request, self._timeout_s)
        return self._client.outcome

    async def ask_block(self, block: Block) -> tuple[Read, Outcome]:
        request = Read(self._unit_id, block.function, block.address, block.count)
        outcome = Outcome.PENDING
        for _ in range(self._retries + 1):
            outcome = await self.ask(request)
            if outcome in (Outcome.GOOD, Outcome.EXCEPTION):
                break
            await asyncio.sleep(self._timeout_s)
        return request, outcome

    async def look(self, function: int, address: int, count: int) -> list[int] | None:
        """What stands at an address, if the device has anything there."""
        if self.again_left <= 0 or not 0 <= address <= 0x10000 - count:
            return None
        self.again_left -= 1
        request = Read(self._unit_id, function, address, count)
        return request.words(self.reply) if await self.ask(request) is Outcome.GOOD else None

    async def identify(self) -> dict[int, str]:
        request = Identify(self._unit_id)
        return request.objects(self.reply) if await self.ask(request) is Outcome.GOOD else {}


async def _try_block(asker: _Asker, block: Block) -> BlockTried:
    request, outcome = await asker.ask_block(block)
    reply_ms, exception = asker.reply_ms, asker.exception
    if outcome is not Outcome.GOOD:
        said = _said(outcome, exception, block)
        if exception in (_ILLEGAL_ADDRESS, _ILLEGAL_VALUE):
            said += await _refusal_hint(asker, block)
        return BlockTried(block, outcome, said, exception, reply_ms)
    words = request.words(asker.reply)
    moment = Moment(utc_now(), time.monotonic(), reply_ms / 1000)
    values = decode_block(block, [0, Outcome.GOOD, 0, 0, *words], moment)
    points = []
    for name, offset in block.points:
        point = block.device.points[name]
        own = point_words(point, offset, words)
        fits = await _fits(asker, point, own) if is_doubtful(point, own, values[name]) else ()
        points.append(PointTried(point, own, values[name], fits))
    return BlockTried(block, outcome, "", None, reply_ms, tuple(points))


async def _refusal_hint(asker: _Asker, block: Block) -> str:
    """What a block refused by address or length tells, after asking for less."""
    if await asker.look(block.function, block.address - 1, block.count) is not None:
        return "; one address lower it answers: if the table counts from 1, take 1 off each address"
    first = block.device.points[block.points[0][0]]
    is_part = first.count < block.count
    if is_part and await asker.look(block.function, first.address, first.count) is not None:
        return f"; {first.id} alone it gives: set merge = false, or lower registers_max"
    return ""


async def _fits(asker: _Asker, point: Point, words: Sequence[int]) -> tuple[str, ...]:
    """What would make a number lie in its range: another word order, or the address beside."""
    fits = list(fits_there(point, words, ""))
    for shift, where in ((-1, "one lower"), (1, "one higher")):
        beside = await asker.look(point.function, point.address + shift, point.count)
        if beside is not None:
            there = f" at address {point.address + shift} ({where})"
            fits += list(fits_there(point, beside, there))[:1]
    return tuple(fits)


def is_doubtful(point: Point, words: Sequence[int], value: Value) -> bool:
    """Whether a number is outside its range, or too small to be one; then others may fit."""
    if not point.is_numeric or point.range is None or point.partners:
        return False
    is_outside = value.reason in (Reason.OUT_OF_RANGE, Reason.SENTINEL)
    return is_outside or (point.type in ("f32", "f64") and _is_tiny(words, value.value))


def _is_tiny(words: Sequence[int], value: Scalar | None) -> bool:
    return isinstance(value, (int, float)) and abs(value) < _TINY and any(words)


def point_words(point: Point, offset: int, words: Sequence[int]) -> Sequence[int]:
    """A point's words in its block's data; a bit as one word of 0 or 1."""
    if point.is_contact:
        return [words[offset // 16] >> offset % 16 & 1]
    return words[offset : offset + point.count]


def fits_there(point: Point, words: Sequence[int], where: str) -> Iterator[str]:
    """The readings of these words that lie in the point's range, its own word order first."""
    raw = point.model_dump(exclude_unset=True, exclude=_WATCHES)
    orders = _ORDERS if point.count > 1 else _BYTE_ORDERS
    for order in sorted(orders, key=lambda order: order != point.order):
        # Made anew, not copied: a point may remember what follows from its order.
        value, quality, _ = Point.model_validate(raw | {"order": order}).decode(words)
        if quality is Quality.GOOD and not _is_tiny(words, value):
            yield f"order {order}{where}: {point.text(value)} {point.text_unit}".rstrip()


def _said(outcome: Outcome, exception: int | None, block: Block) -> str:
    """What a failed request means, and what to check next."""
    if exception is not None:
        meaning = EXCEPTIONS.get(exception, "its manual says what that means")
        return f"exception {exception}: {meaning}"
    if outcome is not Outcome.TIMEOUT:
        return _ADVICE[outcome]
    is_tcp = isinstance(block.device.bus, DirectConfig) and block.device.bus.tcp is not None
    return f"no answer: check {_TCP_ADVICE if is_tcp else _SERIAL_ADVICE}"
