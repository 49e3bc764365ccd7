"""`shorewatch demo`: two stations at work on one machine, each part a process as in production.

    broker · for each station: a plant process a line, a virtual board a board, `shorewatch run`
    and, in this process, a NOC consumer that follows both stations and acknowledges their journals

With a scenario (demoplay.py) all parts of the field play it, from one moment on; what happens is
said, and at the end whether the alarms came that were to come.

A part that dies is started again after a while, so that one can watch what the others say about it.
Everything lives in one temporary folder and listens on 127.0.0.1; at the end nothing is left, at
the latest 3 s after it was told to end.
"""

import asyncio
import contextlib
import http.client
import json
import math
import os
import shutil
import signal
import socket
import sys
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from shorewatch.assets import asset_folder
from shorewatch.config import Station, load_station
from shorewatch.demoplay import Stage
from shorewatch.errors import DemoError, UsageError
from shorewatch.model import utc_now
from shorewatch.mqtt.broker import find_broker, wait_for_broker
from shorewatch.mqtt.follower import Follower
from shorewatch.mqtt.station import FollowedStation
from shorewatch.mqtt.watch import follow
from shorewatch.plant.virtual_board import find_vm
from shorewatch.process import die_with

STATIONS = ("sumqayit", "aktau")
CONSUMER = "noc"
STOP_S_MAX = 2.0
STOP_GATEWAYS_S_MAX = 1.2  # of it: what a gateway says last goes through the broker to the NOC
LAST_PAGE_S_MAX = 0.8
PAGE_S_MAX = 1.0
RESTART_AFTER_S_MIN = 0.1
REFRESH_S = 0.5
MESSAGES_MIN = 2
LOG_TAIL_BYTES = 800
# Our own pages are never behind a proxy, whatever the environment says.
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asks for; see `shorewatch demo --help`."""

    headless: bool
    seconds: float | None
    report: Path | None
    mqtt_port: int
    page_port: int
    restart_after_s: float
    seed: int
    keep: Path | None
    scenario: str | None = None
    speed: float = 1.0


@dataclass(slots=True)
class Part:
    """One child process, started again when it dies."""

    name: str
    argv: list[str]
    log: Path
    process: asyncio.subprocess.Process | None = None
    restarts: int = 0
    trouble: str = ""

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.returncode is None

    async def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *self.argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=partial(die_with, os.getpid(), signal.SIGKILL),
            )

    async def keep(self, restart_after_s: float, say: "Say") -> None:
        """Start it, and again whenever it ends or cannot be started, until cancelled."""
        while True:
            try:
                await self.start()
            except OSError as error:
                self.trouble = f"{self.name} cannot be started: {error}"
            else:
                assert self.process is not None
                why = _exit_words(await self.process.wait())
                self.trouble = f"{self.name} (pid {self.process.pid}) {why}"
            self.restarts += 1
            say(f"{self.trouble}; starts again in {restart_after_s:g} s")
            await asyncio.sleep(restart_after_s)

    def tail(self) -> str:
        """The end of its log, for an error message."""
        with contextlib.suppress(OSError):
            return self.log.read_bytes()[-LOG_TAIL_BYTES:].decode("utf-8", "replace").strip()
        return ""

    def send(self, signum: int) -> None:
        if self.process is not None and self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(signum)


class Say:
    """What happens: below the table while there is one, else line by line on stdout."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.is_printing = True

    def __call__(self, text: str) -> None:
        line = f"{utc_now():%H:%M:%S} {text}"
        self.lines = [*self.lines[-7:], line]
        if self.is_printing:
            print(line, flush=True)


