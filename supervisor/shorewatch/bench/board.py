"""The firmware on its VM, with a plan and lines of ours: a virtual board without its supervisor.

The flash is laid out flat (main.py at the top) and the VM gets the environment that
boards/virtual/board.py names. Instead of main.py a program of ours can run: METER steps the same
superloop and tells, each so many transactions, what the heap looks like. There is no watchdog and
no reset: a VM that ends early is an error with its last words.
"""

import json
import os
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from shorewatch.assets import asset_folder, board_files
from shorewatch.bench.priority import CLIENT, raise_priority
from shorewatch.direct.frame import crc16, with_crc
from shorewatch.errors import DemoError
from shorewatch.plant.port import Port, open_port
from shorewatch.plant.virtual_board import find_vm
from shorewatch.process import die_with

HEAP = "190k"
LINK_UNIT = 1
_HEAP_BLOCK = 32  # bytes, on a 64-bit VM
_REPLY_S_MAX = 2.0
_TRIES = 3
_START_S_MAX = 10.0

# Runs on the VM. argv: how many transactions, in how many steps. After each step a line on stderr:
# transactions, seconds, bytes allocated, bytes free, and the collector's report (largest block).
METER = """
import gc, sys, time
import board, micropython
from station import app, image

def count():
    value, at = 0, station.image.board
    for bus in station.buses:
        word = bus.word + image.REQUESTS
        value += image.get(at, word) << 16 | image.get(at, word + 1)
    return value

def run(end):
    while count() < end:
        rest_us = station.step()
        if rest_us > 0:
            board.idle(rest_us)

wanted, steps = int(sys.argv[1]), int(sys.argv[2])
station = app.App(board, time, board.watchdog())
run(20)
gc.collect()
gc.disable()
start, before, now_ms = count(), gc.mem_alloc(), time.ticks_ms()
for step in range(steps + 1):
    run(start + wanted * step // steps)
    # Before anything is printed: that allocates, until the next collection.
    done, size, free = count() - start, gc.mem_alloc() - before, gc.mem_free()
    micropython.mem_info()
    print("\\nMETER", done, time.ticks_diff(time.ticks_ms(), now_ms), size, free)
    gc.collect()
    before = gc.mem_alloc()
print("\\nEND")
run(1 << 40)
"""


@dataclass(frozen=True, slots=True)
class Reading:
    """What METER told at the end of one step; `allocated` is of this step alone."""

    transactions: int
    seconds: float
    allocated: int
    free: int
    largest: int


class Board:
    """A running VM and the near end of its link."""

    def __init__(self, process: subprocess.Popen[bytes], link: Port) -> None:
        self._process = process
        self._link = link

    def read(self, address: int, count: int) -> list[int]:
        """Registers of its image, asked for up to three times; raises DemoError without them."""
        request = with_crc(bytes([LINK_UNIT, 4]) + address.to_bytes(2) + count.to_bytes(2))
        data = b""
        for _ in range(_TRIES):
            data = self._ask(request, 5 + 2 * count)
            if len(data) == 5 + 2 * count and data[:2] == request[:2] and crc16(data) == 0:
                return [int.from_bytes(data[i : i + 2]) for i in range(3, 3 + 2 * count, 2)]
        text = f"the board does not answer its link: {data.hex()} {self._last_words()}"
        raise DemoError(text)

    def _ask(self, request: bytes, size: int) -> bytes:
        self._link.receive()
        self._link.send(request)
        data, end_s = b"", time.monotonic() + _REPLY_S_MAX
        while len(data) < size and (left_s := end_s - time.monotonic()) > 0:
            select.select([self._link.near_fd], [], [], left_s)
            data += self._link.receive()
        return data

    def wait_until_up(self) -> None:
        """Until it answers its link; raises DemoError if it does not start."""
        end_s = time.monotonic() + _START_S_MAX
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], end_s - time.monotonic())[0]:
            raise DemoError(f"the board does not start: {self._last_words()}")

    def poll(self, seconds: float, period_s: float = 0.1) -> None:
        """Read 125 registers of the image each `period_s`, as a gateway does."""
        start_s = time.monotonic()
        for turn in range(1, round(seconds / period_s) + 1):
            self.read(0x1000, 125)
            time.sleep(max(0.0, start_s + turn * period_s - time.monotonic()))

    def readings(self, limit_s: float, period_s: float = 0.1) -> list[Reading]:
        """What METER tells until its end, while the link is polled.

        Raises DemoError if the program ends, or `limit_s` pass, before it has come to its end.
        """
        assert self._process.stdout is not None
        out, text, end_s = self._process.stdout.fileno(), b"", time.monotonic() + limit_s
        while b"\nEND" not in text:
            if time.monotonic() > end_s or self._process.poll() is not None:
                raise DemoError(f"the meter did not end: {self._last_words()}")
            wait_s = time.monotonic() + period_s
            self.read(0x1000, 125)
            while (left_s := wait_s - time.monotonic()) > 0:
                if select.select([out], [], [], left_s)[0]:
                    text += os.read(out, 65536)
        return parse_readings(text.decode("ascii", "replace"))

    def _last_words(self) -> str:
        if self._process.poll() is None or self._process.stderr is None:
            return ""
        return self._process.stderr.read().decode("utf-8", "replace").strip()


