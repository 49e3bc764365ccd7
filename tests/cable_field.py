"""A cable with meters for tests: circuits of the plant, read with noise and resolution."""

import random
from collections.abc import Callable, Iterator
from dataclasses import replace

from shorewatch.cable.budget import Shown
from shorewatch.cable.pairing import Pair
from shorewatch.plant.cable import HEALTHY, Circuit, Shunt, solve

START_S = 1_795_000_000.0


def faulty(km: float, ohm: float = 1.0) -> Circuit:
    """The reference cable with one shunt."""
    return replace(HEALTHY, shunts=(Shunt(km, ohm),))


def shown(circuit: Circuit) -> tuple[Shown, Shown]:
    """What perfect meters show."""
    ends = solve(circuit)
    a, b = ends["A"], ends["B"]
    return Shown(a.voltage_v, a.current_a), Shown(b.voltage_v, b.current_a)


def seconds(
    circuit_at: Callable[[int], Circuit],
    count: int,
    *,
    seed: int = 1,
    is_b_silent: Callable[[int], bool] = lambda second: False,
) -> Iterator[Pair]:
    """Pairs of `count` seconds, as meters of 0.1 V and 0.1 mA with a little noise give them."""
    chance = random.Random(seed)
    known: dict[Circuit, tuple[Shown, Shown]] = {}
    for second in range(count):
        circuit = circuit_at(second)
        if circuit not in known:
            known = {circuit: shown(circuit)}
        a, b = (
            Shown(
                round(end.volts + chance.gauss(0, 0.1), 1),
                round(end.amps + chance.gauss(0, 0.00005), 4),
            )
            for end in known[circuit]
        )
        yield Pair(START_S + second, a, None if is_b_silent(second) else b)
