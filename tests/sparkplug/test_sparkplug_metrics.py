"""Points and values as metrics: types that hold them, times that are theirs."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shorewatch.model import NEVER, Quality, Reason, Value
from shorewatch.point import Point
from shorewatch.sparkplug.metrics import (
    BAD,
    GOOD,
    STALE,
    PointMetric,
    Said,
    datatype_of,
    fitted,
    is_lost,
    point_metrics,
)
from shorewatch.sparkplug.payload import DataType

AT = datetime(2026, 11, 22, 16, 44, tzinfo=UTC)
AT_MS = round(AT.timestamp() * 1000)
LATER_MS = AT_MS + 3_600_000
GOOD_VALUE = Value(Quality.GOOD, value=7.5, acquired_at=AT, acquired_s=1.0)


def point(**more) -> Point:
    keys = {"id": "p", "name": "P", "table": "holding", "type": "f32", "address": 0}
    return Point.model_validate(keys | more)


def metric(**more) -> PointMetric:
    made = point(**more)
    return PointMetric(made, 5, datatype_of(made))


@pytest.mark.parametrize(
    ("keys", "datatype"),
    [
        ({"type": "bit", "table": "coil"}, DataType.BOOLEAN),
        ({"type": "string", "registers": 4}, DataType.STRING),
        ({"type": "enum", "labels": {"0": "off"}}, DataType.STRING),
        ({"type": "bits32"}, DataType.UINT32),
        ({"type": "f32"}, DataType.DOUBLE),
        ({"type": "s16", "scale": 0.1}, DataType.DOUBLE),
        ({"type": "u16"}, DataType.INT32),
        ({"type": "u32"}, DataType.INT64),
        ({"type": "s64"}, DataType.INT64),
        ({"type": "u64"}, DataType.UINT64),
        ({"type": "u64", "offset": -1}, DataType.DOUBLE),
        ({"type": "s32", "scale": 1000}, DataType.INT64),
    ],
)
def test_a_points_datatype_holds_all_of_its_values(keys, datatype):
    """By type and scale: whole numbers stay whole as far as 64 bits go."""
    assert datatype_of(point(**keys)) is datatype


@given(st.sampled_from(["u16", "s16", "u32", "s32", "u64", "s64"]), st.data())
def test_every_raw_number_fits(kind, data):
    """What a point makes of any raw number is a value of its datatype, exact but for doubles."""
    scale = data.draw(st.sampled_from([1, 10, -1, 0.1]))
    made = metric(type=kind, scale=scale)
    assert made.point.raw_bounds is not None
    raw = data.draw(st.integers(*made.point.raw_bounds))
    value = made.point.converter()(raw)

    exact = float(value) if made.datatype is DataType.DOUBLE else value
    assert fitted(value, made.datatype) == exact


def test_a_good_value_has_its_own_time():
    """However late it is told, a value keeps the time of its acquisition."""
    assert metric().said(GOOD_VALUE, LATER_MS) == Said(7.5, GOOD, None, AT_MS)


def test_a_stale_value_is_the_last_good_one_at_its_time():
    """Stale is Quality 500: the old value, never with a fresh time."""
    stale = GOOD_VALUE.aged(1.0 + 3600, 5.0)

    assert metric().said(stale, LATER_MS) == Said(7.5, STALE, "stale", AT_MS)


def test_a_bad_value_is_null():
    """Without an answer there is no number, and the time says since when."""
    bad = GOOD_VALUE.made_bad(Reason.DEVICE_TIMEOUT)

    assert metric().said(bad, LATER_MS) == Said(None, BAD, "device-timeout", LATER_MS)


def test_an_uncertain_value_is_no_good_one():
    """Sparkplug has no word for uncertain: the number goes out as bad, with its reason."""
    doubt = Value(Quality.UNCERTAIN, Reason.CLOCK, 3.0, AT, 1.0)

    assert metric().said(doubt, LATER_MS) == Said(3.0, BAD, "clock-unsynchronised", AT_MS)


@pytest.mark.parametrize(
    ("now", "is_news"),
    [
        (Said(7.5, GOOD, None, LATER_MS), False),
        (Said(8.0, GOOD, None, LATER_MS), False),
        (Said(8.1, GOOD, None, LATER_MS), True),
        (Said(7.5, BAD, "device-doubt", LATER_MS), True),
        (Said(7.5, STALE, "stale", AT_MS), True),
    ],
)
def test_a_change_beyond_the_deadband_is_news(now, is_news):
    """And so is any change of quality or reason; the same value at another time is not."""
    made = metric(deadband=0.5)

    assert made.is_news(Said(7.5, GOOD, None, AT_MS), now) is is_news


def test_a_heartbeat_is_told_twice_within_its_maximum_age():
    """What is kept out of the records is not told at each reading either."""
    made = metric(type="u16", record=False, age_s_max=10.0)
    before = Said(1, GOOD, None, AT_MS)

    assert not made.is_news(before, Said(2, GOOD, None, AT_MS + 4999))
    assert made.is_news(before, Said(2, GOOD, None, AT_MS + 5000))


def test_a_birth_says_what_a_point_is():
    """Unit, range, labels and name stand in the properties of the birth."""
    made = metric(type="u16", unit="V", range=[0, 400], name="Line voltage")
    born = made.birth(made.said(Value(Quality.GOOD, None, 7, AT, 1.0), LATER_MS))

    said = {name: found.value for name, found in born.properties.items()}
    assert said == {
        "documentation": "Line voltage", "readOnly": True, "engUnit": "V",
        "engLow": 0.0, "engHigh": 400.0, "Quality": GOOD,
    }  # fmt: skip
    assert (born.name, born.alias, born.datatype, born.value) == ("p", 5, DataType.INT32, 7)


def test_a_device_is_lost_when_nothing_answers():
    """Every point bad for want of an answer: one that answers with an exception is there."""
    timeout = GOOD_VALUE.made_bad(Reason.DEVICE_TIMEOUT)
    refused = GOOD_VALUE.made_bad(Reason.DEVICE_EXCEPTION)

    assert is_lost({"a": timeout, "b": NEVER})
    assert not is_lost({"a": timeout, "b": refused})
    assert not is_lost({"a": timeout, "b": GOOD_VALUE})


@pytest.mark.parametrize(
    ("value", "datatype", "found"),
    [
        ("18446744073709551615", DataType.UINT64, 2**64 - 1),
        ("on", DataType.INT32, None),
        (2.5, DataType.INT32, None),
        (2.0, DataType.INT32, 2),
        (2**31, DataType.INT32, None),
        (-1, DataType.UINT32, None),
        (True, DataType.DOUBLE, None),
        (1, DataType.BOOLEAN, None),
        (5, DataType.STRING, "5"),
        (3, DataType.DOUBLE, 3.0),
        (None, DataType.STRING, None),
    ],
)
def test_a_recorded_value_fits_or_is_left_out(value, datatype, found):
    """A record may be of a point that was something else: what does not fit is None."""
    assert fitted(value, datatype) == found


def test_aliases_are_one_number_each(station):
    """All points of a station have aliases of their own, from the first one given on."""
    found = point_metrics(station, 100)
    aliases = [one.alias for points in found.values() for one in points.values()]

    assert aliases == list(range(100, 100 + len(aliases)))
    assert found.keys() == station.devices.keys()
