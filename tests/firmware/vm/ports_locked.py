"""Runs on the VM in a flash folder: the whole board on its real ports, the heap locked.

argv: how many requests the first bus has to make meanwhile. Prints what was allocated.
"""

import gc
import sys
import time

import board
import micropython

from station import app, image


def requests():
    return image.get(station.image.board, image.BUS_START + image.REQUESTS + 1)


def run(end):
    while requests() < end:
        rest_us = station.step()
        if rest_us > 0:
            board.idle(rest_us)


before = seen = 0  # the names are there before it counts
station = app.App(board, time, board.watchdog())
run(5)
wanted = requests() + int(sys.argv[1])
gc.collect()
gc.disable()
before = gc.mem_alloc()
micropython.heap_lock()
try:
    run(wanted)
finally:
    micropython.heap_unlock()
seen = image.get(station.image.contacts, image.CONTACT_CHANGES)
sys.stderr.write("allocated " + str(gc.mem_alloc() - before) + " changes " + str(seen) + "\n")
