"""One line asked by hand: a request, its outcome, and every byte that was heard around it.

The transport and the client are those of direct/, so the rules are too: only reads leave, nothing
is taken that does not answer. Beside the outcome a `Trial` keeps the raw bytes, before the request
and after it, since what is wrong with a line shows in those.
"""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from shorewatch.config import DirectConfig
from shorewatch.direct.frame import Outcome, Read, Request, encode_rtu
from shorewatch.direct.line import client_for, exchange
from shorewatch.direct.wire import Wire, opened

_HEARD_MAX = 4096
_REPLY_EXTRA = 5  # unit id, function, byte count and CRC around the data
_IDENTITY_SIZE = 64  # bytes that a device's names usually take


@dataclass(frozen=True, slots=True)
class Trial:
    """One request and what came of it.

    `before` was heard since the last request was over, `heard` since this one went out, `after`
    while the line was listened to behind it.
    """

    request: Request
    outcome: Outcome
    before: bytes
    heard: bytes
    reply: bytes = b""
    reply_s: float = 0.0
    after: bytes = b""

    @property
    def unit_id(self) -> int:
        return self.request.unit_id

    @property
    def is_answer(self) -> bool:
        """Whether the unit has answered, be it with an exception."""
        return self.outcome in (Outcome.GOOD, Outcome.EXCEPTION)

    @property
    def exception(self) -> int | None:
        return self.reply[1] if self.outcome is Outcome.EXCEPTION else None

    @property
    def size(self) -> int:
        """Bytes that a good reply to a read takes on a serial line; 0 of an identification."""
        return _REPLY_EXTRA + self.request.data_size if isinstance(self.request, Read) else 0

    @property
    def frame(self) -> bytes:
        """The request as it went onto a serial line."""
        return encode_rtu(self.request)


class Asker(Protocol):
    """Who asks on an open line: an adapter of this machine (`Prober`), or a board (remote.py)."""

    async def ask(self, request: Request, wait_s: float) -> Trial:
        """Ask once; the reply's first byte may take `wait_s`, the reply its own time on top.

        Raises LinkError if the line is lost.
        """

    async def listen(self, for_s: float) -> bytes:
        """What is heard in so many seconds in which nothing is asked."""


class Prober:
    """Asks on one open line through a wire of this machine."""

    def __init__(self, line: DirectConfig, wire: Wire) -> None:
        self.line = line
        self._tap = _Tap(wire)
        self._client = client_for(line)

    async def ask(self, request: Request, wait_s: float) -> Trial:
        client, tap = self._client, self._tap
        tap.is_sent = False
        await exchange(tap, client, request, wait_s + reply_s(self.line, request))
        trial = Trial(
            request,
            client.outcome,
            bytes(tap.before),
            bytes(tap.heard),
            client.reply if client.outcome in (Outcome.GOOD, Outcome.EXCEPTION) else b"",
            client.ended_s - client.sent_s,
        )
        tap.before.clear()
        tap.heard.clear()
        return trial

    async def listen(self, for_s: float) -> bytes:
        until_s = time.monotonic() + for_s
        found = bytearray()
        while time.monotonic() < until_s:
            await self._tap.wait(until_s)
            if data := self._tap.take():
                found += data[: _HEARD_MAX - len(found)]
                self._client.hear(time.monotonic(), data)
        self._tap.before.clear()
        self._tap.heard.clear()
        return bytes(found)


def reply_s(line: DirectConfig, request: Request) -> float:
    """How long the reply to a request is on the line."""
    size = request.data_size if isinstance(request, Read) else _IDENTITY_SIZE
    return (_REPLY_EXTRA + size) * line.char_us / 1e6


@asynccontextmanager
async def probing(line: DirectConfig) -> AsyncIterator[Prober]:
    """A prober on the line, connected for the `with` block; raises LinkError as `opened` does."""
    async with opened(line, Path()) as wire:
        yield Prober(line, wire)


class _Tap:
    """A wire that keeps what passes."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self.is_sent = False
        self.before = bytearray()
        self.heard = bytearray()

    def take(self) -> bytes:
        data = self._wire.take()
        kept = self.heard if self.is_sent else self.before
        kept += data[: _HEARD_MAX - len(kept)]
        return data

    def write(self, data: bytes) -> None:
        self.is_sent = True
        self._wire.write(data)

    async def wait(self, until_s: float) -> None:
        await self._wire.wait(until_s)
