"""The daemon's local socket: what people on this machine ask of a running station.

A Unix socket, `control.sock` in the state directory, for its owner alone. One line of JSON asks,
{"do": "alarms"} or {"do": "acknowledge", "alarm": ..., "by": ...} and so on; one answers,
{"ok": true, ...} or {"ok": false, "error": a sentence}. Nothing that can be asked reaches a board.

Limits: requests of 8 kB, answered within 10 s; 16 clients at once.
"""

import asyncio
import json
import logging
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from shorewatch.errors import ShorewatchError

DEFAULT_STATE = Path("/var/lib/shorewatch")
NAME = "control.sock"
REQUEST_BYTES_MAX = 8_000
REPLY_BYTES_MAX = 4_000_000
TIMEOUT_S = 10.0
CLIENTS_MAX = 16

Answer = Callable[[Mapping[str, object]], Awaitable[Mapping[str, object]]]
_log = logging.getLogger("shorewatch.control")


class ControlError(ShorewatchError):
    """The station does not run here, or refuses what it was asked."""


@asynccontextmanager
async def serving(state_dir: Path, answer: Answer) -> AsyncIterator[None]:
    """Answer requests while the `with` block lasts. `answer` raises ValueError to refuse one.

    A socket that cannot be made costs the tools, not the station: it is logged.
    """
    clients = asyncio.Semaphore(CLIENTS_MAX)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with clients, asyncio.timeout(TIMEOUT_S):
                line = await reader.readline()
                writer.write(json.dumps(await _answer(line, answer)).encode() + b"\n")
                await writer.drain()
        except (OSError, ValueError, TimeoutError):
            pass  # who asked has gone, asks without end, or does not listen
        finally:
            writer.close()

    try:
        # Whoever is left there is dead: the outbox beside it has one owner, and that is us.
        (state_dir / NAME).unlink(missing_ok=True)
        listener = _socket(state_dir, socket.socket.bind)
        (state_dir / NAME).chmod(0o600)
        server = await asyncio.start_unix_server(talk, sock=listener, limit=REQUEST_BYTES_MAX)
    except OSError as error:
        _log.error("no control socket: %s: %s", state_dir / NAME, error)
        yield
        return
    try:
        yield
    finally:
        server.close()
        with suppress(OSError):
            (state_dir / NAME).unlink(missing_ok=True)


def ask(state_dir: Path, request: Mapping[str, object]) -> dict[str, object]:
    """Ask the station that runs in `state_dir`; raises ControlError with what to do."""
    try:
        connection = _socket(state_dir, socket.socket.connect)
    except OSError as error:
        text = (
            f"no station runs in {state_dir} ({error.strerror or error}); start it with "
            f"`shorewatch run`, or name its folder with --state-dir"
        )
        raise ControlError(text) from error
    with connection:
        try:
            connection.settimeout(TIMEOUT_S)
            connection.sendall(json.dumps(request).encode() + b"\n")
            with connection.makefile("rb") as stream:
                reply = json.loads(stream.readline(REPLY_BYTES_MAX))
        except (OSError, ValueError) as error:
            raise ControlError(f"the station in {state_dir} does not answer: {error}") from error
    if not reply.get("ok"):
        raise ControlError(str(reply.get("error")))
    return dict(reply)


async def _answer(line: bytes, answer: Answer) -> Mapping[str, object]:
    try:
        request = json.loads(line)
        if not isinstance(request, dict):
            raise ValueError("a request is one line with a JSON object")
        return {"ok": True, **await answer(request)}
    except ValueError as error:
        return {"ok": False, "error": str(error)}


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
