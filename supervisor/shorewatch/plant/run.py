"""The process of one field bus: its line and devices behind a pty that a board opens by path.

The only part of a line that touches the outside: bytes in from the pty, bytes out when the line
says they are due. Any Modbus RTU client may open the path, in the board's stead. A client that
does not read loses bytes, never stops the line. Reply bytes leave at most a scheduler's delay
after their time (tens of microseconds on an idle machine), never before it.
"""

import select
import time
from pathlib import Path

from shorewatch.config import Station
from shorewatch.plant.devices import servers
from shorewatch.plant.line import Line
from shorewatch.plant.port import Port, open_port
from shorewatch.plant.stop import Stop, stop_signals


def line_path(state_dir: Path, board_id: str, uart: int) -> Path:
    """Where the line of one bus can be opened."""
    return state_dir / "lines" / f"{board_id}-{uart}.tty"


def run_line(station: Station, board_id: str, uart: int, state_dir: Path, *, seed: int) -> None:
    """Simulate one bus until SIGTERM or SIGINT; one OS process, its main thread.

    Both stations of a cable take the same `seed`: their PFEs then share one cable. Raises
    DemoError if a device on the bus has no simulation.
    """
    buses = [bus for bus in station.boards[board_id].bus if bus.uart == uart]
    assert len(buses) == 1, f"board {board_id} has one bus on UART {uart}"
    line = Line(
        servers(station, board_id, buses[0], seed),
        char_s=buses[0].char_us / 1e6,
        t35_s=buses[0].t35_us / 1e6,
        utc=lambda now_s: time.time() + now_s - time.monotonic(),
    )
    with stop_signals() as stop, open_port(line_path(state_dir, board_id, uart)) as port:
        _serve(line, port, stop)


def _serve(line: Line, port: Port, stop: Stop) -> None:
    while not stop.is_set:
        wake_s = line.wake_s
        rest_s = None if wake_s is None else max(0.0, wake_s - time.monotonic())
        readable, _, _ = select.select([port.near_fd, stop.fd], [], [], rest_s)
        if port.near_fd in readable:
            line.hear(time.monotonic(), port.receive())
        port.send(line.take(time.monotonic()))
        if stop.fd in readable:
            stop.drain()
