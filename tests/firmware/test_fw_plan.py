"""plan.bin: what is taken, and that each kind of damage is refused for its reason."""

import random

import pytest
from fw_plan_file import block, blocks, bus, contact, device, plan_file, watch
from hypothesis import given
from hypothesis import strategies as st

from station import parser, plan

BUSES = [bus(0), bus(1, parity=0, stop_bits=2, baud=9600, t35_us=4011)]
DEVICES = [device(0, 5, 100, 300, 2), device(1, 247, 500, 2000, 0)]
INPUTS = [contact(7, 1, 50), contact(0, 0, 0)]
WATCHES = [watch(2, 4, 0, 0xFFF6, 5, 0x7FFF), watch(1, 1, 19, code=1), watch(2, 1, 15, code=2)]
BLOCKS = blocks((0, 4, 0x10, 10, 200), (0, 1, 3, 20, 3600000), (1, 3, 65535, 1, 100))


def parse(data):
    loaded = plan.Plan()
    return parser.parse(data, loaded), loaded


def test_every_field_of_a_plan():
    """Each field of the file is found again, and the area's length is that of its blocks."""
    fault, loaded = parse(_file())
    assert fault == parser.ACCEPTED
    assert (bytes(loaded.bus_uart), list(loaded.bus_baud)) == (b"\x00\x01", [19200, 9600])
    assert (bytes(loaded.bus_parity), bytes(loaded.bus_stop_bits)) == (b"\x02\x00", b"\x01\x02")
    assert list(loaded.bus_t35_us) == [2005, 4011]
    assert (bytes(loaded.device_bus), bytes(loaded.device_unit)) == (b"\x00\x01", b"\x05\xf7")
    assert list(loaded.device_timeout_ms) == [100, 500]
    assert list(loaded.device_worst_ms) == [300, 2000]
    assert bytes(loaded.device_retries) == b"\x02\x00"
    assert bytes(loaded.block_device) == b"\x00\x00\x01"
    assert bytes(loaded.block_function) == b"\x04\x01\x03"
    assert list(loaded.block_address) == [0x10, 3, 65535]
    assert list(loaded.block_count) == [10, 20, 1]
    assert list(loaded.block_period_ms) == [200, 3600000, 100]
    assert list(loaded.block_image) == [0x1000, 0x100E, 0x1014]
    assert loaded.area_registers() == 0x1014 + 5 - 0x1000
    assert bytes(loaded.input_index) == b"\x07\x00"
    assert bytes(loaded.input_flags) == b"\x01\x00"
    assert list(loaded.input_debounce_ms) == [50, 0]
    assert bytes(loaded.watch_block) == b"\x02\x01\x02"
    assert bytes(loaded.watch_kind) == b"\x04\x01\x01"
    assert list(loaded.watch_offset) == [0, 19, 15]
    assert list(loaded.watch_threshold) == [0xFFF6, 0, 0]
    assert list(loaded.watch_hysteresis) == [5, 0, 0]
    assert list(loaded.watch_code) == [0x7FFF, 1, 2]
    assert list(loaded.watch_first) == [plan.NO_WATCH, 1, 0]
    assert list(loaded.watch_next) == [2, plan.NO_WATCH, plan.NO_WATCH]
    assert loaded.crc_high << 16 | loaded.crc_low == int.from_bytes(_file()[-4:], "big")


def _file():
    return plan_file(BUSES, DEVICES, BLOCKS, INPUTS, WATCHES)


def test_a_plan_may_be_empty():
    """A plan without buses, devices and blocks is a plan."""
    assert parse(plan_file())[0] == parser.ACCEPTED


