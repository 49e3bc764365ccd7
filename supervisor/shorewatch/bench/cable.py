"""How well faults are located and told from everything else: seeded, without a machine's speed.

    two_ended_*, single_ended_*   faults anywhere in a calm hour of a tracked cable, every error
                                  drawn from the cable's budget: rms of the median's error, and how
                                  often the 95 % interval holds the place
    lumped_coverage               both ends with 20 V at one coast, of which nobody knows before
    leak_coverage                 slow leaks of 100 kOhm to 1 MOhm: how often they lie where is said
    coverage_off                  how far the worst of these three is from 0.95, either way
    false_faults                  weeks of a sound cable, calm and storm, its feed moved about
    detection_s                   from a fault to its finding, the median; detection_worst_s

Peers are ways that others use, on the same faults: the plain ratio V_A / (V_A + V_B), the walk
from one end with the file's ohms, the self-calibrated mean of both walks.
"""

import math
import random
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import median

from shorewatch.bench import machine
from shorewatch.bench.figures import Figure, Result
from shorewatch.bench.sea import Drawn, Sea, draw, shifts, weather
from shorewatch.cable.budget import Budget, Evidence, Shown
from shorewatch.cable.locate import CONFIDENCE, Place, locate, self_calibrated, walk
from shorewatch.cable.tracked import suited
from shorewatch.cable.watcher import JUDGE_S, Feed, Watcher
from shorewatch.plant.cable import CABLE, HEALTHY, Circuit, Shunt, Source, solve

FEED = Feed(Source().droop_a_per_v, Source().droop_a_per_v)
_BASELINE_EARTH_V = 0.5  # what a day of a quiet earth leaves in the tracked sum
_LUMPED_V = 20.0
_NOT_BLIND_KM = 25.0
_FAULT_AT_S, _AFTER_S = 1200, 90


@dataclass(frozen=True, slots=True)
class Extent:
    """How much is drawn and watched."""

    faults: int = 1000
    weeks: int = 2
    detections: int = 100


QUICK = Extent(faults=150, weeks=0, detections=20)


def run_cable(extent: Extent, say: Callable[[str], None]) -> Result:
    """Measure everything; `say` is told what is being done."""
    busy = machine.ticks()
    say(f"{extent.faults} faults in calm hours, located from both ends and from one")
    found = _located(extent.faults)
    say(f"{extent.faults} faults with {_LUMPED_V:g} V at one coast, and slow leaks")
    found["lumped_coverage"] = _lumped(extent.faults)
    shares = [figure.value for name, figure in found.items() if name.endswith("_coverage")]
    off = max(abs(share - CONFIDENCE) for share in shares)
    found["coverage_off"] = Figure(off, "share", 0.02)
    found["leak_coverage"] = _leaks(extent.faults)
    say(f"{extent.weeks} weeks of a sound cable" if extent.weeks else "a day of a sound cable")
    found["false_faults"] = _false_faults(extent.weeks)
    say(f"{extent.detections} faults, waited for")
    found |= _detection(extent.detections)
    return Result(found, machine.versions(), machine.load(busy))


def _located(count: int) -> dict[str, Figure]:
    budget = suited(Budget(), 1.0, is_hour=True)
    chance = random.Random(1)
    drawn = [draw(chance, budget, baseline_earth_v=_BASELINE_EARTH_V) for _ in range(count)]
    both = [_place(one, budget, "AB") for one in drawn]
    single = [_place(one, budget, "AB"[i % 2]) for i, one in enumerate(drawn)]
    ratio = [CABLE.length_km * one.a.volts / (one.a.volts + one.b.volts) for one in drawn]
    mean = [self_calibrated(CABLE, one.a, one.b)[1] for one in drawn]
    walks = [
        walk(CABLE, one.a, "A") if i % 2 == 0 else walk(CABLE, one.b, "B")
        for i, one in enumerate(drawn)
    ]
    plain = {"plain ratio": _rms(drawn, ratio)}
    covered = [_coverage(drawn, places) for places in (both, single)]
    return {
        "two_ended_rms_km": Figure(
            _rms(drawn, [place.km for place in both]), "km", 1.5,
            peers={**plain, "self-calibrated": _rms(drawn, mean)},
        ),
        "two_ended_coverage": Figure(covered[0], "share", 0.93, is_least=True),
        "two_ended_width_km": Figure(median(p.interval.width_km for p in both), "km", 6.0),
        "single_ended_rms_km": Figure(
            _rms(drawn, [place.km for place in single]), "km", 5.0,
            peers={**plain, "walk from one end": _rms(drawn, walks)},
        ),
        "single_ended_coverage": Figure(covered[1], "share", 0.93, is_least=True),
    }  # fmt: skip


