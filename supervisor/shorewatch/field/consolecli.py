"""`shorewatch console`: one board live in a terminal, or the frames that an adapter hears."""

import asyncio
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from shorewatch.control import ControlError
from shorewatch.errors import LinkError, UsageError
from shorewatch.field.report import write_json

if TYPE_CHECKING:
    from rich.console import Console

    from shorewatch.compiled import Compiled
    from shorewatch.config import Station
    from shorewatch.field.sight import Sight
    from shorewatch.field.sniff import Heard

EXIT_BAD, EXIT_UNREACHABLE = 1, 2
LOOK_S = 1.0


def console(
    board: str | None = None,
    *,
    station: Path | None = None,
    port: str | None = None,
    unit: int = 1,
    state_dir: Path | None = None,
    once: Annotated[bool, Parameter(negative="")] = False,
    as_json: Annotated[Path | None, Parameter(name="--json")] = None,
    listen: Path | None = None,
    baud: int = 9600,
    format_: Annotated[str, Parameter(name="--format")] = "8N1",
    for_: Annotated[float | None, Parameter(name="--for")] = None,
) -> None:
    """Show one board live: its own figures, buses, devices, values and events; Ctrl-C ends.

    Example: shorewatch console beach

    It looks through the gateway that runs here; where none runs, at the board's port itself: by the
    station file (--station), or by what the board says of itself (--port). Only reads are sent.

    Example: shorewatch console --listen /dev/ttyUSB0 --baud 9600 --station sumqayit.toml

    With --listen nothing is sent at all: a plain RS-485 adapter on a line tells what others say
    there, frame by frame. A frame that writes is a warning in itself.

    Exit code 0: all is well. 1: the board, a device or a frame is not. 2: not reached, or silence.

    Parameters
    ----------
    board
        The board's id in the station file.
    station
        The station file.
    port
        The board's port, where there is no station file.
    unit
        The unit id of its link.
    state_dir
        The station's state directory (default: the one in /var/lib/shorewatch).
    once
        Print it once, as long as it is.
    as_json
        Write everything as one JSON object to this file, once.
    listen
        The adapter's port.
    baud
        The line's baud rate.
    format_
        8N1, 8E1, 8O1 or 8N2.
    for_
        Listen for so many seconds.
    """
    from rich.console import Console

    from shorewatch.compiled import load_compiled

    out = Console(highlight=False, markup=False, emoji=False)
    compiled = None if station is None else load_compiled(station)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # what was heard is still to be told
    if listen is not None:
        if port is not None or once:
            raise UsageError("--listen hears a line; --port and --once look at a board")
        loaded = None if compiled is None else compiled.station
        sys.exit(_hear(listen, (baud, format_), for_, out, (loaded, board), as_json))
    if (board is None) == (port is None):
        raise UsageError("name one board: its id, such as `console beach`, or --port /dev/ttyACM0")
    if compiled is not None and board is not None and board not in compiled.plans:
        raise UsageError(f"the station has no board {board!r}; it has {', '.join(compiled.plans)}")
    is_once = once or as_json is not None or not out.is_terminal
    try:
        code = asyncio.run(_show(compiled, board, (port, unit), state_dir, out, is_once, as_json))
    except KeyboardInterrupt:
        code = 0
    except LinkError as error:
        print(f"shorewatch: {error}", file=sys.stderr)
        code = EXIT_UNREACHABLE
    sys.exit(code)


async def _show(
    compiled: "Compiled | None",
    board: str | None,
    at_port: tuple[str | None, int],
    state_dir: Path | None,
    out: "Console",
    is_once: bool,
    as_json: Path | None,
) -> int:
    from shorewatch.config import LinkConfig
    from shorewatch.field.sight import folder_of, port_seen, seen

    port, unit = at_port
    if port is not None:
        if not 1 <= unit <= 247:
            raise UsageError(f"--unit {unit} must be 1 to 247")
        async with port_seen(port, LinkConfig(port=port, unit_id=unit)) as sight:
            return await _look(sight, None, out, is_once, as_json)
    boards = [] if board is None else [board]
    async with seen(folder_of(compiled, state_dir), compiled, boards) as sight:
        return await _look(sight, board, out, is_once, as_json)


