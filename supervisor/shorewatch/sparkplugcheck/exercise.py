"""`--exercise`: a host that asks for what an edge node seldom shows by itself.

In this order: a primary host that is offline, then online with an old timestamp, then online; a
rebirth request; an offline STATE that is too old, and one that counts; a cut of the node's
connection. STATE is published only if nobody else's host of that name is online, and is emptied at
the end. What the node makes of it is the judge's; here is only the waiting, each with its limit.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Protocol

from shorewatch.sparkplugcheck.codec import encode
from shorewatch.sparkplugcheck.host import OFFLINE_S_MAX, OLD_OFFLINE_S
from shorewatch.sparkplugcheck.life import REBIRTH
from shorewatch.sparkplugcheck.packet import Connect, Publish, Subscribe
from shorewatch.sparkplugcheck.payload import BOOLEAN, Held, Metric, Payload
from shorewatch.sparkplugcheck.proxy import Recording
from shorewatch.sparkplugcheck.rebirth import REBIRTH_S_MAX
from shorewatch.sparkplugcheck.session import Closed, Entry, Passed, Seen
from shorewatch.sparkplugcheck.topic import NAMESPACE, STATE, Topic, host_of, parse_topic

# A node may wait a minute before it connects anew.
CONNECT_S_MAX: Final = 90.0
BIRTH_S_MAX: Final = 30.0
# Long enough for a node that does not wait for its host to be caught at it.
PAUSE_S: Final = 3.0
_OLDER_MS = 60_000


class Broker(Protocol):
    """Where a host publishes."""

    async def publish(self, topic: str, payload: bytes, *, qos: int, is_retained: bool) -> int:
        """As `Connection.publish` of mqtt/client.py."""


@dataclass(slots=True)
class Exercise:
    """One run with one edge node; `cut` ends its connection, `say` tells the user what is done."""

    recording: Recording
    broker: Broker
    cut: Callable[[], Awaitable[None]]
    clock: Callable[[], float]
    say: Callable[[str], None]
    host: str | None = None
    pause_s: float = PAUSE_S
    old_offline_s: float = OLD_OFFLINE_S
    _topic: Topic | None = None

    async def run(self) -> None:
        """All of it, as far as the node follows."""
        connect = await self._find(_is_connect, 0, CONNECT_S_MAX)
        if connect is None:
            self.say(f"no edge node has connected within {CONNECT_S_MAX:g} s")
            return
        self._topic = _will_topic(connect)
        await asyncio.sleep(self.pause_s)
        self.host = self.host or self._host_of_node()
        if self.host is not None and self._is_host_elsewhere():
            self.say(f"the host {self.host} is online by somebody else: its STATE is left alone")
            self.host = None
        try:
            await self._exercise()
        finally:
            if self.host is not None:
                await self._state(False, is_retained=True)
                await self.broker.publish(STATE + self.host, b"", qos=1, is_retained=True)

    async def _exercise(self) -> None:
        if self.host is not None:
            self.say(f"primary host {self.host}: offline, online long ago, online")
            await self._state(False, is_retained=True)
            await self._begin()
        if not await self._is_born(0):
            self.say("the node is not born: nothing more can be asked of it")
            return
        await asyncio.sleep(self.pause_s)
        self.say("rebirth request")
        begin = len(self.recording.entries)
        await self._ask_rebirth()
        await self._find(self._is_nbirth, begin, REBIRTH_S_MAX)
        await asyncio.sleep(self.pause_s)
        if self.host is not None:
            await self._exercise_offline()
        self.say("the connection is cut")
        begin = len(self.recording.entries)
        await self.cut()
        if await self._find(_is_connect, begin, CONNECT_S_MAX):
            await self._is_born(begin)
            await asyncio.sleep(self.pause_s)

    async def _exercise_offline(self) -> None:
        self.say(f"primary host {self.host}: offline long ago, offline")
        await self._state(False, older_ms=_OLDER_MS)
        await asyncio.sleep(self.old_offline_s + self.pause_s)
        begin = len(self.recording.entries)
        await self._state(False, is_retained=True)
        await self._find(_is_closed, begin, OFFLINE_S_MAX + self.pause_s)
        self.say("waiting for the node to connect anew")
        if await self._find(_is_connect, begin, CONNECT_S_MAX) is None:
            self.say("it has not")
        await asyncio.sleep(self.pause_s)
        begin = len(self.recording.entries)
        await self._begin()
        await self._is_born(begin)

    async def _begin(self) -> None:
        """Online with an old timestamp, which does not count, and then in earnest."""
        await asyncio.sleep(self.pause_s)
        await self._state(True, older_ms=_OLDER_MS)
        await asyncio.sleep(self.pause_s)
        await self._state(True, is_retained=True)

    async def _state(
        self, is_online: bool, *, older_ms: int = 0, is_retained: bool = False
    ) -> None:
        """Publish STATE, `older_ms` older than now. What is not to count is not retained."""
        body = {"online": is_online, "timestamp": self._now_ms() - older_ms}
        payload = json.dumps(body).encode()
        await self.broker.publish(f"{STATE}{self.host}", payload, qos=1, is_retained=is_retained)

    async def _ask_rebirth(self) -> None:
        assert self._topic is not None, "a node has connected"
        wanted = Held("boolean_value", True)
        metric = Metric(REBIRTH, timestamp_ms=self._now_ms(), datatype=BOOLEAN, value=wanted)
        payload = encode(Payload(self._now_ms(), (metric,)))
        topic = f"{NAMESPACE}/{self._topic.group}/NCMD/{self._topic.edge}"
        await self.broker.publish(topic, payload, qos=0, is_retained=False)

    def _now_ms(self) -> int:
        return round(self.clock() * 1000)

    async def _find(
        self, fits: Callable[[Entry], bool], begin: int, timeout_s: float
    ) -> Entry | None:
        return await self.recording.find(fits, begin, timeout_s)

    async def _is_born(self, begin: int) -> bool:
        return await self._find(self._is_nbirth, begin, BIRTH_S_MAX) is not None

    def _is_nbirth(self, entry: Entry) -> bool:
        what = entry.what
        if not isinstance(what, Passed) or not isinstance(what.frame.packet, Publish):
            return False
        topic = parse_topic(what.frame.packet.topic)
        return what.side == "node" and topic is not None and topic.kind == "NBIRTH"

    def _host_of_node(self) -> str | None:
        """The host whose STATE the node has subscribed to."""
        for entry in self.recording.entries:
            what = entry.what
            if isinstance(what, Passed) and isinstance(what.frame.packet, Subscribe):
                for text, _ in what.frame.packet.filters:
                    if (host := host_of(text)) is not None:
                        return host
        return None

    def _is_host_elsewhere(self) -> bool:
        """Whether the broker has a STATE of that host that says online."""
        last = b""
        for entry in self.recording.entries:
            if isinstance(entry.what, Seen) and entry.what.topic == f"{STATE}{self.host}":
                last = entry.what.payload
        try:
            found = json.loads(last or b"null")
        except ValueError:
            return True
        return isinstance(found, dict) and found.get("online") is True


def _will_topic(entry: Entry) -> Topic | None:
    what = entry.what
    if not isinstance(what, Passed) or not isinstance(what.frame.packet, Connect):
        return None
    will = what.frame.packet.will
    topic = None if will is None else parse_topic(will.topic)
    return topic if topic is not None and topic.kind == "NDEATH" else None


def _is_connect(entry: Entry) -> bool:
    return _will_topic(entry) is not None


def _is_closed(entry: Entry) -> bool:
    return isinstance(entry.what, Closed)
