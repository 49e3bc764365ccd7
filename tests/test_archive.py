"""archive.py: the byte cap wins over days, and a reader sees whole commits only."""

import random
import sqlite3
import threading
from pathlib import Path

import pytest

from shorewatch.archive import Archive, Live, Reader
from shorewatch.errors import HistoryError
from shorewatch.trend import GOOD, HOUR_MS, NOT_RECORDED, Change, Span

START_MS = 1_800_000_000_000 // HOUR_MS * HOUR_MS
NAMES = [f"d.p{number}" for number in range(20)]
NOBODY = Live(10**6, 2**60, 2**60, [])


def an_hour(hour: int, seed: int = 0) -> dict[str, list[Change]]:
    """A noisy value each second of each point."""
    dice = random.Random(seed + hour)
    begin_ms = START_MS + hour * HOUR_MS
    return {
        name: [Change(begin_ms + 1000 * i, GOOD, dice.random()) for i in range(0, 3600, 4)]
        for name in NAMES
    }


def filled(path: Path, size_bytes_max: int, hours: int) -> Archive:
    archive = Archive(path, size_bytes_max)
    archive.begin(START_MS)
    archive.register(dict.fromkeys(NAMES, True))
    for hour in range(hours):
        end_ms = START_MS + (hour + 1) * HOUR_MS
        archive.commit(end_ms, {}, an_hour(hour), is_whole=True)
        while archive.roll(end_ms):
            pass
    return archive


def known_hours(path: Path, hours: int) -> list[bool]:
    reader = Reader(path)
    spans = reader.read(NAMES[0], START_MS, START_MS + hours * HOUR_MS, NOBODY)
    reader.close()
    return [
        any(s.known_ms for s in spans if START_MS + h * HOUR_MS <= s.from_ms < _end(h))
        for h in range(hours)
    ]


def _end(hour: int) -> int:
    return START_MS + (hour + 1) * HOUR_MS


def test_the_byte_cap_wins_over_days(tmp_path) -> None:
    """File and log together stay below it; the oldest hours are not recorded, the newest are."""
    path = tmp_path / "h.sqlite"
    archive = filled(path, 2_000_000, 40)
    size_bytes = sum(file.stat().st_size for file in tmp_path.glob("h.sqlite*"))
    known = known_hours(path, 40)
    archive.close()
    assert size_bytes - 32_768 <= 2_000_000  # the map of the log is no data
    assert not known[0] and all(known[-5:])
    assert known == sorted(known), "what is left has no hole"


def test_a_lower_cap_gives_the_disk_its_room_back(tmp_path) -> None:
    """A file beyond it shrinks; what is newest stays."""
    path = tmp_path / "h.sqlite"
    filled(path, 16_000_000, 30).close()
    before = path.stat().st_size
    archive = Archive(path, 4_000_000)
    archive.begin(_end(29))
    for _ in range(10):
        archive.commit(_end(29), {}, {}, is_whole=True)
        archive.purge(START_MS, START_MS)
    archive.close()
    assert path.stat().st_size < before / 2
    assert known_hours(path, 30)[-1]


def test_a_reader_sees_whole_commits_while_they_are_made(tmp_path) -> None:
    """Each of many reads beside a busy writer has the points of one commit, and no error."""
    path = tmp_path / "h.sqlite"
    archive = filled(path, 16_000_000, 1)
    reader = Reader(path)
    found: list[int] = []
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            spans = reader.read(NAMES[0], START_MS, START_MS + 100 * HOUR_MS, NOBODY)
            found.append(sum(span.known_ms for span in spans))

    thread = threading.Thread(target=read)
    thread.start()
    for hour in range(1, 12):
        archive.commit(_end(hour), {}, an_hour(hour), is_whole=True)
    stop.set()
    thread.join()
    archive.close()
    reader.close()
    assert found and all(ms % HOUR_MS == 0 for ms in found)


def test_what_the_tail_has_is_there_after_a_crash(tmp_path) -> None:
    """Changes that stood in no chunk when the process died, each once."""
    path = tmp_path / "h.sqlite"
    archive = Archive(path, 4_000_000)
    archive.begin(START_MS)
    archive.register({"d.a": True, "d.b": False})
    changes = [Change(START_MS + 1000 * i, GOOD, i) for i in range(10)]
    texts = [Change(START_MS + 1000, GOOD, "open"), Change(START_MS + 2000, NOT_RECORDED, None)]
    archive.commit(START_MS + 5000, {"d.a": changes[:5], "d.b": texts}, {}, is_whole=False)
    archive.commit(START_MS + 9500, {"d.a": changes[5:]}, {"d.a": changes[:7]}, is_whole=False)
    copy = sqlite3.connect(tmp_path / "copy.sqlite")
    source = sqlite3.connect(path)
    source.backup(copy)
    source.close()
    copy.close()
    archive.close()
    Archive(tmp_path / "copy.sqlite", 4_000_000).close()
    reader = Reader(tmp_path / "copy.sqlite")
    spans = reader.read("d.a", START_MS, START_MS + 20_000, NOBODY)
    assert [span.last for span in spans] == [*range(10), None]
    assert not spans[-1].is_recorded and spans[-1].from_ms == START_MS + 9500
    labels = reader.read("d.b", START_MS, START_MS + 9000, NOBODY)
    assert [span.last for span in labels] == [None, "open", None]
    reader.close()


def test_a_garbled_chunk_is_a_gap(tmp_path) -> None:
    """The chunks before and after it are read as ever."""
    path = tmp_path / "h.sqlite"
    archive = filled(path, 16_000_000, 0)
    for hour in range(3):
        archive.commit(_end(hour), {}, an_hour(hour), is_whole=True)
    archive.close()
    editor = sqlite3.connect(path)
    editor.execute(
        "UPDATE raw SET data = x'01ff00ff' WHERE from_ms BETWEEN ? AND ?",
        (START_MS + HOUR_MS, START_MS + 2 * HOUR_MS - 1),
    )
    editor.commit()
    editor.close()
    assert known_hours(path, 3) == [True, False, True]
    archive = Archive(path, 16_000_000)
    while archive.roll(_end(2)):
        pass
    archive.close()
    assert known_hours(path, 3) == [True, False, True]


def test_another_programs_database_is_refused(tmp_path) -> None:
    """It is not touched."""
    path = tmp_path / "h.sqlite"
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE t (a)")
    other.close()
    before = path.read_bytes()
    with pytest.raises(HistoryError, match="another program's"):
        Archive(path, 4_000_000)
    assert path.read_bytes() == before


def test_an_unknown_point_is_one_gap(tmp_path) -> None:
    """From begin to end, not recorded."""
    path = tmp_path / "h.sqlite"
    filled(path, 4_000_000, 1).close()
    reader = Reader(path)
    spans: list[Span] = reader.read("d.none", START_MS, START_MS + 5000, NOBODY)
    reader.close()
    assert [(s.from_ms, s.to_ms, s.worst) for s in spans] == [
        (START_MS, START_MS + 5000, NOT_RECORDED)
    ]
