"""trend.py and pack.py: no extreme is lost, no gap drawn over, and bytes come back as they were."""

import math
import struct
from collections.abc import Sequence
from contextlib import suppress
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shorewatch.model import Quality, Reason, Scalar, Value
from shorewatch.pack import (
    DamagedError,
    pack_changes,
    pack_minutes,
    unpack_changes,
    unpack_minutes,
)
from shorewatch.trend import (
    GOOD,
    HOUR_MS,
    MINUTE_MS,
    NOT_RECORDED,
    Change,
    Span,
    folded,
    gap,
    thinned,
    to_spans,
    to_state,
    to_words,
)

HOUR = 1_800_000_000_000 // HOUR_MS * HOUR_MS
BAD = to_state(Value(Quality.BAD, Reason.STALE))
UNCERTAIN = to_state(Value(Quality.UNCERTAIN, Reason.CLOCK, value=0))

numbers = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-(2**64), 2**64),
    st.booleans(),
    st.floats(-1000, 1000).map(lambda x: round(x, 1)),
    st.floats(width=32, allow_nan=False, allow_infinity=False),
)
readings = st.one_of(
    st.tuples(st.sampled_from([GOOD, UNCERTAIN]), numbers),
    st.tuples(st.sampled_from([BAD, NOT_RECORDED]), st.none()),
)


def changes_of(values: st.SearchStrategy[tuple[int, Scalar | None]]) -> st.SearchStrategy:
    """Ascending changes, some before the hour, at most to its end."""
    times = st.integers(HOUR - 5000, HOUR + HOUR_MS)
    pairs = st.lists(st.tuples(times, values), max_size=30, unique_by=lambda pair: pair[0])
    return pairs.map(lambda found: [Change(at_ms, *v) for at_ms, v in sorted(found, key=_time)])


def _time(pair: tuple[int, object]) -> int:
    return pair[0]


def naive(changes: Sequence[Change], from_ms: int, to_ms: int) -> tuple[object, ...]:
    """A minute the slow way: what holds is looked up for each stretch between any two changes."""
    edges = sorted({from_ms, to_ms, *(c.at_ms for c in changes if from_ms < c.at_ms < to_ms)})
    held: list[tuple[Change, int]] = []
    for begin, end in pairwise(edges):
        before = [change for change in changes if change.at_ms <= begin]
        held.append((before[-1] if before else Change(begin, NOT_RECORDED, None), end - begin))
    known = [(c.value, ms) for c, ms in held if c.value is not None]
    total_ms = sum(ms for _, ms in known)
    mean = sum(Fraction(v) * ms for v, ms in known) / total_ms if known else None
    return (
        min((v for v, _ in known), default=None), mean, max((v for v, _ in known), default=None),
        held[-1][0].value, held[-1][0].state, max(c.state for c, _ in held),
        sum(ms for c, ms in held if c.state == GOOD), total_ms,
    )  # fmt: skip


@given(changes_of(readings))
def test_each_minute_is_what_a_naive_recomputation_gives(changes: list[Change]) -> None:
    """Extremes, last value, states and times exactly; the mean to a double's precision."""
    minutes = folded(to_spans(changes, HOUR, HOUR + HOUR_MS), MINUTE_MS)
    assert [span.from_ms for span in minutes] == [HOUR + i * MINUTE_MS for i in range(60)]
    for span in minutes:
        low, mean, high, *rest = naive(changes, span.from_ms, span.to_ms)
        assert (span.low, span.high) == (low, high)
        assert [span.last, span.ended, span.worst, span.good_ms, span.known_ms] == rest
        if mean is None or span.mean is None:
            assert mean is span.mean is None
        else:
            size = max(abs(float(low)), abs(float(high)))  # type: ignore[arg-type]
            assert math.isclose(span.mean, float(mean), rel_tol=1e-9, abs_tol=size * 1e-12)


