"""`shorewatch run`: one station's gateway, wired together.

    boards ─ link ─▶ image ─▶ report ─▶ outbox ─▶ mqtt/uplink ─▶ brokers
                       ├─▶ alarms ──────┘
                       └─────────────▶ web (page)

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
from importlib.metadata import version
from pathlib import Path

from shorewatch import control
from shorewatch.alarmdesk import AlarmDesk
from shorewatch.compiled import Compiled
from shorewatch.config import PageConfig, Station
from shorewatch.errors import ConfigError
from shorewatch.image import Image
from shorewatch.link import BoardLink
from shorewatch.model import utc_now
from shorewatch.mqtt.uplink import Uplink
from shorewatch.outbox import Outbox
from shorewatch.report import Reporter
from shorewatch.status import Snapshot, snapshot
from shorewatch.web import app as web

STALE_CHECK_S = 1.0
PAGE_RESTART_S = (0.5, 30.0)

_log = logging.getLogger("shorewatch")


async def run_station(compiled: Compiled, state_dir: Path) -> None:
    """Run one station until SIGTERM or SIGINT.

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
    started_at = utc_now()
    size_bytes_max = station.file.outbox.size_mb_max * 1_000_000
    outbox_path = state_dir / station.file.outbox.file
    async with Outbox.opened(outbox_path, size_bytes_max=size_bytes_max) as outbox:
        image = Image(station)
        reporter = Reporter(station)
        links = {
            board_id: BoardLink(plan, state_dir, image, reporter=reporter, records=outbox)
            for board_id, plan in compiled.plans.items()
        }

        def boards() -> dict[str, dict[str, object]]:
            return {
                board_id: {"up": link.status.up, "reason": link.status.reason}
                for board_id, link in links.items()
            }

        uplinks = [Uplink(station, config, image, outbox, boards) for config in station.file.uplink]

        def there() -> dict[str, bool]:
            found = {f"board/{board_id}": link.status.up for board_id, link in links.items()}
            for uplink in uplinks:
                found[f"uplink/{uplink.status.id}"] = uplink.status.state == "online"
            return found

        desk = AlarmDesk(station, compiled.rules, image, outbox, there)

        def look() -> Snapshot:
            return snapshot(
                station,
                image,
                outbox,
                boards={board_id: link.status for board_id, link in links.items()},
                uplinks={uplink.status.id: uplink.status for uplink in uplinks},
                alarms=desk.listed(),
                started_at=started_at,
            )

        body: dict[str, object] = {
            "source": "gateway",
            "what": "started",
            "version": version("shorewatch"),
        }
        await outbox.put("event", started_at, body | {"config": station.config_hash})
        _log.info("station %s: %d boards, %d devices", station.id, len(links), len(station.devices))
        async with control.serving(state_dir, desk.answer), asyncio.TaskGroup() as tasks:
            acquiring = [
                tasks.create_task(link.run(), name=f"link {board_id}")
                for board_id, link in links.items()
            ]
            acquiring.append(tasks.create_task(desk.run(), name="alarms"))
            acquiring.append(
                tasks.create_task(_record_stale(station, image, reporter, outbox), name="stale")
            )
            publishing = [
                tasks.create_task(uplink.run(), name=f"uplink {uplink.status.id}")
                for uplink in uplinks
            ]
            serving = None
            if page is not None and listener is not None:
                serving = tasks.create_task(_serve_page(look, page, listener, stop), name="page")
            await stop.wait()
            for task in acquiring:
                task.cancel()
            await asyncio.gather(*acquiring, return_exceptions=True)
            await outbox.put("event", utc_now(), {"source": "gateway", "what": "stopped"})
            await asyncio.gather(*(uplink.stop() for uplink in uplinks))
            for task in publishing:
                task.cancel()
            if serving is not None:
                await serving
    _log.info("station %s: stopped", station.id)


async def _record_stale(station: Station, image: Image, reporter: Reporter, outbox: Outbox) -> None:
    """Record values that went stale with nobody reporting it: a board whose bus hangs."""
    while True:
        await asyncio.sleep(STALE_CHECK_S)
        for device_id in station.devices:
            body = reporter.changes(device_id, image.look(device_id))
            if body is not None:
                await outbox.put("sample", utc_now(), body)


async def _serve_page(
    look: web.Look, page: PageConfig, listener: socket.socket, stop: asyncio.Event
) -> None:
    """Serve the page; if it breaks, log it and start it again, slower each time."""
    delay_s, delay_s_max = PAGE_RESTART_S
    while not stop.is_set():
        try:
            await web.serve(look, listener, stop)
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
