"""Gateway, broker and line to the NOC: killed, cut off, out of disk, out of time."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from shorewatch.bench.room import mounted
from shorewatch.hil.bench import Bench
from shorewatch.outbox import Outbox

pytestmark = pytest.mark.timeout(240)
DAY_RECORDS = 86_400


async def test_a_killed_gateway_loses_nothing(bench: Bench) -> None:
    """Kill -9 again and again: the NOC is told, and has every record once and in order."""
    for after_s in (0.3, 1.1, 2.0):
        await asyncio.sleep(after_s)
        await bench.gateway.kill()
        await bench.noc.until(lambda noc: noc.life.startswith("offline") or None, "offline")
        seen = bench.noc.seen("pfe", "line_voltage")
        assert seen is not None and seen.value is None
        await bench.gateway.start()
        await bench.until_good()
    await bench.all_received()
    assert bench.noc.holes == [] and bench.noc.late == []
    numbers = [record.seq for record in bench.noc.records]
    assert numbers == sorted(set(numbers))
    assert bench.wrong() == []


async def test_a_killed_broker_loses_nothing(bench: Bench) -> None:
    """The station goes on without its broker; when it is back, the NOC gets all of it."""
    await bench.broker.end(9)
    await bench.gateway.until(
        lambda live: live["uplinks"]["noc"]["state"] != "online" or None, "the loss to be told"
    )
    before = (await bench.gateway.ask("live"))["outbox"]["last"]
    await bench.gateway.until(
        lambda live: live["outbox"]["last"] > before + 10 or None, "records meanwhile"
    )
    await bench.start_broker()
    await bench.until_good()
    await bench.all_received()
    assert bench.noc.holes == []
    assert bench.wrong() == []


async def test_a_day_without_wan_is_filled_in(bench: Bench) -> None:
    """After a day in which nothing got through, the NOC gets all of its records, in order."""
    await bench.lose_wan()
    await bench.gateway.stop()
    day = datetime.now(UTC) - timedelta(days=1)
    path = bench.state / "outbox.sqlite"
    async with Outbox.opened(path, size_bytes_max=256_000_000) as outbox:
        for second in range(DAY_RECORDS):
            body = {"device": "room", "points": {"temperature": 20 + second % 90 / 10}}
            await outbox.put("sample", day + timedelta(seconds=second), body)
        await outbox.settled()
        last = outbox.last
    await bench.gateway.start()
    await bench.gateway.until(
        lambda live: live["outbox"]["last"] > last + 20 or None, "records while it is cut off"
    )
    began = len(bench.noc.records)
    await bench.mend_wan()
    start_s = asyncio.get_running_loop().time()
    await bench.until_good()
    bench.figures["values at the NOC after the WAN is back, s"] = (
        asyncio.get_running_loop().time() - start_s
    )
    await bench.all_received()
    bench.figures["a day of records there, s"] = asyncio.get_running_loop().time() - start_s
    bench.figures["records of that day"] = len(bench.noc.records) - began
    assert len(bench.noc.records) - began >= DAY_RECORDS
    assert bench.noc.holes == [] and bench.noc.late == []
    numbers = [record.seq for record in bench.noc.records]
    assert numbers == list(range(numbers[0], numbers[-1] + 1))


async def test_a_full_disk_hides_nothing(cold: Bench) -> None:
    """With no byte left, and no NOC, the station reads on; then each record is there or told."""
    disk = cold.state / "disk"
    await asyncio.to_thread(disk.mkdir)
    async with mounted(disk) as room:
        if room.why_not is not None:
            pytest.skip(f"for want of a file system of its own: {room.why_not}")
        cold.gateway.process.more = ["--set", "outbox.file=disk/outbox.sqlite"]
        await cold.start()
        await cold.until_good()
        await cold.lose_wan()
        for _ in range(160):
            room.fill()
            await asyncio.sleep(0.05)
        live = await cold.gateway.ask("live")
        assert live["devices"]["pfe"]["points"]["line_voltage"]["quality"] == "good"
        cold.figures["the outbox on a full disk says"] = live["outbox"]["health"] or "well"
        room.empty()
        await cold.mend_wan()
        await cold.gateway.until(
            lambda live: live["outbox"]["health"] is None or None, "the disk to be well"
        )
        await cold.until_good()
        await cold.all_received()
        there = {record.seq for record in cold.noc.records}
        told = {seq for gone in cold.noc.holes for seq in range(gone.first, gone.last + 1)}
        assert there | told == set(range(1, max(there) + 1))
        cold.figures["records that had to go, all of them told"] = len(told)
        assert cold.wrong() == []
        await cold.end()


async def test_a_stepped_clock_is_on_record(bench: Bench) -> None:
    """A clock that jumps is told with how far, no value turns young by it, and none is lost."""
    bench.gateway.step_clock(40.0)
    (step,) = await bench.noc.until(
        lambda noc: [e for e in noc.events("gateway") if e["what"] == "clock stepped"] or None,
        "the step",
    )
    assert abs(step["step_s"] - 40.0) < 1.0
    bench.gateway.step_clock(-40.0)
    await bench.noc.until(
        lambda noc: (
            len([e for e in noc.events("gateway") if e["what"] == "clock stepped"]) == 2 or None
        ),
        "the step back",
    )
    await bench.until_good()
    await bench.all_received()
    assert bench.noc.holes == []


async def test_a_board_with_another_plan_gives_no_values(cold: Bench) -> None:
    """A board whose plan is not the station file's is told, with what to do, and not believed."""
    await cold.start_field()
    await cold.start_broker()
    await cold.noc.start()
    await cold.gateway.start("board.0.bus.1.device.0.unit_id=9")
    await cold.gateway.until(
        lambda live: "push the plan" in (live["boards"]["north"]["reason"] or "") or None,
        "the mismatch to be told",
    )
    await cold.noc.until(lambda _: cold.is_good("mains") or None, "the other board")
    assert [key for key in cold.noc.shown if key[0] in ("pfe", "room", "manhole")] == []
    await cold.gateway.stop()
    await cold.gateway.start()
    await cold.until_good()
    assert cold.wrong() == []
