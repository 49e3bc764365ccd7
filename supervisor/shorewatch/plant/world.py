"""The world: both stations and the cable between them, with consequences, played from a seed.

    Surroundings ──┐
    Causes ────────┼─▶ Power ─▶ Room          one Site a station
    (scenario)     ├─▶ Manhole
                   └─▶ Pfe ◀── cable ──▶ Pfe  of the other site

Each process of the plant plays a world of its own. Given the same seed, scenario, start and speed
they agree without any talk, also after a restart: a world is stepped from the scenario's start, in
steps of STEP_S of scenario time. Without a scenario nothing changes but the surroundings, and no
step is made. Readings are taken at UTC; noise and quiet days go by UTC, events by scenario time.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from shorewatch.cable.line import End
from shorewatch.plant.cable import (
    CABLE,
    HEALTHY,
    Circuit,
    EndState,
    Shunt,
    earth_v,
    end_of,
    metered,
    solve,
)
from shorewatch.plant.causes import CableCauses, Causes
from shorewatch.plant.manhole import Manhole
from shorewatch.plant.noise import Noise
from shorewatch.plant.pfe import Pfe, Surrounding
from shorewatch.plant.power import Power
from shorewatch.plant.room import Room
from shorewatch.plant.scenario import Event, Play
from shorewatch.plant.surroundings import Surroundings

STEP_S = 0.1
STATIONS = ("sumqayit", "aktau")
_SLOW_STEPS = 10  # sliding causes and storms move once a second, so the cable is solved as often
_STORM_PERIOD_S, _COAST_PERIOD_S = 900.0, 420.0
_HEALTHY_OHM = 1e11


@dataclass(slots=True)
class Site:
    """One station in the world. `state` of its parts is that of the last step."""

    around: Surroundings
    end: End
    pfe: Pfe
    causes: Causes = field(default_factory=Causes)
    power: Power = field(default_factory=Power)
    room: Room = field(default_factory=Room)
    manhole: Manhole = field(default_factory=Manhole)

    def step(self, dt_s: float) -> None:
        """Let power, room and manhole follow their causes."""
        causes, power = self.causes, self.power
        power.battery_ah = causes.battery_ah
        power.step(dt_s, has_grid=causes.grid, is_genset_well=causes.generator)
        self.room.step(
            dt_s,
            has_ac=power.has_ac,
            is_unit_well=causes.cooling,
            is_vented=causes.ventilation,
            charge_a=power.battery_a,
        )
        self.manhole.is_open = causes.lid_open
        self.manhole.step(
            dt_s,
            rain_mm_h=causes.rain_mm_h,
            sea_m3_h=causes.sea_m3_h,
            pump_m3_h=causes.pump_m3_h,
        )

    def feed(self, dt_s: float, seen: EndState) -> None:
        """Let the power feed equipment follow its terminals and its causes."""
        causes = self.causes
        around = Surrounding(
            causes.pfe_on,
            self.power.dc_v > 0,
            "pfe-door" not in causes.contacts_off,
            causes.pfe_converters,
        )
        self.pfe.step(dt_s, around, seen)

    def contact_is_off(self, contact_id: str) -> bool:
        """Whether a dry contact of a board is off its normal state."""
        if contact_id in self.causes.contacts_off:
            return True
        if contact_id == "lid-switch":
            return self.manhole.is_open
        return contact_id == "pfe-alarm" and bool(self.pfe.alarms | self.pfe.trips)


@dataclass(slots=True)
class _Slide:
    """A number on its way from one value to another."""

    owner: Causes | CableCauses
    name: str
    start: float
    end: float
    from_s: float
    until_s: float

    def at(self, now_s: float) -> float:
        share = min(1.0, (now_s - self.from_s) / (self.until_s - self.from_s))
        if self.name.endswith("_ohm"):  # resistances change by factors
            return math.exp((1 - share) * math.log(self.start) + share * math.log(self.end))
        return self.start + share * (self.end - self.start)


class World:
    """Everything that can be measured, at the moment to which it was brought."""

    def __init__(self, seed: int, play: Play | None = None) -> None:
        self.seed = seed
        self.play = play
        self.cable = CableCauses()
        self._sites: dict[str, Site] = {}
        self._steps = 0
        self._events: Sequence[Event] = play.scenario.file.event if play else ()
        self._next_event = 0
        self._slides: list[_Slide] = []
        self._solved: tuple[Circuit, Mapping[End, EndState]] | None = None
        for station_id in STATIONS:
            self.site(station_id)

    @property
    def now_s(self) -> float:
        """Scenario time of the last step."""
        return self._steps * STEP_S

    @property
    def speed(self) -> float:
        """Scenario seconds a second."""
        return self.play.speed if self.play else 1.0

    def site(self, station_id: str) -> Site:
        """A station's part of it; one that is not the cable's plays its first end."""
        site = self._sites.get(station_id)
        if site is None:
            assert self._steps == 0, "a station is there from the start"
            end = end_of(station_id)
            pfe = Pfe(HEALTHY.a if end == "A" else HEALTHY.b)
            site = Site(Surroundings(station_id, self.seed), end, pfe)
            self._sites[station_id] = site
        return site

    def bring(self, utc_s: float) -> None:
        """Let scenario time pass up to this moment; it never goes back, nor beyond the end."""
        if self.play is None:
            return
        until_s = min(self.play.at_s(utc_s), self.play.scenario.file.length_s)
        while (self._steps + 1) * STEP_S <= until_s:
            self._steps += 1
            self._step()

    def seen(self, end: End, utc_s: float) -> EndState:
        """What the meters of one end's PFE show."""
        return metered(solve(self.circuit(utc_s))[end], end, self.seed, utc_s)

    def circuit(self, utc_s: float | None = None) -> Circuit:
        """The cable's circuit; with a moment, also what the quiet earth does then."""
        cable = self.cable
        sources = {site.end: site.pfe.source() for site in reversed(self._sites.values())}
        shunts = (Shunt(cable.leak_km, cable.leak_ohm),) if cable.leak_ohm < _HEALTHY_OHM else ()
        circuit = Circuit(CABLE, sources["A"], sources["B"], shunts, cable.cut)
        if cable.storm_v or cable.coast_v:
            at_s = self._steps // _SLOW_STEPS * _SLOW_STEPS * STEP_S
            circuit = replace(
                circuit,
                emf_v_per_km=cable.storm_v / CABLE.length_km * self._wander("storm", at_s),
                earth_a_v=cable.coast_v * self._wander("coast-a", at_s),
                earth_b_v=cable.coast_v * self._wander("coast-b", at_s),
            )
        if utc_s is None:
            return circuit
        quiet = earth_v(self.seed, utc_s) / CABLE.length_km
        return replace(circuit, emf_v_per_km=circuit.emf_v_per_km + quiet)

    def _wander(self, name: str, at_s: float) -> float:
        period_s = _STORM_PERIOD_S if name == "storm" else _COAST_PERIOD_S
        return Noise(self.seed, f"cable/{name}").drift(at_s, period_s)

    def _step(self) -> None:
        now_s = self.now_s
        while self._next_event < len(self._events):
            event = self._events[self._next_event]
            if event.at_s > now_s:
                break
            self._next_event += 1
            self._begin(event)
        if self._slides and self._steps % _SLOW_STEPS == 0:
            for slide in self._slides:
                setattr(slide.owner, slide.name, slide.at(now_s))
            self._slides = [slide for slide in self._slides if slide.until_s > now_s]
        for site in self._sites.values():
            site.step(STEP_S)
        circuit = self.circuit()
        if self._solved is None or self._solved[0] != circuit:
            self._solved = circuit, solve(circuit)
        for site in self._sites.values():
            site.feed(STEP_S, self._solved[1][site.end])

    def _begin(self, event: Event) -> None:
        for name, value in event.settings():
            owners: list[Causes | CableCauses] = [self.cable]
            if not hasattr(self.cable, name):
                stations = self._sites if event.station is None else [event.station]
                owners = [site.causes for id_, site in self._sites.items() if id_ in stations]
            for owner in owners:
                self._set(owner, name, value, event)

    def _set(self, owner: Causes | CableCauses, name: str, value: object, event: Event) -> None:
        self._slides = [s for s in self._slides if s.owner is not owner or s.name != name]
        if not event.over_s:
            if name == "lines" and isinstance(owner, Causes) and isinstance(value, dict):
                value = {**owner.lines, **value}
            setattr(owner, name, value)
            return
        assert isinstance(value, (int, float)), "only numbers slide"
        start = float(getattr(owner, name))
        until_s = event.at_s + event.over_s
        self._slides.append(_Slide(owner, name, start, float(value), event.at_s, until_s))
