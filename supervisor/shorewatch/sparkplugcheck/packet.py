"""MQTT control packets, as far as the rules ask for them. Pure; `stream` makes them from bytes.

Text is kept as it came: bytes that are no UTF-8 become surrogates, for the judge to see.
Source: MQTT 3.1.1 and 5.0, chapter 3 (OASIS).
"""

from dataclasses import dataclass
from typing import Final

V3: Final = 4
V5: Final = 5


@dataclass(frozen=True, slots=True)
class Will:
    """What the broker is to publish when the connection ends without an orderly leave."""

    topic: str
    payload: bytes
    qos: int
    is_retained: bool


@dataclass(frozen=True, slots=True)
class Connect:
    """`version` is 4 (MQTT 3.1.1) or 5; `is_clean` Clean Session or Clean Start."""

    version: int
    client_id: str
    is_clean: bool
    keepalive_s: int
    will: Will | None
    session_expiry_s: int = 0


@dataclass(frozen=True, slots=True)
class Connack:
    """The broker's answer; reason 0 is a session."""

    reason: int
    is_session_present: bool = False


@dataclass(frozen=True, slots=True)
class Publish:
    """A message; `topic` is what an alias stands for."""

    topic: str
    payload: bytes
    qos: int = 0
    is_retained: bool = False
    is_duplicate: bool = False
    packet_id: int | None = None


@dataclass(frozen=True, slots=True)
class Puback:
    """QoS 1 answered; reason 0x10 is "nobody subscribes", 0x80 and up a refusal."""

    packet_id: int
    reason: int = 0


@dataclass(frozen=True, slots=True)
class Subscribe:
    """What is asked for: filters, each with its greatest QoS."""

    packet_id: int
    filters: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Suback:
    """The granted QoS of each filter, or 0x80 and up."""

    packet_id: int
    reasons: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Disconnect:
    """An orderly leave; reason 4 asks for the Will all the same (MQTT 5)."""

    reason: int = 0


@dataclass(frozen=True, slots=True)
class Other:
    """A packet of which no rule asks more than its name."""

    name: str


Packet = Connect | Connack | Publish | Puback | Subscribe | Suback | Disconnect | Other


def is_utf8(text: str) -> bool:
    """Whether a packet's text was what it must be: surrogates stand for bytes that are not."""
    return not any("\ud800" <= c <= "\udfff" for c in text)
