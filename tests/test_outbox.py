"""outbox.py: durable before seen, numbered once, evicted in order, never silent about a loss."""

import asyncio
import json
import os
import random
import re
import resource
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from small_disk import small_disk

from shorewatch import outbox as outbox_module
from shorewatch import store
from shorewatch.bench.room import mounted
from shorewatch.errors import OutboxError
from shorewatch.outbox import BODY_BYTES_MAX, SIZE_BYTES_MIN, Outbox, Record

AT = datetime(2026, 11, 22, 16, 44, 0, 123000, tzinfo=UTC)
SIZE = 4_000_000

# Writes records until killed; says on stdout which sequence is committed, and re-reads the last.
WRITER = """
import asyncio, sys
from pathlib import Path
from shorewatch.model import utc_now
from shorewatch.outbox import Outbox

async def main():
    async with Outbox.opened(Path(sys.argv[1]), size_bytes_max=int(sys.argv[2])) as outbox:
        if len(sys.argv) > 3:
            outbox.cursor(sys.argv[3])
        print("open", outbox.journal, outbox.last, flush=True)
        i = 0
        while True:
            for _ in range(1 + i % 37):
                await outbox.put("event", utc_now(), {"number": i, "text": "x" * 300})
                i += 1
            await outbox.wait_beyond(outbox.last)
            print(outbox.last, flush=True)

asyncio.run(main())
"""


async def fill(outbox: Outbox, kind: str, count: int, size: int = 100) -> None:
    """Commit `count` records of about `size` bytes each."""
    target = outbox.last + count
    for _ in range(count):
        await outbox.put(kind, AT, {"text": "x" * size})
    await outbox.wait_beyond(target - 1)


async def read_all(outbox: Outbox) -> list[Record]:
    records: list[Record] = []
    while more := await outbox.read(records[-1].seq if records else 0, 1000):
        records += more
    return records


