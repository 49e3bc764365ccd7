"""history.py: what was put is found again, and nothing that befalls its file harms anybody."""

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from importlib import resources
from itertools import pairwise
from pathlib import Path

import pytest

from shorewatch.config import Station, load_station
from shorewatch.errors import HistoryError
from shorewatch.history import History, World
from shorewatch.image import Image
from shorewatch.model import Quality, Reason, Value, from_text
from shorewatch.trend import GOOD, NOT_RECORDED, Span, to_state

START_AT = datetime(2026, 11, 22, 16, 0, 30, tzinfo=UTC)
SHIPPED = Path(str(resources.files("shorewatch"))) / "profiles"
BAD = Value(Quality.BAD, Reason.DEVICE_TIMEOUT)
POINT = ("room", "temperature")


class Clocks:
    """Clocks and a disk that only the test moves."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.wall_at = START_AT
        self.free = 10**12

    def world(self) -> World:
        return World(lambda: self.now_s, lambda: self.wall_at, lambda _: self.free)

    def go(self, seconds: float) -> None:
        self.now_s += seconds
        self.wall_at += timedelta(seconds=seconds)


class Bench:
    """A history driven by hand: it looks and flushes when told."""

    def __init__(self, clocks: Clocks, image: Image, history: History) -> None:
        self.clocks, self.image, self.history = clocks, image, history

    def put(self, value: float | None, quality: Quality = Quality.GOOD) -> None:
        found = BAD
        if value is not None:
            reason = None if quality is Quality.GOOD else Reason.CLOCK
            found = Value(quality, reason, value, self.clocks.wall_at, self.clocks.now_s)
        self.image.put("room", {"temperature": found})

    async def run(self, seconds: int, value: float | None = None, flush_s: int = 5) -> None:
        """Let time pass second by second; `value` is put in each of them."""
        for second in range(seconds):
            self.clocks.go(1)
            if value is not None:
                self.put(value)
            self.history.look()
            if second % flush_s == flush_s - 1:
                await self.history.flush()

    async def spans(self, from_s: float = 0, to_s: float = 1e9, count: int = 5000) -> list[Span]:
        return await self.history.query(
            *POINT, START_AT + timedelta(seconds=from_s),
            START_AT + timedelta(seconds=min(to_s, 10**7)), count,
        )  # fmt: skip


def since_start(spans: list[Span]) -> list[tuple[float, object, bool]]:
    """Seconds after the start, last value, whether it was recorded."""
    start_ms = round(START_AT.timestamp() * 1000)
    return [((s.from_ms - start_ms) / 1000, s.last, s.worst != NOT_RECORDED) for s in spans]


@pytest.fixture
def station(write, station_text) -> Station:
    return load_station(write("s.toml", station_text))


@asynccontextmanager
async def opened(
    station: Station, folder: Path, clocks: Clocks | None = None
) -> AsyncIterator[Bench]:
    clocks = clocks or Clocks()
    image = Image(station, lambda: clocks.now_s)
    history = History(station, image, folder, clocks.world())
    running = asyncio.create_task(history.run())
    await history.flush()
    try:
        yield Bench(clocks, image, history)
    finally:
        running.cancel()
        await asyncio.wait([running])


async def test_every_change_is_found_with_its_time(station, tmp_path) -> None:
    """Two values between two looks are two changes, at the times at which they were acquired."""
    async with opened(station, tmp_path) as bench:
        for value in (21.0, 21.5, 21.5, 22.0):
            bench.clocks.go(0.25)
            bench.put(value)
        bench.clocks.go(0.5)
        found = since_start(await bench.spans(0.25))
    assert found == [(0.25, 21.0, True), (0.5, 21.5, True), (1.0, 22.0, True)]


async def test_a_bad_value_and_its_reason_are_found(station, tmp_path) -> None:
    """The span of a value ends where it went bad, not where it was read last."""
    async with opened(station, tmp_path) as bench:
        bench.clocks.go(1)
        bench.put(21.0)
        bench.clocks.go(2)
        bench.put(None)
        bench.clocks.go(2)
        good, bad = (await bench.spans(1))[-2:]
    assert (good.worst, good.to_ms - good.from_ms, good.good_ms) == (GOOD, 2000, 2000)
    assert (bad.worst, bad.mean, bad.known_ms) == (to_state(BAD), None, 0)


async def test_what_nobody_put_again_goes_stale(station, tmp_path) -> None:
    """A board that falls silent draws no straight line."""
    async with opened(station, tmp_path) as bench:
        bench.put(21.0)
        age_s_max = station.devices["room"].points["temperature"].age_max_s
        await bench.run(int(age_s_max) + 5)
        last = (await bench.spans())[-1]
    assert last.worst == to_state(Value(Quality.BAD, Reason.STALE))
    assert last.from_ms / 1000 - START_AT.timestamp() <= age_s_max + 1


async def test_an_integer_past_the_doubles_stays_exact(station, tmp_path) -> None:
    """And so does a text: neither is rounded on its way to the file and back."""
    big = 2**63 + 1
    async with opened(station, tmp_path) as bench:
        bench.put(big)
        await bench.run(300, big, 5)
    async with opened(station, tmp_path, bench.clocks) as bench:
        assert {s.last for s in await bench.spans(0, 300) if s.known_ms} == {big}


async def test_the_time_between_two_runs_is_a_gap(station, tmp_path) -> None:
    """A value held at the end of one run and at the beginning of the next did not hold between."""
    async with opened(station, tmp_path) as bench:
        await bench.run(20, 21.0)
    clocks = bench.clocks
    clocks.go(100)
    async with opened(station, tmp_path, clocks) as bench:
        await bench.run(10, 21.0)
        found = [(s.known_ms > 0, s.is_recorded) for s in await bench.spans(2)]
        gap = next(s for s in await bench.spans(2) if not s.is_recorded)
    assert (True, True) in found and (False, False) in found
    assert 99_000 <= gap.to_ms - gap.from_ms <= 102_000


async def test_a_gateway_that_was_stopped_and_goes_on_shows_the_gap(station, tmp_path) -> None:
    """SIGSTOP, a suspended machine: the time in which nobody looked is not recorded."""
    async with opened(station, tmp_path) as bench:
        await bench.run(20, 21.0)
        bench.clocks.go(3600)
        await bench.run(20, 21.0)
        gap_ms = sum(s.to_ms - s.from_ms for s in await bench.spans(1) if not s.is_recorded)
    assert 3_599_000 <= gap_ms <= 3_601_100


async def test_after_a_day_there_are_minutes(station, tmp_path) -> None:
    """Changes are kept for a day; of what is older, each minute's extremes and share of good."""
    async with opened(station, tmp_path) as bench:
        await bench.run(3600, 21.0, 60)
        bench.put(35.0)
        bench.clocks.go(0.1)
        await bench.run(3600, 21.0, 60)
        for _ in range(26 * 6):
            await bench.run(60, 21.0, 60)
            bench.clocks.now_s += 540
            bench.clocks.wall_at += timedelta(seconds=540)
        await bench.run(10, 21.0)
        spans = await bench.spans(0, 7200)
        spike = next(span for span in spans if span.high == 35.0)
    assert all(span.to_ms - span.from_ms == 60_000 for span in spans[:100])
    assert spike.low == 21.0 and spike.mean == pytest.approx(21 + 14 * 1.1 / 60, abs=0.1)
    assert spike.good_ms == spike.known_ms == 60_000