def test_a_full_plan():
    """2 buses, 32 devices, 120 blocks of 46 registers, 16 inputs and 256 watches fit."""
    devices = [device(i % 2, 1 + i) for i in range(32)]
    rows = blocks(*((i % 32, 4, 0, 46, 1000) for i in range(120)))
    inputs = [contact(i) for i in range(16)]
    watches = [watch(i % 120, 1, i, code=i) for i in range(256)]
    data = plan_file(BUSES, devices, rows, inputs, watches, texts=("x" * 255,) * 3)
    fault, loaded = parse(data)
    assert fault == parser.ACCEPTED
    assert len(data) <= parser.SIZE_MAX
    assert loaded.area_registers() == 6000


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        pytest.param(b"", parser.BAD_MAGIC, id="empty"),
        pytest.param(plan_file(magic=b"SWPM"), parser.BAD_MAGIC, id="magic"),
        pytest.param(plan_file(form=1), parser.BAD_FORMAT, id="format"),
        pytest.param(plan_file(size=30), parser.BAD_SIZE, id="size"),
        pytest.param(plan_file() + b"\x00", parser.BAD_SIZE, id="a byte too many"),
        pytest.param(
            plan_file(counts=(0, 0, 1, 0, 0)), parser.BAD_SIZE, id="count beyond the file"
        ),
        pytest.param(plan_file(crc=1), parser.BAD_CRC, id="CRC"),
        pytest.param(plan_file(texts=("a", "b")), parser.BAD_SIZE, id="two names"),
        pytest.param(plan_file(texts=("a", "b", "c", "d")), parser.BAD_SIZE, id="four names"),
        pytest.param(plan_file([bus(i) for i in range(3)]), parser.BAD_COUNT, id="three buses"),
        pytest.param(
            plan_file([bus()], [device()] * 33), parser.BAD_COUNT, id="thirty-three devices"
        ),
        pytest.param(
            plan_file([bus()], [device()], blocks(*[(0, 4, 0, 1, 100)] * 121)),
            parser.BAD_COUNT,
            id="too many blocks",
        ),
        pytest.param(plan_file([bus(), bus()]), parser.BAD_REFERENCE, id="one UART twice"),
        pytest.param(plan_file([bus(parity=3)]), parser.BAD_LIMIT, id="parity"),
        pytest.param(plan_file([bus(stop_bits=3)]), parser.BAD_LIMIT, id="stop bits"),
        pytest.param(plan_file([bus(baud=0)]), parser.BAD_LIMIT, id="no speed"),
        pytest.param(plan_file([bus()], [device(1)]), parser.BAD_REFERENCE, id="no such bus"),
        pytest.param(plan_file([bus()], [device(0, 0)]), parser.BAD_LIMIT, id="unit 0"),
        pytest.param(plan_file([bus()], [device(0, 248)]), parser.BAD_LIMIT, id="unit 248"),
    ],
)
def test_a_damaged_plan_is_refused(data, fault):
    """A plan that breaks a rule is refused, with the rule's number."""
    assert parse(data)[0] == fault


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        pytest.param({"device_index": 1}, parser.BAD_REFERENCE, id="no such device"),
        pytest.param({"function": 0}, parser.BAD_FUNCTION, id="function 0"),
        pytest.param({"function": 5}, parser.BAD_FUNCTION, id="write single coil"),
        pytest.param({"function": 6}, parser.BAD_FUNCTION, id="write single register"),
        pytest.param({"function": 16}, parser.BAD_FUNCTION, id="write multiple registers"),
        pytest.param({"count": 0}, parser.BAD_COUNT, id="nothing to read"),
        pytest.param({"count": 122}, parser.BAD_COUNT, id="more than a snapshot"),
        pytest.param({"function": 2, "count": 1937}, parser.BAD_COUNT, id="too many bits"),
        pytest.param({"address": 65535}, parser.BAD_COUNT, id="past the last register"),
        pytest.param({"period_ms": 99}, parser.BAD_LIMIT, id="period too short"),
        pytest.param({"period_ms": 3600001}, parser.BAD_LIMIT, id="period too long"),
        pytest.param({"image": 0x0FFF}, parser.BAD_IMAGE, id="image too low"),
        pytest.param({"image": 0x7FFB}, parser.BAD_IMAGE, id="image into the events"),
    ],
)
def test_a_wrong_block_is_refused(row, fault):
    """A block that breaks a rule is refused, with the rule's number."""
    assert parse(plan_file([bus()], [device()], [block(**row)]))[0] == fault


@pytest.mark.parametrize(
    ("inputs", "fault"),
    [
        pytest.param([contact(16)], parser.BAD_REFERENCE, id="contact 16"),
        pytest.param([contact(3), contact(3)], parser.BAD_REFERENCE, id="one contact twice"),
        pytest.param([contact(0, flags=2)], parser.BAD_LIMIT, id="unknown flag"),
        pytest.param([contact(i) for i in range(17)], parser.BAD_COUNT, id="seventeen"),
    ],
)
def test_a_wrong_input_is_refused(inputs, fault):
    """An input that breaks a rule is refused, with the rule's number."""
    assert parse(plan_file(inputs=inputs))[0] == fault


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        pytest.param({"block_index": 3}, parser.BAD_REFERENCE, id="no such block"),
        pytest.param({"kind": 0}, parser.BAD_LIMIT, id="kind 0"),
        pytest.param({"kind": 6}, parser.BAD_LIMIT, id="kind 6"),
        pytest.param({"code": 0x8000}, parser.BAD_LIMIT, id="a code with bit 15"),
        pytest.param({"offset": 160}, parser.BAD_REFERENCE, id="a bit past the registers"),
        pytest.param({"kind": 2, "offset": 10}, parser.BAD_REFERENCE, id="a word past the block"),
        pytest.param({"block_index": 1, "offset": 20}, parser.BAD_REFERENCE, id="a coil too far"),
        pytest.param({"block_index": 1, "kind": 2}, parser.BAD_REFERENCE, id="a word of coils"),
    ],
)
def test_a_wrong_watch_is_refused(row, fault):
    """A watch that breaks a rule is refused, with the rule's number."""
    assert parse(plan_file(BUSES, DEVICES, BLOCKS, watches=[watch(**row)]))[0] == fault


def test_too_many_watches_are_refused():
    """A plan with 257 watches is refused."""
    rows = [watch()] * 257
    assert parse(plan_file(BUSES, DEVICES, BLOCKS, watches=rows))[0] == parser.BAD_COUNT


@pytest.mark.parametrize("image", [0x1000, 0x1005, 0x0000])
def test_overlap_in_the_image_is_refused(image):
    """A second block that begins before the first has ended is refused."""
    rows = [block(image=0x1000, count=2), block(image=image)]
    assert parse(plan_file([bus()], [device()], rows))[0] == parser.BAD_IMAGE


def test_every_truncation_is_refused():
    """A plan cut short at any byte is refused."""
    data = _file()
    assert all(parse(data[:n])[0] != parser.ACCEPTED for n in range(len(data)))


def test_every_flipped_bit_is_refused():
    """A plan with any one bit flipped is refused."""
    data = _file()
    for bit in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        assert parse(bytes(damaged))[0] != parser.ACCEPTED


@given(st.binary(max_size=200), st.randoms(use_true_random=False))
def test_no_bytes_crash_the_parser(noise, rng: random.Random):
    """Any bytes, also those with a right head and CRC, give a verdict and no exception."""
    parse(noise)
    limits = (4, 34, 122, 18, 258)
    counts = tuple(rng.randrange(limit) for limit in limits)
    parse(plan_file([noise], counts=counts))
