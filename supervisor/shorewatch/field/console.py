"""What `shorewatch console` shows of one board: its own figures, buses, devices, values, events.

A table (sight.py) becomes text. On a screen of 80 by 24 the head, buses and devices come first,
then as many values as fit, those that are not good before the others, and the last events; what
does not fit is counted. Of a board that says nothing no value is shown that could be taken for one
of now.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from shorewatch.glance import ago, fit, plain, table, value_rows
from shorewatch.screen import happened
from shorewatch.verdict import span

Row = Mapping[str, Any]
EVENTS_ROWS, VALUES_ROWS_MIN = 3, 4
HEADS = 2  # a table's title row and the blank line before it
_BUSES = (
    *("bus", "set to", "requests.", "silent.", "damaged.", "foreign."),
    *("refused.", "stray.", "busy."),
)
_DEVICES = ("device", "bus/unit", "state", "reply.", "worst.", "good.", "bad.", "exception")
_VALUES = ("point", "value.", "unit", "age.", "quality")
_EVENTS = ("when", "what happened")


def whole(look: Row, source: str) -> Group:
    """Everything about the boards of a table."""
    parts: list[RenderableType] = []
    for board_id in look["boards"]:
        parts += _head(look, board_id, source)
        parts += [
            part
            for columns, rows in _tables(look, board_id)
            if rows
            for part in (Text(), table(columns, rows))
        ]
    return Group(*parts)


def fitted(look: Row, source: str, *, width: int, height: int, lost: str | None = None) -> Group:
    """One board on a screen; `lost` says why the table is an old one, if it is."""
    (board_id,) = look["boards"]
    head = _head(look, board_id, source)
    if lost is not None:
        return Group(*head[:1], Text(f"✕ {lost}", style="bold red", overflow="ellipsis"))
    for line in head:
        line.truncate(width, overflow="ellipsis")
    buses, devices, values, events = _tables(look, board_id)
    rest = height - len(head)
    parts: list[RenderableType] = [*head]
    kept_events = events[1][-EVENTS_ROWS:]
    free = HEADS + len(kept_events) if kept_events else 0
    free += HEADS + min(VALUES_ROWS_MIN, len(values[1])) if values[1] else 0
    for columns, rows in (buses, devices):
        kept = fit(rows, rest - HEADS - (free if rows is devices[1] else 0))
        if kept:
            parts += [Text(), table(columns, kept)]
            rest -= HEADS + len(kept)
    free = HEADS + len(kept_events) if kept_events else 0
    if kept := fit(values[1], rest - HEADS - free):
        parts += [Text(), table(_VALUES, kept)]
        rest -= HEADS + len(kept)
    if kept_events and rest - HEADS >= len(kept_events):
        parts += [Text(), table(_EVENTS, kept_events)]
    return Group(*parts)


def _head(look: Row, board_id: str, source: str) -> list[Text]:
    board = look["boards"][board_id]
    title = Text(f"board {board_id}", style="bold", no_wrap=True)
    title.append(
        f"   {look['at'][:19].replace('T', ' ')} UTC   by {plain(source).plain}", "not bold dim"
    )
    if not board["up"]:
        why = plain(board["reason"] or "not reached").plain
        return [title, Text(f"✕ not up: {why}", style="bold red")]
    up = f"up {ago(board['since'], look['at'])}; " if board["since"] else ""
    lines = [
        f"{up}firmware {board['firmware']}, plan {board['plan']}, started by "
        f"{board['boot_reason']} {span(board['running_s'])} ago",
        f"heap {_kb(board['heap_free'])} kB free, least {_kb(board['heap_free_least'])}; slowest "
        f"pass {board['worst_pass_ms']} ms{_line_facts(board)}",
    ]
    return [title, *(Text(line, no_wrap=True) for line in lines)]


def _line_facts(board: Row) -> str:
    trip, drift = board["round_trip_ms"], board["drift_ppm"]
    told = "" if trip is None else f"; polled in {trip} ms"
    return told if drift is None else f"{told}; clock {drift:+.0f} ppm"


def _kb(count: int) -> str:
    return f"{count / 1024:.0f}"


def _tables(look: Row, board_id: str) -> Sequence[tuple[Sequence[str], list[tuple[str, ...]]]]:
    board = look["boards"][board_id]
    buses = [
        (
            f"UART {bus['uart']}" if "baud" in bus else f"bus {bus['uart']}",
            f"{bus['baud']} {bus['format']}" if "baud" in bus else "",
            *(str(bus[key]) for key in ("requests", "timeouts", "crc_errors", "rejected",
                                        "exceptions", "stray_bytes")),
            f"{bus['busy_share']:.0%}",
        )
        for bus in board["buses"]
    ]  # fmt: skip
    values = sorted(value_rows(look), key=lambda row: not row[-1].startswith(("✕", "?")))
    return (
        (_BUSES, buses),
        (
            _DEVICES,
            [_device(name, row) for name, row in look["devices"].items() if row["counters"]],
        ),
        (_VALUES, values if board["up"] else []),
        (_EVENTS, [_event(event) for event in board.get("events", [])]),
    )


def _device(device_id: str, row: Row) -> tuple[str, ...]:
    found = row["counters"]
    is_well = found["state"] == "up"
    return (
        device_id,
        f"{row['uart']}/{row['unit_id']}",
        found["state"] if is_well else f"✕ {found['state']}",
        f"{found['reply_ms']} ms",
        f"{found['reply_ms_max']} ms",
        str(found["good"]),
        str(found["bad"]),
        str(found["exception"] or ""),
    )


def _event(event: Row) -> tuple[str, ...]:
    if "ago_s" in event:
        return f"{span(event['ago_s'])} ago", f"{event['source']}: {event['what']}"
    at, _, source, what = happened(event)
    return at, f"{source}: {what}"
