"""A power cut at any moment: what was told is there, and no number is used twice."""

import itertools
import random
import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import pytest
from power import Noted, watched

from shorewatch import outbox as outbox_module
from shorewatch.archive import Archive, Reader
from shorewatch.outbox import SIZE_BYTES_MIN, Outbox
from shorewatch.trend import Change

AT = datetime(2026, 11, 22, 16, 44, tzinfo=UTC)
CUTS = 20
SEED = 20261123


class Told(NamedTuple):
    """What the outbox had told by some moment."""

    moment: int
    last: int
    cursor: int
    kept: int


async def work(path: Path, disk: Noted, seed: int, size_bytes_max: int, rounds: int) -> list[Told]:
    """Records, kept facts and cursors; after each step, what was told so far."""
    chance = random.Random(seed)
    told = [Told(0, 0, 0, -1)]
    number = itertools.count()
    async with Outbox.opened(path, size_bytes_max=size_bytes_max) as outbox:
        for _ in range(rounds):
            kept = -1
            for _ in range(chance.randrange(1, 120)):
                kept = next(number)
                kind = chance.choice(["sample", "event", "alarm"])
                body = {"i": kept, "text": "x" * chance.randrange(600)}
                await outbox.put(kind, AT, body, ("facts", {"i": kept}))
            await outbox.settled()
            if chance.random() < 0.5:
                await outbox.acknowledge(
                    "noc", chance.randrange(outbox.cursor("noc"), outbox.last + 1)
                )
            told.append(Told(disk.moment, outbox.last, outbox.cursor("noc"), kept))
    return told


@pytest.mark.parametrize("size_bytes_max", [SIZE_BYTES_MIN, 50_000_000])
async def test_after_a_power_cut_all_that_was_told_is_there(tmp_path, size_bytes_max, monkeypatch):
    """Each record told as written is kept or named as lost, cursor and facts too; numbers go on."""
    monkeypatch.setattr(outbox_module, "CURSOR_S", 0.0)
    folder = tmp_path / "disk"
    folder.mkdir()
    with watched(folder) as disk:
        told = await work(folder / "o.sqlite", disk, SEED, size_bytes_max, 40)
    assert disk.moment > 1000
    chance = random.Random(SEED)
    for round_ in range(CUTS):
        moment = chance.randrange(disk.moment)
        before = max(t for t in told if t.moment <= moment)
        left = tmp_path / f"cut{round_}"
        disk.cut(moment, left, chance)
        async with Outbox.opened(left / "o.sqlite", size_bytes_max=size_bytes_max) as outbox:
            assert outbox.health is None, f"seed {SEED}, cut {round_} at {moment}: {outbox.health}"
            assert outbox.last >= before.last, f"seed {SEED}, cut {round_} at {moment}"
            assert outbox.cursor("noc") >= before.cursor
            assert before.kept <= outbox.kept.get("facts", {"i": -1})["i"]
            found = [record async for record in everything(outbox)]
            lost = {
                seq
                for record in found
                if record.kind == "loss"
                for seq in range(record.body["from"], record.body["to"] + 1)
            }
            kept = {record.seq for record in found}
            gone = set(range(1, outbox.last + 1)) - kept - lost
            assert all(seq <= outbox.cursor("noc") for seq in gone)
            await outbox.put("event", AT, {"after": "the cut"})
            await outbox.settled()
            assert outbox.last > max(kept, default=0)
        with sqlite3.connect(left / "o.sqlite") as db:
            assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        db.close()


async def test_after_a_power_cut_an_upgrade_begins_anew(tmp_path):
    """A file of the first schema, cut on its way to this one, is opened with all it has."""
    folder = tmp_path / "disk"
    folder.mkdir()
    path = folder / "o.sqlite"
    async with Outbox.opened(path, size_bytes_max=SIZE_BYTES_MIN) as outbox:
        for i in range(20):
            await outbox.put("event", AT, {"i": i})
        journal = outbox.journal
    with sqlite3.connect(path) as db:
        db.execute("DROP TABLE kept")
        db.execute("PRAGMA user_version = 1")
    db.close()
    with watched(folder) as disk:
        async with Outbox.opened(path, size_bytes_max=SIZE_BYTES_MIN) as outbox:
            assert outbox.last == 20
    for moment in range(1, disk.moment + 1):
        left = tmp_path / f"cut{moment}"
        disk.cut(moment, left, random.Random(moment))
        async with Outbox.opened(left / "o.sqlite", size_bytes_max=SIZE_BYTES_MIN) as outbox:
            if moment > 2:  # before that, the file itself is not sure to be there
                assert (outbox.journal, outbox.last, outbox.health) == (journal, 20, None)


