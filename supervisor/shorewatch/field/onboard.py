"""The programs that run on a board while it is flashed, in MicroPython; what `LOOK` tells. Pure.

`bring` puts boot.py and update.py of our own firmware into the board's memory, so that a board of
any age, or with nothing on it, is looked at and written by the same rules. What it defines stays
until the board restarts: the other programs use it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_BRING = """
import sys
def bring(name, text):
    class Box: pass
    box = Box()
    space = {"__name__": name}
    exec(text, space)
    for key in space:
        setattr(box, key, space[key])
    sys.modules[name] = box
    return box
"""

LOOK = """
import binascii, gc, os
root = update.find_root()
buf = bytearray(512)
def digest(name):
    try:
        return boot.digest(root + name, buf)
    except OSError:
        return None
def text(name):
    try:
        with open(root + name) as file:
            return file.read(4096)
    except (OSError, ValueError):
        return None
def crc(name):
    try:
        with open(root + name, "rb") as file:
            return binascii.hexlify(file.read()[-4:]).decode()
    except OSError:
        return None
try:
    import machine
    uid = binascii.hexlify(machine.unique_id()).decode()
except (ImportError, AttributeError):
    uid = (os.getenv("SHOREWATCH_UID") or "").lower()
i = sys.implementation
v = os.statvfs(root)
answer({
    "unique_id": uid, "platform": sys.platform, "version": list(i.version)[:3],
    "machine": getattr(i, "_machine", ""), "build": getattr(i, "_build", ""),
    "mpy": getattr(i, "_mpy", 0) & 255, "block_bytes": v[0], "free_bytes": v[0] * v[3],
    "state": boot.read_state(root), "boot": digest("boot.py"),
    "slots": {s: [boot.verify(root, s), digest(s + "/manifest.json")] for s in boot.SLOTS},
    "board_json": text("board.json"), "plan_crc": crc("plan.bin"), "plan": digest("plan.bin"),
    "is_flat": boot.exists(root + "board.py"), "crash": text("crash.txt"),
})
"""

PREPARE = """
files = {files!r}
slot = update.prepare(root, files)
v = os.statvfs(root)
names = update.missing(root, slot, files)
v = os.statvfs(root)
answer({{"slot": slot, "root": root, "missing": names, "free_bytes": v[0] * v[3]}})
"""

# What is begun anew: parts of files that a killed tool has left.
CLEAR = """
for name in os.listdir(root):
    if name.endswith(update.PART):
        os.remove(root + name)
"""

REPLACE = "update.replace(root, {name!r}, {digest!r})\n"

INSTALL = "version = update.install(root, {slot!r})\n"

FORGET_CRASH = """
if boot.exists(root + "crash.txt"):
    os.remove(root + "crash.txt")
"""

# What the REPL has said must have left before: who asked waits for its word.
RESTART = """
import os, sys, time
cwd = os.getcwd()
top = cwd if cwd.endswith("/") else cwd + "/"
for name in ("a", "b"):
    sys.path.append(top + name)
try:
    import board
    reset = board.reset
except Exception:
    import machine
    reset = machine.reset
time.sleep_ms(200)
reset()
"""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a board at its REPL is, and what it carries."""

    unique_id: str
    platform: str
    version: tuple[int, int, int]
    machine: str
    build: str
    mpy: int
    block_bytes: int
    free_bytes: int
    state: Mapping[str, Any]
    boot: str | None  # SHA-256 of boot.py
    slots: Mapping[str, tuple[str, str | None]]  # version ("": not whole) and SHA-256 of manifest
    board_json: str | None
    plan_crc: str | None
    plan: str | None
    is_flat: bool  # an application without slots
    crash: str | None

    @property
    def micropython(self) -> str:
        """Its version as people write it."""
        return ".".join(map(str, self.version))

    @property
    def running(self) -> str:
        """The slot that a normal boot takes, "" for none."""
        for slot in (self.state.get("act", ""), "a", "b"):
            if slot and self.slots.get(slot, ("", None))[0]:
                return str(slot)
        return ""


def bring(installer: tuple[str, str]) -> str:
    """The program that makes `boot` and `update` of our firmware known on the board."""
    boot, update = installer
    return f"{_BRING}boot = bring('boot', {boot!r})\nupdate = bring('update', {update!r})\n"


def parse_facts(answer: Mapping[str, Any]) -> Facts:
    """What `LOOK` has answered."""
    told = dict(answer)
    major, minor, micro = told.pop("version")
    slots = {name: (row[0], row[1]) for name, row in told.pop("slots").items()}
    return Facts(version=(major, minor, micro), slots=slots, **told)
