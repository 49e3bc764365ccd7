"""The simulated power feed equipment: the synthetic map, from the machine of pfe.py.

0 to 63, the same under functions 03 and 04, and no other function. What no point of the profile
reads is there all the same: four converters at 20 + 4k (status, V, mA, degC).
Source: this project's own map, version 1; no vendor's.
"""

from collections.abc import Mapping

from shorewatch.config import Device
from shorewatch.model import Scalar
from shorewatch.plant.cable import CABLE
from shorewatch.plant.device import Bank, SimulatedDevice, placed
from shorewatch.plant.pfe import CONVERTERS, Phase
from shorewatch.plant.readings import room_degc
from shorewatch.plant.world import World

_OUTPUT_ON, _RAMPING, _CONSTANT_VOLTAGE, _NEGATIVE, _DOUBLE_END = (
    1 << 0,
    1 << 1,
    1 << 2,
    1 << 3,
    1 << 4,
)
_FED_ALONE_V = 1.5  # times the nominal voltage: the far end gives nothing


def equipment(device: Device, world: World, station_id: str) -> SimulatedDevice:
    """Power feed equipment of one end."""
    site = world.site(station_id)
    end, pfe = site.end, site.pfe
    sign = -1 if end == "B" else 1
    bed_ohm = CABLE.bed_b_ohm if end == "B" else CABLE.bed_a_ohm

    def values(utc_s: float) -> Mapping[str, Scalar]:
        world.bring(utc_s)
        seen = world.seen(end, utc_s)
        is_alone = seen.voltage_v > _FED_ALONE_V * pfe.nominal.nominal_v
        status = {
            _OUTPUT_ON: pfe.is_on,
            _RAMPING: pfe.phase is Phase.RAMPING,
            _CONSTANT_VOLTAGE: seen.mode == "voltage",
            _NEGATIVE: end == "B",
            _DOUBLE_END: pfe.is_on and not is_alone,
        }
        return {
            "map_version": 1,
            "heartbeat": int(utc_s) & 0xFFFF,
            "status": sum(bit for bit, is_true in status.items() if is_true),
            "alarms": pfe.alarms,
            "trips": pfe.trips,
            "line_voltage": sign * seen.voltage_v,
            "line_current": seen.current_a,
            "ground_bed_current": seen.current_a,
            "station_earth_current": 0.0,
            "ground_bed_voltage": seen.current_a * bed_ohm,
            "ground_bed_resistance": bed_ohm,
            "set_current": pfe.nominal.set_a,
            "voltage_limit": pfe.nominal.voltage_max_v,
            "device_time": utc_s,
        }

    volts, degrees = device.points["converter_1_voltage"], device.points["converter_1_temperature"]

    def converters(utc_s: float) -> Mapping[int, int]:
        """They share the voltage; one that has failed gives none and cools down."""
        world.bring(utc_s)
        seen, room = world.seen(end, utc_s), room_degc(site, utc_s)
        running = pfe.converters if pfe.is_on else 0
        cells: dict[int, int] = {}
        for k in range(CONVERTERS):
            is_running = k >= CONVERTERS - running
            share_v = max(0.0, seen.voltage_v) / running if is_running else 0.0
            warmth = 12 + 0.4 * k if is_running else 0.5
            cells |= placed([int(is_running)], 20 + 4 * k)
            cells |= placed(volts.encode(share_v), 21 + 4 * k)
            cells |= placed([round(max(0.0, seen.current_a) * 1000)], 22 + 4 * k)
            cells |= placed(degrees.encode(room + warmth), 23 + 4 * k)
        return cells

    bank = Bank("input", 0, 63)
    return SimulatedDevice(
        {3: bank, 4: bank}, device.profile.point, values, {"input": converters}, 0.005
    )
