"""What the kernel says of the wall clock: adjtimex(2), read only, which needs no privilege.

Linux alone has it; elsewhere, and where it is refused (a container's filter), nothing is known.
An NTP client that disciplines the clock by other means than the kernel's leaves it unsynchronised
here, and so do many virtual machines with the right time: the state is a fact to show, no verdict.
"""

import ctypes
import sys

from shorewatch.clock import Kernel

_STA_UNSYNC = 0x0040
_TIME_ERROR = 5


class _Timex(ctypes.Structure):
    """`struct timex`, from its beginning to its status; the rest is room. Source: adjtimex(2)."""

    _fields_ = [
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_byte * 256),
    ]


def read_kernel() -> Kernel | None:
    """The kernel's view of the wall clock; None where it tells none."""
    if sys.platform != "linux":
        return None
    try:
        adjtimex = ctypes.CDLL(None, use_errno=True).adjtimex
    except (OSError, AttributeError):
        return None
    found = _Timex()  # modes 0 changes nothing
    state = adjtimex(ctypes.byref(found))
    if state < 0:
        return None
    is_off = state == _TIME_ERROR or found.status & _STA_UNSYNC
    return Kernel(is_synchronised=not is_off, error_s_max=found.maxerror / 1e6)
