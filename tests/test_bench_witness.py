"""bench/witness.py: the account finds each fault that it is there for, and no other."""

import json
from dataclasses import replace

import pytest

from shorewatch.bench.counting import Answer, values
from shorewatch.bench.witness import (
    FAULTS_MAX,
    Account,
    Kept,
    Life,
    agreed,
    compared,
    judge,
)
from shorewatch.mqtt.ledger import Ledger

JOURNAL = "0123456789abcdef"
MS = 1_000_000
# One connection to a life that was killed, then one to a life that ended in order.
LIVES = {"d1": [Life(0, 1000 * MS, True), Life(2000 * MS, 3000 * MS, False)]}
ANSWERS = [
    *(Answer("d1", 1, count, 100 * count * MS) for count in range(1, 6)),
    *(Answer("d1", 2, count, (1500 + 100 * count) * MS) for count in range(6, 10)),
]


def sample(count: int, **more: object) -> dict[str, object]:
    """The record of an answer of d1, with the sequence that its count is."""
    record = {"seq": count, "kind": "sample", "device": "d1", "points": values(1, count)}
    return record | more


def lines(*records: dict[str, object]) -> list[bytes]:
    """The consumer's file."""
    head = {"station": "bench/chaos", "journal": JOURNAL}
    return [json.dumps(head | record).encode() + b"\n" for record in records]


def judged(counts: range | list[int], kept: tuple[Kept, ...] = ()) -> Account:
    """The account when the answers of these counts were recorded, in this order."""
    records = [sample(count, seq=seq) for seq, count in enumerate(counts, 1)]
    return judge(lines(*records), kept, ANSWERS, LIVES)


def kept(count: int, *, seq: int) -> Kept:
    """A row of the database: an answer of d1."""
    return Kept(JOURNAL, seq, "sample", {"device": "d1", "points": values(1, count)})


def test_everything_recorded_once_is_whole():
    """With every answer in the consumer's file there is no fault, and all is counted."""
    account = judged(range(1, 10))

    assert account.is_whole
    assert (account.records, account.answers, account.journals) == (9, 9, 1)


def test_what_a_kill_found_uncommitted_was_never_promised():
    """Answers after the last recorded one of a killed life are explained, and how old they were."""
    account = judged([1, 2, 3, 6, 7, 8, 9])

    assert account.is_whole
    assert (account.answers_uncommitted, account.uncommitted_ms_max) == (2, 600)


def test_a_hole_before_a_recorded_answer_is_a_loss_also_in_a_killed_life():
    """What is recorded was committed after the hole, so the hole should have been, too."""
    account = judged([1, 3, 4, 5, 6, 7, 8, 9])

    assert account.answers_lost == 1
    assert account.faults == ["answer 2 of d1 is nowhere"]


def test_an_answer_may_be_on_its_way_when_its_connection_ends():
    """Of a life that ended in order one last answer of a connection may be missing."""
    account = judged(range(1, 9))

    assert account.is_whole and account.answers_on_the_way == 1


def test_of_an_orderly_end_no_second_answer_may_be_missing():
    """Two missing answers at the end of a life that was not killed are a loss of one."""
    assert judged(range(1, 8)).answers_lost == 1


def test_an_answer_after_the_end_of_a_life_belongs_to_that_life():
    """A request that was on its way when the gateway was killed is answered to nobody."""
    late = Answer("d1", 1, 100, 1001 * MS)
    account = judge(lines(*(sample(count) for count in range(1, 10))), (), [*ANSWERS, late], LIVES)

    assert account.is_whole and account.answers_uncommitted == 1


def test_what_was_not_delivered_counts_if_its_database_has_it():
    """A record beyond the consumer's mark is no loss while the database keeps it."""
    account = judged(range(1, 7), tuple(kept(count, seq=count) for count in range(7, 10)))

    assert account.is_whole and account.undelivered == 3


def test_an_answer_that_is_recorded_twice_is_a_fault():
    """Two numbers for one answer are found although no number is there twice."""
    account = judged([1, 2, 2, *range(3, 10)])

    assert account.answers_doubled == 1
    assert account.faults == ["answer 2 of d1 is recorded 2 times"]


def test_a_recorded_answer_that_was_never_given_is_a_fault():
    """A count that the device's log does not have is named."""
    account = judged([*range(1, 10), 77])

    assert account.faults == ["d1 never gave the answer 77 that is recorded"]


@pytest.mark.parametrize(
    "points", [values(2, 9), values(1, 9) | {"w3": 0}, {"count": 9}, {"w0": 5}]
)
def test_a_value_that_its_device_did_not_say_is_a_fault(points):
    """Another device's values, a wrong or a missing one make a sample wrong."""
    records = [*(sample(count) for count in range(1, 9)), sample(9, points=points)]
    account = judge(lines(*records), (), ANSWERS, LIVES)

    assert account.answers_wrong == 1 and not account.is_whole


