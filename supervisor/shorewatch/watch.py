"""`shorewatch watch`: a NOC consumer's view of all stations on a broker, in a terminal.

Shows for each station whether it lives and since when, how far its journal has come and what is
missing, and every value that is not good with its reason and age. Without a terminal it prints a
line whenever something changes. It only listens unless told to acknowledge.
"""

import asyncio
import contextlib
import signal
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from urllib.parse import urlsplit

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from shorewatch.errors import ConfigError, Problem
from shorewatch.mqtt.follower import FollowedStation, Follower, Seen
from shorewatch.mqtt.watch import follow

REFRESH_S = 0.5
BAD_ROWS_MAX = 24


async def run_watch(url: str, acknowledge: str | None, seconds: float | None) -> bool:
    """Follow until Ctrl-C or for `seconds`; True if the broker was reached at the end.

    Raises ConfigError for a url that is not mqtt://host:port.
    """
    parts = urlsplit(url)
    if parts.scheme != "mqtt" or not parts.hostname:
        rule = "must look like mqtt://host:1883"
        raise ConfigError([Problem("command line", None, "url", repr(url), rule)])
    follower = Follower()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signum, stop.set)
    following = asyncio.create_task(follow(url, follower, acknowledge=acknowledge))
    end_s = None if seconds is None else time.monotonic() + seconds
    console = Console()
    show = _live(console, follower, url) if sys.stdout.isatty() else _lines(console, follower, url)
    try:
        with show as refresh:
            while not stop.is_set() and (end_s is None or time.monotonic() < end_s):
                if following.done():
                    following.result()
                refresh()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), REFRESH_S)
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
    return follower.broker_state == "online"


@contextlib.contextmanager
def _live(console: Console, follower: Follower, url: str):  # type: ignore[no-untyped-def]
    with Live(screen(follower, url), console=console, auto_refresh=False, screen=True) as live:
        yield lambda: live.update(screen(follower, url), refresh=True)


@contextlib.contextmanager
def _lines(console: Console, follower: Follower, url: str):  # type: ignore[no-untyped-def]
    said: dict[str, str] = {}

    def refresh() -> None:
        texts = {"broker": f"{url}: {follower.broker_state} {follower.broker_text}".strip()}
        for prefix, station in follower.stations.items():
            bad = [f"{row[1]} {row[2]} ({row[3]})" for row in _bad_rows(station)]
            values = f"{len(bad)} not good: {', '.join(bad[:6])}" if bad else "all values good"
            gaps = f"{station.sequence_gaps} records missing"
            texts[prefix] = f"{station.id}: {_life(station)}; {values}; {gaps}"
        for key, text in texts.items():
            if said.get(key) != text:
                said[key] = text
                console.print(text, highlight=False, soft_wrap=True, markup=False)

    yield refresh


def screen(follower: Follower, url: str) -> Group:
    """The whole screen."""
    parts: list[Table | Text] = [Text(f"{url}: {follower.broker_state}", style=_style(follower))]
    if follower.broker_state != "online" and follower.broker_text:
        parts.append(Text(follower.broker_text))
    table = Table(title="Stations")
    for column in ("station", "state", "since (UTC)", "journal", "missing", "devices", "not good"):
        table.add_column(column)
    for station in follower.stations.values():
        table.add_row(
            Text(station.id),
            Text(_life(station), style="" if station.is_online else "bold red"),
            _clock(station.since),
            "" if station.received_to is None else f"{station.received_to:,}",
            _missing_text(station),
            str(len(station.devices)),
            str(sum(1 for _ in _not_good(station))),
        )
    parts.append(table)
    parts.append(_bad_table(follower))
    if follower.refused:
        parts.append(Text(f"{follower.refused} messages not understood ({follower.last_refusal})"))
    return Group(*parts)


def _bad_table(follower: Follower) -> Table | Text:
    rows = [row for s in follower.stations.values() for row in _bad_rows(s)]
    if not rows:
        return Text("Every value is good." if follower.stations else "No station heard of yet.")
    table = Table(title="Values that are not good")
    for column in ("station", "point", "quality", "why", "age", "last good"):
        table.add_column(column)
    for row in rows[:BAD_ROWS_MAX]:
        table.add_row(*(Text(cell) for cell in row))
    if len(rows) > BAD_ROWS_MAX:
        table.caption = f"and {len(rows) - BAD_ROWS_MAX} more"
    return table


def _bad_rows(station: FollowedStation) -> Iterator[tuple[str, ...]]:
    """A row a point, or one for all points of a device that share their fate."""
    mono_s = time.monotonic()
    for device in station.devices:
        points = station.look(device, mono_s)
        bad = {name: seen for name, seen in points.items() if seen.quality != "good"}
        if len(bad) > 1 and len(bad) == len(points) and len({s.reason for s in bad.values()}) == 1:
            oldest = max(bad.values(), key=lambda seen: seen.age_s)
            name = f"{device}: all {len(bad)} points"
            yield station.id, name, oldest.quality, oldest.reason or "", _age(oldest), ""
            continue
        for name, seen in bad.items():
            last = "" if seen.last_good is None else f"{seen.last_good} at {seen.last_good_at}"
            point = f"{device}.{name}"
            yield station.id, point, seen.quality, seen.reason or "", _age(seen), last


def _age(seen: Seen) -> str:
    return "never read" if seen.age_s == float("inf") else f"{seen.age_s:.0f} s"


def _not_good(station: FollowedStation) -> Iterator[tuple[str, str, Seen]]:
    mono_s = time.monotonic()
    for device in station.devices:
        for point, seen in station.look(device, mono_s).items():
            if seen.quality != "good":
                yield device, point, seen


def _life(station: FollowedStation) -> str:
    if station.is_online is None:
        return "unknown"
    if not station.is_online:
        return f"offline ({station.state.get('reason')})"
    boards = station.state.get("boards")
    found = boards.items() if isinstance(boards, dict) else ()
    down = [name for name, board in found if isinstance(board, dict) and not board.get("up")]
    return f"online, board {', '.join(down)} down" if down else "online"


def _missing_text(station: FollowedStation) -> str:
    if not station.sequence_gaps:
        tail_s = station.tail_s(time.monotonic())
        return f"none, tail waits {tail_s:.0f} s" if tail_s > 5 else "none"
    ranges = ", ".join(f"{a}-{b}" for a, b in [*station.gaps, *station.unexplained][:4])
    return f"{station.sequence_gaps}: {ranges}"


def _clock(at: datetime | None) -> str:
    return "" if at is None else f"{at:%H:%M:%S}"


def _style(follower: Follower) -> str:
    return "" if follower.broker_state == "online" else "bold red"