async def test_no_spike_disappears_from_a_thinned_answer(station, tmp_path) -> None:
    """Ten columns for an hour still show the one reading that stood out."""
    async with opened(station, tmp_path) as bench:
        for minute in range(60):
            await bench.run(30, 20.0 + minute % 2, 30)
            if minute == 40:
                bench.clocks.go(0.5)
                bench.put(-12.5)
            await bench.run(30, 20.5, 30)
        spans = await bench.spans(count=10)
    assert len(spans) <= 10 and min(s.low for s in spans if s.low is not None) == -12.5


async def test_before_the_clock_is_set_nothing_is_dated(station, tmp_path) -> None:
    """What was read until then gets its true time as soon as the wall clock has it."""
    clocks = Clocks()
    clocks.wall_at = datetime(1970, 1, 1, 0, 5, tzinfo=UTC)
    async with opened(station, tmp_path, clocks) as bench:
        await bench.run(1, 20.0)
        await bench.run(9, 21.0)
        with pytest.raises(HistoryError, match="clock was not set"):
            await bench.spans()
        clocks.wall_at = START_AT + timedelta(seconds=10)
        await bench.run(5, 21.0)
        values = [(at, value) for at, value, _ in since_start(await bench.spans()) if value]
    assert values == [(1.0, 20.0), (2.0, 21.0)]


