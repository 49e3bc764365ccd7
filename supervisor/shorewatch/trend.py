"""What a point did in a span of time: changes to spans, spans to fewer spans. Pure.

A `Change` says what holds from its time on; a `Span` says what held from one time to another: the
last value and state, the worst state, least, mean and greatest value, and for how long the value
was good, and known at all. Merging spans loses no extreme and no bad moment, whether it makes the
minutes that history.py keeps or the few hundred columns that a screen has room for.

A state is one byte: quality in the upper two bits, reason below, so that the worst is the greatest;
`NOT_RECORDED`, the greatest of all, is the state of time in which nobody wrote anything down. The
numbers are on disk: never change one. Times are UTC
in whole milliseconds. Means are weighted by time, over what was known (good or uncertain).
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from shorewatch.model import Quality, Reason, Scalar, Value

MINUTE_MS: Final = 60_000
HOUR_MS: Final = 60 * MINUTE_MS
GOOD: Final = 0
NOT_RECORDED: Final = 0xBF

_QUALITIES: Final = (Quality.GOOD, Quality.UNCERTAIN, Quality.BAD)
_REASONS: Final = {
    Reason.NEVER_READ: 1, Reason.STALE: 2, Reason.LINK_DOWN: 3, Reason.DEVICE_TIMEOUT: 4,
    Reason.DEVICE_GARBLED: 5, Reason.DEVICE_EXCEPTION: 6, Reason.SENTINEL: 7,
    Reason.OUT_OF_RANGE: 8, Reason.FROZEN: 9, Reason.UNKNOWN_CODE: 10, Reason.CONFIG: 11,
    Reason.MAINTENANCE: 12, Reason.CLOCK: 13, Reason.DEVICE_DOUBT: 14, Reason.UNSETTLED: 15,
}  # fmt: skip
_REASON_BITS: Final = 6
_OTHER_REASON: Final = 62


class Change(NamedTuple):
    """What holds from `at_ms` on; `value` is None exactly when the state is bad."""

    at_ms: int
    state: int
    value: Scalar | None


@dataclass(frozen=True, slots=True)
class Span:
    """What held from `from_ms` until before `to_ms`."""

    from_ms: int
    to_ms: int
    low: float | int | None
    mean: float | int | None
    high: float | int | None
    last: Scalar | None
    ended: int
    worst: int
    good_ms: int
    known_ms: int

    @property
    def is_recorded(self) -> bool:
        """Whether anything is known of any moment of it."""
        return not (self.worst == NOT_RECORDED and self.ended == NOT_RECORDED and not self.known_ms)


def to_state(value: Value) -> int:
    """The byte for a value's quality and reason."""
    if value.reason is None:
        return GOOD  # it must be: a value that is not good says why
    reason = 0 if value.reason is None else _REASONS.get(value.reason, _OTHER_REASON)
    return _QUALITIES.index(value.quality) << _REASON_BITS | reason


def to_words(state: int) -> tuple[Quality, str | None]:
    """Quality and reason of a state."""
    if state == NOT_RECORDED:
        return Quality.BAD, "not-recorded"
    number = state & ((1 << _REASON_BITS) - 1)
    reason = next((str(r) for r, n in _REASONS.items() if n == number), "unknown")
    return _QUALITIES[min(state >> _REASON_BITS, 2)], reason if number else None


def to_spans(changes: Sequence[Change], from_ms: int, to_ms: int) -> list[Span]:
    """The spans between ascending changes, cut to from-to; before the first it is not recorded."""
    if from_ms >= to_ms:
        return []
    found: list[Span] = []
    held = Change(from_ms, NOT_RECORDED, None)
    for change in changes:
        if change.at_ms >= to_ms:
            break
        if change.at_ms > from_ms:
            if change.at_ms > held.at_ms:
                found.append(_span(held, change.at_ms))
            held = change
        else:
            held = change._replace(at_ms=from_ms)
    found.append(_span(held, to_ms))
    return found


def gap(from_ms: int, to_ms: int) -> Span:
    """Time of which nothing was written down."""
    return _span(Change(from_ms, NOT_RECORDED, None), to_ms)


def merged(spans: Sequence[Span]) -> Span:
    """Consecutive spans as one."""
    assert spans, "nothing cannot be merged"
    if len(spans) == 1:
        return spans[0]
    known = [span for span in spans if span.mean is not None]
    known_ms = sum(span.known_ms for span in known)
    low = min((span.low for span in known if span.low is not None), default=None)
    high = max((span.high for span in known if span.high is not None), default=None)
    mean: float | None = None
    if low is not None and high is not None:
        # Shares first: a sum of great values times milliseconds could pass what a double holds.
        weighted = math.fsum(float(s.mean or 0) * (s.known_ms / known_ms) for s in known)
        mean = min(max(weighted, low), high)
    last = spans[-1]
    return Span(
        spans[0].from_ms, last.to_ms, low, mean, high, last.last, last.ended,
        max(span.worst for span in spans),
        sum(span.good_ms for span in spans), sum(span.known_ms for span in spans),
    )  # fmt: skip


def folded(spans: Iterable[Span], step_ms: int) -> list[Span]:
    """Spans merged by steps that begin at whole multiples of `step_ms`.

    A span across an edge is cut in two; what was merged before is then taken as even.
    """
    found: list[Span] = []
    bucket: list[Span] = []
    for span in spans:
        rest = span
        while True:
            edge_ms = (rest.from_ms // step_ms + 1) * step_ms
            if rest.to_ms < edge_ms:
                bucket.append(rest)
                break
            head, tail = _cut(rest, edge_ms)
            found.append(merged([*bucket, head]))
            bucket = []
            if tail is None:
                break
            rest = tail
    if bucket:
        found.append(merged(bucket))
    return found


def thinned(spans: Sequence[Span], count_max: int) -> list[Span]:
    """At most `count_max` spans (2 or more) with every extreme and every bad moment in them."""
    assert count_max >= 2, "a first and a last span are cut at the edges"
    if len(spans) <= count_max:
        return list(spans)
    span_ms = spans[-1].to_ms - spans[0].from_ms
    step_ms = -(-span_ms // (count_max - 1))
    if step_ms > MINUTE_MS:  # so that a kept minute is never cut
        step_ms = -(-step_ms // MINUTE_MS) * MINUTE_MS
    return folded(spans, step_ms)


def _span(held: Change, to_ms: int) -> Span:
    number = None if isinstance(held.value, str) else held.value
    length_ms = to_ms - held.at_ms
    return Span(
        held.at_ms, to_ms, number, number, number, held.value, held.state, held.state,
        length_ms if held.state == GOOD else 0, 0 if held.value is None else length_ms,
    )  # fmt: skip


def _cut(span: Span, at_ms: int) -> tuple[Span, Span | None]:
    if span.to_ms == at_ms:
        return span, None
    length_ms, head_ms = span.to_ms - span.from_ms, at_ms - span.from_ms
    good_ms = span.good_ms * head_ms // length_ms
    known_ms = span.known_ms * head_ms // length_ms
    head = replace(span, to_ms=at_ms, good_ms=good_ms, known_ms=known_ms)
    tail = replace(
        span, from_ms=at_ms, good_ms=span.good_ms - good_ms, known_ms=span.known_ms - known_ms
    )
    return head, tail
