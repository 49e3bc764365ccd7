"""JSON Schemas of the files that people write, for editors that check and complete while typing.

An editor finds mistakes of form (a key, a type, a range); what only the whole file shows is said by
`shorewatch check`. JSON Schema draft 2020-12; dates and versions are those of the program.
"""

import json
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any, Final

from shorewatch.config import BoardFile, StationFile
from shorewatch.profile import Profile
from shorewatch.toml import Table

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_FILES: Final[Mapping[str, tuple[type[Table], str]]] = {
    "station": (StationFile, "A station of Shorewatch: station.toml"),
    "profile": (Profile, "A device type of Shorewatch: profiles/<id>.toml"),
    "board": (BoardFile, "A board type of Shorewatch: boards/<type>/board.toml"),
}


def schemas() -> dict[str, str]:
    """File name to its content: station.schema.json and so on, each JSON with a line end."""
    return {
        f"{name}.schema.json": json.dumps(_schema(shape, title), indent=2, ensure_ascii=False)
        + "\n"
        for name, (shape, title) in _FILES.items()
    }


def _schema(shape: type[Table], title: str) -> dict[str, Any]:
    found = shape.model_json_schema()
    head = {"$schema": _DIALECT, "title": title, "$comment": f"Shorewatch {version('shorewatch')}"}
    return {**found, **head}
