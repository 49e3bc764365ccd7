"""noc.py at real brokers: what a NOC's own program gets, and what is acknowledged of it."""

import asyncio
import json
import re
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from fake_journal import FakeJournal

from shorewatch.errors import ConfigError, UsageError
from shorewatch.mqtt.client import connected
from shorewatch.noc import Access, Delivery, Key, follow

PREFIX = "shorewatch/v1/cable/coast"
README = Path(__file__).parents[2] / "supervisor" / "README.md"


class Stored:
    """A NOC's store: what it was given, in the order of the deliveries."""

    def __init__(self) -> None:
        self.seqs: list[int] = []
        self.holes: list[tuple[int, int]] = []
        self.history: set[int] = set()
        self.late: list[int] = []

    def add(self, delivery: Delivery) -> None:
        self.seqs += [record.seq for record in delivery.records]
        self.late += [record.seq for record in delivery.late]
        self.holes += [(hole.first, hole.last) for hole in delivery.holes]
        self.history |= {record.seq for record in delivery.records if record.is_history}


@asynccontextmanager
async def storing(url, stored, **options):  # type: ignore[no-untyped-def]
    """A NOC that stores what it is given and calls it done."""

    async def store() -> None:
        async for delivery in noc:
            stored.add(delivery)
            await delivery.done()

    async with follow(url, **options) as noc:
        task = asyncio.create_task(store())
        try:
            yield noc
        finally:
            task.cancel()
            await asyncio.wait([task])


async def test_every_record_comes_once_and_is_then_acknowledged(broker, bench, until) -> None:  # type: ignore[no-untyped-def]
    """A NOC gets all records in order, and the station lets go of them after `done`."""
    stored = Stored()
    async with bench(broker.url) as b, storing(broker.url, stored, consumer="noc") as noc:
        await b.write(3000)
        await until(lambda: b.uplink.status.cursor == 3000, "everything acknowledged")
        assert stored.seqs == list(range(1, 3001))
        assert noc.broker[0] == "online"
        assert list(noc.stations) == ["trans-caspian/sumqayit"]


async def test_nothing_is_acknowledged_that_is_not_done(broker, bench, until) -> None:  # type: ignore[no-untyped-def]
    """What a NOC has taken and not stored stays at the station, and comes again after a restart."""
    async with bench(broker.url) as b:
        async with follow(broker.url, consumer="noc") as noc:
            await b.write(10)
            first = await anext(noc)
            await first.done()
            await until(lambda: b.uplink.status.cursor == first.last, "the first acknowledged")
            await b.write(10)
            again = await anext(noc)
            await asyncio.sleep(1.2)  # longer than an ack takes
            assert b.uplink.status.cursor == first.last
        stored = Stored()
        async with storing(broker.url, stored, consumer="noc"):
            await until(lambda: b.uplink.status.cursor == 20, "everything acknowledged")
        assert again.records[0].seq == stored.seqs[0] == first.last + 1
        assert stored.seqs == list(range(first.last + 1, 21))


async def test_marks_in_a_file_say_where_to_go_on(broker, bench, until, tmp_path) -> None:  # type: ignore[no-untyped-def]
    """A NOC that is restarted goes on behind its last `done`, though the broker forgot its ack."""
    stored, marks = Stored(), tmp_path / "noc.marks"
    async with bench(broker.url) as b:
        async with storing(broker.url, stored, consumer="noc", marks=marks):
            await b.write(50)
            await until(lambda: b.uplink.status.cursor == 50, "the first 50 acknowledged")
        await broker.kill()
        await broker.start()
        async with storing(broker.url, stored, consumer="noc", marks=marks):
            await b.write(50)
            await until(lambda: b.uplink.status.cursor == 100, "everything acknowledged")
        assert stored.seqs == list(range(1, 101))
        (found,) = json.loads(marks.read_bytes())["trans-caspian/sumqayit"].values()
        assert found == 100


class FakeStation:
    """A station that answers replays by the wire's contract, at a real broker."""

    def __init__(self, connection, key: Key) -> None:  # type: ignore[no-untyped-def]
        self.journal = FakeJournal()
        self.asked: list[tuple[int, int]] = []
        self._connection = connection
        self._key = key

    async def send(self, topic: str, payload: bytes | None, *, retained: bool = False) -> None:
        assert payload is not None
        await self._connection.publish(f"{PREFIX}/{topic}", payload, qos=1, is_retained=retained)

    async def answer(self) -> None:
        await self._connection.subscribe(f"{PREFIX}/request/+")
        async for message in self._connection.messages():
            body = json.loads(message.payload)
            asked = json.loads(body["request"])
            assert self._key.sign(PREFIX, body["request"].encode()) == message.payload
            self.asked.append((asked["first"], asked["last"]))
            topic = f"reply/noc/{asked['id']}"
            reply, *batches = self.journal.replay(asked["id"], asked["first"], asked["last"])
            await self.send(topic, reply)
            for batch in batches:
                await self.send(f"{topic}/records", batch)


