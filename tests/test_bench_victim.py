"""bench/victim.py: what a gateway has said holds, and old databases are what they were."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime

import pytest

from shorewatch.bench.children import Children
from shorewatch.bench.room import Room
from shorewatch.bench.victim import Victim, make_old
from shorewatch.outbox import SIZE_BYTES_MIN, Outbox

AT = datetime(2026, 11, 22, 16, 44, tzinfo=UTC)


def tables(path) -> set[str]:
    with closing(sqlite3.connect(path)) as db:
        return {name for (name,) in db.execute("SELECT name FROM sqlite_schema")}


async def test_an_old_database_has_the_same_records_and_no_facts(tmp_path):
    """It is of the first schema; the present outbox takes it with journal, records and cursor."""
    path = tmp_path / "outbox.sqlite"
    async with Outbox.opened(path, size_bytes_max=SIZE_BYTES_MIN) as outbox:
        for i in range(3):
            await outbox.put("event", AT, {"i": i}, ("facts", {"i": i}))
        await outbox.settled()
        await outbox.acknowledge("noc", outbox.cursor("noc") + 2)
        journal, records = outbox.journal, await outbox.read(0, 10)
    make_old(path)

    assert "kept" not in tables(path)
    async with Outbox.opened(path, size_bytes_max=SIZE_BYTES_MIN) as outbox:
        assert (outbox.journal, outbox.health, outbox.kept) == (journal, None, {})
        assert await outbox.read(0, 10) == records and outbox.cursor("noc") == 2


def test_a_database_that_was_never_made_stays_so(tmp_path):
    """A gateway whose disk was full from its beginning has an empty file."""
    make_old(tmp_path / "outbox.sqlite")

    assert tables(tmp_path / "outbox.sqlite") == set()


@pytest.mark.parametrize(
    ("told", "is_broken"),
    [
        ([("j", 5), ("j", 5), ("j", 7)], False),
        ([("j", 5), ("k", 1)], False),
        ([("j", 5), ("j", 4)], True),
    ],
)
async def test_a_gateway_that_has_less_than_it_said_is_named(tmp_path, told, is_broken):
    """Of one journal the last committed record never goes back."""
    children = Children(tmp_path / "log")
    victim = Victim(children, "left", tmp_path, Room(tmp_path, "it is a test"))
    for journal, last in told:
        victim.compare(journal, last)
    await children.end_all()

    assert bool(victim.broken) == is_broken
