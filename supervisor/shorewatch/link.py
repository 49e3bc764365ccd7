"""The gateway's end of a link: one board, one port, one loop.

`BoardLink.run` opens the port exclusively, makes sure that the right board with the right plan
answers, then polls: header and generations, and of the block area what has changed. Blocks become
values with the time the board says (age, counted back from the middle of the read) and go to the
image; changes worth a record go to the outbox.

pymodbus is imported here and nowhere else on the gateway. It matches RTU replies to requests by
order alone, so a late reply would be taken for the next one's answer (measured). Hence: no retries
of its own, and after any failure the port is closed and left quiet for longer than a board may
take, so that late bytes meet no request (Promise 3). Nothing here can write: only functions 04 and
2B/0E are called.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from pymodbus import FramerType
from pymodbus.client import AsyncModbusSerialClient
from pymodbus.exceptions import ModbusException
from pymodbus.pdu.mei_message import ReadDeviceInformationResponse

from shorewatch import decode
from shorewatch.config import BoardConfig, Station
from shorewatch.decode import BusCounters, DeviceCounters, Header, Moment
from shorewatch.errors import LinkError, MaintenanceError, WrongBoardError
from shorewatch.image import Image
from shorewatch.intake import Intake, Records
from shorewatch.model import Reason, Value, utc_now
from shorewatch.plan import Block, BoardPlan
from shorewatch.plug import identity, why_closed
from shorewatch.report import Reporter

QUIET_S = 0.5
CONFIG_RETRY_S = 2.0
FAILURES_MAX = 2
COUNTERS_EVERY_S = 1.0
SETTLE_S = 0.05
# A board's maintenance ends by itself after 10 minutes, counted from each of its boots.
MAINTENANCE_S = 630.0
_PROMPTS = (b">>> ", b"raw REPL; CTRL-B")
_HEARD_MAX = 300
_OBJECT_UNIQUE_ID = 0x80

_log = logging.getLogger("shorewatch.link")
# What it would log is raised to us as well, and said once, in our words.
logging.getLogger("pymodbus").setLevel(logging.CRITICAL)


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
    ) -> None:
        self.plan = plan
        self.status = BoardStatus(False, "not reached yet", utc_now())
        self._station: Station = plan.station
        self.board: BoardConfig = plan.station.boards[plan.board_id]
        self.port = str(state_dir / self.board.link.port)
        self._intake = Intake(f"board/{plan.board_id}", image, reporter, records, _log)
        self._on_status = on_status
        self._generations: list[int | None] = [None] * len(plan.blocks)
        self._boot_id: int | None = None
        self._failures = 0
        self._counters_due_s = 0.0
        # Whether a board at its prompt is left alone.
        self._is_waiting = False
        # What came since the last good answer.
        self._heard = b""

    def adopt(self, plan: BoardPlan) -> None:
        """Go on by a plan that the board carries already: what it serves may mean other things.

        All of it is read again; what was asked for before and is still to come is not taken.
        """
        assert plan.crc == self.plan.crc, f"{plan.board_id}: the board does not carry this plan"
        self.plan, self._station = plan, plan.station
        self.board = plan.station.boards[plan.board_id]
        self._generations = [None] * len(plan.blocks)

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
                async with self._opened() as client:
                    await self._identify(client)
                    while True:
                        due_s = time.monotonic() + self.board.link.poll_s
                        await self._poll(client)
                        await asyncio.sleep(max(0.0, due_s - time.monotonic()))
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

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[AsyncModbusSerialClient]:
        client = AsyncModbusSerialClient(
            self.port,
            framer=FramerType.RTU,
            baudrate=self.board.link.baud,
            bytesize=8,
            parity="N",
            stopbits=1,
            handle_local_echo=False,
            reconnect_delay=0,
            reconnect_delay_max=0,
            timeout=self.board.link.timeout_s,
            retries=0,
            trace_packet=self._hear,
        )
        self._heard = b""
        try:
            if not await client.connect():
                why = why_closed(self.port, "the board")
                raise LinkError(f"{self.port} cannot be opened: {why}")
            await asyncio.sleep(SETTLE_S)
            yield client
        except (ModbusException, LinkError, OSError) as error:
            if any(prompt in self._heard for prompt in _PROMPTS):
                raise MaintenanceError(
                    f"{self.port}: the board is at its MicroPython prompt (maintenance); it is "
                    f"left alone until it is plugged in anew, or for {MAINTENANCE_S / 60:g} minutes"
                ) from error
            if isinstance(error, LinkError):
                raise
            raise LinkError(f"no answer on {self.port}") from error
        finally:
            client.close()

    def _hear(self, sending: bool, data: bytes) -> bytes:
        """Look at what comes, whether it makes a frame or not (a hook of pymodbus)."""
        if not sending:
            self._heard = (self._heard + data)[-_HEARD_MAX:]
        return data

    async def _maintenance_over(self, text: str) -> None:
        """Wait while frames would be typed into a prompt: 01 and 04 are Ctrl-A and Ctrl-D there."""
        was = identity(self.port)
        until_s = time.monotonic() + MAINTENANCE_S
        self._is_waiting = True
        try:
            await self._set_down(text, Reason.MAINTENANCE)
            while self._is_waiting and time.monotonic() < until_s:
                await asyncio.sleep(QUIET_S)
                self._is_waiting = self._is_waiting and identity(self.port) == was
        finally:
            self._is_waiting = False

    async def _identify(self, client: AsyncModbusSerialClient) -> None:
        """Raise WrongBoardError unless this board, with this plan, is what answers."""
        reply = await client.read_device_information(
            read_code=4, object_id=_OBJECT_UNIQUE_ID, device_id=self.board.link.unit_id
        )
        if reply.isError():
            raise WrongBoardError(f"{self.port}: what answers there is no Shorewatch board")
        if not isinstance(reply, ReadDeviceInformationResponse):
            raise LinkError(f"{self.port}: a late answer came in place of the board's identity")
        found = reply.information.get(_OBJECT_UNIQUE_ID, b"").decode("ascii", "replace")
        if found != self.board.unique_id:
            text = (
                f"{self.port}: board {found or 'without an id'} is plugged in where the station "
                f"file has {self.board.unique_id} ({self.board.id}); plug in the right one, or "
                f"correct unique_id"
            )
            raise WrongBoardError(text)
        self._generations = [None] * len(self.plan.blocks)

    async def _poll(self, client: AsyncModbusSerialClient) -> None:
        words, moment = await self._read(client, decode.HEADER, decode.HEADER_SIZE)
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
        # A board that was down is up when all of it was read, and its values count from then on.
        kept: list[tuple[Block, Mapping[str, Value], Moment]] = []
        try:
            async for block, values, read in self._changed(client):
                if self.status.up:
                    await self._take(block, values, read)
                else:
                    kept.append((block, values, read))
        except ModbusException as error:
            text = f"{self.port}: the board answers, but not when its data are read"
            raise LinkError(text) from error
        await self._set_up(header, moment)
        for block, values, read in kept:
            await self._take(block, values, read)
        if moment.mono_s >= self._counters_due_s:
            self._counters_due_s = moment.mono_s + COUNTERS_EVERY_S
            await self._poll_counters(client)

    async def _changed(
        self, client: AsyncModbusSerialClient
    ) -> AsyncIterator[tuple[Block, Mapping[str, Value], Moment]]:
        """Read the blocks whose generation has moved on."""
        plan = self.plan
        now, _ = await self._read(client, decode.GENERATIONS, len(plan.blocks))
        changed = [b for b in plan.blocks if self._generations[b.index] != now[b.index]]
        for group in plan.reads(changed):
            start, last = group[0].image, group[-1]
            words, moment = await self._read(client, start, last.image + last.size - start)
            for block in group:
                if self.plan is not plan:
                    return
                own = words[block.image - start : block.image - start + block.size]
                if own[0] != self._generations[block.index]:
                    self._generations[block.index] = own[0]
                    yield block, decode.decode_block(block, own, moment), moment

    async def _take(self, block: Block, values: Mapping[str, Value], moment: Moment) -> None:
        if self.plan.blocks[block.index] is not block:
            return
        await self._intake.take(block.device.id, values, moment.at)

    async def _poll_counters(self, client: AsyncModbusSerialClient) -> None:
        bus_count = len(self.board.bus)
        devices = self._station.of_board(self.board.id)
        words, _ = await self._read(client, decode.BUSES, bus_count * decode.BUS_SIZE)
        size = decode.BUS_SIZE
        buses = tuple(decode.parse_bus(words[i * size : (i + 1) * size]) for i in range(bus_count))
        size = decode.DEVICE_SIZE
        counters: dict[str, DeviceCounters] = {}
        step = 125 // size
        for first in range(0, len(devices), step):
            some = devices[first : first + step]
            words, _ = await self._read(client, decode.DEVICES + first * size, len(some) * size)
            for i, device in enumerate(some):
                counters[device.id] = decode.parse_device(words[i * size : (i + 1) * size])
        self.status = replace(self.status, buses=buses, devices=counters)

    async def _read(
        self, client: AsyncModbusSerialClient, address: int, count: int
    ) -> tuple[list[int], Moment]:
        """Read the image; raises LinkError if the answer is not exactly what was asked for."""
        before_s = time.monotonic()
        reply = await client.read_input_registers(
            address, count=count, device_id=self.board.link.unit_id
        )
        after_s = time.monotonic()
        if reply.isError():
            answer = f"exception {reply.exception_code} at {address:#06x}"
            raise WrongBoardError(f"{self.port}: the board answers {answer}")
        if len(reply.registers) != count:
            text = f"{self.port}: asked for {count} registers, {len(reply.registers)} came"
            raise LinkError(text)
        self._heard = b""
        half_s = (after_s - before_s) / 2
        moment = Moment(utc_now(), after_s - half_s, half_s + 0.001)
        return list(reply.registers), replace(moment, at=decode.earlier(moment.at, half_s))

    async def _set_up(self, header: Header, moment: Moment) -> None:
        was = self.status
        self._failures = 0
        since = was.since if was.up else moment.at
        self.status = replace(
            was,
            up=True,
            reason=None,
            since=since,
            header=header,
            round_trip_s=2 * moment.uncertainty_s,
        )
        is_restarted, self._boot_id = self._is_restarted(header), header.boot_id
        if not was.up or is_restarted:
            what = f"up; board started by {header.boot_reason}" if is_restarted else "up"
            await self._say(what, None, moment.at)

    def _is_restarted(self, header: Header) -> bool:
        """Whether the board has started anew since it was last up."""
        return self._boot_id not in (None, header.boot_id)

    async def _set_down(self, text: str, reason: Reason) -> None:
        was = self.status
        if not was.up and was.reason == text:
            return
        at = utc_now()
        self.status = replace(was, up=False, reason=text, since=at if was.up else was.since)
        devices = [device.id for device in self._station.of_board(self.board.id)]
        await self._intake.lose(devices, reason, at)
        await self._say("down", text, at)

    async def _say(self, what: str, why: str | None, at: datetime) -> None:
        """A board that comes or goes is logged once, recorded once, and shown at once."""
        await self._intake.say(what, why, at)
        self._on_status()
