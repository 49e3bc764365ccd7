"""One station's gateway under `bench chaos`: a process, its disk, and what can be done to both.

The disk is a tmpfs where one can be mounted (room.py). Below SQLite each step is told (rig.py), so
that a power cut can take what was not synced (power.py). Each method leaves the gateway running, or
says by DemoError why it does not.

What it has said to be committed must be there as long as its database is: `broken` names what is
not. Also a database that was moved aside as damaged is one: nobody here damages any.
"""

import asyncio
import os
import random
import shutil
import signal
import sqlite3
import time
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from shorewatch.bench import layer
from shorewatch.bench.children import STOP_S_MAX, Children, looked
from shorewatch.bench.power import HEAD, Disk, parsed, settled, sizes
from shorewatch.bench.rig import Levers, Refusal
from shorewatch.bench.room import Room
from shorewatch.bench.witness import Life
from shorewatch.control import ControlError, ask
from shorewatch.errors import DemoError

OUTBOX_MB: Final = 8
CATCH_UP_S_MAX: Final = 120.0
STEPS_MAX: Final = 60  # a commit of records is about five
STEPS_STARTING_MAX: Final = 40  # to the end of the migration it is about 32
UNREACHABLE: Final = 2  # the exit code
FILES: Final = tuple(f"outbox.sqlite{end}" for end in ("", "-wal", "-journal"))
# The outbox's first schema, as it was released. It kept no facts.
_FIRST_SCHEMA: Final = """
    CREATE TABLE journal (one INTEGER PRIMARY KEY CHECK (one = 1), id TEXT NOT NULL,
                          last INTEGER NOT NULL);
    CREATE TABLE record (seq INTEGER PRIMARY KEY, kind TEXT NOT NULL, at_ms INTEGER NOT NULL,
                         body TEXT NOT NULL);
    CREATE INDEX sample ON record (seq) WHERE kind = 'sample';
    CREATE TABLE cursor (uplink TEXT PRIMARY KEY, seq INTEGER NOT NULL) WITHOUT ROWID;
    INSERT INTO journal SELECT one, id, last FROM new.journal;
    INSERT INTO record SELECT seq, kind, at_ms, body FROM new.record;
    INSERT INTO cursor SELECT uplink, seq FROM new.cursor;
"""


@dataclass(frozen=True, slots=True)
class Size:
    """What a process holds."""

    rss_mb: float
    files: int
    threads: int


