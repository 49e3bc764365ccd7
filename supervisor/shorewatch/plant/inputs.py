"""The simulated remote inputs: what is wired to them is the station's doors and lid.

Input 0 is the manhole's lid, 1 the room's door, 2 the PFE's door, 3 its summary alarm; a 1 is a
contact in its normal state. Sources: Waveshare wiki, Modbus RTU IO 8CH; Moxa ioLogik E1200 manual.
"""

from collections.abc import Mapping

from shorewatch.config import Device
from shorewatch.model import Scalar
from shorewatch.plant.device import Bank, SimulatedDevice
from shorewatch.plant.world import World

WIRED = ("lid-switch", "room-door", "pfe-door", "pfe-alarm")


def serial(device: Device, world: World, station_id: str) -> SimulatedDevice:
    """Waveshare: eight inputs under function 02, eight outputs under 01."""
    site = world.site(station_id)

    def values(utc_s: float) -> Mapping[str, Scalar]:
        world.bring(utc_s)
        inputs = {f"input_{i}": not site.contact_is_off(name) for i, name in enumerate(WIRED)}
        unwired = {f"input_{i}": False for i in range(len(WIRED), 8)}
        return {**inputs, **unwired, **{f"output_{i}": False for i in range(8)}}

    banks = {1: Bank("coil", 0, 7), 2: Bank("discrete", 0, 7)}
    return SimulatedDevice(banks, device.profile.point, values, {}, 0.006)


def network(device: Device, world: World, station_id: str) -> SimulatedDevice:
    """IoLogik E1200: inputs as one word and counters under function 04, outputs under 01."""
    site = world.site(station_id)

    def values(utc_s: float) -> Mapping[str, Scalar]:
        world.bring(utc_s)
        word = sum(1 << i for i, name in enumerate(WIRED) if not site.contact_is_off(name))
        return {
            "inputs": word,
            "counter_0": int(site.manhole.is_open),
            **{f"output_{i}": False for i in range(4)},
        }

    banks = {1: Bank("coil", 0, 3), 4: Bank("input", 16, 48)}
    return SimulatedDevice(banks, device.profile.point, values, {}, 0.002)
