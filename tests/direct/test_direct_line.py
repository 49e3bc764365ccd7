"""direct/line.py and wire.py: real connections and ptys, with peers that misbehave."""

import asyncio
import struct
import time
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from line_pump import pump
from test_link import Kept, until

from shorewatch.config import load_station
from shorewatch.direct import line as line_module
from shorewatch.direct.line import DirectLine
from shorewatch.image import Image
from shorewatch.model import Quality, Reason
from shorewatch.plan import compile_direct
from shorewatch.plant.devices import simulated
from shorewatch.plant.direct import serving
from shorewatch.plant.line import Line
from shorewatch.plant.port import open_port
from shorewatch.plant.world import World
from shorewatch.profile import load_profiles
from shorewatch.report import Reporter

STATION = """
[station]
id = "sumqayit"
name = "S"
cable = "c"
cable_name = "C"
[[direct]]
id = "x"
{where}
"""
ROOM = '[[direct.device]]\nid = "{id}"\nname = "R"\nprofile = "fast-md02"\nunit_id = {unit}\n'
TTY = 'port = "x.tty"\nbaud = 19200\nformat = "8N1"'


class Peer:
    """A Modbus TCP device that does as it is told: `does` changes a reply frame into what is sent.

    21.5 degC at register 1 of every unit, and 50 %RH; `delay_s` before each reply.
    """

    def __init__(self) -> None:
        self.does = lambda frame: [frame]
        self.delay_s = 0.0
        self.dead: set[int] = set()
        self.connections = 0
        self.requests: list[bytes] = []
        self.writers: list[asyncio.StreamWriter] = []

    async def talk(self, reader, writer):
        self.connections += 1
        self.writers.append(writer)
        try:
            while True:
                request = await reader.readexactly(12)
                self.requests.append(request)
                if request[6] in self.dead:
                    continue
                await asyncio.sleep(self.delay_s)
                reply = bytes([request[6], 4, 4]) + struct.pack(">hH", 215, 500)
                frame = request[:2] + struct.pack(">HH", 0, len(reply)) + reply
                for piece in self.does(frame):
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0.002)
        except (OSError, asyncio.IncompleteReadError):
            writer.close()


