"""One connection of an edge node, from its birth to its death: several tasks hear, one tells.

session.py decides what is sent and numbers it; one task sends, so that numbers and order agree.
Live values go before the past, and the past in pieces: the next when the broker has the one before.
While a primary host is away nothing is sent.

It ends by an exception group only: UplinkErrors, or `Stopped` after an orderly goodbye.
Limits: a pass each `PASS_S` at most; `PAST_RECORDS` records of the past at once, and no more before
the broker has answered; at most about `UNCONFIRMED_BYTES_MAX` bytes on a line of unknown speed.
"""

import asyncio
import logging
from collections.abc import Iterable
from contextlib import suppress
from itertools import chain
from typing import Final

from shorewatch.errors import UplinkError
from shorewatch.model import utc_now
from shorewatch.mqtt.client import Connection
from shorewatch.mqtt.condition import Condition
from shorewatch.mqtt.session import STOP_S_MAX, Stopped
from shorewatch.mqtt.source import Source
from shorewatch.mqtt.waiting import either_or
from shorewatch.sparkplug.backlog import Progress, past_of
from shorewatch.sparkplug.facts import facts_of
from shorewatch.sparkplug.hearing import Heard, Hearing
from shorewatch.sparkplug.host import PrimaryHost
from shorewatch.sparkplug.metrics import is_lost, to_ms
from shorewatch.sparkplug.session import Message, Session

PASS_S: Final = 0.1
LOOK_S: Final = 1.0
FACTS_S: Final = 1.0
CONFIRM_S: Final = 5.0
PAST_RECORDS: Final = 200
UNCONFIRMED_BYTES_MAX: Final = 16_384
INCOMING_BYTES_MAX: Final = 64_000

_log = logging.getLogger("shorewatch.sparkplug")


