"""The gateway's loop of one direct line: connect, ask in turn, decode; connect anew for ever.

What a block says goes the way of a board's blocks: with status and age through decode_block() to
the intake. A line is up while its serial port is open, or since its TCP peer answered last. A
serial port that is lost, a connection that is refused, reset or takes requests and answers none
(half-open, stalled) is opened anew, with growing pauses; the second failure in a row makes its
devices bad (link-down). A device that does not answer is the business of turns.py.
"""

import asyncio
import logging
import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Protocol

from shorewatch.config import DirectConfig
from shorewatch.decode import AGE_NEVER, BusCounters, DeviceCounters, Moment, decode_block
from shorewatch.direct.frame import Outcome, Request
from shorewatch.direct.rtu import RtuClient
from shorewatch.direct.tcp import TcpClient
from shorewatch.direct.turns import Done, Result, Turn, Turns
from shorewatch.direct.wire import Wire, opened
from shorewatch.errors import LinkError
from shorewatch.image import Image
from shorewatch.intake import Intake, Records
from shorewatch.model import Reason, utc_now
from shorewatch.plan import Block, DirectPlan
from shorewatch.report import Reporter
from shorewatch.words import Words

FAILURES_MAX = 2
PLACES = 4
RETRY_S_MIN = 0.5
RETRY_S_MAX = 15.0
PORT_RETRY_S_MAX = 2.0  # to look for a port costs nobody anything
COUNTERS_EVERY_S = 1.0

_log = logging.getLogger("shorewatch.direct")


class Client(Done, Protocol):
    """An RtuClient or a TcpClient."""

    @property
    def wake_s(self) -> float: ...
    @property
    def strays(self) -> int: ...
    @property
    def is_broken(self) -> bool: ...
    def start(self, now_s: float, request: Request, timeout_s: float) -> None: ...
    def hear(self, now_s: float, data: bytes) -> None: ...
    def poll(self, now_s: float) -> bytes: ...


@dataclass(frozen=True, slots=True)
class DirectStatus:
    """What is known of a direct line, for the page and the NOC. `reason` is None while it is up."""

    up: bool
    reason: str | None
    since: datetime
    bus: BusCounters | None = None
    devices: Mapping[str, DeviceCounters] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Held:
    """The last good data of a block."""

    words: list[int]
    acquired_s: float
    uncertainty_s: float


def client_for(line: DirectConfig) -> Client:
    """The client that speaks the line's protocol."""
    if line.address is not None:
        return TcpClient()
    return RtuClient(line.char_us / 1e6, line.t35_us / 1e6)


async def exchange(wire: Wire, client: Client, request: Request, timeout_s: float) -> None:
    """Make one transaction; its outcome is the client's. Raises LinkError if the line is lost."""
    client.start(time.monotonic(), request, timeout_s)
    while client.outcome is Outcome.PENDING:
        data = wire.take()
        now_s = time.monotonic()
        if data:
            client.hear(now_s, data)
        sending = client.poll(now_s)
        if sending:
            wire.write(sending)
        if client.outcome is Outcome.PENDING:
            await wire.wait(client.wake_s)


