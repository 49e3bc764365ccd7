"""follower.py: what a NOC may believe of what it hears."""

import json
from collections.abc import Callable, Iterable
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shorewatch.model import to_text
from shorewatch.mqtt.follower import (
    ASK_S,
    LATENCIES_MAX,
    RANGES_MAX,
    STATIONS_MAX,
    TAIL_ASK_S,
    TAIL_S_MAX,
    Follower,
    Ranges,
    Reservoir,
)

At = Callable[[float], datetime]
PREFIX = "shorewatch/v1/cable/station"
JOURNAL = "5" * 32


class Noc:
    """A follower with a clock: wall time and monotonic time advance together."""

    def __init__(self, at: At) -> None:
        self.follower = Follower()
        self.follower.is_consumer = True
        self._at = at
        self.now_s = 1000.0

    def hear(self, topic: str, body: object, prefix: str = PREFIX) -> None:
        payload = body if isinstance(body, bytes) else json.dumps(body).encode()
        at = self._at(self.now_s)
        self.follower.receive(f"{prefix}/{topic}", payload, at, self.now_s)

    def state(self, last: int = 0, *, first: int = 1, cursor: int = 0, **more: object) -> None:
        since = to_text(self._at(0))
        self.hear(
            "state",
            {"online": True, "journal": JOURNAL, "first": first, "last": last, "cursor": cursor,
             "since": since} | more,
        )  # fmt: skip

    def batch(
        self, after: int, seqs: Iterable[int], *, journal: str = JOURNAL, **more: object
    ) -> None:
        at = to_text(self._at(self.now_s - 0.5))
        records = [{"seq": seq, "kind": "sample", "at": at} | more for seq in seqs]
        body = {"journal": journal, "after": after, "first": records[0]["seq"],
                "last": records[-1]["seq"], "records": records}  # fmt: skip
        self.hear("journal", body)

    def birth(self, age_s_max: float = 5.0) -> None:
        self.hear("birth/pfe", {"device": "pfe", "points": {"u": {"age_s_max": age_s_max}}})

    def now(
        self, age_s: float | None = 0.1, *, sent_s: float | None = None, **more: object
    ) -> None:
        sent = self.now_s if sent_s is None else sent_s
        point = {"value": 7.0, "quality": "good", "reason": None, "age_s": age_s,
                 "acquired_at": to_text(self._at(sent - (age_s or 0)))} | more  # fmt: skip
        self.hear(
            "now/pfe", {"device": "pfe", "at": to_text(self._at(sent)), "points": {"u": point}}
        )

    @property
    def station(self):  # type: ignore[no-untyped-def]
        return self.follower.stations[PREFIX]

    @property
    def life(self) -> str:
        return self.follower.life(self.station, self.now_s)

    def due(self) -> tuple[str, int] | None:
        return self.follower.ack_due(PREFIX, self.now_s)

    def ack(self) -> int:
        due = self.due()
        assert due is not None
        self.follower.note_acked(PREFIX, *due, self.now_s)
        return due[1]


@pytest.fixture
def noc(at: At) -> Noc:
    return Noc(at)


def test_a_journal_in_order_has_no_gaps(noc: Noc) -> None:
    """Ascending batches are settled to their end, counted, and due for acknowledgement."""
    noc.state()
    noc.batch(0, range(1, 11))
    noc.batch(10, range(11, 21))
    station = noc.station
    assert (station.received_to, station.next_seq, station.gaps) == (20, 21, [])
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
    assert (noc.station.duplicates, noc.station.late) == (10, 10)
    assert noc.station.kinds == {"sample": 30}


def test_repeated_batches_are_duplicates_not_records(noc: Noc) -> None:
    """A record delivered twice is counted once as a record and once as a duplicate."""
    noc.state()
    for _ in range(3):
        noc.batch(0, range(1, 11))
    assert (noc.station.kinds.total(), noc.station.duplicates, noc.station.late) == (10, 20, 0)


def test_evicted_records_are_lost_and_a_loss_record_explains_them(noc: Noc) -> None:
    """A hole inside a batch is a loss at the station; without its loss record it is unexplained."""
    noc.state()
    noc.batch(0, [1, 2, 3, 8, 9])
    station = noc.station
    assert (station.lost, station.gaps, station.sequence_gaps) == (4, [], 4)
    assert station.received_to == 9
    loss = {"uplink": "noc", "what": "sample", "from": 4, "to": 7, "count": 4, "why": "cap"}
    noc.batch(9, [10], kind="loss", **loss)
    assert (station.lost, station.sequence_gaps) == (4, 0)
    assert [found["why"] for found in station.losses] == ["cap"]


