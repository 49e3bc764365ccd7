"""`shorewatch boards`, `flash`, `maintenance` and `plan push`: a technician's steps, in order.

They say on stderr what they do and on stdout what came of it. Exit codes as in cli.py: 1 a board is
refused or not well, 2 it is not there.
"""

import getpass
import json as json_
import os
import select
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from shorewatch.errors import AbsentError, FieldError, ShorewatchError, UsageError

if TYPE_CHECKING:
    from rich.progress import Progress

    from shorewatch.config import BoardFile
    from shorewatch.config import Station as LoadedStation
    from shorewatch.field.fitting import Role
    from shorewatch.field.flash import Account, Talk, Wish
    from shorewatch.field.found import Seen
    from shorewatch.field.package import Catalogue
    from shorewatch.field.port import Attached
    from shorewatch.field.talk import Found

HOLD_S_MAX = 3500.0  # a loan of a port ends after an hour

Ports = Annotated[
    list[str],
    Parameter(
        name="--port", negative="", help="A port that USB does not tell of; can be repeated."
    ),
]
Port = Annotated[str | None, Parameter(help="The board's port (default: the only board there is).")]
StateDir = Annotated[
    Path | None,
    Parameter(help="State directory of a station that runs here (default: found by itself)."),
]
Unit = Annotated[int | None, Parameter(help="Unit id of the board's link (default: 1).")]
Json = Annotated[Path | None, Parameter(help="Write what was found as JSON to this file.")]
By = Annotated[str | None, Parameter(help="Who does it (default: the user who is logged in).")]
Record = Annotated[
    Path | None, Parameter(help="Append what was done as a line of JSON to this file.")
]
Yes = Annotated[
    bool, Parameter(negative="", help="Go on where a person would be asked: you have looked.")
]
Station = Annotated[
    Path | None, Parameter(help="Station file: the board gets its role, settings and plan, too.")
]
BoardId = Annotated[str | None, Parameter(help="Which of the station's boards this one is.")]


def boards(
    *,
    port: Ports = [],  # noqa: B006
    unit: Unit = None,
    state_dir: StateDir = None,
    json: Json = None,
) -> None:
    """List the boards that are plugged in: what each is, and what to do next about it.

    Example: shorewatch boards

    Asking harms nothing. Only ports of which USB says that they are a board's are asked: what hangs
    on any other may be field devices.
    """
    from shorewatch.field.found import look
    from shorewatch.field.package import Catalogue

    found = list(look(Catalogue().types, port, unit_id=unit or 1, state_dir=state_dir))
    _table(found)
    if json is not None:
        _write_json(json, [seen.to_json() for seen in found])
    if not found:
        sys.exit(2)


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
    from shorewatch.field.flash import Wish, parse_tcp
    from shorewatch.field.package import Catalogue

    catalogue = Catalogue()
    _known_type(board, catalogue.types)
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
        ports = _ports(catalogue.types, port)
    else:
        ports = [_only_port(catalogue.types, port)]
    _each(ports, wish, catalogue, "flash", station if all_ else None, yes, record, json)


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

    Parameters
    ----------
    station
        The station file.
    board_id
        Which of its boards this one is.
    """
    from shorewatch.field.flash import Wish
    from shorewatch.field.package import Catalogue

    catalogue = Catalogue()
    wish = Wish(
        role=_role(station, board_id), has_firmware=False, state_dir=state_dir, unit_id=unit,
        by=by or getpass.getuser(),
    )  # fmt: skip
    found = [_only_port(catalogue.types, port)]
    _each(found, wish, catalogue, "plan push", None, yes, record, json)


def maintenance(
    board: str | None = None,
    *,
    port: Port = None,
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

    Parameters
    ----------
    board
        Id of a board of the station that runs here.
    type_
        The board's type, for one that does not answer.
    end
        Only close: bring a board that was left at its REPL back to work.
    why
        The reason, for the station's records.
    """
    from shorewatch.field.door import close_door, lent, open_door, wait_board
    from shorewatch.field.package import Catalogue
    from shorewatch.field.port import find_again, locked

    types = Catalogue().types
    _known_type(type_, types)
    if (board is None) == (port is None):
        raise UsageError("give either a board of the station that runs here, or --port")
    if port is None:
        assert board is not None, "one of the two is given"
        port, state_dir = _port_of(board, state_dir)
    unit_id, who = unit or 1, by or getpass.getuser()
    found_port = _named(port)
    with (
        locked(port) as lock_fd,
        lent(port, state_dir, by=who, reason=why, say=_say),
    ):
        found_port, before = open_door(found_port, types, _say, unit_id=unit_id, wanted=type_)
        told = before.identity.type if before.identity else type_
        try:
            if not end:
                _hold(found_port)
        finally:
            _say("restarting the board into its application")
            with suppress(AbsentError):
                close_door(find_again(found_port) or found_port, lock_fd=lock_fd)
        kind = types.get(told or "") or next(iter(types.values()))
        found_port, after = wait_board(found_port, kind, _say, unit_id=unit_id)
    assert after.identity is not None, "a board has answered"
    print(f"{found_port.path}: {after.identity.type} {after.identity.unique_id} is at work again")
    if json is not None:
        _write_json(json, {"port": found_port.path, **_facts(after)})


