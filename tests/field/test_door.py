"""door.py: a board's REPL opened and closed, as far as no real board is needed for it."""

from pathlib import Path

import pytest

from shorewatch.config import BoardFile
from shorewatch.direct.frame import with_crc
from shorewatch.errors import AbsentError, FieldError
from shorewatch.field.door import lent, open_door, station_of, wait_board
from shorewatch.field.package import Catalogue
from shorewatch.field.port import Attached

from .scripted import at_prompt, scripted


@pytest.fixture(scope="module")
def types() -> dict[str, BoardFile]:
    return Catalogue().types


def quiet(_: str) -> None:
    pass


def test_a_board_at_its_prompt_needs_no_door(types: dict[str, BoardFile]) -> None:
    """It is taken as it is, and nothing but single keys is typed."""
    typed: list[bytes] = []

    def hear(data: bytes) -> bytes:
        typed.append(data)
        return at_prompt(data)

    with scripted(hear) as port:
        _, found = open_door(Attached(port), types, quiet, unit_id=1, wanted=None)
    assert found.machine == "Raspberry Pi Pico with RP2040"
    assert set(b"".join(typed)) <= {0x0D, 0x02, 0x03}


def test_a_port_without_a_board_has_no_door(types: dict[str, BoardFile]) -> None:
    """Silence of no known type: what to check is said."""
    with (
        scripted(lambda data: b"") as port,
        pytest.raises(AbsentError, match="Name its type with --board"),
    ):
        open_door(Attached(port), types, quiet, unit_id=1, wanted=None)


def test_a_field_device_is_never_asked_for_a_door(types: dict[str, BoardFile]) -> None:
    """What identifies itself as another vendor's hears no function 41."""
    heard: list[bytes] = []

    def device(data: bytes) -> bytes:
        heard.append(data)
        text = b"\x00\x03Abc\x01\x01X\x02\x011"
        is_asked = data[1:3] == b"\x2b\x0e"
        return with_crc(b"\x01\x2b\x0e\x03\x83\x00\x00\x03" + text) if is_asked else b""

    with scripted(device) as port, pytest.raises(FieldError, match="something else than a board"):
        open_door(Attached(port), types, quiet, unit_id=1, wanted="virtual")
    assert not [data for data in heard if data[1:2] == b"\x41"]


def test_a_board_that_stays_at_its_prompt_is_told(types: dict[str, BoardFile]) -> None:
    """A board by link that comes to its prompt again and again is to be flashed."""
    with scripted(at_prompt) as port, pytest.raises(FieldError, match="stays at its prompt"):
        wait_board(Attached(port), types["virtual"], quiet, unit_id=1)


def test_a_board_that_does_not_come_back_is_told(types: dict[str, BoardFile]) -> None:
    """With how to restart it, and where to look."""
    with scripted(lambda data: b"") as port, pytest.raises(AbsentError) as error:
        wait_board(Attached(port), types["pico"], quiet, unit_id=1, limit_s=0.5)
    assert types["pico"].restart in str(error.value) and "shorewatch boards" in str(error.value)


def test_a_port_that_no_station_has_is_not_borrowed(tmp_path: Path) -> None:
    """Where none runs the tool goes on by itself."""
    with scripted(lambda data: b"") as port:
        assert station_of(port, tmp_path) is None
        with lent(port, tmp_path, by="ali", reason="test", say=quiet) as board_id:
            assert board_id is None
