"""What the gateway counts on a direct line in trouble, and what `bus doctor` makes of it."""

import pytest
from troubles import NAMED
from wiring import full

from shorewatch.field.doctor import advise
from shorewatch.plant.line import Line
from shorewatch.plant.trouble import QUIET, Fates, Trouble

from .test_doctor import BAUD, counted

SPAN_S = 160.0


class Wired:
    """A line of the plant in the place of a `Wiring`, in trouble from `begin_s` on."""

    def __init__(self, trouble: Trouble, begin_s: float, seed: int) -> None:
        self._line = Line(
            {unit: full() for unit in (1, 2, 3)},
            char_s=10 / BAUD,
            t35_s=38.5 / BAUD,
            utc=lambda now_s: now_s,
            trouble=lambda now_s: trouble if now_s >= begin_s else QUIET,
            fates=Fates(seed, "line"),
        )

    def step(self, now_s: float, data: bytes, baud: int) -> bytes:
        self._line.hear(now_s, data)
        return self._line.take(now_s)


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("begin_s", [0.0, 20.0])
@pytest.mark.parametrize("name", NAMED)
def test_each_trouble_is_told_by_what_the_gateway_counts(
    name: str, begin_s: float, seed: int
) -> None:
    """The right advice comes first, whether the line was ever well or not."""
    case = NAMED[name]
    bus = counted(Wired(case.trouble, begin_s, seed), 1, 2, 3, span_s=SPAN_S)

    found = [advice.name for advice in advise(bus)]
    assert case.is_told_by(found), (found, bus)