def _lumped(count: int) -> Figure:
    budget = Budget()
    chance = random.Random(2)
    coasts = [(_LUMPED_V, 0.0), (0.0, -_LUMPED_V), (-_LUMPED_V, 0.0), (0.0, _LUMPED_V)]
    drawn = [
        draw(chance, budget, baseline_earth_v=_BASELINE_EARTH_V, coasts=coasts[i % 4])
        for i in range(count)
    ]
    places = [_place(one, budget, "AB") for one in drawn]
    # A self-calibrated answer with the interval that it deserves in a calm hour.
    calm = suited(budget, 1.0, is_hour=True)
    halves = [_place(one, calm, "AB").interval.width_km / 2 for one in drawn[:50]]
    naive = [self_calibrated(CABLE, one.a, one.b)[1] for one in drawn]
    held = [abs(km - one.km) <= median(halves) for km, one in zip(naive, drawn, strict=True)]
    peers = {"self-calibrated": sum(held) / count}
    return Figure(_coverage(drawn, places), "share", 0.93, is_least=True, peers=peers)


def _leaks(count: int) -> Figure:
    chance = random.Random(3)
    held = 0
    for _ in range(count):
        km = chance.uniform(1, CABLE.length_km - 1)
        ohm = 10 ** chance.uniform(5, 6)
        ends = solve(replace(HEALTHY, shunts=(Shunt(km, ohm),)))
        a, b = (Shown(end.voltage_v + chance.gauss(0, 0.5), end.current_a) for end in ends.values())
        place = locate(CABLE, Budget(), Evidence(a, b), onset="slow", side="A" if km < 190 else "B")
        held += km in place.interval
    return Figure(held / count, "share", CONFIDENCE, is_least=True)


def _false_faults(weeks: int) -> Figure:
    found = 0
    for week in range(max(weeks, 1)):
        days = 7 if weeks else 1
        # Days 3 and 5 of a week are days of storm.
        sea = Sea(week, weather(week, storms=lambda second: int(second // 86_400) in (2, 4)))
        plan = shifts(week, days)
        starts = [shift.since_s for shift in plan]
        watcher = Watcher(CABLE, Budget(), FEED)
        for second in range(days * 86_400):
            shift = plan[bisect_right(starts, second) - 1]
            pair = sea.pair(second, shift.circuit, silent=shift.silent)
            found += sum(finding.is_fault for finding in watcher.take(pair))
    return Figure(found, "count", 0)


def _detection(count: int) -> dict[str, Figure]:
    chance = random.Random(4)
    took = []
    for i in range(count):
        km = 190.0
        while abs(km - 190.0) < _NOT_BLIND_KM:
            km = chance.uniform(1, CABLE.length_km - 1)
        broken = replace(HEALTHY, shunts=(Shunt(km, chance.uniform(0, 100)),))
        is_storm = i % 2 == 1
        sea = Sea(i, weather(i, storms=_always if is_storm else _never))
        took.append(_seconds_to_find(sea, broken))
    return {
        "detection_s": Figure(median(took), "s", 10.0),
        "detection_worst_s": Figure(max(took), "s", JUDGE_S),
    }


def _seconds_to_find(sea: Sea, broken: Circuit) -> float:
    watcher = Watcher(CABLE, Budget(), FEED)
    for second in range(_FAULT_AT_S + _AFTER_S):
        circuit = HEALTHY if second < _FAULT_AT_S else broken
        for finding in watcher.take(sea.pair(second, circuit)):
            if finding.kind == "shunt":
                return finding.at_s - _FAULT_AT_S
    return math.inf


def _always(second: float) -> bool:
    return True


def _never(second: float) -> bool:
    return False


def _place(one: Drawn, budget: Budget, ends: str) -> Place:
    evidence = Evidence(
        one.a if "A" in ends else None, one.b if "B" in ends else None, one.baseline
    )
    return locate(CABLE, budget, evidence)


def _rms(drawn: Sequence[Drawn], kms: Sequence[float | None]) -> float:
    offs = [(km or 0.0) - one.km for km, one in zip(kms, drawn, strict=True)]
    return math.sqrt(sum(off * off for off in offs) / len(offs))


def _coverage(drawn: Sequence[Drawn], places: Sequence[Place]) -> float:
    held = [one.km in place.interval for one, place in zip(drawn, places, strict=True)]
    return sum(held) / len(held)
