"""What is right and what is wrong where the rules meet: each a session, and what breaks in it."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from sessions import BOTH, HOST, Node, Said, Sent, Step, bdseq, entries, number

from shorewatch.sparkplugcheck.codec import encode
from shorewatch.sparkplugcheck.judge import judged
from shorewatch.sparkplugcheck.packet import Connect, Other, Publish
from shorewatch.sparkplugcheck.payload import (
    Held,
    Metric,
    Payload,
    Property,
    PropertySet,
    PropertySetList,
)
from shorewatch.sparkplugcheck.session import Closed, Opened, Seen


def broken(steps: list[Step], host: str | None = None) -> set[str]:
    return set(judged(entries(steps), host).book.broken())


def born(version: int = 4) -> Node:
    return Node(1, 0, version=version).connect().births()


def ask(node: Node, topic: str = "spBv1.0/G/NCMD/E", value: bool = True) -> Node:
    metric = Metric("Node Control/Rebirth", value=Held("boolean_value", value))
    node._add(Said("broker", topic, Payload(node.at_ms, (metric,))))
    return node


def ping(node: Node) -> list[Step]:
    node._add(Sent("node", Other("PINGREQ")))
    return node.steps


def nbirth_alone(node: Node, *devices: tuple[str, int]) -> Node:
    """A birth of the node and of these devices only."""
    whole = Node(1, node.at_s)
    whole.births()
    node._seq = 0
    node._add(Said("node", "spBv1.0/G/NBIRTH/E", whole.steps[0].what.payload))
    node._seq = 1
    for device, alias in devices:
        node.dbirth(device, alias)
    return node


def say(node: Node, kind: str, device: str | None, *metrics: Metric) -> Node:
    node._say(kind, device, metrics)
    return node


def reconnected(first_bdseq: int, then_bdseq: int) -> list[Step]:
    steps: list[Step] = []
    for connection, value in ((1, first_bdseq), (2, then_bdseq)):
        node = Node(connection, connection * 10.0)
        node._bdseq = value
        steps += node.connect().births().leave().steps
    return steps


def taken_over() -> list[Step]:
    """The node connects again before the proxy has seen the end of its old connection."""
    old = born()
    return [*old.steps, *Node(2, old.at_s + 1, version=4).connect().births().steps]


def at_host(*more: Callable[[Node], Node]) -> list[Step]:
    node = Node(1, 0).connect(HOST).host(True, 0).births()
    for step in more:
        step(node)
    return ping(node)


def foreign_birth(is_retained: bool = False) -> list[Step]:
    node = born()
    node._add(Seen("spBv1.0/G/NBIRTH/E", b"another's", is_retained))
    return node.steps


def published(node: Node, topic: str) -> list[Step]:
    node._add(Sent("node", Publish(topic, b"")))
    return node.steps


def broken_payload(node: Node) -> list[Step]:
    node._add(Said("node", "spBv1.0/G/NDATA/E", b"\x0b"))
    return node.steps


def reordered(node: Node) -> list[Step]:
    """NBIRTH with its metrics from last to first."""
    for i, step in enumerate(node.steps):
        if isinstance(step.what, Said) and "/NBIRTH/" in step.what.topic:
            whole = step.what.payload
            turned = replace(whole, metrics=whole.metrics[::-1])
            node.steps[i] = replace(step, what=replace(step.what, payload=turned))
            del node.steps[i + 1]  # what the observer saw of the other
            break
    return node.steps


def numbered(value: Held) -> list[Step]:
    """A node whose bdSeq has this value in Will and NBIRTH."""
    steps = born().steps
    for i, step in enumerate(steps):
        what = step.what
        if isinstance(what, Sent) and isinstance(what.packet, Connect):
            assert what.packet.will is not None
            payload = encode(Payload(metrics=(Metric("bdSeq", datatype=4, value=value),)))
            will = replace(what.packet.will, payload=payload)
            steps[i] = replace(step, what=Sent("node", replace(what.packet, will=will)))
        if isinstance(what, Said) and "/NBIRTH/" in what.topic:
            first, *rest = what.payload.metrics
            metrics = (replace(first, value=value), *rest)
            made = replace(what.payload, metrics=metrics)
            steps[i] = replace(step, what=replace(what, payload=made))
    return [step for step in steps if not isinstance(step.what, Seen)]


def with_property(key: str, found: Property) -> list[Step]:
    """NDATA with one property."""
    properties = PropertySet((key,), (found,))
    return say(born(), "NDATA", None, Metric(alias=1, value=OLD, properties=properties)).steps


def stranger() -> list[Step]:
    """A client of another kind at the proxy's port."""
    node = Node(1, 0)
    node._add(Opened())
    node._add(Sent("node", Connect(5, "c", True, 10, None)))
    return published(node, "other/topic")