def test_a_loss_told_before_its_hole_explains_it_too(noc: Noc) -> None:
    """A consumer that was away may hear of the loss first and find the hole later."""
    noc.state()
    noc.batch(0, [1, 2, 3])
    noc.batch(20, [21], kind="loss", **{"from": 5, "to": 19})
    noc.batch(3, [4, 20])
    assert (noc.station.sequence_gaps, noc.station.lost, noc.station.received_to) == (0, 15, 21)


def test_what_we_had_before_it_was_evicted_is_not_lost(noc: Noc) -> None:
    """A hole in a repeated batch that covers records we already have costs nothing."""
    noc.state()
    noc.batch(0, [1, 2, 3])
    noc.batch(10, range(11, 16))
    noc.batch(3, [4, 5, 6, 7, 8, 9, 10, 15])
    assert (noc.station.lost, noc.station.sequence_gaps, noc.station.received_to) == (0, 0, 15)


def test_a_follower_begins_where_its_acknowledgement_ended(noc: Noc) -> None:
    """After a restart the own retained ack says what is already settled."""
    noc.hear("ack/noc", {"journal": JOURNAL, "seq": 500})
    noc.state(last=800, cursor=300)
    assert noc.station.next_seq == 501
    noc.batch(300, range(301, 801))
    assert (noc.station.duplicates, noc.station.received_to) == (200, 800)


def test_a_follower_without_a_past_begins_at_the_cursor(noc: Noc) -> None:
    """What was acknowledged or is no longer kept is not missed by a new follower."""
    noc.state(last=800, cursor=300)
    assert noc.station.next_seq == 301
    noc.batch(700, range(701, 801))
    assert noc.station.gaps == [(301, 700)]


def test_what_was_acknowledged_in_our_name_is_skipped_and_told(noc: Noc) -> None:
    """A cursor beyond what we have ends the waiting, and is counted."""
    noc.state(last=100)
    noc.batch(50, range(51, 101))
    noc.state(last=100, cursor=50)
    assert (noc.station.gaps, noc.station.skipped, noc.station.received_to) == ([], 50, 100)


def test_a_new_journal_begins_anew(noc: Noc) -> None:
    """Numbers of another journal are other records."""
    noc.state(last=50)
    noc.batch(0, range(1, 51))
    noc.batch(0, range(1, 4), journal="6" * 32)
    station = noc.station
    assert (station.journal, station.received_to, station.journals_seen) == ("6" * 32, 3, 2)
    assert (station.duplicates, station.gaps) == (0, [])
    assert noc.due() == ("6" * 32, 3)


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


def test_values_age_here(noc: Noc) -> None:
    """A good value turns bad (stale) past its maximum age, and is kept as the last good one."""
    noc.state()
    noc.birth(age_s_max=5.0)
    noc.now(age_s=1.0)
    seen = noc.station.look("pfe", noc.now_s + 3.9)["u"]
    assert (seen.value, seen.quality) == (7.0, "good")
    assert seen.age_s == pytest.approx(4.9)
    seen = noc.station.look("pfe", noc.now_s + 4.1)["u"]
    assert (seen.value, seen.quality, seen.reason, seen.last_good) == (None, "bad", "stale", 7.0)


def test_a_retained_value_is_as_old_as_it_is(noc: Noc) -> None:
    """The time a message lay on the broker counts for its age."""
    noc.state()
    noc.birth(age_s_max=5.0)
    noc.now(age_s=0.1, sent_s=noc.now_s - 6)
    assert noc.station.look("pfe", noc.now_s)["u"].reason == "stale"


def test_a_clock_that_lags_makes_nothing_younger(noc: Noc) -> None:
    """A message from the future is as old as it says, not younger."""
    noc.state()
    noc.birth(age_s_max=5.0)
    noc.now(age_s=4.0, sent_s=noc.now_s + 100)
    assert noc.station.look("pfe", noc.now_s)["u"].quality == "good"
    assert noc.station.look("pfe", noc.now_s + 1.1)["u"].quality == "bad"


@pytest.mark.parametrize(
    ("with_birth", "is_online", "age_s", "reason"),
    [(False, True, 0.1, "no-birth"), (True, False, 0.1, "offline"), (True, True, None, "stale")],
)
def test_a_value_without_a_proof_of_age_is_not_good(
    noc: Noc, with_birth: bool, is_online: bool, age_s: float | None, reason: str
) -> None:
    """Without birth, with the station offline, or without an age, a value is bad."""
    noc.state()
    if with_birth:
        noc.birth()
    noc.now(age_s=age_s)
    if not is_online:
        noc.hear("state", {"online": False, "reason": "stopped", "journal": JOURNAL})
    seen = noc.station.look("pfe", noc.now_s)["u"]
    assert (seen.value, seen.quality, seen.reason) == (None, "bad", reason)


