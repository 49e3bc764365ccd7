"""Every shipped device type as a simulated device: read over a line, refused where it would be."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shorewatch.config import Station
from shorewatch.conversion import Doubt, Found
from shorewatch.direct.frame import crc16, with_crc
from shorewatch.plan import blocks_alone
from shorewatch.plant.devices import TYPES, simulated
from shorewatch.plant.line import Line, answer
from shorewatch.plant.world import World
from shorewatch.profile import load_profiles

UTC_S = 1_795_000_003.25
PROFILES = sorted(load_profiles())
# What these types never have: the sender for oil is not fitted.
ABSENT = {("dse-gencomm", "oil_temperature")}


def asked(line: Line, pdu: bytes, unit_id: int) -> bytes:
    """One request over the line and its reply's PDU, as a client would take it."""
    line.hear(1.0, with_crc(bytes([unit_id]) + pdu))
    reply, now_s = b"", 1.0
    while (wake_s := line.wake_s) is not None and wake_s < 10:
        now_s = max(now_s, wake_s)
        reply += line.take(now_s)
    assert crc16(reply) == 0 and reply[0] == unit_id
    return reply[1:-2]


def read_over_a_line(
    station: Station, name: str, world: World, utc_s: float = UTC_S
) -> dict[str, Found]:
    """All blocks of a device, each by a request of its own, decoded by its profile."""
    device = station.devices[name]
    unit_id = device.config.unit_id
    server = simulated(device, station.id, world)
    values: dict[str, Found] = {}
    for block in blocks_alone(device.profile, 19200):
        line = Line({unit_id: server}, char_s=0.0005, t35_s=0.002, utc=lambda now_s: utc_s)
        pdu = bytes([block.function]) + block.address.to_bytes(2) + block.count.to_bytes(2)
        reply = asked(line, pdu, unit_id)
        assert reply[0] == block.function, f"{name} refuses {pdu.hex()} by {reply.hex()}"
        data = reply[2:]
        words = [int.from_bytes(data[i : i + 2]) for i in range(0, len(data), 2)]
        if block.function < 3:
            words = [int.from_bytes(data, "little")]
        values |= block.decoder.decode(words)
    return values


def test_each_shipped_type_has_a_simulation() -> None:
    """No profile is without a simulated device, and none is simulated that has no profile."""
    assert sorted(TYPES) == PROFILES


@pytest.mark.parametrize("name", PROFILES)
def test_what_the_line_brings_is_what_the_device_has(every: Station, name: str) -> None:
    """Each point, read by the profile's own requests over a line, is the world's value of it."""
    world = World(5)
    server = simulated(every.devices[name], every.id, world)
    wanted = server.values(UTC_S)
    points = every.devices[name].profile.points
    for point_id, found in read_over_a_line(every, name, world).items():
        if (name, point_id) in ABSENT:
            assert isinstance(found, Doubt) and found.value is None
            continue
        assert not isinstance(found, Doubt), f"{point_id}: {found}"
        if point_id.startswith("converter_"):  # four alike, given as cells
            continue
        value, point = wanted[point_id], points[point_id]
        if point.is_numeric:
            step = float(point.scaling.gain) if point.type[0] in "us" else 0.0
            assert found == pytest.approx(value, rel=1e-6, abs=max(step, 0.001))
        elif isinstance(value, str):
            assert found == value
        else:
            label = point.labels.get(str(int(value)))
            assert found in (value, label)


@pytest.mark.parametrize("name", PROFILES)
@given(utc_s=st.floats(1.79e9, 2.1e9))
def test_a_quiet_world_keeps_every_point_in_its_range(
    every: Station, name: str, utc_s: float
) -> None:
    """At any quiet moment no number of any device is out of its profile's range."""
    device = every.devices[name]
    values = simulated(device, every.id, World(3)).values(utc_s)
    for point in device.profile.point:
        if point.range is not None and point.id in values:
            low, high = point.range
            assert low <= float(values[point.id]) <= high


@pytest.mark.parametrize(
    ("name", "pdu", "reply"),
    [
        pytest.param("apc-smart-ups", "03 0204 0004", "83 02", id="half a text"),
        pytest.param("apc-smart-ups", "04 0000 0001", "84 01", id="only function 03"),
        pytest.param("apc-smart-ups", "10 0600 0002 04 0000 0000", "90 01", id="a command"),
        pytest.param("dse-gencomm", "03 04fe 0004", "83 02", id="over a page's end"),
        pytest.param("dse-gencomm", "03 0304 0002", "03 04 0001 ffff", id="not implemented"),
        pytest.param("dse-gencomm", "03 0402 0001", "03 02 7fff", id="no sender"),
        pytest.param("shtc3", "03 0000 0004", "83 02", id="across a hole"),
        pytest.param("shtc3", "04 0001 0002", "84 01", id="the look-alike's function"),
        pytest.param("md02-div100", "03 0101 0001", "03 02 0000", id="its baud code"),
        pytest.param("pemtech-pt495", "03 0001 0001", "03 02 0600", id="hydrogen"),
        pytest.param("waveshare-io-8ch", "05 0000 ff00", "85 01", id="a command to a relay"),
        pytest.param("waveshare-io-8ch", "02 0000 0009", "82 02", id="a ninth input"),
        pytest.param("pm5000", "03 0bbd 0002", "03 04 ffc0 0000", id="no number"),
        pytest.param("level-probe", "03 0002 0002", "03 04 0004 0001", id="mbar, one decimal"),
        pytest.param("aquaread-ctd", "04 0000 0079", "84 02", id="past its map"),
        pytest.param("liebert-crv", "03 01da 0001", "83 01", id="only function 04"),
    ],
)
def test_quirks(every: Station, name: str, pdu: str, reply: str) -> None:
    """Each device refuses or fills what its type refuses or fills."""
    server = simulated(every.devices[name], every.id, World(1))
    found = answer(server, bytes.fromhex(pdu), UTC_S)
    assert found is not None and found.startswith(bytes.fromhex(reply))


def test_a_network_card_is_busy_at_times(every: Station) -> None:
    """While it collects from its UPS the card answers with exception 06."""
    server = simulated(every.devices["apc-ap9630"], every.id, World(1))
    pdu = bytes.fromhex("03 0005 0001")
    assert answer(server, pdu, 1_795_000_000.1) == bytes.fromhex("83 06")
    assert answer(server, pdu, 1_795_000_001.1) == bytes.fromhex("03 02 0064")


def test_the_rear_door_sends_the_low_word_first(every: Station) -> None:
    """Liebert DCD: the words of a float stand swapped on the wire."""
    server = simulated(every.devices["liebert-dcd"], every.id, World(1))
    reply = answer(server, bytes.fromhex("04 006e 0002"), UTC_S)
    assert reply is not None
    (value,) = struct.unpack(">f", reply[4:6] + reply[2:4])
    assert value == pytest.approx(float(server.values(UTC_S)["cabinet_temperature"]), abs=1e-3)
