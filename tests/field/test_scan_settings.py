"""field/scan.py: baud rate, parity and stop bits hunted, on a line that is played bit by bit."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uart import decode_wave, encode_wave
from wiring import full

from shorewatch.direct.frame import crc16, with_crc
from shorewatch.field.probe import Asker, Prober
from shorewatch.field.scan import Scan
from shorewatch.field.sweep import FORMATS, Setting, line_of, parse_settings
from shorewatch.plant.line import answer

BAUDS = (9600, 19200, 115200)
SETTINGS = [Setting(baud, form) for form in FORMATS for baud in BAUDS[1:]]
UNIT = 3


class Device:
    """Unit 3, which hears and speaks at its own setting; its receiver takes nothing else."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.opened: list[Setting] = []
        self._cabinet = full()

    @asynccontextmanager
    async def at(self, setting: Setting | None) -> AsyncIterator[Asker]:
        """The line, opened at a setting."""
        assert setting is not None
        self.opened.append(setting)
        yield Prober(line_of("tty", setting), Adapter(self, setting))

    def said(self, data: bytes, setting: Setting) -> bytes:
        """What an adapter at `setting`, which checks nothing, hears behind its request."""
        heard = decode_wave(encode_wave(data, setting), self.setting, is_strict=True)
        if len(heard) < 4 or crc16(heard) or heard[0] != UNIT:
            return b""
        pdu = answer(self._cabinet, heard[1:-2], 0.0)  # type: ignore[arg-type]
        if pdu is None:
            return b""
        reply = encode_wave(with_crc(bytes([UNIT]) + pdu), self.setting)
        return decode_wave(reply, setting, is_strict=False)


class Adapter:
    """A `Wire` of direct/wire.py."""

    def __init__(self, device: Device, setting: Setting) -> None:
        self._device = device
        self._setting = setting
        self._waiting, self._due_s = b"", 0.0

    def write(self, data: bytes) -> None:
        self._waiting = self._device.said(data, self._setting)
        self._due_s = time.monotonic() + (len(data) + 4) * self._setting.char_s + 0.002

    def take(self) -> bytes:
        if time.monotonic() < self._due_s:
            return b""
        data, self._waiting = self._waiting, b""
        return data

    async def wait(self, until_s: float) -> None:
        if self._waiting:
            until_s = min(until_s, self._due_s)
        await asyncio.sleep(max(0.0, until_s - time.monotonic()))


async def hunted(setting: Setting, given: list[Setting]) -> tuple[Scan, Device]:
    device = Device(setting)
    scan = Scan("tty", given, [UNIT], [], wait_s=0.1, functions=(3,), listen_s=0.01)
    scan.opener = device.at
    await scan.run()
    return scan, device


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
async def test_each_setting_is_hunted_down(setting: Setting) -> None:
    """Of all baud rates, parities and stop bits the scan ends at the one that the device has."""
    auto = [one for one in parse_settings("auto", "auto") if one.baud in BAUDS]
    scan, device = await hunted(setting, auto)

    assert scan.setting == setting and sorted(scan.found) == [UNIT]
    assert device.opened[-1] == setting  # nothing is tried behind it
    assert not scan.symptoms


async def test_a_setting_that_is_not_tried_is_not_found() -> None:
    """A line with another parity than those asked for is silent."""
    scan, _ = await hunted(Setting(9600, "8E1"), list(parse_settings("9600", "8N1,8O1,8N2")))

    assert not scan.found and scan.is_whole and scan.setting is None


@given(st.binary(max_size=20), st.sampled_from(SETTINGS))
def test_bits_come_back_as_the_bytes_they_were(data: bytes, setting: Setting) -> None:
    """A strict receiver with the sender's setting takes everything as it was sent."""
    assert decode_wave(encode_wave(data, setting), setting, is_strict=True) == data
