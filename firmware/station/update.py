"""Updates: empties a slot, and sets a written one on trial. Nothing in normal running imports it.

An update, from the maintenance REPL or any other hand:
    slot = update.prepare(root)     # empties the slot that is not needed, manifest first
    ...                             # write its files, its manifest.json last
    update.install(root, slot)      # verifies it and sets it on trial, in one rename
A power cut at any write leaves a board that boots old or new (boot.py has the rules and the files).
"""

import os

import boot


def prepare(root: str) -> str:
    """Empties the slot that no good boot needs and names it; the other is not touched."""
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
