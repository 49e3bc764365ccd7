"""The station's generator: called, cranked, running, cooling down; pure, stepped in scenario time.

    call for CALL_S -> cranking for CRANK_S -> running; 10 s after the mains failed it carries
    no fuel or a fault: three attempts, then it has failed, until it is well again
    no call: it cools down for COOL_S, and stands

`phase` has the numbers of a GenComm controller's state register.
"""

from dataclasses import dataclass
from enum import IntEnum

CALL_S, CRANK_S, REST_S, COOL_S = 3.0, 7.0, 5.0, 60.0
ATTEMPTS_MAX = 3
_FUEL_PCT_PER_S = 100 / (24 * 3600)  # a tank lasts a day


class Phase(IntEnum):
    """What it does."""

    STOPPED = 0
    CRANKING = 1
    RUNNING = 3
    COOLING = 4


@dataclass(slots=True)
class Genset:
    """One generator, in automatic mode."""

    phase: Phase = Phase.STOPPED
    phase_s: float = 0.0  # how long it has been so, or been called
    attempts: int = 0
    has_failed: bool = False
    fuel_pct: float = 82.0
    run_s: float = 412_000.0
    starts: int = 163

    @property
    def has_voltage(self) -> bool:
        """Whether its terminals are live."""
        return self.phase in (Phase.RUNNING, Phase.COOLING)

    def step(self, dt_s: float, *, is_called: bool, is_well: bool) -> None:
        """`is_called`: it shall carry the station. `is_well`: it could."""
        self.phase_s += dt_s
        can_run = is_well and self.fuel_pct > 0
        if can_run and not is_called:
            self.has_failed = False
        if self.phase is Phase.STOPPED:
            if not is_called or self.has_failed:
                self.attempts = 0
                self.phase_s = 0.0
            elif self.phase_s >= (REST_S if self.attempts else CALL_S):
                self._enter(Phase.CRANKING)
        elif self.phase is Phase.CRANKING:
            self._crank(is_called=is_called, can_run=can_run)
        else:
            self._run(dt_s, is_called=is_called, can_run=can_run)

    def _crank(self, *, is_called: bool, can_run: bool) -> None:
        if not is_called:
            self._enter(Phase.STOPPED)
        elif self.phase_s >= CRANK_S:
            self.starts += can_run
            self.attempts += 1
            self.has_failed = not can_run and self.attempts >= ATTEMPTS_MAX
            self._enter(Phase.RUNNING if can_run else Phase.STOPPED)

    def _run(self, dt_s: float, *, is_called: bool, can_run: bool) -> None:
        self.run_s += dt_s
        self.fuel_pct = max(0.0, self.fuel_pct - dt_s * _FUEL_PCT_PER_S)
        if not can_run:
            self.has_failed = True
            self._enter(Phase.STOPPED)
        elif is_called and self.phase is Phase.COOLING:
            self._enter(Phase.RUNNING)
        elif not is_called and self.phase is Phase.RUNNING:
            self._enter(Phase.COOLING)
        elif self.phase is Phase.COOLING and self.phase_s >= COOL_S:
            self._enter(Phase.STOPPED)

    def _enter(self, phase: Phase) -> None:
        self.phase, self.phase_s = phase, 0.0