class Life:
    """One connection; `progress` and `online_s` are None until the node is born on it."""

    def __init__(
        self,
        source: Source,
        connection: Connection,
        session: Session,
        *,
        heard: Heard,
        condition: Condition,
        stopping: asyncio.Event,
    ) -> None:
        self._source = source
        self._connection = connection
        self._session = session
        self._heard = heard
        self._condition = condition
        self._stopping = stopping
        self._wake = asyncio.Event()
        self._hearing = Hearing(source, connection, session, heard, self._wake.set)
        self._confirm = asyncio.Event()
        self._changed: set[str] = set()
        # Lost devices, born only so that their past can be told.
        self._visiting: set[str] = set()
        self._changes = source.image.watch()
        self._look_s = self._facts_s = float("-inf")
        self._unconfirmed_bytes = 0
        self.progress: Progress | None = None
        self.online_s: float | None = None
        self.heeds_stop = False

    async def run(self) -> None:
        """Be born and tell everything; ends by an exception group only."""
        if self._heard.host is not None:
            self._heard.host.forget()
        try:
            await self._hearing.subscribe()
            self.heeds_stop = True
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._hear_changes())
                tasks.create_task(self._hearing.run())
                tasks.create_task(self._hear_stop())
                tasks.create_task(self._confirm_sent())
                await self._tell()
        finally:
            self._changes.close()

    async def _hear_changes(self) -> None:
        while True:
            self._changed |= await self._changes.take()
            self._wake.set()

    async def _hear_stop(self) -> None:
        await self._stopping.wait()
        self._wake.set()

    async def _confirm_sent(self) -> None:
        """Have the broker answer from time to time: it then has all that was sent before."""
        source = self._source
        while True:
            await either_or(self._confirm, CONFIRM_S)
            progress = self.progress
            seq = None if progress is None else progress.sent
            await self._hearing.confirm()
            self._confirm.clear()
            self._wake.set()
            if progress is not None and seq is not None:
                progress.confirmed(seq, source.clock())
                cursor = progress.cursor(source.clock())
                await source.outbox.acknowledge(source.config.id, cursor)

    async def _tell(self) -> None:
        """The one task that publishes what is numbered."""
        while True:
            self._wake.clear()
            await self._tell_once()
            await either_or(self._wake, self._wait_s())
            await asyncio.sleep(PASS_S)

    async def _tell_once(self) -> None:
        source, session, commands = self._source, self._session, self._heard.commands
        host = self._heard.host
        if self._stopping.is_set():
            await self._leave()
            raise Stopped
        await self._hearing.write_audit()
        if host is not None and not host.is_online:
            await self._wait_for(host)
        elif not session.is_born:
            await self._be_born(is_first=True)
        elif session.station is not source.station:
            await self._be_born(is_first=False)
        elif not commands.is_asked:
            await self._tell_news()
            await self._tell_past()
        elif commands.wait_s(source.clock()) <= 0:
            _log.info("uplink %s: born again, as a host asked", source.config.id)
            await self._be_born(is_first=False)

    def _wait_s(self) -> float:
        commands = self._heard.commands
        wait_s = commands.wait_s(self._source.clock()) if commands.is_asked else LOOK_S
        return min(wait_s, LOOK_S)

    async def _wait_for(self, host: PrimaryHost) -> None:
        """Nobody is there to hear: a session that was told ends, one that was not waits."""
        text = f"waiting for the primary host {host.id}: it is offline; records are kept"
        if self._session.is_born:
            await self._leave()
            raise UplinkError("waiting", text)
        if host.is_online is None:
            text = f"waiting for the primary host {host.id}: nothing was heard of it yet"
        if self._hearing.ignored is not None:
            text += f"; its last STATE {self._hearing.ignored}: check the host and its clock"
        self._condition.become("waiting", text)

    async def _leave(self) -> None:
        """NDEATH, then DISCONNECT with Will, as MQTT 5 has it."""
        with suppress(UplinkError, TimeoutError):
            async with asyncio.timeout(STOP_S_MAX):
                if self._session.is_born:
                    await self._send([self._session.death(now_ms())])
                await self._connection.disconnect(with_will=True)

    async def _be_born(self, *, is_first: bool) -> None:
        source, session, heard = self._source, self._session, self._heard
        await self._hearing.subscribe()
        if is_first:
            outbox = source.outbox
            self.progress = Progress(outbox.cursor(source.config.id), outbox.last)
        self._changed.clear()
        self._visiting.clear()
        station = source.station
        values = {device: source.image.look(device) for device in station.devices}
        # Who asks from here on may have missed the first of these messages.
        heard.commands.born(source.clock(), is_first=is_first)
        facts = facts_of(source, heard.commands.refused)
        births = session.birth(station, values, facts, now_ms())
        nbirth = next(births)
        if len(nbirth.payload) + len(nbirth.topic) < INCOMING_BYTES_MAX - 100:
            heard.echo.sent(nbirth.payload, source.clock())
        await self._send(chain([nbirth], births))
        if is_first:
            self.online_s = source.clock()
            _log.info("uplink %s: born at %s", source.config.id, source.config.url)
        self._show()

    def _show(self) -> None:
        station, config, now_s = self._source.station, self._source.config, self._source.clock()
        where = f"{config.host}:{config.port}"
        if self._heard.echo.has_rival(now_s):
            name = f"{station.cable}/{station.id}"
            text = f"another edge node is born as {name} at {where}: stop one of the two gateways"
            self._condition.suffer(UplinkError("taken-over", text))
            return
        if self._heard.echo.is_missing(now_s):
            text = (
                f"{where} does not give our own {self._session.topic('NBIRTH')} back: it may refuse"
                " all that we send; allow writing and reading it in its access rules"
            )
            self._condition.suffer(UplinkError("not-authorised", text))
            return
        count = len(self._session.devices - self._visiting)
        text = f"connected to {where}, {count} of {len(station.devices)} devices alive"
        self._condition.become("online", text)

    async def _tell_news(self) -> None:
        source, session = self._source, self._session
        assert self.progress is not None, "it was born"
        last, now_s = source.outbox.last, source.clock()
        if now_s >= self._look_s:
            self._look_s = now_s + LOOK_S
            self._changed |= session.station.devices.keys()
        changed, self._changed = self._changed, set()
        for device in sorted(changed & session.station.devices.keys()):
            if session.station is not source.station:
                return  # another configuration: nothing goes out before its births
            values = source.image.look(device)
            if not is_lost(values):
                self._visiting.discard(device)
            if device not in self._visiting:
                await self._send(session.tell(device, values, now_ms()))
        if now_s >= self._facts_s:
            self._facts_s = now_s + FACTS_S
            facts = facts_of(source, self._heard.commands.refused)
            await self._send(session.tell_facts(facts, now_ms()))
        self.progress.told_live(last)
        self._show()

    async def _tell_past(self) -> None:
        """The next records of what no host has heard, once the broker has the ones before."""
        source, session, progress = self._source, self._session, self.progress
        assert progress is not None, "it was born"
        if self._confirm.is_set():
            return
        if progress.is_past_told:
            for device in sorted(self._visiting):
                await self._send([session.device_death(device, now_ms())])
            self._visiting.clear()
            return
        records = await source.outbox.read(progress.after, PAST_RECORDS)
        for device, past in past_of(session, records).items():
            if session.station is not source.station:
                return  # the same records again, after the births
            if device not in session.devices:
                self._visiting.add(device)
                values = source.image.look(device)
                await self._send([session.device_birth(device, values, now_ms())])
            await self._send(session.tell_past(device, past, now_ms()))
        progress.told_past(records[-1].seq if records else source.outbox.last)
        self._confirm.set()

    async def _send(self, messages: Iterable[Message]) -> None:
        for message in messages:
            size = len(message.topic) + len(message.payload) + 64
            if size > self._connection.packet_bytes_max:
                raise UplinkError(
                    "quota",
                    f"the broker takes packets of {self._connection.packet_bytes_max} bytes,"
                    f" {message.topic} needs {size}: raise its maximum packet size",
                )
            await self._connection.publish(message.topic, message.payload, qos=message.qos)
            self._unconfirmed_bytes += size
            if self._unconfirmed_bytes > UNCONFIRMED_BYTES_MAX:
                await self._hearing.confirm()
                self._unconfirmed_bytes = 0


def now_ms() -> int:
    """The wall clock as Sparkplug has it."""
    return to_ms(utc_now(), 0)
