"""The process of one field bus: its line and devices behind a pty that a board opens by path.

The only part of a line that touches the outside: bytes in from the pty, bytes out when the line
says they are due. Any Modbus RTU client may open the path, in the board's stead. A client that
does not read loses bytes, never stops the line. Reply bytes leave at most a scheduler's delay
after their time (tens of microseconds on an idle machine), never before it.
"""

import select
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path

from shorewatch.config import BusConfig, DirectConfig, Station
from shorewatch.plant.devices import servers
from shorewatch.plant.line import Line, Server
from shorewatch.plant.port import Port, open_port
from shorewatch.plant.record import Direction, recording
from shorewatch.stop import Stop, stop_signals

Note = Callable[[Direction, bytes, float], None]


def line_path(state_dir: Path, board_id: str, uart: int) -> Path:
    """Where the line of one bus can be opened."""
    return state_dir / "lines" / f"{board_id}-{uart}.tty"


def run_line(
    station: Station,
    board_id: str,
    uart: int,
    state_dir: Path,
    *,
    seed: int,
    record: Path | None = None,
) -> None:
    """Simulate one bus until SIGTERM or SIGINT; one OS process, its main thread.

    Both stations of a cable take the same `seed`: their PFEs then share one cable. `record` is the
    folder for a recording (record.py) named <station>-<board>-<uart>.wire. Raises DemoError if a
    device on the bus has no simulation, or the recording cannot be written.
    """
    buses = [bus for bus in station.boards[board_id].bus if bus.uart == uart]
    assert len(buses) == 1, f"board {board_id} has one bus on UART {uart}"
    found = servers(station, board_id, buses[0], seed)
    with ExitStack() as stack:
        note: Note = _forget
        if record is not None:
            name = f"{station.id}-{board_id}-{uart}"
            note = stack.enter_context(recording(record, name)).note
        play(found, buses[0], line_path(state_dir, board_id, uart), note)


def play(
    found: Mapping[int, Server],
    bus: BusConfig | DirectConfig,
    path: Path,
    note: Note | None = None,
) -> None:
    """Serve a serial line with these devices at `path` until SIGTERM or SIGINT."""
    line = Line(
        found,
        char_s=bus.char_us / 1e6,
        t35_s=bus.t35_us / 1e6,
        utc=lambda now_s: time.time() + now_s - time.monotonic(),
    )
    with stop_signals() as stop, open_port(path) as port:
        _serve(line, port, stop, note or _forget)


def _forget(direction: Direction, data: bytes, utc_s: float) -> None:
    """Nobody records."""


def _serve(line: Line, port: Port, stop: Stop, note: Note) -> None:
    while not stop.is_set:
        wake_s = line.wake_s
        rest_s = None if wake_s is None else max(0.0, wake_s - time.monotonic())
        readable, _, _ = select.select([port.near_fd, stop.fd], [], [], rest_s)
        if port.near_fd in readable:
            data = port.receive()
            line.hear(time.monotonic(), data)
            note(Direction.FROM_CLIENT, data, time.time())
        data = line.take(time.monotonic())
        note(Direction.FROM_DEVICES, data[: port.send(data)], time.time())
        if stop.fd in readable:
            stop.drain()
