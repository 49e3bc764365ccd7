"""Whether a station is all right, in words: what is wrong with it, the most urgent first.

Pure: a snapshot (status.py) goes in. The terminal shows it and turns it into an exit code. The
words are English (texts.py); with their keys and values the page says them in its language.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from enum import IntEnum
from typing import Any

from shorewatch.model import from_text
from shorewatch.texts import english

Row = Mapping[str, Any]
OPEN = ("unacknowledged", "acknowledged")
# For so long the other end may be away, as when its gateway starts again, and nobody is told.
UNJUDGED_S = 60.0


class Level(IntEnum):
    """How bad it is."""

    GOOD = 0
    WARNING = 1
    ALARM = 2


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong: what, since when (RFC 3339 UTC) if that is known, and more of it.

    `key` and `more_key` are texts whose places `values` fill; a place of a word that the gateway
    has for a state, a reason and the like has that kind's name.
    """

    key: str
    values: Mapping[str, object] = field(default_factory=dict)
    since: str | None = None
    more_key: str | None = None

    @property
    def what(self) -> str:
        """What is wrong, in English."""
        return english().said(self.key, self.values)

    @property
    def more(self) -> str:
        """What is told after the time, in English."""
        return "" if self.more_key is None else english().said(self.more_key, self.values)

    @property
    def row(self) -> dict[str, Any]:
        """As a snapshot has it."""
        return asdict(self) | {"what": self.what, "more": self.more}

    def said(self, now: str) -> str:
        """In one line, with how long ago it began."""
        begun = "" if self.since is None else f" {since(self.since, now)}"
        return f"{self.what}{begun}{self.more}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is wrong with a station, the worst first; nothing if it is good."""

    level: Level
    faults: tuple[Fault, ...] = ()

    @property
    def is_good(self) -> bool:
        return self.level is Level.GOOD


def judge(snapshot: Row) -> Verdict:
    """The verdict on a station as one snapshot shows it."""
    faults = tuple(_faults(snapshot))
    warnings = tuple(_warnings(snapshot))
    level = Level.ALARM if faults else Level.WARNING if warnings else Level.GOOD
    return Verdict(level, faults + warnings)


def lines(verdict: Verdict, snapshot: Row) -> list[str]:
    """What is wrong in one line each, or, if nothing is, the one thing that is right."""
    if verdict.is_good:
        return [english().said("verdict.good", {"count": snapshot["points"]["good"]})]
    return [fault.said(snapshot["at"]) for fault in verdict.faults]


def span(seconds: float | None) -> str:
    """A length of time as people say it."""
    if seconds is None:
        return "never"
    for limit_s, form, unit_s in (
        (10, "{:.1f} s", 1),
        (120, "{:.0f} s", 1),
        (7200, "{:.0f} min", 60),
    ):
        if seconds < limit_s:
            return form.format(seconds / unit_s)
    return f"{seconds / 3600:.0f} h" if seconds < 172_800 else f"{seconds / 86_400:.0f} d"


def since(at: str, now: str) -> str:
    """When something began, and how long ago that is; both are RFC 3339 UTC."""
    ago_s = _lasts_s(at, now)
    day = "" if at[:10] == now[:10] else f"{at[:10]} "
    return f"since {day}{at[11:19]} ({span(max(0.0, ago_s))})"


def _lasts_s(at: str, now: str) -> float:
    return (from_text(now) - from_text(at)).total_seconds()


def _faults(snapshot: Row) -> Iterator[Fault]:
    if (snapshot["alarm_mode"] or {}).get("flood"):
        yield Fault("verdict.flood")
    for row in snapshot["alarms"]:
        if row["state"] in OPEN and row["priority"] != "warning":
            yield _alarm(row)
    more = snapshot["alarms_more"]
    if more and snapshot["alarms"][-1]["state"] in OPEN:
        yield Fault("verdict.alarms", {"count": more})
    if not any(row["source"] == "gateway/cable" for row in snapshot["alarms"]):
        for standing in (snapshot["cable_watch"] or {}).get("standing", ()):
            yield Fault("verdict.cable", {"text": standing["text"]}, standing["since"])
    for noun in ("board", "direct"):
        for name, line in snapshot[f"{noun}s"].items():
            if not line["up"]:
                devices = _devices_of(snapshot, noun, name)
                values = {"id": name, "text": line["reason"], "devices": devices}
                more = "verdict.line.devices" if devices else "verdict.line.more"
                yield Fault(f"verdict.{noun}", values, line["since"], more)
    for name, uplink in snapshot["uplinks"].items():
        if uplink["state"] != "online":
            values = {"id": name, "uplink": uplink["state"], "text": uplink["text"]}
            more = "verdict.uplink.more" if uplink["text"] else None
            yield Fault("verdict.uplink", values, uplink["since"], more)
        for consumer, at in uplink["silent"].items():
            yield Fault("verdict.consumer", {"id": name, "consumer": consumer}, at)
    if snapshot["outbox"]["health"]:
        yield Fault("verdict.outbox", {"text": snapshot["outbox"]["health"]})
    for device in snapshot["devices"].values():
        if not _is_line_down(snapshot, device):
            yield from _device(device)


def _warnings(snapshot: Row) -> Iterator[Fault]:
    for row in snapshot["alarms"]:
        if row["state"] in OPEN and row["priority"] == "warning":
            yield _alarm(row)
    if trouble := snapshot["config_trouble"]:
        yield Fault("verdict.config", {"text": trouble["text"]})
    if (snapshot["history"] or {}).get("health"):
        yield Fault("verdict.history", {"text": snapshot["history"]["health"]})
    watch = snapshot["cable_watch"] or {}
    if watch.get("trouble") and _lasts_s(watch["since"], snapshot["at"]) >= UNJUDGED_S:
        yield Fault("verdict.cable.unjudged", {"text": watch["trouble"]}, watch["since"])
    if uncertain := snapshot["points"].get("uncertain"):
        yield Fault("verdict.uncertain", {"count": uncertain})


def _alarm(row: Row) -> Fault:
    values = {key: row[key] for key in ("text", "priority", "state")}
    return Fault("verdict.alarm", values, row["since"], "verdict.alarm.more")


def _devices_of(snapshot: Row, noun: str, name: str) -> list[str]:
    return [row["name"] for row in snapshot["devices"].values() if row[noun] == name]


def _is_line_down(snapshot: Row, device: Row) -> bool:
    line = snapshot["directs"].get(device["direct"]) or snapshot["boards"].get(device["board"])
    return line is not None and not line["up"]


def _device(device: Row) -> Iterator[Fault]:
    """A device with bad values; the first of them to have been good last says since when."""
    points = device["points"].values()
    bad = [point for point in points if point["quality"] == "bad"]
    if bad:
        key = "verdict.device.dead" if len(bad) == len(points) else "verdict.device.bad"
        values = {
            "name": device["name"], "bad": len(bad), "points": len(points),
            "reason": sorted({str(point["reason"]) for point in bad}),
        }  # fmt: skip
        good = [point.get("last_good_at") for point in bad]
        begun = None if None in good else min(map(str, good))
        yield Fault(key, values, begun)