@dataclass(slots=True)
class Demo:
    """Everything that runs, and what was seen of it."""

    options: Options
    folder: Path
    stations: dict[str, Station]
    say: Say
    follower: Follower = field(default_factory=Follower)
    parts: list[Part] = field(default_factory=list)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)
    pages: dict[str, dict[str, Any]] = field(default_factory=dict)
    last_pages: dict[str, dict[str, Any]] = field(default_factory=dict)
    answered_s: dict[str, float] = field(default_factory=dict)
    read_devices: dict[str, set[str]] = field(default_factory=dict)
    stage: Stage | None = None

    @property
    def broker_url(self) -> str:
        return f"mqtt://127.0.0.1:{self.options.mqtt_port}"

    def followed(self, station_id: str) -> FollowedStation | None:
        return self.follower.stations.get(self.stations[station_id].prefix)

    def page_port(self, station_id: str) -> int:
        return self.options.page_port + STATIONS.index(station_id)

    def state_dir(self, station_id: str) -> Path:
        return self.folder / station_id

    def unread(self, station_id: str) -> list[str]:
        """The devices of which no good value was ever seen."""
        read = self.read_devices.get(station_id, set())
        return sorted(self.stations[station_id].devices.keys() - read)

    def go_on(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Do something until the end; see `check`."""
        task = asyncio.create_task(work)
        self.tasks.append(task)
        return task

    def check(self) -> None:
        """Raise what has ended one of the tasks: none ends but by a bug."""
        for task in self.tasks:
            if task.done() and not task.cancelled():
                task.result()


async def run_demo(options: Options) -> bool:
    """Run the demo; True if every device was read, no record was lost and both pages answer.

    Raises, before anything is started, UsageError for options that make no sense and DemoError for
    a port in use or a missing program; DemoError also if stopped before every device was read.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(signum, stop.set)
    _check_options(options)
    find_vm()
    find_broker()
    _need_free_ports(options)
    console = Console(markup=False, emoji=False)
    is_live = console.is_terminal and not console.is_dumb_terminal and not options.headless
    say = Say()
    with _folder(options.keep) as folder:
        if options.report is not None:  # it may be in that folder
            _check_writable(options.report)
        stations_folder = asset_folder("stations")
        stations = {name: load_station(stations_folder / f"{name}.toml") for name in STATIONS}
        stage = Stage.opened(options.scenario, options.speed, list(stations.values()))
        demo = Demo(options, folder, stations, say, stage=stage)
        if not is_live:
            for text in (*_addresses(demo), *(stage.script() if stage else ())):
                say(text)
        async with _running(demo, stop):
            await _show(demo, stop, console if is_live else None)
        report = _report(demo)
    if options.report is not None:
        _write_report(options.report, report)
    _print_end(report)
    if stop.is_set() and any(map(demo.unread, STATIONS)):
        raise DemoError("interrupted before every device had been read")
    return bool(report["ok"])


@contextlib.asynccontextmanager
async def _running(demo: Demo, stop: asyncio.Event) -> AsyncIterator[None]:
    """Start all parts, unless stopped before; at the end none is left."""
    broker = Part("broker", _argv(demo, "broker"), demo.folder / "broker.log")
    gateways = [_gateway_part(demo, name) for name in STATIONS]
    field_parts = [part for name in STATIONS for part in _field_parts(demo, name)]
    demo.parts = [broker, *field_parts, *gateways]

    def keep(part: Part) -> asyncio.Task[None]:
        return demo.go_on(part.keep(demo.options.restart_after_s, demo.say))

    keepers = [keep(broker)]
    following: list[asyncio.Task[None]] = []
    reading: list[asyncio.Task[None]] = []
    try:
        if await _ready(demo, broker, stop):
            keepers += [keep(part) for part in (*field_parts, *gateways)]
            follower = follow(demo.broker_url, demo.follower, acknowledge=CONSUMER)
            following = [demo.go_on(follower)]
            reading = [demo.go_on(_read_pages(demo, name)) for name in STATIONS]
            if demo.stage is not None:
                reading.append(demo.go_on(demo.stage.run(demo.follower, demo.say)))
        yield
        await _cancel(reading)
        # Also one that did not answer before: its gateway may just have come back.
        last = [_read_page(demo, name, LAST_PAGE_S_MAX) for name in STATIONS if following]
        await asyncio.gather(*last)
    finally:
        await _cancel(keepers)
        await _end(demo, gateways, following)
        await _cancel(demo.tasks)


async def _ready(demo: Demo, broker: Part, stop: asyncio.Event) -> bool:
    """Wait for the broker; False if stopped before. Raises DemoError if it does not start."""
    waiting = asyncio.create_task(wait_for_broker(demo.options.mqtt_port))
    stopping = asyncio.create_task(stop.wait())
    try:
        while not waiting.done() and not stopping.done():
            await asyncio.wait({waiting, stopping}, timeout=0.1, return_when="FIRST_COMPLETED")
            demo.check()
            if broker.restarts:
                raise DemoError(f"the broker does not start: {broker.tail() or broker.trouble}")
        if stopping.done():
            return False
        waiting.result()
        return True
    finally:
        await _cancel([waiting, stopping])


async def _end(demo: Demo, gateways: list[Part], following: list[asyncio.Task[None]]) -> None:
    """SIGTERM to the gateways, then to all, at `STOP_S_MAX` SIGKILL; waits until they are gone.

    While the gateways end, the rest goes on: their last records still reach the NOC.
    """
    end_s = time.monotonic() + STOP_S_MAX
    await _ask(gateways, STOP_GATEWAYS_S_MAX)
    await asyncio.sleep(0.1)
    for task in following:
        task.cancel()
    await _ask(demo.parts, end_s - time.monotonic())
    late = [(part, part.process) for part in demo.parts if part.process and part.is_running]
    for part, _ in late:
        part.send(signal.SIGKILL)
    for part, process in late:
        await process.wait()
        demo.say(f"{part.name} (pid {process.pid}) did not end in {STOP_S_MAX:g} s: killed")


async def _ask(parts: list[Part], limit_s: float) -> None:
    """SIGTERM; waits until they are gone, but no longer than `limit_s`."""
    waits = []
    for part in parts:
        if part.process is not None and part.is_running:
            part.send(signal.SIGTERM)
            waits.append(asyncio.create_task(part.process.wait()))
    if waits:
        _, late = await asyncio.wait(waits, timeout=limit_s)
        await _cancel(late)


async def _cancel(tasks: Iterable[asyncio.Task[Any]]) -> None:
    tasks = list(tasks)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _argv(demo: Demo, *arguments: str) -> list[str]:
    base = [sys.executable, "-m", "shorewatch"]
    if arguments == ("broker",):
        port = str(demo.options.mqtt_port)
        state = str(demo.folder / "broker")
        return [*base, "plant", "broker", "--port", port, "--state-dir", state]
    return [*base, *arguments]


def _gateway_part(demo: Demo, name: str) -> Part:
    settings = (f"page.port={demo.page_port(name)}", f"uplink.0.url={demo.broker_url}")
    argv = _argv(demo, "run", str(asset_folder("stations") / f"{name}.toml"))
    argv += ["--state-dir", str(demo.state_dir(name))]
    for setting in settings:
        argv += ["--set", setting]
    return Part(f"{name}/gateway", argv, demo.folder / f"{name}-gateway.log")


def _field_parts(demo: Demo, name: str) -> Iterator[Part]:
    file = str(asset_folder("stations") / f"{name}.toml")
    state = ["--state-dir", str(demo.state_dir(name))]
    for board in demo.stations[name].boards.values():
        for bus in board.bus:
            argv = _argv(demo, "plant", "line", file, board.id, str(bus.uart), *state)
            argv += _played(demo)
            log = demo.folder / f"{name}-{board.id}-line{bus.uart}.log"
            yield Part(f"{name}/{board.id}/line{bus.uart}", argv, log)
        argv = _argv(demo, "plant", "board", file, board.id, *state, *_played(demo))
        yield Part(f"{name}/{board.id}", argv, demo.folder / f"{name}-{board.id}.log")


def _played(demo: Demo) -> list[str]:
    """The world that all parts of the field play."""
    return ["--seed", str(demo.options.seed), *(demo.stage.arguments() if demo.stage else ())]


async def _read_pages(demo: Demo, name: str) -> None:
    """Keep the newest snapshot of a station's page; none while it does not answer."""
    while True:
        await _read_page(demo, name, PAGE_S_MAX)
        await asyncio.sleep(REFRESH_S)


async def _read_page(demo: Demo, name: str, limit_s: float) -> None:
    page = await asyncio.to_thread(_fetch, demo.page_port(name), limit_s)
    if page is None:
        demo.pages.pop(name, None)
        return
    demo.pages[name] = demo.last_pages[name] = page
    demo.answered_s[name] = time.monotonic()
    read = demo.read_devices.setdefault(name, set())
    for device, found in page["devices"].items():
        if any(map(_is_good, found["points"].values())):
            read.add(device)


def _fetch(port: int, limit_s: float) -> dict[str, Any] | None:
    try:
        with _DIRECT.open(f"http://127.0.0.1:{port}/api/v1/status", timeout=limit_s) as reply:
            page: dict[str, Any] = json.load(reply)
            return page
    except (OSError, http.client.HTTPException, ValueError):
        return None


async def _show(demo: Demo, stop: asyncio.Event, console: Console | None) -> None:
    """Until the time is over or somebody stops it: a live table, or nothing without a `console`."""
    seconds = demo.options.seconds
    if seconds is None and demo.stage is not None:
        seconds = demo.stage.lasts_s
    end_s = math.inf if seconds is None else time.monotonic() + seconds
    live = None
    if console is not None:
        live = Live(_screen(demo, console), console=console, auto_refresh=False)
    demo.say.is_printing = live is None
    with live or contextlib.nullcontext():
        rest_s = end_s - time.monotonic()
        while not stop.is_set() and rest_s > 0:
            demo.check()
            if console is not None and live is not None:
                live.update(_screen(demo, console), refresh=True)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), min(REFRESH_S, rest_s))
            rest_s = end_s - time.monotonic()
    demo.check()
    demo.say.is_printing = True