class Victim:
    """A gateway; `folder` has its station file, `room` its state."""

    def __init__(self, children: Children, name: str, folder: Path, room: Room) -> None:
        self._children, self._folder, self._room = children, folder, room
        self._part = f"gateway {name}"
        self._disk = Disk()
        self._telling: asyncio.Task[None] | None = None
        self._started_ns = 0
        self._is_sick = False
        self._was_sick = False
        self._old = 0
        self._last: dict[str, int] = {}
        self._in_use = asyncio.Lock()
        self.levers = Levers(folder / "levers")
        self.lives: list[Life] = []
        self.broken: list[str] = []

    @property
    def why_not(self) -> str | None:
        """Why its disk cannot really be full or read-only; None: it can."""
        return self._room.why_not

    @property
    def databases(self) -> list[Path]:
        """All that it had."""
        found = [self._room.folder, *sorted(self._folder.glob("old-*"))]
        return [path for folder in found if (path := folder / "outbox.sqlite").exists()]

    async def start(self, *, steps: int = 0) -> None:
        """Start it; return at once. It is killed at that step on its disk, if it is not 0."""
        self._started_ns = time.monotonic_ns()
        self._was_sick = self._is_sick
        self._disk.see(self._files())
        self.levers.steps_left = steps
        told, tells = os.pipe()
        try:
            await self._children.start(
                self._part, "shorewatch.bench.rig", str(self._folder / "levers"),
                "{}" if layer.why_not() is None else "-",
                str(self._room.folder), "run", str(self._folder / "station.toml"),
                "--state-dir", str(self._room.folder), keep=[tells],
            )  # fmt: skip
        finally:
            os.close(tells)
        self._telling = asyncio.create_task(self._tell(told))

    async def stop(self) -> None:
        """SIGTERM; return when it has ended well."""
        await self._end(signal.SIGTERM)

    async def kill(self) -> None:
        """SIGKILL; return when it is gone. It may have ended at a step that was said to `start`."""
        await self._end(signal.SIGKILL)

    async def kill_while_stopping(self, after_s: float) -> None:
        """SIGTERM, then SIGKILL if it still runs."""
        self._children.signal(self._part, signal.SIGTERM)
        await asyncio.sleep(after_s)
        await self._end(signal.SIGKILL, is_ending=True)

    async def kill_in_migration(self, chance: random.Random) -> None:
        """Its database is one of the first schema; it is killed while it makes the present one."""
        await self.stop()
        async with self._in_use:  # a full disk would not take it
            await asyncio.to_thread(make_old, self._room.folder / "outbox.sqlite")
            self._disk = settled(self._files())
            await self.start(steps=chance.randint(1, STEPS_STARTING_MAX))
            await self._died(1.5)
            await self._end(signal.SIGKILL, is_ending=True)
        await self.start()

    async def cut_power(self, chance: random.Random) -> None:
        """It ends at some step on its disk, and with it what was not synced."""
        self.levers.steps_left = chance.randint(1, STEPS_MAX)
        await self._died(2)
        await self._end(signal.SIGKILL, is_ending=True)
        async with self._in_use:
            self._disk.see(self._files())
            left = self._disk.left(chance)
            for name in FILES:
                path = self._room.folder / name
                path.unlink(missing_ok=True)
                if name in left:
                    path.write_bytes(left[name])
            self._disk = settled(left)
        await self.start()

    async def take_outbox(self) -> None:
        """Its database is put aside: the next one is empty."""
        await self.stop()
        self._old += 1
        old = self._folder / f"old-{self._old}"
        old.mkdir()
        for name, data in self._files().items():
            (old / name).write_bytes(data)
            (self._room.folder / name).unlink()
        self._last.clear()
        self._disk = Disk()
        await self.start()

    async def fill_disk(self, for_s: float) -> None:
        """Not a byte is left on its disk, and what it gives back is taken, too."""
        async with self._in_use:
            self._is_sick = self._was_sick = True
            try:
                if self.why_not is not None:
                    self.levers.refusal = Refusal.GROWTH
                    await asyncio.sleep(for_s)
                    return
                deadline_s = time.monotonic() + for_s
                while time.monotonic() < deadline_s:
                    self._room.fill()
                    await asyncio.sleep(0.02)
            finally:
                self.levers.refusal = Refusal.NOTHING
                if self.why_not is None:
                    self._room.empty()
        await self._well()

    async def fail_disk(self, for_s: float) -> None:
        """Each write fails, as on a file system that the kernel has made read-only under way."""
        async with self._in_use:
            self._is_sick = self._was_sick = True
            self.levers.refusal = Refusal.WRITES
            await asyncio.sleep(for_s)
            self.levers.refusal = Refusal.NOTHING
        await self._well()

    async def start_read_only(self, chance: random.Random) -> None:
        """It starts on a file system that is read-only, and becomes writable while it runs."""
        await self._end(chance.choice((signal.SIGTERM, signal.SIGKILL)))
        async with self._in_use:
            self._is_sick = self._was_sick = True
            await self._room.set_writable(is_writable=False)
            await self.start()
            await asyncio.sleep(chance.uniform(0.3, 2))
            await self._room.set_writable(is_writable=True)
            await asyncio.sleep(chance.uniform(0, 0.5))
            # Where it found no place for its socket nobody can ask it whether it is well.
            await self.stop()
        await self.start()

    async def look(self) -> dict[str, Any]:
        """What the gateway says of itself, when it does. Nothing may be done to it meanwhile."""
        found = await looked(self._revived, STOP_S_MAX)
        if found is None:
            raise DemoError(f"the {self._part} is silent; see {self._children.log_path}")
        return found

    async def caught_up(self) -> None:
        """Return when all consumers have acknowledged what was recorded when this was called."""
        target = (await self.look())["outbox"]
        deadline_s = time.monotonic() + CATCH_UP_S_MAX
        while (found := (await self.look())["uplinks"]["noc"])["acknowledged"] < target["last"]:
            if time.monotonic() > deadline_s:
                where = f"{found['acknowledged']} of {target['last']}: {found['text']}"
                text = f"the consumers of the {self._part} do not catch up ({where})"
                raise DemoError(f"{text}; see {self._children.log_path}")
            await asyncio.sleep(0.1)

    def size(self) -> Size:
        """What the gateway holds now."""
        folder = Path(f"/proc/{self._children[self._part].pid}")
        status = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines())
        rss_mb = int(status["VmRSS"].split()[0]) / 1024
        return Size(rss_mb, len(list((folder / "fd").iterdir())), int(status["Threads"]))

    async def _revived(self) -> dict[str, Any] | None:
        """Start it again, as systemd does, if its disk was sick and it could not read its database.

        Such a gateway ends when it finds another journal than it has told of.
        """
        if self._was_sick and self._children[self._part].returncode == UNREACHABLE:
            await self._end(signal.SIGKILL)
            await self.start()
        return await self._ask()

    async def _ask(self) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = await asyncio.to_thread(ask, self._room.folder, {"do": "live"})
        except ControlError:
            return None
        outbox = found["outbox"]
        # What cannot be written may not be read in whole either.
        if outbox["health"] is None:
            self.compare(outbox["journal"], outbox["last"])
            self._is_sick = self._in_use.locked()
        return found

    def compare(self, journal: str, last: int) -> None:
        """The gateway says that it has so many records committed."""
        told = self._last.get(journal, 0)
        if last < told:
            text = f"the {self._part} had committed {told} records of journal {journal[:8]}"
            self.broken.append(f"{text}, and has {last}")
        self._last = {journal: last}

    async def _well(self) -> None:
        """Return when records are written again."""
        if await looked(self._written, STOP_S_MAX) is None:
            raise DemoError(f"the {self._part} stays sick; see {self._children.log_path}")

    async def _written(self) -> bool | None:
        found = await self._ask()
        return True if found is not None and found["outbox"]["health"] is None else None

    async def _died(self, within_s: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._children[self._part].wait(), within_s)

    async def _end(self, signum: int, *, is_ending: bool = False) -> None:
        code = await self._children.end(
            self._part, signum,
            is_ending=is_ending or self._was_sick,
            well=(0, UNREACHABLE) if self._was_sick else (0,),
        )  # fmt: skip
        self.lives.append(Life(self._started_ns, time.monotonic_ns(), code != 0 or self._is_sick))
        assert self._telling is not None, "it was started"
        await self._telling
        self.levers.steps_left = 0
        for path in self._room.folder.glob("*.aside-*"):
            self.broken.append(f"the {self._part} moved a database aside as damaged: {path.name}")
            await asyncio.to_thread(shutil.move, path, self._folder / path.name)

    async def _tell(self, pipe: int) -> None:
        """Take each step into the disk until the process ends; what a kill cut off is no step."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=1 << 20)
        transport, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(pipe, "rb", 0)
        )
        with closing(transport):
            while True:
                try:
                    head = await reader.readexactly(HEAD.size)
                    name_bytes, data_bytes = sizes(head)
                    name = await reader.readexactly(name_bytes)
                    data = await reader.readexactly(data_bytes)
                except asyncio.IncompleteReadError:
                    return
                self._disk.take(parsed(head, name, data))

    def _files(self) -> dict[str, bytes]:
        paths = [self._room.folder / name for name in FILES]
        return {path.name: path.read_bytes() for path in paths if path.exists()}


def make_old(path: Path) -> None:
    """Make an outbox that nobody has open one of the first schema, with the same records.

    One that its gateway had no disk to make stays as it is.
    """
    old = path.with_name("first-schema")
    with closing(sqlite3.connect(path)) as db:
        if not db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
            return
        application = db.execute("PRAGMA application_id").fetchone()[0]
    with closing(sqlite3.connect(old)) as db:
        db.execute("PRAGMA auto_vacuum = INCREMENTAL")
        db.execute("ATTACH ? AS new", (str(path),))
        db.executescript(_FIRST_SCHEMA)
        db.execute(f"PRAGMA application_id = {application}")
        db.execute("PRAGMA user_version = 1")
    for name in FILES:
        path.with_name(name).unlink(missing_ok=True)
    old.rename(path)
