"""The daemon's local socket: what people and tools on this machine ask of a running station.

A Unix socket, `control.sock` in the state directory, for its owner alone. One line of JSON asks,
{"do": "alarms"} or {"do": "acknowledge", "alarm": ..., "by": ...} and so on; one line answers,
{"ok": true, ...} or {"ok": false, "error": a sentence}. A connection may ask again and again.

    borrow     a port is lent while its connection lasts: a tool that is killed returns it at once;
               when its time is over, the station says so and closes the connection
    follow     is answered by a line a change, for as long as somebody reads them

Nothing that can be asked reaches a board.

Limits: requests of 8 kB whose values are lines of text and numbers, the next within 10 s unless a
port is lent, answered within 60 s, answers taken within 10 s; 16 answered at once, 64 connections.
"""

import asyncio
import json
import logging
import os
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from shorewatch.errors import ShorewatchError

DEFAULT_STATE = Path("/var/lib/shorewatch")
NAME = "control.sock"
REQUEST_BYTES_MAX = 8_000
REPLY_BYTES_MAX = 4_000_000
NUMBER_MAX = 1e15
TIMEOUT_S = 10.0
ANSWER_S_MAX = 60.0
HANG_UP_S = 1.0
CLIENTS_MAX = 16
CONNECTIONS_MAX = 64
AGAIN_S = 10.0

Request = Mapping[str, object]
Reply = Mapping[str, object]
_log = logging.getLogger("shorewatch.control")


class ControlError(ShorewatchError):
    """The station refuses what it was asked."""


class UnreachableError(ControlError):
    """No station runs there, or it does not answer."""


class Caller:
    """One connection, as those who answer see it.

    What is lent to it hangs on it: `release` is called when the connection ends.
    """

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self.release: Callable[[], Awaitable[None]] | None = None

    def hang_up(self, why: str) -> None:
        """Tell the other side why, and end the connection."""
        if not self._writer.is_closing():
            self._writer.write(_line({"ok": False, "error": why}))
            self._writer.close()
            # Closing waits until all was read, and who does not read would never be gone.
            abort = self._writer.transport.abort
            asyncio.get_running_loop().call_later(HANG_UP_S, abort)


Answer = Callable[[Request, Caller], Awaitable[Reply | AsyncGenerator[Reply, None]]]


@asynccontextmanager
async def serving(
    state_dir: Path, answer: Answer, *, again_s: float = AGAIN_S
) -> AsyncIterator[None]:
    """Answer requests while the `with` block lasts. `answer` raises ValueError to refuse one.

    A socket that cannot be made, as on a disk that is read-only, costs the tools, not the station:
    it is logged, and tried again each `again_s`. At the end every connection is closed, and what
    hung on it is released.
    """
    server = _Server(answer)
    listening = await _listen(state_dir, server)
    opening = None if listening else asyncio.create_task(_listen_later(state_dir, server, again_s))
    try:
        yield
    finally:
        if opening is not None:
            opening.cancel()
            await asyncio.wait([opening])
            listening = None if opening.cancelled() else opening.result()
        if listening is not None:
            listening.close()
        await server.close()
        with suppress(OSError):
            (state_dir / NAME).unlink(missing_ok=True)


async def _listen_later(state_dir: Path, server: "_Server", again_s: float) -> asyncio.Server:
    while True:
        await asyncio.sleep(again_s)
        if (listening := await _listen(state_dir, server, logging.DEBUG)) is not None:
            _log.info("control socket %s: tools can be used again", state_dir / NAME)
            return listening


async def _listen(
    state_dir: Path, server: "_Server", level: int = logging.ERROR
) -> asyncio.Server | None:
    """Listen at the socket; None, logged at `level`, if it cannot be made."""
    try:
        # Whoever is left there is dead: the outbox beside it has one owner, and that is us.
        (state_dir / NAME).unlink(missing_ok=True)
        listener = _socket(state_dir, socket.socket.bind)
        (state_dir / NAME).chmod(0o600)
        return await asyncio.start_unix_server(
            server.accept, sock=listener, limit=REQUEST_BYTES_MAX
        )
    except OSError as error:
        _log.log(level, "no control socket: %s: %s", state_dir / NAME, error)
        return None


class _Server:
    """Talks to everybody who has connected."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._clients = asyncio.Semaphore(CLIENTS_MAX)
        self._talks: set[asyncio.Task[None]] = set()

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Talk to who has connected, in a task of ours: asyncio logs the end of its own."""
        caller = Caller(writer)
        if len(self._talks) >= CONNECTIONS_MAX:
            caller.hang_up(f"{CONNECTIONS_MAX} connections are open already; close one of them")
            return
        talk = asyncio.create_task(self._talk(reader, writer, caller))
        self._talks.add(talk)
        talk.add_done_callback(self._talks.discard)

    async def _talk(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, caller: Caller
    ) -> None:
        """One connection from its beginning to its end."""
        try:
            await self._serve(reader, writer, caller)
        except (OSError, ValueError, TimeoutError):
            # Who asked has gone, asks without end, or does not listen: nothing waits for them.
            writer.transport.abort()
        finally:
            writer.close()
            if caller.release is not None:
                await caller.release()

    async def close(self) -> None:
        """End every connection."""
        talks = list(self._talks)
        for task in talks:
            task.cancel()
        await asyncio.gather(*talks, return_exceptions=True)

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, caller: Caller
    ) -> None:
        while True:
            # Who has borrowed something may be silent until its time is over.
            async with asyncio.timeout(TIMEOUT_S if caller.release is None else None):
                line = await reader.readline()
            if not line:
                return
            async with self._clients, asyncio.timeout(ANSWER_S_MAX):
                reply = await self._reply(line, caller)
            if not isinstance(reply, AsyncGenerator):
                await _send(writer, reply)
                continue
            async with aclosing(reply):
                async for part in reply:
                    await _send(writer, part)

    async def _reply(self, line: bytes, caller: Caller) -> Reply | AsyncGenerator[Reply, None]:
        try:
            reply = await self._answer(parse_request(line), caller)
        except ValueError as error:
            return {"ok": False, "error": str(error)}
        return reply if isinstance(reply, AsyncGenerator) else {"ok": True, **reply}