def _addresses(demo: Demo) -> list[str]:
    """Where to look; each fits 60 columns."""
    pages = [(demo.stations[n].file.station.name, demo.page_port(n)) for n in STATIONS]
    found = [f"{name}: http://127.0.0.1:{port}/" for name, port in pages]
    return [*found, f"broker: {demo.broker_url} (topics shorewatch/v1/#)"]


def _screen(demo: Demo, console: Console) -> Group:
    """What fits: the addresses always, then what matters most, and the last messages."""
    head = ["Shorewatch demo, simulated field. Ctrl-C ends it all.", *_addresses(demo)]
    rows = list(_rows(demo))
    rest = console.height - len(head) - 1
    shown = rows[: max(1, rest - MESSAGES_MIN)]
    messages = demo.say.lines[-max(1, rest - len(shown)) :]
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("", no_wrap=True)
    for name in STATIONS:
        table.add_column(demo.stations[name].file.station.name, no_wrap=True)
    for label, cells in shown:
        table.add_row(label, *map(Text, cells))
    tail = Text("\n".join(messages), style="dim", no_wrap=True, overflow="ellipsis")
    return Group(Text("\n".join(head), no_wrap=True, overflow="ellipsis"), table, tail)


def _rows(demo: Demo) -> Iterator[tuple[str, list[str]]]:
    """The table's rows, what matters most first."""

    def row(label: str, cell: Any) -> tuple[str, list[str]]:
        return label, [cell(name) for name in STATIONS]

    pages = demo.pages

    def page(cell: Any) -> Any:
        return lambda name: cell(pages[name]) if name in pages else "-"

    def point(device: str, name: str) -> Any:
        return page(lambda p: _point_text(p["devices"][device]["points"][name]))

    yield row("page", lambda name: _page_text(demo, name))
    yield row("boards up", page(lambda p: _of(p["boards"].values(), lambda b: b["up"])))
    yield row("good/uncertain/bad", page(lambda p: _counts(p["points"])))
    yield row("uplink", page(lambda p: p["uplinks"]["noc"]["state"]))
    yield row("NOC hears", lambda name: _heard_text(demo, name))
    yield row("NOC's records", lambda name: _records_text(demo, name))
    yield row("line voltage", point("pfe", "line_voltage"))
    yield row("line current", point("pfe", "line_current"))
    yield row("mains power", point("mains", "power"))
    yield row("manhole lid", point("manhole", "lid"))
    yield row("water level", point("manhole", "water_level"))
    yield row("room", point("room", "temperature"))
    yield row("records written", page(lambda p: f"{p['outbox']['last']:,}"))
    yield row("acknowledged", page(lambda p: f"{p['uplinks']['noc']['acknowledged']:,}"))


