"""words.py: registers as they came, with their time."""

from datetime import UTC, datetime

import pytest

from shorewatch.config import load_station
from shorewatch.decode import AGE_NEVER, Moment
from shorewatch.plan import compile_board
from shorewatch.words import Words

AT = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
NEVER = [AGE_NEVER >> 16, AGE_NEVER & 0xFFFF]


@pytest.fixture
def block(write, station_text):
    """The one block of device room."""
    plan = compile_board(load_station(write("s.toml", station_text)), "beach")
    return next(block for block in plan.blocks if block.device.id == "room")


def test_words_stand_as_they_came_with_their_time(block):
    """Four hexadecimal digits each; the age is that of the data, and goes on."""
    words = Words()
    words.note(block, [7, 1, 0, 500, 0x00D7, 0xFFFE], Moment(AT, 100.0, 0.0))

    (row,) = words.of("room", 103.0)
    assert (row["function"], row["address"], row["count"]) == (4, 1, 2)
    assert row["words"] == ["00d7", "fffe"] and row["reason"] is None
    assert (row["acquired_at"], row["age_s"]) == ("2026-11-23T11:59:59.500Z", 3.5)


def test_a_block_that_fails_says_why_beside_what_it_had(block):
    """Its last words stay, with the reason and the exception of the last request."""
    words = Words()
    words.note(block, [7, 2 << 8 | 5, 0, 0, 0x00D7, 500], Moment(AT, 100.0, 0.0))

    (row,) = words.of("room", 100.0)
    assert row["words"] == ["00d7", "01f4"]
    assert (row["reason"], row["exception"]) == ("device-exception", 2)


def test_a_block_that_never_came_has_no_words(block):
    """What a board serves in its place is no data."""
    words = Words()
    words.note(block, [0, 0, *NEVER, 0, 0], Moment(AT, 100.0, 0.0))

    (row,) = words.of("room", 100.0)
    assert (row["words"], row["age_s"], row["reason"]) == ([], None, "never-read")


def test_another_device_has_none_of_them(block):
    """Words belong to their device, and are gone with their plan."""
    words = Words()
    words.note(block, [7, 1, 0, 0, 1, 2], Moment(AT, 100.0, 0.0))

    assert words.of("manhole", 100.0) == []
    words.clear()
    assert words.of("room", 100.0) == []
