"""Starts the station on a board. A crash is stored and ends in a reset: the loop is never left.

In maintenance nothing starts: after this file the port opens its REPL.
"""

import micropython

micropython.kbd_intr(-1)  # each program starts with Ctrl-C allowed

import os
import time

import board

from station import crash

FAULT = 4


def leave_slot() -> None:
    """Makes the folder beside the slots the current one: its files survive updates."""
    try:
        os.stat("manifest.json")
    except OSError:
        return
    os.chdir("..")


if not board.maintenance():
    leave_slot()
    try:
        from station import app

        app.run(board, time)
    except Exception as error:  # noqa: BLE001 - whatever it was, the board starts anew
        crash.store(error)
        board.reset(FAULT)
