"""uf2.py: a MicroPython as a file, looked at before a board gets it."""

import hashlib
import struct
from pathlib import Path

import pytest

from shorewatch.config import BoardFile
from shorewatch.errors import AbsentError, FieldError
from shorewatch.field.package import Catalogue
from shorewatch.field.uf2 import (
    DRIVE_S_MAX,
    Image,
    copy_to_drive,
    find_drives,
    load_image,
    parse_uf2,
    wait_drive,
)

CONTENT = b"\0" * 300 + b"v1.24.1 on 2024-11-29\0Raspberry Pi Pico with RP2040\0" + b"\0" * 300
RP2040, RP2350 = 0xE48BFF56, 0xE48BFF59


def uf2(content: bytes, family: int = RP2040) -> bytes:
    parts = [content[i : i + 256].ljust(256, b"\0") for i in range(0, len(content), 256)]
    found = b""
    for number, part in enumerate(parts):
        head = struct.pack(
            "<8I", 0x0A324655, 0x9E5D5157, 0x2000, 0x10000000 + 256 * number, 256, number,
            len(parts), family,
        )  # fmt: skip
        found += (head + part).ljust(508, b"\0") + struct.pack("<I", 0x0AB16F30)
    return found


@pytest.fixture(scope="module")
def pico() -> BoardFile:
    return Catalogue().types["pico"]


def test_a_whole_file_for_the_board_is_taken(tmp_path: Path, pico: BoardFile) -> None:
    """Its version and hash are known before a byte is written."""
    path = tmp_path / "pico.uf2"
    path.write_bytes(uf2(CONTENT))
    image = load_image(path, pico)

    assert image.version == "1.24.1"
    assert image.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert parse_uf2(path.read_bytes(), "x").startswith(CONTENT)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (uf2(CONTENT)[:-1], "is no whole UF2 file"),
        (uf2(CONTENT)[:-512], "of 2 says 0 of 3"),
        (b"x" * 1024, "block 0 is no UF2 block"),
        (uf2(CONTENT, RP2350), "is not for an RP2040"),
        (uf2(CONTENT.replace(b"v1.24.1", b"v1.22.0")), "MicroPython 1.22.0 is too old"),
        (uf2(CONTENT.replace(b"Pico with", b"W5500 with")), "is no MicroPython for pico"),
        (uf2(b"\0" * 900), "has no MicroPython in it"),
    ],
)
def test_any_other_file_is_refused(tmp_path: Path, pico: BoardFile, data: bytes, said: str) -> None:
    """Cut, foreign, too old: with what to do."""
    path = tmp_path / "x.uf2"
    path.write_bytes(data)
    with pytest.raises(FieldError, match=said):
        load_image(path, pico)


def test_a_hash_that_differs_is_refused(tmp_path: Path, pico: BoardFile) -> None:
    """What was downloaded is what was meant."""
    path = tmp_path / "x.uf2"
    path.write_bytes(uf2(CONTENT))
    with pytest.raises(FieldError, match="its SHA-256 is"):
        load_image(path, pico, "0" * 64)
    with pytest.raises(FieldError, match="No such file"):
        load_image(tmp_path / "none.uf2", pico)


def test_it_is_copied_to_the_bootloaders_drive(tmp_path: Path, pico: BoardFile) -> None:
    """The drive is found among the mounts, and gets every byte."""
    drive = tmp_path / "RPI-RP2"
    drive.mkdir()
    (drive / "INFO_UF2.TXT").write_text("UF2 Bootloader v3.0\nBoard-ID: RPI-RP2\n")
    mounts = tmp_path / "mounts"
    mounts.write_text(f"/dev/sda1 {drive} vfat rw 0 0\n/dev/sdb1 {tmp_path} ext4 rw 0 0\n")
    path = tmp_path / "x.uf2"
    path.write_bytes(uf2(CONTENT))
    steps: list[int] = []

    assert find_drives(mounts) == [drive]
    copy_to_drive(load_image(path, pico), drive, lambda name, done, total: steps.append(done))
    assert (drive / "x.uf2").read_bytes() == path.read_bytes()
    assert steps[-1] == len(path.read_bytes())


