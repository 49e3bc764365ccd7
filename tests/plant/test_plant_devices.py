"""The simulated devices: their registers, as the profiles decode them, and their refusals."""

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shorewatch.config import Device, Station
from shorewatch.errors import DemoError
from shorewatch.model import Quality, Scalar
from shorewatch.plan import blocks_alone
from shorewatch.plant.device import SimulatedDevice
from shorewatch.plant.devices import servers, simulated
from shorewatch.plant.line import Refusal, answer
from shorewatch.plant.surroundings import Surroundings
from shorewatch.plant.world import World
from shorewatch.point import Point
from shorewatch.profile import Profile, load_profiles

UTC_S = 1_795_000_000.25
SEED = 7
PROFILES = load_profiles()


def device_of(station: Station, device_id: str) -> SimulatedDevice:
    return simulated(station.devices[device_id], station.id, World(SEED))


def decoded(station: Station, device_id: str, utc_s: float) -> dict[str, Scalar | None]:
    """Every point of a device, read with its function and decoded with its profile."""
    device = device_of(station, device_id)
    values: dict[str, Scalar | None] = {}
    for point in station.devices[device_id].points.values():
        words = device.read(point.function, point.address, point.count, utc_s)
        assert not isinstance(words, Refusal)
        value, quality, reason = point.decode(words)
        assert quality is Quality.GOOD, f"{device_id}.{point.id} is bad: {reason}"
        values[point.id] = value
    return values


@pytest.mark.parametrize("station_id", ["sumqayit", "aktau"])
@pytest.mark.parametrize("device_id", ["pfe", "mains", "manhole", "room"])
@given(offset_s=st.floats(0, 3e8))
def test_every_point_is_always_good(
    request: pytest.FixtureRequest, station_id: str, device_id: str, offset_s: float
) -> None:
    """At any moment every point of every shipped device decodes to a good value."""
    station = request.getfixturevalue(station_id)
    assert len(decoded(station, device_id, UTC_S + offset_s)) == len(
        station.devices[device_id].points
    )


def test_the_pfe_ends_have_their_polarity(sumqayit: Station, aktau: Station) -> None:
    """Sumqayit feeds positive; Aktau shows a negative line voltage and the polarity bit."""
    a, b = decoded(sumqayit, "pfe", UTC_S), decoded(aktau, "pfe", UTC_S)
    assert (a["status"], b["status"]) == (0b1_0001, 0b1_1001)
    assert a["line_voltage"] == pytest.approx(282, abs=6)
    assert b["line_voltage"] == pytest.approx(-282, abs=6)
    for values in (a, b):
        assert values["line_current"] == pytest.approx(1.0, abs=0.001)
        assert values["set_current"] == 1.0


def test_the_pfe_snapshot_carries_its_time(sumqayit: Station) -> None:
    """Heartbeat counts seconds modulo 65536, and the device time is the moment of the request."""
    now, later = decoded(sumqayit, "pfe", UTC_S), decoded(sumqayit, "pfe", UTC_S + 3)
    assert now["device_time"] == UTC_S
    assert later["heartbeat"] == (int(now["heartbeat"] or 0) + 3) % 65536


def test_the_pfe_serves_one_map_under_03_and_04(sumqayit: Station) -> None:
    """Both functions read the same 64 registers in one request; four converters are there."""
    device = device_of(sumqayit, "pfe")
    words = device.read(4, 0, 64, UTC_S)
    assert not isinstance(words, Refusal)
    assert words == device.read(3, 0, 64, UTC_S)
    converters = [list(words[20 + 4 * k : 24 + 4 * k]) for k in range(4)]
    assert all(status == 1 and 690 < tenths < 720 for status, tenths, _, _ in converters)
    assert list(words[36:60]) == [0] * 24


@pytest.mark.parametrize(
    ("device_id", "pdu", "reply_pdu"),
    [
        ("pfe", "01 0000 0001", "81 01"),
        ("pfe", "06 000f 2710", "86 01"),
        ("pfe", "10 000f 0001 02 2710", "90 01"),
        ("pfe", "2b 0e 01 00", "ab 01"),
        ("pfe", "04 0000 0041", "84 02"),
        ("pfe", "03 0040 0001", "83 02"),
        ("manhole", "02 0000 0003", "82 02"),
        ("manhole", "04 0005 0001", "84 02"),
        ("manhole", "03 0000 0001", "83 01"),
        ("room", "04 0000 0001", "84 02"),
        ("room", "04 0001 0003", "84 02"),
        ("room", "03 0100 0001", "83 02"),
        ("room", "03 0101 0005", "83 02"),
        ("room", "06 0101 0002", "86 01"),
        ("mains", "04 0001 0002", "84 02"),
        ("mains", "04 0000 0003", "84 02"),
        ("mains", "04 0000 0052", "84 03"),
        ("mains", "04 0156 0004", "84 02"),
        ("mains", "03 0000 0002", "83 01"),
    ],
)
def test_refusals(sumqayit: Station, device_id: str, pdu: str, reply_pdu: str) -> None:
    """Each device refuses what it does not have, with the exception code of the real one."""
    device = device_of(sumqayit, device_id)
    assert answer(device, bytes.fromhex(pdu), UTC_S) == bytes.fromhex(reply_pdu)