def test_a_record_that_differs_from_its_database_is_a_fault():
    """What a database keeps of a delivered record must be what was delivered."""
    same, other = kept(4, seq=4), replace(kept(5, seq=5), kind="event")
    account = judged(range(1, 10), (same, other))

    assert account.records_differing == 1
    assert account.faults == ["record 5 of journal 01234567 is not what the consumer has"]


@pytest.mark.parametrize(
    "records",
    [
        [sample(1), sample(3)],
        [sample(1), sample(1)],
        [sample(2)],
        [sample(1), {"missing": {"first": 2, "last": 2, "why": "gone"}}],
    ],
)
def test_a_sequence_that_is_missing_or_doubled_is_a_fault(records):
    """Numbers from 1 on, each once, or a loss record: anything else counts."""
    account = judge(lines(*records), (), [], {})

    assert account.sequences_wrong == 1
    assert account.faults[0].startswith("bench/chaos, journal 01234567: ")


def test_a_loss_that_a_record_tells_of_is_explained():
    """A hole that a later loss record names is nothing wrong."""
    gone = {"missing": {"first": 2, "last": 4, "why": "gone"}}
    told = {"seq": 5, "kind": "loss", "from": 2, "to": 4}
    answer = Answer("d1", 1, 1, 1)

    assert judge(lines(sample(1), gone, told), (), [answer], LIVES).is_whole


def test_faults_are_counted_beyond_those_in_words():
    """However much is lost, the words stay few and the count is right."""
    answers = [Answer("d1", 1, count, count) for count in range(1, 100)]
    account = judge(lines(sample(99, seq=1)), (), answers, LIVES)

    assert account.answers_lost == 98 and len(account.faults) == FAULTS_MAX


def test_an_answer_that_a_loss_record_names_is_told():
    """As many answers as loss records name may be missing, and they are counted apart."""
    dropped = {"seq": 8, "kind": "loss", "from": None, "to": None, "count": 1}
    records = [sample(count, seq=seq) for seq, count in enumerate([1, 2, 3, 4, 5, 7, 8], 1)]
    account = judge(lines(*records, dropped), (), ANSWERS, LIVES)

    assert account.is_whole
    assert (account.answers_told_lost, account.answers_on_the_way) == (1, 1)


def test_more_answers_than_loss_records_name_are_lost():
    """A loss record is no excuse for a second answer."""
    dropped = {"seq": 7, "kind": "loss", "from": None, "to": None, "count": 1}
    records = [sample(count, seq=seq) for seq, count in enumerate([1, 2, 3, 4, 5, 8], 1)]
    account = judge(lines(*records, dropped), (), ANSWERS, LIVES)

    assert (account.answers_told_lost, account.answers_lost) == (1, 1)


def said(*records: dict[str, object]) -> dict[str, object]:
    """What --verify says of these lines."""
    ledger = Ledger()
    for record in records:
        ledger.take("bench/chaos", JOURNAL, record)
    return {**ledger.to_json(), "ok": ledger.fault is None, "fault": ledger.fault}


def test_a_verdict_that_is_that_of_its_lines_is_agreed():
    """An account without a fault, and the same as that of the file, is right."""
    account = Account()
    agreed("noc", lines(sample(1), sample(2)), said(sample(1), sample(2)), account)

    assert account.is_whole and account.verdicts_wrong == 0


@pytest.mark.parametrize(
    "verdict", [said(sample(1)), said(sample(1), sample(2)) | {"ok": False, "fault": "no"}, {}]
)
def test_a_verdict_that_differs_or_finds_a_fault_is_a_fault(verdict):
    """Another account than that of its own file, a fault in it, or none at all."""
    account = Account()
    agreed("noc", lines(sample(1), sample(2)), verdict, account)

    assert account.verdicts_wrong > 0 and not account.is_whole


def test_two_consumers_that_were_given_the_same_are_no_fault():
    """By which way a record came is no difference, nor how far each has come."""
    account = Account()
    compared(lines(sample(1), sample(2)), lines(sample(1, history=True)), account)

    assert account.is_whole


def test_two_consumers_with_different_records_of_one_number_are_a_fault():
    """Each record is one, whoever has it."""
    account = Account()
    compared(lines(sample(1), sample(2)), lines(sample(1), sample(2, points={})), account)

    assert account.records_differing == 1
    assert account.faults == ["record 2 of journal 01234567 came in two forms"]


def test_a_hole_of_the_second_consumer_is_a_fault():
    """Its sequences are judged as those of the first are."""
    account = Account()
    compared(lines(sample(1), sample(2)), lines(sample(1), sample(3)), account)

    assert account.sequences_wrong == 1
