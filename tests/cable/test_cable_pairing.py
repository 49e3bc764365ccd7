"""Readings of two stations become pairs of one moment, whatever the order in which they come."""

from hypothesis import given
from hypothesis import strategies as st

from shorewatch.cable.budget import Shown
from shorewatch.cable.pairing import HOLD_S, WAIT_S, Pair, Pairing, Reading


def reading(at_s: float, end: str) -> Reading:
    """A reading whose volts are its time."""
    return Reading(at_s, "A" if end == "A" else "B", Shown(at_s, 1.0))


def paired(readings: list[Reading]) -> list[Pair]:
    pairing = Pairing()
    return [pair for one in readings for pair in pairing.take(one, 0.0)]


def test_ends_are_paired_by_acquisition() -> None:
    """A pair of second t has of each end the newest that was acquired by t."""
    pairs = paired([reading(t / 4 + 10.1, end) for t in range(20) for end in "AB"])
    assert [pair.at_s for pair in pairs] == [11, 12, 13, 14]
    for pair in pairs:
        assert pair.a is not None and pair.b is not None
        assert pair.at_s - 0.25 < pair.a.volts <= pair.at_s
        assert pair.a == pair.b


@given(order=st.permutations(["A"] * 12 + ["B"] * 12))
def test_the_order_of_arrival_does_not_matter(order: list[str]) -> None:
    """Each end's readings in order, however both interleave, give the same pairs."""
    times = {"A": iter(range(100, 112)), "B": iter(range(100, 112))}
    pairs = paired([reading(next(times[end]) + 0.5, end) for end in order])
    straight = paired([reading(t + 0.5, end) for t in range(100, 112) for end in "AB"])
    assert pairs == straight


def test_a_silent_end_is_waited_for_and_then_missing() -> None:
    """No pair comes for `WAIT_S`; then all do, with None once the last reading is too old."""
    pairing = Pairing()
    list(pairing.take(reading(100.0, "B"), 100.0))
    made = [list(pairing.take(reading(float(t), "A"), float(t))) for t in range(100, 150)]
    pairs = [pair for some in made for pair in some]
    assert not any(made[1 : int(WAIT_S)]) and made[int(WAIT_S)]
    assert pairs[-1].at_s == 149
    assert [pair.at_s for pair in pairs if pair.b is not None][-1] == 100 + HOLD_S - 1
    assert all(pair.a is not None for pair in pairs)


def test_a_bad_reading_is_missing_at_once() -> None:
    """What is bad is None from its second on, not the value before it."""
    bad = Reading(101.5, "B", None)
    pairs = paired([reading(101.0, "A"), reading(101.0, "B"), bad, reading(103.0, "A"),
                    reading(103.5, "B")])  # fmt: skip
    assert [(pair.at_s, pair.b is None) for pair in pairs] == [
        (101, False), (102, True), (103, True),
    ]  # fmt: skip


def test_a_reading_of_the_past_is_dropped() -> None:
    """A time that is not later than the end's last is counted and not paired."""
    pairing = Pairing()
    for one in (reading(100.0, "A"), reading(100.0, "A"), reading(99.0, "A")):
        list(pairing.take(one, 0.0))
    assert pairing.dropped == 2


def test_a_night_without_records_is_skipped() -> None:
    """Between two days of records no empty pairs are made by the second."""
    days = [float(t) for day in (0, 86_400) for t in range(day, day + 50)]
    pairs = paired([reading(t, end) for t in days for end in "AB"])
    assert len(pairs) < 2 * 50 + 2 * WAIT_S


def test_a_backlog_of_one_end_waits_for_the_other() -> None:
    """An hour of A's readings, received before B's hour at once, is paired."""
    hour = range(3600)
    pairs = paired([reading(float(t), end) for end in "AB" for t in hour])
    assert len(pairs) == 3600
    assert all(pair.a is not None and pair.b is not None for pair in pairs)
