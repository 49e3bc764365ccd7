"""The process of one field bus on a bench: simulated devices under the hand of who started it.

    python -m shorewatch.hil.rack STATION BOARD UART (--pty PATH | --tty DEVICE) --record FOLDER

On a pty it paces like a wire. Behind an RS-485 adapter the wire paces, and a request has ended
after GAP_S of silence: an adapter hands over what it has heard in pieces.
It is told by lines of JSON on stdin, each answered by one on stdout, and ends with stdin:

    {"do": "trouble", "trouble": {...}}       what is wrong with the line (plant/trouble.py)
    {"do": "hold", "utc_s": 1.5e9 | null}     the devices stand still at that moment, or go on
    {"do": "cells", "unit_id", "table", "cells": {"17": 4660}}   registers that stand there instead
    {"do": "counts"}                          only look

An answer is {"counts": {...}} since the start, or {"error": "..."}.
"""

import argparse
import json
import os
import select
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from shorewatch.config import BusConfig, Device, load_station
from shorewatch.errors import ShorewatchError
from shorewatch.hil.adapter import open_adapter
from shorewatch.hil.replay import Replay, answers
from shorewatch.hil.witness import Served
from shorewatch.plant.device import Bank, SimulatedDevice
from shorewatch.plant.devices import TYPES, simulated
from shorewatch.plant.line import Line, Refusal, Server
from shorewatch.plant.port import open_port
from shorewatch.plant.record import Direction, Recorder, read_recording, recording
from shorewatch.plant.trouble import QUIET, Fates, Trouble
from shorewatch.plant.world import World
from shorewatch.stop import Stop, stop_signals

GAP_S: Final = 0.005
_WIRE_CHAR_S: Final = 1e-6  # a wire has paced already
_TABLES: Final = {1: "coil", 2: "discrete", 3: "holding", 4: "input"}


class Port(Protocol):
    """Where bytes come and go without waiting."""

    @property
    def near_fd(self) -> int: ...

    def receive(self) -> bytes: ...

    def send(self, data: bytes) -> int: ...


@dataclass(slots=True)
class Held:
    """A device whose registers may be others than it has; a Server of line.py."""

    server: Server
    unit_id: int
    note: Callable[[Served], None]
    cells: dict[int, dict[int, int]] = field(default_factory=dict)  # by function

    @property
    def turnaround_s(self) -> float:
        return self.server.turnaround_s

    @property
    def functions(self) -> frozenset[int]:
        return self.server.functions

    def read(
        self, function: int, address: int, count: int, utc_s: float
    ) -> Sequence[int] | Refusal:
        """As the device answers, but for the cells that stand there instead."""
        found = self.server.read(function, address, count, utc_s)
        if isinstance(found, Refusal):
            return found
        cells = self.cells.get(function, {})
        found = [cells.get(at, word) for at, word in enumerate(found, address)]
        self.note(Served(time.time(), self.unit_id, function, address, count, tuple(found)))
        return found


class Rack:
    """One line, its devices, and what the bench does to them."""

    def __init__(
        self, found: Mapping[int, Server], bus: BusConfig, name: str, seed: int,
        note: Callable[[Served], None],
    ) -> None:  # fmt: skip
        """`note` is told what each device answers with."""
        self._devices = {unit_id: Held(server, unit_id, note) for unit_id, server in found.items()}
        self._bus, self._name, self._seed = bus, name, seed
        self._trouble = QUIET
        self._held_s: float | None = None

    def line(self, *, is_wire: bool) -> Line:
        """The line; a real wire has paced what comes."""
        return Line(
            self._devices,
            char_s=_WIRE_CHAR_S if is_wire else self._bus.char_us / 1e6,
            t35_s=max(GAP_S, self._bus.t35_us / 1e6) if is_wire else self._bus.t35_us / 1e6,
            utc=self._utc,
            trouble=lambda _: self._trouble,
            fates=Fates(self._seed, self._name),
            is_paced=is_wire,
        )

    def obey(self, told: Mapping[str, Any]) -> None:
        """Do what a line of stdin says; raises ValueError, KeyError, TypeError for nonsense."""
        match told["do"]:
            case "trouble":
                self._trouble = Trouble.model_validate(told["trouble"])
            case "hold":
                self._held_s = told["utc_s"]
            case "cells":
                tables = {name: function for function, name in _TABLES.items()}
                cells = {int(at): int(word) for at, word in told["cells"].items()}
                self._devices[told["unit_id"]].cells[tables[told["table"]]] = cells
            case "counts":
                pass
            case other:
                raise ValueError(f"there is no {other!r} here")

    def _utc(self, now_s: float) -> float:
        return time.time() + now_s - time.monotonic() if self._held_s is None else self._held_s


