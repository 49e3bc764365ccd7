"""The one door: maintenance by the link or by a strap, safe mode, and why a board booted."""

import shutil

import pytest
from fw_fakes import sealed
from fw_plan_file import blocks, bus, device, plan_file
from fw_vm import FIRMWARE, PORT, Board, Devices, until

PLAN = plan_file([bus(0)], [device(0, 5)], blocks((0, 4, 0x20, 3, 100)))
UID = b"5357000000000001"
ASK = sealed(b"\x01\x41" + UID)
REFUSED = bytes((0xC1, 1))
GOOD = 1
HEALTH = 9
POWER, WATCHDOG, REQUESTED, FAULT = 1, 2, 3, 4


@pytest.fixture
def rig(tmp_path):
    board = Board(tmp_path, PLAN)
    shutil.copy(FIRMWARE / "boot.py", board.flash)
    devices = Devices(board.buses[0])
    devices.start()
    board.devices = devices
    yield board
    devices.stop()
    board.close()


def forbid(board):
    """Makes the board one whose only door is its strap."""
    path = board.flash / "board.py"
    text = path.read_text()
    assert 'MAINTENANCE = "link"' in text
    path.write_text(text.replace('MAINTENANCE = "link"', 'MAINTENANCE = "strap"'))


def test_the_right_id_opens(rig):
    """The right unique id is echoed, health says so, and the board ends for maintenance."""
    rig.start(program=(PORT,))
    rig.link.write(ASK)
    assert rig.link.read() == ASK
    assert rig.read(HEALTH, 1) == (16,)
    assert rig.end() == (72, "")


def test_no_request_is_cut(rig):
    """Every request on the field bus is whole when the board has ended for maintenance."""
    rig.start(program=(PORT,))
    until(lambda: len(rig.devices.asked) > 5, "requests")
    rig.link.write(ASK)
    assert rig.end()[0] == 72
    assert {len(request) for request in rig.devices.asked} == {8}
    assert all(sealed(request[:-2]) == request for request in rig.devices.asked)


@pytest.mark.parametrize(
    "uid",
    [
        b"",
        UID[:-1],
        UID + b"0",
        UID[:-1] + b"2",
        UID.replace(b"5", b"\x00"),
        b"*" * 16,
        b"\x00" * 200,
    ],
)
def test_a_wrong_id_does_not(rig, uid):
    """Anything but the whole right id is refused by exception 01, and the board goes on."""
    rig.start(program=(PORT,))
    assert rig.ask(0x41, *uid) == REFUSED
    assert rig.read(HEALTH, 1) == (0,)
    asked = len(rig.devices.asked)
    until(lambda: len(rig.devices.asked) > asked + 3, "requests afterwards")


def test_another_unit_does_not(rig):
    """The right id for another unit gets no answer and opens nothing."""
    rig.start(program=(PORT,))
    rig.link.write(sealed(b"\x02\x41" + UID))
    assert rig.link.read(0.3) == b""
    assert rig.read(HEALTH, 1) == (0,)


def test_a_board_with_a_strap_knows_no_such_request(rig):
    """Where only the strap opens, the right id is refused by exception 01."""
    forbid(rig)
    rig.start(program=(PORT,))
    assert rig.ask(0x41, *UID) == REFUSED
    assert rig.read(HEALTH, 1) == (0,)


def test_in_maintenance_nothing_runs(rig):
    """A boot for maintenance opens neither link nor bus, and ends where the REPL begins."""
    rig.launch(REQUESTED, (PORT,), MAINTENANCE="1")
    assert rig.end() == (0, "")
    assert rig.devices.asked == []


def test_the_strap_opens_where_it_is_the_only_door(rig):
    """A bridged strap leaves a strap board at its REPL with nothing opened."""
    forbid(rig)
    rig.launch(POWER, (PORT,), STRAP="1")
    assert rig.end() == (0, "")
    assert rig.devices.asked == []


def test_safe_mode(rig):
    """On a board with maintenance by link, the strap leaves the link alone and no field bus."""
    rig.start(POWER, (PORT,), STRAP="1")
    head = rig.read(0, 0x40)
    assert head[:4] == (0x5357, 1, 0, 0)
    assert head[HEALTH] == 8
    assert head[0x12:0x16] == (0, 0, 0, 0)
    for _ in range(5):
        rig.beat()
    assert rig.devices.asked == []
    assert rig.ask(0x41, *UID) == b"\x41" + UID


def test_the_deadline_is_set_at_every_boot(rig):
    """boot.py holds the transmitters and sets the deadline of 10 minutes at each boot."""
    path = rig.flash / "board.py"
    path.write_text(
        path.read_text() + "\n\ndef hold(deadline_ms):\n    sys.stderr.write(str(deadline_ms))\n"
    )
    for _ in range(2):
        rig.launch(REQUESTED, (PORT,), MAINTENANCE="1")
        assert rig.end() == (0, "600000")
    rig.launch(REQUESTED, (PORT,))
    rig.beat()
    rig.cut()


@pytest.mark.parametrize(
    ("reason", "health"), [(POWER, 0), (WATCHDOG, 64), (REQUESTED, 0), (FAULT, 0)]
)
def test_why_it_booted(rig, reason, health):
    """The image tells the boot reason, and the health word a watchdog's."""
    rig.start(reason, (PORT,))
    assert rig.read(8, 2) == (reason, health)
