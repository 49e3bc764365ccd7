"""The time of one bus: how busy it is, how long a round takes, how old data may become. Pure.

Two questions, each also for the case that one device is dead: can every request keep its period,
and does anything healthy go stale? The answers are bounds that no run passes, not averages.

The rule of the client (firmware/station/bus.py) that they follow: the request that is late by the
largest part of its period goes first, one that has begun is not interrupted. Of a request with
period P, waiting for a time w, only those go ahead that are late by a larger part of their own
period: each other one once, and one with a shorter period p again w/p - w/P times. A dead device is
asked `ASKS_DEAD` times until it is known to be down, then in `PROBE_SHARE` of the time.

What is not in it: the distance kept between requests of one device whose answers look alike.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

PROBE_SHARE = 0.05
ASKS_DEAD = 3


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked of `device` again and again: bus time with an answer, and without one."""

    device: str
    period_s: float
    wire_s: float
    lost_s: float


@dataclass(frozen=True, slots=True)
class Budget:
    """Where the time of a bus goes; `dead` is the device whose death would cost the most.

    Shares are of all time; a cycle is every request once.
    """

    busy_share: float
    cycle_s: float
    dead: str
    dead_busy_share: float
    dead_cycle_s: float


def budget(requests: Sequence[Request]) -> Budget:
    """The budget of a bus with at least one request."""
    cycles = {
        device: sum(r.wire_s for r in requests if r.device != device)
        + max(r.lost_s for r in requests if r.device == device)
        for device in {r.device: None for r in requests}
    }
    shares = [PROBE_SHARE + _busy(r for r in requests if r.device != device) for device in cycles]
    dead = max(cycles, key=lambda device: cycles[device])
    return Budget(
        busy_share=_busy(requests),
        cycle_s=sum(r.wire_s for r in requests),
        dead=dead,
        dead_busy_share=max(shares),
        dead_cycle_s=cycles[dead],
    )


def oldest_s(requests: Sequence[Request], wanted: Request, dead: str | None = None) -> float:
    """How old the data of `wanted` can be when the next ones come, with `dead` (another) dead.

    Infinite on a bus that is asked for more than there is time for.
    """
    assert dead != wanted.device, "what is dead has no data"
    alive = [r for r in requests if r.device != dead]
    lost_s = max((r.lost_s for r in requests if r.device == dead), default=0.0)
    if _busy(alive) + (PROBE_SHARE if lost_s else 0.0) > 1:
        return math.inf
    # One under way when this falls due, one more that was chosen before, each other once.
    first_s = 2 * max(r.wire_s for r in alive) + sum(r.wire_s for r in alive) - wanted.wire_s
    again = sum(
        r.wire_s * (1 / r.period_s - 1 / wanted.period_s)
        for r in alive
        if r.period_s < wanted.period_s
    )
    wait_s = (first_s + ASKS_DEAD * lost_s) / (1 - again)
    return wanted.period_s + wait_s + wanted.wire_s


def _busy(requests: Iterable[Request]) -> float:
    return sum(r.wire_s / r.period_s for r in requests)
