"""model.py, decode.py, image.py, report.py: from registers to values that can be trusted."""

from dataclasses import FrozenInstanceError, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shorewatch import decode
from shorewatch.decode import DeviceCounters, Moment, decode_block, parse_header
from shorewatch.errors import WrongBoardError
from shorewatch.image import Image
from shorewatch.model import (
    NEVER,
    Quality,
    Reason,
    Value,
    from_text,
    good_value,
    to_json,
    to_text,
)
from shorewatch.plan import blocks_alone, compile_board
from shorewatch.profile import load_profiles
from shorewatch.report import Reporter
from shorewatch.status import _hint

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
MOMENT = Moment(NOW, 1000.0, 0.002)


def good(value: float, at_s: float = 1000.0) -> Value:
    return Value(Quality.GOOD, None, value, NOW, at_s)


@pytest.fixture
def room(sumqayit):
    """The block of the room sensor."""
    (block,) = [b for b in compile_board(sumqayit, "beach").blocks if b.device.id == "room"]
    return block


def served(block, status: int, age_ms: int, data: list[int]) -> list[int]:
    return [7, status, age_ms >> 16, age_ms & 0xFFFF, *data]


def test_a_good_block_becomes_good_values_with_their_time(room):
    """Values are acquired the served age before the read."""
    values = decode_block(room, served(room, 1, 250, [235, 481]), MOMENT)

    assert values["temperature"].value == 23.5
    assert values["humidity"].value == 48.1
    assert values["humidity"].acquired_at == NOW - timedelta(milliseconds=250)
    assert values["humidity"].acquired_s == pytest.approx(999.75 - 0.25 * MOMENT.rate_max)


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (2, Reason.DEVICE_TIMEOUT),
        (3, Reason.DEVICE_GARBLED),
        (4, Reason.DEVICE_GARBLED),
        (0x0205, Reason.DEVICE_EXCEPTION),
        (99, Reason.DEVICE_GARBLED),
    ],
)
def test_a_failed_block_keeps_its_last_good_values_apart(room, status, reason):
    """After a failed read the values are bad, and say what they last were and when."""
    value = decode_block(room, served(room, status, 60_000, [235, 481]), MOMENT)["temperature"]

    assert (value.quality, value.reason, value.value) == (Quality.BAD, reason, None)
    assert (value.last_good, value.last_good_at) == (23.5, NOW - timedelta(seconds=60))


def test_a_block_never_read_has_no_values(room):
    """Without data there is neither a value nor a last good one."""
    value = decode_block(room, served(room, 0, decode.AGE_NEVER, [0, 0]), MOMENT)["temperature"]

    assert value == NEVER


def test_bits_are_unpacked_from_the_first_one(sumqayit):
    """Bit 0 of the first register is the first contact."""
    (block,) = [b for b in compile_board(sumqayit, "beach").blocks if b.function == 2]

    values = decode_block(block, served(block, 1, 0, [0b10]), MOMENT)

    assert (values["lid"].value, values["water"].value) == (False, True)


def test_a_header_is_parsed_and_a_strange_one_refused():
    """The header's words become facts; another magic or map version is no board of ours."""
    words = [0] * decode.HEADER_SIZE
    words[0:9] = [0x5357, 1, 0xDEAD, 0xBEEF, 0x0102, 3, 0, 9, 2]
    words[10:13] = [1, 0, 5]

    header = parse_header(words)

    assert header.plan_crc == 0xDEADBEEF
    assert header.firmware == "1.2.3"
    assert header.boot_reason == "watchdog"
    assert header.clock_ms == (1 << 32) + 5
    with pytest.raises(WrongBoardError, match="no Shorewatch board"):
        parse_header([0] * decode.HEADER_SIZE)
    with pytest.raises(WrongBoardError, match="image map 2"):
        parse_header([0x5357, 2, *words[2:]])


