"""The account of `bench chaos`: is everything that was promised there, once, and as it was? Pure.

Three accounts, each by evidence of its own:

    sequences   every number of every journal reached the consumer once and in order, or a loss
                record says why not (mqtt/ledger.py over the consumer's lines)
    records     what a database has kept and the consumer has, too, is the same in both
    answers     every answer that a device logged is in a journal, once, with all its values

The last knows no sequence numbers. What must be there: of the answers of one device to one life of
the gateway all but (a) the last one of each connection, which may have been on its way when the
connection ended, and (b) after a kill, those after the last one that was committed: not durable
yet, so never published and never promised. None within, and none twice. In (b) an answer of the
device that is missing stands after all that are there; a hole before one that is there is a loss.
"""

import itertools
from bisect import bisect
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Final

from shorewatch.bench.counting import Answer, name_of, values
from shorewatch.mqtt import topics
from shorewatch.mqtt.ledger import Ledger

FAULTS_MAX: Final = 20  # said in words; all are counted


@dataclass(frozen=True, slots=True)
class Life:
    """One process of the gateway, by the monotonic clock; was it killed?"""

    started_ns: int
    ended_ns: int
    is_killed: bool


@dataclass(frozen=True, slots=True)
class Kept:
    """A record in the database of a journal."""

    journal: str
    seq: int
    kind: str
    body: Mapping[str, object]


@dataclass(slots=True)
class Account:
    """What came of it. `faults` are sentences, the first few; the counts are of all."""

    journals: int = 0
    records: int = 0
    undelivered: int = 0
    sequences_wrong: int = 0
    records_differing: int = 0
    answers: int = 0
    answers_on_the_way: int = 0
    answers_uncommitted: int = 0
    answers_lost: int = 0
    answers_doubled: int = 0
    answers_wrong: int = 0
    uncommitted_ms_max: float = 0.0
    faults: list[str] = field(default_factory=list)

    @property
    def is_whole(self) -> bool:
        """Whether every promise was kept."""
        return not self.faults

    def blame(self, text: str) -> None:
        """Something is wrong."""
        if len(self.faults) < FAULTS_MAX:
            self.faults.append(text)


def judge(
    lines: Iterable[bytes], kept: Iterable[Kept], answers: Sequence[Answer], lives: Sequence[Life]
) -> Account:
    """The account of the consumer's lines, the databases, the devices' log and the gateway."""
    account = Account()
    given = _given(lines, account)
    found = Counter(_answered(given.values(), account))
    for record in kept:
        line = given.get((record.journal, record.seq))
        if line is not None:
            _compare(record, line, account)
        else:
            account.undelivered += 1
            found.update(_answered([{"kind": record.kind, **record.body}], account))
    account.answers = len(answers)
    for (device, count), times in found.items():
        if times > 1:
            account.answers_doubled += 1
            account.blame(f"answer {count} of {device} is recorded {times} times")
    unknown = found.keys() - {(answer.device, answer.count) for answer in answers}
    for device, count in unknown:
        account.answers_wrong += 1
        account.blame(f"{device} never gave the answer {count} that is recorded")
    for own, life in _by_life(answers, lives):
        _judge_life(own, life, found, account)
    return account


def _given(lines: Iterable[bytes], account: Account) -> dict[tuple[str, int], Mapping[str, object]]:
    """What the consumer has, by journal and sequence; judges the sequences."""
    ledger = Ledger()
    given: dict[tuple[str, int], Mapping[str, object]] = {}
    for text in lines:
        line = topics.parse_object(text)
        assert line is not None, f"the consumer wrote no JSON: {text[:80]!r}"
        station, journal, missing = str(line["station"]), str(line["journal"]), line.get("missing")
        if isinstance(missing, dict):
            ledger.skip(station, journal, missing["first"], missing["last"], missing["why"])
            continue
        seq = line["seq"]
        assert isinstance(seq, int), "a record has its sequence"
        ledger.take(station, journal, line)
        given[journal, seq] = line
    for station, of in ledger:
        account.journals += 1
        account.records += of.records
        wrong = of.doubled + of.late + of.before + of.holes.count + of.begun_after
        if wrong or of.fault:
            account.sequences_wrong += max(wrong, 1)
            why = of.fault or f"{of.begun_after + of.before} records before the first are missing"
            account.blame(f"{station}, journal {of.journal[:8]}: {why}")
    return given


def _compare(record: Kept, line: Mapping[str, object], account: Account) -> None:
    body = {"kind": record.kind, **record.body}
    if any(line.get(key) != value for key, value in body.items()):
        account.records_differing += 1
        where = f"record {record.seq} of journal {record.journal[:8]}"
        account.blame(f"{where} is not what the consumer has")


def _answered(
    records: Iterable[Mapping[str, object]], account: Account
) -> Iterator[tuple[str, int]]:
    """Device and count of the samples that are answers; judges their values."""
    for record in records:
        points = record.get("points")
        if record.get("kind") != "sample" or not isinstance(points, dict):
            continue
        device, count = str(record["device"]), points.get("count")
        number = int(device.removeprefix("d"))
        if not isinstance(count, int) or points != values(number, count):
            account.answers_wrong += 1
            account.blame(f"a sample of {name_of(number)} is no answer it gave: {points}")
            continue
        yield device, count


def _by_life(
    answers: Sequence[Answer], lives: Sequence[Life]
) -> Iterator[tuple[list[Answer], Life]]:
    """The answers of one device to one life, in order, of each.

    An answer after the end of a life is to a request that was already on its way.
    """
    starts = [life.started_ns for life in lives]
    placed = [(a.device, bisect(starts, a.at_ns) - 1, a) for a in answers]
    placed.sort(key=lambda place: (place[0], place[1], place[2].at_ns))
    for (_, place), group in itertools.groupby(placed, itemgetter(0, 1)):
        assert place >= 0, "the devices were asked by nobody before the first life"
        yield [answer for _, _, answer in group], lives[place]


def _judge_life(
    own: Sequence[Answer], life: Life, found: Mapping[tuple[str, int], int], account: Account
) -> None:
    missing = [answer for answer in own if (answer.device, answer.count) not in found]
    committed_ns = max((a.at_ns for a in own if (a.device, a.count) in found), default=-1)
    last = {answer.connection: answer for answer in own}
    for answer in missing:
        if life.is_killed and answer.at_ns > committed_ns:
            account.answers_uncommitted += 1
            before_ms = (life.ended_ns - answer.at_ns) / 1e6
            account.uncommitted_ms_max = max(account.uncommitted_ms_max, before_ms)
        elif last[answer.connection] is answer:
            account.answers_on_the_way += 1
        else:
            account.answers_lost += 1
            account.blame(f"answer {answer.count} of {answer.device} is nowhere")
