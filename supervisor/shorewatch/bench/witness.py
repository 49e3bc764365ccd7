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
A life that ended with a sick disk is as one that was killed. (c) As many as loss records name.

Beside it a second consumer stood, and both said themselves what they found (`agreed`).
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
    answers_told_lost: int = 0
    answers_lost: int = 0
    answers_doubled: int = 0
    answers_wrong: int = 0
    uncommitted_ms_max: float = 0.0
    verdicts_wrong: int = 0
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
    lines: Iterable[bytes],
    kept: Iterable[Kept],
    answers: Sequence[Answer],
    lives: Mapping[str, Sequence[Life]],
) -> Account:
    """The account of the consumer's lines, the databases, the devices' log and the gateways.

    `lives` are those of the gateway that reads a device, by device.
    """
    account = Account()
    ledger, given = _read(lines)
    _judge_sequences(ledger, account)
    told = sum(of.explained for _, of in ledger)
    told += sum(_told(record) for record in given.values() if record.get("from") is None)
    found = Counter(_answered(given.values(), account))
    for record in kept:
        line = given.get((record.journal, record.seq))
        if line is not None:
            _compare(record, line, account)
        else:
            account.undelivered += 1
            told += _told({"kind": record.kind, **record.body})
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
    lost = [
        answer
        for own, life in _by_life(answers, lives)
        for answer in _judge_life(own, life, found, account)
    ]
    account.answers_told_lost = min(len(lost), told)
    account.answers_lost = len(lost) - account.answers_told_lost
    for answer in lost if account.answers_lost else ():
        account.blame(f"answer {answer.count} of {answer.device} is nowhere")
    return account


def agreed(
    name: str, lines: Iterable[bytes], verdict: Mapping[str, object], account: Account
) -> None:
    """Blame a consumer whose own account, by `--verify --json`, is not that of its lines."""
    ledger, _ = _read(lines)
    if verdict != {**ledger.to_json(), "ok": verdict.get("ok"), "fault": verdict.get("fault")}:
        account.verdicts_wrong += 1
        account.blame(f"the account of {name} is not that of its own file")
    if verdict.get("ok") is not True:
        account.verdicts_wrong += 1
        account.blame(f"{name} says: {verdict.get('fault')}")


def compared(lines: Iterable[bytes], others: Iterable[bytes], account: Account) -> None:
    """Blame two consumers of one station that were given different records of one number."""
    _, given = _read(lines)
    ledger, other = _read(others)
    beside = Account()
    _judge_sequences(ledger, beside)
    account.sequences_wrong += beside.sequences_wrong
    for fault in beside.faults:
        account.blame(f"the second consumer: {fault}")
    for key in given.keys() & other.keys():
        if _bare(given[key]) != _bare(other[key]):
            account.records_differing += 1
            account.blame(f"record {key[1]} of journal {key[0][:8]} came in two forms")


def _bare(line: Mapping[str, object]) -> Mapping[str, object]:
    """A record without what says by which way it came."""
    return {key: value for key, value in line.items() if key != "history"}


def _read(lines: Iterable[bytes]) -> tuple[Ledger, dict[tuple[str, int], Mapping[str, object]]]:
    """The ledger of a consumer's lines, and its records by journal and sequence."""
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
    return ledger, given


def _judge_sequences(ledger: Ledger, account: Account) -> None:
    for station, of in ledger:
        account.journals += 1
        account.records += of.records
        wrong = of.doubled + of.late + of.before + of.holes.count + of.begun_after
        if wrong or of.fault:
            account.sequences_wrong += max(wrong, 1)
            why = of.fault or f"{of.begun_after + of.before} records before the first are missing"
            account.blame(f"{station}, journal {of.journal[:8]}: {why}")


def _told(record: Mapping[str, object]) -> int:
    """How many records a loss record names."""
    count = record.get("count")
    return count if record.get("kind") == "loss" and isinstance(count, int) else 0


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
    answers: Sequence[Answer], lives: Mapping[str, Sequence[Life]]
) -> Iterator[tuple[list[Answer], Life]]:
    """The answers of one device to one life, in order, of each.

    An answer after the end of a life is to a request that was already on its way.
    """
    starts = {device: [life.started_ns for life in own] for device, own in lives.items()}
    placed = [(a.device, bisect(starts[a.device], a.at_ns) - 1, a) for a in answers]
    placed.sort(key=lambda place: (place[0], place[1], place[2].at_ns))
    for (device, place), group in itertools.groupby(placed, itemgetter(0, 1)):
        assert place >= 0, "the devices were asked by nobody before the first life"
        yield [answer for _, _, answer in group], lives[device][place]


def _judge_life(
    own: Sequence[Answer], life: Life, found: Mapping[tuple[str, int], int], account: Account
) -> Iterator[Answer]:
    """What is missing and should not be."""
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
            yield answer