async def test_a_clock_set_back_overrules_what_was_dated_wrongly(station, tmp_path) -> None:
    """From the step on the later session counts; no time has two values."""
    async with opened(station, tmp_path) as bench:
        await bench.run(600, 21.0)
        bench.clocks.wall_at -= timedelta(seconds=300)
        await bench.run(60, 22.0)
        found = await bench.spans(0, 600)
    values = {value for at, value, _ in since_start(found) if at >= 302}
    assert values == {22.0}
    assert all(a.to_ms == b.from_ms for a, b in pairwise(found))


async def test_a_reader_does_not_wait_for_the_writer(station, tmp_path) -> None:
    """A query is answered while a write transaction is open, and a write during a read."""
    async with opened(station, tmp_path) as bench:
        await bench.run(10, 21.0)
        other = sqlite3.connect(tmp_path / "history.sqlite", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        assert await bench.spans()
        other.execute("ROLLBACK")
        other.execute("BEGIN")
        other.execute("SELECT count(*) FROM raw").fetchall()
        await bench.run(10, 22.0)
        assert bench.history.is_well
        other.close()


GARBAGE = {
    "no database": lambda path: path.write_bytes(b"nonsense" * 1000),
    "foreign": lambda path: sqlite3.connect(path).executescript("CREATE TABLE t (a)").close(),
    "newer": lambda path: (
        sqlite3.connect(path)
        .executescript(
            "PRAGMA application_id = 0x53576869; PRAGMA user_version = 99; CREATE TABLE t(a)"
        )
        .close()
    ),
}


@pytest.mark.parametrize("what", GARBAGE)
async def test_a_file_that_is_not_ours_to_use_is_moved_aside(station, tmp_path, what) -> None:
    """A new one begins at once; health names the old one and where it is."""
    path = tmp_path / "history.sqlite"
    GARBAGE[what](path)
    before = path.read_bytes()
    async with opened(station, tmp_path) as bench:
        await bench.run(10, 21.0)
        (aside,) = tmp_path.glob("history.sqlite.aside-*")
        assert aside.read_bytes() == before
        assert bench.history.is_well and aside.name in str(bench.history.health)
        assert (await bench.spans())[-1].last == 21.0


async def test_only_the_newest_damaged_files_are_kept(station, tmp_path) -> None:
    """A disk that damages each new file is not filled with damaged files."""
    clocks = Clocks()
    for _ in range(4):
        (tmp_path / "history.sqlite").write_bytes(b"nonsense" * 1000)
        async with opened(station, tmp_path, clocks) as bench:
            await bench.run(10, 21.0)
        clocks.go(60)
        for end in ("", "-wal", "-shm"):
            (tmp_path / f"history.sqlite{end}").unlink(missing_ok=True)
    assert len([*tmp_path.glob("history.sqlite.aside-*")]) == 2


async def test_damage_while_running_costs_no_more_than_the_file(station, tmp_path) -> None:
    """Pages overwritten under the writer are noticed; what memory has goes into a new file."""
    async with opened(station, tmp_path) as bench:
        await bench.run(20, 21.0)
    path = tmp_path / "history.sqlite"
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * (size - 4096))
    async with opened(station, tmp_path, bench.clocks) as bench:
        await bench.run(120, 21.0)
        assert bench.history.is_well and "aside" in str(bench.history.health)
        assert (await bench.spans(30))[-1].last == 21.0


async def test_a_file_that_cannot_be_made_costs_only_the_history(station, tmp_path) -> None:
    """A folder in its place is named in health; values go on being taken, up to a limit."""
    (tmp_path / "history.sqlite").mkdir()
    async with opened(station, tmp_path) as bench:
        await bench.run(60, 21.0)
        assert not bench.history.is_well
        with pytest.raises(HistoryError, match="cannot be opened"):
            await bench.spans()
        (tmp_path / "history.sqlite").rmdir()
        await bench.run(60, 21.0)
        assert bench.history.health is None
        assert since_start(await bench.spans())[1][:2] == (1.0, 21.0), "nothing was lost meanwhile"


async def test_a_short_disk_is_given_the_histories_room(station, tmp_path) -> None:
    """Below the reserve it stops, says so, and deletes until the disk has room or it is empty."""
    clocks = Clocks()
    async with opened(station, tmp_path, clocks) as bench:
        for hour in range(30):
            for minute in range(60):
                bench.clocks.go(59)
                bench.history.look()
                bench.put(hour + minute / 100)
                await bench.run(1)
            await bench.history.flush()
        before = [s for s in await bench.spans(0, 7200) if s.known_ms]
        clocks.free = 1_000_000
        await bench.run(10, 21.0)
        assert "less than 100 MB free" in str(bench.history.health)
        with pytest.raises(HistoryError, match="is stopped"):
            await bench.spans()
        assert [*tmp_path.glob("history.sqlite*")] == []
        clocks.free = 10**12
        await bench.run(10, 21.0)
        after = [s for s in await bench.spans(0, 7200) if s.known_ms]
        assert bench.history.health is None
    assert before and not after


