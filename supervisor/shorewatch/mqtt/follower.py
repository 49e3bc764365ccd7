"""The NOC's end: all stations that one consumer follows, and what it may believe of them.

Pure: topics, payloads and times in; what to acknowledge and to ask out; no I/O. watch.py feeds it
from a broker. What is known of a station now is in station.py; its journal, put in order, with
gaps, duplicates and losses, in reading.py.

    topic, payload -> Follower.receive -> FollowedStation -> Reading -> Order -> Account
                      ack_due, replay_due <-'                '-> ready -> noc.py

A sequence is missing if it was never delivered to us: asking again (repeating the last ack, or a
replay) brings it. It is lost if the station no longer had it to send; a loss record must explain
that. Limits: `STATIONS_MAX` stations, messages of `PAYLOAD_BYTES_MAX`; more is counted in
`refused`.
"""

from collections.abc import Mapping, Set
from datetime import datetime
from typing import Final

from shorewatch.mqtt import said
from shorewatch.mqtt.ask import Replay, parse_reply_topic
from shorewatch.mqtt.reading import Reading
from shorewatch.mqtt.said import JsonObject, Nonsense
from shorewatch.mqtt.station import FollowedStation
from shorewatch.mqtt.topics import parse_object, parse_topic

STATIONS_MAX: Final = 200
PAYLOAD_BYTES_MAX: Final = 1_048_576


class Follower:
    """All stations one consumer follows."""

    def __init__(
        self,
        *,
        only: Set[str] | None = None,
        marks: Mapping[str, Mapping[str, int]] | None = None,
        has_user: bool = False,
        is_from_first: bool = False,
    ) -> None:
        """Follow the stations with the prefixes `only`, or all.

        `marks` says by prefix and journal where to go on; the rest is as `Reading` takes it.
        """
        self.stations: dict[str, FollowedStation] = {}
        self.is_consumer = False
        self.refused = 0
        self.last_refusal: str | None = None
        self.broker_state = "connecting"
        self.broker_text = ""
        self.heard_s: float | None = None
        self._only = only
        self._marks = marks or {}
        self._has_user = has_user
        self._is_from_first = is_from_first

    def receive(self, topic: str, payload: bytes, at: datetime, mono_s: float) -> None:
        """Take one message that arrived at `at` (monotonic `mono_s`); nonsense is only counted."""
        self.heard_s = mono_s
        try:
            self._take(topic, payload, at, mono_s)
        except Nonsense as error:
            self.refused += 1
            self.last_refusal = f"{topic[:200]}: {error}"

    def life(self, station: FollowedStation, mono_s: float) -> str:
        """What may be said of a station now, in a few words; only of one that lives "online...".

        Without a broker, or after too long a silence, nobody knows.
        """
        if self.broker_state != "online":
            return f"unknown: broker {self.broker_state}"
        if station.is_online is None:
            return "unknown: no state yet"
        if not station.is_online:
            return f"offline ({station.state.get('reason')})"
        if station.silent_s(mono_s) > station.silent_s_max:
            return "unknown: silent"
        down = [
            f"{noun} {name}"
            for noun in ("board", "direct")
            for name, line in said.entries(station.state.get(f"{noun}s"))
            if not line.get("up")
        ]
        return f"online, {', '.join(down)} down" if down else "online"

    def connected(self) -> None:
        """The broker is (again) there: what stations sent meanwhile is unknown, so greet them."""
        for station in self.stations.values():
            station.reading.greet()

    def give_up(self, mono_s: float) -> None:
        """Tell the holes that were waited for too long, at stations that could have filled them."""
        for station in self.stations.values():
            is_served = self.broker_state == "online" and station.is_online is True
            station.reading.give_up(mono_s, is_served=is_served)

    def ack_due(self, prefix: str, mono_s: float) -> tuple[str, int] | None:
        """(journal, seq) to acknowledge to a station now, or None."""
        return self.stations[prefix].reading.ack_due(mono_s)

    def note_acked(self, prefix: str, journal: str, seq: int, mono_s: float) -> None:
        """An ack was sent."""
        self.stations[prefix].reading.note_acked(journal, seq, mono_s)

    def replay_due(self, prefix: str, mono_s: float) -> tuple[int, int] | None:
        """The sequences to ask a station to replay now, or None; only for who has a key."""
        return self.stations[prefix].reading.replay_due(mono_s)

    def note_asked(self, prefix: str, id: str, first: int, last: int, mono_s: float) -> Replay:
        """A replay is asked for as request `id`."""
        return self.stations[prefix].reading.note_asked(id, first, last, mono_s)

    def _take(self, topic: str, payload: bytes, at: datetime, mono_s: float) -> None:
        address = parse_topic(topic)
        if address is None:
            return self._take_reply(topic, payload, at, mono_s)
        if not payload:
            if (known := self.stations.get(address.prefix)) is not None:
                known.forget(address.kind, address.name)
            return None
        body = _object(payload)
        station = self._station(address.prefix)
        if address.kind == "state":
            station.take_state(body, at, mono_s, is_consumer=self.is_consumer)
        elif address.kind == "birth":
            station.take_birth(address.name, body)
        elif address.kind == "now":
            station.take_now(address.name, body, at, mono_s)
        elif address.kind == "alarms":
            station.take_alarms(body)
        elif address.kind == "journal":
            station.reading.take_batch(body, len(payload), at)
        elif address.kind == "ack":
            station.reading.take_own_ack(body)
        return None

    def _take_reply(self, topic: str, payload: bytes, at: datetime, mono_s: float) -> None:
        address = parse_reply_topic(topic)
        if address is None:
            raise Nonsense("no topic of a station")
        station = self.stations.get(address.prefix)
        if station is None:
            return  # nothing was asked there
        body = _object(payload)
        if address.is_records:
            station.reading.take_replayed(address.id, body, len(payload), at, mono_s)
        else:
            station.reading.take_reply(address.id, body, mono_s)

    def _station(self, prefix: str) -> FollowedStation:
        station = self.stations.get(prefix)
        if station is not None:
            return station
        if self._only is not None and prefix not in self._only:
            raise Nonsense("a station that is not followed")
        if len(self.stations) >= STATIONS_MAX:
            raise Nonsense(f"more than {STATIONS_MAX} stations")
        reading = Reading(
            self._marks.get(prefix), has_user=self._has_user, is_from_first=self._is_from_first
        )
        station = self.stations[prefix] = FollowedStation(prefix, reading)
        return station


def _object(payload: bytes) -> JsonObject:
    body = parse_object(payload) if len(payload) <= PAYLOAD_BYTES_MAX else None
    if body is None:
        raise Nonsense("no JSON object")
    return body
