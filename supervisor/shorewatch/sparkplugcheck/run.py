"""`shorewatch sparkplug-check` at work: proxy, observer, exercise, and the end of all of them.

The observer is a second connection to the broker, subscribed to all of Sparkplug: it sees STATE and
the Wills that the broker publishes, as hosts do, and publishes for the exercise.
"""

import asyncio
import contextlib
import secrets
import signal
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from shorewatch.errors import UplinkError, UsageError
from shorewatch.mqtt.client import Connection, connected
from shorewatch.sparkplugcheck.exercise import Exercise
from shorewatch.sparkplugcheck.proxy import Proxy, Recording
from shorewatch.sparkplugcheck.session import Entry, Seen, from_lines, to_lines
from shorewatch.sparkplugcheck.stream import PACKET_BYTES_MAX
from shorewatch.sparkplugcheck.topic import NAMESPACE

LISTEN_HOST: Final = "127.0.0.1"
WAITING_MAX: Final = 4096
RETRY_S: Final = 1.0
_CHECK_S = 0.5


@dataclass(frozen=True, slots=True)
class Options:
    """What to record: `listen` is a port of this machine, `seconds` None until it is stopped."""

    listen: int
    broker: str
    login: tuple[str, str | None] | None = None
    seconds: float | None = None
    is_exercised: bool = False
    host: str | None = None


async def record(options: Options, say: Callable[[str], None]) -> list[Entry]:
    """What passed until the time is over, the exercise is done, or SIGINT or SIGTERM.

    Raises UsageError for an argument that makes no sense, UplinkError if there is no broker. One
    that goes away later is waited for, but for an exercise, which ends.
    """
    host, port = _parse_broker(options.broker)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    recording = Recording(time.time)
    proxy = Proxy(recording, host, port)
    ready: asyncio.Future[Connection] = loop.create_future()
    observing = asyncio.create_task(_observe(options, (host, port), recording, ready, say))
    ends: list[asyncio.Task[None]] = [observing]
    try:
        observing.add_done_callback(lambda task: ready.done() or ready.cancel())
        await asyncio.wait([ready])
        if ready.cancelled():
            observing.result()
        async with proxy.listening(LISTEN_HOST, options.listen) as listening:
            say(f"edge nodes connect to {LISTEN_HOST}:{listening}; {options.broker} is the broker")
            ends.append(asyncio.create_task(_ended(options.seconds, recording, stop)))
            if options.is_exercised:
                known = options.host
                exercise = Exercise(recording, ready.result(), proxy.cut, time.time, say, known)
                ends.append(asyncio.create_task(exercise.run()))
            done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                _settle(task, say)
    finally:
        for task in reversed(ends):  # the exercise takes its STATE back while there is a broker
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
    if recording.is_full:
        say("the recording is full; what came later is not judged")
    return recording.entries


@contextlib.asynccontextmanager
async def _observed(options: Options, host: str, port: int) -> AsyncIterator[Connection]:
    client_id = f"shorewatch-check-{secrets.token_hex(4)}"
    async with connected(
        host,
        port,
        client_id=client_id,
        login=options.login,
        incoming_bytes_max=PACKET_BYTES_MAX,
        incoming_count_max=WAITING_MAX,
    ) as broker:
        [code] = await broker.subscribe(f"{NAMESPACE}/#")
        if code >= 0x80:
            text = f"{options.broker} does not let us subscribe to {NAMESPACE}/# ({code:#x})"
            raise UplinkError("not-authorised", f"{text}; give --user one who may")
        yield broker
        await broker.disconnect()


def _settle(task: asyncio.Task[None], say: Callable[[str], None]) -> None:
    """What a broker's end makes of an exercise: no more than that it is over."""
    try:
        task.result()
    except UplinkError as error:
        say(f"{error}; here the exercise ends")


async def _observe(
    options: Options,
    address: tuple[str, int],
    recording: Recording,
    ready: "asyncio.Future[Connection]",
    say: Callable[[str], None],
) -> None:
    """Record what a subscriber sees. `ready` gets the first connection; without it, UplinkError."""
    is_there = True
    while True:
        try:
            async with _observed(options, *address) as broker:
                if ready.done():
                    say("the broker is back")
                else:
                    ready.set_result(broker)
                is_there = True
                async for message in broker.messages():
                    what = Seen(message.topic, message.payload, message.is_retained)
                    recording.add(0, what)
        except UplinkError as error:
            if options.is_exercised or not ready.done():
                raise
            if is_there:
                say(f"{error}; waiting for it")
            is_there = False
        await asyncio.sleep(RETRY_S)


async def _ended(seconds: float | None, recording: Recording, stop: asyncio.Event) -> None:
    """Return at the end of the time, of the room, or when told to."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while not stop.is_set() and not recording.is_full:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), _CHECK_S)


def _parse_broker(url: str) -> tuple[str, int]:
    rule = "must look like mqtt://host:1883 (without TLS, which a proxy cannot read)"
    try:
        parts = urlsplit(url)
        port = parts.port or 1883
    except ValueError as error:
        raise UsageError(f"--broker {url!r} {rule}") from error
    if parts.scheme != "mqtt" or not parts.hostname or parts.path.strip("/"):
        raise UsageError(f"--broker {url!r} {rule}")
    return parts.hostname, port


def load(file: Path) -> list[Entry]:
    """A saved session; raises UsageError."""
    try:
        with file.open(encoding="utf-8") as lines:
            return from_lines(lines)
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}; name a file of --save") from error
    except ValueError as error:
        raise UsageError(f"{file}: {error}") from error


def save(file: Path, entries: list[Entry]) -> None:
    """Write a session; raises UsageError."""
    try:
        with file.open("w", encoding="utf-8") as out:
            out.writelines(to_lines(entries))
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}; choose another file for --save") from error
