"""A scenario: what happens in the simulated field, when, and which alarms must come of it; as TOML.

    [[event]]   at_s, say, and what is set then: the keys of causes.py, at once or within `over_s`
    [[expect]]  of one station: alarms that must be shown, in this order; those that may only be
                hidden by their cause; those that must never be; any other shown is unexpected

Shipped ones stand in the folder scenarios (its README.md has every key); a path names one of yours.
Times are seconds of scenario time from its start; `speed` makes them pass faster than the clock.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from shorewatch.config import Station
from shorewatch.errors import ConfigError, Problem, UsageError
from shorewatch.model import from_text, utc_now
from shorewatch.plant.cable import CABLE, Cut
from shorewatch.plant.trouble import Trouble
from shorewatch.point import Id
from shorewatch.toml import Table, Text, TomlFile, printable, read_toml

LENGTH_S_MAX = 4 * 3600.0
SPEED_MAX = 100.0
_FOLDER = Path(str(resources.files("shorewatch"))) / "plant" / "scenarios"

Seconds = Annotated[float, Field(ge=0, le=LENGTH_S_MAX)]
Kilometre = Annotated[float, Field(ge=0, le=CABLE.length_km)]
Say = Annotated[str, Field(min_length=1, max_length=160), AfterValidator(printable)]
Ohms = Annotated[float, Field(ge=0.001, le=1e12)]
Flow = Annotated[float, Field(ge=0, le=1000)]
Volts = Annotated[float, Field(ge=0, le=200)]
Ids = Annotated[list[Id], Field(max_length=200)]


class CutConfig(Table):
    """A complete break; an end without a resistance is sealed."""

    km: Kilometre
    ohm_a: Ohms | None = None
    ohm_b: Ohms | None = None


class Event(Table):
    """What somebody or something does at one moment. What is left out stays as it is."""

    at_s: Seconds
    say: Say
    over_s: Seconds = 0.0
    station: Id | None = None
    grid: bool | None = None
    generator: bool | None = None
    cooling: bool | None = None
    ventilation: bool | None = None
    battery_ah: Annotated[float, Field(gt=0, le=2000)] | None = None
    rain_mm_h: Flow | None = None
    sea_m3_h: Flow | None = None
    pump_m3_h: Flow | None = None
    lid_open: bool | None = None
    pfe_on: bool | None = None
    pfe_converters: Annotated[int, Field(ge=0, le=4)] | None = None
    insulation_ohm: Ohms | None = None
    contacts_off: Ids | None = None
    lines: dict[str, Trouble] = {}
    leak_km: Kilometre | None = None
    leak_ohm: Ohms | None = None
    cut: CutConfig | None = None
    storm_v: Volts | None = None
    coast_v: Volts | None = None

    @property
    def is_of_cable(self) -> bool:
        """Whether it changes the cable, or who feeds it."""
        return any(name in (*_OF_CABLE, *_OF_FEED) for name, _ in self.settings())

    def settings(self) -> Iterator[tuple[str, object]]:
        """(field of causes.py, value) of all that it sets."""
        for name in (*_OF_STATION, *_OF_CABLE):
            value = getattr(self, name)
            if value is not None and value != {}:
                yield name, _as_cause(value)


class Expect(Table):
    """Which alarms one station must show, and which not."""

    station: Id
    alarms: Ids = []
    hidden: Ids = []
    may: Ids = []
    never: Annotated[list[str], Field(max_length=200)] = []


class ScenarioFile(Table):
    """A scenario's file."""

    id: Id
    name: Text
    story: Annotated[str, Field(max_length=2000)]
    length_s: Annotated[float, Field(gt=0, le=LENGTH_S_MAX)]
    # Faster, a cause would be over before its alarms' delays, which are the clock's.
    speed_max: Annotated[float, Field(ge=1, le=SPEED_MAX)] = 10.0
    event: list[Event]
    expect: list[Expect] = []


