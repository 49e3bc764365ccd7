"""verdict.py: whether a station is all right, and what is wrong with it."""

from typing import Any

import pytest
from still import BEFORE, alarm, device, point, still

from shorewatch.verdict import Level, judge, lines, since, span


def test_a_station_without_fault_is_good() -> None:
    """One line, and it says how much was looked at."""
    verdict = judge(still())
    assert verdict.is_good and lines(verdict, still()) == ["All 4 points are good"]


def board_down(s: Any) -> None:
    s["boards"]["beach"] |= {"up": False, "reason": "no answer"}
    s["devices"]["lid"] = device("Lid", "beach", point("bad", "link-down"))


def uplink_away(s: Any) -> None:
    s["uplinks"]["noc"] |= {"state": "unreachable", "text": "connection refused"}


def nobody_listens(s: Any) -> None:
    s["uplinks"]["noc"]["silent"] = {"noc": BEFORE}


def some_bad(s: Any) -> None:
    s["devices"]["room"] = device("Room", "inland", point(), point("bad", "sentinel", 34.0))


def all_bad(s: Any) -> None:
    s["devices"]["room"] = device(
        "Room", "inland", point("bad", "config", None) | {"last_good_at": None}
    )


def outbox_sick(s: Any) -> None:
    s["outbox"]["health"] = "the disk is full"


def flood(s: Any) -> None:
    s["alarm_mode"]["flood"] = True


def more_alarms_than_listed(s: Any) -> None:
    s["alarms"], s["alarms_more"] = [alarm("Lid open")], 3


def an_alarm(s: Any) -> None:
    s["alarms"] = [alarm("Lid open"), alarm("Hidden", state="shelved"), alarm("Warm", "warning")]


def config(s: Any) -> None:
    s["config_trouble"] = {"text": "line 3: no"}


def history(s: Any) -> None:
    s["history"]["health"] = "full"


def uncertain(s: Any) -> None:
    s["points"]["uncertain"] = 1


@pytest.mark.parametrize(
    ("damage", "level", "words"),
    [
        (board_down, Level.ALARM,
         ["Board beach is down since 05:57:00 (3 min); no values of Lid; no answer"]),
        (uplink_away, Level.ALARM,
         ["Uplink noc is unreachable since 05:57:00 (3 min): connection refused"]),
        (nobody_listens, Level.ALARM,
         ["Uplink noc: noc acknowledges nothing since 05:57:00 (3 min)"]),
        (some_bad, Level.ALARM, ["Room: 1 of 2 values bad (sentinel) since 05:57:00 (3 min)"]),
        (all_bad, Level.ALARM, ["Room: no values (config)"]),
        (outbox_sick, Level.ALARM, ["Outbox: the disk is full"]),
        (flood, Level.ALARM, ["More alarms than people can follow: begin with the first"]),
        (an_alarm, Level.ALARM,
         ["Lid open since 05:57:00 (3 min), major, unacknowledged",
          "Warm since 05:57:00 (3 min), warning, unacknowledged"]),
        (more_alarms_than_listed, Level.ALARM,
         ["Lid open since 05:57:00 (3 min), major, unacknowledged",
          "3 more alarms: the list has the most urgent"]),
        (config, Level.WARNING, ["Station file: line 3: no"]),
        (history, Level.WARNING, ["History: full"]),
        (uncertain, Level.WARNING, ["1 point is uncertain"]),
    ],
)  # fmt: skip
def test_each_fault_is_said(damage: Any, level: Level, words: list[str]) -> None:
    """What is wrong, since when, and nothing else; a dead board's devices are named once."""
    snapshot = still()
    damage(snapshot)
    verdict = judge(snapshot)
    assert (verdict.level, lines(verdict, snapshot)) == (level, words)


def test_lengths_of_time_read_like_people_say_them() -> None:
    """Two figures are enough; a day that is not today is named."""
    said = [span(s) for s in (None, 0.25, 34, 150, 9000, 400_000)]
    assert said == ["never", "0.2 s", "34 s", "2 min", "2 h", "5 d"]
    assert (
        since("2026-11-20T06:00:00Z", "2026-11-23T06:00:00Z") == "since 2026-11-20 06:00:00 (3 d)"
    )


def test_a_fault_of_the_cable_is_said_once() -> None:
    """It is a fault of the station, also of one that has no alarm for it, and never twice."""
    s = still()
    found = {"text": "shunt fault 143.2 km from Sumqayit", "since": BEFORE}
    s["cable_watch"] = {"standing": [found], "trouble": None, "since": BEFORE}
    assert [fault.what for fault in judge(s).faults] == [f"Cable: {found['text']}"]

    s["alarms"] = [alarm("Cable") | {"source": "gateway/cable"}]
    assert [fault.what for fault in judge(s).faults] == ["Cable"]


def test_a_cable_that_is_not_judged_for_a_minute_is_a_warning() -> None:
    """A gateway at the other end that starts again is none."""
    s = still()
    s["cable_watch"] = {"standing": [], "trouble": "Aktau is not heard of", "since": s["at"]}
    assert judge(s).is_good

    s["cable_watch"]["since"] = "2026-11-23T00:00:00.000Z"
    s["at"] = "2026-11-23T00:01:00.000Z"
    assert judge(s).level is Level.WARNING
    assert "not judged: Aktau is not heard of" in judge(s).faults[0].what
