"""The cable file: length, repeaters, ends, places and error budget of one cable, as TOML.

It stands beside the station files and is read by whoever locates faults, at a station or a NOC;
both ends use the same file. `load_cable` returns it validated, or raises one ConfigError with
everything that is wrong with it, each with file, line, key, value and rule.
"""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from shorewatch.cable.budget import Budget, Shown
from shorewatch.cable.line import Cable, End
from shorewatch.cable.watcher import Feed
from shorewatch.errors import ConfigError, Problem
from shorewatch.point import Id
from shorewatch.toml import Key, Table, Text, TomlFile, read_toml

Kilometre = Annotated[float, Field(ge=0, le=30_000)]
Volts = Annotated[float, Field(gt=0, le=20_000)]
Amperes = Annotated[float, Field(gt=0, le=5)]
Ohms = Annotated[float, Field(ge=0, le=1000)]
Share = Annotated[float, Field(ge=0, le=0.5)]
Sigma = Annotated[float, Field(ge=0, le=1000)]


class CableConfig(Table):
    """The line itself."""

    id: Id
    name: Text
    length_km: Annotated[float, Field(gt=0, le=30_000)]
    ohm_per_km: Annotated[float, Field(gt=0, le=20)]
    copper_degc: Annotated[float, Field(ge=-5, le=60)] = 10.0


class RepeaterConfig(Table):
    """All repeaters: they are alike."""

    at_km: Annotated[list[Kilometre], Field(max_length=500)]
    volts: Volts
    ohm: Ohms = 0.0
    at_a: Amperes

    @model_validator(mode="after")
    def _is_a_regulator(self) -> Self:
        if self.ohm * self.at_a >= self.volts:
            raise ValueError("volts must be more than ohm takes at at_a")
        return self


class EndConfig(Table):
    """One station's end: its power feed equipment and its ground bed."""

    station: Id
    name: Text
    device: Id = "pfe"
    voltage: Id = "line_voltage"
    current: Id = "line_current"
    bed_ohm: Ohms
    volts: Volts
    amps: Amperes
    droop_a_per_v: Annotated[float, Field(ge=1e-9, le=1e-2)]
    volts_max: Volts

    @property
    def share(self) -> Shown:
        """Its nominal share of the feed, as it shows it on a healthy cable."""
        return Shown(self.volts, self.amps)


class NodeConfig(Table):
    """A place along the route."""

    km: Kilometre
    name: Text
    latitude: Annotated[float, Field(ge=-90, le=90)]
    longitude: Annotated[float, Field(ge=-180, le=180)]
    depth_m: Annotated[float, Field(ge=-500, le=11_000)] | None = None


class BudgetConfig(Table):
    """One sigma of what is not known; see budget.py."""

    ohm_per_km_share: Share = Budget().ohm_per_km_share
    repeater_v: Sigma = Budget().repeater_v
    bed_ohm: Sigma = Budget().bed_ohm
    meter_volt_share: Share = Budget().meter_volt_share
    meter_v: Annotated[float, Field(gt=0, le=1000)] = Budget().meter_v
    meter_amp_share: Share = Budget().meter_amp_share
    meter_amp_step_a: Annotated[float, Field(gt=0, le=0.1)] = 0.0001
    meter_amp_drift_a: Annotated[float, Field(gt=0, le=0.1)] = 0.00003
    earth_v: Annotated[float, Field(gt=0, le=1000)] = Budget().earth_v
    coast_v: Sigma = Budget().coast_v
    coast_storm_v: Annotated[float, Field(gt=0, le=1000)] = Budget().coast_storm_v
    storm_share: Annotated[float, Field(gt=0, lt=1)] = Budget().storm_share
    contact_v: Sigma = Budget().contact_v
    contact_ohm: Annotated[float, Field(ge=0, le=1e5)] = Budget().contact_ohm
    bare_ohm: Annotated[float, Field(ge=0, le=1e4)] = Budget().bare_ohm
    leak_a: Annotated[float, Field(ge=0, le=1)] = Budget().leak_a


