"""The image: what is mapped, ages that saturate and stay so, bits in their places."""

import struct

import pytest
from fw_fakes import Ticks, reply_to, sealed
from fw_plan_file import block, blocks, bus, device, plan_file

from station import frame, image, parser, plan

ROWS = [(0, 4, 0x20, 3, 1000), (0, 1, 0, 20, 1000), (1, 3, 0, 121, 1000)]
NEVER = (0xFFFF, 0xFFFF)


def make(rows=None, buses=2):
    ticks = Ticks()
    loaded = plan.Plan()
    packed = blocks(*ROWS) if rows is None else rows
    data = plan_file([bus(i) for i in range(buses)], [device(), device(0, 2)], packed)
    assert parser.parse(data, loaded) == parser.ACCEPTED
    return image.Image(loaded, ticks), ticks


def read(img, ticks, address, count):
    buf = bytearray(2 * count + 2)
    if not img.read(address, count, ticks.ticks_ms(), buf, 1):
        return None
    assert buf[0] == buf[-1] == 0
    return struct.unpack(f">{count}H", buf[1:-1])


def reply(function, address, count):
    return bytearray(reply_to(sealed(struct.pack(">BBHH", 1, function, address, count))))


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (0x0000, 0x0060),
        (0x0100, 0x0110),
        (0x0800, 0x0803),
        (0x0900, 0x0912),
        (0x0A00, 0x0A20),
        (0x1000, 0x108A),
        (0x8000, 0x8800),
    ],
)
def test_only_what_the_plan_has_is_mapped(start, end):
    """Each segment can be read from its first to its last register and not one further."""
    img, ticks = make()
    assert read(img, ticks, start, 1) and read(img, ticks, end - 1, 1)
    assert read(img, ticks, end, 1) is None
    assert read(img, ticks, end - 1, 2) is None
    if start:
        assert read(img, ticks, start - 1, 1) is None


def test_every_address_is_safe():
    """A read of 1 or 125 registers at any address gives registers or a refusal, never an error."""
    img, ticks = make()
    mapped = sum(read(img, ticks, address, 1) is not None for address in range(0x10000))
    assert mapped == 0x60 + 16 + 3 + 18 + 32 + 0x8A + 8 * 256
    assert all(read(img, ticks, a, 125) in (None,) or a >= 0x1000 for a in range(0x10000))


def test_a_block_begins_as_never_read():
    """Before its first attempt a block has generation 0, status 0 and the age of never."""
    img, ticks = make()
    assert read(img, ticks, 0x1000, 4) == (0, 0, *NEVER)


def test_a_good_reply_is_served_as_one_snapshot():
    """Data, status, generation and age of one block come in one read."""
    img, ticks = make()
    asked_ms = ticks.ticks_ms()
    ticks.advance(70_500_000)
    img.store(0, reply(4, 0x20, 3), asked_ms)
    assert read(img, ticks, 0x1000, 7) == (1, frame.GOOD, 1, 70_500 - 65536, 0x20, 0x21, 0x22)
    assert read(img, ticks, 0x0800, 3) == (1, 0, 0)


def test_bits_begin_at_bit_0_of_the_first_register():
    """Coils 20 to 38 of the specification's example 6.1 lie lowest bit first in two registers."""
    img, ticks = make()
    img.store(1, bytearray(sealed((1, 1, 3, 0xCD, 0x6B, 0x05))), ticks.ticks_ms())
    assert read(img, ticks, 0x1007 + 4, 2) == (0x6BCD, 0x0005)


def test_a_bad_attempt_keeps_the_data_and_its_age():
    """A failed attempt changes generation and status; data stay and go on ageing."""
    img, ticks = make()
    img.store(0, reply(4, 0x20, 3), ticks.ticks_ms())
    ticks.advance(5_000_000)
    img.mark(0, 2 << 8 | frame.EXCEPTION)
    assert read(img, ticks, 0x1000, 7) == (2, 0x0205, 0, 5000, 0x20, 0x21, 0x22)


def test_generation_wraps():
    """The generation counts to 65535 and begins again."""
    img, ticks = make()
    for _ in range(65536):
        img.mark(0, frame.TIMEOUT)
    assert read(img, ticks, 0x1000, 1) == read(img, ticks, 0x0800, 1) == (0,)
    img.mark(0, frame.TIMEOUT)
    assert read(img, ticks, 0x1000, 1) == (1,)


@pytest.mark.parametrize("start", range(0x1000, 0x1010))
def test_ages_are_fresh_wherever_a_read_begins(start):
    """Any read that touches a block's header gets a fresh age."""
    img, ticks = make()
    for index in range(3):
        img.store(index, reply(ROWS[index][1], 0, ROWS[index][3]), ticks.ticks_ms())
    ticks.advance(123_000)
    words = read(img, ticks, start, 24)
    for header in (0x1000, 0x1007, 0x100D):
        if start <= header + 3:
            assert words[header + 3 - start] == 123


def test_the_clock_is_fresh_when_it_is_read():
    """The header says the time of the pass that answers, also after a rest."""
    img, ticks = make()
    ticks.advance(43_000)
    assert read(img, ticks, 0x0000, 0x1C)[image.CLOCK : image.CLOCK + 3] == (0, 0, 43)


def test_an_old_block_never_looks_young():
    """After 2^28 ms an age saturates, and no wrap of the ticks makes it small again."""
    img, ticks = make()
    img.store(0, reply(4, 0x20, 3), ticks.ticks_ms())
    last = 0
    for _ in range(1000):  # hours: more than three wraps of the millisecond ticks
        for _ in range(3):
            img.tend(ticks.ticks_ms())
        ticks.advance(3_600_000_000)
        high, low = read(img, ticks, 0x1002, 2)
        assert high << 16 | low >= last
        last = high << 16 | low
    assert last == 0xFFFFFFFF


def test_a_gap_between_blocks_reads_as_zero():
    """Registers that no block covers are zero, and blocks after them stand where the plan says."""
    img, ticks = make([block(image=0x1000, count=2), block(image=0x1010, count=2)])
    img.store(1, reply(4, 7, 2), ticks.ticks_ms())
    assert read(img, ticks, 0x1006, 10) == (0,) * 10
    assert read(img, ticks, 0x1010, 6) == (1, 1, 0, 0, 7, 8)


def test_a_word_counter_wraps_with_a_carry():
    """bump() wraps at 2^16 and returns what did not fit."""
    buf = bytearray(4)
    image.put(buf, 1, 0xFFFF)
    assert image.bump(buf, 1) == 1
    assert bytes(buf) == bytes(4)


def test_devices_say_who_they_are():
    """The last word of a device is its bus and unit id."""
    img, ticks = make()
    assert read(img, ticks, 0x0107, 1) == (0x0001,)
    assert read(img, ticks, 0x010F, 1) == (0x0002,)