@given(changes_of(readings), st.integers(2, 80))
def test_thinning_loses_no_extreme_and_no_bad_moment(changes: list[Change], count: int) -> None:
    """However few spans are asked for; together they cover the same time without a hole."""
    spans = to_spans(changes, HOUR, HOUR + HOUR_MS)
    few = thinned(spans, count)
    assert len(few) <= count or few == spans
    assert (few[0].from_ms, few[-1].to_ms) == (HOUR, HOUR + HOUR_MS)
    assert all(a.to_ms == b.from_ms for a, b in pairwise(few))
    for pick in (lambda s: s.low, lambda s: s.high):
        found = {pick(s) for s in spans if pick(s) is not None}
        kept = {pick(s) for s in few if pick(s) is not None}
        assert kept <= found
    assert min((s.low for s in spans if s.low is not None), default=None) == min(
        (s.low for s in few if s.low is not None), default=None
    )
    assert max((s.high for s in spans if s.high is not None), default=None) == max(
        (s.high for s in few if s.high is not None), default=None
    )
    assert max(s.worst for s in spans) == max(s.worst for s in few)
    assert sum(s.good_ms for s in spans) == sum(s.good_ms for s in few)


@given(changes_of(st.one_of(readings, st.tuples(st.just(GOOD), st.text(max_size=8)))))
def test_changes_come_back_as_they_were_packed(changes: list[Change]) -> None:
    """Value for value and type for type, integers past 2^63, texts and states included."""
    found = unpack_changes(pack_changes(changes))
    assert found == changes
    assert [type(change.value) for change in found] == [type(change.value) for change in changes]


@given(changes_of(readings))
def test_minutes_come_back_as_they_were_packed(changes: list[Change]) -> None:
    """All exactly but the mean, which has seven digits and stays between the extremes."""
    minutes = folded(to_spans(changes, HOUR, HOUR + HOUR_MS), MINUTE_MS)
    for found, span in zip(unpack_minutes(pack_minutes(minutes)), minutes, strict=True):
        assert (found.from_ms, found.to_ms, found.low, found.high, found.worst) == (
            span.from_ms, span.to_ms, span.low, span.high, span.worst,
        )  # fmt: skip
        assert (found.ended, found.good_ms, found.known_ms) == (
            span.ended, span.good_ms, span.known_ms,
        )  # fmt: skip
        if span.mean is not None:
            assert found.mean is not None and span.low <= found.mean <= span.high
            assert math.isclose(found.mean, span.mean, rel_tol=1e-6, abs_tol=1e-37)


@given(st.binary(max_size=200), st.integers(0, 200), st.integers(0, 7))
def test_garbled_bytes_are_damage_not_a_crash(data: bytes, place: int, bit: int) -> None:
    """Any bytes, and each bit of a real chunk flipped, give changes or DamagedError."""
    chunk = bytearray(pack_changes([Change(HOUR + i, GOOD, i * 0.37) for i in range(100)]))
    chunk[place % len(chunk)] ^= 1 << bit
    for bytes_ in (data, bytes(chunk), bytes(chunk[:place])):
        for unpack in (unpack_changes, unpack_minutes):
            with suppress(DamagedError):
                unpack(bytes_)


@pytest.mark.parametrize(
    ("value", "most"),
    [
        (lambda i: round(231.0 + (i * 7919 % 13 - 6) / 10, 1), 1.6),
        (lambda i: 1000 + i * 7919 % 13, 1.6),
        (lambda i: round(struct.unpack("f", struct.pack("f", 231 + i * 7919 % 97 / 97))[0], 9), 5),
        (lambda i: i % 2 == 0, 1.3),
        (lambda i: ("open", "closed")[i % 2], 1.5),
    ],
)
def test_a_value_costs_few_bytes(value, most) -> None:
    """A noisy reading each second takes at most that many bytes, time and state included."""
    changes = [Change(HOUR + 1000 * i + i * 31 % 17, GOOD, value(i)) for i in range(256)]
    assert len(pack_changes(changes)) / len(changes) <= most


@pytest.mark.parametrize("reason", Reason)
def test_each_reason_has_a_number_of_its_own(reason: Reason) -> None:
    """So that a state on disk names the reason that it was written with."""
    bad = Value(Quality.BAD, reason)
    assert to_words(to_state(bad)) == (Quality.BAD, str(reason))
    uncertain = Value(Quality.UNCERTAIN, reason, value=1)
    assert to_words(to_state(uncertain)) == (Quality.UNCERTAIN, str(reason))
    assert to_state(uncertain) < to_state(bad) < NOT_RECORDED


def test_a_gap_is_bad_and_not_recorded() -> None:
    """It has no value, is never good, and says why."""
    span: Span = gap(HOUR, HOUR + 1)
    assert not span.is_recorded and span.last is span.mean is None and span.good_ms == 0
    assert to_words(span.worst) == (Quality.BAD, "not-recorded")
