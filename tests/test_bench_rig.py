"""bench/rig.py: a clock that steps and a disk that refuses, in a process of its own."""

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from shorewatch.bench import counting
from shorewatch.bench.layer import watching
from shorewatch.bench.power import HEAD, Disk, Step, parsed, sizes
from shorewatch.bench.rig import Levers, Refusal, Teller, stepped
from shorewatch.control import UnreachableError, ask
from shorewatch.errors import DemoError
from shorewatch.model import from_text


def test_a_clock_steps_when_it_is_told(tmp_path):
    """The time is the machine's plus what the levers say at that moment, either way."""
    at = datetime(2026, 6, 1, tzinfo=UTC)
    now = stepped(Levers(tmp_path / "levers"), lambda: at)
    hand = Levers(tmp_path / "levers")

    found = [now()]
    for step_s in (3600.5, -86_400.0, 0.0):
        hand.step_s = step_s
        found.append(now())
    assert [each - at for each in found] == [
        timedelta(seconds=step_s) for step_s in (0, 3600.5, -86_400, 0)
    ]


def test_all_of_a_gateway_runs_by_the_stepped_clock(tmp_path):
    """A gateway started under a step of a day says so itself."""
    path, state = tmp_path / "station.toml", tmp_path / "state"
    counting.write_station(path, first_port=1, devices=[0], tail="")
    Levers(tmp_path / "levers").step_s = 86_400
    command = ["-m", "shorewatch.bench.rig", str(tmp_path / "levers"), "-", "-", "run", str(path)]
    gateway = subprocess.Popen([sys.executable, *command, "--state-dir", str(state)])
    try:
        while (found := said_at(state)) is None:
            assert gateway.poll() is None, "the gateway ended"
    finally:
        gateway.kill()
        gateway.wait()

    assert timedelta(hours=23) < found - datetime.now(UTC) < timedelta(hours=25)


def said_at(state: Path) -> datetime | None:
    """The wall clock of the gateway there, if it answers."""
    try:
        return from_text(str(ask(state, {"do": "live"})["at"]))
    except UnreachableError:
        return None


def test_a_command_in_the_rig_is_the_command(tmp_path):
    """Words, output and exit code are those of `shorewatch` itself."""
    Levers(tmp_path / "levers").step_s = 5
    rig = [sys.executable, "-m", "shorewatch.bench.rig", str(tmp_path / "levers"), "-", "-"]
    station = str(tmp_path / "none.toml")
    done = subprocess.run([*rig, "check", station], capture_output=True, text=True, check=False)

    assert done.returncode == 78 and "none.toml" in done.stderr


@contextmanager
def database(tmp_path: Path, teller: Teller) -> Iterator[sqlite3.Connection]:
    """A database in a watched folder, with a table."""
    folder = tmp_path / "disk"
    folder.mkdir()
    try:
        with watching(folder, teller), closing(sqlite3.connect(folder / "a.sqlite")) as db:
            db.isolation_level = None
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("CREATE TABLE t (text TEXT)")
            yield db
    except DemoError as error:
        pytest.skip(str(error))


def read_steps(pipe: int) -> Iterator[Step]:
    """All steps until the pipe ends."""
    with os.fdopen(pipe, "rb") as file:
        while head := file.read(HEAD.size):
            name, data = sizes(head)
            yield parsed(head, file.read(name), file.read(data))


def test_each_step_on_the_disk_is_told(tmp_path):
    """From what is told the files can be made again as they are."""
    told, tells = os.pipe()
    with database(tmp_path, Teller(Levers(tmp_path / "levers"), tells)) as db:
        db.execute("INSERT INTO t VALUES ('x')")
        os.close(tells)
        disk = Disk(read_steps(told))
        files = {name: (tmp_path / "disk" / name).read_bytes() for name in disk.whole()}
        assert disk.whole() == files and len(files["a.sqlite-wal"]) > 0
        # The connection ends with a checkpoint, which is told, too.
        teller_end = os.open(os.devnull, os.O_WRONLY)
        os.dup2(teller_end, tells)
        os.close(teller_end)


@pytest.mark.parametrize(
    ("refusal", "code"),
    [
        (Refusal.GROWTH, sqlite3.SQLITE_FULL),
        (Refusal.WRITES, sqlite3.SQLITE_IOERR_WRITE),
    ],
)
def test_a_disk_refuses_what_it_is_told_to(tmp_path, refusal, code):
    """SQLite then has the error of a disk that is full or read-only, and none afterwards."""
    tells = os.open(os.devnull, os.O_WRONLY)
    levers = Levers(tmp_path / "levers")
    with database(tmp_path, Teller(levers, tells)) as db:
        levers.refusal = refusal
        with pytest.raises(sqlite3.OperationalError) as caught:
            db.execute("INSERT INTO t VALUES (?)", ("x" * 100_000,))
        levers.refusal = Refusal.NOTHING
        db.execute("INSERT INTO t VALUES ('y')")
        assert db.execute("SELECT text FROM t").fetchall() == [("y",)]
    os.close(tells)

    assert caught.value.sqlite_errorcode == code


def test_a_process_is_killed_at_the_step_that_was_said(tmp_path):
    """Of a gateway that is to live for three steps on its disk, three are told."""
    path, state = tmp_path / "station.toml", tmp_path / "state"
    state.mkdir()
    counting.write_station(path, first_port=1, devices=[0], tail="")
    Levers(tmp_path / "levers").steps_left = 4
    told, tells = os.pipe()
    command = ["-m", "shorewatch.bench.rig", str(tmp_path / "levers"), str(tells), str(state)]
    command += ["run", str(path), "--state-dir", str(state)]
    gateway = subprocess.Popen([sys.executable, *command], pass_fds=[tells])
    os.close(tells)
    steps = [step for step in read_steps(told) if step.do != "create" and "outbox" in step.name]

    assert gateway.wait() == -signal.SIGKILL
    assert len(steps) <= 3
