"""journal.py: what is sent next, what counts as taken, whose acknowledgement is believed."""

import json
from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shorewatch.mqtt.journal import (
    AUDIT_S_MIN,
    BATCH_BYTES_MIN,
    HISTORY_AGE_S,
    PAUSE_S_MAX,
    QUEUED,
    REWIND_S_MIN,
    SILENT_S,
    SLOW_S,
    WINDOW,
    Accepted,
    Acks,
    Flight,
    Listening,
    Refusals,
    Refused,
    Sender,
    Trail,
    is_late,
)
from shorewatch.mqtt.topics import BATCH_BYTES_MAX
from shorewatch.outbox import Record

JOURNAL = "5" * 32


def ack(seq: object, journal: object = JOURNAL) -> bytes:
    return json.dumps({"journal": journal, "seq": seq}).encode()


def opened(start: int) -> Sender:
    """A sender that knows by experience that the line is fast."""
    sender = Sender(start - 20)
    for seq in range(start - 20, start):
        sender.taken(sender.send(seq, seq + 1, 0.0), 0.01)
    return sender


def test_a_window_is_filled_and_no_more() -> None:
    """At most `WINDOW` batches are in flight."""
    sender = opened(0)
    for i in range(WINDOW):
        assert sender.has_room
        sender.send(i * 10, i * 10 + 10, 0.0)
    assert not sender.has_room


def test_a_batch_counts_when_all_before_it_were_taken() -> None:
    """A PUBACK that overtakes another moves nothing until the earlier one is there."""
    sender = opened(0)
    first, second = sender.send(0, 10, 0.0), sender.send(10, 20, 0.0)
    assert sender.taken(second, 0.1) == 0
    assert sender.taken(first, 0.1) == 20


def test_a_refused_batch_is_sent_again_after_a_growing_pause() -> None:
    """A refusal goes back to that batch and waits longer each time, up to a maximum."""
    sender = Sender(100)
    pauses = []
    for _ in range(10):
        flight = sender.send(100, 110, 0.0)
        sender.refused(flight, 50.0)
        assert (sender.after, sender.published) == (100, 100)
        pauses.append(sender.wait_s(50.0))
    assert pauses == sorted(pauses)
    assert pauses[-1] == PAUSE_S_MAX
    sender.taken(sender.send(100, 110, 0.0), 0.1)
    flight = sender.send(110, 120, 60.0)
    sender.refused(flight, 60.0)
    assert sender.wait_s(60.0) == pauses[0]


def test_what_followed_a_refused_batch_does_not_count() -> None:
    """Batches behind a refused one are sent again too, so that order is kept."""
    sender = opened(0)
    first, second = sender.send(0, 10, 0.0), sender.send(10, 20, 0.0)
    sender.refused(first, 0.0)
    assert sender.taken(second, 0.1) == 0
    sender.refused(second, 0.1)
    assert sender.after == 0


def test_batches_shrink_on_a_slow_line_and_grow_on_a_fast_one() -> None:
    """A slow PUBACK halves the next batches, a quick one doubles them, within limits."""
    sender = opened(0)
    assert sender.batch_bytes_max == BATCH_BYTES_MAX
    for i in range(20):
        sender.taken(sender.send(i, i + 1, 0.0), 5.0)
    assert sender.batch_bytes_max == BATCH_BYTES_MIN
    sender.send(20, 21, 0.0)
    assert not sender.has_room


def test_a_line_is_found_out_with_little() -> None:
    """The first batch goes alone and small: nothing live queues behind a line not known yet."""
    sender = Sender(0)
    assert sender.batch_bytes_max == BATCH_BYTES_MIN
    sender.send(0, 1, 0.0)
    assert not sender.has_room


def test_small_batches_prove_nothing_of_a_line() -> None:
    """Of a few records, answered quickly, no batch grows."""
    sender = Sender(0)
    for i in range(20):
        sender.taken(sender.send(i, i + 1, 0.0, is_full=False), 0.01)
    assert sender.batch_bytes_max == BATCH_BYTES_MIN


