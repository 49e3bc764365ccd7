"""A small Sparkplug edge node on a bare socket: right, or wrong in one way on demand."""

import asyncio
import json
import time
from collections.abc import Callable
from contextlib import suppress

from test_sparkplugcheck_stream import encode as encode_packet

from shorewatch.sparkplugcheck.codec import decode, encode
from shorewatch.sparkplugcheck.life import is_rebirth
from shorewatch.sparkplugcheck.packet import (
    V5,
    Connack,
    Connect,
    Disconnect,
    Packet,
    Puback,
    Publish,
    Subscribe,
    Will,
)
from shorewatch.sparkplugcheck.payload import Held, Metric, Payload
from shorewatch.sparkplugcheck.stream import Stream

NCMD, STATE = "spBv1.0/G/NCMD/E", "spBv1.0/STATE/scada"


class EdgeNode:
    """One node G/E with a device D and the primary host scada; `spoil` changes what it sends."""

    def __init__(
        self, port: int, spoil: Callable[[Packet], Packet] = lambda packet: packet
    ) -> None:
        self._port = port
        self._spoil = spoil
        self._bdseq = -1
        self._seq = 0
        self._state_ms: int | None = None
        self.count = 0

    async def run(self, retry_s: float = 0.2, period_s: float = 0.1) -> None:
        """Session after session until cancelled."""
        while True:
            with suppress(OSError):
                reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
                ticker = asyncio.create_task(self._tick(writer, period_s))
                try:
                    await self._session(reader, writer)
                finally:
                    ticker.cancel()
                    writer.close()
            await asyncio.sleep(retry_s)

    def _send(self, writer: asyncio.StreamWriter, packet: Packet) -> None:
        writer.write(encode_packet(self._spoil(packet)))

    def _say(self, writer: asyncio.StreamWriter, kind: str, *metrics: Metric) -> None:
        at_ms = round(time.time() * 1000)
        stamped = tuple(Metric(m.name, m.alias, at_ms, m.datatype, value=m.value) for m in metrics)
        device = "/D" if kind[0] == "D" else ""
        payload = encode(Payload(at_ms, stamped, None if kind == "NDEATH" else self._seq))
        self._seq = (self._seq + 1) % 256
        self._send(writer, Publish(f"spBv1.0/G/{kind}/E{device}", payload))

    def _births(self, writer: asyncio.StreamWriter) -> None:
        self._seq = 0
        false, value = Held("boolean_value", False), Held("long_value", 0)
        rebirth = Metric("Node Control/Rebirth", datatype=11, value=false)
        number = Metric("bdSeq", datatype=4, value=Held("long_value", self._bdseq))
        self._say(writer, "NBIRTH", number, rebirth)
        self._say(writer, "DBIRTH", Metric("count", 1, datatype=8, value=value))
        self._is_born = True

    async def _tick(self, writer: asyncio.StreamWriter, period_s: float) -> None:
        self._is_born = False
        while True:
            await asyncio.sleep(period_s)
            if self._is_born:
                self.count += 1
                self._say(writer, "DDATA", Metric(None, 1, value=Held("long_value", self.count)))

    async def _session(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._bdseq = (self._bdseq + 1) % 256
        self._state_ms = None
        number = Metric("bdSeq", datatype=4, value=Held("long_value", self._bdseq))
        will = Will("spBv1.0/G/NDEATH/E", encode(Payload(metrics=(number,))), 1, False)
        self._send(writer, Connect(V5, "edge-node-e", True, 60, will))
        stream = Stream(V5)
        while data := await reader.read(65_536):
            for frame in stream.feed(data):
                if not self._answer(writer, frame.packet):
                    return
            await writer.drain()

    def _answer(self, writer: asyncio.StreamWriter, packet: Packet) -> bool:
        """React to a packet; False ends the session."""
        if isinstance(packet, Connack):
            self._send(writer, Subscribe(1, ((NCMD, 1), (STATE, 1))))
        if not isinstance(packet, Publish):
            return True
        if packet.packet_id is not None:
            self._send(writer, Puback(packet.packet_id))
        if packet.topic == NCMD and is_rebirth(decode(packet.payload)) and self._is_born:
            self._births(writer)
        if packet.topic == STATE:
            return self._heard(writer, packet.payload)
        return True

    def _heard(self, writer: asyncio.StreamWriter, payload: bytes) -> bool:
        if not payload:
            return True
        found = json.loads(payload)
        if self._state_ms is not None and found["timestamp"] < self._state_ms:
            return True
        self._state_ms = found["timestamp"]
        if found["online"] and not self._is_born:
            self._births(writer)
        if not found["online"] and self._is_born:
            self._is_born = False
            number = Metric("bdSeq", datatype=4, value=Held("long_value", self._bdseq))
            self._say(writer, "NDEATH", number)
            self._send(writer, Disconnect(4))
            return False
        return True
