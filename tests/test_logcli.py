"""`shorewatch log`: what a person at a terminal is told of what happened."""

import asyncio
import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta

from test_diary import NOW, diary, record

from shorewatch.control import serving
from shorewatch.figures import figures
from shorewatch.logcli import line, told

AT = "2026-11-22T16:44:00.123Z"


def test_a_line_says_when_what_and_who():
    """An alarm's record, with the operator's words."""
    row = {
        "seq": 1, "kind": "alarm", "at": AT, "alarm": "lid", "what": "shelved", "priority": "major",
        "text": "Lid is open", "by": "ali", "note": "splice work", "source": "manhole.lid",
    }  # fmt: skip

    assert line(row) == (
        "2026-11-22 16:44:00.123 major lid shelved by ali: Lid is open; splice work"
    )


def test_an_event_says_how_far_its_time_may_be_off():
    """The uncertainty stands beside it."""
    row = {"seq": 1, "kind": "event", "at": AT, "source": "contacts.door", "what": "raised"}

    assert line(row | {"uncertainty_s": 0.0042}).endswith("contacts.door raised: ± 4.2 ms")
    assert line(row).endswith("contacts.door raised")


def test_no_text_steers_the_terminal():
    """A control character is shown as a mark."""
    shown = line({"seq": 1, "kind": "note", "at": AT, "by": "ali", "text": "\x1b[2Jgone"})

    assert "\x1b" not in shown and "[2Jgone" in shown


def test_figures_stand_beside_their_aims():
    """Rates, floods, the most frequent, what chatters, what stands for a day."""
    begin = datetime(2026, 11, 22, tzinfo=UTC)
    shown = told(figures([], begin, begin + timedelta(days=1), []) | {"reaches": AT})

    assert "an hour                   0.0   aim: at most 6" in shown
    assert "reaches back to 2026-11-22 16:44:00.123 UTC" in shown
    assert max(map(len, shown.splitlines())) <= 80


async def test_a_running_station_is_asked(tmp_path):
    """Lines, the newest last; or all of it as JSON; a filter that makes no sense is refused."""
    found, _ = diary(record(1, minutes_ago=2), record(2, minutes_ago=1, alarm="warm"))

    async def run(*more):
        command = [
            sys.executable, "-m", "shorewatch", "log", "--state-dir", str(tmp_path),
            "--until", NOW.isoformat(), *more,
        ]  # fmt: skip
        return await asyncio.to_thread(
            subprocess.run, command, capture_output=True, text=True, check=False
        )

    async with serving(tmp_path, found.answer):
        lines, as_json, refused = await asyncio.gather(
            run(), run("--json"), run("--priority", "high")
        )

    assert [row.split()[3] for row in lines.stdout.splitlines()[:2]] == ["lid", "warm"]
    assert [row["seq"] for row in json.loads(as_json.stdout)["records"]] == [2, 1]
    assert refused.returncode != 0 and "`priority` has no 'high'" in refused.stderr
