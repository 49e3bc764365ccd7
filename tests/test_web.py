"""The status page: what it serves, and that it serves nothing else."""

import asyncio
import json
import socket
import time
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from programs import need

from shorewatch.bench.browser import opened
from shorewatch.cable.budget import Shown
from shorewatch.cable.picture import picture
from shorewatch.clock import StationClock
from shorewatch.config import load_station
from shorewatch.describe import describe
from shorewatch.direct.line import DirectStatus
from shorewatch.image import Image
from shorewatch.link import BoardStatus
from shorewatch.model import Quality, Reason, Value, to_text, utc_now
from shorewatch.mqtt.desk import Requests
from shorewatch.people import save_person
from shorewatch.status import snapshot
from shorewatch.texts import english
from shorewatch.web import app
from shorewatch.web.action import Actions
from shorewatch.web.app import VIEWERS_MAX, Place, serve

STATIC = Path(app.__file__).parent / "static"


@asynccontextmanager
async def page(
    look=lambda: {"station": "x"}, names=(), state=Path("/nonexistent"), do=None, about=None,
    draw=None, diary=None, history=None, words=None, texts=None,
):  # fmt: skip
    async def audit(body):
        pass

    async def bundle(by):
        return b"PK a zip"

    texts = texts or english()
    actions = Actions(state, do, audit, bundle, texts)
    place = Place(
        names=names, actions=actions, describe=lambda: about, draw=draw, diary=diary,
        history=history, words=words, texts=texts,
    )  # fmt: skip
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    port = listener.getsockname()[1]
    stop = asyncio.Event()
    task = asyncio.create_task(serve(look, listener, stop, place))
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:
            yield client, port
    finally:
        stop.set()
        await task


async def test_the_page_and_its_parts_are_served_with_a_strict_policy():
    """HTML, script, style and icon come from here, under a policy that allows nothing foreign."""
    async with page() as (client, _):
        parts = sorted(path.name for path in STATIC.iterdir())
        for path in ("/", "/devices", "/device/x", *(f"/static/{name}" for name in parts)):
            reply = await client.get(path)
            assert reply.status_code == 200
            assert reply.headers["content-security-policy"].startswith("default-src 'self'")
            assert "http://" not in reply.text.replace("http://www.w3.org/2000/svg", "")
            assert "https://" not in reply.text


async def test_a_snapshot_then_its_changes_are_streamed():
    """The first event is the whole; the next have what is new."""
    seen = 0

    def look():
        nonlocal seen
        seen += 1
        return {"n": seen, "same": 1}

    async with page(look) as (client, _), client.stream("GET", "/api/v1/stream") as reply:
        assert reply.headers["content-type"].startswith("text/event-stream")
        lines = (line async for line in reply.aiter_lines() if line)
        assert [await anext(lines) for _ in range(2)] == [
            "event: whole", 'data: {"n":1,"same":1}',
        ]  # fmt: skip
        assert await anext(lines) == "event: part"
        assert json.loads((await anext(lines)).removeprefix("data: ")) == {
            "n": 2, "set": {}, "gone": {},
        }  # fmt: skip


async def test_a_look_that_fails_ends_the_page_with_its_reason(tmp_path):
    """So that who runs it starts it again: no viewer waits for a stream that nobody feeds."""
    looks = 0

    def look():
        nonlocal looks
        looks += 1
        if looks > 1:
            raise ValueError("no such device")
        return {"n": looks}

    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/api/v1/stream"
    serving = asyncio.create_task(serve(look, listener, asyncio.Event()))
    with pytest.raises(ValueError, match="no such device"):
        async with httpx.AsyncClient(timeout=20) as client, client.stream("GET", url) as reply:
            with suppress(httpx.HTTPError):
                async for _ in reply.aiter_lines():
                    pass
            await serving


