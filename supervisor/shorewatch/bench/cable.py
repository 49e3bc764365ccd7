"""How well faults are located and told from everything else: seeded, without a machine's speed.

    two_ended_*, single_ended_*   faults anywhere, errors drawn from the set `STATED`, which the
                                  estimator knows: rms of the median's error, and how far the share
                                  of cases that the 95 % interval holds is from 0.95, either way
    doubled_*                     the same with every error twice as large
    lumped_coverage               both ends, with up to 20 V at one coast, as in a storm hour, which
                                  the estimator knows; lumped_unsuspected_coverage: which it does
                                  not, in an hour that was tracked as any other
    cautious_*                    the cable file's own budget, wider: contacts of many ohms, ground
                                  beds, coasts that may be disturbed, in a calm hour of a cable
                                  whose sum was tracked
    leak_coverage                 slow leaks of 100 kOhm to 1 MOhm: how often they lie where is said
    false_faults                  days of a sound cable, calm and storm, its feed moved about;
                                  false_faults_a_year is the upper 95 % bound for what was watched
    detection_s                   from a hard fault to its finding, the worst, farther than 40 km
                                  from the virtual earth; near_told: of those from 25 to 40 km, how
                                  many are told within a minute, the others are named unclear

Peers are ways that others use, on the same faults: the plain ratio V_A / (V_A + V_B), the walk
from one end with the file's ohms, the self-calibrated mean of both walks. Source of `STATED` and of
its limits: the published Monte Carlo set of a 380 km line, one sigma of 1 % ohms, 0.1 % and 0.5 V
voltmeters, 0.2 % ammeters, 0.5 V repeaters, 5 V of uniform earth potential.
"""

import math
import multiprocessing
import os
import random
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from statistics import median
from typing import Final, TypeVar

from shorewatch.bench import machine
from shorewatch.bench.figures import Figure, Result
from shorewatch.bench.sea import Drawn, Sea, draw, shifts, weather
from shorewatch.cable.budget import Budget, Evidence, Shown
from shorewatch.cable.line import End
from shorewatch.cable.locate import CONFIDENCE, Place, locate, self_calibrated, walk
from shorewatch.cable.tracked import suited
from shorewatch.cable.watcher import JUDGE_S, Feed, Watcher
from shorewatch.plant.cable import CABLE, HEALTHY, Shunt, Source, solve

FEED: Final = Feed(Source().droop_a_per_v, Source().droop_a_per_v)
_NOTHING: Final = 1e-6
# What the set does not name is next to nothing.
STATED: Final = Budget(
    ohm_per_km_share=0.01, repeater_v=0.5, bed_ohm=0.0, meter_volt_share=0.001, meter_v=0.5,
    meter_amp_share=0.002, earth_v=5.0, coast_v=0.001, coast_storm_v=0.001, storm_share=_NOTHING,
    contact_v=_NOTHING, contact_ohm=_NOTHING,
)  # fmt: skip
DOUBLED: Final = replace(
    STATED, ohm_per_km_share=0.02, repeater_v=1.0, meter_volt_share=0.002, meter_v=1.0,
    meter_amp_share=0.004, earth_v=10.0,
)  # fmt: skip
CAUTIOUS: Final = suited(Budget(), 1.0, is_hour=True)
_BASELINE_EARTH_V = 0.5  # what a day of a quiet earth leaves in the tracked sum
_LUMPED_V = 20.0
# One sigma of what lies anywhere from -20 to 20 V.
LUMPED: Final = replace(Budget(), coast_storm_v=_LUMPED_V / math.sqrt(3), storm_share=0.5)
_NEAR_KM, _BLIND_KM = 40.0, 25.0  # from the virtual earth
_FAULT_AT_S, _AFTER_S = 1200, 90
_WEEK: Final = 7
_STORM_DAYS: Final = (2, 4)  # of a week
# Upper end of the one-sided 95 % interval of a Poisson mean of which nothing was seen.
_NOTHING_SEEN: Final = 3.0

_Job = TypeVar("_Job")
_Found = TypeVar("_Found")


@dataclass(frozen=True, slots=True)
class Extent:
    """How much is drawn and watched: 1,006 quiet days and 100 days of storm."""

    faults: int = 4000
    quiet_weeks: int = 108
    storm_weeks: int = 50
    detections: int = 200
    processes: int = os.cpu_count() or 1


QUICK = Extent(faults=150, quiet_weeks=1, storm_weeks=1, detections=20)


