"""Whether a board may have what is about to be written: what forbids it, what asks first. Pure.

Faults are told all at once. A question is what only a person beside the board can answer: it may be
right that a board changes its role, and it may be the wrong board of the bag.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from shorewatch.config import BoardFile, Station
from shorewatch.field.onboard import Facts

# Folders, a manifest, the state: what littlefs takes beside the files' own blocks.
_RESERVE_BLOCKS = 12


@dataclass(frozen=True, slots=True)
class Role:
    """What a board is to be in a station."""

    station: Station
    board_id: str

    @property
    def name(self) -> str:
        """As board.json has it."""
        return f"{self.station.cable}/{self.station.id}/{self.board_id}"

    def settings(self, before: str | None, tcp: Mapping[str, Any] | None) -> str:
        """board.json for this role; the board's TCP settings stay unless others are given."""
        link: dict[str, Any] = {"unit_id": self.station.boards[self.board_id].link.unit_id}
        kept = tcp or _link_of(before).get("tcp")
        if kept:
            link["tcp"] = dict(kept)
        return json.dumps({"role": self.name, "link": link})


def role_of(board_json: str | None) -> str:
    """The role in a board.json, "" if there is none."""
    role = _loaded(board_json).get("role")
    return role if isinstance(role, str) else ""


def unit_id_of(board_json: str | None) -> int:
    """The link's unit id in a board.json, as the firmware takes it."""
    unit_id = _link_of(board_json).get("unit_id")
    return unit_id if isinstance(unit_id, int) and 1 <= unit_id <= 247 else 1


def types_of(machine: str, types: Mapping[str, BoardFile]) -> list[str]:
    """The board types that this MicroPython says it runs on."""
    name = machine.split(" with ")[0]
    return [
        kind.name
        for kind in types.values()
        if name == kind.machine or (kind.micropython_port == "unix" and machine.startswith("linux"))
    ]


def faults(facts: Facts, kind: BoardFile, mpy: int | None) -> Iterator[str]:
    """Why this board can not be flashed as a `kind`, each with what to do."""
    if not _is_type(facts, kind):
        has = facts.machine or facts.platform
        yield (
            f"it is no {kind.name}: its MicroPython is of {has}, a {kind.name} has "
            f"{kind.machine}; take the right board, or the right --board"
        )
        return
    wanted = tuple(map(int, kind.micropython_version.split(".")))
    if facts.version[:2] < wanted:
        yield (
            f"its MicroPython {facts.micropython} is too old, a {kind.name} needs "
            f"{kind.micropython_version}: give a newer one with --uf2 FILE"
        )
    if mpy is not None and facts.mpy != mpy:
        yield (
            f"its MicroPython takes bytecode of version {facts.mpy or 'none'}, ours is {mpy}: "
            f"give it another MicroPython with --uf2 FILE"
        )
    if not facts.unique_id:
        yield "it tells no unique id: is this MicroPython of a maker of its own?"


def _is_type(facts: Facts, kind: BoardFile) -> bool:
    if facts.build and kind.micropython_port != "unix":
        # A build may have a variant: ESP32_GENERIC_S3-SPIRAM_OCT.
        return facts.build.split("-")[0] == kind.micropython_build
    return kind.name in types_of(facts.machine, {kind.name: kind})


def lack_of_room(free_bytes: int, block_bytes: int, sizes: list[int]) -> str | None:
    """Why files of these sizes do not fit, None if they do."""
    blocks = sum(-(-size // block_bytes) for size in sizes) + _RESERVE_BLOCKS
    if not sizes or blocks * block_bytes <= free_bytes:
        return None
    return (
        f"its flash has {free_bytes // 1024} kB free, {blocks * block_bytes // 1024} kB are"
        " needed: "
        f"remove what is not Shorewatch's, or flash MicroPython anew (--uf2 FILE) after erasing it"
    )


def questions(facts: Facts, role: Role | None) -> Iterator[str]:
    """What is to be asked before anything is written."""
    has = role_of(facts.board_json)
    if role is None:
        return
    boards = role.station.boards
    for board_id, board in boards.items():
        if board.unique_id == facts.unique_id and board_id != role.board_id:
            yield f"the station file has this board ({facts.unique_id}) as {board_id}"
    if has and has != role.name:
        yield f"this board has the role {has}"
    wanted = boards[role.board_id].unique_id
    if wanted != facts.unique_id:
        yield (
            f"the station file has another board ({wanted}) as {role.board_id}; this one is "
            f"{facts.unique_id}, write that there as its unique_id"
        )


def _link_of(board_json: str | None) -> Mapping[str, Any]:
    link = _loaded(board_json).get("link")
    return link if isinstance(link, dict) else {}


def _loaded(board_json: str | None) -> Mapping[str, Any]:
    try:
        found = json.loads(board_json or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
