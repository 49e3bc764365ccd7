"""`shorewatch history`: what a point did, as a line, a table or a file."""

import csv
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Final

from cyclopts import App, Parameter

from shorewatch.control import ask, station_folder
from shorewatch.errors import UsageError
from shorewatch.model import from_text, to_text, utc_now

LINE_COLUMNS: Final = 60
# Finer than the columns, so that a spike stands in one of them, at most in two.
LINE_POINTS: Final = 10 * LINE_COLUMNS
ROWS: Final = 20
FILE_POINTS_MAX: Final = 5000
_BARS: Final = "▁▂▃▄▅▆▇█"
_GAP, _BAD = " ", "×"
_ENDS: Final = ("low", "high")
_UNITS_S: Final = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400}
_COLUMNS: Final = (
    "from", "to", "low", "mean", "high", "last", "quality", "reason", "good", "known",
)  # fmt: skip

history = App(name="history", help="What a point did: the station that runs here remembers.")

Row = dict[str, Any]


@history.default
def show(
    point: str,
    /,
    *,
    since: str = "2h",
    until: str = "now",
    state_dir: Annotated[
        Path | None,
        Parameter(help="The station's state directory (default: the one in /var/lib/shorewatch)."),
    ] = None,
    csv_: Annotated[Path | None, Parameter(name="--csv")] = None,
    json_: Annotated[Path | None, Parameter(name="--json")] = None,
) -> None:
    """Show what a point did: a line of bars with every spike, and a table of its spans.

    Example: shorewatch history pfe.line_current --since 2h

    In the line a blank is time in which nothing was recorded, and × time in which the value was
    bad. Changes are kept for a day, then the least, mean and greatest value of each minute.

    Parameters
    ----------
    point
        Device and point, as pfe.line_current.
    since
        Where to begin: a span before the end (90s, 30m, 2h, 7d) or a time
        (2026-11-22T16:00:00Z).
    until
        Where to end: now, or a time.
    csv_
        Write up to 5000 spans to this file as CSV.
    json_
        Write up to 5000 spans to this file as JSON.
    """
    to_at = utc_now() if until == "now" else parse_at("--until", until)
    from_at = parse_since(since, to_at)
    folder = station_folder(state_dir)
    request = {"do": "history", "point": point, "from": to_text(from_at), "to": to_text(to_at)}
    for file, write in ((csv_, _write_csv), (json_, _write_json)):
        if file is not None:
            reply = ask(folder, {**request, "points": FILE_POINTS_MAX})
            try:
                write(file, reply)
            except OSError as error:
                raise UsageError(f"{file}: {error.strerror}; choose another file") from error
    if csv_ is not None or json_ is not None:
        return
    line: Any = ask(folder, {**request, "points": LINE_POINTS})
    table: Any = ask(folder, {**request, "points": ROWS})
    print(text(line, table["spans"]))


def text(reply: Row, rows: list[Row]) -> str:
    """The answer as a person reads it, within 80 columns."""
    spans: list[Row] = reply["spans"]
    unit = f" {reply['unit']}" if reply["unit"] else ""
    lows = [row["low"] for row in spans if row["low"] is not None]
    highs = [row["high"] for row in spans if row["high"] is not None]
    lines = [f"{reply['point']}: {reply['name']}"[:80]]
    if lows:
        extent = f"  {_shown(min(lows))} to {_shown(max(highs))}{unit}"
        lines.append(_bars(spans) + extent * (not isinstance(lows[0], bool)))
    begin, end = (spans[i][key][:19].replace("T", " ") for i, key in ((0, "from"), (-1, "to")))
    lines += [f"{begin} to {end} UTC", ""]
    head = ("since", "low", "mean", "high", "last", "good", "worst")
    lines += [_columns(head), *(_columns(_cells(row)) for row in _without_repeats(rows))]
    if reply["health"]:
        lines += ["", str(reply["health"])]
    return "\n".join(line.rstrip() for line in lines)


def _without_repeats(rows: list[Row]) -> list[Row]:
    """One row for a gap, however long it is."""
    is_gap = [row["reason"] == "not-recorded" and not row["known"] for row in rows]
    return [row for i, row in enumerate(rows) if not (i and is_gap[i] and is_gap[i - 1])]


def _bars(spans: list[Row]) -> str:
    """One character a column of equal time; each shows the value in it that stands out most."""
    begin, end = (from_text(spans[i][key]) for i, key in ((0, "from"), (-1, "to")))
    step = max((end - begin) / LINE_COLUMNS, timedelta(microseconds=1))
    known = [row for row in spans if row["mean"] is not None]
    low, high = min(float(row["low"]) for row in known), max(float(row["high"]) for row in known)
    middle = sorted(float(row["mean"]) for row in known)[len(known) // 2]
    found = ""
    for column in range(LINE_COLUMNS):
        from_at, to_at = begin + column * step, begin + (column + 1) * step
        inside = [
            row
            for row in spans
            if from_text(row["to"]) > from_at and from_text(row["from"]) < to_at
        ]
        values = [float(row[key]) for row in inside if row["low"] is not None for key in _ENDS]
        if values:
            value = max(values, key=lambda value: abs(value - middle))
            share = (value - low) / (high - low) if high > low else 0.5
            found += _BARS[round(share * (len(_BARS) - 1))]
        else:
            is_gap = all(row["reason"] == "not-recorded" for row in inside)
            found += _GAP if is_gap else _BAD
    return found


def _cells(row: Row) -> tuple[str, ...]:
    worst = row["quality"] if row["reason"] is None else row["reason"]
    return (
        row["from"][5:19].replace("T", " "), *(_shown(row[key]) for key in ("low", "mean", "high")),
        _shown(row["last"]), f"{row['good']:.0%}", worst,
    )  # fmt: skip


def _columns(cells: tuple[str, ...]) -> str:
    since, low, mean, high, last, good, worst = cells
    numbers = "".join(f" {cell[:10]:>10}" for cell in (low, mean, high, last))
    return f"{since:<14}{numbers} {good:>5} {worst[:15]}"


def _shown(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.6g}"
    return str(value)


def _write_csv(file: Path, reply: Row) -> None:
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, _COLUMNS)
        writer.writeheader()
        writer.writerows(reply["spans"])


def _write_json(file: Path, reply: Row) -> None:
    kept = {key: reply[key] for key in ("point", "name", "unit", "spans")}
    file.write_text(json.dumps(kept, ensure_ascii=False, indent=1) + "\n", "utf-8")


def parse_since(given: str, to_at: datetime) -> datetime:
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)(s|m|min|h|d)", given)
    if match is None:
        return parse_at("--since", given)
    try:
        return to_at - timedelta(seconds=float(match[1]) * _UNITS_S[match[2]])
    except OverflowError as error:
        raise UsageError(f"--since {given} is before all time; ask for less") from error


def parse_at(option: str, given: str) -> datetime:
    try:
        return from_text(given).astimezone(UTC)
    except ValueError as error:
        rule = "must be a span (90s, 30m, 2h, 7d) or a time (2026-11-22T16:00:00Z)"
        raise UsageError(f"{option} {given!r} {rule}") from error
