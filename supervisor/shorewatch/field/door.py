"""A board's one door: into its REPL and out of it again (Promise 1).

A board with maintenance by link is asked over its link by function 0x41 with its unique id, which
nothing else of this program can encode. One by strap is opened by a person: the tool says which
pins, and waits. Out of it a reset leads, by the tool, or by the board itself 10 minutes after its
last start. A port that a running station holds is borrowed from it, and goes back when the tool
ends, however it ends.
"""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from shorewatch.config import BoardFile
from shorewatch.control import DEFAULT_STATE, NAME, ControlError, ask, borrowed
from shorewatch.errors import AbsentError, FieldError
from shorewatch.field.holder import holders
from shorewatch.field.onboard import RESTART
from shorewatch.field.port import Attached, Line, find_again, opened
from shorewatch.field.repl import Repl
from shorewatch.field.talk import Answer, Found, ask_prompt, ask_who, exchange

OPEN_S_MAX = 20.0  # from the request to the prompt
LOAN_S = 3600.0
PERSON_S_MAX = 600.0  # somebody bridges a strap
START_S_MAX = 60.0  # three boots that end by the watchdog, and one that goes well
_LOOK_S = 0.2
_CALM_S = 1.0
_ASK = 0x41

Say = Callable[[str], None]


def open_door(
    port: Attached, types: Mapping[str, BoardFile], say: Say, *, unit_id: int, wanted: str | None
) -> tuple[Attached, Found]:
    """Bring the board to its REPL; the port it then has, and who answered at first.

    `wanted` is the type that a silent board is taken for. Raises AbsentError if no prompt comes,
    FieldError if what answers is no board.
    """
    with opened(port.path) as line:
        found = ask_who(line, unit_id=unit_id, may_interrupt=True)
        if found.answer is Answer.PROMPT:
            return port, found
        if found.answer is Answer.OTHER:
            text = (
                f"{port.path}: something else than a board answers there; give the board's port "
                f"(shorewatch boards), or its link's unit id with --unit"
            )
            raise FieldError(text)
        kind = types.get(found.identity.type if found.identity else wanted or "")
        is_asked = False
        if found.identity is not None and kind is not None and kind.maintenance == "link":
            say("asking the board for its REPL")
            is_asked = _ask(line, unit_id, found.identity.unique_id)
    if is_asked:
        return _prompted(port, OPEN_S_MAX, may_ask=None), found
    if kind is None:
        text = (
            f"{port.path}: nothing answers there; is it the board's port, has the board power, has "
            f"its link another unit id (--unit)? Name its type with --board and it is waited for"
        )
        raise AbsentError(text)
    say(f"bridge {kind.strap_bridge}, then {kind.restart}; waiting for the board")
    # A board by link answers over its link then (safe mode), unless it starts and fails.
    may_ask = unit_id if kind.maintenance == "link" else None
    return _prompted(port, PERSON_S_MAX, may_ask=may_ask), found


def _ask(line: Line, unit_id: int, unique_id: str) -> bool:
    """Ask for maintenance; whether the board has agreed."""
    request = bytes([unit_id, _ASK]) + unique_id.encode()
    return exchange(line, request, lambda _: len(request) + 2) == request


def _prompted(port: Attached, limit_s: float, *, may_ask: int | None) -> Attached:
    """Wait until the board is at its prompt; the port it has then."""
    end_s = time.monotonic() + limit_s
    while time.monotonic() < end_s:
        now = find_again(port)
        if now is not None:
            with suppress(AbsentError), opened(now.path) as line:
                found = ask_prompt(line, may_interrupt=True)
                if found is not None and found.answer is Answer.PROMPT:
                    return now
                if may_ask is not None and found is None:
                    told = ask_who(line, unit_id=may_ask)
                    if told.identity is not None:
                        _ask(line, may_ask, told.identity.unique_id)
        time.sleep(_LOOK_S)
    text = (
        f"{port.path}: no MicroPython prompt came within {limit_s:.0f} s; pull the board's USB"
        " plug, "
        f"put it back, and try again"
    )
    raise AbsentError(text)


def close_door(port: Attached, *, lock_fd: int | None = None) -> None:
    """Restart the board into its application; raises FieldError if it does not take it."""
    Repl(port.path, lock_fd=lock_fd).leave(RESTART)


def wait_board(
    port: Attached, kind: BoardFile, say: Say, *, unit_id: int, limit_s: float = START_S_MAX
) -> tuple[Attached, Found]:
    """Wait until our firmware answers after a restart; the port it then has.

    No frame leaves before the port was calm for a second: a board that starts may still come to its
    prompt. Raises AbsentError if nothing answers in time, FieldError if it stays at its prompt.
    """
    end_s = time.monotonic() + limit_s
    calm_s: float | None = None
    is_told = False
    prompts = 0
    while time.monotonic() < end_s:
        now = find_again(port)
        try:
            if now is None:
                raise AbsentError(port.path)
            with opened(now.path) as line:
                found = ask_prompt(line)
                if found is None:
                    calm_s = calm_s or time.monotonic()
                    if time.monotonic() >= calm_s + _CALM_S:
                        found = ask_who(line, unit_id=unit_id)
        except AbsentError:
            calm_s, found = None, None
        if found is not None and found.answer is Answer.BOARD and now is not None:
            return now, found
        if found is not None and found.answer is Answer.PROMPT:
            calm_s = None
            prompts += 1
            if kind.maintenance == "strap" and not is_told:
                is_told = True
                end_s = time.monotonic() + PERSON_S_MAX
                say(f"take the bridge from {kind.strap_bridge} away, then {kind.restart}")
            elif kind.maintenance == "link" and prompts > 10:
                break
        time.sleep(_LOOK_S)
    if prompts:
        text = f"{port.path}: the board stays at its prompt; flash it again"
        raise FieldError(text)
    raise AbsentError(
        f"{port.path}: the board does not answer {limit_s:.0f} s after its restart;"
        f" {kind.restart}, "
        f"look with `shorewatch boards`, then flash it again"
    )


def station_of(path: str, state_dir: Path | None) -> tuple[Path, str] | None:
    """The running station that has the port, as (state directory, board id); None if none has."""
    real = os.path.realpath(path)
    folders = [] if state_dir is None else [state_dir]
    folders += [holder.state_dir or Path() for holder in holders(path) if holder.is_station]
    if state_dir is None and DEFAULT_STATE.is_dir():
        with suppress(OSError):
            folders += sorted(DEFAULT_STATE.iterdir())
    for folder in folders:
        with suppress(ControlError, OSError):
            if not (folder / NAME).exists():
                continue
            boards = ask(folder, {"do": "live"})["boards"]
            assert isinstance(boards, dict), "a station shows its boards by id"
            for board_id, row in boards.items():
                if os.path.realpath(folder / row["port"]) == real:
                    return folder, board_id
    return None


@contextmanager
def lent(
    path: str, state_dir: Path | None, *, by: str, reason: str, say: Say
) -> Iterator[str | None]:
    """Have the port from the station that runs here, if one has it, for the `with` block.

    Gives the board's id there, or None. Raises ControlError if it cannot be had.
    """
    station = station_of(path, state_dir)
    if station is None:
        yield None
        return
    folder, board_id = station
    with borrowed(folder, board_id, by=by, reason=reason, seconds=LOAN_S):
        say(f"the station that runs here lends the port of board {board_id}")
        yield board_id
    say(f"the station has the port of board {board_id} again")
