"""The uplink: one loop that keeps one broker, and so the NOC, up to date.

    image  -> now/<device>        live, QoS 0, also without a change before the broker drops it
    lines  -> state, birth/...    on each connect; state every 30 s and when lines or outbox change
    gone   -> birth/..., now/...  emptied, also those of devices that an earlier run had
    outbox -> journal             from the cursor, a few batches in flight
    ack/<consumer> -> cursor      believed by the rules of journal.py only
    request/<id> -> reply/<id>    judged and done by desk.py

`Uplink.run` is the only place that handles a bad broker: whatever ends a connection becomes the
status for the page, and the next attempt follows after 0.2 to 5 s. A topic that the broker refuses
does not end a connection: that topic is tried again, the rest goes on. Live first: `state` and
`now` share the connection with the journal, which keeps at most a window of batches in flight.

A connection ends without DISCONNECT except by `stop`, so that the broker tells of our death.
Limits: all waiting is bounded by client.py's timeouts; nothing is queued here but sets of device
ids, one wanted cursor and one audit record.
"""

import asyncio
import logging
import random
import secrets
import socket
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence, Set
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Protocol

from shorewatch.certificate import ending
from shorewatch.config import Device, Station, UplinkConfig
from shorewatch.errors import SecretError, UplinkError
from shorewatch.image import Changes, Image
from shorewatch.model import to_text, utc_now
from shorewatch.mqtt import topics
from shorewatch.mqtt.client import NO_SUBSCRIBERS, Connection, Message, Will, connected
from shorewatch.mqtt.desk import RequestDesk, Requests
from shorewatch.mqtt.journal import WINDOW, Acks, Flight, Listening, Refusals, Refused, Sender
from shorewatch.mqtt.tls import Expiries, tls_of
from shorewatch.outbox import Outbox, Record
from shorewatch.secret import read_secret

STATE_S: Final = 30.0
LOOK_S: Final = 0.5
NOW_S_MIN: Final = 0.2
BIRTHS_IN_FLIGHT: Final = 8
ALARMS_A_TURN: Final = 64
BACKOFF_S_MIN: Final = 0.2
BACKOFF_S_MAX: Final = 5.0
STEADY_S: Final = 10.0
STOP_S_MAX: Final = 2.0
DRAIN_S_MAX: Final = 0.5
RIVAL_S: Final = 60.0
SHORT_LIVED_MAX: Final = 3
OWED_S: Final = 2.0
HISTORY_AGE: Final = timedelta(seconds=10)
# A request that is too long for us is to be seen and told, so somewhat more may come.
INCOMING_BYTES_MAX: Final = 16_384
_REFUSED = 0x80
# Which process this is, for whoever finds two of them.
IDENTITY: Final = f"{socket.gethostname()[:64]}/{secrets.token_hex(3)}"

Lines = Callable[[], Mapping[str, Mapping[str, object]]]


class AlarmList(Protocol):
    """The alarms of the station: the alarm desk."""

    @property
    def ids(self) -> Sequence[str]: ...
    def listed(self) -> Sequence[Mapping[str, object]]: ...
    def watch(self) -> Changes: ...
    async def answer(self, request: Mapping[str, object]) -> Mapping[str, object]: ...


_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class UplinkStatus:
    """An uplink at one moment, for the page.

    `state` is connecting, online, unreachable, refused, no-secret, bad-certificate, needs-tls,
    no-tls, not-authorised, wrong-protocol, quota, lost, taken-over or stopped; `text` says it in a
    sentence with what to do. `published` is the highest sequence the broker took, `backlog` counts
    from the cursor to the newest record. `plane` is json or sparkplug; the latter has
    `refused_commands`, and may be waiting (for its primary host) or failed (by a fault of its own).
    `certificates` says when `own`, `ca` and `broker` end, of those that are known.
    `last_trouble` stays readable after it is over. `acks` has the last time of each consumer,
    `silent` those that acknowledge nothing although records wait for them, and since when.
    """

    id: str
    url: str
    state: str
    text: str
    since: datetime
    published: int
    cursor: int
    backlog: int
    acks: Mapping[str, datetime | None]
    refused_acks: int
    last_refusal: str | None
    last_trouble: str | None
    last_trouble_at: datetime | None
    attempts: int
    silent: Mapping[str, datetime]
    requests: Requests
    plane: str = "json"
    refused_commands: int = 0
    certificates: Mapping[str, datetime] = field(default_factory=dict)

    @property
    def is_broker_acknowledged_only(self) -> bool:
        """Whether nobody but the broker confirms what it got."""
        return not self.acks


