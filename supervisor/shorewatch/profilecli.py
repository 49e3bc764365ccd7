"""`shorewatch profile`: device types, checked before use, and tried on a live device."""

import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from shorewatch.errors import LinkError, UsageError

if TYPE_CHECKING:
    from shorewatch.config import DirectConfig
    from shorewatch.profile import Profile
    from shorewatch.tryout import BlockTried, PointTried, Tryout

EXIT_UNREACHABLE = 2
_VERDICTS = {
    "good": (0, "All good."),
    "bad": (1, "Not all is good."),
    "unreachable": (EXIT_UNREACHABLE, "Nothing answers."),
}
_OPTIONS: dict[tuple[int | str, ...], str] = {
    ("tcp",): "--tcp",
    ("port",): "--port",
    ("baud",): "--baud",
    ("format",): "--format",
    ("delay_ms",): "--delay-ms",
    ("device", 0, "unit_id"): "--unit",
}
_VENDOR, _PRODUCT, _REVISION = 0, 1, 2

profile = App(name="profile", help="Device types (profiles): check one, try one on a device.")

Named = Annotated[str, Parameter(name="PROFILE", help="A profile's file, or a shipped one's id.")]


@profile.command
def check(file: Path, /) -> None:
    """Tell everything that is wrong with a profile, or what reading such a device comes to.

    Example: shorewatch profile check profiles/my-meter.toml

    Exit code 0: it can be used. 78: it cannot; each fault is told with line, key, value and rule.

    Parameters
    ----------
    file
        The profile, named after its id.
    """
    from rich.console import Console

    from shorewatch.profile import check_profile
    from shorewatch.profilecheck import summary

    Console(highlight=False, markup=False, emoji=False).print(summary(check_profile(file)))


@profile.command(name="try")
def try_(
    named: Named,
    /,
    *,
    unit: int,
    port: Path | None = None,
    baud: int | None = None,
    format_: Annotated[str, Parameter(name="--format")] = "8N1",
    tcp: str | None = None,
    delay_ms: int | None = None,
    as_json: Annotated[Path | None, Parameter(name="--json")] = None,
) -> None:
    """Read a live device once, block by block: raw words beside what the profile makes of them.

    Example: shorewatch profile try sdm630 --port /dev/ttyUSB0 --baud 9600 --unit 1

    A number outside its range is looked at in the other word orders and one address beside. Only
    reads are sent. Exit code 0: all good; 1: something is bad; 2: nothing answers.

    Parameters
    ----------
    unit
        The device's unit id.
    port
        The serial port it hangs on.
    baud
        The port's baud rate (default 9600).
    format_
        8N1, 8E1, 8O1 or 8N2.
    tcp
        HOST:PORT of a device or gateway that speaks Modbus TCP.
    delay_ms
        What network, gateway or adapter add to the time it takes to answer.
    as_json
        Write everything as one JSON object to this file.
    """
    from rich.console import Console

    from shorewatch.tryout import read_once

    found = _profile(named)
    if port is not None and baud is None:
        baud = 9600
    given = {"tcp": tcp, "port": port and str(port), "baud": baud, "delay_ms": delay_ms}
    line = _line({key: value for key, value in given.items() if value is not None}, format_, unit)
    try:
        tried = asyncio.run(read_once(line, found))
    except LinkError as error:
        _write(as_json, {"verdict": "unreachable", "error": str(error)})
        print(f"shorewatch: {error}", file=sys.stderr)
        sys.exit(EXIT_UNREACHABLE)
    console = Console(highlight=False, markup=False, emoji=False)
    _show(console, tried)
    _write(as_json, _as_json(tried))
    code, told = _VERDICTS[tried.verdict]
    console.print(f"\n{told}")
    sys.exit(code)


