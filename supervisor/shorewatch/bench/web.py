"""`shorewatch bench web`: what the page costs a slow line, and what its viewers cost the gateway.

    first_load_kb          what comes over the line until the overview shows its values
    first_load_requests    how many requests that takes
    usable_s, usable_tls_s until then, at 1.6 Mbit/s and 150 ms (Chromium's own throttling)
    viewers_cpu_share      share of a core that 100 viewers of 200 changing points take
    viewers_mb             and how much more memory
    viewer_kb_s            what goes to each of them

The page is a real one (page.py) in a process of its own. Requests and bytes, with all headers, are
counted on their way, by a relay between browser and page, whichever part of the browser asked;
nothing is in its cache. The median of LOADS.
"""

import asyncio
import contextlib
import os
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import which
from typing import Final

from shorewatch.assets import asset_folder
from shorewatch.bench.browser import Page, opened
from shorewatch.bench.figures import Figure, Result
from shorewatch.bench.machine import load, ticks, versions
from shorewatch.errors import DemoError

LOADS: Final = 5
RATE_BYTES_S: Final = 1_600_000 / 8
LATENCY_MS: Final = 150
VIEWERS: Final = 100
VIEW_S: Final = 10.0
DEVICES, POINTS = 20, 10
START_S_MAX: Final = 20.0
LOAD_S_MAX: Final = 30.0
LIMITS: Final = {
    "first_load_kb": ("kB", 60.0),
    "first_load_requests": ("requests", 10.0),
    "usable_s": ("s", 1.0),
    "usable_tls_s": ("s", 1.5),
    "viewers_cpu_share": ("of a core", 0.1),
    "viewers_mb": ("MB", 80.0),
    "viewer_kb_s": ("kB/s", 20.0),
}
# Set when the overview shows a value of an area: then somebody can work with it.
_SEEN = """
new MutationObserver((_, observer) => {
  if (!document.querySelector("#areas td.value")) return;
  observer.disconnect();
  requestAnimationFrame(() => { window.usableMs = performance.now(); });
}).observe(document, { childList: true, subtree: true });
"""


@dataclass(frozen=True, slots=True)
class Load:
    """One first load of the overview."""

    kb: float
    requests: int  # 0 where TLS hides them
    usable_s: float


@dataclass(slots=True)
class Passed:
    """What went through a relay: requests one way, bytes the other."""

    requests: int = 0
    down_bytes: int = 0


def run_web(say: Callable[[str], None], first_port: int, *, loads: int = LOADS) -> Result:
    """Measure; raises DemoError where there is no Chromium."""
    chromium = which("chromium") or which("chromium-browser") or which("google-chrome")
    if chromium is None:
        raise DemoError("bench web needs Chromium, and there is none on PATH: install it")
    before = ticks()
    with tempfile.TemporaryDirectory(prefix="shorewatch-bench-") as folder:
        found = asyncio.run(_measured(say, Path(folder), chromium, first_port, loads))
    figures = {
        name: Figure(round(found[name], 4), unit, limit)
        for name, (unit, limit) in LIMITS.items()
        if name in found
    }
    known = versions() | {"browser": _version(chromium)}
    return Result(figures, known, load(before))


async def _measured(
    say: Callable[[str], None], folder: Path, chromium: str, port: int, loads: int
) -> dict[str, float]:
    for name in ("plain", "tls", "many"):
        (folder / name).mkdir()
    shipped = asset_folder("stations") / "sumqayit.toml"
    say(f"{loads} first loads at 1.6 Mbit/s and 150 ms")
    plain = await _loads(folder / "plain", chromium, shipped, port, loads, ())
    found = {
        "first_load_kb": statistics.median(one.kb for one in plain),
        "first_load_requests": statistics.median(one.requests for one in plain),
        "usable_s": statistics.median(one.usable_s for one in plain),
    }
    if files := _certificate(folder):
        say("the same over TLS")
        secret = await _loads(folder / "tls", chromium, shipped, port + 2, loads, files)
        found["usable_tls_s"] = statistics.median(one.usable_s for one in secret)
    say(f"{VIEWERS} viewers of {DEVICES * POINTS} changing points, {VIEW_S:.0f} s")
    found |= await _viewed(folder / "many", port + 4)
    return found


async def _loads(
    folder: Path, chromium: str, station: Path, port: int, loads: int, files: tuple[Path, ...]
) -> list[Load]:
    scheme = "https" if files else "http"
    found = []
    async with _page(folder, station, port, files), _relayed(port + 1, port) as passed:
        for number in range(loads):
            profile = folder / f"browser{number}"
            async with opened(chromium, "about:blank", profile) as browser:
                await _throttle(browser)
                passed.requests = passed.down_bytes = 0
                found.append(await _load(browser, f"{scheme}://127.0.0.1:{port + 1}/", passed))
    return found


async def _throttle(browser: Page) -> None:
    await browser.call("Network.enable")
    await browser.call("Network.setCacheDisabled", cacheDisabled=True)
    await browser.call("Security.setIgnoreCertificateErrors", ignore=True)
    await browser.call(
        "Network.emulateNetworkConditions",
        offline=False, latency=LATENCY_MS,
        downloadThroughput=RATE_BYTES_S, uploadThroughput=RATE_BYTES_S,
    )  # fmt: skip
    await browser.call("Page.addScriptToEvaluateOnNewDocument", source=_SEEN)


