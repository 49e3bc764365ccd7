"""A recorded session: what passed between edge nodes and a broker, in order, with its times. Pure.

The file is JSON, one object a line. The first says `{"format": "shorewatch-sparkplug", "version":
1}`. Each other is one entry: `n` (from 1), `at` (RFC 3339, ms), `connection` (from 1; 0 is the
observer), `do`, and with

    opened                an edge node has connected to the proxy
    packet                `from` node or broker, `bytes` (hex; passwords are asterisks)
    broken                `from`, `why`: bytes that are no MQTT; the proxy closes the connection
    closed                `from` node, broker or proxy: whose end of the socket ended first
    seen                  the observer at the broker received `topic`, `payload` (hex), `retained`

Loading parses the bytes again. Limit: `ENTRIES_MAX` entries.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal

from shorewatch.model import from_text, to_text
from shorewatch.sparkplugcheck.packet import Connect
from shorewatch.sparkplugcheck.stream import Frame, PacketError, Stream

ENTRIES_MAX: Final = 1_000_000
_HEAD: Final = {"format": "shorewatch-sparkplug", "version": 1}
Side = Literal["node", "broker", "proxy"]
_SIDES: Final[Mapping[str, Side]] = {"node": "node", "broker": "broker", "proxy": "proxy"}


@dataclass(frozen=True, slots=True)
class Opened:
    """An edge node has connected."""


@dataclass(frozen=True, slots=True)
class Broken:
    """What `side` sent is no MQTT."""

    side: Side
    why: str


@dataclass(frozen=True, slots=True)
class Closed:
    """The socket has ended, first on this side."""

    side: Side


@dataclass(frozen=True, slots=True)
class Passed:
    """A packet, sent by `side`."""

    side: Side
    frame: Frame


@dataclass(frozen=True, slots=True)
class Seen:
    """What a subscriber at the broker received."""

    topic: str
    payload: bytes
    is_retained: bool


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the recording; `at_s` is Unix time."""

    number: int
    at_s: float
    connection: int
    what: Opened | Passed | Broken | Closed | Seen


class Wires:
    """The packets of many connections, from the bytes of each side."""

    def __init__(self) -> None:
        self._streams: dict[tuple[int, Side], Stream] = {}

    def feed(self, connection: int, side: Side, data: bytes) -> Iterator[Passed]:
        """What `data` completes; raises PacketError."""
        stream = self._streams.setdefault((connection, side), Stream())
        for frame in stream.feed(data):
            if side == "node" and isinstance(frame.packet, Connect):
                broker = self._streams.setdefault((connection, "broker"), Stream())
                broker.version = frame.packet.version
            yield Passed(side, frame)

    def forget(self, connection: int) -> None:
        """The connection is over."""
        for side in _SIDES.values():
            self._streams.pop((connection, side), None)


def to_lines(entries: Iterable[Entry]) -> Iterator[str]:
    """The lines of a session file."""
    yield json.dumps(_HEAD) + "\n"
    for entry in entries:
        at = to_text(datetime.fromtimestamp(entry.at_s, UTC))
        head = {"n": entry.number, "at": at, "connection": entry.connection}
        yield json.dumps({**head, **_to_json(entry.what)}) + "\n"


def _to_json(what: Opened | Passed | Broken | Closed | Seen) -> dict[str, object]:
    if isinstance(what, Opened):
        return {"do": "opened"}
    if isinstance(what, Passed):
        return {"do": "packet", "from": what.side, "bytes": what.frame.data.hex()}
    if isinstance(what, Broken):
        return {"do": "broken", "from": what.side, "why": what.why}
    if isinstance(what, Closed):
        return {"do": "closed", "from": what.side}
    payload, topic = what.payload.hex(), what.topic
    return {"do": "seen", "topic": topic, "payload": payload, "retained": what.is_retained}


def from_lines(lines: Iterable[str]) -> list[Entry]:
    """The entries of a session file; raises ValueError, naming the line."""
    wires = Wires()
    entries: list[Entry] = []
    number = 0
    for number, line in enumerate(lines, 1):
        try:
            found = json.loads(line)
            if not isinstance(found, dict):
                raise ValueError("is no JSON object")
            if number == 1:
                _check_head(found)
            else:
                entries.append(_entry(found, wires))
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
            raise ValueError(f"line {number}: {_reason(error)}") from error
        if number > ENTRIES_MAX:
            raise ValueError(f"line {number}: at most {ENTRIES_MAX} lines are read")
    if not number:
        raise ValueError("line 1: the file is empty")
    return entries


def _reason(error: Exception) -> str:
    return f"lacks {error}" if isinstance(error, KeyError) else str(error)


def _check_head(found: dict[str, object]) -> None:
    if found != _HEAD:
        raise ValueError(f"must be {json.dumps(_HEAD)}, as sparkplug-check --save writes it")


def _entry(found: Mapping[str, object], wires: Wires) -> Entry:
    connection, number = found["connection"], found["n"]
    if not isinstance(connection, int) or not isinstance(number, int):
        raise ValueError("n and connection must be integers")
    at_s = from_text(_text(found, "at")).timestamp()
    return Entry(number, at_s, connection, _what(found, connection, wires))


def _what(
    found: Mapping[str, object], connection: int, wires: Wires
) -> Opened | Passed | Broken | Closed | Seen:
    do = _text(found, "do")
    if do == "opened":
        return Opened()
    if do == "seen":
        payload = bytes.fromhex(_text(found, "payload"))
        return Seen(_text(found, "topic"), payload, found["retained"] is True)
    side = _SIDES.get(_text(found, "from"))
    if side is None:
        raise ValueError(f"from must be one of {', '.join(_SIDES)}")
    if do == "packet":
        try:
            [passed] = wires.feed(connection, side, bytes.fromhex(_text(found, "bytes")))
        except PacketError:
            raise
        except ValueError as error:
            raise ValueError(f"bytes must be one whole MQTT packet in hex ({error})") from error
        return passed
    if do == "broken":
        return Broken(side, _text(found, "why"))
    if do == "closed":
        wires.forget(connection)
        return Closed(side)
    raise ValueError(f"do {do!r} is none of opened, packet, broken, closed, seen")


def _text(found: Mapping[str, object], key: str) -> str:
    value = found[key]
    if not isinstance(value, str):
        raise ValueError(f"{key} must be text")
    return value
