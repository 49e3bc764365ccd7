"""Golden vectors: registers to values, as the documents of their devices say."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from shorewatch.conversion import Doubt
from shorewatch.model import Quality, Reason
from shorewatch.point import Point
from shorewatch.registers import unpack
from shorewatch.rules import flaws

VECTORS = tomllib.loads((Path(__file__).parent / "vectors" / "registers.toml").read_text())[
    "vector"
]


def point_of(vector: Mapping[str, Any]) -> Point:
    keys = {"id": "p", "name": "p", "table": "input", "address": 0}
    return Point.model_validate(keys | vector["point"])


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["source"])
def test_registers_say_what_their_document_says(vector):
    """Each vector decodes to its value, or to its quality, reason and words."""
    point = point_of(vector)
    raw = unpack(vector["words"], point.type, point.order)

    found = point.tied()(raw, vector.get("beside", {}))

    if "quality" not in vector:
        assert found == vector["value"]
        assert type(found) is type(vector["value"])
    else:
        reason = Reason(vector["reason"])
        value, detail = vector.get("value"), vector.get("detail")
        assert found == Doubt(Quality(vector["quality"]), reason, value, detail)


@pytest.mark.parametrize(
    "vector",
    [v for v in VECTORS if "quality" not in v and v["point"].get("bit_count") is None],
    ids=lambda vector: vector["source"],
)
def test_values_become_the_registers_of_their_document(vector):
    """Each good value encodes to its registers, the bits that are not its own left aside."""
    point = point_of(vector)
    words = point.encode(vector["value"], vector.get("beside", {}))
    raw = unpack(words, point.type, point.order)

    assert point.tied()(raw, vector.get("beside", {})) == vector["value"]
    if point.type not in ("string", "bit"):
        assert words == vector["words"]


def test_every_vector_is_a_sound_point():
    """No vector has keys that a profile could not have."""
    assert [found for vector in VECTORS for found in flaws(point_of(vector))] == []


def test_every_type_and_order_has_a_vector():
    """No type and no word order goes without a vector."""
    points = [point_of(vector) for vector in VECTORS]

    assert {p.type for p in points} >= {
        "u16", "s16", "u32", "s32", "u64", "s64", "f32", "f64", "bit", "bits", "bits32",
        "enum", "enum32", "string",
    }  # fmt: skip
    assert {p.order for p in points if p.type == "f32"} == {"ABCD", "CDAB", "BADC", "DCBA"}
