"""The simulated devices: which registers a device type has, and what stands in them now.

Each is data around one class: the banks it answers for (a Modbus table's address range and its
rules) and a function that gives its points' values at a moment. Values become registers through
the profile's own `Point.encode`, so profile and simulator cannot disagree. What a device holds
beyond its profile's points is given as raw cells.

Sources: the PFE map is synthetic, defined by this project; XY-MD02 (SHT20) register table as in
wb-mqtt-serial config-xy-md0x; Eastron SDM630 Modbus protocol; the manhole unit's map is synthetic.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from shorewatch.config import BusConfig, Device, Station
from shorewatch.errors import DemoError
from shorewatch.model import Scalar
from shorewatch.plant import cable
from shorewatch.plant.line import Refusal, Server
from shorewatch.plant.world import World
from shorewatch.point import Point

_OUTPUT_ON, _NEGATIVE_POLARITY, _DOUBLE_END = 1 << 0, 1 << 3, 1 << 4
_CONVERTERS = 4
_VOLTAGE_LIMIT_V = 800.0

Values = Callable[[float], Mapping[str, Scalar]]
Cells = Callable[[float], Mapping[int, int]]


@dataclass(frozen=True, slots=True)
class Bank:
    """The addresses, `first` to `last`, that one function reads; they stand in `table`."""

    table: str
    first: int
    last: int
    count_max: int = 125
    is_paired: bool = False  # starts and counts must be even


@dataclass(frozen=True, slots=True)
class SimulatedDevice:
    """A device of one type; a Server of line.py."""

    banks: Mapping[int, Bank]
    points: Sequence[Point]
    values: Values
    extra: Mapping[str, Cells]  # by table
    turnaround_s: float

    @property
    def functions(self) -> frozenset[int]:
        """The functions that have a bank."""
        return frozenset(self.banks)

    def read(
        self, function: int, address: int, count: int, utc_s: float
    ) -> Sequence[int] | Refusal:
        """Cells of one moment; those without meaning read 0."""
        bank = self.banks[function]
        if count > bank.count_max:
            return Refusal.VALUE
        if address < bank.first or address + count - 1 > bank.last:
            return Refusal.ADDRESS
        if bank.is_paired and (address % 2 or count % 2):
            return Refusal.ADDRESS
        cells = self.cells(bank.table, utc_s)
        return [cells.get(at, 0) for at in range(address, address + count)]

    def cells(self, table: str, utc_s: float) -> Mapping[int, int]:
        """Everything that stands in one table at `utc_s`, by address."""
        found = dict(self.extra[table](utc_s)) if table in self.extra else {}
        values = self.values(utc_s)
        for point in self.points:
            if point.table == table and point.id in values:
                for at, word in enumerate(point.encode(values[point.id], values), point.address):
                    # Points may share a register, each with some of its bits.
                    is_part = point.first_bit is not None
                    found[at] = found.get(at, 0) | word if is_part else word
        return found


def servers(station: Station, board_id: str, bus: BusConfig, seed: int) -> dict[int, Server]:
    """What hangs on one bus, by unit id; raises DemoError for a type that has no simulation."""
    found: dict[int, Server] = {}
    for device in station.of_board(board_id):
        if device.bus is bus:
            found[device.config.unit_id] = simulated(device, station.id, seed)
    return found


def simulated(device: Device, station_id: str, seed: int) -> SimulatedDevice:
    """The simulation of one device; raises DemoError if its type has none."""
    make = _TYPES.get(device.profile.id)
    if make is None:
        known = ", ".join(sorted(_TYPES))
        raise DemoError(
            f"device {device.id!r} has profile {device.profile.id!r}, which cannot be simulated; "
            f"give it one of {known}, or connect the real device"
        )
    return make(device, World(station_id, seed))


def _pfe(device: Device, world: World) -> SimulatedDevice:
    """Power feed equipment: 0 to 63, the same under functions 03 and 04, and no other function."""
    end = cable.end_of(world.station_id)
    sign = -1 if end == "B" else 1
    bed_ohm = cable.CABLE.bed_ohm(end)
    set_a = (cable.HEALTHY.b if end == "B" else cable.HEALTHY.a).set_a

    def values(utc_s: float) -> Mapping[str, Scalar]:
        state = cable.reading(end, world.seed, utc_s)
        status = _OUTPUT_ON | _DOUBLE_END | (_NEGATIVE_POLARITY if end == "B" else 0)
        return {
            "map_version": 1,
            "heartbeat": int(utc_s) & 0xFFFF,
            "status": status,
            "alarms": 0,
            "trips": 0,
            "line_voltage": sign * state.voltage_v,
            "line_current": state.current_a,
            "ground_bed_current": state.current_a,
            "station_earth_current": 0.0,
            "ground_bed_voltage": state.current_a * bed_ohm,
            "ground_bed_resistance": bed_ohm,
            "set_current": set_a,
            "voltage_limit": _VOLTAGE_LIMIT_V,
            "device_time": utc_s,
        }

    volts, degrees = device.points["converter_1_voltage"], device.points["converter_1_temperature"]

    def converters(utc_s: float) -> Mapping[int, int]:
        """Converter k at 20 + 4k: status (1 = running), V, mA, degC; they share the voltage."""
        state = cable.reading(end, world.seed, utc_s)
        room = float(world.room(utc_s)["temperature"])
        cells: dict[int, int] = {}
        for k in range(_CONVERTERS):
            cells |= _placed([1], 20 + 4 * k)
            cells |= _placed(volts.encode(state.voltage_v / _CONVERTERS), 21 + 4 * k)
            cells |= _placed([round(state.current_a * 1000)], 22 + 4 * k)
            cells |= _placed(degrees.encode(room + 12 + 0.4 * k), 23 + 4 * k)
        return cells

    bank = Bank("input", 0, 63)
    extra = {"input": converters}
    return SimulatedDevice({3: bank, 4: bank}, device.profile.point, values, extra, 0.005)


def _manhole(device: Device, world: World) -> SimulatedDevice:
    """Beach-manhole unit: two contacts under function 02, five registers under 04."""
    banks = {2: Bank("discrete", 0, 1), 4: Bank("input", 0, 4)}
    return SimulatedDevice(banks, device.profile.point, world.manhole, {}, 0.008)


def _climate(device: Device, world: World) -> SimulatedDevice:
    """XY-MD02: 1 and 2 under function 04; unit id, baud code, corrections under 03."""
    settings = _placed(
        [device.config.unit_id, _XY_BAUDS.get(device.bus.baud or 0, 0), 0, 0], 0x0101
    )
    banks = {3: Bank("holding", 0x0101, 0x0104), 4: Bank("input", 1, 2)}
    extra: dict[str, Cells] = {"holding": lambda utc_s: settings}
    return SimulatedDevice(banks, device.profile.point, world.room, extra, 0.020)


def _meter(device: Device, world: World) -> SimulatedDevice:
    """SDM630: float pairs at even addresses 0x0000 to 0x0156, at most 40 of them a request."""
    banks = {4: Bank("input", 0x0000, 0x0157, count_max=80, is_paired=True)}
    return SimulatedDevice(banks, device.profile.point, world.mains, {}, 0.030)


def _placed(words: Sequence[int], address: int) -> dict[int, int]:
    return dict(enumerate(words, address))


_XY_BAUDS = {9600: 0, 14400: 1, 19200: 2}
_TYPES: Mapping[str, Callable[[Device, World], SimulatedDevice]] = {
    "pfe-synthetic": _pfe,
    "bmh-unit": _manhole,
    "xy-md02": _climate,
    "sdm630": _meter,
}