@pytest.mark.parametrize("name", ["evil.example", "localhost.evil.example", "", "127.0.0.1.nip.io"])
async def test_a_foreign_name_is_served_nothing(name):
    """Another page's script that reaches us under its own name reads nothing."""
    async with page() as (client, _):
        for path in ("/", "/api/v1/status", "/metrics"):
            reply = await client.get(path, headers={"host": name})
            assert reply.status_code == 421 or (name == "" and reply.status_code == 400)
            assert "page.names" in reply.text or name == ""


@pytest.mark.parametrize("name", ["localhost:80", "10.1.2.3", "[::1]:8101", "CLS.example:1"])
async def test_an_address_or_a_name_of_ours_is_served(name):
    """Any address, this machine's names, and those that the station file adds."""
    async with page(names=("cls.example",)) as (client, _):
        assert (await client.get("/healthz", headers={"host": name})).text == "ok\n"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
async def test_nothing_can_be_sent_to_it(method):
    """Every method that could change something is refused on every path."""
    async with page() as (client, _):
        for path in ("/", "/api/v1/status", "/api/v1/stream", "/metrics", "/static/page.js"):
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
            writer.write(b"GET /api/v1/stream HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
            streams.append((reader, writer))
        for reader, _ in streams:
            assert (await tasks.create_task(reader.readline())).startswith(b"HTTP/1.1 200")
        async with httpx.AsyncClient() as client:
            reply = await client.get(f"http://127.0.0.1:{port}/api/v1/stream")
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
        opened(chromium, f"http://127.0.0.1:{port}/devices", tmp_path, width=width) as browser,
    ):
        await browser.until("document.querySelectorAll('#devices tr').length === 161")
        text = await browser.value("document.body.innerText")

        assert "✕ Board pfe-room is down since " in text and "✕ Board beach is down since " in text
        assert "no values of Beach manhole, Equipment room climate, Contacts of board" in text
        assert "not reached yet" in text
        assert "Water level" in text
        assert await browser.value("document.documentElement.scrollWidth") <= width
        assert browser.errors == []


@pytest.mark.parametrize("width", [1280, 390])
async def test_a_direct_line_stands_beside_boards(tmp_path, write, station_text, width):
    """One that is down says why, its devices are named in the verdict, and the page fits."""
    chromium = need("chromium")
    device = '[[direct.device]]\nid = "ups"\nname = "UPS"\nprofile = "xy-md02"\nunit_id = 255\n'
    line = f'[[direct]]\nid = "ups-line"\ntcp = "192.0.2.7:502"\n{device}'
    station = load_station(write("s.toml", station_text.split("[cable]")[0] + line))
    async with (
        page(_snapshot(station)) as (_, port),
        opened(chromium, f"http://127.0.0.1:{port}/devices", tmp_path, width=width) as browser,
    ):
        await browser.until("document.querySelectorAll('#devices tr').length === 2")
        text = await browser.value("document.body.innerText")

        assert "Direct line ups-line is down since " in text and "; no values of UPS; not" in text
        assert "Direct line ups-line" in text and "not reached yet" in text
        assert "ups on direct line ups-line, unit 255" in text
        assert await browser.value("document.documentElement.scrollWidth") <= width
        assert browser.errors == []


async def test_a_bad_row_tells_its_last_good_value_inside_its_card(tmp_path, sumqayit):
    """On a phone a bad point shows what it last was and when, and its reason, all in the card."""
    chromium = need("chromium")
    image = Image(sumqayit)
    image.put("room", {"temperature": _good(21.5, minutes_ago=3)})
    look = _snapshot(sumqayit, image)
    async with (
        page(look) as (_, port),
        opened(chromium, f"http://127.0.0.1:{port}/devices", tmp_path, width=390) as browser,
    ):
        await browser.until("document.querySelectorAll('#devices tr').length === 161")
        text = await browser.value("document.querySelector('td.last').parentNode.innerText")
        outside = await browser.value(
            "[...document.querySelectorAll('.card')].flatMap((card) => [...card.querySelectorAll("
            "'td, th, p, .word')].filter((part) => part.scrollWidth > part.offsetWidth + 1 || "
            "part.getBoundingClientRect().right > card.getBoundingClientRect().right)"
            ".map((part) => part.innerText)).join()"
        )

        assert "(21.5 °C, good 3 min ago)" in text
        assert "stale" in text
        assert outside == ""


