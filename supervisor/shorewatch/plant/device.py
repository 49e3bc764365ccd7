"""A simulated device as a Modbus server: the banks it answers for, its values, its quirks.

    values(utc)  ─▶ Point.encode of its profile ─┐
    extra(utc)   ─▶ raw cells beyond the profile ┴▶ cells ─▶ read, by the rules of the bank

Values become registers through the profile's own `Point.encode`, so profile and simulator cannot
disagree. What each type has is said in the modules of its family (feed, meters, supplies, probes,
cooling, inputs); which type is which in devices.py.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from shorewatch.model import Scalar
from shorewatch.plant.line import Refusal
from shorewatch.point import Point

Values = Callable[[float], Mapping[str, Scalar]]
Cells = Callable[[float], Mapping[int, int]]


@dataclass(frozen=True, slots=True)
class Bank:
    """The addresses, `first` to `last`, that one function reads; they stand in `table`."""

    table: str
    first: int
    last: int
    count_max: int = 125
    is_paired: bool = False  # starts and counts must be even
    page: int | None = None  # a request must not pass from one page of so many to the next
    wholes: tuple[tuple[int, int], ...] = ()  # (first, last) of what is read whole or not at all
    has_holes: bool = False  # refused where nothing stands
    fill: int = 0  # what stands where nothing stands

    def refuses(self, address: int, count: int) -> Refusal | None:
        """Why a request is not answered, whatever stands there."""
        last = address + count - 1
        if count > self.count_max:
            return Refusal.VALUE
        if address < self.first or last > self.last:
            return Refusal.ADDRESS
        if self.is_paired and (address % 2 or count % 2):
            return Refusal.ADDRESS
        if self.page is not None and address // self.page != last // self.page:
            return Refusal.ADDRESS
        for begin, end in self.wholes:
            is_cut = begin < address <= end or begin <= last < end
            if is_cut:
                return Refusal.ADDRESS
        return None


def never(utc_s: float) -> bool:
    """Not busy at any time."""
    return False


@dataclass(frozen=True, slots=True)
class SimulatedDevice:
    """A device of one type; a Server of line.py."""

    banks: Mapping[int, Bank]
    points: Sequence[Point]
    values: Values
    extra: Mapping[str, Cells]  # by table
    turnaround_s: float
    is_busy: Callable[[float], bool] = never

    @property
    def functions(self) -> frozenset[int]:
        """The functions that have a bank."""
        return frozenset(self.banks)

    def read(
        self, function: int, address: int, count: int, utc_s: float
    ) -> Sequence[int] | Refusal:
        """Cells of one moment."""
        bank = self.banks[function]
        refusal = bank.refuses(address, count)
        if refusal is not None:
            return refusal
        if self.is_busy(utc_s):
            return Refusal.BUSY
        cells = self.cells(bank.table, utc_s)
        wanted = range(address, address + count)
        if bank.has_holes and not all(at in cells for at in wanted):
            return Refusal.ADDRESS
        return [cells.get(at, bank.fill) for at in wanted]

    def cells(self, table: str, utc_s: float) -> Mapping[int, int]:
        """Everything that stands in one table at `utc_s`, by address."""
        found = dict(self.extra[table](utc_s)) if table in self.extra else {}
        values = self.values(utc_s)
        shared: set[int] = set()
        for point in self.points:
            if point.table == table and point.id in values:
                for at, word in enumerate(point.encode(values[point.id], values), point.address):
                    # Points may share a register, each with some of its bits.
                    is_part = point.first_bit is not None and at in shared
                    found[at] = found[at] | word if is_part else word
                    shared.add(at)
        return found


def placed(words: Sequence[int], address: int) -> dict[int, int]:
    """Cells from `address` on."""
    return dict(enumerate(words, address))
