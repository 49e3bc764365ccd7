"""A line as an OS process: a foreign Modbus client, signals, and a client that misbehaves."""

import fcntl
import os
import signal
import termios
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing.context import SpawnProcess
from pathlib import Path

import pytest
from pymodbus.client import ModbusSerialClient
from pymodbus.exceptions import ModbusIOException

from shorewatch.config import Station
from shorewatch.direct.frame import with_crc
from shorewatch.plant.cable import CABLE, HEALTHY, earth_v, solve
from shorewatch.plant.devices import simulated
from shorewatch.plant.port import SIZE_MAX
from shorewatch.plant.run import line_path, run_line
from shorewatch.plant.world import World

SEED = 11
Spawn = Callable[..., SpawnProcess]


def start_line(spawn: Spawn, wait: Callable[..., None], *line: object) -> SpawnProcess:
    """`line` is station, board id, uart, state folder; back when the port can be opened."""
    station, board_id, uart, folder = line
    assert isinstance(folder, Path) and isinstance(board_id, str) and isinstance(uart, int)
    process = spawn(run_line, station, board_id, uart, folder, seed=SEED)
    path = line_path(folder, board_id, uart)
    wait(path.exists, f"{path} to appear")
    return process


@contextmanager
def client(path: Path, baud: int = 19200) -> Iterator[ModbusSerialClient]:
    """A pymodbus client on the line's port, which asks once and never again.

    No parity: a pty drops it, and the C library then refuses the setting to pyserial (EINVAL).
    """
    found = ModbusSerialClient(str(path), baudrate=baud, parity="N", timeout=1, retries=0)
    assert found.connect()
    try:
        yield found
    finally:
        found.close()  # type: ignore[no-untyped-call]


def read_pfe(path: Path) -> list[int]:
    with client(path) as modbus:
        return list(modbus.read_input_registers(0, count=64, device_id=1).registers)


def test_pymodbus_reads_the_pfe(
    spawn: Spawn, wait: Callable[..., None], sumqayit: Station, tmp_path: Path
) -> None:
    """A foreign client gets exactly the registers the device has at the time it says."""
    start_line(spawn, wait, sumqayit, "pfe-room", 0, tmp_path)
    words = read_pfe(line_path(tmp_path, "pfe-room", 0))
    device_time_s = int.from_bytes(b"".join(word.to_bytes(2) for word in words[60:])) / 1000
    device = simulated(sumqayit.devices["pfe"], "sumqayit", World(SEED))
    # The device time is rounded to the millisecond; noise and heartbeat step within it.
    near = [device.read(4, 0, 60, device_time_s + d) for d in (-0.0006, 0.0, 0.0006)]
    assert words[:60] in near


def test_two_processes_share_one_cable(
    spawn: Spawn, wait: Callable[..., None], sumqayit: Station, aktau: Station, tmp_path: Path
) -> None:
    """What two PFE processes measure adds up to the line voltage of one cable at that moment."""
    volts: list[float] = []
    time_s = 0.0
    for station in (sumqayit, aktau):
        start_line(spawn, wait, station, "pfe-room", 0, tmp_path / station.id)
        words = read_pfe(line_path(tmp_path / station.id, "pfe-room", 0))
        points = station.devices["pfe"].points
        volts.append(float(points["line_voltage"].decode(words[7:9])[0] or 0))
        time_s = float(points["device_time"].decode(words[60:64])[0] or 0)
    ends = solve(replace(HEALTHY, emf_v_per_km=earth_v(SEED, time_s) / CABLE.length_km))
    assert volts[0] > 0 > volts[1]
    # Two meters' noise, and what the earth potential moves between the two reads.
    total_v = ends["A"].voltage_v + ends["B"].voltage_v
    assert volts[0] - volts[1] == pytest.approx(total_v, abs=2.0)


def test_each_shipped_line_answers(
    spawn: Spawn, wait: Callable[..., None], sumqayit: Station, tmp_path: Path
) -> None:
    """Meter, manhole and climate sensor answer what their profiles ask for, and refuse more."""
    for board_id, uart in (("pfe-room", 1), ("beach", 0), ("beach", 1)):
        start_line(spawn, wait, sumqayit, board_id, uart, tmp_path)
    with client(line_path(tmp_path, "pfe-room", 1), 9600) as modbus:
        volts = modbus.read_input_registers(0, count=12, device_id=10).registers
        assert modbus.convert_from_registers(volts[:2], modbus.DATATYPE.FLOAT32) == pytest.approx(
            231, abs=6
        )
        assert modbus.read_input_registers(1, count=2, device_id=10).exception_code == 2
    with client(line_path(tmp_path, "beach", 0)) as modbus:
        assert modbus.read_discrete_inputs(0, count=2, device_id=3).bits[:2] == [False, False]
        assert len(modbus.read_input_registers(0, count=5, device_id=3).registers) == 5
        assert modbus.read_coils(0, count=1, device_id=3).exception_code == 1
    with client(line_path(tmp_path, "beach", 1), 9600) as modbus:
        assert len(modbus.read_input_registers(1, count=2, device_id=1).registers) == 2
        assert modbus.read_holding_registers(0x0101, count=4, device_id=1).registers[0] == 1


