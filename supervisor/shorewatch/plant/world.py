"""What a healthy station is like at a given moment: climate, manhole, mains.

Pure functions of (station id, seed, UTC time); values in engineering units, by the point ids of
the profiles. Slow days, small noise, no events: a quiet station in which nothing needs a hand.
The cable and its power feed are in cable.py. Sizes are plausible, not measured anywhere.
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
_WATER_AT_FLOAT_M = 0.05
_WATER_AT_PROBE_M = 0.01
_POWER_FACTOR = 0.96
_LOAD_A = 16.0
_LOAD_SWING = 0.15  # of the load, over a day


@dataclass(frozen=True, slots=True)
class World:
    """One station's surroundings in the world of `seed`."""

    station_id: str
    seed: int

    def room(self, utc_s: float) -> Mapping[str, Scalar]:
        """Equipment room: degC and %RH, held by an air conditioner that cycles."""
        temperature = 22.5 + 0.6 * self._day(utc_s) + 0.3 * self._noise("hvac").drift(utc_s, 840)
        humidity = 43.0 - 2.0 * self._day(utc_s) + 1.2 * self._noise("damp").drift(utc_s, 5400)
        return {"temperature": temperature, "humidity": humidity}

    def manhole(self, utc_s: float) -> Mapping[str, Scalar]:
        """Beach manhole: lid shut, a few centimetres of Caspian water at the bottom.

        Caspian water has about 12 g/l of salt: 10 to 20 mS/cm, where rain and ground water stay
        below 2; a dry probe measures next to nothing.
        """
        level = max(0.0, 0.022 + 0.004 * self._noise("surge").drift(utc_s, 6 * 3600))
        temperature = 14.0 + 6.0 * self._season(utc_s) + 0.4 * self._day(utc_s - 6 * 3600)
        salt = 14.0 + 0.15 * self._noise("salt").drift(utc_s, 3 * 3600)
        return {
            "lid": False,
            "water": level >= _WATER_AT_FLOAT_M,
            "heartbeat": int(utc_s) & 0xFFFF,
            "water_level": level,
            "temperature": temperature + 0.02 * self._noise("probe").grain(utc_s, 1),
            "conductivity": salt if level >= _WATER_AT_PROBE_M else 0.02,
        }

    def mains(self, utc_s: float) -> Mapping[str, Scalar]:
        """Three-phase supply of the building: V, A, W, Hz, and kWh that only rise."""
        values: dict[str, Scalar] = {}
        power = 0.0
        for phase in ("l1", "l2", "l3"):
            grid = self._noise(f"grid-{phase}")
            volts = 230.5 + 1.2 * grid.drift(utc_s, 2400) + 0.15 * grid.grain(utc_s, 1)
            amps = _LOAD_A * self._load(utc_s) + 0.1 * self._noise(f"load-{phase}").grain(utc_s, 1)
            values |= {f"voltage_{phase}": volts, f"current_{phase}": amps}
            power += volts * amps * _POWER_FACTOR
        return values | {
            "power": power,
            "power_factor": _POWER_FACTOR + 0.002 * self._noise("cos").grain(utc_s, 1),
            "frequency": 50.0 + 0.012 * self._noise("hertz").drift(utc_s, 300),
            "energy_import": self._energy_kwh(utc_s),
        }

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
        kw = 3 * 230.5 * _LOAD_A * _POWER_FACTOR / 1000
        since_h = max(0.0, utc_s - _ENERGY_SINCE_S) / 3600
        turn = 2 * math.pi / 24
        swing = _LOAD_SWING * (1 - math.cos(turn * since_h)) / turn
        return _ENERGY_KWH + kw * (since_h + swing)
