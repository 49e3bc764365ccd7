"""What Sparkplug 3.0 demands of an edge node: the table that rules are judged and counted by. Pure.

A demand is one fact that a recording shows, with the ids of the specification's assertions that it
is part of; an assertion fails when any of its demands does. Those that are not judged stand in
`scope`; both together are every assertion of the specification, once (`TOTAL`). The words are ours;
the ids are the specification's, without their `tck-id-`.
Source: Eclipse Sparkplug 3.0.0, chapters 1 to 6 and 10.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

TOTAL: Final = 299
Level = Literal["must", "should"]


@dataclass(frozen=True, slots=True)
class Demand:
    """`text` says what must (or should) be, `ids` which assertions say so."""

    text: str
    ids: tuple[str, ...]
    level: Level = "must"


_EDGE = "message-flow-edge-node-birth-publish-"
_DEVICE = "message-flow-device-birth-publish-"
_DATA = "operational-behavior-data-publish-"
_REBIRTH = "operational-behavior-data-commands-rebirth-"
_TOPIC = "topic-structure-namespace-"
_TEMPLATE = "payloads-template-"
_END = "operational-behavior-edge-node-"


def _must(text: str, ids: str) -> Demand:
    return Demand(text, tuple(ids.split()))


def _should(text: str, ids: str) -> Demand:
    return Demand(text, tuple(ids.split()), "should")


_CONNECT: Final = {
    "clean-311": _must(
        "CONNECT of MQTT 3.1.1 has Clean Session set", "principles-persistence-clean-session-311"
    ),
    "clean-50": _must(
        "CONNECT of MQTT 5 has Clean Start set and a Session Expiry Interval of 0",
        "principles-persistence-clean-session-50",
    ),
    "will": _must("CONNECT has a Will", f"{_EDGE}will-message payloads-ndeath-will-message"),
    "will-topic": _must(
        "the Will's topic is spBv1.0/<group>/NDEATH/<edge node>",
        f"{_EDGE}will-message-topic topics-ndeath-topic",
    ),
    "will-payload": _must(
        "the Will's payload is Sparkplug protobuf", f"{_EDGE}will-message-payload"
    ),
    "will-bdseq": _must(
        "the Will has a metric bdSeq, datatype Int64, 0 to 255",
        f"{_EDGE}will-message-payload-bdSeq",
    ),
    "bdseq-next": _must(
        "bdSeq is one more than in the CONNECT before; 0 follows 255",
        f"{_EDGE}will-message-payload-bdSeq topics-nbirth-bdseq-increment",
    ),
    "will-qos": _must(
        "the Will has QoS 1", f"{_EDGE}will-message-qos payloads-ndeath-will-message-qos"
    ),
    "will-retain": _must(
        "the Will is not retained",
        f"{_EDGE}will-message-will-retained payloads-ndeath-will-message-retain",
    ),
    "session": _must("births come after the broker has accepted the connection", f"{_EDGE}connect"),
    "ncmd-subscribe": _must(
        "before NBIRTH the node subscribes to its own spBv1.0/<group>/NCMD/<edge node> with QoS 1",
        "message-flow-edge-node-ncmd-subscribe",
    ),
    "dcmd-subscribe": _must(
        "a subscription to device commands is spBv1.0/<group>/DCMD/<edge node>/<device>, QoS 1",
        "message-flow-device-dcmd-subscribe",
    ),
}

_END_OF_SESSION: Final = {
    "ndeath-only-bdseq": _must("NDEATH has bdSeq as its one metric", "topics-ndeath-payload"),
    "ndeath-no-seq": _must("NDEATH has no seq", "topics-ndeath-seq payloads-ndeath-seq"),
    "ndeath-bdseq": _must("NDEATH has the bdSeq of its session's NBIRTH", "payloads-ndeath-bdseq"),
    "ndeath-topic": _must(
        "NDEATH goes to spBv1.0/<group>/NDEATH/<edge node> of this node", "topics-ndeath-topic"
    ),
    "leave-ndeath": _must(
        "before it disconnects of its own will the node publishes NDEATH",
        f"{_END}intentional-disconnect-ndeath",
    ),
    "leave-ndeath-advised": _should(
        "before it disconnects of its own will the node publishes NDEATH",
        "payloads-ndeath-will-message-publisher",
    ),
    "leave-311": _must(
        "in MQTT 3.1.1 NDEATH is published before DISCONNECT",
        "payloads-ndeath-will-message-publisher-disconnect-mqtt311",
    ),
    "leave-50": _must(
        "in MQTT 5 DISCONNECT has reason 0x04, disconnect with Will",
        "payloads-ndeath-will-message-publisher-disconnect-mqtt50",
    ),
}

_TOPICS: Final = {
    "structure": _must(
        "a topic is namespace/group/type/edge node[/device], no level empty", "topic-structure"
    ),
    "namespace": _must("the first level of a topic is spBv1.0", f"{_TOPIC}a"),
    "group-text": _must("a group id is UTF-8", f"intro-group-id-string {_TOPIC}valid-group-id"),
    "group-chars": _must(
        "a group id has no + / # or NUL", f"intro-group-id-chars {_TOPIC}valid-group-id"
    ),
    "edge-text": _must(
        "an edge node id is UTF-8", f"intro-edge-node-id-string {_TOPIC}valid-edge-node-id"
    ),
    "edge-chars": _must(
        "an edge node id has no + / # or NUL",
        f"intro-edge-node-id-chars {_TOPIC}valid-edge-node-id",
    ),
    "device-text": _must("a device id is UTF-8", f"intro-device-id-string {_TOPIC}valid-device-id"),
    "device-chars": _must(
        "a device id has no + / # or NUL", f"intro-device-id-chars {_TOPIC}valid-device-id"
    ),
    "device-level": _must(
        "DBIRTH, DDATA and DDEATH have a device id in their topic",
        f"{_TOPIC}device-id-associated-message-types",
    ),
    "no-device-level": _must(
        "NBIRTH, NDATA and NDEATH have no device id in their topic",
        f"{_TOPIC}device-id-non-associated-message-types",
    ),
    "unique-node": _must(
        "no other client uses this group and edge node id at the same time",
        f"intro-edge-node-id-uniqueness {_TOPIC}unique-edge-node-descriptor"
        " payloads-nbirth-edge-node-descriptor",
    ),
    "case-ids": _should(
        "no two ids differ only in upper and lower case", "case-sensitivity-sparkplug-ids"
    ),
    "case-names": _should(
        "no two metric names differ only in upper and lower case", "case-sensitivity-metric-names"
    ),
    "dbirth-node": _must(
        "DBIRTH has the group and edge node id of the NBIRTH before it",
        f"{_DEVICE}dbirth-match-edge-node-topic",
    ),
}

# What is demanded of several message types alike, and of which assertions it is part, by type.
_TOPIC_IDS = {
    "nbirth": f"topics-nbirth-topic {_EDGE}nbirth-topic",
    "ndata": "topics-ndata-topic",
    "dbirth": f"topics-dbirth-topic {_DEVICE}dbirth-topic",
    "ddata": "topics-ddata-topic",
    "ddeath": "topics-ddeath-topic",
}
_QOS_IDS = {
    "nbirth": f"topics-nbirth-mqtt payloads-nbirth-qos {_EDGE}nbirth-qos",
    "ndata": "topics-ndata-mqtt payloads-ndata-qos",
    "dbirth": f"topics-dbirth-mqtt payloads-dbirth-qos {_DEVICE}dbirth-qos",
    "ddata": "topics-ddata-mqtt payloads-ddata-qos",
    "ddeath": "topics-ddeath-mqtt",
}
_RETAIN_IDS = {
    "nbirth": f"topics-nbirth-mqtt payloads-nbirth-retain {_EDGE}nbirth-retained",
    "ndata": "topics-ndata-mqtt payloads-ndata-retain",
    "dbirth": f"topics-dbirth-mqtt payloads-dbirth-retain {_DEVICE}dbirth-retained",
    "ddata": "topics-ddata-mqtt payloads-ddata-retain",
    "ddeath": "topics-ddeath-mqtt",
}
_SEQ_IDS = {
    "nbirth": f"payloads-nbirth-seq payloads-sequence-num-zero-nbirth {_EDGE}nbirth-payload-seq",
    "ndata": "payloads-ndata-seq",
    "dbirth": f"payloads-dbirth-seq {_DEVICE}dbirth-payload-seq",
    "ddata": "payloads-ddata-seq",
    "ddeath": "payloads-ddeath-seq payloads-ddeath-seq-number",
}
_SEQ_NEXT_IDS = {
    "ndata": "topics-ndata-seq-num payloads-ndata-seq-inc",
    "dbirth": f"topics-dbirth-seq payloads-dbirth-seq-inc {_DEVICE}dbirth-payload-seq",
    "ddata": "topics-ddata-seq-num payloads-ddata-seq-inc",
    "ddeath": "topics-ddeath-seq-num payloads-ddeath-seq-inc",
}


def _each_kind() -> Iterator[tuple[str, Demand]]:
    for kind, ids in _TOPIC_IDS.items():
        name = kind.upper()
        form = f"spBv1.0/<group>/{name}/<edge node>" + "/<device>" * (kind[0] == "d")
        yield f"{kind}-topic", _must(f"{name} goes to {form} of this node", ids)
        yield f"{kind}-qos", _must(f"{name} has QoS 0", _QOS_IDS[kind])
        yield f"{kind}-retain", _must(f"{name} is not retained", _RETAIN_IDS[kind])
        always = "payloads-sequence-num-always-included"
        yield f"{kind}-seq", _must(f"{name} has a seq from 0 to 255", f"{_SEQ_IDS[kind]} {always}")
        if kind != "nbirth":
            yield (
                f"{kind}-seq-next",
                _must(
                    f"the seq of {name} is one more than that of the message before; 0 follows 255",
                    f"{_SEQ_NEXT_IDS[kind]} payloads-sequence-num-incrementing",
                ),
            )
        stamped = f"payloads-{kind}-timestamp" + f" topics-{kind}-timestamp" * (kind != "ddeath")
        yield f"{kind}-timestamp", _must(f"{name} has a timestamp", stamped)
        yield (
            f"{kind}-sent",
            _must(
                f"the timestamp of {name} is when it was sent, in milliseconds of UTC",
                f"payloads-{kind}-timestamp payloads-timestamp-in-UTC",
            ),
        )


_BIRTHS: Final = {
    "birth-first": _must(
        "the first message of a session is NBIRTH", "principles-birth-certificates-order"
    ),
    "nbirth-payload": _must("NBIRTH is Sparkplug protobuf", f"{_EDGE}nbirth-payload"),
    "dbirth-payload": _must("DBIRTH is Sparkplug protobuf", f"{_DEVICE}dbirth-payload"),
    "nbirth-seq-zero": _must("the seq of NBIRTH is 0", "topics-nbirth-seq-num"),
    "nbirth-bdseq": _must(
        "NBIRTH has a metric bdSeq, datatype Int64",
        f"topics-nbirth-bdseq-included payloads-nbirth-bdseq {_EDGE}nbirth-payload-bdSeq",
    ),
    "nbirth-bdseq-will": _must(
        "bdSeq in NBIRTH is that of the Will",
        "topics-nbirth-bdseq-matching payloads-nbirth-bdseq-repeat"
        f" {_EDGE}nbirth-payload-bdSeq payloads-ndeath-bdseq",
    ),
    "rebirth-metric": _must(
        "NBIRTH has a metric Node Control/Rebirth",
        f"topics-nbirth-rebirth-metric payloads-nbirth-rebirth-req {_REBIRTH}name",
    ),
    "rebirth-alias": _must("Node Control/Rebirth has no alias", f"{_REBIRTH}name-aliases"),
    "rebirth-datatype": _must(
        "Node Control/Rebirth is a Boolean", f"topics-nbirth-rebirth-metric {_REBIRTH}datatype"
    ),
    "rebirth-value": _must(
        "Node Control/Rebirth is false",
        f"topics-nbirth-rebirth-metric payloads-nbirth-rebirth-req {_REBIRTH}value",
    ),
    "nbirth-metric": _must(
        "each metric of NBIRTH has name, datatype and value (or is_null)", "topics-nbirth-metrics"
    ),
    "dbirth-metric": _must(
        "each metric of DBIRTH has name, datatype and value (or is_null)", "topics-dbirth-metrics"
    ),
    "nbirth-value": _must(
        "each metric of NBIRTH has either a value or is_null", f"{_DATA}nbirth-values"
    ),
    "dbirth-value": _must(
        "each metric of DBIRTH has either a value or is_null", f"{_DATA}dbirth-values"
    ),
    "dbirth-after-nbirth": _must(
        "NBIRTH comes before DBIRTH in each session", f"{_DEVICE}nbirth-wait"
    ),
    "births-together": _must(
        "the DBIRTHs of devices that live follow NBIRTH before any DATA", "payloads-dbirth-order"
    ),
}

_CONTENT: Final = {
    "ndata-order": _must(
        "NDATA comes after NBIRTH and the DBIRTHs of all devices that live", "payloads-ndata-order"
    ),
    "ddata-order": _must(
        "DDATA comes after NBIRTH and the DBIRTHs of all devices that live, its own device's too",
        "payloads-ddata-order",
    ),
    "node-known": _must(
        "each metric of NDATA was in NBIRTH", f"topics-nbirth-metric-reqs {_DATA}nbirth"
    ),
    "device-known": _must(
        "each metric of DDATA was in the device's DBIRTH",
        f"topics-dbirth-metric-reqs {_DATA}dbirth",
    ),
    "ndata-change": _should(
        "NDATA is sent when something has changed",
        f"{_DATA}nbirth-change principles-rbe-recommended",
    ),
    "ddata-change": _should(
        "DDATA is sent when something has changed",
        f"{_DATA}dbirth-change principles-rbe-recommended",
    ),
    "node-chronological": _must(
        "metrics of NBIRTH and NDATA that are not historical stand in the order of their time",
        f"{_DATA}nbirth-order",
    ),
    "device-chronological": _must(
        "metrics of DBIRTH and DDATA that are not historical stand in the order of their time",
        f"{_DATA}dbirth-order",
    ),
    "metric-name": _must("a metric has a name, or an alias in DATA", "payloads-name-requirement"),
    "alias-birth": _must(
        "a metric with an alias has its name in births, too", "payloads-alias-birth-requirement"
    ),
    "alias-unique": _must(
        "an alias stands for one metric of the edge node and its devices",
        "payloads-alias-uniqueness",
    ),
    "alias-data": _must(
        "in DATA a metric with an alias has its alias and no name",
        "payloads-alias-data-cmd-requirement",
    ),
    "metric-timestamp": _must(
        "each metric of births and DATA has a timestamp", "payloads-name-birth-data-requirement"
    ),
    "metric-utc": _must(
        "a metric's timestamp is in milliseconds of UTC: after 2000 and not ahead",
        "payloads-metric-timestamp-in-UTC",
    ),
    "datatype-form": _must(
        "a datatype fits 32 bits without a sign", "payloads-metric-datatype-value-type"
    ),
    "datatype-known": _must(
        "a metric's datatype is one that metrics may have", "payloads-metric-datatype-value"
    ),
    "datatype-birth": _must("each metric of births has a datatype", "payloads-metric-datatype-req"),
    "datatype-data": _should(
        "metrics of DATA have no datatype", "payloads-metric-datatype-not-req"
    ),
    "property-count": _must(
        "a property set has as many values as keys",
        "payloads-propertyset-keys-array-size payloads-propertyset-values-array-size",
    ),
    "property-type-form": _must(
        "a property's type fits 32 bits without a sign",
        "payloads-metric-propertyvalue-type-type",
    ),
    "property-type-known": _must(
        "a property's type is a basic one, PropertySet or PropertySetList",
        "payloads-metric-propertyvalue-type-value",
    ),
    "property-type": _must(
        "each property in births has a type", "payloads-metric-propertyvalue-type-req"
    ),
    "quality-type": _must(
        "the property Quality is of type 3, Int32", "payloads-propertyset-quality-value-type"
    ),
    "quality-value": _must(
        "the property Quality is the int_value 0, 192 or 500",
        "payloads-propertyset-quality-value-value",
    ),
    "dataset-count": _must(
        "a data set has the count of its columns", "payloads-dataset-column-size"
    ),
    "dataset-headers": _must(
        "a data set has as many types as columns",
        "payloads-dataset-column-num-headers payloads-dataset-types-num",
    ),
    "dataset-type-form": _must(
        "a data set's types fit 32 bits without a sign",
        "payloads-dataset-types-def payloads-dataset-types-type",
    ),
    "dataset-type-known": _must(
        "a data set's types are basic ones", "payloads-dataset-types-value"
    ),
    "dataset-types": _must("a data set has types", "payloads-dataset-parameter-type-req"),
    "dataset-value": _must(
        "an element of a data set is a number, a Boolean or text", f"{_TEMPLATE}dataset-value"
    ),
}

_TEMPLATES: Final = {
    "template-said": _must(
        "a template says whether it is a definition", f"{_TEMPLATE}is-definition"
    ),
    "template-in-nbirth": _must(
        "template definitions are in NBIRTH alone", f"{_TEMPLATE}definition-nbirth-only"
    ),
    "template-definition": _must(
        "a template without template_ref has is_definition true",
        f"{_TEMPLATE}definition-is-definition {_TEMPLATE}is-definition-definition",
    ),
    "template-instance": _must(
        "a template with template_ref has is_definition false",
        f"{_TEMPLATE}instance-is-definition {_TEMPLATE}is-definition-instance",
    ),
    "template-definition-ref": _must(
        "a template definition has no template_ref",
        f"{_TEMPLATE}definition-ref {_TEMPLATE}ref-definition",
    ),
    "template-instance-ref": _must(
        "a template instance has a template_ref in UTF-8",
        f"{_TEMPLATE}instance-ref {_TEMPLATE}ref-instance",
    ),
    "template-defined": _must(
        "the definition of each template instance is in NBIRTH",
        f"topics-nbirth-templates {_TEMPLATE}definition-nbirth",
    ),
    "template-members": _must(
        "an instance's members are in its definition",
        f"{_TEMPLATE}instance-members {_TEMPLATE}definition-members",
    ),
    "template-all-members": _must(
        "in births an instance has all members of its definition",
        f"{_TEMPLATE}instance-members-birth",
    ),
    "template-parameters": _must(
        "an instance's parameters are in its definition", f"{_TEMPLATE}definition-parameters"
    ),
    "template-version": _must("a template's version is UTF-8", f"{_TEMPLATE}version"),
    "parameter-name": _must(
        "each parameter of a template has a name", f"{_TEMPLATE}parameter-name-required"
    ),
    "parameter-name-text": _must(
        "the name of a template's parameter is UTF-8", f"{_TEMPLATE}parameter-name-type"
    ),
    "parameter-type-form": _must(
        "the type of a template's parameter fits 32 bits without a sign",
        f"{_TEMPLATE}parameter-value-type",
    ),
    "parameter-type-known": _must(
        "the type of a template's parameter is a basic one", f"{_TEMPLATE}parameter-type-value"
    ),
    "parameter-type": _must(
        "in births each parameter of a template has a type", f"{_TEMPLATE}parameter-type-req"
    ),
    "parameter-value": _must(
        "the value of a template's parameter is a number, a Boolean or text",
        f"{_TEMPLATE}parameter-value",
    ),
}

_COMMANDS: Final = {
    "rebirth-stop": _must("after a rebirth request DATA ends until NBIRTH", f"{_REBIRTH}action-1"),
    "rebirth-births": _must(
        "a rebirth request is followed by NBIRTH and the DBIRTH of each device that lives",
        f"{_REBIRTH}action-2",
    ),
    "rebirth-bdseq": _must(
        "NBIRTH after a rebirth request has the bdSeq of the Will", f"{_REBIRTH}action-3"
    ),
    "host-subscribe": _must(
        "a node with a primary host subscribes to spBv1.0/STATE/<host>",
        "operational-behavior-primary-application-state-with-multiple-servers-state-subs",
    ),
    "host-wait": _must(
        "births wait until the primary host is online",
        f"{_EDGE}phid-wait {_END}birth-sequence-wait",
    ),
    "host-id": _must("another host's STATE is not the primary host's", f"{_EDGE}phid-wait-id"),
    "host-online": _must(
        "a STATE with online false does not let births begin", f"{_EDGE}phid-wait-online"
    ),
    "host-timestamp": _must(
        "an online STATE older than the one before does not let births begin",
        f"{_EDGE}phid-wait-timestamp",
    ),
    "host-offline-ndeath": _must(
        "when the primary host goes offline the node publishes NDEATH at once, nothing more",
        f"{_EDGE}phid-offline",
    ),
    "host-offline": _must(
        "when the primary host goes offline the node leaves the broker",
        f"{_EDGE}phid-offline {_END}termination-host-offline",
    ),
    "host-offline-old": _must(
        "an offline STATE older than the last online one does not make the node leave",
        f"{_END}termination-host-offline-timestamp",
    ),
}

DEMANDS: Final[Mapping[str, Demand]] = {
    **_CONNECT, **_END_OF_SESSION, **_TOPICS, **dict(_each_kind()), **_BIRTHS, **_CONTENT,
    **_TEMPLATES, **_COMMANDS,
}  # fmt: skip


def _by_id() -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for key, demand in DEMANDS.items():
        for rule in demand.ids:
            found[rule] = (*found.get(rule, ()), key)
    return found


# The assertions that are judged, and the demands of each.
RULES: Final[Mapping[str, tuple[str, ...]]] = _by_id()


def level_of(rule: str) -> Level:
    """Whether the assertion is a MUST; one of demands of both levels is."""
    levels = {DEMANDS[key].level for key in RULES[rule]}
    return "must" if "must" in levels else "should"
