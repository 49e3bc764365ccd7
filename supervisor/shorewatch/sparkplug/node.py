"""The edge node: one loop that keeps one broker's Sparkplug hosts up to date.

    image    -> DBIRTH, DDATA, DDEATH    by exception, at most each `PASS_S`
    facts    -> NDATA                    versions, lines, devices, alarms; looked at each `FACTS_S`
    outbox   -> DDATA, is_historical     what was recorded while no host could hear it
    NCMD     -> births                   Rebirth; all else is refused, counted and put on record
    STATE    -> whether to be born       with a primary host; while it is away nothing is sent

life.py is what goes on at once on one connection. bdSeq is durable before the CONNECT that has it
in its Will. Nothing that arrives here reaches a board. A broker that fails is retried as by
mqtt/uplink.py; a fault of our own ends this part alone, which `run` starts again after
`FAULT_S_MIN` to `FAULT_S_MAX`, with the uplink's state `failed`.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from shorewatch.certificate import ending
from shorewatch.config import Station, UplinkConfig
from shorewatch.errors import UplinkError
from shorewatch.image import Image
from shorewatch.model import utc_now
from shorewatch.mqtt.backoff import STEADY_S, Backoff
from shorewatch.mqtt.client import Will, connected
from shorewatch.mqtt.condition import Condition, UplinkStatus, first_of
from shorewatch.mqtt.desk import Requests
from shorewatch.mqtt.login import client_id_of, login_of
from shorewatch.mqtt.session import Stopped
from shorewatch.mqtt.source import AlarmList, Lines, Source
from shorewatch.mqtt.tls import Expiries, tls_of
from shorewatch.mqtt.waiting import either_or, heeding
from shorewatch.outbox import Outbox
from shorewatch.sparkplug.hearing import Heard
from shorewatch.sparkplug.life import INCOMING_BYTES_MAX, Life, now_ms
from shorewatch.sparkplug.session import SEQ_COUNT, Session

FAULT_S_MIN: Final = 1.0
FAULT_S_MAX: Final = 60.0
KEPT_S_MAX: Final = 2.0

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
        self.expiries = Expiries(config)
        self._config = config
        self._source = Source(station, config, image, outbox, lines, alarms, clock)
        self._heard = Heard(config)
        self._backoff = Backoff(chance or random.Random())
        self._condition = Condition(config, _log)
        self._bdseq = outbox.kept.get(self._key, {}).get("bdseq")
        self._is_bdseq_free = False
        outbox.cursor(config.id)  # from now on what it has not got is not evicted unnoticed
        self._stopping = asyncio.Event()
        self._stopped = asyncio.Event()
        self._is_running = False
        # The last connection that was made, and whether the attempt that goes on has made one.
        self._life: Life | None = None
        self._is_serving = False

    def adopt(self, station: Station) -> None:
        """Publish `station`, which has the same topics, from here on: all is born anew."""
        assert station.prefix == self._source.station.prefix, "another station is another edge node"
        self._source.station = station

    @property
    def status(self) -> UplinkStatus:
        """A snapshot for the page."""
        condition, commands, outbox = self._condition, self._heard.commands, self._source.outbox
        cursor = outbox.cursor(self._config.id)
        progress = None if self._life is None else self._life.progress
        return UplinkStatus(
            id=self._config.id,
            url=self._config.url,
            state=condition.state,
            text="; ".join([condition.text, *ending(self.expiries.known, utc_now())]),
            since=condition.since,
            published=cursor if progress is None else progress.sent,
            cursor=cursor,
            backlog=outbox.last - cursor,
            acks={},
            refused_acks=0,
            last_refusal=commands.last_refusal,
            last_trouble=condition.trouble,
            last_trouble_at=condition.trouble_at,
            attempts=condition.attempts,
            silent={},
            requests=Requests(),
            plane="sparkplug",
            refused_commands=commands.refused,
            certificates=dict(self.expiries.known),
        )

    async def run(self) -> None:
        """Keep the broker up to date until `stop`, whatever it does and whatever fails in here."""
        self._is_running = True
        clock, fault_s = self._source.clock, FAULT_S_MIN
        try:
            while not self._stopping.is_set():
                begun_s = clock()
                working = asyncio.create_task(self._keep_connected())
                try:
                    await asyncio.wait([working])
                finally:
                    working.cancel()
                    await asyncio.wait([working])
                fault = working.exception()
                if fault is not None:
                    _log.error("the edge node %s failed", self._config.id, exc_info=fault)
                    if clock() - begun_s > FAULT_S_MAX:
                        fault_s = FAULT_S_MIN
                    text = f"failed by a fault of its own ({_leaf(fault)!r}, see the log)"
                    text += f"; tried again in {fault_s:g} s"
                    self._condition.suffer(UplinkError("failed", text))
                    await either_or(self._stopping, fault_s)
                    fault_s = min(2 * fault_s, FAULT_S_MAX)
            self._condition.become("stopped", "stopped by the station")
        finally:
            self._is_running = False
            self._stopped.set()

    async def stop(self) -> None:
        """Say goodbye (NDEATH), disconnect, end `run`; a few seconds at most."""
        self._stopping.set()
        if self._is_running:
            await self._stopped.wait()

    @property
    def _key(self) -> str:
        return f"sparkplug/{self._config.id}"

    async def _keep_connected(self) -> None:
        while not self._stopping.is_set():
            self._condition.attempt()
            self._is_serving = False
            await heeding(self._stopping, self._attempt(), self._heeds_stop)
            if self._online_span_s > STEADY_S:
                self._backoff.reset()
            await either_or(self._stopping, self._backoff.wait_s(self._condition.state))

    def _heeds_stop(self) -> bool:
        return self._is_serving and self._life is not None and self._life.heeds_stop

    @property
    def _online_span_s(self) -> float:
        online_s = self._life.online_s if self._is_serving and self._life is not None else None
        return 0.0 if online_s is None else self._source.clock() - online_s

    async def _attempt(self) -> None:
        """One connection from its beginning to its end, whatever that is."""
        try:
            await self._connect()
        except* Stopped:
            pass
        except* UplinkError as group:
            if not self._stopping.is_set():
                self._condition.suffer(first_of(group))

    async def _connect(self) -> None:
        config = self._config
        login = await login_of(config)
        await self.expiries.read()
        session = Session(self._source.station, await self._next_bdseq())
        death = session.death(now_ms())
        try:
            async with connected(
                config.host,
                config.port,
                client_id=client_id_of(self._source.station, config),
                login=login,
                tls=tls_of(config),
                will=Will(death.topic, death.payload, is_retained=False),
                incoming_bytes_max=INCOMING_BYTES_MAX,
            ) as connection:
                self.expiries.saw(connection.certificate_until)
                self._life = Life(
                    self._source,
                    connection,
                    session,
                    heard=self._heard,
                    condition=self._condition,
                    stopping=self._stopping,
                )
                self._is_serving = True
                await self._life.run()
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
        if self._source.outbox.keep(self._key, {"bdseq": self._bdseq}):
            with suppress(TimeoutError):
                async with asyncio.timeout(KEPT_S_MAX):
                    await self._source.outbox.settled()
        return self._bdseq


def _leaf(error: BaseException) -> BaseException:
    """What went wrong first in a group."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
