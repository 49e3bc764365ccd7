"""`shorewatch plant run` and `plant scenarios`: the simulated field for anybody's software.

Acceptance tests of a NOC, training, and other makers' tools need the devices and nothing else.
"""

import asyncio
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from shorewatch.config import Station, load_station
from shorewatch.errors import UsageError
from shorewatch.plant.offer import Offered, offer_ptys, offer_tcp
from shorewatch.plant.scenario import Play, clock, load_scenario, names


def run_plant(
    file: Path,
    overrides: Sequence[tuple[str, Any]],
    words: Sequence[str],
    *,
    state_dir: Path | None,
    tcp: int | None,
    seed: int,
    play: Play | None,
) -> None:
    """Offer a station's devices until Ctrl-C; `words` are what each line's process is told."""
    station = load_station(file, overrides)
    if play is not None:
        play.scenario.check([station], is_all=False)
    console = Console(markup=False, emoji=False)

    def show(offered: Sequence[Offered]) -> None:
        console.print(_table(station, offered))
        if play is not None:
            for line in play.scenario.script():
                console.print(line, highlight=False)
        console.print("Ctrl-C ends it.", highlight=False)

    def say(text: str) -> None:
        console.print(text, highlight=False)

    if tcp is not None:
        if not 1 <= tcp <= 65_000:
            raise UsageError(f"--tcp {tcp} must be 1 to 65000; choose one that is free, above 1023")
        asyncio.run(offer_tcp(station, seed, play, tcp, show=show, say=say))
        return
    with ExitStack() as stack:
        folder = state_dir or Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="shorewatch-plant-"))
        )
        offer_ptys(station, file, folder, words, play=play, show=show, say=say)


def print_scenarios() -> None:
    """The shipped scenarios, each with its name, length and story."""
    console = Console(markup=False, emoji=False)
    for name in names():
        file = load_scenario(name).file
        console.print(Text(f"{name}  {clock(file.length_s)}  {file.name}", style="bold"))
        console.print(Text(" ".join(file.story.split())))


def _table(station: Station, offered: Sequence[Offered]) -> Table:
    table = Table(title=f"{station.file.station.name}: simulated devices", title_justify="left")
    for column in ("line", "where", "unit", "device", "profile"):
        table.add_column(column, no_wrap=column == "where")
    for one in offered:
        for i, device in enumerate(one.devices):
            head = (one.line, one.where) if i == 0 else ("", "")
            table.add_row(*head, str(device.config.unit_id), device.id, device.profile.id)
    return table