def run_cable(extent: Extent, say: Callable[[str], None]) -> Result:
    """Measure everything; `say` is told what is being done."""
    busy = machine.ticks()
    pool = ProcessPoolExecutor(
        extent.processes, mp_context=multiprocessing.get_context("forkserver")
    )
    with pool:
        say(f"{extent.faults} faults of each set, located from both ends and from one")
        found = _located(pool, extent.faults)
        say(f"{extent.faults} faults with up to {_LUMPED_V:g} V at one coast, and slow leaks")
        found |= _lumped(pool, extent.faults)
        held = _mapped(pool, _is_leak_held, range(extent.faults))
        share = sum(held) / len(held)
        found["leak_coverage"] = Figure(share, "share", CONFIDENCE, is_least=True)
        say(f"{extent.detections} hard faults, waited for")
        found |= _detection(pool, extent.detections)
        quiet, stormy = _WEEK * extent.quiet_weeks, len(_STORM_DAYS) * extent.storm_weeks
        quiet += (_WEEK - len(_STORM_DAYS)) * extent.storm_weeks
        say(f"{quiet} quiet days and {stormy} days of storm of a sound cable")
        found |= _false_faults(pool, extent, quiet + stormy)
    return Result(found, machine.versions(), machine.load(busy))


def _mapped(
    pool: ProcessPoolExecutor, what: Callable[[_Job], _Found], jobs: Iterable[_Job]
) -> list[_Found]:
    waiting = list(jobs)
    return list(pool.map(what, waiting, chunksize=max(1, min(50, len(waiting) // 8))))


@dataclass(frozen=True, slots=True)
class _Case:
    """A fault as it was, and as both ends and one end tell it."""

    one: Drawn
    both: Place
    single: Place
    end: End


def _case(job: tuple[int, Budget, bool]) -> _Case:
    """Case `index` of a budget; `is_tracked` if the healthy sum was followed before."""
    index, budget, is_tracked = job
    one = draw(random.Random(f"1/{index}"), budget, baseline_earth_v=_BASELINE_EARTH_V)
    end: End = "A" if index % 2 == 0 else "B"
    base = one.baseline if is_tracked else None
    return _Case(
        one,
        locate(CABLE, budget, Evidence(one.a, one.b, base)),
        locate(
            CABLE,
            budget,
            Evidence(one.a if end == "A" else None, one.b if end == "B" else None, base),
        ),
        end,
    )


def _located(pool: ProcessPoolExecutor, count: int) -> dict[str, Figure]:
    found: dict[str, Figure] = {}
    sets = {
        "": (STATED, False, 0.6, 4.0),
        "doubled_": (DOUBLED, False, 1.2, 8.0),
        "cautious_": (CAUTIOUS, True, 1.5, 5.0),
    }
    for name, (budget, is_tracked, both_km, single_km) in sets.items():
        cases = _mapped(pool, _case, [(i, budget, is_tracked) for i in range(count)])
        drawn = [case.one for case in cases]
        both, single = [case.both for case in cases], [case.single for case in cases]
        ratio = [CABLE.length_km * one.a.volts / (one.a.volts + one.b.volts) for one in drawn]
        mean = [self_calibrated(CABLE, one.a, one.b)[1] for one in drawn]
        walks = [walk(CABLE, c.one.a if c.end == "A" else c.one.b, c.end) for c in cases]
        plain = {"plain ratio": _rms(drawn, ratio)}
        found |= {
            f"{name}two_ended_rms_km": Figure(
                _rms(drawn, [place.km for place in both]), "km", both_km,
                peers={**plain, "self-calibrated": _rms(drawn, mean)},
            ),
            f"{name}two_ended_coverage_off": _coverage_off(drawn, both),
            f"{name}two_ended_width_km": Figure(
                median(place.interval.width_km for place in both), "km", 5 * both_km
            ),
            f"{name}single_ended_rms_km": Figure(
                _rms(drawn, [place.km for place in single]), "km", single_km,
                peers={**plain, "walk from one end": _rms(drawn, walks)},
            ),
            f"{name}single_ended_coverage_off": _coverage_off(drawn, single),
        }  # fmt: skip
    return found


def _lumped_case(index: int) -> tuple[bool, bool, bool]:
    """Whether our intervals hold a fault under a lumped potential, and whether a naive one does.

    The naive one is the self-calibrated place with the interval of a calm hour.
    """
    chance = random.Random(f"2/{index}")
    lumped_v = chance.uniform(-_LUMPED_V, _LUMPED_V)
    coasts = (lumped_v, 0.0) if index % 2 == 0 else (0.0, lumped_v)
    one = draw(chance, LUMPED, baseline_earth_v=_BASELINE_EARTH_V, coasts=coasts)
    known, unsuspected = (
        locate(CABLE, budget, Evidence(one.a, one.b, one.baseline)) for budget in (LUMPED, Budget())
    )
    calm = locate(CABLE, CAUTIOUS, Evidence(one.a, one.b, one.baseline))
    naive_km = self_calibrated(CABLE, one.a, one.b)[1]
    is_naive_held = abs(naive_km - one.km) <= calm.interval.width_km / 2
    return one.km in known.interval, one.km in unsuspected.interval, is_naive_held


def _lumped(pool: ProcessPoolExecutor, count: int) -> dict[str, Figure]:
    held = _mapped(pool, _lumped_case, range(count))
    known, unsuspected, naive = (sum(row[i] for row in held) / count for i in (0, 1, 2))
    peers = {"self-calibrated": naive}
    return {
        "lumped_coverage": Figure(known, "share", 0.93, is_least=True, peers=peers),
        "lumped_unsuspected_coverage": Figure(
            unsuspected, "share", 0.85, is_least=True, peers=peers
        ),
    }


def _is_leak_held(index: int) -> bool:
    chance = random.Random(f"3/{index}")
    km = chance.uniform(1, CABLE.length_km - 1)
    ends = solve(replace(HEALTHY, shunts=(Shunt(km, 10 ** chance.uniform(5, 6)),)))
    a, b = (Shown(end.voltage_v + chance.gauss(0, 0.5), end.current_a) for end in ends.values())
    side: End = "A" if km < CABLE.length_km / 2 else "B"
    return km in locate(CABLE, Budget(), Evidence(a, b), onset="slow", side=side).interval


def _false_in_week(job: tuple[int, bool]) -> int:
    """The faults that are told in a week of a sound cable."""
    week, is_stormy = job
    sea = Sea(week, weather(week, storms=_storms if is_stormy else _never))
    plan = shifts(week, _WEEK)
    starts = [shift.since_s for shift in plan]
    watcher = Watcher(CABLE, Budget(), FEED)
    found = 0
    for second in range(_WEEK * 86_400):
        shift = plan[bisect_right(starts, second) - 1]
        pair = sea.pair(second, shift.circuit, silent=shift.silent)
        found += sum(finding.is_fault for finding in watcher.take(pair))
    return found


def _false_faults(pool: ProcessPoolExecutor, extent: Extent, days: int) -> dict[str, Figure]:
    jobs = [(week, True) for week in range(extent.storm_weeks)]
    jobs += [(extent.storm_weeks + week, False) for week in range(extent.quiet_weeks)]
    found = sum(pool.map(_false_in_week, jobs)) if jobs else 0
    bound = math.inf if found or not days else _NOTHING_SEEN / days * 365.25
    return {
        "false_faults": Figure(found, "count", 0),
        "false_faults_a_year": Figure(bound, "1/year", _NOTHING_SEEN / max(1, days) * 366),
    }


def _detection(pool: ProcessPoolExecutor, count: int) -> dict[str, Figure]:
    far = _mapped(pool, _seconds_to_find, [(i, _NEAR_KM, CABLE.length_km) for i in range(count)])
    near = _mapped(pool, _seconds_to_find, [(i, _BLIND_KM, _NEAR_KM) for i in range(count // 4)])
    return {
        "detection_s": Figure(max(far), "s", 5.0),
        "near_told": Figure(
            sum(took_s <= JUDGE_S for took_s in near) / max(1, len(near)),
            "share",
            0.5,
            is_least=True,
        ),
    }


def _seconds_to_find(job: tuple[int, float, float]) -> float:
    """How long a contact is looked for that lies so far from the virtual earth."""
    index, least_km, most_km = job
    chance = random.Random(f"4/{index}")
    middle_km = CABLE.length_km / 2
    off_km = chance.uniform(least_km, min(most_km, middle_km - 1))
    km = middle_km + off_km * chance.choice((-1, 1))
    broken = replace(HEALTHY, shunts=(Shunt(km, chance.uniform(0, 10)),))
    sea = Sea(index, weather(index, storms=_always if index % 2 else _never))
    watcher = Watcher(CABLE, Budget(), FEED)
    for second in range(_FAULT_AT_S + _AFTER_S):
        circuit = HEALTHY if second < _FAULT_AT_S else broken
        for finding in watcher.take(sea.pair(second, circuit)):
            if finding.kind == "shunt":
                return finding.at_s - _FAULT_AT_S
    return math.inf


def _storms(second: float) -> bool:
    return int(second // 86_400) in _STORM_DAYS


def _always(second: float) -> bool:
    return True


def _never(second: float) -> bool:
    return False


def _rms(drawn: Sequence[Drawn], kms: Sequence[float | None]) -> float:
    offs = [(km or 0.0) - one.km for km, one in zip(kms, drawn, strict=True)]
    return math.sqrt(sum(off * off for off in offs) / len(offs))


def _coverage_off(drawn: Sequence[Drawn], places: Sequence[Place]) -> Figure:
    held = [one.km in place.interval for one, place in zip(drawn, places, strict=True)]
    return Figure(abs(sum(held) / len(held) - CONFIDENCE), "share", 0.02)