async def login_of(config: UplinkConfig) -> tuple[str, str | None] | None:
    """User and password; UplinkError (no-secret) if the password cannot be had."""
    if config.user is None:
        return None
    if config.password_file is None and config.password_credential is None:
        return config.user, None
    try:
        password = await asyncio.to_thread(
            read_secret, config.password_file, config.password_credential
        )
    except SecretError as error:
        raise UplinkError("no-secret", str(error)) from error
    return config.user, password


def client_id_of(station: Station, config: UplinkConfig) -> str:
    """The MQTT client id: as configured, else one that no other uplink has."""
    return config.client_id or f"shorewatch-{station.cable}-{station.id}-{config.id}"


class Backoff:
    """Waits between attempts: doubling from 0.2 to 5 s, each with up to half of it as jitter."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._next_s = BACKOFF_S_MIN

    def reset(self) -> None:
        """A connection held: start small again."""
        self._next_s = BACKOFF_S_MIN

    def wait_s(self, state: str) -> float:
        """The next wait; a taken-over or refused one is long at once: haste would only hurt."""
        if state in ("taken-over", "not-authorised", "quota"):
            self._next_s = BACKOFF_S_MAX
        wait_s = self._next_s * self._chance.uniform(0.5, 1.0)
        self._next_s = min(2 * self._next_s, BACKOFF_S_MAX)
        return wait_s


class Pace:
    """When each device's `now` is due: soon after a change, and at half its expiry anyway."""

    def __init__(self, devices: Mapping[str, Device], now_s: float) -> None:
        self._expiry_s = {name: topics.expiry_s(device) for name, device in devices.items()}
        self._due_s = dict.fromkeys(devices, now_s)
        self._sent_s = dict.fromkeys(devices, float("-inf"))

    def changed(self, device: str) -> None:
        """A device has new values: due at once, but not twice within `NOW_S_MIN`."""
        self._due_s[device] = min(self._due_s[device], self._sent_s[device] + NOW_S_MIN)

    def sent(self, device: str, now_s: float) -> None:
        """It went out."""
        self._sent_s[device] = now_s
        self._due_s[device] = now_s + self._expiry_s[device] / 2

    def due(self, now_s: float) -> list[str]:
        """The devices due now, longest due first."""
        found = [name for name, due_s in self._due_s.items() if due_s <= now_s]
        return sorted(found, key=self._due_s.__getitem__)

    def wait_s(self, now_s: float) -> float:
        """Seconds until the next one is due."""
        return max(0.0, min(self._due_s.values(), default=now_s + 60) - now_s)