async def test_a_device_s_own_words_stand_beside_the_reason(tmp_path, sumqayit):
    """What a device says of its value is shown with the reason, on a phone too, in the card."""
    chromium = need("chromium")
    image = Image(sumqayit)
    at, at_s = utc_now(), time.monotonic()
    doubt = Value(Quality.UNCERTAIN, Reason.DEVICE_DOUBT, 60.0, at, at_s, detail="value is higher")
    fault = Value(Quality.BAD, Reason.SENTINEL, None, at, at_s, detail="<b>transducer fault")
    image.put("room", {"temperature": fault, "humidity": doubt})
    async with (
        page(_snapshot(sumqayit, image)) as (_, port),
        opened(chromium, f"http://127.0.0.1:{port}/devices", tmp_path, width=390) as browser,
    ):
        await browser.until("document.querySelectorAll('#devices tr').length === 161")
        cells = "[...document.querySelectorAll('td.quality')]"
        texts = await browser.value(f"{cells}.map((cell) => cell.innerText).join()")
        outside = await browser.value(f"{cells}.filter((c) => c.scrollWidth > c.offsetWidth + 1)")

        assert "? device-doubt: value is higher" in texts
        assert "✕ sentinel: <b>transducer fault" in texts
        assert outside == []


async def test_an_uplink_tells_who_acknowledges_and_what_was_refused(tmp_path, sumqayit):
    """The card says when only the broker acknowledges, and what was refused of whom."""
    chromium = need("chromium")

    class Uplink:
        state, text, since, published, cursor = "online", "connected", utc_now(), 9, 9
        is_broker_acknowledged_only, refused_acks = True, 2
        plane, refused_commands = "json", 0
        last_refusal = "x/ack/y is no configured consumer"
        silent = dict[str, object]()
        certificates = {
            "own": utc_now() + timedelta(days=200.5),
            "broker": utc_now() - timedelta(days=1),
        }
        requests = Requests(3, 1, "x/request/y is signed with another key", "no key in /k")

    look = _snapshot(sumqayit, Image(sumqayit), {"noc": Uplink()})
    async with (
        page(look) as (_, port),
        opened(chromium, f"http://127.0.0.1:{port}/devices", tmp_path) as browser,
    ):
        await browser.until("document.querySelectorAll('#devices tr').length === 161")
        text = await browser.value("document.querySelector('#health').innerText")

        assert "broker-acknowledged only" in text
        assert "2 acknowledgements refused; last: x/ack/y is no configured consumer" in text
        assert "3 requests of the NOC accepted" in text
        assert "1 request refused; last: x/request/y is signed with another key" in text
        assert "no key in /k" in text
        assert "certificates: own 200 days, broker ended" in text


async def test_a_station_with_sparkplug_alone_says_what_that_cannot_do(tmp_path, sumqayit):
    """The card says that nobody confirms delivery, and which command was refused."""
    chromium = need("chromium")

    class Uplink:
        state, text, since, published, cursor = "online", "connected", utc_now(), 9, 4
        is_broker_acknowledged_only, refused_acks = True, 0
        plane, refused_commands = "sparkplug", 1
        silent, requests = dict[str, object](), Requests()
        last_refusal = "spBv1.0/c/DCMD/s/pfe is a command to a device"
        certificates = silent = dict[str, object]()
        requests = Requests()

    look = _snapshot(sumqayit, Image(sumqayit), {"scada": Uplink()})
    async with (
        page(look) as (_, port),
        opened(chromium, f"http://127.0.0.1:{port}/devices", tmp_path) as browser,
    ):
        await browser.until("document.querySelectorAll('#devices tr').length === 161")
        text = await browser.value("document.querySelector('#health').innerText")

        assert "Sparkplug only: delivery is not confirmed end to end" in text
        assert "broker-acknowledged only" not in text
        assert "1 command refused; last: spBv1.0/c/DCMD/s/pfe" in text


