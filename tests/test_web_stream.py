"""The page's stream in a browser: one connection for all its tabs, and none that nobody sees."""

import asyncio
import socket
from contextlib import asynccontextmanager

import pytest
import uvicorn
from programs import need
from test_web import _good, _snapshot

from shorewatch.bench.browser import opened
from shorewatch.image import Image
from shorewatch.lag import LoopLag
from shorewatch.web.app import Place, _Server, make_app
from shorewatch.web.feed import Feed

ROWS = "document.querySelectorAll('#devices tr').length === 161"


@pytest.fixture
def look(sumqayit):
    image = Image(sumqayit)
    found = _snapshot(sumqayit, image, is_up=True)

    def living():
        image.put("room", {"temperature": _good(21.5), "humidity": _good(40.0)})
        return found()

    return living


@asynccontextmanager
async def served(look):
    """The page, with the feed that counts its viewers."""
    feed, stop = Feed(look), asyncio.Event()
    app = make_app(look, feed, LoopLag(), stop, Place())
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    config = uvicorn.Config(app, lifespan="off", log_level="warning", timeout_graceful_shutdown=1)
    server = _Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    feeding = asyncio.create_task(feed.run(stop))
    try:
        yield feed, f"http://127.0.0.1:{listener.getsockname()[1]}/devices"
    finally:
        stop.set()
        server.should_exit = True
        await asyncio.wait([serving, feeding])
        listener.close()


async def until(is_true):
    while not is_true():
        await asyncio.sleep(0.05)


async def other_tab(browser, url):
    """A second window of the same browser, as visible as the first: `other` in there."""
    script = f"window.other = open('{url}', '', 'width=800,height=600')"
    await browser.call("Runtime.evaluate", expression=script, userGesture=True)
    await browser.until(f"other.{ROWS}")


async def test_two_tabs_share_a_stream(tmp_path, look):
    """Both show values that go on, and the gateway has one viewer; with one closed still one."""
    chromium = need("chromium")
    async with served(look) as (feed, url), opened(chromium, url, tmp_path) as browser:
        await browser.until(ROWS)
        await other_tab(browser, url)
        await browser.until("other.document.querySelector('#verdict').className === 'is-bad'")
        clock = "(other.document.querySelector('#clock').innerText)"
        before = await browser.value(clock)
        await browser.until(f"{clock} !== '{before}'")
        await until(lambda: feed.viewers == 1)

        await browser.value("other.close()")
        before = await browser.value("document.querySelector('#clock').innerText")
        await browser.until(f"document.querySelector('#clock').innerText !== '{before}'")
        assert feed.viewers == 1
        assert [error for error in browser.errors if "404" not in error] == []


async def test_a_page_that_is_left_ends_its_stream(tmp_path, look):
    """The last tab that goes takes the connection with it."""
    chromium = need("chromium")
    async with served(look) as (feed, url), opened(chromium, url, tmp_path) as browser:
        await browser.until(ROWS)
        await browser.call("Page.navigate", url="about:blank")
        await until(lambda: feed.viewers == 0)


@pytest.mark.parametrize("trouble", ["none", "throws", "mute"])
async def test_a_browser_without_shared_workers_has_a_stream_a_tab(tmp_path, look, trouble):
    """There is none, it cannot be made, or it says nothing: the page lives on."""
    chromium = need("chromium")
    stand_in = {
        "none": "delete window.SharedWorker",
        "throws": "window.SharedWorker = function () { throw new Error('no'); }",
        "mute": "window.SharedWorker = function () { this.port = { postMessage() {} }; }",
    }[trouble]
    async with served(look) as (feed, url), opened(chromium, "about:blank", tmp_path) as browser:
        await browser.call("Page.addScriptToEvaluateOnNewDocument", source=stand_in)
        await browser.call("Page.navigate", url=url)
        await browser.until(ROWS)
        assert feed.viewers == 1


async def test_a_worker_that_dies_leaves_a_tab_its_own_stream(tmp_path, look):
    """It spoke once, so the tab let its stream go; it answers no more, so the tab has one again."""
    chromium = need("chromium")
    dying = """window.SharedWorker = function () {
        const port = this.port = { postMessage() {} };
        fetch("/api/v1/status").then((reply) => reply.json())
            .then((body) => port.onmessage({ data: { kind: "whole", body } }));
    }"""
    async with served(look) as (feed, url), opened(chromium, "about:blank", tmp_path) as browser:
        await browser.call("Page.addScriptToEvaluateOnNewDocument", source=dying)
        await browser.call("Page.navigate", url=url)
        await browser.until(ROWS)
        await until(lambda: feed.viewers == 0)
        await until(lambda: feed.viewers == 1)
        await browser.until("!document.body.classList.contains('lost')")