class Uplink:
    """The station's end of one broker."""

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
        identity: str = IDENTITY,
    ) -> None:
        self._identity = identity
        self.expiries = Expiries(config)
        self._station = station
        self._config = config
        self._image = image
        self._outbox = outbox
        self._lines = lines
        self._alarms = alarms
        self._clock = clock
        self._backoff = Backoff(chance or random.Random())
        self._acks = Acks(
            outbox.journal, config.consumers, cursor=outbox.cursor(config.id), sent=outbox.last
        )
        self._refusals = Refusals()
        self._listening = Listening(config.consumers)
        self._requests = RequestDesk(station.prefix, config, outbox, alarms, clock=clock)
        self._acked_at: dict[str, datetime | None] = dict.fromkeys(config.consumers)
        self._last_refusal: str | None = None
        self._audit: dict[str, object] | None = None
        self._cursor_wanted = 0
        self._published = outbox.cursor(config.id)
        self._refused_topics: dict[str, UplinkError] = {}
        self._state, self._text, self._since = "connecting", self._trying, utc_now()
        self._trouble: tuple[str, datetime] | None = None
        self._attempts = 0
        self._online_s: float | None = None
        self._rival_s = float("-inf")
        self._rival_name = ""
        self._short_lived = 0
        self._since_before: datetime | None = None
        self._stopping = asyncio.Event()
        self._stopped = asyncio.Event()
        self._is_running = False
        self._connection: Connection | None = None

    def adopt(self, station: Station) -> None:
        """Publish `station`, which has the same topics, from here on: what differs is born anew."""
        assert station.prefix == self._station.prefix, "another station is another uplink"
        self._station = station

    @property
    def status(self) -> UplinkStatus:
        """A snapshot for the page."""
        cursor = self._outbox.cursor(self._config.id)
        trouble, trouble_at = self._trouble or (None, None)
        return UplinkStatus(
            id=self._config.id,
            url=self._config.url,
            state=self._state,
            text=self._said,
            since=self._since,
            published=self._published,
            cursor=cursor,
            backlog=self._outbox.last - cursor,
            acks=dict(self._acked_at),
            refused_acks=self._refusals.count,
            last_refusal=self._last_refusal,
            last_trouble=trouble,
            last_trouble_at=trouble_at,
            attempts=self._attempts,
            silent=self.silent,
            requests=self._requests.status,
            certificates=dict(self.expiries.known),
        )

    @property
    def silent(self) -> Mapping[str, datetime]:
        """The consumers that acknowledge nothing although records wait for them; since when."""
        spans_s = self._listening.silent(self._clock())
        return {name: utc_now() - timedelta(seconds=span_s) for name, span_s in spans_s.items()}

    @property
    def _said(self) -> str:
        """The state in words, with what is known of whoever should answer."""
        connection = self._connection
        owed_s = 0.0 if connection is None else connection.unanswered_s
        if self._state == "online" and owed_s >= OWED_S:
            return f"{self._text}, which has not answered for {owed_s:.0f} s"
        if self._state == "online" and len(silent := self.silent) == len(self._acked_at) > 0:
            waiting = self._outbox.last - self._outbox.cursor(self._config.id)
            since = f"{min(silent.values()):%Y-%m-%d %H:%M:%S} UTC"
            return f"{self._text}; nobody is listening since {since}, {waiting:,} records wait"
        return "; ".join([self._text, *ending(self.expiries.known, utc_now())])

    async def run(self) -> None:
        """Keep the broker up to date until `stop`; never raises for what a broker does."""
        async with self._requests.working():
            await self._keep_up()

    async def _keep_up(self) -> None:
        self._is_running = True
        try:
            while not self._stopping.is_set():
                if await self._attempt() > STEADY_S:
                    self._backoff.reset()
                with suppress(TimeoutError):
                    wait_s = self._backoff.wait_s(self._state)
                    await asyncio.wait_for(self._stopping.wait(), wait_s)
            self._become("stopped", "stopped by the station")
        finally:
            self._is_running = False
            self._stopped.set()

    async def stop(self) -> None:
        """Say goodbye (offline, reason stopped), disconnect, end `run`; a few seconds at most."""
        self._stopping.set()
        if self._is_running:
            await self._stopped.wait()

    async def _attempt(self) -> float:
        """One connection from its beginning to its end, whatever that is: seconds it was online."""
        self._attempts += 1
        self._online_s = None
        if self._trouble is None:
            self._become("connecting", self._trying)
        try:
            await self._session()
        except* _StopSession:
            pass
        except* UplinkError as group:
            if not self._stopping.is_set():
                self._count_short_lived()
                self._fail(first_of(group))
        return 0.0 if self._online_s is None else self._clock() - self._online_s

    def _count_short_lived(self) -> None:
        if self._online_s is not None:
            is_short = self._clock() - self._online_s < STEADY_S
            self._short_lived = self._short_lived + 1 if is_short else 0

    async def _session(self) -> None:
        since = utc_now()
        gone = topics.offline(
            self._station, reason="connection lost", journal=self._outbox.journal, since=since,
            gateway=self._identity,
        )  # fmt: skip
        will = Will(topics.state_topic(self._station.prefix), topics.encode(gone))
        await self.expiries.read()
        try:
            async with connected(
                self._config.host,
                self._config.port,
                client_id=client_id_of(self._station, self._config),
                login=await login_of(self._config),
                tls=tls_of(self._config),
                will=will,
                incoming_bytes_max=INCOMING_BYTES_MAX,
            ) as connection:
                self._connection = connection
                self.expiries.saw(connection.certificate_until)
                await _Session(self, connection, since).run()
        except (UplinkError, _StopSession) as error:
            raise ExceptionGroup("uplink", [error]) from error
        finally:
            self._connection = None
            self._listening = Listening(self._config.consumers)
            if self._online_s is not None:
                self._since_before = since

    def _standing(self, what: str) -> frozenset[str]:
        """The devices or alarms of which something stands at this broker, or may."""
        facts = self._outbox.kept.get(f"{what}/{self._config.id}", {})
        names = facts.get("names") if facts.get("url") == self._config.url else None
        return frozenset(names if isinstance(names, list) else ())

    def _note_standing(self, what: str, names: Set[str]) -> None:
        """Remember it, also over a restart."""
        if names != self._standing(what):
            facts = {"url": self._config.url, "names": sorted(names)}
            self._outbox.keep(f"{what}/{self._config.id}", facts)

    @property
    def _trying(self) -> str:
        return f"connecting to {self._config.host}:{self._config.port}"

    def _fail(self, error: UplinkError) -> None:
        is_gone = error.state in ("lost", "taken-over")
        if is_gone and self._clock() - self._rival_s < RIVAL_S:
            error = self._rival  # it took the connection
        elif error.state == "lost" and self._short_lived >= SHORT_LIVED_MAX:
            error = UplinkError(
                "lost",
                f"{error}; this keeps happening right after connecting, as it does when"
                f" another client has our client id {client_id_of(self._station, self._config)}",
            )
        if (error.state, str(error)) != (self._state, self._text):
            _LOG.warning("uplink %s: %s: %s", self._config.id, error.state, error)
        self._trouble = str(error), utc_now()
        self._become(error.state, str(error))

    @property
    def _rival(self) -> UplinkError:
        return UplinkError(
            "taken-over",
            f"another gateway{self._rival_name} publishes as {self._station.prefix} at"
            f" {self._config.host}:{self._config.port}:"
            " two run with one identity, stop one of them",
        )

    def _become(self, state: str, text: str) -> None:
        if state != self._state:
            self._since = utc_now()
        self._state, self._text = state, text


