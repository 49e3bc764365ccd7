"""MQTT 3.1.1 and 5 read strictly from a stream of bytes. Pure.

    fixed header: type and flags (1 byte) · remaining length (1 to 4 bytes) · body

Its state is what MQTT itself keeps between packets: the protocol version, which CONNECT tells, and
MQTT 5's topic aliases. A packet that breaks MQTT's own form raises PacketError and ends the stream.
Limit: `PACKET_BYTES_MAX` a packet. Source: MQTT 3.1.1 and 5.0, chapters 2 and 3 (OASIS).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from shorewatch.sparkplugcheck.packet import (
    V3,
    V5,
    Connack,
    Connect,
    Disconnect,
    Other,
    Packet,
    Puback,
    Publish,
    Suback,
    Subscribe,
    Will,
)

PACKET_BYTES_MAX: Final = 4_194_304
_LENGTH_BYTES_MAX = 4

_CONNECT, _CONNACK, _PUBLISH, _PUBACK = 1, 2, 3, 4
_SUBSCRIBE, _SUBACK, _DISCONNECT = 8, 9, 14
_OTHERS: Final = {
    5: "PUBREC", 6: "PUBREL", 7: "PUBCOMP", 10: "UNSUBSCRIBE", 11: "UNSUBACK",
    12: "PINGREQ", 13: "PINGRESP", 15: "AUTH",
}  # fmt: skip
# The flags that each type must have; PUBLISH's say something.
_FLAGS = {6: 2, 8: 2, 10: 2}
_SESSION_EXPIRY, _TOPIC_ALIAS, _USER_PROPERTY = 0x11, 0x23, 0x26
# How long each property is: bytes of a number, or a letter for what counts itself.
_PROPERTIES: Final[dict[int, int | str]] = {
    0x01: 1, 0x02: 4, 0x03: "s", 0x08: "s", 0x09: "b", 0x0B: "v", 0x11: 4, 0x12: "s", 0x13: 2,
    0x15: "s", 0x16: "b", 0x17: 1, 0x18: 4, 0x19: 1, 0x1A: "s", 0x1C: "s", 0x1F: "s", 0x21: 2,
    0x22: 2, 0x23: 2, 0x24: 1, 0x25: 1, 0x26: "p", 0x27: 4, 0x28: 1, 0x29: 1, 0x2A: 1,
}  # fmt: skip


class PacketError(ValueError):
    """The bytes are no MQTT: which rule they break."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One packet and its bytes, a password in them blotted out with asterisks."""

    packet: Packet
    data: bytes


