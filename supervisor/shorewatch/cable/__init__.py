"""Where a powered cable leaks to the sea, told from what its power feed equipment shows.

    line       the electrical facts of a cable: ohms, repeaters, ground beds
    file       the cable file, validated: line, ends, places, error budget
    budget     everything that may be wrong, and how well a place explains the readings
    locate     the place of a fault as an interval
    contact    how many ohms the fault has, from two operating points
    verdict    a few numbers, judged without a history
    pairing    readings of two stations, paired by the time of their acquisition
    window     what both showed as the quantities that tell causes apart
    tracked    the healthy sum, storms and slow leaks, over hours and days
    watcher    what happens, second by second; finding is what comes out
    journal    records of stations' journals to readings
    words      findings for people and programs; picture draws them

All of it is pure; the command is cablecli.py. Kilometres count from end A, whose feed is positive.
Currents are positive from A to B in the cable; voltages of both ends are magnitudes to the end's
own ground bed.
"""
