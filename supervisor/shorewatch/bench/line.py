"""A wire of its own process behind a pty, for one client; tells at the end what it saw.

The process sleeps while nothing is due and spins on its processor for the last 0.2 ms before bytes
are, since a sleeping process wakes tens of microseconds late.
"""

import gc
import select
import signal
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection

from shorewatch.bench.priority import LINE, raise_priority
from shorewatch.bench.wire import Exchange, Wire
from shorewatch.plant.port import Port, open_port

TURNAROUND_S = 0.002
_SPIN_S = 0.0002
_END_S_MAX = 10.0


@dataclass(frozen=True, slots=True)
class Setting:
    """What hangs on the line, and how it is watched."""

    baud: int
    units: Collection[int] = (1,)
    is_strict: bool = False
    turnaround_s: float = TURNAROUND_S


@dataclass(slots=True)
class Line:
    """A running line: where a client opens it; what it saw, once it has ended."""

    path: str
    exchanges: list[Exchange] = field(default_factory=list)
    late_s_max: float = 0.0


@contextmanager
def running_line(setting: Setting) -> Iterator[Line]:
    """A line for the time of a `with` block; the line's `exchanges` are there after it."""
    ours, theirs = get_context("spawn").Pipe()
    process = get_context("spawn").Process(target=_run, args=(theirs, setting), daemon=True)
    # Ctrl-C goes to the whole group, but it is ours to end the line: the child inherits this.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    process.start()
    signal.signal(signal.SIGINT, before)
    theirs.close()
    try:
        line = Line(ours.recv())
        yield line
        ours.send("end")
        assert ours.poll(_END_S_MAX), "a line ends when it is told to"
        line.exchanges, line.late_s_max = ours.recv()
        process.join(_END_S_MAX)
    finally:
        process.kill()
        process.join()
        ours.close()


def _run(pipe: Connection, setting: Setting) -> None:
    wire = Wire(
        setting.units,
        baud=setting.baud,
        turnaround_s=setting.turnaround_s,
        is_strict=setting.is_strict,
    )
    gc.disable()
    raise_priority(LINE)
    with open_port() as port:
        pipe.send(port.far_path)
        _serve(wire, port, pipe)
        pipe.send((wire.exchanges, wire.late_s_max))


def _serve(wire: Wire, port: Port, pipe: Connection) -> None:
    while True:
        rest_s = _rest(wire, time.monotonic())
        readable, _, _ = select.select([port.near_fd, pipe.fileno()], [], [], rest_s)
        now_s = time.monotonic()
        if port.near_fd in readable:
            wire.hear(now_s, port.receive())
        if data := wire.take(now_s):
            port.send(data)
        if pipe.fileno() in readable:
            return


def _rest(wire: Wire, now_s: float) -> float | None:
    """How long to sleep: 0 is to spin."""
    return None if wire.wake_s is None else max(0.0, wire.wake_s - now_s - _SPIN_S)