async def test_a_refused_viewer_tries_again(tmp_path, sumqayit):
    """A page that got 503 shows values once there is room, with nobody touching it."""
    chromium = need("chromium")
    async with page(_snapshot(sumqayit)) as (_, port):
        streams = []
        for _ in range(VIEWERS_MAX):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /api/v1/stream HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
            await reader.readline()
            streams.append(writer)
        async with opened(chromium, f"http://127.0.0.1:{port}/devices", tmp_path) as browser:
            await browser.until("document.querySelector('#verdict').innerText.includes('No word')")
            for writer in streams:
                writer.close()
            await browser.until("document.querySelectorAll('#devices tr').length === 161")


async def test_alarms_stand_first_with_what_to_do(tmp_path, sumqayit):
    """An open alarm has its priority, state and action; a hidden one is grey; nothing overflows."""
    chromium = need("chromium")
    row = {
        "id": "lid", "text": "Manhole lid is open", "action": "Call the guard.", "active": True,
        "priority": "critical", "state": "unacknowledged", "since": to_text(utc_now()),
        "source": "manhole.lid", "value": True, "first_out": True, "chattering": False,
        "shelf_left_s": None,
    }  # fmt: skip
    hidden = {"id": "warm", "text": "Room is warm", "state": "shelved", "shelf_left_s": 3600}
    look = _snapshot(sumqayit, alarms=[row, row | hidden])
    async with page(look) as (_, port):
        url = f"http://127.0.0.1:{port}/alarms"
        async with opened(chromium, url, tmp_path, width=390) as browser:
            await browser.until("document.querySelectorAll('#alarms article').length === 2")
            cards = "[...document.querySelectorAll('#alarms article')]"
            first, second = await browser.value(f"{cards}.map((card) => card.innerText)")
            assert "✕ critical, unacknowledged" in first and "Call the guard." in first
            assert "first of its group" in first
            assert "– critical, shelved" in second and "shelved for 60 min more" in second
            assert await browser.value(f"{cards}.map((card) => card.className)") == [
                "card is-bad",
                "card ",
            ]
            verdict = await browser.value("document.querySelector('#verdict').innerText")
            assert verdict.startswith("✕ Manhole lid is open")
            assert await browser.value("document.documentElement.scrollWidth") <= 390