def _hold(port: "Attached") -> None:
    """Until Enter, the end of stdin, or the end of the loan."""
    _say(
        "the board is at its REPL; work with:  mpremote connect"
        f" {os.path.realpath(port.path)} resume"
    )
    _say("press Enter here when you are done")
    with suppress(KeyboardInterrupt):
        select.select([sys.stdin], [], [], HOLD_S_MAX)


def _each(
    ports: list["Attached"],
    wish: "Wish",
    catalogue: "Catalogue",
    what: str,
    station: Path | None,
    yes: bool,
    record: Path | None,
    json: Path | None,
) -> None:
    """Work on one board after the other; ends with 1 if one of several was not to be had."""
    from shorewatch.field.record import append, check_writable, head

    if record is not None:
        check_writable(record)
    accounts: list[dict[str, object]] = []
    failures = 0
    for port in ports:
        line = head(what, wish.by, port.path)
        start_s = time.monotonic()
        account = _account()
        try:
            with _talk(yes) as talk:
                found = _one(port, wish, catalogue, station, talk, account)
            print(_outcome(port, found, account))
        except (ShorewatchError, KeyboardInterrupt) as error:
            is_asked = isinstance(error, KeyboardInterrupt)
            account.result = "interrupted" if is_asked else "failed"
            account.facts["why"] = "Ctrl-C" if is_asked else str(error)
            if is_asked or len(ports) == 1:
                raise
            failures += 1
            _say(str(error))
        finally:
            seconds = round(time.monotonic() - start_s, 1)
            line |= {"result": account.result, "seconds": seconds, **account.facts}
            accounts.append(line)
            if record is not None:
                append(record, line)
            if json is not None:
                _write_json(json, accounts)
    if failures:
        sys.exit(1)


def _one(
    port: "Attached",
    wish: "Wish",
    catalogue: "Catalogue",
    station: Path | None,
    talk: "Talk",
    account: "Account",
) -> "Found":
    """One board; with a station file of which the board is not named, as what the file has it."""
    from dataclasses import replace

    from shorewatch.field.flash import flash as flash_board
    from shorewatch.field.found import unique_id_of

    if station is not None:
        unique_id = unique_id_of(port, catalogue, wish.unit_id or 1)
        loaded = _loaded(station)
        known = {board.unique_id: board_id for board_id, board in loaded.boards.items()}
        if unique_id not in known:
            text = f"{port.path}: {station} has no board with unique id {unique_id}; add it"
            raise FieldError(f"{text}, or flash this one with --board-id")
        wish = replace(wish, role=_role(station, known[unique_id]))
    return flash_board(port, wish, catalogue, talk, account)


def _account() -> "Account":
    from shorewatch.field.flash import Account

    return Account()


def _outcome(port: "Attached", found: "Found", account: "Account") -> str:
    identity, header = found.identity, found.header
    assert identity is not None and header is not None, "a board has answered"
    what = identity.role or "no role yet"
    plan = f"plan {header.plan_crc:08x}" if header.plan_crc else "no plan yet"
    slot = f"slot {found.slot}, " * bool(found.slot)
    return (
        f"{port.path}: {account.result}: {identity.type} {identity.unique_id}, firmware "
        f"{identity.version}, {slot}{what}, {plan}"
    )


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


@contextmanager
def _talk(yes: bool) -> Iterator["Talk"]:
    """How we speak: with a bar where a person looks on, else a line each."""
    from shorewatch.field.flash import Talk

    def ask(asked: list[str]) -> bool:
        for text in asked:
            _say(f"careful: {text}")
        if yes or not sys.stdin.isatty():
            return yes
        print("Go on with this board? [y/N] ", end="", file=sys.stderr, flush=True)
        return sys.stdin.readline().strip().lower() in ("y", "yes")

    if not sys.stderr.isatty():
        yield Talk(_say, lambda name, done, total: _say(f"{name} ({done} of {total})"), ask)
        return
    with _bar() as bar:
        task = bar.add_task("", total=None, visible=False)

        def step(name: str, done: int, total: int) -> None:
            bar.update(task, description=name, completed=done, total=total, visible=done < total)

        yield Talk(lambda text: bar.console.print(text, highlight=False, markup=False), step, ask)


