"""plan.py: what a board reads, at the least cost, in a form it accepts."""

import itertools
import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shorewatch.compiled import load_compiled
from shorewatch.config import BoardConfig, BusConfig, Device, DeviceConfig, load_station
from shorewatch.errors import ConfigError
from shorewatch.plan import _merge, _requests, _watches, _wire_s, compile_board
from shorewatch.point import Point
from shorewatch.profile import Profile

SLOW = """
id = "slow"
name = "Slow device"
source = "none: a device of this test"
timeout_ms = 5000
worst_ms = 5000
[[point]]
id = "p"
name = "P"
table = "input"
address = 0
type = "u16"
period_s = 60
"""


def device(addresses: dict[int, int], baud: int = 19200, **keys) -> Device:
    """A device whose points stand at {address: registers}."""
    kinds = {1: "u16", 2: "u32", 4: "u64"}
    points = [
        {"id": f"p{a}", "name": "p", "table": "input", "address": a, "type": kinds[n]}
        for a, n in addresses.items()
    ]
    profile = Profile.model_validate(
        {"id": "x", "name": "x", "source": "x", "point": points} | keys
    )
    config = DeviceConfig(id="d", name="d", profile="x", unit_id=1)
    bus = BusConfig.model_validate({"uart": 0, "baud": baud, "device": [config.model_dump()]})
    board = BoardConfig.model_validate(
        {
            "id": "b",
            "type": "virtual",
            "unique_id": "00000000",
            "link": {"port": "p"},
            "bus": [bus.model_dump()],
        }
    )
    return Device(config, profile, board, bus)


def registers(run: list[Point]) -> list[int]:
    """All registers that a request for `run` reads, one after the other."""
    return list(range(run[0].address, max(p.address + p.count for p in run)))


def is_allowed(run: list[Point], d: Device) -> bool:
    """Whether the device takes a request for these points."""
    wanted = {p.address + i for p in run for i in range(p.count)}
    is_short = len(registers(run)) <= d.profile.registers_max or len(run) == 1
    return is_short and (d.profile.merge or wanted == set(registers(run)))


def cost(runs: list[list[Point]], d: Device) -> float:
    return sum(_wire_s(d.bus, 4, len(registers(run))) for run in runs)


def cuts(points: list[Point]) -> Iterator[list[list[Point]]]:
    """Every way to cut a sorted list into runs."""
    for marks in itertools.product([False, True], repeat=len(points) - 1):
        runs = [[points[0]]]
        for mark, p in zip(marks, points[1:], strict=True):
            if mark:
                runs.append([p])
            else:
                runs[-1].append(p)
        yield runs


@settings(max_examples=200)
@given(
    st.dictionaries(st.integers(0, 150), st.sampled_from([1, 2]), min_size=1, max_size=8),
    st.sampled_from([1200, 9600, 19200, 115200]),
    st.sampled_from([8, 40, 121]),
    st.booleans(),
)
def test_merging_is_the_cheapest_of_all_cuts(addresses, baud, most, merge):
    """No other way to cut the points into requests takes less wire time (against brute force)."""
    d = device(addresses, baud, registers_max=most, merge=merge)
    points = sorted(d.profile.point, key=lambda p: (p.address, p.count))
    allowed = [runs for runs in cuts(points) if all(is_allowed(run, d) for run in runs)]

    chosen = list(_merge(points, d))

    assert [p for run in chosen for p in run] == points
    assert all(is_allowed(run, d) for run in chosen)
    assert cost(chosen, d) == pytest.approx(min(cost(runs, d) for runs in allowed))


def test_a_device_that_refuses_holes_gets_none():
    """With merge = false no request runs across an unused register."""
    runs = list(
        _merge(device({0: 1, 2: 1}, merge=False).profile.point, device({0: 1}, merge=False))
    )

    assert [len(run) for run in runs] == [1, 1]


def test_the_pfe_is_read_whole(sumqayit):
    """Registers 0 to 63 of the PFE are one request, so that they are one snapshot."""
    plan = compile_board(sumqayit, "pfe-room")

    (block,) = [b for b in plan.blocks if b.device.id == "pfe"]
    assert (block.function, block.address, block.count) == (4, 0, 64)
    assert len(block.points) == len(sumqayit.devices["pfe"].points)


def test_every_point_is_read_exactly_once(sumqayit):
    """The plans of a station cover each point once, inside its block."""
    seen = []
    for plan in (compile_board(sumqayit, board_id) for board_id in sumqayit.boards):
        for block in plan.blocks:
            for name, offset in block.points:
                point = block.device.points[name]
                assert offset >= 0 and offset + point.count <= block.count
                assert block.address + offset == point.address
                seen.append((block.device.id, name))
    on_buses = [device for device in sumqayit.devices.values() if device.line is not None]
    assert sorted(seen) == sorted((d.id, n) for d in on_buses for n in d.points)


