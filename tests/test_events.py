"""events.py: each event of a board exactly once, or told as lost, through resets and kills."""

import asyncio
import shutil
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import ClassVar

from hypothesis import given, settings
from hypothesis import strategies as st

from shorewatch.assets import asset_folder
from shorewatch.clock import BoardClock, StationClock
from shorewatch.config import load_station
from shorewatch.decode import HEADER_SIZE, Header, parse_header
from shorewatch.events import (
    ENTRIES_A_READ,
    READS_A_POLL,
    SHOWN_MAX,
    EventReader,
    Noted,
    parse_entry,
)
from shorewatch.outbox import SIZE_BYTES_MIN, Outbox
from shorewatch.plan import BoardPlan, compile_board

NOW = datetime(2026, 11, 23, tzinfo=UTC)
NOW_S = 5000.0


@cache
def plan_of(board: str) -> BoardPlan:
    return compile_board(load_station(asset_folder("stations") / "sumqayit.toml"), board)


def clock() -> StationClock:
    return StationClock(lambda: NOW_S, lambda: NOW)


class Ring:
    """A board's ring, 100 s after its boot; `reads` is what was asked for."""

    def __init__(self, boot_id: int = 7) -> None:
        self.boot_id = boot_id
        self.next = 0
        self.entries: dict[int, list[int]] = {}
        self.reads: list[tuple[int, int]] = []
        self.clock = BoardClock(boot_id)
        self.clock.note(100_000, NOW_S - 0.002, NOW_S)

    def stamp(self, source: int = 0x0100, code: int = 0, value: int = 0, ms: int = 99_000) -> None:
        words = [self.next >> 16, self.next & 0xFFFF, source, code, value, 0, ms >> 16, ms & 0xFFFF]
        self.entries[self.next % 256] = words
        self.next += 1

    @property
    def header(self) -> Header:
        words = [0x5357, 1, *[0] * (HEADER_SIZE - 2)]
        words[6:8] = self.boot_id >> 16, self.boot_id & 0xFFFF
        words[22:25] = self.next >> 16, self.next & 0xFFFF, 256
        return parse_header(words)

    async def read(self, address: int, count: int) -> list[int]:
        await asyncio.sleep(0)
        if address == 6:
            return [self.boot_id >> 16, self.boot_id & 0xFFFF]
        self.reads.append((address, count))
        first, left = divmod(address - 0x8000, 8)
        assert left == 0 and count <= 125 and first + count // 8 <= 256
        places = range(first, first + count // 8)
        return [word for i in places for word in self.entries.get(i, [0xFFFF] * 8)]


class Records:
    """Records in a list; implements the events' protocol."""

    def __init__(self) -> None:
        self.all: list[tuple[str, datetime, dict[str, object]]] = []
        self.kept: dict[str, dict[str, object]] = {}

    async def put(self, kind, at, body, keep=None) -> bool:
        self.all.append((kind, at, body))
        self.kept[keep[0]] = keep[1]
        return True

    def keep(self, name, facts) -> bool:
        self.kept[name] = facts
        return True

    def bodies(self, kind: str) -> list[dict[str, object]]:
        return [body for k, _, body in self.all if k == kind]


async def poll(reader: EventReader, ring: Ring) -> None:
    await reader.poll(ring.header, NOW_S, ring.clock, ring.read)


async def told(ring: Ring, board: str = "beach") -> Records:
    """What one poll of a reader that begins here records."""
    records = Records()
    await poll(EventReader(plan_of(board), records, clock()), ring)
    return records


async def test_a_contact_is_named_with_its_time():
    """A contact's event says which one, what it did, and when, as UTC."""
    ring = Ring()
    ring.stamp(0x0101, 0x8000, 3, ms=98_500)
    ((kind, at, body),) = (await told(ring)).all

    assert (kind, body["source"], body["what"]) == ("event", "beach-contacts.room-door", "raised")
    assert (body["changes"], body["sequence"], body["clock_ms"]) == (3, 0, 98_500)
    true_at = NOW - timedelta(seconds=1.5)
    assert abs((at - true_at).total_seconds()) <= body["uncertainty_s"] < 0.01
    assert "uncertain" not in body


async def test_a_watched_bit_is_named_by_its_label():
    """The code of a watch gives device, point and bit; the word is what the board saw."""
    plan = plan_of("pfe-room")
    code = next(i for i, w in enumerate(plan.watches) if w.bit not in (None, 0))
    watch, ring = plan.watches[code], Ring()
    ring.stamp(watch.block.index, code, 0)
    (body,) = (await told(ring, "pfe-room")).bodies("event")

    assert body["source"] == f"{watch.block.device.id}.{watch.point.id}"
    assert (body["what"], body["bit"], body["word"]) == ("over", watch.bit, 0)
    assert body["label"] == watch.point.labels[str(watch.bit)]


async def test_a_watched_word_says_its_limit(write, station_text):
    """An event of a threshold has the limit as the profile gives it, and the number in its unit."""
    profile = asset_folder("stations").parent / "shorewatch" / "profiles" / "xy-md02.toml"
    text = profile.read_text().replace('id = "xy-md02"', 'id = "own"', 1)
    write("s.toml", station_text.replace('profile = "xy-md02"', 'profile = "own"'))
    folder = write("s.toml", station_text.replace('"xy-md02"', '"own"')).parent / "profiles"
    folder.mkdir()
    (folder / "own.toml").write_text(text.replace("deadband = 0.1", "watch_above = 30", 1))
    plan = compile_board(load_station(folder.parent / "s.toml"), "beach")
    code = next(i for i, w in enumerate(plan.watches) if w.block.device.id == "room")
    records, ring = Records(), Ring()
    ring.stamp(plan.watches[code].block.index, 0x8000 | code, 314)
    await poll(EventReader(plan, records, clock()), ring)

    (body,) = records.bodies("event")
    assert (body["source"], body["what"]) == ("room.temperature", "raised")
    assert (body["above"], body["word"], body["value"]) == (30, 314, 31.4)


TIED = """
id = "own"
name = "Own"
source = "none: a device of this test"
whole = [{ table = "input", address = 0, count = 2 }]
[[point]]
id = "gas"
name = "Gas"
table = "input"
address = 0
type = "u16"
rated = -100
rated_raw = 1000
quality_by = { point = "health", bad = ["broken"] }
watch_below = -50
[[point]]
id = "health"
name = "Health"
table = "input"
address = 1
type = "enum"
labels = { 0 = "well", 1 = "broken" }
"""


async def test_a_watched_word_stands_for_itself(write, station_text):
    """A word whose quality another point tells, and whose scale is negative, is told as it is."""
    write("profiles/own.toml", TIED)
    station = load_station(write("s.toml", station_text.replace('"xy-md02"', '"own"')))
    plan = compile_board(station, "beach")
    code = next(i for i, w in enumerate(plan.watches) if w.block.device.id == "room")
    records, ring = Records(), Ring()
    ring.stamp(plan.watches[code].block.index, 0x8000 | code, 600)
    await poll(EventReader(plan, records, clock()), ring)

    (body,) = records.bodies("event")
    assert (body["below"], body["word"], body["value"]) == (-50, 600, -60)


async def test_an_unset_clock_is_said():
    """An event read before the wall clock was ever set says so, and has the board's own time."""
    records, ring = Records(), Ring()
    ring.stamp(ms=98_500)
    unset = StationClock(lambda: NOW_S, lambda: datetime(1970, 1, 1, 1, tzinfo=UTC))
    await poll(EventReader(plan_of("beach"), records, unset), ring)

    (body,) = records.bodies("event")
    assert (body["uncertain"], body["clock_ms"]) == ("clock-unsynchronised", 98_500)


async def test_one_poll_reads_a_bounded_part():
    """However many wait, one poll makes two reads; polls go on until all are read, in order."""
    records, ring = Records(), Ring()
    reader = EventReader(plan_of("beach"), records, clock())
    for n in range(200):
        ring.stamp(value=n)
    await poll(reader, ring)
    assert len(ring.reads) == READS_A_POLL
    assert len(records.all) == READS_A_POLL * ENTRIES_A_READ
    for _ in range(6):
        await poll(reader, ring)

    assert [body["changes"] for body in records.bodies("event")] == list(range(200))
    assert not records.bodies("loss")


async def test_what_was_overwritten_is_lost_aloud():
    """More than the ring holds: a loss with its count and the last that was read, then the rest."""
    records, ring = Records(), Ring()
    reader = EventReader(plan_of("beach"), records, clock())
    for _ in range(3):
        ring.stamp()
    await poll(reader, ring)
    for _ in range(300):
        ring.stamp()
    for _ in range(10):
        await poll(reader, ring)

    (loss,) = records.bodies("loss")
    assert (loss["what"], loss["last_read"], loss["count"]) == ("event", 2, 44)
    found = [body["sequence"] for body in records.bodies("event")]
    assert found == [*range(3), *range(47, 303)]


async def test_a_new_boot_is_a_possible_loss():
    """After a reset nobody knows what was stamped last: a loss says since when."""
    records, ring = Records(), Ring()
    reader = EventReader(plan_of("beach"), records, clock())
    ring.stamp()
    await poll(reader, ring)
    after = Ring(boot_id=8)
    after.stamp()
    await poll(reader, after)

    (loss,) = records.bodies("loss")
    assert (loss["boot"], loss["next_boot"], loss["count"]) == ("00000007", "00000008", None)
    assert (loss["last_read"], loss["from_at"]) == (0, "2026-11-23T00:00:00.000Z")
    assert [(b["boot"], b["sequence"]) for b in records.bodies("event")] == [
        ("00000007", 0), ("00000008", 0),
    ]  # fmt: skip


async def test_events_of_another_boot_are_not_taken():
    """A board that was reset between header and ring has the same numbers for other events."""
    records, ring = Records(), Ring()
    reader = EventReader(plan_of("beach"), records, clock())
    ring.stamp(value=1)
    header = ring.header
    ring.boot_id = 8
    ring.stamp(value=2)
    await reader.poll(header, NOW_S, ring.clock, ring.read)

    assert not records.all


async def test_an_entry_overwritten_under_our_hands_is_left():
    """An entry that another has taken the place of is told as lost by the next header."""
    records, ring = Records(), Ring()
    reader = EventReader(plan_of("beach"), records, clock())
    ring.stamp()
    header = ring.header
    for _ in range(256):
        ring.stamp()
    await reader.poll(header, NOW_S, ring.clock, ring.read)
    assert not records.all
    await poll(reader, ring)

    assert records.bodies("loss")[0]["count"] == 1


async def test_a_board_that_nothing_can_stamp_is_not_asked(write, station_text):
    """Without watches and contacts a board's ring is not read, and its resets lose nothing."""
    text = station_text.partition('[[board.input]]\nid = "lid-switch"')[0]
    text = text.replace('profile = "bmh-unit"', 'profile = "sdm630"')
    plan = compile_board(load_station(write("s.toml", text)), "beach")
    records, ring = Records(), Ring()
    ring.stamp()
    await poll(EventReader(plan, records, clock()), ring)

    assert not records.all and not ring.reads and not records.kept


def test_an_entry_that_was_never_written_is_none():
    """The sequence of all ones means that nothing was ever stamped there."""
    assert parse_entry([0xFFFF] * 8) is None


class Killed(BaseException):
    """The gateway is gone from one instant to the next."""


class Mortal:
    """An outbox whose owner dies after so many of its calls."""

    def __init__(self, outbox: Outbox, calls: int) -> None:
        self._outbox = outbox
        self._calls = calls
        self.kept = outbox.kept

    def _live(self) -> None:
        self._calls -= 1
        if self._calls < 0:
            raise Killed

    async def put(self, kind, at, body, keep=None) -> bool:
        self._live()
        await self._outbox.put(kind, at, body, keep=keep)
        # Committed or not when the end comes: both happen, depending on what follows.
        if self._calls % 2:
            await self._outbox.settled()
        self._live()
        return True

    def keep(self, name, facts) -> bool:
        self._live()
        return self._outbox.keep(name, facts)


async def life(paths: tuple[Path, Path], ring: Ring, calls: int, stamps: int) -> None:
    """A gateway that dies at a call of its outbox; the second path is what is then on the disk."""
    async with Outbox.opened(paths[0], size_bytes_max=SIZE_BYTES_MIN) as outbox:
        with suppress(Killed):
            reader = EventReader(plan_of("beach"), Mortal(outbox, calls), clock())
            for _ in range(4):
                for _ in range(stamps):
                    ring.stamp(value=ring.next & 0xFFFF)
                await poll(reader, ring)
            await outbox.settled()
        # In the writer's thread: between two commits, never within one.
        await asyncio.get_running_loop().run_in_executor(outbox._thread, copy_disk, *paths)


def copy_disk(from_path: Path, to_path: Path) -> None:
    for end in ("", "-wal"):
        shutil.copy(f"{from_path}{end}", f"{to_path}{end}")


@settings(max_examples=25)
@given(lives=st.lists(st.tuples(st.integers(0, 40), st.integers(0, 9)), min_size=1, max_size=5))
def test_a_killed_gateway_repeats_and_skips_nothing(tmp_path_factory, lives):
    """Killed before, at or after any commit, a gateway that goes on has each event once."""
    folder = tmp_path_factory.mktemp("kill")

    async def history() -> None:
        ring = Ring()
        for n, (calls, stamps) in enumerate([*lives, (10_000, 1), (10_000, 0)]):
            await life((folder / str(n), folder / str(n + 1)), ring, calls, stamps)
        path = folder / str(len(lives) + 2)
        async with Outbox.opened(path, size_bytes_max=SIZE_BYTES_MIN) as outbox:
            found = await outbox.read(0, 10_000)
        assert [record.body["sequence"] for record in found] == list(range(ring.next))

    asyncio.run(history())


async def test_the_last_events_and_losses_are_kept_to_be_shown():
    """Of all records that pass, the newest events and losses are at hand, and none is held back."""
    passed = []

    class Sink:
        kept: ClassVar = {}

        async def put(self, kind, at, body, keep=None) -> bool:
            passed.append((kind, keep))
            return True

        def keep(self, name, facts) -> bool:
            return True

    noted = Noted(Sink())
    for number in range(SHOWN_MAX + 3):
        await noted.put("event", NOW, {"what": f"e{number}"}, ("cursor", {}))
        await noted.put("sample", NOW, {"device": "d"})
    await noted.put("loss", NOW, {"what": "gone"})

    assert len(passed) == 2 * (SHOWN_MAX + 3) + 1 and passed[0] == ("event", ("cursor", {}))
    assert [event["what"] for event in noted.events][-2:] == [f"e{SHOWN_MAX + 2}", "gone"]
    assert len(noted.events) == SHOWN_MAX
