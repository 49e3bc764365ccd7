"""`shorewatch log`: what happened at the station that runs here, and words for who comes next.

It asks the daemon over its socket (diary.py answers); no network needed.
"""

import json
from pathlib import Path
from typing import Annotated, Any, Final

from cyclopts import App, Parameter

from shorewatch.control import ask, station_folder
from shorewatch.historycli import parse_at, parse_since
from shorewatch.model import to_text, utc_now

log = App(name="log", help="What happened at the station that runs here; notes on it.")

_DO: Final = {False: "alarm-history", True: "events"}

Row = dict[str, Any]
StateDir = Annotated[
    Path | None,
    Parameter(help="The station's state directory (default: the one in /var/lib/shorewatch)."),
]
Json = Annotated[bool, Parameter(name="--json", negative="", help="Print the answer as JSON.")]


@log.default
def show(
    *,
    since: str = "24h",
    until: str = "now",
    events: Annotated[bool, Parameter(negative="")] = False,
    priority: str = "",
    state: str = "",
    source: str = "",
    count: int = 50,
    state_dir: StateDir = None,
    as_json: Json = False,
) -> None:
    """Show what happened to alarms, with notes and maintenance: the newest last.

    Example: shorewatch log --since 7d --priority critical,major

    Parameters
    ----------
    since
        A span before the end (90s, 30m, 2h, 7d) or a time (2026-11-22T16:00:00Z).
    until
        Where to end: now, or a time.
    events
        Instead of alarms: what boards stamped, lines that came and went, losses.
    priority
        Only these, as critical,major.
    state
        Only where the alarm was then in one of these, as shelved,out-of-service.
    source
        Only of this device, point (pfe.line_current), board or alarm.
    count
        At most so many, the newest; 500 at most.
    """
    reply = _asked(_DO[events], since, until, state_dir, {
        "priority": priority, "state": state, "source": source, "count": count,
    })  # fmt: skip
    if as_json:
        print(json.dumps(reply, indent=1, ensure_ascii=False))
        return
    for row in reply["records"][::-1]:
        print(line(row))
    if not reply["records"]:
        print("Nothing happened.")
    if reply["reaches"]:
        print(f"The journal reaches back to {_clock(reply['reaches'])} UTC.")


@log.command
def figures(
    *, since: str = "24h", until: str = "now", state_dir: StateDir = None, as_json: Json = False
) -> None:
    """Say how well the alarms serve people: the figures of ISA-18.2, each beside its aim.

    Example: shorewatch log figures --since 7d

    Parameters
    ----------
    since
        A span before the end (2h, 7d) or a time; 31 days at most.
    until
        Where to end: now, or a time.
    """
    reply = _asked("alarm-figures", since, until, state_dir, {})
    print(json.dumps(reply, indent=1, ensure_ascii=False) if as_json else told(reply))


@log.command
def note(
    text: str,
    /,
    *,
    state_dir: StateDir = None,
    by: Annotated[
        str | None, Parameter(help="Who says so (default: the user who is logged in).")
    ] = None,
) -> None:
    """Write a remark on the station into its journal; one on an alarm: `shorewatch alarm note`.

    Example: shorewatch log note "diesel refilled, 900 l"

    Parameters
    ----------
    text
        The remark.
    """
    import getpass

    ask(station_folder(state_dir), {"do": "note", "by": by or getpass.getuser(), "text": text})
    print("noted")


def line(row: Row) -> str:
    """A record as one line: time, what, of what, and the words that came with it."""
    words = [row.get("text"), row.get("label"), row.get("why"), row.get("note")]
    if "uncertainty_s" in row:
        words.append(f"± {1000 * row['uncertainty_s']:.1f} ms")
    words.append(row.get("uncertain"))
    by = f" by {row['by']}" if row.get("by") else ""
    what = "note" if row["kind"] == "note" else row.get("what", row["kind"])
    head = [row.get("priority", ""), row.get("alarm") or row.get("source") or "station", what]
    text = f"{' '.join(filter(None, head))}{by}: {'; '.join(str(word) for word in words if word)}"
    return f"{_clock(row['at'])} {_plain(text).removesuffix(': ')}"


def told(found: Row) -> str:
    """The figures as text, a line each."""
    aim = found["aim"]
    lines = [
        f"{_clock(found['from'])} to {_clock(found['to'])} UTC: {found['raised']} alarms",
        f"an hour              {found['per_hour']:>8}   aim: at most {aim['per_hour']}",
        f"a day                {found['per_day']:>8}   aim: at most {aim['per_day']}",
        f"busiest hour         {found['busiest_hour']['count']:>8}"
        f"   from {_clock(found['busiest_hour']['from'])}",
        f"hours with over 30   {found['hours_over_30']:>8.1%}"
        f"   aim: under {aim['hours_over_30']:.0%}",
        f"time in flood        {found['flood_share']:>8.1%}   aim: under {aim['flood_share']:.0%}",
        f"the ten most         {found['top_share']:>8.1%}   aim: at most {aim['top_share']:.0%}",
        *(f"    {row['count']:>6} {row['alarm']} ({row['share']:.1%})" for row in found["top"]),
        f"chattering           {len(found['chattering']):>8}   aim: none",
        *(f"    {row['count']:>6} {row['alarm']}" for row in found["chattering"]),
        f"on for over a day    {len(found['stale']):>8}   aim: under {aim['stale']}",
        *(f"    since {_clock(row['since'])} {row['alarm']}" for row in found["stale"]),
    ]
    if found["reaches"]:
        lines.append(f"The journal reaches back to {_clock(found['reaches'])} UTC.")
    return "\n".join(lines)


def _asked(do: str, since: str, until: str, state_dir: Path | None, more: Row) -> Row:
    to_at = utc_now() if until == "now" else parse_at("--until", until)
    span = {"from": to_text(parse_since(since, to_at)), "to": to_text(to_at)}
    return ask(station_folder(state_dir), {"do": do, **span, **more})


def _clock(at: str) -> str:
    return at.replace("T", " ").removesuffix("Z")


def _plain(text: str) -> str:
    """Text that steers no terminal."""
    return "".join(char if char.isprintable() else "�" for char in text)
