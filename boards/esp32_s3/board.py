"""ESP32-S3-DevKitC-1: two RS-485 buses on UART 1 and 2, the link on the chip's own USB-CDC.

UART 0 stays with MicroPython's console. Type-checked against the esp32 stubs; NOT yet run on
hardware. What the code rests on (MicroPython 1.24 to 1.29, esp32): UART.txdone() means that the
last stop bit is out; RTC memory survives every reset but a loss of power; reset_cause() knows a
watchdog, a soft reset and power apart, machine.reset() is a hard reset; machine.idle() gives way to
the system's tasks. The USB-CDC is stdin and stdout, as on rp2: POLLOUT is looked at before a write.
"""

import binascii
import time

import machine
from ports import RX_SIZE, Port, UsbPort

TYPE_CHECKING = False  # a board has no typing module
if TYPE_CHECKING:
    from typing import Any

TYPE = "esp32_s3"
WATCHDOG_MS = 8000
MAINTENANCE = "link"

_MARK = b"SWPL"  # in RTC memory, with what reset() was told behind it
_REQUESTED = 3
_FAULT = 4
_MAINTENANCE = 5
_IN_MAINTENANCE = 6  # told once, and every boot since has been a soft one
_UARTS = (1, 2)
_PINS = ((17, 18, 8), (15, 16, 7))  # TX, RX, DE
_STRAP = 21  # bridged to ground
_INPUTS = (4, 5, 6, 9, 10, 11, 12, 13)
_LED = 2
_TX_SIZE = 256

_ports: "list[Port | UsbPort]" = []


class Contacts:
    """Dry contacts to ground, with the pins' own pull-ups: a closed contact reads low."""

    def __init__(self) -> None:
        self.count = len(_INPUTS)
        self.wakes_idle = False
        self._pins = tuple(machine.Pin(pin, machine.Pin.IN, machine.Pin.PULL_UP) for pin in _INPUTS)

    def read(self) -> int:
        """The closed contacts, contact 0 in bit 0."""
        mask = 0
        bit = 1
        for pin in self._pins:
            if not pin.value():
                mask |= bit
            bit += bit
        return mask


def open_bus(uart: int, baud: int, parity: int, stop_bits: int) -> Port:
    """The UART as a field bus; ValueError if the board has no such UART."""
    if uart not in _UARTS:
        raise ValueError("no such UART")
    tx, rx, de = _PINS[uart - 1]
    driver = machine.Pin(de, machine.Pin.OUT, value=0)
    line = machine.UART(
        uart,
        baudrate=baud,
        bits=8,
        parity=(None, 0, 1)[parity],  # machine: 0 is even, 1 is odd
        stop=stop_bits,
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


def watchdog() -> machine.WDT:
    return machine.WDT(timeout=WATCHDOG_MS)


def idle(wait_us: int) -> None:
    """Rests until the time has passed or a byte has come on any port."""
    start_us = time.ticks_us()
    before = _pending()
    while True:
        left_us = wait_us - time.ticks_diff(time.ticks_us(), start_us)
        if left_us <= 0 or _pending() != before:
            return
        if left_us >= 1000:
            time.sleep_ms(1)
        else:
            machine.idle()


def _pending() -> int:
    total = 0
    for port in _ports:
        total += port.any()
    return total


def open_inputs() -> Contacts:
    return Contacts()


def open_network(settings: "dict[str, Any]") -> bool:
    """There is none: radio has no place here."""
    return False


def reset(reason: int = _REQUESTED) -> None:
    """Restarts the chip; the next boot knows why: 3 requested, 4 a fault, 5 for maintenance."""
    _write_mark(reason)
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
    timer = machine.Timer(0)
    timer.init(mode=machine.Timer.ONE_SHOT, period=deadline_ms, callback=_over)
    _timers.append(timer)


def _over(_: "Any") -> None:
    reset()


def _write_mark(reason: int) -> None:
    machine.RTC().memory(_MARK + bytes((reason,)))


def _take_mark() -> int:
    """What reset() was told before this boot, 0 if it was not the cause."""
    data = machine.RTC().memory()
    told = data[4] if len(data) == 5 and data[:4] == _MARK else 0
    if told == _MAINTENANCE or (
        told == _IN_MAINTENANCE and machine.reset_cause() == machine.SOFT_RESET
    ):
        _write_mark(_IN_MAINTENANCE)
        return _MAINTENANCE
    _write_mark(0)
    return told if told in (_REQUESTED, _FAULT) else 0


def _find_boot_reason() -> int:
    if _TOLD:
        return _FAULT if _TOLD == _FAULT else _REQUESTED
    cause = machine.reset_cause()
    if cause == machine.PWRON_RESET:
        return 1
    if cause == machine.WDT_RESET:
        return 2
    return _REQUESTED if cause == machine.SOFT_RESET else 0


_timers: "list[machine.Timer]" = []
_TOLD = _take_mark()
_BOOT_REASON = _find_boot_reason()


def boot_reason() -> int:
    return _BOOT_REASON


def unique_id() -> str:
    return binascii.hexlify(machine.unique_id()).decode()


def led(on: bool) -> None:
    machine.Pin(_LED, machine.Pin.OUT).value(on)