def ask(state_dir: Path, request: Request, *, timeout_s: float = TIMEOUT_S) -> dict[str, object]:
    """Ask the station that runs in `state_dir`; raises ControlError with what to do."""
    with _connected(state_dir, timeout_s) as connection:
        return connection.ask(request)


@contextmanager
def borrowed(
    state_dir: Path, board: str, *, by: str, reason: str, seconds: float
) -> Iterator[dict[str, object]]:
    """Have a board's port to oneself for the `with` block: gives {"port", "until", ...}.

    Raises ControlError if it cannot be had, and at the end if it was taken back meanwhile.
    """
    request = {"do": "borrow", "board": board, "by": by, "reason": reason, "seconds": seconds}
    with _connected(state_dir, TIMEOUT_S) as connection:
        yield connection.ask(request)
        connection.ask({"do": "return"})


def followed(state_dir: Path, request: Request) -> Iterator[dict[str, object]]:
    """What a running station says of its changes, for as long as one listens.

    Raises UnreachableError when it falls silent: it says something every few seconds.
    """
    with _connected(state_dir, TIMEOUT_S) as connection:
        connection.send({"do": "follow", **request})
        while True:
            yield connection.receive()


def station_folder(given: Path | None) -> Path:
    """The state directory meant: the given one, or the only one of this machine.

    Raises UnreachableError if there are several, or none.
    """
    if given is not None:
        return given
    found = sorted(DEFAULT_STATE.glob("*/")) if DEFAULT_STATE.is_dir() else []
    if len(found) != 1:
        names = ", ".join(folder.name for folder in found) or "none"
        text = f"stations in {DEFAULT_STATE}: {names}; name one with --state-dir"
        raise UnreachableError(text)
    return found[0]


class _Connection:
    """A tool's end."""

    def __init__(self, state_dir: Path, connection: socket.socket, stream: BinaryIO) -> None:
        self._state_dir = state_dir
        self._socket = connection
        self._stream = stream

    def ask(self, request: Request) -> dict[str, object]:
        self.send(request)
        return self.receive()

    def send(self, request: Request) -> None:
        with suppress(OSError):  # what it said last, if anything, says why
            self._socket.sendall(_line(request))

    def receive(self) -> dict[str, object]:
        """The next line; raises ControlError if it is a refusal."""
        try:
            reply = json.loads(self._stream.readline(REPLY_BYTES_MAX))
        except (OSError, ValueError) as error:
            text = f"the station in {self._state_dir} does not answer: {error}"
            raise UnreachableError(text) from error
        if not reply.get("ok", True):
            raise ControlError(str(reply.get("error")))
        return dict(reply)


@contextmanager
def _connected(state_dir: Path, timeout_s: float) -> Iterator[_Connection]:
    try:
        connection = _socket(state_dir, socket.socket.connect)
    except OSError as error:
        text = (
            f"no station runs in {state_dir} ({error.strerror or error}); start it with "
            f"`shorewatch run`, or name its folder with --state-dir"
        )
        raise UnreachableError(text) from error
    connection.settimeout(timeout_s)
    with connection, connection.makefile("rb") as stream:
        yield _Connection(state_dir, connection, stream)


async def _send(writer: asyncio.StreamWriter, reply: Reply) -> None:
    """Send a line; raises TimeoutError if the other side does not take it."""
    writer.write(_line(reply))
    async with asyncio.timeout(TIMEOUT_S):
        await writer.drain()


def parse_request(line: bytes) -> Request:
    """A request whose values are lines of text and numbers; raises ValueError for anything else.

    What is refused here reaches no log, no record and no alarm's state.
    """
    try:
        request = json.loads(line)
    except RecursionError as error:
        raise ValueError("a request is one JSON object, not a nest of them") from error
    if not isinstance(request, dict):
        raise ValueError("a request is one line with a JSON object")
    for key, value in request.items():
        if isinstance(value, str):
            is_sound = value.isprintable()
        else:
            is_number = isinstance(value, (int, float))
            is_sound = value is None or (is_number and abs(value) <= NUMBER_MAX)
        if not is_sound:
            rule = f"one line of text without control characters, or a number to {NUMBER_MAX:.0e}"
            raise ValueError(f"`{key}` must be {rule}")
    return request


def _line(body: Mapping[str, object]) -> bytes:
    return json.dumps(body).encode() + b"\n"


def _socket(state_dir: Path, do: Callable[[socket.socket, str], object]) -> socket.socket:
    """A socket bound or connected to the folder's `NAME`, however long the folder's path is."""
    folder = os.open(state_dir, os.O_RDONLY | os.O_DIRECTORY)
    found = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        do(found, f"/proc/self/fd/{folder}/{NAME}")
    except OSError:
        found.close()
        raise
    finally:
        os.close(folder)
    return found