def left_by_broker(node: Node) -> Node:
    node.leave()
    node.steps[-1] = replace(node.steps[-1], what=Closed("broker"))
    return node


def garbage(node: Node) -> Node:
    for payload in (b"{", b"[]", b'{"online": 1, "timestamp": 5}', b'{"online": false}', b""):
        node._add(Sent("broker", Publish(HOST, payload, 1, packet_id=1)))
    return node


def hung_up(node: Node) -> Node:
    node._add(Closed("broker"))
    return node


OLD = number(1)
WRONG = PropertySet(("a",), (Property(16, value=number(1)),))
FACTS = {
    "a dead device has no data": (lambda: born().ddeath("D1").data(1, BOTH[0]).steps,
                                  "ddata-order"),
    "a dead node has no data": (lambda: say(born(), "NDEATH", None, bdseq(0)).data(1).steps,
                                "ndata-order"),
    "a dead node is asked for nothing": (
        lambda: ping(say(ask(born()), "NDEATH", None, bdseq(0)).wait(12)), ""),
    "a device that lives is born again": (
        lambda: ping(nbirth_alone(ask(born()), BOTH[0]).wait(12)), "rebirth-births"),
    "a device that is dead is not": (
        lambda: ping(nbirth_alone(ask(born().ddeath("D2")), BOTH[0]).wait(12)), ""),
    "a device may die instead of being born": (
        lambda: ping(nbirth_alone(ask(born()), BOTH[0]).ddeath("D2").wait(12)), ""),
    "a rebirth without NBIRTH is none": (lambda: ping(ask(born()).wait(12)), "rebirth-births"),
    "ten seconds are not over before": (lambda: ping(ask(born()).wait(9)), ""),
    "data under way is no fault": (lambda: ask(born()).wait(0.5).data(1).births().steps, ""),
    "data a second later is": (lambda: ask(born()).wait(1.5).data(1).births().steps,
                               "rebirth-stop"),
    "a rebirth request is true": (lambda: ping(ask(born(), value=False).wait(12)), ""),
    "a rebirth request is this node's": (
        lambda: ping(ask(born(), "spBv1.0/G/NCMD/F").wait(12)), ""),
    "a late device may be born after data": (
        lambda: nbirth_alone(Node(1, 0, version=4).connect(), BOTH[0]).data(1).dbirth("D2", 20)
        .data(2, *BOTH).steps, ""),
    "0 follows 255": (lambda: reconnected(255, 0), ""),
    "256 does not": (lambda: reconnected(255, 254), "bdseq-next"),
    "a node may take over its own connection": (taken_over, ""),
    "another's birth under our name": (foreign_birth, "unique-node"),
    "old values in any order": (lambda: say(born(), "NDATA", None, *(
        Metric(alias=1, value=OLD, is_historical=True, timestamp_ms=at_ms)
        for at_ms in (1_700_000_000_002, 1_700_000_000_001))).steps, ""),
    "an old value may be the last": (lambda: say(say(born(), "NDATA", None, Metric(
        alias=1, value=OLD)), "NDATA", None, Metric(alias=1, value=OLD, is_historical=True)).steps,
        ""),
    "the same value twice": (lambda: say(say(born(), "NDATA", None, Metric(alias=1, value=OLD)),
                                         "NDATA", None, Metric(alias=1, value=OLD)).steps,
                             "ndata-change"),
    "an alias is its own device's": (lambda: say(born(), "DDATA", "D1", Metric(
        alias=20, value=OLD)).steps, "device-known"),
    "a node's alias is no device's": (lambda: say(born(), "DDATA", "D1", Metric(
        alias=1, value=OLD)).steps, "device-known"),
    "an alias that no birth gave": (lambda: say(born(), "NDATA", None, Metric(
        "plain", 77, value=OLD)).steps, "alias-data"),
    "a node that was never born may leave": (
        lambda: Node(1, 0).connect(HOST).host(False, 0).leave(0).steps, ""),
    "a host offline before births is waited for": (
        lambda: ping(Node(1, 0).connect(HOST).host(True, 0).host(False, 1).wait(20)), ""),
    "what is no STATE is ignored": (lambda: at_host(garbage, lambda node: node.data(7)), ""),
    "a broker that hangs up is no leaving": (
        lambda: at_host(lambda node: node.host(False, 1), hung_up), ""),
    "a host that is offline is left": (
        lambda: at_host(lambda node: node.host(False, 1).wait(11)),
        "host-offline host-offline-ndeath"),
    "data after the NDEATH is too much": (
        lambda: at_host(lambda node: say(node.host(False, 1), "NDEATH", None, bdseq(0)).data(8)),
        "host-offline-ndeath ndata-order"),
    "data under way to an offline host is no fault": (
        lambda: at_host(lambda node: node.host(False, 1).data(8).leave()), ""),
    "an old offline changes nothing": (
        lambda: at_host(lambda node: node.host(True, 5).host(False, 4).wait(20).data(8)), ""),
    "an online host again is no rebirth": (
        lambda: at_host(lambda node: node.host(True, 5).births()), ""),
    "commands are this node's own": (
        lambda: Node(1, 0).connect("spBv1.0/G/DCMD/other/D1").births().steps, "dcmd-subscribe"),
    "who says DISCONNECT leaves, whoever ends the socket": (
        lambda: at_host(lambda node: node.host(True, 5).host(False, 4), left_by_broker),
        "host-offline-old"),
    "what is not Sparkplug is not judged": (stranger, "will"),
    "a node publishes Sparkplug alone": (
        lambda: published(born(), "other/topic"), "structure namespace"),
    "an old birth at the broker is nobody's": (lambda: foreign_birth(is_retained=True), ""),
    "offline at the same time counts": (
        lambda: at_host(lambda node: node.host(False, 0).wait(11)),
        "host-offline host-offline-ndeath"),
    "an old offline to an offline host is nothing": (
        lambda: Node(1, 0).connect(HOST).host(False, 5).host(False, 4).leave().steps, ""),
    "an old offline before births is nothing": (
        lambda: Node(1, 0).connect(HOST).host(True, 5).host(False, 4).leave().steps, ""),
    "after NBIRTH data may go on": (
        lambda: nbirth_alone(ask(born()), BOTH[0]).wait(3).data(1).steps, ""),
    "a payload that cannot be read has no seq": (
        lambda: broken_payload(born()), "ndata-seq ndata-seq-next ndata-timestamp ndata-change"),
    "bdSeq may stand anywhere": (lambda: reordered(born()), ""),
    "bdSeq ends at 255": (lambda: numbered(Held("long_value", 256)),
                          "will-bdseq nbirth-bdseq"),
    "bdSeq is a number": (lambda: numbered(Held("string_value", "0")),
                          "will-bdseq nbirth-bdseq"),
    "a property set in a property is looked at": (
        lambda: with_property("more", Property(20, value=Held("propertyset_value", WRONG))),
        "property-type-known"),
    "so is a list of them": (
        lambda: with_property("more", Property(
            21, value=Held("propertysets_value", PropertySetList((WRONG,))))),
        "property-type-known"),
    "in data Quality needs no type": (
        lambda: with_property("Quality", Property(value=number(0))), ""),
    "but no other type either": (
        lambda: with_property("Quality", Property(4, value=number(0))), "quality-type"),
}  # fmt: skip


