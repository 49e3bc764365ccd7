"""What a host may say to an edge node: that it is there, and that all be born again. Pure.

    spBv1.0/STATE/<host>                   {"online": true, "timestamp": ms}, retained
    spBv1.0/<cable>/NCMD/<station>         Node Control/Rebirth = true
    spBv1.0/<cable>/DCMD/<station>/<device>

Nothing else that is sent here does anything: it is a refusal, to be counted and put on record.
Limits: a rebirth at most every `REBIRTH_S_MIN`, later ones wait for their turn; an audit record at
most every `AUDIT_S_MIN`, with the count since. Source: Sparkplug 3.0.0, 5.4, 5.6 and 6.4.24.
"""

from collections import deque
from typing import Final

from shorewatch.mqtt.journal import AUDIT_S_MIN
from shorewatch.mqtt.topics import SPARKPLUG, parse_object
from shorewatch.sparkplug.payload import decode
from shorewatch.sparkplug.session import REBIRTH

REBIRTH_S_MIN: Final = 5.0
ECHO_S_MAX: Final = 10.0
RIVAL_S: Final = 60.0
_OWN_MAX = 8


def state_topic(host: str) -> str:
    """Where a host says whether it is there."""
    return f"{SPARKPLUG}/STATE/{host}"


class PrimaryHost:
    """What is known of the one host that the node waits for.

    A host that died may be told dead after its next life began: an older message counts for
    nothing. Times are kept over connections, whether it is online is not: each broker says it anew.
    """

    def __init__(self, host: str) -> None:
        self.id = host
        self.is_online: bool | None = None
        self._last_ms = self._online_ms = 0

    def forget(self) -> None:
        """A new connection: nobody has said yet whether the host is at this broker."""
        self.is_online = None

    def hear(self, payload: bytes) -> str | None:
        """Take a message on its topic; why it counts for nothing, if so."""
        body = parse_object(payload) or {}
        is_online, at_ms = body.get("online"), body.get("timestamp")
        if not isinstance(is_online, bool) or type(at_ms) is not int:
            return 'is no {"online": true or false, "timestamp": milliseconds}'
        least_ms = self._last_ms if is_online else self._online_ms
        if at_ms < least_ms:
            return f"has timestamp {at_ms}, which is before {least_ms}, that of an earlier one"
        self.is_online = is_online
        self._last_ms = max(at_ms, self._last_ms)
        if is_online:
            self._online_ms = at_ms
        return None


class Commands:
    """What is asked of the node and its devices. `is_asked` until it was born again."""

    def __init__(self) -> None:
        self.refused = 0
        self.last_refusal: str | None = None
        self.is_asked = False
        self._born_s = float("-inf")
        self._unsaid = 0
        self._said_s = float("-inf")

    def hear(
        self, topic: str, payload: bytes, now_s: float, *, is_retained: bool
    ) -> dict[str, object] | None:
        """Take a command; the body of an audit record if it is refused and one is due."""
        why = self._flaw(topic, payload, is_retained)
        if why is None:
            self.is_asked = True
            return None
        self.refused += 1
        self._unsaid += 1
        self.last_refusal = f"{topic[:200]} {why}"
        if now_s - self._said_s < AUDIT_S_MIN:
            return None
        self._said_s = now_s
        count, self._unsaid = self._unsaid, 0
        return {"what": "command refused", "topic": topic[:200], "why": why, "count": count}

    def wait_s(self, now_s: float) -> float:
        """Seconds until the node may be born again."""
        return max(0.0, self._born_s + REBIRTH_S_MIN - now_s)

    def born(self, now_s: float, *, is_first: bool) -> None:
        """The node was born; the first time in a session nobody asked for it."""
        self.is_asked = False
        if not is_first:
            self._born_s = now_s

    @staticmethod
    def _flaw(topic: str, payload: bytes, is_retained: bool) -> str | None:
        if is_retained:
            return "is retained: a command must not be carried out again later"
        if "/DCMD/" in topic:
            return "is a command to a device: nothing is ever written to one"
        try:
            found = decode(payload)
        except ValueError as error:
            return f"is no command: {error}"
        if any(metric.name == REBIRTH and metric.value is True for metric in found.metrics):
            return None
        names = ", ".join(repr(str(metric.name)[:40]) for metric in found.metrics[:3])
        return f"sets {names or 'nothing'}: only {REBIRTH} = true is obeyed"


class Echo:
    """Our own NBIRTH, heard back from the broker.

    A broker that refuses a QoS 0 message says nothing: only that it never comes back tells. One
    that comes and is not ours is another edge node's of the same names.
    """

    def __init__(self) -> None:
        self._own: deque[bytes] = deque(maxlen=_OWN_MAX)
        self._awaited_s: float | None = None
        self._rival_s = float("-inf")

    def sent(self, payload: bytes, now_s: float) -> None:
        """This NBIRTH went out and should come back."""
        self._own.append(payload)
        self._awaited_s = now_s

    def hear(self, payload: bytes, now_s: float) -> None:
        """An NBIRTH under our names came in."""
        if payload not in self._own:
            self._rival_s = now_s
        elif payload == self._own[-1]:
            self._awaited_s = None

    def is_missing(self, now_s: float) -> bool:
        """Whether the last NBIRTH should have come back by now."""
        return self._awaited_s is not None and now_s - self._awaited_s > ECHO_S_MAX

    def has_rival(self, now_s: float) -> bool:
        """Whether somebody else was born under our names of late."""
        return now_s - self._rival_s < RIVAL_S
