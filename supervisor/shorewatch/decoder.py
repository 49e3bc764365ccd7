"""All points of one block decoded at once: compiled from the profile, used for every reading. Pure.

The registers are put into big-endian order with one `itemgetter` and one pack, and all raw numbers
come out with one unpack, whatever their types and orders; then each point's converter
(conversion.py) makes its value. Points that are tied to others come last, with those beside them.
"""

import struct
from collections.abc import Mapping, Sequence
from operator import itemgetter

from shorewatch.conversion import Found
from shorewatch.point import Point
from shorewatch.registers import format_of, is_little, picked


class Decoder:
    """The points of a block, each with its offset in it: registers, or bits of a table of bits."""

    def __init__(self, points: Sequence[tuple[Point, int]]) -> None:
        # Those with swapped bytes last, so that two packs do for all.
        ordered = sorted(points, key=lambda entry: is_little(entry[0].order))
        indices = [index for point, offset in ordered for index in _indices(point, offset)]
        swapped = sum(point.count for point, _ in ordered if is_little(point.order))
        # itemgetter gives no tuple for a single index.
        self._pick = itemgetter(*indices, indices[0])
        self._big = struct.Struct(f">{len(indices) - swapped}H")
        self._little = struct.Struct(f"<{swapped}H")
        self._raw = struct.Struct(
            ">" + "".join(format_of(point.type, point.count) for point, _ in ordered)
        )
        self._plain = [
            (place, point.id, point.contact(offset % 16) if point.is_contact else point.converter())
            for place, (point, offset) in enumerate(ordered)
            if not point.partners
        ]
        self._tied = [
            (place, point.id, point.tied())
            for place, (point, _) in enumerate(ordered)
            if point.partners
        ]

    def decode(self, words: Sequence[int]) -> Mapping[str, Found]:
        """The block's data registers to each point's value, or what is to be said of it."""
        chosen = self._pick(words)
        big = self._big.size // 2
        data = self._big.pack(*chosen[:big]) + self._little.pack(*chosen[big:-1])
        raws = self._raw.unpack(data)
        found = {name: convert(raws[place]) for place, name, convert in self._plain}
        for place, name, convert in self._tied:
            found[name] = convert(raws[place], found)
        return found


def _indices(point: Point, offset: int) -> Sequence[int]:
    """Where the point's registers stand in the block's data, in big-endian order of words."""
    if point.is_contact:
        return [offset // 16]
    return [offset + place for place in picked(point.count, point.order)]