class _StopSession(Exception):
    """The station said goodbye: the orderly end of a session."""


class _Session:
    """One connection: what goes on at the same time on it."""

    def __init__(self, uplink: Uplink, connection: Connection, since: datetime) -> None:
        self._up = uplink
        self._connection = connection
        self._since = since
        self._prefix = uplink._station.prefix
        window = max(1, min(WINDOW, connection.receive_max // 2))
        start, share = uplink._outbox.cursor(uplink._config.id), uplink._config.backfill_share
        self._sender = Sender(start, window=window, share=share)
        self._answered = asyncio.Event()
        self._cursor_moved = asyncio.Event()
        self._has_audit = asyncio.Event()
        self._devices = uplink._station.devices
        self._unsent_births = set(self._devices)
        self._bearing = asyncio.Lock()
        self._hears_acks = False
        self._now_changes = uplink._image.watch()
        self._alarm_changes = uplink._alarms.watch()

    async def run(self) -> None:
        """Publish everything, then keep it so; ends by an exception group only."""
        up = self._up
        try:
            up._refused_topics.clear()
            await self._subscribe()
            await self._publish_state()
            up._online_s = up._clock()
            self._show()
            _LOG.info("uplink %s: online at %s", up._config.id, up._config.url)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._until_stopped())
                tasks.create_task(self._receive())
                tasks.create_task(self._acknowledge())
                tasks.create_task(self._write_audits())
                tasks.create_task(self._keep_state())
                tasks.create_task(self._keep_now())
                tasks.create_task(self._keep_alarms())
                tasks.create_task(
                    up._requests.serve(self._connection, self._is_behind, self._rebirth)
                )
                await self._publish_births()
                await self._publish_journal(tasks)
        finally:
            self._now_changes.close()
            self._alarm_changes.close()

    async def _until_stopped(self) -> None:
        await self._up._stopping.wait()
        up = self._up
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_S_MAX):
                await self._drain()
        last_word = topics.offline(
            up._station, reason="stopped", journal=up._outbox.journal,
            since=self._since, last=(utc_now(), up._outbox.last), gateway=up._identity,
        )  # fmt: skip
        with suppress(UplinkError, TimeoutError):
            async with asyncio.timeout(STOP_S_MAX):
                await self._publish_kept(topics.state_topic(self._prefix), last_word)
                await self._connection.disconnect()
        raise _StopSession

    async def _drain(self) -> None:
        """Wait until the broker has the journal's tail; what it lacks stays in the outbox."""
        outbox = self._up._outbox
        while outbox.queued or self._sender.published < outbox.last:
            await _either(self._answered.wait(), outbox.wait_beyond(outbox.last))

    async def _subscribe(self) -> None:
        """Hear acks, and our own state: what stands there and is not ours is a rival's."""
        acks = topics.ack_topic(self._prefix, "+")
        code, _ = await self._connection.subscribe(acks, topics.state_topic(self._prefix))
        self._hears_acks = self._judge(acks, code, "a subscription to")
        if self._up._requests.is_open:
            asked = topics.request_topic(self._prefix, "+")
            (code,) = await self._connection.subscribe(asked, is_as_published=True)
            self._hears_acks &= self._judge(asked, code, "a subscription to")

    async def _keep_state(self) -> None:
        """Repeat the state every `STATE_S`, and when lines or the outbox's health change."""
        up = self._up
        shown, due_s = self._health(), up._clock() + STATE_S
        while True:
            await asyncio.sleep(LOOK_S)
            now_s = up._clock()
            up._listening.look(up._acks.acked, self._sender.sent, now_s)
            if self._health() != shown or now_s >= due_s:
                shown = self._health()
                await self._publish_state()
            if up._station.devices is not self._devices:
                await self._publish_births()
            if now_s >= due_s:
                due_s = now_s + STATE_S
                await self._publish_births()
                if not self._hears_acks:
                    await self._subscribe()
                self._show()

    async def _rebirth(self) -> None:
        """Publish everything that is retained again."""
        up = self._up
        self._unsent_births |= self._devices.keys()
        await self._publish_state()
        await self._publish_births()
        for device in self._devices:
            self._now_changes.add(device)
        for alarm in up._alarms.ids:
            self._alarm_changes.add(alarm)

    def _is_behind(self) -> bool:
        """Whether the journal has more than a batch to send, and may send it."""
        sender, up = self._sender, self._up
        unsent = up._outbox.last - sender.after
        return unsent > topics.BATCH_RECORDS_MAX and sender.wait_s(up._clock()) <= 0

    def _health(self) -> object:
        up = self._up
        return up._lines(), up._outbox.health, up._station.config_hash, up.silent.keys()

    async def _publish_state(self) -> None:
        """Publish the state; a broker that refuses this one is of no use: UplinkError."""
        up = self._up
        outbox = up._outbox
        cursor = outbox.cursor(up._config.id)
        state = topics.online(
            up._station,
            journal=(outbox.journal, outbox.first, outbox.last, cursor),
            times=(utc_now(), self._since),
            lines=up._lines(),
            points=up._image.counts(),
            outbox=outbox.health,
            silent=up.silent,
            gateway=up._identity,
            certificates=up.expiries.known,
        )
        topic = topics.state_topic(self._prefix)
        code = await self._publish_kept(topic, state)
        if code >= _REFUSED:
            raise _refusal(topic, code)

    async def _publish_kept(
        self, topic: str, body: Mapping[str, object], *, qos: int = 1, expiry_s: int | None = None
    ) -> int:
        """Publish a retained message; 0x95 without sending what the broker would choke on."""
        payload = topics.encode(body)
        if len(payload) + len(topic) + 64 > self._connection.packet_bytes_max:
            return 0x95
        return await self._connection.publish(
            topic, payload, qos=qos, is_retained=True, expiry_s=expiry_s
        )

    def _follow(self) -> None:
        """If the station has changed: what is new in it, or other than it was, is to be born."""
        before, self._devices = self._devices, self._up._station.devices
        if before is self._devices:
            return
        self._unsent_births &= self._devices.keys()
        self._unsent_births |= {
            name
            for name, device in self._devices.items()
            if name not in before or topics.birth(before[name]) != topics.birth(device)
        }

    async def _publish_births(self) -> None:
        """Publish every birth; what is refused is tried again while the rest goes on."""
        async with self._bearing:
            self._follow()
            devices = self._devices
            standing = self._up._standing("births") | devices.keys()
            self._up._note_standing("births", standing)
            await self._bear(devices)
            gone = standing - devices.keys()
            left = {name for name in sorted(gone) if not await self._emptied(name)}
            self._up._note_standing("births", devices.keys() | left)

    async def _emptied(self, device: str) -> bool:
        """Take away what stands of a device that is no more; whether the broker took both."""
        named = topics.birth_topic(self._prefix, device), topics.now_topic(self._prefix, device)
        codes = [
            await self._connection.publish(topic, b"", qos=1, is_retained=True) for topic in named
        ]
        taken = [self._judge(topic, code) for topic, code in zip(named, codes, strict=True)]
        return all(taken)

    async def _bear(self, devices: Mapping[str, Device]) -> None:
        limit = asyncio.Semaphore(BIRTHS_IN_FLIGHT)

        async def publish(device: Device) -> None:
            topic = topics.birth_topic(self._prefix, device.id)
            async with limit:
                code = await self._publish_kept(topic, topics.birth(device))
            if self._judge(topic, code):
                self._unsent_births.discard(device.id)

        async with asyncio.TaskGroup() as births:
            for name in sorted(self._unsent_births & devices.keys()):
                births.create_task(publish(devices[name]))

    async def _keep_now(self) -> None:
        """Publish each device's values when they change, and before the broker drops them."""
        up = self._up
        devices = up._station.devices
        pace = Pace(devices, up._clock())
        while True:
            if up._station.devices is not devices:
                devices = up._station.devices
                await self._publish_births()  # a value is never read by what it meant before
                pace = Pace(devices, up._clock())
            for name in pace.due(up._clock()):
                if up._station.devices is not devices:
                    break
                now_s = up._clock()
                body = topics.now(name, up._image.look(name), utc_now(), now_s)
                topic, expiry_s = (
                    topics.now_topic(self._prefix, name),
                    topics.expiry_s(devices[name]),
                )
                self._judge(topic, await self._publish_kept(topic, body, qos=0, expiry_s=expiry_s))
                pace.sent(name, now_s)
            with suppress(TimeoutError):
                async with asyncio.timeout(pace.wait_s(up._clock())):
                    for name in devices.keys() & await self._now_changes.take():
                        pace.changed(name)

    async def _keep_alarms(self) -> None:
        """Publish the list of alarms and each of them when they change; empty what is over."""
        up = self._up
        changed = {*up._alarms.ids, *up._standing("alarms")}
        while True:
            rows = up._alarms.listed()
            body = topics.alarms(
                rows,
                journal=(up._outbox.journal, up._outbox.last),
                at=utc_now(),
                bytes_max=min(topics.BATCH_BYTES_MAX, self._connection.packet_bytes_max - 200),
            )
            topic = topics.alarms_topic(self._prefix)
            self._judge(topic, await self._publish_kept(topic, body))
            by_id = {str(row["id"]): row for row in rows}
            standing = up._standing("alarms") | by_id.keys()
            up._note_standing("alarms", standing)
            # The list tells all of it. Of many single ones (after connecting, each there is) only a
            # part goes out before the list is told again, those that are not normal first.
            waiting = sorted(changed, key=lambda alarm: (alarm not in by_id, alarm))
            turn = waiting[:ALARMS_A_TURN]
            sent = await asyncio.gather(*(self._publish_alarm(one, by_id.get(one)) for one in turn))
            gone = {one for one, ok in zip(turn, sent, strict=True) if ok and one not in by_id}
            up._note_standing("alarms", standing - gone)
            changed = set(waiting[ALARMS_A_TURN:])
            if changed:
                changed |= self._alarm_changes.taken()
            else:
                changed = await self._alarm_changes.take()

    async def _publish_alarm(self, alarm: str, row: Mapping[str, object] | None) -> bool:
        """Publish one alarm, or that it is normal; whether the broker took it."""
        topic = topics.alarm_topic(self._prefix, alarm)
        if row is not None:
            return self._judge(topic, await self._publish_kept(topic, row))
        code = await self._connection.publish(topic, b"", qos=1, is_retained=True)
        return self._judge(topic, code)

    async def _publish_journal(self, tasks: asyncio.TaskGroup) -> None:
        """Send the journal from the cursor, a window of batches in flight, forever."""
        sender, outbox, clock = self._sender, self._up._outbox, self._up._clock
        while True:
            self._answered.clear()
            if not sender.has_room:
                await self._answered.wait()
                continue
            if (pause_s := sender.wait_s(clock())) > 0:
                await asyncio.sleep(pause_s)
                continue
            after = sender.after
            if outbox.last <= after:
                await _either(outbox.wait_beyond(after), self._answered.wait())
                continue
            records = await outbox.read(after, topics.BATCH_RECORDS_MAX)
            if sender.after != after or not records:
                continue
            is_history = records[0].seq <= self._up._acks.sent or is_late(records[0], utc_now())
            batch = topics.batch(
                outbox.journal, after, records,
                bytes_max=sender.batch_bytes_max, is_history=is_history,
            )  # fmt: skip
            self._check_size(batch)
            flight = sender.send(batch.after, batch.last, clock(), is_history=is_history)
            self._up._acks.note_sent(batch.last)
            tasks.create_task(self._send(batch, flight))

    def _check_size(self, batch: topics.Batch) -> None:
        limit = self._connection.packet_bytes_max
        if len(batch.payload) + 200 <= limit:
            return
        if limit < topics.BATCH_BYTES_MAX and self._sender.batch_bytes_max > limit // 2:
            self._sender.batch_bytes_max = limit // 2
        raise UplinkError(
            "quota",
            f"the broker takes packets of {limit} bytes, record {batch.last} is larger:"
            " raise its maximum packet size",
        )

    async def _send(self, batch: topics.Batch, flight: Flight) -> None:
        topic = topics.journal_topic(self._prefix)
        code = await self._connection.publish(topic, batch.payload, qos=1)
        now_s = self._up._clock()
        if self._judge(topic, code) and code != NO_SUBSCRIBERS:
            self._up._published = max(self._up._published, self._sender.taken(flight, now_s))
            if not self._up._config.consumers:
                self._want_cursor(self._up._published)
        else:
            self._sender.refused(flight, now_s)
        self._answered.set()

    async def _receive(self) -> None:
        async with aclosing(self._connection.messages()) as messages:
            async for message in messages:
                address = topics.parse_topic(message.topic)
                if address is not None and address[:2] == (self._prefix, "ack"):
                    self._judge_ack(address.name, message)
                elif address is not None and address[:2] == (self._prefix, "request"):
                    self._up._requests.hear(address.name, message)
                elif address == (self._prefix, "state", ""):
                    self._judge_state(message)

    def _judge_ack(self, consumer: str, message: Message) -> None:
        up = self._up
        now_s = up._clock()
        verdict = up._acks.decide(consumer, message.payload, now_s, is_retained=message.is_retained)
        if isinstance(verdict, Refused):
            up._last_refusal = f"{message.topic[:200]} {verdict.why}"
            up._audit = up._refusals.audit(message.topic, verdict, now_s) or up._audit
            if up._audit is not None:
                self._has_audit.set()
            return
        up._acked_at[consumer] = utc_now()
        up._listening.heard(consumer)
        self._want_cursor(verdict.cursor)
        if verdict.resend_after is not None and verdict.resend_after < self._sender.after:
            self._sender.rewind(verdict.resend_after)
            self._answered.set()

    def _judge_state(self, message: Message) -> None:
        """Notice another gateway with our identity, also where no broker tells us (0x8E).

        It is one if it says online while we are here, or if what is retained began after our own
        last connection did. An older state of another process was our own, before a restart. One
        that does not say whose it is (an earlier version) is told by its journal.
        """
        up = self._up
        body = topics.parse_object(message.payload) or {}
        name = body.get("gateway")
        ours = (up._identity,) if isinstance(name, str) else (None, up._outbox.journal)
        if (name if isinstance(name, str) else body.get("journal")) in ours:
            return
        before = to_text(up._since_before)
        is_later = before is not None and str(body.get("since")) > before
        if is_later if message.is_retained else body.get("online") is True:
            up._rival_s = up._clock()
            shown = "".join(sign for sign in str(name or "")[:80] if sign.isprintable())
            up._rival_name = shown and f" ({shown}; we are {up._identity})"
            self._show()

    def _want_cursor(self, seq: int) -> None:
        self._up._cursor_wanted = max(seq, self._up._cursor_wanted)
        self._cursor_moved.set()

    async def _acknowledge(self) -> None:
        while True:
            await self._cursor_moved.wait()
            self._cursor_moved.clear()
            await self._up._outbox.acknowledge(self._up._config.id, self._up._cursor_wanted)

    async def _write_audits(self) -> None:
        while True:
            await self._has_audit.wait()
            self._has_audit.clear()
            body, self._up._audit = self._up._audit, None
            if body is not None:
                body = {"uplink": self._up._config.id, **body}
                await self._up._outbox.put("audit", utc_now(), body)

    def _judge(self, topic: str, code: int, what: str = "a publish to") -> bool:
        """Whether the broker took it; shows what it refuses until it takes it again."""
        refused = self._up._refused_topics
        if code < _REFUSED:
            if refused.pop(topic, None) is not None:
                self._show()
            return True
        if topic not in refused:
            refused[topic] = _refusal(topic, code, what)
            _LOG.warning("uplink %s: %s", self._up._config.id, refused[topic])
            self._show()
        return False

    def _show(self) -> None:
        """Make the status say online, or what the broker refuses."""
        up = self._up
        troubles = [*up._refused_topics.values()]
        if up._clock() - up._rival_s < RIVAL_S:
            troubles.insert(0, up._rival)
        if not troubles:
            up._become("online", f"connected to {up._config.host}:{up._config.port}")
            return
        up._trouble = str(troubles[0]), utc_now()
        up._become(troubles[0].state, str(troubles[0]))


def is_late(record: Record, at: datetime) -> bool:
    """Whether a record is sent so long after it was made that it is history."""
    return at - record.at > HISTORY_AGE


def _refusal(topic: str, code: int, what: str = "a publish to") -> UplinkError:
    if code == 0x87:
        return UplinkError(
            "not-authorised", f"the broker refuses {what} {topic}: allow it in its access rules"
        )
    if code == 0x95:
        text = f"{topic} is longer than the broker takes: raise its maximum packet size"
        return UplinkError("quota", text)
    state = "quota" if code == 0x97 else "refused"
    return UplinkError(state, f"the broker refuses {what} {topic} with code 0x{code:02x}")


def first_of(group: BaseExceptionGroup[UplinkError]) -> UplinkError:
    """The first error of a group; its siblings are the same end seen by other tasks."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, UplinkError), "except* gave these"
    return error


async def _either(*waits: Awaitable[object]) -> None:
    """Wait for the first of several events; the others are cancelled."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    for task in tasks:
        if not task.cancelled():
            task.result()