@contextmanager
def files_limited_to(size: int) -> Iterator[None]:
    """No file of this process may grow beyond `size` bytes: any user's full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def until_sick(outbox: Outbox) -> str:
    async with asyncio.timeout(20):
        while outbox.health is None:
            await asyncio.sleep(0.01)
    return outbox.health


async def test_a_record_comes_back_as_it_was_put(tmp_path: Path) -> None:
    """Kind, time (in milliseconds), body and number survive a restart."""
    body = {"device": "pfe", "points": {"current": 1.002, "on": True, "name": "Sumqayıt ⚡"}}
    async with Outbox.opened(tmp_path / "o.sqlite", size_bytes_max=SIZE) as outbox:
        journal = outbox.journal
        await outbox.put("sample", AT, body)
    async with Outbox.opened(tmp_path / "o.sqlite", size_bytes_max=SIZE) as outbox:
        assert await outbox.read(0, 10) == [Record(1, "sample", AT, body)]
        assert (outbox.journal, outbox.first, outbox.last) == (journal, 1, 1)


async def test_a_new_database_has_a_new_journal(tmp_path: Path) -> None:
    """Two databases never share a journal identity, which is 32 hex digits."""
    async with (
        Outbox.opened(tmp_path / "a.sqlite", size_bytes_max=SIZE) as a,
        Outbox.opened(tmp_path / "b.sqlite", size_bytes_max=SIZE) as b,
    ):
        assert a.journal != b.journal
        assert len(bytes.fromhex(a.journal)) == 16


async def test_nothing_is_read_before_it_is_committed(tmp_path: Path) -> None:
    """A record put but not committed is invisible, also to `last`."""
    async with Outbox.opened(tmp_path / "o.sqlite", size_bytes_max=SIZE) as outbox:
        await outbox.put("note", AT, {})
        assert (outbox.last, outbox.queued) == (0, 1)
        await outbox.wait_beyond(0)
        assert (outbox.last, outbox.queued, outbox.written) == (1, 0, 1)


async def test_leaving_flushes_what_is_queued(tmp_path: Path) -> None:
    """An orderly end commits every record that was put."""
    async with Outbox.opened(tmp_path / "o.sqlite", size_bytes_max=SIZE) as outbox:
        for number in range(2500):
            await outbox.put("event", AT, {"number": number})
    async with Outbox.opened(tmp_path / "o.sqlite", size_bytes_max=SIZE) as outbox:
        records = await read_all(outbox)
    assert [r.seq for r in records] == list(range(1, 2501))
    assert [r.body["number"] for r in records] == list(range(2500))


async def test_reading_starts_after_a_sequence_and_stops_at_a_count(tmp_path: Path) -> None:
    """`read(after, count)` gives the records after `after`, ascending, at most `count`."""
    async with Outbox.opened(tmp_path / "o.sqlite", size_bytes_max=SIZE) as outbox:
        await fill(outbox, "event", 20)
        assert [r.seq for r in await outbox.read(5, 4)] == [6, 7, 8, 9]
        assert await outbox.read(20, 4) == []


async def test_reading_large_records_is_bounded_in_bytes(tmp_path: Path) -> None:
    """Fewer records than asked for come when they are large, but always at least one."""
    async with Outbox.opened(tmp_path / "o.sqlite", size_bytes_max=20_000_000) as outbox:
        await fill(outbox, "note", 40, BODY_BYTES_MAX - 100)
        got = await outbox.read(0, 40)
    assert 1 <= len(got) <= outbox_module.READ_BYTES_MAX // (BODY_BYTES_MAX - 100)


async def test_the_cursor_is_durable_and_never_goes_back(tmp_path: Path) -> None:
    """A cursor survives a restart, belongs to one uplink, and only grows."""
    async with Outbox.opened(tmp_path / "o.sqlite", size_bytes_max=SIZE) as outbox:
        await fill(outbox, "event", 10)
        assert outbox.cursor("noc") == 0
        await outbox.acknowledge("noc", 7)
        await outbox.acknowledge("noc", 3)
        assert outbox.cursor("noc") == 7
        assert outbox.cursor("other") == 0
    async with Outbox.opened(tmp_path / "o.sqlite", size_bytes_max=SIZE) as outbox:
        assert (outbox.cursor("noc"), outbox.cursor("other")) == (7, 0)


@pytest.mark.parametrize("round_", range(6))
def test_kill_9_loses_nothing_that_was_reported(tmp_path: Path, round_: int) -> None:
    """After SIGKILL at any time every reported record is there, in order, under its number."""
    path = tmp_path / "o.sqlite"
    reported, journal = 0, ""
    for generation in range(3):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), str(SIZE)], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            word, identity, last = process.stdout.readline().split()
            assert word == "open"
            assert journal in ("", identity)
            assert int(last) >= reported
            journal = identity
            for _ in range(1 + 3 * round_ + generation):
                reported = int(process.stdout.readline())
            os.kill(process.pid, signal.SIGKILL)
            for line in process.stdout:
                reported = int(line) if line.endswith("\n") else reported
    with sqlite3.connect(path) as db:
        seqs = [row[0] for row in db.execute("SELECT seq FROM record ORDER BY seq")]
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        (last_used,) = db.execute("SELECT last FROM journal").fetchone()
    db.close()
    assert seqs == list(range(1, len(seqs) + 1))
    assert reported <= len(seqs) == last_used


def test_kill_9_while_evicting_leaves_every_number_kept_or_named_as_lost(tmp_path: Path) -> None:
    """After SIGKILL in the middle of evictions, what is gone stands in a loss record."""
    path = tmp_path / "o.sqlite"
    for count in (60, 150, 250):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), str(SIZE_BYTES_MIN), "noc"],
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            for _ in range(count):
                process.stdout.readline()
            os.kill(process.pid, signal.SIGKILL)
    with sqlite3.connect(path) as db:
        kept = {row[0] for row in db.execute("SELECT seq FROM record")}
        losses = [json.loads(r[0]) for r in db.execute("SELECT body FROM record WHERE kind='loss'")]
        (last,) = db.execute("SELECT last FROM journal").fetchone()
    db.close()
    lost = {seq for loss in losses for seq in range(loss["from"], loss["to"] + 1)}
    assert losses, "the cap was reached"
    assert kept | lost == set(range(1, last + 1))


async def test_a_sequence_is_not_used_twice_after_everything_was_evicted(tmp_path: Path) -> None:
    """Numbers go on from the last one ever used, also when no record of it is kept."""
    path = tmp_path / "o.sqlite"
    async with Outbox.opened(path, size_bytes_max=SIZE) as outbox:
        await fill(outbox, "event", 50)
    with sqlite3.connect(path) as db:
        db.execute("DELETE FROM record")
    db.close()
    async with Outbox.opened(path, size_bytes_max=SIZE) as outbox:
        assert (outbox.first, outbox.last) == (0, 50)
        await fill(outbox, "event", 1)
        assert [r.seq for r in await read_all(outbox)] == [51]


async def test_acknowledged_records_go_first_and_without_a_loss_record(tmp_path: Path) -> None:
    """Over the cap, what every uplink acknowledged is evicted before anything else, silently."""
    async with Outbox.opened(tmp_path / "o.sqlite", size_bytes_max=SIZE) as outbox:
        outbox.cursor("noc")
        await fill(outbox, "event", 10_000)
        await outbox.acknowledge("noc", 10_000)
        await fill(outbox, "sample", 10_000)
        records = await read_all(outbox)
    assert outbox.first > 1
    assert not [r for r in records if r.kind == "loss"]
    assert {r.seq for r in records} >= set(range(10_001, 20_001))


async def test_samples_go_before_the_rest_and_are_named_as_lost(tmp_path: Path) -> None:
    """Unacknowledged samples are evicted before unacknowledged events, and loss records say so."""
    async with Outbox.opened(tmp_path / "o.sqlite", size_bytes_max=SIZE) as outbox:
        outbox.cursor("noc")
        await fill(outbox, "event", 1000)
        await fill(outbox, "sample", 30_000)
        records = await read_all(outbox)
        last = outbox.last
    losses = [r.body for r in records if r.kind == "loss"]
    assert len([r for r in records if r.kind == "event"]) == 1000
    assert {(loss["uplink"], loss["what"]) for loss in losses} == {("noc", "sample")}
    lost = {seq for loss in losses for seq in range(loss["from"], loss["to"] + 1)}
    assert {r.seq for r in records} | lost == set(range(1, last + 1))
    assert sum(loss["count"] for loss in losses) == last - len(records)


async def test_an_evicted_loss_record_is_folded_into_the_next(tmp_path: Path) -> None:
    """However long an outage, every lost number stays named, in a bounded file."""
    path = tmp_path / "o.sqlite"
    async with Outbox.opened(path, size_bytes_max=SIZE_BYTES_MIN) as outbox:
        outbox.cursor("noc")
        for _ in range(20):
            await fill(outbox, "event", 4000)
        records = await read_all(outbox)
        last = outbox.last
        size = sum(p.stat().st_size for p in tmp_path.iterdir() if "ballast" not in p.name)
    losses = [r.body for r in records if r.kind == "loss"]
    lost = {seq for loss in losses for seq in range(loss["from"], loss["to"] + 1)}
    assert {r.seq for r in records} | lost == set(range(1, last + 1))
    assert size <= SIZE_BYTES_MIN


async def test_without_uplinks_nothing_is_called_lost(tmp_path: Path) -> None:
    """A station with no uplink keeps what fits and writes no loss records."""
    async with Outbox.opened(tmp_path / "o.sqlite", size_bytes_max=SIZE_BYTES_MIN) as outbox:
        await fill(outbox, "event", 20_000)
        assert not [r for r in await read_all(outbox) if r.kind == "loss"]


async def test_a_loss_names_only_the_uplink_that_had_not_acknowledged(tmp_path: Path) -> None:
    """Two uplinks have their own cursors, and their own losses."""
    async with Outbox.opened(tmp_path / "o.sqlite", size_bytes_max=SIZE_BYTES_MIN) as outbox:
        outbox.cursor("slow")
        for _ in range(20):
            await fill(outbox, "event", 1000)
            await outbox.acknowledge("fast", outbox.last)
        losses = [r.body for r in await read_all(outbox) if r.kind == "loss"]
    assert {loss["uplink"] for loss in losses} == {"slow"}


async def test_a_newer_schema_is_left_alone(tmp_path: Path) -> None:
    """A database written by a newer version stays as it is; health says what to do."""
    path = tmp_path / "o.sqlite"
    async with Outbox.opened(path, size_bytes_max=SIZE) as outbox:
        journal = outbox.journal
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    before = path.read_bytes()
    async with Outbox.opened(path, size_bytes_max=SIZE) as outbox:
        assert re.search(r"newer Shorewatch.*schema 99.*run that version", outbox.health or "")
        assert outbox.journal != journal
        assert await outbox.put("event", AT, {})
        assert outbox.last == 0
    assert path.read_bytes() == before


async def test_another_programs_database_is_left_alone(tmp_path: Path) -> None:
    """A SQLite file without our mark is not taken over; health says what to do."""
    path = tmp_path / "o.sqlite"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE t (x)")
    db.close()
    before = path.read_bytes()
    async with Outbox.opened(path, size_bytes_max=SIZE) as outbox:
        assert "another program's database: name another file" in (outbox.health or "")
    assert path.read_bytes() == before


def garbled(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * 16384)


def without_identity(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("DELETE FROM journal")
    db.close()


def with_garbled_identity(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("UPDATE journal SET id = X'ff'")
    db.close()


def with_text_that_is_none(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA writable_schema = ON")
        db.execute("UPDATE sqlite_schema SET sql = CAST(X'43ff20fe' AS TEXT) WHERE name = 'sample'")
    db.close()


def no_database(path: Path) -> None:
    path.write_bytes(b"station = 'sumqayit'\n" * 500)


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def a_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def with_a_number_never_reached(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("UPDATE journal SET last = 9223372036854775807")
    db.close()


DAMAGES = (
    garbled, with_a_number_never_reached, without_identity, with_garbled_identity,
    with_text_that_is_none, no_database, a_folder, a_fifo,
)  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
async def test_a_damaged_file_makes_room_for_a_new_journal_that_says_so(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    """What cannot be an outbox is moved aside, and a loss record of the new journal names it."""
    path = tmp_path / "o.sqlite"
    async with Outbox.opened(path, size_bytes_max=SIZE) as outbox:
        await fill(outbox, "event", 200)
        journal = outbox.journal
    damage(path)
    async with Outbox.opened(path, size_bytes_max=SIZE) as outbox:
        assert (outbox.health, outbox.journal != journal) == (None, True)
        await outbox.put("event", AT, {})
        await outbox.settled()
        event, loss = await read_all(outbox)
    (aside,) = tmp_path.glob("o.sqlite.aside-*")
    assert (event.kind, loss.kind, loss.body["what"]) == ("event", "loss", "record")
    assert aside.name in str(loss.body["why"])


async def test_damage_at_work_ends_the_run_with_all_on_record(tmp_path: Path) -> None:
    """A file garbled under way is replaced; what waited is in the new one, and the run ends."""
    path = tmp_path / "o.sqlite"
    with pytest.raises(OutboxError, match="another journal"):
        async with Outbox.opened(path, size_bytes_max=2 * SIZE) as outbox:
            await fill(outbox, "event", 3000, 1000)  # more than SQLite keeps in memory
            outbox.cursor("noc")
            await outbox.acknowledge("noc", 1500)
            with path.open("r+b") as file:
                file.write(b"\xa5" * path.stat().st_size)
            async with asyncio.timeout(20):
                while True:
                    await outbox.put("event", AT, {"late": True})
                    await outbox.read(0, 1000)
                    await asyncio.sleep(0.01)
    async with Outbox.opened(path, size_bytes_max=2 * SIZE) as outbox:
        found = await read_all(outbox)
        assert outbox.cursor("noc") == 0
    assert {record.kind for record in found} == {"event", "loss"}
    assert found[0].body == {"late": True}


async def test_a_new_outbox_on_a_full_disk_begins_in_memory(tmp_path: Path) -> None:
    """Without room for a new file records wait; then they are there, in the journal that was told.

    Health says so meanwhile.
    """
    with files_limited_to(0):
        async with Outbox.opened(tmp_path / "o.sqlite", size_bytes_max=SIZE) as outbox:
            assert "disk" in (outbox.health or "")
            journal = outbox.journal
            for i in range(10):
                await outbox.put("event", AT, {"i": i}, ("alarm/a", {"on": i}))
            await asyncio.sleep(0.2)
            assert outbox.last == 0
            resource.setrlimit(resource.RLIMIT_FSIZE, (-1, -1))
            async with asyncio.timeout(20):
                await outbox.settled()
            assert [record.body for record in await read_all(outbox)] == [
                {"i": i} for i in range(10)
            ]
            assert outbox.health is None
    async with Outbox.opened(tmp_path / "o.sqlite", size_bytes_max=SIZE) as outbox:
        assert (outbox.journal, outbox.kept) == (journal, {"alarm/a": {"on": 9}})


async def test_an_outbox_on_a_full_disk_is_opened_with_all_it_has(tmp_path: Path) -> None:
    """Opening writes nothing: what is kept, cursors and records are there on a full disk, too."""
    path = tmp_path / "o.sqlite"
    async with Outbox.opened(path, size_bytes_max=SIZE) as outbox:
        await outbox.put("event", AT, {}, ("alarm/a", {"on": True}))
        await outbox.settled()
        await outbox.acknowledge("noc", 1)
        journal = outbox.journal
    with files_limited_to(0):
        async with Outbox.opened(path, size_bytes_max=SIZE) as outbox:
            assert (outbox.journal, outbox.kept) == (journal, {"alarm/a": {"on": True}})
            assert (outbox.cursor("noc"), len(await read_all(outbox))) == (1, 1)


async def test_a_file_that_cannot_be_written_is_read_until_it_can(tmp_path: Path) -> None:
    """A read-only outbox gives what it has under its own journal, and goes on when it can."""
    path, wal = tmp_path / "o.sqlite", tmp_path / "o.sqlite-wal"
    async with Outbox.opened(path, size_bytes_max=SIZE) as outbox:
        await outbox.put("event", AT, {}, ("alarm/a", {"on": True}))
        await outbox.settled()
        journal = outbox.journal
    wal.mkdir()  # where the write-ahead log has to be
    async with Outbox.opened(path, size_bytes_max=SIZE) as outbox:
        assert "cannot be opened" in (outbox.health or "")
        assert (outbox.journal, outbox.last) == (journal, 1)
        assert (outbox.kept, len(await read_all(outbox))) == ({"alarm/a": {"on": True}}, 1)
        await outbox.put("event", AT, {"second": True})
        wal.rmdir()
        async with asyncio.timeout(20):
            await outbox.settled()
        assert [record.seq for record in await read_all(outbox)] == [1, 2]
        assert (outbox.journal, outbox.health) == (journal, None)


async def test_another_journal_that_comes_back_ends_the_run_with_all_on_record(
    tmp_path: Path,
) -> None:
    """A newer file that is replaced by an older outbox takes the records; then the run ends."""
    path, old = tmp_path / "o.sqlite", tmp_path / "old.sqlite"
    async with Outbox.opened(old, size_bytes_max=SIZE) as outbox:
        await fill(outbox, "event", 5)
        journal = outbox.journal
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE t (x)")
    db.close()
    with pytest.raises(OutboxError, match="another journal"):
        async with Outbox.opened(path, size_bytes_max=SIZE) as outbox:
            await outbox.put("event", AT, {"late": True})
            old.replace(path)
            async with asyncio.timeout(20):
                await outbox.settled()
                await outbox.wait_beyond(10**9)
    async with Outbox.opened(path, size_bytes_max=SIZE) as outbox:
        assert (outbox.journal, outbox.last) == (journal, 6)


@pytest.mark.parametrize("seed", range(40))
async def test_no_garbled_file_keeps_an_outbox_from_opening(tmp_path: Path, seed: int) -> None:
    """Whatever bytes a disk has changed, the outbox opens, and a record is written or waits."""
    chance = random.Random(seed)
    path = tmp_path / "o.sqlite"
    async with Outbox.opened(path, size_bytes_max=SIZE) as outbox:
        await fill(outbox, "event", 50)
        outbox.keep("alarm/a", {"on": True})
        await outbox.acknowledge("noc", 20)
    data = bytearray(path.read_bytes())
    for _ in range(chance.choice((1, 5, 50))):
        place = chance.randrange(chance.choice((100, 4096, len(data))))
        some = chance.randbytes(chance.choice((1, 4, 100)))
        data[place : place + len(some)] = some
    path.write_bytes(data)
    with suppress(OutboxError):  # replaced by another journal while at work
        async with Outbox.opened(path, size_bytes_max=SIZE) as outbox:
            assert 0 <= outbox.cursor("noc") <= outbox.last
            await outbox.put("event", AT, {}, ("alarm/b", {"on": True}))
            async with asyncio.timeout(10):
                while outbox.queued and outbox.health is None:
                    await asyncio.sleep(0.01)
                if outbox.health is None:
                    await read_all(outbox)


async def test_one_outbox_has_one_owner(tmp_path: Path) -> None:
    """A second opener is refused while the first lives."""
    path = tmp_path / "o.sqlite"
    async with Outbox.opened(path, size_bytes_max=SIZE):
        with pytest.raises(OutboxError, match="in use by another process"):
            async with Outbox.opened(path, size_bytes_max=SIZE):
                pass


async def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    """An outbox in a missing folder is in memory, and health names the path."""
    async with Outbox.opened(tmp_path / "missing" / "o.sqlite", size_bytes_max=SIZE) as outbox:
        assert "missing/o.sqlite cannot be opened" in (outbox.health or "")


async def test_a_full_disk_is_told_and_survived_in_order(tmp_path: Path) -> None:
    """While files cannot grow health says so; afterwards every record is there, in order."""
    async with Outbox.opened(tmp_path / "o.sqlite", size_bytes_max=SIZE) as outbox:
        await fill(outbox, "event", 10)
        with files_limited_to(100_000):
            for number in range(3000):
                await outbox.put("event", AT, {"number": number, "text": "x" * 100})
            health = await until_sick(outbox)
            assert str(tmp_path / "o.sqlite") in health
            assert outbox.last < 3010
        async with asyncio.timeout(30):
            await outbox.wait_beyond(3009)
        assert outbox.health is None
        numbers = [r.body.get("number") for r in await read_all(outbox)]
    assert numbers == [None] * 10 + list(range(3000))


async def test_with_a_sick_disk_and_a_full_queue_nobody_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Samples make room for events, then what comes is dropped; all of it is named as lost."""
    monkeypatch.setattr(outbox_module, "QUEUE_RECORDS_MAX", 1500)
    async with Outbox.opened(tmp_path / "o.sqlite", size_bytes_max=SIZE) as outbox:
        with files_limited_to(100_000):
            async with asyncio.timeout(30):
                for _ in range(1490):
                    await outbox.put("event", AT, {"text": "x" * 200})
                await until_sick(outbox)
                while outbox.queued < 1490:
                    await outbox.put("event", AT, {"text": "x" * 200})
                for second in range(15):
                    await outbox.put("sample", AT + timedelta(seconds=second), {"n": second})
                for number in range(12):
                    await outbox.put("event", AT + timedelta(hours=number), {"n": number})
            assert outbox.queued == 1500
        async with asyncio.timeout(30):
            while outbox.queued or outbox.health:
                await asyncio.sleep(0.05)
            await outbox.wait_beyond(outbox.last - 1)
        records = await read_all(outbox)
    samples, others = (r.body for r in records if r.kind == "loss")
    assert (samples["what"], samples["count"]) == ("sample", 15)
    assert samples["from_at"] == "2026-11-22T16:44:00.123Z"
    assert samples["to_at"] == "2026-11-22T16:44:14.123Z"
    assert (others["what"], others["count"]) == ("record", 2)
    assert others["to_at"] == "2026-11-23T03:44:00.123Z"
    assert [r.body["n"] for r in records if "n" in r.body] == list(range(10))
    assert not [r for r in records if r.kind == "sample"]


