"""JSON Schemas of the files that people write, and of what goes over MQTT.

Those of files are for editors that check and complete while typing: mistakes of form (a key, a
type, a range); what only the whole file shows is said by `shorewatch check`. Those of MQTT are for
a NOC: one for each payload, and all of it as one AsyncAPI document. What the page answers to
programs is an OpenAPI document. JSON Schema draft 2020-12; versions are those of the program.
"""

import json
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any, Final

from shorewatch.cable.file import CableFile
from shorewatch.config import BoardFile, StationFile
from shorewatch.mqtt.asyncapi import asyncapi
from shorewatch.mqtt.payload import payload_schemas
from shorewatch.openapi.document import openapi
from shorewatch.profile import Profile
from shorewatch.texts import english
from shorewatch.toml import Table

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_FILES: Final[Mapping[str, tuple[type[Table], str]]] = {
    "station": (StationFile, "A station of Shorewatch: station.toml"),
    "profile": (Profile, "A device type of Shorewatch: profiles/<id>.toml"),
    "cable": (CableFile, "A cable of Shorewatch: what fault location knows of it"),
    "board": (BoardFile, "A board type of Shorewatch: boards/<type>/board.toml"),
}


def schemas() -> dict[str, str]:
    """File name to its content, each JSON with a line end.

    station.schema.json and so on for files, mqtt-state.schema.json and so on, asyncapi.json,
    openapi.json. And page-texts.json, the page's words in English, to be translated.
    """
    files = {
        name: {**shape.model_json_schema(), **_head(), "title": title}
        for name, (shape, title) in _FILES.items()
    }
    payloads = {f"mqtt-{name}": found | _head() for name, found in payload_schemas().items()}
    named = {f"{name}.schema.json": found for name, found in (files | payloads).items()}
    return {
        name: json.dumps(found, indent=2, ensure_ascii=False) + "\n"
        for name, found in (
            named
            | {"asyncapi.json": asyncapi(), "openapi.json": openapi()}
            | {"page-texts.json": english().by_key}
        ).items()
    }


def _head() -> dict[str, Any]:
    return {"$schema": _DIALECT, "$comment": f"Shorewatch {version('shorewatch')}"}