def test_a_bad_value_stays_bad_for_its_own_reason(noc: Noc) -> None:
    """The station's reason is kept."""
    noc.state()
    noc.birth()
    noc.now(quality="bad", reason="device-timeout", value=None, last_good=6.0)
    seen = noc.station.look("pfe", noc.now_s)["u"]
    assert (seen.quality, seen.reason, seen.last_good) == ("bad", "device-timeout", 6.0)


def test_an_unknown_quality_is_bad(noc: Noc) -> None:
    """A quality of a later version shows no number."""
    noc.state()
    noc.birth()
    noc.now(quality="splendid")
    assert noc.station.look("pfe", noc.now_s)["u"].value is None


def test_a_late_will_of_an_earlier_connection_is_ignored(noc: Noc, at: At) -> None:
    """A Will that began before the connection now alive takes nobody offline."""
    noc.state(since=to_text(at(50)))
    will = {"online": False, "reason": "connection lost", "journal": JOURNAL}
    noc.hear("state", will | {"since": to_text(at(10))})
    assert noc.station.is_online
    noc.hear("state", will | {"since": to_text(at(50))})
    assert noc.station.is_online is False
    assert noc.station.since == at(noc.now_s)


def test_emptied_topics_are_forgotten(noc: Noc) -> None:
    """An empty retained birth takes the device away."""
    noc.state()
    noc.birth()
    noc.now()
    noc.hear("birth/pfe", b"")
    assert noc.station.devices == []


def test_latencies_are_measured_from_acquisition(noc: Noc) -> None:
    """Only what is newly acquired counts, each once."""
    noc.state()
    noc.birth()
    for _ in range(3):
        noc.now(age_s=0.0, sent_s=noc.now_s - 0.25)
        noc.now(age_s=0.0, sent_s=noc.now_s - 0.25)
        noc.now_s += 1
    latency = noc.station.now_latency
    assert (latency.count, latency.quantile(0.5)) == (2, pytest.approx(0.25))


def test_a_reservoir_is_bounded_and_fair() -> None:
    """However many numbers, the quantiles stay near the truth and the memory small."""
    reservoir = Reservoir()
    for i in range(50_000):
        reservoir.add(i / 50_000)
    assert len(reservoir._kept) == LATENCIES_MAX
    assert reservoir.quantile(0.5) == pytest.approx(0.5, abs=0.05)
    assert Reservoir().quantile(0.5) is None


def test_stations_are_limited(noc: Noc) -> None:
    """Somebody who invents stations fills no memory."""
    for i in range(STATIONS_MAX + 10):
        noc.hear("state", {"online": True}, prefix=f"shorewatch/v1/cable/s{i}")
    assert len(noc.follower.stations) == STATIONS_MAX
    assert noc.follower.refused >= 10


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            ["online", "journal", "after", "first", "last", "cursor", "records", "seq", "kind",
             "at", "since", "points", "age_s", "acquired_at", "quality", "from", "to", "u"]
        ),
        inner,
        max_size=5,
    ),
    max_leaves=12,
)  # fmt: skip


@given(
    st.lists(
        st.tuples(st.sampled_from(["state", "journal", "birth/pfe", "now/pfe", "ack/noc"]), JSON),
        max_size=20,
    )
)
def test_no_message_breaks_a_follower(messages: list[tuple[str, object]]) -> None:
    """Whatever JSON a broker brings, a follower takes it or counts it as refused."""
    start = datetime.fromisoformat("2026-11-22T16:44:00+00:00")
    noc = Noc(lambda _: start)
    for topic, body in messages:
        noc.hear(topic, body)
        for station in noc.follower.stations.values():
            station.look("pfe", noc.now_s)
            assert station.sequence_gaps >= 0
            noc.due()


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 80), st.integers(0, 12)), max_size=60))
def test_ranges_are_a_set_of_numbers(steps: list[tuple[bool, int, int]]) -> None:
    """Adding and removing ranges agrees with a plain set."""
    ranges, truth = Ranges(), set[int]()
    for is_added, first, length in steps:
        numbers = range(first, first + length)
        if is_added:
            ranges.add(first, first + length - 1)
            truth |= set(numbers)
        else:
            ranges.remove(first, first + length - 1)
            truth -= set(numbers)
        assert {n for a, b in ranges for n in range(a, b + 1)} == truth
        assert ranges.count == len(truth)
        pairs = list(ranges)
        assert all(pairs[i][1] + 1 < pairs[i + 1][0] for i in range(len(pairs) - 1))


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
    assert noc.station.kinds.total() == 10 * len(came)


