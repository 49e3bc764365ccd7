"""What a scan has found, as it is shown, and as one JSON object. Pure."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from shorewatch.field.errand import SPAN_S_MAX
from shorewatch.field.fragment import fragment
from shorewatch.field.scan import Found, Scan
from shorewatch.field.sweep import Setting, span_s
from shorewatch.verdict import span

EXIT_BAD, EXIT_UNREACHABLE = 1, 2


def announced(work: Scan, settings: Sequence[Setting] | None, wait_s: float, rounds: int) -> str:
    """What is about to be done, and how long it takes."""
    count = len(work.units)
    if settings is None:
        last = rounds * count * wait_s
        return f"{work.port}: {count} unit ids, some {span(last)} if none answers"
    first, last = span_s(settings, work.units, wait_s, rounds)
    told = f"{work.port}: {count} unit ids at {settings[0]}: some {span(first)}"
    if len(settings) > 1:
        told += f", if nobody answers there {span(last)} for all {len(settings)} settings"
    if work.uart is not None and last > SPAN_S_MAX:
        told += (
            f"; the board leaves its work for {SPAN_S_MAX // 60} minutes at most: fewer --units, "
            "--baud or --format are sooner done"
        )
    return f"{told}. Ctrl-C shows what was found."


def exit_code(work: Scan, fault: str | None) -> int:
    """0: devices and a sound line; 1: not so; 2: it could not be found out."""
    if fault is not None or work.is_busy or not work.is_whole:
        return EXIT_UNREACHABLE
    is_good = work.found and all(found.is_clear for found in work.found.values())
    return 0 if is_good and not _wrong(work) else EXIT_BAD


def _wrong(work: Scan) -> bool:
    """Whether anything is wrong with the line; an adapter that hears itself is no fault of it."""
    return any(symptom.name != "echo" for symptom in work.symptoms)


def report(work: Scan, fault: str | None) -> list[RenderableType]:
    """What was found, as it is shown."""
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


def _row(work: Scan, found: Found) -> tuple[str, ...]:
    damaged, heard = work.damaged(found.unit_id)
    names = _plain(" ".join(found.identity.values()))
    best = found.guess.best
    by = names or (_plain(best.said) if best else "")
    if not found.is_clear:
        at = f"at {found.setting}"
        return str(found.unit_id), "? only damaged answers", "", f"{damaged} of {heard}", at
    kind = found.guess.said if found.is_checked else "not looked at yet"
    return str(found.unit_id), kind, f"{found.reply_ms:.0f} ms", f"{damaged} of {heard}", by


def _nobody(work: Scan) -> str:
    if not work.is_serial:
        return (
            f"\nNobody answers at {work.port}. Check: that it serves Modbus TCP to serial lines, "
            "its own unit id (often 1, 0 or 255), and the line behind it."
        )
    here = "the adapter is at this port and its A, B and ground are on the line"
    if work.uart is not None:
        here = "the transceiver is at this UART, with its driver enable, and its A, B and ground"
        here += " are on the line"
    return (
        "\nNobody answers. Check, in this order: the devices have power; A and B are not swapped "
        f"(swap them once); {here}; slow devices (--wait-ms 500)."
    )


def as_object(work: Scan, fault: str | None) -> dict[str, Any]:
    """Everything, ready for JSON."""
    found = [work.found[unit_id] for unit_id in sorted(work.found)]
    return {
        "port": work.port,
        "setting": work.setting and {"baud": work.setting.baud, "format": work.setting.format},
        "is_whole": work.is_whole and fault is None,
        "fault": fault or ("another client uses this line" if work.is_busy else None),
        "units_asked": len(work.units),
        "devices": [_device(work, device) for device in found],
        "symptoms": [asdict(symptom) for symptom in work.symptoms],
        "toml": fragment(work.port, work.setting, found, work.uart or 0),
    }


def _device(work: Scan, found: Found) -> dict[str, Any]:
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
