"""MicroPython itself onto a board in its bootloader: the file looked at first, then copied.

A UF2 file is blocks of 512 bytes, little-endian:
     0  4  0x0A324655     4  4  0x9E5D5157     8  4  flags (0x2000: a family id stands at 28)
    12  4  address       16  4  bytes of data (at most 476)
    20  4  this block    24  4  all blocks    28  4  family (RP2040: 0xE48BFF56)
    32 476 data         508  4  0x0AB16F30
Source: Microsoft, UF2 specification; RP2040 datasheet 2.8.4.2. A file for an ESP32-S3 is a plain
image that begins with 0xE9, and esptool writes it. In both, MicroPython's banner tells version and
board. Limits: 16 MB.
"""

import hashlib
import os
import re
import shutil
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from shorewatch.config import BoardFile
from shorewatch.errors import AbsentError, FieldError
from shorewatch.field.port import Attached, attached, locked, opened
from shorewatch.field.repl import Repl
from shorewatch.field.talk import Answer, ask_prompt

DRIVE_S_MAX = 60.0
_WRITE_S_MAX = 180.0
_LOOK_S = 0.2
SIZE_MAX = 16_000_000
_BLOCK = 512
_HEAD = struct.Struct("<8I")
_START, _SECOND, _END = 0x0A324655, 0x9E5D5157, 0x0AB16F30
_HAS_FAMILY = 0x2000
_RP2040 = 0xE48BFF56
_ESP_MAGIC = 0xE9
_INFO = "INFO_UF2.TXT"
_OCTAL = re.compile(r"\\([0-7]{3})")  # how /proc/mounts has spaces. Source: proc(5)
_CHUNK = 64 * _BLOCK
_VERSION = re.compile(rb"v(\d+\.\d+(?:\.\d+)?)(?:-[\w.-]+)? on \d{4}-\d\d-\d\d")


@dataclass(frozen=True, slots=True)
class Image:
    """A MicroPython as a file."""

    path: Path
    sha256: str
    version: str
    size: int


