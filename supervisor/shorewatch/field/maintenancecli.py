"""`shorewatch maintenance`: a board's REPL, for as long as somebody works there."""

import getpass
import os
import select
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from shorewatch.errors import AbsentError, UsageError
from shorewatch.field.options import By, Json, StateDir, Unit
from shorewatch.field.report import write_json
from shorewatch.field.voice import say

if TYPE_CHECKING:
    from shorewatch.field.port import Attached
    from shorewatch.field.talk import Found

HOLD_S_MAX = 3500.0  # a loan of a port ends after an hour


def maintenance(
    board: str | None = None,
    /,
    *,
    port: str | None = None,
    type_: Annotated[str | None, Parameter(name="--board")] = None,
    end: Annotated[bool, Parameter(negative="")] = False,
    unit: Unit = None,
    state_dir: StateDir = None,
    by: By = None,
    why: str = "maintenance",
    json: Json = None,
) -> None:
    """Open a board's REPL, hold its port while you work, and close it again at Enter.

    Example: shorewatch maintenance pfe-room --why "look at its files"

    The station that runs here lends the port and takes it back, also if this command is killed. A
    board that watches power feed equipment opens by its strap alone: you are told what to bridge.
    10 minutes after its last start a board goes back to work by itself.

    Exit code 0: it is at work again. 1: it stays at its prompt, or is no board. 2: it is not there.

    Parameters
    ----------
    board
        Id of a board of the station that runs here.
    port
        The board's port, where no station runs.
    type_
        The board's type, for one that does not answer.
    end
        Only close: bring a board that was left at its REPL back to work.
    why
        The reason, for the station's records.
    """
    from shorewatch.field.choice import check_type, named_port, port_of
    from shorewatch.field.door import close_door, lent, open_door, wait_board
    from shorewatch.field.package import Catalogue
    from shorewatch.field.port import find_again, locked

    types = Catalogue().types
    check_type(type_, types)
    if (board is None) == (port is None):
        raise UsageError("give either a board of the station that runs here, or --port")
    if port is None:
        assert board is not None, "one of the two is given"
        port, state_dir = port_of(board, state_dir)
    unit_id, who = unit or 1, by or getpass.getuser()
    found_port = named_port(port)
    with (
        locked(port) as lock_fd,
        lent(port, state_dir, by=who, reason=why, say=say),
    ):
        found_port, before = open_door(found_port, types, say, unit_id=unit_id, wanted=type_)
        told = before.identity.type if before.identity else type_
        try:
            if not end:
                _hold(found_port)
        finally:
            say("restarting the board into its application")
            with suppress(AbsentError):
                close_door(find_again(found_port) or found_port, lock_fd=lock_fd)
        kind = types.get(told or "") or next(iter(types.values()))
        found_port, after = wait_board(found_port, kind, say, unit_id=unit_id)
    assert after.identity is not None, "a board has answered"
    print(f"{found_port.path}: {after.identity.type} {after.identity.unique_id} is at work again")
    if json is not None:
        write_json(json, {"port": found_port.path, **_facts(after)})


def _hold(port: "Attached") -> None:
    """Until Enter, the end of stdin, or the end of the loan."""
    say(
        "the board is at its REPL; work with:  mpremote connect"
        f" {os.path.realpath(port.path)} resume"
    )
    say("press Enter here when you are done")
    with suppress(KeyboardInterrupt):
        select.select([sys.stdin], [], [], HOLD_S_MAX)


def _facts(found: "Found") -> dict[str, object]:
    identity, header = found.identity, found.header
    assert identity is not None and header is not None, "a board has answered"
    return {
        "type": identity.type,
        "unique_id": identity.unique_id,
        "firmware": identity.version,
        "role": identity.role,
        "plan_crc": f"{header.plan_crc:08x}",
    }