def test_an_absent_unit_is_a_timeout(
    spawn: Spawn, wait: Callable[..., None], sumqayit: Station, tmp_path: Path
) -> None:
    """A unit id that is not on the bus is silent, and the bus goes on."""
    start_line(spawn, wait, sumqayit, "pfe-room", 0, tmp_path)
    path = line_path(tmp_path, "pfe-room", 0)
    with client(path) as modbus, pytest.raises(ModbusIOException):
        modbus.read_input_registers(0, count=1, device_id=2)
    assert read_pfe(path)[0] == 1


def test_sigterm_ends_it_and_removes_the_port(
    spawn: Spawn, wait: Callable[..., None], sumqayit: Station, tmp_path: Path
) -> None:
    """SIGTERM and SIGINT end the process with code 0 and take the symlink away."""
    for number in (signal.SIGTERM, signal.SIGINT):
        process = start_line(spawn, wait, sumqayit, "beach", 1, tmp_path)
        os.kill(process.pid or 0, number)
        process.join(timeout=30)
        assert process.exitcode == 0
        assert list((tmp_path / "lines").iterdir()) == []


def test_a_killed_line_comes_back_under_its_name(
    spawn: Spawn, wait: Callable[..., None], sumqayit: Station, tmp_path: Path
) -> None:
    """After kill -9 and a new start the same path leads to a line that answers."""
    path = line_path(tmp_path, "pfe-room", 0)
    process = start_line(spawn, wait, sumqayit, "pfe-room", 0, tmp_path)
    process.kill()
    process.join()
    assert path.is_symlink() and not path.exists()
    start_line(spawn, wait, sumqayit, "pfe-room", 0, tmp_path)
    assert read_pfe(path)[0] == 1


def test_a_predecessors_end_leaves_the_successors_port(
    spawn: Spawn, wait: Callable[..., None], sumqayit: Station, tmp_path: Path
) -> None:
    """A line that ends late does not remove the symlink that another one has taken over."""
    path = line_path(tmp_path, "pfe-room", 0)
    first = start_line(spawn, wait, sumqayit, "pfe-room", 0, tmp_path)
    target = path.readlink()
    spawn(run_line, sumqayit, "pfe-room", 0, tmp_path, seed=SEED)
    wait(lambda: path.readlink() != target, "the second line to take the name")
    first.terminate()
    first.join(timeout=30)
    assert read_pfe(path)[0] == 1


def test_a_client_that_never_reads_harms_nobody(
    spawn: Spawn, wait: Callable[..., None], sumqayit: Station, tmp_path: Path
) -> None:
    """Replies nobody fetches are dropped at 2 kB, and the next client is served."""
    start_line(spawn, wait, sumqayit, "pfe-room", 0, tmp_path)
    path = line_path(tmp_path, "pfe-room", 0)
    fd = os.open(path, os.O_RDWR | os.O_NOCTTY)
    tty.setraw(fd)
    asked = 0
    while (before := waiting(fd)) < SIZE_MAX:
        os.write(fd, with_crc(bytes.fromhex("01 04 0000 0040")))
        size = min(before + 133, SIZE_MAX)
        wait(lambda size=size: waiting(fd) >= size, "the reply to pile up")
        time.sleep(0.01)  # more than t3.5: a request right after a reply is not heard
        asked += 1
    assert asked == 16 and SIZE_MAX <= waiting(fd) < SIZE_MAX + 16  # what was on its way
    os.write(fd, os.urandom(4000))
    termios.tcflush(fd, termios.TCIOFLUSH)
    os.close(fd)
    wait(lambda: answers(path), "the line to be quiet and answer again")


def waiting(fd: int) -> int:
    return int.from_bytes(fcntl.ioctl(fd, termios.FIONREAD, bytes(4)), "little")


def answers(path: Path) -> bool:
    try:
        return read_pfe(path)[0] == 1
    except ModbusIOException:
        return False


def test_the_link_of_a_killed_line_leads_nowhere(
    spawn: Spawn, wait: Callable[..., None], sumqayit: Station, tmp_path: Path
) -> None:
    """After kill -9 the path leads to no other pty, whoever gets the number of the old one."""
    path = line_path(tmp_path, "pfe-room", 0)
    process = start_line(spawn, wait, sumqayit, "pfe-room", 0, tmp_path)
    process.kill()
    process.join()
    others = [os.openpty() for _ in range(12)]
    try:
        assert not path.exists()
    finally:
        for pair in others:
            for fd in pair:
                os.close(fd)
