"""reading.py: every record of a journal once and in order, whatever comes and however."""

from datetime import datetime

import pytest
from hearing import JOURNAL, PREFIX, At, Noc
from hypothesis import given
from hypothesis import strategies as st

from shorewatch.model import to_text
from shorewatch.mqtt.ask import SILENT_S
from shorewatch.mqtt.follower import Follower
from shorewatch.mqtt.ledger import JOURNALS_MAX
from shorewatch.mqtt.order import HELD_MAX, HOLE_S_MAX
from shorewatch.mqtt.reading import ASK_S, READY_RECORDS_MAX, TAIL_ASK_S, TAIL_S_MAX


def test_a_journal_in_order_has_no_gaps(noc: Noc) -> None:
    """Ascending batches are settled to their end, counted, and due for acknowledgement."""
    noc.state()
    noc.batch(0, range(1, 11))
    noc.batch(10, range(11, 21))
    station = noc.station
    assert (station.received_to, station.gaps) == (20, [])
    assert station.kinds == {"sample": 20}
    assert noc.ack() == 20
    assert noc.due() is None


def test_a_missed_batch_is_a_gap_until_it_comes(noc: Noc) -> None:
    """What was not delivered holds back the acknowledgement, is asked for, and heals."""
    noc.state()
    noc.batch(0, range(1, 11))
    noc.batch(20, range(21, 31))
    assert noc.station.gaps == [(11, 20)]
    assert noc.ack() == 10
    assert noc.due() is None
    noc.now_s += ASK_S
    assert noc.ack() == 10
    noc.batch(10, range(11, 31))
    assert (noc.station.gaps, noc.station.received_to) == ([], 30)
    assert noc.station.duplicates == 10
    assert noc.station.kinds == {"sample": 30}


def test_repeated_batches_are_duplicates_not_records(noc: Noc) -> None:
    """A record delivered twice is counted once as a record and once as a duplicate."""
    noc.state()
    for _ in range(3):
        noc.batch(0, range(1, 11))
    assert (noc.station.kinds, noc.station.duplicates) == ({"sample": 10}, 20)


def test_evicted_records_are_lost_and_a_loss_record_explains_them(noc: Noc) -> None:
    """A hole inside a batch is a loss at the station; without its loss record it is unexplained."""
    noc.state(last=9)
    noc.batch(0, [1, 2, 3, 8, 9])
    station = noc.station
    assert (station.lost, station.gaps, station.sequence_gaps) == (4, [], 4)
    assert station.received_to == 9
    loss = {"uplink": "noc", "what": "sample", "from": 4, "to": 7, "count": 4, "why": "cap"}
    noc.batch(9, [10], kind="loss", **loss)
    assert (station.lost, station.sequence_gaps) == (4, 0)
    assert [found["why"] for found in noc.reading.losses] == ["cap"]


def test_a_loss_that_is_heard_before_its_hole_explains_it_too(noc: Noc) -> None:
    """A consumer that was away may hear of the loss first and find the hole later."""
    noc.state(last=21)
    noc.batch(0, [1, 2, 3])
    noc.batch(20, [21], kind="loss", **{"from": 5, "to": 19})
    noc.batch(3, [4, 20])
    assert (noc.station.sequence_gaps, noc.station.lost, noc.station.received_to) == (0, 15, 21)


def test_what_we_had_before_it_was_evicted_is_not_lost(noc: Noc) -> None:
    """A hole in a repeated batch that covers records we already have costs nothing."""
    noc.state(last=15)
    noc.batch(0, [1, 2, 3])
    noc.batch(10, range(11, 16))
    noc.batch(3, [4, 5, 6, 7, 8, 9, 10, 15])
    assert (noc.station.lost, noc.station.sequence_gaps, noc.station.received_to) == (0, 0, 15)


def test_a_follower_begins_where_its_acknowledgement_ended(noc: Noc) -> None:
    """After a restart the own retained ack says what is already settled."""
    noc.hear("ack/noc", {"journal": JOURNAL, "seq": 500})
    noc.state(last=800, cursor=300)
    assert noc.station.received_to == 500
    noc.batch(300, range(301, 801))
    assert (noc.station.duplicates, noc.station.received_to) == (200, 800)


