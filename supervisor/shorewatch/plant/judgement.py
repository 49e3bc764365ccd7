"""Which alarms a scenario was to bring, beside those that came; pure.

An alarm counts when it is shown to people: raised and not hidden, or no longer hidden while on.
What is expected of a station are chains: within one the order is given, between two it is not.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from shorewatch.alarms import State
from shorewatch.plant.scenario import Expect, clock, matches

SHOWN = (State.UNACKNOWLEDGED, State.ACKNOWLEDGED)
_SHOWING = ("raised", "unsuppressed")


@dataclass(frozen=True, slots=True)
class Told:
    """One transition of an alarm as the journal tells it, at scenario time."""

    alarm: str
    what: str
    state: str
    at_s: float

    @property
    def is_shown(self) -> bool:
        """Whether with this the alarm is before people's eyes."""
        return self.what in _SHOWING and self.state in SHOWN


@dataclass(frozen=True, slots=True)
class Judgement:
    """Of one station: what came when, and what is wrong with that."""

    came: Mapping[str, float]  # expected or allowed, by alarm: when it was first shown
    hidden: Sequence[str]  # raised, and hidden by their cause
    missing: Sequence[str]
    unexpected: Mapping[str, float]
    disorder: Sequence[str] = field(default=())

    @property
    def is_right(self) -> bool:
        """Whether everything came as it was to come."""
        return not (self.missing or self.unexpected or self.disorder)

    def lines(self) -> Iterator[str]:
        """In words, one fact a line."""
        for alarm, at_s in self.came.items():
            yield f"{clock(at_s)}  {alarm}"
        for alarm in self.hidden:
            yield f"hidden   {alarm}"
        for alarm in self.missing:
            yield f"MISSING  {alarm} was to come, and did not"
        for alarm, at_s in self.unexpected.items():
            yield f"WRONG    {alarm} came at {clock(at_s)}, and was not to"
        for text in self.disorder:
            yield f"ORDER    {text}"

    def as_json(self) -> dict[str, object]:
        """For a report."""
        return {
            "ok": self.is_right,
            "came": {alarm: round(at_s, 1) for alarm, at_s in self.came.items()},
            "hidden": list(self.hidden),
            "missing": list(self.missing),
            "unexpected": {alarm: round(at_s, 1) for alarm, at_s in self.unexpected.items()},
            "disorder": list(self.disorder),
        }


def judge(expects: Sequence[Expect], told: Iterable[Told]) -> Judgement:
    """Hold what was told of one station's alarms, in order, against what was to come."""
    shown: dict[str, float] = {}
    raised: dict[str, float] = {}
    for one in told:
        if one.what == "raised":
            raised.setdefault(one.alarm, one.at_s)
        if one.is_shown:
            shown.setdefault(one.alarm, one.at_s)
    chains = [expect.alarms for expect in expects]
    wanted = {alarm for chain in chains for alarm in chain}
    allowed = wanted | {alarm for expect in expects for alarm in expect.may}
    never = [pattern for expect in expects for pattern in expect.never]
    wrong = {
        alarm: at_s
        for alarm, at_s in shown.items()
        if alarm not in allowed
        or (alarm not in wanted and any(matches(pattern, alarm) for pattern in never))
    }
    disorder = [
        f"{second} was shown at {clock(shown[second])}, before {first} at {clock(shown[first])}"
        for chain in chains
        for first, second in pairwise(alarm for alarm in chain if alarm in shown)
        if shown[second] < shown[first]
    ]
    return Judgement(
        came={alarm: at_s for alarm, at_s in shown.items() if alarm not in wrong},
        hidden=sorted(raised.keys() - shown.keys()),
        missing=sorted(wanted - shown.keys()),
        unexpected=wrong,
        disorder=disorder,
    )
