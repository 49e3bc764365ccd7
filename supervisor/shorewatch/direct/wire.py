"""The transports of direct lines: a serial port of the gateway, a TCP connection. Bytes only.

`opened` yields a connected `Wire`; what goes wrong with it (unplugged, reset, refused) is a
LinkError that says what to do. Serial ports are pyserial's business, and pyserial is imported here
alone: opened exclusively for us (lock and TIOCEXCL), raw, 8 bits, parity and stop bits as given.
Limits: connecting takes 5 s; 4 kB may wait to be taken, a peer that sends more unasked is closed.
"""

import asyncio
import errno
import fcntl
import os
import socket
import termios
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Protocol

import serial

from shorewatch.config import DirectConfig
from shorewatch.errors import LinkError
from shorewatch.plug import is_simulated, why_closed

CONNECT_S = 5.0
WAITING_MAX = 4096


class Wire(Protocol):
    """A connected line."""

    def take(self) -> bytes:
        """What has come and was not taken yet; raises LinkError if the line is lost."""

    def write(self, data: bytes) -> None:
        """Send at once; raises LinkError if the line is lost."""

    async def wait(self, until_s: float) -> None:
        """Until something came, the line was lost, or monotonic `until_s`."""


@asynccontextmanager
async def opened(line: DirectConfig, state_dir: Path) -> AsyncIterator[Wire]:
    """The line, connected while the `with` block lasts; a relative port is in `state_dir`."""
    if line.address is not None:
        async with _connected(*line.address) as wire:
            yield wire
    else:
        with _plugged(line, str(state_dir / str(line.port))) as port:
            yield port


class _Inbox:
    """What came and nobody took yet; whoever waits for it is woken."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._fault: str | None = None
        self._waiter: asyncio.Future[None] | None = None

    def put(self, data: bytes) -> None:
        self._data += data
        if len(self._data) > WAITING_MAX:
            self.fail("sends without being asked")
        self._wake()

    def fail(self, fault: str) -> None:
        self._fault = self._fault or fault
        self._wake()

    def take(self) -> bytes:
        if self._fault is not None:
            raise LinkError(self._fault)
        data = bytes(self._data)
        self._data.clear()
        return data

    async def wait(self, until_s: float) -> None:
        if self._data or self._fault is not None:
            return
        loop = asyncio.get_running_loop()
        self._waiter = loop.create_future()
        span_s = max(0.0, until_s - time.monotonic())
        timer = loop.call_later(min(span_s, 3600.0), self._wake)
        try:
            await self._waiter
        finally:
            timer.cancel()
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class _Connection(asyncio.Protocol):
    """One TCP connection."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._inbox = _Inbox()
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport), "a stream"
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._inbox.put(data)

    def connection_lost(self, exc: Exception | None) -> None:
        why = _told(exc) if isinstance(exc, OSError) else "it was closed there"
        self._inbox.fail(f"{self._where}: the connection is lost: {why}")

    def take(self) -> bytes:
        return self._inbox.take()

    def write(self, data: bytes) -> None:
        self._transport.write(data)

    async def wait(self, until_s: float) -> None:
        await self._inbox.wait(until_s)

    def close(self) -> None:
        self._transport.abort()


@asynccontextmanager
async def _connected(host: str, port: int) -> AsyncIterator[_Connection]:
    where = f"{host}:{port}"
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(CONNECT_S):
            _, connection = await loop.create_connection(lambda: _Connection(where), host, port)
    except TimeoutError as error:
        text = f"{where} does not answer within {CONNECT_S:g} s; is it switched on and reachable?"
        raise LinkError(text) from error
    except OSError as error:
        raise LinkError(f"{where} cannot be reached: {_told(error)}") from error
    try:
        yield connection
    finally:
        connection.close()


def _told(error: OSError) -> str:
    if isinstance(error, socket.gaierror):
        return "no address is known for this name; check it, or the DNS"
    if error.errno == errno.ECONNREFUSED:
        return "connection refused; is Modbus TCP switched on there, and on this port?"
    return os.strerror(error.errno) if error.errno else str(error)


class _Port:
    """One serial port."""

    def __init__(self, path: str, port: serial.Serial) -> None:
        self._path = path
        self._fd = port.fileno()
        self._inbox = _Inbox()

    def take(self) -> bytes:
        self.hear()  # a read that the event loop has not come to would be taken for a reply
        return self._inbox.take()

    def write(self, data: bytes) -> None:
        try:
            done = os.write(self._fd, data)
        except BlockingIOError:
            done = 0
        except OSError as error:
            raise LinkError(f"{self._path}: the port is lost: {error.strerror}") from error
        if done < len(data):
            raise LinkError(f"{self._path}: the port takes nothing; unplug it and plug it in anew")

    async def wait(self, until_s: float) -> None:
        await self._inbox.wait(until_s)

    def hear(self) -> None:
        """Read what is there."""
        try:
            data = os.read(self._fd, WAITING_MAX)
        except BlockingIOError:
            return
        except OSError as error:
            self._inbox.fail(f"{self._path}: the port is lost: {error.strerror}")
            return
        if data:
            self._inbox.put(data)
        else:
            self._inbox.fail(f"{self._path}: the port was unplugged")


def _claim(fd: int, path: str) -> None:
    """Keep others out; let a read of nothing mean a port that is gone, not one that is silent."""
    try:
        fcntl.ioctl(fd, termios.TIOCEXCL)
        settings = termios.tcgetattr(fd)
        settings[6][termios.VMIN] = 1
        termios.tcsetattr(fd, termios.TCSANOW, settings)
        os.set_blocking(fd, False)
    except (OSError, termios.error) as error:
        raise LinkError(f"{path}: the port is lost: {error}") from error


@contextmanager
def _plugged(line: DirectConfig, path: str) -> Iterator[_Port]:
    # To set a parity that the port has not kept, and nothing else, is an error.
    parity = "N" if is_simulated(path) else line.format[1]
    try:
        port = serial.Serial(
            path, line.baud, bytesize=8, parity=parity, stopbits=int(line.format[2]),
            timeout=0, exclusive=True,
        )  # fmt: skip
    except (OSError, termios.error, ValueError) as error:
        why = why_closed(path, "the adapter")
        raise LinkError(f"{path} cannot be opened: {why}") from error
    loop = asyncio.get_running_loop()
    wire = _Port(path, port)
    fd = port.fileno()
    try:
        _claim(fd, path)
        loop.add_reader(fd, wire.hear)
        yield wire
    finally:
        loop.remove_reader(fd)
        with suppress(OSError, termios.error):
            fcntl.ioctl(fd, termios.TIOCNXCL)
            termios.tcflush(fd, termios.TCIOFLUSH)
        port.close()
