"""Promise 1 on the wire: no board ever puts anything but a read on a field bus."""

import pytest
from test_demo import all_good, running_demo

from shorewatch.direct.frame import crc16, with_crc
from shorewatch.plant.record import Direction, read_recording

READS = {1: 8, 2: 8, 3: 8, 4: 8, 0x2B: 7}
LINES = {
    f"{station}-{board}-{uart}.wire"
    for station in ("sumqayit", "aktau")
    for board in ("pfe-room", "beach", "power")
    for uart in (0, 1)
}


def frames(data: bytes) -> list[bytes]:
    """All of a client's bytes as whole read requests, by length and CRC; anything else fails."""
    found = []
    while data:
        function = data[1] if len(data) > 1 else None
        assert function in READS, f"not a read: {data[:16].hex()} after {len(found)} frames"
        frame, data = data[: READS[function]], data[READS[function] :]
        assert len(frame) == READS[function] and crc16(frame) == 0, f"no frame: {frame.hex()}"
        found.append(frame)
    return found


READ = with_crc(bytes((1, 4, 0, 0, 0, 2)))
IDENTITY = with_crc(bytes((1, 0x2B, 0x0E, 1, 0)))
WRITE = with_crc(bytes((1, 6, 0, 1, 0, 3)))


def test_reads_and_identity_requests_are_taken():
    """Whole frames of 01 to 04 and 2B are recognised one after the other."""
    assert frames(READ + IDENTITY + READ) == [READ, IDENTITY, READ]


@pytest.mark.parametrize("data", [READ + WRITE, WRITE, READ[:-1], READ + b"\0", READ[:-1] + b"x"])
def test_the_search_finds_a_write_and_any_stray_byte(data):
    """A write, a cut frame, a byte between frames or a wrong CRC does not pass."""
    with pytest.raises(AssertionError):
        frames(data)


def is_well(page):
    """Everything is read, and each bus has been used for a while."""
    buses = [bus for board in page["boards"].values() for bus in board["buses"]]
    return all_good(page) and len(buses) == 6 and all(bus["requests"] >= 8 for bus in buses)


@pytest.mark.timeout(240)
async def test_a_demo_puts_only_reads_on_its_lines(tmp_path, monkeypatch):
    """Every byte that boards sent in a whole demo belongs to a read: 01 to 04 or 2B, no other."""
    monkeypatch.setenv("SHOREWATCH_RECORD", str(tmp_path / "wire"))
    async with running_demo(tmp_path / "demo") as demo:
        for station in demo.page_ports:
            await demo.until(is_well, station)
        assert await demo.end() == 0

    recordings = sorted((tmp_path / "wire").iterdir())
    assert {path.name for path in recordings} == LINES
    for path in recordings:
        entries = read_recording(path)
        sent = [entry.data for entry in entries if entry.direction is Direction.FROM_CLIENT]
        assert len(frames(b"".join(sent))) >= 5, path.name
        assert any(entry.direction is Direction.FROM_DEVICES for entry in entries)