@pytest.mark.parametrize("width", [1280, 390])
async def test_a_flood_of_hostile_alarms_is_bounded_and_inert(tmp_path, sumqayit, width):
    """Of 100,000 the most urgent stand there, the rest is counted; no markup is one, all fits."""
    chromium = need("chromium")
    row = {
        "id": "x" * 40, "text": "<img src=x onerror=alert(1)>" + "W" * 170, "action": "M" * 400,
        "active": True, "priority": "critical", "state": "unacknowledged", "source": "a.b",
        "since": to_text(utc_now()), "value": "NaN", "first_out": True, "chattering": True,
        "shelf_left_s": None, "note": "</p><script>alert(2)</script>" * 3, "left_s": 1e15,
    }  # fmt: skip
    look = _snapshot(sumqayit, alarms=[row] * 100_000)
    async with page(look, about=describe(sumqayit)) as (_, port):
        url = f"http://127.0.0.1:{port}/"
        async with opened(chromium, url, tmp_path, width=width) as browser:
            await browser.until("document.querySelectorAll('#alarms article').length === 101")
            text = await browser.value("document.querySelector('main').innerText")
            assert "and 99900 more alarms" in text and "<img src=x onerror=alert(1)>" in text
            assert (
                await browser.value("document.querySelectorAll('main img, main script').length")
                == 0
            )
            assert await browser.value("document.querySelectorAll('#verdict p').length") <= 5
            assert await browser.value("document.documentElement.scrollWidth") <= width
            assert browser.errors == []


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("view", ["/", "/devices", "/device/room"])
async def test_hostile_names_and_numbers_stay_in_their_place(tmp_path, sumqayit, view, width):
    """Long names, markup and huge numbers are text, inside their cards, at both widths."""
    chromium = need("chromium")
    image = Image(sumqayit)
    image.put("room", {"temperature": _good(-1.7976931348623157e308), "humidity": _good(1e22)})
    look = _snapshot(sumqayit, image, is_up=True)
    name = "<script>alert(1)</script>" + "Temperature" * 12

    def hostile():
        found = look()
        found["name"] = found["cable"] = name
        room = found["devices"]["room"]
        room["name"] = name
        for point in room["points"].values():
            point |= {"name": name, "text": str(point["value"]) * 4, "unit": "NaN" * 26}
            point |= {"text_unit": "NaN" * 26}
        return found

    async with page(hostile, about=describe(sumqayit)) as (_, port):
        url = f"http://127.0.0.1:{port}{view}"
        async with opened(chromium, url, tmp_path, width=width) as browser:
            await browser.until("document.querySelector('main').innerText.includes('<script>')")
            assert await browser.value("document.querySelectorAll('body script').length") == 0
            assert await browser.value("document.documentElement.scrollWidth") <= width
            assert [error for error in browser.errors if "404" not in error] == []


@pytest.mark.parametrize("width", [1280, 390])
async def test_the_overview_shows_each_area_between_its_limits(tmp_path, sumqayit, width):
    """The few points that matter, where they lie, and what is bad by name."""
    chromium = need("chromium")
    image = Image(sumqayit)
    image.put("room", {"temperature": _good(33.5), "humidity": _good(40.0)})
    look = _snapshot(sumqayit, image, is_up=True)
    async with page(look, about=describe(sumqayit)) as (_, port):
        url = f"http://127.0.0.1:{port}/"
        async with opened(chromium, url, tmp_path, width=width) as browser:
            await browser.until("document.querySelectorAll('#areas article').length === 5")
            text = await browser.value("document.querySelector('#areas').innerText")
            assert "✕ 33.5 °C" in text and "✕ 40.0" not in text and "✕ Power feed equipment" in text
            bars = "[...document.querySelectorAll('#areas svg.bar')].map((b) => b.ariaLabel)"
            (warm, damp) = await browser.value(bars)
            assert warm.startswith("33.5 between ") and warm.endswith(", past a limit")
            assert damp.startswith("40.0 between ") and "past" not in damp
            assert await browser.value("document.documentElement.scrollWidth") <= width
            assert browser.errors == []


@pytest.mark.parametrize("width", [1280, 390])
async def test_a_device_and_the_diagnostics_have_views_of_their_own(tmp_path, sumqayit, width):
    """Every point with its register and alarms; buses and boards as tables; all fits."""
    chromium = need("chromium")
    image = Image(sumqayit)
    image.put("room", {"temperature": _good(21.5), "humidity": _good(40.0)})
    look = _snapshot(sumqayit, image, is_up=True)
    async with page(look, about=describe(sumqayit)) as (_, port):
        url = f"http://127.0.0.1:{port}"
        views = {
            "/device/room": ("04: 1, s16", "above 32 °C: major", "21.5 °C", "Source: XY-MD02"),
            "/device/attic": ("There is no device attic.",),
            "/diagnostics": ("pfe-room", "least free heap", sumqayit.config_hash),
        }
        for path, words in views.items():
            folder = tmp_path / path.replace("/", "")
            async with opened(chromium, url + path, folder, width=width) as browser:
                await browser.until("document.querySelector('#tables').innerText.length > 20")
                text = await browser.value("document.querySelector('#tables').innerText")
                assert [word for word in words if word not in text] == []
                assert await browser.value("document.documentElement.scrollWidth") <= width
                # A name that is folded letter by letter cannot be read.
                names = "[...document.querySelectorAll('#tables tbody th')]"
                assert await browser.value(f"{names}.every((name) => name.offsetWidth > 30)")
                assert [error for error in browser.errors if "404" not in error] == []


