"""The beach manhole: its water and its salt, its lid; pure, stepped in scenario time.

Rain comes from CATCHMENT_M2 of ground, sea water by a broken seal, a pump takes from what is
there. What conducts is the mixture by volume: rain next to nothing, Caspian water (12 g/l of salt)
SEA_MS_CM. The ground water of a quiet day stands below all of it (surroundings.py).
"""

from dataclasses import dataclass

AREA_M2 = 1.5
CATCHMENT_M2 = 40.0
DEPTH_M = 2.2
RAIN_MS_CM, SEA_MS_CM = 0.15, 14.2
FLOAT_M, PROBE_M = 0.05, 0.01
DRY_MS_CM = 0.02


@dataclass(slots=True)
class Manhole:
    """What has come in beyond a quiet day, as metres of water of each kind."""

    rain_m: float = 0.0
    sea_m: float = 0.0
    is_open: bool = False

    def step(self, dt_s: float, *, rain_mm_h: float, sea_m3_h: float, pump_m3_h: float) -> None:
        """Let `dt_s` pass."""
        self.rain_m += rain_mm_h / 1000 * CATCHMENT_M2 / AREA_M2 / 3600 * dt_s
        self.sea_m += sea_m3_h / AREA_M2 / 3600 * dt_s
        total_m = self.rain_m + self.sea_m
        left_m = min(DEPTH_M, total_m - pump_m3_h / AREA_M2 / 3600 * dt_s)
        share = max(0.0, left_m) / total_m if total_m > 0 else 0.0
        self.rain_m, self.sea_m = self.rain_m * share, self.sea_m * share

    def level_m(self, ground_m: float) -> float:
        """Water over the bottom."""
        return ground_m + self.rain_m + self.sea_m

    def ms_cm(self, ground_m: float, ground_ms_cm: float) -> float:
        """Conductivity of all of it; a dry probe measures next to nothing."""
        level_m = self.level_m(ground_m)
        if level_m < PROBE_M:
            return DRY_MS_CM
        salt = ground_m * ground_ms_cm + self.rain_m * RAIN_MS_CM + self.sea_m * SEA_MS_CM
        return salt / level_m
