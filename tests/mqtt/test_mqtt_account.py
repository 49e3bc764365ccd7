"""account.py and ledger.py: what a consumer was given, judged."""

import json

import pytest

from shorewatch.mqtt.account import BEFORE, GONE, Account
from shorewatch.mqtt.ledger import JOURNALS_MAX, Ledger

JOURNAL = "j" * 32


def account(*seqs: int) -> Account:
    made = Account(JOURNAL, 0)
    for seq in seqs:
        made.take({"seq": seq, "kind": "sample"})
    return made


def test_records_in_order_are_no_fault() -> None:
    """One after the other is all well."""
    assert account(1, 2, 3).fault is None


@pytest.mark.parametrize(
    ("seqs", "fault"),
    [
        ((1, 2, 2), "record 2 came twice"),
        ((1, 3, 2), "record 2 came after 3: out of order"),
        ((1, 3), "record 2 is missing: nobody told of it, and no loss record explains it"),
    ],
)
def test_what_is_wrong_is_said_with_its_number(seqs: tuple[int, ...], fault: str) -> None:
    """A double, a disorder and a hole are each named by the first of them."""
    assert account(*seqs).fault == fault


def test_a_loss_record_explains_what_was_before_it() -> None:
    """A hole that the station tells of is none; one behind the loss record stays."""
    made = account(1)
    made.skip(2, 9, GONE)
    made.take({"seq": 10, "kind": "loss", "from": 2, "to": 2**40})
    assert (made.fault, made.explained, made.lost) == (None, 8, 8)
    made.skip(11, 11, GONE)
    assert made.holes.count == 1


def test_what_nobody_promised_is_no_fault() -> None:
    """What was acknowledged and gone before the consumer began counts apart."""
    made = account(1)
    made.skip(2, 9, BEFORE)
    assert (made.fault, made.before, made.lost) == (None, 8, 0)


def test_an_account_survives_as_json() -> None:
    """Everything comes back, holes and first fault included."""
    made = account(1, 2, 2, 7)
    again = Account.from_json(json.loads(json.dumps(made.to_json())))
    assert again.to_json() == made.to_json()
    assert again.fault == made.fault == "record 2 came twice"


@pytest.mark.parametrize(
    "change",
    [
        {"journal": 5}, {"to": -1}, {"records": True}, {"holes": [[1, 2]]},
        {"holes": [[9, 1, 1, "x"]]}, {"holes": [[1, 2, 3, "x"]]}, {"holes": 5},
    ],
)  # fmt: skip
def test_what_is_no_account_is_refused(change: dict[str, object]) -> None:
    """A damaged file is a ValueError, not an account that looks right."""
    with pytest.raises(ValueError):
        Account.from_json(account(1, 2).to_json() | change)


def test_a_ledger_says_where_to_go_on_and_what_is_wrong() -> None:
    """Marks by station and journal; the fault names both; JSON brings all of it back."""
    ledger = Ledger()
    ledger.take("c/a", "x" * 32, {"seq": 1, "kind": "sample"})
    ledger.skip("c/b", "y" * 32, 5, 6, GONE)
    assert ledger.marks == {"c/a": {"x" * 32: 1}, "c/b": {"y" * 32: 6}}
    assert ledger.fault is not None and ledger.fault.startswith("c/b, journal yyyyyyyy: records 5")
    again = Ledger.from_json(json.loads(json.dumps(ledger.to_json())))
    assert (again.marks, again.fault) == (ledger.marks, ledger.fault)


def test_a_ledger_forgets_old_journals_but_not_their_faults() -> None:
    """Somebody who begins journal after journal fills no memory and hides no hole."""
    ledger = Ledger()
    ledger.skip("c/a", "first", 5, 6, GONE)
    for i in range(JOURNALS_MAX + 5):
        ledger.take("c/a", f"j{i}", {"seq": 1, "kind": "sample"})
    assert len(ledger.marks["c/a"]) == JOURNALS_MAX
    assert ledger.fault is not None and "first" in ledger.fault
