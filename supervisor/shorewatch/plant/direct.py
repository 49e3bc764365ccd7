"""The simulated devices of a direct line: Modbus TCP at its address, or a serial line on a pty.

A TCP server answers one request after the other, each after its device's turnaround, as small
devices do. Like a gateway it answers for unit ids it does not know with exception 0B (no response
from the target). It listens on loopback addresses only; 16 connections at once.
Source: MODBUS Messaging on TCP/IP Implementation Guide V1.0b, 3.1.3.
"""

import asyncio
import ipaddress
import signal
import struct
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from shorewatch.config import Station
from shorewatch.direct.frame import LENGTH_MAX, MBAP_SIZE
from shorewatch.errors import UsageError
from shorewatch.plant.devices import simulated
from shorewatch.plant.line import Server, answer
from shorewatch.plant.run import made_line, serve_line
from shorewatch.plant.scenario import Play
from shorewatch.plant.world import World

CONNECTIONS_MAX = 16
_NO_TARGET = 0x0B


def run_direct(
    station: Station, direct_id: str, state_dir: Path, *, seed: int, play: Play | None = None
) -> None:
    """Simulate one direct line until SIGTERM or SIGINT.

    Raises DemoError for a device that has no simulation, UsageError for a place that cannot be
    served: an address of others, or a port that may be a real one.
    """
    line = station.directs[direct_id]
    world = World(seed, play)
    found: dict[int, Server] = {
        device.config.unit_id: simulated(device, station.id, world)
        for device in station.of_direct(direct_id)
    }
    if line.address is not None:
        asyncio.run(_serve_until_told(found, *line.address))
        return
    path = Path(str(line.port))
    if path.is_absolute():
        raise UsageError(f"{path} may be a real port; --set a relative path for the simulation")
    serve_line(made_line(found, line, world, station.id, direct_id), state_dir / path)


@asynccontextmanager
async def serving(found: Mapping[int, Server], host: str, port: int) -> AsyncIterator[int]:
    """Serve these devices while the `with` block lasts; yields the TCP port (0: any free one)."""
    talks: set[asyncio.Task[None]] = set()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await _answer_one(found, reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError):
            pass  # the client has gone
        finally:
            writer.transport.abort()

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(talks) >= CONNECTIONS_MAX:
            writer.transport.abort()
            return
        task = asyncio.create_task(talk(reader, writer))
        talks.add(task)
        task.add_done_callback(talks.discard)

    server = await asyncio.start_server(begin, host, port)
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        server.close()
        for task in talks:
            task.cancel()
        await asyncio.gather(*talks, return_exceptions=True)


async def _answer_one(
    found: Mapping[int, Server], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> bool:
    """Answer the next request; False if it is none."""
    head = await reader.readexactly(MBAP_SIZE)
    transaction, protocol, length, unit_id = struct.unpack(">HHHB", head)
    if protocol != 0 or not 2 <= length <= LENGTH_MAX:
        return False
    pdu = await reader.readexactly(length - 1)
    server = found.get(unit_id)
    reply: bytes | None = bytes([pdu[0] | 0x80, _NO_TARGET])
    if server is not None:
        reply = answer(server, pdu, time.time())
        await asyncio.sleep(server.turnaround_s)
    if reply is not None:
        writer.write(struct.pack(">HHHB", transaction, 0, len(reply) + 1, unit_id) + reply)
        await writer.drain()
    return True


async def _serve_until_told(found: Mapping[int, Server], host: str, port: int) -> None:
    stop = asyncio.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signum, stop.set)
    with suppress(ValueError):
        if not ipaddress.ip_address(host).is_loopback:
            raise UsageError(f"{host} is no loopback address; --set one for the simulation")
    try:
        async with serving(found, host, port):
            await stop.wait()
    except OSError as error:
        text = f"{host}:{port} cannot be served: {error.strerror}; --set another address"
        raise UsageError(text) from error
