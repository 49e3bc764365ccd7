"""The firmware on the real MicroPython VM: finds the VM, makes a flash folder, plays the cables."""

import contextlib
import json
import os
import pty
import select
import shutil
import struct
import subprocess
import sys
import threading
import time
import tty
from pathlib import Path

import pytest
from fw_fakes import reply_to, sealed

from shorewatch.assets import board_files

ROOT = Path(__file__).resolve().parents[2]
FIRMWARE = ROOT / "firmware"
VIRTUAL = ROOT / "boards" / "virtual"
PORT = str(VIRTUAL / "port.py")
HEAP = "heapsize=190k"
PATIENCE_S = 15


def find_vm():
    """The `micropython` beside this Python or on PATH; skips, or fails in CI, if there is none."""
    beside = Path(sys.executable).with_name("micropython")
    found = str(beside) if beside.exists() else shutil.which("micropython")
    if found is None:
        reason = "no micropython beside this Python or on PATH"
        if os.environ.get("SHOREWATCH_REQUIRE_ALL") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return found


def until(fact, what, patience_s=PATIENCE_S):
    """Waits for a fact about another process; a fact that never comes is a failed test."""
    end = time.monotonic() + patience_s
    while time.monotonic() < end:
        value = fact()
        if value:
            return value
        time.sleep(0.02)
    pytest.fail(f"{what}: not within {patience_s} s")


class Cable:
    """A pty under a path that stays; pulled, it goes away as an adapter does."""

    def __init__(self, path):
        self.path = path
        self.plug()

    def plug(self):
        self.end, far = pty.openpty()
        tty.setraw(far)
        self.path.unlink(missing_ok=True)
        self.path.symlink_to(os.ttyname(far))
        self._far = far

    def pull(self):
        self.path.unlink(missing_ok=True)
        os.close(self.end)
        os.close(self._far)
        self.end = self._far = -1

    def write(self, data):
        while data:
            data = data[os.write(self.end, data) :]

    def read(self, timeout_s=PATIENCE_S):
        """What comes until 50 ms of silence."""
        data = b""
        while select.select([self.end], [], [], timeout_s)[0]:
            data += os.read(self.end, 4096)
            timeout_s = 0.05
        return data


class Devices(threading.Thread):
    """Units that answer on a cable, after the time that their request takes on the wire."""

    def __init__(self, cable, units=(5,), char_s=0.000573):
        super().__init__(daemon=True)
        self.cable = cable
        self.units = set(units)
        self.char_s = char_s
        self.asked = []
        self._over = threading.Event()

    def run(self):
        while not self._over.is_set():
            with contextlib.suppress(OSError, ValueError):
                self._serve(self.cable.end)

    def _serve(self, end):
        if end < 0 or not select.select([end], [], [], 0.02)[0]:
            self._over.wait(0.001)
            return
        request = os.read(end, 256)
        self.asked.append(request)
        if len(request) == 8 and request[0] in self.units and sealed(request[:-2]) == request:
            self._over.wait(8 * self.char_s + 0.003)
            os.write(end, reply_to(request))

    def stop(self):
        self._over.set()
        self.join()


class Board:
    """A flash folder and the VM that runs it."""

    def __init__(self, folder, plan=None, settings=None):
        self.vm = find_vm()
        self.flash = folder / "flash"
        shutil.copytree(FIRMWARE / "station", self.flash / "station")
        shutil.copy(FIRMWARE / "main.py", self.flash)
        for path in board_files(VIRTUAL):
            shutil.copy(path, self.flash)
        if plan is not None:
            (self.flash / "plan.bin").write_bytes(plan)
        if settings is None:
            settings = json.dumps({"role": "cable/station/room", "link": {"unit_id": 1}})
        (self.flash / "board.json").write_text(settings)
        self.link = Cable(folder / "link")
        self.buses = [Cable(folder / "bus0"), Cable(folder / "bus1")]
        self.inputs = Cable(folder / "inputs")
        self.process = None

    def start(self, boot_reason=1, program=("main.py",), **more):
        """Starts the VM and waits for its first sign: opening a tty drops what came before."""
        self.launch(boot_reason, program, **more)
        assert self.beat() == b"."

    def launch(self, boot_reason=1, program=("main.py",), **more):
        environment = {
            **os.environ,
            "SHOREWATCH_LINK": str(self.link.path),
            "SHOREWATCH_BUS0": str(self.buses[0].path),
            "SHOREWATCH_BUS1": str(self.buses[1].path),
            "SHOREWATCH_INPUTS": str(self.inputs.path),
            "SHOREWATCH_UID": "5357000000000001",
            "SHOREWATCH_BOOT_REASON": str(boot_reason),
            **{f"SHOREWATCH_{name}": value for name, value in more.items()},
        }
        self.process = subprocess.Popen(
            [self.vm, "-X", HEAP, *program],
            cwd=self.flash,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def beat(self):
        """Waits for the watchdog's next sign."""
        assert select.select([self.process.stdout], [], [], PATIENCE_S)[0], "no heartbeat"
        return os.read(self.process.stdout.fileno(), 1)

    def cut(self):
        """Cuts the power."""
        self.process.kill()
        self.process.communicate()

    def end(self):
        """Waits until the VM has ended; gives its exit code and what it wrote to stderr."""
        error = self.process.communicate(timeout=PATIENCE_S)[1]
        return self.process.returncode, error.decode()

    def close(self):
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
        if self.process is not None:
            self.process.communicate()
        for cable in (self.link, self.inputs, *self.buses):
            if cable.end >= 0:
                cable.pull()

    def ask(self, *pdu):
        """One request on the link, its answer without unit and CRC."""
        self.link.write(sealed((1, *pdu)))
        answer = self.link.read()
        assert sealed(answer[:-2]) == answer, f"no answer to {bytes(pdu).hex()}: {answer.hex()}"
        return answer[1:-2]

    def read(self, address, count):
        answer = self.ask(4, *struct.pack(">HH", address, count))
        assert answer[:2] == bytes((4, 2 * count)), answer.hex()
        return struct.unpack(f">{count}H", answer[2:])

    def events(self, first=0):
        """(source, code, value, ms) of the events from a sequence number on."""
        rows = []
        high, low = self.read(0x16, 2)
        for sequence in range(first, high << 16 | low):
            words = self.read(0x8000 + 8 * (sequence % 256), 8)
            assert words[0] << 16 | words[1] == sequence, "overwritten"
            rows.append((*words[2:5], words[5] << 32 | words[6] << 16 | words[7]))
        return rows
