"""The recording proxy: TCP between edge nodes and a broker, every MQTT packet noted as it passes.

Bytes go on as they came, once what they complete has been recorded; so the order of entries is the
order on the wire of each side, and an answer never stands before its question. What is no MQTT is
recorded as that, and ends the connection as a broker would. Plain TCP: an edge node that insists on
TLS cannot be read. Limits: session.ENTRIES_MAX entries, then `is_full`; stream.PACKET_BYTES_MAX.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Final

from shorewatch.errors import UsageError
from shorewatch.sparkplugcheck.session import (
    ENTRIES_MAX,
    Broken,
    Closed,
    Entry,
    Opened,
    Passed,
    Seen,
    Side,
    Wires,
)
from shorewatch.sparkplugcheck.stream import PacketError

CLOSE_S_MAX: Final = 2.0
_CHUNK_BYTES: Final = 65_536


class Recording:
    """The entries of a session as they come; `clock` gives Unix time."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.entries: list[Entry] = []
        self._clock = clock
        self._came = asyncio.Event()

    @property
    def is_full(self) -> bool:
        return len(self.entries) >= ENTRIES_MAX

    def add(self, connection: int, what: Opened | Passed | Broken | Closed | Seen) -> None:
        """Note what happened; nothing once it is full."""
        if self.is_full:
            return
        self.entries.append(Entry(len(self.entries) + 1, self._clock(), connection, what))
        self._came.set()

    async def find(
        self, fits: Callable[[Entry], bool], begin: int, timeout_s: float
    ) -> Entry | None:
        """The first entry from place `begin` on that fits, waiting for it; None if none comes."""
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    for entry in self.entries[begin:]:
                        if fits(entry):
                            return entry
                    begin = len(self.entries)
                    self._came.clear()
                    await self._came.wait()
        except TimeoutError:
            return None


class Proxy:
    """Takes edge nodes' connections to the broker at `host`:`port`, and records them."""

    def __init__(self, recording: Recording, host: str, port: int) -> None:
        self._recording = recording
        self._broker = host, port
        self._wires = Wires()
        self._count = 0
        self._cuts: dict[int, asyncio.Event] = {}
        self._all_ended = asyncio.Event()

    @contextlib.asynccontextmanager
    async def listening(self, host: str, port: int) -> AsyncIterator[int]:
        """Listen while inside; yields the port. Raises UsageError if it cannot be had."""
        try:
            server = await asyncio.start_server(self._take, host, port)
        except OSError as error:
            text = f"--listen {port} of {host} cannot be used: {error.strerror}; choose another"
            raise UsageError(text) from error
        try:
            yield int(server.sockets[0].getsockname()[1])
        finally:
            server.close()
            await self.cut()

    async def cut(self) -> None:
        """End every connection without a word, as a broken line would; return when it is done."""
        for cut in self._cuts.values():
            cut.set()
        if self._cuts:
            self._all_ended.clear()
            await self._all_ended.wait()

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._count += 1
        number, cut = self._count, asyncio.Event()
        self._cuts[number] = cut
        self._recording.add(number, Opened())
        side = await self._connection(number, reader, writer, cut)
        self._wires.forget(number)
        self._recording.add(number, Closed(side))
        if side == "proxy":
            writer.transport.abort()
        await _close(writer)
        del self._cuts[number]
        if not self._cuts:
            self._all_ended.set()

    async def _connection(
        self,
        number: int,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        cut: asyncio.Event,
    ) -> Side:
        """Copy both ways until one side ends or it is cut; which it was."""
        try:
            from_broker, to_broker = await asyncio.open_connection(*self._broker)
        except OSError:
            return "broker"
        ends = [
            asyncio.create_task(self._copy(number, "node", reader, to_broker)),
            asyncio.create_task(self._copy(number, "broker", from_broker, writer)),
            asyncio.create_task(_told(cut)),
        ]
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            return next(task.result() for task in ends if task.done())
        finally:
            for task in ends:
                task.cancel()
            await asyncio.gather(*ends, return_exceptions=True)
            await _close(to_broker)

    async def _copy(
        self, number: int, side: Side, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> Side:
        """Record and pass on what `side` sends; returns who ended it."""
        try:
            while data := await reader.read(_CHUNK_BYTES):
                for passed in self._wires.feed(number, side, data):
                    self._recording.add(number, passed)
                writer.write(data)
                await writer.drain()
        except PacketError as error:
            self._recording.add(number, Broken(side, str(error)))
            return "proxy"
        except ConnectionError:
            pass
        return side


async def _close(writer: asyncio.StreamWriter) -> None:
    """Close when the rest is written, or the peer has had its time to take it."""
    writer.close()
    with contextlib.suppress(ConnectionError, TimeoutError):
        await asyncio.wait_for(writer.wait_closed(), CLOSE_S_MAX)
    writer.transport.abort()


async def _told(cut: asyncio.Event) -> Side:
    await cut.wait()
    return "proxy"
