"""The signals a small process lives by."""

import subprocess
import sys

KILL = """
import os, sys, time
for _ in range(5_000):
    os.kill(int(sys.argv[1]), 15)
    time.sleep(0.00005)
"""
FLOOD = """
import os, subprocess, sys
from shorewatch.stop import stop_signals

with stop_signals() as stop:
    with subprocess.Popen([sys.executable, "-c", sys.argv[1], str(os.getpid())]) as other:
        while other.poll() is None:
            stop.is_set = False
            stop.wait(0.0001)
        print("free")
"""


def test_a_signal_at_any_instant_of_waiting_leaves_the_process_free() -> None:
    """Thousands of SIGTERM, whatever the waiting thread is doing, never make it wait for itself."""
    command = [sys.executable, "-c", FLOOD, KILL]

    child = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)

    assert child.stdout == "free\n"


WAITING = """
import time
from shorewatch.stop import stop_signals
with stop_signals() as stop:
    print("waiting", flush=True)
    print(stop.wait(600), flush=True)
"""


def test_a_wait_ends_with_the_signal() -> None:
    """SIGTERM ends a wait of ten minutes at once, and the process knows why."""
    with subprocess.Popen([sys.executable, "-c", WAITING], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"waiting\n"
        child.terminate()
        assert child.stdout.read() == b"True\n"
