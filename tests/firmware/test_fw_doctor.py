"""What a board counts on a line in trouble, and what `bus doctor` makes of it."""

import pytest
from fw_fakes import run
from fw_field import BAUDS, Field
from fw_plan_file import device
from troubles import NAMED
from wiring import full

from shorewatch import decode
from shorewatch.field.doctor import advise
from shorewatch.field.doctorfigures import Bus, Unit
from shorewatch.plant.line import Line
from shorewatch.plant.trouble import QUIET, Fates

CHAR_US, T35_US = BAUDS[19200]
UNITS = (1, 2, 3)
BEGIN_S, SPAN_S = 20.0, 240.0


class Port:
    """The firmware's port on a line of the plant, in simulated time."""

    def __init__(self, ticks, line):
        self.ticks = ticks
        self.line = line
        self._here = bytearray()
        self._free_us = 0

    @property
    def now_s(self):
        return self.ticks.us / 1e6

    def next_us(self):
        times = [self._free_us] if self._free_us > self.ticks.us else []
        if self.line.wake_s is not None:
            times.append(int(self.line.wake_s * 1e6) + 1)
        return min(times, default=None)

    def any(self):
        self._here += self.line.take(self.now_s)
        return len(self._here)

    def readinto(self, buf, n):
        n = min(self.any(), n)
        buf[:n] = self._here[:n]
        del self._here[:n]
        return n

    def write(self, buf, n):
        self._free_us = max(self.ticks.us, self._free_us) + n * CHAR_US
        self.line.hear(self.now_s, bytes(buf[:n]))
        return n

    def tx_idle(self):
        return self.ticks.us >= self._free_us

    def de(self, on):
        pass


def counted(trouble, *, begin_s, seed=1):
    """The figures of a board with three devices on one line, in trouble from `begin_s` on."""
    field = Field([device(0, unit) for unit in UNITS], [(i, 3, 0, 20, 500) for i in range(3)])
    line = Line(
        {unit: full() for unit in UNITS},
        char_s=CHAR_US / 1e6,
        t35_s=T35_US / 1e6,
        utc=lambda now_s: now_s,
        trouble=lambda now_s: trouble if now_s >= begin_s else QUIET,
        fates=Fates(seed, "line"),
    )
    port = field.client.port = Port(field.ticks, line)
    run(field.bus, [port], field.ticks, int(SPAN_S * 1e6))
    counts = decode.parse_bus([field.word(i) for i in range(16)])
    units = (
        Unit(f"D{unit}", unit, decode.parse_device([field.device(i, at) for at in range(8)]))
        for i, unit in enumerate(UNITS)
    )
    return Bus("x", counts, tuple(units))


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("begin_s", [0.0, BEGIN_S])
@pytest.mark.parametrize("name", NAMED)
def test_each_trouble_is_told_by_what_a_board_counts(name, begin_s, seed):
    """The right advice comes first, whether the line was ever well or not."""
    case = NAMED[name]
    bus = counted(case.trouble, begin_s=begin_s, seed=seed)

    found = advise(bus)
    assert case.is_told_by([advice.name for advice in found]), (found, bus)
    assert all(advice.evidence and advice.check for advice in found)
