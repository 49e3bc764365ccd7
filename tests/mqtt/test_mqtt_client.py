"""One connection against a scripted peer: whatever comes, an end is an UplinkError."""

import asyncio
import socket
from contextlib import suppress
from pathlib import Path

import pytest
from fake_peer import CONNECT, PINGREQ, Peer

from shorewatch.errors import UplinkError
from shorewatch.mqtt.client import CONNECT_S_MAX, TIMEOUT_S, UNSENT_BYTES_MAX, connected

NONSENSE = {
    "a topic that is no UTF-8": b"\x30\x06\x00\x02\xff\xfe\x00x",
    "a topic with a wildcard": b"\x30\x05\x00\x01+\x00x",
    "a topic alias that was never given": b"\x30\x06\x00\x00\x03\x23\x00\x05",
    "a topic longer than its packet": b"\x30\x04\x00\x50ab",
    "a property that does not exist": b"\x30\x08\x00\x01a\x05\x7f\x00\x00\x00",
    "a SUBACK without anything": b"\x90\x00",
    "a PUBACK without anything": b"\x40\x00",
    "a PUBACK with a code that does not exist": b"\x40\x04\x00\x01\x55\x00",
    "a DISCONNECT with a code that does not exist": b"\xe0\x02\x66\x00",
    "a packet of a reserved type": b"\x00\x00",
    "a length without end": b"\x30\xff\xff\xff\xff\xff",
    "a QoS that does not exist": b"\x36\x07\x00\x01a\x00\x01\x00x",
}


@pytest.mark.parametrize("nonsense", NONSENSE.values(), ids=NONSENSE.keys())
async def test_nonsense_ends_a_connection_and_no_more(bench, until, nonsense: bytes) -> None:  # type: ignore[no-untyped-def]
    """What no broker may send ends this connection by an error, and the next is used."""
    peer = Peer()
    async with peer.listening(), bench(peer.url) as b:
        await b.until_state("online")
        peer.say(nonsense)
        await until(lambda: b.uplink.status.attempts == 2)
        await b.until_state("online")
        await b.write(3)
        await until(lambda: b.uplink.status.published == 3)
        assert b.uplink.status.last_trouble is not None


@pytest.mark.parametrize("nonsense", list(NONSENSE.values())[:3], ids=list(NONSENSE)[:3])
async def test_what_is_no_mqtt_is_named(nonsense: bytes) -> None:
    """A message that cannot be read is the wrong protocol, and the text says what was wrong."""
    peer = Peer()
    async with peer.listening():
        with pytest.raises(UplinkError, match="sent what is no MQTT 5") as caught:
            async with connected("127.0.0.1", peer.port, client_id="c") as connection:
                peer.say(nonsense)
                async for _ in connection.messages():
                    pass
    assert caught.value.state == "wrong-protocol"


async def test_the_brokers_own_keepalive_counts(until) -> None:
    """A broker that wants a sign of life each second gets it, whatever we asked for."""
    peer = Peer()
    peer.connack_properties = b"\x13\x00\x01"  # Server Keep Alive 1
    async with (
        peer.listening(),
        connected("127.0.0.1", peer.port, client_id="c", keepalive_s=3600),
    ):
        await until(lambda: peer.seen[PINGREQ] >= 2)


async def test_little_waits_in_the_kernel() -> None:
    """Of messages that nobody reads few are taken off our hands: the rest can still be replaced."""
    loop, taken_bytes = asyncio.get_running_loop(), 0
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        server.bind(("127.0.0.1", 0))
        server.listen()
        server.setblocking(False)
        greeting = asyncio.create_task(greeted(loop, server))
        async with connected("127.0.0.1", server.getsockname()[1], client_id="c") as connection:
            with await greeting, suppress(TimeoutError):
                while taken_bytes < 1_000_000:
                    async with asyncio.timeout(1):
                        await connection.publish("a", b"x" * 4000)
                    taken_bytes += 4000
    assert 0 < taken_bytes < 8 * UNSENT_BYTES_MAX


async def greeted(loop: asyncio.AbstractEventLoop, server: socket.socket) -> socket.socket:
    """The next connection, accepted as MQTT; nothing more is read from it."""
    sock, _ = await loop.sock_accept(server)
    await loop.sock_recv(sock, 1000)
    await loop.sock_sendall(sock, b"\x20\x03\x00\x00\x00")
    return sock


async def test_a_silent_broker_does_not_hold_up_the_end(bench, until) -> None:  # type: ignore[no-untyped-def]
    """Stopped while a broker owes the CONNACK, an uplink ends before its patience does."""
    peer = Peer()
    peer.is_silent = True
    async with peer.listening(), bench(peer.url) as b:
        await until(lambda: peer.seen[CONNECT])
        async with asyncio.timeout(TIMEOUT_S / 2):
            await b.uplink.stop()
        assert b.uplink.status.state == "stopped"


async def test_an_attempt_that_is_given_up_never_connects(until) -> None:
    """Cancelled while the host does not answer, it ends at once, and says nothing later."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        port = server.getsockname()[1]
        server.setblocking(False)
        with filled(port):
            connecting = asyncio.create_task(connect(port))
            await until(lambda: is_trying(port))
            connecting.cancel()
            async with asyncio.timeout(CONNECT_S_MAX / 2):
                await asyncio.wait([connecting])
            assert connecting.cancelled() and is_trying(port)
        heard = await everything(server, until=lambda: not is_trying(port))
        assert b"MQTT" not in heard


async def connect(port: int) -> None:
    async with connected("127.0.0.1", port, client_id="c"):
        raise AssertionError("nobody answers")


class filled:
    """Connections that take up the backlog of a server that accepts none: the next one waits."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._socks: list[socket.socket] = []

    def __enter__(self) -> None:
        for _ in range(2):
            sock = socket.socket()
            sock.setblocking(False)
            with suppress(BlockingIOError):
                sock.connect(("127.0.0.1", self._port))
            self._socks.append(sock)

    def __exit__(self, *_: object) -> None:
        for sock in self._socks:
            sock.close()


def is_trying(port: int) -> bool:
    """Whether a connection of this machine to the port waits for its answer (SYN_SENT)."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return any(row[2].endswith(f":{port:04X}") and row[3] == "02" for row in rows)


async def everything(server: socket.socket, until) -> bytes:  # type: ignore[no-untyped-def]
    """What all who connect say, until nobody tries any more and all have gone."""
    loop = asyncio.get_running_loop()
    heard = b""
    while True:
        try:
            async with asyncio.timeout(0.2):
                sock, _ = await loop.sock_accept(server)
        except TimeoutError:
            if until():
                return heard
            continue
        with sock, suppress(OSError):
            while data := await loop.sock_recv(sock, 4096):
                heard += data
