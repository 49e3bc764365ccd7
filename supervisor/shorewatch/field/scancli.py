"""`shorewatch scan`: who is on an RS-485 line, how it is set, and what is wrong with it."""

import asyncio
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from shorewatch.errors import LinkError, UsageError
from shorewatch.field.report import write_json, write_text

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from shorewatch.field.scan import Found, Scan

EXIT_BAD, EXIT_UNREACHABLE = 1, 2
WAIT_MS = range(20, 5001)
WAIT_MS_SERIAL, WAIT_MS_TCP = 150, 1000


def scan(
    *,
    port: Path | None = None,
    tcp: str | None = None,
    baud: str = "auto",
    format_: Annotated[str, Parameter(name="--format")] = "auto",
    units: str = "1-247",
    wait_ms: int | None = None,
    quick: bool = False,
    profiles: Path | None = None,
    toml: Path | None = None,
    as_json: Annotated[Path | None, Parameter(name="--json")] = None,
) -> None:
    """Find the devices on an RS-485 line, their settings and types, and what is wrong with it.

    Example: shorewatch scan --port /dev/ttyUSB0

    Take a plain RS-485 adapter (A to A, B to B, ground to ground) and unplug the board from the
    line: a board cannot scan, and two clients disturb each other. Only reads are sent (functions 01
    to 04 and 2B/0E). The line is listened to first; if somebody else asks there, nothing is sent.

    Exit code 0: devices were found and the line is sound. 1: nobody answers, or something is wrong.
    2: the port cannot be used, another client is on the line, or Ctrl-C; what was found is shown.

    Parameters
    ----------
    port
        The adapter's serial port.
    tcp
        HOST:PORT of a gateway or device that speaks Modbus TCP, in place of a serial port.
    baud
        auto tries the usual ones; or a list, such as 9600,19200.
    format_
        auto tries 8N1, 8E1 and 8O1; or a list.
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
    toml
        Write the piece of a station file to this file as well.
    as_json
        Write everything as one JSON object to this file.
    """
    from rich.console import Console

    from shorewatch.config import parse_address
    from shorewatch.field.scan import Scan
    from shorewatch.field.sweep import parse_settings, parse_units
    from shorewatch.profile import load_profiles

    if (port is None) == (tcp is None):
        raise UsageError("name one line: --port /dev/ttyUSB0, or --tcp 192.0.2.7:502")
    if wait_ms is None:
        wait_ms = WAIT_MS_SERIAL if tcp is None else WAIT_MS_TCP
    if wait_ms not in WAIT_MS:
        raise UsageError(f"--wait-ms {wait_ms} must be {WAIT_MS[0]} to {WAIT_MS[-1]}")
    if tcp is not None:
        try:
            parse_address(tcp)
        except ValueError as error:
            raise UsageError(f"--tcp {tcp}: {error}") from error
    settings = parse_settings(baud, format_) if tcp is None else None
    console = Console(highlight=False, markup=False, emoji=False)
    work = Scan(
        str(tcp or port),
        settings,
        parse_units(units),
        list(load_profiles(profiles).values()),
        wait_s=wait_ms / 1000,
        functions=(3,) if quick else (3, 4),
    )
    console.print(_plan(work, settings, wait_ms / 1000, 1 if quick else 2))
    fault = _run(work, console)
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


def exit_code(work: "Scan", fault: str | None) -> int:
    """0: devices and a sound line; 1: not so; 2: it could not be found out."""
    if fault is not None or work.is_busy or not work.is_whole:
        return EXIT_UNREACHABLE
    is_good = work.found and all(found.is_clear for found in work.found.values())
    return 0 if is_good and not _wrong(work) else EXIT_BAD


def _wrong(work: "Scan") -> bool:
    """Whether anything is wrong with the line; an adapter that hears itself is no fault of it."""
    return any(symptom.name != "echo" for symptom in work.symptoms)


def _plan(work: "Scan", settings: Any, wait_s: float, rounds: int) -> str:
    from shorewatch.field.sweep import span_s
    from shorewatch.verdict import span

    count = len(work.units)
    if settings is None:
        last = rounds * count * wait_s
        return f"{work.port}: {count} unit ids, some {span(last)} if none answers"
    first, last = span_s(settings, work.units, wait_s, rounds)
    told = f"{work.port}: {count} unit ids at {settings[0]}: some {span(first)}"
    if len(settings) > 1:
        told += f", if nobody answers there {span(last)} for all {len(settings)} settings"
    return f"{told}. Ctrl-C shows what was found."


