"""`shorewatch watch`: follow stations, show them, keep what they send, and say whether it is whole.

    noc.follow -> deliveries -> a sink (jsonl.py), on the disk -> done, so acknowledged
         '-> what is known now -> screen.py

With a sink only what is stored is acknowledged. With `--verify` the account decides how it ends. It
only listens unless told to acknowledge. Limit: `TOGETHER_MAX` deliveries a write.
"""

import asyncio
import contextlib
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from rich.console import Console

from shorewatch.disk import write_durably
from shorewatch.errors import UsageError
from shorewatch.jsonl import AccountFile, LineFile, Pipe, Sink
from shorewatch.mqtt import topics
from shorewatch.mqtt.ledger import Ledger
from shorewatch.mqtt.tls import Tls
from shorewatch.noc import Access, Delivery, Key, Noc, follow
from shorewatch.screen import live, printed
from shorewatch.secret import read_secret

REFRESH_S: Final = 0.5
TOGETHER_MAX: Final = 20
GATHER_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asks for; paths of secrets, not the secrets."""

    acknowledge: str | None = None
    stations: tuple[str, ...] = ()
    seconds: float | None = None
    jsonl: str | None = None
    verify: bool = False
    account: Path | None = None
    json: Path | None = None
    from_first: bool = False
    user: str | None = None
    password_file: str | None = None
    tls: Tls = field(default_factory=Tls)
    identity: str | None = None
    key_file: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it ended: was the broker there, and what is wrong with what came, if that was asked."""

    is_online: bool
    fault: str | None


async def run_watch(url: str, options: Options) -> Outcome:
    """Follow until Ctrl-C, or for `options.seconds`.

    Raises ConfigError for a url or consumer of no form, UsageError for options that make no sense
    together and files that cannot be used, SecretError for a secret that cannot be read.
    """
    _check(url, options)
    access = _access(options)
    sink = _sink(options)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signum, stop.set)
    try:
        async with follow(
            url,
            consumer=options.acknowledge,
            stations=options.stations or None,
            marks=sink.ledger.marks,
            access=access,
            is_from_first=options.from_first,
        ) as noc:
            await _watch(noc, sink, _show(url, noc, options), stop, options.seconds)
            fault = _fault(noc, sink.ledger)
            is_online = noc.broker[0] == "online"
        await asyncio.to_thread(sink.close)
    except OSError as error:
        text = f"what came cannot be kept: {error}; make room or name another file, then go on"
        raise UsageError(text) from error
    if not options.verify:
        return Outcome(is_online, None)
    _report(sink.ledger, fault, options)
    return Outcome(is_online, fault)


def _check(url: str, options: Options) -> None:
    if options.account is not None and options.jsonl not in (None, "-"):
        text = f"--account {options.account}: FILE.account stands beside --jsonl FILE; leave it out"
        raise UsageError(text)
    if options.from_first and options.identity is None:
        raise UsageError("--from-first asks stations for a replay: give --identity and --key-file")
    if (options.identity is None) != (options.key_file is None):
        raise UsageError("--identity and --key-file belong together: give both or none")
    if options.password_file is not None and options.user is None:
        raise UsageError("--password-file needs the --user whose password it is")
    if (options.tls.cert_file is None) != (options.tls.key_file is None):
        raise UsageError("--cert-file and --cert-key-file belong together: give both or none")
    if options.tls != Tls() and not url.startswith("mqtts://"):
        text = f"{url} is without TLS: --ca-file and --cert-file belong to mqtts://"
        raise UsageError(text)


def _access(options: Options) -> Access:
    """The one place where what opens a broker and a station comes together."""
    password = None if options.password_file is None else read_secret(options.password_file, None)
    login = None if options.user is None else (options.user, password)
    if options.identity is None or options.key_file is None:
        return Access(login, tls=options.tls)
    key = Key(options.identity, read_secret(options.key_file, None))
    return Access(login, key, options.tls)


def _sink(options: Options) -> Sink:
    if options.jsonl == "-":
        return Pipe()
    if options.jsonl is not None:
        return LineFile(Path(options.jsonl))
    return AccountFile(options.account)


async def _watch(
    noc: Noc,
    sink: Sink,
    show: AbstractContextManager[Callable[[], None]],
    stop: asyncio.Event,
    seconds: float | None,
) -> None:
    end_s = None if seconds is None else time.monotonic() + seconds
    keeping = asyncio.create_task(_keep(noc, sink))
    try:
        with show as refresh:
            while not stop.is_set() and (end_s is None or time.monotonic() < end_s):
                if keeping.done():
                    keeping.result()
                refresh()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), REFRESH_S)
    finally:
        keeping.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await keeping


async def _keep(noc: Noc, sink: Sink) -> None:
    """Store what comes, then call it done. A write is never left half done."""
    async for first in noc:
        await asyncio.sleep(GATHER_S)
        deliveries = [first, *_more(noc)]
        storing = asyncio.ensure_future(asyncio.to_thread(sink.store, deliveries))
        try:
            await asyncio.shield(storing)
        except asyncio.CancelledError:
            await storing
            raise
        for delivery in deliveries:
            await delivery.done()


def _more(noc: Noc) -> Iterator[Delivery]:
    for _ in range(TOGETHER_MAX - 1):
        if (found := noc.ready()) is None:
            return
        yield found


def _show(url: str, noc: Noc, options: Options) -> AbstractContextManager[Callable[[], None]]:
    console = Console(markup=False, emoji=False, stderr=options.jsonl == "-")
    is_live = console.is_terminal and not console.is_dumb_terminal
    return (live if is_live else printed)(console, noc.follower, url)


def _fault(noc: Noc, ledger: Ledger) -> str | None:
    """What is wrong: with what came, or with what has not come yet although later records did."""
    if ledger.fault is not None:
        return ledger.fault
    for name, station in noc.stations.items():
        for first, last in station.gaps:
            return f"{name}: records {first} to {last} have not come, later ones have"
    return None if ledger.marks else "no record came: nothing is shown to be whole"


def _report(ledger: Ledger, fault: str | None, options: Options) -> None:
    out = sys.stderr if options.jsonl == "-" else sys.stdout
    for station, account in ledger:
        print(f"{station}, journal {account.journal[:8]}: {account.summary}", file=out)
    print(fault or "every record came once and in order, or a loss record explains it", file=out)
    if options.json is not None:
        found = {**ledger.to_json(), "ok": fault is None, "fault": fault}
        write_durably(options.json, topics.encode(found))
