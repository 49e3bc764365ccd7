"""The witness of a bench: a value passes if a device gave it then, and not otherwise."""

from dataclasses import replace
from pathlib import Path

import pytest

from shorewatch.compiled import load_compiled
from shorewatch.direct.frame import with_crc
from shorewatch.hil import witness
from shorewatch.hil.witness import Served, asked_on, parse_served
from shorewatch.plant.record import parse

STATION = Path(__file__).parents[2] / "hil_tests" / "stations" / "bench.toml"
ROOM = Served(1_767_225_600.0, 1, 4, 1, 2, (234, 450))  # 2026-01-01T00:00:00Z: 23.4 degC, 45 %


@pytest.fixture(scope="module")
def known() -> witness.Testimony:
    return heard(("north", 1), ROOM)


def heard(line: tuple[str, int], *served: Served) -> witness.Testimony:
    found = witness.Testimony()
    found.add(load_compiled(STATION).plans, {line: served})
    return found


@pytest.mark.parametrize(
    ("point", "at", "value", "fault"),
    [
        ("temperature", "2026-01-01T00:00:00.050Z", 23.4, None),
        ("humidity", "2025-12-31T23:59:59.900Z", 45.0, None),
        ("temperature", "2026-01-01T00:00:00.050Z", 23.5, "served were [23.4]"),
        ("temperature", "2026-01-01T00:00:02.000Z", 23.4, "served were []"),
        ("pressure", "2026-01-01T00:00:00.050Z", 23.4, "nobody was asked for it"),
    ],
)
def test_a_value_passes_if_its_device_gave_it_then(known, point, at, value, fault) -> None:
    """The right value of the right time passes; another value, time or point is named."""
    found = known.fault(("room", point, at, value))
    assert found is None if fault is None else fault in found


def test_devices_of_other_lines_are_not_judged(known) -> None:
    """Of a device that no rack served, as contacts are, nothing is said."""
    assert known.faults([("north-contacts", "lid", "2026-01-01T00:00:00Z", True)]) == []
    assert len(known.faults([("room", "temperature", "2026-01-01T00:00:00Z", 1.0)])) == 1


def test_what_is_forgotten_is_no_longer_a_devices_value() -> None:
    """Of what was answered before a time nothing is left; what came after stays."""
    later = replace(ROOM, at_s=ROOM.at_s + 60)
    found = heard(("north", 1), ROOM, later)
    found.forget(later.at_s)
    assert found.fault(("room", "temperature", "2026-01-01T00:00:00Z", 23.4)) is not None
    assert found.fault(("room", "temperature", "2026-01-01T00:01:00Z", 23.4)) is None
    assert {len(times) for times in found.times.values()} == {1}


def test_served_lines_are_read_back() -> None:
    """What was served is the same after it was written; an unfinished line is passed over."""
    assert parse_served(ROOM.encoded() + "1767225601.0 1 4") == [ROOM]


def test_bits_are_packed_as_in_the_image() -> None:
    """Bits of function 02 become the points that they are."""
    served = Served(1_767_225_600.0, 3, 2, 0, 2, (1, 0))
    found = heard(("north", 0), served)
    values = {point: values for (_, point), values in found.values.items()}
    assert sorted(map(str, (v for each in values.values() for v in each))) == ["False", "True"]


def test_every_byte_of_the_client_is_a_frame_or_none() -> None:
    """Frames that a client sent are told with their function; bytes that are none, too."""
    read, write = with_crc(bytes([1, 4, 0, 0, 0, 1])), with_crc(bytes([1, 6, 0, 0, 0, 1]))
    stamp = "2026-01-01T00:00:00.000000Z"
    text = f"{stamp} > {read.hex()}\n{stamp} < ffff\n{stamp} > {write[:3].hex()}\n"
    text += f"{stamp} > {write[3:].hex()}\n{stamp} > 00\n"
    pieces = asked_on(parse(text))
    assert [(p.is_frame, p.is_frame and p.is_write) for p in pieces] == [
        (True, False), (True, True), (False, False),
    ]  # fmt: skip
