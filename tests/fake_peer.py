"""A scripted MQTT 5 peer in this process: it answers as a broker would, or as the test says.

It takes connections on a port of its own, gives every packet its answer, and keeps only counts.
What it does otherwise is set by its attributes at any time. It delivers nothing and keeps nothing:
no broker, but the one thing that can answer with any code, say nothing, and leave at any byte.
Source: MQTT Version 5.0 (OASIS), 2.1 fixed header, 3.2 CONNACK, 3.4 PUBACK, 3.9 SUBACK.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

CONNECT, PUBLISH, SUBSCRIBE, PINGREQ, DISCONNECT = 1, 3, 8, 12, 14


class Peer:
    """`connack`, `suback` and `puback` are the codes it answers with, the last by topic."""

    def __init__(self) -> None:
        self.connack = 0
        self.connack_properties = b""
        self.suback = 0
        self.puback: Callable[[str], int] = lambda _topic: 0
        self.is_silent = False
        # By type of packet: what is written instead of an answer; b"" to close without a word.
        self.instead: dict[int, bytes] = {}
        self.seen: Counter[int] = Counter()
        self.topics: Counter[str] = Counter()
        # The most QoS 1 messages that stood unanswered at once, with answers this late.
        self.puback_s = 0.0
        self.unanswered_max = 0
        self._unanswered = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    @property
    def port(self) -> int:
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    @asynccontextmanager
    async def listening(self) -> AsyncIterator["Peer"]:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        try:
            yield self
        finally:
            self._server.close()
            self.cut()

    def cut(self) -> None:
        """Every connection is gone, without a word."""
        for writer in self._writers:
            writer.transport.abort()

    def say(self, data: bytes) -> None:
        """Bytes to all who are connected."""
        for writer in self._writers:
            writer.write(data)

    def dismiss(self, code: int) -> None:
        """DISCONNECT with a reason code."""
        self.say(bytes([0xE0, 2, code, 0]))
        for writer in self._writers:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                while await self._answer(reader, writer):
                    await writer.drain()
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readexactly(1))[0]
        body = await reader.readexactly(await _length(reader))
        kind = head >> 4
        self.seen[kind] += 1
        if kind in self.instead:
            writer.write(self.instead[kind])
            return False
        if kind == PUBLISH:
            answer = self._taken(head, body, writer)
        elif kind == CONNECT:
            properties = bytes([len(self.connack_properties)]) + self.connack_properties
            answer = bytes([0x20, 2 + len(properties), 0, self.connack]) + properties
        elif kind == SUBSCRIBE:
            codes = bytes([self.suback] * _filters(body))
            answer = bytes([0x90, 3 + len(codes)]) + body[:2] + b"\0" + codes
        else:
            answer = b"\xd0\0" if kind == PINGREQ else b""
        if not self.is_silent:
            writer.write(answer)
        return kind != DISCONNECT and not (kind == CONNECT and self.connack)

    def _taken(self, head: int, body: bytes, writer: asyncio.StreamWriter) -> bytes:
        size = int.from_bytes(body[:2])
        topic = body[2 : 2 + size].decode()
        self.topics[topic] += 1
        if not head & 0b110:
            return b""
        answer = b"\x40\x04" + body[2 + size : 4 + size] + bytes([self.puback(topic), 0])
        self._unanswered += 1
        self.unanswered_max = max(self.unanswered_max, self._unanswered)
        if self.puback_s:
            asyncio.get_running_loop().call_later(self.puback_s, self._release, writer, answer)
            return b""
        self._unanswered -= 1
        return answer

    def _release(self, writer: asyncio.StreamWriter, answer: bytes) -> None:
        self._unanswered -= 1
        writer.write(answer)


async def _length(reader: asyncio.StreamReader) -> int:
    """The remaining length: seven bits a byte, the lowest first."""
    length = shift = 0
    while True:
        (byte,) = await reader.readexactly(1)
        length |= (byte & 0x7F) << shift
        if byte < 0x80:
            return length
        shift += 7


def _filters(body: bytes) -> int:
    """How many topics a SUBSCRIBE asks for; it has no properties of 128 bytes and more."""
    place, count = 3 + body[2], 0
    while place < len(body):
        place += 3 + int.from_bytes(body[place : place + 2])
        count += 1
    return count
