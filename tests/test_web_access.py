"""The page for everybody: no view breaks a rule of axe (WCAG 2.1 A and AA), in either colours.

The rules are axe-core's own, run in the browser from the file that the wheel ships.
"""

import json
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest
from programs import need
from test_web import _good, _snapshot, page
from test_web_past import Journal, records

from shorewatch.bench.browser import opened
from shorewatch.describe import describe
from shorewatch.diary import Diary
from shorewatch.image import Image
from shorewatch.model import to_text, utc_now

VIEWS = {
    "/": "#areas article",
    "/devices": "#devices tr",
    "/alarms": "#past tbody tr",
    "/diagnostics": "#tables article",
    "/device/room": "#tables tr",
    "/trend": "#points option",
}
WORDS = {
    "function": 4, "address": 1, "count": 2, "words": ["00d7", "01f4"], "reason": None,
    "age_s": 0.5,
}  # fmt: skip
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]


def _axe() -> str:
    found = find_spec("axe_playwright_python")
    if found is None or found.origin is None:
        pytest.skip("axe-playwright-python is not installed: its axe.min.js is what judges")
    return (Path(found.origin).parent / "axe.min.js").read_text()


def _look(station):
    """A station with all there is to see: good, doubtful and bad values, alarms of each kind."""
    image = Image(station)
    image.put("room", {"temperature": _good(33.5), "humidity": _good(40.0, minutes_ago=3)})
    row = {
        "id": "lid", "text": "Manhole lid is open", "action": "Call the guard.", "active": True,
        "priority": "critical", "state": "unacknowledged", "since": to_text(utc_now()),
        "source": "manhole.lid", "value": True, "first_out": True, "chattering": True,
        "shelf_left_s": None, "note": None, "left_s": None,
    }  # fmt: skip
    other = {"id": "warm", "priority": "minor", "text": "Room is warm", "state": "acknowledged"}
    hidden = {"id": "damp", "text": "Room is damp", "state": "shelved", "shelf_left_s": 3600}
    trouble = {"text": "not taken", "at": to_text(utc_now()), "problems": ["x"], "count": 2}
    alarms = [row, row | other, row | hidden]
    return _snapshot(station, image, alarms=alarms, trouble=trouble)


@pytest.mark.parametrize("colours", ["light", "dark"])
@pytest.mark.parametrize("view", VIEWS)
async def test_no_view_breaks_a_rule(tmp_path, sumqayit, view, colours):
    """Names, roles, contrast, headings, landmarks: nothing for axe to say."""
    chromium, axe = need("chromium"), _axe()
    diary = Diary(Journal(*records()), list)
    async with page(
        _look(sumqayit),
        about=describe(sumqayit),
        diary=diary.answer,
        history=_nothing,
        words=lambda device: {"device": device, "blocks": [WORDS]},
    ) as (_, port):
        url = f"http://127.0.0.1:{port}{view}"
        async with opened(chromium, url, tmp_path) as browser:
            scheme = {"name": "prefers-color-scheme", "value": colours}
            await browser.call("Emulation.setEmulatedMedia", features=[scheme])
            await browser.until(f"document.querySelectorAll('{VIEWS[view]}').length > 0")
            assert await _broken(browser, axe) == []
            assert browser.errors == []


@asynccontextmanager
async def overview(folder, station, colours="light"):
    """The overview in a browser, with everything on it."""
    async with (
        page(_look(station), about=describe(station)) as (_, port),
        opened(need("chromium"), f"http://127.0.0.1:{port}/", folder) as browser,
    ):
        scheme = {"name": "prefers-color-scheme", "value": colours}
        await browser.call("Emulation.setEmulatedMedia", features=[scheme])
        await browser.until("document.querySelectorAll('#areas article').length > 0")
        yield browser


@pytest.mark.parametrize("colours", ["light", "dark"])
async def test_the_dialogs_break_no_rule(tmp_path, sumqayit, colours):
    """The login, and what asks for a reason."""
    axe = _axe()
    async with overview(tmp_path, sumqayit, colours) as browser:
        await browser.value("document.querySelector('#enter').click()")
        assert await _broken(browser, axe) == []
        await browser.value("document.querySelector('#login').close()")
        await browser.value("document.querySelector('[data-do=shelve]').click()")
        await browser.until("document.querySelector('#deed').open")
        assert await _broken(browser, axe) == []


async def test_axe_finds_what_is_broken(tmp_path, sumqayit):
    """The check can say no: a button without a name, and a text that is too pale."""
    axe = _axe()
    async with overview(tmp_path, sumqayit) as browser:
        await browser.value("document.querySelector('#enter').textContent = ''")
        await browser.value("document.querySelector('#footer').style.color = '#c0c4c5'")
        rules = {one.split(":")[0] for one in await _broken(browser, axe)}
        assert {"button-name", "color-contrast"} <= rules


async def test_the_keyboard_reaches_everything_in_the_order_that_is_seen(tmp_path, sumqayit):
    """No element jumps the queue, and all that does something is a button or a dialog."""
    async with overview(tmp_path, sumqayit) as browser:
        orders = "[...document.querySelectorAll('[tabindex]')].map((one) => one.tabIndex)"
        assert set(await browser.value(orders)) <= {0}
        deeds = "[...document.querySelectorAll('[data-do]')].map((one) => one.tagName)"
        assert set(await browser.value(deeds)) <= {"BUTTON", "DIALOG"}


async def _broken(browser, axe) -> list[str]:
    """What axe says: rule, and where."""
    await browser.value(f"{axe}; window.broken = null; undefined")
    options = json.dumps({"runOnly": TAGS, "resultTypes": ["violations"]})
    await browser.value(
        f"axe.run(document, {options}).then((found) => {{ window.broken = found.violations.flatMap("
        "(v) => v.nodes.map((n) => `${v.id}: ${n.target} ${n.failureSummary}`)); }); undefined"
    )
    await browser.until("window.broken !== null")
    return await browser.value("window.broken")


async def _nothing(request):
    return {
        "point": request["point"], "name": "x", "unit": "V", "health": None, "spans": [],
    }  # fmt: skip
