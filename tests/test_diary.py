"""diary.py: the journal read back, sifted, paged, and never further than it reaches."""

from datetime import UTC, datetime, timedelta

import pytest

from shorewatch.diary import RAISED_MAX, STEPS_MAX, Diary
from shorewatch.errors import OutboxError
from shorewatch.model import to_text
from shorewatch.store import Record

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
ALARM = {
    "alarm": "lid", "what": "raised", "state": "unacknowledged", "priority": "critical",
    "source": "manhole.lid", "text": "Lid is open",
}  # fmt: skip


class Journal:
    """A journal in memory, read back `step` numbers at a time."""

    journal = "one"

    def __init__(self, *records: Record, step: int = 3) -> None:
        self.all = list(records)
        self.step = step
        self.steps = 0

    @property
    def first(self) -> int:
        return self.all[0].seq if self.all else 0

    @property
    def last(self) -> int:
        return self.all[-1].seq if self.all else 0

    async def read_back(self, before, kinds):
        self.steps += 1
        low = max(before - self.step, self.first)
        found = [one for one in self.all if low <= one.seq < before and one.kind in kinds]
        return found[::-1], low if low > self.first else 0


def record(seq, kind="alarm", minutes_ago=0.0, **body):
    facts = ALARM | body if kind == "alarm" else body
    return Record(seq, kind, NOW - timedelta(minutes=minutes_ago), facts)


def diary(*records, step=3, listed=()):
    journal = Journal(*records, step=step)
    return Diary(journal, lambda: list(listed)), journal


async def asked(found, do="alarm-history", **more):
    return await found.answer({"do": do, "to": to_text(NOW), **more})


async def test_the_newest_stand_first_as_the_journal_has_them():
    """Sequence, kind and time stand beside what the record says."""
    found, _ = diary(record(1, minutes_ago=2), record(2, text="later"))
    reply = await asked(found)

    assert [row["seq"] for row in reply["records"]] == [2, 1]
    assert reply["records"][1] == {
        "seq": 1, "kind": "alarm", "at": "2026-11-22T11:58:00.000Z", **ALARM,
    }  # fmt: skip


async def test_a_list_goes_on_where_it_ended():
    """Page by page each record comes once, and the last page says that there is no more."""
    found, _ = diary(*(record(seq, minutes_ago=20 - seq) for seq in range(1, 11)))
    seen, before = [], ""
    while before is not None:
        reply = await asked(found, count=4, before=before)
        seen += [row["seq"] for row in reply["records"]]
        before = reply["before"]

    assert seen == list(range(10, 0, -1))


async def test_a_list_of_a_journal_that_is_no_more_is_not_gone_on_with():
    """Numbers of a journal that was moved aside are others' in the one begun since: refused."""
    found, journal = diary(*(record(seq) for seq in range(1, 9)))
    reply = await asked(found, count=2)
    assert reply["journal"] == "one"
    older = {"before": reply["before"], "journal": reply["journal"]}
    assert (await asked(found, **older))["records"]

    journal.journal = "two"
    with pytest.raises(ValueError, match="another journal has begun"):
        await asked(found, **older)
    assert (await asked(found))["journal"] == "two"


async def test_a_long_search_can_be_gone_on_with():
    """What is not found within the limit of one question says from where to ask on."""
    rare = record(1, minutes_ago=900, alarm="rare")
    found, journal = diary(rare, *(record(seq) for seq in range(2, 600)), step=2)
    first = await asked(found, source="rare")
    steps = journal.steps
    second = await asked(found, source="rare", before=first["before"])

    assert first["records"] == [] and first["before"] is not None
    assert steps <= STEPS_MAX + 1
    assert [row["alarm"] for row in second["records"]] == ["rare"]


@pytest.mark.parametrize(
    ("wanted", "seqs"),
    [
        ({"priority": "critical"}, [3, 1]),
        ({"priority": "critical,minor"}, [3, 2, 1]),
        ({"state": "acknowledged"}, [3]),
        ({"source": "manhole"}, [3, 1]),
        ({"source": "manhole.lid"}, [3, 1]),
        ({"source": "warm"}, [2]),
        ({"source": "manhole.water"}, []),
        ({"from": to_text(NOW - timedelta(minutes=3))}, [3, 2]),
        ({"to": to_text(NOW - timedelta(minutes=3))}, [1]),
    ],
)
async def test_a_filter_leaves_what_it_names(wanted, seqs):
    """By priority, state, source or alarm, and time."""
    warm = record(2, minutes_ago=2, alarm="warm", priority="minor", source="room.temperature")
    done = record(3, minutes_ago=1, state="acknowledged", what="acknowledged")
    found, _ = diary(record(1, minutes_ago=5), warm, done)

    assert [row["seq"] for row in (await asked(found, **wanted))["records"]] == seqs


