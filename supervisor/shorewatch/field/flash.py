"""From whatever state a board is in to verified firmware, its role and its plan: one board.

    ask       over Modbus: a board that has all of it already is left as it is
    open      the port locked and borrowed, the board at its REPL (door.py)
    look      what it is and carries; may it have this (fitting.py)?
    write     into the slot that no good boot needs: only what is not there, the manifest last;
              board.json, plan.bin and boot.py beside it, each in one rename
    restart   on trial; identity and header read over Modbus; the board confirms by itself

Until `install` has renamed the state file the board boots what it booted before; after it, boot.py
has the word. So a tool that is killed at any moment leaves a board that runs, or, if it had nothing
that runs, one at its REPL; the next run begins anew and sends only what is missing.
"""

import ipaddress
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shorewatch.config import BoardFile
from shorewatch.decode import Header
from shorewatch.errors import FieldError, UsageError
from shorewatch.field import onboard
from shorewatch.field.door import Say, close_door, lent, open_door, wait_board
from shorewatch.field.fitting import Role, faults, lack_of_room, questions, types_of, unit_id_of
from shorewatch.field.onboard import Facts
from shorewatch.field.package import BOOT, MANIFEST, Catalogue, Package, digest
from shorewatch.field.port import Attached, locked, opened
from shorewatch.field.repl import Repl
from shorewatch.field.talk import Found, ask_who, read_words
from shorewatch.plan import compile_board

CONFIRM_S_MAX = 60.0
_LOOK_S = 0.5
_CRASH, _CRASH_SIZE = 0x0A00, 32
_FALLBACK, _PLAN_REFUSED, _CRASH_STORED, _SAFE = 32, 2, 4, 8  # health bits
_PART = ".part"

Ask = Callable[[list[str]], bool]
Step = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Wish:
    """What is wanted of one board."""

    type: str | None = None  # None: as the board says
    role: Role | None = None
    tcp: Mapping[str, Any] | None = None
    has_firmware: bool = True  # False: settings and plan only
    state_dir: Path | None = None
    unit_id: int | None = None  # None: that of the role, or 1
    by: str = ""
    again: bool = False  # write the firmware also where the board has it


@dataclass(frozen=True, slots=True)
class Talk:
    """How the tool speaks with the person beside the board."""

    say: Say = lambda _: None
    step: Step = lambda *_: None
    ask: Ask = lambda _: False


@dataclass(slots=True)
class Account:
    """What was found and done, as the record has it; filled as it goes."""

    result: str = "failed"
    facts: dict[str, object] = field(default_factory=dict)


def flash(port: Attached, wish: Wish, catalogue: Catalogue, talk: Talk, account: Account) -> Found:
    """Do all of it; gives what answers in the end. Raises FieldError with what to check next."""
    with (
        locked(port.path) as lock_fd,
        lent(port.path, wish.state_dir, by=wish.by, reason="flash", say=talk.say),
    ):
        return _Flashing(port, wish, catalogue, talk, account, lock_fd).run()