def test_a_follower_without_a_past_begins_at_the_cursor(noc: Noc) -> None:
    """What was acknowledged or is no longer kept is not missed by a new follower."""
    noc.state(last=800, cursor=300)
    assert noc.station.received_to == 300
    noc.batch(700, range(701, 801))
    assert noc.station.gaps == [(301, 700)]


def test_what_was_acknowledged_in_our_name_is_given_up_and_told(noc: Noc) -> None:
    """A cursor beyond what we have ends the waiting, after its time, with the reason."""
    noc.state(last=100)
    noc.batch(50, range(51, 101))
    noc.state(last=100, cursor=50)
    assert noc.due() is None
    noc.pass_time(HOLE_S_MAX)

    assert (noc.station.gaps, noc.station.received_to) == ([], 100)
    assert [hole.why for hole in noc.holes] == [
        "it was acknowledged in this consumer's name before it came"
    ]


def test_a_new_journal_begins_anew_when_the_station_says_so(noc: Noc) -> None:
    """Numbers of another journal are other records; a batch alone proves no other journal."""
    noc.state(last=50)
    noc.batch(0, range(1, 51))
    noc.batch(0, range(1, 4), journal="6" * 32)
    assert (noc.reading.journal, noc.reading.foreign) == (JOURNAL, 1)
    noc.state(journal="6" * 32)
    noc.batch(0, range(1, 4), journal="6" * 32)

    assert (noc.reading.journal, noc.station.received_to) == ("6" * 32, 3)
    assert noc.reading.journals_seen == 2
    assert (noc.station.duplicates, noc.station.gaps) == (0, [])
    assert noc.due() == ("6" * 32, 3)


def test_a_journal_that_comes_back_goes_on_where_it_was(noc: Noc) -> None:
    """Somebody who plays another journal makes no record of the true one come twice."""
    noc.state(last=50)
    noc.batch(0, range(1, 51))
    noc.state(journal="6" * 32)
    noc.state(last=60)
    noc.batch(40, range(41, 61))

    assert (noc.station.received_to, noc.station.kinds) == (60, {"sample": 60})


def test_a_journal_that_comes_back_after_many_others_goes_on_where_it_was(noc: Noc) -> None:
    """As many journals are remembered as the account of them has."""
    noc.state(last=50)
    noc.batch(0, range(1, 51))
    for i in range(JOURNALS_MAX - 1):
        noc.state(last=1, journal=f"{i:032x}")
        noc.batch(0, range(1, 2), journal=f"{i:032x}")
    noc.state(last=60)
    noc.batch(0, range(1, 61))

    assert noc.station.kinds == {"sample": 60 + JOURNALS_MAX - 1}


def test_what_was_taken_and_not_done_does_not_come_again_with_its_journal(at: At) -> None:
    """Somebody who plays another journal meanwhile makes nothing that the user has come twice."""
    noc = Noc(at, Follower(has_user=True))
    noc.state(last=50)
    noc.batch(0, range(1, 51))
    assert noc.reading.next_ready(1000) is not None
    noc.state(journal="6" * 32)
    noc.state(last=50)
    noc.batch(0, range(1, 51))

    assert noc.reading.next_ready(1000) is None


def test_a_replay_that_lost_a_batch_proves_nothing_gone(noc: Noc) -> None:
    """Only a replay that came whole says that what it lacks is gone; else it is asked for again."""
    noc.state(last=30)
    noc.batch(20, range(21, 31))
    noc.follower.note_asked(PREFIX, "ask-00001", 1, 20, noc.now_s)
    noc.hear("reply/noc/ask-00001", {"id": "ask-00001", "ok": True, "count": 20})
    records = [{"seq": seq, "kind": "sample"} for seq in range(11, 21)]
    body = {"journal": JOURNAL, "after": 10, "first": 11, "last": 20, "records": records}
    noc.hear("reply/noc/ask-00001/records", body | {"replay": "ask-00001", "end": True})

    assert (noc.station.received_to, noc.account.lost, noc.station.gaps) == (0, 0, [(1, 10)])


