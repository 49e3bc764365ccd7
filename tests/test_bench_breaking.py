"""bench/breaking.py: a line that breaks as it is told, and otherwise changes nothing."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shorewatch.bench.breaking import Breaker, pieces
from shorewatch.errors import DemoError


class Echo:
    """A server that says what it hears, and the line before it."""

    def __init__(self) -> None:
        self.line = Breaker(0, random.Random(1))
        self.port = 0
        self.heard = b""

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1000):
                self.heard += data
                writer.write(data)
        except OSError:
            pass
        finally:
            writer.close()


@asynccontextmanager
async def echoing() -> AsyncIterator[Echo]:
    echo = Echo()
    server = await asyncio.start_server(echo.serve, "127.0.0.1", 0)
    echo.line = Breaker(server.sockets[0].getsockname()[1], random.Random(1))
    try:
        async with echo.line.listening(0) as echo.port:
            yield echo
    finally:
        server.close()


@given(data=st.binary(min_size=1, max_size=2000), seed=st.integers(0, 1000))
def test_pieces_are_the_whole(data, seed):
    """However data is cut, no piece is empty and together they are the same."""
    found = list(pieces(data, random.Random(seed)))

    assert all(found) and b"".join(found) == data


@pytest.mark.parametrize("is_slow", [False, True])
async def test_a_whole_line_passes_everything(is_slow):
    """What is said on one side is heard on the other, also late and in pieces."""
    async with echoing() as echo:
        echo.line.is_slow = is_slow
        reader, writer = await echo.connect()
        writer.write(b"x" * 500 + b"end")
        assert await reader.readexactly(503) == b"x" * 500 + b"end"
        writer.close()


async def test_a_cut_line_is_closed_and_takes_new_connections():
    """A cut ends the stream in order; the next connection works."""
    async with echoing() as echo:
        reader, writer = await echo.connect()
        writer.write(b"a")
        await reader.readexactly(1)
        await echo.line.cut(is_reset=False)
        assert await reader.read() == b""
        writer.close()
        reader, writer = await echo.connect()
        writer.write(b"b")
        assert await reader.readexactly(1) == b"b"
        writer.close()


async def test_a_reset_is_seen_as_one():
    """The peer of a reset line gets ECONNRESET, not an end of its stream."""
    async with echoing() as echo:
        reader, writer = await echo.connect()
        writer.write(b"a")
        await reader.readexactly(1)
        await echo.line.cut(is_reset=True)
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()


@pytest.mark.parametrize(("side", "heard"), [("client", b""), ("server", b"a")])
async def test_a_half_open_line_loses_one_direction_and_stays_connected(side, heard):
    """What the swallowed side says is lost; nobody is told until the line is mended."""
    async with echoing() as echo:
        reader, writer = await echo.connect()
        echo.line.swallow({side})
        writer.write(b"a")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.2)
        assert echo.heard == heard and not reader.at_eof()
        await echo.line.mend()
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()


async def test_a_taken_port_is_named():
    """Two lines at one port: the second says which port is taken."""
    async with echoing() as echo:
        with pytest.raises(DemoError, match=r"port \d+ of 127\.0\.0\.1 cannot be used"):
            async with Breaker(1, random.Random(1)).listening(echo.port):
                pass
