"""fitting.py: what forbids that a board is written, and what asks first."""

from dataclasses import replace
from typing import Any

import pytest

from shorewatch.config import BoardFile, load_station
from shorewatch.field.fitting import Role, faults, lack_of_room, questions, role_of, unit_id_of
from shorewatch.field.onboard import Facts
from shorewatch.field.package import Catalogue

from .conftest import STATION

FACTS = Facts(
    unique_id="e66058388335292b", platform="rp2", version=(1, 24, 1),
    machine="Raspberry Pi Pico with RP2040", build="RPI_PICO", mpy=6, block_bytes=4096,
    free_bytes=800_000, state={"act": "a"}, boot=None, slots={"a": ("0.1.0", "0" * 64)},
    board_json=None, plan_crc=None, plan=None, is_flat=False, crash=None,
)  # fmt: skip


@pytest.fixture(scope="module")
def types() -> dict[str, BoardFile]:
    return Catalogue().types


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"version": (1, 22, 0)}, "its MicroPython 1.22.0 is too old, a pico needs 1.24"),
        ({"mpy": 5}, "takes bytecode of version 5, ours is 6"),
        ({"unique_id": ""}, "it tells no unique id"),
        ({"build": "RPI_PICO2", "machine": "Raspberry Pi Pico2 with RP2350"}, "it is no pico"),
    ],
)
def test_what_cannot_run_it_is_told(
    types: dict[str, BoardFile], change: dict[str, Any], said: str
) -> None:
    """Each with what to do; a board that fits has no fault."""
    assert list(faults(FACTS, types["pico"], 6)) == []
    (fault,) = faults(replace(FACTS, **change), types["pico"], 6)
    assert said in fault


def test_a_full_file_system_is_told_before_anything_is_written() -> None:
    """With how much is free and how much is needed; nothing to send needs no room."""
    assert lack_of_room(800_000, 4096, [20_000] * 20) is None
    text = lack_of_room(50_000, 4096, [20_000] * 20)
    assert text is not None and "48 kB free" in text
    assert lack_of_room(0, 4096, []) is None


def test_a_board_of_another_role_is_asked_about() -> None:
    """Its own words, and those of the station file, both count."""
    station = load_station(STATION)
    role = Role(station, "beach")
    board = station.boards["beach"]
    mine = replace(FACTS, unique_id=board.unique_id, board_json=role.settings(None, None))
    assert list(questions(mine, role)) == [] and role_of(mine.board_json) == role.name

    other = list(questions(mine, Role(station, "pfe-room")))
    assert len(other) == 3 and "as beach" in other[0] and "has the role" in other[1]
    assert list(questions(FACTS, None)) == []


def test_tcp_settings_stay_unless_others_are_given() -> None:
    """A new role takes nothing from a board's network."""
    role = Role(load_station(STATION), "beach")
    given = {"address": "192.0.2.7", "netmask": "255.255.255.0", "gateway": "0.0.0.0", "port": 502}
    first = role.settings(None, given)
    assert role.settings(first, None) == first
    assert unit_id_of(first) == 1 and unit_id_of("nonsense") == 1
