"""The uplink: one loop that keeps one broker, and so the NOC, up to date.

    image  -> now/<device>        now.py: live, QoS 0, also without a change before it expires
    lines  -> state, birth/...    state.py, birth.py: on each connect, and when they change
    gone   -> birth/..., now/...  emptied, also those of devices that an earlier run had
    alarms -> alarms, alarm/<id>  alarm.py: while they are not normal
    outbox -> journal             delivery.py: from the cursor, a few batches in flight
    ack/<consumer> -> cursor      ack.py: believed by the rules of journal.py only
    request/<id> -> reply/<id>    desk.py: judged and done

session.py is what goes on at once on one connection. `Uplink.run` is the only place that handles a
bad broker: whatever ends a connection becomes the status for the page, and the next attempt follows
after backoff.py's time. A connection ends without DISCONNECT except by `stop`, so that the broker
tells of our death.

Limits: all waiting is bounded by client.py's timeouts; nothing is queued but sets of device and
alarm ids, one wanted cursor and one audit record.
"""

import asyncio
import logging
import random
import secrets
import socket
import time
from collections.abc import Callable, Mapping
from typing import Final

from shorewatch.certificate import ending
from shorewatch.config import Station, UplinkConfig
from shorewatch.errors import UplinkError
from shorewatch.image import Image
from shorewatch.model import utc_now
from shorewatch.mqtt.ack import AckDesk
from shorewatch.mqtt.backoff import STEADY_S, Backoff
from shorewatch.mqtt.client import Connection, connected
from shorewatch.mqtt.condition import Condition, UplinkStatus, first_of
from shorewatch.mqtt.desk import RequestDesk
from shorewatch.mqtt.login import client_id_of, login_of
from shorewatch.mqtt.post import Post
from shorewatch.mqtt.rival import Rival
from shorewatch.mqtt.session import Session, Stopped
from shorewatch.mqtt.source import AlarmList, Far, Lines, Source
from shorewatch.mqtt.state import State
from shorewatch.mqtt.tls import Expiries, tls_of
from shorewatch.mqtt.waiting import either_or, heeding
from shorewatch.outbox import Outbox

SHORT_LIVED_MAX: Final = 3
OWED_S: Final = 2.0
# A request that is too long for us is to be seen and told, and another station's values are to fit.
INCOMING_BYTES_MAX: Final = 65_536
# Which process this is, for whoever finds two of them.
IDENTITY: Final = f"{socket.gethostname()[:64]}/{secrets.token_hex(3)}"

