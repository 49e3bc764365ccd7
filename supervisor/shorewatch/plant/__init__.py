"""The plant: the simulated field of a station, from the cable to the pty a board opens.

    world, cable      what there is to measure: pure functions of (seed, UTC time)
    devices           registers of each device type, encoded with its profile
    line              one RS-485 line with its servers: bytes and times, no I/O
    run               the process of one line: line behind a pty
    virtual_board     the process of one board: firmware on the MicroPython VM, link behind a pty

Part of the product (the demo, the bench, a technician's dry run), but never imported by the
gateway: whatever is true of the plant, the gateway learns over its links.
"""
