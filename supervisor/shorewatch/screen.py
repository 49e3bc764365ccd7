"""What `shorewatch watch` shows: a NOC consumer's view of all stations on a broker.

For each station whether it lives and since when, how far its journal has come and what is missing,
every value that is not good with its reason and age, and what happened last: events, alarms,
losses. Without a terminal it is a line whenever something changes or happens. Strangers' texts
steer no terminal. It follows nothing itself: watch.py does.
"""

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from shorewatch.model import from_text, utc_now
from shorewatch.mqtt.follower import Follower
from shorewatch.mqtt.station import FollowedStation, Seen

_HIDDEN = ("shelved", "suppressed", "out-of-service")
HAPPENED_MAX = 5


@contextlib.contextmanager
def live(console: Console, follower: Follower, url: str) -> Iterator[Callable[[], None]]:
    """A screen that fills the terminal while it lasts; the function draws it anew."""

    def look() -> Group:
        return screen(follower, url, height=console.height)

    with Live(look(), console=console, auto_refresh=False, screen=True) as live:
        yield lambda: live.update(look(), refresh=True)


@contextlib.contextmanager
def printed(console: Console, follower: Follower, url: str) -> Iterator[Callable[[], None]]:
    """Lines as they change; the function prints those that did."""
    said: dict[str, str] = {}

    def refresh() -> None:
        found = lines(follower, url)
        for key in said.keys() - found.keys():
            del said[key]
        for key, text in found.items():
            if said.get(key) != text:
                said[key] = text
                console.print(
                    f"{utc_now():%H:%M:%S} {text}", highlight=False, soft_wrap=True, markup=False
                )

    yield refresh


def lines(follower: Follower, url: str) -> dict[str, str]:
    """A line for the broker, one a station and one a record; they change only with the facts."""
    mono_s = time.monotonic()
    found = {"broker": f"{url}: {follower.broker_state} {follower.broker_text}".strip()}
    for prefix, station in follower.stations.items():
        bad = [f"{row[1]} {row[2]} ({row[3]})" for row in _bad_rows(station, mono_s)]
        more = f" and {len(bad) - 6} more" if len(bad) > 6 else ""
        values = f"not good: {', '.join(bad[:6])}{more}" if bad else "all values good"
        gaps = f"{station.sequence_gaps} records missing"
        life = follower.life(station, mono_s)
        alarms = "alarms unknown" if station.alarms is None else _alarms_text(_alarm_rows(station))
        found[prefix] = f"{station.id}: {life}; {alarms}; {values}; {gaps}"
        for record in station.events:
            key = f"{prefix} {station.reading.journal} {record.get('seq')}"
            found[key] = f"{station.id}: {' '.join(happened(record))}"
    return {key: _plain(text) for key, text in found.items()}


