"""`shorewatch console --listen`: what others say on a line, in words; and not one byte of ours."""

import asyncio
import json
import sys
from pathlib import Path

import pytest
from wiring import Wiring, asking

from shorewatch.config import load_station
from shorewatch.direct.frame import with_crc
from shorewatch.field.consolehear import names_of, said, summed
from shorewatch.field.sniff import Listener, split

REPLY = with_crc(bytes([5, 4, 4, 0, 215, 1, 194]))


def heard(*bursts: bytes) -> Listener:
    listener = Listener(10 / 9600, 0.004)
    for at, burst in enumerate(bursts):
        listener.hear(at * 0.1, burst)
    listener.end(99)
    return listener


def lines(names: object, *bursts: bytes) -> list[tuple[str, bool]]:
    listener = Listener(10 / 9600, 0.004)
    talks = [talk for at, burst in enumerate(bursts) for talk in listener.hear(at * 0.1, burst)]
    return [said(talk, names) for talk in [*talks, *listener.end(9), *listener.end(99)]]  # type: ignore[arg-type]


@pytest.fixture
def room(write, quiet_text):  # type: ignore[no-untyped-def]
    """Names at the baud rate of the station's room sensor."""
    station = load_station(write("s.toml", quiet_text))
    device = station.devices["room"]
    return device, names_of(station, device.board.id, device.bus.baud)


def test_registers_are_told_as_points(room) -> None:  # type: ignore[no-untyped-def]
    """With a station at hand a reply is told by its device's points, values and units."""
    device, names = room
    reply = with_crc(bytes([device.unit_id, 4, 4, 0, 215, 1, 194]))
    ((text, is_warning),) = lines(names, asking(device.unit_id, 4, 1, 2), reply)

    assert "temperature 21.5 degC; humidity 45.0 %RH" in text and "(room)" in text
    assert not is_warning


def test_without_a_station_words_are_told() -> None:
    """Register words stand in hexadecimal, with the time that the answer took."""
    ((text, _),) = lines({}, asking(5, 4, 1, 2), REPLY)
    assert text == "unit 5: read input registers (04) 0x0001, 2 of them: 00d7 01c2, 100 ms"


@pytest.mark.parametrize("function", [5, 6, 15, 16, 22, 23])
def test_a_write_is_a_warning(function: int) -> None:
    """Whoever writes on the bus is named in words, in the line and in the sum."""
    body = bytes([0, 1, 0, 2, 4, 0, 1, 0, 2]) if function in (15, 16) else bytes([0, 1, 0, 2])
    frame = with_crc(bytes([9, function]) + body)
    (text, is_warning), *_ = lines({}, frame)

    assert text.startswith("✕ WRITES unit 9") and is_warning
    assert any("WRITE" in text for text, _ in summed(heard(frame).counts, {}, 1))


@pytest.mark.parametrize(
    ("bursts", "told"),
    [
        ([b"\x01\x02\x03"], "make no frame: 01 02 03"),
        ([asking(7)], "no answer"),
        ([asking(5, 4, 1, 2), with_crc(bytes([5, 0x84, 2]))], "refused, exception 2"),
        ([REPLY], "nobody asked"),
        ([with_crc(bytes([5, 0x11]))], "report the server's id (11)"),
        ([with_crc(bytes([5, 0x41, 9]))], "unknown (41)"),
    ],
)
def test_what_should_not_be_there_is_told(bursts: list[bytes], told: str) -> None:
    """Damage, silence, refusals, answers without a question and foreign functions have words."""
    assert told in lines({}, *bursts)[0][0]


def test_two_devices_of_one_id_have_no_name(write, quiet_text) -> None:  # type: ignore[no-untyped-def]
    """A unit id that stands on two buses of one speed names neither, without a board."""
    station = load_station(write("s.toml", quiet_text))
    ids = [d.unit_id for d in station.devices.values() if d.line and d.bus.baud == 9600]
    found = names_of(station, None, 9600)
    assert found.keys() == {unit for unit in ids if ids.count(unit) == 1}


def test_every_piece_can_be_told() -> None:
    """Whatever has a right CRC becomes a line."""
    for function in range(1, 128):
        frame = with_crc(bytes([3, function, 1, 2, 3, 4, 5]))
        assert split(frame) and lines({}, frame)


async def test_an_adapter_that_listens_says_nothing(tmp_path: Path) -> None:
    """The command tells frames and their sum, gives 1 for a write, and sends not one byte."""
    wiring = Wiring(strays=asking(9, function=6), baud=9600)
    out_file = tmp_path / "h.json"
    async with wiring.at(tmp_path / "tty") as port:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "shorewatch", "console", "--listen", str(port)),
            *("--baud", "9600", "--for", "1", "--json", str(out_file)),
            stdout=asyncio.subprocess.PIPE,
        )
        out, _ = await process.communicate()

    assert process.returncode == 1 and not wiring.asked
    assert b"WRITES unit 9" in out and json.loads(out_file.read_text())["writes"] > 3


async def test_silence_gives_2(tmp_path: Path) -> None:
    """A line on which nothing is said proves nothing."""
    async with Wiring(baud=9600).at(tmp_path / "tty") as port:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "shorewatch", "console", "--listen", str(port), "--for", "0.5"),
            stdout=asyncio.subprocess.PIPE,
        )
        out, _ = await process.communicate()
    assert process.returncode == 2 and b"nothing was heard" in out
