"""For each demand a session that breaks it, made from a right one; what else breaks is named."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from sessions import (
    A_MOTOR,
    HOST,
    INT,
    MOTOR,
    QUALITY,
    TABLE,
    Node,
    Said,
    Sent,
    Step,
    bdseq,
    number,
    plain,
    with_host,
)

from shorewatch.sparkplugcheck.codec import encode
from shorewatch.sparkplugcheck.packet import Connect, Other, Subscribe
from shorewatch.sparkplugcheck.payload import Cell, Held, Metric, Payload, PropertySet, Row
from shorewatch.sparkplugcheck.session import Closed, Seen

Steps = list[Step]
NOT_UTF8 = "\udcff"
TOO_LARGE = 2**32 + 3
EXTENSION = Held("extension_value", None)


@dataclass(frozen=True)
class Mutation:
    """How to break a demand, and the primary host that the checker is told of."""

    make: Callable[[], Steps]
    host: str | None = None


MUTATIONS: dict[str, Mutation] = {}


def mutation(demand: str, make: Callable[[], Steps], host: str | None = None) -> None:
    assert demand not in MUTATIONS, "one mutation a demand"
    MUTATIONS[demand] = Mutation(make, host)


def place(steps: Steps, kind: str, nth: int = 0) -> int:
    """Where the node says `kind` for the nth time."""
    found = [
        i
        for i, step in enumerate(steps)
        if isinstance(step.what, Said) and step.what.topic.split("/")[2] == kind
    ]
    return found[nth]


def change(steps: Steps, at: int, what: Any) -> Steps:
    return [*steps[:at], replace(steps[at], what=what), *steps[at + 1 :]]


def said(
    kind: str, nth: int = 0, base: Callable[[], Steps] = with_host, **fields: Any
) -> Callable[[], Steps]:
    """A message with other fields: topic, qos, is_retained, payload."""

    def make() -> Steps:
        steps = base()
        at = place(steps, kind, nth)
        return change(steps, at, replace(steps[at].what, **fields))

    return make


def payload(
    kind: str, edit: Callable[[Payload], Payload | bytes], nth: int = 0
) -> Callable[[], Steps]:
    """A message whose payload is edited."""

    def make() -> Steps:
        steps = with_host()
        at = place(steps, kind, nth)
        what = steps[at].what
        made = change(steps, at, replace(what, payload=edit(what.payload)))
        is_seen = isinstance(made[at + 1].what, Seen)
        if is_seen:  # the observer sees what was sent
            found = made[at].what.payload
            data = found if isinstance(found, bytes) else encode(found)
            made = change(made, at + 1, replace(made[at + 1].what, payload=data))
        return made

    return make


def fields(kind: str, nth: int = 0, **more: Any) -> Callable[[], Steps]:
    return payload(kind, lambda found: replace(found, **more), nth)


def metric(kind: str, index: int, nth: int = 0, **more: Any) -> Callable[[], Steps]:
    """A message with one metric changed."""

    def edit(found: Payload) -> Payload:
        metrics = list(found.metrics)
        metrics[index] = replace(metrics[index], **more)
        return replace(found, metrics=tuple(metrics))

    return payload(kind, edit, nth)


def without(kind: str, index: int) -> Callable[[], Steps]:
    return payload(
        kind,
        lambda found: replace(found, metrics=(*found.metrics[:index], *found.metrics[index + 1 :])),
    )


def with_more(kind: str, *more: Metric, nth: int = 0) -> Callable[[], Steps]:
    """A message with more metrics, stamped as the rest."""

    def edit(found: Payload) -> Payload:
        stamped = tuple(replace(m, timestamp_ms=found.timestamp_ms) for m in more)
        return replace(found, metrics=(*found.metrics, *stamped))

    return payload(kind, edit, nth)


def connects(
    edit: Callable[[Connect], Connect], base: Callable[[], Steps] = with_host
) -> Callable[[], Steps]:
    """Every CONNECT edited."""

    def make() -> Steps:
        return [
            replace(step, what=Sent("node", edit(step.what.packet)))
            if isinstance(step.what, Sent) and isinstance(step.what.packet, Connect)
            else step
            for step in base()
        ]

    return make


def wills(**more: Any) -> Callable[[], Steps]:
    return connects(lambda packet: replace(packet, will=replace(packet.will, **more)))


def subscribes(edit: Callable[[str, int], tuple[str, int] | None]) -> Callable[[], Steps]:
    """Every SUBSCRIBE with its filters edited; None drops one."""

    def make() -> Steps:
        steps = with_host()
        for i, step in enumerate(steps):
            if isinstance(step.what, Sent) and isinstance(step.what.packet, Subscribe):
                packet = step.what.packet
                filters = tuple(new for f in packet.filters if (new := edit(*f)) is not None)
                steps = change(steps, i, Sent("node", replace(packet, filters=filters)))
        return steps

    return make


def dropped(
    which: Callable[[Step], bool], base: Callable[[], Steps] = plain
) -> Callable[[], Steps]:
    return lambda: [step for step in base() if not which(step)]


def is_said(kind: str) -> Callable[[Step], bool]:
    return lambda step: isinstance(step.what, Said) and f"/{kind}/" in step.what.topic


def is_sent(packet_type: type) -> Callable[[Step], bool]:
    return lambda step: isinstance(step.what, Sent) and isinstance(step.what.packet, packet_type)


def moved(kind: str, nth: int, before: str, before_nth: int) -> Callable[[], Steps]:
    """A message taken out and put before another, their seqs and times exchanged in order."""

    def make() -> Steps:
        steps = with_host()
        source, target = place(steps, kind, nth), place(steps, before, before_nth)
        order = list(range(len(steps)))
        order.insert(target, order.pop(source))
        span = range(min(source, target), max(source, target) + 1)
        slots = [i for i in span if isinstance(steps[i].what, Said)]
        whats = [steps[i].what for i in order if i in slots]
        for i, what in zip(slots, whats, strict=True):
            seq = steps[i].what.payload.seq
            made = Said(what.side, what.topic, replace(what.payload, seq=seq))
            steps = change(steps, i, made)
        return _in_time(steps, slots)

    return make


def _in_time(steps: Steps, slots: list[int]) -> Steps:
    """Payload and metric times made those of the steps."""
    for i in slots:
        at_ms = round((1_800_000_000 + steps[i].at_s) * 1000)
        found = steps[i].what.payload
        metrics = tuple(replace(m, timestamp_ms=at_ms) for m in found.metrics)
        made = replace(found, timestamp_ms=at_ms, metrics=metrics)
        steps = change(steps, i, replace(steps[i].what, payload=made))
    return steps


def will_payload(*metrics: Metric, seq: int | None = None) -> bytes:
    return encode(Payload(None, metrics, seq))


# CONNECT, Will, subscriptions

mutation("clean-311", connects(lambda c: replace(c, is_clean=False), plain))
mutation("clean-50", connects(lambda c: replace(c, session_expiry_s=60)))
mutation("will", connects(lambda c: replace(c, will=None)))
mutation("will-topic", wills(topic="spBv1.0/G/DEATH/E"))
mutation("will-payload", wills(payload=b"\xff"))
mutation(
    "will-bdseq",
    wills(payload=will_payload(Metric("bdSeq", datatype=8, value=Held("long_value", 0)))),
)
mutation(
    "bdseq-next",
    wills(payload=will_payload(bdseq(0))),
)
mutation("will-qos", wills(qos=0))
mutation("will-retain", wills(is_retained=True))
mutation("session", dropped(lambda s: isinstance(s.what, Sent) and s.what.side == "broker"))
mutation("ncmd-subscribe", subscribes(lambda f, q: (f, 0) if "/NCMD/" in f else (f, q)))
mutation("dcmd-subscribe", subscribes(lambda f, q: (f.replace("D1", "+"), q)))

# the end of a session

mutation("ndeath-only-bdseq", with_more("NDEATH", Metric("more", value=number(1))))
mutation("ndeath-no-seq", fields("NDEATH", seq=0))
mutation("ndeath-bdseq", metric("NDEATH", 0, value=Held("long_value", 9)))
mutation("ndeath-topic", said("NDEATH", topic="spBv1.0/G/NDEATH/other"))


def _leaves_silently(version: int) -> Steps:
    node = Node(1, 0, version=version).connect().births().data(1).leave()
    return dropped(is_said("NDEATH"), lambda: node.steps)()


mutation("leave-ndeath", lambda: _leaves_silently(5))
mutation("leave-ndeath-advised", lambda: _leaves_silently(5))
mutation("leave-311", lambda: _leaves_silently(4))
mutation("leave-50", lambda: Node(1, 0).connect().births().leave(0).steps)

# topics

mutation("structure", said("NDATA", topic="spBv1.0/G/NDATA/E/a/b"))
mutation("namespace", said("NDATA", topic="spAv1.0/G/NDATA/E"))
for level, form in (("group", "spBv1.0/{}/NDATA/E"), ("edge", "spBv1.0/G/NDATA/{}")):
    mutation(f"{level}-text", said("NDATA", topic=form.format(NOT_UTF8)))
    mutation(f"{level}-chars", said("NDATA", topic=form.format("a+b")))
mutation("device-text", said("DDEATH", topic=f"spBv1.0/G/DDEATH/E/{NOT_UTF8}"))
mutation("device-chars", said("DDEATH", topic="spBv1.0/G/DDEATH/E/a#"))
mutation("device-level", said("DDATA", topic="spBv1.0/G/DDATA/E"))
mutation("no-device-level", said("NDATA", topic="spBv1.0/G/NDATA/E/D1"))


def _two_clients() -> Steps:
    other = Node(2, 0.05, node="E", version=4).connect().steps
    connect = next(i for i, s in enumerate(other) if is_sent(Connect)(s))
    other = change(other, connect, Sent("node", replace(other[connect].what.packet, client_id="x")))
    steps = [*Node(1, 0, version=4).connect().births().steps, *other]
    return sorted(steps, key=lambda step: step.at_s)


mutation("unique-node", _two_clients)
mutation("case-ids", said("DDEATH", topic="spBv1.0/G/DDEATH/E/d2"))
mutation("case-names", with_more("NBIRTH", Metric("LOAD", datatype=INT, value=number(1))))
mutation("dbirth-node", said("DBIRTH", topic="spBv1.0/G/DBIRTH/F/D1"))
for kind, topic in (
    ("NBIRTH", "spBv1.0/G/NBIRTH/F"),
    ("NDATA", "spBv1.0/G/NDATA/F"),
    ("DBIRTH", "spBv1.0/F/DBIRTH/E/D1"),
    ("DDATA", "spBv1.0/G/DDATA/F/D1"),
    ("DDEATH", "spBv1.0/G/DDEATH/F/D2"),
):
    name = kind.lower()
    mutation(f"{name}-topic", said(kind, topic=topic))
    mutation(f"{name}-qos", said(kind, qos=1))
    mutation(f"{name}-retain", said(kind, is_retained=True))
    mutation(f"{name}-seq", fields(kind, seq=None))
    mutation(f"{name}-timestamp", fields(kind, timestamp_ms=None))
    mutation(
        f"{name}-sent",
        payload(kind, lambda p: replace(p, timestamp_ms=p.timestamp_ms - 4 * 3_600_000)),
    )
    if kind != "NBIRTH":
        mutation(
            f"{name}-seq-next",
            payload(kind, lambda p: replace(p, seq=(p.seq + 1) % 256)),
        )

# births

mutation("birth-first", dropped(is_said("NBIRTH")))
mutation("nbirth-payload", payload("NBIRTH", lambda p: b"\x0b"))
mutation("dbirth-payload", payload("DBIRTH", lambda p: b"\x0b"))
mutation("nbirth-seq-zero", fields("NBIRTH", seq=1))
mutation("nbirth-bdseq", metric("NBIRTH", 0, datatype=8))
mutation("nbirth-bdseq-will", metric("NBIRTH", 0, value=Held("long_value", 77)))
mutation("rebirth-metric", without("NBIRTH", 1))
mutation("rebirth-alias", metric("NBIRTH", 1, alias=99))
mutation("rebirth-datatype", metric("NBIRTH", 1, datatype=12))
mutation("rebirth-value", metric("NBIRTH", 1, value=Held("boolean_value", True)))
mutation("nbirth-metric", metric("NBIRTH", 3, value=None))
mutation("dbirth-metric", metric("DBIRTH", 1, is_null=None))
mutation("nbirth-value", metric("NBIRTH", 3, is_null=True))
mutation("dbirth-value", metric("DBIRTH", 0, is_null=True))
mutation("dbirth-after-nbirth", moved("DBIRTH", 0, "NBIRTH", 0))
mutation("births-together", moved("NDATA", 1, "DBIRTH", 2))

# data

mutation("ndata-order", moved("NDATA", 1, "DBIRTH", 3))
mutation("ddata-order", moved("DDATA", 0, "DBIRTH", 0))
mutation("node-known", with_more("NDATA", Metric("unknown", value=number(1))))
mutation("device-known", with_more("DDATA", Metric("unknown", value=number(1))))
mutation("ndata-change", metric("NDATA", 0, value=number(5), properties=QUALITY))
mutation(
    "ddata-change",
    payload(
        "DDATA",
        lambda p: replace(
            p, metrics=(Metric(alias=11, is_null=True, timestamp_ms=p.timestamp_ms),)
        ),
    ),
)
mutation(
    "node-chronological",
    payload(
        "NBIRTH",
        lambda p: replace(
            p,
            metrics=(
                *p.metrics[:3],
                replace(p.metrics[3], timestamp_ms=p.timestamp_ms - 1),
                *p.metrics[4:],
            ),
        ),
    ),
)
mutation(
    "device-chronological",
    payload(
        "DDATA",
        lambda p: replace(
            p, metrics=(p.metrics[0], replace(p.metrics[1], timestamp_ms=p.timestamp_ms - 1))
        ),
    ),
)
mutation("metric-name", metric("NDATA", 0, alias=None))
mutation("alias-birth", with_more("NBIRTH", Metric(None, 50, datatype=INT, value=number(1))))
mutation("alias-unique", metric("DBIRTH", 0, alias=1))
mutation("alias-data", metric("NDATA", 0, name="load"))
mutation("metric-timestamp", metric("NDATA", 0, timestamp_ms=None))
mutation("metric-utc", metric("NDATA", 0, timestamp_ms=1_800_000_000))
mutation("datatype-form", metric("NBIRTH", 3, datatype=TOO_LARGE))
mutation("datatype-known", metric("NBIRTH", 3, datatype=20))
mutation("datatype-birth", metric("NBIRTH", 3, datatype=None))
mutation("datatype-data", metric("NDATA", 0, datatype=INT))


def properties(*keys: str, nth: int = 0, **more: Any) -> Callable[[], Steps]:
    """NBIRTH's metric with properties, with other keys, or its nth property changed."""
    values = list(QUALITY.values)
    values[nth] = replace(values[nth], **more)
    made = PropertySet(keys or QUALITY.keys, tuple(values))
    return metric("NBIRTH", 2, properties=made)


