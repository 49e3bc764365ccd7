"""The judge: a recorded session in, a book of verdicts out. Pure: time comes with the entries.

Each connection of an edge node is followed from its CONNECT to the end of its socket: here is what
MQTT itself shows (CONNECT, Will, subscriptions, the way of leaving) and what holds between
connections (bdSeq, one node one client, ids that differ in case alone); `life` follows the
Sparkplug session in it, `host` the primary host. A connection with neither Will nor Sparkplug topic
is judged by its CONNECT alone.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from shorewatch.sparkplugcheck.book import Book, plain
from shorewatch.sparkplugcheck.codec import PayloadError, decode
from shorewatch.sparkplugcheck.host import HostWatch
from shorewatch.sparkplugcheck.life import BDSEQ, Life, bdseq_of, is_rebirth
from shorewatch.sparkplugcheck.packet import (
    V5,
    Connack,
    Connect,
    Disconnect,
    Packet,
    Publish,
    Subscribe,
    Will,
)
from shorewatch.sparkplugcheck.payload import INT64, Payload
from shorewatch.sparkplugcheck.session import Broken, Closed, Entry, Opened, Passed, Seen
from shorewatch.sparkplugcheck.topic import NAMESPACE, STATE, Topic, judge_topic, parse_topic

# The observer may be this many births behind the proxy.
_BIRTHS_MAX = 8


@dataclass(slots=True)
class _Connection:
    life: Life
    host: HostWatch
    connect: Connect | None = None
    is_accepted: bool = False
    has_published: bool = False
    has_left: bool = False
    # NDEATH was the last that the node has published.
    is_dead: bool = False
    filters: dict[str, int] = field(default_factory=dict)


class Judge:
    """Takes the entries of a session in their order; `host` is the primary host's id if known."""

    def __init__(self, host: str | None = None) -> None:
        self.book = Book()
        # What nodes have sent that is no MQTT, by entry: no assertion's, and no edge node's right.
        self.not_mqtt: dict[int, str] = {}
        self._host = host
        self._connections: dict[int, _Connection] = {}
        # By edge node: the last bdSeq of a CONNECT, and its last births.
        self._bdseq: dict[tuple[str, str], int] = {}
        self._births: dict[tuple[str, str], deque[bytes]] = {}
        # Lower case: how each id was written first; the path above it is part of the key.
        self._ids: dict[str, str] = {}

    @property
    def nodes(self) -> list[str]:
        """The edge nodes that were judged, as group/edge node."""
        return sorted(plain("/".join(node)) for node in self._births.keys() | self._bdseq.keys())

    def take(self, entry: Entry) -> None:
        """Judge one entry."""
        for connection in self._connections.values():
            connection.life.rebirth.passed(entry.at_s)
            connection.host.passed(entry.at_s)
        what = entry.what
        self.book.at(entry)
        if isinstance(what, Opened):
            host = HostWatch(self.book, self._host)
            self._connections[entry.connection] = _Connection(Life(self.book), host)
        elif isinstance(what, Seen):
            self._seen(entry, what)
        elif entry.connection in self._connections:
            self._on_connection(entry, self._connections[entry.connection])

    def _on_connection(self, entry: Entry, connection: _Connection) -> None:
        what = entry.what
        if isinstance(what, Broken) and what.side == "node":
            self.not_mqtt[entry.number] = what.why
        elif isinstance(what, Closed):
            connection.host.ended(is_node=what.side == "node" or connection.has_left)
            del self._connections[entry.connection]
        elif isinstance(what, Passed) and what.side == "node":
            self._sent(entry, connection, what.frame.packet)
        elif isinstance(what, Passed):
            self._delivered(entry, connection, what.frame.packet)

    def _sent(self, entry: Entry, connection: _Connection, packet: Packet) -> None:
        if isinstance(packet, Connect):
            self._connect(connection, packet)
        elif isinstance(packet, Subscribe):
            for text, qos in packet.filters:
                self._subscribe(connection, text, qos)
        elif isinstance(packet, Disconnect):
            self._disconnect(connection, packet)
        elif isinstance(packet, Publish):
            self._publish(entry, connection, packet)

    def _delivered(self, entry: Entry, connection: _Connection, packet: Packet) -> None:
        if isinstance(packet, Connack):
            connection.is_accepted = packet.reason == 0
        elif isinstance(packet, Publish) and packet.topic.startswith(STATE):
            is_born = connection.life.is_born
            connection.host.received(entry, packet.topic, packet.payload, is_born)
        elif isinstance(packet, Publish):
            topic = parse_topic(packet.topic)
            is_ours = topic is not None and topic.node == connection.life.node
            if topic is not None and is_ours and topic.kind == "NCMD":
                payload = _decoded(packet.payload)
                is_asked = payload is not None and is_rebirth(payload)
                if is_asked and connection.life.is_born:
                    connection.life.rebirth.asked(entry, packet.topic)

    def _connect(self, connection: _Connection, packet: Connect) -> None:
        connection.connect = packet
        judge, will = self.book.judge, packet.will
        if packet.version == V5:
            is_clean = packet.is_clean and packet.session_expiry_s == 0
            seen = f"Clean Start {packet.is_clean}, expiry {packet.session_expiry_s} s"
            judge("clean-50", is_clean, seen, field="CONNECT")
        else:
            seen = f"Clean Session {packet.is_clean}"
            judge("clean-311", packet.is_clean, seen, field="CONNECT")
        if judge("will", will is not None, "no Will", field="CONNECT"):
            assert will is not None, "just judged"
            self._will(connection, packet.client_id, will)

    def _will(self, connection: _Connection, client_id: str, will: Will) -> None:
        judge = self.book.judge
        topic = parse_topic(will.topic)
        is_ndeath = topic is not None and topic.kind == "NDEATH"
        judge("will-topic", is_ndeath, will.topic, field="Will topic")
        judge("will-qos", will.qos == 1, f"QoS {will.qos}", field="Will QoS")
        judge("will-retain", not will.is_retained, "retain set", field="Will retain")
        payload = _decoded(will.payload)
        judge("will-payload", payload is not None, will.payload.hex(), field="Will payload")
        if payload is not None:
            self._will_payload(connection, payload, topic)
        if topic is None:
            return
        connection.life.node = topic.node
        others = [
            other.connect.client_id
            for other in self._connections.values()
            if other is not connection
            and other.life.node == topic.node
            and other.connect is not None
            and other.connect.client_id != client_id
        ]
        judge("unique-node", not others, f"clients {client_id} and {others}", field="client id")

    def _will_payload(self, connection: _Connection, payload: Payload, topic: Topic | None) -> None:
        judge = self.book.judge
        names = [metric.name for metric in payload.metrics]
        judge("ndeath-only-bdseq", names == [BDSEQ], names, field="Will metrics")
        judge("ndeath-no-seq", payload.seq is None, payload.seq, field="Will seq")
        number = bdseq_of(payload)
        is_int64 = any(m.name == BDSEQ and m.datatype == INT64 for m in payload.metrics)
        judge("will-bdseq", is_int64 and number is not None, payload.metrics, field=BDSEQ)
        connection.life.bdseq = number
        if topic is None or number is None:
            return
        last = self._bdseq.get(topic.node)
        if last is not None:
            is_next = number == (last + 1) % 256
            judge("bdseq-next", is_next, f"{number} after {last}", field=BDSEQ)
        self._bdseq[topic.node] = number

    def _subscribe(self, connection: _Connection, text: str, qos: int) -> None:
        connection.filters[text] = qos
        connection.host.subscribed(text)
        levels = text.split("/")
        if levels[2:3] == ["DCMD"] and connection.life.node is not None:
            topic = parse_topic(text)
            is_own = topic is not None and topic.node == connection.life.node
            is_right = is_own and not set(text) & set("+#") and qos == 1
            self.book.judge("dcmd-subscribe", is_right, f"{text}, QoS {qos}", field="SUBSCRIBE")

    def _disconnect(self, connection: _Connection, packet: Disconnect) -> None:
        connection.has_left = True
        if connection.connect is None or not connection.has_published:
            return
        judge, is_dead = self.book.judge, connection.is_dead
        judge("leave-ndeath", is_dead, "DISCONNECT without it", field="NDEATH")
        judge("leave-ndeath-advised", is_dead, "DISCONNECT without it", field="NDEATH")
        if connection.connect.version == V5:
            judge("leave-50", packet.reason == 4, f"reason {packet.reason:#04x}", field="reason")
        else:
            judge("leave-311", is_dead, "DISCONNECT without it", field="NDEATH")

    def _publish(self, entry: Entry, connection: _Connection, packet: Publish) -> None:
        life = connection.life
        if life.node is None and not packet.topic.startswith(NAMESPACE):
            return
        self.book.at(entry, packet.topic)
        topic = judge_topic(self.book, packet.topic)
        if topic is None:
            return
        self._judge_case(topic)
        if topic.kind != "NDEATH":
            if not connection.has_published:
                self.book.judge("birth-first", topic.kind == "NBIRTH", f"{topic.kind} first")
                connection.has_published = True
            connection.is_dead = False
        if topic.kind in ("NBIRTH", "DBIRTH"):
            self.book.judge("session", connection.is_accepted, f"{topic.kind} before CONNACK")
        if topic.kind == "NBIRTH":
            self._nbirth(entry, connection, topic, packet)
        connection.host.published(entry, topic.kind)
        self.book.at(entry, packet.topic)
        life.published(entry, topic, packet)
        if topic.kind == "NDEATH":
            connection.is_dead = True

    def _nbirth(self, entry: Entry, connection: _Connection, topic: Topic, packet: Publish) -> None:
        command = f"{NAMESPACE}/{topic.group}/NCMD/{topic.edge}"
        qos = connection.filters.get(command)
        seen = f"subscribed to {sorted(connection.filters)}" if qos is None else f"QoS {qos}"
        self.book.judge("ncmd-subscribe", qos == 1, seen, field="SUBSCRIBE")
        births = self._births.setdefault(topic.node, deque(maxlen=_BIRTHS_MAX))
        births.append(packet.payload)
        if not connection.life.is_born:  # a rebirth does not ask the host
            host = connection.host.host
            is_subscribed = host is not None and STATE + host in connection.filters
            connection.host.born(entry, packet.topic, is_subscribed=is_subscribed)
            self.book.at(entry, packet.topic)

    def _judge_case(self, topic: Topic) -> None:
        ids = [topic.group, topic.edge, *([] if topic.device is None else [topic.device])]
        for count in range(1, len(ids) + 1):
            path = "/".join(ids[:count])
            other = self._ids.setdefault(path.lower(), path)
            self.book.judge("case-ids", other == path, f"{path} and {other}", field="id")

    def _seen(self, entry: Entry, what: Seen) -> None:
        """What hosts see: the Will's NDEATH, and births that did not come through the proxy."""
        topic = parse_topic(what.topic)
        if topic is None or what.is_retained:
            return
        self.book.at(entry, what.topic)
        mine = self._births.get(topic.node)
        if topic.kind == "NBIRTH" and mine is not None:
            seen = "an NBIRTH at the broker that no client of the proxy sent"
            self.book.judge("unique-node", what.payload in mine, seen, field="payload")


def judged(entries: Iterable[Entry], host: str | None = None) -> Judge:
    """The judge after a whole recording."""
    judge = Judge(host)
    for entry in entries:
        judge.take(entry)
    return judge


def _decoded(data: bytes) -> Payload | None:
    try:
        return decode(data)
    except PayloadError:
        return None
