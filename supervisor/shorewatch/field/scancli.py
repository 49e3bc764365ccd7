"""`shorewatch scan`: who is on an RS-485 line, how it is set, and what is wrong with it."""

import asyncio
import getpass
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from shorewatch.errors import FieldError, LinkError, UsageError
from shorewatch.field.options import By, StateDir
from shorewatch.field.report import write_json, write_text

if TYPE_CHECKING:
    from rich.console import Console

    from shorewatch.field.scan import Scan

WAIT_MS = range(20, 5001)
WAIT_MS_SERIAL, WAIT_MS_TCP = 150, 1000


def scan(
    *,
    port: Path | None = None,
    tcp: str | None = None,
    board: str | None = None,
    uart: int | None = None,
    baud: str = "auto",
    format_: Annotated[str, Parameter(name="--format")] = "auto",
    units: str = "1-247",
    wait_ms: int | None = None,
    quick: Annotated[bool, Parameter(negative="")] = False,
    profiles: Path | None = None,
    link_unit: int = 1,
    state_dir: StateDir = None,
    by: By = None,
    toml: Path | None = None,
    as_json: Annotated[Path | None, Parameter(name="--json")] = None,
) -> None:
    """Find the devices on an RS-485 line, their settings and types, and what is wrong with it.

    Example: shorewatch scan --port /dev/ttyUSB0

    Take a plain RS-485 adapter (A to A, B to B, ground to ground) and unplug the board from the
    line: two clients disturb each other. Only reads are sent (functions 01 to 04 and 2B/0E). The
    line is listened to first; if somebody else asks there, nothing is sent.

    Example: shorewatch scan --board beach --uart 0

    Without an adapter, by the board that is on the line: it leaves its work for at most 9 minutes,
    asks by its own client, which can only read, and restarts into its work.

    Exit code 0: devices were found and the line is sound. 1: nobody answers, or something is wrong.
    2: the port cannot be used, another client is on the line, or Ctrl-C; what was found is shown.

    Parameters
    ----------
    port
        The adapter's serial port.
    tcp
        HOST:PORT of a gateway or device that speaks Modbus TCP, in place of a serial port.
    board
        The board's id in the station that runs here, which lends its port; or its port.
    uart
        The number of the board's UART, as in the station file.
    baud
        auto tries the usual ones; or a list, such as 9600,19200.
    format_
        auto tries 8N1, 8E1, 8O1 and 8N2; or a list.
    units
        Unit ids, such as 1-32 or 1,3,10-12; fewer are sooner done.
    wait_ms
        How long an answer may take, the adapter's own time included: 150 on a serial line, 1000
        over TCP; slow devices need 500.
    quick
        Ask each unit once, with function 03; without it, those that are silent are asked again with
        04, since some devices do not answer a function that they do not know.
    profiles
        A folder with more profiles, beside the shipped ones.
    link_unit
        Unit id of the board's own link.
    toml
        Write the piece of a station file to this file as well.
    as_json
        Write everything as one JSON object to this file.
    """
    from rich.console import Console

    from shorewatch.config import parse_address
    from shorewatch.field.choice import check_adapter
    from shorewatch.field.package import Catalogue
    from shorewatch.field.port import attached
    from shorewatch.field.scan import Scan
    from shorewatch.field.scanshow import announced, as_object, exit_code, report
    from shorewatch.field.sweep import parse_settings, parse_units
    from shorewatch.profile import load_profiles

    if sum(given is not None for given in (port, tcp, board)) != 1:
        text = "name one line: --port /dev/ttyUSB0, --tcp 192.0.2.7:502, or --board ID --uart N"
        raise UsageError(text)
    if (board is None) != (uart is None):
        raise UsageError("--board and --uart belong together: a board has several lines")
    if wait_ms is None:
        wait_ms = WAIT_MS_SERIAL if tcp is None else WAIT_MS_TCP
    if wait_ms not in WAIT_MS:
        raise UsageError(f"--wait-ms {wait_ms} must be {WAIT_MS[0]} to {WAIT_MS[-1]}")
    if tcp is not None:
        try:
            parse_address(tcp)
        except ValueError as error:
            raise UsageError(f"--tcp {tcp}: {error}") from error
    if port is not None:
        check_adapter(str(port), Catalogue().types, attached())
    settings = parse_settings(baud, format_) if tcp is None else None
    console = Console(highlight=False, markup=False, emoji=False)
    work = Scan(
        f"board {board}, UART {uart}" if board is not None else str(tcp or port),
        settings,
        parse_units(units),
        list(load_profiles(profiles).values()),
        wait_s=wait_ms / 1000,
        functions=(3,) if quick else (3, 4),
    )
    work.uart = uart
    console.print(announced(work, settings, wait_ms / 1000, 1 if quick else 2))
    if board is None:
        fault = _run(work, console)
    else:
        fault = _run_by_board(work, console, board, link_unit, state_dir, by)
    body = as_object(work, fault)
    for part in report(work, fault):
        console.print(part)
    piece = body["toml"]
    if piece and toml is None:
        console.print("\nFor the station file:\n")
        console.print(piece, soft_wrap=True)
    elif piece and toml is not None:
        write_text(toml, piece)
        console.print(f"\nThe piece for the station file is in {toml}.")
    if as_json is not None:
        write_json(as_json, body)
    sys.exit(exit_code(work, fault))


def _run_by_board(
    work: "Scan",
    console: "Console",
    board: str,
    link_unit: int,
    state_dir: Path | None,
    by: str | None,
) -> str | None:
    """As `_run`, asked by the board; what was found is kept if it does not come back to work."""
    from shorewatch.field.choice import named_port, port_of
    from shorewatch.field.package import Catalogue
    from shorewatch.field.remote import Place, scanning
    from shorewatch.field.voice import say

    assert work.uart is not None, "a board asks on one of its UARTs"
    path = board
    if "/" not in board:
        path, state_dir = port_of(board, state_dir)
    who = by or getpass.getuser()
    place = Place(named_port(path), work.uart, link_unit, state_dir=state_dir, by=who)
    has_begun, fault = False, None
    try:
        with scanning(place, Catalogue(), say) as opener:
            work.opener, has_begun = opener, True
            fault = _run(work, console)
    except FieldError as error:
        if not has_begun:
            raise
        fault = fault or str(error)
    return fault


def _run(work: "Scan", console: "Console") -> str | None:
    """Scan with a bar, until it is done, fails (what is told is returned) or Ctrl-C."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from shorewatch.field.holder import holders

    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    task = bar.add_task("", total=None)

    def tell(text: str, done: int, total: int) -> None:
        who = ", ".join(str(unit_id) for unit_id in sorted(work.found)[:12])
        found = f"; found: {who}" if who else ""
        bar.update(task, description=f"{text}{found}", completed=done, total=total or None)

    work.tell = tell
    signal.signal(signal.SIGINT, signal.default_int_handler)  # what was found is still to be told
    try:
        with bar:
            asyncio.run(work.run())
    except LinkError as error:
        having = ", ".join(map(str, holders(work.port))) if work.uart is None else ""
        return f"{error} (it is held by {having}: end that)" if having else str(error)
    except KeyboardInterrupt:
        return "interrupted: what follows is what was found so far"
    return None