def test_a_lost_tail_is_visible_and_asked_for(noc: Noc) -> None:
    """When the state tells of later records than came, that is seen, and asked for."""
    noc.state()
    noc.batch(0, range(1, 11))
    noc.ack()
    noc.state(last=30)
    assert noc.due() is None
    noc.now_s += max(TAIL_S_MAX, TAIL_ASK_S, ASK_S) + 1
    assert noc.station.tail_lost(noc.now_s)
    assert noc.ack() == 10
    noc.batch(10, range(11, 31))
    assert not noc.station.tail_lost(noc.now_s + 100)


def test_each_connection_begins_with_an_ack(noc: Noc) -> None:
    """After the broker was away the position is repeated once: the station goes on there."""
    noc.state(last=10)
    noc.batch(0, range(1, 11))
    assert (noc.ack(), noc.due()) == (10, None)
    noc.follower.connected()
    assert (noc.ack(), noc.due()) == (10, None)


def test_a_consumer_that_hears_nothing_asks_once_more(noc: Noc) -> None:
    """What was sent while nobody listened is asked for before the next state tells of it."""
    noc.state()
    assert noc.ack() == 0
    noc.now_s += ASK_S
    assert noc.ack() == 0
    noc.now_s += ASK_S
    assert noc.due() is None


def test_a_replay_is_asked_for_once_and_left_to_acks_when_refused(noc: Noc) -> None:
    """One replay at a time, of what is missing; after a refusal the ack is repeated instead."""
    noc.state(last=30)
    noc.batch(20, range(21, 31))
    assert noc.follower.replay_due(PREFIX, noc.now_s) == (1, 20)
    noc.follower.note_asked(PREFIX, "ask-00001", 1, 20, noc.now_s)
    assert noc.follower.replay_due(PREFIX, noc.now_s) is None
    noc.ack()
    noc.now_s += ASK_S
    assert noc.due() is None
    noc.hear("reply/noc/ask-00001", {"id": "ask-00001", "ok": False, "why": "not allowed"})

    assert noc.reading.refusal == "not allowed"
    assert noc.follower.replay_due(PREFIX, noc.now_s) is None
    assert noc.due() == (JOURNAL, 0)


def test_a_replay_that_is_not_answered_is_given_up(noc: Noc) -> None:
    """Silence ends a replay: acks ask meanwhile, and a later replay is tried again."""
    noc.state(last=30)
    noc.batch(20, range(21, 31))
    noc.follower.note_asked(PREFIX, "ask-00001", 1, 20, noc.now_s)
    noc.now_s += SILENT_S
    assert noc.follower.replay_due(PREFIX, noc.now_s) is None
    assert noc.reading.replay is None
    noc.now_s += SILENT_S
    assert noc.follower.replay_due(PREFIX, noc.now_s) == (1, 20)


@pytest.mark.parametrize("kind", ["reply/noc/x", "reply/noc/x/records"])
def test_answers_to_others_are_nothing_to_us(noc: Noc, kind: str) -> None:
    """A reply with an id that we did not ask changes nothing."""
    noc.state(last=30)
    noc.batch(20, range(21, 31))
    noc.follower.note_asked(PREFIX, "ask-00001", 1, 20, noc.now_s)
    records = [{"seq": 1, "kind": "sample"}]
    body = {"journal": JOURNAL, "after": 0, "first": 1, "last": 1, "records": records, "end": True}
    noc.hear(kind, body | {"ok": True, "count": 0})

    assert noc.station.received_to == 0 and noc.reading.replay is not None


