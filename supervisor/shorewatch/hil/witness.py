"""Whether each good value that a NOC was given was a device's, then, for that point. Pure.

    what the rack served (rack.py) ─▶ by point, values with the times they were served
    (device, point, time, value) of the NOC ─▶ one of those of that time, or a fault

So a reply that is damaged, late, or taken for another's comes to light, whatever its CRC says. A
line of what was served: Unix seconds, unit, function, address, count, cells, in decimal.

A value's time is that of its acquisition, known to within its stated uncertainty: after the device
was asked, and before long. `WITHIN_S` is for what a busy computer does to both.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from shorewatch.conversion import Doubt
from shorewatch.field.sniff import Piece, split
from shorewatch.model import Scalar, from_text
from shorewatch.plan import Block, BoardPlan
from shorewatch.plant.record import Direction, Entry

WITHIN_S: Final = 1.0
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Point = tuple[str, str]  # device, point
Told = tuple[str, str, str, object]  # device, point, time, value


@dataclass(frozen=True, slots=True)
class Served:
    """What a device answered with, and when it was asked."""

    at_s: float
    unit_id: int
    function: int
    address: int
    count: int
    cells: tuple[int, ...]

    def encoded(self) -> str:
        """One line."""
        head = (f"{self.at_s:.4f}", self.unit_id, self.function, self.address, self.count)
        return " ".join(map(str, (*head, *self.cells))) + "\n"


def parse_served(text: str) -> list[Served]:
    """The lines of a file; an unfinished last one is passed over."""
    found = []
    for line in text[: text.rfind("\n") + 1].splitlines():
        at_s, *numbers = line.split()
        unit_id, function, address, count, *cells = map(int, numbers)
        found.append(Served(float(at_s), unit_id, function, address, count, tuple(cells)))
    return found


@dataclass(slots=True)
class Testimony:
    """What the devices of a station answered: by point, values and their times, in order."""

    times: dict[Point, list[float]] = field(default_factory=dict)
    values: dict[Point, list[Scalar | None]] = field(default_factory=dict)

    def fault(self, told: Told, within_s: float = WITHIN_S) -> str | None:
        """Why a value was not a device's then; None: it was."""
        device, point, at, value = told
        at_s = (from_text(at) - _EPOCH).total_seconds()
        times, values = self.times.get((device, point)), self.values.get((device, point), [])
        if times is None:
            return f"{device}.{point} = {value!r} at {at}: nobody was asked for it"
        first, last = (bisect_left(times, at_s + way * within_s) for way in (-1, 1))
        if value in values[first:last]:
            return None
        return f"{device}.{point} = {value!r} at {at}: served were {values[first:last][-4:]}"

    def faults(self, told: Iterable[Told], within_s: float = WITHIN_S) -> list[str]:
        """What of all that was told was no device's; contacts are nobody's here."""
        asked = {device for device, _ in self.times}
        known = (one for one in told if one[0] in asked)
        return [text for one in known if (text := self.fault(one, within_s)) is not None]

    def add(
        self, plans: Mapping[str, BoardPlan], lines: Mapping[tuple[str, int], Iterable[Served]]
    ) -> None:
        """What `lines` served next, by board and UART, as the points of the plans."""
        for (board_id, uart), served in lines.items():
            asked = {
                (b.device.config.unit_id, b.function, b.address, b.count): b
                for b in plans[board_id].blocks
                if getattr(b.device.bus, "uart", None) == uart
            }
            for one in sorted(served, key=lambda one: one.at_s):
                block = asked.get((one.unit_id, one.function, one.address, one.count))
                if block is not None:
                    _note(self, block, one)

    def forget(self, before_s: float) -> None:
        """Drop what was answered before; a value of that time is a fault from now on."""
        for point, times in self.times.items():
            count = bisect_left(times, before_s)
            del times[:count], self.values[point][:count]


def asked_on(entries: Iterable[Entry]) -> list[Piece]:
    """Every frame that a client sent, and bytes of it that are none, in order."""
    said = b"".join(e.data for e in entries if e.direction is Direction.FROM_CLIENT)
    return split(said)


def _note(found: Testimony, block: Block, one: Served) -> None:
    for name, value in block.decoder.decode(_words(one)).items():
        key = (block.device.id, name)
        found.times.setdefault(key, []).append(one.at_s)
        found.values.setdefault(key, []).append(value.value if isinstance(value, Doubt) else value)


def _words(one: Served) -> Sequence[int]:
    """Its cells as the board's image has them: bits are packed 16 to one, the first lowest."""
    if one.function > 2:
        return one.cells
    number = sum(bit << i for i, bit in enumerate(one.cells))
    return [number >> at & 0xFFFF for at in range(0, len(one.cells), 16)]