@pytest.fixture
async def coast(broker):  # type: ignore[no-untyped-def]
    async with connected(
        "127.0.0.1", broker.port, client_id="station", incoming_bytes_max=10_000
    ) as connection:
        made = FakeStation(connection, Key("noc", "k" * 32))
        answering = asyncio.create_task(made.answer())
        try:
            yield made
        finally:
            answering.cancel()
            await asyncio.wait([answering])


async def test_a_gap_is_filled_by_a_replay(broker, coast, until) -> None:  # type: ignore[no-untyped-def]
    """Who has a key asks for exactly what is missing, and what came early waits for it."""
    stored, journal = Stored(), coast.journal
    access = Access(key=Key("noc", "k" * 32))
    async with storing(broker.url, stored, access=access, stations=["cable/coast"]) as noc:
        await until(lambda: noc.broker[0] == "online", "the broker")
        journal.write(100)
        await coast.send("state", journal.state(), retained=True)
        await coast.send("journal", journal.batch(0, 10))
        journal.evict(range(40, 50))
        await coast.send("state", journal.state(), retained=True)
        await coast.send("journal", journal.batch(90, 20))
        await until(lambda: len(stored.seqs) == 91, "all that is kept")

    assert stored.seqs == [*range(1, 40), *range(50, 102)]
    assert stored.holes == [(40, 49)]
    assert coast.asked == [(11, 90)]
    assert {11, 90} <= stored.history


async def test_what_a_forged_batch_passed_over_is_had_after_all(broker, coast, until) -> None:  # type: ignore[no-untyped-def]
    """Somebody who plays a station and skips its records hides none of them: they come as late."""
    stored, journal = Stored(), coast.journal
    async with storing(broker.url, stored, stations=["cable/coast"]) as noc:
        await until(lambda: noc.broker[0] == "online", "the broker")
        journal.write(20)
        await coast.send("state", journal.state(), retained=True)
        await coast.send("journal", journal.batch(0, 5))
        forged = {"after": 5, "first": 15, "last": 15, "records": [journal.kept[15]]}
        await coast.send("journal", json.dumps({"journal": journal.identity} | forged).encode())
        await coast.send("journal", journal.batch(5))
        await until(lambda: len(stored.seqs + stored.late) == 20, "all that was written")

    assert stored.holes == [(6, 14)]
    assert stored.seqs == [*range(1, 6), *range(15, 21)]
    assert stored.late == list(range(6, 15))


async def test_a_consumer_may_begin_with_the_first_kept_record(broker, coast, until) -> None:  # type: ignore[no-untyped-def]
    """From the first on: what was acknowledged long ago is asked for by a replay."""
    stored, journal = Stored(), coast.journal
    journal.write(300)
    journal.evict(range(1, 101), is_told=False)
    journal.cursor = 300
    await coast.send("state", journal.state(), retained=True)
    access = Access(key=Key("noc", "k" * 32))
    async with storing(broker.url, stored, access=access, is_from_first=True):
        await until(lambda: len(stored.seqs) == 200, "all that is kept")

    assert stored.seqs == list(range(101, 301)) and stored.holes == []


@pytest.mark.parametrize("options", [{"consumer": "N O C"}, {"url": "http://x"}])
async def test_what_has_no_form_is_refused_at_once(options: dict[str, str]) -> None:
    """A wrong url or consumer is a ConfigError before anything is connected."""
    with pytest.raises(ConfigError):
        async with follow(options.pop("url", "mqtt://127.0.0.1:1"), **options):  # type: ignore[arg-type]
            pass


@pytest.mark.parametrize("text", ["", "[]", '{"a": 5}', '{"a": {"j": -1}}', '{"a": {"j": true}}'])
async def test_a_file_that_holds_no_marks_is_refused(tmp_path: Path, text: str) -> None:
    """Another file is not taken for marks: that would begin anew in silence."""
    path = tmp_path / "marks"
    path.write_text(text)
    with pytest.raises(UsageError, match="holds no marks"):
        async with follow("mqtt://127.0.0.1:1", marks=path):
            pass


async def test_the_readmes_example_runs(broker, bench, until, tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    """The program in the README stores what a station writes."""
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.S)
    monkeypatch.chdir(tmp_path)
    scope: dict[str, object] = {"__name__": "example"}
    exec(compile(code, str(README), "exec"), scope)
    async with bench(broker.url) as b:
        task = asyncio.create_task(scope["main"](broker.url))  # type: ignore[operator]
        await b.write(100)
        await until(lambda: b.uplink.status.cursor == 100, "everything acknowledged")
        task.cancel()
        await asyncio.wait([task])
    assert len((tmp_path / "records.txt").read_text().splitlines()) == 100
