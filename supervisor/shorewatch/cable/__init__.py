"""Where a powered cable leaks to the sea, told from what its power feed equipment shows.

    line       the electrical facts of a cable and the voltage along it (pure)

Kilometres count from end A, whose feed is positive. Currents are positive from A to B in the cable;
voltages of both ends are magnitudes to the end's own ground bed.
"""
