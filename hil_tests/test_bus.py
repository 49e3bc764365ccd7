"""What goes wrong on a field bus; a NOC is shown the truth meanwhile, or why there is none."""

import asyncio

import pytest

from shorewatch.hil.bench import Bench
from shorewatch.plant.trouble import Trouble

pytestmark = pytest.mark.timeout(180)
UNITS = {"pfe": 1, "manhole": 3, "insulation": 4, "meter": 11, "climate": 20, "rack": 21}
SICK = {
    "one dead": (Trouble(dead=[21]), ["rack"]),
    "four dead": (Trouble(dead=[4, 11, 20, 21]), ["insulation", "meter", "climate", "rack"]),
    "duplicate address": (Trouble(twins=[21]), ["rack"]),
}


@pytest.mark.parametrize("sick", SICK)
async def test_sick_devices_are_told_and_the_others_go_on(bench: Bench, sick: str) -> None:
    """Of a dead device, or two with one address, nothing is shown; others on the line are read."""
    trouble, devices = SICK[sick]
    await bench.buses["north", 0].set_trouble(trouble)
    for device in devices:
        await bench.noc.until(
            lambda _, d=device: bench.is_silent(d) or None, f"{device} to be shown as bad"
        )
    well = [device for device in UNITS if device not in devices]
    before = {device: bench.readings(device) for device in well}
    await bench.noc.until(
        lambda _: all(bench.readings(d) >= before[d] + 5 for d in well) or None,
        "the others to be read on",
    )
    assert all(bench.is_good(device) for device in well)
    await bench.buses["north", 0].set_trouble()
    await bench.until_good()
    assert bench.wrong() == []


async def test_a_flapping_device_is_never_wrong(bench: Bench) -> None:
    """A device that comes and goes each second shows a right value or none."""
    for _ in range(8):
        await bench.buses["north", 0].set_trouble(Trouble(dead=[20]))
        await asyncio.sleep(1)
        await bench.buses["north", 0].set_trouble()
        await asyncio.sleep(1)
    await bench.until_good()
    assert bench.wrong() == []


# Later than a board waits for a device that it knows to be quick, and not later than the slowest
# reply that the device's profile allows (`worst_ms`, 400 here at the least).
LATE_S = 0.25


async def test_slow_replies_are_never_taken_for_others(bench: Bench) -> None:
    """Replies that come after their time, into the next requests, are nobody's values."""
    await bench.buses["north", 0].set_trouble(Trouble(late=0.3, late_s=LATE_S))
    await asyncio.sleep(15)
    counts = await bench.buses["north", 0].counts()
    await bench.buses["north", 0].set_trouble()
    await bench.until_good()
    assert counts["collisions"] > 0, "late replies met nothing"
    assert bench.wrong() == []
    bench.figures["requests that met a late reply"] = counts["collisions"]


@pytest.mark.parametrize("babble", ["strays", "echo"])
async def test_a_babbling_or_echoing_line_gives_right_values(bench: Bench, babble: str) -> None:
    """Stray bytes, and a transceiver that hears itself, take away values at most, and give none."""
    trouble = Trouble(noise_per_s=10) if babble == "strays" else Trouble(is_echoing=True)
    await bench.buses["north", 0].set_trouble(trouble)
    before = bench.readings("manhole")
    await bench.noc.until(
        lambda _: bench.readings("manhole") >= before + 10 or None, "ten more readings"
    )
    await bench.buses["north", 0].set_trouble()
    await bench.until_good()
    assert bench.wrong() == []


@pytest.mark.parametrize("share", [0.001, 0.01, 0.05])
async def test_no_damaged_frame_becomes_a_value(bench: Bench, share: float) -> None:
    """With 0.1, 1 and 5 % of the replies damaged, every value at the NOC is one of a device."""
    trouble = Trouble(damaged=share, dropped=share / 4, doubled=share / 4)
    for bus in bench.buses.values():
        await bus.set_trouble(trouble)
    await asyncio.sleep(12)
    for bus in bench.buses.values():
        await bus.set_trouble()
    await bench.until_good()
    assert bench.wrong() == []
    counts = [await bus.counts() for bus in bench.buses.values()]
    bench.figures["replies"] = sum(count["answered"] for count in counts)
    bench.figures["values compared"] = len(bench.noc.shown)


async def test_a_cut_bus_is_told_and_comes_back(bench: Bench) -> None:
    """While a bus is cut its devices show nothing, the other bus goes on; mended, all are back."""
    await bench.buses["north", 0].set_trouble(Trouble(is_cut=True))
    await bench.noc.until(
        lambda _: all(bench.is_silent(device) for device in UNITS) or None, "the cut"
    )
    before = bench.readings("room")
    await bench.noc.until(lambda _: bench.readings("room") >= before + 5 or None, "the room")
    seen = bench.noc.seen("pfe", "line_voltage")
    assert seen is not None and seen.reason == "device-timeout" and seen.last_good is not None
    await bench.buses["north", 0].set_trouble()
    await bench.until_good()
    assert bench.wrong() == []