@pytest.mark.parametrize(
    "damage",
    [
        *("body = '{\"a\": '", "body = X'ff'", "body = CAST(X'ff' AS TEXT)", "body = '[]'"),
        *("at_ms = 1 << 62", "kind = 'sampme'", "kind = CAST(X'f3' AS TEXT)"),
    ],
)
async def test_a_damaged_entry_is_a_loss_of_one(tmp_path: Path, damage: str) -> None:
    """What a disk has garbled is told as lost, under its number; the others stay readable."""
    path = tmp_path / "o.sqlite"
    async with Outbox.opened(path, size_bytes_max=SIZE) as outbox:
        await fill(outbox, "sample", 3)
    with sqlite3.connect(path) as database:
        database.execute(f"UPDATE record SET {damage} WHERE seq = 2")
    database.close()

    async with Outbox.opened(path, size_bytes_max=SIZE) as outbox:
        first, lost, third = await outbox.read(0, 10)

    assert (first.kind, third.kind, lost.seq, lost.kind) == ("sample", "sample", 2, "loss")
    assert (lost.body["from"], lost.body["to"], lost.body["count"]) == (2, 2, 1)


async def test_a_read_that_succeeds_makes_no_disk_healthy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk can be read; it stays sick, and nobody waits for it, until it takes a write."""
    monkeypatch.setattr(outbox_module, "QUEUE_RECORDS_MAX", 1500)
    async with Outbox.opened(tmp_path / "o.sqlite", size_bytes_max=SIZE) as outbox:
        await fill(outbox, "event", 10)
        with files_limited_to(60_000):
            for _ in range(1500):
                await outbox.put("event", AT, {"text": "x" * 200})
            await until_sick(outbox)
            assert len(await outbox.read(0, 5)) == 5
            assert outbox.health is not None
            async with asyncio.timeout(1):
                for _ in range(3000):
                    await outbox.put("sample", AT, {})


async def test_a_full_disk_costs_samples_and_no_other_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a full disk the file stays as large as it is; samples in it make room and are named.

    The ballast beside it is given up for that, and is there again when there is room.
    """
    monkeypatch.setattr(store, "_BALLAST_TRY_S", 0.0)
    with small_disk(tmp_path / "disk", "32m") as disk:
        path, ballast = disk / "o.sqlite", disk / "o.sqlite-ballast"
        async with Outbox.opened(path, size_bytes_max=30_000_000) as outbox:
            outbox.cursor("noc")
            await fill(outbox, "sample", 5000, 500)
            assert ballast.stat().st_blocks * 512 >= store.BALLAST_BYTES
            with suppress(OSError), (disk / "filler").open("wb", buffering=0) as filler:
                while filler.write(bytes(4096)):
                    pass
            for i in range(6_000):
                await outbox.put("event", AT, {"i": i, "text": "x" * 200})
            async with asyncio.timeout(60):
                await outbox.settled()
            assert outbox.health is None and not ballast.exists()

            found = await read_all(outbox)
            numbers = [record.body["i"] for record in found if record.kind == "event"]
            assert numbers == list(range(6_000))
            losses = [record.body for record in found if record.kind == "loss"]
            assert {(loss["what"], loss["why"]) for loss in losses} == {
                ("sample", "the disk is full")
            }
            samples = sum(record.kind == "sample" for record in found)
            assert sum(int(str(loss["count"])) for loss in losses) == 5000 - samples > 0

            (disk / "filler").unlink()
            await fill(outbox, "event", 1)
            assert ballast.exists()