def test_values_age_out_whoever_looks(sumqayit):
    """A good value is bad (stale) once it is older than its maximum age; its number moves aside."""
    now_s = 1000.0
    image = Image(sumqayit, clock=lambda: now_s)
    image.put("room", {"temperature": good(21.0)})

    now_s = 1000.0 + sumqayit.devices["room"].points["temperature"].age_max_s
    assert image.look("room")["temperature"].quality is Quality.GOOD
    now_s += 0.001
    value = image.look("room")["temperature"]

    assert (value.quality, value.reason, value.value) == (Quality.BAD, Reason.STALE, None)
    assert value.last_good == 21.0


async def test_what_goes_stale_is_told_once(sumqayit):
    """Whoever finds it first, every watcher and listener hears of each value that went stale."""
    now_s = 1000.0
    image = Image(sumqayit, clock=lambda: now_s)
    image.put("room", {"temperature": good(21.0), "humidity": good(40.0, 1001.0)})
    heard = []
    image.listen(lambda device, values: heard.append((device, *sorted(values))))
    changes = image.watch()

    now_s = 1000.5 + sumqayit.devices["room"].points["temperature"].age_max_s
    image.look("room")
    image.age()
    now_s += 1.0
    image.age()
    image.look("room")

    assert heard == [("room", "temperature"), ("room", "humidity")]
    assert await changes.take() == {"room"}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["put", "put_bad", "look", "age", "wait"]),
            st.sampled_from(["temperature", "humidity"]),
            st.floats(0.0, 9.0),
        ),
        max_size=30,
    )
)
def test_no_order_of_putting_and_looking_keeps_a_value_good(sumqayit, steps):
    """What a look says of a value's age is what the value itself says, whatever came before."""
    now_s = 1000.0
    image = Image(sumqayit, clock=lambda: now_s)
    points = sumqayit.devices["room"].points
    plain = {}
    for do, name, seconds in steps:
        if do == "put":
            plain[name] = good(20.0, now_s - seconds)
            image.put("room", {name: plain[name]})
        elif do == "put_bad":
            image.put_bad("room", Reason.LINK_DOWN)
            plain = {}
        elif do == "age":
            image.age()
        elif do == "wait":
            now_s += seconds
        seen = image.look("room")
        for known, value in plain.items():
            aged = value.aged(now_s, points[known].age_max_s)
            assert (seen[known].quality, seen[known].value) == (aged.quality, aged.value)


def test_the_last_good_value_survives_a_value_that_never_was_one(sumqayit):
    """A sentinel after a good value is bad, and still tells the good one."""
    image = Image(sumqayit, clock=lambda: 1000.0)
    image.put("room", {"temperature": good(21.0)})
    image.put("room", {"temperature": Value(Quality.BAD, Reason.SENTINEL, None, NOW, 1001.0)})

    value = image.look("room")["temperature"]

    assert (value.reason, value.last_good) == (Reason.SENTINEL, 21.0)


async def test_changes_are_heard_once(sumqayit):
    """A watcher takes each changed device once, however often it changed."""
    image = Image(sumqayit)
    changes = image.watch()
    image.put("room", {"temperature": good(21.0)})
    image.put("room", {"temperature": good(22.0)})
    image.put_bad("pfe", Reason.LINK_DOWN)

    assert await changes.take() == {"room", "pfe"}
    changes.close()
    image.put("room", {"temperature": good(23.0)})


def test_only_changes_beyond_the_deadband_are_recorded(sumqayit):
    """Small moves are left out, quality changes never."""
    reporter = Reporter(sumqayit)

    def recorded(value: Value) -> dict[str, object] | None:
        return reporter.changes("room", {"temperature": value})

    assert recorded(good(21.0)) is not None
    assert recorded(good(21.1)) is None
    assert recorded(good(21.2)) == {
        "device": "room",
        "uncertainty_s": 0.0,
        "points": {"temperature": 21.2},
    }
    bad = recorded(good(21.2).made_bad(Reason.STALE))
    assert bad is not None and bad["bad"] == {"temperature": "stale"}
    assert recorded(good(21.2).made_bad(Reason.STALE)) is None
    assert recorded(good(21.2)) is not None


