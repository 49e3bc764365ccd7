"""errand.py: the program on the real VM, fed with what it should get and what it should not."""

import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shorewatch.assets import asset_folder
from shorewatch.config import DirectConfig
from shorewatch.direct.frame import Identify, Outcome, Read, crc16, with_crc
from shorewatch.field.errand import (
    MARK,
    PROGRAM,
    encode_listen,
    encode_open,
    encode_request,
    parse_hello,
    parse_trial,
)
from shorewatch.field.sweep import Setting, line_of
from shorewatch.plant.virtual_board import find_vm

# A board whose every unit answers a read of one register with 7, and everything else with silence.
BOARD = """
import sys
from station import frame
TYPE = "virtual"
class Port:
    def __init__(self):
        self.waiting = b""
    def any(self):
        return len(self.waiting)
    def readinto(self, buf, n):
        got = self.waiting[:n]
        self.waiting = self.waiting[n:]
        buf[:len(got)] = got
        return len(got)
    def write(self, buf, n):
        sent = bytes(buf[:n])
        print("sent:" + sent.hex())
        if n == 8 and sent[5] == 1:
            reply = bytearray(sent[:2] + bytes([2, 0, 7, 0, 0]))
            frame.seal(reply, 5)
            self.waiting += bytes(reply)
        return n
    def tx_idle(self):
        return True
    def de(self, on):
        print("de:" + str(on))
port = Port()
def open_bus(uart, baud, parity, stop_bits):
    print("open:", uart, baud, parity, stop_bits)
    port.waiting = b""
    return port
def idle(wait_us):
    import time
    time.sleep_us(min(wait_us, 1000))
def reset(reason=3):
    print("reset")
    sys.exit(70)
"""


@pytest.fixture(scope="module")
def flash(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("flash")
    (folder / "board.py").write_text(BOARD)
    (folder / "station").symlink_to(asset_folder("firmware") / "station")
    (folder / "errand.py").write_text(PROGRAM + "\nerrand(1, idle_ms=300)\n")
    return folder


def ran(flash: Path, *lines: str) -> list[str]:
    """What the board says to these lines, up to its reset."""
    done = subprocess.run(
        [str(find_vm()), "errand.py"], cwd=flash, input="\n".join([*lines, ""]), text=True,
        capture_output=True, timeout=30, check=False,
    )  # fmt: skip
    assert done.returncode == 70, done.stdout + done.stderr
    return done.stdout.split("\n")


def told(said: list[str]) -> list[str]:
    return [line.removeprefix(MARK) for line in said if line.startswith(MARK)]


def line(setting: Setting) -> DirectConfig:
    return line_of("tty", setting)


def opening(setting: Setting) -> str:
    made = line(setting)
    return encode_open(setting, made.char_us, made.t35_us)


@pytest.mark.parametrize(
    ("setting", "opened"),
    [
        (Setting(9600, "8N1"), "open: 1 9600 0 1"),
        (Setting(19200, "8E1"), "open: 1 19200 1 1"),
        (Setting(115200, "8O1"), "open: 1 115200 2 1"),
        (Setting(1200, "8N2"), "open: 1 1200 0 2"),
    ],
)
def test_a_setting_is_the_boards_own(flash: Path, setting: Setting, opened: str) -> None:
    """Baud rate, parity and stop bits go to open_bus() of board.py, in its numbers."""
    assert opened in ran(flash, opening(setting), "Q")


def test_a_request_comes_back_as_a_trial(flash: Path) -> None:
    """Outcome, reply and the raw bytes are what an adapter would have given; silence is silence."""
    good, silent = Read(5, 3, 0x0102, 1), Identify(5)
    said = told(
        ran(
            flash,
            opening(Setting(115200, "8N1")),
            encode_request(good, 0.2),
            encode_request(silent, 0.05),
            encode_listen(0.01),
            "Q",
        )
    )
    hello, opened, first, second, heard, _ = said
    assert parse_hello(hello).type == "virtual" and opened == heard == ""

    trial = parse_trial(good, first)
    assert (trial.outcome, trial.reply) == (Outcome.GOOD, bytes([3, 2, 0, 7]))
    assert trial.heard == with_crc(bytes([5, 3, 2, 0, 7])) and trial.before == b""
    trial = parse_trial(silent, second)
    assert (trial.outcome, trial.heard, trial.reply) == (Outcome.TIMEOUT, b"", b"")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text("RILOQ 0123456789-x", max_size=30), max_size=4))
def test_whatever_comes_only_reads_leave(flash: Path, lines: list[str]) -> None:
    """No line makes the board send anything but a sealed 01 to 04 or 2B/0E; it ends in a reset."""
    said = ran(flash, opening(Setting(115200, "8N1")), *lines)

    for text in said:
        if text.startswith("sent:"):
            frame = bytes.fromhex(text.removeprefix("sent:"))
            assert crc16(frame) == 0
            assert frame[1] in (1, 2, 3, 4) or frame[1:3] == b"\x2b\x0e"
    assert said[-2:] == ["reset", ""]


@pytest.mark.parametrize("function", [0, 5, 6, 15, 16, 22, 23, 43, 255])
def test_a_write_cannot_be_asked_for(flash: Path, function: int) -> None:
    """A function that is no read ends the program before a byte leaves."""
    said = ran(flash, opening(Setting(9600, "8N1")), f"R 1 {function} 0 1 50000")

    assert not [text for text in said if text.startswith("sent:")]
    assert told(said)[-1].startswith("!AssertionError")


def test_the_transmitter_is_in_receive_when_it_ends(flash: Path) -> None:
    """Behind the last request the driver is off, and the last thing is the reset."""
    for end in ("Q", "R 1", "nonsense"):
        said = ran(flash, opening(Setting(9600, "8N1")), "R 1 3 0 1 50000", end)
        states = [text for text in said if text.startswith("de:") or text == "reset"]
        assert states[-2:] == ["de:False", "reset"]


def test_a_laptop_that_has_gone_is_not_waited_for(flash: Path) -> None:
    """Without a line for so long the board restarts by itself."""
    process = subprocess.Popen(
        [str(find_vm()), "errand.py"], cwd=flash, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    with process:
        assert process.stdout is not None
        out = process.stdout.read()
    assert process.returncode == 70 and out.endswith("reset\n")
