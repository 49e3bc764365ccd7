"""The assertions that are not judged, each with its reason. Pure.

With demands.RULES these are all assertions of the specification: a count of what is covered is a
count of this table.
"""

from collections.abc import Mapping
from typing import Final

_PERMISSION = "a permission: nothing can break it"
_CHANGED = "what has changed inside the node is not seen from outside, only what it says"
_SERVERS = "one broker is watched; the list of brokers stands in the node's configuration"

UNJUDGED: Final[Mapping[str, str]] = {
    "topic-structure-namespace-duplicate-device-id-across-edge-node": _PERMISSION,
    "operational-behavior-edge-node-intentional-disconnect-packet": _PERMISSION,
    "payloads-template-definition-parameters-default": _PERMISSION,
    "payloads-template-instance-members-data": _PERMISSION,
    "payloads-template-instance-parameters": _PERMISSION,
    "topics-ndata-payload": _CHANGED,
    "topics-ddata-payload": _CHANGED,
    "topic-structure-namespace-unique-device-id": (
        "two devices under one id look like one device that is born twice"
    ),
    "operational-behavior-device-ddeath": (
        "that a node has lost its device is not seen from outside"
    ),
    "operational-behavior-edge-node-termination-host-offline-reconnect": _SERVERS,
    "operational-behavior-primary-application-state-with-multiple-servers-single-server": _SERVERS,
    "operational-behavior-primary-application-state-with-multiple-servers-walk": _SERVERS,
}


def _named(head: str, tails: str) -> list[str]:
    return [head + tail for tail in tails.split()]


_HOSTS = [
    "conformance-primary-host", "intro-sparkplug-host-state", "components-ph-state",
    "message-flow-hid-sparkplug-state-message-delivered",
    "payloads-name-cmd-requirement",
    *_named("topics-ncmd-", "topic mqtt timestamp payload"),
    *_named("topics-dcmd-", "topic mqtt timestamp payload"),
    *_named("payloads-ncmd-", "timestamp seq qos retain"),
    *_named("payloads-dcmd-", "timestamp seq qos retain"),
    *_named(
        "host-topic-phid-birth-",
        "message qos retain topic sub-required required payload payload-timestamp",
    ),
    *_named(
        "host-topic-phid-death-",
        "qos retain topic required payload payload-connect payload-disconnect-clean"
        " payload-disconnect-with-no-disconnect-packet",
    ),
    *_named(
        "message-flow-phid-sparkplug-",
        "clean-session-311 clean-session-50 subscription state-publish state-publish-payload"
        " state-publish-payload-timestamp",
    ),
    *_named(
        "operational-behavior-edge-node-termination-host-action-",
        "ndeath-node-offline ndeath-node-tags-stale ndeath-devices-offline"
        " ndeath-devices-tags-stale ddeath-devices-offline ddeath-devices-tags-stale",
    ),
    *_named("operational-behavior-host-reordering-", "param start rebirth success"),
    "operational-behavior-primary-application-state-with-multiple-servers-state",
    *_named(
        "operational-behavior-host-application-",
        "host-id connect-will connect-will-topic connect-will-payload connect-will-qos"
        " connect-will-retained connect-birth connect-birth-topic connect-birth-payload"
        " connect-birth-qos connect-birth-retained multi-server-timestamp termination death-topic"
        " death-payload death-qos death-retained disconnect-intentional",
    ),
    *_named(
        "operational-behavior-data-commands-",
        "ncmd-rebirth-verb ncmd-rebirth-name ncmd-rebirth-value ncmd-verb ncmd-metric-name"
        " ncmd-metric-value dcmd-verb dcmd-metric-name dcmd-metric-value",
    ),
    *_named(
        "payloads-state-",
        "will-message will-message-qos will-message-retain will-message-payload subscribe birth"
        " birth-payload",
    ),
]  # fmt: skip
_BROKERS = _named(
    "conformance-mqtt-",
    "qos0 qos1 will-messages retained aware-basic aware-store aware-nbirth-mqtt-topic"
    " aware-nbirth-mqtt-retain aware-dbirth-mqtt-topic aware-dbirth-mqtt-retain"
    " aware-ndeath-timestamp",
)
OTHERS: Final[Mapping[str, str]] = {
    **dict.fromkeys(_HOSTS, "on host applications"),
    **dict.fromkeys(_BROKERS, "on MQTT brokers"),
}
