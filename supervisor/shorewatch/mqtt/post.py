"""Publishing on one connection, and what the broker says to it.

A topic that the broker refuses ends no connection: it is shown and logged until the broker takes
it. What is longer than the broker takes is not sent at all: it would end the connection.
"""

import logging
from collections.abc import Callable, Mapping
from typing import Final

from shorewatch.config import UplinkConfig
from shorewatch.errors import UplinkError
from shorewatch.mqtt import topics
from shorewatch.mqtt.client import Connection
from shorewatch.mqtt.condition import Condition
from shorewatch.mqtt.rival import Rival

REFUSED: Final = 0x80
# What a PUBLISH has beside topic and payload: its fixed header, a packet id, its properties.
HEAD_BYTES: Final = 64
_TOO_LONG = 0x95

_log = logging.getLogger("shorewatch.mqtt")


class Post:
    """One connection's way out; `refused` are the topics that its broker does not take, and why."""

    def __init__(
        self,
        connection: Connection,
        config: UplinkConfig,
        condition: Condition,
        rival: Rival,
        clock: Callable[[], float],
    ) -> None:
        self.connection = connection
        self.refused: dict[str, UplinkError] = {}
        self._config = config
        self._condition = condition
        self._rival = rival
        self._clock = clock

    async def keep(
        self, topic: str, body: Mapping[str, object], *, qos: int = 1, expiry_s: int | None = None
    ) -> int:
        """Publish a retained message; the broker's code, 0x95 for what it would choke on."""
        payload = topics.encode(body)
        if len(payload) + len(topic) + HEAD_BYTES > self.connection.packet_bytes_max:
            return _TOO_LONG
        return await self.connection.publish(
            topic, payload, qos=qos, is_retained=True, expiry_s=expiry_s
        )

    async def empty(self, topic: str) -> bool:
        """Take away what stands on a topic; whether the broker took that."""
        code = await self.connection.publish(topic, b"", qos=1, is_retained=True)
        return self.judge(topic, code)

    def judge(self, topic: str, code: int, what: str = "a publish to") -> bool:
        """Whether the broker took it; shows what it refuses until it takes it again."""
        if code < REFUSED:
            if self.refused.pop(topic, None) is not None:
                self.show()
            return True
        self.refuse(topic, refusal(topic, code, what))
        return False

    def refuse(self, topic: str, error: UplinkError) -> None:
        """Show and log, once, what does not go on a topic."""
        if topic not in self.refused:
            self.refused[topic] = error
            _log.warning("uplink %s: %s", self._config.id, error)
            self.show()

    def show(self) -> None:
        """Make the status say online, or who else is there, or what the broker refuses."""
        troubles = [*self.refused.values()]
        if self._rival.is_near(self._clock()):
            troubles.insert(0, self._rival.error)
        if troubles:
            self._condition.show_trouble(troubles[0])
        else:
            where = f"{self._config.host}:{self._config.port}"
            self._condition.become("online", f"connected to {where}")


def refusal(topic: str, code: int, what: str = "a publish to") -> UplinkError:
    """What a broker's code says of a topic, with what to do."""
    if code == 0x87:
        return UplinkError(
            "not-authorised", f"the broker refuses {what} {topic}: allow it in its access rules"
        )
    if code == _TOO_LONG:
        text = f"{topic} is longer than the broker takes: raise its maximum packet size"
        return UplinkError("quota", text)
    state = "quota" if code == 0x97 else "refused"
    return UplinkError(state, f"the broker refuses {what} {topic} with code 0x{code:02x}")
