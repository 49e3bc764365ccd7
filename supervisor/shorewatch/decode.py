"""A board's input registers to typed facts and values. Pure: words and times in, values out.

The board converts nothing: it serves raw registers, a status and an age for each block. Layout of
the image, version 1 (32-bit values high word first):

    0x0000 header: magic 0x5357, version, plan CRC (2), firmware (2), boot id (2), boot reason,
           health bits, clock ms (3), worst pass 0.1 ms, free heap (2), least free heap (2), buses,
           devices, blocks, block registers, next event (2), event ring, watchdog ms, slot (2)
    0x0040 16 registers a bus · 0x0100 8 registers a device · 0x0800 a generation a block
    0x0900 contacts: active, valid, a bit an input of the plan · 0x8000 ring of events (events.py)
    0x1000 blocks: generation, status (low byte; high byte = exception code), age ms (2), data
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from shorewatch.clock import CLOCK_AT_MIN, RATE_MAX
from shorewatch.conversion import Doubt
from shorewatch.errors import WrongBoardError
from shorewatch.model import NEVER, Quality, Reason, Value, good_value
from shorewatch.plan import BLOCK_HEADER, Block

MAGIC = 0x5357
MAP_VERSION = 1
HEADER = 0x0000
HEADER_SIZE = 0x1C
BUSES = 0x0040
BUS_SIZE = 16
DEVICES = 0x0100
DEVICE_SIZE = 8
GENERATIONS = 0x0800
AGE_NEVER = 0xFFFFFFFF
CONTACTS = 0x0900
CONTACTS_SIZE = 2

_STATUS = {
    0: Reason.NEVER_READ,
    2: Reason.DEVICE_TIMEOUT,
    3: Reason.DEVICE_GARBLED,
    4: Reason.DEVICE_GARBLED,
    5: Reason.DEVICE_EXCEPTION,
}
_GOOD = 1
DEVICE_STATES = ("never", "up", "failing", "down")
BOOT_REASONS = ("unknown", "power", "watchdog", "requested", "fault")


@dataclass(frozen=True, slots=True)
class Header:
    """What a board says of itself."""

    plan_crc: int
    firmware: str
    boot_id: int
    boot_reason: str
    health: int
    clock_ms: int
    worst_pass_ms: float
    heap_free: int
    heap_free_least: int
    blocks: int
    event_next: int
    event_capacity: int


@dataclass(frozen=True, slots=True)
class BusCounters:
    """Statistics of one bus since the board booted."""

    requests: int
    good: int
    timeouts: int
    crc_errors: int
    exceptions: int
    rejected: int
    stray_bytes: int
    busy_share: float
    slips: int


@dataclass(frozen=True, slots=True)
class DeviceCounters:
    """Statistics of one device since the board booted (counters wrap at 65,536)."""

    state: str
    failures: int
    exception: int
    reply_ms: int
    reply_ms_max: int
    good: int
    bad: int


@dataclass(frozen=True, slots=True)
class Moment:
    """When the gateway read an image.

    `at` may be off by `uncertainty_s` either way; `mono_s` is monotonic and not after the read, so
    that no age comes out too small. `rate_max` is how fast the board's clock may drift off ours.
    """

    at: datetime
    mono_s: float
    uncertainty_s: float
    rate_max: float = RATE_MAX


def parse_header(words: Sequence[int]) -> Header:
    """The header's registers as facts; raises WrongBoardError if this is no board of ours."""
    assert len(words) == HEADER_SIZE, "the header is read whole"
    if words[0] != MAGIC:
        text = f"what answers there is no Shorewatch board (magic {words[0]:#06x})"
        raise WrongBoardError(text)
    if words[1] != MAP_VERSION:
        text = f"the board serves image map {words[1]}, this gateway reads {MAP_VERSION}: flash it"
        raise WrongBoardError(text)
    reason = words[8] if words[8] < len(BOOT_REASONS) else 0
    return Header(
        plan_crc=_long(words, 2),
        firmware=f"{words[4] >> 8}.{words[4] & 0xFF}.{words[5]}",
        boot_id=_long(words, 6),
        boot_reason=BOOT_REASONS[reason],
        health=words[9],
        clock_ms=words[10] << 32 | _long(words, 11),
        worst_pass_ms=words[13] / 10,
        heap_free=_long(words, 14),
        heap_free_least=_long(words, 16),
        blocks=words[20],
        event_next=_long(words, 22),
        event_capacity=words[24],
    )