class DirectLine:
    """Reads one direct line for as long as it runs."""

    def __init__(
        self,
        plan: DirectPlan,
        state_dir: Path,
        image: Image,
        *,
        reporter: Reporter,
        records: Records,
    ) -> None:
        self.plan = plan
        self.status = DirectStatus(False, "not reached yet", utc_now())
        self._line = plan.direct
        self._state_dir = state_dir
        self._intake = Intake(f"direct/{plan.direct_id}", image, reporter, records, _log)
        self._turns = Turns(plan.direct, plan.blocks, time.monotonic())
        self._held: dict[int, _Held] = {}
        self.words = Words()
        self._failures = 0
        self._strays = 0  # of the connections before this one
        self._counters_due_s = 0.0

    async def run(self) -> None:
        """Read until cancelled; a line that fails is opened anew for ever."""
        while True:
            client = client_for(self._line)
            try:
                async with opened(self._line, self._state_dir) as wire:
                    await self._read(wire, client)
            except LinkError as error:
                self._failures += 1
                if self._failures >= FAILURES_MAX:
                    await self._set_down(str(error))
            self._strays += client.strays
            await self._rest()

    async def _rest(self) -> None:
        """Lines that failed together come back apart: each has its own part of the pause."""
        most_s = PORT_RETRY_S_MAX if self._line.address is None else RETRY_S_MAX
        pause_s = min(RETRY_S_MIN * 2 ** min(self._failures - 1, 10), most_s)
        await asyncio.sleep(pause_s * (0.75 + self._part / 2))

    @property
    def _part(self) -> float:
        """This line's place among others, in [0, 1)."""
        return zlib.crc32(self.plan.direct_id.encode()) % 256 / 256

    async def _read(self, wire: Wire, client: Client) -> None:
        turns = self._turns
        # Hundreds of addresses read at one instant would each wait for all; each at its own would
        # wake the processor hundreds of times a second.
        place = None if self._line.address is None else int(self._part * PLACES) / PLACES
        turns.restart(time.monotonic(), place=place)
        if self._line.address is None:
            await self._set_up()
        while True:
            now_s = time.monotonic()
            if now_s >= self._counters_due_s:
                self._counters_due_s = now_s + COUNTERS_EVERY_S
                self._count(now_s, client)
            turn = turns.next(now_s)
            if isinstance(turn, Turn):
                await exchange(wire, client, turn.request, turn.timeout_s)
                await self._end(turn, client)
            else:
                await wire.wait(min(turn, self._counters_due_s))
                if data := wire.take():
                    client.hear(time.monotonic(), data)
            if client.is_broken:
                raise LinkError(f"{self._line.where}: what comes from there is no Modbus TCP")

    async def _end(self, turn: Turn, client: Client) -> None:
        result = self._turns.end(time.monotonic(), client)
        if self._line.address is not None:
            if client.outcome in (Outcome.GOOD, Outcome.EXCEPTION):
                await self._set_up()
            elif self._turns.is_deaf:
                # Half-open, stalled, or no Modbus at all: only a new connection can tell.
                await self._take(result, client)
                text = f"{self._line.where} takes requests and gives no proper answer"
                raise LinkError(text + "; check the unit ids, or restart what is there")
        if result.outcome is Outcome.GOOD:
            (block,) = result.blocks
            half_s = (client.ended_s - client.sent_s) / 2
            words = turn.request.words(client.reply)
            self._held[block.index] = _Held(words, client.sent_s + half_s, half_s + 0.001)
        await self._take(result, client)

    async def _take(self, result: Result, client: Client) -> None:
        now_s, at = time.monotonic(), utc_now()
        code = client.reply[1] if result.outcome is Outcome.EXCEPTION else 0
        for block in result.blocks:
            served, uncertainty_s = self._served(block, code << 8 | result.outcome, now_s)
            moment = Moment(at, now_s - uncertainty_s, uncertainty_s, rate_max=0.0)
            self.words.note(block, served, moment)
            await self._intake.take(block.device.id, decode_block(block, served, moment), at)

    def _served(self, block: Block, status: int, now_s: float) -> tuple[list[int], float]:
        """The block as a board serves it (generation, status, age, data), and its uncertainty."""
        held = self._held.get(block.index)
        if held is None:
            return [0, status, AGE_NEVER >> 16, AGE_NEVER & 0xFFFF, *[0] * block.registers], 0.0
        age_ms = min(round((now_s - held.acquired_s) * 1000), AGE_NEVER - 1)
        return [0, status, age_ms >> 16, age_ms & 0xFFFF, *held.words], held.uncertainty_s

    def _count(self, now_s: float, client: Client) -> None:
        bus = self._turns.bus_counters(now_s, self._strays + client.strays)
        self.status = replace(self.status, bus=bus, devices=self._turns.device_counters())

    async def _set_up(self) -> None:
        self._failures = 0
        if not self.status.up:
            at = utc_now()
            self.status = replace(self.status, up=True, reason=None, since=at)
            await self._intake.say("up", None, at)

    async def _set_down(self, text: str) -> None:
        was = self.status
        if not was.up and was.reason == text:
            return
        at = utc_now()
        since = at if was.up else was.since
        devices = self._turns.device_counters()
        self.status = replace(was, up=False, reason=text, since=since, devices=devices)
        await self._intake.lose(devices, Reason.LINK_DOWN, at)
        await self._intake.say("down", text, at)
