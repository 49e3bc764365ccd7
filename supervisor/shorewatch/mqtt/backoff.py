"""How long an uplink waits before it tries its broker again. Pure.

Limits: from `BACKOFF_S_MIN` to `BACKOFF_S_MAX`. A connection that held for `STEADY_S` starts small.
"""

import random
from typing import Final

BACKOFF_S_MIN: Final = 0.2
BACKOFF_S_MAX: Final = 5.0
STEADY_S: Final = 10.0


class Backoff:
    """Waits between attempts: doubling from 0.2 to 5 s, each with up to half of it as jitter."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._next_s = BACKOFF_S_MIN

    def reset(self) -> None:
        """A connection held: start small again."""
        self._next_s = BACKOFF_S_MIN

    def wait_s(self, state: str) -> float:
        """The next wait; a taken-over or refused one is long at once: haste would only hurt."""
        if state in ("taken-over", "not-authorised", "quota"):
            self._next_s = BACKOFF_S_MAX
        wait_s = self._next_s * self._chance.uniform(0.5, 1.0)
        self._next_s = min(2 * self._next_s, BACKOFF_S_MAX)
        return wait_s
