"""The account of what a consumer was given of one journal: every sequence once, or why not. Pure.

It is kept of what comes *out* of the consumer, so it judges the consumer as well as the station: a
record counts once in its order; one that comes again is `doubled`; one that comes after its hole
was told is `late`, a fault unless the consumer says so itself; sequences that did not come are
holes, until a loss record of the station explains them. `fault` says in a sentence what is wrong
first; without one, nothing is.

What a station no longer had when its consumer began, since it had been acknowledged before, is
`before`: nobody promised it. As JSON (`to_json`, `from_json`) an account survives a restart.
"""

from collections.abc import Mapping
from typing import Final

from shorewatch.mqtt.holes import Hole, Holes

GONE: Final = "the station no longer had it"
BEFORE: Final = "acknowledged before this consumer began, and no longer kept"
JsonObject = Mapping[str, object]


class Account:
    """What came of a journal after sequence `begun_after`; `to` is how far it has come."""

    def __init__(self, journal: str, begun_after: int) -> None:
        self.journal = journal
        self.begun_after = self.to = begun_after
        self.records = 0
        self.doubled = 0
        self.late = 0
        self.lost = 0
        self.explained = 0
        self.before = 0
        self.holes = Holes()
        self._fault: str | None = None

    def take(self, record: JsonObject, *, is_late: bool = False) -> None:
        """A record was given; one that is out of order, and not as late, is a fault.

        A hole must be told before.
        """
        seq = record["seq"]
        assert isinstance(seq, int), "records come with their sequence"
        if is_late and seq <= self.to:
            self.late += 1
            self.records += 1
            self.lost -= self.holes.remove(seq, seq)
        elif seq == self.to + 1:
            self.to = seq
            self.records += 1
        elif seq > self.to:
            self.skip(self.to + 1, seq - 1, "nobody told of it")
            self.to = seq
            self.records += 1
        elif self.holes.remove(seq, seq):
            self.late += 1
            self._note(f"record {seq} came after {self.to}: out of order")
        else:
            self.doubled += 1
            self._note(f"record {seq} came twice")
        if record.get("kind") == "loss":
            self._explain(record, seq)

    def skip(self, first: int, last: int, why: str) -> None:
        """first..last do not come."""
        first = max(first, self.to + 1)
        if first > last:
            return
        self.to = last
        count = last - first + 1
        if why == BEFORE:
            self.before += count
            return
        self.lost += count
        self.holes.add(Hole(first, last, count, why))

    def go_back(self, to: int) -> None:
        """What came after `to` was not the station's, says the station: begin again there."""
        self._note(f"the station never wrote what came after {to}, up to {self.to}")
        self.lost -= self.holes.remove(to + 1, self.to)
        self.to = to

    def _explain(self, record: JsonObject, seq: int) -> None:
        """A loss record speaks of what was before it, never of what is to come."""
        first, last = record.get("from"), record.get("to")
        if isinstance(first, int) and isinstance(last, int):
            self.explained += self.holes.remove(first, min(last, seq - 1))

    def _note(self, text: str) -> None:
        self._fault = self._fault or text

    @property
    def fault(self) -> str | None:
        """The first thing that is wrong, in words; None if every sequence is accounted for."""
        if self._fault is not None:
            return self._fault
        hole = self.holes.first
        if hole is None:
            return None
        if hole.first == hole.last:
            return f"record {hole.first} is missing: {hole.why}, and no loss record explains it"
        of = "" if hole.is_whole else f" ({hole.count} of these)"
        text = f"records {hole.first} to {hole.last}{of} are missing: {hole.why}"
        return f"{text}, and no loss record explains them"

    @property
    def summary(self) -> str:
        """The account in one line."""
        parts = [f"{self.records:,} records, {self.begun_after + 1} to {self.to}"]
        counts = {
            "missing": self.holes.count,
            "explained by loss records": self.explained,
            "gone before we began": self.before,
            "doubled": self.doubled,
            "late, after their hole": self.late,
        }
        parts += [f"{count:,} {what}" for what, count in counts.items() if count]
        return "; ".join(parts)

    def to_json(self) -> dict[str, object]:
        """The whole account as JSON."""
        numbers = ("begun_after", "to", "records", "doubled", "late", "lost", "explained", "before")
        return {
            "journal": self.journal,
            **{name: getattr(self, name) for name in numbers},
            "missing": self.holes.count,
            "holes": [[hole.first, hole.last, hole.count, hole.why] for hole in self.holes],
            "fault": self._fault,
        }

    @classmethod
    def from_json(cls, body: JsonObject) -> "Account":
        """The inverse; raises ValueError for what is no account."""
        journal, fault, holes = (body.get(name) for name in ("journal", "fault", "holes"))
        if not isinstance(journal, str) or not isinstance(holes, list):
            raise ValueError("an account has a journal and a list of holes")
        account = cls(journal, _count(body, "begun_after"))
        account.to = _count(body, "to")
        account.records, account.doubled = _count(body, "records"), _count(body, "doubled")
        account.late, account.lost = _count(body, "late"), _count(body, "lost")
        account.explained, account.before = _count(body, "explained"), _count(body, "before")
        account._fault = fault if isinstance(fault, str) else None
        end = account.begun_after
        for row in holes:
            match row:
                case [int(first), int(last), int(count), str(why)] if (
                    end < first <= last <= account.to and 1 <= count <= last - first + 1
                ):
                    account.holes.add(Hole(first, last, count, why))
                    end = last
                case _:
                    raise ValueError(f"a hole is [first, last, count, why], ascending, not {row!r}")
        return account


def _count(body: JsonObject, name: str) -> int:
    value = body.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"{name} must be a count, not {value!r}")
    return value
