"""What an edge node hears at its broker: commands, its primary host, its own births.

    NCMD     Rebirth; all else is refused, counted and put on record
    DCMD     refused: nothing is ever written to a device
    STATE    of the primary host, if there is one
    NBIRTH   our own, which tells that the broker takes what we send; another's tells of a rival

What it means is decided by host.py. Limits: one audit record waits.
"""

import logging
from collections.abc import Callable
from contextlib import aclosing
from typing import Final

from shorewatch.config import UplinkConfig
from shorewatch.errors import UplinkError
from shorewatch.model import utc_now
from shorewatch.mqtt.client import Connection
from shorewatch.mqtt.source import Source
from shorewatch.sparkplug.host import Commands, Echo, PrimaryHost, state_topic
from shorewatch.sparkplug.session import Session

SUBSCRIBE_MAX: Final = 100
_REFUSED = 0x80

_log = logging.getLogger("shorewatch.sparkplug")


class Heard:
    """What was heard by one edge node, over all its connections."""

    def __init__(self, config: UplinkConfig) -> None:
        self.commands = Commands()
        self.echo = Echo()
        self.host = None if config.primary_host is None else PrimaryHost(config.primary_host)
        self.audit: dict[str, object] | None = None


class Hearing:
    """The ears of one connection; `wake` is called after each message that came.

    `ignored` says why the last STATE of the primary host counts for nothing, if so.
    """

    def __init__(
        self,
        source: Source,
        connection: Connection,
        session: Session,
        heard: Heard,
        wake: Callable[[], None],
    ) -> None:
        self._source = source
        self._connection = connection
        self._session = session
        self._heard = heard
        self._wake = wake
        self.ignored: str | None = None
        self._subscribed: set[str] = set()
        self._command = session.topic("NCMD")

    async def subscribe(self) -> None:
        """Hear commands and the primary host; whatever a broker refuses of these ends it."""
        host = self._heard.host
        wanted = {self._command: True, self._session.topic("NBIRTH"): False}
        if host is not None:
            wanted[state_topic(host.id)] = True
        # A host that commands a device does nothing, and must not believe that nobody noticed.
        devices = self._source.station.devices
        wanted |= {self._session.topic("DCMD", name): False for name in devices}
        new = [topic for topic in wanted if topic not in self._subscribed]
        for start in range(0, len(new), SUBSCRIBE_MAX):
            topics = new[start : start + SUBSCRIBE_MAX]
            codes = await self._connection.subscribe(*topics)
            for topic, code in zip(topics, codes, strict=True):
                if code >= _REFUSED and wanted[topic]:
                    text = f"the broker refuses a subscription to {topic} with code 0x{code:02x}"
                    raise UplinkError("not-authorised", f"{text}: allow it in its access rules")
        self._subscribed.update(new)

    async def confirm(self) -> None:
        """Return when the broker has answered: it then has all that was sent before."""
        # What stands there was heard once; each time again, it would be refused each time.
        await self._connection.subscribe(self._command, with_retained=False)

    async def run(self) -> None:
        """Take what comes, until the connection ends (UplinkError)."""
        heard, clock = self._heard, self._source.clock
        async with aclosing(self._connection.messages()) as messages:
            async for message in messages:
                if heard.host is not None and message.topic == state_topic(heard.host.id):
                    self._note_ignored(heard.host.hear(message.payload))
                elif message.topic == self._session.topic("NBIRTH"):
                    heard.echo.hear(message.payload, clock())
                else:
                    audit = heard.commands.hear(
                        message.topic, message.payload, clock(), is_retained=message.is_retained
                    )
                    heard.audit = audit or heard.audit
                self._wake()

    async def write_audit(self) -> None:
        """Put on record what was refused, if that is due."""
        body, self._heard.audit = self._heard.audit, None
        if body is not None:
            config = self._source.config
            await self._source.outbox.put("audit", utc_now(), {"uplink": config.id, **body})

    def _note_ignored(self, why: str | None) -> None:
        """Log what of the host's STATE counts for nothing, when that begins."""
        if why is not None and self.ignored is None:
            _log.warning("uplink %s: the primary host's STATE %s", self._source.config.id, why)
        self.ignored = why