def parse_readings(text: str) -> list[Reading]:
    """METER's lines, each after the collector's report; its blocks are of 32 bytes."""
    found, largest = [], 0
    for line in text.splitlines():
        if "max free sz:" in line:
            largest = int(line.partition("max free sz:")[2].split()[0]) * _HEAP_BLOCK
        elif line.startswith("METER"):
            done, ms, allocated, free = (int(word) for word in line.split()[1:])
            found.append(Reading(done, ms / 1000, allocated, free, largest))
    return found


@contextmanager
def running_board(
    folder: Path,
    plan: bytes,
    lines: Sequence[str],
    *,
    program: str | None = None,
    arguments: Sequence[str] = (),
) -> Iterator[Board]:
    """A board on these lines (paths of ttys, UART 0 first) for the time of a `with` block.

    Raises DemoError if there is no VM or it does not start.
    """
    flash = folder / "flash"
    _lay(flash, plan, program)
    with open_port() as link:
        environment = {"SHOREWATCH_LINK": link.far_path} | {
            f"SHOREWATCH_BUS{uart}": path for uart, path in enumerate(lines)
        }
        process = _start(flash, environment, ["bench.py" if program else "main.py", *arguments])
        try:
            board = Board(process, link)
            board.wait_until_up()
            yield board
        finally:
            process.kill()
            process.communicate()
            shutil.rmtree(flash)


def _lay(flash: Path, plan: bytes, program: str | None) -> None:
    firmware = asset_folder("firmware")
    shutil.copytree(
        firmware / "station",
        flash / "station",
        ignore=shutil.ignore_patterns("*.pyi", "__pycache__"),
    )
    shutil.copyfile(firmware / "main.py", flash / "main.py")
    for path in board_files(asset_folder("boards") / "virtual"):
        shutil.copy(path, flash)
    settings = {"role": "bench", "link": {"unit_id": LINK_UNIT}}
    (flash / "board.json").write_text(json.dumps(settings), "utf-8")
    (flash / "plan.bin").write_bytes(plan)
    if program is not None:
        (flash / "bench.py").write_text(program, "utf-8")


def _start(
    flash: Path, environment: Mapping[str, str], arguments: Sequence[str]
) -> subprocess.Popen[bytes]:
    fixed = {
        "MICROPYPATH": ":.frozen",
        "SHOREWATCH_UID": "0000000000000000",
        "SHOREWATCH_BOOT_REASON": "1",
    }
    return subprocess.Popen(
        [str(find_vm()), "-X", f"heapsize={HEAP}", *arguments],
        cwd=flash,
        env=fixed | dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        process_group=0,
        preexec_fn=partial(_as_client, os.getpid()),
    )


def _as_client(parent_pid: int) -> None:
    """Between fork and exec: not to outlive us, and not to wait for others' processes."""
    raise_priority(CLIENT)
    die_with(parent_pid, signal.SIGKILL)
