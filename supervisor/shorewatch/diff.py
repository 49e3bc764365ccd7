"""What would change from one station file to another. Pure: both as compiled, a `Diff` out.

Each thing a station has (board, bus, input, direct line, device, point, alarm, uplink, and each
table at the top of the file) is compared by its id, key by key. A running gateway can take what is
in `RELOADED`; whatever else differs needs a restart, so that a table nobody thought of here is
never said to be applied. A board whose plan differs gives no values until its new plan is pushed.

`kept_points` says whose values go on over a change: those of points that are the same and are read
from the same place.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from shorewatch.compiled import Compiled
from shorewatch.config import Device, DirectConfig, Station

RELOADED = frozenset({"board", "bus", "input", "direct", "device", "point", "alarm", "uplink"})
_RELOADED_KEYS = {"station": frozenset({"name", "cable_name"})}
_APART = {
    "board": ("bus", "input"), "bus": ("device",), "direct": ("device",), "profile": ("point",)
}  # fmt: skip

Fields = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that differs; `keys` are (key, old, new) of a changed one, None where it is not."""

    noun: str
    name: str
    what: Literal["added", "removed", "changed"]
    keys: tuple[tuple[str, object, object], ...] = ()

    @property
    def needs_restart(self) -> bool:
        """Whether a running gateway cannot take it."""
        keys = {key for key, _, _ in self.keys}
        can_take = _RELOADED_KEYS.get(self.noun, frozenset())
        return self.noun not in RELOADED and (self.what != "changed" or not keys <= can_take)

    def __str__(self) -> str:
        title = f"{self.noun} {self.name}".strip()
        if self.what != "changed":
            return f"{title} {self.what}"
        return f"{title}: " + ", ".join(
            f"{key} {_text(old)} → {_text(new)}" for key, old, new in self.keys
        )


@dataclass(frozen=True, slots=True)
class Diff:
    """All that differs. `plans` has old and new CRC by board; the old one is None for a new one."""

    station: str
    old: str
    new: str
    changes: tuple[Change, ...]
    plans: Mapping[str, tuple[int | None, int]]

    @property
    def is_empty(self) -> bool:
        """Whether the two are the same."""
        return self.old == self.new

    @property
    def restarts(self) -> list[Change]:
        """The changes that a running gateway cannot take."""
        return [change for change in self.changes if change.needs_restart]

    def lines(self) -> list[str]:
        """All of it for people: what holds things up first, then every change."""
        if self.is_empty:
            return [f"{self.station}: nothing changes (configuration {self.old})"]
        count = len(self.changes)
        what = "only the order" if not count else f"{count} change{'s' * (count > 1)}"
        out = [f"{self.station}: configuration {self.old} → {self.new}, {what}"]
        out += [f"needs a restart: {change}" for change in self.restarts]
        out += self.waiting
        return out + [str(change) for change in self.changes if not change.needs_restart]

    @property
    def waiting(self) -> list[str]:
        """A sentence for each board that gives no values until its plan is pushed."""
        return [
            f"board {board} needs its new plan "
            f"({'none' if old is None else f'{old:08x}'} → {new:08x}): "
            f"its points are bad (config) until it is pushed"
            for board, (old, new) in self.plans.items()
        ]

    def to_json(self) -> dict[str, object]:
        """All of it for machines."""
        return {
            "station": self.station,
            "config": {"old": self.old, "new": self.new},
            "can_reload": not self.restarts,
            "changes": [
                {
                    "noun": change.noun,
                    "name": change.name,
                    "what": change.what,
                    "keys": {key: {"old": old, "new": new} for key, old, new in change.keys},
                    "needs_restart": change.needs_restart,
                }
                for change in self.changes
            ],
            "plans": {
                board: {"old": None if old is None else f"{old:08x}", "new": f"{new:08x}"}
                for board, (old, new) in self.plans.items()
            },
        }


def compare(old: Compiled, new: Compiled) -> Diff:
    """Everything that differs between two stations, in the order of the files."""
    was, now = dict(_things(old.station)), dict(_things(new.station))
    return Diff(
        new.station.id,
        old.station.config_hash,
        new.station.config_hash,
        tuple(_changes(was, now)),
        {
            board_id: (was_crc, plan.crc)
            for board_id, plan in new.plans.items()
            if (was_crc := _crc(old, board_id)) != plan.crc
        },
    )