def load_image(path: Path, kind: BoardFile, sha256: str | None = None) -> Image:
    """Look at a file for a board type; raises FieldError unless it is whole and for that."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise FieldError(f"{path}: {error.strerror}; name a MicroPython for {kind.name}") from error
    found = hashlib.sha256(data).hexdigest()
    if sha256 is not None and found != sha256.lower():
        raise FieldError(f"{path}: its SHA-256 is {found}, not {sha256}; fetch it again")
    if len(data) > SIZE_MAX:
        raise FieldError(f"{path}: larger than {SIZE_MAX // 1_000_000} MB; that is no MicroPython")
    content = data if kind.micropython_port == "esp32" else parse_uf2(data, str(path))
    if kind.micropython_port == "esp32" and data[:1] != bytes([_ESP_MAGIC]):
        raise FieldError(f"{path}: is no image of an ESP32 (its first byte is 0xE9); take the .bin")
    version = _VERSION.search(content)
    if version is None:
        raise FieldError(f"{path}: has no MicroPython in it; take that of {kind.micropython_build}")
    if f"{kind.machine} with ".encode() not in content and kind.machine.encode() not in content:
        text = f"{path}: is no MicroPython for {kind.name}; take that of {kind.micropython_build}"
        raise FieldError(text)
    text = version[1].decode()
    wanted = tuple(map(int, kind.micropython_version.split(".")))
    if tuple(map(int, text.split(".")))[:2] < wanted:
        rule = f"{kind.name} needs {kind.micropython_version} or newer"
        raise FieldError(f"{path}: MicroPython {text} is too old, {rule}")
    return Image(path, found, text, len(data))


def parse_uf2(data: bytes, name: str) -> bytes:
    """The data of all blocks for an RP2040; raises FieldError if the file is not whole."""
    if not data or len(data) % _BLOCK:
        raise FieldError(f"{name}: is no whole UF2 file ({len(data)} bytes); fetch it again")
    parts: list[bytes] = []
    count = len(data) // _BLOCK
    for index in range(count):
        block = data[index * _BLOCK : (index + 1) * _BLOCK]
        start, second, flags, _, size, number, total, family = _HEAD.unpack_from(block)
        end = int.from_bytes(block[-4:], "little")
        if (start, second, end) != (_START, _SECOND, _END) or size > 476:
            raise FieldError(f"{name}: block {index} is no UF2 block; fetch the file again")
        if not flags & _HAS_FAMILY or family != _RP2040:
            raise FieldError(f"{name}: block {index} is not for an RP2040; take the right file")
        if number != index or total != count:
            raise FieldError(
                f"{name}: block {index} of {count} says {number} of {total}; fetch it again"
            )
        parts.append(block[32 : 32 + size])
    return b"".join(parts)


def find_drives(mounts: Path = Path("/proc/mounts")) -> list[Path]:
    """Where drives of RP2040 bootloaders are mounted."""
    found = []
    for line in mounts.read_text("utf-8", "replace").splitlines() if mounts.exists() else ():
        folder = Path(_OCTAL.sub(lambda found: chr(int(found[1], 8)), line.split()[1]))
        if "RPI-RP2" in folder.name and (folder / _INFO).is_file():
            found.append(folder)
    return found


def copy_to_drive(image: Image, drive: Path, step: Callable[[str, int, int], None]) -> None:
    """Write the file to a bootloader's drive, which restarts the board with its last block.

    Raises AbsentError if the drive goes before that, FieldError if it does not take the file.
    """
    data = image.path.read_bytes()
    if hashlib.sha256(data).hexdigest() != image.sha256:
        raise FieldError(f"{image.path}: has changed since it was looked at; try again")
    sent = 0
    try:
        with (drive / image.path.name).open("wb", buffering=0) as file:
            for at in range(0, len(data), _CHUNK):
                sent = min(at + _CHUNK, len(data))
                file.write(data[at:sent])
                step(f"MicroPython {image.version}", sent, len(data))
            os.fsync(file.fileno())
    except OSError as error:
        then = "unplug the board, reach its bootloader, try again"
        if (drive / _INFO).exists():
            raise FieldError(f"{drive}: {error.strerror}; {then}") from error
        # With the last block the bootloader restarts, and its drive goes.
        if sent < len(data):
            text = f"{drive}: has gone after {sent} of {len(data)} bytes; {then}"
            raise AbsentError(text) from error


class Clock(Protocol):
    """The part of `time` that waiting needs."""

    def monotonic(self) -> float: ...
    def sleep(self, span_s: float, /) -> None: ...


def wait_drive(
    say: Callable[[str], None],
    kind: BoardFile,
    *,
    look: Callable[[], list[Path]] = find_drives,
    clock: Clock = time,
) -> Path:
    """The drive of the one board at BOOTSEL; raises AbsentError if none comes."""
    end_s = clock.monotonic() + DRIVE_S_MAX
    is_told = False
    while clock.monotonic() < end_s:
        drives = look()
        if len(drives) > 1:
            raise FieldError(f"{len(drives)} boards are at BOOTSEL; leave one plugged in")
        if drives:
            return drives[0]
        if not is_told:
            is_told = True
            say(f"{kind.bootloader}; waiting for its drive RPI-RP2 (is it mounted?)")
        clock.sleep(_LOOK_S)
    text = (
        f"no drive RPI-RP2 came within {DRIVE_S_MAX:.0f} s; if `lsblk` shows it, mount it "
        f"(udisksctl mount -b /dev/disk/by-label/RPI-RP2), then try again"
    )
    raise AbsentError(text)


def run_picotool(image: Image) -> bool:
    """Let picotool write it, which needs no drive; False if there is no picotool."""
    program = shutil.which("picotool")
    if program is None:
        return False
    _run([program, "load", "-v", "-x", str(image.path)])
    return True


def run_esptool(image: Image, port: str) -> None:
    """Let esptool write it to an ESP32-S3 in its ROM loader; raises FieldError."""
    _run([sys.executable, "-m", "esptool", "--chip", "esp32s3", "--port", port,
          "write_flash", "0", str(image.path)])  # fmt: skip


def _run(argv: list[str]) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, timeout=_WRITE_S_MAX, check=False)
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
        hint = "; pip install 'shorewatch[esp]'" if "No module named esptool" in str(said) else ""
        raise FieldError(f"{Path(argv[0]).name} failed: {' '.join(said)}{hint}")


def install(
    image: Image,
    kind: BoardFile,
    named: str | None,
    say: Callable[[str], None],
    step: Callable[[str, int, int], None],
) -> Attached:
    """Bring the board to its bootloader, write the image, wait for its port.

    A board at its REPL goes there by itself; any other is brought there by a person.
    """
    before = {port.path for port in attached()}
    if named is not None:
        before.discard(os.path.realpath(named))
        with suppress(AbsentError):
            _enter_bootloader(named)
    if kind.micropython_port == "esp32":
        run_esptool(image, named or _rom_port(kind))
        say(f"written; now {kind.restart}")
    elif find_drives() or not run_picotool(image):
        copy_to_drive(image, wait_drive(say, kind), step)
    end_s = time.monotonic() + DRIVE_S_MAX
    while time.monotonic() < end_s:
        for port in attached():
            if port.usb in kind.usb and port.path not in before:
                return port
        time.sleep(_LOOK_S)
    raise AbsentError(
        f"MicroPython was written, but no port came within {DRIVE_S_MAX:.0f} s; {kind.restart}, "
        f"look with `shorewatch boards`, then flash without --uf2"
    )


def _enter_bootloader(path: str) -> None:
    """Send a board that is at its REPL to its bootloader; any other is left as it is."""
    with locked(path) as lock_fd:
        with opened(path) as line:
            found = ask_prompt(line)
        if found is not None and found.answer is Answer.PROMPT:
            Repl(path, lock_fd=lock_fd).leave("import machine; machine.bootloader()")


def _rom_port(kind: BoardFile) -> str:
    for port in attached():
        if port.usb == "303a:1001":
            return port.path
    raise AbsentError(f"no {kind.name} is in its ROM loader: {kind.bootloader}, then try again")