class Stream:
    """One direction of a connection. `version` is that of its CONNECT, known to both directions."""

    def __init__(self, version: int = V3) -> None:
        self.version = version
        self._buffer = bytearray()
        self._aliases: dict[int, str] = {}

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The packets that `data` completes; raises PacketError, after which nothing is to come."""
        self._buffer += data
        while (size := _packet_bytes(self._buffer)) is not None and len(self._buffer) >= size:
            raw = self._buffer[:size]
            del self._buffer[:size]
            yield self._parse(raw)

    def _parse(self, raw: bytearray) -> Frame:
        kind, flags = raw[0] >> 4, raw[0] & 15
        if kind != _PUBLISH and flags != _FLAGS.get(kind, 0):
            raise PacketError(f"packet type {kind} has the reserved flags {flags:#x}")
        body = _Reader(raw, _header_bytes(raw))
        packet: Packet
        if kind == _CONNECT:
            packet = self._connect(body)
        elif kind == _CONNACK:
            packet = self._connack(body)
        elif kind == _PUBLISH:
            packet = self._publish(body, flags)
        elif kind == _PUBACK:
            packet = self._puback(body)
        elif kind == _SUBSCRIBE:
            packet = self._subscribe(body)
        elif kind == _SUBACK:
            packet = self._suback(body)
        elif kind == _DISCONNECT:
            packet = self._disconnect(body)
        elif kind in _OTHERS:
            packet = Other(_OTHERS[kind])
            body.rest()
        else:
            raise PacketError("packet type 0 is reserved")
        if body.left:
            raise PacketError(f"packet type {kind} has {body.left} bytes too many")
        return Frame(packet, bytes(raw))

    def _properties(self, body: "_Reader") -> dict[int, int]:
        """The numeric properties; the others are read over."""
        if self.version < V5:
            return {}
        end = body.varint()
        if end > body.left:
            raise PacketError(f"properties of {end} bytes in a packet with {body.left} left")
        end = body.left - end
        found: dict[int, int] = {}
        while body.left > end:
            key = body.varint()
            form = _PROPERTIES.get(key)
            if form is None:
                raise PacketError(f"there is no property {key:#x}")
            if key in found:
                raise PacketError(f"property {key:#x} stands twice")
            if isinstance(form, int):
                found[key] = body.number(form)
            elif form == "v":
                body.varint()
            else:
                body.block()
                if key == _USER_PROPERTY:
                    body.block()
        if body.left < end:
            raise PacketError("a property is longer than all of them")
        return found

    def _connect(self, body: "_Reader") -> Connect:
        if body.block() != b"MQTT":
            raise PacketError("CONNECT is not of MQTT 3.1.1 or 5: its protocol name is not MQTT")
        self.version = body.number(1)
        if self.version not in (V3, V5):
            raise PacketError(f"CONNECT has protocol level {self.version}, not 4 or 5")
        flags = body.number(1)
        if flags & 1:
            raise PacketError("CONNECT has its reserved flag set")
        keepalive_s = body.number(2)
        properties = self._properties(body)
        client_id = body.text()
        will = None
        if flags & 0x04:
            self._properties(body)
            will = Will(body.text(), body.block(), flags >> 3 & 3, bool(flags & 0x20))
            if will.qos == 3:
                raise PacketError("the Will has QoS 3")
        elif flags & 0x38:
            raise PacketError("CONNECT has a Will's flags without a Will")
        if flags & 0x80:
            body.block()
        if flags & 0x40:
            body.blot()
        expiry_s = properties.get(_SESSION_EXPIRY, 0)
        return Connect(self.version, client_id, bool(flags & 2), keepalive_s, will, expiry_s)

    def _connack(self, body: "_Reader") -> Connack:
        flags = body.number(1)
        if flags > 1:
            raise PacketError(f"CONNACK has the reserved flags {flags:#x}")
        reason = body.number(1)
        self._properties(body)
        return Connack(reason, bool(flags))

    def _publish(self, body: "_Reader", flags: int) -> Publish:
        qos = flags >> 1 & 3
        if qos == 3:
            raise PacketError("PUBLISH has QoS 3")
        topic = body.text()
        packet_id = body.packet_id() if qos else None
        alias = self._properties(body).get(_TOPIC_ALIAS)
        if alias is not None and topic:
            self._aliases[alias] = topic
        elif alias is not None:
            topic = self._aliases.get(alias, "")
        if not topic:
            raise PacketError("PUBLISH has no topic" if alias is None else "an unknown topic alias")
        return Publish(topic, body.rest(), qos, bool(flags & 1), bool(flags & 8), packet_id)

    def _puback(self, body: "_Reader") -> Puback:
        packet_id, reason = body.packet_id(), 0
        if self.version == V5 and body.left:
            reason = body.number(1)
            if body.left:
                self._properties(body)
        return Puback(packet_id, reason)

    def _subscribe(self, body: "_Reader") -> Subscribe:
        packet_id = body.packet_id()
        self._properties(body)
        filters = []
        while body.left:
            topic, options = body.text(), body.number(1)
            if options & 3 == 3 or (self.version < V5 and options > 2):
                raise PacketError(f"SUBSCRIBE to {topic!a} has options {options:#x}")
            filters.append((topic, options & 3))
        if not filters:
            raise PacketError("SUBSCRIBE without a topic filter")
        return Subscribe(packet_id, tuple(filters))

    def _suback(self, body: "_Reader") -> Suback:
        packet_id = body.packet_id()
        self._properties(body)
        return Suback(packet_id, tuple(body.rest()))

    def _disconnect(self, body: "_Reader") -> Disconnect:
        if self.version < V5 or not body.left:
            return Disconnect()
        reason = body.number(1)
        if body.left:
            self._properties(body)
        return Disconnect(reason)


def _packet_bytes(buffer: bytearray) -> int | None:
    """The size of the packet that begins here, once it is known."""
    size = 0
    for place in range(_LENGTH_BYTES_MAX):
        if len(buffer) < place + 2:
            return None
        size |= (buffer[place + 1] & 127) << 7 * place
        if buffer[place + 1] < 128:
            if size > PACKET_BYTES_MAX:
                raise PacketError(f"a packet of {size} bytes; at most {PACKET_BYTES_MAX} are read")
            return size + place + 2
    raise PacketError("the remaining length takes more than four bytes")


def _header_bytes(raw: bytearray) -> int:
    return next(place for place in range(1, 5) if raw[place] < 128) + 1


class _Reader:
    """A packet's body from front to back; PacketError where it is too short."""

    def __init__(self, raw: bytearray, place: int) -> None:
        self._raw = raw
        self._place = place

    @property
    def left(self) -> int:
        return len(self._raw) - self._place

    def _take(self, size: int) -> slice:
        if size > self.left:
            raise PacketError(f"the packet ends {size - self.left} bytes early")
        self._place += size
        return slice(self._place - size, self._place)

    def number(self, size: int) -> int:
        return int.from_bytes(self._raw[self._take(size)], "big")

    def packet_id(self) -> int:
        found = self.number(2)
        if not found:
            raise PacketError("a packet identifier is 0")
        return found

    def varint(self) -> int:
        found = 0
        for shift in range(0, 28, 7):
            byte = self.number(1)
            found |= (byte & 127) << shift
            if byte < 128:
                return found
        raise PacketError("a length in the packet takes more than four bytes")

    def block(self) -> bytes:
        return bytes(self._raw[self._take(self.number(2))])

    def blot(self) -> None:
        """Read over a block, and leave asterisks in its place."""
        place = self._take(self.number(2))
        self._raw[place] = b"*" * (place.stop - place.start)

    def text(self) -> str:
        return self.block().decode("utf-8", "surrogateescape")

    def rest(self) -> bytes:
        return bytes(self._raw[self._take(self.left)])
