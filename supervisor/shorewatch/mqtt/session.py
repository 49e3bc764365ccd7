"""One connection of an uplink: what goes on at the same time on it, from online to its end.

    state, birth, now, alarms   each by a task of its own, live, never behind the journal
    journal                     what delivery.py sends, while the rest goes on
    ack, request, state         what comes in, handed to who judges it; also a far end's values

It ends by an exception group only: UplinkErrors, or `Stopped` after an orderly goodbye.
Limits: `DRAIN_S_MAX` for the journal's tail and `STOP_S_MAX` for the goodbye at a stop.
"""

import asyncio
from collections.abc import Callable
from contextlib import aclosing, suppress
from typing import Final

from shorewatch.errors import UplinkError
from shorewatch.mqtt import topics
from shorewatch.mqtt.ack import AckDesk
from shorewatch.mqtt.alarm import AlarmTopics
from shorewatch.mqtt.birth import Births
from shorewatch.mqtt.delivery import Delivery
from shorewatch.mqtt.desk import RequestDesk
from shorewatch.mqtt.now import Now
from shorewatch.mqtt.post import Post
from shorewatch.mqtt.rival import Rival
from shorewatch.mqtt.source import Source
from shorewatch.mqtt.state import State

STATE_S: Final = 30.0
LOOK_S: Final = 0.5
STOP_S_MAX: Final = 2.0
DRAIN_S_MAX: Final = 0.5


class Stopped(Exception):
    """The station said goodbye: the orderly end of a connection."""


class Session:
    """One connection; `acks`, `requests` and `rival` are the uplink's, and outlive it."""

    def __init__(
        self,
        source: Source,
        post: Post,
        state: State,
        *,
        acks: AckDesk,
        requests: RequestDesk,
        rival: Rival,
    ) -> None:
        self._source = source
        self._post = post
        self._state = state
        self._acks = acks
        self._requests = requests
        self._rival = rival
        self._births = Births(source, post)
        self._delivery = Delivery(source, post, acks)
        self._hears_acks = False

    async def run(self, stopping: asyncio.Event, note_online: Callable[[], None]) -> None:
        """Publish everything, then keep it so, until the end or until `stopping`."""
        source, post = self._source, self._post
        with Now(source, post, self._births) as now, AlarmTopics(source, post) as alarms:

            async def rebirth() -> None:
                await self._state.publish(post)
                await self._births.publish(again=True)
                now.resend()
                alarms.resend()

            await self._subscribe()
            await self._state.publish(post)
            note_online()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._until_stopped(stopping))
                tasks.create_task(self._receive())
                tasks.create_task(self._acks.keep_cursor())
                tasks.create_task(self._acks.keep_audits())
                tasks.create_task(self._keep_state())
                tasks.create_task(now.run())
                tasks.create_task(alarms.run())
                tasks.create_task(
                    self._requests.serve(post.connection, lambda: self._delivery.is_behind, rebirth)
                )
                await self._births.publish()
                await self._delivery.run(tasks)

    async def _until_stopped(self, stopping: asyncio.Event) -> None:
        await stopping.wait()
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_S_MAX):
                await self._delivery.drain()
        with suppress(UplinkError, TimeoutError):
            async with asyncio.timeout(STOP_S_MAX):
                await self._state.say_goodbye(self._post)
                await self._post.connection.disconnect()
        raise Stopped

    async def _subscribe(self) -> None:
        """Hear acks, and our own state: what stands there and is not ours is a rival's."""
        prefix, post = self._source.station.prefix, self._post
        acks = topics.ack_topic(prefix, "+")
        code, _ = await post.connection.subscribe(acks, topics.state_topic(prefix))
        self._hears_acks = post.judge(acks, code, "a subscription to")
        if self._requests.is_open:
            asked = topics.request_topic(prefix, "+")
            (code,) = await post.connection.subscribe(asked, is_as_published=True)
            self._hears_acks &= post.judge(asked, code, "a subscription to")
        if (far := self._source.far) is not None:
            (code,) = await post.connection.subscribe(far.far_topic)
            self._hears_acks &= post.judge(far.far_topic, code, "a subscription to")

    async def _keep_state(self) -> None:
        """Repeat the state every `STATE_S`, and when lines or the outbox's health change."""
        clock, state = self._source.clock, self._state
        shown, due_s = state.health, clock() + STATE_S
        while True:
            await asyncio.sleep(LOOK_S)
            now_s = clock()
            self._acks.look(self._delivery.sent)
            if state.health != shown or now_s >= due_s:
                shown = state.health
                await state.publish(self._post)
            if self._births.are_other:
                await self._births.publish()
            if now_s >= due_s:
                due_s = now_s + STATE_S
                await self._births.publish()
                if not self._hears_acks:
                    await self._subscribe()
                self._post.show()

    async def _receive(self) -> None:
        prefix = self._source.station.prefix
        async with aclosing(self._post.connection.messages()) as messages:
            async for message in messages:
                far = self._source.far
                if far is not None and message.topic == far.far_topic:
                    far.hear(message.payload, is_retained=message.is_retained)
                    continue
                address = topics.parse_topic(message.topic)
                if address is None or address.prefix != prefix:
                    continue
                if address.kind == "ack":
                    after = self._acks.hear(address.name, message)
                    if after is not None:
                        self._delivery.send_again(after)
                elif address.kind == "request":
                    self._requests.hear(address.name, message)
                elif address.kind == "state" and self._rival.hear(
                    message.payload, self._source.clock(), is_retained=message.is_retained
                ):
                    self._post.show()