@dataclass(frozen=True, slots=True)
class Scenario:
    """A scenario, with the file it is from."""

    file: ScenarioFile
    source: TomlFile

    @property
    def id(self) -> str:
        """Its id."""
        return self.file.id

    def script(self) -> list[str]:
        """What will happen, a line an event."""
        return [f"{clock(event.at_s)}  {event.say}" for event in self.file.event]

    def expected(self, station_id: str) -> list[Expect]:
        """What is expected of a station: the order of alarms is that within each entry."""
        return [expect for expect in self.file.expect if expect.station == station_id]

    def check(self, stations: Sequence[Station], *, is_all: bool = True) -> None:
        """Raise ConfigError for what these stations do not have: alarms, lines, contacts.

        Unless they are all that play it, what is of others is nobody's business.
        """
        known = {station.id: station for station in stations}
        problems = list(_strangers(self.source, self.file, known, is_all=is_all))
        if problems:
            raise ConfigError(problems)


@dataclass(frozen=True, slots=True)
class Play:
    """A scenario that is being played: since when, and how many of its seconds a second has."""

    scenario: Scenario
    start_utc_s: float
    speed: float = 1.0

    def at_s(self, utc_s: float) -> float:
        """Scenario time; 0 before its start."""
        return max(0.0, (utc_s - self.start_utc_s) * self.speed)


def play_of(given: str | None, start: str | None, speed: float) -> Play | None:
    """What a command line asks for: a scenario from `start` (RFC 3339; now) on, or none.

    Raises UsageError for what makes no sense, and as `load_scenario` does.
    """
    if given is None:
        if start is not None or speed != 1.0:
            raise UsageError("--start and --speed belong to a --scenario: name one")
        return None
    scenario = load_scenario(given)
    if not 0.1 <= speed <= scenario.file.speed_max:
        rule = f"must be 0.1 to {scenario.file.speed_max:g}, which {scenario.id} takes at most"
        raise UsageError(f"--speed {speed:g} {rule}")
    try:
        at = utc_now() if start is None else from_text(start)
    except ValueError as error:
        raise UsageError(f"--start {start!r} is no time: 2026-11-23T09:30:00Z") from error
    return Play(scenario, at.timestamp(), speed)


def names() -> list[str]:
    """The shipped scenarios."""
    return sorted(path.stem for path in _FOLDER.glob("*.toml"))


def load_scenario(given: str) -> Scenario:
    """A shipped scenario by its name, or one of yours by its path.

    Raises UsageError for a name that is none, ConfigError with all that is wrong in the file.
    """
    if given in names():
        return _load(_FOLDER / f"{given}.toml")
    path = Path(given)
    if path.suffix == ".toml":
        return _load(path)
    raise UsageError(
        f"there is no scenario {given!r}; choose one of {', '.join(names())}, or a path to a .toml"
    )


def clock(at_s: float) -> str:
    """Scenario time as people read it: 1:02:03."""
    whole = round(at_s)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"


def _load(path: Path) -> Scenario:
    source = read_toml(path)
    found, problems = source.parse(ScenarioFile)
    if found is not None:
        problems = list(_misfits(source, found, path))
    if found is None or problems:
        raise ConfigError(problems)
    return Scenario(found, source)


def _misfits(source: TomlFile, file: ScenarioFile, path: Path) -> Iterator[Problem]:
    """What is wrong with the whole."""
    if file.id != path.stem:
        yield source.problem(("id",), repr(file.id), f"must be the file's name, {path.stem!r}")
    for i, event in enumerate(file.event):
        yield from _misfit(source, file, i, event)
    for i, (before, event) in enumerate(pairwise(file.event), 1):
        if event.at_s < before.at_s:
            rule = f"must not be before the event above it, at {before.at_s:g}"
            yield source.problem(("event", i, "at_s"), f"{event.at_s:g}", rule)


