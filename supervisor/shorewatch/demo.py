"""`shorewatch demo`: two stations at work on one machine, each part a process as in production.

    broker · for each station: a plant process a line, a virtual board a board, `shorewatch run`
    and, in this process, a NOC consumer that follows both stations and acknowledges their journals

A part that dies is started again after a while, so that one can watch what the others say about it.
Everything lives in one temporary folder and listens on 127.0.0.1; at the end nothing is left.
"""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
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
from shorewatch.errors import DemoError
from shorewatch.model import utc_now
from shorewatch.mqtt.broker import find_broker, wait_for_broker
from shorewatch.mqtt.follower import FollowedStation, Follower
from shorewatch.mqtt.watch import follow
from shorewatch.plant.virtual_board import find_vm
from shorewatch.process import die_with

STATIONS = ("sumqayit", "aktau")
CONSUMER = "noc"
STOP_STATIONS_S = 1.4
STOP_REST_S = 0.8
REFRESH_S = 0.5
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


@dataclass(slots=True)
class Part:
    """One child process, started again when it dies."""

    name: str
    argv: list[str]
    log: Path
    process: asyncio.subprocess.Process | None = None
    restarts: int = 0
    last_exit: int | None = None

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
        """Start it, and again whenever it ends, until cancelled."""
        while True:
            await self.start()
            assert self.process is not None
            self.last_exit = await self.process.wait()
            self.restarts += 1
            why = _exit_words(self.last_exit)
            say(
                f"{self.name} (pid {self.process.pid}) {why}; starts again in {restart_after_s:g} s"
            )
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
    """What happens, for a headless run on stdout, for a live one below the table."""

    def __init__(self, *, is_headless: bool) -> None:
        self.lines: list[str] = []
        self._is_headless = is_headless

    def __call__(self, text: str) -> None:
        line = f"{utc_now():%H:%M:%S} {text}"
        self.lines = [*self.lines[-7:], line]
        if self._is_headless:
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
    pages: dict[str, dict[str, Any]] = field(default_factory=dict)
    last_pages: dict[str, dict[str, Any]] = field(default_factory=dict)
    read_devices: dict[str, set[str]] = field(default_factory=dict)

    @property
    def broker_url(self) -> str:
        return f"mqtt://127.0.0.1:{self.options.mqtt_port}"

    def followed(self, station_id: str) -> FollowedStation | None:
        return self.follower.stations.get(self.stations[station_id].prefix)

    def page_port(self, station_id: str) -> int:
        return self.options.page_port + STATIONS.index(station_id)

    def state_dir(self, station_id: str) -> Path:
        return self.folder / station_id


async def run_demo(options: Options) -> bool:
    """Run the demo; True if every device was read and no record was lost.

    Raises DemoError, before anything is started, for a port in use or a missing program.
    """
    find_vm()
    find_broker()
    _need_free_ports(options)
    say = Say(is_headless=options.headless)
    with _folder(options.keep) as folder:
        stations_folder = asset_folder("stations")
        stations = {name: load_station(stations_folder / f"{name}.toml") for name in STATIONS}
        demo = Demo(options, folder, stations, say)
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for signum in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(signum, stop.set)
        for name in STATIONS:
            say(f"{stations[name].file.station.name}: http://127.0.0.1:{demo.page_port(name)}/")
        say(f"broker: {demo.broker_url} (topics shorewatch/v1/#)")
        async with _running(demo, stop):
            await _show(demo, stop)
        report = _report(demo)
        if options.report is not None:
            options.report.write_text(json.dumps(report, indent=2) + "\n")
        _print_end(report, Console())
        return bool(report["ok"])


@contextlib.asynccontextmanager
async def _running(demo: Demo, stop: asyncio.Event) -> AsyncIterator[None]:
    """Start all parts; end them in an order in which nothing is lost."""
    broker = Part("broker", _argv(demo, "broker"), demo.folder / "broker.log")
    stations = [_station_part(demo, name) for name in STATIONS]
    field_parts = [part for name in STATIONS for part in _field_parts(demo, name)]
    demo.parts = [broker, *field_parts, *stations]
    keepers: dict[str, asyncio.Task[None]] = {}

    def keep(part: Part) -> None:
        keepers[part.name] = asyncio.create_task(
            part.keep(demo.options.restart_after_s, demo.say), name=part.name
        )

    following: list[asyncio.Task[Any]] = []
    try:
        keep(broker)
        await _ready(demo, broker, stop)
        for part in (*field_parts, *stations):
            keep(part)
        follower = follow(demo.broker_url, demo.follower, acknowledge=CONSUMER)
        following = [
            asyncio.create_task(follower, name="follower"),
            asyncio.create_task(_read_pages(demo), name="pages"),
        ]
        yield
        await _read_pages_once(demo)
    finally:
        await _end(stations, keepers, STOP_STATIONS_S)
        await asyncio.sleep(0.1)
        for task in following:
            task.cancel()
        await asyncio.gather(*following, return_exceptions=True)
        await _end([*field_parts, broker], keepers, STOP_REST_S)


