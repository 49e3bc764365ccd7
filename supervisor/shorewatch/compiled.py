"""Everything that a station file comes to: the station, its boards' plans, its alarms' rules."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shorewatch.alarmlist import compile_alarms
from shorewatch.alarms import Rule
from shorewatch.config import Station, read_station
from shorewatch.errors import ConfigError
from shorewatch.plan import BoardPlan, compile_board


@dataclass(frozen=True)
class Compiled:
    """A station, ready to run: its plans by board."""

    station: Station
    plans: Mapping[str, BoardPlan]
    rules: Sequence[Rule]


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
    rules, more = compile_alarms(station)
    problems += more
    if problems:
        raise ConfigError(sorted(problems, key=lambda problem: (problem.file, problem.line or 0)))
    return Compiled(station, plans, rules)
