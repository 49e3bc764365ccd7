"""Raspberry Pi Pico: two RS-485 buses on UART 0 and 1, the link on the built-in USB-CDC.

Type-checked against the rp2 stubs; NOT yet run on hardware. Pins stand in board.toml.
What the code rests on (MicroPython 1.24 to 1.29, rp2): UART.txdone() means that the last stop bit
is out; the watchdog takes at most 8388 ms and cannot be stopped; reset_cause() calls
machine.reset() a watchdog reset (issue 19409), so a scratch register that survives tells them
apart. The port drops parity errors: the CRC finds them.
"""

import binascii
import time

import machine
from ports import RX_SIZE, Port, UsbPort

TYPE_CHECKING = False  # a board has no typing module
if TYPE_CHECKING:
    from typing import Any

TYPE = "pico"
WATCHDOG_MS = 8000
MAINTENANCE = "strap"

_SCRATCH = 0x4005800C  # WATCHDOG SCRATCH0, RP2040 datasheet 4.7.6
_STRAP = 22  # bridged to ground
_MARK = 0x53570000  # plus what reset() was told
_REQUESTED = 3
_FAULT = 4
_MAINTENANCE = 5
_PINS = ((0, 1, 2), (4, 5, 6))  # by UART: TX, RX, DE
_CONTACTS = 8  # GP8 to GP15, each a contact to ground
_CONTACT_FIRST = 8
_GPIO_IN = 0xD0000004  # SIO, RP2040 datasheet 2.3.1.7: all pins at one instant
_TX_SIZE = 256

_ports: "list[Port | UsbPort]" = []


class Contacts:
    """Dry contacts to ground with the chip's pull-ups: a closed one is low."""

    def __init__(self) -> None:
        self.count = _CONTACTS
        self.wakes_idle = False  # an edge is no interrupt here
        for i in range(_CONTACTS):
            machine.Pin(_CONTACT_FIRST + i, machine.Pin.IN, machine.Pin.PULL_UP)

    def read(self) -> int:
        levels: int = machine.mem32[_GPIO_IN]  # 30 pins: a small integer
        return ~(levels >> _CONTACT_FIRST) & ((1 << _CONTACTS) - 1)


def open_bus(uart: int, baud: int, parity: int, stop_bits: int) -> Port:
    """The UART as a field bus; ValueError if the board has no such UART."""
    if uart >= len(_PINS):
        raise ValueError("no such UART")
    tx, rx, de = _PINS[uart]
    driver = machine.Pin(de, machine.Pin.OUT, value=0)
    line = machine.UART(
        uart,
        baud,
        8,
        (None, 0, 1)[parity],  # machine: 0 is even, 1 is odd
        stop_bits,
        tx=machine.Pin(tx),
        rx=machine.Pin(rx),
        txbuf=_TX_SIZE,
        rxbuf=RX_SIZE,
    )
    port = Port(line, driver)
    _ports.append(port)
    return port


def open_link(settings: "dict[str, object]") -> UsbPort:
    """The USB-CDC; the settings of board.json have nothing that it needs."""
    port = UsbPort()
    _ports.append(port)
    return port


def open_inputs() -> Contacts:
    return Contacts()


def watchdog() -> machine.WDT:
    return machine.WDT(timeout=WATCHDOG_MS)


def idle(wait_us: int) -> None:
    """Rests until the time has passed or a byte has come on any port."""
    start_us = time.ticks_us()
    before = _pending()
    while time.ticks_diff(time.ticks_us(), start_us) < wait_us and _pending() == before:
        # Wakes at an interrupt, and each UART byte is one.
        machine.idle()


def _pending() -> int:
    total = 0
    for port in _ports:
        total += port.any()
    return total


def open_network(settings: "dict[str, Any]") -> bool:
    """There is none."""
    return False


def reset(reason: int = _REQUESTED) -> None:
    """Restarts the chip; the next boot knows why: 3 requested, 4 a fault, 5 for maintenance."""
    machine.mem32[_SCRATCH] = _MARK + reason
    machine.reset()


def strap() -> bool:
    """Whether the strap is bridged."""
    return machine.Pin(_STRAP, machine.Pin.IN, machine.Pin.PULL_UP).value() == 0


def maintenance() -> bool:
    """Whether this boot is for maintenance: asked for before the reset, or by the strap."""
    return _TOLD == _MAINTENANCE or (MAINTENANCE == "strap" and strap())


def hold(deadline_ms: int) -> None:
    """Holds the transmitters in receive, and restarts into the application at the deadline."""
    for _, _, de in _PINS:
        machine.Pin(de, machine.Pin.OUT, value=0)
    # A soft reset ends timers: boot.py calls this at each of them.
    _timers.append(
        machine.Timer(-1, mode=machine.Timer.ONE_SHOT, period=deadline_ms, callback=_over)
    )


def _over(_: "Any") -> None:
    reset()


def _take_mark() -> int:
    """What reset() was told before this boot, 0 if it was not the cause."""
    told: int = machine.mem32[_SCRATCH] - _MARK
    if not _REQUESTED <= told <= _MAINTENANCE:
        return 0
    if told != _MAINTENANCE:
        machine.mem32[_SCRATCH] = 0  # maintenance lasts until a reset that says otherwise
    return told


def _find_boot_reason() -> int:
    if _TOLD:
        return _FAULT if _TOLD == _FAULT else _REQUESTED
    cause = machine.reset_cause()
    if cause == machine.PWRON_RESET:
        return 1
    return 2 if cause == machine.WDT_RESET else 0


_timers: "list[machine.Timer]" = []
_TOLD = _take_mark()
_BOOT_REASON = _find_boot_reason()


def boot_reason() -> int:
    return _BOOT_REASON


def unique_id() -> str:
    return binascii.hexlify(machine.unique_id()).decode()


def led(on: bool) -> None:
    machine.Pin("LED", machine.Pin.OUT).value(on)
