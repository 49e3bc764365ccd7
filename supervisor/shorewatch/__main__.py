"""`python -m shorewatch`, and the command `shorewatch`: the same.

Until a command takes Ctrl-C itself, since it has something to clean up, Ctrl-C ends it at once and
without a traceback, also while its modules are loaded.
"""

import os
import signal
import sys
from typing import NoReturn

INTERRUPTED = 2


def main() -> NoReturn:
    """Entry point."""
    signal.signal(signal.SIGINT, lambda *_: os._exit(INTERRUPTED))
    # A closed stdout or stderr is None, which libraries do not expect.
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: PTH123, SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: PTH123, SIM115
    from shorewatch import cli

    cli.main()


if __name__ == "__main__":
    main()
