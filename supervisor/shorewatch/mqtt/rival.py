"""Whether another gateway has our identity, also where no broker tells us (0x8E). Pure.

What stands or comes on our own `state` topic and is not ours is a rival's: if it says online while
we are here, or if what is retained began after our own last connection did. An older state of
another process was our own, before a restart. One that does not say whose it is (an earlier
version) is told by its journal. It is named for `RIVAL_S` after it was heard.
"""

from datetime import datetime
from typing import Final

from shorewatch.errors import UplinkError
from shorewatch.model import to_text
from shorewatch.mqtt.topics import parse_object

RIVAL_S: Final = 60.0


class Rival:
    """What is known of another gateway like this one; `identity` says which process we are."""

    def __init__(self, identity: str, journal: str, *, prefix: str, where: str) -> None:
        self._identity = identity
        self._journal = journal
        self._prefix = prefix
        self._where = where
        self._heard_s = float("-inf")
        self._name = ""
        self._since_before: datetime | None = None

    def connection_ended(self, since: datetime) -> None:
        """Our connection, which was online and began at `since`, is over."""
        self._since_before = since

    def hear(self, payload: bytes, now_s: float, *, is_retained: bool) -> bool:
        """Judge a message of our own `state` topic; whether it is a rival's."""
        body = parse_object(payload) or {}
        name = body.get("gateway")
        ours = (self._identity,) if isinstance(name, str) else (None, self._journal)
        if (name if isinstance(name, str) else body.get("journal")) in ours:
            return False
        before = to_text(self._since_before)
        is_later = before is not None and str(body.get("since")) > before
        if not (is_later if is_retained else body.get("online") is True):
            return False
        self._heard_s = now_s
        shown = "".join(sign for sign in str(name or "")[:80] if sign.isprintable())
        self._name = shown and f" ({shown}; we are {self._identity})"
        return True

    def is_near(self, now_s: float) -> bool:
        """Whether it was heard in the last `RIVAL_S`."""
        return now_s - self._heard_s < RIVAL_S

    @property
    def error(self) -> UplinkError:
        """The rival, named."""
        return UplinkError(
            "taken-over",
            f"another gateway{self._name} publishes as {self._prefix} at {self._where}:"
            " two run with one identity, stop one of them",
        )
