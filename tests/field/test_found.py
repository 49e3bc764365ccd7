"""found.py: what `shorewatch boards` says of each port."""

from pathlib import Path

import pytest

from shorewatch.config import BoardFile
from shorewatch.errors import AbsentError
from shorewatch.field.flash import Wish
from shorewatch.field.found import Seen, look, unique_id_of
from shorewatch.field.package import Catalogue
from shorewatch.field.port import Attached, locked

from .scripted import at_prompt, scripted


@pytest.fixture(scope="module")
def types() -> dict[str, BoardFile]:
    return Catalogue().types


def seen(types: dict[str, BoardFile], path: str, sysfs: Path) -> Seen:
    """The one port that was named; what hangs on this machine's USB is not looked at."""
    rows = look(types, [path], unit_id=1, state_dir=None, sysfs=sysfs)
    return next(row for row in rows if row.port == path)


def test_a_board_at_its_prompt_is_to_be_flashed(
    types: dict[str, BoardFile], tmp_path: Path
) -> None:
    """Its MicroPython tells its version, and which types it may be."""
    with scripted(at_prompt) as port:
        found = seen(types, port, tmp_path)

    assert (found.state, found.types) == ("MicroPython v1.24.1", ("pico",))
    assert found.next == "shorewatch flash"


def test_a_silent_port_says_what_may_be(types: dict[str, BoardFile], tmp_path: Path) -> None:
    """Nobody answers there: another unit id, or a board that starts and fails."""
    with scripted(lambda data: b"") as port:
        found = seen(types, port, tmp_path)

    assert found.state == "silent" and "--unit" in found.next


def test_a_port_at_which_another_tool_works_is_told(
    types: dict[str, BoardFile], tmp_path: Path
) -> None:
    """It is not asked meanwhile."""
    asked: list[bytes] = []

    def hear(data: bytes) -> bytes:
        asked.append(data)
        return b""

    with scripted(hear) as port, locked(port):
        found = seen(types, port, tmp_path)
    assert found.state == "cannot be asked" and "another shorewatch tool" in found.next
    assert not asked


def test_a_port_that_is_gone_is_told(types: dict[str, BoardFile], tmp_path: Path) -> None:
    """With the first thing to look at."""
    found = seen(types, str(tmp_path / "none"), tmp_path)
    assert found.state == "gone" and "is the board plugged in?" in found.next


@pytest.mark.parametrize(
    ("usb", "state", "able"),
    [
        ("2e8a:0003", "an RP2040 at BOOTSEL", ("pico", "w5500_evb_pico")),
        ("303a:1001", "an ESP32-S3 in its ROM loader", ("esp32_s3",)),
    ],
)
def test_a_board_in_its_bootloader_is_seen_without_a_port(
    types: dict[str, BoardFile], tmp_path: Path, usb: str, state: str, able: tuple[str, ...]
) -> None:
    """USB alone shows it, and it can be given MicroPython; other devices are no boards."""
    for name, (vendor, product) in {"1-1": usb.split(":"), "1-2": ("dead", "beef")}.items():
        folder = tmp_path / name
        folder.mkdir()
        (folder / "idVendor").write_text(f"{vendor}\n")
        (folder / "idProduct").write_text(f"{product}\n")
    (tmp_path / "1-1" / "serial").write_text("E0C9\n")
    rows = list(look(types, [], unit_id=1, state_dir=None, sysfs=tmp_path))
    (found,) = [row for row in rows if row.serial_number == "E0C9"]

    assert (found.state, found.types, found.port) == (state, able, None)
    assert "--uf2" in found.next
    assert not [row for row in rows if row.usb == "dead:beef"]


def test_a_board_that_does_not_answer_has_no_unique_id(types: dict[str, BoardFile]) -> None:
    """It is said where to look."""
    with scripted(lambda data: b"") as port, pytest.raises(AbsentError, match="shorewatch boards"):
        unique_id_of(Attached(port), Catalogue(), Wish(), lambda _: None)
