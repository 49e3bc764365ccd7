"""recorder.py: each change once, in order, dated when it can be; and a limit that shows."""

import pytest

from shorewatch import recorder as module
from shorewatch.model import Quality, Reason, Value
from shorewatch.recorder import Recorder
from shorewatch.trend import HOUR_MS, NOT_RECORDED, Change

WALL_MS = 1_800_000_000_000 // HOUR_MS * HOUR_MS + 60_000
NAMES = {("d", "a"): "d.a", ("d", "b"): "d.b"}
BAD = Value(Quality.BAD, Reason.DEVICE_TIMEOUT)


def good(value: float, at_s: float) -> Value:
    return Value(Quality.GOOD, value=value, acquired_s=at_s)


@pytest.fixture
def recorder() -> Recorder:
    found = Recorder(NAMES)
    found.set_clock(100.0, WALL_MS)
    return found


def values(recorder: Recorder, name: str = "d.a") -> list[tuple[int, object]]:
    return [(change.at_ms - WALL_MS, change.value) for change in recorder.open(name)]


def test_only_changes_are_recorded(recorder: Recorder) -> None:
    """Of value, quality or reason; at the time of acquisition, or of being told if bad."""
    for at_s, value in ((100.0, good(1, 99.9)), (101.0, good(1, 100.9)), (102.0, good(2, 101.9))):
        recorder.take("d", {"a": value}, at_s)
    recorder.take("d", {"a": BAD}, 103.0)
    recorder.take("d", {"a": BAD}, 104.0)
    assert values(recorder) == [(-100, 1), (1900, 2), (3000, None)]
    assert recorder.recorded == 3


def test_times_ascend_whatever_the_boards_say(recorder: Recorder) -> None:
    """A reading dated before the last one comes a millisecond after it."""
    recorder.take("d", {"a": good(1, 105.0)}, 105.0)
    recorder.take("d", {"a": good(2, 104.0)}, 105.1)
    assert values(recorder) == [(5000, 1), (5001, 2)]


def test_each_hour_begins_with_what_holds(recorder: Recorder) -> None:
    """At its very beginning, before anything that is read in it."""
    recorder.take("d", {"a": good(1, 100.0)}, 100.0)
    next_s = 100.0 + (HOUR_MS - 60_000) / 1000
    recorder.take("d", {"b": good(7, next_s + 0.2)}, next_s + 0.3)
    recorder.take("d", {"a": good(2, next_s - 0.1)}, next_s + 0.4)
    begin_ms = HOUR_MS - 60_000
    assert values(recorder) == [(0, 1), (begin_ms, 1), (begin_ms + 1, 2)]


def test_a_full_recorder_has_a_gap_not_a_wrong_line(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What finds no room is counted; when there is room again the newest value is recorded."""
    monkeypatch.setattr(module, "OPEN_MAX", 4)
    for i in range(8):
        recorder.take("d", {"a": good(i, 100.0 + i)}, 100.0 + i)
    assert values(recorder) == [(0, 0), (1000, 1), (2000, 2), (3000, 3), (4000, None)]
    assert recorder.open("d.a")[-1].state == NOT_RECORDED and recorder.dropped == 4
    recorder.written({}, recorder.chunks(is_whole=True))
    recorder.take("d", {"a": good(7, 107.0)}, 108.0)
    assert values(recorder) == [(7000, 7)]


def test_what_waits_is_dated_when_the_clock_is_set() -> None:
    """By the monotonic clock, so that no time is one of 1970."""
    recorder = Recorder(NAMES)
    recorder.take("d", {"a": good(1, 90.0)}, 90.0)
    assert not recorder.is_dated
    recorder.set_clock(100.0, WALL_MS)
    recorder.take("d", {"a": good(2, 101.0)}, 101.0)
    assert values(recorder) == [(-10_000, 1), (1000, 2)]


def test_a_point_that_goes_is_not_drawn_on(recorder: Recorder) -> None:
    """From then on nothing of it is recorded; a point that comes is."""
    recorder.take("d", {"a": good(1, 100.0)}, 100.0)
    recorder.adopt({("d", "c"): "d.c"}, 105.0)
    recorder.take("d", {"a": good(2, 106.0), "c": good(3, 106.0)}, 106.0)
    assert values(recorder) == [(0, 1), (5000, None)]
    assert values(recorder, "d.c") == [(6000, 3)]


def test_what_was_committed_is_not_committed_again(recorder: Recorder) -> None:
    """Also where a chunk took along what the tail had not."""
    for i in range(3):
        recorder.take("d", {"a": good(i, 100.0 + i)}, 100.0 + i)
    recorder.written(recorder.fresh(), {})
    assert recorder.fresh() == {}
    recorder.take("d", {"a": good(3, 103.0)}, 103.0)
    recorder.written({}, recorder.chunks(is_whole=True))
    recorder.take("d", {"a": good(4, 104.0)}, 104.0)
    assert recorder.fresh() == {"d.a": [Change(WALL_MS + 4000, 0, 4)]}
    recorder.forget_file()
    assert recorder.fresh() == recorder.chunks(is_whole=True)