def test_an_unchanged_value_is_recorded_before_half_its_maximum_age(sumqayit):
    """Read every 2 s, stale after 8 s: recorded each 2 to 4 s, changed or not; a bad one once."""
    reporter = Reporter(sumqayit)
    readings = [good(21.0, 1000.0 + 2 * n) for n in range(7)]
    recorded = [
        value.acquired_s
        for value in readings
        if reporter.changes("room", {"temperature": value}) is not None
    ]
    assert recorded == [1000.0, 1004.0, 1008.0, 1012.0]

    bad = readings[-1].made_bad(Reason.DEVICE_TIMEOUT)
    assert reporter.changes("room", {"temperature": bad}) is not None
    assert reporter.changes("room", {"temperature": bad}) is None


def test_json_carries_large_integers_as_text(sumqayit):
    """What a double cannot hold goes out as decimal text, in records too; the rest as numbers."""
    assert to_json(2**53 - 1) == 2**53 - 1
    assert to_json(2**53) == "9007199254740992"
    assert to_json(-(2**63)) == "-9223372036854775808"
    assert to_json(True) is True
    body = Reporter(sumqayit).changes("room", {"temperature": good(2**63 + 1)})
    assert body is not None and body["points"] == {"temperature": "9223372036854775809"}


def test_a_frozen_heartbeat_makes_the_device_bad(sumqayit):
    """Standing still for more than 10 s, the heartbeat takes every point of its device with it."""
    image = Image(sumqayit, clock=lambda: 1011.0)
    image.put("manhole", {"lid": good(False, 1010.9), "heartbeat": good(5, 1000.0)})
    image.put("manhole", {"heartbeat": good(5, 1010.0)})
    assert image.look("manhole")["heartbeat"].quality is Quality.GOOD

    kept = image.put("manhole", {"heartbeat": good(5, 1010.1), "water_level": good(2.0, 1010.1)})
    assert {value.reason for value in kept.values()} == {Reason.FROZEN}
    assert kept["water_level"].last_good is None
    lid = image.look("manhole")["lid"]
    assert (lid.reason, lid.last_good) == (Reason.FROZEN, False)

    image.put("manhole", {"heartbeat": good(6, 1011.0)})
    assert image.look("manhole")["heartbeat"].quality is Quality.GOOD
    assert image.look("manhole")["lid"].reason is Reason.FROZEN
    image.put("manhole", {"lid": good(False, 1011.0)})
    assert image.look("manhole")["lid"].quality is Quality.GOOD


def test_a_heartbeat_that_is_not_read_is_not_frozen(sumqayit):
    """A device that cannot be reached is bad for that reason."""
    image = Image(sumqayit, clock=lambda: 1020.0)
    image.put("manhole", {"heartbeat": good(5, 1000.0)})
    gone = good(5, 1000.0).made_bad(Reason.DEVICE_TIMEOUT)
    image.put("manhole", {"heartbeat": gone, "lid": gone})

    assert image.look("manhole")["lid"].reason is Reason.DEVICE_TIMEOUT


def test_an_uncertain_value_is_no_last_good_one(sumqayit):
    """After an uncertain value went bad, the good one before it is told."""
    image = Image(sumqayit, clock=lambda: 1000.0)
    image.put("room", {"temperature": good(21.0)})
    doubt = Value(Quality.UNCERTAIN, Reason.UNKNOWN_CODE, 99.0, NOW, 1001.0)
    image.put("room", {"temperature": doubt})
    image.put_bad("room", Reason.LINK_DOWN)

    assert image.look("room")["temperature"].last_good == 21.0


def test_a_clock_that_was_never_set_makes_values_uncertain(room):
    """Read at a wall clock in 1970, a value keeps its number and is uncertain."""
    unset = Moment(datetime(1970, 1, 1, 0, 5, tzinfo=UTC), 1000.0, 0.002)
    value = decode_block(room, served(room, 1, 250, [235, 481]), unset)["temperature"]

    assert (value.value, value.reason) == (23.5, Reason.CLOCK)