def kept_points(old: Station, new: Station) -> dict[str, frozenset[str]]:
    """By device of the new station, the points whose values go on; a device begun anew has none."""
    return {
        device_id: frozenset(
            name
            for name in device.points
            if (was := old.devices.get(device_id)) is not None
            and _place(was) == _place(device)
            and _meaning(was, name) == _meaning(device, name)
        )
        for device_id, device in new.devices.items()
    }


def _changes(
    was: Mapping[tuple[str, str], Fields], now: Mapping[tuple[str, str], Fields]
) -> Iterator[Change]:
    for noun, name in [*was, *(thing for thing in now if thing not in was)]:
        before, after = was.get((noun, name)), now.get((noun, name))
        if before is None or after is None:
            if noun != "point" or _is_in_both(name, was, now):
                yield Change(noun, name, "added" if before is None else "removed")
        elif keys := tuple(_keys(before, after)):
            yield Change(noun, name, "changed", keys)


def _is_in_both(point: str, *sides: Mapping[tuple[str, str], Fields]) -> bool:
    """Whether the point's device stays: else that it comes or goes says all."""
    return all(("device", point.partition(".")[0]) in side for side in sides)


def _keys(before: Fields, after: Fields, at: str = "") -> Iterator[tuple[str, object, object]]:
    for key in [*before, *(key for key in after if key not in before)]:
        old, new = before.get(key), after.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from _keys(old, new, f"{at}{key}.")
        elif old != new:
            yield f"{at}{key}", old, new


def _things(station: Station) -> Iterator[tuple[tuple[str, str], Fields]]:
    """Everything that a station has, by noun and name."""
    for noun, table in station.file.model_dump(mode="json", by_alias=True).items():
        if not isinstance(table, list):
            if table is not None:
                yield (noun, ""), table
            continue
        for entry in table:
            yield (noun, str(entry.get("id"))), _own(noun, entry)
            for bus in entry.get("bus", ()):
                yield ("bus", f"{entry['id']}.{bus['uart']}"), _own("bus", bus)
            for contact in entry.get("input", ()):
                yield ("input", f"{entry['id']}.{contact['id']}"), contact
    if station.cable_file is not None:
        yield ("cable", "file"), station.cable_file.model_dump(mode="json")
    for device in station.devices.values():
        profile = _own("profile", device.profile.model_dump(mode="json"))
        yield (
            ("device", device.id),
            {**device.config.model_dump(mode="json"), **device.place, "profile": profile},
        )
        for name, point in device.points.items():
            yield ("point", f"{device.id}.{name}"), point.model_dump(mode="json")


def _own(noun: str, entry: Fields) -> dict[str, object]:
    """A table without the tables in it that are things of their own."""
    return {key: value for key, value in entry.items() if key not in _APART.get(noun, ())}


def _place(device: Device) -> Sequence[object]:
    """Where and as what a device is read: with another place it is another device.

    A board's id and a direct line's are only names: its unique id or address says which it is.
    """
    line, board = device.line, device.board
    what = line.where if isinstance(line, DirectConfig) else board and board.unique_id
    return *device.place.values(), what, device.unit_id, device.profile.id


def _meaning(device: Device, name: str) -> Sequence[object]:
    """A point of a device, and what else it comes from; empty if there is none.

    That is the points that hold its scale and quality, and of a contact the board's input.
    """
    if (point := device.points.get(name)) is None:
        return ()
    partners = (device.points[partner] for _, partner in point.partners)
    inputs = device.board.input if device.line is None and device.board is not None else []
    return point, *partners, *(contact.input for contact in inputs if contact.id == name)


def _crc(compiled: Compiled, board_id: str) -> int | None:
    return compiled.plans[board_id].crc if board_id in compiled.plans else None


def _text(value: object) -> str:
    if value is None:
        return "none"
    return f'"{value}"' if isinstance(value, str) else str(value)
