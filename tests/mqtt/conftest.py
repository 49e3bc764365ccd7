"""Real brokers in processes of their own, a station to publish, and patience."""

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fake_alarms import FakeAlarms
from free_ports import free_port
from hearing import Noc
from programs import need

from shorewatch.assets import asset_folder
from shorewatch.config import Station, UplinkConfig, load_station
from shorewatch.image import Image
from shorewatch.model import Quality, Value, utc_now
from shorewatch.mqtt.broker import run_broker, wait_for_broker
from shorewatch.mqtt.client import Message, connected
from shorewatch.mqtt.source import Far
from shorewatch.mqtt.uplink import Uplink
from shorewatch.outbox import Outbox

PATIENCE_S = 60


async def until(fact: Callable[[], Any], what: str = "it") -> Any:
    """Wait, with much patience, until `fact()` is true; returns what it gave."""
    end_s = time.monotonic() + PATIENCE_S
    while not (found := fact()):
        if time.monotonic() > end_s:
            raise AssertionError(f"{what} did not happen within {PATIENCE_S} s")
        await asyncio.sleep(0.02)
    return found


class BrokerProcess:
    """A broker that tests may kill, stall and start again on its port."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind = kind
        self.port = free_port()
        self.folder = folder
        self._errors = folder.with_suffix(".err")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    @property
    def errors(self) -> str:
        """What it said on its standard error."""
        return self._errors.read_text()

    async def start(self) -> "BrokerProcess":
        code = (
            "import sys; from pathlib import Path; from shorewatch.mqtt.broker import run_broker;"
            "run_broker(int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])"
        )
        errors = self._errors.open("ab")
        self._process = subprocess.Popen(  # noqa: ASYNC220 (it does not block)
            [sys.executable, "-c", code, str(self.port), str(self.folder), self.kind],
            stderr=errors,
        )
        errors.close()
        await wait_for_broker(self.port, timeout_s=PATIENCE_S)
        return self

    def children(self) -> list[int]:
        """The broker's own process below ours."""
        assert self._process is not None
        pid = self._process.pid
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
        return [int(child) for child in text.split()]

    def signal(self, number: int) -> None:
        """Signal the broker itself."""
        for child in self.children():
            os.kill(child, number)

    async def kill(self) -> None:
        """SIGKILL the broker and wait until all of it is gone: it forgets everything."""
        assert self._process is not None
        self.signal(signal.SIGKILL)
        self.stop()

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(PATIENCE_S)
            self._process = None


