"""How a station is powered: grid, generator, transfer switch, UPS, rectifier and its battery; pure.

    grid ────┐
             ├─ transfer switch ── AC ──┬── UPS ─────── computers
    genset ──┘                          ├── rectifier ── -48 V ──┬── PFE, line equipment
                                        └── cooling             battery

Stepped in scenario time. The switch takes the generator TRANSFER_S after that runs, and goes back
when the grid has been there for RETURN_S. Without AC the UPS and the battery carry, and fall; below
LVD_V the battery is cut off, and -48 V is gone until there is AC again. Numbers are those of a
small station: 40 A of -48 V load, 200 Ah, a UPS for 50 minutes.
"""

from dataclasses import dataclass, field

from shorewatch.plant.genset import Genset

TRANSFER_S, RETURN_S = 2.0, 30.0
FLOAT_V, LVD_V = 54.2, 43.2
LOAD_A = 40.0
_CHARGE_A_MAX = 20.0
_RECHARGE_S = 1200.0  # of the last part, in which the current falls
UPS_FULL_S = 3000.0
_UPS_CHARGE_S = 4 * UPS_FULL_S


@dataclass(slots=True)
class Power:
    """The power of one station. A battery is full at `charge` 1."""

    has_grid: bool = True
    on_generator: bool = False
    genset: Genset = field(default_factory=Genset)
    charge: float = 1.0
    is_cut_off: bool = False
    battery_ah: float = 200.0
    ups_charge: float = 1.0
    grid_s: float = 1e6  # since when the grid is as it is
    unmetered_s: float = 0.0  # how long nothing was taken from the grid
    _ready_s: float = 0.0

    @property
    def takes_grid(self) -> bool:
        """Whether the grid carries the station."""
        return self.has_grid and not self.on_generator

    @property
    def has_ac(self) -> bool:
        """Whether the station's AC is live."""
        return self.genset.has_voltage if self.on_generator else self.has_grid

    @property
    def battery_a(self) -> float:
        """Into the battery; negative while it carries the load."""
        if not self.has_ac:
            return 0.0 if self.is_cut_off else -LOAD_A
        lack_a = (1 - self.charge) * self.battery_ah * 3600 / _RECHARGE_S
        return min(_CHARGE_A_MAX, lack_a)

    @property
    def battery_v(self) -> float:
        """At the battery's terminals."""
        if self.has_ac:
            return FLOAT_V - 2.6 * (1 - self.charge)
        return 43.0 + 5.3 * self.charge + 2.5 * self.charge**4

    @property
    def dc_v(self) -> float:
        """At the -48 V bus, without its sign."""
        return 0.0 if self.is_cut_off else self.battery_v

    @property
    def has_ups(self) -> bool:
        """Whether the UPS' output is live."""
        return self.has_ac or self.ups_charge > 0

    def step(self, dt_s: float, *, has_grid: bool, is_genset_well: bool) -> None:
        """Let `dt_s` pass, small beside all times above."""
        self.grid_s = 0.0 if has_grid is not self.has_grid else self.grid_s + dt_s
        self.has_grid = has_grid
        is_steady = has_grid and self.grid_s >= RETURN_S
        self.genset.step(dt_s, is_called=not is_steady, is_well=is_genset_well)
        self._transfer(dt_s, is_steady=is_steady)
        self._carry(dt_s)
        self.unmetered_s += 0.0 if self.takes_grid else dt_s

    def _transfer(self, dt_s: float, *, is_steady: bool) -> None:
        if self.on_generator:
            lost = not self.genset.has_voltage and self.has_grid
            self.on_generator = not (is_steady or lost)
            self._ready_s = 0.0
        elif not self.has_grid and self.genset.has_voltage:
            self._ready_s += dt_s
            self.on_generator = self._ready_s >= TRANSFER_S
        else:
            self._ready_s = 0.0

    def _carry(self, dt_s: float) -> None:
        self.charge += self.battery_a * dt_s / (self.battery_ah * 3600)
        self.charge = min(1.0, max(0.0, self.charge))
        if self.has_ac:
            self.is_cut_off = False
            self.ups_charge = min(1.0, self.ups_charge + dt_s / _UPS_CHARGE_S)
        else:
            self.is_cut_off = self.is_cut_off or self.battery_v < LVD_V
            self.ups_charge = max(0.0, self.ups_charge - dt_s / UPS_FULL_S)
