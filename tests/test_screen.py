"""screen.py: what it shows of messages that strangers publish."""

import io
import json
from datetime import UTC, datetime

import pytest
from rich.console import Console

from shorewatch.mqtt.follower import Follower
from shorewatch.screen import printed, screen

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
PREFIX = "shorewatch/v1/cable/coast"
STATE = {"online": True, "journal": "x", "first": 0, "last": 0, "cursor": 0}
IMPOSSIBLE = "0001-01-01T00:00:00+23:59"
BIRTH = {"points": {"p": {"age_s_max": 5}}}


def told(**messages: object) -> Follower:
    follower = Follower()
    for topic, body in messages.items():
        text = json.dumps(body).encode()
        follower.receive(f"{PREFIX}/{topic.replace('__', '/')}", text, NOW, 100.0)
    return follower


def now(**point: object) -> dict[str, object]:
    return {"at": "2026-11-22T12:00:00Z", "points": {"p": {"value": 1, "quality": "good"} | point}}


@pytest.mark.parametrize(
    "messages",
    [
        {"state": STATE | {"since": IMPOSSIBLE}},
        {"state": STATE | {"boards": {"a": 5, "[bold]": {"up": False}}}},
        {"state": {"online": False, "journal": "x", "reason": "[/x]"}},
        {"state": STATE, "birth__d": BIRTH, "now__d": now(age_s=10**400)},
        {"state": STATE, "birth__d": BIRTH, "now__d": now(age_s=0) | {"at": IMPOSSIBLE}},
    ],
)
def test_strange_messages_end_nothing(messages):
    """Impossible times, numbers, boards and markup are shown or counted, and nothing is raised."""
    follower = told(**messages)
    follower.broker_state = "online"
    console = Console(file=io.StringIO(), width=200)
    console.print(screen(follower, "mqtt://x"))
    with printed(console, follower, "mqtt://x") as refresh:
        refresh()


def test_lines_that_are_down_are_named():
    """A station that lives says which of its boards and direct lines do not."""
    lines = {"boards": {"a": {"up": True}, "b": {"up": False}}, "directs": {"ups": {"up": False}}}
    follower = told(state=STATE | lines | {"at": "2026-11-22T12:00:00Z"})
    follower.broker_state = "online"

    (station,) = follower.stations.values()
    assert follower.life(station, 100.0) == "online, board b, direct ups down"


@pytest.mark.parametrize("show", ["screen", "lines"])
def test_markup_of_strangers_is_text(show):
    """What looks like a terminal's markup is shown letter by letter."""
    follower = told(state={"online": False, "journal": "x", "reason": "[bold]x[/bold]"})
    follower.broker_state = "online"
    console = Console(file=io.StringIO(), width=200)
    if show == "screen":
        console.print(screen(follower, "mqtt://x"))
    else:
        with printed(console, follower, "mqtt://x") as refresh:
            refresh()

    assert "offline ([bold]x[/bold])" in console.file.getvalue()


@pytest.mark.parametrize("height", [15, 24, 50])
def test_the_screen_fits_and_says_how_much_it_leaves_out(height):
    """With more bad values than lines, the stations stay visible and the rest is counted."""
    points = {f"p{i}": {"value": None, "quality": "bad", "reason": f"r{i}"} for i in range(60)}
    follower = told(state=STATE, now__d={"at": "2026-11-22T12:00:00Z", "points": points})
    console = Console(file=io.StringIO(), width=80, height=height)
    console.print(screen(follower, "mqtt://x", height=height))

    text = console.file.getvalue()
    assert len(text.splitlines()) <= height
    assert "coast" in text and "60 of 60" in text
    shown = sum(f" r{i} " in text for i in range(60))
    assert shown == 60 or f"and {60 - shown} more" in text


def test_a_negative_age_makes_nothing_younger():
    """A value that claims an age below zero ages from its arrival on."""
    follower = told(state=STATE, birth__d=BIRTH, now__d=now(age_s=-1000))

    assert follower.stations[PREFIX].look("d", 104.0)["p"].quality == "good"
    assert follower.stations[PREFIX].look("d", 106.0)["p"].reason == "stale"


ALARM = {
    "id": "pfe-current-low", "priority": "critical", "state": "unacknowledged",
    "since": "2026-11-22T11:58:00Z", "text": "Line current low",
}  # fmt: skip


