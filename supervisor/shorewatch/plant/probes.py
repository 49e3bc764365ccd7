"""The simulated sensors of room, battery room and manhole.

Sources: XY-MD02 (SHT20) register table as in wb-mqtt-serial config-xy-md0x, and its look-alikes;
doc.lobaro.com level probe; Aquaread LeveLine manual; PemTech PT495 manual; the manhole unit's map
is this project's own.
"""

from collections.abc import Mapping

from shorewatch.config import Device
from shorewatch.model import Scalar
from shorewatch.plant.device import Bank, Cells, SimulatedDevice, placed
from shorewatch.plant.manhole import FLOAT_M
from shorewatch.plant.readings import room_degc, room_rh, water_m, water_ms_cm
from shorewatch.plant.world import World

# Of each look-alike: where its settings stand, and its codes for the baud rate.
_SETTINGS = {
    "xy-md02": (0x0101, {9600: 0, 14400: 1, 19200: 2}),
    "md02-div100": (0x0100, {2400: 0, 4800: 1, 9600: 2}),
    "shtc3": (0x0101, {9600: 0, 14400: 1, 19200: 2}),
}
_MBAR_PER_M = 98.0665
_SALT_PER_MS_CM = 0.62  # PSU
_CTD_SALT_LEAST_MS_CM = 0.2
_PER_KELVIN = 0.02  # conductivity


def manhole(device: Device, world: World, station_id: str) -> SimulatedDevice:
    """Beach-manhole unit: two contacts under function 02, five registers under 04."""
    site = world.site(station_id)
    banks = {2: Bank("discrete", 0, 1), 4: Bank("input", 0, 4)}

    def values(utc_s: float) -> Mapping[str, Scalar]:
        world.bring(utc_s)
        level_m = water_m(site, utc_s)
        return {
            "lid": site.manhole.is_open,
            "water": level_m >= FLOAT_M,
            "heartbeat": int(utc_s) & 0xFFFF,
            "water_level": level_m,
            "temperature": site.around.manhole_degc(utc_s),
            "conductivity": water_ms_cm(site, utc_s),
        }

    return SimulatedDevice(banks, device.profile.point, values, {}, 0.008)


def climate(device: Device, world: World, station_id: str) -> SimulatedDevice:
    """XY-MD02 and its look-alikes: two values, and settings: unit id, baud code, corrections."""
    site = world.site(station_id)
    at, codes = _SETTINGS[device.profile.id]
    settings = placed([device.config.unit_id, codes.get(device.bus.baud or 0, 0), 0, 0], at)

    def values(utc_s: float) -> Mapping[str, Scalar]:
        world.bring(utc_s)
        return {"temperature": room_degc(site, utc_s), "humidity": room_rh(site, utc_s)}

    extra: dict[str, Cells] = {"holding": lambda utc_s: settings}
    banks = {3: Bank("holding", at, at + 3), 4: Bank("input", 1, 2)}
    if device.profile.id == "shtc3":
        # All of it under function 03; it refuses what lies between values and settings.
        banks = {3: Bank("holding", 0, at + 3, has_holes=True)}
    return SimulatedDevice(banks, device.profile.point, values, extra, 0.020)


def level(device: Device, world: World, station_id: str) -> SimulatedDevice:
    """Submersible probe: 0 to 12 under function 03; it measures millibars with one decimal."""
    site = world.site(station_id)

    def values(utc_s: float) -> Mapping[str, Scalar]:
        world.bring(utc_s)
        # What stands before its number changes nothing at the probe: mbar, one decimal.
        metres = round(water_m(site, utc_s) * _MBAR_PER_M, 1) / _MBAR_PER_M
        return {"probe_unit": "mbar", "decimals": 1, "level": metres}

    settings = placed([device.config.unit_id, 3], 0) | placed([0, 5000], 5)
    banks = {3: Bank("holding", 0, 12)}
    extra: dict[str, Cells] = {"holding": lambda utc_s: settings}
    return SimulatedDevice(banks, device.profile.point, values, extra, 0.040)


def conductivity(device: Device, world: World, station_id: str) -> SimulatedDevice:
    """LeveLine-CTD: 0 to 9 under function 04, slow: it wakes its electrodes first."""
    site = world.site(station_id)

    def values(utc_s: float) -> Mapping[str, Scalar]:
        world.bring(utc_s)
        degrees, salt = site.around.manhole_degc(utc_s), water_ms_cm(site, utc_s)
        at_25 = salt / (1 + _PER_KELVIN * (degrees - 25))
        return {
            "temperature": degrees,
            "pressure": water_m(site, utc_s) * _MBAR_PER_M,
            "conductivity": round(salt * 1000),
            "conductivity_20": round(at_25 * (1 - 5 * _PER_KELVIN) * 1000),
            "conductivity_25": round(at_25 * 1000),
            "salinity": max(0.0, at_25 - _CTD_SALT_LEAST_MS_CM) * _SALT_PER_MS_CM,
        }

    banks = {4: Bank("input", 0, 9)}
    return SimulatedDevice(banks, device.profile.point, values, {}, 0.150)


def gas(device: Device, world: World, station_id: str) -> SimulatedDevice:
    """PT495: hydrogen of the battery room in % of the LEL; 0 to 6 under function 03."""
    site = world.site(station_id)

    def values(utc_s: float) -> Mapping[str, Scalar]:
        world.bring(utc_s)
        percent = round(site.room.hydrogen_lel_pct)
        faults = (percent >= 10) | (percent >= 25) << 1
        return {
            "concentration": percent,
            "sensor": "hydrogen",
            "faults": int(faults),
            "alarm_1": 10,
            "alarm_2": 25,
        }

    banks = {3: Bank("holding", 0, 6)}
    return SimulatedDevice(banks, device.profile.point, values, {}, 0.025)
