"""`shorewatch flash` and `plan push`: what a board shall have, onto one board or onto all of them.

They say on stderr what they do and on stdout what came of it. Exit codes as in cli.py: 1 a board is
refused or not well, 2 it is not there.
"""

import getpass
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from shorewatch.errors import UsageError
from shorewatch.field.options import (
    BoardId,
    By,
    Json,
    Ports,
    Record,
    StateDir,
    Station,
    Unit,
    Yes,
)

if TYPE_CHECKING:
    from shorewatch.field.fitting import Role
    from shorewatch.field.flash import Wish
    from shorewatch.field.package import Catalogue
    from shorewatch.field.port import Attached


def flash(
    *,
    board: str | None = None,
    port: Ports = [],  # noqa: B006
    all_: Annotated[bool, Parameter(name="--all", negative="")] = False,
    station: Station = None,
    board_id: BoardId = None,
    tcp: str | None = None,
    tcp_gateway: str | None = None,
    uf2: Path | None = None,
    sha256: str | None = None,
    again: Annotated[bool, Parameter(negative="")] = False,
    yes: Yes = False,
    unit: Unit = None,
    state_dir: StateDir = None,
    by: By = None,
    record: Record = None,
    json: Json = None,
) -> None:
    """Put our firmware onto a board, whatever state it is in, and see that it runs.

    Example: shorewatch flash --station sumqayit.toml --board-id pfe-room --record flashed.jsonl

    Interrupted at any moment, the board runs what it ran before; begin again, and only what is
    missing is sent. Several boards: --all, one after the other, each as its own type.

    Exit code 0: the board runs it, or each of them does. 1: a board is refused or not well, or one
    of several failed. 2: it is not there, has gone, or Ctrl-C.

    Parameters
    ----------
    board
        The board's type (default: that of the station file, or as the board says).
    all_
        Every board that is plugged in; with --station those that the file knows by unique id.
    tcp
        Its address on boards with Ethernet, as 192.0.2.21/24.
    tcp_gateway
        The way out of its network.
    uf2
        First MicroPython itself: a .uf2 for an RP2040, a .bin for an ESP32-S3.
    sha256
        What the hash of that file has to be.
    again
        Write the firmware also where the board has it already.
    """
    from shorewatch.field.batch import Batch
    from shorewatch.field.choice import all_ports, check_type, only_port
    from shorewatch.field.flash import Wish, parse_tcp
    from shorewatch.field.package import Catalogue

    catalogue = Catalogue()
    check_type(board, catalogue.types)
    role = _role(station, board_id) if station is not None and not all_ else None
    if station is None and (board_id is not None or tcp is not None):
        raise UsageError("--board-id and --tcp belong to --station FILE")
    if all_ and (board_id is not None or uf2 is not None or tcp is not None):
        raise UsageError("--all takes each board as what it is: leave --board-id, --tcp, --uf2 out")
    if tcp_gateway is not None and tcp is None:
        raise UsageError("--tcp-gateway belongs to --tcp")
    settings = parse_tcp(tcp, tcp_gateway) if tcp is not None else None
    wish = Wish(
        type=board, role=role, tcp=settings, state_dir=state_dir, unit_id=unit,
        by=by or getpass.getuser(), again=again,
    )  # fmt: skip
    if uf2 is not None:
        ports = [_give_micropython(uf2, sha256, wish, catalogue, port)]
    elif all_:
        ports = all_ports(catalogue.types, port)
    else:
        ports = [only_port(catalogue.types, port)]
    _end(Batch(catalogue, "flash", station if all_ else None, yes, record, json).run(ports, wish))


def push(
    station: Path,
    board_id: str,
    *,
    port: Ports = [],  # noqa: B006
    yes: Yes = False,
    unit: Unit = None,
    state_dir: StateDir = None,
    by: By = None,
    record: Record = None,
    json: Json = None,
) -> None:
    """Put a board's plan, role and settings onto it, and see that it follows that plan.

    Example: shorewatch plan push sumqayit.toml pfe-room

    Exit code 0: the board follows it. 1: it is refused or not well. 2: it is not there, or Ctrl-C.

    Parameters
    ----------
    station
        The station file.
    board_id
        Which of its boards this one is.
    """
    from shorewatch.field.batch import Batch
    from shorewatch.field.choice import only_port
    from shorewatch.field.flash import Wish
    from shorewatch.field.package import Catalogue

    catalogue = Catalogue()
    wish = Wish(
        role=_role(station, board_id), has_firmware=False, state_dir=state_dir, unit_id=unit,
        by=by or getpass.getuser(),
    )  # fmt: skip
    found = [only_port(catalogue.types, port)]
    _end(Batch(catalogue, "plan push", None, yes, record, json).run(found, wish))


def _give_micropython(
    path: Path, sha256: str | None, wish: "Wish", catalogue: "Catalogue", named: list[str]
) -> "Attached":
    """MicroPython itself onto the board; the port that it then has."""
    from shorewatch.field.uf2 import install, load_image
    from shorewatch.field.voice import say, talking

    name = wish.type or (wish.role.station.boards[wish.role.board_id].type if wish.role else None)
    if name is None:
        raise UsageError("--uf2 needs the board's type: --board, or --station with --board-id")
    kind = catalogue.types[name]
    image = load_image(path, kind, sha256)
    say(f"{path}: MicroPython {image.version} for {name}, SHA-256 {image.sha256}")
    with talking(False) as talk:
        return install(image, kind, named[0] if named else None, talk.say, talk.step)


def _role(station: Path, board_id: str | None) -> "Role":
    from shorewatch.config import load_station
    from shorewatch.field.fitting import Role

    loaded = load_station(station)
    if board_id is None or board_id not in loaded.boards:
        known = ", ".join(loaded.boards)
        given = (
            "give --board-id" if board_id is None else f"station {loaded.id} has no {board_id!r}"
        )
        raise UsageError(f"{given}; its boards are {known}")
    return Role(loaded, board_id)


def _end(is_well: bool) -> None:
    if not is_well:
        sys.exit(1)
