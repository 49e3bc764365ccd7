"""What the C code of a port does at a boot: runs boot.py, then main.py of the folder it left.

Runs on the VM in the flash folder. A boot.py that fails leaves main.py alone, as on a board. Once
both have ended, the REPL opens: where the VM was started without one (SHOREWATCH_REPL), exit code
73 asks the supervisor for it.
"""

import gc
import os
import sys

_PROMPT = 73


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
if os.getenv("SHOREWATCH_REPL") == "0":
    sys.exit(_PROMPT)
