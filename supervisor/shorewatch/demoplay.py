"""A scenario on the demo's stage: told beforehand, event by event, and judged at the end.

It begins when the boards are up and who watches the cable has seen it sound. The alarms that came
are taken from the stations' journals, as a NOC has them.
"""

import asyncio
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from shorewatch.config import Station
from shorewatch.model import from_text, to_text, utc_now
from shorewatch.mqtt.follower import Follower
from shorewatch.mqtt.station import FollowedStation
from shorewatch.plant.judgement import Told, judge
from shorewatch.plant.scenario import Play, Scenario, clock, play_of

LEAD_S: Final = 15.0
CABLE_LEAD_S: Final = 45.0  # before the first event that changes the cable
LOOK_S: Final = 0.25
SETTLE_S: Final = 8.0


@dataclass(slots=True)
class Stage:
    """A scenario that the demo plays for these stations, from `play.start_utc_s` on."""

    play: Play
    stations: Sequence[Station]
    told: dict[str, list[Told]] = field(default_factory=dict)
    until: dict[str, int] = field(default_factory=dict)
    said: int = 0

    @classmethod
    def opened(cls, given: str | None, speed: float, stations: Sequence[Station]) -> "Stage | None":
        """The stage for what a command line asks for; UsageError, ConfigError if it is wrong."""
        play = play_of(given, None, speed)
        if play is None:
            return None
        play.scenario.check(stations)
        lead_s = LEAD_S
        for event in play.scenario.file.event:
            if event.is_of_cable:
                lead_s = max(lead_s, CABLE_LEAD_S - event.at_s / speed)
                break
        return cls(Play(play.scenario, math.ceil(play.start_utc_s + lead_s), speed), stations)

    @property
    def scenario(self) -> Scenario:
        """What is played."""
        return self.play.scenario

    @property
    def lasts_s(self) -> float:
        """Seconds from now until the last alarm may have come."""
        rest_s = self.play.start_utc_s - utc_now().timestamp()
        return max(0.0, rest_s + self.scenario.file.length_s / self.play.speed + SETTLE_S)

    def arguments(self) -> list[str]:
        """For the parts of the field."""
        start = to_text(datetime.fromtimestamp(self.play.start_utc_s, UTC))
        assert start is not None, "made from a time"
        found = ["--scenario", str(self.scenario.source.path), "--start", start]
        return [*found, "--speed", f"{self.play.speed:g}"]

    def script(self) -> Iterator[str]:
        """What will happen."""
        file = self.scenario.file
        begins = datetime.fromtimestamp(self.play.start_utc_s, UTC)
        faster = "" if self.play.speed == 1 else f", {self.play.speed:g} times as fast"
        when = f"{clock(file.length_s)} from {begins:%H:%M:%S}{faster}"
        yield f"scenario {file.id}: {file.name}, {when}"
        yield from self.scenario.script()

    async def run(self, follower: Follower, say: Callable[[str], None]) -> None:
        """Say each event as it happens, and note the alarms, until cancelled."""
        while True:
            self.look(follower, say)
            await asyncio.sleep(LOOK_S)

    def look(self, follower: Follower, say: Callable[[str], None]) -> None:
        """Say and note what has happened by now."""
        now_s = utc_now().timestamp()
        events = self.scenario.file.event
        if now_s >= self.play.start_utc_s:
            while self.said < len(events) and events[self.said].at_s <= self.play.at_s(now_s):
                event = events[self.said]
                say(f"{clock(event.at_s)}  {event.say}")
                self.said += 1
        for station in self.stations:
            found = follower.stations.get(station.prefix)
            if found is not None:
                self._note(station, found, say)

    def _note(self, station: Station, found: FollowedStation, say: Callable[[str], None]) -> None:
        until = self.until.get(station.id, 0)
        for record in list(found.events):
            seq = record.get("seq")
            if not isinstance(seq, int) or seq <= until:
                continue
            self.until[station.id] = seq
            if record.get("kind") != "alarm":
                continue
            at_s = self.play.at_s(from_text(str(record["at"])).timestamp())
            told = Told(str(record["alarm"]), str(record["what"]), str(record["state"]), at_s)
            if at_s > 0:
                self.told.setdefault(station.id, []).append(told)
                if told.is_shown:
                    say(f"{clock(at_s)}  {station.id}: ALARM {record['text']}")

    def report(self) -> dict[str, Any]:
        """What came of it, with lines for people. One that was not played to its end is no pass."""
        length_s = self.scenario.file.length_s
        played_s = min(length_s, self.play.at_s(utc_now().timestamp()))
        judged = {
            station.id: judge(self.scenario.expected(station.id), self.told.get(station.id, ()))
            for station in self.stations
        }
        is_whole = played_s >= length_s
        lines = [] if is_whole else [f"ended at {clock(played_s)} of {clock(length_s)}: not judged"]
        ok = is_whole and all(one.is_right for one in judged.values())
        for name, one in judged.items():
            lines += [f"{name}: {line}" for line in one.lines()] if is_whole else []
        verdict = "all alarms came as they were to" if ok else "not as it was to be"
        return {
            "id": self.scenario.id,
            "ok": ok,
            "speed": self.play.speed,
            "played_s": round(played_s, 1),
            "stations": {name: one.as_json() for name, one in judged.items()},
            "lines": [*lines, f"scenario {self.scenario.id}: {verdict}"],
        }