def test_times_are_written_in_one_way():
    """Times are UTC with milliseconds, and read back as themselves."""
    at = datetime(2026, 11, 22, 16, 44, 0, 123000, tzinfo=UTC)

    assert to_text(at) == "2026-11-22T16:44:00.123Z"
    assert from_text("2026-11-22T16:44:00.123Z") == at
    with pytest.raises(ValueError, match="zone"):
        from_text("2026-11-22T16:44:00")


def test_a_bad_value_with_a_number_is_a_bug():
    """The type refuses a bad value that carries a number, and a good one with a reason."""
    with pytest.raises(AssertionError):
        Value(Quality.BAD, Reason.STALE, 1.0)
    with pytest.raises(AssertionError):
        Value(Quality.GOOD, Reason.STALE, 1.0)


def test_a_good_value_made_fast_is_a_value_like_any_other():
    """The fast way gives an equal, frozen value that can be replaced and made bad."""
    fast = good_value(1.5, NOW, 1000.0, 0.002)
    checked = Value(Quality.GOOD, None, 1.5, NOW, 1000.0, 0.002)

    assert fast == checked and hash(fast) == hash(checked) and repr(fast) == repr(checked)
    assert replace(fast, value=2.5) == replace(checked, value=2.5)
    assert fast.made_bad(Reason.STALE) == checked.made_bad(Reason.STALE)
    with pytest.raises(FrozenInstanceError):
        fast.value = 3.0  # type: ignore[misc]
    with pytest.raises(AssertionError):
        replace(fast, reason=Reason.STALE)


def test_what_a_device_says_of_its_value_is_told_until_something_else_is_wrong():
    """A sentinel's words stand beside its reason, and go when the value is bad for another."""
    (block,) = [b for b in blocks_alone(load_profiles()["dse-gencomm"], 9600) if b.address == 1024]
    data = [0] * block.registers
    data[0], data[3] = 0xFFFC, 0xFFFE

    values = decode_block(block, served(block, 1, 0, data), MOMENT)

    pressure, fuel = values["oil_pressure"], values["fuel"]
    assert (pressure.reason, pressure.detail) == (Reason.SENTINEL, "transducer fault")
    assert (fuel.reason, fuel.detail) == (Reason.OUT_OF_RANGE, "over range")
    assert pressure.made_bad(Reason.STALE).detail is None
    assert values["speed"].value == 0


def test_an_isometer_tells_its_own_quality():
    """A bound is uncertain with its number; an invalid channel and one of another unit are bad."""
    (block,) = blocks_alone(load_profiles()["bender-isometer"], 9600)
    data = [0] * block.registers
    data[0:3] = [0x47EA, 0x6000, 0x0582]  # 120 kOhm, alarm, real value is higher, Ohm
    data[8:11] = [0x4240, 0x0000, 0x00C4]  # 48 V, invalid
    data[12:15] = [0x3586, 0x37BD, 0x0002]  # in Ohm, where farads are expected

    values = decode_block(block, served(block, 1, 0, data), MOMENT)

    resistance = values["insulation"]
    assert (resistance.value, resistance.quality) == (120_000.0, Quality.UNCERTAIN)
    assert resistance.detail == "real value is higher"
    assert resistance.made_bad(Reason.STALE).detail is None
    assert values["insulation_alarm"].value == "alarm"
    assert (values["voltage"].reason, values["voltage"].detail) == (Reason.SENTINEL, "invalid")
    assert values["capacitance"].reason is Reason.UNKNOWN_CODE
    assert values["capacitance"].value is None


def test_ageing_counts_what_the_boards_clock_may_drift(room):
    """A value that may be older than its maximum age by the gateway's clock is not good."""
    values = decode_block(room, served(room, 1, 4_000, [235, 481]), replace(MOMENT, rate_max=0.01))

    assert values["humidity"].aged(1000.95, 5.0).quality is Quality.GOOD
    assert values["humidity"].aged(1000.97, 5.0).reason is Reason.STALE
    assert values["humidity"].uncertainty_s == MOMENT.uncertainty_s + 0.04