mutation("property-count", properties("Quality", "unit", "more"))
mutation("property-type-form", properties(nth=1, type=TOO_LARGE))
mutation("property-type-known", properties(nth=1, type=16))
mutation("property-type", properties(nth=1, type=None))
mutation("quality-type", properties(type=4))
mutation("quality-value", properties(value=number(7)))


def table(**more: Any) -> Callable[[], Steps]:
    return metric("NBIRTH", 4, value=Held("dataset_value", replace(TABLE, **more)))


mutation("dataset-count", table(column_count=3))
mutation("dataset-headers", table(types=(3,)))
mutation("dataset-type-form", table(types=(3, TOO_LARGE)))
mutation("dataset-type-known", table(types=(3, 16)))
mutation("dataset-types", table(types=()))
mutation("dataset-value", table(rows=(Row((Cell(number(1)), Cell(EXTENSION))),)))


def motor(**more: Any) -> Callable[[], Steps]:
    """The template's definition in NBIRTH changed."""
    return metric("NBIRTH", 5, value=Held("template_value", replace(MOTOR, **more)))


def pump(**more: Any) -> Callable[[], Steps]:
    """Its instance in the first DBIRTH changed."""
    return metric("DBIRTH", 2, value=Held("template_value", replace(A_MOTOR, **more)))


