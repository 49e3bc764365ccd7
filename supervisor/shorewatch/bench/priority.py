"""Real-time priority for the line and its clients, where the system grants it (root, CAP_SYS_NICE).

A board has its processor to itself; on a shared machine a waking process may wait 3 ms for its
turn, which is longer than t3.5. Every client gets the same. The kernel keeps 5 % of each second for
the rest of the machine, whatever runs here.
"""

import os

CLIENT, LINE = 5, 10


def raise_priority(level: int) -> bool:
    """This process, from now on; False (and nothing has changed) where it is not granted."""
    if not hasattr(os, "sched_setscheduler"):
        return False
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(level))
    except OSError:
        return False
    return True


def is_granted() -> bool:
    """Whether real-time priority can be had; tried in a child, which then ends."""
    child = os.fork()
    if child == 0:
        os._exit(0 if raise_priority(CLIENT) else 1)
    return os.waitpid(child, 0)[1] == 0
