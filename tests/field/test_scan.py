"""field/scan.py: lines of the plant on ptys and over TCP, whole and broken, scanned."""

from pathlib import Path

import pytest
from wiring import Cabinet, Wiring, asking, climate, full

from shorewatch.direct.frame import crc16
from shorewatch.errors import LinkError
from shorewatch.field.scan import Scan
from shorewatch.field.sweep import Setting
from shorewatch.plant.direct import serving
from shorewatch.profile import load_profiles

FAST = Setting(115200, "8N1")
PROFILES = list(load_profiles().values())
WAIT_S = 0.06


def scan_of(
    port: Path | str, *settings: Setting, units: range = range(1, 4), **more: object
) -> Scan:
    given = {"wait_s": WAIT_S, "listen_s": 0.3, **more}
    return Scan(str(port), settings or None, list(units), PROFILES, **given)  # type: ignore[arg-type]


async def scanned(path: Path, wiring: Wiring, units: range = range(1, 4)) -> Scan:
    async with wiring.at(path / "tty"):
        scan = scan_of(path / "tty", FAST, units=units)
        await scan.run()
    return scan


def told(scan: Scan) -> set[str]:
    return {symptom.name for symptom in scan.symptoms}


async def test_devices_are_found_at_the_setting_they_have(tmp_path: Path) -> None:
    """Of several baud rates that one is found at which devices answer, and who they are."""
    wiring = Wiring([(2, climate(2, 19200)), (3, full())], baud=19200)
    async with wiring.at(tmp_path / "tty"):
        scan = scan_of(tmp_path / "tty", Setting(9600, "8N1"), Setting(19200, "8E1"))
        await scan.run()

    assert (str(scan.setting), sorted(scan.found)) == ("19200 8E1", [2, 3])
    assert scan.found[2].guess.said == "xy-md02"
    assert scan.is_whole and not scan.symptoms


@pytest.mark.parametrize("baud", [9600, 115200])
async def test_only_reads_go_onto_the_wire(tmp_path: Path, baud: int) -> None:
    """Every frame of a whole scan, of whatever line, is function 01 to 04 or 2B/0E."""
    wiring = Wiring([(1, climate(1)), (2, full()), (3, full())], flips=0.01, baud=baud)
    async with wiring.at(tmp_path / "tty"):
        await scan_of(tmp_path / "tty", Setting(baud, "8N1")).run()

    functions = {frame[1] for frame in wiring.asked}
    assert all(crc16(frame) == 0 for frame in wiring.asked)
    assert {3, 4, 0x2B} <= functions <= {1, 2, 3, 4, 0x2B}
    assert all(frame[2] == 0x0E for frame in wiring.asked if frame[1] == 0x2B)


async def test_a_device_that_does_not_answer_function_03_is_found(tmp_path: Path) -> None:
    """Who is silent is asked again with 04, which it may know."""
    meter = Cabinet({4: dict.fromkeys(range(100), 5)})
    scan = await scanned(tmp_path, Wiring([(2, meter)], deaf=frozenset({1, 2, 3, 0x2B})))

    assert sorted(scan.found) == [2] and not scan.symptoms


async def test_a_slow_device_is_found(tmp_path: Path) -> None:
    """An answer that comes while the next unit is asked is its own unit's, and asked for again."""
    slow = full()
    slow.turnaround_s = 2.5 * WAIT_S
    scan = await scanned(tmp_path, Wiring([(2, slow)]), range(1, 8))

    assert sorted(scan.found) == [2]
    assert scan.found[2].reply_ms > 1000 * WAIT_S


async def test_another_client_is_left_alone(tmp_path: Path) -> None:
    """On a line on which somebody asks, nothing is asked."""
    wiring = Wiring([(1, full())], strays=asking(9))
    scan = await scanned(tmp_path, wiring)

    assert scan.is_busy and not wiring.asked and not scan.found
    assert told(scan) == {"client"}