async def _ready(demo: Demo, broker: Part, stop: asyncio.Event) -> None:
    """Wait for the broker; its end, or a stop, end the waiting."""
    waiting = asyncio.create_task(wait_for_broker(demo.options.mqtt_port))
    stopping = asyncio.create_task(stop.wait())
    try:
        while not waiting.done() and not stopping.done():
            await asyncio.wait({waiting, stopping}, timeout=0.1, return_when="FIRST_COMPLETED")
            if broker.restarts:
                raise DemoError(f"the broker does not start: {broker.tail()}")
        if waiting.done():
            waiting.result()
    finally:
        for task in (waiting, stopping):
            task.cancel()
        await asyncio.gather(waiting, stopping, return_exceptions=True)


async def _end(parts: list[Part], keepers: dict[str, asyncio.Task[None]], limit_s: float) -> None:
    """SIGTERM, then after `limit_s` SIGKILL; waits until they are gone."""
    tasks = [keepers[part.name] for part in parts if part.name in keepers]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    running = [part.process for part in parts if part.process is not None and part.is_running]
    for part in parts:
        part.send(signal.SIGTERM)
    waits = [asyncio.create_task(process.wait()) for process in running]
    if waits:
        await asyncio.wait(waits, timeout=limit_s)
    for part in parts:
        part.send(signal.SIGKILL)
    await asyncio.gather(*waits)


def _argv(demo: Demo, *arguments: str) -> list[str]:
    base = [sys.executable, "-m", "shorewatch"]
    if arguments == ("broker",):
        port = str(demo.options.mqtt_port)
        state = str(demo.folder / "broker")
        return [*base, "plant", "broker", "--port", port, "--state-dir", state]
    return [*base, *arguments]


def _station_part(demo: Demo, name: str) -> Part:
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
            argv += ["--seed", str(demo.options.seed)]
            log = demo.folder / f"{name}-{board.id}-line{bus.uart}.log"
            yield Part(f"{name}/{board.id}/line{bus.uart}", argv, log)
        argv = _argv(demo, "plant", "board", file, board.id, *state)
        yield Part(f"{name}/{board.id}", argv, demo.folder / f"{name}-{board.id}.log")


async def _read_pages(demo: Demo) -> None:
    """Keep the newest snapshot of each station's page; none while it does not answer."""
    while True:
        await _read_pages_once(demo)
        await asyncio.sleep(REFRESH_S)


async def _read_pages_once(demo: Demo) -> None:
    pages = await asyncio.gather(
        *(asyncio.to_thread(_fetch, demo.page_port(name)) for name in STATIONS)
    )
    for name, page in zip(STATIONS, pages, strict=True):
        if page is None:
            demo.pages.pop(name, None)
        else:
            demo.pages[name] = demo.last_pages[name] = page
            _note_read(demo.read_devices.setdefault(name, set()), page)


def _note_read(read: set[str], page: dict[str, Any]) -> None:
    for device, found in page["devices"].items():
        if any(map(_is_good, found["points"].values())):
            read.add(device)


def _fetch(port: int) -> dict[str, Any] | None:
    try:
        with _DIRECT.open(f"http://127.0.0.1:{port}/api/status", timeout=1) as reply:
            page: dict[str, Any] = json.load(reply)
            return page
    except (OSError, urllib.error.URLError, ValueError):
        return None


async def _show(demo: Demo, stop: asyncio.Event) -> None:
    """Until the time is over or somebody stops it: a live table, or nothing."""
    seconds = demo.options.seconds
    end_s = None if seconds is None else time.monotonic() + seconds
    live = None
    if not demo.options.headless:
        live = Live(_screen(demo), console=Console(), auto_refresh=False, screen=False)
    with live or contextlib.nullcontext():
        while not stop.is_set() and (end_s is None or time.monotonic() < end_s):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), REFRESH_S)
            if live is not None:
                live.update(_screen(demo), refresh=True)


def _screen(demo: Demo) -> Group:
    table = Table(title="Shorewatch demo: Trans-Caspian cable, simulated field", expand=False)
    table.add_column("")
    for name in STATIONS:
        table.add_column(demo.stations[name].file.station.name, justify="right")
    for label, cells in _rows(demo):
        table.add_row(label, *cells)
    footer = "\n".join(demo.say.lines)
    return Group(table, Text(footer, style="dim"), Text("Ctrl-C ends it all", style="dim"))


