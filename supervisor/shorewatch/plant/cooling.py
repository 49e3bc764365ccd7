"""The simulated cooling units. Their controllers have a supply of their own, and answer slowly.

Sources: Emerson Liebert IntelliSlot Modbus reference, page 48; Liebert DCD manual, page 69.
"""

from collections.abc import Mapping

from shorewatch.config import Device
from shorewatch.model import Scalar
from shorewatch.plant.device import Bank, SimulatedDevice
from shorewatch.plant.readings import room_degc
from shorewatch.plant.world import Site, World

_STARTING, _WITH_ALARM = 1 << 1, 1 << 4
_WATER_DEGC = 8.5


def _water_degc(site: Site) -> float:
    """Chilled water warms with what nobody carries away."""
    return _WATER_DEGC + min(20.0, 0.8 * site.room.heat_k)


def unit(device: Device, world: World, station_id: str) -> SimulatedDevice:
    """CRV: words of tenths under function 04."""
    site = world.site(station_id)

    def values(utc_s: float) -> Mapping[str, Scalar]:
        world.bring(utc_s)
        room, degrees = site.room, room_degc(site, utc_s)
        is_starting = room.is_unit_on and not room.is_cooled
        system = (_STARTING if is_starting else 0) | (0 if room.is_unit_well else _WITH_ALARM)
        return {
            "remote_temperature_first": degrees + 0.4,
            "remote_temperature_last": degrees - 0.3,
            "chilled_water": _water_degc(site),
            "fan": 62 if room.is_cooled else 30 if is_starting else 0,
            "compressor": min(100, round(45 + 5 * room.heat_k)) if room.is_cooled else 0,
            "system": system,
            "is_on": room.is_unit_on,
        }

    banks = {4: Bank("input", 400, 499)}
    return SimulatedDevice(banks, device.profile.point, values, {}, 0.120)


def rear_door(device: Device, world: World, station_id: str) -> SimulatedDevice:
    """DCD: floats with their words swapped under function 04."""
    site = world.site(station_id)

    def values(utc_s: float) -> Mapping[str, Scalar]:
        world.bring(utc_s)
        return {
            "cabinet_temperature": room_degc(site, utc_s) + 2.5,
            "water_return": _water_degc(site) + 6.0,
        }

    banks = {4: Bank("input", 100, 139, is_paired=True)}
    return SimulatedDevice(banks, device.profile.point, values, {}, 0.100)