def _of(items: Any, is_true: Any) -> str:
    listed = list(items)
    return f"{sum(map(bool, map(is_true, listed)))} of {len(listed)}"


def _counts(points: dict[str, int]) -> str:
    return f"{points['good']} / {points['uncertain']} / {points['bad']}"


def _point_text(point: dict[str, Any]) -> str:
    if point["quality"] == "good":
        return f"{point['text']} {point['text_unit']}".strip()
    return f"{point['quality']}: {point['reason']}"


def _page_text(demo: Demo, name: str) -> str:
    if name in demo.pages:
        return "answers"
    answered_s = demo.answered_s.get(name)
    if answered_s is None:
        return "no answer yet"
    return f"no answer, {time.monotonic() - answered_s:.0f} s"


def _heard_text(demo: Demo, name: str) -> str:
    """Whether the station lives, as far as the NOC can know, and how old that is."""
    station = demo.followed(name)
    if station is None:
        return "nothing yet"
    now_s = time.monotonic()
    life = demo.follower.life(station, now_s).removeprefix("unknown: ").split(",")[0]
    return f"{life}, {station.silent_s(now_s):.0f} s ago"


def _records_text(demo: Demo, name: str) -> str:
    station = demo.followed(name)
    if station is None or station.received_to is None:
        return "none yet"
    return f"{station.received_to:,}, {station.sequence_gaps or 'none'} missing"


