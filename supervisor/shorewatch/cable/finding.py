"""Something that happened to a powered cable, as a value."""

from dataclasses import dataclass
from typing import Final, Literal

from shorewatch.cable.locate import Place

Kind = Literal[
    "shunt", "leak", "cut", "lost", "over", "fed", "source", "unclear", "off", "storm", "calm"
]
FAULTS: Final[tuple[Kind, ...]] = ("shunt", "leak", "cut", "lost")


@dataclass(frozen=True, slots=True)
class Finding:
    """What, when it began, when it was told (UTC seconds), and where if it has a place.

    `step_v` is how far the balance moved, positive if A's voltage rose; `leak_a` by how much the
    currents differ since; `sum_v` how far the sum is from what it was. `is_final` is a place that
    was told before and is told again from more readings.
    """

    kind: Kind
    since_s: float
    at_s: float
    place: Place | None = None
    step_v: float = 0.0
    leak_a: float = 0.0
    sum_v: float = 0.0
    is_final: bool = False

    @property
    def is_fault(self) -> bool:
        """Whether something is wrong with the cable or its feed."""
        return self.kind in FAULTS
