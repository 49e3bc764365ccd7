"""`shorewatch status`: how the station that runs here is, once or all the time.

For staff at a terminal and for scripts: the exit code is 0 if all is well, 1 if anything is not,
2 if no station answers. It asks the daemon over its socket (control.py), no network needed.
"""

import json
import sys
import time
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from shorewatch.control import UnreachableError, ask, station_folder
from shorewatch.model import to_text, utc_now
from shorewatch.verdict import judge, since

LOOK_S = 1.0
ANSWER_S_MAX = 2.0  # a station that hangs must not look alive for long
_NOT_GOOD = 1

Row = dict[str, Any]


def status(
    *,
    watch: Annotated[bool, Parameter(negative="")] = False,
    state_dir: Annotated[
        Path | None,
        Parameter(help="The station's state directory (default: the one in /var/lib/shorewatch)."),
    ] = None,
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> None:
    """Say whether the station that runs here is all right, what is wrong, and since when.

    Example: shorewatch status --watch

    Exit code 0: nothing is wrong. 1: an alarm is open, or something else is not as it should be;
    the first lines say what. 2: no station answers. With --watch: 0 at Ctrl-C.

    Parameters
    ----------
    watch
        Stay and show it live, in a terminal of 80 by 24 or more.
    as_json
        Print everything as one JSON object, with the verdict.
    """
    from rich.console import Console

    folder = station_folder(state_dir)
    if watch:
        _watch(folder, Console(highlight=False, markup=False, emoji=False))
        return
    snapshot = _look(folder)
    verdict = judge(snapshot)
    if as_json:
        print(json.dumps(snapshot, ensure_ascii=False, indent=1))
    else:
        from shorewatch.glance import whole

        Console(highlight=False, markup=False, emoji=False).print(whole(snapshot))
    sys.exit(0 if verdict.is_good else _NOT_GOOD)


def _look(folder: Path) -> Row:
    return ask(folder, {"do": "live"}, timeout_s=ANSWER_S_MAX)


def _watch(folder: Path, console: Any) -> None:
    """A screen that is drawn anew each second until Ctrl-C."""
    from rich.live import Live

    from shorewatch.glance import fitted

    snapshot = _look(folder)  # a folder without a station is said at once
    lost = None
    with Live(console=console, auto_refresh=False, screen=True) as live:
        while True:
            size = console.size
            screen = fitted(snapshot, width=size.width, height=size.height, lost=lost)
            live.update(screen, refresh=True)
            try:
                time.sleep(LOOK_S)
                snapshot, lost = _look(folder), None
            except UnreachableError:
                begun = since(snapshot["at"], str(to_text(utc_now())))
                lost = f"No word from the gateway {begun}"
            except KeyboardInterrupt:
                return
