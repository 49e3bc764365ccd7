"""The equipment room's heat and the battery room's air; pure, stepped in scenario time.

What the equipment gives off warms room and racks (HEAT_W over CAPACITY_J_PER_K: 0.6 K a minute)
unless the cooling unit takes it away. The unit stops without AC, and when it has AC again it waits
START_S before its compressors start. While it runs, what has gathered goes with COOLING_S. Charging
the battery makes hydrogen; the fans, which need AC too, carry it out with VENTING_S.
"""

from dataclasses import dataclass

HEAT_W = 9000.0
CAPACITY_J_PER_K = 0.9e6
START_S = 60.0
COOLING_S = 300.0
VENTING_S = 120.0
_LEL_PCT_PER_AH = 0.6  # of the lower explosive limit, in a small closed room
_FLOAT_A = 0.2


@dataclass(slots=True)
class Room:
    """What has gathered beyond a quiet day: kelvin of heat, % of the LEL of hydrogen."""

    heat_k: float = 0.0
    hydrogen_lel_pct: float = 0.0
    powered_s: float = START_S  # how long the unit has had AC
    is_unit_well: bool = True

    @property
    def is_cooled(self) -> bool:
        """Whether the unit's compressors run."""
        return self.is_unit_well and self.powered_s >= START_S

    @property
    def is_unit_on(self) -> bool:
        """Whether the unit has power and is not locked by a fault."""
        return self.is_unit_well and self.powered_s > 0

    def step(
        self, dt_s: float, *, has_ac: bool, is_unit_well: bool, is_vented: bool, charge_a: float
    ) -> None:
        """Let `dt_s` pass."""
        self.is_unit_well = is_unit_well
        self.powered_s = min(START_S, self.powered_s + dt_s) if has_ac else 0.0
        if self.is_cooled:
            self.heat_k -= self.heat_k * dt_s / COOLING_S
        else:
            self.heat_k += HEAT_W / CAPACITY_J_PER_K * dt_s
        self.hydrogen_lel_pct += max(_FLOAT_A, charge_a) * _LEL_PCT_PER_AH / 3600 * dt_s
        if has_ac and is_vented:
            self.hydrogen_lel_pct -= self.hydrogen_lel_pct * dt_s / VENTING_S
