"""Power feed equipment as a machine: off, ramping, feeding, tripped; pure, in scenario time.

    OFF ──turned on──▶ RAMPING ──full──▶ FEEDING     constant current; at its limit, voltage
     ▲ ▲                  │ │              │ │
     │ └──── no input ────┘─┼──────────────┘ │
     └─turned off─ TRIPPED ◀┴────────────────┘       a trip stays until somebody turns it off

It starts only when somebody turns it on, never by itself. What is off lets the other end's current
pass by its bypass diodes: the partner then feeds the cable alone. An alarm comes with its
condition; a trip when that has lasted. What the cable does with all that is cable.py's; this is
told voltage and current at the terminals.

`alarms` and `trips` have the bits of the synthetic map (profiles/pfe-synthetic.toml).
"""

from dataclasses import dataclass, field
from enum import Enum

from shorewatch.plant.cable import EndState, Source

RAMP_A_PER_S = 0.02
CONVERTERS = 4
CONVERTERS_MIN = 3
UNDER_CURRENT_TRIP_S = 3.0
OVER_VOLTAGE_SHARE = 0.9  # of the limit
UNDER_VOLTAGE_V = 30.0

OVER_VOLTAGE, OVER_CURRENT, UNDER_CURRENT, UNDER_VOLTAGE = 1 << 0, 1 << 1, 1 << 2, 1 << 3
CONVERTER_FAILED, DOOR_INTERLOCK, INPUT_FAILED = 1 << 4, 1 << 8, 1 << 10


class Phase(Enum):
    """What the equipment does."""

    OFF = "off"
    RAMPING = "ramping"
    FEEDING = "feeding"
    TRIPPED = "tripped"


@dataclass(frozen=True, slots=True)
class Surrounding:
    """What the equipment depends on, the cable aside."""

    is_wanted: bool = True  # the switch at its front
    has_input: bool = True  # -48 V
    is_door_shut: bool = True
    converters: int = CONVERTERS


@dataclass(slots=True)
class Pfe:
    """One end's equipment; `nominal` is how it was set at commissioning."""

    nominal: Source = field(default_factory=Source)
    phase: Phase = Phase.FEEDING
    set_a: float = 1.0
    alarms: int = 0
    trips: int = 0
    converters: int = CONVERTERS
    _was_wanted: bool = True
    _under_s: float = 0.0

    @property
    def is_on(self) -> bool:
        """Whether it drives current."""
        return self.phase in (Phase.RAMPING, Phase.FEEDING)

    def source(self) -> Source:
        """As the circuit sees it."""
        nominal = self.nominal
        if not self.is_on:
            return _BYPASSED
        if self.set_a == nominal.set_a:
            return nominal
        # On the ramp the voltage follows the current; the droop stays about where that leads.
        share = self.set_a / nominal.set_a
        volts = nominal.nominal_v * share
        return Source(self.set_a, volts, nominal.droop_a_per_v, nominal.voltage_max_v)

    def step(self, dt_s: float, around: Surrounding, seen: EndState) -> None:
        """Let `dt_s` pass; `seen` is what its terminals have."""
        self.converters = around.converters
        self._judge(dt_s, around, seen)
        is_turned_on = around.is_wanted and not self._was_wanted
        self._was_wanted = around.is_wanted
        if not around.is_wanted:
            self.phase, self.trips = Phase.OFF, 0
        elif self.trips:
            self.phase = Phase.TRIPPED
        elif not around.has_input:
            self.phase = Phase.OFF
        elif self.phase is Phase.OFF and is_turned_on:
            self.phase, self.set_a = Phase.RAMPING, 0.0
        elif self.phase is Phase.RAMPING:
            self.set_a = min(self.nominal.set_a, self.set_a + RAMP_A_PER_S * dt_s)
            if self.set_a == self.nominal.set_a:
                self.phase = Phase.FEEDING

    def _judge(self, dt_s: float, around: Surrounding, seen: EndState) -> None:
        is_feeding, volts = self.phase is Phase.FEEDING, seen.voltage_v
        is_under = is_feeding and seen.current_a < 0.9 * self.nominal.set_a
        conditions = {
            OVER_VOLTAGE: volts > OVER_VOLTAGE_SHARE * self.nominal.voltage_max_v,
            OVER_CURRENT: seen.current_a > 1.1 * self.nominal.set_a,
            UNDER_CURRENT: is_under,
            UNDER_VOLTAGE: is_feeding and volts < UNDER_VOLTAGE_V,
            CONVERTER_FAILED: around.converters < CONVERTERS,
            DOOR_INTERLOCK: not around.is_door_shut,
            INPUT_FAILED: not around.has_input,
        }
        self.alarms = sum(bit for bit, is_true in conditions.items() if is_true)
        self._under_s = self._under_s + dt_s if is_under else 0.0
        if self.phase is Phase.OFF:
            return
        if self._under_s >= UNDER_CURRENT_TRIP_S:
            self.trips |= UNDER_CURRENT
        if around.converters < CONVERTERS_MIN:
            self.trips |= CONVERTER_FAILED
        if not around.is_door_shut:
            self.trips |= DOOR_INTERLOCK


_BYPASSED = Source(is_on=False, is_earthed=True)
