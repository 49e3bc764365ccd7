"""budget.py: what a bus has time for, told in bounds that no run of the client's rule passes."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shorewatch.budget import ASKS_DEAD, PROBE_SHARE, Request, budget, oldest_s


def ages(requests: list[Request], due_s: list[float], dead: str | None, count: int) -> list[float]:
    """The greatest age each request's data reach when a bus serves `count` of them, by simulation.

    The rule of firmware/station/bus.py in real numbers: of what was due when the transaction before
    began (or is due now, if nothing was), what is late by the largest part of its period.
    """
    due_s = list(due_s)
    now_s, chosen_s, asks, probe_s = 0.0, 0.0, 0, 0.0
    read_s: list[float | None] = [None] * len(requests)
    worst = [0.0] * len(requests)
    for _ in range(count):
        alive = [i for i, r in enumerate(requests) if r.device != dead or asks < ASKS_DEAD]
        lost = next((r.lost_s for r in requests if r.device == dead), None)
        if lost is not None and asks >= ASKS_DEAD and now_s >= probe_s:
            probe_s = now_s + lost / PROBE_SHARE
            chosen_s, now_s = now_s, now_s + lost
            continue
        ready = [i for i in alive if due_s[i] <= chosen_s] or [
            i for i in alive if due_s[i] <= now_s
        ]
        if not ready:
            now_s = min(due_s[i] for i in alive) if alive else probe_s
            continue
        i = max(ready, key=lambda i: (now_s - due_s[i]) / requests[i].period_s)
        wanted, asked_s = requests[i], now_s
        due_s[i] += (math.floor((now_s - due_s[i]) / wanted.period_s) + 1) * wanted.period_s
        chosen_s, now_s = now_s, now_s + (wanted.lost_s if wanted.device == dead else wanted.wire_s)
        if wanted.device == dead:
            asks += 1
            probe_s = asked_s + wanted.lost_s / PROBE_SHARE
            continue
        if read_s[i] is not None:
            worst[i] = max(worst[i], now_s - read_s[i])
        read_s[i] = asked_s
    return worst


requests = st.lists(
    st.builds(
        Request,
        device=st.sampled_from(["a", "b", "c"]),
        period_s=st.sampled_from([0.1, 0.25, 0.5, 1.0, 2.0, 10.0]),
        wire_s=st.floats(0.005, 0.2),
        lost_s=st.just(0.3),
    ),
    min_size=1,
    max_size=8,
)


@settings(max_examples=300)
@given(requests, st.data())
def test_no_run_makes_data_older_than_the_bound(asked, data):
    """Whatever falls due when, and whoever dies, no data get older than `oldest_s` says."""
    due_s = [data.draw(st.floats(0, r.period_s)) for r in asked]
    dead = data.draw(st.sampled_from([None, *sorted({r.device for r in asked})]))

    found = ages(asked, due_s, dead, 400)

    for wanted, age_s in zip(asked, found, strict=True):
        if wanted.device != dead:
            assert age_s <= oldest_s(asked, wanted, dead) + 1e-9


def test_a_bus_of_one_is_read_at_its_period():
    """A request alone waits for no other: its data get a period and three reads old at most."""
    alone = Request("a", period_s=1.0, wire_s=0.1, lost_s=0.3)

    assert oldest_s([alone], alone) == pytest.approx(1.3)
    assert budget([alone]).busy_share == pytest.approx(0.1)


def test_a_dead_device_costs_its_probes_and_one_wait():
    """With one device dead its share gives way to the probes', its request to a wait."""
    a = Request("a", period_s=1.0, wire_s=0.1, lost_s=0.3)
    b = Request("b", period_s=0.5, wire_s=0.1, lost_s=0.2)

    found = budget([a, b])

    assert (found.dead, found.cycle_s) == ("a", pytest.approx(0.2))
    assert found.dead_cycle_s == pytest.approx(0.4)
    assert found.dead_busy_share == pytest.approx(0.2 + PROBE_SHARE)


def test_a_bus_without_time_has_no_bound():
    """Where faster requests take all the time, nothing can be said of a slower one."""
    fast = [Request(name, period_s=0.1, wire_s=0.06, lost_s=0.3) for name in ("a", "b")]
    slow = Request("c", period_s=100.0, wire_s=0.1, lost_s=0.3)

    assert math.isinf(oldest_s([*fast, slow], slow))
