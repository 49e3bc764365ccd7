"""From power-on to a NOC that has every value, right."""

import math
import time
from pathlib import Path

import pytest

from shorewatch.hil.bench import Bench
from shorewatch.plant.devices import simulated
from shorewatch.plant.world import World

pytestmark = pytest.mark.timeout(180)
HELD_UTC_S = 1_800_000_007.3  # no device is busy then
VECTORS = Path(__file__).parents[1] / "tests" / "vectors" / "registers.toml"


@pytest.mark.needs("north", "POWER")
async def test_a_cold_boot_shows_nothing_that_is_not_so(cold: Bench) -> None:
    """From power-on to the last good value, a NOC is shown no value that no device gave."""
    await cold.start_broker()
    await cold.noc.start()
    await cold.gateway.start()
    await cold.noc.until(lambda noc: noc.life.startswith("online") or None, "the station")
    assert cold.noc.shown == {}

    await cold.start_field()
    on_s = time.monotonic()
    await cold.noc.until(lambda noc: noc.shown or None, "the first good value")
    cold.figures["first good value at the NOC, s"] = time.monotonic() - on_s
    await cold.until_good()
    cold.figures["every value good at the NOC, s"] = time.monotonic() - on_s

    assert cold.wrong() == []


@pytest.mark.station("types")
async def test_every_device_type_is_decoded_right(bench: Bench) -> None:
    """Each point of each shipped device type reaches the NOC as what the device really has."""
    for bus in bench.buses.values():
        await bus.hold(HELD_UTC_S)
    station = bench.compiled.station
    world = World(bench.seed, None)
    checked = 0
    for name, device in station.devices.items():
        if device.bus is None:  # contacts
            continue
        values = simulated(device, station.id, world).values(HELD_UTC_S)
        for point_id, truth in values.items():
            if point_id not in device.points:
                continue
            point = device.points[point_id]
            words = point.encode(truth, values)
            # What the registers can carry of it.
            is_number = isinstance(truth, float | int) and not isinstance(truth, bool)
            resolution = abs(point.scale) if is_number else 0.0

            def is_so(noc: object, name=name, point_id=point_id, truth=truth, near=resolution):
                seen = bench.noc.seen(name, point_id)
                if seen is None or seen.quality != "good":
                    return None
                if isinstance(seen.value, float | int) and isinstance(truth, float | int):
                    is_near = math.isclose(seen.value, truth, rel_tol=1e-6, abs_tol=near)
                    return True if is_near else None
                return True if seen.value is not None else None

            await bench.noc.until(is_so, f"{name}.{point_id} = {truth!r} (registers {words})")
            checked += 1
    assert bench.wrong() == []
    bench.figures["device types"] = len({d.profile.id for d in station.devices.values()})
    bench.figures["points compared with what the device has"] = checked
