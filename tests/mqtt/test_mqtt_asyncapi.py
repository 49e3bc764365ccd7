"""asyncapi.py: the document is what AsyncAPI 3.0 demands, and says what the station does."""

import json
import re
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest

from shorewatch.mqtt import topics
from shorewatch.mqtt.asyncapi import asyncapi

# Source: AsyncAPI Specification 3.0.0, the fixed fields of each object.
FIELDS = {
    "document": {"asyncapi", "id", "info", "servers", "defaultContentType", "channels",
                 "operations", "components"},
    "info": {"title", "version", "description", "termsOfService", "contact", "license", "tags",
             "externalDocs"},
    "server": {"host", "protocol", "protocolVersion", "pathname", "description", "title",
               "summary", "variables", "security", "tags", "externalDocs", "bindings"},
    "variable": {"enum", "default", "description", "examples"},
    "channel": {"address", "messages", "title", "summary", "description", "servers", "parameters",
                "tags", "externalDocs", "bindings"},
    "parameter": {"enum", "default", "description", "examples", "location"},
    "operation": {"action", "channel", "title", "summary", "description", "security", "tags",
                  "externalDocs", "bindings", "traits", "messages", "reply"},
    "reply": {"address", "channel", "messages"},
    "message": {"headers", "payload", "correlationId", "contentType", "name", "title", "summary",
                "description", "tags", "externalDocs", "bindings", "examples", "traits"},
    "components": {"schemas", "servers", "channels", "operations", "messages", "securitySchemes",
                   "serverVariables", "parameters", "correlationIds", "replies", "replyAddresses",
                   "externalDocs", "tags", "operationTraits", "messageTraits", "serverBindings",
                   "channelBindings", "operationBindings", "messageBindings"},
    # Source: MQTT bindings 0.2.0.
    "mqtt server": {"clientId", "cleanSession", "lastWill", "keepAlive", "sessionExpiryInterval",
                    "maximumPacketSize", "bindingVersion"},
    "mqtt will": {"topic", "qos", "message", "retain"},
    "mqtt operation": {"qos", "retain", "messageExpiryInterval", "bindingVersion"},
}  # fmt: skip
NAME = re.compile(r"^[a-zA-Z0-9.\-_]+$")
PLACE = re.compile(r"\{([^}]*)\}")


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(asyncapi()))
    return found


def references(found: object) -> Iterator[str]:
    if isinstance(found, dict):
        if "$ref" in found:
            assert found.keys() == {"$ref"}, f"nothing stands beside a reference: {found}"
            yield found["$ref"]
        for value in found.values():
            yield from references(value)
    elif isinstance(found, list):
        for value in found:
            yield from references(value)


def resolved(document: dict[str, Any], reference: str) -> Any:
    assert reference.startswith("#/")
    found: Any = document
    for part in reference[2:].split("/"):
        found = found[part]
    return found


def test_every_object_has_known_and_needed_fields(document) -> None:  # type: ignore[no-untyped-def]
    """No object of the document has fields that the specification does not know, or lacks one."""
    assert document["asyncapi"] == "3.0.0"
    assert {"asyncapi", "info"} <= document.keys() <= FIELDS["document"]
    assert {"title", "version"} <= document["info"].keys() <= FIELDS["info"]
    assert document["components"].keys() <= FIELDS["components"]
    for server in document["servers"].values():
        assert {"host", "protocol"} <= server.keys() <= FIELDS["server"]
        assert set(PLACE.findall(server["host"])) == server["variables"].keys()
        for variable in server["variables"].values():
            assert variable.keys() <= FIELDS["variable"]
        assert server["bindings"]["mqtt"].keys() <= FIELDS["mqtt server"]
        assert server["bindings"]["mqtt"]["lastWill"].keys() <= FIELDS["mqtt will"]
    for channel in document["channels"].values():
        assert channel.keys() <= FIELDS["channel"]
    for message in document["components"]["messages"].values():
        assert message.keys() <= FIELDS["message"]
    for parameter in document["components"]["parameters"].values():
        assert parameter.keys() <= FIELDS["parameter"]
    for operation in document["operations"].values():
        assert {"action", "channel"} <= operation.keys() <= FIELDS["operation"]
        assert operation["action"] in ("send", "receive")
        assert operation["bindings"]["mqtt"].keys() <= FIELDS["mqtt operation"]
        assert operation.get("reply", {}).keys() <= FIELDS["reply"]


