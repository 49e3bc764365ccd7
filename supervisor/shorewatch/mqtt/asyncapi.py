"""The JSON plane as one AsyncAPI 3.0 document: channels, operations, messages, schemas. Pure.

The station is the application: what it publishes is an operation `send`, what it hears `receive`.
Bindings say QoS and retain of each, and what the Will is. The schemas are those of payload.py.
Source: AsyncAPI Specification 3.0.0; MQTT bindings 0.2.0.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Final

from shorewatch.mqtt import topics
from shorewatch.mqtt.client import KEEPALIVE_S
from shorewatch.mqtt.payload import payload_schemas

_BINDING: Final = "0.2.0"
_PREFIX: Final = f"{topics.ROOT}/{{cable}}/{{station}}"
_PARAMETERS: Final[Mapping[str, str]] = {
    "cable": "The cable's id",
    "station": "The landing station's id, unique on its cable",
    "device": "A device's id, unique in the station",
    "alarm": "An alarm's id, unique in the station",
    "consumer": "A consumer as the station file names it",
    "identity": "A requester as the station file names it",
    "request": "The id of a request",
}


@dataclass(frozen=True, slots=True)
class _Channel:
    """One topic: its address, what it carries, how, and what for."""

    name: str
    address: str
    is_in: bool
    qos: int
    is_retained: bool
    does: str
    expiry: str | None = None


_CHANNELS: Final = (
    _Channel("state", topics.state_topic(_PREFIX), False, 1, True,
             "Whether the station lives; repeated every 30 s, and the Will"),
    _Channel("birth", topics.birth_topic(_PREFIX, "{device}"), False, 1, True,
             "Every point of a device; emptied when the device is no more"),
    _Channel("now", topics.now_topic(_PREFIX, "{device}"), False, 0, True,
             "A device's last values; emptied when the device is no more",
             "The shortest maximum age of the device's points, in whole seconds"),
    _Channel("alarms", topics.alarms_topic(_PREFIX), False, 1, True,
             "Every alarm that is not normal"),
    _Channel("alarm", topics.alarm_topic(_PREFIX, "{alarm}"), False, 1, True,
             "One alarm; emptied when it is normal again"),
    _Channel("journal", topics.journal_topic(_PREFIX), False, 1, False,
             "Numbered records, strictly ascending"),
    _Channel("ack", topics.ack_topic(_PREFIX, "{consumer}"), True, 1, True,
             "How far a consumer has the journal"),
    _Channel("request", topics.request_topic(_PREFIX, "{identity}"), True, 1, False,
             "Something that is asked of the station, signed; `request-text` stands in it"),
    _Channel("reply", topics.reply_topic(_PREFIX, "{identity}", "{request}"), False, 1, False,
             "What became of a request"),
    _Channel("records", topics.records_topic(_PREFIX, "{identity}", "{request}"), False, 1, False,
             "The records that a replay brings"),
)  # fmt: skip


def asyncapi() -> dict[str, Any]:
    """The document as a JSON object."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Shorewatch, JSON plane",
            "version": version("shorewatch"),
            "description": "What a landing station's gateway publishes and hears on MQTT 5. Times"
            " are RFC 3339 in UTC. An integer past 2^53 - 1 is a decimal text.",
        },
        "defaultContentType": "application/json",
        "servers": {"broker": _server()},
        "channels": {channel.name: _channel(channel) for channel in _CHANNELS},
        "operations": dict(_operation(channel) for channel in _CHANNELS),
        "components": {
            "messages": {channel.name: _message(channel) for channel in _CHANNELS},
            "parameters": {name: {"description": text} for name, text in _PARAMETERS.items()},
            "schemas": _schemas(),
        },
    }


def _server() -> dict[str, Any]:
    will = {"topic": topics.state_topic(_PREFIX), "qos": 1, "retain": True}
    session = {"cleanSession": True, "keepAlive": KEEPALIVE_S, "sessionExpiryInterval": 0}
    return {
        "host": "{host}:{port}",
        "protocol": "mqtts",
        "protocolVersion": "5.0",
        "variables": {"host": {"default": "localhost"}, "port": {"default": "8883"}},
        "bindings": {
            "mqtt": {
                **session,
                "lastWill": will | {"message": "state, offline: connection lost"},
                "bindingVersion": _BINDING,
            }
        },
    }


def _channel(channel: _Channel) -> dict[str, Any]:
    names = [name for name in _PARAMETERS if f"{{{name}}}" in channel.address]
    return {
        "address": channel.address,
        "description": channel.does,
        "messages": {channel.name: {"$ref": f"#/components/messages/{channel.name}"}},
        "parameters": {name: {"$ref": f"#/components/parameters/{name}"} for name in names},
    }


def _operation(channel: _Channel) -> tuple[str, dict[str, Any]]:
    mqtt: dict[str, Any] = {"qos": channel.qos, "retain": channel.is_retained}
    if channel.expiry is not None:
        mqtt["messageExpiryInterval"] = {
            "type": "integer", "minimum": 1, "description": channel.expiry
        }  # fmt: skip
    found: dict[str, Any] = {
        "action": "receive" if channel.is_in else "send",
        "channel": {"$ref": f"#/channels/{channel.name}"},
        "summary": channel.does,
        "messages": [{"$ref": f"#/channels/{channel.name}/messages/{channel.name}"}],
        "bindings": {"mqtt": mqtt | {"bindingVersion": _BINDING}},
    }
    if channel.name == "request":
        found["reply"] = {
            "channel": {"$ref": "#/channels/reply"},
            "messages": [{"$ref": "#/channels/reply/messages/reply"}],
        }
    return f"{'hear' if channel.is_in else 'publish'}-{channel.name}", found


def _message(channel: _Channel) -> dict[str, Any]:
    return {
        "name": channel.name,
        "summary": channel.does,
        "contentType": "application/json",
        "payload": {"$ref": f"#/components/schemas/{channel.name}"},
    }


def _schemas() -> dict[str, Any]:
    """All schemas side by side; each class stands once, under its own name."""
    found: dict[str, Any] = {}
    for name, schema in payload_schemas("#/components/schemas/{model}").items():
        for model, shape in schema.pop("$defs", {}).items():
            assert found.setdefault(model, shape) == shape, f"two classes are called {model}"
        found[name] = schema
    return found