def screen(follower: Follower, url: str, *, height: int = 50) -> Group:
    """The whole screen: broker, stations, and as many values that are not good as fit."""
    mono_s = time.monotonic()
    parts: list[Table | Text] = [_broker_text(follower, url, mono_s)]
    if follower.broker_state != "online" and follower.broker_text:
        parts.append(Text(follower.broker_text, no_wrap=True, overflow="ellipsis"))
    if follower.refused:
        text = f"{follower.refused} messages not understood ({follower.last_refusal})"
        parts.append(Text(text, no_wrap=True, overflow="ellipsis"))
    parts.append(_station_table(follower, mono_s))
    stations = follower.stations.values()
    alarms = [row for station in stations for row in _alarm_rows(station)]
    bad = [row for station in stations for row in _bad_rows(station, mono_s)]
    last = _happened_rows(follower)
    rest = height - len(parts) - len(stations) - 3  # a narrow terminal folds two lines
    if last and rest > len(alarms) + len(bad) + len(last) + 8:
        rest -= len(last) + 2
        parts += _section(last, _table("station", "time", "record", "of", "what"), len(last) + 2)
    if alarms:
        head = _table("station", "alarm", "priority", "state", "since", "text")
        parts += _section(alarms, head, max(rest // 2, rest - len(bad) - 2))
        rest -= min(len(alarms) + 2, max(rest // 2, rest - len(bad) - 2))
    if bad:
        head = _table("station", "point", "quality", "why", "age", "last good value")
        parts += _section(bad, head, rest)
    else:
        parts.append(Text("Every value is good." if stations else "No station heard of yet."))
    return Group(*parts)


def _section(rows: list[tuple[str, ...]], table: Table, height: int) -> list[Table | Text]:
    """An empty line, a head, as many rows as `height` leaves, and how many it does not."""
    count = max(1, height - 2)
    if len(rows) > count:
        count = max(1, count - 1)
    for row in rows[:count]:
        table.add_row(*(Text(_plain(cell)) for cell in row))
    more = len(rows) - count
    return [Text(), table, *([Text(f"and {more} more", style="bold")] if more > 0 else [])]


def _plain(text: str) -> str:
    """What a station says, without what would steer the terminal."""
    return "".join(c if c.isprintable() else "?" for c in text)


def _broker_text(follower: Follower, url: str, mono_s: float) -> Text:
    text = Text(f"{url}: {follower.broker_state}")
    if follower.broker_state != "online":
        text.stylize("bold red")
    if follower.heard_s is not None:
        text.append(f", last message {_span(mono_s - follower.heard_s)} ago")
    text.append(f"   {utc_now():%H:%M:%S} UTC", style="dim")
    return text


def _table(*columns: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:  # a narrow terminal folds words before it cuts figures
        table.add_column(column, no_wrap=column not in ("state", "missing", "last good value"))
    return table


def _station_table(follower: Follower, mono_s: float) -> Table:
    table = _table("station", "state", "since", "heard", "journal", "missing", "not good")
    for station in follower.stations.values():
        life = follower.life(station, mono_s)
        seen = [s for d in station.devices for s in station.look(d, mono_s).values()]
        bad = sum(1 for point in seen if point.quality != "good")
        missing = _missing_text(station, mono_s)
        table.add_row(
            Text(_plain(station.id)),
            Text(_plain(life), style="" if life == "online" else "bold red"),
            _since_text(station),
            _span(station.silent_s(mono_s)),
            "" if station.received_to is None else f"{station.received_to:,}",
            Text(missing, style="" if missing == "none" else "bold red"),
            Text(f"{bad} of {len(seen)}", style="bold red" if bad else ""),
        )
    return table


def _alarm_rows(station: FollowedStation) -> list[tuple[str, ...]]:
    """A row an alarm that is not hidden, the most urgent first, as the station lists them."""
    keys = ("id", "priority", "state", "since", "text")
    return [
        (station.id, *(_since(row) if key == "since" else str(row.get(key)) for key in keys))
        for row in station.alarms or ()
        if row.get("state") not in _HIDDEN
    ]


def _alarms_text(rows: list[tuple[str, ...]]) -> str:
    """How many alarms, and the most urgent of them."""
    if not rows:
        return "no alarm"
    named = ", ".join(f"{row[1]} ({row[2]}, {row[3]})" for row in rows[:4])
    more = f" and {len(rows) - 4} more" if len(rows) > 4 else ""
    return f"{len(rows)} alarm{'s' * (len(rows) > 1)}: {named}{more}"


def _since(row: Mapping[str, object]) -> str:
    try:
        return _clock(from_text(str(row.get("since"))))
    except (ValueError, OverflowError):
        return ""


def happened(record: Mapping[str, object]) -> tuple[str, ...]:
    """A record that is no sample in words: when, what kind, of what, and what."""
    try:
        at = f"{from_text(str(record.get('at'))):%H:%M:%S.%f}"[:-3]
    except (ValueError, OverflowError):
        at = "?"
    if isinstance(error_s := record.get("uncertainty_s"), (int, float)):
        at += f" ±{error_s:g} s"
    if "uncertain" in record:
        at += f" ({record['uncertain']})"
    if record.get("history") is True:
        at += " (history)"
    count = "some" if record.get("count") is None else str(record["count"])
    what = f"{count} of: " if record.get("kind") == "loss" else ""
    what += str(record.get("what", ""))
    for key, sign in (("label", ","), ("text", ","), ("why", ":")):
        if record.get(key) is not None:
            what += f"{sign} {record[key]}"
    source = record.get("source") or record.get("alarm") or record.get("uplink") or ""
    return at, str(record.get("kind")), str(source), what


def _happened_rows(follower: Follower) -> list[tuple[str, ...]]:
    """The newest few records of all stations, by their times."""
    found = [
        (str(record.get("at")), (station.id, *happened(record)))
        for station in follower.stations.values()
        for record in list(station.events)[-HAPPENED_MAX:]
    ]
    return [row for _, row in sorted(found)][-HAPPENED_MAX:]


def _bad_rows(station: FollowedStation, mono_s: float) -> list[tuple[str, ...]]:
    """A row a point, or one for all points of a device or station that share their fate."""
    seen = {device: station.look(device, mono_s) for device in station.devices}
    all_points = [point for points in seen.values() for point in points.values()]
    if len(seen) > 1 and (row := _shared(f"all {len(all_points)} points", all_points)):
        return [(station.id, *row)]
    rows: list[tuple[str, ...]] = []
    for device, points in seen.items():
        if row := _shared(f"{device}: all {len(points)} points", list(points.values())):
            rows.append((station.id, *row))
            continue
        for name, point in points.items():
            if point.quality != "good":
                age, last = _span(point.age_s), _last_good(point)
                why = _why(point)
                rows.append((station.id, f"{device}.{name}", point.quality, why, age, last))
    return rows


def _shared(name: str, points: list[Seen]) -> tuple[str, ...] | None:
    """The row for points that are all not good for one reason, with the oldest age; or None."""
    fates = {(point.quality, _why(point)) for point in points}
    if len(points) < 2 or len(fates) > 1 or points[0].quality == "good":
        return None
    return name, *fates.pop(), _span(max(point.age_s for point in points)), ""


def _why(seen: Seen) -> str:
    """The reason, and what the device says of it."""
    return ": ".join(text for text in (seen.reason, seen.detail) if text)


def _last_good(seen: Seen) -> str:
    if seen.last_good is None:
        return ""
    try:
        at = _clock(from_text(seen.last_good_at or ""))
    except (ValueError, OverflowError):
        at = "an unknown time"
    return f"{seen.last_good} at {at}"


def _span(seconds: float) -> str:
    """An age in two figures or three: 0.4 s, 12 s, 5 min, 7 h, 3 d."""
    if math.isinf(seconds):
        return "never"
    for unit, length_s in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length_s:
            return f"{seconds / length_s:.0f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 1 else f"{seconds:.1f} s"


def _missing_text(station: FollowedStation, mono_s: float) -> str:
    if not station.sequence_gaps:
        tail_s = station.tail_s(mono_s)
        return f"none, tail waits {tail_s:.0f} s" if tail_s > 5 else "none"
    ranges = ", ".join(f"{a}-{b}" for a, b in [*station.gaps, *station.unexplained][:4])
    return f"{station.sequence_gaps}: {ranges}"


def _since_text(station: FollowedStation) -> str:
    if station.since is None:
        return ""
    return ("before " if station.is_since_late else "") + _clock(station.since)


def _clock(at: datetime) -> str:
    """The time in UTC; with the date if that is not today."""
    return at.strftime("%H:%M:%S" if at.date() == utc_now().date() else "%Y-%m-%d %H:%M")
