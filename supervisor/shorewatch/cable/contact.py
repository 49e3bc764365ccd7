"""How many ohms a fault has: from its volts and amperes at two operating points; pure.

A leak's voltage is E + R I_f. One moment gives no way to part it from the line's. When a set
current is moved after the fault came, I_f changes by what both ammeters tell; the voltages of both
ends then follow by R times that, in opposite directions: a contact holds them still, a leak does
not. With R the voltage at the fault is known at any moment, and the leak has a place.

Offsets and gains of the meters cancel; what is left is what the earth did meanwhile, and what the
ammeters resolve. Readings of before the fault are needed: I_f is a change of a difference.
"""

import math
from dataclasses import dataclass
from typing import Final

from shorewatch.cable.budget import Budget, Shown

Ends = tuple[Shown, Shown]
_TELLS: Final = 3.0
_RESOLVED = 0.3  # of the ammeter's step: a rounded reading's sigma, of four readings a half each


@dataclass(frozen=True, slots=True)
class Contact:
    """Ohms of the fault and the volts at it, each with one sigma; `is_leak` if they are not few."""

    ohm: float
    ohm_sigma: float
    volts: float
    volts_sigma: float

    @property
    def is_leak(self) -> bool:
        """Whether more than a bare contact is seen."""
        return self.ohm > _TELLS * self.ohm_sigma


def measured(
    budget: Budget, amp_step_a: float, *, before: Ends, after: Ends, moved: Ends
) -> Contact | None:
    """The contact, or None where the leak's current did not change enough to tell.

    `after` and `moved` are two moments of the same fault, with a set current moved in between.
    """
    leak_a = _leak_a(after) - _leak_a(before)
    change_a = _leak_a(moved) - _leak_a(after)
    sigma_a = _RESOLVED * amp_step_a * 2
    if abs(change_a) < _TELLS * sigma_a:
        return None
    change_v = ((moved[0].volts - after[0].volts) - (moved[1].volts - after[1].volts)) / 2
    ohm = change_v / change_a
    # Of a potential that changed at one coast half is in the difference.
    ohm_sigma = math.hypot(budget.earth_v / 2, ohm * sigma_a) / abs(change_a)
    volts_sigma = math.hypot(ohm_sigma * leak_a, ohm * sigma_a, budget.contact_v)
    return Contact(ohm, ohm_sigma, ohm * leak_a, volts_sigma)


def _leak_a(ends: Ends) -> float:
    return ends[0].amps - ends[1].amps
