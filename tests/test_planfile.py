"""planfile.py and show.py: a plan reads back as it was compiled, and damage is named."""

import struct
import subprocess
import sys
import zlib
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shorewatch.assets import asset_folder
from shorewatch.compiled import load_compiled
from shorewatch.plan import Block, BoardPlan
from shorewatch.planfile import Input, Watch, parse
from shorewatch.show import plan_text

STATION = asset_folder("stations") / "sumqayit.toml"
BEACH = load_compiled(STATION).plans["beach"]


def sealed(data: bytes) -> bytes:
    """The bytes as a whole plan: right size, right CRC."""
    data = data[:6] + struct.pack(">H", len(data) + 4) + data[8:]
    return data + struct.pack(">I", zlib.crc32(data))


def format_2(inputs: bytes = b"", watches: bytes = b"", blocks: bytes | None = None) -> bytes:
    """A plan with one bus, one device, one block of 20 registers, and what is given."""
    bus = struct.pack(">BBBBIHH", 0, 1, 1, 0, 19200, 2005, 0)
    device = struct.pack(">BBHHBB", 0, 5, 200, 400, 1, 0)
    block = struct.pack(">BBHHIH", 0, 4, 0, 20, 1000, 0x1000) if blocks is None else blocks
    counts = bytes((1, 1, len(block) // 12, len(inputs) // 4))
    head = struct.pack(">4sHH4sHH", b"SWPL", 2, 0, counts, len(watches) // 10, 0)
    names = b"\x05cable\x07station\x05board"
    return sealed(head + bus + device + block + inputs + watches + names)


@st.composite
def plans(draw: st.DrawFn) -> BoardPlan:
    """The plan of board beach with other blocks, each within the limits of a board."""
    blocks: list[Block] = []
    image = 0x1000
    for index in range(draw(st.integers(0, 40))):
        function = draw(st.integers(1, 4))
        block = replace(
            BEACH.blocks[draw(st.integers(0, len(BEACH.blocks) - 1))],
            index=index,
            function=function,
            address=draw(st.integers(0, 60000)),
            count=draw(st.integers(1, 121 if function > 2 else 1936)),
            period_ms=draw(st.integers(100, 3_600_000)),
            image=image,
            points=(),
        )
        blocks.append(block)
        image += block.size
    return replace(BEACH, blocks=tuple(blocks))


@given(plans())
@settings(max_examples=100)
def test_a_compiled_plan_reads_back_as_it_is(plan):
    """Whatever the compiler writes is read without fault, each field of it."""
    found = parse(plan.data)

    assert found.faults == ()
    assert (found.size, found.crc, found.is_crc_right) == (len(plan.data), plan.crc, True)
    assert found.names == (plan.station.cable, plan.station.id, plan.board_id)
    devices = plan.station.of_board(plan.board_id)
    board = plan.station.boards[plan.board_id]
    assert [(bus.uart, bus.baud, bus.t35_us) for bus in found.buses] == [
        (bus.uart, bus.baud, bus.t35_us) for bus in board.bus
    ]
    assert ["8" + "NEO"[bus.parity] + str(bus.stop_bits) for bus in found.buses] == [
        bus.format for bus in board.bus
    ]
    assert [(device.bus, device.unit_id, device.retries) for device in found.devices] == [
        (board.bus.index(device.bus), device.config.unit_id, device.profile.retries)
        for device in devices
    ]
    assert [
        (devices[b.device].id, b.function, b.address, b.count, b.period_ms, b.image, b.size)
        for b in found.blocks
    ] == [
        (b.device.id, b.function, b.address, b.count, b.period_ms, b.image, b.size)
        for b in plan.blocks
    ]


def test_the_shipped_stations_make_plans_without_fault():
    """Every board of the demo gets a plan that nothing is wrong with."""
    for name in ("sumqayit", "aktau"):
        plans = load_compiled(asset_folder("stations") / f"{name}.toml").plans
        for plan in plans.values():
            assert parse(plan.data).faults == ()


def test_every_flipped_bit_is_a_fault():
    """No single wrong bit goes unnoticed."""
    data = BEACH.data
    for bit in range(8 * len(data)):
        wrong = bytearray(data)
        wrong[bit // 8] ^= 1 << bit % 8
        assert parse(bytes(wrong)).faults, f"bit {bit}"


@pytest.mark.parametrize("data", [BEACH.data, format_2(b"\0\0\0\5", b"\0\1\0\0\0\0\0\0\0\1")])
def test_a_plan_cut_anywhere_or_with_more_is_a_fault(data):
    """Each shorter piece of a plan, and a longer one, is said to be damaged."""
    for size in range(len(data)):
        assert parse(data[:size]).faults, f"{size} bytes"
    assert parse(data + b"\0").faults


@given(st.binary(max_size=400), st.booleans())
def test_no_bytes_are_too_much(data, is_headed):
    """Any bytes at all are read without an error of the program, and shown."""
    found = parse(b"SWPL\0\2" + data if is_headed else data)

    plan_text(found)
    assert found.faults or found.is_crc_right


def test_inputs_and_watches_of_format_2_are_read():
    """A plan of format 2 gives its contact inputs and its watch rules."""
    inputs = struct.pack(">BBHBBH", 0, 0, 20, 3, 1, 50)
    watches = struct.pack(">BBHHHH", 0, 1, 17, 0, 0, 7)
    watches += struct.pack(">BBHHHH", 0, 5, 19, 0xFFFE, 2, 8)

    found = parse(format_2(inputs, watches))

    assert found.faults == ()
    assert found.inputs == (Input(0, 0, 20), Input(3, 1, 50))
    assert found.watches == (Watch(0, 1, 17, 0, 0, 7), Watch(0, 5, 19, 0xFFFE, 2, 8))


FAULTS = {
    "a function that is no read": (
        format_2(blocks=struct.pack(">BBHHIH", 0, 6, 0, 20, 1000, 0x1000)),
        36,
        "function 06",
    ),
    "blocks that overlap": (
        format_2(blocks=2 * struct.pack(">BBHHIH", 0, 4, 0, 20, 1000, 0x1000)),
        48,
        "0x1018",
    ),
    "a period too short": (
        format_2(blocks=struct.pack(">BBHHIH", 0, 4, 0, 20, 99, 0x1000)),
        36,
        "99 ms",
    ),
    "a device that is not there": (
        format_2(blocks=struct.pack(">BBHHIH", 1, 4, 0, 20, 100, 0x1000)),
        36,
        "device 1",
    ),
    "a watch outside its block": (
        format_2(watches=struct.pack(">BBHHHH", 0, 2, 20, 0, 0, 7)),
        48,
        "offset 20",
    ),
    "a watch of an unknown kind": (
        format_2(watches=struct.pack(">BBHHHH", 0, 9, 0, 0, 0, 7)),
        48,
        "kind 9",
    ),
    "another format": (b"SWPL\0\3" + bytes(20), 4, "format 3"),
    "another file": (b"PK\3\4" + bytes(20), 0, "begins with"),
}


@pytest.mark.parametrize("case", FAULTS)
def test_a_fault_is_named_with_its_place(case):
    """What a board would refuse is said with the byte where it stands and the value found."""
    data, offset, words = FAULTS[case]

    (fault,) = parse(data).faults

    assert fault.offset == offset
    assert words in fault.text


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "shorewatch", "plan", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_build_writes_the_compiled_plans(tmp_path):
    """plan build writes each board's plan.bin and prints its size, CRC and number of blocks."""
    done = run("build", str(STATION), "--out", str(tmp_path / "new"))

    assert done.returncode == 0, done.stderr
    for board_id, plan in load_compiled(STATION).plans.items():
        path = tmp_path / "new" / f"{board_id}.plan.bin"
        assert path.read_bytes() == plan.data
        size, blocks = len(plan.data), len(plan.blocks)
        assert f"{path}: {size} bytes, CRC {plan.crc:08x}, {blocks} blocks" in done.stdout


def test_show_of_a_file_and_of_its_station_agree(tmp_path):
    """plan show tells the same CRC and blocks from the file and from the station."""
    run("build", str(STATION), "--board", "beach", "--out", str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["beach.plan.bin"]

    by_file = run("show", str(tmp_path / "beach.plan.bin"))
    by_station = run("show", str(STATION), "--board", "beach")

    assert by_file.returncode == by_station.returncode == 0
    for done in (by_file, by_station):
        assert "cable trans-caspian, station sumqayit, board beach" in done.stdout
        assert f"CRC {BEACH.crc:08x} right" in done.stdout
        assert "04 input registers" in done.stdout
    assert "manhole" in by_station.stdout


def test_show_of_a_damaged_file_says_what_is_wrong(tmp_path):
    """plan show of a plan with a wrong byte names place and values, and exits with 1."""
    data = bytearray(BEACH.data)
    data[20] ^= 1
    (tmp_path / "bad.bin").write_bytes(data)

    done = run("show", str(tmp_path / "bad.bin"))

    assert done.returncode == 1
    assert "WRONG" in done.stdout
    assert f"byte {len(data) - 4}: CRC {BEACH.crc:08x}, the bytes before it make" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("show", "nowhere.bin"), "nowhere.bin"),
        (("show", str(STATION), "--board", "attic"), "it has pfe-room, beach"),
        (("build", str(STATION), "--out", "/dev/null/x"), "--out"),
    ],
)
def test_what_cannot_be_done_is_one_clear_line(arguments, words):
    """A missing file, an unknown board, a folder that cannot be made: one line with the way out."""
    done = run(*arguments)

    assert done.returncode == 64
    (line,) = done.stderr.splitlines()
    assert words in line
