"""What events set in the world: causes, from which everything else follows; at rest as they stand.

A station's causes and the cable's are plain fields that a scenario (scenario.py) changes at its
moments, at once or sliding; the world (world.py) lets power, room, manhole and PFE follow.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from shorewatch.plant.cable import Cut
from shorewatch.plant.trouble import QUIET, Trouble


@dataclass(slots=True)
class Causes:
    """One station's."""

    grid: bool = True
    generator: bool = True  # it starts when called, and runs
    cooling: bool = True
    ventilation: bool = True
    battery_ah: float = 200.0
    rain_mm_h: float = 0.0
    sea_m3_h: float = 0.0
    pump_m3_h: float = 0.0
    lid_open: bool = False
    pfe_on: bool = True
    pfe_converters: int = 4
    insulation_ohm: float = 850e3  # of the -48 V system to earth
    contacts_off: frozenset[str] = frozenset()  # contacts that somebody moved off their normal
    lines: Mapping[str, Trouble] = field(default_factory=dict)

    def trouble(self, line: str) -> Trouble:
        """What is wrong with a line: `<board>/<uart>`, or the id of a direct line."""
        return self.lines.get(line, QUIET)


@dataclass(slots=True)
class CableCauses:
    """The cable's. `storm_v` and `coast_v` are rms of what wanders: along it, and at each coast."""

    leak_km: float = 0.0
    leak_ohm: float = 1e12
    cut: Cut | None = None
    storm_v: float = 0.0
    coast_v: float = 0.0
