"""A snapshot of a small station as status.py makes it, all well, for tests to damage."""

from typing import Any

AT = "2026-11-23T06:00:00.000Z"
BEFORE = "2026-11-23T05:57:00.000Z"


def point(quality: str = "good", reason: str | None = None, age_s: float | None = 0.5) -> Any:
    found = {
        "name": "Temperature", "text": "21.5", "unit": "degC", "text_unit": "degC",
        "value": 21.5, "quality": quality,
        "reason": reason, "detail": None, "age_s_max": 10.0, "age_s": age_s, "acquired_at": BEFORE,
    }  # fmt: skip
    return (
        found if quality != "bad" else {**found, "last_good_text": "21.4", "last_good_at": BEFORE}
    )


def device(name: str, board: str, *points: Any) -> Any:
    return {
        "name": name, "board": board, "direct": None, "uart": 0,
        "points": {f"p{i}": p for i, p in enumerate(points or (point(), point()))},
    }  # fmt: skip


def alarm(text: str, priority: str = "major", state: str = "unacknowledged") -> Any:
    return {
        "id": "a", "text": text, "priority": priority, "state": state, "since": BEFORE,
        "source": "room.temperature",
    }  # fmt: skip


def still() -> Any:
    """Boards inland and beach with two devices, an uplink, nothing wrong."""
    bus = {"busy_share": 0.12}
    line = {"up": True, "reason": None, "since": BEFORE, "buses": [bus, bus]}
    uplink = {"state": "online", "text": "", "since": BEFORE, "waiting": 12403, "silent": {}}
    return {
        "name": "Sumqayit", "cable": "Trans-Caspian", "at": AT, "alarms": [], "alarms_more": 0,
        "alarm_mode": {"flood": False, "maintenance": None},
        "boards": {"inland": line, "beach": dict(line)}, "directs": {},
        "devices": {"room": device("Room", "inland"), "lid": device("Lid", "beach")},
        "uplinks": {"noc": uplink}, "outbox": {"first": 1, "last": 4711, "health": None},
        "cable_watch": None,
        "history": {"health": None}, "config_trouble": None,
        "points": {"good": 4, "uncertain": 0, "bad": 0},
    }  # fmt: skip
