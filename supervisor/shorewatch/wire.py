"""The line to one board, open: reads its registers and its identity, and can do nothing else.

`Wire` is the seam: link.py polls one, tests bring their own. `opened` makes it of a serial port,
opened exclusively, that speaks Modbus RTU: functions 04 and 2B/0E only.

pymodbus is imported here and nowhere else on the gateway. It matches RTU replies to requests by
order alone, so a late reply would be taken for the next one's answer (measured). Hence: no retries
of its own, and whoever uses a wire closes it after any failure and leaves the port quiet for longer
than a board may take.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Protocol

from pymodbus import FramerType
from pymodbus.client import AsyncModbusSerialClient
from pymodbus.exceptions import ModbusException
from pymodbus.pdu import ModbusPDU
from pymodbus.pdu.mei_message import ReadDeviceInformationResponse

from shorewatch.config import LinkConfig
from shorewatch.errors import LinkError, MaintenanceError, SilenceError, WrongBoardError
from shorewatch.plug import why_closed

SETTLE_S = 0.05
_PROMPTS = (b">>> ", b"raw REPL; CTRL-B")
_HEARD_MAX = 300
_OBJECT_UNIQUE_ID = 0x80

# What it would log is raised to us as well, and said once, in our words.
logging.getLogger("pymodbus").setLevel(logging.CRITICAL)


class Wire(Protocol):
    """An open line to a board; every failure is a LinkError."""

    async def read(self, address: int, count: int) -> list[int]:
        """Exactly `count` registers of the image."""
        ...

    async def identify(self) -> str:
        """The unique id of the board that answers, empty if it has none.

        Raises WrongBoardError if it is no board of ours.
        """
        ...


Opener = Callable[[str, LinkConfig], AbstractAsyncContextManager[Wire]]


@asynccontextmanager
async def opened(port: str, config: LinkConfig) -> AsyncIterator[Wire]:
    """A wire over the serial port at that path; raises LinkError if it does not open.

    A failure inside becomes a MaintenanceError if a MicroPython prompt has answered.
    """
    wire = _SerialWire(port, config)
    try:
        await wire.open()
        yield wire
    except (LinkError, OSError) as error:
        if wire.has_seen_prompt:
            raise MaintenanceError(
                f"{port}: the board is at its MicroPython prompt (maintenance); it is left alone "
                f"until it is plugged in anew, or its maintenance must be over"
            ) from error
        if isinstance(error, LinkError):
            raise
        raise LinkError(f"no answer on {port}") from error
    finally:
        wire.close()


class _SerialWire:
    """Modbus RTU through pymodbus."""

    def __init__(self, port: str, config: LinkConfig) -> None:
        self._port = port
        self._unit_id = config.unit_id
        # What came since the last good answer.
        self._heard = b""
        self._client = AsyncModbusSerialClient(
            port,
            framer=FramerType.RTU,
            baudrate=config.baud,
            bytesize=8,
            parity="N",
            stopbits=1,
            handle_local_echo=False,
            reconnect_delay=0,
            reconnect_delay_max=0,
            timeout=config.timeout_s,
            retries=0,
            trace_packet=self._hear,
        )

    @property
    def has_seen_prompt(self) -> bool:
        return any(prompt in self._heard for prompt in _PROMPTS)

    async def open(self) -> None:
        if not await self._client.connect():
            why = why_closed(self._port, "the board")
            raise LinkError(f"{self._port} cannot be opened: {why}")
        await asyncio.sleep(SETTLE_S)

    def close(self) -> None:
        self._client.close()

    async def read(self, address: int, count: int) -> list[int]:
        read = self._client.read_input_registers
        reply = await self._answer(partial(read, address, count=count, device_id=self._unit_id))
        if reply.isError():
            answer = f"exception {reply.exception_code} at {address:#06x}"
            raise WrongBoardError(f"{self._port}: the board answers {answer}")
        if len(reply.registers) != count:
            text = f"{self._port}: asked for {count} registers, {len(reply.registers)} came"
            raise LinkError(text)
        self._heard = b""
        return list(reply.registers)

    async def identify(self) -> str:
        read = self._client.read_device_information
        reply = await self._answer(
            partial(read, read_code=4, object_id=_OBJECT_UNIQUE_ID, device_id=self._unit_id)
        )
        if reply.isError():
            raise WrongBoardError(f"{self._port}: what answers there is no Shorewatch board")
        if not isinstance(reply, ReadDeviceInformationResponse):
            raise LinkError(f"{self._port}: a late answer came in place of the board's identity")
        unique_id: bytes = reply.information.get(_OBJECT_UNIQUE_ID, b"")
        return unique_id.decode("ascii", "replace")

    async def _answer(self, request: Callable[[], Awaitable[ModbusPDU]]) -> ModbusPDU:
        try:
            reply = await request()  # the call itself raises if the port has gone
        except ModbusException as error:
            raise SilenceError(f"no answer on {self._port}") from error
        # asyncio.wait_for of Python 3.11, which pymodbus uses, drops a cancellation that comes
        # together with the answer: whoever wants to end us would wait for ever.
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise asyncio.CancelledError
        return reply

    def _hear(self, sending: bool, data: bytes) -> bytes:
        """Look at what comes, whether it makes a frame or not (a hook of pymodbus)."""
        if not sending:
            self._heard = (self._heard + data)[-_HEARD_MAX:]
        return data