def parse_bus(words: Sequence[int]) -> BusCounters:
    """The 16 registers of one bus."""
    return BusCounters(
        requests=_long(words, 0),
        good=_long(words, 2),
        timeouts=words[4],
        crc_errors=words[5],
        exceptions=words[6],
        rejected=words[7],
        stray_bytes=words[8],
        busy_share=words[9] / 1000,
        slips=words[10],
    )


def parse_device(words: Sequence[int]) -> DeviceCounters:
    """The 8 registers of one device."""
    state = DEVICE_STATES[words[0]] if words[0] < len(DEVICE_STATES) else "never"
    return DeviceCounters(state, *words[1:7])


def decode_block(block: Block, words: Sequence[int], moment: Moment) -> Mapping[str, Value]:
    """One block as served to values: good ones, or bad ones that keep the last good data.

    `words` are header and data of the block; `moment` is when they were read.
    """
    assert len(words) == block.size, "a block is read whole"
    reason, age_s = block_state(words)
    if age_s is None:
        never = NEVER.made_bad(reason or Reason.NEVER_READ)
        return dict.fromkeys((name for name, _ in block.points), never)
    at, at_s = earlier(moment.at, age_s), moment.mono_s - age_s * (1 + moment.rate_max)
    uncertainty_s = moment.uncertainty_s + age_s * moment.rate_max
    found = block.decoder.decode(words[BLOCK_HEADER:])
    values = {
        name: _doubtful(item, at, at_s, uncertainty_s)
        if isinstance(item, Doubt)
        else good_value(item, at, at_s, uncertainty_s)
        for name, item in found.items()
    }
    if moment.at < CLOCK_AT_MIN:
        values = {name: _unclocked(value) for name, value in values.items()}
    if reason is not None:
        return {name: value.made_bad(reason) for name, value in values.items()}
    return values


def block_state(words: Sequence[int]) -> tuple[Reason | None, float | None]:
    """Why a block as served is not good (None: it is); age of its data, seconds (None: never)."""
    age_ms, status = _long(words, 2), words[1] & 0xFF
    age_s = None if age_ms == AGE_NEVER else age_ms / 1000
    unknown = Reason.NEVER_READ if age_s is None else Reason.DEVICE_GARBLED
    return (None if status == _GOOD else _STATUS.get(status, unknown)), age_s


def decode_contacts(
    names: Sequence[str], words: Sequence[int], moment: Moment
) -> Mapping[str, Value]:
    """A board's contacts, in the order of its inputs: whether each is off its normal state.

    One that keeps no level (it chatters, or the board has just started) is bad.
    """
    assert len(words) == CONTACTS_SIZE, "states and validity are read together"
    states, valid = words
    quality, reason = Quality.GOOD, None
    if moment.at < CLOCK_AT_MIN:
        quality, reason = Quality.UNCERTAIN, Reason.CLOCK
    values = {}
    for i, name in enumerate(names):
        value = Value(
            quality,
            reason,
            bool(states >> i & 1),
            acquired_at=moment.at,
            acquired_s=moment.mono_s,
            uncertainty_s=moment.uncertainty_s,
        )
        values[name] = value if valid >> i & 1 else _unsettled(value)
    return values


def _unsettled(value: Value) -> Value:
    """What is read of a contact that keeps no level was never good."""
    return replace(value, quality=Quality.BAD, reason=Reason.UNSETTLED, value=None)


def earlier(at: datetime, span_s: float) -> datetime:
    """`at`, `span_s` seconds before."""
    return at - timedelta(seconds=span_s)


def _doubtful(doubt: Doubt, at: datetime, at_s: float, uncertainty_s: float) -> Value:
    return Value(
        doubt.quality,
        doubt.reason,
        doubt.value,
        acquired_at=at,
        acquired_s=at_s,
        uncertainty_s=uncertainty_s,
        detail=doubt.detail,
    )


def _unclocked(value: Value) -> Value:
    """`value` at a time that is not known: uncertain if it was good."""
    if value.quality is not Quality.GOOD:
        return value
    return replace(value, quality=Quality.UNCERTAIN, reason=Reason.CLOCK)


def _long(words: Sequence[int], index: int) -> int:
    return words[index] << 16 | words[index + 1]