def parameter(**more: Any) -> Callable[[], Steps]:
    return motor(parameters=(*MOTOR.parameters, replace(MOTOR.parameters[0], **more)))


mutation("template-said", pump(is_definition=None))
mutation("template-in-nbirth", metric("DBIRTH", 2, value=Held("template_value", MOTOR)))
mutation("template-definition", motor(is_definition=False))
mutation("template-instance", pump(is_definition=True))
mutation("template-definition-ref", motor(ref="motor"))
mutation("template-instance-ref", pump(ref=NOT_UTF8))
mutation("template-defined", pump(ref="pump"))
mutation("template-members", pump(metrics=(*MOTOR.metrics, Metric("more", value=number(1)))))
mutation("template-all-members", pump(metrics=MOTOR.metrics[:1]))
mutation("template-parameters", pump(parameters=(replace(MOTOR.parameters[0], name="more"),)))
mutation("template-version", motor(version=NOT_UTF8))
mutation("parameter-name", parameter(name=None))
mutation("parameter-name-text", parameter(name=NOT_UTF8))
mutation("parameter-type-form", parameter(type=TOO_LARGE))
mutation("parameter-type-known", parameter(type=16))
mutation("parameter-type", parameter(type=None))
mutation("parameter-value", parameter(value=EXTENSION))

