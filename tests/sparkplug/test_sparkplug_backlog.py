"""How far a session is in the journal, and what records are as history."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from shorewatch.outbox import Record
from shorewatch.sparkplug.backlog import HELD_S, Progress, past_of
from shorewatch.sparkplug.metrics import BAD, GOOD, STALE, Said
from shorewatch.sparkplug.session import Session

AT = datetime(2026, 11, 22, 16, 44, tzinfo=UTC)
AT_MS = round(AT.timestamp() * 1000)


def born(station) -> Session:
    session = Session(station, 0)
    list(session.birth(station, {}, {}, AT_MS))
    return session


def sample(seq: int, device: str, **tables) -> Record:
    return Record(seq, "sample", AT, {"device": device, "uncertainty_s": 0.0, **tables})


def test_what_is_confirmed_is_held_before_it_counts():
    """The cursor follows the broker's answer after a minute, not before."""
    progress = Progress(cursor=10, born=10)
    progress.told_live(15)
    progress.confirmed(progress.sent, 100.0)

    assert progress.cursor(100.0 + HELD_S - 1) == 10
    assert progress.cursor(100.0 + HELD_S) == 15


def test_live_values_do_not_count_while_the_past_is_untold():
    """A hole in front of what went out live keeps the cursor."""
    progress = Progress(cursor=10, born=50)
    progress.told_live(60)
    progress.told_past(30)

    assert (progress.sent, progress.is_past_told, progress.past_left) == (30, False, 20)
    progress.told_past(50)
    assert (progress.sent, progress.is_past_told) == (60, True)


@given(st.lists(st.tuples(st.integers(1, 20), st.floats(0, 50)), max_size=30))
def test_the_cursor_never_passes_what_was_confirmed_long_ago(steps):
    """Whatever is sent and confirmed when: the cursor is at most what stood so for `HELD_S`."""
    progress = Progress(0, 0)
    confirmed: list[tuple[int, float]] = []
    seq, now_s = 0, 0.0
    for count, span_s in steps:
        seq, now_s = seq + count, now_s + span_s
        progress.told_live(seq)
        progress.confirmed(progress.sent, now_s)
        confirmed.append((seq, now_s))
        old = [one for one, at_s in confirmed if now_s - at_s >= HELD_S]
        assert progress.cursor(now_s) == max(old, default=0)


def test_a_sample_is_values_with_its_time(station):
    """Good, uncertain, bad and stale points of a record, each as it would have been live."""
    record = sample(
        1,
        "pfe",
        points={"line_voltage": 5000.0, "line_current": 1.1},
        uncertain={"line_current": "device-doubt"},
        bad={"set_current": "device-timeout", "status": "stale"},
    )

    assert past_of(born(station), [record]) == {
        "pfe": {
            "line_voltage": [Said(5000.0, GOOD, None, AT_MS)],
            "line_current": [Said(1.1, BAD, "device-doubt", AT_MS)],
            "set_current": [Said(None, BAD, "device-timeout", AT_MS)],
            "status": [Said(None, STALE, "stale", AT_MS)],
        }
    }


def test_what_is_not_there_any_more_is_left_out(station):
    """Devices and points that went, values of another type, and records that are no samples."""
    records = [
        sample(1, "gone", points={"x": 1}),
        sample(2, "pfe", points={"gone": 1, "heartbeat": "text"}),
        Record(3, "event", AT, {"device": "pfe", "points": {"line_voltage": 1.0}}),
    ]

    assert past_of(born(station), records) == {}