def _report(demo: Demo) -> dict[str, Any]:
    """What was seen: the figures of design section 9, and whether all was read and nothing lost."""
    stations = {name: _station_report(demo, name) for name in STATIONS}
    restarts = {part.name: part.restarts for part in demo.parts if part.restarts}
    ok = all(station["ok"] for station in stations.values())
    broker = {"kind": find_broker(), "url": demo.broker_url}
    played = None if demo.stage is None else demo.stage.report()
    ok = ok and (played is None or bool(played["ok"]))
    return {
        "ok": ok, "stations": stations, "restarts": restarts, "broker": broker, "scenario": played,
    }  # fmt: skip


def _station_report(demo: Demo, name: str) -> dict[str, Any]:
    page = demo.last_pages.get(name)
    followed = demo.followed(name)
    devices = demo.stations[name].devices
    answered = name in demo.pages
    if page is None or followed is None:
        why = "its page never answered" if page is None else "the broker never had its state"
        none = {"page_answered": answered, "devices": len(devices), "devices_up": 0}
        return {"ok": False, "why": why} | none
    unread = demo.unread(name)
    missing = _missing(followed, page["outbox"]["last"])
    faults = [] if answered else [f"its page does not answer; what it said is of {page['at']}"]
    faults += [f"never read: {', '.join(unread)}"] if unread else []
    # In a scenario a device may be without values at the end: the alarms tell of it.
    silent = [
        device
        for device in devices
        if demo.stage is None and device not in unread and not _is_up(page, device)
    ]
    faults += [f"no values at the end: {', '.join(silent)}"] if silent else []
    faults += [f"{missing} records did not reach the NOC"] if missing else []
    faults += [f"{followed.lost} records lost"] if followed.lost else []
    latency = followed.now_latency
    return {
        "ok": not faults,
        "why": "; ".join(faults) or None,
        "page_answered": answered,
        "boards": len(page["boards"]),
        "boards_up": sum(board["up"] for board in page["boards"].values()),
        "devices": len(devices),
        "devices_up": sum(_is_up(page, device) for device in devices),
        "points_good": page["points"]["good"],
        "points_uncertain": page["points"]["uncertain"],
        "points_bad": page["points"]["bad"],
        "not_good": _not_good(page),
        "records_written": page["outbox"]["last"],
        "records_published": page["uplinks"]["noc"]["published"],
        "records_acknowledged": page["uplinks"]["noc"]["acknowledged"],
        "sequence_gaps": followed.sequence_gaps,
        "duplicates": followed.duplicates,
        "latency_p50_ms": _ms(latency.quantile(0.5)),
        "latency_p99_ms": _ms(latency.quantile(0.99)),
    }


def _missing(followed: FollowedStation, written: int) -> int:
    """Records the station says it wrote and the NOC does not have, when all has ended."""
    heard = followed.state.get("last")
    last = max(heard if isinstance(heard, int) else 0, written)
    behind = max(0, last - (followed.received_to or 0))
    return max(behind, followed.sequence_gaps)