def test_too_many_gaps_are_not_forgotten_but_kept_as_one() -> None:
    """Beyond its limit a set of ranges takes no more, so nothing counts as come that did not."""
    ranges = Ranges()
    assert all(ranges.add(10 * i, 10 * i) for i in range(RANGES_MAX))
    assert not ranges.add(99_999, 99_999)
    assert len(ranges) == RANGES_MAX


def test_without_a_broker_nobody_knows_whether_a_station_lives(noc: Noc, at: At) -> None:
    """A lost broker, or a silence longer than a living station's, makes its life unknown."""
    noc.birth(age_s_max=4)
    noc.state(at=to_text(at(noc.now_s)))
    assert noc.life == "unknown: broker connecting"

    noc.follower.broker_state = "online"
    assert noc.life == "online"
    noc.now_s += 9
    assert noc.life == "unknown: silent"
    noc.now()
    assert noc.life == "online"

    noc.follower.broker_state = "lost"
    assert noc.life == "unknown: broker lost"


def test_a_slow_station_may_be_silent_for_longer(noc: Noc, at: At) -> None:
    """With long maximum ages only the missing of the repeated state is a silence."""
    noc.follower.broker_state = "online"
    noc.birth(age_s_max=600)
    noc.state(at=to_text(at(noc.now_s)))
    noc.now_s += 40
    assert noc.life == "online"
    noc.now_s += 10
    assert noc.life == "unknown: silent"


def test_a_retained_state_is_as_old_a_sign_of_life_as_it_is(noc: Noc, at: At) -> None:
    """What the broker kept of a station that is long gone does not make it live."""
    noc.follower.broker_state = "online"
    noc.state(at=to_text(at(noc.now_s - 3600)))

    assert noc.station.silent_s(noc.now_s) == 3600
    assert noc.life == "unknown: silent"


def test_a_station_that_was_gone_before_is_gone_at_the_latest_since_then(noc: Noc, at: At) -> None:
    """A retained Will does not know when it was sent; an orderly leave and a birth do."""
    noc.hear("state", {"online": False, "journal": JOURNAL, "reason": "connection lost"})
    assert (noc.station.since, noc.station.is_since_late) == (at(noc.now_s), True)

    noc.now_s += 10
    noc.state(since=to_text(at(noc.now_s - 3)))
    assert (noc.station.since, noc.station.is_since_late) == (at(noc.now_s - 3), False)


def test_a_state_whose_numbers_cannot_be_is_refused(noc: Noc) -> None:
    """A cursor beyond the last record, or such a first one, is no state: nothing moves."""
    noc.state(last=9)
    noc.batch(0, range(1, 10))
    noc.state(last=9, cursor=2**62)
    noc.state(last=9, first=100)
    noc.batch(9, range(10, 12))

    assert (noc.station.received_to, noc.station.duplicates) == (11, 0)


@pytest.mark.parametrize("is_batch", [True, False])
def test_a_forged_jump_is_healed_by_the_stations_own_words(noc: Noc, is_batch: bool) -> None:
    """Whoever claims impossible numbers blinds nobody for longer than two true states take."""
    noc.state(last=5, at=to_text(noc._at(0)))
    noc.batch(0, range(1, 6))
    if is_batch:
        noc.batch(5, [2**40])
    else:
        noc.state(last=2**40, cursor=2**40, at=to_text(noc._at(1)))
    assert noc.station.received_to == 2**40
    noc.state(last=6, cursor=5, at=to_text(noc._at(30)))
    noc.state(last=7, cursor=5, at=to_text(noc._at(60)))
    noc.batch(5, range(6, 9))

    assert (noc.station.received_to, noc.station.sequence_gaps) == (8, 0)
    assert noc.due() == (JOURNAL, 8)


def test_one_old_state_contradicts_nothing(noc: Noc) -> None:
    """A retained state from before the last batch, heard again and again, changes nothing."""
    noc.state(last=5, at=to_text(noc._at(0)))
    noc.batch(0, range(1, 11))
    for _ in range(3):
        noc.state(last=5, at=to_text(noc._at(0)))
    assert (noc.station.received_to, noc.station.journals_seen) == (10, 1)
