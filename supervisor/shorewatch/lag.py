"""How late the gateway's loop is: what a moment of work that is too long costs everybody else."""

import asyncio
import time
from collections import deque

LOOK_S = 0.25
SPAN_S = 10.0


class LoopLag:
    """Measures while `run` runs; the first second of a quiet loop reads about 0.001 s."""

    def __init__(self) -> None:
        self._lags_s: deque[float] = deque(maxlen=int(SPAN_S / LOOK_S))

    @property
    def worst_s(self) -> float:
        """The longest delay of a timer in the last 10 s."""
        return max(self._lags_s, default=0.0)

    async def run(self) -> None:
        """Measure until cancelled."""
        while True:
            due_s = time.monotonic() + LOOK_S
            await asyncio.sleep(LOOK_S)
            self._lags_s.append(max(0.0, time.monotonic() - due_s))
