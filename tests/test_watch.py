"""watch.py and what it shows of messages that strangers publish."""

import json
from datetime import UTC, datetime

import pytest
from rich.console import Console

from shorewatch.mqtt.follower import Follower
from shorewatch.watch import screen

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
    Console(file=None, quiet=True).print(screen(told(**messages), "mqtt://x"))


def test_a_negative_age_makes_nothing_younger():
    """A value that claims an age below zero ages from its arrival on."""
    follower = told(state=STATE, birth__d=BIRTH, now__d=now(age_s=-1000))

    assert follower.stations[PREFIX].look("d", 104.0)["p"].quality == "good"
    assert follower.stations[PREFIX].look("d", 106.0)["p"].reason == "stale"
