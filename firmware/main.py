"""Starts the station on a board. A crash is stored and ends in a reset: the loop is never left."""

import time

import board

from station import app

try:
    app.run(board, time)
except Exception as error:  # noqa: BLE001 - whatever it was, the board starts anew
    app.store_crash(error)
    board.reset()
