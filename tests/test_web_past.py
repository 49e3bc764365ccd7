"""The page's past: what happened and how the alarms serve, asked for by a browser."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from programs import need
from test_web import _snapshot, page

from shorewatch.bench.browser import opened
from shorewatch.diary import Diary
from shorewatch.model import utc_now
from shorewatch.store import Record


class Journal:
    """A journal in memory, given whole."""

    journal = "one"

    def __init__(self, *records: Record) -> None:
        self.all = records
        self.first, self.last = 1, len(records)

    async def read_back(self, before, kinds):
        found = [one for one in self.all if one.seq < before and one.kind in kinds]
        return found[::-1], 0


def records():
    at = utc_now() - timedelta(minutes=30)
    alarm = {
        "alarm": "lid", "what": "raised", "state": "unacknowledged", "text": "Lid is open",
        "priority": "critical", "source": "manhole.lid",
    }  # fmt: skip
    return [
        Record(1, "event", at, {"source": "gateway", "what": "started", "version": "1"}),
        Record(2, "alarm", at + timedelta(minutes=1), alarm),
        Record(3, "note", at + timedelta(minutes=2), {"by": "ali", "text": "guard is on his way"}),
        Record(4, "alarm", at + timedelta(minutes=3), alarm | {"alarm": "warm", "priority": "minor",
               "source": "room.temperature", "text": "<b>Room is warm"}),
        Record(5, "event", at + timedelta(minutes=4), {"source": "contacts.door", "what": "raised",
               "board": "beach", "uncertainty_s": 0.0042, "text": "x"}),
    ]  # fmt: skip


async def test_the_past_is_asked_for_by_its_address():
    """History, figures and events answer as JSON; what makes no sense is a 400 with the rule."""
    diary = Diary(Journal(*records()), list)
    async with page(diary=diary.answer) as (client, _):
        history = (await client.get("/api/v1/alarms/history?priority=minor")).json()
        figures = (await client.get("/api/v1/alarms/figures")).json()
        events = (await client.get("/api/v1/events?source=contacts.door")).json()
        refused = await client.get("/api/v1/events?from=noon")

        assert [row["seq"] for row in history["records"]] == [4]
        assert figures["raised"] == 2
        assert [row["seq"] for row in events["records"]] == [5]
        assert refused.status_code == 400 and "`from`" in refused.json()["error"]


@pytest.mark.parametrize("width", [1440, 390])
async def test_the_alarms_view_shows_the_past_and_lets_one_choose(tmp_path, sumqayit, width):
    """Alarms and notes first, then by priority, then events with their uncertainty; all fits."""
    chromium = need("chromium")
    diary = Diary(Journal(*records()), list)
    async with (
        page(_snapshot(sumqayit), diary=diary.answer) as (_, port),
        opened(chromium, f"http://127.0.0.1:{port}/alarms", tmp_path, width=width) as browser,
    ):
        rows = "document.querySelectorAll('#past tbody tr').length"
        text = "document.querySelector('#past').innerText"
        await browser.until(f"{rows} === 3")
        assert "guard is on his way" in await browser.value(text)
        assert "<b>Room is warm" in await browser.value(text)
        reach = await browser.value("document.querySelector('#past-said').innerText")
        assert reach.startswith("3 records; the journal reaches back to ")
        await browser.until("document.querySelectorAll('#figures article').length === 6")
        assert "2 alarms since" in await browser.value(
            "document.querySelector('#figures').innerText"
        )

        await _choose(browser, priority="critical")
        await browser.until(f"{rows} === 1")
        await _choose(browser, list="events")
        await browser.until(f"{rows} === 2")
        assert "± 4.2 ms" in await browser.value(text)
        assert await browser.value("document.documentElement.scrollWidth") <= width
        assert browser.errors == []


async def test_a_hundred_thousand_alarms_leave_the_page_usable(tmp_path, sumqayit):
    """The most urgent stand there, the rest is a number, and the page answers a click."""
    chromium = need("chromium")
    row = {
        "id": "a", "text": "Lid", "action": "", "active": True, "priority": "minor", "value": 1,
        "state": "acknowledged", "since": None, "source": "a", "first_out": False, "note": None,
        "chattering": False, "shelf_left_s": None, "left_s": None,
    }  # fmt: skip
    alarms = [row | {"id": f"a{i}"} for i in range(100_000)]
    async with (
        page(_snapshot(sumqayit, alarms=alarms), diary=Diary(Journal(), list).answer) as (_, port),
        opened(chromium, f"http://127.0.0.1:{port}/alarms", tmp_path) as browser,
    ):
        await browser.until("document.querySelectorAll('#alarms article').length === 101")
        last = "document.querySelector('#alarms article:last-child').innerText"
        assert "and 99900 more alarms" in await browser.value(last)
        await browser.value("document.querySelector('#enter').click()")
        assert await browser.value("document.querySelector('#login').open")


async def test_a_long_past_is_shown_so_far_and_says_so(tmp_path, sumqayit):
    """Page by page up to 2000 rows of 100 000, then where to go on; a new journal is told."""
    chromium = need("chromium")
    event = records()[0]
    journal = Journal(*(replace(event, seq=seq) for seq in range(1, 100_001)))
    diary = Diary(journal, list)
    async with (
        page(_snapshot(sumqayit), diary=diary.answer) as (_, port),
        opened(chromium, f"http://127.0.0.1:{port}/alarms", tmp_path) as browser,
    ):
        rows = "document.querySelectorAll('#past tbody tr').length"
        said = "document.querySelector('#past-said').innerText"
        await browser.until(f"{said}.startsWith('No record')")
        await _choose(browser, list="events")
        for count in range(100, 2001, 100):
            await browser.until(f"{rows} === {count}")
            assert (count < 2000) == (not await browser.value(_MORE + ".hidden"))
            await browser.value(f"{_MORE}.click()")
        assert "and more: ask for another time" in await browser.value(said)

        await _choose(browser, list="events")
        await browser.until(f"{rows} === 100")
        journal.journal = "two"
        await browser.value(f"{_MORE}.click()")
        await browser.until(f"{said}.includes('another journal has begun')")
        assert await browser.value(rows) == 100


_MORE = "document.querySelector('#past-more')"


async def _choose(browser, **values):
    for name, value in values.items():
        field = f"document.forms['past-form'].elements[{json.dumps(name)}]"
        await browser.value(f"{field}.value = {json.dumps(value)}")
    await browser.value("document.forms['past-form'].requestSubmit()")
