"""What is wrong with a line, read from the bytes that were heard on it. Pure.

    stray bytes in silence          missing bias, or another client on the line
    our own request comes back      an adapter that hears itself
    first byte garbled or doubled   missing bias, a transmitter that is switched on late
    damage that grows with length   missing termination, noise
    two answers, or one unit alone  two devices with one unit id
    that is always damaged
    now an answer, now none         a loose wire, a weak supply

Each finding names its evidence in figures and what to check first. Few trials prove little: what
is seen once is not told, except a second answer, which nothing else makes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from shorewatch.direct.frame import Request, crc16
from shorewatch.field.probe import Trial
from shorewatch.field.sniff import Piece, split

DAMAGED_MIN = 2
# A unit whose share of damaged answers is this much, among units that have none, has a twin.
TWIN_SHARE = 0.25
CLEAN_SHARE = 0.05
LONG_FACTOR = 4  # how much longer a long reply is, at least, to be compared with a short one


class Case(Enum):
    """What was heard after one request."""

    CLEAN = "answered"
    SILENT = "silent"
    DOUBLE = "answered twice"
    LEAD = "bytes before the answer"
    FIRST = "first byte garbled"
    FOREIGN = "another unit answered"
    GARBLED = "damaged"


DAMAGED = (Case.LEAD, Case.FIRST, Case.GARBLED)


@dataclass(frozen=True, slots=True)
class Symptom:
    """One thing that is wrong with a line: what, by which figures, what to check first."""

    name: str
    said: str
    evidence: str
    check: str
    unit_id: int | None = None


def heard_of(trial: Trial) -> bytes:
    """What was heard after the request, without its echo."""
    heard, frame = trial.heard, trial.frame
    while heard.startswith(frame):
        heard = heard[len(frame) :]
    return b"" if frame.startswith(heard) else heard


def dissect(trial: Trial, after: bytes = b"") -> Case:
    """What became of one request on a serial line; `after` was heard before the next one."""
    heard, unit_id = heard_of(trial), trial.unit_id
    if trial.is_answer:
        tail = heard[len(trial.reply) + 3 :] + after
        is_double = any(piece.is_frame and piece.unit_id == unit_id for piece in split(tail))
        return Case.DOUBLE if is_double else Case.CLEAN
    if not heard:
        return Case.SILENT
    frames = [piece for piece in split(heard) if piece.is_frame]
    if any(_fits(piece, trial) for piece in frames):
        return Case.LEAD
    own = bytes([unit_id])
    if len(heard) >= 5 and 0 in (crc16(own + heard[1:]), crc16(own + heard)):
        return Case.FIRST
    return Case.FOREIGN if frames else Case.GARBLED


def cases(trials: Sequence[Trial]) -> list[tuple[Trial, Case]]:
    """Each trial with what became of it, the next one's strays considered."""
    found = []
    for at, trial in enumerate(trials):
        following = trials[at + 1].before if at + 1 < len(trials) else b""
        found.append((trial, dissect(trial, trial.after + following)))
    return found


def symptoms(trials: Sequence[Trial], silence: bytes, silence_s: float) -> list[Symptom]:
    """Everything that a line's trials tell, and what was heard while nobody was asked."""
    seen = cases(trials)
    found = [*_silence(silence, silence_s), *_echo(trials), *_first(seen)]
    twins = list(_twins(seen))
    found += twins
    known = {twin.unit_id for twin in twins}
    found += _lengths([(t, c) for t, c in seen if t.unit_id not in known])
    if not any(symptom.name in ("first", "length") for symptom in found):
        found += _damage([(t, c) for t, c in seen if t.unit_id not in known])
    return [*found, *_losses(seen)]


def others_on(silence: bytes) -> list[Piece]:
    """The frames of another client or its devices in what was heard before anything was asked."""
    return [piece for piece in split(silence) if piece.is_frame]


def _silence(silence: bytes, silence_s: float) -> Iterator[Symptom]:
    frames = others_on(silence)
    if frames:
        units = ", ".join(map(str, sorted({piece.unit_id for piece in frames})))
        writes = sum(piece.is_write for piece in frames)
        evidence = f"{len(frames)} frames in {silence_s:g} s, units {units}"
        if writes:
            evidence += f", {writes} of them write"
        yield Symptom(
            "client",
            "another client uses this line",
            evidence,
            "take the board or the other client off the line; two of them disturb each other",
        )
    elif len(silence) >= DAMAGED_MIN:
        yield Symptom(
            "bias",
            "bytes come while nobody is asked: the line has no bias, or speaks another speed",
            f"{len(silence)} bytes in {silence_s:g} s, beginning {silence[:8].hex(' ')}",
            "one place of the line needs 560 Ohm from A to ground and from B to 3.3 V, and all "
            "devices the third wire (ground); or another client talks at another baud rate",
        )


def _echo(trials: Sequence[Trial]) -> Iterator[Symptom]:
    count = sum(trial.heard.startswith(trial.frame) for trial in trials)
    if count >= DAMAGED_MIN:
        yield Symptom(
            "echo",
            "the adapter hears what it sends itself",
            f"{count} of {len(trials)} requests came back",
            "harmless for Shorewatch; at a board, tie RE to DE so that it does not hear itself",
        )