async def test_a_file_in_which_nothing_may_go_grows_again_with_its_disk(tmp_path: Path) -> None:
    """When a full disk has room again all that waits is written, whatever is in the file."""
    with small_disk(tmp_path / "disk", "32m") as disk:
        async with Outbox.opened(disk / "o.sqlite", size_bytes_max=30_000_000) as outbox:
            outbox.cursor("noc")  # nothing is acknowledged, and alarms are no samples
            await fill(outbox, "alarm", 20)
            with suppress(OSError), (disk / "filler").open("wb", buffering=0) as filler:
                while filler.write(bytes(4096)):
                    pass
            for _ in range(3000):
                await outbox.put("alarm", AT, {"text": "x" * 500})
            await until_sick(outbox)
            (disk / "filler").unlink()
            async with asyncio.timeout(20):
                await outbox.wait_beyond(3019)
            assert outbox.health is None
            assert {record.kind for record in await read_all(outbox)} == {"alarm"}


async def test_a_sick_disk_does_not_hold_up_the_end(tmp_path: Path) -> None:
    """Leaving with a disk that takes nothing ends all the same; what was committed stays."""
    async with Outbox.opened(tmp_path / "o.sqlite", size_bytes_max=SIZE) as outbox:
        await fill(outbox, "event", 10)
        with files_limited_to(60_000):
            for _ in range(2000):
                await outbox.put("event", AT, {"text": "x" * 200})
            await until_sick(outbox)
            async with asyncio.timeout(20):
                await outbox._close()
                committed = outbox.last
    async with Outbox.opened(tmp_path / "o.sqlite", size_bytes_max=SIZE) as outbox:
        assert outbox.last == committed >= 10


