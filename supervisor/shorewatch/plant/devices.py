"""Which device type is simulated by what; the simulated devices of a bus.

One entry a profile, in the modules of its family. A profile of somebody's own has no simulation
unless it is a copy of a shipped one with the same points: the source of a value is a point's id.
"""

from collections.abc import Callable, Mapping

from shorewatch.config import BusConfig, Device, Station
from shorewatch.errors import DemoError
from shorewatch.plant import cooling, feed, inputs, meters, probes, supplies
from shorewatch.plant.device import SimulatedDevice
from shorewatch.plant.line import Server
from shorewatch.plant.world import World

Make = Callable[[Device, World, str], SimulatedDevice]


def servers(station: Station, board_id: str, bus: BusConfig, world: World) -> dict[int, Server]:
    """What hangs on one bus, by unit id; raises DemoError for a type that has no simulation."""
    found: dict[int, Server] = {}
    for device in station.of_board(board_id):
        if device.bus is bus:
            found[device.config.unit_id] = simulated(device, station.id, world)
    return found


def simulated(device: Device, station_id: str, world: World) -> SimulatedDevice:
    """The simulation of one device; raises DemoError if its type has none."""
    make = TYPES.get(device.profile.id)
    if make is None:
        known = ", ".join(sorted(TYPES))
        raise DemoError(
            f"device {device.id!r} has profile {device.profile.id!r}, which cannot be simulated; "
            f"give it one of {known}, or connect the real device"
        )
    return make(device, world, station_id)


TYPES: Mapping[str, Make] = {
    "apc-ap9630": supplies.network_card,
    "apc-smart-ups": supplies.ups,
    "aquaread-ctd": probes.conductivity,
    "bender-isometer": supplies.insulation,
    "bmh-unit": probes.manhole,
    "dse-gencomm": supplies.generator,
    "level-probe": probes.level,
    "liebert-crv": cooling.unit,
    "liebert-dcd": cooling.rear_door,
    "md02-div100": probes.climate,
    "meanwell-drs": supplies.rectifier,
    "moxa-e1200": inputs.network,
    "pemtech-pt495": probes.gas,
    "pfe-synthetic": feed.equipment,
    "pm5000": meters.schneider,
    "sdm630": meters.eastron,
    "shtc3": probes.climate,
    "waveshare-io-8ch": inputs.serial,
    "xy-md02": probes.climate,
}