@pytest.fixture(params=["mosquitto", "rumqttd"])
async def broker(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[BrokerProcess]:
    """Each broker in turn, listening."""
    if request.param == "mosquitto":
        need("mosquitto")
    else:
        pytest.importorskip("iotcore")
    process = BrokerProcess(request.param, tmp_path / "broker")
    try:
        yield await process.start()
    finally:
        if process._process is not None:
            with suppress(OSError):
                process.signal(signal.SIGCONT)
        process.stop()


@pytest.fixture
async def brokers(tmp_path: Path) -> AsyncIterator[dict[str, BrokerProcess]]:
    """Two brokers of different kinds, as two owners have them: east and west."""
    need("mosquitto")
    pytest.importorskip("iotcore")
    kinds = {"east": "rumqttd", "west": "mosquitto"}
    made = {name: BrokerProcess(kind, tmp_path / name) for name, kind in kinds.items()}
    try:
        for process in made.values():
            await process.start()
        yield made
    finally:
        for process in made.values():
            if process._process is not None:
                with suppress(OSError):
                    process.signal(signal.SIGCONT)
            process.stop()


class Guarded:
    """A mosquitto with access rules of the test."""

    def __init__(self, folder: Path) -> None:
        self.program = need("mosquitto")
        self.port = free_port()
        self.folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    async def start(self, rules: str, more: str = "", *, waits: bool = True) -> None:
        """Start it; a listener with TLS is not waited for."""
        self.folder.mkdir(exist_ok=True)
        self.folder.chmod(0o755)
        acl, conf = self.folder / "acl", self.folder / "conf"
        acl.write_text(rules)
        user = "user root\n" if os.geteuid() == 0 else ""
        conf.write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\npersistence false\n"
            f"acl_file {acl}\n{user}{more}"
        )
        self._process = subprocess.Popen(  # noqa: ASYNC220 (it does not block)
            [self.program, "-c", str(conf)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        if waits:
            await wait_for_broker(self.port, timeout_s=PATIENCE_S)

    def passwords(self, user: str, password: str) -> str:
        """The line of a configuration that knows one user."""
        self.folder.mkdir(exist_ok=True)
        path = self.folder / "passwords"
        subprocess.run(
            [need("mosquitto_passwd"), "-b", "-c", str(path), user, password],
            check=True,
            stderr=subprocess.DEVNULL,
        )
        return f"password_file {path}\n"

    def allow(self, rules: str) -> None:
        """Other rules from now on."""
        assert self._process is not None
        (self.folder / "acl").write_text(rules)
        self._process.send_signal(signal.SIGHUP)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(PATIENCE_S)


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Guarded]:
    broker = Guarded(tmp_path / "guarded")
    try:
        yield broker
    finally:
        broker.stop()


@pytest.fixture(scope="session")
def station(tmp_path_factory: pytest.TempPathFactory) -> Station:
    """Sumqayit with two of its boards: what is sent at a connect fits a slow line."""
    text = (asset_folder("stations") / "sumqayit.toml").read_text()
    path: Path = tmp_path_factory.mktemp("station") / "sumqayit.toml"
    path.write_text(text.partition('[[board]]\nid = "power"')[0])
    return load_station(path)


class Bench:
    """A station's outbox, image and uplink against one broker."""

    def __init__(
        self,
        station: Station,
        outbox: Outbox,
        url: str,
        consumers: list[str],
        *,
        chance: random.Random | None = None,
        clock: Callable[[], float] = time.monotonic,
        far: Far | None = None,
        **login: str,
    ) -> None:
        self.station = station
        self.image = Image(station)
        self.outbox = outbox
        self.boards: dict[str, dict[str, object]] = {"board/pfe-room": {"up": True, "reason": None}}
        config = UplinkConfig.model_validate(
            {"id": "noc", "url": url, "consumers": consumers, **login}
        )
        self.alarms = FakeAlarms()
        self.uplink = Uplink(
            station,
            config,
            self.image,
            outbox,
            lambda: dict(self.boards),
            self.alarms,
            far=far,
            chance=chance,
            clock=clock,
        )

    @property
    def prefix(self) -> str:
        return self.station.prefix

    def measure(self, device: str, value: float) -> None:
        """Every point of a device is good and has just been acquired."""
        fresh = Value(Quality.GOOD, value=value, acquired_at=utc_now(), acquired_s=time.monotonic())
        self.image.put(device, dict.fromkeys(self.station.devices[device].points, fresh))

    async def write(self, count: int, kind: str = "sample") -> None:
        for number in range(count):
            await self.outbox.put(kind, utc_now(), {"device": "pfe", "points": {"u": number}})

    async def until_state(self, state: str) -> None:
        await until(lambda: self.uplink.status.state == state, f"uplink {state}")


@pytest.fixture
def bench(station: Station, tmp_path: Path):  # type: ignore[no-untyped-def]
    """A running station: give it a broker's url and its consumers."""

    @asynccontextmanager
    async def make(
        url: str,
        consumers: list[str] | None = None,
        station: Station = station,
        *,
        chance: random.Random | None = None,
        clock: Callable[[], float] = time.monotonic,
        far: Far | None = None,
        **login: str,
    ) -> AsyncIterator[Bench]:
        path = tmp_path / "outbox.sqlite"
        async with Outbox.opened(path, size_bytes_max=64_000_000) as outbox:
            noc = ["noc"] if consumers is None else consumers
            made = Bench(station, outbox, url, noc, chance=chance, clock=clock, far=far, **login)
            running = asyncio.create_task(made.uplink.run())
            try:
                yield made
            finally:
                await made.uplink.stop()
                await running

    return make


class Listener:
    """Hears everything below a topic from the moment it subscribed."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    def of(self, suffix: str) -> list[Message]:
        return [m for m in self.messages if m.topic.endswith(suffix)]


@pytest.fixture
def listening():  # type: ignore[no-untyped-def]
    """Somebody who listens at a port."""

    @asynccontextmanager
    async def listen(port: int, topic: str = "shorewatch/v1/#") -> AsyncIterator[Listener]:
        listener = Listener()

        async def hear() -> None:
            async for message in connection.messages():
                listener.messages.append(message)

        async with connected(
            "127.0.0.1",
            port,
            client_id=f"listener-{os.urandom(4).hex()}",
            incoming_bytes_max=1_000_000,
            incoming_count_max=100_000,
        ) as connection:
            await connection.subscribe(topic)
            hearing = asyncio.create_task(hear())
            try:
                yield listener
            finally:
                hearing.cancel()
                await asyncio.wait([hearing])
                if not hearing.cancelled():
                    hearing.exception()

    return listen


@pytest.fixture
def at() -> Callable[[float], datetime]:
    """A wall clock for pure tests: seconds to a time."""
    start = datetime(2026, 11, 22, 16, 44, tzinfo=UTC)
    return lambda seconds: start + timedelta(seconds=seconds)


@pytest.fixture
def noc(at: Callable[[float], datetime]) -> Noc:
    """A consumer that follows one station, with a clock."""
    return Noc(at)


# Names that tests take from fixtures, so that no test imports a conftest.
@pytest.fixture(name="until")
def _until():  # type: ignore[no-untyped-def]
    return until


@pytest.fixture(name="free_port")
def _free_port() -> int:
    return free_port()


@pytest.fixture(name="run_broker")
def _run_broker():  # type: ignore[no-untyped-def]
    return run_broker
