"""The firmware on the real MicroPython VM: no allocation, and cables that come and go."""

import asyncio
import os
import random
import shutil
import subprocess
import termios
from pathlib import Path

import pytest
from fw_fakes import sealed
from fw_plan_file import blocks, bus, contact, device, plan_file, watch
from fw_vm import FIRMWARE, HEAP, PATIENCE_S, Board, Cable, Devices, find_vm, until
from pymodbus import FramerType
from pymodbus.client import AsyncModbusSerialClient

from station import image

ROWS = [(0, 4, 0x20, 3, 100), (0, 1, 0, 20, 200), (1, 3, 0, 10, 500)]
PLAN = plan_file([bus(0)], [device(0, 5), device(0, 6)], blocks(*ROWS))
WATCHING = plan_file(
    [bus(0)],
    [device(0, 5), device(0, 6)],
    blocks(*ROWS),
    [contact(0, 0, 5), contact(5, 1, 5)],
    [watch(0, 1, 0, code=1)],
)
GOOD, TIMEOUT = 1, 2
SCRIPTS = Path(__file__).parent / "vm"


@pytest.fixture
def make(tmp_path):
    """Makes boards and devices that are gone after the test."""
    made = []

    def _make(plan=PLAN, units=(5,), **settings):
        board = Board(tmp_path, plan, **settings)
        devices = Devices(board.buses[0], units)
        made.append((board, devices))
        devices.start()
        return board, devices

    yield _make
    for board, devices in made:
        devices.stop()
        board.close()