def test_a_drive_is_found_under_any_name(tmp_path: Path) -> None:
    """Spaces, which the mount table has in octal, and letters of any script are no hindrance."""
    drive = tmp_path / "Əli Алматы" / "RPI-RP2"
    drive.mkdir(parents=True)
    (drive / "INFO_UF2.TXT").touch()
    mounts = tmp_path / "mounts"
    mounts.write_text(f"/dev/sda1 {str(drive).replace(' ', chr(92) + '040')} vfat rw 0 0\n")

    assert find_drives(mounts) == [drive]


@pytest.fixture
def full(tmp_path: Path) -> Path:
    """A bootloader's drive on which every write fails."""
    drive = tmp_path / "RPI-RP2"
    drive.mkdir()
    (drive / "INFO_UF2.TXT").touch()
    (drive / "x.uf2").symlink_to("/dev/full")
    return drive


def image_at(path: Path, size: int) -> Image:
    path.write_bytes(b"x" * size)
    return Image(path, hashlib.sha256(path.read_bytes()).hexdigest(), "1.24.1", size)


def test_a_drive_that_refuses_the_file_is_told(tmp_path: Path, full: Path) -> None:
    """As long as it is there, a write that fails is no success."""
    with pytest.raises(FieldError, match=r"No space left.*try again"):
        copy_to_drive(image_at(tmp_path / "x.uf2", 512), full, lambda *_: None)


@pytest.mark.parametrize(("size", "is_done"), [(512, True), (100_000, False)])
def test_a_drive_that_goes_has_the_file_only_with_its_last_block(
    tmp_path: Path, full: Path, size: int, is_done: bool
) -> None:
    """The bootloader restarts at the last block; a drive that goes earlier was pulled."""
    (full / "INFO_UF2.TXT").unlink()
    image = image_at(tmp_path / "x.uf2", size)
    if is_done:
        copy_to_drive(image, full, lambda *_: None)
    else:
        with pytest.raises(AbsentError, match="has gone after 32768 of 100000 bytes"):
            copy_to_drive(image, full, lambda *_: None)


def test_a_file_that_changed_meanwhile_is_not_written(tmp_path: Path) -> None:
    """What was looked at is what is copied."""
    image = image_at(tmp_path / "x.uf2", 512)
    image.path.write_bytes(b"y" * 512)
    with pytest.raises(FieldError, match="has changed since"):
        copy_to_drive(image, tmp_path / "none", lambda *_: None)


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def monotonic(self) -> float:
        return self.now_s

    def sleep(self, span_s: float, /) -> None:
        self.now_s += span_s


def test_a_drive_is_waited_for(pico: BoardFile) -> None:
    """It is said once how the board gets there; the drive is taken when it comes."""
    clock, said = Clock(), []

    def look() -> list[Path]:
        return [Path("/media/RPI-RP2")] if clock.now_s > 30 else []

    assert wait_drive(said.append, pico, look=look, clock=clock) == Path("/media/RPI-RP2")
    (text,) = said
    assert pico.bootloader is not None and text.startswith(pico.bootloader)


def test_a_drive_that_does_not_come_is_told(pico: BoardFile) -> None:
    """With how to mount one that is only not mounted."""
    clock = Clock()
    with pytest.raises(AbsentError, match="udisksctl mount"):
        wait_drive(lambda _: None, pico, look=list, clock=clock)
    assert clock.now_s >= DRIVE_S_MAX


def test_two_drives_are_one_too_many(pico: BoardFile) -> None:
    """Nobody could say which board would get the file."""
    drives = [Path("/media/a/RPI-RP2"), Path("/media/b/RPI-RP2")]
    with pytest.raises(FieldError, match="leave one plugged in"):
        wait_drive(lambda _: None, pico, look=lambda: drives, clock=Clock())