def test_a_far_broker_is_no_slow_one() -> None:
    """Over a satellite each answer is late; as long as none is later for its size, batches grow."""
    sender = Sender(0)
    for i in range(20):
        sender.taken(sender.send(i, i + 1, 0.0), 1.2)
    assert sender.batch_bytes_max == BATCH_BYTES_MAX


@given(st.floats(2_000, 200_000), st.floats(0, 1.5))
def test_little_is_in_flight_on_any_line(bytes_per_s: float, far_s: float) -> None:
    """Once a line is known, what is in flight has passed within twice what is called slow there."""
    sender, now_s, free_s, seq = Sender(0), 0.0, 0.0, 0
    flights: deque[tuple[float, Flight]] = deque()
    worst_s = 0.0
    while seq < 300:
        if sender.has_room:
            free_s = max(free_s, now_s) + sender.batch_bytes_max / bytes_per_s
            if seq > 50:
                worst_s = max(worst_s, free_s - now_s)
            flights.append((free_s + far_s, sender.send(seq, seq + 1, now_s)))
            seq += 1
            continue
        now_s, flight = flights.popleft()
        sender.taken(flight, now_s)
    slow_s = max(SLOW_S, QUEUED * (BATCH_BYTES_MIN / bytes_per_s + far_s))
    assert worst_s <= 2 * slow_s


@given(st.floats(0.01, 0.5), st.floats(0.1, 1.0), st.integers(1, WINDOW))
def test_a_backlog_takes_its_share_of_the_line(takes_s: float, share: float, window: int) -> None:
    """Behind a broker that takes one batch after the other, a part of its time stays free."""
    sender = Sender(0, window=window, share=share)
    now_s = busy_until_s = 0.0
    flights: list[tuple[float, Flight]] = []
    while sender.published < 400:
        if sender.has_room and sender.wait_s(now_s) <= 0:
            busy_until_s = max(busy_until_s, now_s) + takes_s
            flight = sender.send(sender.after, sender.after + 1, now_s, is_history=True)
            flights.append((busy_until_s, flight))
            continue
        wake_s = flights[0][0] if flights else now_s + sender.wait_s(now_s)
        if sender.has_room and sender.wait_s(now_s) > 0:
            wake_s = min(wake_s, now_s + sender.wait_s(now_s) + 1e-9)
        now_s = max(now_s, wake_s)
        while flights and flights[0][0] <= now_s:
            sender.taken(flights.pop(0)[1], now_s)
    assert 400 * takes_s / now_s <= share * 1.05 + 0.02


def test_what_is_live_is_not_paced() -> None:
    """Only history is held back."""
    sender = Sender(0, share=0.5)
    sender.taken(sender.send(0, 10, 0.0), 1.0)
    sender.taken(sender.send(10, 20, 1.0), 2.0)
    assert sender.wait_s(1.0) == 0
    sender.send(20, 30, 1.0, is_history=True)
    assert sender.wait_s(1.0) > 0


def test_a_consumer_is_silent_while_records_wait_for_its_word() -> None:
    """Only then, only after `SILENT_S`, and each of them by itself."""
    listening = Listening(["noc", "owner"])
    listening.look({"noc": 5, "owner": 5}, 5, 0.0)
    assert listening.silent(10 * SILENT_S) == {}
    listening.look({"noc": 5, "owner": 9}, 9, 100.0)
    assert listening.silent(100.0 + SILENT_S - 1) == {}
    listening.look({"noc": 5, "owner": 9}, 12, 110.0)
    listening.heard("owner")
    assert listening.silent(101.0 + SILENT_S) == {"noc": SILENT_S + 1}
    listening.heard("noc")
    assert listening.silent(200.0) == {}


