"""Registers as documents print them, from a device's end of the wire to the NOC."""

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from shorewatch.hil.bench import Bench

pytestmark = pytest.mark.timeout(180)
VECTORS = [
    vector
    for vector in tomllib.loads(
        (Path(__file__).parents[1] / "tests" / "vectors" / "registers.toml").read_text("utf-8")
    )["vector"]
    if "beside" not in vector  # it stands with points of its own device
]
STATION = """
[station]
id = "documents"
name = "Documents"
cable = "bench"
cable_name = "None: this station stands on a bench"
[[uplink]]
id = "noc"
url = "mqtt://127.0.0.1:18830"
consumers = ["noc"]
[[board]]
id = "north"
type = "virtual"
unique_id = "5357000000000001"
[board.link]
port = "boards/north.link"
[[board.bus]]
uart = 0
baud = 19200
format = "8E1"
[[board.bus.device]]
id = "documents"
name = "Documents"
profile = "documents"
unit_id = 1
"""


@pytest.fixture
def station_file(tmp_path: Path) -> Path:
    """A station with one device whose points are those of the documents, one after the other."""
    lines = [
        'id = "documents"', 'name = "Documents"', 'source = "the documents of each vector"',
        'area = "room"', "timeout_ms = 200", "worst_ms = 400",
    ]  # fmt: skip
    for at, (place, vector) in zip(places(), enumerate(VECTORS), strict=True):
        lines += ["[[point]]", f'id = "v{place}"', f"name = {json.dumps(vector['source'][:80])}"]
        lines += ['table = "holding"', f"address = {at}", "period_s = 1"]
        lines += [f"{key} = {toml(value)}" for key, value in vector["point"].items()]
    folder = tmp_path / "file"
    (folder / "profiles").mkdir(parents=True)
    (folder / "profiles" / "documents.toml").write_text("\n".join(lines) + "\n", "utf-8")
    (folder / "documents.toml").write_text(STATION, "utf-8")
    return folder / "documents.toml"


def places() -> list[int]:
    """Where the registers of each vector begin."""
    found, at = [], 0
    for vector in VECTORS:
        found.append(at)
        at += len(vector["words"])
    return found


def toml(value: Any) -> str:
    if isinstance(value, Mapping):
        pairs = ", ".join(f"{json.dumps(str(k))} = {toml(v)}" for k, v in value.items())
        return f"{{ {pairs} }}"
    if isinstance(value, list):
        return f"[{', '.join(map(toml, value))}]"
    return json.dumps(value)


async def test_registers_of_documents_reach_the_noc_as_they_say(cold: Bench) -> None:
    """Each golden vector, put into a device's registers, is its document's value at the NOC."""
    await cold.start_field()
    cells = {
        at + i: word
        for at, vector in zip(places(), VECTORS, strict=True)
        for i, word in enumerate(vector["words"])
    }
    await cold.buses["north", 0].set_cells(1, "holding", cells)
    await cold.start_broker()
    await cold.noc.start()
    await cold.gateway.start()

    def wrong() -> list[str]:
        found = []
        for place, vector in enumerate(VECTORS):
            seen = cold.noc.seen("documents", f"v{place}")
            quality, reason = vector.get("quality", "good"), vector.get("reason")
            if seen is None or (seen.quality, seen.reason) != (quality, reason):
                found.append(f"{vector['source']}: {seen}")
            elif quality == "good" and seen.value != vector["value"]:
                found.append(f"{vector['source']}: {seen.value!r}, not {vector['value']!r}")
        return found

    try:
        await cold.noc.until(lambda _: not wrong() or None, "every value", 20)
    finally:
        assert wrong() == []
    cold.figures["golden vectors"] = len(VECTORS)
