"""A TCP line on 127.0.0.1 that can be broken in the ways that real ones break: for `bench chaos`.

    cut        both sides are closed in order (FIN), or reset (RST)
    swallow    what one side sends goes nowhere while both stay connected: a half-open line
    slow       bytes come late and in pieces

Bytes that were swallowed are missing in their stream, so `mend` resets every connection of then.
Limits: none of its own; as many connections as come.
"""

import asyncio
import random
import socket
import struct
from collections.abc import AsyncIterator, Iterator, Set
from contextlib import asynccontextmanager, suppress
from typing import Final, Literal

from shorewatch.errors import DemoError

Side = Literal["client", "server"]
LATE_S_MAX: Final = 0.02
PIECES_MAX: Final = 8
_CHUNK_BYTES: Final = 65_536
_RESET: Final = struct.pack("ii", 1, 0)  # linger on, 0 s: closing is a reset. Source: socket(7)


class Breaker:
    """Takes connections and passes them on to 127.0.0.1:`port`."""

    def __init__(self, port: int, chance: random.Random) -> None:
        self._port = port
        self._chance = chance
        self._swallowed: frozenset[Side] = frozenset()
        self._talks: dict[asyncio.Task[None], list[asyncio.StreamWriter]] = {}
        self.is_slow = False

    @asynccontextmanager
    async def listening(self, port: int) -> AsyncIterator[int]:
        """Listen on 127.0.0.1:`port` (0: any) while inside; yields it. DemoError: it is taken."""
        try:
            server = await asyncio.start_server(self._begin, "127.0.0.1", port)
        except OSError as error:
            text = f"port {port} of 127.0.0.1 cannot be used: {error.strerror}; choose others"
            raise DemoError(text) from error
        try:
            yield int(server.sockets[0].getsockname()[1])
        finally:
            server.close()
            await self.cut(is_reset=True)

    def swallow(self, sides: Set[Side]) -> None:
        """From now on what these sides send is lost."""
        self._swallowed = frozenset(sides)

    async def mend(self) -> None:
        """Lose nothing more; the connections that did are reset."""
        self._swallowed = frozenset()
        await self.cut(is_reset=True)

    async def cut(self, *, is_reset: bool) -> None:
        """End every connection; return when it is done."""
        talks = dict(self._talks)
        for talk, writers in talks.items():
            for writer in writers if is_reset else ():
                _reset(writer)
            talk.cancel()
        await asyncio.gather(*talks, return_exceptions=True)

    def _begin(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers = [writer]
        talk = asyncio.create_task(self._talk(reader, writers))
        self._talks[talk] = writers
        talk.add_done_callback(self._talks.pop)

    async def _talk(
        self, reader: asyncio.StreamReader, writers: list[asyncio.StreamWriter]
    ) -> None:
        """Copy both ways until one side ends."""
        copies: list[asyncio.Task[None]] = []
        try:
            with suppress(OSError):
                answers, writer = await asyncio.open_connection("127.0.0.1", self._port)
                writers.append(writer)
                copies = [
                    asyncio.create_task(self._copy("client", reader, writer)),
                    asyncio.create_task(self._copy("server", answers, writers[0])),
                ]
                await asyncio.wait(copies, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for copy in copies:
                copy.cancel()
            for writer in writers:
                writer.close()
            await asyncio.gather(*copies, return_exceptions=True)

    async def _copy(
        self, side: Side, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(_CHUNK_BYTES):
                if side in self._swallowed:
                    continue
                for piece in pieces(data, self._chance) if self.is_slow else (data,):
                    if self.is_slow:
                        await asyncio.sleep(self._chance.uniform(0, LATE_S_MAX))
                    writer.write(piece)
                    await writer.drain()


def _reset(writer: asyncio.StreamWriter) -> None:
    if not writer.transport.is_closing():
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        writer.transport.abort()


def pieces(data: bytes, chance: random.Random) -> Iterator[bytes]:
    """`data` cut at random places, most of them near its beginning, where headers are."""
    ends = {min(len(data), int(chance.expovariate(0.1)) + 1) for _ in range(PIECES_MAX - 1)}
    start = 0
    for end in sorted(ends | {len(data)}):
        yield data[start:end]
        start = end
