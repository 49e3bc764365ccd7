"""figures.py: the rates, floods and lists of ISA-18.2, from what was raised."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shorewatch.alarms import FLOOD_RAISES
from shorewatch.figures import Raised, figures
from shorewatch.model import to_text

BEGIN = datetime(2026, 11, 22, 0, 0, tzinfo=UTC)
END = BEGIN + timedelta(days=1)


def raised(*seconds: float, alarm: str = "lid", priority: str = "major") -> list[Raised]:
    return [Raised(BEGIN + timedelta(seconds=s), alarm, priority) for s in seconds]


def test_rates_are_over_the_span():
    """48 alarms in a day are 2 an hour and 48 a day."""
    found = figures(raised(*(i * 1800.0 for i in range(48))), BEGIN, END, [])

    assert (found["per_hour"], found["per_day"], found["raised"]) == (2.0, 48.0, 48)


def test_a_minute_says_nothing_about_an_hour():
    """Over a span of a minute an alarm is one an hour, not sixty."""
    found = figures(raised(5), BEGIN, BEGIN + timedelta(minutes=1), [])

    assert found["per_hour"] == 1.0


def test_alarms_outside_the_span_do_not_count():
    """Before its begin and after its end there is nothing."""
    found = figures(raised(-1, 5, 86_401), BEGIN, END, [])

    assert found["raised"] == 1


def test_the_busiest_hour_is_named():
    """Its begin and how many came in it."""
    found = figures(raised(10, 7300, 7400, 7500), BEGIN, END, [])

    assert found["busiest_hour"] == {"from": to_text(BEGIN + timedelta(hours=2)), "count": 3}
    assert len(found["by_hour"]) == 25


def test_hours_with_over_thirty_are_a_share():
    """31 in one of the 25 hours that a day's span touches, 30 in another."""
    busy = [3600 + i for i in range(31)] + [7200 + i for i in range(30)]
    found = figures(raised(*busy), BEGIN, END, [])

    assert found["hours_over_30"] == pytest.approx(1 / 25, abs=1e-4)


def test_a_flood_lasts_from_the_tenth_to_fewer_than_five():
    """Ten within ten minutes begin it; it ends when fewer than five are younger than that."""
    found = figures(raised(*range(0, 100, 10)), BEGIN, END, [])

    [flood] = found["floods"]
    assert flood["from"] == to_text(BEGIN + timedelta(seconds=90))
    assert flood["to"] == to_text(BEGIN + timedelta(seconds=650))
    assert found["flood_share"] == pytest.approx(560 / 86_400, abs=1e-4)


def test_a_flood_that_goes_on_ends_with_the_span():
    """Its share is of the time that was looked at."""
    to_at = BEGIN + timedelta(seconds=100)
    found = figures(raised(*range(0, 100, 10)), BEGIN, to_at, [])

    assert found["floods"] == [
        {"from": to_text(BEGIN + timedelta(seconds=90)), "to": to_text(to_at)}
    ]


def test_nine_are_no_flood():
    """One fewer than the limit."""
    found = figures(raised(*range(FLOOD_RAISES - 1)), BEGIN, END, [])

    assert found["floods"] == []


def test_the_most_frequent_stand_first_with_their_share():
    """Ten at most; the share is of all alarms."""
    many = raised(*(i * 3600.0 for i in range(6)), alarm="door")
    few = [one for i in range(12) for one in raised(i * 3600.0 + 60, alarm=f"a{i}")]
    found = figures(many + few, BEGIN, END, [])

    assert found["top"][0] == {"alarm": "door", "count": 6, "share": round(6 / 18, 4)}
    assert len(found["top"]) == 10
    assert found["top_share"] == round(15 / 18, 4)


def test_three_within_a_minute_chatter():
    """An alarm that came thrice in 60 s is named, one that took 61 s is not."""
    fast, slow = raised(0, 30, 60, alarm="fast"), raised(0, 30, 61, alarm="slow")
    found = figures(fast + slow, BEGIN, END, [])

    assert found["chattering"] == [{"alarm": "fast", "count": 3}]


def test_alarms_on_for_over_a_day_are_stale():
    """Neither those that are hidden, nor those that are over, nor younger ones."""
    old, young = to_text(END - timedelta(hours=25)), to_text(END - timedelta(hours=23))
    row = {"id": "old", "since": old, "active": True, "state": "acknowledged"}
    others = [
        row | {"id": "hidden", "state": "shelved"},
        row | {"id": "over", "active": False, "state": "returned"},
        row | {"id": "young", "since": young},
    ]
    found = figures([], BEGIN, END, [row, *others])

    assert found["stale"] == [{"alarm": "old", "since": old}]


def test_each_priority_has_its_share():
    """Three of four are minor."""
    found = figures(raised(1, 2, 3, priority="minor") + raised(4), BEGIN, END, [])

    assert found["priorities"]["minor"] == {"count": 3, "share": 0.75}
    assert found["priorities"]["critical"] == {"count": 0, "share": 0.0}


@given(st.lists(st.integers(0, 86_400), max_size=200))
def test_shares_and_counts_hold_together(seconds):
    """Whatever was raised: hours add up to all, shares are within one, floods do not overlap."""
    found = figures(raised(*seconds), BEGIN, END, [])

    assert sum(row["count"] for row in found["by_hour"]) == found["raised"] == len(seconds)
    assert 0 <= found["flood_share"] <= 1 and 0 <= found["top_share"] <= 1
    ends = [at for flood in found["floods"] for at in (flood["from"], flood["to"])]
    assert ends == sorted(ends)
