"""The benchmarks of `shorewatch bench`: what the product achieves, beside its limits and peers.

    bus       runs the bus benchmark, from the runs to the figures
    wire      one paced line with its devices (pure); line puts it behind a pty
    board     the firmware on its VM with a plan of ours; stations makes such plans
    peers     other Modbus clients in a tight loop
    core      the gateway's own work: decoding, and what judging finds of alarms and plans
    uplink    from many devices to a subscriber; processes of their own are field (the devices),
              listener (the subscriber) and bare (a peer that stores nothing)
    chaos     disturbs stations (kinds: how; scene: all that runs; victim: a gateway and its disk;
              breaking: the line; counting: devices that log what they answer) and judges them
              (witness, pure); rig holds a gateway's clock and disk: layer sees below SQLite, power
              knows what a cut takes (pure), room is a small disk; children and nursery start and
              end processes
    machine   versions and load of the machine
    figures   arithmetic, table and JSON (pure)

Nothing of the product imports it. A figure of time is worth what the machine was free to give.
"""