async def test_another_client_at_another_speed_is_left_alone(tmp_path: Path) -> None:
    """Bytes that make no sense are listened to at the other baud rates before anything is asked."""
    wiring = Wiring([(1, full())], strays=asking(9), strays_baud=9600)
    async with wiring.at(tmp_path / "tty"):
        scan = scan_of(tmp_path / "tty", FAST, Setting(19200, "8E1"), Setting(9600, "8N1"))
        await scan.run()

    assert scan.is_busy and not wiring.asked


async def test_a_write_that_is_heard_is_told(tmp_path: Path) -> None:
    """That the other client writes stands in the evidence."""
    wiring = Wiring([(1, full())], strays=asking(9, function=6))
    (found,) = (await scanned(tmp_path, wiring)).symptoms

    assert "write" in found.evidence


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("echo", Wiring([(1, full()), (2, full())], is_echoing=True)),
        ("first", Wiring([(1, full()), (2, full())], lead=b"\x00")),
        ("first", Wiring([(1, full()), (2, full())], is_first_garbled=True)),
        ("bias", Wiring([(1, full()), (2, full())], strays=b"\x00\xf8", strays_s=0.02)),
        ("length", Wiring([(1, full()), (2, full())], flips=0.006)),
        ("twin", Wiring([(1, full()), (2, full()), (2, full(value=9))])),
        ("loss", Wiring([(1, full())], lost=0.25)),
    ],
    ids=lambda given: given if isinstance(given, str) else "",
)
async def test_what_is_wrong_with_a_line_is_told(tmp_path: Path, name: str, broken: Wiring) -> None:
    """Each fault of the wiring is named, with its figures and what to check."""
    scan = await scanned(tmp_path, broken)

    found = {symptom.name: symptom for symptom in scan.symptoms}
    assert name in found, [s.said for s in scan.symptoms]
    assert any(c.isdigit() for c in found[name].evidence) and found[name].check


async def test_where_only_damage_comes_it_is_told_at_its_setting(tmp_path: Path) -> None:
    """Other settings are tried, too; what was heard at the one where something came is told."""
    wiring = Wiring([(2, full())], flips=0.5, baud=19200)
    async with wiring.at(tmp_path / "tty"):
        scan = scan_of(tmp_path / "tty", Setting(19200, "8N1"), Setting(9600, "8N1"))
        await scan.run()

    assert not scan.setting_is_known and scan.is_whole
    assert not scan.found[2].is_clear and str(scan.found[2].setting) == "19200 8N1"
    assert scan.symptoms and scan.damaged(2)[0] > 3


async def test_a_sound_line_has_no_symptoms(tmp_path: Path) -> None:
    """Nothing is told of a line with nothing wrong, also where some refuse what they are asked."""
    scan = await scanned(tmp_path, Wiring([(1, full()), (2, climate(2)), (3, full(first=50))]))

    assert not scan.symptoms and sorted(scan.found) == [1, 2, 3]


async def test_two_devices_of_one_id_that_answer_one_after_the_other_are_two(
    tmp_path: Path,
) -> None:
    """A second answer to one request is a second device."""
    late = full(value=9)
    late.turnaround_s = 0.025
    scan = await scanned(tmp_path, Wiring([(1, full()), (2, full()), (2, late)]))

    (twin,) = [symptom for symptom in scan.symptoms if symptom.name == "twin"]
    assert twin.unit_id == 2 and "answered twice" in twin.evidence


async def test_units_behind_a_tcp_gateway_are_found(tmp_path: Path) -> None:
    """Over Modbus TCP the same units come out; a gateway's own exceptions are none."""
    async with serving({2: climate(2), 5: full()}, "127.0.0.1", 0) as port:  # type: ignore[dict-item]
        scan = scan_of(f"127.0.0.1:{port}", units=range(1, 8))
        await scan.run()

    assert sorted(scan.found) == [2, 5] and scan.found[2].guess.said == "xy-md02"


async def test_a_port_that_is_not_there_says_so(tmp_path: Path) -> None:
    """A missing port is an error with what to do."""
    with pytest.raises(LinkError, match="plugged in"):
        await scan_of(tmp_path / "none", FAST).run()
