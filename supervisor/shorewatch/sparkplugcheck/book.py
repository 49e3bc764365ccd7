"""What was judged: each demand's answers, and from them the verdict of each assertion. Pure.

Verdicts: `failed` (a MUST is broken), `warned` (a SHOULD is), `passed`, `not-exercised`. Every
broken demand keeps its evidence, of which the first `EVIDENCE_MAX` are held and all are counted.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from shorewatch.sparkplugcheck.demands import DEMANDS, RULES, level_of
from shorewatch.sparkplugcheck.session import Entry

EVIDENCE_MAX: Final = 5
_SEEN_CHARS_MAX = 200
Word = Literal["failed", "warned", "passed", "not-exercised"]


@dataclass(frozen=True, slots=True)
class Evidence:
    """Where a demand was broken; `number` is the entry's in the recording, `at_s` Unix time."""

    number: int
    at_s: float
    connection: int
    topic: str
    field: str
    seen: str


@dataclass(frozen=True, slots=True)
class Broken:
    """A demand that did not hold: how often, of how often it was judged."""

    demand: str
    count: int
    judged: int
    evidence: tuple[Evidence, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """One assertion's."""

    rule: str
    word: Word
    judged: int
    broken: tuple[Broken, ...]


@dataclass(slots=True)
class _Tally:
    judged: int = 0
    broken: int = 0
    evidence: list[Evidence] = field(default_factory=list)


class Book:
    """Takes answers to demands; `at` says where the next ones come from."""

    def __init__(self) -> None:
        self._tallies: dict[str, _Tally] = {key: _Tally() for key in DEMANDS}
        self._where: tuple[Entry, str] | None = None

    def at(self, entry: Entry, topic: str = "") -> None:
        """What is judged next is about this entry."""
        self._where = (entry, topic)

    def judge(self, demand: str, holds: bool, seen: object = "", *, field: str = "") -> bool:
        """Note one answer; `seen` and `field` are for the evidence. Returns `holds`."""
        assert self._where is not None, "evidence needs its place: call at() first"
        tally = self._tallies[demand]
        tally.judged += 1
        if not holds:
            tally.broken += 1
            if len(tally.evidence) < EVIDENCE_MAX:
                entry, topic = self._where
                text = seen if isinstance(seen, str) else repr(seen)
                place = (entry.number, entry.at_s, entry.connection, plain(topic), field)
                tally.evidence.append(Evidence(*place, plain(text)[:_SEEN_CHARS_MAX]))
        return holds

    def verdicts(self) -> list[Verdict]:
        """One for each assertion that can be judged."""
        return [self._verdict(rule, keys) for rule, keys in RULES.items()]

    def broken(self) -> Mapping[str, Broken]:
        """The demands that did not hold."""
        return {found.demand: found for found in self._broken(DEMANDS)}

    def _broken(self, keys: "Mapping[str, object] | tuple[str, ...]") -> Iterator[Broken]:
        for key in keys:
            tally = self._tallies[key]
            if tally.broken:
                yield Broken(key, tally.broken, tally.judged, tuple(tally.evidence))

    def _verdict(self, rule: str, keys: tuple[str, ...]) -> Verdict:
        broken = tuple(self._broken(keys))
        judged = sum(self._tallies[key].judged for key in keys)
        word: Word = "passed" if judged else "not-exercised"
        if broken:
            word = "failed" if level_of(rule) == "must" else "warned"
        return Verdict(rule, word, judged, broken)


def plain(text: str) -> str:
    """Text from the wire without what would steer a terminal, and without surrogates."""
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)
