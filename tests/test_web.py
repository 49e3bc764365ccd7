"""The status page: what it serves, and that it serves nothing else."""

import asyncio
import json
import socket
from contextlib import asynccontextmanager

import httpx
import pytest
from browser import opened
from programs import need

from shorewatch.web.app import VIEWERS_MAX, serve


@asynccontextmanager
async def page(look=lambda: {"station": "x"}):
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    port = listener.getsockname()[1]
    stop = asyncio.Event()
    task = asyncio.create_task(serve(look, listener, stop))
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:
            yield client, port
    finally:
        stop.set()
        await task


async def test_the_page_and_its_parts_are_served_with_a_strict_policy():
    """HTML, script, style and icon come from here, under a policy that allows nothing foreign."""
    async with page() as (client, _):
        for path in ("/", "/static/page.js", "/static/page.css", "/static/icon.svg"):
            reply = await client.get(path)
            assert reply.status_code == 200
            assert reply.headers["content-security-policy"].startswith("default-src 'self'")
            assert "http://" not in reply.text.replace("http://www.w3.org/2000/svg", "")
            assert "https://" not in reply.text


async def test_snapshots_are_streamed():
    """Each event is one whole snapshot."""
    seen = 0

    def look():
        nonlocal seen
        seen += 1
        return {"n": seen}

    async with page(look) as (client, _), client.stream("GET", "/events") as reply:
        assert reply.headers["content-type"].startswith("text/event-stream")
        lines = (line async for line in reply.aiter_lines() if line)
        assert json.loads((await anext(lines)).removeprefix("data: ")) == {"n": 1}
        assert json.loads((await anext(lines)).removeprefix("data: ")) == {"n": 2}


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
async def test_nothing_can_be_sent_to_it(method):
    """Every method that could change something is refused on every path."""
    async with page() as (client, _):
        for path in ("/", "/api/status", "/events", "/static/page.js"):
            assert (await client.request(method, path)).status_code == 405


async def test_paths_outside_the_static_folder_are_not_found():
    """No path leads out of the folder of static files."""
    async with page() as (client, _):
        for path in ("/static/../app.py", "/static/%2e%2e/app.py", "/static/..%2fapp.py", "/x"):
            assert (await client.get(path)).status_code == 404


async def test_too_many_viewers_are_told_so():
    """A viewer beyond the limit gets a clear refusal, and the others keep their stream."""
    async with page() as (_, port), asyncio.TaskGroup() as tasks:
        streams = []
        for _ in range(VIEWERS_MAX):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /events HTTP/1.1\r\nhost: x\r\n\r\n")
            streams.append((reader, writer))
        for reader, _ in streams:
            assert (await tasks.create_task(reader.readline())).startswith(b"HTTP/1.1 200")
        async with httpx.AsyncClient() as client:
            reply = await client.get(f"http://127.0.0.1:{port}/events")
        for _, writer in streams:
            writer.close()

        assert reply.status_code == 503
        assert "viewers are watching" in reply.text


@pytest.mark.parametrize("width", [1280, 390])
async def test_the_page_shows_what_is_wrong(tmp_path, sumqayit, width):
    """At desktop and phone width the page shows every point, says what is bad, and fits."""
    chromium = need("chromium")
    async with (
        page(_snapshot(sumqayit)) as (_, port),
        opened(chromium, f"http://127.0.0.1:{port}/", tmp_path, width=width) as browser,
    ):
        await browser.until("document.querySelectorAll('#devices tr').length === 36")
        text = await browser.value("document.body.innerText")

        assert "board pfe-room down, board beach down, 36 of 36 points bad" in text
        assert "not reached yet" in text
        assert "Water level" in text
        assert await browser.value("document.documentElement.scrollWidth") <= width
        assert browser.errors == []


async def test_a_page_that_hears_nothing_says_so(tmp_path, sumqayit):
    """When the gateway dies the page stops looking alive."""
    chromium = need("chromium")
    async with page(_snapshot(sumqayit)) as (_, port):
        browser_at = opened(chromium, f"http://127.0.0.1:{port}/", tmp_path)
        browser = await browser_at.__aenter__()
        await browser.until("document.querySelectorAll('#devices tr').length === 36")
    try:
        await browser.until("document.body.classList.contains('lost')")
        verdict = await browser.value("document.querySelector('#verdict').innerText")
        assert "No word from the gateway" in verdict
    finally:
        await browser_at.__aexit__(None, None, None)


def _snapshot(station):
    from shorewatch.image import Image
    from shorewatch.link import BoardStatus
    from shorewatch.model import utc_now
    from shorewatch.status import snapshot

    class NoOutbox:
        journal, first, last, written, health = "0" * 32, 0, 0, 0, None

    boards = {name: BoardStatus(False, "not reached yet", utc_now()) for name in station.boards}
    image = Image(station)

    def look():
        return snapshot(station, image, NoOutbox(), boards=boards, uplinks={}, started_at=utc_now())

    return look