async def _load(browser: Page, url: str, passed: Passed) -> Load:
    await browser.call("Page.navigate", url=url)
    async with asyncio.timeout(LOAD_S_MAX):
        await browser.until("window.usableMs > 0")
    kb, requests = passed.down_bytes / 1000, passed.requests
    usable_ms = await browser.value("window.usableMs")
    return Load(kb, requests, float(usable_ms) / 1000)


async def _viewed(folder: Path, port: int) -> dict[str, float]:
    """What viewers cost beyond a page that nobody looks at."""
    async with _page(folder, _many(folder), port, ()) as pid, asyncio.TaskGroup() as tasks:
        quiet_s, quiet_mb = await _cost(pid)
        took: list[int] = []
        viewers = [tasks.create_task(_view(port, took)) for _ in range(VIEWERS)]
        await asyncio.sleep(2)
        took.clear()
        busy_s, busy_mb = await _cost(pid)
        kb_s = sum(took) / VIEWERS / VIEW_S / 1000
        for viewer in viewers:
            viewer.cancel()
    return {
        "viewers_cpu_share": max(0.0, busy_s - quiet_s) / VIEW_S,
        "viewers_mb": max(0.0, busy_mb - quiet_mb),
        "viewer_kb_s": kb_s,
    }


async def _cost(pid: int) -> tuple[float, float]:
    """Processor time over `VIEW_S`, and the memory at its end."""
    before_s = _cpu_s(pid)
    await asyncio.sleep(VIEW_S)
    return _cpu_s(pid) - before_s, _mb(pid)


def _mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def _view(port: int, took: list[int]) -> None:
    """One viewer: takes the stream as a browser does; `took` grows by what comes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /api/v1/stream HTTP/1.1\r\nhost: 127.0.0.1\r\naccept-encoding: gzip\r\n\r\n")
    try:
        if b" 200 " not in (head := await reader.readline()):
            raise DemoError(f"the page refuses a viewer: {head.decode()!r}")
        while data := await reader.read(65_536):
            took.append(len(data))
        raise DemoError("the page ended a viewer's stream: look at its log")
    finally:
        writer.close()


@asynccontextmanager
async def _page(
    folder: Path, station: Path, port: int, files: tuple[Path, ...]
) -> AsyncIterator[int]:
    """A page's process; its id."""
    words = ["-m", "shorewatch.bench.page", str(folder), str(station), str(port), *map(str, files)]
    process = await asyncio.create_subprocess_exec(sys.executable, *words)
    try:
        async with asyncio.timeout(START_S_MAX):
            while not await _answers(port):
                if process.returncode is not None:
                    raise DemoError(f"the page of {station} does not start; see above")
                await asyncio.sleep(0.1)
        yield process.pid
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        await process.wait()


async def _answers(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


@asynccontextmanager
async def _relayed(port: int, to_port: int) -> AsyncIterator[Passed]:
    """Pass connections on, and count."""
    passed = Passed()
    talks: set[asyncio.Task[None]] = set()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", to_port)

        def ask(data: bytes) -> None:
            passed.requests += data.count(b" HTTP/1.1\r\n")

        def answer(data: bytes) -> None:
            passed.down_bytes += len(data)

        talk = asyncio.gather(_pump(reader, far_writer, ask), _pump(far_reader, writer, answer))
        with contextlib.suppress(OSError):
            await talk

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talks.add(asyncio.create_task(relay(reader, writer)))

    server = await asyncio.start_server(accept, "127.0.0.1", port)
    try:
        yield passed
    finally:
        server.close()
        for talk in talks:
            talk.cancel()
        await asyncio.gather(*talks, return_exceptions=True)


async def _pump(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, note: Callable[[bytes], None]
) -> None:
    try:
        while data := await reader.read(65_536):
            note(data)
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()


def _certificate(folder: Path) -> tuple[Path, ...]:
    """A certificate of this run's own and its key; none without openssl."""
    program = which("openssl")
    if program is None:
        return ()
    cert, key = folder / "cert.pem", folder / "key.pem"
    words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=bench"
    command = [program, *words.split(), "-keyout", str(key), "-out", str(cert)]
    subprocess.run(command, check=True, capture_output=True)
    return cert, key


def _many(folder: Path) -> Path:
    """A station of `DEVICES` times `POINTS` points."""
    profiles = folder / "profiles"
    profiles.mkdir()
    (profiles / "bench-page.toml").write_text("\n".join(_profile()), "utf-8")
    path = folder / "many.toml"
    path.write_text("\n".join(_station()), "utf-8")
    return path


def _profile() -> Iterator[str]:
    yield 'id = "bench-page"\nname = "Bench device"\nsource = "none: of the benchmark"'
    for point in range(POINTS):
        yield f'[[point]]\nid = "p{point}"\nname = "Point {point}"\ntable = "input"'
        yield f'type = "u16"\nunit = "V"\naddress = {point}\nperiod_s = 1'


def _station() -> Iterator[str]:
    yield '[station]\nid = "many"\nname = "Many"\ncable = "bench"\ncable_name = "Bench"'
    for device in range(DEVICES):
        yield f'[[direct]]\nid = "line{device}"\ntcp = "192.0.2.{device + 1}:502"'
        yield f'[[direct.device]]\nid = "d{device}"\nname = "Device {device}"'
        yield 'profile = "bench-page"\nunit_id = 1'


def _version(chromium: str) -> str:
    done = subprocess.run([chromium, "--version"], capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"
