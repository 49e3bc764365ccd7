"""The simulated UPS, rectifier, generator controller and insulation monitor.

Sources: APC application note 990-9840 and NUT's apc_modbus.c; wb-mqtt-serial for the network card
and the MEAN WELL DRS; DSE GenComm 1.29 as in Victron's dbus-modbus-client; Bender isoHV525 manual.
"""

from collections.abc import Mapping

from shorewatch.config import Device
from shorewatch.model import Scalar
from shorewatch.plant.device import Bank, Cells, SimulatedDevice, placed
from shorewatch.plant.genset import Phase
from shorewatch.plant.meters import grid
from shorewatch.plant.power import LOAD_A, UPS_FULL_S
from shorewatch.plant.readings import room_degc
from shorewatch.plant.world import Site, World

_LOAD_PCT = 36.0
_UPS_V = 230.0
_CARD_BUSY_S = 0.2  # of each ten seconds, in which it collects from the UPS
_GENSET_W = 30_000.0
_NOT_THERE = 0xFFFF
_INSULATION_PREWARNING_OHM, _INSULATION_ALARM_OHM = 100e3, 50e3


def _ups_facts(world: World, site: Site, utc_s: float) -> dict[str, float]:
    """What both of a UPS' ports tell, in plain units."""
    world.bring(utc_s)
    power = site.power
    input_v = float(site.around.mains(utc_s)["voltage_l1"]) if power.has_ac else 0.0
    return {
        "input": input_v,
        "output": _UPS_V if power.has_ups else 0.0,
        "charge": 100 * power.ups_charge,
        "runtime": UPS_FULL_S * power.ups_charge,
        "battery": 54.6 if power.has_ac else 44.0 + 6.0 * power.ups_charge,
        "degrees": room_degc(site, utc_s) + 2.0,
        "load": _LOAD_PCT if power.has_ups else 0.0,
        "hertz": 50.0 if power.has_ups else 0.0,
    }


def ups(device: Device, world: World, station_id: str) -> SimulatedDevice:
    """Smart-UPS: function 03; a text is read whole or not at all."""
    site = world.site(station_id)

    def values(utc_s: float) -> Mapping[str, Scalar]:
        facts, power = _ups_facts(world, site, utc_s), site.power
        on_battery = power.has_ups and not power.has_ac
        status = (1 << 1 if power.has_ac else 1 << 6) | on_battery << 2 | (not power.has_ups) << 4
        found: dict[str, Scalar] = {
            "status": status,
            "status_cause": 8 if power.has_ac else 2,
            "outlets": 1 if power.has_ups else 2,
            "signalling": int(on_battery and facts["runtime"] < 120) << 1,
            "power_faults": 0,
            "battery_faults": 0,
            "runtime": round(facts["runtime"]),
            "charge": facts["charge"],
            "battery_voltage": facts["battery"],
            "battery_temperature": facts["degrees"],
            "load_power": facts["load"],
            "load_apparent": facts["load"] * 1.04,
            "output_current": 3.4 if power.has_ups else 0.0,
            "output_voltage": facts["output"],
            "output_frequency": facts["hertz"],
            "input_voltage": facts["input"],
            "firmware": "UPS 09.8",
            "model": "Smart-UPS 1500",
            "serial": f"AS{1700 + device.config.unit_id:04}",
        }
        return found | ({"efficiency": 94.2} if power.has_ac else {})

    def reasons(utc_s: float) -> Mapping[int, int]:
        return {154: -5 & 0xFFFF}  # where the efficiency is not: why, here "on battery"

    texts = ((516, 523), (532, 547), (564, 571))
    banks = {3: Bank("holding", 0, 599, wholes=texts)}
    return SimulatedDevice(banks, device.profile.point, values, {"holding": reasons}, 0.030)


def network_card(device: Device, world: World, station_id: str) -> SimulatedDevice:
    """AP9630: another map, whole units; it is busy while it collects from the UPS."""
    site = world.site(station_id)

    def values(utc_s: float) -> Mapping[str, Scalar]:
        facts, power = _ups_facts(world, site, utc_s), site.power
        on_battery = power.has_ups and not power.has_ac
        return {
            "status": power.has_ac << 3 | on_battery << 4 | (power.ups_charge < 0.2) << 6,
            "charge": round(facts["charge"]),
            "runtime": round(facts["runtime"] / 60),
            "battery_voltage": round(facts["battery"]),
            "temperature": round(facts["degrees"]),
            "load": round(facts["load"]),
            "output_voltage": round(facts["output"]),
            "input_voltage": round(facts["input"]),
            "frequency": round(facts["hertz"]),
        }

    def is_busy(utc_s: float) -> bool:
        return utc_s % 10 < _CARD_BUSY_S

    banks = {3: Bank("holding", 0, 30)}
    return SimulatedDevice(banks, device.profile.point, values, {}, 0.060, is_busy)


