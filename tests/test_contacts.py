"""Dry contacts from the board's pin to value and record, and what the station file says of them."""

import asyncio
import contextlib
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from shorewatch.assets import asset_folder
from shorewatch.clock import StationClock
from shorewatch.compiled import load_compiled
from shorewatch.config import load_station
from shorewatch.decode import Moment, decode_contacts
from shorewatch.errors import ConfigError
from shorewatch.image import Image
from shorewatch.link import BoardLink
from shorewatch.model import Quality, Reason, utc_now
from shorewatch.mqtt import topics
from shorewatch.outbox import SIZE_BYTES_MIN, Outbox, Record
from shorewatch.plan import compile_board
from shorewatch.report import Reporter

STATION = asset_folder("stations") / "sumqayit.toml"
MOMENT = Moment(utc_now(), 1000.0, 0.002)
ALARM = """
[[alarm]]
id = "lid-switch"
text = "Lid is open"
action = "Call the guard."
priority = "critical"
point = "beach-contacts.lid-switch"
is = "open"
"""


def test_a_contact_off_its_normal_state_is_true(sumqayit):
    """A bit of the board's states is the value, with the words of the contact for it."""
    device = sumqayit.contacts["beach"]
    values = decode_contacts(list(device.points), [0b01, 0b11], MOMENT)

    assert {name: value.value for name, value in values.items()} == {
        "lid-switch": True, "room-door": False,
    }  # fmt: skip
    assert device.points["lid-switch"].text(True) == "open"
    assert device.points["room-door"].text(False) == "closed"


def test_a_contact_that_keeps_no_level_is_bad(sumqayit):
    """What the board calls not valid has no value and no last good one."""
    names = list(sumqayit.contacts["beach"].points)
    value = decode_contacts(names, [0b11, 0b10], MOMENT)["lid-switch"]

    assert (value.quality, value.reason) == (Quality.BAD, Reason.UNSETTLED)
    assert (value.value, value.last_good) == (None, None)


def test_contacts_are_born_like_a_device(sumqayit):
    """A NOC gets name, labels and limits of each contact, and no address on a bus."""
    birth = topics.birth(sumqayit.contacts["pfe-room"])

    assert (birth["device"], birth["board"]) == ("pfe-room-contacts", "pfe-room")
    assert (birth["uart"], birth["unit_id"]) == (None, None)
    assert birth["points"]["pfe-alarm"]["labels"] == {"0": "closed", "1": "open"}


def test_contacts_cost_no_bus(sumqayit):
    """A plan has the contacts as inputs, and none of its blocks reads them."""
    plan = compile_board(sumqayit, "beach")

    assert "beach-contacts" in sumqayit.devices
    assert {block.device.id for block in plan.blocks} == {"manhole", "room"}


def test_an_alarm_may_watch_a_contact(write, station_text):
    """A contact is a point of an alarm, like any other."""
    compiled = load_compiled(write("s.toml", station_text + ALARM))

    rule = next(rule for rule in compiled.rules if rule.id == "lid-switch")
    assert (rule.source, rule.limit) == ("beach-contacts.lid-switch", True)


def test_an_alarm_on_contacts_of_a_damaged_board_is_no_second_problem(write, station_text):
    """A fault of the board is told once, and not again as contacts that do not exist."""
    text = station_text.replace('unique_id = "5357000000010002"', 'unique_id = "?"') + ALARM
    with pytest.raises(ConfigError) as caught:
        load_compiled(write("s.toml", text))

    assert not [p for p in caught.value.problems if "beach-contacts" in str(p)]


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ('id = "room"', 'id = "beach-contacts"', "is the name of the contacts of board beach"),
        ('id = "beach"', f'id = "{"b" * 32}"', "at most 31 characters"),
    ],
)
def test_a_name_that_the_contacts_need_is_refused(write, station_text, before, after, said):
    """No device may have the name of a board's contacts, and no name may become too long."""
    text = station_text.replace(before, after, 1)
    with pytest.raises(ConfigError, match=said):
        load_station(write("s.toml", text))


@contextlib.asynccontextmanager
async def played_board(folder: Path):
    """The virtual board `beach`, with nothing on its buses."""
    command = [sys.executable, "-m", "shorewatch", "plant", "board", str(STATION), "beach"]
    process = await asyncio.create_subprocess_exec(
        *command, "--state-dir", str(folder), stderr=asyncio.subprocess.DEVNULL
    )
    try:
        yield
    finally:
        process.terminate()
        await process.wait()


async def events_of(outbox: Outbox, source: str) -> list[Record]:
    await outbox.settled()
    found = await outbox.read(0, 10_000)
    return [r for r in found if r.kind == "event" and r.body["source"] == source]


async def until(is_true) -> None:
    async with asyncio.timeout(60):
        while not await is_true():
            await asyncio.sleep(0.05)


async def test_an_edge_on_a_board_becomes_value_and_record(tmp_path, sumqayit):
    """A lid opened for 0.3 s is two events in the journal, 0.3 s apart within their uncertainty."""
    image, path = Image(sumqayit), tmp_path / "outbox.sqlite"
    lid = lambda: image.look("beach-contacts")["lid-switch"]  # noqa: E731
    async with (
        Outbox.opened(path, size_bytes_max=SIZE_BYTES_MIN) as outbox,
        played_board(tmp_path),
    ):
        link = BoardLink(
            compile_board(sumqayit, "beach"), tmp_path, image,
            reporter=Reporter(sumqayit), records=outbox, clock=StationClock(),
        )  # fmt: skip
        polling = asyncio.create_task(link.run())

        async def is_closed() -> bool:
            return lid().value is False

        async def is_told() -> bool:
            return len(await events_of(outbox, "beach-contacts.lid-switch")) == 2

        await until(is_closed)
        began_at = utc_now()
        (tmp_path / "boards" / "beach.contacts").write_text("0 0 0\n0 1 300000\n")
        await until(is_told)
        ended_at = utc_now()
        await until(is_closed)
        polling.cancel()
        await asyncio.gather(polling, return_exceptions=True)
        opened, closed = await events_of(outbox, "beach-contacts.lid-switch")

    assert (opened.body["what"], closed.body["what"]) == ("raised", "over")
    spans = [timedelta(seconds=record.body["uncertainty_s"]) for record in (opened, closed)]
    assert began_at - spans[0] <= opened.at <= closed.at <= ended_at + spans[1]
    apart = closed.at - opened.at - timedelta(milliseconds=300)
    assert abs(apart) <= spans[0] + spans[1]