async def test_a_record_that_is_no_json_is_a_bug(tmp_path: Path) -> None:
    """What JSON cannot hold is refused at the door; what is no number never looks like one."""
    async with Outbox.opened(tmp_path / "o.sqlite", size_bytes_max=SIZE) as outbox:
        with pytest.raises(TypeError, match="JSON"):
            await outbox.put("sample", AT, {"value": object()})
        assert outbox.queued == 0
        await outbox.put("sample", AT, {"value": float("nan")})
        await outbox.settled()
        assert (await outbox.read(0, 1))[0].body == {"value": None}


async def test_a_cursor_alone_is_committed_as_well(tmp_path: Path) -> None:
    """It waits for records to share their commit, but not for ever."""
    async with Outbox.opened(tmp_path / "o.sqlite", size_bytes_max=SIZE) as outbox:
        await fill(outbox, "event", 3)
        async with asyncio.timeout(20):
            await outbox.acknowledge("noc", 2)
        assert outbox.cursor("noc") == 2


async def test_a_smaller_cap_shrinks_the_file(tmp_path: Path) -> None:
    """A file larger than a newly lowered cap comes down to it."""
    path = tmp_path / "o.sqlite"
    async with Outbox.opened(path, size_bytes_max=12_000_000) as outbox:
        await fill(outbox, "event", 40_000, 150)
    assert path.stat().st_size > 5_000_000
    async with Outbox.opened(path, size_bytes_max=SIZE) as outbox:
        for _ in range(30):
            await fill(outbox, "event", 10)
    assert path.stat().st_size <= SIZE


