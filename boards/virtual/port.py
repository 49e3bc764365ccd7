"""What the C code of a port does at a boot: runs boot.py, then main.py of the folder it left.

Runs on the VM in the flash folder. A boot.py that fails leaves main.py alone, as on a board.
"""

import gc
import sys


def run(name: str) -> None:
    """Runs a file of the current folder, if it is there."""
    try:
        with open(name) as file:
            text = file.read()
    except OSError:
        return
    exec(compile(text, name, "exec"), {"__name__": "__main__"})


sys.path[0] = ""  # it was the folder of this file
run("boot.py")
gc.collect()
run("main.py")
