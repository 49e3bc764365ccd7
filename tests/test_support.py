"""support.py: what helps from afar is in the bundle, and no secret is."""

import asyncio
import io
import json
import logging
import subprocess
import sys
import zipfile
from base64 import b64decode
from datetime import UTC, datetime

from running_station import running_station

from shorewatch import support
from shorewatch.model import utc_now
from shorewatch.people import save_person
from shorewatch.support import LastLines, packed, parts_here

CANARY = "canary-5f1d"


def unpacked(data: bytes) -> dict[str, bytes]:
    """The parts of a bundle, by name."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        return {
            name.removeprefix("shorewatch-support/"): archive.read(name)
            for name in archive.namelist()
        }


async def test_a_running_station_s_bundle_has_what_helps_and_no_secret(tmp_path, quiet_text):
    """Versions, values, records, log and figures; not what a secret's file or a comment says."""
    secret = tmp_path / "word"
    secret.write_text(CANARY)
    secret.chmod(0o600)
    uplink = f'''
[[uplink]]
id = "noc"
url = "mqtt://127.0.0.1:1"
user = "gw"
password_file = "{secret}"
'''
    text = f"# the old password was {CANARY}\n{quiet_text}{uplink}"
    async with running_station(tmp_path, text) as station:
        await station.until_good()
        save_person(station.state, "ali", f"{CANARY} horse", utc_now())
        (station.state / "page.key").write_text(f"-----BEGIN PRIVATE KEY----- {CANARY}")
        await station.ask("note", text="a note")
        parts = unpacked(b64decode((await station.ask("support"))["zip"]))

    assert {
        "about.json", "alarms.jsonl", "databases.json", "events.jsonl", "files.json", "log.txt",
        "machine.json", "profiles/xy-md02.json", "station.json", "status.json",
    } <= parts.keys()  # fmt: skip
    everything = b"".join(parts.values())
    assert CANARY.encode() not in everything and b"argon2" not in everything
    assert json.loads(parts["about.json"])["libraries"]["shorewatch"]
    names = {row["name"] for row in json.loads(parts["files.json"])["files"]}
    assert {"users.json", "page.key", "outbox.sqlite"} <= names
    assert json.loads(parts["station.json"])["uplink"][0]["password_file"] == str(secret)
    assert b'"text":"a note"' in parts["alarms.jsonl"]
    assert b'"what":"started"' in parts["events.jsonl"]
    assert b"station sumqayit" in parts["log.txt"]
    assert json.loads(parts["databases.json"])["outbox"]["written"] > 0
    assert json.loads(parts["machine.json"])["process"]["VmRSS"].endswith("kB")


async def test_without_a_gateway_there_is_what_the_folder_tells(tmp_path):
    """The command writes that, says that nobody answers, and ends with 2."""
    (tmp_path / "outbox.sqlite").write_bytes(b"x" * 10)
    out = tmp_path / "out" / "b.zip"
    out.parent.mkdir()
    command = [
        sys.executable, "-m", "shorewatch", "support", "--out", str(out),
        "--state-dir", str(tmp_path),
    ]  # fmt: skip
    done = await asyncio.to_thread(
        subprocess.run, command, capture_output=True, text=True, check=False
    )
    parts = unpacked(out.read_bytes())

    assert done.returncode == 2 and "no station runs in" in done.stderr
    assert b"no station runs in" in parts["gateway.txt"]
    assert {"name": "outbox.sqlite", "size_bytes": 10}.items() <= next(
        row for row in json.loads(parts["files.json"])["files"] if row["name"] == "outbox.sqlite"
    ).items()
    assert out.stat().st_mode & 0o777 == 0o600


def test_too_many_records_leave_the_newest(monkeypatch):
    """The bundle stays within its limit; the older half of the records goes, again and again."""
    monkeypatch.setattr(support, "ZIP_BYTES_MAX", 3000)
    rows = [{"seq": i, "text": str(hash((i, "x")))} for i in range(1000)]
    data = packed({"about.json": b"{}"}, {"events": rows})
    kept = [json.loads(line)["seq"] for line in unpacked(data)["events.jsonl"].splitlines()]

    assert len(data) <= 3000
    assert kept == list(range(1000 - len(kept), 1000)) and kept


def test_a_folder_that_is_not_there_is_told(tmp_path):
    """Nothing of it is listed, and the machine's figures are there all the same."""
    parts = parts_here(tmp_path / "gone", "ali")

    assert json.loads(parts["files.json"])["files"] == []
    assert json.loads(parts["machine.json"])["free_bytes"] == 0


async def test_the_last_lines_of_the_log_are_kept(monkeypatch):
    """While the block lasts, in order, each cut, the oldest going first."""
    monkeypatch.setattr(support, "LOG_LINES", 3)
    monkeypatch.setattr(support, "LINE_CHARS", 60)
    log = logging.getLogger("shorewatch.test")
    async with LastLines() as last:
        for i in range(5):
            log.warning("line %d %s", i, "x" * 100)
    log.warning("after")

    assert [line.split(": ")[1][:6] for line in last.lines] == ["line 2", "line 3", "line 4"]
    assert max(map(len, last.lines)) == 60
    assert last.lines[0].startswith(f"{datetime.now(UTC):%Y}")