@pytest.mark.parametrize("width", [1280, 390])
async def test_a_device_shows_the_words_of_each_value(tmp_path, sumqayit, width):
    """Beside function and address stand the registers as they came; of a bad block in brackets."""
    chromium = need("chromium")
    image = Image(sumqayit)
    image.put("room", {"temperature": _good(21.5), "humidity": _good(40.0)})
    block = {"function": 4, "count": 1, "exception": 0, "acquired_at": to_text(utc_now())}
    good = block | {"address": 1, "words": ["00d7"], "reason": None, "age_s": 0.5}
    bad = block | {"address": 2, "words": ["01f4"], "reason": "device-timeout", "age_s": 90.0}

    def words(device_id):
        return {"device": device_id, "at": to_text(utc_now()), "blocks": [good, bad]}

    look = _snapshot(sumqayit, image, is_up=True)
    async with page(look, about=describe(sumqayit), words=words) as (_, port):
        url = f"http://127.0.0.1:{port}/device/room"
        async with opened(chromium, url, tmp_path, width=width) as browser:
            # In one look: while a busy machine keeps the stream waiting there are none.
            wanted = json.dumps(["00d7", "(01f4, 90 s ago)"])
            shown = "[...document.querySelectorAll('.raw')].map((one) => one.innerText)"
            await browser.until(f"JSON.stringify({shown}) === JSON.stringify({wanted})")
            assert await browser.value("document.documentElement.scrollWidth") <= width


async def test_an_alarm_is_answered_at_the_page(tmp_path, sumqayit):
    """A click asks for the login, then for a reason where one is needed, and says what was done."""
    chromium = need("chromium")
    save_person(tmp_path, "ali", "correct horse 9", utc_now())
    done = []

    async def do(request):
        if request["do"] == "shelve":
            raise ValueError("an alarm is shelved for 1 s to 24 h")
        done.append(dict(request))
        return {"state": "acknowledged"}

    row = {
        "id": "lid", "text": "Manhole lid is open", "action": "Call the guard.", "active": True,
        "priority": "critical", "state": "unacknowledged", "since": to_text(utc_now()),
        "source": "manhole.lid", "value": True, "first_out": False, "chattering": False,
        "shelf_left_s": None,
    }  # fmt: skip
    look = _snapshot(sumqayit, alarms=[row])
    async with page(look, state=tmp_path, do=do) as (_, port):
        url = f"http://127.0.0.1:{port}/"
        async with opened(chromium, url, tmp_path / "profile", width=390) as browser:
            await browser.until("document.querySelectorAll('#alarms button').length === 4")
            await browser.value("document.querySelector('[data-do=acknowledge]').click()")
            await browser.until("document.querySelector('#login').open")
            for name, text in (("name", "ali"), ("password", "correct horse 9")):
                await browser.value(f"document.querySelector('#{name}').value = '{text}'")
            await browser.value("document.querySelector('#login-form').requestSubmit()")
            await browser.until("document.querySelector('#said').innerText.includes('lid: ack')")
            assert done == [{"do": "acknowledge", "alarm": "lid", "by": "ali"}]
            assert await browser.value("document.querySelector('#user').innerText") == "ali"

            await browser.value("document.querySelector('[data-do=shelve]').focus()")
            await asyncio.sleep(1.5)  # a snapshot comes each second, and takes no focus away
            assert await browser.value("document.activeElement.dataset.do") == "shelve"
            await browser.value("document.activeElement.click()")
            await browser.until("document.querySelector('#deed').open")
            await browser.value("document.querySelector('#text').value = 'lid is under repair'")
            await browser.value("document.querySelector('#deed-form').requestSubmit()")
            await browser.until(
                "document.querySelector('#said').innerText.startsWith('✕ an alarm')"
            )
            assert await browser.value("document.documentElement.scrollWidth") <= 390
            assert len(done) == 1
            assert [error for error in browser.errors if "409" not in error] == []


