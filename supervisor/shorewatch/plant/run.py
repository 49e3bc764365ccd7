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
from shorewatch.plant.scenario import Play
from shorewatch.plant.trouble import Fates, Trouble
from shorewatch.plant.world import World
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
    play: Play | None = None,
    record: Path | None = None,
) -> None:
    """Simulate one bus until SIGTERM or SIGINT; one OS process, its main thread.

    Both stations of a cable take the same `seed` and `play`: their PFEs then share one cable, and
    what happens to one end is seen at the other. `record` is the
    folder for a recording (record.py) named <station>-<board>-<uart>.wire. Raises DemoError if a
    device on the bus has no simulation, or the recording cannot be written.
    """
    buses = [bus for bus in station.boards[board_id].bus if bus.uart == uart]
    assert len(buses) == 1, f"board {board_id} has one bus on UART {uart}"
    world = World(seed, play)
    found = servers(station, board_id, buses[0], world)
    name = f"{board_id}/{uart}"
    with ExitStack() as stack:
        note: Note = _forget
        if record is not None:
            file = f"{station.id}-{board_id}-{uart}"
            note = stack.enter_context(recording(record, file)).note
        line = made_line(found, buses[0], world, station.id, name)
        serve_line(line, line_path(state_dir, board_id, uart), note)


def made_line(
    found: Mapping[int, Server],
    bus: BusConfig | DirectConfig,
    world: World,
    station_id: str,
    name: str,
    *,
    utc: Callable[[float], float] | None = None,
) -> Line:
    """A serial line in the world; `name` is that of its troubles: board/uart or a direct line.

    `utc` turns the monotonic seconds that it is given into Unix seconds (default: as clocks stand).
    """
    causes = world.site(station_id).causes

    def trouble(utc_s: float) -> Trouble:
        world.bring(utc_s)
        return causes.trouble(name)

    return Line(
        found,
        char_s=bus.char_us / 1e6,
        t35_s=bus.t35_us / 1e6,
        utc=utc or (lambda now_s: time.time() + now_s - time.monotonic()),
        trouble=trouble if world.play else None,
        fates=Fates(world.seed, f"{station_id}/{name}"),
    )


def serve_line(line: Line, path: Path, note: Note | None = None) -> None:
    """Serve a serial line at `path` until SIGTERM or SIGINT."""
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
