"""The gateway's end of a link: one board, one port, one loop.

`BoardLink.run` opens the port (wire.py), makes sure that the right board with the right plan
answers, then polls: header and generations, of the block area what has changed, contacts, and what
the board has stamped (events.py). Blocks become values with the time the board says (age, counted
back from the read) and go to the image; changes worth a record go to the outbox.

After any failure the port is closed and left quiet for longer than a board may take, so that late
bytes meet no request (Promise 3). Nothing here can write: a wire knows reads only.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from pathlib import Path

from shorewatch import decode, wire
from shorewatch.clock import TICK_S, BoardClock, StationClock
from shorewatch.config import BoardConfig, Station
from shorewatch.decode import BusCounters, DeviceCounters, Header, Moment
from shorewatch.errors import LinkError, MaintenanceError, SilenceError, WrongBoardError
from shorewatch.events import Body, EventReader, Noted, Records
from shorewatch.image import Image
from shorewatch.intake import Intake
from shorewatch.model import Reason, Value
from shorewatch.plan import Block, BoardPlan
from shorewatch.plug import identity
from shorewatch.report import Reporter
from shorewatch.wire import Wire
from shorewatch.words import Words

QUIET_S = 0.5
CONFIG_RETRY_S = 2.0
FAILURES_MAX = 2
COUNTERS_EVERY_S = 1.0
CONTACTS_EVERY_S = 0.5
# A board's maintenance ends by itself after 10 minutes, counted from each of its boots.
MAINTENANCE_S = 630.0

_log = logging.getLogger("shorewatch.link")


@dataclass(frozen=True, slots=True)
class BoardStatus:
    """What is known of a board, for the page and the NOC. `reason` is None while it is up."""

    up: bool
    reason: str | None
    since: datetime
    header: Header | None = None
    buses: tuple[BusCounters, ...] = ()
    devices: Mapping[str, DeviceCounters] = field(default_factory=dict)
    round_trip_s: float = 0.0
    drift_ppm: float | None = None


class BoardLink:
    """Polls one board for as long as it runs."""

    def __init__(
        self,
        plan: BoardPlan,
        state_dir: Path,
        image: Image,
        *,
        reporter: Reporter,
        records: Records,
        on_status: Callable[[], None] = lambda: None,
        clock: StationClock | None = None,
        opened: wire.Opener = wire.opened,
    ) -> None:
        self.plan = plan
        self._clock = clock or StationClock()
        self._opened = opened
        self.status = BoardStatus(False, "not reached yet", self._clock.now())
        self._station: Station = plan.station
        self.board: BoardConfig = plan.station.boards[plan.board_id]
        self.port = str(state_dir / self.board.link.port)
        self._noted = Noted(records)
        self._intake = Intake(f"board/{plan.board_id}", image, reporter, self._noted, _log)
        self._on_status = on_status
        self._generations: list[int | None] = [None] * len(plan.blocks)
        self._boot_id: int | None = None
        self._failures = 0
        self._counters_due_s = 0.0
        # Whether a board at its prompt is left alone.
        self._is_waiting = False
        self._contacts = self._station.contacts.get(plan.board_id)
        self._contact_words: list[int] = []
        self._contacts_due_s = 0.0
        self._board_clock = BoardClock(None)
        self._events = EventReader(plan, self._noted, self._clock)
        self.words = Words()

    @property
    def events(self) -> Iterable[Body]:
        """The last events of this board and of its link, the newest last."""
        return self._noted.events

    def adopt(self, plan: BoardPlan) -> None:
        """Go on by a plan that the board carries already: what it serves may mean other things.

        All of it is read again; what was asked for before and is still to come is not taken.
        """
        assert plan.crc == self.plan.crc, f"{plan.board_id}: the board does not carry this plan"
        self.plan, self._station = plan, plan.station
        self.board = plan.station.boards[plan.board_id]
        self._generations = [None] * len(plan.blocks)
        self.words.clear()
        self._contacts, self._contact_words = self._station.contacts.get(plan.board_id), []
        self._events.plan = plan

    async def set_aside(self, why: str) -> None:
        """While it does not run: say that the port is somebody else's, and make all points bad."""
        await self._set_down(why, Reason.MAINTENANCE)

    def resume(self) -> bool:
        """End the wait for a board at its prompt; False if none is waited for."""
        was, self._is_waiting = self._is_waiting, False
        return was

    async def run(self) -> None:
        """Poll until cancelled; a board that fails is retried for ever."""
        while True:
            try:
                async with self._opened(self.port, self.board.link) as line:
                    await self._identify(line)
                    while True:
                        due_s = self._clock.mono_s() + self.board.link.poll_s
                        await self._poll(line)
                        await asyncio.sleep(max(0.0, due_s - self._clock.mono_s()))
            except WrongBoardError as error:
                await self._set_down(str(error), Reason.CONFIG)
                await asyncio.sleep(CONFIG_RETRY_S)
            except MaintenanceError as error:
                await self._maintenance_over(str(error))
            except LinkError as error:
                self._failures += 1
                if self._failures >= FAILURES_MAX:
                    await self._set_down(str(error), Reason.LINK_DOWN)
                await asyncio.sleep(QUIET_S)

    async def _maintenance_over(self, text: str) -> None:
        """Wait while frames would be typed into a prompt: 01 and 04 are Ctrl-A and Ctrl-D there."""
        was = identity(self.port)
        until_s = self._clock.mono_s() + MAINTENANCE_S
        self._is_waiting = True
        try:
            await self._set_down(text, Reason.MAINTENANCE)
            while self._is_waiting and self._clock.mono_s() < until_s:
                await asyncio.sleep(QUIET_S)
                self._is_waiting = self._is_waiting and identity(self.port) == was
        finally:
            self._is_waiting = False

    async def _identify(self, line: Wire) -> None:
        """Raise WrongBoardError unless this board, with this plan, is what answers."""
        found = await line.identify()
        if found != self.board.unique_id:
            text = (
                f"{self.port}: board {found or 'without an id'} is plugged in where the station "
                f"file has {self.board.unique_id} ({self.board.id}); plug in the right one, or "
                f"correct unique_id"
            )
            raise WrongBoardError(text)
        self._generations = [None] * len(self.plan.blocks)

    async def _poll(self, line: Wire) -> None:
        before_s = self._clock.mono_s()
        words, moment = await self._read(line, decode.HEADER, decode.HEADER_SIZE)
        after_s = self._clock.mono_s()
        header = decode.parse_header(words)
        if header.plan_crc != self.plan.crc:
            carried = f"plan {header.plan_crc:08x}" if header.plan_crc else "no valid plan"
            text = (
                f"board {self.board.id} carries {carried}, the station file compiles to "
                f"{self.plan.crc:08x}; push the plan to it"
            )
            raise WrongBoardError(text)
        if self._is_restarted(header):
            self._generations = [None] * len(self.plan.blocks)
        if self._board_clock.boot_id != header.boot_id:
            self._board_clock = BoardClock(header.boot_id)
        self._board_clock.note(header.clock_ms, before_s, after_s)
        # A board that was down is up when all of it was read, and its values count from then on.
        kept: list[tuple[Block, Mapping[str, Value], Moment]] = []
        try:
            async for block, values, read in self._changed(line):
                if self.status.up:
                    await self._take(block, values, read)
                else:
                    kept.append((block, values, read))
        except SilenceError as error:
            text = f"{self.port}: the board answers, but not when its data are read"
            raise LinkError(text) from error
        await self._set_up(header, moment.at, after_s - before_s)
        for block, values, read in kept:
            await self._take(block, values, read)
        await self._poll_contacts(line)
        more = partial(self._read_words, line)
        await self._events.poll(header, before_s, self._board_clock, more)
        if moment.mono_s >= self._counters_due_s:
            self._counters_due_s = moment.mono_s + COUNTERS_EVERY_S
            await self._poll_counters(line)

    async def _changed(
        self, line: Wire
    ) -> AsyncIterator[tuple[Block, Mapping[str, Value], Moment]]:
        """Read the blocks whose generation has moved on."""
        plan = self.plan
        now, _ = await self._read(line, decode.GENERATIONS, len(plan.blocks))
        changed = [b for b in plan.blocks if self._generations[b.index] != now[b.index]]
        for group in plan.reads(changed):
            start, last = group[0].image, group[-1]
            words, moment = await self._read(line, start, last.image + last.size - start)
            for block in group:
                if self.plan is not plan:
                    return
                own = words[block.image - start : block.image - start + block.size]
                if own[0] != self._generations[block.index]:
                    self._generations[block.index] = own[0]
                    self.words.note(block, own, moment)
                    yield block, decode.decode_block(block, own, moment), moment

    async def _poll_contacts(self, line: Wire) -> None:
        """Read the contacts; what they are is taken when it has changed, and before it gets old."""
        contacts = self._contacts
        if contacts is None:
            return
        words, moment = await self._read(line, decode.CONTACTS, decode.CONTACTS_SIZE)
        is_same = words == self._contact_words and moment.mono_s < self._contacts_due_s
        if is_same or self._contacts is not contacts:
            return
        values = decode.decode_contacts(list(contacts.points), words, moment)
        await self._intake.take(contacts.id, values, moment.at)
        self._contact_words, self._contacts_due_s = words, moment.mono_s + CONTACTS_EVERY_S

    async def _take(self, block: Block, values: Mapping[str, Value], moment: Moment) -> None:
        if self.plan.blocks[block.index] is not block:
            return
        await self._intake.take(block.device.id, values, moment.at)

    async def _poll_counters(self, line: Wire) -> None:
        bus_count = len(self.board.bus)
        devices = self._station.of_board(self.board.id)
        words, _ = await self._read(line, decode.BUSES, bus_count * decode.BUS_SIZE)
        size = decode.BUS_SIZE
        buses = tuple(decode.parse_bus(words[i * size : (i + 1) * size]) for i in range(bus_count))
        size = decode.DEVICE_SIZE
        counters: dict[str, DeviceCounters] = {}
        step = 125 // size
        for first in range(0, len(devices), step):
            some = devices[first : first + step]
            words, _ = await self._read(line, decode.DEVICES + first * size, len(some) * size)
            for i, device in enumerate(some):
                counters[device.id] = decode.parse_device(words[i * size : (i + 1) * size])
        self.status = replace(self.status, buses=buses, devices=counters)

    async def _read(self, line: Wire, address: int, count: int) -> tuple[list[int], Moment]:
        """Read the image, and when; raises LinkError as the wire does."""
        before_s = self._clock.mono_s()
        words = await line.read(address, count)
        after_s = self._clock.mono_s()
        self._clock.look()
        # Ages are differences of whole milliseconds: a tick more, either way.
        half_s = (after_s - before_s) / 2 + TICK_S
        moment = Moment(
            self._clock.at((before_s + after_s) / 2),
            before_s - TICK_S,
            half_s + self._clock.error_s_max,
            self._board_clock.rate_max,
        )
        return words, moment

    async def _read_words(self, line: Wire, address: int, count: int) -> list[int]:
        words, _ = await self._read(line, address, count)
        return words

    async def _set_up(self, header: Header, at: datetime, round_trip_s: float) -> None:
        was = self.status
        self._failures = 0
        self.status = replace(
            was,
            up=True,
            reason=None,
            since=was.since if was.up else at,
            header=header,
            round_trip_s=round_trip_s,
            drift_ppm=self._board_clock.drift_ppm,
        )
        is_restarted, self._boot_id = self._is_restarted(header), header.boot_id
        if not was.up or is_restarted:
            what = f"up; board started by {header.boot_reason}" if is_restarted else "up"
            await self._say(what, None, at)

    def _is_restarted(self, header: Header) -> bool:
        """Whether the board has started anew since it was last up."""
        return self._boot_id not in (None, header.boot_id)

    async def _set_down(self, text: str, reason: Reason) -> None:
        was = self.status
        if not was.up and was.reason == text:
            return
        at = self._clock.now()
        self.status = replace(was, up=False, reason=text, since=at if was.up else was.since)
        devices = [device.id for device in self._station.of_board(self.board.id)]
        if self._contacts is not None:
            devices.append(self._contacts.id)
        self._contact_words = []
        await self._intake.lose(devices, reason, at)
        await self._say("down", text, at)

    async def _say(self, what: str, why: str | None, at: datetime) -> None:
        """A board that comes or goes is logged once, recorded once, and shown at once."""
        await self._intake.say(what, why, at)
        self._on_status()