async def test_the_support_bundle_is_taken_at_the_page(tmp_path, sumqayit):
    """A click on the diagnostics asks for the login, then hands the file on."""
    chromium = need("chromium")
    save_person(tmp_path, "ali", "correct horse 9", utc_now())
    async with page(_snapshot(sumqayit), state=tmp_path) as (_, port):
        url = f"http://127.0.0.1:{port}/diagnostics"
        async with opened(chromium, url, tmp_path / "browser") as browser:
            button = "document.querySelector('[data-do=support]')"
            await browser.until(f"Boolean({button}?.offsetParent)")
            await browser.value(f"{button}.click()")
            for name, word in {"name": "ali", "password": "correct horse 9"}.items():
                await browser.value(f"document.querySelector('#{name}').value = '{word}'")
            await browser.value("document.querySelector('#login-form').requestSubmit()")
            await browser.until("document.querySelector('#said').innerText.startsWith('✓')")
            said = await browser.value("document.querySelector('#said').innerText")
            assert said == "✓ station: support bundle made"
            assert browser.errors == []


async def test_a_station_file_that_was_not_taken_is_shown(tmp_path, sumqayit):
    """The card says what runs on and what is wrong with the file, cut to what is listed."""
    chromium = need("chromium")
    trouble = {
        "text": "the file on disk cannot be taken; running configuration 1a2b since noon",
        "at": to_text(utc_now()), "problems": ["s.toml:44: unit_id: must be 1 to 247"], "count": 3,
    }  # fmt: skip
    look = _snapshot(sumqayit, trouble=trouble)
    async with page(look) as (_, port):
        url = f"http://127.0.0.1:{port}/"
        async with opened(chromium, url, tmp_path, width=390) as browser:
            await browser.until("document.querySelectorAll('#health .card.is-warn').length === 1")
            words = await browser.value("document.querySelector('#health .is-warn').innerText")
            for said in ("Station file", "? not taken", trouble["text"], *trouble["problems"]):
                assert said in words
            assert "and 2 more problems" in words
            assert await browser.value("document.documentElement.scrollWidth") <= 390


async def test_a_page_that_hears_nothing_says_so(tmp_path, sumqayit):
    """When the gateway dies nothing on the page is called good or up, and it says since when."""
    chromium = need("chromium")
    image = Image(sumqayit)
    look = _snapshot(sumqayit, image, is_up=True)

    def living():
        image.put("room", {"temperature": _good(21.5), "humidity": _good(40.0)})
        return look()

    async with page(living) as (_, port):
        browser_at = opened(chromium, f"http://127.0.0.1:{port}/devices", tmp_path)
        browser = await browser_at.__aenter__()
        await browser.until("document.querySelectorAll('#devices tr').length === 161")
        good = "[...document.querySelectorAll('td.quality')].filter((c) => c.innerText === 'good')"
        assert await browser.value(f"{good}.length") == 2
    try:
        await browser.until("document.body.classList.contains('lost')")
        verdict = await browser.value("document.querySelector('#verdict').innerText")
        assert verdict.startswith("✕ No word from the gateway since ")
        assert verdict.endswith(" UTC: nothing below is current")
        assert await browser.value(f"{good}.length") == 0
        words = await browser.value("document.querySelector('#health').innerText")
        assert words.count("? was up") == 3 and "? was writing" in words
        # Past their maximum age (8 s) they are stale, by the page's own clock.
        await browser.until(
            "[...document.querySelectorAll('tr.bad')].filter((row) => "
            "/, good .* ago.*stale/s.test(row.innerText)).length === 2"
        )
    finally:
        await browser_at.__aexit__(None, None, None)