class _Flashing:
    """One board under work."""

    def __init__(
        self,
        port: Attached,
        wish: Wish,
        catalogue: Catalogue,
        talk: Talk,
        account: Account,
        lock_fd: int,
    ) -> None:
        self._port = port
        self._wish = wish
        self._catalogue = catalogue
        self._types = catalogue.types
        self._talk = talk
        self._account = account
        self._lock_fd = lock_fd
        role = wish.role
        known = role.station.boards[role.board_id].link.unit_id if role else 1
        self._unit_id = wish.unit_id or known
        self._type = wish.type or (role.station.boards[role.board_id].type if role else None)

    def run(self) -> Found:
        done = self._already()
        if done is not None:
            return done
        self._port, before = open_door(
            self._port, self._types, self._talk.say, unit_id=self._unit_id, wanted=self._type
        )
        note = self._account.facts
        note["firmware_before"] = before.identity.version if before.identity else None
        repl = Repl(self._port.path, lock_fd=self._lock_fd)
        with self._left_running(repl):
            facts = self._look(repl, before)
            kind, package = self._fitting(facts, before)
            is_new = self._write(repl, facts, package) if self._wish.has_firmware else False
            changed = self._settle(repl, facts, package, is_new)
        if self._wish.role is None:
            self._unit_id = unit_id_of(facts.board_json)
        found = self._judged(kind, package, is_new)
        self._account.result = "flashed" if is_new or changed else "already there"
        return found

    def _already(self) -> Found | None:
        """The board as it answers, if it runs well and has all that it shall have."""
        if self._wish.again or self._wish.tcp is not None:
            return None
        with opened(self._port.path) as line:
            found = ask_who(line, unit_id=self._unit_id, may_interrupt=True)
        identity, header, role = found.identity, found.header, self._wish.role
        if identity is None or header is None or found.is_on_trial:
            return None
        kind = self._types.get(identity.type)
        if kind is None or self._type not in (None, kind.name):
            return None
        package = self._catalogue.build(kind.name)
        wanted_crc = None
        if role is not None:
            plan = compile_board(role.station, role.board_id)
            wanted_crc = f"{plan.crc:08x}"
            is_named = role.station.boards[role.board_id].unique_id == identity.unique_id
            if identity.role != role.name or header.plan_crc != plan.crc or not is_named:
                return None
        if self._wish.has_firmware and identity.content != package.content:
            return None
        self._account.facts |= {
            "unique_id": identity.unique_id,
            "type": kind.name,
            "firmware": identity.version,
            "firmware_before": identity.version,
            "role": identity.role,
            "plan_crc": wanted_crc,
        }
        if list(self._ill(found, kind, package, is_new=False)):
            return None
        self._account.result = "already there"
        return found

    @contextmanager
    def _left_running(self, repl: Repl) -> Iterator[None]:
        """Restart the board at the end, also if something was refused."""
        try:
            yield
        except BaseException:
            # It is said why; a board that has gone cannot be restarted as well.
            with suppress(FieldError):
                close_door(self._port, lock_fd=self._lock_fd)
            raise
        self._talk.say("restarting the board")
        close_door(self._port, lock_fd=self._lock_fd)

    def _look(self, repl: Repl, before: Found) -> Facts:
        self._talk.say("looking at what the board is and has")
        # Any type's package has the same boot.py and update.py.
        installer = self._catalogue.installer
        facts = onboard.parse_facts(repl.run(onboard.bring(installer) + onboard.LOOK))
        self._account.facts |= {
            "unique_id": facts.unique_id,
            "machine": facts.machine,
            "micropython": facts.micropython,
            "plan_crc_before": facts.plan_crc,
        }
        return facts

    def _fitting(self, facts: Facts, before: Found) -> tuple[BoardFile, Package]:
        """The board's type and what it shall have; raises FieldError for what it must not."""
        kind = self._kind(facts, before)
        package = self._catalogue.build(kind.name)
        self._account.facts |= {"type": kind.name, "firmware": package.version}
        found = list(faults(facts, kind, package.mpy))
        if not self._wish.has_firmware and not (facts.running or facts.is_flat):
            found.append("it has no firmware to follow a plan: flash it first")
        if found:
            text = "\n".join(f"{self._port.path}: {fault}" for fault in found)
            raise FieldError(text)
        asked = list(questions(facts, self._wish.role))
        if asked and not self._talk.ask(asked):
            text = "; ".join(asked)
            raise FieldError(f"{self._port.path}: nothing was written: {text}; --yes overrules")
        return kind, package

    def _kind(self, facts: Facts, before: Found) -> BoardFile:
        says = before.identity.type if before.identity else None
        able = types_of(facts.machine, self._types)
        name = self._type or (says if says in able else None) or (able[0] if len(able) == 1 else "")
        if name not in self._types:
            known = ", ".join(self._types)
            has = facts.machine or facts.platform
            text = f"{self._port.path}: its MicroPython is of {has}, which is no board type of ours"
            raise FieldError(f"{text}; say which it is with --board ({known})")
        return self._types[name]

    def _write(self, repl: Repl, facts: Facts, package: Package) -> bool:
        """Fill a slot; whether there is one to install."""
        running = facts.slots.get(facts.running, ("", None))
        if running[1] == digest(package.manifest) and not self._wish.again:
            self._talk.say(f"firmware {package.version} is there already")
            return False
        found = repl.run(onboard.PREPARE.format(files=package.hashes))
        slot, root, missing = found["slot"], found["root"], found["missing"]
        sizes = [len(package.files[name]) for name in missing]
        lack = lack_of_room(found["free_bytes"], facts.block_bytes, sizes)
        if lack is not None:
            raise FieldError(f"{self._port.path}: {lack}")
        self._account.facts["files_sent"] = len(missing)
        self._account.facts["files"] = dict(package.hashes)
        files = {name: package.files[name] for name in missing} | {MANIFEST: package.manifest}
        self._copy(repl, files, f"{root}{slot}/")
        self._slot, self._root = slot, root
        return True

    def _copy(self, repl: Repl, files: Mapping[str, bytes], target: str) -> None:
        with tempfile.TemporaryDirectory() as name:
            folder, total = Path(name), len(files)
            for file, data in files.items():
                (folder / file).parent.mkdir(parents=True, exist_ok=True)
                (folder / file).write_bytes(data)
            done: list[str] = []

            def note(path: str) -> None:
                done.append(path)
                self._talk.step(Path(path).relative_to(folder).as_posix(), len(done), total)

            repl.copy(folder, {file: target + file for file in files}, note)

    def _settle(self, repl: Repl, facts: Facts, package: Package, is_new: bool) -> bool:
        """What stands beside the slots, then the slot itself; whether anything has changed."""
        files: dict[str, bytes] = {}
        role = self._wish.role
        if role is not None:
            plan = compile_board(role.station, role.board_id)
            if facts.plan != digest(plan.data):
                files["plan.bin"] = plan.data
            settings = role.settings(facts.board_json, self._wish.tcp)
            if facts.board_json != settings:
                files["board.json"] = settings.encode()
            self._account.facts |= {"role": role.name, "plan_crc": f"{plan.crc:08x}"}
        if self._wish.has_firmware and facts.boot != digest(package.boot):
            files[BOOT] = package.boot
        if not files and not is_new:
            return False
        program = [onboard.CLEAR]
        if files:
            repl.run(onboard.CLEAR)
            root = str(repl.run("answer(root)"))
            parts = {name + _PART: data for name, data in files.items()}
            self._copy(repl, parts, root)
            program = [
                onboard.REPLACE.format(name=name, digest=digest(data))
                for name, data in files.items()
                if name != BOOT
            ]
        if is_new:
            program += [onboard.INSTALL.format(slot=self._slot), onboard.FORGET_CRASH]
        if BOOT in files:  # last: before it, a board that had none stays at its REPL
            program.append(onboard.REPLACE.format(name=BOOT, digest=digest(package.boot)))
        repl.run("".join(program))
        return True

    def _judged(self, kind: BoardFile, package: Package, is_new: bool) -> Found:
        """Read the board over Modbus until its trial is over; raises FieldError if it went ill."""
        self._talk.say("waiting for the application")
        self._port, found = wait_board(self._port, kind, self._talk.say, unit_id=self._unit_id)
        if found.is_on_trial:
            self._talk.say("it runs on trial; it confirms itself after 10 s that went well")
        end_s = time.monotonic() + CONFIRM_S_MAX
        while found.is_on_trial and time.monotonic() < end_s:
            time.sleep(_LOOK_S)
            self._port, found = wait_board(self._port, kind, self._talk.say, unit_id=self._unit_id)
        identity, header = found.identity, found.header
        assert identity is not None and header is not None, "our firmware has answered"
        self._account.facts |= {
            "firmware_running": identity.version,
            "slot": found.slot,
            "health": header.health,
            "heap_free_bytes": header.heap_free,
            "plan_crc_running": f"{header.plan_crc:08x}",
        }
        bad = list(self._ill(found, kind, package, is_new=is_new))
        if bad:
            text = "; ".join(bad)
            raise FieldError(f"{self._port.path}: the board runs, but {text}{self._crash(header)}")
        return found

    def _ill(
        self, found: Found, kind: BoardFile, package: Package, *, is_new: bool
    ) -> Iterator[str]:
        identity, header = found.identity, found.header
        assert identity is not None and header is not None, "our firmware has answered"
        if is_new and header.health & _FALLBACK:
            yield (
                "the new firmware did not come through its trial, the one before runs again; "
                "flash it again, and if it fails again keep the old one"
            )
        elif found.is_on_trial:
            yield "it is still on trial; wait a minute and look with `shorewatch boards`"
        elif self._wish.has_firmware and identity.version != package.version:
            yield f"it has firmware {identity.version}, not {package.version}; flash it again"
        if self._wish.has_firmware and identity.type != kind.name:
            yield f"it calls itself {identity.type}, not {kind.name}; flash it again"
        wanted = self._account.facts.get("plan_crc")
        if header.health & _SAFE:
            bridge = f"take the bridge from {kind.strap_bridge} away"
            yield f"in safe mode: {bridge}, then {kind.restart}"
        elif header.health & _PLAN_REFUSED:
            yield "it refuses its plan; look at it with `shorewatch plan show`"
        elif wanted is not None and f"{header.plan_crc:08x}" != wanted:
            yield f"its plan is {header.plan_crc:08x}, not {wanted}; push the plan again"
        if header.heap_free < kind.heap_floor_kb * 1024:
            floor = f"less than the {kind.heap_floor_kb} kB that a {kind.name} has to have"
            yield f"it has {header.heap_free // 1024} kB of heap free, {floor}"

    def _crash(self, header: Header) -> str:
        """The text of its last crash, as an addition."""
        if not header.health & _CRASH_STORED:
            return ""
        with suppress(FieldError), opened(self._port.path) as line:
            words = read_words(line, self._unit_id, _CRASH, _CRASH_SIZE)
            text = b"".join(word.to_bytes(2) for word in words).decode("utf-8", "replace")
            return f"; its last crash: {' '.join(text.strip(chr(0)).split())}"
        return ""


def parse_tcp(text: str, gateway: str | None) -> dict[str, Any]:
    """`192.0.2.21/24` and a gateway as board.json has them; raises UsageError."""
    try:
        found = ipaddress.IPv4Interface(text)
        through = ipaddress.IPv4Address(gateway) if gateway else None
    except ValueError as error:
        what = f"--tcp {text} --tcp-gateway {gateway}: {error}"
        raise UsageError(f"{what}; they look like 192.0.2.21/24 and 192.0.2.1") from error
    return {
        "address": str(found.ip),
        "netmask": str(found.netmask),
        "gateway": str(through or "0.0.0.0"),
        "port": 502,
    }
