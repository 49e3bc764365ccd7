"""The far end of a port, played by a function: what it says to what comes."""

import os
import select
import threading
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

BANNER = b"\r\nMicroPython v1.24.1 on 2024-11-29; Raspberry Pi Pico with RP2040\r\n>>> "


def at_prompt(data: bytes) -> bytes:
    """A board that stays at its REPL."""
    return BANNER if b"\x02" in data else b"\r\n>>> "


@contextmanager
def scripted(reply: Callable[[bytes], bytes]) -> Iterator[str]:
    """A port for the `with` block; `reply` gives what comes back for what was written."""
    near, far = os.openpty()
    tty.setraw(far)
    stop_read, stop_write = os.pipe()

    def run() -> None:
        while True:
            readable, _, _ = select.select([near, stop_read], [], [])
            if stop_read in readable:
                return
            with suppress(OSError):
                os.write(near, reply(os.read(near, 4096)))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield os.ttyname(far)
    finally:
        os.write(stop_write, b".")
        thread.join(10)
        for fd in (near, far, stop_read, stop_write):
            os.close(fd)
