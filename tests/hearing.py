"""A follower with a clock, and a station's messages for it: for the tests of a NOC's side."""

import json
from collections.abc import Callable, Iterable
from datetime import datetime

from shorewatch.model import to_text
from shorewatch.mqtt.account import Account
from shorewatch.mqtt.follower import Follower
from shorewatch.mqtt.holes import Hole
from shorewatch.mqtt.reading import Reading
from shorewatch.mqtt.station import FollowedStation

At = Callable[[float], datetime]
PREFIX = "shorewatch/v1/cable/station"
JOURNAL = "5" * 32


class Noc:
    """A follower with a clock: wall time and monotonic time advance together."""

    def __init__(self, at: At, follower: Follower | None = None) -> None:
        self.follower = follower or Follower()
        self.follower.is_consumer = True
        self._at = at
        self.now_s = 1000.0

    def hear(self, topic: str, body: object, prefix: str = PREFIX) -> None:
        payload = body if isinstance(body, bytes) else json.dumps(body).encode()
        at = self._at(self.now_s)
        self.follower.receive(f"{prefix}/{topic}", payload, at, self.now_s)

    def state(self, last: int = 0, *, first: int = 1, cursor: int = 0, **more: object) -> None:
        since = to_text(self._at(0))
        self.hear(
            "state",
            {"online": True, "journal": JOURNAL, "first": first, "last": last, "cursor": cursor,
             "since": since} | more,
        )  # fmt: skip

    def batch(
        self, after: int, seqs: Iterable[int], *, journal: str = JOURNAL, **more: object
    ) -> None:
        at = to_text(self._at(self.now_s - 0.5))
        records = [{"seq": seq, "kind": "sample", "at": at} | more for seq in seqs]
        body = {"journal": journal, "after": after, "first": records[0]["seq"],
                "last": records[-1]["seq"], "records": records}  # fmt: skip
        self.hear("journal", body)

    def birth(self, age_s_max: float = 5.0) -> None:
        self.hear("birth/pfe", {"device": "pfe", "points": {"u": {"age_s_max": age_s_max}}})

    def now(
        self, age_s: float | None = 0.1, *, sent_s: float | None = None, **more: object
    ) -> None:
        sent = self.now_s if sent_s is None else sent_s
        point = {"value": 7.0, "quality": "good", "reason": None, "age_s": age_s,
                 "acquired_at": to_text(self._at(sent - (age_s or 0)))} | more  # fmt: skip
        self.hear(
            "now/pfe", {"device": "pfe", "at": to_text(self._at(sent)), "points": {"u": point}}
        )

    @property
    def station(self) -> FollowedStation:
        return self.follower.stations[PREFIX]

    @property
    def reading(self) -> Reading:
        return self.station.reading

    @property
    def account(self) -> Account:
        assert self.reading.account is not None
        return self.reading.account

    @property
    def holes(self) -> list[Hole]:
        return list(self.account.holes)

    def pass_time(self, seconds: float) -> None:
        """Let time pass, with a look at what waits before and after."""
        self.follower.broker_state = "online"
        self.follower.give_up(self.now_s)
        self.now_s += seconds
        self.follower.give_up(self.now_s)

    @property
    def life(self) -> str:
        return self.follower.life(self.station, self.now_s)

    def due(self) -> tuple[str, int] | None:
        return self.follower.ack_due(PREFIX, self.now_s)

    def ack(self) -> int:
        due = self.due()
        assert due is not None
        self.follower.note_acked(PREFIX, *due, self.now_s)
        return due[1]
