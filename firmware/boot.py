"""Chooses what a board runs: slot a or slot b. Never updated in place; works with slots of any age.

On flash: this file, `slots.state`, `a/` and `b/`; board.json and plan.bin stand beside them.
  slot         main.py, board.py, station/ and, written last, manifest.json:
               {"version": text, "files": {name: SHA-256 in hex}}; a slot that differs does not run
  slots.state  CRC-32 of the rest as 8 hex digits, a space, then JSON {"act", "try", "left", "bad"}:
               slot confirmed, slot on trial, its boots left, slot given up; replaced by one rename
Each boot of a slot on trial is paid before the slot's first line runs; a boot by power or for
maintenance is paid back.
A normal boot writes nothing. A flash without slots boots what stands beside this file.
The port runs `main.py` of the folder that this file leaves as the current one.
"""

import binascii
import hashlib
import json
import os
import sys

TYPE_CHECKING = False  # a board has no typing module
if TYPE_CHECKING:
    from typing import Any

SLOTS = ("a", "b")
STATE = "slots.state"
STATE_NEW = "slots.tmp"
MANIFEST = "manifest.json"
NEEDED = ("main.py", "board.py")
TRIAL_BOOTS = 3
BY_POWER = 1  # board.boot_reason()
DEADLINE_MS = 600000  # of maintenance, counted from each boot


def exists(path: str) -> bool:
    """Whether there is a file or a folder of that name."""
    try:
        os.stat(path)
    except OSError:
        return False
    return True


def read_state(root: str) -> "dict[str, Any]":
    """The state of the slots under root (which ends in "/"); that of new boards if damaged."""
    try:
        with open(root + STATE, "rb") as file:
            data = file.read(256)
        if int(data[:8], 16) == binascii.crc32(data[9:]):
            state: dict[str, Any] = json.loads(data[9:])
            return state
    except (OSError, ValueError):
        pass
    return {"act": "", "try": "", "left": 0, "bad": ""}


def write_state(root: str, state: "dict[str, Any]") -> None:
    """Replaces the state; a power cut leaves the old or the new one."""
    data = json.dumps(state).encode()
    with open(root + STATE_NEW, "wb") as file:
        file.write(b"%08x " % binascii.crc32(data))
        file.write(data)
    os.rename(root + STATE_NEW, root + STATE)


def verify(root: str, slot: str) -> str:
    """The version of a slot whose files are all what its manifest says; "" for any other."""
    folder = root + slot + "/"
    try:
        with open(folder + MANIFEST) as file:
            manifest = json.load(file)
        files = manifest["files"]
        for name in NEEDED:
            if name not in files:
                return ""
        buf = bytearray(512)
        for name in files:
            if digest(folder + name, buf) != files[name]:
                return ""
        return str(manifest["version"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return ""


def digest(path: str, buf: bytearray) -> str:
    """SHA-256 of a file in hex, read through buf."""
    total = hashlib.sha256()
    view = memoryview(buf)
    with open(path, "rb") as file:
        while True:
            n = file.readinto(buf)
            if not n:
                break
            total.update(view[:n])
    return binascii.hexlify(total.digest()).decode()


def other(slot: str) -> str:
    """The slot beside this one; a for none."""
    return "b" if slot == "a" else "a"


def choose(root: str, given_up: str = "") -> str:
    """The slot to run, "" if none is good. Pays a boot of a slot on trial, or ends its trial."""
    state = read_state(root)
    slot: str = state["try"]
    if slot:
        if state["left"] > 0 and slot not in given_up and verify(root, slot):
            state["left"] -= 1
            write_state(root, state)
            return slot
        state.update({"try": "", "left": 0, "bad": slot})
        write_state(root, state)
    for slot in (state["act"], other(state["act"]), "a"):
        if slot and slot not in given_up and verify(root, slot):
            return slot
    return ""


def pay_back(root: str) -> None:
    """Gives back the trial boot that choose() took."""
    state = read_state(root)
    if state["try"] and state["left"] < TRIAL_BOOTS:
        state["left"] += 1
        write_state(root, state)


def start(root: str) -> None:
    """Makes the chosen slot the current folder, its board.py imported and its watchdog running.

    With no good slot the current folder stays root, which has no main.py: the REPL opens, on a
    board whose transmitters nobody has switched on.
    """
    if exists(root + STATE_NEW):
        os.remove(root + STATE_NEW)  # left by a power cut
    has_slots = exists(root + "a") or exists(root + "b")
    if not has_slots and not exists(root + "board.py"):
        return
    given_up = ""
    known = list(sys.modules)
    while True:
        slot = ""
        if has_slots:
            slot = choose(root, given_up)
            if not slot:
                return
            sys.path.insert(0, root + slot)
        try:
            import board

            break
        except Exception:
            if not has_slots:
                raise
            given_up += slot
            sys.path.pop(0)
            for name in list(sys.modules):
                if name not in known:
                    del sys.modules[name]  # also what board.py has imported of that slot
    if has_slots:
        os.chdir(root + slot)
        is_free = board.maintenance() or board.boot_reason() == BY_POWER
        if is_free and read_state(root)["try"] == slot:
            pay_back(root)
    if board.maintenance():
        board.hold(DEADLINE_MS)
    elif has_slots:
        board.watchdog()


if __name__ == "__main__":
    import micropython

    micropython.kbd_intr(-1)  # Ctrl-C opens no door
    _root = os.getcwd()
    start(_root if _root.endswith("/") else _root + "/")
