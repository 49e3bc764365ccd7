"""`shorewatch boards`: every board that is plugged in, and what stands in its way.

Only ports of which USB says that they are a MicroPython board's are asked, and those that were
named: anything else may be an adapter with field devices behind it. A board in its bootloader has
no port; USB alone shows it (Linux: /sys).
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from shorewatch.config import BoardFile
from shorewatch.errors import AbsentError, FieldError
from shorewatch.field.door import Say, lent, station_of
from shorewatch.field.fitting import types_of
from shorewatch.field.flash import Wish
from shorewatch.field.holder import holders
from shorewatch.field.onboard import LOOK, bring, parse_facts
from shorewatch.field.package import Catalogue
from shorewatch.field.port import Attached, attached, locked, opened
from shorewatch.field.repl import Repl
from shorewatch.field.talk import Answer, Found, ask_who
from shorewatch.plug import why_closed

_USB = Path("/sys/bus/usb/devices")
# Source: RP2040 datasheet 2.8.5; Espressif, ESP32-S3 TRM 33 (USB Serial/JTAG).
BOOTLOADERS = {"2e8a:0003": "an RP2040 at BOOTSEL", "303a:1001": "an ESP32-S3 in its ROM loader"}


@dataclass(frozen=True, slots=True)
class Seen:
    """One board, or one port that may be one."""

    port: str | None
    usb: str | None
    serial_number: str | None
    state: str  # what it is, in a few words
    types: tuple[str, ...]  # what it may be
    found: Found | None = None
    next: str = ""  # what to do about it, if something is to be done

    def to_json(self) -> dict[str, object]:
        """All that is known, for programs."""
        found = self.found
        identity = found.identity if found else None
        header = found.header if found else None
        return {
            "port": self.port,
            "usb": self.usb,
            "serial_number": self.serial_number,
            "state": self.state,
            "types": list(self.types),
            "micropython": found.micropython if found else None,
            "firmware": identity and identity.version,
            "unique_id": identity and identity.unique_id,
            "role": (identity and identity.role) or None,
            "plan_crc": f"{header.plan_crc:08x}" if header and header.plan_crc else None,
            "slot": (found.slot or None) if found else None,
            "on_trial": found.is_on_trial if found else None,
            "next": self.next or None,
        }


def look(
    types: Mapping[str, BoardFile],
    named: Sequence[str],
    *,
    unit_id: int,
    state_dir: Path | None,
    sysfs: Path = _USB,
) -> Iterator[Seen]:
    """Each board in turn; `named` are ports beside those that USB tells of, `sysfs` Linux' own."""
    ports = attached()
    by_path = {port.path: port for port in ports}
    asked = [port for port in ports if types_by_usb(port.usb, types)]
    for path in named:
        port = by_path.get(os.path.realpath(path), Attached(path))
        if port not in asked:
            asked.append(port)
    for port in asked:
        yield _seen(port, types, unit_id, state_dir)
    for port in ports:
        if port.usb in BOOTLOADERS:
            yield _in_bootloader(port.usb, port.serial_number, port.path, types)
    for usb, serial_number in _usb_devices(sysfs):
        if usb in BOOTLOADERS and not any(port.usb == usb for port in ports):
            yield _in_bootloader(usb, serial_number, None, types)


def _seen(
    port: Attached, types: Mapping[str, BoardFile], unit_id: int, state_dir: Path | None
) -> Seen:
    able = types_by_usb(port.usb, types)

    def seen(state: str, then: str = "", found: Found | None = None) -> Seen:
        return Seen(port.path, port.usb, port.serial_number, state, able, found, then)

    if not Path(port.path).exists():
        return seen("gone", why_closed(port.path, "the board"))
    station = station_of(port.path, state_dir)
    if station is not None:
        state = f"board {station[1]} of the station that runs here"
        return seen(state, f"`shorewatch status --state-dir {station[0]}` shows it")
    if not os.access(port.path, os.R_OK | os.W_OK):
        return seen("no permission", "sudo usermod -aG dialout $USER, then log in anew")
    try:
        with locked(port.path), opened(port.path) as line:
            found = ask_who(line, unit_id=unit_id)
    except FieldError as error:
        having = ", ".join(str(holder) for holder in holders(port.path))
        return seen(f"held by {having}" if having else "cannot be asked", str(error))
    if found.answer is Answer.PROMPT:
        able = tuple(types_of(found.machine or "", types)) or able
        return seen(f"MicroPython {found.micropython or ''}".strip(), "shorewatch flash", found)
    if found.answer is Answer.BOARD and found.identity is not None:
        able = (found.identity.type,)
        trial = " on trial" if found.is_on_trial else ""
        return seen(f"Shorewatch {found.identity.version}{trial}", "", found)
    if found.answer is Answer.OTHER:
        return seen("something else answers", "", found)
    return seen("silent", "has its link another unit id (--unit)? Does it start and fail?", found)


def _in_bootloader(
    usb: str, serial_number: str | None, path: str | None, types: Mapping[str, BoardFile]
) -> Seen:
    port = "rp2" if usb.startswith("2e8a") else "esp32"
    able = tuple(kind.name for kind in types.values() if kind.micropython_port == port)
    then = "shorewatch flash --uf2 FILE gives it MicroPython"
    return Seen(path, usb, serial_number, f"{BOOTLOADERS[usb]}", able, None, then)


def types_by_usb(usb: str | None, types: Mapping[str, BoardFile]) -> tuple[str, ...]:
    """The board types whose MicroPython has this USB id."""
    return tuple(kind.name for kind in types.values() if usb is not None and usb in kind.usb)


def _usb_devices(sysfs: Path) -> Iterator[tuple[str, str | None]]:
    """(vendor:product, serial number) of what is plugged in."""
    for folder in sorted(sysfs.glob("*")) if sysfs.is_dir() else ():
        with suppress(OSError):
            vendor, product = ((folder / name).read_text() for name in ("idVendor", "idProduct"))
            number = None
            with suppress(OSError):
                number = (folder / "serial").read_text().strip()
            yield f"{vendor.strip()}:{product.strip()}", number


def unique_id_of(port: Attached, catalogue: Catalogue, wish: Wish, say: Say) -> str:
    """The unique id of the board there; raises AbsentError if it tells none."""
    with (
        locked(port.path) as lock_fd,
        lent(port.path, wish.state_dir, by=wish.by, reason="who is it", say=say),
    ):
        with opened(port.path) as line:
            found = ask_who(line, unit_id=wish.unit_id or 1, may_interrupt=True)
        if found.identity is not None:
            return found.identity.unique_id
        if found.answer is Answer.PROMPT:
            told = Repl(port.path, lock_fd=lock_fd).run(bring(catalogue.installer) + LOOK)
            return parse_facts(told).unique_id
    text = f"{port.path}: nothing answers there as a board; look with `shorewatch boards`"
    raise AbsentError(text)
