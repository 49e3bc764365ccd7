"""A fair sample of any many numbers in bounded memory, for quantiles of latencies: pure."""

import random
from typing import Final

KEPT_MAX: Final = 2000


class Reservoir:
    """A fair sample of at most `KEPT_MAX` numbers out of any many."""

    def __init__(self, seed: int = 0) -> None:
        self._chance = random.Random(seed)
        self._kept: list[float] = []
        self.count = 0

    def add(self, value: float) -> None:
        """Take one number into account."""
        self.count += 1
        if len(self._kept) < KEPT_MAX:
            self._kept.append(value)
        elif (i := self._chance.randrange(self.count)) < KEPT_MAX:
            self._kept[i] = value

    def quantile(self, share: float) -> float | None:
        """The value below which `share` (0 to 1) of the numbers lie; None without any."""
        if not self._kept:
            return None
        return sorted(self._kept)[min(len(self._kept) - 1, int(share * len(self._kept)))]

    def kept(self) -> list[float]:
        """The numbers of the sample, ascending."""
        return sorted(self._kept)
