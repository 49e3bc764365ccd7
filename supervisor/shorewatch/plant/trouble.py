"""What goes wrong on a field line: the bytes of a reply as they arrive, and strays; pure, seeded.

Each reply meets its fate by (seed, line, its number), so that a run can be repeated; what passed is
in the line's recording (record.py). A share is of replies, 0 to 1.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from shorewatch.toml import Table

Share = Annotated[float, Field(ge=0, le=1)]
UnitId = Annotated[int, Field(ge=0, le=255)]


class Trouble(Table):
    """What is wrong with one line now; as left out, nothing."""

    damaged: Share = 0.0  # one bit of the reply is wrong, so its CRC is
    dropped: Share = 0.0  # one byte of it never arrives
    doubled: Share = 0.0  # one byte of it arrives twice
    late: Share = 0.0  # it comes `late_s` later
    late_s: Annotated[float, Field(ge=0, le=30)] = 1.0
    noise_per_s: Annotated[float, Field(ge=0, le=100)] = 0.0  # stray bytes on the idle line
    is_echoing: bool = False  # the transceiver hears itself: each request comes back
    is_cut: bool = False  # the wire is broken: nothing passes
    dead: list[UnitId] = []  # devices without power
    twins: list[UnitId] = []  # addresses that two devices have, so both answer at once


@dataclass(frozen=True, slots=True)
class Arrival:
    """A reply as it comes: its bytes, and how much later than it should."""

    data: bytes
    late_s: float = 0.0


QUIET = Trouble()


class Fates:
    """What becomes of each reply of one line in the world of `seed`."""

    def __init__(self, seed: int, line: str) -> None:
        self._name = f"{seed}/{line}"
        self._count = 0

    def reply(self, trouble: Trouble, unit_id: int, data: bytes) -> Sequence[Arrival]:
        """One reply as it arrives: not at all, once, or from two devices at once."""
        if trouble is QUIET:
            return (Arrival(data),)
        if trouble.is_cut or unit_id in trouble.dead:
            return ()
        self._count += 1
        fate = random.Random(f"{self._name}/{self._count}")
        first = self._spoiled(trouble, data, fate)
        if unit_id not in trouble.twins:
            return (first,)
        # The other one answers as well, a little later, and has another value.
        other = bytes([*data[:-3], data[-3] ^ 1, data[-2] ^ 0x40, data[-1] ^ 0x01])
        return first, Arrival(other, first.late_s + fate.uniform(0.0005, 0.003))

    def gap_s(self, noise_per_s: float) -> float:
        """How long until the next stray byte."""
        self._count += 1
        return random.Random(f"{self._name}/gap/{self._count}").expovariate(noise_per_s)

    def stray(self) -> bytes:
        """One stray byte."""
        return random.Random(f"{self._name}/stray/{self._count}").randbytes(1)

    def _spoiled(self, trouble: Trouble, data: bytes, fate: random.Random) -> Arrival:
        spoiled = bytearray(data)
        if fate.random() < trouble.damaged:
            spoiled[fate.randrange(len(spoiled))] ^= 1 << fate.randrange(8)
        if fate.random() < trouble.dropped:
            del spoiled[fate.randrange(len(spoiled))]
        if fate.random() < trouble.doubled:
            at = fate.randrange(len(spoiled))
            spoiled.insert(at, spoiled[at])
        late_s = trouble.late_s if fate.random() < trouble.late else 0.0
        return Arrival(bytes(spoiled), late_s)