def rectifier(device: Device, world: World, station_id: str) -> SimulatedDevice:
    """DRS: measured values under function 04, states under 03."""
    site = world.site(station_id)

    def values(utc_s: float) -> Mapping[str, Scalar]:
        world.bring(utc_s)
        power, degrees = site.power, room_degc(site, utc_s)
        is_off = power.dc_v <= 0
        is_carrying = not power.has_ac and not is_off
        is_charging = power.has_ac and power.charge < 0.99
        is_limited = is_charging and power.battery_a > 0.5 * LOAD_A - 0.1
        return {
            "input_voltage": float(site.around.mains(utc_s)["voltage_l1"]) if power.has_ac else 0.0,
            "output_voltage": power.dc_v,
            "output_current": 0.0 if is_off else LOAD_A + max(0.0, power.battery_a),
            "temperature": degrees + (14.0 if power.has_ac else 6.0),
            "battery_voltage": power.battery_v,
            "battery_current": power.battery_a,
            "battery_temperature": degrees + 1.5,
            "faults": (not power.has_ac) << 5 | is_off << 6,
            "charging": (not is_charging and power.has_ac)
            | is_limited << 1
            | (is_charging and not is_limited) << 2
            | (power.has_ac and not is_charging) << 3
            | is_carrying << 7,
            "system": (not is_off) << 1 | is_carrying << 7,
        }

    banks = {3: Bank("holding", 0x0040, 0x00D1), 4: Bank("input", 0x0050, 0x00D5)}
    return SimulatedDevice(banks, device.profile.point, values, {}, 0.020)


def generator(device: Device, world: World, station_id: str) -> SimulatedDevice:
    """GenComm: function 03 over pages of 256; what it has not reads 0xFFFF, "not implemented"."""
    site = world.site(station_id)

    def values(utc_s: float) -> Mapping[str, Scalar]:
        mains, power = grid(world, site, utc_s), site.power
        genset, is_live = power.genset, power.genset.has_voltage
        carries = is_live and power.on_generator
        load_w = _GENSET_W * 0.36 if carries else 0.0
        found: dict[str, Scalar] = {
            "manufacturer": 1, "model": 7310, "serial": 260_100 + device.config.unit_id,
            "mode": "auto", "oil_pressure": 380 if is_live else 0,
            "coolant_temperature": 82 if is_live else 44, "fuel": round(genset.fuel_pct),
            "alternator_voltage": 27.6 if is_live else 0.0,
            "battery_voltage": 27.4 if is_live else 26.1 - 1.9 * (genset.phase is Phase.CRANKING),
            "speed": 1500 if is_live else 180 if genset.phase is Phase.CRANKING else 0,
            "frequency": 50.0 if is_live else 0.0, "mains_frequency": mains["frequency"],
            "state": int(genset.phase), "power": round(load_w),
            "load": 100 * load_w / _GENSET_W, "run_time": round(genset.run_s),
            "energy": genset.run_s / 3600 * 10.4, "starts": genset.starts,
            "alarm_1": "shutdown" if genset.has_failed else "not active",
        }  # fmt: skip
        for phase in ("l1", "l2", "l3"):
            found[f"voltage_{phase}"] = 230.0 if is_live else 0.0
            found[f"mains_voltage_{phase}"] = mains[f"voltage_{phase}"]
            found[f"current_{phase}"] = load_w / 3 / 230.0 / 0.96
            found[f"power_{phase}"] = round(load_w / 3)
        for pair in ("l1_l2", "l2_l3", "l3_l1"):
            found[f"voltage_{pair}"] = 398.4 if is_live else 0.0
            found[f"mains_voltage_{pair}"] = float(mains[f"voltage_{pair[:2]}"]) * 3**0.5
        return found | {f"alarm_{i}": "not active" for i in range(2, 9)}

    def not_fitted(utc_s: float) -> Mapping[int, int]:
        return {1026: 0x7FFF}  # no sender for the oil's temperature

    extra: dict[str, Cells] = {"holding": not_fitted}
    banks = {3: Bank("holding", 0, 0x9AFF, page=256, fill=_NOT_THERE)}
    return SimulatedDevice(banks, device.profile.point, values, extra, 0.040)


def insulation(device: Device, world: World, station_id: str) -> SimulatedDevice:
    """ISOMETER at the -48 V system: eight channels of four registers, each with its quality."""
    site = world.site(station_id)
    kinds = {
        "insulation": ("Ohm", 1), "voltage": ("V", 76), "capacitance": ("F", 82),
        "voltage_l1": ("V", 77), "voltage_l2": ("V", 78), "location": ("%", 86),
        "unbalanced": ("Ohm", 71),
    }  # fmt: skip

    def values(utc_s: float) -> Mapping[str, Scalar]:
        world.bring(utc_s)
        ohm = site.causes.insulation_ohm * (1 + 0.01 * site.around.wander("damp", utc_s, 1800))
        dc_v = site.power.dc_v
        numbers = {
            "insulation": ohm, "voltage": dc_v, "capacitance": 18.4, "voltage_l1": dc_v / 2,
            "voltage_l2": -dc_v / 2, "location": 0.0, "unbalanced": 2.1 * ohm,
        }  # fmt: skip
        is_low, is_lower = ohm < _INSULATION_PREWARNING_OHM, ohm < _INSULATION_ALARM_OHM
        found: dict[str, Scalar] = dict(numbers)
        for name, (unit, _) in kinds.items():
            found |= {f"{name}_alarm": "none", f"{name}_test": 0, f"{name}_unit": unit}
            found[f"{name}_quality"] = "actual"
        found["insulation_alarm"] = "alarm" if is_lower else "prewarning" if is_low else "none"
        return found

    def codes(utc_s: float) -> Mapping[int, int]:
        """The fourth register of each channel says what it is; the device's name at 9800."""
        cells: dict[int, int] = {}
        for name, (_, code) in kinds.items():
            cells[device.points[name].address + 3] = code
        text = "isoHV525".ljust(20).encode()
        words = [int.from_bytes(text[i : i + 2]) for i in range(0, 20, 2)]
        return cells | placed(words, 9800)

    banks = {3: Bank("holding", 1000, 9809)}
    return SimulatedDevice(banks, device.profile.point, values, {"holding": codes}, 0.050)