def test_the_climate_sensor_shows_its_settings(sumqayit: Station) -> None:
    """Holding registers 0x0101 to 0x0104 are unit id 1, baud code 0 (9600) and no corrections."""
    assert device_of(sumqayit, "room").read(3, 0x0101, 4, UTC_S) == [1, 0, 0, 0]


def test_the_meter_reads_zero_between_its_values(sumqayit: Station) -> None:
    """Up to 80 registers come in one request, and those without meaning are 0.0."""
    words = device_of(sumqayit, "mains").read(4, 0x0100, 80, UTC_S)
    assert words == [0] * 80
    assert not isinstance(device_of(sumqayit, "mains").read(4, 0x0156, 2, UTC_S), Refusal)


@given(offset_s=st.floats(0, 3e8), step_s=st.floats(1, 1e6))
def test_energy_rises(offset_s: float, step_s: float) -> None:
    """The energy meter never runs backwards."""
    around = Surroundings("sumqayit", SEED)
    at_s = UTC_S + offset_s
    before, after = (float(around.mains(s)["energy_import"]) for s in (at_s, at_s + step_s))
    assert before < after


def test_water_in_a_quiet_manhole_is_from_the_ground(sumqayit: Station) -> None:
    """Where water stands, its conductivity is far from the Caspian's; the float stays dry."""
    for hour in range(48):
        values = decoded(sumqayit, "manhole", UTC_S + 3600 * hour)
        assert 0.010 < float(values["water_level"] or 0) < 0.05
        assert 0.9 < float(values["conductivity"] or 0) < 1.3
        assert values["water"] is False


def test_another_process_has_the_same_world() -> None:
    """The same seed and time give the same values in a process of its own."""
    code = (
        "from shorewatch.plant.world import World; world = World(3);"
        f"print(world.site('aktau').around.mains({UTC_S}), world.seen('B', {UTC_S}))"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    world = World(3)
    expected = f"{world.site('aktau').around.mains(UTC_S)} {world.seen('B', UTC_S)}"
    assert printed.strip() == expected


def test_a_bus_has_its_devices_only(sumqayit: Station) -> None:
    """A line holds exactly the units that the station file puts on that bus."""
    board = sumqayit.boards["pfe-room"]
    assert list(servers(sumqayit, board.id, board.bus[0], World(SEED))) == [1]
    assert list(servers(sumqayit, board.id, board.bus[1], World(SEED))) == [10]


def test_an_unknown_type_is_named(sumqayit: Station) -> None:
    """A device whose profile has no simulation is an error that names device and profile."""
    known = sumqayit.devices["pfe"]
    profile = known.profile.model_copy(update={"id": "unheard-of"})
    with pytest.raises(DemoError, match=r"'pfe'.*'unheard-of'.*xy-md02"):
        simulated(Device(known.config, profile, known.board, known.bus), "sumqayit", World(SEED))


def sound_value(profile: Profile, point: Point, data: st.DataObject) -> Scalar:
    """A value that a device of the type may have; what others are tied to lets them be good."""
    for tied in profile.point:
        if tied.scale_by is not None and tied.scale_by.enum == point.id:
            return [*tied.scale_by.factors][-1]
        if tied.quality_by is not None and tied.quality_by.point == point.id:
            doubtful = {*tied.quality_by.bad, *tied.quality_by.uncertain}
            return next(label for label in point.labels.values() if label not in doubtful)
    if point.type == "string":
        return data.draw(st.text(st.characters(codec="ascii", categories="L"), max_size=8))
    if point.type == "bit":
        return data.draw(st.booleans())
    if point.type in ("bits", "bits32"):
        bits = [int(bit) for bit in point.labels] or [0]
        return sum(1 << bit for bit in data.draw(st.sets(st.sampled_from(bits))))
    if point.labels:
        return data.draw(st.sampled_from([*point.labels.values()]))
    low, high = point.range or (0, 1000)
    if point.type[0] in "us" and point.scaling.is_whole and point.scale_by is None:
        return data.draw(st.integers(int(low), min(int(high), 30_000)))
    # Four decimals leave 16 bits no more than 3.2767.
    return data.draw(st.floats(low, min(high, 3 if point.scale_by else 100)))


@pytest.mark.parametrize("name", sorted(PROFILES))
@settings(max_examples=25)
@given(data=st.data())
def test_what_a_device_of_any_shipped_type_has_is_what_is_decoded(
    name: str, data: st.DataObject
) -> None:
    """Values put into registers by a profile come out of its requests, within their resolution."""
    profile = PROFILES[name]
    values = {point.id: sound_value(profile, point, data) for point in profile.point}
    device = SimulatedDevice({}, profile.point, lambda utc_s: values, {}, 0.0)
    tables = {point.function: point.table for point in profile.point}

    for block in blocks_alone(profile, 19200):
        cells = device.cells(tables[block.function], UTC_S)
        read = [cells.get(at, 0) for at in range(block.address, block.address + block.count)]
        if block.function < 3:
            read = [sum(bit << i for i, bit in enumerate(read))]
        for point_id, found in block.decoder.decode(read).items():
            wanted, point = values[point_id], profile.points[point_id]
            if isinstance(wanted, float):
                resolution = float(point.scaling.gain) if point.type[0] in "us" else 0.0
                assert found == pytest.approx(wanted, rel=1e-6, abs=max(resolution, 1e-9))
            else:
                assert found == wanted