@pytest.mark.parametrize("fact", FACTS)
def test_it_is_so(fact):
    """What the fact's name says is what breaks, or does not."""
    make, breaks = FACTS[fact]

    assert broken(make()) == set(breaks.split())


def test_a_host_may_be_named():
    """A node that does not subscribe by name waits for the host that the checker is told."""
    steps = Node(1, 0).connect("spBv1.0/STATE/+").host(False, 0).births().steps

    assert broken(steps) == set()
    assert broken(steps, "scada") == {"host-wait", "host-online", "host-subscribe"}


def test_a_rebirth_that_is_whole_passes():
    """The assertion on births after a request passes when it has been answered, not before."""
    rule = "operational-behavior-data-commands-rebirth-action-2"
    asked = ask(born())

    words = [
        {v.rule: v.word for v in judged(entries(steps)).book.verdicts()}[rule]
        for steps in (list(asked.steps), asked.births().steps)
    ]

    assert words == ["not-exercised", "passed"]


def test_a_will_without_its_metric_is_compared_with_nothing():
    """A Will that has no bdSeq fails for that, and NBIRTH's is not called wrong for it."""
    steps = born().steps
    at = next(
        i for i, s in enumerate(steps) if isinstance(getattr(s.what, "packet", None), Connect)
    )
    connect = steps[at].what.packet
    assert connect.will is not None
    will = replace(connect.will, payload=encode(Payload()))
    steps[at] = replace(steps[at], what=Sent("node", replace(connect, will=will)))

    assert broken(steps) == {"will-bdseq", "ndeath-only-bdseq"}


def test_nodes_are_named_as_text():
    """An id that is no UTF-8 is shown, and cannot stop the report from being printed."""
    node = Node(1, 0, node="E\udcff").connect().births()

    assert judged(entries(node.steps)).nodes == ["G/E\\xdcff"]
