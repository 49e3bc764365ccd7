"""intake.py: what was read becomes image and records, whoever read it."""

import logging
import time

import pytest
from test_link import Kept

from shorewatch.image import Image
from shorewatch.intake import Intake
from shorewatch.model import Quality, Reason, Value, utc_now
from shorewatch.report import Reporter


@pytest.fixture
def taken(sumqayit):
    image, records = Image(sumqayit), Kept()
    log = logging.getLogger("test")
    return Intake("direct/x", image, Reporter(sumqayit), records, log), image, records


def warm(celsius):
    return {"temperature": Value(Quality.GOOD, None, celsius, utc_now(), time.monotonic())}


async def test_values_are_kept_and_changes_recorded(taken):
    """A value goes into the image each time, and on record when it has changed."""
    intake, image, records = taken
    for celsius in (21.5, 21.5, 23.0):
        await intake.take("room", warm(celsius), utc_now())

    assert image.look("room")["temperature"].value == 23.0
    assert [body["points"]["temperature"] for _, body in records.all] == [21.5, 23.0]


async def test_a_source_that_is_lost_takes_its_devices_along(taken):
    """Every point of its devices is bad for that reason, on record too, and no other device is."""
    intake, image, records = taken
    await intake.take("room", warm(21.5), utc_now())
    await intake.lose(["room"], Reason.LINK_DOWN, utc_now())

    assert image.look("room")["temperature"].reason is Reason.LINK_DOWN
    assert image.look("room")["temperature"].last_good == 21.5
    assert image.look("pfe")["line_current"].reason is Reason.NEVER_READ
    assert set(records.all[-1][1]["bad"].values()) == {"link-down"}


async def test_who_comes_and_goes_is_an_event(taken, caplog):
    """Coming is said without a reason and going with one, in the log and on record."""
    intake, _, records = taken
    await intake.say("up", None, utc_now())
    await intake.say("down", "no answer", utc_now())

    assert [body for _, body in records.all] == [
        {"source": "direct/x", "what": "up"},
        {"source": "direct/x", "what": "down", "why": "no answer"},
    ]
    assert [r.getMessage() for r in caplog.records][-1] == "direct x is down: no answer"
