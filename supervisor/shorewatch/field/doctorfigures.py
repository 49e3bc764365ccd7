"""What boards and direct lines have counted, bus by bus, as the doctor judges it. Pure.

A `Bus` is what a client counts (decode.py): requests and what became of them, stray bytes, busy
share, and of each device how often it answered and how fast. Counters of a board wrap at 65,536, so
figures of two moments are subtracted by that; a board that has begun anew counts from there.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from shorewatch.decode import BusCounters, DeviceCounters

COUNT_MIN = 5
SHARE_MIN = 0.01  # of requests
_LONG = ("requests", "good")  # counters of 32 bits
_WRAP = 1 << 16

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Unit:
    """One device of a bus."""

    name: str
    unit_id: int
    counters: DeviceCounters

    @property
    def asked(self) -> int:
        return self.counters.good + self.counters.bad

    @property
    def is_up(self) -> bool:
        return self.counters.state in ("up", "failing")

    @property
    def is_silent(self) -> bool:
        """Whether it has not answered for some time, not only once or twice by chance."""
        return not self.is_up and self.counters.failures >= COUNT_MIN

    @property
    def bad_share(self) -> float:
        return self.counters.bad / self.asked if self.asked else 0.0

    def __str__(self) -> str:
        return f"{self.name} (unit {self.unit_id})"


@dataclass(frozen=True, slots=True)
class Bus:
    """One bus and what hangs on it."""

    where: str
    counts: BusCounters
    units: tuple[Unit, ...]

    @property
    def answers(self) -> int:
        return self.counts.good + self.counts.exceptions

    @property
    def damaged(self) -> int:
        return self.counts.crc_errors

    @property
    def heard(self) -> int:
        """Answers that made no sense."""
        return self.counts.crc_errors + self.counts.rejected

    @property
    def lost(self) -> int:
        """Requests to devices that do answer, after which nothing came that was counted."""
        failed = sum(unit.counters.bad for unit in self.units if not unit.is_silent)
        return max(0, failed - self.heard - self.counts.exceptions)

    @property
    def up(self) -> tuple[Unit, ...]:
        return tuple(unit for unit in self.units if unit.is_up)

    def share(self, count: int) -> float:
        """Of all requests."""
        return count / self.counts.requests if self.counts.requests else 0.0

    def is_many(self, count: int, share: float = SHARE_MIN) -> bool:
        """Whether so many failures mean something."""
        return count >= COUNT_MIN and self.share(count) >= share


def buses(snapshot: Row, before: Row | None = None) -> list[Bus]:
    """The buses of a station's table; of two, what happened between them."""
    found: list[Bus] = []
    for kind, many in (("boards", "buses"), ("directs", "bus")):
        for line_id, row in snapshot[kind].items():
            was = None if before is None else before[kind].get(line_id)
            now = row[many] or []
            for at, counted in enumerate(now if kind == "boards" else [now] if now else []):
                old = _old(was, many, at)
                uart = counted.get("uart")
                place = {"board": line_id, "uart": uart, "direct": None}
                if kind == "directs":
                    place = {"board": None, "uart": None, "direct": line_id}
                found.append(_bus(place, counted, old, snapshot, before))
    return found


def _old(was: Row | None, many: str, at: int) -> Row | None:
    if was is None or not was[many]:
        return None
    if many == "bus":
        return was[many]  # type: ignore[no-any-return]
    return was[many][at] if at < len(was[many]) else None


def _bus(place: Row, counted: Row, old: Row | None, now: Row, before: Row | None) -> Bus:
    names = [field.name for field in fields(BusCounters)]
    counts = {name: counted[name] for name in names}
    if old is not None:
        counts |= _since(counts, old, _LONG)
    units = []
    for device_id, row in now["devices"].items():
        if row["counters"] is None or any(row[key] != place[key] for key in place):
            continue
        own = dict(row["counters"])
        was = None if before is None else before["devices"].get(device_id)
        if was is not None and was["counters"] is not None:
            own |= _since({key: own[key] for key in ("good", "bad")}, was["counters"], ())
        units.append(Unit(row["name"], row["unit_id"], DeviceCounters(**own)))
    where = f"direct line {place['direct']}"
    if place["direct"] is None:
        speed = f" ({counted['baud']} {counted['format']})" if counted.get("baud") else ""
        where = f"board {place['board']}, UART {place['uart']}{speed}"
    return Bus(where, BusCounters(**counts), tuple(units))


def _since(now: Row, old: Row, long: tuple[str, ...]) -> dict[str, int]:
    """What was counted since `old`; all of it if the board has begun anew meanwhile."""
    counted = {name: value for name, value in now.items() if name != "busy_share"}
    if any(counted[name] < old[name] for name in long):
        return counted
    return {
        name: value - old[name] if name in long else (value - old[name]) % _WRAP
        for name, value in counted.items()
    }
