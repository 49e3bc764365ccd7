"""Children that cannot outlive their parent, however it ends.

Linux tells a process when its parent dies (PR_SET_PDEATHSIG), also by SIGKILL. Elsewhere this does
nothing, and a parent that is killed leaves its children behind.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def die_with(parent_pid: int, signum: int = signal.SIGTERM) -> None:
    """For `preexec_fn`, between fork and exec: send `signum` to this child when its parent ends.

    `parent_pid` is the parent's pid, taken before the fork: it may have ended in between.
    """
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signum)
        if os.getppid() != parent_pid:
            os._exit(1)
