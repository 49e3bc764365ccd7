"""Sessions built in code, right in every demand, to be broken by tests one demand at a time."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace

from shorewatch.sparkplugcheck.codec import encode
from shorewatch.sparkplugcheck.packet import (
    Connack,
    Connect,
    Disconnect,
    Packet,
    Publish,
    Suback,
    Subscribe,
    Will,
)
from shorewatch.sparkplugcheck.payload import (
    Cell,
    DataSet,
    Held,
    Metric,
    Parameter,
    Payload,
    Property,
    PropertySet,
    Row,
    Template,
)
from shorewatch.sparkplugcheck.session import Closed, Entry, Opened, Passed, Seen, Side
from shorewatch.sparkplugcheck.stream import Frame

START_S = 1_800_000_000.0
HOST = "spBv1.0/STATE/scada"
INT = 3


@dataclass(frozen=True)
class Said:
    """A Sparkplug message, its payload not yet encoded."""

    side: Side
    topic: str
    payload: Payload | bytes
    qos: int = 0
    is_retained: bool = False


@dataclass(frozen=True)
class Sent:
    """Any other packet."""

    side: Side
    packet: Packet


@dataclass(frozen=True)
class Step:
    """What happens on a connection, `at_s` seconds from the start."""

    at_s: float
    connection: int
    what: Said | Sent | Opened | Closed | Seen


def entries(steps: Iterable[Step]) -> list[Entry]:
    """The steps as a recording."""
    return [
        Entry(number, START_S + step.at_s, step.connection, _what(step.what))
        for number, step in enumerate(steps, 1)
    ]


def _what(what: Said | Sent | Opened | Closed | Seen) -> Passed | Opened | Closed | Seen:
    if isinstance(what, Said):
        data = what.payload if isinstance(what.payload, bytes) else encode(what.payload)
        publish = Publish(what.topic, data, what.qos, what.is_retained)
        return Passed(what.side, Frame(publish, b""))
    if isinstance(what, Sent):
        return Passed(what.side, Frame(what.packet, b""))
    return what


def number(value: int) -> Held:
    return Held("int_value", value)


def bdseq(value: int, at_ms: int | None = None) -> Metric:
    return Metric("bdSeq", timestamp_ms=at_ms, datatype=4, value=Held("long_value", value))


def state(is_online: bool, at_s: float) -> bytes:
    at_ms = round((START_S + at_s) * 1000)
    return json.dumps({"online": is_online, "timestamp": at_ms}).encode()


QUALITY = PropertySet(
    ("Quality", "unit"),
    (Property(3, value=number(192)), Property(12, value=Held("string_value", "V"))),
)
TABLE = DataSet(2, ("a", "b"), (3, 12), (Row((Cell(number(1)), Cell(Held("string_value", "x")))),))
MOTOR = Template(
    "1",
    (Metric("rpm", datatype=INT, value=number(0)), Metric("amps", datatype=INT, value=number(0))),
    (Parameter("maker", 12, Held("string_value", "-")),),
    is_definition=True,
)
A_MOTOR = replace(MOTOR, ref="motor", is_definition=False)


class Node:
    """Writes the steps of one edge node's connection, its seq and times in order."""

    def __init__(self, connection: int, at_s: float, *, node: str = "E", version: int = 5) -> None:
        self.steps: list[Step] = []
        self.at_s = at_s
        self._connection = connection
        self._node = node
        self._version = version
        self._seq = 0
        self._bdseq = connection - 1

    def _add(self, what: Said | Sent | Opened | Closed | Seen, after_s: float = 0.1) -> None:
        self.at_s += after_s
        self.steps.append(Step(self.at_s, self._connection, what))

    def _say(self, kind: str, device: str | None, metrics: Iterable[Metric], **more: bool) -> None:
        at_ms = self.at_ms
        stamped = tuple(m if m.timestamp_ms else replace(m, timestamp_ms=at_ms) for m in metrics)
        payload = Payload(at_ms, stamped, None if kind == "NDEATH" else self._seq)
        self._seq = (self._seq + (kind != "NDEATH")) % 256
        levels = ["spBv1.0", "G", kind, self._node, *([] if device is None else [device])]
        self._add(Said("node", "/".join(levels), payload))

    @property
    def at_ms(self) -> int:
        return round((START_S + self.at_s) * 1000)

    def connect(self, *filters: str) -> "Node":
        self._add(Opened())
        payload = encode(Payload(self.at_ms, (bdseq(self._bdseq),)))
        will = Will(f"spBv1.0/G/NDEATH/{self._node}", payload, 1, False)
        self._add(Sent("node", Connect(self._version, f"c-{self._node}", True, 10, will)))
        self._add(Sent("broker", Connack(0)))
        wanted = (f"spBv1.0/G/NCMD/{self._node}", f"spBv1.0/G/DCMD/{self._node}/D1", *filters)
        self._add(Sent("node", Subscribe(1, tuple((text, 1) for text in wanted))))
        self._add(Sent("broker", Suback(1, (1,) * len(wanted))))
        return self

    def host(self, is_online: bool, at_s: float | None = None, *, id_: str = "scada") -> "Node":
        stamp_s = self.at_s if at_s is None else at_s
        payload = state(is_online, stamp_s)
        self._add(Sent("broker", Publish(f"spBv1.0/STATE/{id_}", payload, 1, packet_id=1)))
        return self

    def births(self) -> "Node":
        self._seq = 0
        self._say("NBIRTH", None, (
            bdseq(self._bdseq),
            Metric("Node Control/Rebirth", datatype=11, value=Held("boolean_value", False)),
            Metric("load", 1, datatype=INT, value=number(5), properties=QUALITY),
            Metric("plain", datatype=12, value=Held("string_value", "x")),
            Metric("table", datatype=16, value=Held("dataset_value", TABLE)),
            Metric("motor", datatype=19, value=Held("template_value", MOTOR)),
        ))  # fmt: skip
        self._add(Seen(self.steps[-1].what.topic, encode(self.steps[-1].what.payload), False))
        return self.dbirth("D1", 10).dbirth("D2", 20)

    def dbirth(self, device: str, alias: int) -> "Node":
        self._say("DBIRTH", device, (
            Metric("volts", alias, datatype=INT, value=number(230), properties=QUALITY),
            Metric("amps", alias + 1, datatype=INT, is_null=True),
            Metric("pump", alias + 2, datatype=19, value=Held("template_value", A_MOTOR)),
        ))  # fmt: skip
        return self

    def ddeath(self, device: str) -> "Node":
        self._say("DDEATH", device, ())
        return self

    def data(self, value: int, *devices: tuple[str, int]) -> "Node":
        """New values of the node and of devices, each named with its first alias."""
        self._say("NDATA", None, (Metric(alias=1, value=number(value)),))
        for device, alias in devices:
            other = Metric(alias=alias + 1, is_null=True)
            if value % 2:
                other = Metric(alias=alias + 1, value=number(value))
            self._say("DDATA", device, (Metric(alias=alias, value=number(value)), other))
        return self

    def rebirth_request(self) -> "Node":
        metric = Metric("Node Control/Rebirth", datatype=11, value=Held("boolean_value", True))
        self._add(Said("broker", f"spBv1.0/G/NCMD/{self._node}", Payload(self.at_ms, (metric,))))
        return self

    def wait(self, seconds: float) -> "Node":
        self.at_s += seconds
        return self

    def leave(self, reason: int = 4) -> "Node":
        self._say("NDEATH", None, (bdseq(self._bdseq),))
        self._add(Sent("node", Disconnect(reason if self._version == 5 else 0)))
        self._add(Closed("node"))
        return self


BOTH = ("D1", 10), ("D2", 20)


def with_host() -> list[Step]:
    """An MQTT 5 node through everything that a primary host can ask, on two connections."""
    first = Node(1, 0).connect(HOST).host(False, 0).host(True, 1).births().data(1, *BOTH)
    first.rebirth_request().births().data(2, *BOTH)
    first.ddeath("D2").data(3, ("D1", 10)).dbirth("D2", 20).data(4, *BOTH)
    first.wait(1).host(False).leave()
    second = Node(2, first.at_s + 1).connect(HOST).host(False).host(True, 0.5)
    second.host(True).births().data(5, *BOTH)
    second.host(False, 0.5).data(6).wait(6).data(7, *BOTH)
    second.wait(20).data(8).leave()
    return [*first.steps, *second.steps]


def plain() -> list[Step]:
    """An MQTT 3.1.1 node without a primary host, on two connections; the first is cut."""
    first = Node(1, 0, node="F", version=4).connect().births().data(1, *BOTH)
    first._add(Closed("proxy"))
    second = Node(2, first.at_s + 1, node="F", version=4).connect().births()
    for value in range(300):
        second.data(value)
    second.leave()
    return [*first.steps, *second.steps]