def _rows(demo: Demo) -> Iterator[tuple[str, list[str]]]:
    def row(label: str, cell: Any) -> tuple[str, list[str]]:
        return label, [cell(name) for name in STATIONS]

    pages = demo.pages

    def page(cell: Any) -> Any:
        return lambda name: cell(pages[name]) if name in pages else "no page"

    def point(device: str, name: str) -> Any:
        return page(lambda p: _point_text(p["devices"][device]["points"][name]))

    yield row("page", lambda name: f"http://127.0.0.1:{demo.page_port(name)}/")
    yield row("boards up", page(lambda p: _of(p["boards"].values(), lambda b: b["up"])))
    yield row("points good / uncertain / bad", page(lambda p: _counts(p["points"])))
    yield row("line voltage", point("pfe", "line_voltage"))
    yield row("line current", point("pfe", "line_current"))
    yield row("mains power", point("mains", "power"))
    yield row("manhole lid", point("manhole", "lid"))
    yield row("water level", point("manhole", "water_level"))
    yield row("room", point("room", "temperature"))
    yield row("uplink", page(lambda p: p["uplinks"]["noc"]["state"]))
    yield row("records written", page(lambda p: f"{p['outbox']['last']:,}"))
    yield row("records acknowledged", page(lambda p: f"{p['uplinks']['noc']['acknowledged']:,}"))
    yield row("seen by the NOC", lambda name: _noc_text(demo, name))


def _of(items: Any, is_true: Any) -> str:
    listed = list(items)
    return f"{sum(map(bool, map(is_true, listed)))} of {len(listed)}"


def _counts(points: dict[str, int]) -> str:
    return f"{points['good']} / {points['uncertain']} / {points['bad']}"


def _point_text(point: dict[str, Any]) -> str:
    if point["quality"] == "good":
        return f"{point['text']} {point['unit']}".strip()
    return f"{point['quality']}: {point['reason']}"


def _noc_text(demo: Demo, name: str) -> str:
    station = demo.followed(name)
    if station is None or station.received_to is None:
        return "nothing yet"
    word = "online" if station.is_online else "offline"
    p50 = station.journal_latency.quantile(0.5)
    late = "" if p50 is None else f", {p50 * 1000:.0f} ms old"
    return f"{word}, {station.received_to:,} records, {station.sequence_gaps} missing{late}"


def _report(demo: Demo) -> dict[str, Any]:
    """What was seen: the figures of design section 9, and whether all was read and nothing lost."""
    stations = {name: _station_report(demo, name) for name in STATIONS}
    restarts = {part.name: part.restarts for part in demo.parts if part.restarts}
    ok = all(station["ok"] for station in stations.values())
    broker = {"kind": find_broker(), "url": demo.broker_url}
    return {"ok": ok, "stations": stations, "restarts": restarts, "broker": broker}


def _station_report(demo: Demo, name: str) -> dict[str, Any]:
    page = demo.last_pages.get(name)
    followed = demo.followed(name)
    devices = demo.stations[name].devices
    if page is None or followed is None:
        why = "its page never answered" if page is None else "the broker never had its state"
        return {"ok": False, "why": why, "devices": len(devices), "devices_up": 0}
    unread = sorted(devices.keys() - demo.read_devices.get(name, set()))
    missing = _missing(followed, page["outbox"]["last"])
    faults = [f"never read: {', '.join(unread)}"] if unread else []
    faults += [f"{missing} records did not reach the NOC"] if missing else []
    faults += [f"{followed.lost} records lost"] if followed.lost else []
    latency = followed.now_latency
    up = [d for d in page["devices"].values() if any(map(_is_good, d["points"].values()))]
    return {
        "ok": not faults,
        "why": "; ".join(faults) or None,
        "boards": len(page["boards"]),
        "boards_up": sum(board["up"] for board in page["boards"].values()),
        "devices": len(devices),
        "devices_up": len(up),
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


def _is_good(point: dict[str, Any]) -> bool:
    return bool(point["quality"] == "good")


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 1)


def _print_end(report: dict[str, Any], console: Console) -> None:
    for name, station in report["stations"].items():
        if station["ok"]:
            text = (
                f"{name}: {station['devices_up']} of {station['devices']} devices up, "
                f"{station['records_written']:,} records written, none lost; a value reaches the "
                f"NOC {station['latency_p50_ms']} ms after its device was asked (p50), "
                f"{station['latency_p99_ms']} ms (p99)"
            )
        else:
            text = f"{name}: {station['why']}"
        console.print(text, highlight=False, soft_wrap=True)


@contextlib.contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        yield keep.resolve()
        return
    folder = Path(tempfile.mkdtemp(prefix="shorewatch-demo-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _need_free_ports(options: Options) -> None:
    wanted = [("--mqtt-port", options.mqtt_port)]
    wanted += [("--page-port", options.page_port + i) for i in range(len(STATIONS))]
    for option, port in wanted:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                text = f"port {port} on 127.0.0.1 is in use; end what uses it, or choose {option}"
                raise DemoError(text) from error


def _exit_words(code: int) -> str:
    if code < 0:
        known = {number.value: number.name for number in signal.Signals}
        return f"was killed by {known.get(-code, f'signal {-code}')}"
    return f"ended with exit code {code}"