def _bar() -> "Progress":
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    return Progress(*columns, console=Console(stderr=True), transient=True)


def _table(found: list["Seen"]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False, markup=False, emoji=False)
    if not found:
        console.print("No board is plugged in.\nIs its USB cable one for data, its plug in?")
        console.print("A virtual board, or an adapter, is named with --port PATH.")
        return
    table = Table(box=None, pad_edge=False)
    for name in ("port", "what it is", "type", "unique id, role", "next"):
        table.add_column(name, overflow="fold")  # whole: a port is copied from here
    for seen in found:
        identity = seen.found.identity if seen.found else None
        who = f"{identity.unique_id} {identity.role}".strip() if identity else ""
        port = seen.port or seen.usb or ""
        table.add_row(port, seen.state, " or ".join(seen.types), who, seen.next)
    console.print(table)


def _ports(types: "Mapping[str, BoardFile]", named: list[str]) -> list["Attached"]:
    """The ports of all boards: those named, or those that USB tells of."""
    from shorewatch.field.port import attached

    if named:
        return [_named(path) for path in named]
    known = {usb for kind in types.values() for usb in kind.usb}
    found = [port for port in attached() if port.usb in known]
    if not found:
        raise AbsentError(
            "no board is plugged in; `shorewatch boards` shows what is, or name --port"
        )
    return found


def _only_port(types: "Mapping[str, BoardFile]", named: list[str]) -> "Attached":
    found = _ports(types, named)
    if len(found) > 1:
        names = ", ".join(port.path for port in found)
        raise UsageError(
            f"{len(found)} boards ({names}): choose one with --port, or all with --all"
        )
    return found[0]


def _named(path: str) -> "Attached":
    """A port by name, with what USB says of it."""
    from shorewatch.field.port import Attached, attached

    if not Path(path).exists():
        raise AbsentError(
            f"{path}: there is no such port; `shorewatch boards` shows those there are"
        )
    real = os.path.realpath(path)
    return next((port for port in attached() if port.path == real), Attached(path))


def _port_of(board_id: str, state_dir: Path | None) -> tuple[str, Path]:
    """The port of a board of the station that runs here, and that station's folder."""
    from shorewatch.control import ask, station_folder

    folder = station_folder(state_dir)
    rows = ask(folder, {"do": "live"})["boards"]
    assert isinstance(rows, dict), "a station shows its boards by id"
    if board_id not in rows:
        raise UsageError(f"the station has no board {board_id!r}; it has {', '.join(rows)}")
    return str(folder / rows[board_id]["port"]), folder


def _give_micropython(
    path: Path, sha256: str | None, wish: "Wish", catalogue: "Catalogue", named: list[str]
) -> "Attached":
    """MicroPython itself onto the board; the port that it then has."""
    from shorewatch.field.uf2 import install, load_image

    name = wish.type or (wish.role.station.boards[wish.role.board_id].type if wish.role else None)
    if name is None:
        raise UsageError("--uf2 needs the board's type: --board, or --station with --board-id")
    kind = catalogue.types[name]
    image = load_image(path, kind, sha256)
    _say(f"{path}: MicroPython {image.version} for {name}, SHA-256 {image.sha256}")
    with _talk(False) as talk:
        return install(image, kind, named[0] if named else None, talk.say, talk.step)


def _known_type(name: str | None, types: "Mapping[str, BoardFile]") -> None:
    if name is not None and name not in types:
        raise UsageError(f"--board {name!r} is no board type; there are {', '.join(types)}")


def _role(station: Path, board_id: str | None) -> "Role":
    from shorewatch.field.fitting import Role

    loaded = _loaded(station)
    if board_id is None or board_id not in loaded.boards:
        known = ", ".join(loaded.boards)
        given = (
            "give --board-id" if board_id is None else f"station {loaded.id} has no {board_id!r}"
        )
        raise UsageError(f"{given}; its boards are {known}")
    return Role(loaded, board_id)


def _loaded(station: Path) -> "LoadedStation":
    from shorewatch.config import load_station

    return load_station(station)


def _write_json(path: Path, found: object) -> None:
    text = json_.dumps(found, indent=2, ensure_ascii=False) + "\n"
    if str(path) == "-":
        print(text, end="")
        return
    try:
        path.write_text(text, "utf-8")
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}; choose another file") from error


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