@pytest.fixture
async def peer():
    """A peer on a free port of 127.0.0.1."""
    found = Peer()
    server = await asyncio.start_server(found.talk, "127.0.0.1", 0)
    found.port = server.sockets[0].getsockname()[1]
    found.where = f'tcp = "127.0.0.1:{found.port}"'
    yield found
    server.close()
    for writer in found.writers:
        writer.close()


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Compiles a station with one direct line and its rooms, read each 0.2 s, fresh for 2 s."""
    monkeypatch.setattr(line_module, "RETRY_S_MIN", 0.05)
    monkeypatch.setattr(line_module, "RETRY_S_MAX", 0.2)
    (tmp_path / "profiles").mkdir()

    def _load(where, units=(1,)):
        kind = load_profiles()["xy-md02"]
        lines = [f'id = "fast-md02"\nname = "R"\nsource = "s"\nworst_ms = {kind.worst_ms}']
        lines += [
            f'[[point]]\nid = "{point.id}"\nname = "P"\ntable = "input"\ntype = "{point.type}"\n'
            f"address = {point.address}\nscale = 0.1\nperiod_s = 0.2\nage_s_max = 2.0"
            for point in kind.point
        ]
        (tmp_path / "profiles" / "fast-md02.toml").write_text("\n".join(lines))
        rooms = "".join(ROOM.format(id=f"r{unit}", unit=unit) for unit in units)
        path = tmp_path / "s.toml"
        path.write_text(STATION.format(where=where) + rooms)
        return compile_direct(load_station(path), "x")

    return _load


@asynccontextmanager
async def running(plan, tmp_path):
    image, records = Image(plan.station), Kept()
    found = DirectLine(plan, tmp_path, image, reporter=Reporter(plan.station), records=records)
    task = asyncio.create_task(found.run())
    try:
        yield found, image, records
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


def events(records):
    """What was said of the line, in order."""
    return [body["what"] for kind, body in records.all if kind == "event"]


def celsius(image, device_id="r1"):
    return image.look(device_id)["temperature"]


async def test_values_of_a_tcp_device_arrive_and_are_recorded(peer, load, tmp_path):
    """What the device holds becomes good values with their time, and one record a change."""
    async with running(load(peer.where), tmp_path) as (line, image, records):
        await until(lambda: celsius(image).value == 21.5)

        assert line.status.up
        assert celsius(image).uncertainty_s > 0
        (sample,) = [body for kind, body in records.all if kind == "sample"]
        assert sample["points"] == {"temperature": 21.5, "humidity": 50.0}
        assert events(records) == ["up"]


async def test_units_behind_one_address_share_a_connection(peer, load, tmp_path):
    """Two unit ids, 0 and 255 among them, are asked over one connection."""
    async with running(load(peer.where, (0, 255)), tmp_path) as (_, image, _):
        await until(lambda: celsius(image, "r0").value and celsius(image, "r255").value)

        assert {request[6] for request in peer.requests} == {0, 255}
        assert peer.connections == 1


async def test_a_dead_unit_does_not_slow_its_neighbours(peer, load, tmp_path):
    """A unit that never answers is bad (device-timeout); the other stays good all the while."""
    peer.dead = {2}
    async with running(load(peer.where, (1, 2)), tmp_path) as (line, image, _):
        await until(lambda: celsius(image, "r2").reason is Reason.DEVICE_TIMEOUT)
        asked = len(peer.requests)
        while len(peer.requests) < asked + 15:
            assert celsius(image).quality is Quality.GOOD
            await asyncio.sleep(0.01)

        assert line.status.up
        assert peer.connections == 1


@pytest.mark.parametrize(
    "does",
    [
        lambda frame: [frame[:5], frame[5:8], frame[8:]],
        lambda frame: [bytes([frame[0] ^ 0x55]) + frame[1:9] + b"\x03\xe7\0\0" + frame],
    ],
    ids=["in pieces", "after another's reply"],
)
async def test_frames_are_found_in_the_stream(peer, load, tmp_path, does):
    """Partial and coalesced frames give the values of the right one."""
    peer.does = does
    async with running(load(peer.where), tmp_path) as (_, image, _):
        await until(lambda: celsius(image).value is not None)

        assert celsius(image).value == 21.5


@pytest.mark.parametrize(
    "does",
    [
        lambda frame: [frame[:6] + b"\x09" + frame[7:]],
        lambda frame: [frame[:9]],
        lambda frame: [b"HTTP/1.1 400 Bad Request\r\n\r\n"],
        lambda frame: [bytes([frame[0] ^ 0x55]) + frame[1:]],
        lambda frame: [],
    ],
    ids=["another unit", "truncated", "no Modbus", "another transaction", "stalled"],
)
async def test_improper_answers_give_no_value_and_a_new_connection(peer, load, tmp_path, does):
    """A peer that takes requests and answers none properly is bad, dropped, and heals."""
    async with running(load(peer.where), tmp_path) as (line, image, records):
        await until(lambda: celsius(image).value == 21.5)
        peer.does = does
        await until(lambda: not line.status.up)
        assert celsius(image).reason is Reason.LINK_DOWN
        assert celsius(image).last_good == 21.5
        assert peer.connections > 1

        peer.does = lambda frame: [frame]
        await until(lambda: celsius(image).value == 21.5)
        assert events(records) == ["up", "down", "up"]


async def test_a_late_reply_gives_no_value(peer, load, tmp_path):
    """A peer that answers after every time-out gives none at all, rather than a wrong one."""
    peer.delay_s = 0.6
    async with running(load(peer.where, (1, 2)), tmp_path) as (_, image, _):
        await until(lambda: len(peer.requests) > 8)

        assert celsius(image).last_good is None


async def test_a_reset_connection_is_made_anew_in_silence(peer, load, tmp_path):
    """One reset is no event: the next connection follows before anything is stale."""
    async with running(load(peer.where), tmp_path) as (_, image, records):
        await until(lambda: celsius(image).value == 21.5)
        peer.writers[0].transport.abort()
        await until(lambda: peer.connections == 2)
        seen_s = time.monotonic()
        await until(lambda: (celsius(image).acquired_s or 0) > seen_s)

        assert events(records) == ["up"]


async def test_an_address_where_nobody_listens_says_so(load, tmp_path):
    """A refused connection is told with what to do, and its values are bad (link-down)."""
    async with running(load('tcp = "127.0.0.1:19159"'), tmp_path) as (line, image, _):
        await until(lambda: "connection refused; is Modbus TCP" in str(line.status.reason))

        assert celsius(image).reason is Reason.LINK_DOWN


async def test_the_statistics_are_those_of_a_board(peer, load, tmp_path):
    """Requests, time-outs and states of devices are counted as a board counts them."""
    peer.dead = {2}
    async with running(load(peer.where, (1, 2)), tmp_path) as (line, _, _):
        await until(lambda: "r2" in line.status.devices)
        await until(lambda: line.status.devices["r2"].state == "down")

        bus, devices = line.status.bus, line.status.devices
        assert bus.requests >= bus.good + bus.timeouts > 0
        assert bus.timeouts >= 3
        assert devices["r1"].state == "up" and devices["r1"].good == bus.good


@asynccontextmanager
async def plugged(plan, path):
    """The simulated line of a plan at `path`: real frames at the pace of the baud rate."""
    devices = {d.config.unit_id: d for d in plan.station.of_direct("x")}
    servers = {u: simulated(as_climate(d), "sumqayit", World(1)) for u, d in devices.items()}
    char_s, t35_s = plan.direct.char_us / 1e6, plan.direct.t35_us / 1e6
    found = Line(servers, char_s=char_s, t35_s=t35_s, utc=lambda now_s: now_s)
    with open_port(path) as port:
        task = asyncio.create_task(pump(found, port))
        try:
            yield found
        finally:
            task.cancel()


def as_climate(device):
    """The same device, of the type that the plant can simulate."""
    return replace(device, profile=device.profile.model_copy(update={"id": "xy-md02"}))


async def test_a_serial_port_is_read_lost_and_found_again(load, tmp_path):
    """Values come over a port; unplugged, they are bad (link-down); plugged in anew, good."""
    plan = load(TTY)
    async with running(plan, tmp_path) as (line, image, records):
        await until(lambda: "no such port" in str(line.status.reason))
        async with plugged(plan, tmp_path / "x.tty") as there:
            await until(lambda: celsius(image).quality is Quality.GOOD)
            assert there.counts.early == there.counts.garbled == there.counts.collisions == 0
        await until(lambda: celsius(image).reason is Reason.LINK_DOWN)
        async with plugged(plan, tmp_path / "x.tty"):
            await until(lambda: celsius(image).quality is Quality.GOOD)

        assert events(records) == ["down", "up", "down", "up"]


async def test_a_serial_port_has_one_owner(load, tmp_path):
    """A second line cannot open a port that is in use, and says why."""
    plan = load(TTY)
    async with plugged(plan, tmp_path / "x.tty"), running(plan, tmp_path) as (line, _, _):
        await until(lambda: line.status.up)
        async with running(plan, tmp_path) as (other, _, _):
            await until(lambda: "another program holds it" in str(other.status.reason))


async def test_a_dead_device_on_a_serial_line_is_bad_and_the_line_is_up(load, tmp_path):
    """Who does not answer is bad (device-timeout); the open port and the others are well."""
    plan = load(TTY, (1, 2))
    async with plugged(load(TTY), tmp_path / "x.tty"), running(plan, tmp_path) as (line, image, _):
        await until(lambda: celsius(image, "r2").reason is Reason.DEVICE_TIMEOUT)
        await until(lambda: celsius(image).quality is Quality.GOOD)

        assert line.status.up


async def test_the_plants_devices_answer_over_tcp(load, tmp_path):
    """The simulated field serves Modbus TCP, and names a unit it does not have by exception 0B."""
    plan = load('tcp = "127.0.0.1:19158"', (1, 2))
    found = {1: simulated(as_climate(plan.station.devices["r1"]), "sumqayit", World(1))}
    async with serving(found, "127.0.0.1", 19158), running(plan, tmp_path) as (line, image, _):
        await until(lambda: celsius(image).quality is Quality.GOOD)
        await until(lambda: celsius(image, "r2").reason is Reason.DEVICE_TIMEOUT)
        await until(lambda: line.status.devices["r2"].exception == 0x0B)
