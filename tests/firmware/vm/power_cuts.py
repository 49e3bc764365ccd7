"""Runs on the VM: updates on littlefs with the power cut at every write, clean and torn.

argv: the folder of the firmware, and what to cut: "update" (slot a is emptied, written, set on
trial), "boot" (a slot on trial is booted), "confirm". After each cut the flash is mounted anew, the
board boots, and the update is made again. Prints one line a fact.
"""

import os
import sys

import vfs

sys.path.insert(0, sys.argv[1])

import boot
from station import slots
from station import update as updating

ROOT = "/flash/"
BLOCK = 512
BLOCKS = 160


class Flash:
    """A block device in memory; after `left` operations its power is gone, silently."""

    def __init__(self, data, left=1 << 29, torn=False):
        self.data = data
        self.left = left
        self.torn = torn
        self.operations = 0

    def readblocks(self, block, buf, offset=0):
        at = block * BLOCK + offset
        buf[:] = memoryview(self.data)[at : at + len(buf)]

    def writeblocks(self, block, buf, offset=0):
        at = block * BLOCK + offset
        if self.powered():
            self.data[at : at + len(buf)] = buf
        elif self.operations == self.left + 1 and self.torn:
            half = len(buf) // 2
            self.data[at : at + half] = memoryview(buf)[:half]

    def powered(self):
        self.operations += 1
        return self.operations <= self.left

    def ioctl(self, op, arg):
        if op == 4:
            return BLOCKS
        if op == 5:
            return BLOCK
        if op == 6:
            at = arg * BLOCK
            if self.powered():
                self.data[at : at + BLOCK] = b"\xff" * BLOCK
            elif self.operations == self.left + 1 and self.torn:
                self.data[at : at + BLOCK // 2] = b"\xff" * (BLOCK // 2)
        return 0


def mount(flash):
    vfs.mount(vfs.VfsLfs2(flash), "/flash")


def unmount():
    os.chdir("/")
    vfs.umount("/flash")


def files_of(version):
    """A slot of some blocks; every file names its version, so that a mix would show."""
    text = "# " + version + "\n"
    return {
        "main.py": text + "ran = " + repr(version) + "\n",
        "board.py": text * 40,
        "station/__init__.py": "VERSION = " + repr(version) + "\n",
        "station/app.py": text * 2000,
        "station/bus.py": text * 1000,
    }


def write(path, text):
    with open(path, "w") as file:
        file.write(text)


def fill(slot, version):
    import json

    files = files_of(version)
    os.mkdir(ROOT + slot + "/station")
    sums = {}
    for name in files:
        write(ROOT + slot + "/" + name, files[name])
        sums[name] = boot.digest(ROOT + slot + "/" + name, bytearray(64))
    write(ROOT + slot + "/manifest.json", json.dumps({"version": version, "files": sums}))


def update(version):
    slot = updating.prepare(ROOT)
    fill(slot, version)
    return updating.install(ROOT, slot)


def started():
    """The version that a boot runs, after proof that it is whole."""
    if boot.exists(ROOT + boot.STATE_NEW):
        os.remove(ROOT + boot.STATE_NEW)
    slot = boot.choose(ROOT)
    assert slot, "no slot to boot"
    facts = {}
    with open(ROOT + slot + "/main.py") as file:
        exec(file.read(), facts)
    files = files_of(facts["ran"])
    for name in files:
        with open(ROOT + slot + "/" + name) as file:
            assert file.read() == files[name], "a mix"
    return facts["ran"], slot


def confirm(slot):
    sys.path.insert(0, ROOT + slot)
    trial = slots.Trial(ROOT)
    sys.path.pop(0)
    assert trial.state == slots.ON_TRIAL
    trial.confirm()


def prepared():
    """A flash with version 1 confirmed, and what each kind of cut starts from."""
    data = bytearray(b"\xff" * (BLOCK * BLOCKS))
    flash = Flash(data)
    vfs.VfsLfs2.mkfs(flash)
    mount(flash)
    update("0")
    write(ROOT + "plan.bin", "plan")
    update("1")
    assert started() == ("1", "b")
    confirm("b")  # the next update empties slot a
    if sys.argv[2] != "update":
        update("2")
    if sys.argv[2] == "confirm":
        assert started() == ("2", "a")
    unmount()
    return data


def act():
    if sys.argv[2] == "update":
        update("2")
    elif sys.argv[2] == "boot":
        started()
    else:
        confirm("a")


def cut(base, left, torn):
    """One life that ends after `left` operations; returns whether the power lasted."""
    data = bytearray(base)
    flash = Flash(data, left, torn)
    mount(flash)
    try:
        act()
    except (OSError, ValueError, AssertionError):
        assert flash.operations > left, "it failed with the power on"
    lasted = flash.operations <= left
    unmount()
    # A new device over the same bytes: what the old one still had in mind is gone.
    mount(Flash(data))
    version, slot = started()
    count(version)
    with open(ROOT + "plan.bin") as file:
        assert file.read() == "plan"
    if boot.read_state(ROOT)["try"] == slot:
        confirm(slot)
    update("3")
    version, slot = started()
    assert version == "3", "the second update"
    confirm(slot)
    assert started() == ("3", slot)
    unmount()
    return lasted


ends = {}


def count(version):
    ends[version] = ends.get(version, 0) + 1


def run():
    base = prepared()
    cuts = 0
    for torn in (False, True):
        left = 0
        while not cut(base, left, torn):
            left += 1
            cuts += 1
    print("cuts", cuts)
    flash = Flash(bytearray(base))
    mount(flash)
    if sys.argv[2] == "update":
        started()
        print("writes of a normal boot", flash.operations)
    for version in sorted(ends):
        print("ends", version, ends[version])


run()