async def test_numbers_of_another_unit_are_another_past(write, station_text, tmp_path) -> None:
    """A reload that changes a unit leaves the old numbers behind; changed back, they are there."""
    file = write("s.toml", station_text)
    station = load_station(file)
    profile = station.devices["room"].profile.id
    text = (SHIPPED / f"{profile}.toml").read_text()
    write("profiles/own.toml", text.replace(f'"{profile}"', '"own"').replace("degC", "degF"))
    file.write_text(station_text.replace(f'profile = "{profile}"', 'profile = "own"'))
    fahrenheit = load_station(file)
    async with opened(station, tmp_path) as bench:
        await bench.run(10, 21.0)
        bench.history.adopt(fahrenheit)
        await bench.run(10, 70.0)
        assert {s.last for s in await bench.spans() if s.last is not None} == {70.0}
        bench.history.adopt(station)
        assert {s.last for s in await bench.spans() if s.last is not None} == {21.0}


async def test_what_was_switched_off_says_so(write, station_text, tmp_path) -> None:
    """No file is made, values are not compared, a question is refused with the reason."""
    station = load_station(write("s.toml", "[history]\nrecord = false\n" + station_text))
    async with opened(station, tmp_path) as bench:
        bench.put(21.0)
        with pytest.raises(HistoryError, match="switched off"):
            await bench.spans()
        assert bench.history.status["recorded"] == 0 and bench.history.health is None
    assert not (tmp_path / "history.sqlite").exists()


async def test_a_question_without_sense_is_refused(station, tmp_path) -> None:
    """Each refusal names what is wrong, and what there is instead."""
    async with opened(station, tmp_path) as bench:
        await bench.run(10, 21.0)
        ask = {"do": "history", "from": "2026-11-22T16:00:00Z", "to": "2026-11-22T17:00:00Z"}
        for more, words in (
            ({"point": "room.temprature"}, "did you mean 'temperature'"),
            ({"point": "rom.temperature"}, "there is no device 'rom'"),
            ({"point": "room.temperature", "from": "yesterday"}, "yesterday"),
            ({"point": "room.temperature", "from": "2027-01-01T00:00:00Z"}, "before now"),
            ({"point": "room.temperature", "points": 1}, "ask for 2 to 5000"),
            ({}, "no device ''"),
        ):
            with pytest.raises(ValueError, match=words):
                await bench.history.answer({**ask, **more})
        reply = await bench.history.answer({**ask, "point": "room.temperature"})
        spans = reply["spans"]
        assert isinstance(spans, list)
        assert from_text(spans[-1]["to"]) == bench.clocks.wall_at
        assert (spans[-1]["last"], spans[-1]["quality"], reply["unit"]) == (21.0, "good", "degC")


KILLED = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from shorewatch.config import load_station
from test_history import opened

async def main():
    async with opened(load_station(Path(sys.argv[1])), Path(sys.argv[2])) as bench:
        number = 0
        while True:
            for _ in range(50):
                number += 1
                bench.clocks.go(0.1)
                bench.put(number / 10)
            bench.history.look()
            await bench.history.flush()
            print(number, flush=True)

asyncio.run(main())
"""


@pytest.mark.parametrize("delay_s", [0.3, 0.7, 1.1])
async def test_kill_9_costs_what_was_not_flushed(write, station_text, tmp_path, delay_s) -> None:
    """Whenever it is killed: the file opens, and has each value that was flushed, in order."""
    path = write("s.toml", station_text)
    command = [sys.executable, "-c", KILLED, str(path), str(tmp_path), str(Path(__file__).parent)]
    writer = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    assert writer.stdout is not None
    first = await writer.stdout.readline()
    await asyncio.sleep(delay_s)
    writer.kill()
    told = (first + await writer.stdout.read()).decode().split()
    await writer.wait()
    clocks = Clocks()
    clocks.go(20_000)
    async with opened(load_station(path), tmp_path, clocks) as bench:
        assert bench.history.health is None
        expected = [number / 10 for number in range(1, int(told[-1]))]
        values: list[object] = []
        for begin_s in range(0, int(expected[-1]) + 1, 200):
            values += [s.last for s in await bench.spans(begin_s, begin_s + 200) if s.known_ms]
        assert [v for v, n in pairwise([*values, None]) if v != n][: len(expected)] == expected