def _misfit(source: TomlFile, file: ScenarioFile, i: int, event: Event) -> Iterator[Problem]:
    set_ = dict(event.settings())
    if not set_:
        rule = "nothing happens: set one of " + ", ".join((*_OF_STATION, *_OF_CABLE))
        yield source.problem(("event", i), None, rule)
    if event.at_s + event.over_s > file.length_s:
        rule = f"with over_s must not pass the scenario's length_s, {file.length_s:g}"
        yield source.problem(("event", i, "at_s"), f"{event.at_s:g}", rule)
    for name in set_:
        if name in _OF_CABLE and event.station is not None:
            rule = "is the cable's: leave out station, or make it an event of its own"
            yield source.problem(("event", i, name), None, rule)
        if event.over_s and name not in _SLIDING:
            rule = "cannot slide: over_s is for numbers; make it an event of its own"
            yield source.problem(("event", i, name), None, rule)


def _strangers(
    source: TomlFile, file: ScenarioFile, known: Mapping[str, Station], *, is_all: bool
) -> Iterator[Problem]:
    for i, event in enumerate(file.event):
        if event.station is not None and event.station not in known:
            if not is_all:
                continue
            rule = f"is none of the stations here: {', '.join(known)}"
            yield source.problem(("event", i, "station"), repr(event.station), rule)
            continue
        concerned = known.values() if event.station is None else [known[event.station]]
        for station in concerned:
            for name in event.lines:
                if name not in (lines := _lines(station)):
                    rule = f"is no line of {station.id}; it has {', '.join(lines)}"
                    yield source.problem(("event", i, "lines"), repr(name), rule)
            contacts = [c.id for board in station.file.board for c in board.input]
            for name in event.contacts_off or []:
                if name not in contacts:
                    rule = f"is no contact of {station.id}; it has {', '.join(contacts)}"
                    yield source.problem(("event", i, "contacts_off"), repr(name), rule)
    for i, expect in enumerate(file.expect):
        if is_all or expect.station in known:
            yield from _unknown_alarms(source, i, expect, known)


def _unknown_alarms(
    source: TomlFile, i: int, expect: Expect, known: Mapping[str, Station]
) -> Iterator[Problem]:
    if expect.station not in known:
        rule = f"is none of the stations here: {', '.join(known)}"
        yield source.problem(("expect", i, "station"), repr(expect.station), rule)
        return
    alarms = [alarm.id for alarm in known[expect.station].file.alarm]
    for key in ("alarms", "hidden", "may"):
        for name in getattr(expect, key):
            if name not in alarms:
                rule = f"is no alarm of {expect.station}"
                yield source.problem(("expect", i, key), repr(name), rule)
    for pattern in expect.never:
        if not any(matches(pattern, alarm) for alarm in alarms):
            rule = f"is no alarm of {expect.station}, nor the beginning of one (pfe-*)"
            yield source.problem(("expect", i, "never"), repr(pattern), rule)


def matches(pattern: str, alarm_id: str) -> bool:
    """Whether an alarm is meant: its id, or its beginning followed by a star."""
    if pattern.endswith("*"):
        return alarm_id.startswith(pattern[:-1])
    return alarm_id == pattern


def _lines(station: Station) -> list[str]:
    buses = [f"{board.id}/{bus.uart}" for board in station.file.board for bus in board.bus]
    return [*buses, *station.directs]


def _as_cause(value: object) -> object:
    if isinstance(value, CutConfig):
        return Cut(value.km, value.ohm_a, value.ohm_b)
    return frozenset(value) if isinstance(value, list) else value


_OF_FEED = ("pfe_on", "pfe_converters")
_OF_CABLE = ("leak_km", "leak_ohm", "cut", "storm_v", "coast_v")
_OF_STATION = (
    "grid", "generator", "cooling", "ventilation", "battery_ah", "rain_mm_h", "sea_m3_h",
    "pump_m3_h", "lid_open", "pfe_on", "pfe_converters", "insulation_ohm", "contacts_off", "lines",
)  # fmt: skip
_SLIDING = (
    "rain_mm_h", "sea_m3_h", "pump_m3_h", "insulation_ohm", "leak_ohm", "storm_v", "coast_v",
)  # fmt: skip