async def test_kept_facts_are_committed_with_their_record(tmp_path: Path) -> None:
    """The newest facts of each name survive; without a record they come and go unnumbered."""
    path = tmp_path / "o.sqlite"
    async with Outbox.opened(path, size_bytes_max=SIZE) as outbox:
        assert outbox.kept == {}
        await outbox.put("alarm", AT, {"n": 1}, ("alarm/a", {"on": True, "since": "2026"}))
        await outbox.put("alarm", AT, {"n": 2}, ("alarm/b", {"on": True}))
        outbox.keep("alarm/b", {"on": False})
        await outbox.settled()
        assert outbox.last == 2
    async with Outbox.opened(path, size_bytes_max=SIZE) as outbox:
        assert outbox.kept == {"alarm/a": {"on": True, "since": "2026"}, "alarm/b": {"on": False}}
        assert outbox.last == 2


async def test_settled_waits_for_the_disk(tmp_path: Path) -> None:
    """Nothing is called durable while it waits in memory."""
    async with Outbox.opened(tmp_path / "o.sqlite", size_bytes_max=SIZE) as outbox:
        with files_limited_to(60_000):
            for _ in range(2000):
                await outbox.put("event", AT, {"text": "x" * 200})
            await until_sick(outbox)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(outbox.settled(), 0.3)
        async with asyncio.timeout(20):
            await outbox.settled()
        assert outbox.last == 2000