class CableFile(Table):
    """A cable file. Kilometres count from the first end."""

    cable: CableConfig
    repeater: RepeaterConfig | None = None
    end: Annotated[list[EndConfig], Field(min_length=2, max_length=2)]
    node: Annotated[list[NodeConfig], Field(max_length=1000)] = []
    budget: BudgetConfig = BudgetConfig()

    @property
    def line(self) -> Cable:
        """The electrical facts."""
        repeater = self.repeater
        return Cable(
            length_km=self.cable.length_km,
            repeaters_km=tuple(repeater.at_km) if repeater else (),
            ohm_per_km=self.cable.ohm_per_km,
            repeater_v=repeater.volts if repeater else 1.0,
            repeater_ohm=repeater.ohm if repeater else 0.0,
            nominal_a=repeater.at_a if repeater else self.end[0].amps,
            bed_a_ohm=self.end[0].bed_ohm,
            bed_b_ohm=self.end[1].bed_ohm,
            copper_degc=self.cable.copper_degc,
        )

    @property
    def sigmas(self) -> Budget:
        """The error budget."""
        meters = {"meter_amp_step_a", "meter_amp_drift_a"}
        return Budget(**self.budget.model_dump(exclude=meters))

    @property
    def feed(self) -> Feed:
        """What tells causes apart."""
        a, b = self.end
        return Feed(
            a.droop_a_per_v,
            b.droop_a_per_v,
            (a.droop_a_per_v * a.volts - b.droop_a_per_v * b.volts)
            / (a.droop_a_per_v + b.droop_a_per_v),
            self.budget.meter_amp_step_a,
            self.budget.meter_amp_drift_a,
        )

    def named(self, end: End) -> EndConfig:
        """One end."""
        return self.end[0 if end == "A" else 1]

    def end_of(self, station_id: str) -> End | None:
        """Which end a station is."""
        for end, config in zip(("A", "B"), self.end, strict=True):
            if config.station == station_id:
                return "A" if end == "A" else "B"
        return None

    def coordinates(self, km: float) -> tuple[float, float] | None:
        """Latitude and longitude at a kilometre; None outside the places that are known."""
        for start, stop in pairwise(self.node):
            if start.km <= km <= stop.km:
                share = (km - start.km) / (stop.km - start.km)
                return (
                    start.latitude + share * (stop.latitude - start.latitude),
                    start.longitude + share * (stop.longitude - start.longitude),
                )
        return None


def load_cable(path: Path) -> CableFile:
    """Read a cable file; raises ConfigError with everything that is wrong."""
    file = read_toml(path)
    found, problems = file.parse(CableFile)
    if found is None or problems:
        raise ConfigError(problems)
    problems = list(_misfits(file, found))
    if problems:
        raise ConfigError(problems)
    return found


def _misfits(file: TomlFile, found: CableFile) -> Iterator[Problem]:
    """What only the whole can show."""
    length_km = found.cable.length_km
    places: list[tuple[Key, float, float]] = []
    at_km = found.repeater.at_km if found.repeater else []
    for key, kms in (("repeater", at_km), ("node", [node.km for node in found.node])):
        for i, km in enumerate(kms):
            place: Key = (key, "at_km") if key == "repeater" else (key, i, "km")
            places.append((place, km, kms[i - 1] if i else -1.0))
    for place, km, before in places:
        if km > length_km:
            rule = f"must be within the cable, 0 to {length_km:g} (cable.length_km)"
            yield file.problem(place, f"{km:g}", rule)
        if km <= before:
            rule = f"must rise from the first end to the second: {before:g} stands before it"
            yield file.problem(place, f"{km:g}", rule)
    first, second = found.end
    if first.station == second.station:
        yield file.problem(("end", 1, "station"), repr(second.station), "must be the other station")
    for i, end in enumerate(found.end):
        if end.volts >= end.volts_max:
            rule = f"must be below volts_max, {end.volts_max:g}"
            yield file.problem(("end", i, "volts"), f"{end.volts:g}", rule)
