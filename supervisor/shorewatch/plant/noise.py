"""Seeded noise as a pure function of (seed, name, UTC time): the same in every process.

No state and no generator: two processes that never speak to each other see one and the same
disturbance, and a failure can be replayed from its seed. Not for cryptography.
"""

import math
from dataclasses import dataclass
from hashlib import blake2b

_RATIOS = (1.0, 0.618034, 0.381966, 0.236068)


@dataclass(frozen=True, slots=True)
class Noise:
    """The disturbance called `name` in the world of `seed`."""

    seed: int
    name: str

    def drift(self, utc_s: float, period_s: float) -> float:
        """A slow wander, rms 1, peaks below 2.9; periods of `period_s` and down to a quarter."""
        waves = (
            math.sin(2 * math.pi * (utc_s / (period_s * ratio) + self._share(str(ratio))))
            for ratio in _RATIOS
        )
        return sum(waves) * math.sqrt(2 / len(_RATIOS))

    def grain(self, utc_s: float, step_s: float = 0.1) -> float:
        """A fresh value every `step_s`: near normal, mean 0, rms 1, never beyond 3.47."""
        step = math.floor(utc_s / step_s)
        return sum(self._share(f"{step}/{part}") - 0.5 for part in range(4)) * math.sqrt(3)

    def _share(self, key: str) -> float:
        text = f"{self.seed}/{self.name}/{key}"
        return int.from_bytes(blake2b(text.encode(), digest_size=8).digest()) / 2**64
