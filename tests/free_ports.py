"""TCP ports for what a test starts, each given once.

They lie below the range from which systems take the ports of outgoing connections, and each test
process begins at a place of its own: what is free when it is given stays free until it is used,
also while other tests run beside.
"""

import itertools
import os
import socket
from contextlib import ExitStack, suppress

_FIRST, _COUNT, _STRIDE = 20000, 12000, 60
_next = itertools.count(os.getpid() * _STRIDE)


def free_port() -> int:
    """A free port of 127.0.0.1."""
    return free_ports(1)


def free_ports(count: int) -> int:
    """The first of `count` neighbouring free ports of 127.0.0.1."""
    for _ in range(_COUNT):
        base = _FIRST + next(_next) % _COUNT
        with ExitStack() as held, suppress(OSError):
            for port in range(base, base + count):
                held.enter_context(socket.create_server(("127.0.0.1", port)))
            for _ in range(count - 1):
                next(_next)
            return base
    raise AssertionError(f"no {count} neighbouring ports are free")
