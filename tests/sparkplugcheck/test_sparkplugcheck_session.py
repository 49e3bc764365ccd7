"""A recording on disk says what the recording in memory said."""

import json

import pytest
from test_sparkplugcheck_stream import encode

from shorewatch.sparkplugcheck.packet import V3, Connack, Connect, Publish
from shorewatch.sparkplugcheck.session import (
    Broken,
    Closed,
    Entry,
    Opened,
    Passed,
    Seen,
    Wires,
    from_lines,
    to_lines,
)
from shorewatch.sparkplugcheck.stream import Frame

CONNECT = Connect(V3, "c", True, 10, None)
PUBLISH = Publish("a/b", b"\x00\xff", 1, True, False, 3)


def recorded() -> list[Entry]:
    packets = ("node", CONNECT), ("broker", Connack(0)), ("node", PUBLISH)
    passed = [Passed(side, Frame(packet, encode(packet, V3))) for side, packet in packets]
    seen = Seen("a/b", b"\x01", True)
    whats = [Opened(), *passed, seen, Broken("node", "QoS 3"), Closed("node")]
    return [
        Entry(n, 1_800_000_000 + n / 8, 0 if isinstance(what, Seen) else 1, what)
        for n, what in enumerate(whats, 1)
    ]


def test_what_is_saved_is_loaded():
    """Every kind of entry comes back as it was."""
    assert from_lines(to_lines(recorded())) == recorded()


def test_bytes_give_their_packets():
    """Both directions are read by the version that the node's CONNECT says."""
    wires = Wires()
    node, broker = encode(CONNECT, V3), encode(Connack(0), V3)

    assert [p.frame.packet for p in wires.feed(1, "node", node)] == [CONNECT]
    assert [p.frame.packet for p in wires.feed(1, "broker", broker)] == [Connack(0)]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("{", "line 3"),
        ("[]", "no JSON object"),
        ('{"n": 1}', "lacks 'connection'"),
        ('{"n": 1, "connection": 1, "at": "yesterday", "do": "opened"}', "yesterday"),
        ('{"n": 1, "connection": 1, "at": "2026-11-22T00:00:00Z", "do": "other", "from": "node"}',
         "other"),
        ('{"n": 1, "connection": 1, "at": "2026-11-22T00:00:00Z", "do": "packet", "from": "me"}',
         "from must be"),
        ('{"n": 1, "connection": 1, "at": "2026-11-22T00:00:00Z", "do": "packet", "from": "node",'
         ' "bytes": "c0"}', "one whole MQTT packet"),
        ('{"n": 1, "connection": 1, "at": "2026-11-22T00:00:00Z", "do": "packet", "from": "node",'
         ' "bytes": "3606"}', "one whole MQTT packet"),
    ],
)  # fmt: skip
def test_a_damaged_line_is_named(line, why):
    """What cannot be read is an error that names its line and what is wrong."""
    lines = [*list(to_lines(recorded()))[:2], line]

    with pytest.raises(ValueError, match="line 3") as error:
        from_lines(lines)
    assert why in str(error.value)


def test_another_file_is_refused():
    """A file that does not begin as a session file does is none."""
    with pytest.raises(ValueError, match="sparkplug-check --save"):
        from_lines([json.dumps({"format": "other"})])


def test_an_empty_file_is_refused():
    """A file without a line is no session file."""
    with pytest.raises(ValueError, match="empty"):
        from_lines([])
