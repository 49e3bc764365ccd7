"""The edge node: one loop that keeps one broker's Sparkplug hosts up to date.

    image    -> DBIRTH, DDATA, DDEATH    by exception, at most each `PASS_S`
    facts    -> NDATA                    versions, lines, devices, alarms; looked at each `FACTS_S`
    outbox   -> DDATA, is_historical     what was recorded while no host could hear it
    NCMD     -> births                   Rebirth; all else is refused, counted and put on record
    STATE    -> whether to be born       with a primary host; while it is away nothing is sent

session.py decides what is sent and numbers it; one task sends, so that numbers and order agree.
bdSeq is durable before the CONNECT that has it in its Will. Nothing that arrives here reaches a
board. A broker that fails is retried as by mqtt/uplink.py; a fault of our own ends this part alone,
which `run` starts again after `FAULT_S_MIN` to `FAULT_S_MAX`, with the uplink's state `failed`.

Limits: `PAST_RECORDS` records of the past at once, and no more before the broker has answered.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Iterable
from contextlib import aclosing, suppress
from datetime import datetime
from importlib.metadata import version
from itertools import chain
from typing import Final

from shorewatch.certificate import ending
from shorewatch.config import Station, UplinkConfig
from shorewatch.errors import UplinkError
from shorewatch.image import Image
from shorewatch.model import utc_now
from shorewatch.mqtt.client import Connection, Will, connected
from shorewatch.mqtt.desk import Requests
from shorewatch.mqtt.tls import Expiries, tls_of
from shorewatch.mqtt.uplink import (
    STEADY_S,
    STOP_S_MAX,
    AlarmList,
    Backoff,
    Lines,
    UplinkStatus,
    client_id_of,
    first_of,
    login_of,
)
from shorewatch.outbox import Outbox
from shorewatch.sparkplug.backlog import Progress, past_of
from shorewatch.sparkplug.host import Commands, Echo, PrimaryHost, state_topic
from shorewatch.sparkplug.metrics import is_lost, to_ms
from shorewatch.sparkplug.payload import DataType
from shorewatch.sparkplug.session import SEQ_COUNT, Fact, Facts, Message, Session

PASS_S: Final = 0.1
LOOK_S: Final = 1.0
FACTS_S: Final = 1.0
CONFIRM_S: Final = 5.0
PAST_RECORDS: Final = 200
FAULT_S_MIN: Final = 1.0
FAULT_S_MAX: Final = 60.0
KEPT_S_MAX: Final = 2.0
SUBSCRIBE_MAX: Final = 100
INCOMING_BYTES_MAX: Final = 64_000
_REFUSED = 0x80

_log = logging.getLogger("shorewatch.sparkplug")


class EdgeNode:
    """The station as a Sparkplug edge node at one broker; stands where an `Uplink` does."""

    def __init__(
        self,
        station: Station,
        config: UplinkConfig,
        image: Image,
        outbox: Outbox,
        lines: Lines,
        alarms: AlarmList,
        *,
        clock: Callable[[], float] = time.monotonic,
        chance: random.Random | None = None,
    ) -> None:
        self.station = station
        self.config = config
        self.expiries = Expiries(config)
        self.image = image
        self.outbox = outbox
        self.clock = clock
        self.commands = Commands()
        self.echo = Echo()
        self.host = None if config.primary_host is None else PrimaryHost(config.primary_host)
        self.online_s: float | None = None
        self.progress: Progress | None = None
        self.stopping = asyncio.Event()
        self._lines = lines
        self._alarms = alarms
        self._backoff = Backoff(chance or random.Random())
        self._bdseq = outbox.kept.get(self._key, {}).get("bdseq")
        self._is_bdseq_free = False
        outbox.cursor(config.id)  # from now on what it has not got is not evicted unnoticed
        self._stopped = asyncio.Event()
        self._is_running = False
        self._state, self._text, self._since = "connecting", self._trying, utc_now()
        self._trouble: tuple[str, datetime] | None = None
        self._attempts = 0
        self._version = version("shorewatch")

    def adopt(self, station: Station) -> None:
        """Publish `station`, which has the same topics, from here on: all is born anew."""
        assert station.prefix == self.station.prefix, "another station is another edge node"
        self.station = station

    @property
    def status(self) -> UplinkStatus:
        """A snapshot for the page."""
        cursor = self.outbox.cursor(self.config.id)
        trouble, trouble_at = self._trouble or (None, None)
        return UplinkStatus(
            id=self.config.id,
            url=self.config.url,
            state=self._state,
            text="; ".join([self._text, *ending(self.expiries.known, utc_now())]),
            since=self._since,
            published=cursor if self.progress is None else self.progress.sent,
            cursor=cursor,
            backlog=self.outbox.last - cursor,
            acks={},
            refused_acks=0,
            last_refusal=self.commands.last_refusal,
            last_trouble=trouble,
            last_trouble_at=trouble_at,
            attempts=self._attempts,
            silent={},
            requests=Requests(),
            plane="sparkplug",
            refused_commands=self.commands.refused,
            certificates=dict(self.expiries.known),
        )

    async def run(self) -> None:
        """Keep the broker up to date until `stop`, whatever it does and whatever fails in here."""
        self._is_running = True
        fault_s = FAULT_S_MIN
        try:
            while not self.stopping.is_set():
                begun_s = self.clock()
                working = asyncio.create_task(self._keep_connected())
                try:
                    await asyncio.wait([working])
                finally:
                    working.cancel()
                    await asyncio.wait([working])
                fault = working.exception()
                if fault is not None:
                    _log.error("the edge node %s failed", self.config.id, exc_info=fault)
                    if self.clock() - begun_s > FAULT_S_MAX:
                        fault_s = FAULT_S_MIN
                    text = f"failed by a fault of its own ({_leaf(fault)!r}, see the log)"
                    text += f"; tried again in {fault_s:g} s"
                    self.note_trouble(UplinkError("failed", text))
                    await _either_or(self.stopping, fault_s)
                    fault_s = min(2 * fault_s, FAULT_S_MAX)
            self.become("stopped", "stopped by the station")
        finally:
            self._is_running = False
            self._stopped.set()

    async def stop(self) -> None:
        """Say goodbye (NDEATH), disconnect, end `run`; a few seconds at most."""
        self.stopping.set()
        if self._is_running:
            await self._stopped.wait()

    def become(self, state: str, text: str) -> None:
        """Have the page show this."""
        if state != self._state:
            self._since = utc_now()
        self._state, self._text = state, text

    def facts(self) -> Facts:
        """What the node says of itself, by metric name."""
        lines = self._lines()
        up_count = sum(1 for line in lines.values() if line["up"])
        lost = [device for device in self.station.devices if is_lost(self.image.look(device))]
        counts = self.image.counts()
        rows = {str(row["id"]): str(row["state"]) for row in self._alarms.listed()}
        texts: dict[str, str | None] = {
            "Properties/Name": self.station.file.station.name,
            "Properties/Version": self._version,
            "Properties/Config": self.station.config_hash,
            "Properties/Journal": self.outbox.journal,
            "Outbox/Trouble": self.outbox.health,
            "Devices/Lost Names": ", ".join(lost),
        }
        texts |= {f"Alarms/{alarm}": rows.get(alarm, "normal") for alarm in self._alarms.ids}
        numbers = {
            "Lines/Up": up_count,
            "Lines/Down": len(lines) - up_count,
            "Devices/Up": len(self.station.devices) - len(lost),
            "Devices/Lost": len(lost),
            **{f"Points/{quality.capitalize()}": count for quality, count in counts.items()},
            "Alarms Listed": len(rows),
            "Commands Refused": self.commands.refused,
        }
        found = {name: Fact(DataType.STRING, text) for name, text in texts.items()}
        return found | {name: Fact(DataType.INT64, count) for name, count in numbers.items()}

    @property
    def _key(self) -> str:
        return f"sparkplug/{self.config.id}"

    @property
    def _trying(self) -> str:
        return f"connecting to {self.config.host}:{self.config.port}"

    async def _keep_connected(self) -> None:
        while not self.stopping.is_set():
            self._attempts += 1
            self.online_s = None
            if self._trouble is None:
                self.become("connecting", self._trying)
            try:
                await self._session()
            except* _StopSession:
                pass
            except* UplinkError as group:
                if not self.stopping.is_set():
                    self.note_trouble(first_of(group))
            if self._online_span_s() > STEADY_S:
                self._backoff.reset()
            await _either_or(self.stopping, self._backoff.wait_s(self._state))

    def _online_span_s(self) -> float:
        return 0.0 if self.online_s is None else self.clock() - self.online_s

    async def _session(self) -> None:
        login = await login_of(self.config)
        await self.expiries.read()
        session = Session(self.station, await self._next_bdseq())
        death = session.death(now_ms())
        try:
            async with connected(
                self.config.host,
                self.config.port,
                client_id=client_id_of(self.station, self.config),
                login=login,
                tls=tls_of(self.config),
                will=Will(death.topic, death.payload, is_retained=False),
                incoming_bytes_max=INCOMING_BYTES_MAX,
            ) as connection:
                self.expiries.saw(connection.certificate_until)
                await _Life(self, connection, session).run()
        except UplinkError as error:
            self._is_bdseq_free = not error.was_reached
            raise

    async def _next_bdseq(self) -> int:
        """The number of the next CONNECT, on disk before it is used, unless the disk is sick.

        A number that came twice would let the Will of a dead connection end the next session. One
        that reached no broker is free: CONNECTs count without gaps.
        """
        is_free, self._is_bdseq_free = self._is_bdseq_free, False
        last = self._bdseq if isinstance(self._bdseq, int) else SEQ_COUNT - 1
        if is_free:
            return last
        self._bdseq = (last + 1) % SEQ_COUNT
        if self.outbox.keep(self._key, {"bdseq": self._bdseq}):
            with suppress(TimeoutError):
                async with asyncio.timeout(KEPT_S_MAX):
                    await self.outbox.settled()
        return self._bdseq

    def note_trouble(self, error: UplinkError) -> None:
        """Have the page and the log show what is wrong."""
        if (error.state, str(error)) != (self._state, self._text):
            _log.warning("uplink %s: %s: %s", self.config.id, error.state, error)
        self._trouble = str(error), utc_now()
        self.become(error.state, str(error))


class _StopSession(Exception):
    """The station said goodbye: the orderly end of a session."""


class _Life:
    """One connection: several tasks hear, one tells."""

    def __init__(self, node: EdgeNode, connection: Connection, session: Session) -> None:
        self._node = node
        self._connection = connection
        self._session = session
        self._wake = asyncio.Event()
        self._confirm = asyncio.Event()
        self._changed: set[str] = set()
        # Lost devices, born only so that their past can be told.
        self._visiting: set[str] = set()
        self._audit: dict[str, object] | None = None
        self._ignored: str | None = None
        self._changes = node.image.watch()
        self._look_s = self._facts_s = float("-inf")
        self._command = session.topic("NCMD")
        self._subscribed: set[str] = set()

    async def run(self) -> None:
        """Be born and tell everything; ends by an exception group only."""
        node = self._node
        if node.host is not None:
            node.host.forget()
        try:
            await self._subscribe()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._hear_changes())
                tasks.create_task(self._hear_hosts())
                tasks.create_task(self._hear_stop())
                tasks.create_task(self._confirm_sent())
                await self._tell()
        finally:
            self._changes.close()

    async def _subscribe(self) -> None:
        """Hear commands and the primary host; whatever a broker refuses of these ends it."""
        host = self._node.host
        wanted = {self._command: True, self._session.topic("NBIRTH"): False}
        if host is not None:
            wanted[state_topic(host.id)] = True
        # A host that commands a device does nothing, and must not believe that nobody noticed.
        wanted |= {self._session.topic("DCMD", name): False for name in self._node.station.devices}
        new = [topic for topic in wanted if topic not in self._subscribed]
        for start in range(0, len(new), SUBSCRIBE_MAX):
            topics = new[start : start + SUBSCRIBE_MAX]
            codes = await self._connection.subscribe(*topics)
            for topic, code in zip(topics, codes, strict=True):
                if code >= _REFUSED and wanted[topic]:
                    text = f"the broker refuses a subscription to {topic} with code 0x{code:02x}"
                    raise UplinkError("not-authorised", f"{text}: allow it in its access rules")
        self._subscribed.update(new)

    async def _hear_changes(self) -> None:
        while True:
            self._changed |= await self._changes.take()
            self._wake.set()

    async def _hear_stop(self) -> None:
        await self._node.stopping.wait()
        self._wake.set()

    async def _hear_hosts(self) -> None:
        node = self._node
        async with aclosing(self._connection.messages()) as messages:
            async for message in messages:
                if node.host is not None and message.topic == state_topic(node.host.id):
                    self._note_ignored(node.host.hear(message.payload))
                elif message.topic == self._session.topic("NBIRTH"):
                    node.echo.hear(message.payload, node.clock())
                else:
                    audit = node.commands.hear(
                        message.topic,
                        message.payload,
                        node.clock(),
                        is_retained=message.is_retained,
                    )
                    self._audit = audit or self._audit
                self._wake.set()

    def _note_ignored(self, why: str | None) -> None:
        """Log what of the host's STATE counts for nothing, when that begins."""
        if why is not None and self._ignored is None:
            _log.warning("uplink %s: the primary host's STATE %s", self._node.config.id, why)
        self._ignored = why

    async def _confirm_sent(self) -> None:
        """Have the broker answer from time to time: it then has all that was sent before."""
        node = self._node
        while True:
            await _either_or(self._confirm, CONFIRM_S)
            progress = node.progress
            seq = None if progress is None else progress.sent
            await self._connection.subscribe(self._command)
            self._confirm.clear()
            self._wake.set()
            if progress is not None and seq is not None:
                progress.confirmed(seq, node.clock())
                await node.outbox.acknowledge(node.config.id, progress.cursor(node.clock()))

    async def _tell(self) -> None:
        """The one task that publishes what is numbered."""
        while True:
            self._wake.clear()
            await self._tell_once()
            await _either_or(self._wake, self._wait_s())
            await asyncio.sleep(PASS_S)

    async def _tell_once(self) -> None:
        node, session = self._node, self._session
        if node.stopping.is_set():
            await self._leave()
            raise _StopSession
        await self._write_audit()
        if node.host is not None and not node.host.is_online:
            await self._wait_for(node.host)
        elif not session.is_born:
            await self._be_born(is_first=True)
        elif session.station is not node.station:
            await self._be_born(is_first=False)
        elif not node.commands.is_asked:
            await self._tell_news()
            await self._tell_past()
        elif node.commands.wait_s(node.clock()) <= 0:
            _log.info("uplink %s: born again, as a host asked", node.config.id)
            await self._be_born(is_first=False)

    def _wait_s(self) -> float:
        commands = self._node.commands
        wait_s = commands.wait_s(self._node.clock()) if commands.is_asked else LOOK_S
        return min(wait_s, LOOK_S)

    async def _wait_for(self, host: PrimaryHost) -> None:
        """Nobody is there to hear: a session that was told ends, one that was not waits."""
        text = f"waiting for the primary host {host.id}: it is offline; records are kept"
        if self._session.is_born:
            await self._leave()
            raise UplinkError("waiting", text)
        if host.is_online is None:
            text = f"waiting for the primary host {host.id}: nothing was heard of it yet"
        self._node.become("waiting", text)

    async def _leave(self) -> None:
        """NDEATH, then DISCONNECT with Will, as MQTT 5 has it."""
        with suppress(UplinkError, TimeoutError):
            async with asyncio.timeout(STOP_S_MAX):
                if self._session.is_born:
                    await self._send([self._session.death(now_ms())])
                await self._connection.disconnect(with_will=True)

    async def _be_born(self, *, is_first: bool) -> None:
        node, session = self._node, self._session
        await self._subscribe()
        if is_first:
            last = node.outbox.last
            node.progress = Progress(node.outbox.cursor(node.config.id), last)
        self._changed.clear()
        self._visiting.clear()
        station = node.station
        values = {device: node.image.look(device) for device in station.devices}
        # Who asks from here on may have missed the first of these messages.
        node.commands.born(node.clock(), is_first=is_first)
        births = session.birth(station, values, node.facts(), now_ms())
        nbirth = next(births)
        if len(nbirth.payload) + len(nbirth.topic) < INCOMING_BYTES_MAX - 100:
            node.echo.sent(nbirth.payload, node.clock())
        await self._send(chain([nbirth], births))
        if is_first:
            node.online_s = node.clock()
            _log.info("uplink %s: born at %s", node.config.id, node.config.url)
        self._show()

    def _show(self) -> None:
        node, count = self._node, len(self._session.devices - self._visiting)
        where = f"{node.config.host}:{node.config.port}"
        name = f"{node.station.cable}/{node.station.id}"
        if node.echo.has_rival(node.clock()):
            text = f"another edge node is born as {name} at {where}: stop one of the two gateways"
            node.note_trouble(UplinkError("taken-over", text))
            return
        if node.echo.is_missing(node.clock()):
            text = (
                f"{where} does not give our own {self._session.topic('NBIRTH')} back: it may refuse"
                " all that we send; allow writing and reading it in its access rules"
            )
            node.note_trouble(UplinkError("not-authorised", text))
            return
        text = f"connected to {where}, {count} of {len(node.station.devices)} devices alive"
        node.become("online", text)

    async def _tell_news(self) -> None:
        node, session = self._node, self._session
        assert node.progress is not None, "it was born"
        last, now_s = node.outbox.last, node.clock()
        if now_s >= self._look_s:
            self._look_s = now_s + LOOK_S
            self._changed |= session.station.devices.keys()
        changed, self._changed = self._changed, set()
        for device in sorted(changed & session.station.devices.keys()):
            if session.station is not node.station:
                return  # another configuration: nothing goes out before its births
            values = node.image.look(device)
            if not is_lost(values):
                self._visiting.discard(device)
            if device not in self._visiting:
                await self._send(session.tell(device, values, now_ms()))
        if now_s >= self._facts_s:
            self._facts_s = now_s + FACTS_S
            await self._send(session.tell_facts(node.facts(), now_ms()))
        node.progress.told_live(last)
        self._show()

    async def _tell_past(self) -> None:
        """The next records of what no host has heard, once the broker has the ones before."""
        node, session, progress = self._node, self._session, self._node.progress
        assert progress is not None, "it was born"
        if self._confirm.is_set():
            return
        if progress.is_past_told:
            for device in sorted(self._visiting):
                await self._send([session.device_death(device, now_ms())])
            self._visiting.clear()
            return
        records = await node.outbox.read(progress.after, PAST_RECORDS)
        for device, past in past_of(session, records).items():
            if session.station is not node.station:
                return  # the same records again, after the births
            if device not in session.devices:
                self._visiting.add(device)
                values = node.image.look(device)
                await self._send([session.device_birth(device, values, now_ms())])
            await self._send(session.tell_past(device, past, now_ms()))
        progress.told_past(records[-1].seq if records else node.outbox.last)
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

    async def _write_audit(self) -> None:
        body, self._audit = self._audit, None
        if body is not None:
            await self._node.outbox.put(
                "audit", utc_now(), {"uplink": self._node.config.id, **body}
            )


def now_ms() -> int:
    """The wall clock as Sparkplug has it."""
    return to_ms(utc_now(), 0)


def _leaf(error: BaseException) -> BaseException:
    """What went wrong first in a group."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


async def _either_or(event: asyncio.Event, span_s: float) -> None:
    """Wait for the event, but not for longer than `span_s`."""
    with suppress(TimeoutError):
        async with asyncio.timeout(span_s):
            await event.wait()