@pytest.mark.parametrize("variant", ["viper", "bytecode"])
def test_nothing_is_allocated(tmp_path, variant):
    """1,000 transactions of every outcome, 1,000 link requests, events, with the heap locked."""
    devices = [device(0, u, 50, 100, 1) for u in (1, 2, 11, 12, 13, 20)] + [device(1, 3)]
    rows = [(i % 7, 1 + i % 4, 16 * i, 20, 100 + 10 * i) for i in range(28)]
    inputs = [contact(i, i & 1, 5 + i) for i in range(16)]
    watches = [watch(i % 28, 1, i % 20, code=i) for i in range(200)]
    watches += [watch(2 + 4 * (i % 7), 2 + i % 4, 0, 0x4000, 99, code=200 + i) for i in range(56)]
    plan = tmp_path / "plan.bin"
    plan.write_bytes(plan_file([bus(0), bus(1)], devices, blocks(*rows), inputs, watches))
    done = subprocess.run(
        [find_vm(), "-X", HEAP, str(SCRIPTS / "heap_locked.py"), str(FIRMWARE), str(plan), variant],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    facts = dict(line.split(" ", 1) for line in done.stdout.splitlines()[:6])
    assert facts["allocated"] == "0"
    assert min(int(n) for n in facts["transactions"].split()) >= 1000
    answered, asked = (int(n) for n in facts["answers"].split(" of "))
    assert answered >= 1000 and asked - answered <= 1
    assert int(facts["fed"]) > 10
    assert int(facts["events"]) > 1000, "the ring has gone round"
    assert facts["sources"] == "0 1", "watches and contacts"
    first = [int(n) for n in done.stdout.splitlines()[6].split()[1:]]
    good, outcomes = first[image.GOOD + 1], first[image.TIMEOUTS : image.STRAYS]
    assert good > 0 and min(outcomes) > 0, "every outcome was met"


def test_contacts_become_events(make):
    """Edges on the contacts' tty are played one by one and become events in their order."""
    board, _ = make(WATCHING)
    board.start()
    until(lambda: board.read(0x0901, 1) == (0b11,), "both contacts known")
    assert board.read(0x0900, 1) == (0b10,)
    board.inputs.write(b"0 1 0\n0 0 30000\nrubbish\n9 1 0\n0 2 0\n5 1 30000\n5 0 1\n5 1 1\n")
    until(lambda: board.read(0x0900, 1) == (0b00,), "both contacts moved")
    rows = [row for row in board.events() if row[0] >= 0x100]
    assert [row[:3] for row in rows] == [(0x100, 0x8000, 1), (0x100, 0, 2), (0x101, 0, 1)]
    assert [row[3] for row in rows] == sorted(row[3] for row in rows)
    assert board.read(0x0902, 2) == (2, 1)


def test_without_contacts_tty_all_are_open(make):
    """A board whose contacts' tty is not there runs, with every contact open."""
    board, _ = make(WATCHING)
    board.inputs.pull()
    board.start()
    until(lambda: board.read(0x0901, 1) == (0b11,), "both contacts known")
    assert board.read(0x0900, 1) == (0b10,)


def full_plan():
    """2 buses, 32 devices, 120 blocks of 6,000 registers in all, 16 contacts, 256 watches."""
    devices = [device(i % 2, 1 + i) for i in range(32)]
    rows = [(i % 32, 4, 50 * i, 50, 1000 + 10 * i) for i in range(120)]
    inputs = [contact(i) for i in range(16)]
    watches = [watch(i % 120, 1, i, code=i) for i in range(256)]
    names = ("trans-caspian", "sumqayit", "pfe-room")
    return plan_file([bus(0), bus(1)], devices, blocks(*rows), inputs, watches, names)


def test_a_full_plan_leaves_heap(make):
    """With a full plan being read, at least 90 kB of a heap of 190 kB stay free.

    Both in the unit of the heap, 1,024 bytes. Nobody plays the contacts: no firmware does.
    """
    board, devices = make(full_plan(), units=range(1, 33))
    board.start(INPUTS="")
    head = board.read(0, 0x20)
    assert head[0x12:0x16] == (2, 32, 120, 6000 + 4 * 120)
    until(lambda: len(devices.asked) > 60, "requests")
    head = board.read(0, 0x20)
    assert head[9] == 0
    least = head[0x10] << 16 | head[0x11]
    assert least >= 90 * 1024, f"least free heap {least}"


def test_the_ports_of_the_virtual_board_allocate_nothing(make):
    """The whole board makes 60 requests, answers, and sees its contacts with the heap locked."""
    board, devices = make(WATCHING)
    shutil.copy(SCRIPTS / "ports_locked.py", board.flash)
    board.start(program=("ports_locked.py", "60"))
    level = 0
    while len(devices.asked) < 50:
        level ^= 1
        board.inputs.write(b"0 %d 0\n" % level)
        assert board.read(0x8000, 20)[2] in (0, 0x100, 0xFFFF)
    code, text = board.end()
    assert code == 0
    assert text.startswith("allocated 0 changes ") and int(text.split()[-1]) > 3


async def test_image_and_identity_by_another_client(make, tmp_path):
    """An independent client reads image and identity, and sees data under rising generations."""
    board, devices = make()
    board.start()
    far = Cable(tmp_path / "far")
    loop = asyncio.get_running_loop()
    loop.add_reader(far.end, lambda: board.link.write(os.read(far.end, 4096)))
    loop.add_reader(board.link.end, lambda: far.write(os.read(board.link.end, 4096)))
    client = AsyncModbusSerialClient(
        port=str(far.path), framer=FramerType.RTU, baudrate=115200, timeout=3, retries=0
    )
    try:
        assert await client.connect()
        head = (await client.read_input_registers(0, count=0x40, device_id=1)).registers
        assert head[:2] == [0x5357, 1]
        assert head[2] << 16 | head[3] == int.from_bytes(PLAN[-4:], "big")
        assert head[4:6] == [0x0001, 0x0000]
        assert head[8:10] == [1, 0]
        assert head[0x12:0x16] == [1, 2, 3, 7 + 6 + 14]
        assert head[0x19] == 8000
        generations = set()
        async with asyncio.timeout(PATIENCE_S):
            while len(generations) < 4:
                block = (await client.read_input_registers(0x1000, count=7, device_id=1)).registers
                if block[0]:
                    generations.add(block[0])
                    assert block[1] == GOOD
                    assert block[4:] == [0x20, 0x21, 0x22]
        who = await client.read_device_information(read_code=3, device_id=1)
        assert who.information == {
            0: b"Shorewatch",
            1: b"virtual",
            2: b"0.1.0",
            0x80: b"5357000000000001",
            0x81: b"cable/station/room",
            0x82: b"",  # it was not flashed by the tool, which writes what it is built from
        }
        wrong = await client.read_holding_registers(0, count=1, device_id=1)
        assert wrong.isError() and wrong.exception_code == 1
        assert {request[1] for request in devices.asked} <= {1, 2, 3, 4}
    finally:
        client.close()
        loop.remove_reader(far.end)
        loop.remove_reader(board.link.end)
        far.pull()


@pytest.mark.parametrize(
    ("plan", "health"),
    [
        pytest.param(None, 1, id="none"),
        pytest.param(b"", 2, id="empty"),
        pytest.param(PLAN[:-1], 2, id="cut short"),
        pytest.param(PLAN[:40] + b"\x77" + PLAN[41:], 2, id="a wrong byte"),
        pytest.param(plan_file([bus(9)]), 2, id="a UART the board has not"),
    ],
)
def test_without_a_good_plan_the_link_answers(make, plan, health):
    """A board with a missing or damaged plan says so: health bit, plan CRC 0, no blocks."""
    board, _ = make(plan)
    board.start()
    head = board.read(0, 0x40)
    assert head[:4] == (0x5357, 1, 0, 0)
    assert head[9] == health
    assert head[0x12:0x16] == (0, 0, 0, 0)
    assert board.ask(4, 0x10, 0, 0, 1) == bytes((0x84, 2))


def test_a_contact_that_the_board_has_not(make):
    """A plan with a contact that this board has not is refused."""
    board, _ = make(plan_file(inputs=[contact(15)]))
    text = (board.flash / "board.py").read_text()
    assert "_INPUTS = 16" in text
    (board.flash / "board.py").write_text(text.replace("_INPUTS = 16", "_INPUTS = 15"))
    board.start()
    assert board.read(9, 1) == (2,)


@pytest.mark.parametrize("settings", ["", "{", "[]", '{"link": 3}', '{"link": {"unit_id": 300}}'])
def test_damaged_settings_leave_unit_1(make, settings):
    """A board whose board.json is damaged answers as unit 1."""
    board, _ = make(settings=settings)
    board.start()
    assert board.read(0, 2) == (0x5357, 1)


def test_a_pulled_bus_comes_back(make):
    """A bus whose cable is pulled goes bad and not stale; plugged in as another tty it is read."""
    board, _ = make(units=(5, 6))
    board.start()
    until(lambda: board.read(0x1000, 2)[1] == GOOD, "first reply")
    board.buses[0].pull()

    def statuses():
        return {board.read(address, 2)[1] for address in (0x1000, 0x1007, 0x100D)}

    def states():
        return {board.read(address, 1)[0] for address in (0x0100, 0x0108)}

    until(lambda: states() == {3} and statuses() == {TIMEOUT}, "devices down, blocks bad")
    board.buses[0].plug()
    until(lambda: states() == {1} and statuses() == {GOOD}, "data after the cable is back")


def test_a_pulled_link_comes_back(make):
    """Without its link a board reads on, and answers as soon as there is a link again."""
    board, devices = make()
    board.start()
    boot = board.read(0, 0x40)[6:8]
    board.link.pull()
    asked = len(devices.asked)
    until(lambda: len(devices.asked) > asked + 10, "requests without a link")
    board.link.plug()

    def answers():
        board.link.write(sealed((1, 4, 0, 0, 0, 0x40)))
        return len(board.link.read(0.3)) == 5 + 0x80

    until(answers, "an answer after the link is back")
    assert board.read(0, 0x40)[6:8] == boot


def test_garbage_on_the_link_costs_nothing(make):
    """Half a megabyte of garbage leaves the bus running and the next request answered."""
    board, devices = make()
    board.start()
    board.read(0, 1)
    rng = random.Random(1)
    asked = len(devices.asked)
    for _ in range(256):
        board.link.write(rng.randbytes(2048))
    until(lambda: len(devices.asked) > asked + 5, "requests beside the garbage")

    def answers():
        board.link.read(0.1)
        board.link.write(sealed((1, 4, 0, 0, 0, 1)))
        return board.link.read(0.5) == sealed((1, 4, 2, 0x53, 0x57))

    until(answers, "an answer after the garbage")
    assert board.process.poll() is None


def test_a_host_that_never_reads_does_not_stop_the_board(make):
    """Requests whose answers nobody takes do not stop the bus or the watchdog."""
    board, devices = make()
    board.start()
    board.read(0, 1)
    for _ in range(400):
        board.link.write(sealed((1, 4, 0, 0, 0, 0x40)))
    asked = len(devices.asked)
    until(lambda: len(devices.asked) > asked + 10, "requests beside the full cable")
    for _ in range(3):
        assert board.beat() == b"."


def test_a_crash_is_stored_and_told(make):
    """A crash ends in a reset with its text on flash; after it the board tells and runs."""
    board, _ = make()
    good = (board.flash / "board.py").read_text()
    (board.flash / "board.py").write_text(
        good + "\n\ndef led(on):\n    raise RuntimeError('lamp is broken ' * 60)\n"
    )
    board.launch()
    code, error = board.end()
    assert code == 71
    text = (board.flash / "crash.txt").read_text()
    assert "lamp is broken" in error and "lamp is broken" in text
    assert len(text) <= 512
    (board.flash / "board.py").write_text(good)
    board.start(boot_reason=4)
    head = board.read(0, 0x40)
    assert head[8:10] == (4, 4)
    served = b"".join(word.to_bytes(2, "big") for word in board.read(0x0A00, 32))
    assert served == text.encode()[-64:]


def test_a_board_without_hardware_ends(make):
    """A VM whose supervisor has gone ends by itself."""
    board, _ = make()
    board.start()
    board.process.stdout.close()
    assert board.process.wait(PATIENCE_S) != 0
    board.process.stderr.close()
    board.process = None


def test_a_serial_device_gets_its_line_settings(make):
    """The tty of a bus has speed and stop bits of the plan (a pty keeps these, not the parity)."""
    board, _ = make(plan_file([bus(0, 2, 1, 9600), bus(1, 0, 2, 115200)], [device(0, 5)]))
    board.start()
    found = []
    for cable in board.buses:
        attributes = termios.tcgetattr(cable.end)
        found.append((attributes[4], attributes[5], bool(attributes[2] & termios.CSTOPB)))
    assert found == [(termios.B9600,) * 2 + (False,), (termios.B115200,) * 2 + (True,)]