def test_the_binary_plan_is_as_its_table_says(sumqayit):
    """plan.bin has the documented head, sizes and CRC, and the names that make it unique."""
    plan = compile_board(sumqayit, "beach")
    data = plan.data

    assert data[:4] == b"SWPL"
    assert struct.unpack(">HH", data[4:8]) == (2, len(data))
    assert tuple(data[8:12]) == (2, 2, len(plan.blocks), 2)
    assert struct.unpack(">HH", data[12:16]) == (len(plan.watches), 0)
    assert int.from_bytes(data[-4:]) == zlib.crc32(data[:-4]) == plan.crc
    assert data[:-4].endswith(b"\x0dtrans-caspian\x08sumqayit\x05beach")
    # 19200 8E1 on UART 0: 3.5 characters of 11 bits are 2,005 us.
    head = struct.pack(">BBBBIHH", 0, 1, 1, 0, 19200, 2005, 0)
    assert data[16:28] == head


def test_watches_and_inputs_follow_the_blocks(write, station_text):
    """Watches and contacts stand in plan.bin as the format says, a watch's code is its index."""
    door = '[[board.input]]\nid = "door"\nname = "Door"\ninput = 5\nnormally = "closed"\n'
    text = station_text.replace("[board.link]", door + "[board.link]", 1)
    station = load_station(write("s.toml", text))
    plan = compile_board(station, "pfe-room")
    names = plan.data.index(b"\x0dtrans-caspian")
    watches = plan.data[names - 10 * len(plan.watches) : names]
    inputs = plan.data[names - 10 * len(plan.watches) - 12 : names - 10 * len(plan.watches)]

    assert (plan.data[11], int.from_bytes(plan.data[12:14])) == (3, len(plan.watches))
    assert list(struct.iter_unpack(">BBH", inputs)) == [(5, 1, 20), (0, 1, 20), (1, 1, 20)]
    rows = list(struct.iter_unpack(">BBHHHH", watches))
    assert [row[5] for row in rows] == list(range(len(rows)))
    assert {(row[0], row[1]) for row in rows} == {(plan.watches[0].block.index, 1)}
    # Status bit 0 is in register 2; alarm bit 9 in the low word of registers 3 and 4.
    places = {(w.point.id, w.bit): row[2] for w, row in zip(plan.watches, rows, strict=True)}
    assert places["status", 0] == 16 * 2
    assert places["alarms", 9] == 16 * 4 + 9
    assert len(places) == len(rows) == 10 + 16 + 10


def test_bits_of_the_manhole_are_watched(sumqayit):
    """Lid and water are bits 0 and 1 of the manhole's block of discrete inputs."""
    plan = compile_board(sumqayit, "beach")

    assert [(w.point.id, w.kind, w.offset, w.bit) for w in plan.watches] == [
        ("lid", 1, 0, 0),
        ("water", 1, 1, 0),
    ]
    assert {(w.block.device.id, w.block.function) for w in plan.watches} == {("manhole", 2)}


def test_thresholds_are_raw_and_signed_words(sumqayit):
    """A threshold of a signed point is its raw word, of kind 4 above and 5 below."""
    manhole = sumqayit.devices["manhole"]
    level = manhole.points["water_level"].model_copy(
        update={"watch_above": 0.1, "watch_below": -0.05, "watch_hysteresis": 0.02}
    )
    (block,) = [b for b in compile_board(sumqayit, "beach").blocks if ("lid", 0) in b.points]

    above, below = _watches(block, level, 3)

    assert (above.kind, above.offset, above.threshold, above.hysteresis) == (4, 3, 100, 20)
    assert (below.kind, below.offset, below.threshold, below.hysteresis) == (5, 3, 0xFFCE, 20)


def test_more_watches_than_a_board_keeps_are_refused(write, station_text):
    """A board that would have to watch more than 256 changes is refused, with the number."""
    more = "".join(
        f'\n[[board.bus.device]]\nid = "p{i}"\nname = "P"\nprofile = "pfe-synthetic"\n'
        f"unit_id = {20 + i}\n"
        for i in range(8)
    )
    text = station_text.replace("baud = 19200", "baud = 115200") + more
    path = write("many.toml", text.replace("baud = 9600", "baud = 115200"))

    with pytest.raises(ConfigError, match=r"toml:\d+: .*at most 256 watches \(found 326 watches\)"):
        load_compiled(path)


def test_blocks_do_not_overlap_in_the_image(sumqayit):
    """Blocks are packed from 0x1000 without gap or overlap."""
    address = 0x1000
    for block in compile_board(sumqayit, "beach").blocks:
        assert block.image == address
        address += block.size


@given(st.data())
def test_reads_hold_whole_blocks_only(data):
    """Reads of the image never exceed 125 registers nor cut a block."""
    from shorewatch.assets import asset_folder

    station = load_station(asset_folder("stations") / "sumqayit.toml")
    plan = compile_board(station, data.draw(st.sampled_from(["beach", "pfe-room"])))
    wanted = [b for b in plan.blocks if data.draw(st.booleans())]

    groups = list(plan.reads(wanted))

    read = [block for group in groups for block in group]
    assert {b.index for b in wanted} <= {b.index for b in read}
    for group in groups:
        assert group[-1].image + group[-1].size - group[0].image <= 125
        assert [b.index for b in group] == list(range(group[0].index, group[-1].index + 1))


