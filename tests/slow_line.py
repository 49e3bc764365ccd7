"""A line to a broker that is slow in one direction, as over a satellite or an old modem."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress


@asynccontextmanager
async def throttled(port: int, bytes_per_s: float) -> AsyncIterator[int]:
    """A port that leads to another one, slowly in its direction."""
    passing: list[asyncio.Future[None]] = []

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, s: float) -> None:
        with suppress(OSError):
            while data := await reader.read(500):
                writer.write(data)
                await asyncio.sleep(len(data) * s)
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", port)
        try:
            await asyncio.gather(pump(reader, back, 1 / bytes_per_s), pump(there, writer, 0.0))
        finally:
            for each in (writer, back):
                each.transport.abort()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        passing.append(asyncio.ensure_future(serve(reader, writer)))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in passing:
            task.cancel()
        await asyncio.gather(*passing, return_exceptions=True)
