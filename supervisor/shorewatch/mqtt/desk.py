"""Where requests of a NOC are done: heard, judged, put on record, done, answered.

    hear ─▶ admit ─▶ [waiting] ─▶ key, decide ─▶ record and id ─▶ do ─▶ commit ─▶ [replies] ─▶ serve

`run` does one request after the other for as long as the uplink runs, whatever becomes of the
connection: what was accepted is done once, also when its reply cannot be sent. `serve` sends
replies on one connection, and after them what they promise: a replay, a rebirth. Alarms are
answered by the alarm desk, as they are to people at the station; nothing here knows boards.

A request is accepted with its audit record and its id in one commit, and only while the outbox can
be written. Refused ones are counted, shown, and put on record at most once a minute.
Limits: `WAITING_MAX` requests, `REPLIES_MAX` replies for `REPLY_S_MAX`, one replay an identity, one
rebirth in `REBIRTH_S_MIN`, `DO_S_MAX` for a request.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, Protocol

from shorewatch.config import UplinkConfig
from shorewatch.errors import OutboxError, SecretError
from shorewatch.model import to_text, utc_now
from shorewatch.mqtt import asking, journal, topics
from shorewatch.mqtt.client import Connection, Message
from shorewatch.mqtt.replay import Replay, Span
from shorewatch.mqtt.request import Accepted, Judge, Refused, key_flaw
from shorewatch.outbox import Outbox
from shorewatch.secret import read_secret

WAITING_MAX: Final = 32
REPLIES_MAX: Final = 64
ANSWERED_MAX: Final = 64
AUDITS_MAX: Final = 8
REPLY_S_MAX: Final = 60.0
REBIRTH_S_MIN: Final = 10.0
DO_S_MAX: Final = 60.0

_log = logging.getLogger("shorewatch.requests")


class Alarms(Protocol):
    """Who answers what is asked of alarms: the alarm desk."""

    async def answer(self, request: Mapping[str, object]) -> Mapping[str, object]: ...


@dataclass(frozen=True, slots=True)
class Requests:
    """What was asked so far, for the page. `trouble` is what is wrong with a key."""

    accepted: int = 0
    refused: int = 0
    last_refusal: str | None = None
    trouble: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class _Reply:
    """A reply on its way, until `until_s`, and what it promises."""

    topic: str
    payload: bytes
    until_s: float
    then: "Span | Rebirth | None"


class Rebirth:
    """The promise that all retained messages are published again."""


class RequestDesk:
    """The requests of one uplink."""

    def __init__(
        self, prefix: str, config: UplinkConfig, outbox: Outbox, alarms: Alarms,
        *, clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._prefix = prefix
        self._uplink = config.id
        self._requesters = {requester.id: requester for requester in config.requester}
        self._outbox = outbox
        self._alarms = alarms
        self._clock = clock
        self._judge = Judge(prefix, outbox.journal, config.requester, outbox.kept)
        self._waiting: deque[tuple[str, bytes]] = deque()
        self._replies: deque[_Reply] = deque()
        self._audits: deque[dict[str, object]] = deque(maxlen=AUDITS_MAX)
        self._has_work, self._has_reply = asyncio.Event(), asyncio.Event()
        self._refusals = journal.Refusals("request refused", "identity")
        self._accepted = 0
        self._last_refusal: str | None = None
        self._key_troubles: dict[str, str] = {}
        self._replaying: set[str] = set()
        # What was answered, by who asked and the bytes that asked: a lost reply can be had again.
        self._answered: dict[tuple[str, bytes], _Reply] = {}
        self._reborn_s = float("-inf")

    @property
    def is_open(self) -> bool:
        """Whether anybody may ask at all."""
        return bool(self._requesters)

    @property
    def status(self) -> Requests:
        """A snapshot for the page."""
        trouble = next(iter(self._key_troubles.values()), None)
        return Requests(self._accepted, self._refusals.count, self._last_refusal, trouble)

    def hear(self, identity: str, message: Message) -> None:
        """Take what came on `request/<identity>`; never waits."""
        refused = self._judge.admit(
            identity, message.payload, self._clock(), is_retained=message.is_retained
        )
        if refused is None and len(self._waiting) >= WAITING_MAX:
            refused = Refused(identity, f"finds {WAITING_MAX} others waiting: ask later")
        if refused is not None:
            self._refuse(refused)
        else:
            self._waiting.append((identity, message.payload))
            self._has_work.set()

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Do what is heard while the `with` block lasts."""
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(self._run())
            try:
                yield
            finally:
                running.cancel()

    async def serve(
        self,
        connection: Connection,
        is_busy: Callable[[], bool],
        rebirth: Callable[[], Awaitable[None]],
    ) -> None:
        """Send replies and what they promise on one connection, until it ends (UplinkError).

        A replay waits while the connection `is_busy` with what is live.
        """

        async def replay(span: Span) -> None:
            await Replay(
                span, self._prefix, self._outbox, connection, is_busy=is_busy, clock=self._clock
            ).run()

        async with asyncio.TaskGroup() as tasks:
            while True:
                self._has_reply.clear()
                while self._replies:
                    reply = self._replies[0]
                    if reply.until_s <= self._clock():
                        self._drop(reply)
                        continue
                    await self._send(connection, reply)
                    if isinstance(reply.then, Span):
                        task = tasks.create_task(replay(reply.then))
                        task.add_done_callback(partial(self._forget, reply.then))
                    elif reply.then is not None:
                        await rebirth()
                    if self._replies and self._replies[0] is reply:
                        self._replies.popleft()
                await self._has_reply.wait()

    async def _send(self, connection: Connection, reply: _Reply) -> None:
        left_s = max(1, round(reply.until_s - self._clock()))
        code = await connection.publish(reply.topic, reply.payload, qos=1, expiry_s=left_s)
        if code >= 0x80:
            text = "the broker refuses %s with code 0x%02x: allow it in its access rules"
            _log.warning(text, reply.topic, code)

    def _drop(self, reply: _Reply) -> None:
        """Nobody gets it any more."""
        self._replies.remove(reply)
        if isinstance(reply.then, Span):
            self._forget(reply.then)

    def _forget(self, span: Span, _: object = None) -> None:
        self._replaying.discard(span.identity)

    async def _run(self) -> None:
        for identity in self._requesters:
            await self._key(identity)
        while True:
            while self._waiting:
                await self._handle(*self._waiting.popleft())
            while self._audits:
                await self._outbox.put("audit", utc_now(), self._audits.popleft())
            self._has_work.clear()
            if not (self._waiting or self._audits):
                await self._has_work.wait()

    async def _handle(self, identity: str, payload: bytes) -> None:
        key = await self._key(identity)
        if key is None:
            self._refuse(Refused(identity, f"has no key here: {self._key_troubles[identity]}"))
            return
        verdict = self._judge.decide(identity, payload, key, utc_now())
        if isinstance(verdict, Refused):
            self._refuse(verdict)
            if (answer := self._answered.get((identity, payload))) is not None:
                self._send_later(replace(answer, until_s=self._clock() + REPLY_S_MAX, then=None))
                return
            if verdict.id is not None and verdict.do is not None:
                self._reply(identity, verdict.id, verdict.do, why=verdict.why)
            return
        self._answered[identity, payload] = await self._accept(verdict)
        if len(self._answered) > ANSWERED_MAX:
            del self._answered[next(iter(self._answered))]

    async def _key(self, identity: str) -> str | None:
        """The key of an identity, read anew; None, and shown, if it cannot be had."""
        config = self._requesters[identity]
        try:
            key = await asyncio.to_thread(read_secret, config.key_file, config.key_credential)
            if (flaw := key_flaw(key)) is not None:
                where = config.key_file or f"the credential {config.key_credential}"
                raise SecretError(f"the key in {where} is none: {flaw}")
        except SecretError as error:
            if self._key_troubles.get(identity) != str(error):
                _log.warning("uplink %s, requester %s: %s", self._uplink, identity, error)
            self._key_troubles[identity] = str(error)
            return None
        self._key_troubles.pop(identity, None)
        return key

    async def _accept(self, verdict: Accepted) -> "_Reply":
        """Put an accepted request on record, do it, and say what became of it."""
        request, identity = verdict.request, verdict.identity
        said = {"uplink": self._uplink, "identity": identity, "id": request.id, "do": request.do}
        body = {"what": "request", **said, "by": verdict.by, **request.arguments}
        why = self._outbox.health
        if why is None:
            slot, facts = verdict.keep
            # Another uplink's desk must know it also while the record waits for room.
            self._outbox.kept[slot] = facts
            if not await self._outbox.put("audit", utc_now(), body, (slot, facts)):
                del self._outbox.kept[slot]
                why = "its record found no room"
        if why is not None:
            why = f"cannot be put on record, so it is not done: {why}"
            self._refuse(Refused(identity, why))
            return self._reply(identity, request.id, request.do, why=why)
        self._accepted += 1
        _log.info("uplink %s: %s asks %s %s", self._uplink, verdict.by, request.do, request.id)
        then: Span | Rebirth | None = None
        result: Mapping[str, object] = {}
        try:
            async with asyncio.timeout(DO_S_MAX):
                try:
                    result, then = await self._do(verdict)
                except (ValueError, OutboxError) as error:
                    why = str(error)
                    body = {"what": "request failed", **said, "why": why}
                    await self._outbox.put("audit", utc_now(), body)
                await self._outbox.settled()
        except TimeoutError:
            why = f"is not on record after {DO_S_MAX:.0f} s: look at the station's outbox"
            if isinstance(then, Span):
                self._forget(then)
            result, then = {}, None
        return self._reply(identity, request.id, request.do, why=why, result=result, then=then)

    async def _do(self, verdict: Accepted) -> tuple[Mapping[str, object], "Span | Rebirth | None"]:
        """Do it: what there is to say of it, and what follows. Raises ValueError if it fails."""
        request = verdict.request
        if isinstance(request, asking.Replay):
            return await self._begin_replay(verdict.identity, request)
        if isinstance(request, asking.Rebirth):
            if self._clock() - self._reborn_s < REBIRTH_S_MIN:
                raise ValueError(f"was done within {REBIRTH_S_MIN:.0f} s: wait, and ask again")
            self._reborn_s = self._clock()
            return {}, Rebirth()
        found = await self._alarms.answer({**request.for_desk, "by": verdict.by})
        return {"alarm": found["alarm"], "state": found["state"]}, None

    async def _begin_replay(
        self, identity: str, request: asking.Replay
    ) -> tuple[Mapping[str, object], Span]:
        if identity in self._replaying:
            raise ValueError(f"a replay for {identity} goes on: wait for its end, and ask again")
        first, last, count = await self._outbox.kept_between(request.first, request.last)
        span = Span(identity, request.id, request.first - 1, request.last, last)
        self._replaying.add(identity)
        return {"first": first, "last": last, "count": count}, span

    def _refuse(self, refused: Refused) -> None:
        """Count it, show it, and now and then put it on record."""
        identity = refused.identity[:40]
        identity = identity if identity.isprintable() else ascii(identity)
        topic = topics.request_topic(self._prefix, identity)
        self._last_refusal = f"{topic} {refused.why}"
        body = self._refusals.audit(topic, journal.Refused(identity, refused.why), self._clock())
        if body is not None:
            _log.warning("uplink %s: request refused: %s", self._uplink, self._last_refusal)
            self._audits.append({"uplink": self._uplink, **body})
            self._has_work.set()

    def _reply(
        self, identity: str, request_id: str, do: str,
        *, why: str | None, result: Mapping[str, object] | None = None,
        then: "Span | Rebirth | None" = None,
    ) -> "_Reply":  # fmt: skip
        reply = asking.Reply.model_validate(
            {"id": request_id, "ok": why is None, "do": do, "at": to_text(utc_now()), "why": why}
            | dict(result or {})
        )
        topic = topics.reply_topic(self._prefix, identity, request_id)
        until_s = self._clock() + REPLY_S_MAX
        found = _Reply(topic, topics.encode(reply.body()), until_s, then)
        self._send_later(found)
        return found

    def _send_later(self, reply: "_Reply") -> None:
        if len(self._replies) >= REPLIES_MAX:
            _log.warning("uplink %s: %d replies wait; one is dropped", self._uplink, REPLIES_MAX)
            self._drop(self._replies[0])
        self._replies.append(reply)
        self._has_reply.set()
