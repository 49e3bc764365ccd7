"""`shorewatch plant run`: a station's devices for anybody's software."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from free_ports import free_ports
from pymodbus.client import ModbusSerialClient, ModbusTcpClient

from shorewatch.assets import asset_folder

STATION = asset_folder("stations") / "sumqayit.toml"


@contextmanager
def offered(*words: str) -> Iterator[tuple["subprocess.Popen[str]", list[str]]]:
    """The command, once it has said that all is there; what it printed until then."""
    command = [sys.executable, "-m", "shorewatch", "plant", "run", str(STATION), *words]
    environment = os.environ | {"COLUMNS": "200"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        lines: list[str] = []
        try:
            for line in process.stdout:
                lines.append(line)
                if line.startswith("Ctrl-C"):
                    break
            yield process, lines
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(30)


def test_devices_are_on_ptys_and_gone_at_the_end(tmp_path: Path) -> None:
    """Another maker's client reads one at the place that is printed; nothing is left."""
    with offered("--state-dir", str(tmp_path)) as (process, lines):
        assert process.poll() is None, lines
        path = tmp_path / "lines" / "beach-1.tty"
        assert any(str(path) in line and "9600 8N1" in line for line in lines)
        client = ModbusSerialClient(str(path), baudrate=9600, timeout=2)
        assert client.connect()
        found = client.read_input_registers(1, count=2, device_id=1)
        client.close()
        assert not found.isError() and 150 < found.registers[0] < 350
    assert process.returncode == 0
    assert not path.exists()


def test_devices_are_on_tcp() -> None:
    """Each line is a port, with its devices under their unit ids."""
    port = free_ports(6)
    with offered("--tcp", str(port)) as (process, lines):
        assert process.poll() is None, lines
        client = ModbusTcpClient("127.0.0.1", port=port + 3, timeout=5)
        assert client.connect()
        found = client.read_input_registers(1, count=2, device_id=1)
        client.close()
        assert not found.isError() and 150 < found.registers[0] < 350
    assert process.returncode == 0


def test_a_scenario_is_told_and_happens(tmp_path: Path) -> None:
    """Its script stands below the table, each event is said, and the devices show it."""
    path = tmp_path / "lid.toml"
    path.write_text(
        'id = "lid"\nname = "L"\nstory = "S"\nlength_s = 60\n'
        '[[event]]\nat_s = 1\nsay = "The lid is lifted"\nstation = "sumqayit"\nlid_open = true\n'
    )
    port = free_ports(6)
    with offered("--tcp", str(port), "--scenario", str(path)) as (process, lines):
        assert "0:00:01  The lid is lifted\n" in lines
        assert process.stdout is not None and "The lid is lifted" in process.stdout.readline()
        client = ModbusTcpClient("127.0.0.1", port=port + 2, timeout=5)
        assert client.connect()
        found = client.read_discrete_inputs(0, count=1, device_id=3)
        client.close()
        assert not found.isError() and found.bits[0]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--tcp", "0"], "--tcp 0 must be 1 to 65000"),
        (["--scenario", "fire"], "there is no scenario 'fire'"),
        (["--speed", "3"], "belong to a --scenario"),
    ],
)
def test_what_makes_no_sense_is_refused(words: list[str], said: str) -> None:
    """With exit code 64 and what to do."""
    command = [sys.executable, "-m", "shorewatch", "plant", "run", str(STATION), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 64 and said in done.stderr


def test_the_scenarios_are_listed() -> None:
    """Name, length, and what one sees in it."""
    command = [sys.executable, "-m", "shorewatch", "plant", "scenarios"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert "anchor-drag  0:15:00  An anchor drags over the cable" in done.stdout