def shown(follower: Follower, height: int = 50) -> str:
    follower.broker_state = "online"
    console = Console(file=io.StringIO(), width=120)
    console.print(screen(follower, "mqtt://x", height=height))
    return console.file.getvalue()


def test_alarms_of_stations_are_shown():
    """Each alarm that is not hidden stands there with priority, state, since when and its text."""
    rows = [ALARM, ALARM | {"id": "shelved-one", "state": "shelved"}]
    follower = told(state=STATE, alarms={"count": 2, "alarms": rows})

    text = shown(follower)
    assert "pfe-current-low  critical  unacknowledged" in text and "Line current low" in text
    assert "shelved-one" not in text
    follower.receive(f"{PREFIX}/alarms", b"", NOW, 101.0)
    assert "pfe-current-low" not in shown(follower)


def test_many_alarms_leave_room_for_values():
    """On a small screen alarms and values that are not good each get their part, and a count."""
    many = [ALARM | {"id": f"a{i}"} for i in range(100)]
    points = {f"p{i}": {"quality": "bad", "reason": str(i), "value": None} for i in range(100)}
    follower = told(
        state=STATE, birth__d=BIRTH, alarms={"count": 100, "alarms": many},
        now__d={"at": "2026-11-22T12:00:00Z", "points": points},
    )  # fmt: skip

    lines = shown(follower, height=24).splitlines()
    assert len(lines) <= 24
    assert sum("unacknowledged" in line for line in lines) >= 5
    assert sum(" bad " in line for line in lines) >= 5
    assert sum(line.startswith("and ") for line in lines) == 2


def test_what_steers_a_terminal_is_not_printed():
    """Escape sequences in what a station says come out as question marks."""
    follower = told(state=STATE, alarms={"count": 1, "alarms": [ALARM | {"text": "\x1b[2Jx"}]})

    assert "\x1b[2J" not in shown(follower) and "?[2Jx" in shown(follower)


@pytest.mark.parametrize(
    "body", [{"alarms": 5, "count": 1}, {"alarms": [5], "count": 1}, {"alarms": [], "count": "1"}]
)
def test_a_list_of_alarms_that_is_none_is_counted(body):
    """A message below `alarms` that is no list changes nothing and is counted."""
    follower = told(state=STATE, alarms=body)

    assert follower.refused == 1 and follower.stations[PREFIX].alarms is None


EVENT = {
    "kind": "event", "at": "2026-11-22T11:59:58.250Z", "source": "beach-contacts.lid-switch",
    "what": "raised", "uncertainty_s": 0.004,
}  # fmt: skip
LOSS = {
    "kind": "loss", "at": "2026-11-22T11:59:59.000Z", "source": "board/beach", "what": "event",
    "count": None, "why": "the board started anew", "uplink": None,
}  # fmt: skip


def batch(*records: dict[str, object]) -> dict[str, object]:
    numbered = [{"seq": n} | record for n, record in enumerate(records, 1)]
    return {"journal": "x", "after": 0, "first": 1, "last": len(records), "records": numbered}


@pytest.mark.parametrize("show", ["screen", "lines"])
def test_events_are_shown_with_time_and_uncertainty(show):
    """What a board stamped is shown with its source, its time and how far that may be off, once."""
    follower = told(state=STATE, journal=batch(EVENT, LOSS))
    console = Console(file=io.StringIO(), width=120)
    if show == "screen":
        console.print(screen(follower, "mqtt://x"))
    else:
        with printed(console, follower, "mqtt://x") as refresh:
            refresh()
            refresh()

    text = " ".join(console.file.getvalue().split())
    assert text.count("11:59:58.250 ±0.004 s event beach-contacts.lid-switch raised") == 1
    assert text.count("loss board/beach some of: event: the board started anew") == 1


def test_what_the_device_says_of_a_bad_value_is_shown():
    """The detail stands behind the reason."""
    points = now(value=None, quality="bad", reason="sentinel", detail="transducer fault")

    assert "sentinel: transducer fault" in shown(told(state=STATE, birth__d=BIRTH, now__d=points))


def test_what_was_sent_late_is_marked():
    """A record of a batch that is history says so beside its time."""
    text = shown(told(state=STATE, journal=batch(EVENT) | {"history": True}))

    assert "11:59:58.250 ±0.004 s (history)" in " ".join(text.split())
