"""What a few numbers say, without a history: is there a fault, and where; pure.

Somebody at a telephone reads two meters. What they showed before the fault tells whether a leak or
a set current moved the balance, and to which side; without it the ends' nominal shares stand in.
"""

from dataclasses import dataclass, replace
from typing import Literal

from shorewatch.cable.budget import DEAD_SHARE, Evidence, Shown, telling
from shorewatch.cable.contact import Contact, measured
from shorewatch.cable.file import CableFile
from shorewatch.cable.line import End
from shorewatch.cable.locate import Interval, Onset, Place, blind, locate

Verdict = Literal["fault", "nothing", "source", "dead"]
_STEP_V_MIN = 4.0
_TELLS = 3.0
_LEAK_SHARE = 0.05
_EARTHED_SHARE = 0.02


@dataclass(frozen=True, slots=True)
class Said:
    """The verdict, a place if there is a fault, the blind zone if there is none to see.

    `because` are the grounds, each as a sentence.
    """

    verdict: Verdict
    because: tuple[str, ...]
    place: Place | None = None
    blind: Interval | None = None


def judge(
    file: CableFile,
    a: Shown | None,
    b: Shown | None,
    *,
    before: tuple[Shown, Shown] | None = None,
    moved: tuple[Shown, Shown] | None = None,
    onset: Onset = "sudden",
) -> Said:
    """Judge one moment's readings, of one end or both, beside those of before.

    `moved` is what both ends of the same fault showed when a set current had been moved; it needs
    the readings of before.
    """
    cable, evidence = file.line, Evidence(a, b)
    present = [shown for shown in (a, b) if shown is not None]
    if max(shown.amps for shown in present) < DEAD_SHARE * cable.nominal_a:
        why = "there is no line current: direct voltages locate nothing on a dead cable"
        return Said("dead", (why,))
    if any(shown.amps < DEAD_SHARE * cable.nominal_a for shown in before or ()):
        before = None  # a cable that was not fed tells of no change
    if a is None or b is None:
        known = before is not None
        side = _side(a, b, before) if known else None
        why = "one end alone cannot tell a fault from a set current at the far end"
        return Said("fault", (why,), locate(cable, file.sigmas, evidence, onset=onset, side=side))
    was = before or (file.end[0].share, file.end[1].share)
    if None in (ends := telling((a, b), was, cable.nominal_a)):
        out = file.end[0 if ends[0] is None else 1].name
        why = (
            f"{out} fed the cable and drives no current any more: its volts say nothing of a fault"
        )
        side = _side(*ends, was)
        evidence = Evidence(*ends, is_all_lost=True)
        place = locate(cable, file.sigmas, evidence, onset=onset, side=side)
        return Said("fault", (why,), place)
    contact = None
    if before is not None and moved is not None:
        step_a = file.budget.meter_amp_step_a
        contact = measured(file.sigmas, step_a, before=before, after=(a, b), moved=moved)
    said = _judge_both(file, a, b, before, onset, contact)
    if moved is not None and contact is None:
        why = "the leak's current hardly changed with the set current: its ohms are not known"
        return replace(said, because=(*said.because, why))
    return said


def _judge_both(
    file: CableFile,
    a: Shown,
    b: Shown,
    before: tuple[Shown, Shown] | None,
    onset: Onset,
    contact: Contact | None,
) -> Said:
    cable, feed = file.line, file.feed
    was_a, was_b = before or (file.end[0].share, file.end[1].share)
    moved_v = (
        feed.droop_a * (a.volts - was_a.volts) - feed.droop_b * (b.volts - was_b.volts)
    ) / feed.both
    leak_a = (a.amps - b.amps) - (was_a.amps - was_b.amps)
    due_a = -feed.both * moved_v
    is_large = abs(leak_a) > _LEAK_SHARE * cable.nominal_a  # fed from one end alone
    would = "" if is_large else f"; a leak would have made it {1000 * due_a:+.2f} mA"
    grounds = [
        f"the balance moved by {moved_v:+.1f} V"
        + ("" if before else " from the nominal shares (nobody said what was before)"),
        f"the currents' difference moved by {1000 * leak_a:+.2f} mA{would}",
    ]
    if abs(moved_v) < _STEP_V_MIN:
        zone = blind(cable, was_a, was_b, _STEP_V_MIN)
        return Said("nothing", (grounds[0],), blind=zone)
    can_tell = before is not None and abs(due_a) > _TELLS * feed.amp_step_a
    if can_tell and not is_large and abs(leak_a - due_a) > abs(due_a) / 2:
        return Said("source", tuple(grounds))
    if before is None:
        grounds.append("without readings from before a set current is not ruled out")
        if min(a.volts, b.volts) < _EARTHED_SHARE * max(a.volts, b.volts) and not is_large:
            grounds.append("nor that one end is earthed and the other feeds the cable alone")
    elif not can_tell:
        grounds.append("that is too little to tell a leak from a set current: taken for a fault")
    side: End = "A" if moved_v < 0 else "B"
    place = locate(cable, file.sigmas, Evidence(a, b), onset=onset, side=side, contact=contact)
    return Said("fault", tuple(grounds), place)


def _side(a: Shown | None, b: Shown | None, before: tuple[Shown, Shown] | None) -> End | None:
    """The end whose voltage fell."""
    if before is None:
        return None
    if a is not None:
        return "A" if a.volts < before[0].volts else "B"
    assert b is not None, "one end is there"
    return "B" if b.volts < before[1].volts else "A"
