"""`shorewatch alarm`: the alarms of a station that runs on this machine, listed and answered."""

import getpass
import json
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from shorewatch.control import ask, station_folder
from shorewatch.errors import UsageError

_STYLES = {"critical": "bold red", "major": "bold yellow", "minor": "cyan", "warning": ""}

alarm = App(name="alarm", help="The alarms of the station that runs here: see them, answer them.")

StateDir = Annotated[
    Path | None,
    Parameter(help="The station's state directory (default: the one in /var/lib/shorewatch)."),
]
Id = Annotated[str, Parameter(name="ID", help="The alarm.")]
By = Annotated[str | None, Parameter(help="Who says so (default: the user who is logged in).")]


@alarm.command(name="list")
def list_(
    *, state_dir: StateDir = None, as_json: Annotated[bool, Parameter(name="--json")] = False
) -> None:
    """List what is not normal: the most urgent first, hidden ones last.

    Example: shorewatch alarm list

    Parameters
    ----------
    as_json
        Print the list as JSON.
    """
    from rich.console import Console
    from rich.padding import Padding
    from rich.text import Text

    reply: Any = ask(station_folder(state_dir), {"do": "alarms"})
    found = reply["alarms"]
    if as_json:
        print(json.dumps(found, indent=2, ensure_ascii=False))
        return
    if not found:
        print("No alarms.")
        return
    console = Console(highlight=False, markup=False, emoji=False)
    if reply["flood"]:
        console.print(Text("More alarms than people can follow: begin with the first.", "bold"))
    for row in found:
        is_open = row["state"] in ("unacknowledged", "acknowledged")
        marks = [row["state"], "first of its group" if row["first_out"] else ""]
        marks += ["chattering"] if row["chattering"] else []
        since = (row["since"] or "").replace("T", " ")[:19]
        head = f"{'✕' if is_open else '–'} {row['priority']}, {', '.join(filter(None, marks))}"
        console.print(Text(head, style=_STYLES[row["priority"]] if is_open else "dim"))
        if row["note"]:
            console.print(
                Padding(Text(f"{row['note']} ({row['left_s'] / 3600:.1f} h more)"), (0, 2))
            )
        about = f"{row['text']}. {row['action']}\n{row['id']}" + (
            f", since {since} UTC" * bool(since)
        )
        console.print(Padding(Text(about), (0, 0, 0, 2)))


@alarm.command
def ack(id_: Id, /, *, state_dir: StateDir = None, by: By = None) -> None:
    """Acknowledge an alarm: somebody knows of it.

    Example: shorewatch alarm ack pfe-current-low
    """
    _tell("acknowledge", id_, state_dir, by)


@alarm.command
def reset(id_: Id, /, *, state_dir: StateDir = None, by: By = None) -> None:
    """Release a latched alarm whose condition is over.

    Example: shorewatch alarm reset pfe-tripped
    """
    _tell("reset", id_, state_dir, by)


@alarm.command
def shelve(
    id_: Id,
    /,
    *,
    hours: float,
    why: str,
    state_dir: StateDir = None,
    by: By = None,
) -> None:
    """Hide an alarm for some hours; it is evaluated and recorded all the same.

    Example: shorewatch alarm shelve manhole-lid --hours 2 --why "splice work, permit 17"

    Parameters
    ----------
    hours
        For how long, at most 24.
    why
        The reason, for who comes next.
    """
    _tell("shelve", id_, state_dir, by, text=why, seconds=hours * 3600)


@alarm.command
def unshelve(id_: Id, /, *, state_dir: StateDir = None, by: By = None) -> None:
    """Show a shelved alarm again.

    Example: shorewatch alarm unshelve manhole-lid
    """
    _tell("unshelve", id_, state_dir, by)


@alarm.command
def out(
    id_: Id,
    /,
    *,
    why: str,
    state_dir: StateDir = None,
    by: By = None,
) -> None:
    """Take an alarm out of service until it is put back.

    Example: shorewatch alarm out room-humidity --why "sensor sent for repair"

    Parameters
    ----------
    why
        The reason, for who comes next.
    """
    _tell("out-of-service", id_, state_dir, by, text=why)


@alarm.command(name="in")
def in_(id_: Id, /, *, state_dir: StateDir = None, by: By = None) -> None:
    """Put an alarm back into service.

    Example: shorewatch alarm in room-humidity
    """
    _tell("in-service", id_, state_dir, by)


@alarm.command
def note(
    id_: Id,
    text: str,
    /,
    *,
    state_dir: StateDir = None,
    by: By = None,
) -> None:
    """Write a remark into the journal.

    Example: shorewatch alarm note pfe-current-low "called the other end, they test"

    Parameters
    ----------
    text
        The remark.
    """
    _tell("note", id_, state_dir, by, text=text)


@alarm.command
def maintenance(
    *,
    hours: float | None = None,
    why: str = "",
    end: bool = False,
    state_dir: StateDir = None,
    by: By = None,
) -> None:
    """Hide the alarms of the whole station during work there; they are recorded all the same.

    Example: shorewatch alarm maintenance --hours 4 --why "PFE service, permit 23"

    It ends by itself, or with --end. Until then it is an alarm, so that nobody forgets it.

    Parameters
    ----------
    hours
        For how long, at most 24; given again, from here on.
    why
        The reason, for who comes next.
    end
        The work is done: show all alarms as they are.
    """
    if end is (hours is not None):
        raise UsageError("give either --hours with --why, or --end")
    if hours is None:
        _switch("maintenance-end", state_dir, by)
        print("Maintenance has ended; all alarms are shown.")
    else:
        _switch("maintenance-begin", state_dir, by, text=why, seconds=hours * 3600)
        print(f"The station is in maintenance for {hours:g} h; its alarms are hidden.")


@alarm.command
def test(*, state_dir: StateDir = None, by: By = None) -> None:
    """Raise an alarm that says it is a test, to see that it arrives wherever alarms should.

    Example: shorewatch alarm test --by "Leyla, NOC"

    It ends when somebody acknowledges it, or after a minute.
    """
    _switch("test", state_dir, by)
    print("test-alarm is on: see that it arrives on the page and at the NOC, then acknowledge it")


def _switch(do: str, state_dir: Path | None, by: str | None, **more: object) -> None:
    ask(station_folder(state_dir), {"do": do, "by": by or getpass.getuser(), **more})


def _tell(do: str, alarm_id: str, state_dir: Path | None, by: str | None, **more: object) -> None:
    request = {"do": do, "alarm": alarm_id, "by": by or getpass.getuser(), **more}
    reply = ask(station_folder(state_dir), request)
    print(f"{alarm_id} is {reply['state']}")