# rebirth and the primary host


def _after_request(*seconds: float, data: int = 0) -> Steps:
    """A rebirth request, then waiting and data, and births at the end."""
    node = Node(1, 0, version=4).connect().births().data(1)
    node.rebirth_request()
    for i, wait_s in enumerate(seconds):
        node.wait(wait_s).data(2 + i + data)
    return node.births().data(90).steps


def _unanswered() -> Steps:
    return Node(1, 0, version=4).connect().births().rebirth_request().wait(12).ddeath("D1").steps


def _other_bdseq() -> Steps:
    node = Node(1, 0, version=4).connect().births().rebirth_request()
    node._bdseq = 9
    return node.births().steps


mutation("rebirth-stop", lambda: _after_request(2.0))
mutation("rebirth-births", _unanswered)
mutation("rebirth-bdseq", _other_bdseq)


def _waiting(*states: tuple[bool, float, str], filters: tuple[str, ...] = (HOST,)) -> Steps:
    """A node that is told these states, and then is born."""
    node = Node(1, 0).connect(*filters)
    for is_online, at_s, host in states:
        node.host(is_online, at_s, id_=host)
    return node.births().steps


mutation("host-wait", lambda: _waiting())
mutation("host-id", lambda: _waiting((True, 1.0, "other")))
mutation("host-online", lambda: _waiting((False, 1.0, "scada")))
mutation(
    "host-timestamp",
    lambda: _waiting((False, 1.0, "scada"), (True, 0.5, "scada")),
)


