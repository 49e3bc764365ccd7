"""MQTT packets: each form read back, damage refused, nothing that crashes."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
    is_utf8,
)
from shorewatch.sparkplugcheck.stream import Frame, PacketError, Stream

ids = st.integers(1, 0xFFFF)
qos = st.integers(0, 2)
texts = st.text(max_size=20)
packets = st.one_of(
    st.builds(
        Connect,
        st.just(V5),
        texts,
        st.booleans(),
        st.integers(0, 0xFFFF),
        st.none() | st.builds(Will, texts, st.binary(max_size=20), qos, st.booleans()),
        st.integers(0, 2**32 - 1),
    ),
    st.builds(Connack, st.integers(0, 255), st.booleans()),
    st.builds(
        Publish,
        st.text(min_size=1, max_size=20),
        st.binary(max_size=200),
        st.just(0),
        st.booleans(),
    ),
    st.builds(
        Publish,
        st.text(min_size=1, max_size=20),
        st.binary(max_size=200),
        st.integers(1, 2),
        st.booleans(),
        st.booleans(),
        ids,
    ),
    st.builds(Puback, ids, st.integers(0, 255)),
    st.builds(Subscribe, ids, st.lists(st.tuples(texts, qos), min_size=1, max_size=3).map(tuple)),
    st.builds(Suback, ids, st.lists(st.integers(0, 255), max_size=3).map(tuple)),
    st.builds(Disconnect, st.integers(0, 255)),
    st.sampled_from([Other("PINGREQ"), Other("PINGRESP")]),
)


def block(data: bytes | str) -> bytes:
    raw = data.encode() if isinstance(data, str) else data
    return struct.pack(">H", len(raw)) + raw


def packed(first: int, body: bytes) -> bytes:
    size, out = len(body), bytearray([first])
    while size > 127:
        out.append(size & 127 | 128)
        size >>= 7
    return bytes([*out, size]) + body


def encode(packet: Packet, version: int = V5, password: bytes | None = None) -> bytes:
    """The packet as MQTT says, written from its document and not from the parser."""
    none = b"\0" if version == V5 else b""
    if isinstance(packet, Connect):
        will = packet.will
        flags = packet.is_clean << 1 | (password is not None) << 6
        if will is not None:
            flags |= 4 | will.qos << 3 | will.is_retained << 5
        body = block("MQTT") + bytes([version, flags]) + struct.pack(">H", packet.keepalive_s)
        if version == V5:
            body += b"\x05\x11" + struct.pack(">I", packet.session_expiry_s)
        body += block(packet.client_id)
        if will is not None:
            body += none + block(will.topic) + block(will.payload)
        return packed(0x10, body + (b"" if password is None else block(password)))
    if isinstance(packet, Connack):
        return packed(0x20, bytes([packet.is_session_present, packet.reason]) + none)
    if isinstance(packet, Publish):
        first = 0x30 | packet.is_duplicate << 3 | packet.qos << 1 | packet.is_retained
        number = b"" if packet.packet_id is None else struct.pack(">H", packet.packet_id)
        return packed(first, block(packet.topic) + number + none + packet.payload)
    if isinstance(packet, Puback):
        return packed(0x40, struct.pack(">HB", packet.packet_id, packet.reason) + none)
    if isinstance(packet, Subscribe):
        filters = b"".join(block(text) + bytes([most]) for text, most in packet.filters)
        return packed(0x82, struct.pack(">H", packet.packet_id) + none + filters)
    if isinstance(packet, Suback):
        return packed(0x90, struct.pack(">H", packet.packet_id) + none + bytes(packet.reasons))
    if isinstance(packet, Disconnect):
        return packed(0xE0, bytes([packet.reason]) + none)
    return packed(0xC0 if packet.name == "PINGREQ" else 0xD0, b"")


def read(data: bytes, version: int = V5) -> list[Frame]:
    return list(Stream(version).feed(data))


@given(packets)
def test_what_is_written_is_read(packet):
    """Every packet is read as what it was written from, with its very bytes."""
    data = encode(packet)

    assert read(data) == [Frame(packet, data)]


@given(st.lists(packets, max_size=4), st.data())
def test_pieces_make_no_difference(several, data):
    """However the bytes are cut on their way, the packets are the same."""
    wire = b"".join(map(encode, several))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=5)))
    stream = Stream(V5)

    found = []
    for begin, end in zip([0, *cuts], [*cuts, len(wire)], strict=True):
        found += [frame.packet for frame in stream.feed(wire[begin:end])]

    assert found == several


@given(st.binary(max_size=100), st.sampled_from([V3, V5]))
def test_no_bytes_crash_it(data, version):
    """Anything is packets, an unfinished packet, or a PacketError."""
    try:
        read(data, version)
    except PacketError as error:
        assert str(error)


@given(packets, st.data())
def test_no_damage_crashes_it(packet, data):
    """A packet with one byte changed is a packet or a PacketError."""
    wire = bytearray(encode(packet))
    wire[data.draw(st.integers(0, len(wire) - 1))] = data.draw(st.integers(0, 255))
    try:
        read(bytes(wire))
    except PacketError as error:
        assert str(error)


@given(packets, st.data())
def test_a_part_of_a_packet_is_none(packet, data):
    """Until its last byte has come nothing is read."""
    wire = encode(packet)

    assert read(wire[: data.draw(st.integers(0, len(wire) - 1))]) == []


def test_mqtt_311_has_no_properties():
    """CONNECT of level 4 switches its stream to packets without properties."""
    connect = Connect(V3, "c", True, 10, Will("t", b"w", 1, False))
    publish = Publish("a/b", b"x", 1, False, False, 7)
    stream = Stream()

    frames = [*stream.feed(encode(connect, V3)), *stream.feed(encode(publish, V3))]

    assert [frame.packet for frame in frames] == [connect, publish]


def test_an_alias_stands_for_its_topic():
    """PUBLISH with an alias alone has the topic that came with the alias before."""
    alias = b"\x03\x23\x00\x01"
    first = packed(0x30, block("a/b") + alias + b"1")
    second = packed(0x30, block("") + alias + b"2")

    assert [frame.packet.topic for frame in read(first + second)] == ["a/b", "a/b"]


def test_a_password_is_blotted_out():
    """The bytes that are kept have asterisks where the password was."""
    [frame] = read(encode(Connect(V5, "c", True, 10, None), password=b"secret"))

    assert b"secret" not in frame.data
    assert frame.data.endswith(b"******")


def test_text_that_is_no_utf8_is_kept_and_known():
    """A topic of wrong bytes is read, for the judge to see."""
    [frame] = read(packed(0x30, block(b"a\xff") + b"\0"))

    assert not is_utf8(frame.packet.topic)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\x00\x00", "type 0"),
        (b"\x36\x05\x00\x01a\x00\x01", "QoS 3"),
        (b"\xc1\x00", "reserved flags"),
        (b"\x30\xff\xff\xff\xff\x01", "more than four bytes"),
        (b"\x30\xff\xff\xff\x7f", "at most"),
        (b"\x30\x03\x00\x00\x00", "no topic"),
        (b"\x30\x06\x00\x00\x03\x23\x00\x09", "unknown topic alias"),
        (b"\x82\x03\x00\x01\x00", "without a topic filter"),
        (b"\x40\x03\x00\x00\x00", "identifier is 0"),
        (b"\x30\x06\x00\x01a\x02\x99\x01", "no property"),
        (b"\x10\x0c\x00\x04MQTT\x03\x02\x00\x0a\x00\x00", "protocol level 3"),
        (b"\xd0\x01\x00", None),
    ],
)
def test_what_is_no_mqtt_is_refused(data, why):
    """Each rule of the form is named when it is broken; a body of PINGRESP is read over."""
    if why is None:
        assert [frame.packet for frame in read(data)] == [Other("PINGRESP")]
        return
    with pytest.raises(PacketError, match=why):
        read(data)