def test_a_user_who_is_slow_fills_no_memory(at: At) -> None:
    """What is ready and held stays bounded; all comes when there is room again."""
    noc = Noc(at, Follower(has_user=True))
    noc.state(last=60_000)
    for after in range(0, 60_000, 200):
        noc.batch(after, range(after + 1, after + 201))
    ready = sum(len(one.what.records) for one in noc.reading._ready)  # type: ignore[union-attr]
    assert READY_RECORDS_MAX <= ready < READY_RECORDS_MAX + 200
    assert len(noc.reading.order._held) <= HELD_MAX  # type: ignore[union-attr]

    came: list[object] = []
    while (found := noc.reading.next_ready(1000)) is not None or len(came) < 60_000:
        if found is None:
            to = noc.station.received_to
            assert to is not None and noc.due() is not None
            noc.batch(to, range(to + 1, min(to + 201, 60_001)))
            continue
        came += [record["seq"] for run in found[1] for record in run.records]  # type: ignore[union-attr]
        noc.reading.mark(JOURNAL, len(came))
    assert came == list(range(1, 60_001))


@given(st.permutations(range(12)), st.sets(st.integers(0, 11)))
def test_any_order_of_batches_ends_complete(order: list[int], dropped: set[int]) -> None:
    """Batches in any order settle all that came; the gaps are exactly what did not."""
    start = datetime.fromisoformat("2026-11-22T16:44:00+00:00")
    noc = Noc(lambda _: start)
    noc.state(last=120)
    for i in order:
        if i not in dropped:
            noc.batch(10 * i, range(10 * i + 1, 10 * i + 11))
    missing = {seq for a, b in noc.station.gaps for seq in range(a, b + 1)}
    came = set(range(12)) - dropped
    assert missing == {
        seq for i in dropped for seq in range(10 * i + 1, 10 * i + 11) if came and i < max(came)
    }
    assert noc.reading.kinds.total() == 10 * min(dropped, default=12)


def test_a_state_whose_numbers_cannot_be_is_refused(noc: Noc) -> None:
    """A cursor beyond the last record, or such a first one, is no state: nothing moves."""
    noc.state(last=9)
    noc.batch(0, range(1, 10))
    noc.state(last=9, cursor=2**62)
    noc.state(last=9, first=100)
    noc.batch(9, range(10, 12))

    assert (noc.station.received_to, noc.station.duplicates) == (11, 0)


@pytest.mark.parametrize("is_batch", [True, False])
def test_a_forged_jump_moves_nothing(noc: Noc, is_batch: bool) -> None:
    """Whoever claims numbers far beyond the station's own last one hides none of its records."""
    noc.state(last=5)
    noc.batch(0, range(1, 6))
    if is_batch:
        noc.batch(5, [2**40])
    else:
        noc.state(last=2**40, cursor=2**40)
    noc.pass_time(HOLE_S_MAX / 3)
    noc.state(last=6, cursor=5)
    noc.batch(5, range(6, 9))
    noc.pass_time(HOLE_S_MAX / 2)
    noc.state(last=8, cursor=8)
    noc.pass_time(HOLE_S_MAX)

    assert (noc.station.received_to, noc.station.sequence_gaps) == (8, 0)
    assert noc.reading.kinds.total() == 8


def test_forged_records_are_healed_by_the_stations_own_words(noc: Noc) -> None:
    """Records in the station's name are taken back, and told, when two of its states deny them."""
    noc.state(last=5, at=to_text(noc._at(0)))
    noc.batch(0, range(1, 9))
    noc.state(last=6, at=to_text(noc._at(30)))
    noc.state(last=6, at=to_text(noc._at(60)))
    noc.batch(5, range(6, 8))

    assert (noc.station.received_to, noc.due()) == (7, (JOURNAL, 7))
    assert noc.account.fault == "the station never wrote what came after 6, up to 8"


def test_one_old_state_contradicts_nothing(noc: Noc) -> None:
    """A retained state from before the last batch, heard again and again, changes nothing."""
    noc.state(last=5, at=to_text(noc._at(0)))
    noc.batch(0, range(1, 11))
    for _ in range(3):
        noc.state(last=5, at=to_text(noc._at(0)))
    assert (noc.station.received_to, noc.account.fault) == (10, None)