def _serve(rack: Rack, line: Line | Replay, port: Port, recorder: Recorder, stop: Stop) -> None:
    told = b""
    while not stop.is_set:
        wake_s = line.wake_s
        rest_s = None if wake_s is None else max(0.0, wake_s - time.monotonic())
        readable, _, _ = select.select([port.near_fd, stop.fd, 0], [], [], rest_s)
        if port.near_fd in readable:
            data = port.receive()
            line.hear(time.monotonic(), data)
            recorder.note(Direction.FROM_CLIENT, data, time.time())
        data = line.take(time.monotonic())
        recorder.note(Direction.FROM_DEVICES, data[: port.send(data)], time.time())
        if stop.fd in readable:
            stop.drain()
        if 0 in readable:
            found = os.read(0, 65_536)
            if not found:
                return
            *whole, told = (told + found).split(b"\n")
            for text in whole:
                _answer(rack, line, text)


def _answer(rack: Rack, line: Line | Replay, text: bytes) -> None:
    try:
        rack.obey(json.loads(text))
        answer: dict[str, Any] = {"counts": asdict(line.counts)}
    except (ValueError, KeyError, TypeError) as error:
        answer = {"error": f"{text.decode(errors='replace')}: {error}"}
    print(json.dumps(answer), flush=True)


def _played(device: Device, station_id: str, world: World) -> Server:
    """A device of the plant; of a type that it does not know, one whose registers are all 0."""
    if device.profile.id in TYPES:
        return simulated(device, station_id, world)
    tables = {point.table for point in device.profile.points.values()}
    banks = {f: Bank(name, 0, 0xFFFF, 2000) for f, name in _TABLES.items() if name in tables}
    return SimulatedDevice(banks, (), lambda _: {}, {}, turnaround_s=0.005)


def main(argv: Sequence[str]) -> None:
    """Serve until stdin ends; raises ShorewatchError for what cannot be played."""
    parser = argparse.ArgumentParser(prog="shorewatch.hil.rack")
    parser.add_argument("station", type=Path)
    parser.add_argument("board")
    parser.add_argument("uart", type=int)
    parser.add_argument("--pty", type=Path)
    parser.add_argument("--tty")
    parser.add_argument("--record", type=Path, required=True)
    parser.add_argument("--replay", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args(argv)
    station = load_station(given.station)
    (bus,) = [bus for bus in station.boards[given.board].bus if bus.uart == given.uart]
    world = World(given.seed, None)
    found = {
        device.config.unit_id: _played(device, station.id, world)
        for device in station.of_board(given.board)
        if device.bus is bus
    }
    opened = (
        open_port(given.pty) if given.tty is None else open_adapter(given.tty, bus.baud, bus.format)
    )
    name = f"{station.id}-{given.board}-{given.uart}"
    with (
        stop_signals() as stop,
        opened as port,
        recording(given.record, name) as recorder,
        (given.record / f"{name}.served").open("a", 1) as served,
    ):
        line_id = f"{given.board}/{given.uart}"

        def note(one: Served) -> None:
            served.write(one.encoded())

        rack = Rack(found, bus, line_id, given.seed, note)
        line: Line | Replay = rack.line(is_wire=given.tty is not None)
        if given.replay is not None:
            line = Replay(answers(read_recording(given.replay)), bus.t35_us / 1e6)
        print(json.dumps({"counts": {}}), flush=True)  # it is there
        _serve(rack, line, port, recorder, stop)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except ShorewatchError as error:
        sys.exit(str(error))