async def test_what_is_told_after_a_kill_outlives_a_power_cut(tmp_path):
    """A record that a killed process had not synced is synced before anybody is told of it."""
    folder = tmp_path / "disk"
    folder.mkdir()
    with watched(folder) as disk:
        async with Outbox.opened(folder / "o.sqlite", size_bytes_max=SIZE_BYTES_MIN) as outbox:
            begun = disk.moment
            for i in range(5):
                await outbox.put("event", AT, {"i": i})
                await outbox.settled()
            ended = disk.moment
    chance = random.Random(SEED)
    for moment in range(begun, ended):
        folder = tmp_path / f"kill{moment}"
        disk.kill(moment, folder)
        with watched(folder, disk.until(moment)) as after:
            async with Outbox.opened(folder / "o.sqlite", size_bytes_max=SIZE_BYTES_MIN) as outbox:
                told, cut_at = outbox.last, after.moment
        left = tmp_path / f"cut{moment}"
        after.cut(cut_at, left, chance)
        async with Outbox.opened(left / "o.sqlite", size_bytes_max=SIZE_BYTES_MIN) as outbox:
            assert outbox.last >= told, f"killed at step {moment}, cut when {told} was told"


async def everything(outbox: Outbox):
    """All records, oldest first."""
    seq = 0
    while some := await outbox.read(seq, 1000):
        for record in some:
            yield record
        seq = some[-1].seq


def test_after_a_power_cut_the_history_opens_and_has_what_was_flushed(tmp_path):
    """Changes committed before the cut are read again; the file is whole."""
    folder = tmp_path / "disk"
    folder.mkdir()
    told: list[tuple[int, int]] = [(0, 0)]
    with watched(folder) as disk:
        archive = Archive(folder / "h.sqlite", 8_000_000)
        archive.begin(1000)
        archive.register({"pfe.current A": True})
        for flush in range(1, 80):
            changes = [Change(1000 * flush + i, 0, flush + i / 8) for i in range(40)]
            fresh, chunks = {"pfe.current A": changes}, {}
            archive.commit(1000 * flush + 999, fresh, chunks, is_whole=False)
            told.append((disk.moment, flush))
        archive.close()
    chance = random.Random(SEED)
    for round_ in range(CUTS):
        moment = chance.randrange(told[1][0], disk.moment)
        _, flushed = max(t for t in told if t[0] <= moment)
        left = tmp_path / f"cut{round_}"
        disk.cut(moment, left, chance)
        archive = Archive(left / "h.sqlite", 8_000_000)
        archive.close()
        reader = Reader(left / "h.sqlite")
        spans = reader.read("pfe.current A", 0, 10**9, None)
        reader.close()
        assert spans[-1].to_ms >= 1000 * flushed, f"seed {SEED}, cut {round_} at {moment}"


def test_a_cut_takes_what_was_not_synced(tmp_path):
    """With no sync at all, cuts do lose commits: the test's own proof that it can fail."""
    folder = tmp_path / "disk"
    folder.mkdir()
    with watched(folder) as disk:
        db = sqlite3.connect(folder / "a.sqlite", isolation_level=None)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = OFF")
        db.execute("CREATE TABLE t (i INTEGER)")
        for i in range(50):
            db.execute("INSERT INTO t VALUES (?)", (i,))
        moment = disk.moment
        db.close()
    chance = random.Random(SEED)
    losses = 0
    for round_ in range(10):
        left = tmp_path / f"cut{round_}"
        disk.cut(moment, left, chance)
        try:
            db = sqlite3.connect(left / "a.sqlite")
            losses += db.execute("SELECT count(*) FROM t").fetchone()[0] < 50
        except sqlite3.DatabaseError:
            losses += 1
        finally:
            db.close()
    assert losses >= 5
