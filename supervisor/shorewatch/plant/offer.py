"""`shorewatch plant run`: all devices of a station for anybody's software, on ptys or Modbus TCP.

On ptys each bus is a process of its own, paced as its baud rate says, with the troubles of the
scenario. By TCP each line is a port with its devices under their unit ids, without a wire: what is
wrong with a wire is then left out. Devices that the station has on TCP are served at their address.
"""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from shorewatch.config import Device, Station
from shorewatch.errors import DemoError
from shorewatch.plant.devices import simulated
from shorewatch.plant.direct import serving
from shorewatch.plant.line import Server
from shorewatch.plant.run import line_path
from shorewatch.plant.scenario import Play, clock
from shorewatch.plant.world import World
from shorewatch.process import die_with
from shorewatch.stop import stop_signals

READY_S_MAX: Final = 20.0
_LOOK_S: Final = 0.25


@dataclass(frozen=True, slots=True)
class Offered:
    """One line: what it is, where it can be reached, and who answers there."""

    line: str
    where: str
    devices: Sequence[Device]


Show = Callable[[Sequence[Offered]], None]
Say = Callable[[str], None]


def offer_ptys(
    station: Station, file: Path, state_dir: Path, arguments: Sequence[str], *,
    play: Play | None, show: Show, say: Say,
) -> None:  # fmt: skip
    """Serve each bus and direct line by a child until SIGTERM or SIGINT.

    `arguments` are those of each child: seed, scenario, overrides. Raises DemoError if one ends.
    """
    with stop_signals() as stop, ExitStack() as stack:
        children: list[tuple[str, subprocess.Popen[bytes]]] = []
        wanted: list[Path] = []
        for name, words, path in _lines(station, state_dir):
            command = [sys.executable, "-m", "shorewatch", "plant", *words[:1], str(file)]
            command += [*words[1:], "--state-dir", str(state_dir), *arguments]
            child = subprocess.Popen(
                command, preexec_fn=partial(die_with, os.getpid(), signal.SIGKILL)
            )
            stack.callback(_end, child)
            children.append((name, child))
            if path is not None:
                path.unlink(missing_ok=True)
                wanted.append(path)
        ready_s = time.monotonic() + READY_S_MAX
        while not all(path.exists() for path in wanted) and time.monotonic() < ready_s:
            _check(children)
            if stop.wait(0.05):
                return
        show(list(_offered(station, state_dir, None)))
        events = _events(play)
        while not stop.wait(_LOOK_S):
            _check(children)
            for text in next(events):
                say(text)


async def offer_tcp(
    station: Station, seed: int, play: Play | None, first_port: int, *, show: Show, say: Say
) -> None:
    """Serve each line at a TCP port of 127.0.0.1, from `first_port` on, until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signum, stop.set)
    world = World(seed, play)
    async with AsyncExitStack() as stack:
        offered = list(_offered(station, Path(), first_port))
        for one in offered:
            found: Mapping[int, Server] = {
                d.config.unit_id: simulated(d, station.id, world) for d in one.devices
            }
            host, _, port = one.where.rpartition(":")
            try:
                await stack.enter_async_context(serving(found, host, int(port)))
            except OSError as error:
                text = f"{one.where} cannot be served: {error.strerror}; choose another --tcp"
                raise DemoError(text) from error
        show(offered)
        events = _events(play)
        while not stop.is_set():
            for text in next(events):
                say(text)
            try:
                await asyncio.wait_for(stop.wait(), _LOOK_S)
            except TimeoutError:
                continue


def _lines(station: Station, state_dir: Path) -> Iterator[tuple[str, list[str], Path | None]]:
    """Name, words of its command, and its pty, of each line."""
    for board in station.file.board:
        for bus in board.bus:
            path = line_path(state_dir, board.id, bus.uart)
            yield f"{board.id}/{bus.uart}", ["line", board.id, str(bus.uart)], path
    for direct in station.file.direct:
        pty = None if direct.address is not None else state_dir / str(direct.port)
        yield direct.id, ["direct", direct.id], pty


def _offered(station: Station, state_dir: Path, first_port: int | None) -> Iterator[Offered]:
    port = first_port
    for board in station.file.board:
        for bus in board.bus:
            devices = [d for d in station.of_board(board.id) if d.bus is bus]
            where = str(line_path(state_dir, board.id, bus.uart))
            if port is not None:
                where, port = f"127.0.0.1:{port}", port + 1
            else:
                where = f"{where} ({bus.baud} {bus.format})"
            yield Offered(f"{board.id}/{bus.uart}", where, devices)
    for direct in station.file.direct:
        where = str(state_dir / str(direct.port))
        if port is not None:
            where, port = f"127.0.0.1:{port}", port + 1
        elif direct.address is not None:
            where = "{}:{}".format(*direct.address)
        yield Offered(direct.id, where, station.of_direct(direct.id))


def _events(play: Play | None) -> Iterator[list[str]]:
    """Each time, what has happened since the time before."""
    said = 0
    while True:
        texts: list[str] = []
        if play is not None:
            now_s = play.at_s(time.time())
            for event in play.scenario.file.event[said:]:
                if event.at_s > now_s:
                    break
                texts.append(f"{clock(event.at_s)}  {event.say}")
                said += 1
        yield texts


def _check(children: Sequence[tuple[str, "subprocess.Popen[bytes]"]]) -> None:
    for name, child in children:
        if child.poll() is not None:
            raise DemoError(f"line {name} ended by itself (code {child.returncode}): see above")


def _end(child: "subprocess.Popen[bytes]") -> None:
    child.terminate()
    try:
        child.wait(2)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