def test_a_snapshot_has_room_for_so_many_alarms(sumqayit):
    """Beside the most urgent it says how many there are more, and its verdict does, too."""
    row = {"id": "x", "text": "Lid", "priority": "major", "state": "unacknowledged"}
    row |= {"source": "a.b", "since": to_text(utc_now())}
    found = _snapshot(sumqayit, alarms=[row] * 10_000)()
    faults = [fault["what"] for fault in found["verdict"]["faults"]]

    assert (len(found["alarms"]), found["alarms_more"]) == (500, 9500)
    assert len(faults) == 201 and faults[-1].endswith(" more that are not listed here")


def _good(number, minutes_ago=0):
    span_s = 60.0 * minutes_ago
    at = utc_now() - timedelta(seconds=span_s)
    return Value(Quality.GOOD, None, number, at, time.monotonic() - span_s)


@pytest.mark.parametrize("width", [1440, 390])
async def test_the_cable_is_on_the_overview_with_its_fault(tmp_path, sumqayit, width):
    """Both ends, the fault in words and as a picture that loads; one end not known is said."""
    chromium = need("chromium")
    text = "shunt fault 143.2 km from Sumqayit (95 %: 141.9 to 144.6), between repeaters 1 and 2"
    file = sumqayit.cable_file
    watch = {
        "name": file.cable.name, "length_km": 380.0, "at": to_text(utc_now()),
        "ends": {
            "sumqayit": {"name": "Sumqayit", "volts": 147.0, "amps": 1.0005},
            "aktau": {"name": "Aktau", "volts": None, "amps": None},
        },
        "balance_v": -135.2, "sum_v": 563.9, "leak_a": 0.0009,
        "trouble": "Aktau: pfe is not heard of", "since": to_text(utc_now()), "heard_at": None,
        "standing": [{"what": "shunt", "text": text, "since": to_text(utc_now()), "place": None}],
    }  # fmt: skip
    look = _snapshot(sumqayit, cable=watch)
    async with (
        page(look, draw=lambda _: picture(file, Shown(147.0, 1.00045), None)) as (_, port),
        opened(chromium, f"http://127.0.0.1:{port}/", tmp_path, width=width) as browser,
    ):
        await browser.until("document.querySelector('img.cable')?.naturalWidth === 960")
        shown = await browser.value("document.getElementById('line').innerText")

        assert "147.0 V" in shown and "1.0005 A" in shown
        assert "balance -135.2 V, sum 563.9 V, currents differ by +0.9 mA" in shown
        assert text in shown and "? not known" in shown and "Aktau: pfe is not heard of" in shown
        assert await browser.value("document.querySelector('img.cable').alt") == text
        assert await browser.value("document.documentElement.scrollWidth") <= width
        assert browser.errors == []


def _snapshot(
    station, image=None, uplinks=None, *, is_up=False, alarms=(), trouble=None, cable=None
):
    class NoOutbox:
        journal, first, last, written, health = "0" * 32, 0, 0, 0, None

    why = None if is_up else "not reached yet"
    boards = {name: BoardStatus(is_up, why, utc_now()) for name in station.boards}
    image = image or Image(station)
    directs = {name: DirectStatus(is_up, why, utc_now()) for name in station.directs}
    known = {"boards": boards, "directs": directs, "uplinks": uplinks or {}}
    known |= {"alarms": alarms, "started_at": utc_now(), "clock": StationClock()}
    known |= {"config_trouble": trouble, "cable_watch": cable}

    def look():
        return snapshot(station, image, NoOutbox(), **known)

    return look