async def _look(
    sight: "Sight", board: str | None, out: "Console", is_once: bool, as_json: Path | None
) -> int:
    from shorewatch.field.console import whole
    from shorewatch.field.sight import settled

    row = await settled(sight, board)
    if as_json is not None:
        write_json(as_json, {"source": sight.source, **row})
    if not is_once:
        await _live(sight, board, out, row)
        return 0
    out.print(whole(row, sight.source))
    if not all(found["up"] for found in row["boards"].values()):
        return EXIT_UNREACHABLE
    counters = [found["counters"] for found in row["devices"].values() if found["counters"]]
    points = [p for device in row["devices"].values() for p in device["points"].values()]
    is_well = all(found["state"] == "up" for found in counters)
    return 0 if is_well and all(p["quality"] != "bad" for p in points) else EXIT_BAD


async def _live(sight: "Sight", board: str | None, out: "Console", row: Any) -> None:
    """A screen that is drawn anew each second until it is interrupted."""
    from rich.live import Live

    from shorewatch.field.console import fitted

    lost = None
    with Live(console=out, auto_refresh=False, screen=True) as live:
        while True:
            size = out.size
            shown = fitted(row, sight.source, width=size.width, height=size.height, lost=lost)
            live.update(shown, refresh=True)
            await asyncio.sleep(LOOK_S)
            try:
                row, lost = await sight.look(board), None
            except (ControlError, LinkError) as error:
                lost = str(error)


def _hear(
    port: Path,
    setting: tuple[int, str],
    for_s: float | None,
    out: "Console",
    known: "tuple[Station | None, str | None]",
    as_json: Path | None,
) -> int:
    """Tell what is heard until the time is over or Ctrl-C, then all of it in sum."""
    from rich.text import Text

    from shorewatch.field.consolehear import names_of, summed
    from shorewatch.field.sniff import Listener
    from shorewatch.field.sweep import line_of, parse_settings

    (found,) = parse_settings(str(setting[0]), setting[1])[:1]
    station, board = known
    names = {} if station is None else names_of(station, board, found.baud)
    line = line_of(str(port), found)
    listener = Listener(found.char_s, line.t35_us / 1e6)
    out.print(Text(f"listening on {port} at {found}; nothing is sent; Ctrl-C ends", style="dim"))
    begun_s, fault = time.monotonic(), None
    try:
        asyncio.run(_listen(listener, line, names, for_s, out))
    except KeyboardInterrupt:
        pass
    except LinkError as error:
        fault = str(error)
        out.print(Text(fault, style="bold red"))
    span_s = time.monotonic() - begun_s
    told = list(summed(listener.counts, names, span_s))
    out.print()
    for text, is_warning in told:
        out.print(Text(text, style="bold red" if is_warning else "bold"))
    counts = listener.counts
    if as_json is not None:
        write_json(as_json, _counted(counts, port, str(found), span_s, fault))
    if fault or not counts.frames:
        return EXIT_UNREACHABLE
    return EXIT_BAD if any(is_warning for _, is_warning in told) else 0


async def _listen(
    listener: Any, line: Any, names: Any, for_s: float | None, out: "Console"
) -> None:
    from rich.text import Text

    from shorewatch.direct.wire import opened
    from shorewatch.field.consolehear import said
    from shorewatch.model import utc_now

    until_s = float("inf") if for_s is None else time.monotonic() + for_s
    async with opened(line, Path()) as wire:
        while (now_s := time.monotonic()) < until_s:
            await wire.wait(min(listener.wake_s, until_s, now_s + LOOK_S))
            now_s, data = time.monotonic(), wire.take()
            for talk in listener.hear(now_s, data) if data else listener.end(now_s):
                text, is_warning = said(talk, names)
                at = f"{utc_now():%H:%M:%S.%f}"[:-3]
                out.print(Text(f"{at} {text}", style="bold red" if is_warning else ""))


def _counted(
    counts: "Heard", port: Path, setting: str, span_s: float, fault: str | None
) -> dict[str, Any]:
    from dataclasses import asdict

    head = {"port": str(port), "setting": setting, "span_s": round(span_s, 1), "fault": fault}
    return head | asdict(counts)
