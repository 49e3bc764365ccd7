"""The simulated power meters at the grid's side of the transfer switch.

Without a grid they show 0 V, 0 A and 0 Hz: they have a supply of their own. Sources: Eastron SDM630
Modbus protocol; Schneider PM5350 register list.
"""

from collections.abc import Mapping

from shorewatch.config import Device
from shorewatch.model import Scalar
from shorewatch.plant.device import Bank, SimulatedDevice, placed
from shorewatch.plant.world import Site, World

_NAN = (0xFFC0, 0x0000)


def grid(world: World, site: Site, utc_s: float) -> dict[str, Scalar]:
    """What comes from the grid, by the point ids of sdm630."""
    world.bring(utc_s)
    power = site.power
    values = dict(site.around.mains(utc_s, power.unmetered_s / world.speed))
    shown = {"energy_import"}
    if power.takes_grid:
        shown = set(values)
    elif power.has_grid:
        shown |= {"voltage_l1", "voltage_l2", "voltage_l3", "frequency"}
    return {name: value if name in shown else 0.0 for name, value in values.items()}


def eastron(device: Device, world: World, station_id: str) -> SimulatedDevice:
    """SDM630: float pairs at even addresses 0x0000 to 0x0156, at most 40 of them a request."""
    site = world.site(station_id)
    banks = {4: Bank("input", 0x0000, 0x0157, count_max=80, is_paired=True)}

    def values(utc_s: float) -> Mapping[str, Scalar]:
        return grid(world, site, utc_s)

    return SimulatedDevice(banks, device.profile.point, values, {}, 0.030)


def schneider(device: Device, world: World, station_id: str) -> SimulatedDevice:
    """PM5000: floats at odd addresses (the manual counts from 1); what it has not is no number."""
    site = world.site(station_id)

    def values(utc_s: float) -> Mapping[str, Scalar]:
        found = grid(world, site, utc_s)
        amps = [float(found[f"current_{phase}"]) for phase in ("l1", "l2", "l3")]
        volts = [float(found[f"voltage_{phase}"]) for phase in ("l1", "l2", "l3")]
        return found | {
            "current_mean": sum(amps) / 3,
            "voltage_l1_l2": (volts[0] + volts[1]) / 2 * 3**0.5,
            "voltage_l2_l3": (volts[1] + volts[2]) / 2 * 3**0.5,
            "power": float(found["power"]) / 1000,
        }

    def absent(utc_s: float) -> Mapping[int, int]:
        cells: dict[int, int] = {}
        for at in range(2999, 3111, 2):
            cells |= placed(_NAN, at)
        return cells

    banks = {3: Bank("holding", 2999, 3110)}
    return SimulatedDevice(banks, device.profile.point, values, {"holding": absent}, 0.020)
