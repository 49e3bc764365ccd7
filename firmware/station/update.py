"""Updates: empties a slot, and sets a written one on trial. Nothing in normal running imports it.

An update, from the maintenance REPL or any other hand:
    slot = update.prepare(root, files)     # empties the slot that is not needed, manifest first
    ...                                    # write what update.missing() names, manifest.json last
    update.install(root, slot)             # verifies it and sets it on trial, in one rename
`files` is what the manifest will say: {name: SHA-256 in hex}; what has that hash already stays.
A power cut at any write leaves a board that boots old or new (boot.py has the rules and the files).
`shorewatch flash` brings its own copy of this file and of boot.py, in memory.
"""

import os

import boot

STAGE = "new"  # a slot to be, on a flash whose application stands at the top
PART = ".part"  # a file to be


def find_root() -> str:
    """The folder of the slots, which ends in "/": the current one, or that above a slot."""
    folder: str = os.getcwd()
    if folder[-2:] in ("/a", "/b") and boot.exists(folder[:-1] + "boot.py"):
        folder = folder[:-2]
    return folder if folder.endswith("/") else folder + "/"


def prepare(root: str, files: "dict[str, str] | None" = None) -> str:
    """Empties the slot that no good boot needs and names it; the other is not touched."""
    if boot.exists(root + "board.py") and not (boot.exists(root + "a") or boot.exists(root + "b")):
        slot = STAGE  # with a slot in its place the application at the top would not run
    else:
        slot = _spare(root)
    folder = root + slot
    if boot.exists(folder + "/" + boot.MANIFEST):
        os.remove(folder + "/" + boot.MANIFEST)
    if boot.exists(folder):
        _empty(folder, "", files or {})
    else:
        os.mkdir(folder)
    return slot


def missing(root: str, slot: str, files: "dict[str, str]") -> "list[str]":
    """The files still to be written; what the other slot has is copied, folders are made."""
    buf = bytearray(512)
    names = []
    for name in files:
        path = root + slot + "/" + name
        _make_folders(root + slot, name)
        if _has(path, files[name], buf):
            continue
        spare = root + boot.other(slot) + "/" + name
        if _has(spare, files[name], buf):
            _copy(spare, path, buf)
            continue
        names.append(name)
    return names


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
    if slot == STAGE:
        boot.write_state(root, {"act": "a", "try": "", "left": 0, "bad": ""})
        os.rename(root + STAGE, root + "a")
        return version
    if told["act"]:
        told.update({"try": slot, "left": boot.TRIAL_BOOTS, "bad": ""})
    else:
        told["act"] = slot
    boot.write_state(root, told)
    return version


def replace(root: str, name: str, wanted: str) -> None:
    """Puts name.part in the place of a file, in one rename; ValueError if it is not whole."""
    if not _has(root + name + PART, wanted, bytearray(512)):
        raise ValueError(name + PART + " differs from what was sent")
    os.rename(root + name + PART, root + name)


def _spare(root: str) -> str:
    """The slot that no good boot needs; from here on it is neither on trial nor fallen back to."""
    told = boot.read_state(root)
    act = told["act"]
    if not (act and boot.verify(root, act)):
        spare = boot.other(act)
        act = spare if boot.verify(root, spare) else ""
    wanted = {"act": act, "try": "", "left": 0, "bad": ""}
    if told != wanted:
        boot.write_state(root, wanted)
    return boot.other(act)


def _has(path: str, wanted: str, buf: bytearray) -> bool:
    try:
        return boot.digest(path, buf) == wanted
    except OSError:
        return False


def _copy(source: str, path: str, buf: bytearray) -> None:
    view = memoryview(buf)
    with open(source, "rb") as old, open(path, "wb") as new:
        while True:
            n = old.readinto(buf)
            if not n:
                break
            new.write(view[:n])


def _make_folders(top: str, name: str) -> None:
    parts = name.split("/")
    for i in range(1, len(parts)):
        folder = top + "/" + "/".join(parts[:i])
        if not boot.exists(folder):
            os.mkdir(folder)


def _empty(top: str, inside: str, files: "dict[str, str]") -> None:
    """Removes all in top/inside but what `files` has with that hash."""
    buf = bytearray(512)
    for entry in os.listdir(top + inside):
        path = inside + "/" + entry
        if files.get(path[1:]) and _has(top + path, files[path[1:]], buf):
            continue
        try:
            os.remove(top + path)
        except OSError:
            _empty(top, path, files)
            if not os.listdir(top + path):
                os.rmdir(top + path)
