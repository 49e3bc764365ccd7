"""What passes the proxy is recorded whole, in order, and goes on unchanged."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from test_sparkplugcheck_stream import encode

from shorewatch.errors import UsageError
from shorewatch.sparkplugcheck.packet import V5, Connack, Connect, Disconnect, Publish
from shorewatch.sparkplugcheck.proxy import Proxy, Recording
from shorewatch.sparkplugcheck.session import Broken, Closed, Entry, Opened, Passed

CONNECT = encode(Connect(V5, "c", True, 10, None), password=b"secret")
HELLO = encode(Connack(0))
PUBLISH = encode(Publish("a/b", b"x" * 70_000))


class Broker:
    """Answers CONNECT's bytes with CONNACK's and keeps what else comes."""

    def __init__(self) -> None:
        self.received = b""
        self.writer: asyncio.StreamWriter | None = None
        self.ended = asyncio.Event()

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        self.received += await reader.readexactly(len(CONNECT))
        writer.write(HELLO)
        while data := await reader.read(4096):
            self.received += data
        writer.close()
        await writer.wait_closed()
        self.ended.set()


@asynccontextmanager
async def proxied() -> AsyncIterator[tuple[Recording, Broker, int, Proxy]]:
    broker = Broker()
    server = await asyncio.start_server(broker.take, "127.0.0.1", 0)
    recording = Recording(lambda: 1_800_000_000.0)
    proxy = Proxy(recording, "127.0.0.1", server.sockets[0].getsockname()[1])
    async with server, proxy.listening("127.0.0.1", 0) as port:
        yield recording, broker, port, proxy
        await proxy.cut()
        if broker.writer is not None:
            await broker.ended.wait()


def is_closed(entry: Entry) -> bool:
    return isinstance(entry.what, Closed)


async def closed_by(recording: Recording) -> str:
    found = await recording.find(is_closed, 0, 60)
    assert found is not None and isinstance(found.what, Closed)
    return found.what.side


async def test_a_session_is_recorded_and_passed_on():
    """Both sides' packets stand in their order; the broker gets every byte, the password too."""
    async with proxied() as (recording, broker, port, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(CONNECT)
        assert await reader.readexactly(len(HELLO)) == HELLO
        writer.write(PUBLISH + encode(Disconnect(4)))
        await writer.drain()
        writer.close()
        side = await closed_by(recording)

    whats = [entry.what for entry in recording.entries]
    packets = [what.frame.packet for what in whats if isinstance(what, Passed)]
    assert isinstance(whats[0], Opened)
    assert [type(packet) for packet in packets] == [Connect, Connack, Publish, Disconnect]
    assert broker.received == CONNECT + PUBLISH + encode(Disconnect(4))
    assert b"secret" not in b"".join(w.frame.data for w in whats if isinstance(w, Passed))
    assert side == "node"


async def test_the_side_that_ends_first_is_named():
    """A broker that hangs up is the one that ended the connection."""
    async with proxied() as (recording, broker, port, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(CONNECT)
        await reader.readexactly(len(HELLO))
        assert broker.writer is not None
        broker.writer.close()

        assert await closed_by(recording) == "broker"
        writer.close()


async def test_what_is_no_mqtt_ends_the_connection():
    """Bytes that break MQTT's form are recorded as that and not passed on."""
    async with proxied() as (recording, broker, port, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(CONNECT)
        await reader.readexactly(len(HELLO))
        writer.write(b"\x36\x00")
        side = await closed_by(recording)
        writer.close()

    broken = [entry.what for entry in recording.entries if isinstance(entry.what, Broken)]
    assert broken == [Broken("node", "PUBLISH has QoS 3")]
    assert broker.received == CONNECT
    assert side == "proxy"


async def test_a_cut_ends_every_connection():
    """After a cut the node's socket is gone without a DISCONNECT, by the proxy's doing."""
    async with proxied() as (recording, broker, port, proxy):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(CONNECT)
        await reader.readexactly(len(HELLO))
        await proxy.cut()

        assert await closed_by(recording) == "proxy"
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
        writer.close()
    assert broker.received == CONNECT


async def test_a_broker_that_is_not_there_closes_the_connection():
    """Without a broker the node's connection ends, as the broker's doing."""
    recording = Recording(lambda: 0.0)
    async with Proxy(recording, "127.0.0.1", 1).listening("127.0.0.1", 0) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)

        assert await closed_by(recording) == "broker"
        writer.close()


async def test_a_port_in_use_is_an_error_with_advice():
    """--listen on a port that is taken says so and what to do."""
    async with proxied() as (_, _, port, proxy):
        with pytest.raises(UsageError, match=f"--listen {port} of 127.0.0.1 cannot be used"):
            async with proxy.listening("127.0.0.1", port):
                pass
