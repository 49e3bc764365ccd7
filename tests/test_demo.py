"""The whole product: the demo runs, its parts are killed, and nothing is lost or left behind."""

import asyncio
import io
import json
import os
import signal
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from free_ports import free_ports
from programs import need
from rich.console import Console

from shorewatch.assets import asset_folder
from shorewatch.config import load_station
from shorewatch.demo import STATIONS, Demo, Options, Part, Say, _screen
from shorewatch.mqtt.follower import Follower
from shorewatch.mqtt.station import Seen
from shorewatch.mqtt.watch import follow

pytestmark = pytest.mark.timeout(240)


class RunningDemo:
    """A demo in its own process."""

    def __init__(self, process: asyncio.subprocess.Process, folder: Path, port: int) -> None:
        self.process = process
        self.folder = folder
        self.mqtt_port = port
        self.page_ports = {"sumqayit": port + 1, "aktau": port + 2}

    async def page(self, station: str) -> dict[str, Any] | None:
        def fetch() -> dict[str, Any] | None:
            try:
                url = f"http://127.0.0.1:{self.page_ports[station]}/api/v1/status"
                with urllib.request.urlopen(url, timeout=2) as reply:
                    return json.load(reply)
            except (OSError, ValueError):
                return None

        return await asyncio.to_thread(fetch)

    async def until(
        self, is_true: Callable[[dict[str, Any]], bool], station: str
    ) -> dict[str, Any]:
        """Wait for something to be on a station's page; the test's timeout is the limit."""
        while True:
            page = await self.page(station)
            if page is not None and is_true(page):
                return page
            assert self.process.returncode is None, "the demo ended"
            await asyncio.sleep(0.1)

    def children(self, *words: str) -> list[int]:
        """Pids of this demo's processes whose command line has all the words."""
        return [pid for pid, line in processes(self.folder) if all(w in line for w in words)]

    async def end(self, signum: int = signal.SIGINT) -> int:
        self.process.send_signal(signum)
        return await self.process.wait()


def processes(folder: Path) -> list[tuple[int, str]]:
    """(pid, command line) of every process that works in the demo's folder."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            line = (
                (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                if entry.name.isdecimal()
                else ""
            )
            place = str((entry / "cwd").readlink()) if line else ""
        except OSError:
            continue
        if (str(folder) in line or place.startswith(str(folder))) and int(
            entry.name
        ) != os.getpid():
            found.append((int(entry.name), line))
    return found


@asynccontextmanager
async def running_demo(
    folder: Path, *more: str, stdout: int | None = None
) -> AsyncIterator[RunningDemo]:
    port = free_ports(3)
    command = [sys.executable, "-m", "shorewatch", "demo", "--headless", "--keep", str(folder)]
    command += ["--mqtt-port", str(port), "--page-port", str(port + 1), "--restart-after", "4"]
    command += ["--report", str(folder / "report.json"), *more]
    process = await asyncio.create_subprocess_exec(*command, stdout=stdout)
    demo = RunningDemo(process, folder, port)
    try:
        yield demo
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        for pid, _ in processes(folder):
            os.kill(pid, signal.SIGKILL)


def all_good(page: dict[str, Any]) -> bool:
    return page["points"]["good"] == sum(page["points"].values())


def all_acknowledged(page: dict[str, Any]) -> bool:
    return page["uplinks"]["noc"]["acknowledged"] >= 5


async def test_the_demo_runs_and_leaves_nothing_behind(tmp_path):
    """Ctrl-C ends every process, the report says that all was read and nothing lost."""
    async with running_demo(tmp_path) as demo:
        for station in demo.page_ports:
            await demo.until(all_good, station)
            await demo.until(all_acknowledged, station)
        assert await demo.end() == 0
        assert processes(tmp_path) == []

    report = json.loads((tmp_path / "report.json").read_text())
    assert report["ok"]
    for station in report["stations"].values():
        assert station["boards_up"] == station["boards"] == 3
        assert station["devices_up"] == station["devices"] == 12
        assert station["not_good"] == {}
        assert station["sequence_gaps"] == 0
        assert station["records_written"] >= station["records_acknowledged"] > 0
    assert not list(tmp_path.rglob("*.tty")) and not list(tmp_path.rglob("*.link"))


SCENARIO = """
id = "door"
name = "A door"
story = "S"
length_s = 60

[[event]]
at_s = 10
say = "Somebody opens the manhole"
station = "sumqayit"
lid_open = true

[[expect]]
station = "sumqayit"
alarms = ["manhole-lid-open"]
hidden = ["manhole-lid-switch"]