async def test_alarms_have_notes_and_maintenance_beside_them():
    """A note on the station and its maintenance belong to what happened; a login does not."""
    found, _ = diary(
        record(1, "note", by="ali", text="all quiet"),
        record(2, "audit", what="maintenance-begin", by="ali", note="splice"),
        record(3, "audit", what="login", by="ali"),
        record(4, "event", source="gateway", what="started"),
    )

    assert [row["seq"] for row in (await asked(found))["records"]] == [2, 1]


async def test_events_have_losses_beside_them():
    """What was lost belongs to what happened; the uncertainty is as the record states it."""
    found, _ = diary(
        record(1, "event", source="contacts.door", what="raised", board="b", uncertainty_s=0.004),
        record(2, "loss", why="the disk is full"),
        record(3),
    )
    rows = (await asked(found, "events"))["records"]

    assert [row["kind"] for row in rows] == ["loss", "event"]
    assert rows[1]["uncertainty_s"] == 0.004
    assert [row["seq"] for row in (await asked(found, "events", source="b"))["records"]] == [1]


async def test_the_search_ends_where_the_time_begins():
    """What is an hour older than asked for is not read on; a clock never set does not end it."""
    old = [record(seq, minutes_ago=300) for seq in range(1, 100)]
    unset = Record(101, "alarm", datetime(1970, 1, 1, tzinfo=UTC), ALARM)
    found, journal = diary(*old, record(100, minutes_ago=1), unset, record(102))
    reply = await asked(found, **{"from": to_text(NOW - timedelta(minutes=10))})

    assert [row["seq"] for row in reply["records"]] == [102, 100]
    assert journal.steps < 5


async def test_it_says_how_far_back_it_reaches():
    """The time of the first record that is kept, of whatever kind; none for an empty journal."""
    found, _ = diary(record(7, "sample", minutes_ago=60), record(8))

    assert (await asked(found))["reaches"] == "2026-11-22T11:00:00.000Z"
    assert (await asked(diary()[0]))["reaches"] is None


@pytest.mark.parametrize(
    "wanted",
    [
        {"priority": "high"}, {"state": "on"}, {"from": "yesterday"},
        {"from": "0001-01-01T00:00:00+14:00"}, {"to": "9999-12-31T23:30:00Z"},
        {"from": "1969-12-31T23:59:59Z"}, {"from": "2999-01-01T00:00:00Z"},
    ],
)  # fmt: skip
async def test_what_makes_no_sense_is_refused_in_words(wanted):
    """The key is named, and what it may be."""
    [key] = wanted
    for do in ("alarm-history", "alarm-figures", "events"):
        with pytest.raises(ValueError, match=f"`{key}`"):
            await asked(diary(record(1))[0], **wanted, do=do)


async def test_a_count_that_is_none_is_refused():
    """The key is named."""
    with pytest.raises(ValueError, match="`count`"):
        await asked(diary(record(1))[0], count="many")


async def test_figures_count_what_was_shown_to_somebody():
    """Hidden alarms, tests and other transitions are none; raised anew is one."""
    found, _ = diary(
        record(1, minutes_ago=9),
        record(2, minutes_ago=8, what="realarmed"),
        record(3, minutes_ago=7, state="shelved"),
        record(4, minutes_ago=6, alarm="test-alarm"),
        record(5, minutes_ago=5, what="returned", state="returned"),
    )

    assert (await asked(found, "alarm-figures"))["raised"] == 2


async def test_figures_begin_where_the_journal_does():
    """A day that is not on record is not counted as a quiet one."""
    found, _ = diary(record(1, minutes_ago=120), record(2))
    reply = await asked(found, "alarm-figures")

    assert reply["from"] == "2026-11-22T10:00:00.000Z"
    assert reply["per_hour"] == 1.0


async def test_figures_of_more_than_can_be_looked_at_begin_later():
    """They say so by their begin, and do not dilute the rate."""
    flood = [record(seq, minutes_ago=(RAISED_MAX - seq) / 100) for seq in range(RAISED_MAX + 1)]
    found, _ = diary(record(-1, minutes_ago=1430), *flood, step=RAISED_MAX)
    reply = await asked(found, "alarm-figures")

    assert reply["raised"] == RAISED_MAX
    assert reply["per_hour"] == pytest.approx(6000, rel=0.01)


async def test_a_disk_that_cannot_be_read_is_an_answer():
    """It refuses with the reason, and nothing waits."""

    class Sick(Journal):
        async def read_back(self, before, kinds):
            raise OutboxError("The outbox meets disk errors.")

    with pytest.raises(ValueError, match="meets disk errors"):
        await Diary(Sick(record(1)), list).answer({"do": "events"})


async def test_records_since_a_time_come_in_order():
    """The newest so many, ascending: what a support bundle has."""
    found, _ = diary(*(record(seq, minutes_ago=10 - seq) for seq in range(1, 10)))
    rows = await found.records(("alarm",), NOW - timedelta(minutes=5), 3)

    assert [row["seq"] for row in rows] == [7, 8, 9]
    assert len(await found.records(("alarm",), NOW - timedelta(minutes=5), 99)) == 5
