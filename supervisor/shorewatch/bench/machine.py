"""The machine a benchmark ran on: versions, and how busy it was meanwhile."""

import os
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from shorewatch.bench.figures import cpu_share
from shorewatch.bench.priority import is_granted


def versions() -> dict[str, str]:
    """Of the product, of Python and of the system."""
    return {
        "shorewatch": version("shorewatch"),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
    }


def load(ticks_before: Sequence[float]) -> dict[str, Any]:
    """Its processors and how busy they were since `ticks_before`, our own share included."""
    return {
        "processors": os.cpu_count(),
        "load_1_min": os.getloadavg()[0],
        "is_real_time": is_granted(),
        "busy_share": round(cpu_share(ticks_before, ticks()), 3),
    }


def ticks() -> list[float]:
    """The first line of /proc/stat; zeros where there is none."""
    path = Path("/proc/stat")
    if not path.exists():
        return [0.0] * 10
    return [float(word) for word in path.read_text("ascii").split("\n", 1)[0].split()[1:]]
