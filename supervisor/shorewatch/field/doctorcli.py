"""`shorewatch bus doctor`: a station's field buses judged by what their boards count."""

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from shorewatch.errors import UsageError
from shorewatch.field.report import write_json

if TYPE_CHECKING:
    from shorewatch.compiled import Compiled

EXIT_BAD, EXIT_UNREACHABLE = 1, 2
SECONDS_MAX = 3600

bus_app = App(name="bus", help="A station's field buses.")


@bus_app.command
def doctor(
    station: Path | None = None,
    *,
    state_dir: Path | None = None,
    board: str | None = None,
    seconds: float = 0,
    as_json: Annotated[Path | None, Parameter(name="--json")] = None,
) -> None:
    """Say what is wrong with the buses of a station, by which figures, and what to check first.

    Example: shorewatch bus doctor --seconds 60

    The figures are the boards': requests, time-outs, damaged answers, refusals, stray bytes,
    and of each device how often and how fast it answers. They come from the gateway that runs here;
    where none runs, the boards of STATION are read over their own ports. Nothing is disturbed.

    Exit code 0: nothing is wrong. 1: something is. 2: no station, or a board that is not reached.

    Parameters
    ----------
    station
        The station file; not needed where its gateway runs here.
    state_dir
        The station's state directory (default: the one in /var/lib/shorewatch).
    board
        Only the buses of this board.
    seconds
        Watch for so long, and judge what happens meanwhile; 0 judges all since the boards began.
    as_json
        Write everything as one JSON object to this file.
    """
    from shorewatch.compiled import load_compiled
    from shorewatch.field.doctor import advise, as_row
    from shorewatch.field.doctorfigures import buses

    if not 0 <= seconds <= SECONDS_MAX:
        raise UsageError(f"--seconds {seconds:g} must be 0 to {SECONDS_MAX}")
    compiled = None if station is None else load_compiled(station)
    source, before, now = asyncio.run(_looked(compiled, state_dir, board, seconds))
    found = [(each, advise(each)) for each in buses(now, before)]
    away = {
        f"board {id_}": row["reason"] or "its figures did not come"
        for id_, row in now["boards"].items()
        if not row["up"] or not row["buses"]
    }
    away |= {f"direct line {i}": r["reason"] for i, r in now["directs"].items() if not r["up"]}
    _show(source, found, away, seconds)
    if as_json is not None:
        body = {"source": source, "seconds": seconds or None, "not_reached": away,
                "buses": [as_row(each, advice) for each, advice in found]}  # fmt: skip
        write_json(as_json, body)
    if away:
        sys.exit(EXIT_UNREACHABLE)
    sys.exit(EXIT_BAD if any(advice for _, advice in found) else 0)


async def _looked(
    compiled: "Compiled | None", state_dir: Path | None, board: str | None, seconds: float
) -> tuple[str, dict[str, Any] | None, dict[str, Any]]:
    """Through what was looked, the table at the beginning if time was to pass, and at the end."""
    from shorewatch.field.sight import folder_of, seen, settled

    _known(compiled, board)
    folder = folder_of(compiled, state_dir)
    async with seen(folder, compiled, None if board is None else [board]) as sight:
        now = await settled(sight, board)
        if not seconds:
            return sight.source, None, now
        _progress(f"watching for {seconds:g} s; Ctrl-C ends")
        await asyncio.sleep(seconds)
        return sight.source, now, await sight.look(board)


def _known(compiled: "Compiled | None", board: str | None) -> None:
    if compiled is not None and board is not None and board not in compiled.plans:
        known = ", ".join(compiled.plans) or "none"
        raise UsageError(f"--board {board}: the station has no such board; it has {known}")


def _show(source: str, found: Any, away: dict[str, str], seconds: float) -> None:
    from rich.console import Console
    from rich.padding import Padding
    from rich.text import Text

    console = Console(highlight=False, markup=False, emoji=False)

    def say(text: str, style: str = "", indent: int = 0) -> None:
        console.print(Padding(Text(text, style=style), (0, 0, 0, indent)))

    span = f"in {seconds:g} s" if seconds else "since its board began"
    say(f"by {source}, {span}", "dim")
    for where, why in away.items():
        say(f"\n{where} is not reached: {why}", "bold red")
    for each, advice in found:
        counts, many = each.counts, len(each.units)
        style = "bold red" if advice else "bold"
        told = f"{len(advice)} to look into" if advice else "nothing is wrong"
        say(f"\n{each.where}: {told}", style)
        to = f"{many} device" if many == 1 else f"{many} devices"
        say(
            f"{counts.requests} requests to {to}: {counts.good} good, {counts.timeouts} "
            f"unanswered, {counts.crc_errors} damaged, {counts.rejected} foreign, "
            f"{counts.exceptions} refused; {counts.stray_bytes} stray bytes, "
            f"{counts.busy_share:.0%} busy",
            indent=2,
        )
        for one in advice:
            say(one.said, "bold red", 2)
            say(f"seen: {one.evidence}", indent=4)
            say(f"check: {one.check}", indent=4)


def _progress(text: str) -> None:
    print(text, file=sys.stderr)