[[expect]]
station = "aktau"
never = ["manhole-*"]
"""


async def test_a_scenario_is_played_told_and_judged(tmp_path):
    """Devices and contacts follow it, its events and alarms are said, and it ends by itself."""
    path = tmp_path / "door.toml"
    path.write_text(SCENARIO)
    more = ("--scenario", str(path), "--speed", "3")
    async with running_demo(tmp_path, *more, stdout=asyncio.subprocess.PIPE) as demo:
        said, _ = await demo.process.communicate()
        assert demo.process.returncode == 0, said.decode()

    text = said.decode()
    assert "scenario door: A door, 0:01:00 from" in text and "3 times as fast" in text
    assert text.count("0:00:10  Somebody opens the manhole") == 2  # beforehand, and then
    assert "sumqayit: ALARM" in text
    assert "scenario door: all alarms came as they were to" in text
    played = json.loads((tmp_path / "report.json").read_text())["scenario"]
    assert played["ok"] and played["stations"]["sumqayit"]["hidden"] == ["manhole-lid-switch"]
    assert played["stations"]["aktau"]["came"] == {}


async def test_a_scenario_that_was_stopped_is_not_judged(tmp_path):
    """Ended before its end, it is no pass: the last line says how far it came."""
    path = tmp_path / "door.toml"
    path.write_text(SCENARIO)
    more = ("--scenario", str(path), "--for", "12")
    async with running_demo(tmp_path, *more, stdout=asyncio.subprocess.PIPE) as demo:
        said, _ = await demo.process.communicate()
        assert demo.process.returncode == 1
    assert "ended at 0:00:0" in said.decode() and "not judged" in said.decode()


async def test_a_killed_demo_takes_its_children_with_it(tmp_path):
    """kill -9 of the demo itself leaves no process running."""
    async with running_demo(tmp_path) as demo:
        await demo.until(all_good, "aktau")
        assert len(processes(tmp_path)) > 10
        await demo.end(signal.SIGKILL)
        while processes(tmp_path):
            await asyncio.sleep(0.1)


@asynccontextmanager
async def followed(demo: RunningDemo) -> AsyncIterator[Follower]:
    """A consumer of ours, listening beside the demo's own."""
    follower = Follower()
    task = asyncio.create_task(follow(f"mqtt://127.0.0.1:{demo.mqtt_port}", follower))
    try:
        yield follower
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def seen(follower: Follower, device: str, point: str) -> Seen:
    """What that consumer may show of one of Sumqayit's points now."""
    station = follower.stations["shorewatch/v1/trans-caspian/sumqayit"]
    return station.look(device, time.monotonic())[point]


KILLS = {
    "a board's VM": (("micropython",), None, None),
    "a board": (
        ("plant board", "sumqayit", "pfe-room"),
        lambda page: (
            not page["boards"]["pfe-room"]["up"]
            and page["devices"]["pfe"]["points"]["line_voltage"]["reason"] == "link-down"
            and page["devices"]["room"]["points"]["temperature"]["quality"] == "good"
        ),
        ("pfe", "line_voltage", "link-down"),
    ),
    "a line": (
        ("plant line", "sumqayit", "beach 0"),
        lambda page: (
            page["devices"]["manhole"]["points"]["water_level"]["reason"] == "device-timeout"
            and page["devices"]["room"]["points"]["temperature"]["quality"] == "good"
        ),
        ("manhole", "water_level", "device-timeout"),
    ),
    "a gateway": (("shorewatch run", "sumqayit"), None, ("pfe", "line_voltage", "offline")),
    "the broker": (
        ("plant broker",),
        lambda page: page["uplinks"]["noc"]["state"] != "online" and all_good(page),
        None,
    ),
}


@pytest.mark.parametrize("part", KILLS)
async def test_killing_a_part_is_seen_and_loses_nothing(tmp_path, part):
    """The others go on and say what is wrong; after the restart no record is missing."""
    words, is_seen, in_now = KILLS[part]
    async with running_demo(tmp_path) as demo, followed(demo) as follower:
        for station in demo.page_ports:
            await demo.until(all_good, station)
            await demo.until(all_acknowledged, station)
        (victim, *_) = demo.children(*words)
        os.kill(victim, signal.SIGKILL)
        if is_seen is not None:
            await demo.until(is_seen, "sumqayit")
        if in_now is not None:
            device, point, reason = in_now
            while seen(follower, device, point).reason != reason:
                await asyncio.sleep(0.1)
            assert seen(follower, device, point).value is None
        for station in demo.page_ports:
            last = (await demo.until(all_good, station))["outbox"]["last"]
            await demo.until(lambda p, n=last: p["uplinks"]["noc"]["acknowledged"] > n, station)
        assert await demo.end() == 0

    report = json.loads((tmp_path / "report.json").read_text())
    assert report["ok"], report
    assert all(station["sequence_gaps"] == 0 for station in report["stations"].values())


