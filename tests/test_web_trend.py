"""web/trend.py and its view: what points did, as charts and as files."""

import asyncio
import csv
import io
import json
import socket
from contextlib import asynccontextmanager
from importlib.metadata import version

import httpx
import pytest
from programs import need
from test_web import _snapshot

from shorewatch.bench.browser import opened
from shorewatch.web.app import Place, serve

SPAN = {
    "from": "2026-11-23T06:00:00.000Z", "to": "2026-11-23T06:01:00.000Z", "low": 21.0,
    "mean": 21.5, "high": 22.0, "last": 21.75, "quality": "good", "reason": None, "good": 1.0,
    "known": 1.0,
}  # fmt: skip
GAP = {**SPAN, "from": SPAN["to"], "to": "2026-11-23T06:02:00.000Z", "quality": "bad"}
GAP |= dict.fromkeys(("low", "mean", "high", "last")) | {"reason": "stale"}


@asynccontextmanager
async def page(look=dict):
    asked = []

    async def ask(request):
        asked.append(dict(request))
        if request["point"] != "room.t":
            raise ValueError(f"there is no device {request['point']!r}")
        return {
            "point": "room.t", "name": "T", "unit": "degC", "health": None, "spans": [SPAN, GAP],
        }  # fmt: skip

    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    stop = asyncio.Event()
    task = asyncio.create_task(serve(look, listener, stop, Place(history=ask)))
    try:
        async with httpx.AsyncClient(base_url=url, timeout=60) as client:
            yield client, url, asked
    finally:
        stop.set()
        await task


async def test_history_is_given_as_json_and_as_csv():
    """The same spans; the table says the unit, and nothing where nothing is known."""
    async with page() as (client, _, asked):
        query = {"point": "room.t", "from": "a", "to": "b"}
        reply = await client.get("/api/v1/history", params=query)
        assert reply.json()["spans"] == [SPAN, GAP]
        assert asked == [{"do": "history", **query, "points": 600}]
        reply = await client.get("/api/v1/history.csv", params={**query, "points": "99999"})
        assert reply.headers["content-disposition"] == 'attachment; filename="room.t.csv"'
        head, good, bad = csv.reader(io.StringIO(reply.text))
        assert head[2:6] == ["low (degC)", "mean (degC)", "high (degC)", "last (degC)"]
        assert good[:4] == [SPAN["from"], SPAN["to"], "21.0", "21.5"]
        assert bad[2:8] == ["", "", "", "", "bad", "stale"]
        assert asked[-1]["points"] == 5000


@pytest.mark.parametrize("path", ["/api/v1/history", "/api/v1/history.csv"])
async def test_what_cannot_be_asked_is_refused_in_words(path):
    """As history.py says it."""
    async with page() as (client, _, _):
        for query, words in (({"point": "x"}, "no device 'x'"), ({"points": "x"}, "whole number")):
            reply = await client.get(path, params=query)
            assert reply.status_code == 400 and words in reply.json()["error"]


async def test_the_library_comes_from_the_installed_wheel():
    """Compressed, sent once for a version; inline styles are allowed on this view alone."""
    async with page() as (client, _, _):
        reply = await client.get("/lib/plotly.js")
        assert reply.headers["content-encoding"] == "gzip"
        assert reply.headers["etag"] == f'"{version("plotly")}"'
        assert len(reply.content) > 1_000_000
        again = {"if-none-match": reply.headers["etag"]}
        assert (await client.get("/lib/plotly.js", headers=again)).status_code == 304
        plain = await client.get("/lib/plotly.js", headers={"accept-encoding": "identity"})
        assert plain.content == reply.content and "content-encoding" not in plain.headers
        policies = [
            (await client.get(path)).headers["content-security-policy"] for path in ("/trend", "/")
        ]
        assert "'unsafe-inline'" in policies[0] and "'unsafe-inline'" not in policies[1]
        assert "script" not in policies[0]


@pytest.mark.parametrize("width", [1280, 390])
async def test_a_chart_shows_a_point(tmp_path, sumqayit, width):
    """Line, band and unit, gaps left open, at both widths, and no request leaves the gateway."""
    chromium = need("chromium")
    look = _snapshot(sumqayit)

    def named():
        found = look()
        found["devices"]["room"]["points"]["temperature"]["name"] = "<b>Temperature"
        return found

    async with page(named) as (_, url, asked):
        view = f"{url}/trend?points=room.t&span=3600"
        async with opened(chromium, view, tmp_path, width=width) as browser:
            await browser.until("document.querySelectorAll('#chart .scatterlayer .trace').length")
            data = await browser.value("JSON.stringify(document.querySelector('#chart').data[2])")
            trace = json.loads(data)
            assert trace["y"] == [21.5, 21.5, None, None]
            assert trace["x"][0] == "2026-11-23T06:00:00.000"
            assert trace["name"] == "room.t (°C)"
            text = await browser.value("document.querySelector('#span-said').innerText")
            assert text.endswith("UTC") and "✕" not in text
            option = "document.querySelector('[value=\"room.temperature\"]')"
            await browser.until(f"Boolean({option})")
            assert await browser.value(f"{option}.innerText") == "<b>Temperature (degC)"
            verdict = await browser.value("document.querySelector('#verdict').innerText")
            assert verdict.startswith("✕ Board ")
            assert await browser.value("document.documentElement.scrollWidth") <= width
            sent = await browser.value(
                "performance.getEntriesByType('resource').map((r) => new URL(r.name).host).join()"
            )
            assert set(sent.split(",")) == {url.removeprefix("http://")}
            assert browser.errors == []
            before = len(asked)
            await browser.value("document.querySelector('[data-span=\"604800\"]').click()")
            pressed = "document.querySelector('[aria-pressed=true]').innerText"
            await browser.until(f"{pressed} === '7 d'")
            while len(asked) == before:
                await asyncio.sleep(0.05)