async def test_an_older_outbox_is_taken_over(tmp_path: Path) -> None:
    """A database of schema 1 keeps its journal and records, and can keep facts from then on."""
    path = tmp_path / "o.sqlite"
    async with Outbox.opened(path, size_bytes_max=SIZE) as outbox:
        journal = outbox.journal
        await fill(outbox, "event", 3)
    with sqlite3.connect(path) as database:
        database.execute("DROP TABLE kept")
        database.execute("PRAGMA user_version = 1")
    database.close()

    async with Outbox.opened(path, size_bytes_max=SIZE) as outbox:
        assert (outbox.journal, outbox.last, len(await read_all(outbox))) == (journal, 3, 3)
        outbox.keep("alarm/a", {"on": True})
    async with Outbox.opened(path, size_bytes_max=SIZE) as outbox:
        assert outbox.kept == {"alarm/a": {"on": True}}


async def test_what_is_kept_between_two_numbers_is_counted(tmp_path: Path) -> None:
    """First, last and count are those of the records that are there; of none all are 0."""
    async with Outbox.opened(tmp_path / "o.sqlite", size_bytes_max=SIZE) as outbox:
        await fill(outbox, "event", 10)
        assert await outbox.kept_between(3, 7) == (3, 7, 5)
        assert await outbox.kept_between(8, 99) == (8, 10, 3)
        assert await outbox.kept_between(11, 99) == (0, 0, 0)


