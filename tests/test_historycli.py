"""`shorewatch history`: what a person, or a file, is given of a point."""

import asyncio
import csv
import json
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from test_history import START_AT, Bench, Clocks, opened

from shorewatch import historycli
from shorewatch.control import serving
from shorewatch.errors import UsageError
from shorewatch.historycli import text

ASK = {"do": "history", "point": "room.temperature"}
HOUR = {"from": "2026-11-22T16:00:30Z", "to": "2026-11-22T17:00:30Z"}


async def an_hour(bench: Bench) -> None:
    """Twenty minutes good with one spike, twenty bad, twenty not recorded, and a moment good."""
    for second in range(1200):
        await bench.run(1, 99.0 if second == 613 else 20.0 + second % 3)
    bench.put(None)
    await bench.run(1200, flush_s=60)
    bench.clocks.go(1195)
    await bench.run(5, 21.0)


async def test_a_spike_stands_out_and_a_gap_stays_blank(sumqayit, tmp_path) -> None:
    """In sixty columns: a full bar where the spike was, × where bad, blank where unknown."""
    async with opened(sumqayit, tmp_path) as bench:
        await an_hour(bench)
        reply = await bench.history.answer({**ASK, **HOUR, "points": 600})
        rows = await bench.history.answer({**ASK, **HOUR, "points": 20})
    shown = text(reply, rows["spans"]).splitlines()
    bars = shown[1][:60]
    assert 1 <= bars.count("█") <= 2 and "×" * 18 in bars and " " * 18 in bars
    assert shown[1].endswith("20 to 99 degC")
    assert shown[2] == "2026-11-22 16:00:30 to 2026-11-22 17:00:30 UTC"
    assert sum("not-recorded" in line for line in shown) <= 3
    assert any("device-timeout" in line for line in shown)
    assert max(map(len, shown)) <= 80


async def test_a_text_point_is_a_table_without_bars(sumqayit, tmp_path) -> None:
    """What a label was, since when; there is no line of bars, for there is no scale."""
    async with opened(sumqayit, tmp_path) as bench:
        for label in ("closed", "open"):
            await bench.run(10, label)  # type: ignore[arg-type]
        reply = await bench.history.answer({**ASK, **HOUR, "points": 60})
    shown = text(reply, reply["spans"])
    assert "closed" in shown and "open" in shown
    assert not set(shown) & set("▁▂▃▄▅▆▇█")


async def test_files_have_every_span(sumqayit, tmp_path) -> None:
    """CSV with a header and JSON hold the same spans, from a station that runs."""
    clocks = Clocks()
    async with opened(sumqayit, tmp_path, clocks) as bench:
        await bench.run(30, 21.0)
        async with serving(tmp_path, bench.history.answer):
            files = [tmp_path / "a.csv", tmp_path / "a.json"]
            command = [
                sys.executable, "-m", "shorewatch", "history", "room.temperature",
                "--since", "2026-11-22T16:00:30Z", "--state-dir", str(tmp_path),
                "--csv", str(files[0]), "--json", str(files[1]),
            ]  # fmt: skip
            done = await asyncio.to_thread(
                subprocess.run, command, capture_output=True, text=True, check=False
            )
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader(files[0].read_text().splitlines()))
    spans = json.loads(files[1].read_text())["spans"]
    assert [row["from"] for row in rows] == [span["from"] for span in spans]
    assert rows[-1]["last"] == "21.0" and rows[-1]["quality"] == "good"


@pytest.mark.parametrize(
    ("given", "back_s"), [("90s", 90), ("30m", 1800), ("2h", 7200), ("1.5d", 129_600)]
)
def test_since_is_a_span_before_the_end(given: str, back_s: float) -> None:
    """In seconds, minutes, hours or days."""
    assert historycli.parse_since(given, START_AT) == START_AT - timedelta(seconds=back_s)


@pytest.mark.parametrize("given", ["2", "h", "-2h", "yesterday", "2026-11-22", "9999999999d"])
def test_a_since_without_sense_is_refused(given: str) -> None:
    """A time needs its zone; the error says what is understood."""
    with pytest.raises(UsageError, match="--since"):
        historycli.parse_since(given, START_AT)


def test_where_nothing_runs_it_says_what_to_do(tmp_path: Path) -> None:
    """As every tool that asks a running station."""
    command = [sys.executable, "-m", "shorewatch", "history", "a.b", "--state-dir", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0 and "no station runs in" in done.stderr