def test_a_bus_that_cannot_keep_its_periods_is_refused(write, station_text):
    """At 1,200 baud the PFE's bus is too slow; the error says by how much and what to do."""
    path = write("slow.toml", station_text.replace("baud = 19200", "baud = 1200", 1))

    with pytest.raises(
        ConfigError, match=r"bus would be busy 1\d\d%.*raise the baud rate"
    ) as found:
        load_compiled(path)
    (problem,) = found.value.problems
    assert path.read_text().splitlines()[problem.line - 1] == "baud = 1200"


def test_a_bus_where_one_death_makes_others_stale_is_refused(write, station_text):
    """With a device that may keep the bus for 5 s, its neighbour's values would go stale."""
    write("profiles/slow.toml", SLOW)
    room = '[[board.bus.device]]\nid = "slow"\nname = "S"\nprofile = "slow"\nunit_id = 9\n'
    path = write(
        "s.toml", station_text.replace("[[board.bus.device]]", f"{room}\n[[board.bus.device]]", 1)
    )

    with pytest.raises(ConfigError) as found:
        load_compiled(path)
    (problem,) = found.value.problems
    assert re.search(r"with slow dead, values of pfe would get 1\d\.\d s old", problem.rule)
    assert "stale after 5 s" in problem.rule and "shorten timeout_ms of slow" in problem.rule


@settings(max_examples=200)
@given(st.data())
def test_every_point_is_covered_once_within_the_limits(data):
    """Whatever a profile says, each point is in one request, and no request passes its limits."""
    tables = {"holding": 3, "input": 4, "coil": 1, "discrete": 2}
    most = data.draw(st.integers(4, 121))
    points = [
        {
            "id": f"p{i}",
            "name": "p",
            "table": table,
            "type": "bit"
            if table in ("coil", "discrete")
            else data.draw(st.sampled_from(["u16", "f32", "u64"])),
            "address": data.draw(st.integers(0, 300)),
            "period_s": data.draw(st.sampled_from([0.5, 1.0, 10.0])),
        }
        for i, table in enumerate(
            data.draw(st.lists(st.sampled_from([*tables]), min_size=1, max_size=12))
        )
    ]
    profile = {
        "id": "x",
        "name": "x",
        "source": "x",
        "point": points,
        "registers_max": most,
        "merge": data.draw(st.booleans()),
    }
    d = device({0: 1})
    d = replace(d, profile=Profile.model_validate(profile))

    found = list(_requests(d))

    assert sorted(p.id for *_, run in found for p in run) == sorted(p["id"] for p in points)
    for function, period_s, address, count, run in found:
        assert count <= most * (16 if function < 3 else 1)
        assert all((p.function, p.period_s) == (function, period_s) for p in run)
        assert all(address <= p.address and p.address + p.count <= address + count for p in run)


def test_mistakes_of_every_kind_are_told_at_once(write, station_text):
    """A wrong shape hides neither what only the whole shows nor a plan that cannot be kept."""
    text = (
        station_text.replace("baud = 19200", "baud = 1200", 1)
        .replace("size_mb_max = ", "size_mb = ")
        .replace('id = "room"', 'id = "pfe"')
        .replace('profile = "sdm630"', 'profile = "sdm63"')
    )
    with pytest.raises(ConfigError) as found:
        load_compiled(write("bad.toml", text))

    rules = " | ".join(map(str, found.value.problems))
    assert "did you mean 'size_mb_max'" in rules
    assert "device is used twice" in rules
    assert "did you mean 'sdm630'" in rules
    assert "raise the baud rate" in rules
    lines = [problem.line for problem in found.value.problems]
    assert lines == sorted(lines) and None not in lines


DIRECT = """
[[direct]]
id = "x"
{}
[[direct.device]]
id = "meter"
name = "Meter"
profile = "sdm630"
unit_id = 1
"""


def test_a_serial_direct_line_that_cannot_keep_its_periods_is_refused(write, station_text):
    """At 1,200 baud a meter is too much for a port of the gateway, told at its baud rate."""
    text = station_text + DIRECT.format('port = "/dev/ttyUSB0"\nbaud = 1200')
    path = write("slow.toml", text)

    with pytest.raises(ConfigError, match="raise the baud rate") as found:
        load_compiled(path)
    (problem,) = found.value.problems
    assert path.read_text().splitlines()[problem.line - 1] == "baud = 1200"


def test_a_direct_line_merges_requests_as_a_board_does(write, station_text):
    """Over TCP, where a hole is cheap, the meter is read in as few requests as it takes."""
    text = station_text + DIRECT.format('tcp = "192.0.2.7:502"')
    (block,) = load_compiled(write("s.toml", text)).directs["x"].blocks

    assert (block.function, block.address, block.count) == (4, 0, 74)
