"""A board's commissioning: its steps, what is read at each, and what may pass. Pure.

    identity ─▶ each point ─▶ each contact ─▶ each bus

The board's identity and its buses are judged by their facts alone. A point is judged by a person,
who sees its value beside its range and looks at the device itself; but no answer, whoever gives it,
makes a value pass that is not good at that moment (`why_not`). A contact passes when it was seen to
change and to come back. What failed or was left for later is asked again next time; what a person
has failed, a person alone.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from shorewatch.compiled import Compiled
from shorewatch.model import Quality
from shorewatch.point import Point

Row = Mapping[str, Any]
NOTE_MAX = 300
ASKED = "asked"  # how a person's answers come


class Kind(StrEnum):
    """Of what a step is."""

    IDENTITY = "identity"
    POINT = "point"
    CONTACT = "contact"
    BUS = "bus"


class Outcome(StrEnum):
    """How a step ended."""

    PASS = "pass"
    FAIL = "fail"
    NOTE = "note"  # looked at, and something is to be said of it; neither passed nor failed
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to be looked at; `id` is its name in records and files of answers."""

    kind: Kind
    id: str
    name: str
    unit: str = ""
    range: tuple[float, float] | None = None
    device: str = ""
    point: str = ""

    @property
    def limits(self) -> str:
        """The range in words; empty if it has none."""
        return f"{self.range[0]:g} to {self.range[1]:g} {self.unit}".strip() if self.range else ""


@dataclass(frozen=True, slots=True)
class Reading:
    """A point as it was seen."""

    text: str
    unit: str
    quality: str
    reason: str | None
    acquired_at: str | None
    age_s: float | None
    uncertainty_s: float | None

    def __str__(self) -> str:
        value = f"{self.text} {self.unit}".strip()
        why = f" ({self.reason})" if self.reason else ""
        age = "never read" if self.age_s is None else f"{self.age_s:.1f} s old"
        return f"{value}, {self.quality}{why}, {age}"


@dataclass(frozen=True, slots=True)
class Result:
    """How one step ended, when, and what was seen."""

    id: str
    outcome: Outcome
    at: str
    by: str
    how: str  # asked, a file of answers, --yes, or measured
    why: str = ""
    reading: Reading | None = None

    def as_row(self) -> dict[str, Any]:
        return asdict(self) | {"outcome": str(self.outcome)}


def steps(compiled: Compiled, board_id: str) -> list[Step]:
    """Everything to be looked at, in order."""
    station = compiled.station
    found = [Step(Kind.IDENTITY, "board", f"Board {board_id}")]
    for device in station.of_board(board_id):
        found += [_point(device.id, device.config.name, point) for point in device.profile.point]
    contacts = station.contacts.get(board_id)
    if contacts is not None:
        found += [
            Step(Kind.CONTACT, f"{contacts.id}.{p.id}", p.name, device=contacts.id, point=p.id)
            for p in contacts.profile.point
        ]
    for bus in station.boards[board_id].bus:
        name = f"Bus on UART {bus.uart}, {bus.baud} {bus.format}"
        found.append(Step(Kind.BUS, f"uart-{bus.uart}", name))
    return found


def _point(device_id: str, device_name: str, point: Point) -> Step:
    span = None if point.range is None else (point.range[0], point.range[1])
    id_ = f"{device_id}.{point.id}"
    name = f"{device_name}: {point.name}"
    return Step(Kind.POINT, id_, name, point.unit, span, device_id, point.id)


def reading(look: Row, step: Step) -> Reading | None:
    """The step's point in a table (sight.py); None if it is not there."""
    row = look["devices"].get(step.device, {}).get("points", {}).get(step.point)
    if row is None:
        return None
    return Reading(
        text=row["text"],
        unit=row["text_unit"],
        quality=row["quality"],
        reason=row["reason"],
        acquired_at=row["acquired_at"],
        age_s=row["age_s"],
        uncertainty_s=row["uncertainty_s"],
    )


def why_not(seen: Reading | None) -> str | None:
    """Why this cannot pass, whatever is answered; None if it can.

    An uncertain value passes: its reason stays on record with it.
    """
    if seen is None:
        return "there is no such point in what is read"
    if seen.quality == Quality.BAD:
        return f"the value is bad ({seen.reason})"
    return "it was never read" if seen.age_s is None else None


def answered(answer: str, seen: Reading | None) -> tuple[Outcome, str]:
    """What an answer comes to: `pass`, `fail`, `fail: why`, `note: what`, `later`.

    Raises ValueError for any other. A pass of what cannot pass is a failure.
    """
    word, _, more = (part.strip() for part in answer.partition(":"))
    if len(more) > NOTE_MAX or not more.isprintable():
        raise ValueError(f"a remark is one line of at most {NOTE_MAX} characters")
    if word == "pass":
        why = why_not(seen)
        return (Outcome.PASS, more) if why is None else (Outcome.FAIL, f"cannot pass: {why}")
    if word == "fail":
        return Outcome.FAIL, more or why_not(seen) or "failed by whoever looked at it"
    if word == "note":
        if not more:
            raise ValueError("a note says something: note: what")
        return Outcome.NOTE, more
    if word == "later":
        return Outcome.OPEN, more
    raise ValueError(f"{answer!r} is none of pass, fail, fail: why, note: what, later")


def identity(look: Row, compiled: Compiled, board_id: str) -> tuple[Outcome, str]:
    """Whether the board that answers is the one of the station file, with its plan."""
    board = look["boards"][board_id]
    plan = f"{compiled.plans[board_id].crc:08x}"
    if not board["up"]:
        return Outcome.FAIL, str(board["reason"])
    if board["plan"] != plan:
        text = f"it runs plan {board['plan']}, the station file compiles to {plan}"
        return Outcome.FAIL, f"{text}: push the plan, or reload the gateway"
    unique_id = compiled.station.boards[board_id].unique_id
    return Outcome.PASS, f"unique id {unique_id}, firmware {board['firmware']}, plan {plan}"


def newest(results: Sequence[Result]) -> dict[str, Result]:
    """The last result of each step."""
    return {result.id: result for result in results}


def failed_by_persons(results: Sequence[Result]) -> dict[str, Result]:
    """What somebody has looked at and failed, by step: a person alone may pass it after that."""
    last = newest([r for r in results if r.how == ASKED and r.outcome is not Outcome.OPEN])
    return {id_: result for id_, result in last.items() if result.outcome is Outcome.FAIL}


def still_open(plan: Sequence[Step], results: Sequence[Result]) -> Iterator[Step]:
    """The steps that a person has still to do: those that were not passed and not noted."""
    last = newest(results)
    for step in plan:
        found = last.get(step.id)
        is_done = found is not None and found.outcome in (Outcome.PASS, Outcome.NOTE)
        if not is_done and step.kind in (Kind.POINT, Kind.CONTACT):
            yield step