@given(st.lists(st.tuples(st.sampled_from("stxw"), st.integers(0, 9)), max_size=200))
def test_published_never_covers_what_was_not_taken(steps: list[tuple[str, int]]) -> None:
    """Whatever the order of sends, PUBACKs, refusals and rewinds, no untaken batch is counted."""
    sender = Sender(0)
    flying: list[Flight] = []
    taken: set[int] = set()
    for step, number in steps:
        if step == "s" and sender.has_room:
            flying.append(sender.send(sender.after, sender.after + 1 + number, 0.0))
        elif step in "tx" and flying:
            flight = flying.pop(number % len(flying))
            if step == "t":
                taken |= set(range(flight.after + 1, flight.last + 1))
                sender.taken(flight, 0.1)
            else:
                sender.refused(flight, 0.1)
        elif step == "w":
            seq = min(sender.sent, sender.after * number // 10)
            taken |= set(range(1, seq + 1))  # who asks for what follows it has it
            sender.rewind(seq)
        assert set(range(1, sender.published + 1)) <= taken
        assert sender.after <= sender.sent


def test_a_valid_ack_moves_the_cursor() -> None:
    """A configured consumer acknowledges this journal between the cursor and what was sent."""
    acks = Acks(JOURNAL, ["noc"], cursor=10, sent=20)
    assert acks.decide("noc", ack(15), 0.0) == Accepted("noc", 15, 15)
    acks.note_sent(30)
    assert acks.decide("noc", ack(30), 0.0) == Accepted("noc", 30, 30)


@pytest.mark.parametrize(
    ("consumer", "payload", "why"),
    [
        ("spy", ack(15), "is no configured consumer"),
        ("noc", ack(15, "0" * 32), "another journal"),
        ("noc", ack(9), "before the cursor 10"),
        ("noc", ack(21), "only 20 was sent"),
        ("noc", ack(-1), "before the cursor"),
        ("noc", ack(10**400), "sent no"),
        ("noc", ack(15.0), "sent no"),
        ("noc", ack("15"), "sent no"),
        ("noc", ack(True), "sent no"),
        ("noc", ack(None), "sent no"),
        ("noc", ack(15, 7), "sent no"),
        ("noc", b"", "sent no"),
        ("noc", b"\xff", "sent no"),
        ("noc", b"[1]", "sent no"),
        ("noc", b"[" * 999, "sent no"),
        ("noc", ack(15) + b" " * 1000, "more than 1000"),
    ],
)
def test_any_other_ack_is_refused_and_moves_nothing(
    consumer: str, payload: bytes, why: str
) -> None:
    """A forged, foreign, old, garbled or oversized acknowledgement is refused, with its reason."""
    acks = Acks(JOURNAL, ["noc"], cursor=10, sent=20)
    verdict = acks.decide(consumer, payload, 0.0)
    assert isinstance(verdict, Refused)
    assert why in verdict.why
    assert len(verdict.why) < 600
    assert acks.decide("noc", ack(10), 0.0, is_retained=True) == Accepted("noc", 10, 10)


@given(st.binary(max_size=1200))
def test_no_bytes_break_the_judge(payload: bytes) -> None:
    """Any bytes at all on an ack topic are judged, and garbage is refused."""
    acks = Acks(JOURNAL, ["noc"], cursor=10, sent=20)
    assert isinstance(acks.decide("noc", payload, 0.0), Refused)


@given(
    st.lists(st.tuples(st.sampled_from("abx"), st.integers(-5, 60), st.integers(0, 5)), max_size=99)
)
def test_the_cursor_never_passes_any_consumer_nor_goes_back(
    steps: list[tuple[str, int, int]],
) -> None:
    """With several consumers the cursor is what every one of them has, and it only grows."""
    acks = Acks(JOURNAL, ["a", "b"], cursor=5, sent=10)
    best = {"a": 5, "b": 5}
    cursor, sent = 5, 10
    for consumer, seq, more in steps:
        sent += more
        acks.note_sent(sent)
        verdict = acks.decide(consumer, ack(seq), 0.0)
        if isinstance(verdict, Accepted):
            assert cursor <= seq <= sent
            best[consumer] = max(best[consumer], seq)
            assert cursor <= verdict.cursor <= min(best.values())
            cursor = verdict.cursor


def test_a_repeated_ack_asks_for_what_follows_but_not_too_often() -> None:
    """A consumer that repeats its position while more was sent is sent that again, at times."""
    acks = Acks(JOURNAL, ["noc"], cursor=10, sent=20)
    assert acks.decide("noc", ack(12), 0.0) == Accepted("noc", 12, 12)
    assert acks.decide("noc", ack(12), 1.0) == Accepted("noc", 12, 12, resend_after=12)
    assert acks.decide("noc", ack(12), 2.0) == Accepted("noc", 12, 12)
    later_s = 1.0 + REWIND_S_MIN
    assert acks.decide("noc", ack(12), later_s) == Accepted("noc", 12, 12, resend_after=12)


def test_a_retained_or_complete_ack_asks_for_nothing() -> None:
    """An ack that lay on the broker, or has all that was sent, is no request."""
    acks = Acks(JOURNAL, ["noc"], cursor=10, sent=20)
    assert acks.decide("noc", ack(10), 0.0, is_retained=True) == Accepted("noc", 10, 10)
    acks.decide("noc", ack(20), 0.0)
    assert acks.decide("noc", ack(20), 9.0) == Accepted("noc", 20, 20)


def test_refusals_are_counted_and_audited_rarely() -> None:
    """A thousand refused acks make one audit record a minute, with their count."""
    refusals = Refusals()
    refused = Refused("spy" * 100, "is no configured consumer")
    audits = [refusals.audit("t" * 5000, refused, i * AUDIT_S_MIN / 500) for i in range(1000)]
    bodies = [body for body in audits if body is not None]
    assert refusals.count == 1000
    assert [body["count"] for body in bodies] == [1, 500]
    assert len(json.dumps(bodies[0])) < 500


@given(
    st.lists(st.tuples(st.floats(0, 30), st.integers(0, 50)), max_size=60),
    st.floats(0, 100),
)
def test_only_what_is_old_is_called_so(steps: list[tuple[float, int]], later_s: float) -> None:
    """Whatever the wall clock does: a number is old only when it was noted long enough ago."""
    trail, now_s, last = Trail(), 0.0, 0
    noted: list[tuple[float, int]] = []
    for span_s, count in steps:
        now_s, last = now_s + span_s, last + count
        trail.note(last, now_s)
        noted.append((now_s, last))
    now_s += later_s
    old = trail.old(now_s)
    assert old == 0 or old in [end for at_s, end in noted if now_s - at_s > HISTORY_AGE_S]


def test_what_was_there_before_an_outage_is_old() -> None:
    """After a while in which the journal grew, all up to the last look before it is old."""
    trail = Trail()
    for second in range(60):
        trail.note(100 + second, float(second))
    assert trail.old(59.0 + HISTORY_AGE_S + 1) == 159


def test_a_record_is_late_by_its_own_time(at) -> None:
    """A record that says it is older than the limit is history, one from the future is not."""
    record = Record(1, "event", at(0), {})
    assert is_late(record, at(HISTORY_AGE_S + 1))
    assert not is_late(record, at(HISTORY_AGE_S))
    assert not is_late(record, at(-3600))


def test_a_pause_grows_until_something_is_taken() -> None:
    """What cannot go is tried again after longer and longer, and then at once."""
    sender = Sender(0)
    waits = []
    for _ in range(8):
        sender.hold(100.0)
        waits.append(sender.wait_s(100.0))
    assert waits == sorted(waits) and waits[0] < waits[-1] == PAUSE_S_MAX
    sender.taken(sender.send(0, 1, 200.0), 200.0)
    sender.hold(200.0)
    assert sender.wait_s(200.0) == waits[0]
