"""A lab's bench as a file: which real boards are those of the stations, and what they hang on.

    name = "lab"
    [[board]]            id as in hil_tests/stations, type, unique_id, port; and `halt`, a program
                         of yours that stops its processor, as a debug probe can
    [board.power]        a switch (switch.py): uhubctl, http, relay or command; so is [board.link],
                         which takes away the link alone, and [board.strap]: on is bridged
    [[board.bus]]        uart, and the RS-485 adapter behind which simulated devices answer
    [[board.contact]]    input, and `switch`: on closes the contact

What is left out is a story's loss: it is skipped, and says for want of what.
"""

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from shorewatch.config import board_types
from shorewatch.hil.switch import Switch, Word, Words
from shorewatch.point import Id
from shorewatch.toml import Table, load_toml


class BusPlug(Table):
    """One bus of a board, and the adapter at its other end."""

    uart: Annotated[int, Field(ge=0, le=7)]
    adapter: Word


class ContactPlug(Table):
    """One contact of a board, and what closes it."""

    input: Annotated[int, Field(ge=0, le=31)]
    switch: Switch


class BoardPlug(Table):
    """One real board."""

    id: Id
    type: Id
    unique_id: Annotated[str, Field(pattern=r"^[0-9a-f]{8,32}$")]
    port: Word
    power: Switch | None = None
    link: Switch | None = None
    strap: Switch | None = None
    halt: Words | None = None
    bus: Annotated[list[BusPlug], Field(min_length=1, max_length=4)]
    contact: Annotated[list[ContactPlug], Field(max_length=32)] = []


class BenchFile(Table):
    """The whole of a bench.toml."""

    name: Id
    board: Annotated[list[BoardPlug], Field(min_length=1, max_length=4)]

    @model_validator(mode="after")
    def _has_each_once(self) -> Self:
        known = board_types()
        for board in self.board:
            if board.type not in known:
                raise ValueError(f"board type {board.type!r} is none of {', '.join(known)}")
        ttys = [board.port for board in self.board]
        ttys += [bus.adapter for board in self.board for bus in board.bus]
        for names, what in (
            ([board.id for board in self.board], "board"),
            ([board.unique_id for board in self.board], "unique_id"),
            (ttys, "port or adapter"),
        ):
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise ValueError(f"{what} {twice[0]!r} is there twice")
        return self


def load_bench(path: Path) -> BenchFile:
    """Read it; raises ConfigError with everything that is wrong."""
    return load_toml(path, BenchFile)
