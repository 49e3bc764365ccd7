"""How long an uplink, or a consumer, waits before it tries its broker again. Pure.

Limits: from `BACKOFF_S_MIN` to `BACKOFF_S_MAX`; `ABSENT_S_MAX` for a broker that is not there, so
that traffic is back soon after it. A connection that held for `STEADY_S` starts small.
"""

import random
from typing import Final

BACKOFF_S_MIN: Final = 0.2
BACKOFF_S_MAX: Final = 5.0
ABSENT_S_MAX: Final = 1.5
STEADY_S: Final = 10.0


class Backoff:
    """Waits between attempts: doubling up to their limit, each with up to half of it as jitter."""

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
        elif state in ("unreachable", "lost"):
            self._next_s = min(self._next_s, ABSENT_S_MAX)
        wait_s = self._next_s * self._chance.uniform(0.5, 1.0)
        self._next_s = min(2 * self._next_s, BACKOFF_S_MAX)
        return wait_s
