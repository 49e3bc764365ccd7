"""The signals a small process lives by: told to end, or a child of its has ended.

SIGTERM and SIGINT set `is_set`; every signal, also SIGCHLD, makes `fd` readable, so that a select
loop wakes at once. For the main thread of a process that does nothing else. No lock is taken: a
handler that sets a threading.Event on which its own thread waits can wait for itself for ever.
"""

import os
import select
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType


@dataclass(slots=True)
class Stop:
    """Whether it is time to end."""

    fd: int
    is_set: bool = False

    def wait(self, timeout_s: float) -> bool:
        """Sleep until a signal comes, at most `timeout_s`; whether it is time to end."""
        if not self.is_set and select.select([self.fd], [], [], timeout_s)[0]:
            self.drain()
        return self.is_set

    def drain(self) -> None:
        """Forget the wake-ups so far; `is_set` stays."""
        try:
            while os.read(self.fd, 512):
                pass
        except BlockingIOError:
            pass


@contextmanager
def stop_signals() -> Iterator[Stop]:
    """Handle the signals for the time of a `with` block; the handlers before it come back."""
    read_fd, write_fd = os.pipe()
    os.set_blocking(read_fd, False)
    os.set_blocking(write_fd, False)
    stop = Stop(read_fd)

    def end(number: int, frame: FrameType | None) -> None:
        stop.is_set = True

    def wake(number: int, frame: FrameType | None) -> None:
        pass

    wanted = {signal.SIGTERM: end, signal.SIGINT: end, signal.SIGCHLD: wake}
    before = {number: signal.signal(number, handler) for number, handler in wanted.items()}
    wakeup_fd = signal.set_wakeup_fd(write_fd, warn_on_full_buffer=False)
    try:
        yield stop
    finally:
        signal.set_wakeup_fd(wakeup_fd)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(read_fd)
        os.close(write_fd)
