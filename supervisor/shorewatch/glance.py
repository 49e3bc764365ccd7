"""What `shorewatch status` shows of a station: its verdict, its devices, its lines, its values.

A snapshot (status.py) becomes text. On a screen what does not fit is counted, never dropped in
silence, and of a gateway that says nothing only what was wrong is shown: no value, no line that
could be taken for one of this moment. It asks nobody: statuscli.py does.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from textwrap import wrap

from rich.console import Group
from rich.table import Table
from rich.text import Text

from shorewatch.verdict import Level, Row, Verdict, judge, lines, span

SIGNS = {Level.GOOD: "✓", Level.WARNING: "?", Level.ALARM: "✕"}
_STYLES = {Level.GOOD: "", Level.WARNING: "bold yellow", Level.ALARM: "bold red"}
_QUALITY_SIGNS = {"good": "", "uncertain": "? ", "bad": "✕ "}
_FAULTS_MIN, _LINES_MIN = 4, 3
_WIDTH_MAX = 28


def whole(snapshot: Row) -> Group:
    """Everything about a station, as long as it is."""
    verdict = judge(snapshot)
    faults = [
        Text(plain(text).plain, _STYLES[verdict.level]) for text in _faults(verdict, snapshot)
    ]
    tables = [
        table(_DEVICE_COLUMNS, _devices(snapshot)),
        table(_LINE_COLUMNS, _lines(snapshot)),
        table(_VALUE_COLUMNS, list(value_rows(snapshot))),
    ]
    return Group(_head(snapshot), *faults, *_spaced(tables))


def fitted(snapshot: Row, *, width: int, height: int, lost: str | None = None) -> Group:
    """What fits a screen; `lost` says why the snapshot is an old one, if it is.

    What is wrong comes first, then devices and lines; values where there is room for all.
    """
    verdict = judge(snapshot)
    head = [_head(snapshot)]
    if lost is not None:
        head += [Text(f"✕ {lost}", style="bold red"), Text("  What was last known:")]
    devices, ways, values = _devices(snapshot), _lines(snapshot), list(value_rows(snapshot))
    rest = height - len(head) - 1
    room = max(_FAULTS_MIN, rest - len(devices) - len(ways) - 4)
    style = "dim" if lost else _STYLES[verdict.level]
    faults = _faults(verdict, snapshot)
    if lost is not None:
        faults = [f"– {line}" for line in lines(verdict, snapshot)]
    shown = [Text(line, style=style) for line in _folded(faults, width, room)]
    rest -= len(shown)
    parts: list[Table] = []
    tables = ((_DEVICE_COLUMNS, devices), (_LINE_COLUMNS, ways))
    for columns, rows in tables if lost is None else ():
        kept_free = min(_LINES_MIN, len(ways)) + 2 if rows is devices else 0
        if kept := fit(rows, rest - 2 - kept_free):
            parts.append(table(columns, kept))
            rest -= len(kept) + 2
    if lost is None and rest - 2 > len(values):
        parts.append(table(_VALUE_COLUMNS, values))
    return Group(*head, *shown, *_spaced(parts))


_DEVICE_COLUMNS = ("device", "values", "oldest.", "where", "what is wrong")
_LINE_COLUMNS = ("line", "state", "since.", "what it carries")
_VALUE_COLUMNS = ("point", "value.", "unit", "age.", "quality")


def _head(snapshot: Row) -> Text:
    text = Text(f"{snapshot['name']}", style="bold", no_wrap=True, overflow="ellipsis")
    text.append(f"   {snapshot['at'][:19].replace('T', ' ')} UTC", style="not bold")
    mode = snapshot["alarm_mode"] or {}
    if mode.get("maintenance"):
        text.append("   ? maintenance: alarms are hidden", style="bold yellow")
    return text.append(f"   {snapshot['cable']}", style="not bold dim")


def _devices(snapshot: Row) -> list[tuple[str, ...]]:
    """A row a device, those with bad values first."""
    found = []
    for device_id, device in snapshot["devices"].items():
        points = list(device["points"].values())
        bad = [point for point in points if point["quality"] == "bad"]
        unsure = [point for point in points if point["quality"] == "uncertain"]
        values = (
            f"✕ {len(bad)} of {len(points)} bad" if bad else f"{len(points) - len(unsure)} good"
        )
        if unsure and not bad:
            values = f"? {len(unsure)} of {len(points)} uncertain"
        reasons = sorted({str(point["reason"]) for point in (bad or unsure)})
        ages = [point["age_s"] for point in points]
        oldest = span(None if None in ages else max(ages, default=None))
        where = f"board {device['board']}" if device["direct"] is None else device["direct"]
        why = ", ".join(reasons)
        found.append((-len(bad), -len(unsure), device_id, values, oldest, where, why))
    return [tuple(map(str, row[2:])) for row in sorted(found, key=lambda row: row[:2])]


def _lines(snapshot: Row) -> list[tuple[str, ...]]:
    """A row a board, a direct line, an uplink, and the outbox."""
    at = snapshot["at"]
    found = [
        *_field_lines("board", snapshot["boards"], at),
        *_field_lines("direct", snapshot["directs"], at),
    ]
    for name, uplink in snapshot["uplinks"].items():
        silent = ", ".join(uplink["silent"])
        is_online = uplink["state"] == "online"
        state = uplink["state"] if is_online and not silent else f"✕ {uplink['state']}"
        text = f"{uplink['waiting']:,} records waiting"
        text += f"; {silent} acknowledges nothing" if silent else ""
        found.append((f"uplink {name}", state, ago(uplink["since"], at), text))
    outbox = snapshot["outbox"]
    range_ = f"records {outbox['first']:,} to {outbox['last']:,}" if outbox["last"] else "empty"
    state = "✕ fault" if outbox["health"] else "writing"
    return [*found, ("outbox", state, "", outbox["health"] or range_)]


def _field_lines(noun: str, lines: Row, at: str) -> Iterator[tuple[str, ...]]:
    for name, line in lines.items():
        buses = line["buses"] if noun == "board" else [line["bus"]]
        shares = ", ".join(f"{bus['busy_share']:.0%}" for bus in buses if bus)
        text = (f"busy {shares}" if shares else "") if line["up"] else line["reason"]
        yield f"{noun} {name}", "up" if line["up"] else "✕ down", ago(line["since"], at), text


def value_rows(snapshot: Row) -> Iterator[tuple[str, ...]]:
    """A row a point; of a bad one the last good value stands in brackets."""
    for device_id, device in snapshot["devices"].items():
        for point_id, point in device["points"].items():
            unit = point["text_unit"].replace("degC", "°C").replace("Ohm", "Ω")
            text, age, quality = point["text"], span(point["age_s"]), point["quality"]
            if quality != "good":
                why = ": ".join(filter(None, (point["reason"], point["detail"])))
                quality = f"{_QUALITY_SIGNS[quality]}{why}"
            if point["quality"] == "bad":
                text = f"({point['last_good_text']})" if "last_good_at" in point else "–"
                age = ago(point["last_good_at"], snapshot["at"]) if "last_good_at" in point else ""
            yield f"{device_id}.{point_id}", text, unit, age, quality


def ago(at: str, until: str) -> str:
    passed = datetime.fromisoformat(until) - datetime.fromisoformat(at)
    return span(max(0.0, passed.total_seconds()))


def _faults(verdict: Verdict, snapshot: Row) -> list[str]:
    return [f"{SIGNS[verdict.level]} {line}" for line in lines(verdict, snapshot)]


def _folded(texts: Sequence[str], width: int, count: int) -> list[str]:
    """Texts as at most `count` lines: folded if there is room, else cut, the rest counted."""
    texts = [plain(text).plain for text in texts]
    folded = [line for text in texts for line in wrap(text, width, subsequent_indent="  ")]
    if len(folded) <= count:
        return folded
    kept = texts if len(texts) <= count else texts[: count - 1]
    lines = [text if len(text) <= width else f"{text[: width - 1]}…" for text in kept]
    left = len(texts) - len(kept)
    return [*lines, f"  and {left} more: shorewatch status"] if left else lines


def fit(rows: list[tuple[str, ...]], count: int) -> list[tuple[str, ...]]:
    """As many rows as fit, the last saying how many there are more; none if none does."""
    if len(rows) <= count:
        return rows
    if count < 2:
        return []
    more = (f"and {len(rows) - count + 1} more", *("" for _ in rows[0][1:]))
    return [*rows[: count - 1], more]


def table(columns: Sequence[str], rows: Sequence[tuple[str, ...]]) -> Table:
    """A table without lines; a column whose name ends in "." stands to the right."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", pad_edge=False)
    for at, column in enumerate(columns):
        name = column.rstrip(".")
        # Only the last column gives way in a narrow terminal: it holds words.
        widest = max([len(name), *(len(row[at]) for row in rows)])
        table.add_column(
            name,
            justify="right" if column.endswith(".") else "left",
            no_wrap=True,
            overflow="ellipsis",
            min_width=None if column == columns[-1] else min(widest, _WIDTH_MAX),
        )
    for row in rows:
        is_bad = any(cell.startswith("✕") for cell in row)
        table.add_row(*map(plain, row), style="bold red" if is_bad else "")
    return table


def plain(cell: str) -> Text:
    """A cell without what would steer the terminal."""
    return Text("".join(c if c.isprintable() else "?" for c in cell))


def _spaced(tables: Sequence[Table]) -> Iterator[Table | Text]:
    for table in tables:
        if table.row_count:
            yield Text()
            yield table