def _told_offline(after: Callable[[Node], Node]) -> Steps:
    node = Node(1, 0).connect(HOST).host(True, 0).births().host(False, 1)
    return after(node).steps


def _killed(node: Node) -> Node:
    node._add(Closed("node"))
    return node


mutation("host-offline-ndeath", lambda: _told_offline(_killed))
mutation("host-offline", lambda: _told_offline(lambda n: pinging(dead(n).wait(15))))


def dead(node: Node) -> Node:
    node._say("NDEATH", None, (bdseq(0),))
    return node


def pinging(node: Node) -> Node:
    node._add(Sent("node", Other("PINGREQ")))
    return node


mutation("host-subscribe", lambda: _waiting((True, 1.0, "scada"), filters=()), "scada")


def _old_offline() -> Steps:
    node = Node(1, 0).connect(HOST).host(True, 1).births().host(False, 0.5)
    return node.leave().steps


mutation("host-offline-old", _old_offline)

# Demands that break along with the one that is meant, because they say a part of the same.
ALSO = {
    "will-bdseq": "bdseq-next nbirth-bdseq-will",
    "bdseq-next": "nbirth-bdseq-will",
    "leave-ndeath": "leave-ndeath-advised",
    "leave-ndeath-advised": "leave-ndeath",
    "leave-311": "leave-ndeath leave-ndeath-advised",
    "structure": "ddata-seq-next ndata-topic no-device-level",
    "namespace": "ddata-seq-next ndata-topic",
    "group-text": "ndata-topic",
    "group-chars": "ndata-topic",
    "edge-text": "ndata-topic",
    "edge-chars": "ndata-topic",
    "device-level": "ddata-seq-next ddata-topic",
    "no-device-level": "ddata-seq-next ndata-topic",
    "dbirth-node": "dbirth-topic",
    "nbirth-topic": "ncmd-subscribe",
    "nbirth-seq": "nbirth-seq-zero",
    "ndata-seq": "ndata-seq-next",
    "ndata-seq-next": "ddata-seq-next",
    "dbirth-topic": "dbirth-node",
    "dbirth-seq": "dbirth-seq-next",
    "ddata-seq": "ddata-seq-next",
    "ddeath-seq": "ddeath-seq-next",
    "ddeath-seq-next": "ndata-seq-next",
    "birth-first": "dbirth-after-nbirth ddata-order ndata-order template-defined",
    "nbirth-payload": (
        "nbirth-bdseq nbirth-bdseq-will nbirth-seq nbirth-seq-zero "
        "nbirth-timestamp node-known rebirth-metric template-defined"
    ),
    "dbirth-payload": "dbirth-seq dbirth-seq-next dbirth-timestamp device-known",
    "nbirth-seq-zero": "dbirth-seq-next",
    "nbirth-metric": "nbirth-value",
    "dbirth-metric": "dbirth-value",
    "dbirth-after-nbirth": "birth-first ddata-order nbirth-seq-zero template-defined",
    "births-together": "ndata-order",
    "ndata-order": "births-together",
    "metric-name": "node-known",
    "alias-birth": "metric-name nbirth-metric",
    "alias-unique": "device-known",
    "datatype-form": "datatype-known",
    "datatype-birth": "nbirth-metric",
    "property-type-form": "property-type-known",
    "dataset-type-form": "dataset-type-known",
    "dataset-types": "dataset-headers",
    "template-said": "template-instance",
    "template-definition": "template-defined template-instance-ref",
    "template-instance": "template-definition-ref template-in-nbirth",
    "template-definition-ref": "template-instance",
    "template-instance-ref": "template-defined",
    "parameter-type-form": "parameter-type-known",
    "rebirth-bdseq": "nbirth-bdseq-will",
    "host-id": "host-wait",
    "host-online": "host-wait",
    "host-timestamp": "host-wait",
}
