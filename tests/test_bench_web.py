"""bench/web.py: what it counts is what went over the line, and a real page is looked at."""

import asyncio
import tempfile
from pathlib import Path

import pytest
from free_ports import free_ports
from programs import need

from shorewatch.bench import web
from shorewatch.config import load_station
from shorewatch.errors import DemoError


async def test_the_relay_counts_what_came_from_the_page():
    """Both directions pass unchanged; only what the page sent is counted."""

    async def echo(reader, writer):
        writer.write((await reader.readline()) * 3)
        await writer.drain()
        writer.close()

    far, near = free_ports(2), free_ports(2)
    async with (
        await asyncio.start_server(echo, "127.0.0.1", far),
        web._relayed(near, far) as passed,
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", near)
        line = b"GET / HTTP/1.1\r\n"
        writer.write(line)
        assert await reader.read() == line * 3
        writer.close()

        assert (passed.requests, passed.down_bytes) == (1, 3 * len(line))


def test_the_station_of_viewers_has_two_hundred_points(tmp_path):
    """It is a station file like any other."""
    station = load_station(web._many(tmp_path))

    assert sum(len(device.points) for device in station.devices.values()) == 200


def test_a_machine_without_chromium_is_told(monkeypatch):
    """With what to do."""
    monkeypatch.setattr(web, "which", lambda _: None)
    with pytest.raises(DemoError, match="install it"):
        web.run_web(print, 1)


async def test_viewers_of_a_real_page_are_measured(tmp_path, monkeypatch):
    """Each gets its stream."""
    monkeypatch.setattr(web, "VIEWERS", 3)
    monkeypatch.setattr(web, "VIEW_S", 1.5)
    found = await web._viewed(tmp_path, free_ports(1))

    assert found.keys() == {"viewers_cpu_share", "viewers_mb", "viewer_kb_s"}
    assert found["viewer_kb_s"] > 0


async def test_a_first_load_is_seen_to_its_end():
    """Through a throttled line: every request, kilobytes, and a time beyond three latencies."""
    chromium = need("chromium")
    with tempfile.TemporaryDirectory() as folder:
        port = free_ports(2)
        shipped = web.asset_folder("stations") / "sumqayit.toml"
        [load] = await web._loads(Path(folder), chromium, shipped, port, 1, ())

    assert load.requests >= 6 and 10 < load.kb < 1000
    assert load.usable_s > 3 * web.LATENCY_MS / 1000
