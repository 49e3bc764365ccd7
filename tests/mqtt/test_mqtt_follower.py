"""follower.py and station.py: what a NOC may believe of what it hears."""

from datetime import datetime

import pytest
from hearing import JOURNAL, At, Noc
from hypothesis import given
from hypothesis import strategies as st

from shorewatch.model import to_text
from shorewatch.mqtt.follower import STATIONS_MAX
from shorewatch.mqtt.holes import HOLES_MAX
from shorewatch.mqtt.order import HELD_MAX


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


def test_a_liar_with_a_hundred_thousand_holes_fills_no_memory(noc: Noc) -> None:
    """However many holes one station claims, they are counted, and another's records still come."""
    other = "shorewatch/v1/cable/other"
    noc.state(last=400_000)
    for i in range(500):
        noc.batch(max(0, 800 * i - 2), range(800 * i + 2, 800 * i + 801, 4))
    body = {"online": True, "journal": JOURNAL, "first": 1, "last": 5, "cursor": 0}
    noc.hear("state", body, prefix=other)
    records = [{"seq": seq, "kind": "sample"} for seq in range(1, 6)]
    batch = {"journal": JOURNAL, "after": 0, "first": 1, "last": 5, "records": records}
    noc.hear("journal", batch, prefix=other)

    assert noc.account.records == 100_000
    assert noc.account.lost == noc.account.holes.count == 299_998
    assert len(noc.account.holes) <= HOLES_MAX
    assert noc.follower.stations[other].received_to == 5


def test_batches_from_nowhere_are_bounded(noc: Noc) -> None:
    """Batches far beyond what the station wrote, huge or of other journals, hide nothing."""
    noc.state(last=10)
    for i in range(2000):
        noc.batch(2**50 + 3 * i, [2**50 + 3 * i + 1])
        noc.batch(0, [1], journal=f"forged-{i}")
    noc.batch(0, range(1, 11))

    order = noc.reading.order
    assert order is not None and len(order._held) <= HELD_MAX
    assert (noc.station.received_to, noc.reading.foreign) == (10, 2000)