def _profile(named: str) -> "Profile":
    """The profile of that file, or shipped under that id."""
    import difflib

    from shorewatch.profile import load_profile, load_profiles

    if named.endswith(".toml"):
        return load_profile(Path(named))
    shipped = load_profiles()
    if named not in shipped:
        near = difflib.get_close_matches(named, shipped, 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        text = f"{named!r} is no file (.toml) and no shipped profile ({', '.join(shipped)}){hint}"
        raise UsageError(text)
    return shipped[named]


def _line(given: dict[str, Any], format_: str, unit: int) -> "DirectConfig":
    """The line of that one device, by the rules of a station file."""
    from pydantic import ValidationError

    from shorewatch.config import DirectConfig

    device = {"id": "device", "name": "Device", "profile": "profile", "unit_id": unit}
    form = {"format": format_} if "port" in given else {}
    try:
        line = DirectConfig.model_validate({"id": "try", **given, **form, "device": [device]})
    except ValidationError as error:
        faults = [(_OPTIONS.get(e["loc"], "--tcp, --port"), e["msg"]) for e in error.errors()]
        told = "; ".join(
            f"{option}: {rule.removeprefix('Value error, ')}" for option, rule in faults
        )
        raise UsageError(told) from error
    if line.port is not None and not 1 <= unit <= 247:
        raise UsageError(f"--unit {unit} must be 1 to 247 on a serial line")
    return line


def _show(console: Any, tried: "Tryout") -> None:
    """The tables of a tryout."""
    from rich.table import Table
    from rich.text import Text

    unit_id = tried.line.device[0].unit_id
    console.print(Text(f"{tried.profile.name}, unit {unit_id} at {tried.line.where}"))
    if tried.identity:
        console.print(Text(f"it calls itself {_name(tried)}"))
    for block in tried.blocks:
        console.print()
        console.print(Text(_head(block)), style="bold" if not block.said else "bold red")
        if block.points:
            table = Table(box=None, pad_edge=False, show_header=False)
            for tried_point in block.points:
                table.add_row(*map(Text, _cells(tried_point)))
            console.print(table)


def _head(block: "BlockTried") -> str:
    at, count = block.block.address, block.block.count
    noun = "bits" if block.block.function < 3 else "registers"
    what = f"function {block.block.function:02}, address {at} ({at:#06x}), {count} {noun}"
    return f"{what}: {block.said or f'answered in {block.reply_ms:.0f} ms'}"


def _cells(tried: "PointTried") -> tuple[str, ...]:
    point, value = tried.point, tried.value
    words = " ".join(f"{word:04x}" if not point.is_contact else str(word) for word in tried.words)
    text = f"{point.text(value.value)} {point.text_unit if value.value is not None else ''}"
    notes = [str(value.quality), value.reason and str(value.reason), value.detail]
    if tried.fits:
        notes.append(f"would fit: {'; '.join(tried.fits)}")
    said = ", ".join(note for note in notes if note)
    return f"  {point.address}", point.name, words, text.strip(), said


def _name(tried: "Tryout") -> str:
    parts = (tried.identity.get(part, "") for part in (_VENDOR, _PRODUCT, _REVISION))
    return " ".join(part for part in parts if part)


def _as_json(tried: "Tryout") -> dict[str, Any]:
    from shorewatch.model import to_json

    return {
        "verdict": tried.verdict,
        "profile": tried.profile.id,
        "where": tried.line.where,
        "unit_id": tried.line.device[0].unit_id,
        "identity": dict(tried.identity),
        "blocks": [
            {
                "function": block.block.function,
                "address": block.block.address,
                "count": block.block.count,
                "outcome": block.outcome.name.lower().replace("_", "-"),
                "exception": block.exception,
                "said": block.said,
                "reply_ms": round(block.reply_ms, 1),
                "points": [
                    {
                        "id": tried_point.point.id,
                        "address": tried_point.point.address,
                        "words": list(tried_point.words),
                        "value": to_json(tried_point.value.value),
                        "unit": tried_point.point.unit,
                        "quality": str(tried_point.value.quality),
                        "reason": tried_point.value.reason and str(tried_point.value.reason),
                        "fits": list(tried_point.fits),
                    }
                    for tried_point in block.points
                ],
            }
            for block in tried.blocks
        ],
    }


def _write(path: Path | None, body: dict[str, Any]) -> None:
    if path is None:
        return
    try:
        path.write_text(json.dumps(body, indent=2, ensure_ascii=False) + "\n", "utf-8")
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}; choose another file") from error
