"""plant/direct.py: the simulated devices of a direct line, and what it refuses to serve."""

import asyncio
import struct
from pathlib import Path

import pytest

from shorewatch.config import Station, load_station
from shorewatch.errors import UsageError
from shorewatch.plant.devices import simulated
from shorewatch.plant.direct import CONNECTIONS_MAX, run_direct, serving
from shorewatch.plant.world import World

HEAD = '[station]\nid = "sumqayit"\nname = "S"\ncable = "c"\ncable_name = "C"\n'
LINE = '[[direct]]\nid = "x"\n'
ROOM = '\n[[direct.device]]\nid = "room"\nname = "R"\nprofile = "xy-md02"\nunit_id = 1\n'


@pytest.fixture
def load(tmp_path: Path):  # type: ignore[no-untyped-def]
    def _load(where: str) -> Station:
        path = tmp_path / "s.toml"
        path.write_text(HEAD + LINE + where + ROOM)
        return load_station(path)

    return _load


@pytest.mark.parametrize(
    ("where", "text"),
    [
        ('tcp = "192.0.2.7:502"', "is no loopback address"),
        ('port = "/dev/ttyUSB0"\nbaud = 9600', "may be a real port"),
    ],
)
def test_places_of_others_are_not_served(load, tmp_path, where, text):  # type: ignore[no-untyped-def]
    """Another machine's address and what may be a real port are refused."""
    with pytest.raises(UsageError, match=text):
        run_direct(load(where), "x", tmp_path, seed=1)


async def test_a_unit_that_is_not_there_is_the_gateways_to_name(load) -> None:  # type: ignore[no-untyped-def]
    """Unit 1 answers with its registers, unit 2 is exception 0B, and nonsense ends the talk."""
    station = load('tcp = "127.0.0.1:502"')
    found = {1: simulated(station.devices["room"], "sumqayit", World(1))}
    async with serving(found, "127.0.0.1", 0) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for unit_id, size, function in ((1, 13, 4), (2, 9, 0x84)):
            writer.write(struct.pack(">HHHBBHH", 7, 0, 6, unit_id, 4, 1, 2))
            reply = await reader.readexactly(size)
            assert (reply[:2], reply[6], reply[7]) == (b"\0\7", unit_id, function)
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        with pytest.raises((asyncio.IncompleteReadError, OSError)):
            await reader.readexactly(1)
        writer.close()


async def test_connections_are_limited(load) -> None:  # type: ignore[no-untyped-def]
    """One connection too many is closed at once."""
    station = load('tcp = "127.0.0.1:502"')
    found = {1: simulated(station.devices["room"], "sumqayit", World(1))}
    async with serving(found, "127.0.0.1", 0) as port:
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(CONNECTIONS_MAX)]
        await asyncio.sleep(0)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        with pytest.raises((asyncio.IncompleteReadError, OSError)):
            await reader.readexactly(1)
        for _, one in [*held, (reader, writer)]:
            one.close()
