"""`shorewatch watch` as a process: what it keeps survives any kill, and is it whole?"""

import asyncio
import json
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from fake_journal import FakeJournal

from shorewatch.errors import UplinkError
from shorewatch.mqtt import watch
from shorewatch.mqtt.client import connected
from shorewatch.mqtt.follower import Follower

PREFIX = "shorewatch/v1/cable/coast"


@pytest.fixture
async def watching():  # type: ignore[no-untyped-def]
    """Starts the command; none outlives the test."""
    started: list[Process] = []

    async def start(url: str, *arguments: str | Path) -> Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "shorewatch", "watch", url, *map(str, arguments),
            stdout=PIPE, stderr=PIPE, stdin=DEVNULL,
        )  # fmt: skip
        started.append(process)
        return process

    yield start
    for process in started:
        if process.returncode is None:
            process.kill()
            await process.communicate()


def lines(path: Path) -> list[dict[str, object]]:
    """The whole lines of a file that is perhaps being written."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_bytes().splitlines(True) if line[-1:] == b"\n"]


async def test_a_file_is_whole_after_any_kill(broker, bench, until, watching, tmp_path) -> None:  # type: ignore[no-untyped-def]
    """Killed with SIGKILL while records come, and started again: each record is there once."""
    path, account = tmp_path / "records.jsonl", tmp_path / "account.json"
    arguments = ["--acknowledge", "noc", "--jsonl", path, "--verify", "--json", account]
    async with bench(broker.url) as b:
        for number in range(1, 4):
            process = await watching(broker.url, *arguments)
            await b.write(1500)
            await until(lambda n=number: len(lines(path)) > 1500 * (n - 1) + 300, "some lines")
            process.kill()
            await process.communicate()
        process = await watching(broker.url, *arguments)
        assert process.stdout is not None
        while b"sumqayit: online" not in await process.stdout.readline():
            pass  # the one before may have had all: this one must have heard of the station
        await until(lambda: b.uplink.status.cursor == 4500, "everything acknowledged")
        process.send_signal(signal.SIGTERM)
        out, _ = await process.communicate()

    assert [line["seq"] for line in lines(path)] == list(range(1, 4501))
    assert process.returncode == 0, out.decode()
    assert "4,500 records, 1 to 4500" in out.decode()
    assert json.loads(account.read_bytes())["ok"] is True


async def test_a_hole_that_nothing_explains_ends_it_with_one(broker, watching, tmp_path) -> None:  # type: ignore[no-untyped-def]
    """A station that lost records without a word: exit code 1, and the first hole is named."""
    path, journal = tmp_path / "records.jsonl", FakeJournal()
    journal.write(20)
    journal.evict(range(5, 9), is_told=False)
    async with connected("127.0.0.1", broker.port, client_id="station") as station:
        state = journal.state(at="2026-11-22T12:00:00Z")
        await station.publish(f"{PREFIX}/state", state, qos=1, is_retained=True)
        process = await watching(broker.url, "--jsonl", path, "--verify")
        while not lines(path):
            await station.publish(f"{PREFIX}/journal", journal.batch(0) or b"", qos=1)
            await asyncio.sleep(0.2)
        process.send_signal(signal.SIGINT)
        out, _ = await process.communicate()

    assert process.returncode == 1
    assert "records 5 to 8 are missing: the station no longer had it" in out.decode()


async def test_lines_go_to_standard_output_and_nothing_else_does(
    broker, bench, until, watching
) -> None:  # type: ignore[no-untyped-def]
    """With `--jsonl -` a program that reads the pipe gets records, and people the rest."""
    async with bench(broker.url) as b:
        process = await watching(broker.url, "--acknowledge", "noc", "--jsonl", "-", "--verify")
        await b.write(200)
        await until(lambda: b.uplink.status.cursor == 200, "everything acknowledged")
        process.send_signal(signal.SIGINT)
        out, err = await process.communicate()

    assert [json.loads(line)["seq"] for line in out.splitlines()] == list(range(1, 201))
    assert "200 records, 1 to 200" in err.decode()
    assert process.returncode == 0


class Ending:
    """A connection that is lost at the very moment at which whoever has it is cancelled."""

    def __init__(self) -> None:
        self.is_used = asyncio.Event()

    async def subscribe(self, *topics: str, is_as_published: bool = False) -> list[int]:
        self.is_used.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError as error:
            raise UplinkError("lost", "the broker is gone") from error
        return []


async def test_it_ends_when_it_is_told_to_while_the_broker_goes(monkeypatch):
    """A cancellation that comes together with the end of a connection is not forgotten."""
    ending = Ending()

    @asynccontextmanager
    async def connect(*_: object, **__: object) -> AsyncIterator[Ending]:
        yield ending

    monkeypatch.setattr(watch, "connected", connect)
    following = asyncio.create_task(watch.follow("mqtt://127.0.0.1:1", Follower()))
    await ending.is_used.wait()
    following.cancel()

    with pytest.raises(asyncio.CancelledError):
        await following
