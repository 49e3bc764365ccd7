"""A repeatered cable as an electrical line: ohms, repeaters, ground beds; pure.

    u(a) - u(b) = r (b - a) I + n V_rep(I) - e (b - a)      e: emf per km that drives A to B

A repeater is fed through a shunt regulator in series with the line. While the regulator conducts,
V_rep(I) = V0 + R_d (I - I0). Below `KNEE` of the nominal current the repeater's own circuits take
all of it and the regulator is off: they then behave as a resistor, and V_rep falls to 0 in a
straight line. It is the same for both directions of current.

A repeater at kilometre x belongs to the line behind x, seen from A. Copper is 0.393 %/K; ohms are
given at 10 degC. Source: domain figures of a 1 A system; a shunt regulator's data for the shape.
"""

from bisect import bisect_left
from dataclasses import dataclass
from typing import Final, Literal

End = Literal["A", "B"]
KNEE: Final = 0.7
COPPER_PER_K: Final = 0.00393
REFERENCE_DEGC: Final = 10.0


@dataclass(frozen=True, slots=True)
class Cable:
    """What does not change with the feed: km, ohms, volts at `nominal_a`, degC of the copper."""

    length_km: float
    repeaters_km: tuple[float, ...]
    ohm_per_km: float
    repeater_v: float
    repeater_ohm: float
    nominal_a: float = 1.0
    bed_a_ohm: float = 0.0
    bed_b_ohm: float = 0.0
    copper_degc: float = REFERENCE_DEGC

    def __post_init__(self) -> None:
        assert self.length_km > 0 and self.ohm_per_km > 0, "a line has a length and a resistance"
        inside = all(0 <= km <= self.length_km for km in self.repeaters_km)
        assert inside and list(self.repeaters_km) == sorted(self.repeaters_km), (
            "repeaters stand along the line, in order"
        )
        assert self.repeater_v > self.repeater_ohm * self.nominal_a >= 0, (
            "a regulator holds a voltage, whatever the current"
        )

    @property
    def warm_ohm_per_km(self) -> float:
        """Resistance at the copper's temperature."""
        return self.ohm_per_km * (1 + COPPER_PER_K * (self.copper_degc - REFERENCE_DEGC))

    @property
    def knee_a(self) -> float:
        """Current above which the repeaters' regulators conduct."""
        return KNEE * self.nominal_a

    def repeater_drop_v(self, current_a: float) -> float:
        """Voltage over one repeater, with the sign of the current."""
        size = abs(current_a)
        held_v = self.repeater_v + self.repeater_ohm * (max(size, self.knee_a) - self.nominal_a)
        drop_v = held_v * min(1.0, size / self.knee_a)
        return drop_v if current_a >= 0 else -drop_v

    def repeaters_between(self, start_km: float, end_km: float) -> int:
        """How many stand from `start_km` to before `end_km`; at B's terminal one counts."""
        return self.repeaters_before(end_km) - self.repeaters_before(start_km)

    def repeaters_before(self, km: float) -> int:
        """How many a current has passed that comes from A to `km`."""
        if km >= self.length_km:
            return len(self.repeaters_km)
        return bisect_left(self.repeaters_km, km)

    def drop_v(self, start_km: float, end_km: float, current_a: float) -> float:
        """Voltage from `start_km` to `end_km` that the current takes, without any emf."""
        copper_v = self.warm_ohm_per_km * (end_km - start_km) * current_a
        passed = self.repeaters_between(start_km, end_km)
        return copper_v + passed * self.repeater_drop_v(current_a)

    def bed_ohm(self, end: End) -> float:
        """Resistance of one end's ground bed."""
        return self.bed_a_ohm if end == "A" else self.bed_b_ohm