def _first(seen: Sequence[tuple[Trial, Case]]) -> Iterator[Symptom]:
    count = sum(case in (Case.LEAD, Case.FIRST) for _, case in seen)
    heard = sum(case is not Case.SILENT for _, case in seen)
    if count >= DAMAGED_MIN:
        yield Symptom(
            "first",
            "answers begin with a garbled or an extra byte",
            f"{count} of {heard} answers, right but for their beginning",
            "the line floats between frames: add bias (560 Ohm) at one place; else a transmitter "
            "is switched on too late: look at the driver enable of adapter and devices",
        )


def _twins(seen: Sequence[tuple[Trial, Case]]) -> Iterator[Symptom]:
    """Units that two devices have."""
    units = sorted({trial.unit_id for trial, case in seen if case is not Case.SILENT})
    by_unit = {u: [c for t, c in seen if t.unit_id == u and c is not Case.SILENT] for u in units}
    for unit_id, own in by_unit.items():
        double = own.count(Case.DOUBLE)
        damaged = own.count(Case.GARBLED)
        others = [case for other, found in by_unit.items() if other != unit_id for case in found]
        is_alone_bad = bool(others) and _share(others) <= CLEAN_SHARE
        if double:
            evidence = f"{double} of {len(own)} requests were answered twice"
        elif damaged >= DAMAGED_MIN and damaged / len(own) >= TWIN_SHARE and is_alone_bad:
            evidence = f"{damaged} of {len(own)} answers damaged, of other units "
            evidence += f"{round(_share(others) * len(others))} of {len(others)}"
        else:
            continue
        yield Symptom(
            "twin",
            f"two devices seem to have unit id {unit_id}",
            evidence,
            f"take one device off the line and scan --units {unit_id} again; give it another id",
            unit_id,
        )


def _share(found: Sequence[Case]) -> float:
    return sum(case in DAMAGED for case in found) / len(found)


def _lengths(seen: Sequence[tuple[Trial, Case]]) -> Iterator[Symptom]:
    """Whether long answers are damaged more often than short ones."""
    by_size: dict[int, list[Case]] = {}
    for trial, case in seen:
        if case is not Case.SILENT and trial.size:
            by_size.setdefault(trial.size, []).append(case)
    if not by_size or max(by_size) < LONG_FACTOR * min(by_size):
        return
    short = [
        c for size, found in by_size.items() if LONG_FACTOR * size <= max(by_size) for c in found
    ]
    long = [
        c for size, found in by_size.items() if LONG_FACTOR * size > max(by_size) for c in found
    ]
    bad = sum(case in DAMAGED for case in long)
    if bad >= DAMAGED_MIN and bad / len(long) >= 2 * _share(short) + 0.1:
        yield Symptom(
            "length",
            "the longer an answer, the more often it is damaged",
            f"{bad} of {len(long)} answers of up to {max(by_size)} bytes, "
            f"{round(_share(short) * len(short))} of {len(short)} short ones",
            "termination: 120 Ohm at the two ends of the cable and nowhere else; then noise: "
            "shield at one end, third wire, distance from power cables; then a lower baud rate",
        )


def _damage(seen: Sequence[tuple[Trial, Case]]) -> Iterator[Symptom]:
    heard = [case for _, case in seen if case is not Case.SILENT]
    bad = sum(case is Case.GARBLED for case in heard)
    if bad >= DAMAGED_MIN and bad / len(heard) > CLEAN_SHARE:
        units = sorted({trial.unit_id for trial, case in seen if case is Case.GARBLED})
        yield Symptom(
            "damage",
            "answers come damaged",
            f"{bad} of {len(heard)} answers, units {', '.join(map(str, units))}",
            "parity and stop bits; the third wire (ground) and termination; that A and B make good "
            "contact everywhere; that no two devices have one unit id",
        )


def _losses(seen: Sequence[tuple[Trial, Case]]) -> Iterator[Symptom]:
    """Units that now answer a request and now do not."""
    by_request: dict[Request, list[Case]] = {}
    for trial, case in seen:
        by_request.setdefault(trial.request, []).append(case)
    by_unit: dict[int, list[Case]] = {}
    for request, found in by_request.items():
        if any(case is not Case.SILENT for case in found):
            by_unit.setdefault(request.unit_id, []).extend(found)
    for unit_id, found in sorted(by_unit.items()):
        lost = found.count(Case.SILENT)
        if lost >= DAMAGED_MIN and lost / len(found) > CLEAN_SHARE:
            yield Symptom(
                "loss",
                f"unit {unit_id} leaves requests unanswered that it answers at other times",
                f"{lost} of {len(found)} without an answer",
                "its power supply and its terminals (a loose wire); that nobody else asks it; "
                "whether it is slow: scan again with --wait-ms 500",
                unit_id,
            )


def _fits(piece: Piece, trial: Trial) -> bool:
    """Whether a frame answers the request."""
    return (
        piece.unit_id == trial.unit_id
        and trial.request.reply_size(piece.data[1:-2]) == len(piece.data) - 3
    )