def _run(work: "Scan", console: "Console") -> str | None:
    """Scan with a bar, until it is done, fails (what is told is returned) or Ctrl-C."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

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
        return str(error)
    except KeyboardInterrupt:
        return "interrupted: what follows is what was found so far"
    return None


def report(work: "Scan", fault: str | None) -> "list[RenderableType]":
    """What was found, as it is shown."""
    from rich.table import Table
    from rich.text import Text

    parts: list[RenderableType] = []
    if fault is not None:
        parts.append(Text(f"\n{fault}", style="bold red"))
    found = [work.found[unit_id] for unit_id in sorted(work.found)]
    if found:
        setting = f" at {work.setting}" if work.setting else ""
        noun = "device answers" if len(found) == 1 else "devices answer"
        parts.append(Text(f"\n{len(found)} {noun}{setting}", style="bold"))
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
        for column, side in (("unit", "right"), ("type", "left"), ("reply", "right"),
                             ("damaged", "right"), ("seen by", "left")):  # fmt: skip
            table.add_column(column, justify=side)  # type: ignore[arg-type]
        for device in found:
            table.add_row(*map(Text, _row(work, device)))
        parts.append(table)
    elif fault is None and not work.is_busy:
        parts.append(Text(_nobody(work), style="bold red"))
    for symptom in work.symptoms:
        style = "bold" if symptom.name == "echo" else "bold red"
        parts.append(Text(f"\n{symptom.said} ({symptom.evidence})", style=style))
        parts.append(Text(f"  check: {symptom.check}"))
    if work.is_busy:
        parts.append(Text("\nNothing was asked: this line is in use.", style="bold red"))
    return parts


def _row(work: "Scan", found: "Found") -> tuple[str, ...]:
    damaged, heard = work.damaged(found.unit_id)
    names = _plain(" ".join(found.identity.values()))
    best = found.guess.best
    by = names or (_plain(best.said) if best else "")
    if not found.is_clear:
        at = f"at {found.setting}"
        return str(found.unit_id), "? only damaged answers", "", f"{damaged} of {heard}", at
    kind = found.guess.said if found.is_checked else "not looked at yet"
    return str(found.unit_id), kind, f"{found.reply_ms:.0f} ms", f"{damaged} of {heard}", by


def _nobody(work: "Scan") -> str:
    if not work.is_serial:
        return (
            f"\nNobody answers at {work.port}. Check: that it serves Modbus TCP to serial lines, "
            "its own unit id (often 1, 0 or 255), and the line behind it."
        )
    return (
        "\nNobody answers. Check, in this order: the devices have power; A and B are not swapped "
        "(swap them once); the adapter is at this port and its A, B and ground are on the line; "
        "slow devices (--wait-ms 500)."
    )


def as_object(work: "Scan", fault: str | None) -> dict[str, Any]:
    """Everything, ready for JSON."""
    from dataclasses import asdict

    from shorewatch.field.fragment import fragment

    found = [work.found[unit_id] for unit_id in sorted(work.found)]
    return {
        "port": work.port,
        "setting": work.setting and {"baud": work.setting.baud, "format": work.setting.format},
        "is_whole": work.is_whole and fault is None,
        "fault": fault or ("another client uses this line" if work.is_busy else None),
        "units_asked": len(work.units),
        "devices": [_device(work, device) for device in found],
        "symptoms": [asdict(symptom) for symptom in work.symptoms],
        "toml": fragment(work.port, work.setting, found),
    }


def _device(work: "Scan", found: "Found") -> dict[str, Any]:
    damaged, heard = work.damaged(found.unit_id)
    return {
        "unit_id": found.unit_id,
        "is_clear": found.is_clear,
        "is_checked": found.is_checked,
        "identity": {str(key): text for key, text in found.identity.items()},
        "is_sure": found.guess.is_sure,
        "profiles": [
            {"id": fit.profile.id, "bits": round(fit.bits, 1), "signs": [s.said for s in fit.signs]}
            for fit in found.guess.fits
        ],
        "reply_ms_max": round(found.reply_ms, 1),
        "answers": heard,
        "damaged": damaged,
    }


def _plain(text: str) -> str:
    """What a device says, without what would steer the terminal."""
    return "".join(c if c.isprintable() else "?" for c in text)
