"""schema.py: editors know the form of the files that people write."""

import json
import tomllib
from importlib import resources
from pathlib import Path

import jsonschema
import pytest

from shorewatch.assets import asset_folder
from shorewatch.schema import schemas


@pytest.fixture(scope="module")
def checkers() -> dict[str, jsonschema.Draft202012Validator]:
    found = {}
    for name, text in schemas().items():
        if not name.endswith(".schema.json"):
            continue
        schema = json.loads(text)
        jsonschema.Draft202012Validator.check_schema(schema)
        found[name.partition(".")[0]] = jsonschema.Draft202012Validator(schema)
    return found


def shipped(kind: str) -> list[Path]:
    folders = {
        "station": (asset_folder("stations"), "*.toml"),
        "cable": (asset_folder("stations") / "cables", "*.toml"),
        "profile": (Path(str(resources.files("shorewatch"))) / "profiles", "*.toml"),
        "board": (asset_folder("boards"), "*/board.toml"),
    }
    folder, pattern = folders[kind]
    return sorted(folder.glob(pattern))


@pytest.mark.parametrize("kind", ["station", "cable", "profile", "board"])
def test_what_we_ship_is_right_by_its_schema(checkers, kind):
    """Every shipped file of each kind is valid by the schema that an editor would use."""
    paths = shipped(kind)
    assert paths
    for path in paths:
        errors = list(checkers[kind].iter_errors(tomllib.loads(path.read_text())))
        assert errors == [], path


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("size_mb_max", "size_mb"),
        ("baud = 19200", "baud = 19201"),
        ('normally = "closed"', 'normally = "shut"'),
        ("unit_id = 1\n", "unit_id = 0\n"),
    ],
)
def test_a_mistake_of_form_is_seen(checkers, station_text, before, after):
    """An unknown key, a speed that is none, a word that is none and a unit out of range show."""
    door = '[[board.input]]\nid = "door"\nname = "Door"\ninput = 5\nnormally = "closed"\n'
    text = station_text.replace("[board.link]", door + "[board.link]", 1)
    assert before in text

    assert checkers["station"].is_valid(tomllib.loads(text))
    assert not checkers["station"].is_valid(tomllib.loads(text.replace(before, after, 1)))