def write_and_kill(path: Path) -> int:
    """A process writes records and is killed; how many it had told of."""
    words = [sys.executable, "-c", WRITER, str(path), str(SIZE)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        committed = next(last for line in process.stdout if (last := int(line)) > 20)
        process.kill()
    return committed


async def test_what_a_kill_left_in_the_log_is_read_on_a_read_only_disk(tmp_path):
    """A station that starts there tells of all it had committed, and goes on from it."""
    (tmp_path / "state").mkdir()
    async with mounted(tmp_path / "state") as room:
        if room.why_not is not None:
            pytest.skip(room.why_not)
        path = room.folder / "outbox.sqlite"
        committed = write_and_kill(path)
        await room.set_writable(is_writable=False)
        async with Outbox.opened(path, size_bytes_max=SIZE) as outbox:
            journal, last = outbox.journal, outbox.last
            assert last >= committed and outbox.health is not None
            assert [record.seq for record in await outbox.read(last - 3, 9)][-1] == last
            await room.set_writable(is_writable=True)
            await outbox.put("event", AT, {"after": "it"})
            await outbox.settled()
            assert (outbox.journal, outbox.last, outbox.health) == (journal, last + 1, None)


async def test_records_are_read_back_by_kind(tmp_path):
    """Step by step, the newest first, each of the kinds once, until there are no more."""
    async with Outbox.opened(tmp_path / "o.sqlite", size_bytes_max=SIZE) as outbox:
        for i in range(1300):
            await outbox.put("sample" if i % 2 else "alarm", AT, {"number": i})
        await outbox.settled()
        seen, before, steps = [], outbox.last + 1, 0
        while before:
            found, before = await outbox.read_back(before, ("alarm", "note"))
            seen += [record.body["number"] for record in found]
            steps += 1

    assert seen == list(range(1298, -1, -2))
    assert steps == 2


async def test_reading_back_looks_at_so_many_records_a_step(tmp_path, monkeypatch):
    """Rare records far back take several steps, each of them short."""
    monkeypatch.setattr(store, "BACK_ROWS", 100)
    async with Outbox.opened(tmp_path / "o.sqlite", size_bytes_max=SIZE) as outbox:
        await outbox.put("note", AT, {"by": "ali", "text": "x"})
        await fill(outbox, "sample", 350)
        steps = [await outbox.read_back(outbox.last + 1, ("note",))]
        while steps[-1][1]:
            steps.append(await outbox.read_back(steps[-1][1], ("note",)))

    assert [len(found) for found, _ in steps] == [0, 0, 0, 1]


async def test_reading_back_ends_at_what_is_kept(tmp_path):
    """What was evicted is gone: it is not searched for."""
    async with Outbox.opened(tmp_path / "o.sqlite", size_bytes_max=SIZE_BYTES_MIN) as outbox:
        outbox.cursor("noc")
        while outbox.first < 100:
            await fill(outbox, "sample", 500, size=2000)
        found, before = await outbox.read_back(outbox.first + 1, ("sample", "loss"))

        assert [record.seq for record in found] == [outbox.first]
        assert before == 0