def _not_good(page: dict[str, Any]) -> dict[str, str]:
    """Why each point that is not good is not, by device.point."""
    return {
        f"{device}.{name}": point["reason"]
        for device, found in page["devices"].items()
        for name, point in found["points"].items()
        if not _is_good(point)
    }


def _is_up(page: dict[str, Any], device: str) -> bool:
    return any(map(_is_good, page["devices"][device]["points"].values()))


def _is_good(point: dict[str, Any]) -> bool:
    return bool(point["quality"] == "good")


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 1)


def _print_end(report: dict[str, Any]) -> None:
    for name, station in report["stations"].items():
        if station["ok"]:
            text = (
                f"{name}: {station['devices_up']} of {station['devices']} devices up, "
                f"{station['records_written']:,} records written, none lost"
            )
            if station["latency_p50_ms"] is not None:
                text += (
                    f"; a value reaches the NOC {station['latency_p50_ms']} ms after its device "
                    f"was asked (p50), {station['latency_p99_ms']} ms (p99)"
                )
        else:
            text = f"{name}: {station['why']}"
        print(text)
    for text in (report["scenario"] or {}).get("lines", ()):
        print(text)


def _write_report(path: Path, report: dict[str, Any]) -> None:
    try:
        path.write_text(json.dumps(report, indent=2) + "\n", "utf-8")
    except OSError as error:
        raise DemoError(f"the report {path} cannot be written: {error.strerror}") from error


@contextlib.contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    if keep is not None:
        try:
            keep.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            text = f"--keep {keep}: no folder can be made there: {error.strerror}; choose another"
            raise UsageError(text) from error
        yield keep.resolve()
        return
    try:
        folder = Path(tempfile.mkdtemp(prefix="shorewatch-demo-"))
    except OSError as error:
        text = f"no temporary folder can be made: {error.strerror}; name one with --keep"
        raise DemoError(text) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _check_options(options: Options) -> None:
    """Raise UsageError for what makes no sense, naming the option, its value and the rule."""
    seconds, restart_after_s = options.seconds, options.restart_after_s
    if seconds is not None and not 0 < seconds < math.inf:
        rule = "must be a number of seconds above 0; leave it out to run until Ctrl-C"
        raise UsageError(f"--for {seconds:g} {rule}")
    if not RESTART_AFTER_S_MIN <= restart_after_s < math.inf:
        rule = f"must be a number of seconds, {RESTART_AFTER_S_MIN:g} or more; 5 is usual"
        raise UsageError(f"--restart-after {restart_after_s:g} {rule}")
    for option, port, count in _port_options(options):
        if not 1 <= port <= 65_536 - count:
            rule = f"must be 1 to {65_536 - count}; choose one that is free, above 1023"
            raise UsageError(f"{option} {port} {rule}")
    if 0 <= options.mqtt_port - options.page_port < len(STATIONS):
        rule = f"is a port of the pages, which take {len(STATIONS)} from --page-port on"
        raise UsageError(f"--mqtt-port {options.mqtt_port} {rule}; choose another")


def _check_writable(report: Path) -> None:
    try:
        is_new = not report.exists()
        report.open("a").close()
        if is_new:
            report.unlink()
    except OSError as error:
        text = f"--report {report} cannot be written: {error.strerror}; choose another file"
        raise UsageError(text) from error


def _port_options(options: Options) -> list[tuple[str, int, int]]:
    """(option, first port, how many from there on)."""
    return [
        ("--mqtt-port", options.mqtt_port, 1),
        ("--page-port", options.page_port, len(STATIONS)),
    ]


def _need_free_ports(options: Options) -> None:
    wanted = [(o, first + i) for o, first, count in _port_options(options) for i in range(count)]
    for option, port in wanted:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                text = f"port {port} on 127.0.0.1 cannot be had: {error.strerror}"
                text += f"; end what uses it, or choose {option}"
                raise DemoError(text) from error


def _exit_words(code: int) -> str:
    if code < 0:
        known = {number.value: number.name for number in signal.Signals}
        return f"was killed by {known.get(-code, f'signal {-code}')}"
    return f"ended with exit code {code}"
