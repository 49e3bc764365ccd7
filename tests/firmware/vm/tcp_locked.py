"""Runs on the VM in a flash folder: the whole board serves a TCP client, the heap locked.

argv: how many requests. Prints what a connection and what all requests have allocated.
"""

import gc
import sys
import time

import board
import micropython

from station import app


def run(end):
    while station.server.looks < end:
        rest_us = station.step()
        if rest_us > 0:
            board.idle(rest_us)


station = app.App(board, time, board.watchdog())
tcp = station.machines[-1]
gc.disable()
before = gc.mem_alloc()
while tcp.clients[0].socket is None:
    board.idle(station.step())
connection = gc.mem_alloc() - before
run(10)
wanted = station.server.looks + int(sys.argv[1])
gc.collect()
gc.disable()
before = gc.mem_alloc()
micropython.heap_lock()
try:
    run(wanted)
finally:
    micropython.heap_unlock()
sys.stderr.write("allocated " + str(gc.mem_alloc() - before) + "\n")
sys.stderr.write("connection " + str(connection) + "\n")
