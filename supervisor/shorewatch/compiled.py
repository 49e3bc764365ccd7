"""Everything that a station file comes to: station, plans of boards and direct lines, alarms."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shorewatch.alarmlist import compile_alarms
from shorewatch.alarms import Rule
from shorewatch.config import Station, read_station
from shorewatch.errors import ConfigError
from shorewatch.plan import BoardPlan, DirectPlan, compile_board, compile_direct


@dataclass(frozen=True)
class Compiled:
    """A station, ready to run: its plans by board and by direct line."""

    station: Station
    plans: Mapping[str, BoardPlan]
    rules: Sequence[Rule]
    directs: Mapping[str, DirectPlan]


def load_compiled(path: Path, overrides: Sequence[tuple[str, Any]] = ()) -> Compiled:
    """Read a station file and compile its plans and alarms.

    Raises one ConfigError with everything that is wrong: with the file, and with the plans and
    alarms of what is sound in it.
    """
    station, problems = read_station(path, overrides)
    plans: dict[str, BoardPlan] = {}
    for board_id in station.boards:
        try:
            plans[board_id] = compile_board(station, board_id)
        except ConfigError as error:
            problems += error.problems
    directs: dict[str, DirectPlan] = {}
    for direct_id in station.directs:
        try:
            directs[direct_id] = compile_direct(station, direct_id)
        except ConfigError as error:
            problems += error.problems
    rules, more = compile_alarms(station)
    problems += more
    if problems:
        raise ConfigError(sorted(problems, key=lambda problem: (problem.file, problem.line or 0)))
    return Compiled(station, plans, rules, directs)