def test_every_reference_is_to_something(document) -> None:  # type: ignore[no-untyped-def]
    """Each $ref names something in the document, and nothing in `components` is named by none."""
    found = set(references(document))
    for reference in found:
        assert resolved(document, reference) is not None
    parts = {
        f"#/components/{kind}/{name}"
        for kind, entries in document["components"].items()
        for name in entries
    }
    signed_text = {"#/components/schemas/request-text"}
    assert parts - found == signed_text


def test_names_are_such_as_may_be(document) -> None:  # type: ignore[no-untyped-def]
    """Keys of components, channels and operations are made of the letters that may be."""
    groups = [*document["components"].values(), document["channels"], document["operations"]]
    for group in groups:
        for name in group:
            assert NAME.match(name), name


def test_a_channel_names_the_parameters_of_its_address(document) -> None:  # type: ignore[no-untyped-def]
    """The parameters are those in the address, and no two channels have one address."""
    addresses = [channel["address"] for channel in document["channels"].values()]
    assert len(set(addresses)) == len(addresses)
    for channel in document["channels"].values():
        assert set(PLACE.findall(channel["address"])) == channel["parameters"].keys()


def test_operations_speak_of_messages_of_their_channel(document) -> None:  # type: ignore[no-untyped-def]
    """An operation and its reply refer to a channel, and to messages of that channel only."""
    for operation in document["operations"].values():
        for part in (operation, operation.get("reply", operation)):
            channel = part["channel"]["$ref"]
            assert re.fullmatch(r"#/channels/[a-z]+", channel)
            for message in part["messages"]:
                assert message["$ref"].startswith(f"{channel}/messages/")


def test_every_schema_is_one_in_words_of_every_dialect(document) -> None:  # type: ignore[no-untyped-def]
    """Schemas are valid as draft 7, which AsyncAPI builds on, and use no word that came later."""
    schemas = document["components"]["schemas"]
    for schema in schemas.values():
        jsonschema.Draft7Validator.check_schema(schema)
    text = json.dumps(schemas)
    for word in ("$defs", "prefixItems", "discriminator", "unevaluatedProperties", "$dynamicRef"):
        assert f'"{word}"' not in text


def test_every_topic_of_ours_is_a_channel(document) -> None:  # type: ignore[no-untyped-def]
    """What topics.py names is in the document, each address as the code would make it."""
    prefix = "shorewatch/v1/{cable}/{station}"
    wanted = {
        topics.state_topic(prefix), topics.birth_topic(prefix, "{device}"),
        topics.now_topic(prefix, "{device}"), topics.alarms_topic(prefix),
        topics.alarm_topic(prefix, "{alarm}"), topics.journal_topic(prefix),
        topics.ack_topic(prefix, "{consumer}"), topics.request_topic(prefix, "{identity}"),
        topics.reply_topic(prefix, "{identity}", "{request}"),
        topics.records_topic(prefix, "{identity}", "{request}"),
    }  # fmt: skip
    assert {channel["address"] for channel in document["channels"].values()} == wanted


async def test_the_bindings_say_what_is_retained(
    guarded, bench, listening, until, document
) -> None:  # type: ignore[no-untyped-def]
    """Who comes late finds exactly those channels of a station that the document calls retained."""
    await guarded.start("topic readwrite #\n")
    wanted = {
        operation["channel"]["$ref"].rpartition("/")[2]
        for operation in document["operations"].values()
        if operation["action"] == "send" and operation["bindings"]["mqtt"]["retain"]
    }
    async with bench(guarded.url) as b, listening(guarded.port) as early:
        b.alarms.become("lid-open", "unacknowledged")
        await b.write(3)
        await until(lambda: early.of("/journal") and early.of("/alarm/lid-open"))
        await until(lambda: {m.topic.split("/")[4] for m in early.messages} > wanted)
        async with listening(guarded.port) as late:
            await until(lambda: {m.topic.split("/")[4] for m in late.messages} >= wanted)
            retained = {m.topic.split("/")[4] for m in late.messages if m.is_retained}
    assert retained == wanted
