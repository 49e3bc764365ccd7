"""Slots: which one boots, what a trial costs, and power cuts at every write of an update."""

import hashlib
import json
import shutil
import subprocess
from pathlib import Path

import pytest
from fw_plan_file import blocks, bus, device, plan_file
from fw_vm import FIRMWARE, PORT, Board, find_vm, until

import boot
from station import update

SCRIPTS = Path(__file__).parent / "vm"
PLAN = plan_file([bus(0)], [device(0, 5)], blocks((0, 4, 0x20, 3, 100)))
POWER, WATCHDOG, REQUESTED, FAULT = 1, 2, 3, 4
CONFIRMED, ON_TRIAL = 1, 2
SLOT = 0x1A


@pytest.mark.parametrize(
    ("what", "ends"), [("update", {"1", "2"}), ("boot", {"2"}), ("confirm", {"2"})]
)
def test_a_power_cut_at_every_write(what, ends):
    """After a cut at any write, clean or torn, a board boots old or new and takes an update."""
    done = subprocess.run(
        [find_vm(), "-X", "heapsize=8M", str(SCRIPTS / "power_cuts.py"), str(FIRMWARE), what],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    facts = dict(line.rsplit(" ", 1) for line in done.stdout.splitlines())
    cuts = int(facts["cuts"])
    assert cuts >= {"update": 100, "boot": 8, "confirm": 8}[what], "there is something to cut"
    assert {name[5:] for name in facts if name.startswith("ends ")} == ends
    assert sum(int(facts[f"ends {version}"]) for version in ends) == cuts + 2
    assert what != "update" or facts["writes of a normal boot"] == "0"


class Flash:
    """A flash folder under CPython."""

    def __init__(self, folder):
        self.folder = folder
        self.root = f"{folder}/"

    def write(self, slot, version):
        fill(self.folder / slot, {"main.py": version, "board.py": "#", "station/app.py": "#"})

    def update(self, version):
        slot = update.prepare(self.root)
        self.write(slot, version)
        update.install(self.root, slot)
        return slot

    def state(self):
        return boot.read_state(self.root)


def fill(slot, files):
    """Writes a slot; its manifest last."""
    sums = {}
    for name, text in files.items():
        (slot / name).parent.mkdir(parents=True, exist_ok=True)
        (slot / name).write_text(text)
        sums[name] = hashlib.sha256(text.encode()).hexdigest()
    manifest = {"version": files["main.py"], "files": sums}
    (slot / "manifest.json").write_text(json.dumps(manifest))


@pytest.fixture
def flash(tmp_path):
    """A flash with version 1 in slot a and version 2 on trial in slot b."""
    flash = Flash(tmp_path)
    assert flash.update("1") == "a"
    assert flash.update("2") == "b"
    return flash


def test_the_first_slot_needs_no_trial(tmp_path):
    """The first slot of a board is confirmed by its installation."""
    flash = Flash(tmp_path)
    flash.update("1")
    assert flash.state() == {"act": "a", "try": "", "left": 0, "bad": ""}
    assert boot.choose(flash.root) == "a"


def test_three_boots_on_trial(flash):
    """A slot on trial that is never confirmed boots three times, then the other for good."""
    assert [boot.choose(flash.root) for _ in range(6)] == ["b", "b", "b", "a", "a", "a"]
    assert flash.state() == {"act": "a", "try": "", "left": 0, "bad": "b"}


def test_a_boot_is_paid_before_it_runs(flash):
    """The boots left go down before the slot has run a line."""
    boot.choose(flash.root)
    assert flash.state()["left"] == 2


def test_a_boot_is_paid_back_once(flash):
    """A boot that was paid back costs nothing, and no more than three are ever left."""
    for _ in range(5):
        assert boot.choose(flash.root) == "b"
        boot.pay_back(flash.root)
    boot.pay_back(flash.root)
    assert flash.state()["left"] == 3


@pytest.mark.parametrize("name", ["main.py", "board.py", "station/app.py", "manifest.json"])
@pytest.mark.parametrize("slot", ["a", "b"])
def test_a_slot_that_differs_does_not_run(flash, slot, name):
    """A slot with any file changed or gone is passed over, on trial or not."""
    left = boot.other(slot)
    (flash.folder / slot / name).write_text("changed")
    assert boot.choose(flash.root) == left
    (flash.folder / slot / name).unlink()
    assert boot.verify(flash.root, slot) == ""
    assert boot.choose(flash.root) == left


@pytest.mark.parametrize(
    "manifest",
    [
        "",
        "{",
        "[]",
        "{}",
        "7",
        '{"version": "9", "files": []}',
        '{"version": "9", "files": {}}',
        '{"version": "9", "files": 7}',
        '{"version": "9", "files": {"main.py": "", "board.py": 3}}',
    ],
)
def test_a_damaged_manifest_is_no_slot(flash, manifest):
    """A manifest of any other form makes its slot unusable and nothing worse."""
    (flash.folder / "b" / "manifest.json").write_text(manifest)
    assert boot.choose(flash.root) == "a"


def test_every_bit_of_the_state_counts(flash):
    """A state with any bit flipped is taken for none, and the board still boots a whole slot."""
    path = flash.folder / boot.STATE
    good = path.read_bytes()
    for i in range(8 * len(good)):
        data = bytearray(good)
        data[i // 8] ^= 1 << i % 8
        path.write_bytes(data)
        told = flash.state()
        assert told["act"] == "" or told == json.loads(good[9:]), "case and space do not count"
        assert boot.choose(flash.root) in ("a", "b")


def test_the_good_slot_is_never_touched(flash):
    """An update takes the slot of a failed or pending trial, never the confirmed one."""
    before = {path: path.read_bytes() for path in (flash.folder / "a").rglob("*.*")}
    for _ in range(3):
        assert flash.update("3") == "b"
    assert {path: path.read_bytes() for path in (flash.folder / "a").rglob("*.*")} == before


def test_an_update_of_a_board_whose_slot_is_broken(flash):
    """If the confirmed slot is broken, the next update replaces it and keeps the one that runs."""
    (flash.folder / "a" / "main.py").write_text("rust")
    boot.choose(flash.root)
    assert flash.update("3") == "a"
    assert flash.state() == {"act": "b", "try": "a", "left": 3, "bad": ""}


def test_install_refuses_what_differs(flash):
    """A slot that is not what its manifest says is not set on trial."""
    slot = update.prepare(flash.root)
    flash.write(slot, "3")
    (flash.folder / slot / "board.py").write_text("torn")
    with pytest.raises(ValueError, match="differs from its manifest"):
        update.install(flash.root, slot)
    assert boot.choose(flash.root) == "a"


def test_install_refuses_the_slot_to_fall_back_to(flash):
    """The confirmed slot cannot be set on trial: there would be nothing to fall back to."""
    with pytest.raises(ValueError, match="fall back"):
        update.install(flash.root, "a")


def test_no_slots(tmp_path):
    """A flash without slots has none to choose."""
    assert boot.choose(f"{tmp_path}/") == ""


@pytest.fixture
def board(tmp_path):
    """A board with the firmware in slot a, and the same on trial in slot b."""
    board = Board(tmp_path, PLAN)
    shutil.copy(FIRMWARE / "boot.py", board.flash)
    files = {
        str(path.relative_to(board.flash)): path.read_text()
        for path in (board.flash / "main.py", board.flash / "board.py")
    }
    for path in sorted((board.flash / "station").glob("*.py")):
        files[f"station/{path.name}"] = path.read_text()
    shutil.rmtree(board.flash / "station")
    (board.flash / "main.py").unlink()
    (board.flash / "board.py").unlink()
    board.files = files
    for slot in ("a", "b"):
        fill(board.flash / slot, files)
    told = {"act": "a", "try": "b", "left": 3, "bad": ""}
    boot.write_state(f"{board.flash}/", told)
    yield board
    board.close()


def change(board, slot, name, text):
    fill(board.flash / slot, {**board.files, name: text})


def left(board):
    return boot.read_state(f"{board.flash}/")["left"]


def test_a_gateway_confirms_a_trial(board):
    """A slot on trial is confirmed once a gateway has read its header and 10 s have gone well."""
    board.start(REQUESTED, (PORT,))
    assert board.read(SLOT, 2) == (1, ON_TRIAL)
    assert board.read(0, 0x40)[9] == 0
    until(lambda: board.read(SLOT, 2) == (1, CONFIRMED), "the confirmation", 40)
    assert boot.read_state(f"{board.flash}/") == {"act": "b", "try": "", "left": 0, "bad": ""}
    before = (board.flash / boot.STATE).stat().st_mtime_ns
    board.cut()
    board.start(POWER, (PORT,))
    assert board.read(SLOT, 2) == (1, CONFIRMED)
    assert (board.flash / boot.STATE).stat().st_mtime_ns == before, "a normal boot writes nothing"


def test_time_alone_confirms_nothing(board):
    """A slot on trial that no gateway has looked at stays on trial, whatever else is read."""
    board.start(REQUESTED, (PORT,))
    for _ in range(130):
        assert board.beat() == b"."
        assert board.read(SLOT, 2) == (1, ON_TRIAL)
    assert left(board) == 2


def test_a_crashing_update_falls_back(board):
    """An update that crashes boots three times, then the old version runs and says so."""
    change(board, "b", "station/app.py", "raise RuntimeError('no')\n")
    for reason in (REQUESTED, FAULT, FAULT):
        board.launch(reason, (PORT,))
        assert board.end()[0] == 71
    board.start(FAULT, (PORT,))
    head = board.read(0, 0x40)
    assert head[SLOT : SLOT + 2] == (0, CONFIRMED)
    assert head[8:10] == (FAULT, 4 | 32), "a crash text is stored; the update was given up"


def test_a_board_file_that_fails_falls_back_at_once(board):
    """An update whose board.py cannot be imported is given up at once, with its imports."""
    good = board.files["board.py"] + "\nimport kit\n\nassert kit.SLOT == 'a'\n"
    fill(board.flash / "a", {**board.files, "board.py": good, "kit.py": "SLOT = 'a'\n"})
    bad = "import kit\nimport nothing_of_that_name\n"
    fill(board.flash / "b", {**board.files, "board.py": bad, "kit.py": "SLOT = 'b'\n"})
    board.start(REQUESTED, (PORT,))
    assert board.read(SLOT, 2) == (0, CONFIRMED)
    assert boot.read_state(f"{board.flash}/")["bad"] == "b"


def test_power_cuts_cost_no_trial_boots(board):
    """Boots by power leave the trial as it was; a watchdog's costs one."""
    for _ in range(4):
        board.start(POWER, (PORT,))
        board.cut()
        assert left(board) == 3
    board.start(WATCHDOG, (PORT,))
    assert left(board) == 2
    assert board.read(9, 1) == (64,)


def test_a_leftover_of_a_power_cut_is_removed(board):
    """A state that was being written when the power went is gone after the next boot."""
    (board.flash / boot.STATE_NEW).write_bytes(b"half")
    board.start(POWER, (PORT,))
    assert not (board.flash / boot.STATE_NEW).exists()


def test_no_good_slot_leaves_a_board_that_can_be_flashed(board):
    """With both slots broken nothing runs, and nothing is opened."""
    for slot in ("a", "b"):
        (board.flash / slot / "main.py").write_text("rust")
    board.launch(POWER, (PORT,))
    assert board.end() == (0, "")


def test_settings_and_plan_survive_an_update(board):
    """A slot finds board.json and plan.bin beside it."""
    board.start(REQUESTED, (PORT,))
    head = board.read(0, 0x40)
    assert head[2] << 16 | head[3] == int.from_bytes(PLAN[-4:], "big")
    assert board.ask(0x2B, 0x0E, 4, 0x81).endswith(b"cable/station/room")