_log = logging.getLogger("shorewatch.mqtt")


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
        far: Far | None = None,
        clock: Callable[[], float] = time.monotonic,
        chance: random.Random | None = None,
        identity: str = IDENTITY,
    ) -> None:
        self.expiries = Expiries(config)
        self._config = config
        self._identity = identity
        self._source = Source(station, config, image, outbox, lines, alarms, clock, far)
        self._backoff = Backoff(chance or random.Random())
        self._acks = AckDesk(self._source)
        self._requests = RequestDesk(station.prefix, config, outbox, alarms, clock=clock)
        self._rival = Rival(
            identity, outbox.journal, prefix=station.prefix, where=f"{config.host}:{config.port}"
        )
        self._condition = Condition(config, _log)
        self._online_s: float | None = None
        self._short_lived = 0
        self._stopping = asyncio.Event()
        self._stopped = asyncio.Event()
        self._is_running = False
        self._post: Post | None = None

    def adopt(self, station: Station) -> None:
        """Publish `station`, which has the same topics, from here on: what differs is born anew."""
        assert station.prefix == self._source.station.prefix, "another station is another uplink"
        self._source.station = station

    @property
    def status(self) -> UplinkStatus:
        """A snapshot for the page."""
        condition, cursor = self._condition, self._acks.cursor
        return UplinkStatus(
            id=self._config.id,
            url=self._config.url,
            state=condition.state,
            text=self._said,
            since=condition.since,
            published=self._acks.published,
            cursor=cursor,
            backlog=self._source.outbox.last - cursor,
            acks=dict(self._acks.acked_at),
            refused_acks=self._acks.refused,
            last_refusal=self._acks.last_refusal,
            last_trouble=condition.trouble,
            last_trouble_at=condition.trouble_at,
            attempts=condition.attempts,
            silent=self._acks.silent,
            requests=self._requests.status,
            certificates=dict(self.expiries.known),
        )

    @property
    def refused_topics(self) -> Mapping[str, UplinkError]:
        """The topics that the broker does not take on this connection, and why."""
        return {} if self._post is None else self._post.refused

    @property
    def _said(self) -> str:
        """The state in words, with what is known of whoever should answer."""
        text, post = self._condition.text, self._post
        is_online = self._condition.state == "online"
        owed_s = 0.0 if post is None else post.connection.unanswered_s
        parts = [text]
        since = self._acks.unheard_since
        if is_online and owed_s >= OWED_S:
            parts = [f"{text}, which has not answered for {owed_s:.0f} s"]
        elif is_online and since is not None:
            waiting = self._source.outbox.last - self._acks.cursor
            when = f"{since:%Y-%m-%d %H:%M:%S} UTC"
            parts += [f"nobody is listening since {when}, {waiting:,} records wait"]
        return "; ".join([*parts, *ending(self.expiries.known, utc_now())])

    async def run(self) -> None:
        """Keep the broker up to date until `stop`; never raises for what a broker does."""
        async with self._requests.working():
            await self._keep_up()

    async def stop(self) -> None:
        """Say goodbye (offline, reason stopped), disconnect, end `run`; a few seconds at most."""
        self._stopping.set()
        if self._is_running:
            await self._stopped.wait()

    async def _keep_up(self) -> None:
        self._is_running = True
        try:
            while not self._stopping.is_set():
                self._online_s = None
                await heeding(self._stopping, self._attempt(), lambda: self._online_s is not None)
                if self._online_span_s > STEADY_S:
                    self._backoff.reset()
                await either_or(self._stopping, self._backoff.wait_s(self._condition.state))
            self._condition.become("stopped", "stopped by the station")
        finally:
            self._is_running = False
            self._stopped.set()

    async def _attempt(self) -> None:
        """One connection from its beginning to its end, whatever that is."""
        self._condition.attempt()
        self._acks.note_time()
        try:
            await self._connect()
        except* Stopped:
            pass
        except* UplinkError as group:
            if not self._stopping.is_set():
                self._fail(first_of(group))

    @property
    def _online_span_s(self) -> float:
        return 0.0 if self._online_s is None else self._source.clock() - self._online_s

    async def _connect(self) -> None:
        config, since = self._config, utc_now()
        state = State(self._source, self._acks, self.expiries, since=since, identity=self._identity)
        await self.expiries.read()
        try:
            async with connected(
                config.host,
                config.port,
                client_id=client_id_of(self._source.station, config),
                login=await login_of(config),
                tls=tls_of(config),
                will=state.will,
                incoming_bytes_max=INCOMING_BYTES_MAX,
            ) as connection:
                self.expiries.saw(connection.certificate_until)
                await self._serve(connection, state)
        except (UplinkError, Stopped) as error:
            raise ExceptionGroup("uplink", [error]) from error
        finally:
            self._post = None
            self._acks.connection_ended()
            if self._online_s is not None:
                self._rival.connection_ended(since)

    async def _serve(self, connection: Connection, state: State) -> None:
        source = self._source
        post = Post(connection, self._config, self._condition, self._rival, source.clock)
        self._post = post

        def note_online() -> None:
            self._online_s = source.clock()
            post.show()
            _log.info("uplink %s: online at %s", self._config.id, self._config.url)

        await Session(
            source, post, state, acks=self._acks, requests=self._requests, rival=self._rival
        ).run(self._stopping, note_online)

    def _fail(self, error: UplinkError) -> None:
        if self._online_s is not None:
            is_short = self._online_span_s < STEADY_S
            self._short_lived = self._short_lived + 1 if is_short else 0
        if error.state in ("lost", "taken-over") and self._rival.is_near(self._source.clock()):
            error = self._rival.error  # it took the connection
        elif error.state == "lost" and self._short_lived >= SHORT_LIVED_MAX:
            client_id = client_id_of(self._source.station, self._config)
            error = UplinkError(
                "lost",
                f"{error}; this keeps happening right after connecting, as it does when"
                f" another client has our client id {client_id}",
            )
        self._condition.suffer(error)
