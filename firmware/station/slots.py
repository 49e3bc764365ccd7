"""Updates: empties a slot, sets a written one on trial, confirms the running one.

An update, from the maintenance REPL or any other hand:
    slot = slots.prepare(root)      # empties the slot that is not needed, manifest first
    ...                             # write its files, its manifest.json last
    slots.install(root, slot)       # verifies it and sets it on trial, in one rename
A power cut at any write leaves a board that boots old or new (boot.py has the rules and the files).
confirm() is for the running application: on trial it waits until a gateway has read the image's
header and 10 s more have been healthy, then writes once, in a gap of all buses.
boot.py is imported where it is used: a flash without slots needs none.
"""

import os
import sys

NO_SLOT = 0
CONFIRMED = 1
ON_TRIAL = 2


class Trial:
    """Which slot runs, and what is to be done about it."""

    def __init__(self, root: str) -> None:
        """Root ends in "/"; the running slot is the one that boot.py has put on the path."""
        self.root = root
        self.slot = ""
        for name in ("a", "b"):
            if sys.path and sys.path[0] == root + name:
                self.slot = name
        self.state = NO_SLOT
        self.is_fallback = False
        if self.slot:
            import boot

            told = boot.read_state(root)
            self.state = ON_TRIAL if told["try"] == self.slot else CONFIRMED
            runs_other = self.state == CONFIRMED and told["act"] not in ("", self.slot)
            self.is_fallback = bool(told["bad"]) or runs_other
            sys.modules.pop("boot", None)  # 4 kB that a running board does not need

    def confirm(self) -> None:
        """Ends the trial well: from now on this slot is the one to boot."""
        import boot

        told = boot.read_state(self.root)
        if told["try"] == self.slot:
            told.update({"act": self.slot, "try": "", "left": 0, "bad": ""})
            boot.write_state(self.root, told)
        self.state = CONFIRMED


def prepare(root: str) -> str:
    """Empties the slot that no good boot needs and names it; the other is not touched."""
    import boot

    told = boot.read_state(root)
    act = told["act"]
    if not (act and boot.verify(root, act)):
        spare = boot.other(act)
        act = spare if boot.verify(root, spare) else ""
    wanted = {"act": act, "try": "", "left": 0, "bad": ""}
    if told != wanted:
        boot.write_state(root, wanted)
    slot = boot.other(act)
    folder = root + slot
    if boot.exists(folder + "/" + boot.MANIFEST):
        os.remove(folder + "/" + boot.MANIFEST)
    if boot.exists(folder):
        _empty(folder)
    else:
        os.mkdir(folder)
    return slot


def install(root: str, slot: str) -> str:
    """Sets a written slot on trial and returns its version; ValueError if it is not whole.

    The first slot of a board is confirmed at once: there is nothing to fall back to.
    """
    import boot

    version = boot.verify(root, slot)
    if not version:
        raise ValueError("slot " + slot + " differs from its manifest")
    told = boot.read_state(root)
    if told["act"] == slot:
        raise ValueError("slot " + slot + " is the one to fall back to")
    if told["act"]:
        told.update({"try": slot, "left": boot.TRIAL_BOOTS, "bad": ""})
    else:
        told["act"] = slot
    boot.write_state(root, told)
    return version


def _empty(folder: str) -> None:
    for name in os.listdir(folder):
        path = folder + "/" + name
        try:
            os.remove(path)
        except OSError:
            _empty(path)
            os.rmdir(path)
