"""What is wrong with a field bus, read from its statistics: advice with its evidence. Pure.

`PATTERNS` is the table of what figures (doctorfigures.py) mean; each pattern finds its evidence or
nothing, and says what to check first. A pattern that another one explains is left out (`not_with`).
Few failures prove little: under `COUNT_MIN` nothing is told.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from shorewatch.field.doctorfigures import COUNT_MIN, SHARE_MIN, Bus
from shorewatch.tryout import EXCEPTIONS

TWIN_SHARE = 0.25
CLEAN_SHARE = 0.05
STRAYS_SHARE = 0.05  # bytes a request
ANSWER_BYTES_MIN = 5  # no answer is shorter
RUBBLE_BYTES_MAX = 4  # that are left of two answers at once
LATE_SHARE = 0.02  # of failures
TORN_FACTOR = 4  # noise damages answers, and does not only cut them
SLOW_MS, SLOW_FACTOR = 100, 4


@dataclass(frozen=True, slots=True)
class Pattern:
    """What figures mean: `evidence` gives a sentence for each time that they do."""

    name: str
    said: str
    check: str
    evidence: Callable[[Bus], Iterator[str]]
    not_with: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Advice:
    """One finding."""

    where: str
    name: str
    said: str
    evidence: str
    check: str


def advise(bus: Bus) -> list[Advice]:
    """Everything that the figures of one bus tell, what to check first coming first."""
    found: list[Advice] = []
    for pattern in PATTERNS:
        if {advice.name for advice in found} & set(pattern.not_with):
            continue
        found += [
            Advice(bus.where, pattern.name, pattern.said, evidence, pattern.check)
            for evidence in pattern.evidence(bus)
        ]
    return found


def _idle(bus: Bus) -> Iterator[str]:
    if bus.counts.requests == 0:
        yield "0 requests"


def _nobody(bus: Bus) -> Iterator[str]:
    counts = bus.counts
    if counts.requests >= COUNT_MIN and not bus.answers and bus.heard < COUNT_MIN:
        yield f"{counts.requests} requests to {len(bus.units)} devices, no answer"
    elif bus.answers and bus.units and all(unit.is_silent for unit in bus.units):
        last = min(unit.counters.failures for unit in bus.units)
        yield f"the last {last} requests to each of {len(bus.units)} devices, no proper answer"


def _speed(bus: Bus) -> Iterator[str]:
    counts = bus.counts
    if counts.requests >= COUNT_MIN and not bus.answers and bus.heard >= COUNT_MIN:
        yield f"{counts.requests} requests, no proper answer, {bus.heard} that make no sense"


def _silent(bus: Bus) -> Iterator[str]:
    for unit in bus.units:
        is_heard = bus.counts.timeouts < unit.counters.bad / 2
        if unit.is_silent and not is_heard:
            others = ", ".join(other.name for other in bus.up) or "nobody"
            yield f"{unit}: {unit.counters.bad} requests failed; {others} on this bus answers"


def _twin(bus: Bus) -> Iterator[str]:
    for unit in bus.units:
        others = [other for other in bus.up if other is not unit and other.asked]
        is_alone = others and all(other.bad_share <= CLEAN_SHARE for other in others)
        if not is_alone or unit.counters.bad < COUNT_MIN or unit.bad_share < TWIN_SHARE:
            continue
        spoiled = bus.damaged + bus.counts.rejected
        worst = f"{max(other.bad_share for other in others):.0%}"
        if bus.counts.stray_bytes > RUBBLE_BYTES_MAX * unit.counters.bad:
            continue  # noise, which comes at any time
        if spoiled >= unit.counters.bad / 2:
            yield (
                f"{unit}: {unit.counters.bad} of {unit.asked} answers damaged or foreign, of "
                f"others at most {worst}"
            )
        elif spoiled < COUNT_MIN and bus.counts.stray_bytes >= unit.counters.bad:
            yield (
                f"{unit}: {unit.counters.bad} requests failed, {bus.counts.stray_bytes} bytes "
                f"came instead of answers; of others failed at most {worst}"
            )


def _torn(bus: Bus) -> Iterator[str]:
    lost, strays = bus.lost, bus.counts.stray_bytes
    if bus.is_many(lost) and strays >= ANSWER_BYTES_MIN * lost and lost >= TORN_FACTOR * bus.heard:
        yield (
            f"{lost} of {bus.counts.requests} requests without an answer in time, {strays} bytes "
            "later or beside it"
        )


def _noise(bus: Bus) -> Iterator[str]:
    if bus.is_many(bus.damaged):
        worst = max(bus.up, key=lambda unit: unit.bad_share, default=None)
        more = f", most of {worst}: {worst.bad_share:.0%}" if worst and len(bus.up) > 1 else ""
        yield f"{bus.damaged} of {bus.counts.requests} answers came damaged{more}"


def _strays(bus: Bus) -> Iterator[str]:
    count = bus.counts.stray_bytes
    if count <= 2 * bus.damaged:
        return  # ends of damaged answers
    if count >= 4 * COUNT_MIN and bus.share(count) >= STRAYS_SHARE:
        yield f"{count} bytes that nobody asked for, at {bus.counts.requests} requests"


def _late(bus: Bus) -> Iterator[str]:
    count, failed = bus.counts.rejected, bus.heard + bus.lost
    # On a sound line there is none: few of them among many time-outs tell what those are.
    is_telling = count >= COUNT_MIN and bus.is_many(failed) and count >= LATE_SHARE * failed
    if bus.is_many(count) or is_telling:
        slow = max(bus.units, key=lambda unit: unit.counters.reply_ms_max, default=None)
        more = f"; slowest {slow}: up to {slow.counters.reply_ms_max} ms" if slow else ""
        total = bus.counts.requests
        yield f"{count} of {total} answers were another's, cut or late{more}"


def _losses(bus: Bus) -> Iterator[str]:
    for unit in bus.up:
        failed = unit.counters.bad
        is_refusal = unit.counters.exception != 0
        if failed >= COUNT_MIN and unit.bad_share >= 2 * SHARE_MIN and not is_refusal:
            yield f"{unit}: {failed} of {unit.asked} requests without a proper answer"


def _refused(bus: Bus) -> Iterator[str]:
    for unit in bus.units:
        code = unit.counters.exception
        if code and bus.counts.exceptions >= COUNT_MIN and unit.counters.bad >= COUNT_MIN:
            told = EXCEPTIONS.get(code, "see its manual")
            yield f"{unit}: last exception {code}, {unit.counters.bad} requests refused; {told}"


def _slow(bus: Bus) -> Iterator[str]:
    for unit in bus.up:
        worst, usual = unit.counters.reply_ms_max, max(1, unit.counters.reply_ms)
        if worst >= SLOW_MS and worst >= SLOW_FACTOR * usual:
            yield f"{unit}: {usual} ms last, {worst} ms at worst"


def _busy(bus: Bus) -> Iterator[str]:
    if bus.is_many(bus.counts.slips):
        yield f"{bus.counts.slips} readings came too late, bus {bus.counts.busy_share:.0%} busy"


PATTERNS = (
    Pattern(
        "idle",
        "nothing is asked on this bus",
        "that the board carries the station's plan (`shorewatch status`), and that the plan has "
        "devices on this bus",
        _idle,
    ),
    Pattern(
        "nobody",
        "nobody on this bus answers",
        "A and B swapped at the board (swap them once); power of the devices; the line's plug; "
        "baud rate and parity; the driver-enable wire between UART and transceiver",
        _nobody,
    ),
    Pattern(
        "speed",
        "answers come, but none makes sense",
        "baud rate and parity of bus and devices: `shorewatch scan` on a plain adapter finds them; "
        "then the third wire (ground)",
        _speed,
    ),
    Pattern(
        "twin",
        "two devices seem to have one unit id",
        "take this device off the line: if its unit id still answers, there is another one; if "
        "not, its own baud rate and parity",
        _twin,
    ),
    Pattern(
        "silent",
        "a device does not answer, others on its bus do",
        "its power; its unit id (`shorewatch scan --units`); its own A and B; its baud rate",
        _silent,
        ("nobody", "speed", "twin"),
    ),
    Pattern(
        "late",
        "answers come that belong to another request",
        "timeout_ms and worst_ms in the profile of the slowest device; whether another client asks "
        "on this line (`shorewatch console --listen`)",
        _late,
        ("twin", "speed"),
    ),
    Pattern(
        "torn",
        "answers come too late, or not whole",
        "timeout_ms and worst_ms in the profile of the slowest device; then loose wires, and a "
        "driver enable that ends too early (`shorewatch scan` on a plain adapter tells which)",
        _torn,
        ("twin", "speed", "late"),
    ),
    Pattern(
        "noise",
        "answers come damaged",
        "termination: 120 Ohm at the two ends and nowhere else; bias at one place; the third wire "
        "(ground); shield at one end; distance from power cables; then a lower baud rate",
        _noise,
        ("twin", "speed", "torn"),
    ),
    Pattern(
        "loss",
        "a device leaves requests unanswered",
        "its terminals (a loose wire) and power supply; whether it is asked more often than it "
        "can: a longer period_s in its profile",
        _losses,
        ("twin", "noise", "late", "torn"),
    ),
    Pattern(
        "strays",
        "bytes come that nobody asked for",
        "bias: 560 Ohm from A to ground and from B to 3.3 V at one place; a transmitter that is "
        "switched on too early or too late; another client on the line",
        _strays,
        ("twin", "late", "torn"),
    ),
    Pattern(
        "refused",
        "a device refuses what it is asked",
        "that it is of this type and version: `shorewatch profile try` shows what it has",
        _refused,
    ),
    Pattern(
        "slow",
        "a device is at times much slower than usual",
        "whether something else keeps it busy: its own display, another client on a second port",
        _slow,
    ),
    Pattern(
        "busy",
        "the bus cannot keep its periods",
        "`shorewatch check` shows its budget: longer periods, a higher baud rate, or half of the "
        "devices on another bus",
        _busy,
    ),
)


def as_row(bus: Bus, advice: list[Advice]) -> dict[str, Any]:
    """One bus with what was found, ready for JSON."""
    units = [{"name": u.name, "unit_id": u.unit_id, **asdict(u.counters)} for u in bus.units]
    return {
        "where": bus.where,
        "counts": asdict(bus.counts),
        "devices": units,
        "advice": [asdict(found) for found in advice],
    }
