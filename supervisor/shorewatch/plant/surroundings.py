"""What surrounds a station on a quiet day: weather, ground water, grid and load.

Pure functions of (station id, seed, UTC time) in engineering units. Slow days, small noise, no
events: what events do to a station stands in the modules beside (power, room, manhole, pfe), which
start from here. Sizes are plausible, not measured anywhere.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from shorewatch.model import Scalar
from shorewatch.plant.noise import Noise

_DAY_S = 86400.0
_YEAR_S = 365.2425 * _DAY_S
_ENERGY_SINCE_S = 1_767_225_600.0  # 2026-01-01: the meters were installed
_ENERGY_KWH = 1_000.0
_POWER_FACTOR = 0.96
_LOAD_A = 16.0
_LOAD_SWING = 0.15  # of the load, over a day
_MEAN_KW = 3 * 230.5 * _LOAD_A * _POWER_FACTOR / 1000


@dataclass(frozen=True, slots=True)
class Surroundings:
    """One station's surroundings in the world of `seed`."""

    station_id: str
    seed: int

    def room(self, utc_s: float) -> tuple[float, float]:
        """Equipment room: degC and %RH, held by an air conditioner that cycles."""
        temperature = 22.5 + 0.6 * self._day(utc_s) + 0.3 * self._noise("hvac").drift(utc_s, 840)
        humidity = 43.0 - 2.0 * self._day(utc_s) + 1.2 * self._noise("damp").drift(utc_s, 5400)
        return temperature, humidity

    def water_m(self, utc_s: float) -> float:
        """Ground water at the bottom of the manhole, metres."""
        return max(0.0, 0.022 + 0.004 * self._noise("surge").drift(utc_s, 6 * 3600))

    def water_ms_cm(self, utc_s: float) -> float:
        """Its conductivity: ground water stays below 2 mS/cm, Caspian water has 10 to 20."""
        return 1.1 + 0.03 * self._noise("salt").drift(utc_s, 3 * 3600)

    def manhole_degc(self, utc_s: float) -> float:
        """Temperature of the manhole."""
        slow = 14.0 + 6.0 * self._season(utc_s) + 0.4 * self._day(utc_s - 6 * 3600)
        return slow + 0.02 * self._noise("probe").grain(utc_s, 1)

    def mains(self, utc_s: float, unmetered_s: float = 0.0) -> Mapping[str, Scalar]:
        """Three-phase supply of the building: V, A, W, Hz, and kWh that only rise.

        `unmetered_s`: how long the meter has not counted, since others carried the load.
        """
        values: dict[str, Scalar] = {}
        power = 0.0
        for phase in ("l1", "l2", "l3"):
            grid = self._noise(f"grid-{phase}")
            volts = 230.5 + 1.2 * grid.drift(utc_s, 2400) + 0.15 * grid.grain(utc_s, 1)
            amps = _LOAD_A * self._load(utc_s) + 0.1 * self._noise(f"load-{phase}").grain(utc_s, 1)
            values |= {f"voltage_{phase}": volts, f"current_{phase}": amps}
            power += volts * amps * _POWER_FACTOR
        not_taken = _MEAN_KW * self._load(utc_s) * unmetered_s / 3600
        return values | {
            "power": power,
            "power_factor": _POWER_FACTOR + 0.002 * self._noise("cos").grain(utc_s, 1),
            "frequency": 50.0 + 0.012 * self._noise("hertz").drift(utc_s, 300),
            "energy_import": self._energy_kwh(utc_s) - not_taken,
        }

    def wander(self, name: str, utc_s: float, period_s: float) -> float:
        """A slow wander of something that has a name, rms 1."""
        return self._noise(name).drift(utc_s, period_s)

    def _noise(self, name: str) -> Noise:
        return Noise(self.seed, f"{self.station_id}/{name}")

    def _day(self, utc_s: float) -> float:
        """-1 at 02:00, 1 at 14:00, local solar time of about 50 degrees east."""
        return -math.cos(2 * math.pi * ((utc_s + 3.3 * 3600) / _DAY_S - 2 / 24))

    def _season(self, utc_s: float) -> float:
        """-1 at the end of January, 1 at the end of July."""
        return -math.cos(2 * math.pi * (utc_s / _YEAR_S - 0.08))

    def _load(self, utc_s: float) -> float:
        return 1 + _LOAD_SWING * math.sin(2 * math.pi * utc_s / _DAY_S)

    def _energy_kwh(self, utc_s: float) -> float:
        """The integral of the mean load, in closed form: rising, and the same in every process."""
        since_h = max(0.0, utc_s - _ENERGY_SINCE_S) / 3600
        turn = 2 * math.pi / 24
        swing = _LOAD_SWING * (1 - math.cos(turn * since_h)) / turn
        return _ENERGY_KWH + _MEAN_KW * (since_h + swing)
