"""Each trouble of a line (plant/trouble.py), and what `bus doctor` has to say of it."""

from collections.abc import Sequence
from dataclasses import dataclass

from shorewatch.plant.trouble import Trouble

_NONE: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Case:
    """A technician acts on the first advice: it is one of `first`; of the rest `must` are there."""

    trouble: Trouble
    first: frozenset[str] = _NONE
    must: frozenset[str] = _NONE
    may: frozenset[str] = _NONE

    def is_told_by(self, found: Sequence[str]) -> bool:
        known = self.first | self.must | self.may
        is_first = found[0] in self.first if found else not self.first
        return is_first and self.must <= set(found) <= known


def of(*names: str) -> frozenset[str]:
    return frozenset(names)


NAMED = {
    "nothing": Case(Trouble()),
    "damaged": Case(Trouble(damaged=0.1), of("noise")),
    "dropped": Case(Trouble(dropped=0.1), of("noise", "torn")),
    "doubled": Case(Trouble(doubled=0.1), of("noise")),
    # An answer that comes while another is on the line spoils that one, too.
    "late": Case(Trouble(late=0.1, late_s=0.25), of("torn", "late"), may=of("noise")),
    "much later": Case(Trouble(late=0.1, late_s=1.0), of("late"), may=of("slow")),
    "noise": Case(Trouble(noise_per_s=5.0), of("noise"), must=of("strays")),
    "echo": Case(Trouble(is_echoing=True)),
    "twins": Case(Trouble(twins=[2]), of("twin")),
    "dead": Case(Trouble(dead=[2]), of("silent")),
    "two dead": Case(Trouble(dead=[1, 2]), of("silent")),
    "noise and dead": Case(
        Trouble(noise_per_s=5.0, dead=[2]), of("silent"), must=of("noise", "strays")
    ),
    "cut": Case(Trouble(is_cut=True), of("nobody")),
}
