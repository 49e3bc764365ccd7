"""`shorewatch run`: one station's gateway as a process.

    signals ──▶ daemon ─┬─ outbox          opened first, closed last
    tools ─▶ control ───┤─ gateway.py      links, alarms, uplinks
    browsers ─▶ web ────┘

Acquisition and outbox are crash-only: an unexpected exception there ends the process, and whatever
supervises it starts it again; the outbox has everything that was committed. The page restarts
alone. A board, broker or browser that fails is expected, and handled in exactly one loop each.
"""

import asyncio
import contextlib
import errno
import logging
import signal
import socket
from collections.abc import AsyncGenerator, Callable, Mapping
from functools import partial
from importlib.metadata import version
from pathlib import Path

from shorewatch import control
from shorewatch.compiled import Compiled
from shorewatch.config import PageConfig, Station
from shorewatch.describe import describe
from shorewatch.errors import ConfigError
from shorewatch.gateway import Gateway
from shorewatch.live import Live
from shorewatch.model import utc_now
from shorewatch.openapi.document import openapi
from shorewatch.outbox import Outbox
from shorewatch.ports import Ports
from shorewatch.reload import Reloader
from shorewatch.support import LastLines, Support
from shorewatch.web import app as web
from shorewatch.web.action import Actions
from shorewatch.web.feed import Look

PAGE_RESTART_S = (0.5, 30.0)

_log = logging.getLogger("shorewatch")


async def run_station(compiled: Compiled, state_dir: Path, load: Callable[[], Compiled]) -> None:
    """Run one station until SIGTERM or SIGINT; SIGHUP takes what `load` gives then.

    Raises ConfigError (a page that cannot be served there) and OutboxError before anything has
    started; afterwards only programmer errors end it.
    """
    station = compiled.station
    page = station.file.page
    listener = None if page is None else _listen(station, page)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop.set)
    # Until it can be answered: the file has just been read.
    loop.add_signal_handler(signal.SIGHUP, lambda: None)
    size_bytes_max = station.file.outbox.size_mb_max * 1_000_000
    outbox_path = state_dir / station.file.outbox.file
    async with (
        LastLines() as log,
        Outbox.opened(outbox_path, size_bytes_max=size_bytes_max) as outbox,
        asyncio.TaskGroup() as tasks,
    ):
        gateway = Gateway(compiled, state_dir, outbox, tasks)
        support = Support(gateway, state_dir, log)
        await outbox.put("event", gateway.started_at, _started(station))
        _log.info(
            "station %s: %d boards, %d devices",
            station.id, len(station.boards), len(station.devices),
        )  # fmt: skip
        reloader = Reloader(gateway, load)
        loop.add_signal_handler(signal.SIGHUP, reloader.hang_up)
        reloading = tasks.create_task(reloader.run(), name="reload")
        async with control.serving(state_dir, _answering(gateway, reloader, support)):
            gateway.start()
            serving = None
            if page is not None and listener is not None:
                audit = partial(_audit, outbox)
                actions = Actions(
                    state_dir, gateway.desk.answer, audit, support.bundle, station.texts
                )
                place = _place(page, actions, gateway)
                part = _serve_page(gateway.look, page, listener, stop, place)
                serving = tasks.create_task(part, name="page")
            await stop.wait()
        reloading.cancel()
        await asyncio.wait([reloading])
        await gateway.stop()
        if serving is not None:
            await serving
    _log.info("station %s: stopped", station.id)


def _answering(gateway: Gateway, reloader: Reloader, support: Support) -> control.Answer:
    """What can be asked of a running gateway, and who answers; the rest is about alarms."""
    ports, live = Ports(gateway), Live(gateway)
    answers: Mapping[object, control.Answer] = {
        "history": gateway.history.answer,
        **dict.fromkeys(("alarm-history", "alarm-figures", "events"), gateway.diary.answer),
        "borrow": ports.borrow,
        "return": ports.give_back,
        "resume": ports.resume,
        "live": live.once,
        "follow": live.follow,
        "reload": reloader.answer,
        "support": support.answer,
    }

    async def answer(
        request: control.Request, caller: control.Caller
    ) -> control.Reply | AsyncGenerator[control.Reply, None]:
        found = answers.get(request.get("do"))
        return await (gateway.desk.answer(request) if found is None else found(request, caller))

    return answer


def _started(station: Station) -> dict[str, object]:
    """What the journal says of a start."""
    return {
        "source": "gateway",
        "what": "started",
        "version": version("shorewatch"),
        "config": station.config_hash,
    }


def _place(page: PageConfig, actions: Actions, gateway: Gateway) -> web.Place:
    cert_file = None if page.cert_file is None else Path(page.cert_file)
    key_file = None if page.key_file is None else Path(page.key_file)
    return web.Place(
        page.names,
        cert_file,
        key_file,
        actions=actions,
        history=gateway.history.answer,
        diary=gateway.diary.answer,
        describe=lambda: describe(gateway.station),
        words=gateway.words_of,
        document=openapi,
        texts=gateway.station.texts,
        draw=None if gateway.locator is None else gateway.locator.draw,
    )


async def _audit(outbox: Outbox, body: Mapping[str, object]) -> None:
    """Put on record what somebody did at the page's door."""
    await outbox.put("audit", utc_now(), {"source": "page", **body})
    await outbox.settled()


async def _serve_page(
    look: Look, page: PageConfig, listener: socket.socket, stop: asyncio.Event, place: web.Place
) -> None:
    """Serve the page; if it breaks, log it and start it again, slower each time."""
    delay_s, delay_s_max = PAGE_RESTART_S
    while not stop.is_set():
        try:
            await web.serve(look, listener, stop, place)
        except (OSError, RuntimeError, ValueError, TypeError, LookupError) as error:
            _log.exception("the page failed (%s); it starts again in %.1f s", error, delay_s)
            await asyncio.sleep(delay_s)
            delay_s = min(2 * delay_s, delay_s_max)
            with contextlib.suppress(OSError):
                listener = _listening(page)


def _listen(station: Station, page: PageConfig) -> socket.socket:
    """The page's listening socket, so that what stands in its way is said before all starts."""
    try:
        return _listening(page)
    except OSError as error:
        key, value = ("page", "port"), f"{page.host}:{page.port}"
        rule = f"the page cannot listen there: {error.strerror}; "
        if error.errno == errno.EADDRINUSE:
            rule += "stop what does, or choose another port"
        elif error.errno == errno.EACCES:
            rule += "ports below 1024 are the system's, choose a higher one"
        else:
            key = ("page", "host")
            rule += "name an address of this machine"
        raise ConfigError([station.source.problem(key, value, rule)]) from error


def _listening(page: PageConfig) -> socket.socket:
    listener = socket.create_server((page.host, page.port), backlog=64)
    listener.setblocking(False)
    return listener
