"""The process of one USB cord on a simulated bench, from the gateway to a board.

    python -m shorewatch.hil.cord NEAR BOARD_LINK [FOLDER]

It makes a pty named NEAR, which the gateway opens, and carries bytes to and from the board's link
and back. Its end is the cord being pulled: the gateway's tty is gone, the board goes on. What comes
while nobody is at the other end is dropped, as by USB. With a third word all bytes are recorded in
that folder as NEAR's name (plant/record.py): "<" is the board.
"""

import select
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from shorewatch.errors import ShorewatchError
from shorewatch.plant.port import Port, open_port
from shorewatch.plant.record import Direction, Recorder, recording
from shorewatch.plant.virtual_board import Attached
from shorewatch.stop import Stop, stop_signals

_LOOK_S: Final = 0.25


def carry(near: Port, board: Attached, stop: Stop, recorder: Recorder | None) -> None:
    """Until it is time to end."""
    while not stop.is_set:
        board.look(time.monotonic())
        wanted = [near.near_fd, stop.fd, *([board.near_fd] if board.near_fd >= 0 else [])]
        readable, _, _ = select.select(wanted, [], [], _LOOK_S if board.near_fd < 0 else None)
        if near.near_fd in readable:
            data = near.receive()
            board.send(data)
            _note(recorder, Direction.FROM_CLIENT, data)
        if board.near_fd in readable:
            data = board.receive()
            near.send(data)
            _note(recorder, Direction.FROM_DEVICES, data)
        if stop.fd in readable:
            stop.drain()


def _note(recorder: Recorder | None, direction: Direction, data: bytes) -> None:
    if recorder is not None:
        recorder.note(direction, data, time.time())


def main(near_path: Path, board_path: Path, folder: Path | None = None) -> None:
    """Carry until SIGTERM; raises ShorewatchError for paths that cannot be."""
    board = Attached(board_path)
    with ExitStack() as stack:
        stop = stack.enter_context(stop_signals())
        near = stack.enter_context(open_port(near_path))
        stack.callback(board.close)
        recorder = None
        if folder is not None:
            recorder = stack.enter_context(recording(folder, near_path.stem))
        carry(near, board, stop, recorder)


if __name__ == "__main__":
    try:
        main(*map(Path, sys.argv[1:]))
    except ShorewatchError as error:
        sys.exit(str(error))