async def test_a_client_nobody_here_wrote_sees_both_stations(tmp_path):
    """mosquitto_sub gets state, birth, now and journal of both stations."""
    subscribe = need("mosquitto_sub")
    async with running_demo(tmp_path) as demo:
        await demo.until(all_good, "aktau")
        process = await asyncio.create_subprocess_exec(
            *(subscribe, "-p", str(demo.mqtt_port), "-V", "5", "-t", "shorewatch/v1/#", "-v"),
            stdout=asyncio.subprocess.PIPE,
        )
        wanted = {
            f"shorewatch/v1/trans-caspian/{station}/{topic}"
            for station in demo.page_ports
            for topic in ("state", "birth/pfe", "now/manhole", "journal")
        }
        assert process.stdout is not None
        while wanted:
            topic, payload = (await process.stdout.readline()).split(b" ", 1)
            if payload != b"(null)\n":  # a topic that was emptied: an alarm is over
                assert isinstance(json.loads(payload), dict)
                wanted.discard(topic.decode())
        process.terminate()
        await process.communicate()


async def test_a_demo_that_runs_for_a_time_removes_its_folder(tmp_path, monkeypatch):
    """Without --keep the temporary folder is gone at the end."""
    port = free_ports(3)
    command = [sys.executable, "-m", "shorewatch", "demo", "--headless", "--for", "6"]
    command += ["--mqtt-port", str(port), "--page-port", str(port + 1)]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    process = await asyncio.create_subprocess_exec(*command, env=environment)

    assert await process.wait() in (0, 1)
    assert list(tmp_path.iterdir()) == []


async def test_stopped_parts_do_not_hold_up_the_end(tmp_path):
    """With gateway and broker stopped Ctrl-C soon ends all; it says who was killed, why not ok."""
    async with running_demo(tmp_path, stdout=asyncio.subprocess.PIPE) as demo:
        for station in demo.page_ports:
            await demo.until(all_good, station)
            await demo.until(all_acknowledged, station)
        (gateway,) = demo.children("shorewatch run", "aktau")
        (broker,) = demo.children("plant broker")
        os.kill(gateway, signal.SIGSTOP)
        os.kill(broker, signal.SIGSTOP)
        start_s = time.monotonic()
        assert await demo.end() == 1
        assert time.monotonic() - start_s < 10
        assert processes(tmp_path) == []
        said = (await demo.process.stdout.read()).decode()

    assert f"aktau/gateway (pid {gateway}) did not end in 2 s: killed" in said
    assert f"broker (pid {broker}) did not end in 2 s: killed" in said
    report = json.loads((tmp_path / "report.json").read_text())
    assert not report["ok"] and not report["stations"]["aktau"]["ok"]
    assert report["stations"]["aktau"]["page_answered"] is False
    assert "its page does not answer" in report["stations"]["aktau"]["why"]
    assert report["stations"]["sumqayit"]["page_answered"] is True


async def test_a_demo_interrupted_before_it_is_ready_is_exit_code_2(tmp_path):
    """Ctrl-C before every device was read proves nothing: neither good nor bad."""
    async with running_demo(tmp_path, stdout=asyncio.subprocess.PIPE) as demo:
        await demo.process.stdout.readline()
        assert await demo.end() == 2
        assert processes(tmp_path) == []


def demo_of(folder: Path) -> Demo:
    options = Options(
        headless=False, seconds=None, report=None, mqtt_port=18830, page_port=8101,
        restart_after_s=5, seed=1, keep=None,
    )  # fmt: skip
    stations = {name: load_station(asset_folder("stations") / f"{name}.toml") for name in STATIONS}
    return Demo(options, folder, stations, Say())


async def test_a_part_that_cannot_be_started_is_said_and_tried_again(tmp_path):
    """A program or folder that is gone ends neither the part nor the demo."""
    said: list[str] = []
    part = Part("line", ["/nowhere/python"], tmp_path / "line.log")
    keeping = asyncio.create_task(part.keep(0.01, said.append))
    while part.restarts < 2:
        assert not keeping.done()
        await asyncio.sleep(0.01)
    keeping.cancel()

    assert "line cannot be started" in said[0] and "/nowhere/python" in said[0]


async def test_a_bug_in_the_demo_itself_is_not_hidden(tmp_path):
    """What ends one of the demo's own tasks comes to light."""

    async def broken() -> None:
        raise ZeroDivisionError

    demo = demo_of(tmp_path)
    demo.go_on(broken())
    demo.check()
    await asyncio.sleep(0)
    with pytest.raises(ZeroDivisionError):
        demo.check()


@pytest.mark.parametrize(("width", "height"), [(60, 15), (80, 24), (200, 50)])
def test_the_screen_shows_addresses_and_states_on_any_terminal(tmp_path, width, height):
    """Where to look, what is up and what happened last are whole, also on a small screen."""
    demo = demo_of(tmp_path)
    demo.say.is_printing = False
    demo.say("a line died")
    console = Console(file=io.StringIO(), width=width, height=height)
    console.print(_screen(demo, console))

    text = console.file.getvalue()
    assert len(text.splitlines()) <= height
    for words in ("http://127.0.0.1:8101/", "http://127.0.0.1:8102/", "mqtt://127.0.0.1:18830",
                  "Ctrl-C", "boards up", "NOC hears", "a line died"):  # fmt: skip
        assert words in text