def test_the_walls_uncertainty_ages_nothing():
    """How far UTC may be off makes no value stale: ages are monotonic."""
    value = Value(Quality.GOOD, None, 1.0, NOW, 1000.0, uncertainty_s=9.0)

    assert value.aged(1004.9, 5.0).quality is Quality.GOOD


def test_a_device_that_refuses_an_address_gets_a_hint(sumqayit):
    """Exception 2 on a merged read proposes merge = false; other faults do not."""
    device = sumqayit.devices["mains"]
    counters = DeviceCounters("up", 0, 2, 10, 20, 5, 5)
    bad = {"power": Value(Quality.BAD, Reason.DEVICE_EXCEPTION)}

    assert "set merge = false" in str(_hint(device, bad, counters))
    assert _hint(device, {"power": Value(Quality.BAD, Reason.STALE)}, counters) is None
    assert _hint(device, bad, replace(counters, exception=4)) is None


def test_an_image_keeps_what_is_kept_and_begins_the_rest_anew(sumqayit):
    """Over a change of the station, kept points have their values, others were never read."""
    image = Image(sumqayit, clock=lambda: 1000.0)
    image.put("room", {"temperature": good(21.5), "humidity": good(40.0)})
    image.adopt(sumqayit, {"room": {"temperature"}, "pfe": set()})
    assert image.look("room")["temperature"].value == 21.5
    assert image.look("room")["humidity"] is NEVER


def test_a_heartbeat_that_goes_on_is_not_forgiven(sumqayit):
    """A device that was frozen is frozen after a change that does not concern it."""
    image = Image(sumqayit, clock=lambda: 1020.0)
    for at_s in (1000.0, 1011.0):
        image.put("manhole", {"heartbeat": good(5, at_s), "water_level": good(1.0, at_s)})
    assert image.look("manhole")["water_level"].reason is Reason.FROZEN
    image.adopt(sumqayit, {"manhole": sumqayit.devices["manhole"].points.keys()})
    image.put("manhole", {"heartbeat": good(5, 1012.0), "water_level": good(1.1, 1012.0)})
    assert image.look("manhole")["water_level"].reason is Reason.FROZEN


def test_a_heartbeat_that_is_read_elsewhere_begins_anew(sumqayit):
    """What one register held says nothing of how long the next one has stood still."""
    image = Image(sumqayit, clock=lambda: 1012.5)
    image.put("manhole", {"heartbeat": good(5, 1000.0), "water_level": good(1.0, 1000.0)})
    kept = sumqayit.devices["manhole"].points.keys() - {"heartbeat"}
    image.adopt(sumqayit, {"manhole": kept})
    image.put("manhole", {"heartbeat": good(5, 1012.0), "water_level": good(1.1, 1012.0)})
    assert image.look("manhole")["water_level"].value == 1.1


async def test_only_devices_that_changed_are_told(sumqayit):
    """Who watches the image hears of those with a point that begins anew."""
    image = Image(sumqayit)
    changes = image.watch()
    kept = {d.id: d.points.keys() for d in sumqayit.devices.values()}
    image.adopt(sumqayit, kept | {"room": {"humidity"}})
    assert await changes.take() == {"room"}


def test_a_reporter_records_anew_what_begins_anew(sumqayit):
    """What is kept is not recorded again without a change; the rest is new."""
    reporter = Reporter(sumqayit)
    values = {"temperature": good(21.5), "humidity": good(40.0)}
    reporter.changes("room", values)
    reporter.adopt(sumqayit, {"room": {"temperature"}})
    body = reporter.changes("room", values)
    assert body is not None and body["points"] == {"humidity": 40.0}


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_a_time_that_is_in_no_year_is_refused(text):
    """What no calendar has in UTC is a bad text, as any other."""
    with pytest.raises(ValueError, match="in UTC"):
        from_text(text)
