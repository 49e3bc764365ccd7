"""desk.py and replay.py over real brokers: done once, on record, answered; nothing else at all."""

import asyncio
import json
import os
import sqlite3
import subprocess
import sys
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from fake_alarms import FakeAlarms
from requester import KEY, signed

from shorewatch.config import VERBS, UplinkConfig
from shorewatch.mqtt import desk
from shorewatch.mqtt.client import Message, connected
from shorewatch.mqtt.login import client_id_of
from shorewatch.outbox import Outbox


class Noc:
    """A requester with a key, at a broker."""

    def __init__(self, connection, b, listener, until) -> None:  # type: ignore[no-untyped-def]
        self._connection, self._listener, self._until = connection, listener, until
        self.bench = b

    def signed(self, do: str, **more: object) -> tuple[str, bytes]:
        """A request's id, and its payload."""
        return signed(self.bench.prefix, self.bench.outbox.journal, do, **more)

    async def send(self, payload: bytes, *, by: str = "noc", retained: bool = False) -> int:
        topic = f"{self.bench.prefix}/request/{by}"
        return await self._connection.publish(topic, payload, qos=1, is_retained=retained)

    async def reply(self, request_id: str):  # type: ignore[no-untyped-def]
        found = await self._until(lambda: self._listener.of(f"/reply/noc/{request_id}"), "a reply")
        return json.loads(found[0].payload)

    async def ask(self, do: str, **more: object):  # type: ignore[no-untyped-def]
        request_id, payload = self.signed(do, **more)
        await self.send(payload)
        return await self.reply(request_id)

    async def until_refused(self, count: int, why: str) -> None:
        await self._until(lambda: self.bench.uplink.status.requests.refused == count, why)
        assert why in self.bench.uplink.status.requests.last_refusal


@pytest.fixture
def noc(bench, listening, until, tmp_path):  # type: ignore[no-untyped-def]
    """A station online at a broker, and somebody who may ask it."""

    @asynccontextmanager
    async def make(broker, **more: object):  # type: ignore[no-untyped-def]
        key_file = tmp_path / "noc.key"
        if not key_file.exists():
            key_file.write_text(f"{KEY}\n")
            key_file.chmod(0o600)
        requester = {"id": "noc", "key_file": str(key_file), **more}
        async with (
            bench(broker.url, requester=[requester]) as b,
            listening(broker.port) as listener,
            connected("127.0.0.1", broker.port, client_id=f"noc-{os.urandom(4).hex()}") as link,
        ):
            await b.until_state("online")
            yield Noc(link, b, listener, until), b, listener

    return make


async def audits(outbox: Outbox) -> list[dict[str, object]]:
    await outbox.settled()
    return [dict(r.body) for r in await outbox.read(0, 1000) if r.kind == "audit"]


async def test_an_alarm_is_acknowledged_from_the_noc(broker, noc) -> None:  # type: ignore[no-untyped-def]
    """The alarm desk is asked in the requester's name; the reply follows the record."""
    async with noc(broker) as (somebody, b, _):
        reply = await somebody.ask("acknowledge", alarm="lid-open", operator="Aysel")
        records = await audits(b.outbox)
    assert reply["ok"] is True
    assert (reply["do"], reply["alarm"], reply["state"]) == (
        "acknowledge", "lid-open", "acknowledged",
    )  # fmt: skip
    assert b.alarms.asked == [{"do": "acknowledge", "alarm": "lid-open", "by": "Aysel (noc)"}]
    assert [(r["what"], r["by"], r["id"]) for r in records] == [
        ("request", "Aysel (noc)", reply["id"])
    ]
    assert b.uplink.status.requests.accepted == 1


async def test_what_the_alarms_refuse_is_told_and_recorded(broker, noc) -> None:  # type: ignore[no-untyped-def]
    """A request that fits but cannot be done gets its reason, and so does the journal."""
    async with noc(broker) as (somebody, b, _):
        reply = await somebody.ask("note", alarm="no-such", text="hello")
        records = await audits(b.outbox)
    assert (reply["ok"], reply["why"]) == (False, "there is no alarm 'no-such'")
    assert [r["what"] for r in records] == ["request", "request failed"]


@pytest.mark.parametrize(
    ("do", "more", "asked"),
    [
        ("shelve", {"for_s": 60, "reason": "work"}, {"seconds": 60, "text": "work"}),
        ("out-of-service", {"reason": "broken"}, {"text": "broken"}),
        ("note", {"text": "seen"}, {"text": "seen"}),
    ],
)
async def test_arguments_reach_the_alarms_by_their_names(broker, noc, do, more, asked) -> None:  # type: ignore[no-untyped-def]
    """What a request calls reason, text or for_s is what the alarm desk calls text and seconds."""
    async with noc(broker) as (somebody, b, _):
        assert (await somebody.ask(do, alarm="lid-open", **more))["ok"] is True
    assert b.alarms.asked == [{"do": do, "alarm": "lid-open", "by": "noc", **asked}]


async def test_a_repeated_message_is_done_once(broker, noc, until) -> None:  # type: ignore[no-untyped-def]
    """The same bytes a second time do nothing and are shown; who lost the answer has it again."""
    async with noc(broker) as (somebody, b, listener):
        request_id, payload = somebody.signed("test-alarm")
        await somebody.send(payload)
        await somebody.reply(request_id)
        await somebody.send(payload)
        await somebody.until_refused(1, "used before")
        await until(lambda: len(listener.of(f"/reply/noc/{request_id}")) == 2)
        first, again = (m.payload for m in listener.of(f"/reply/noc/{request_id}"))
        assert first == again and json.loads(again)["ok"] is True
    assert len(b.alarms.asked) == 1


async def test_a_used_id_with_other_words_gets_no_answer(broker, noc, until) -> None:  # type: ignore[no-untyped-def]
    """Only the very bytes that were answered are answered again; a repeated replay runs once."""
    async with noc(broker) as (somebody, b, listener):
        await b.write(3)
        request_id, payload = somebody.signed("replay", first=1, last=3)
        await somebody.send(payload)
        await until(lambda: listener.of(f"/reply/noc/{request_id}/records"))
        _, other = signed(b.prefix, b.outbox.journal, "test-alarm", id=request_id)
        await somebody.send(other)
        await somebody.until_refused(1, "used before")
        await somebody.send(payload)
        await until(lambda: len(listener.of(f"/reply/noc/{request_id}")) == 2)
        await somebody.ask("test-alarm")
        assert len(listener.of(f"/reply/noc/{request_id}/records")) == 1
    assert len(b.alarms.asked) == 1


async def test_a_repeated_message_is_known_after_a_restart(broker, noc) -> None:  # type: ignore[no-untyped-def]
    """An id that was used is refused by the next run of the gateway."""
    async with noc(broker) as (somebody, b, _):
        request_id, payload = somebody.signed("test-alarm")
        await somebody.send(payload)
        await somebody.reply(request_id)
    async with noc(broker) as (somebody, b, _):
        await somebody.send(payload)
        await somebody.until_refused(1, "used before")
    assert b.alarms.asked == []


async def test_what_cannot_be_trusted_changes_nothing(broker, noc) -> None:  # type: ignore[no-untyped-def]
    """Forged, foreign, oversized and shapeless messages are counted, shown and recorded once."""
    async with noc(broker) as (somebody, b, listener):
        _, payload = somebody.signed("acknowledge", alarm="lid-open")
        forged = json.loads(payload) | {"hmac": "0" * 64}
        await somebody.send(json.dumps(forged).encode())
        await somebody.until_refused(1, "another key")
        await somebody.send(payload, by="nobody")
        await somebody.until_refused(2, "no configured requester")
        await somebody.send(b"x" * 4001)
        await somebody.until_refused(3, "4001 bytes")
        await somebody.send(b"\xff{")
        await somebody.until_refused(4, "is no {")
        records = await audits(b.outbox)
        assert not listener.of("/reply")
    assert b.alarms.asked == []
    assert [(r["what"], r["count"]) for r in records] == [("request refused", 1)]


async def test_a_request_left_on_the_broker_is_refused(broker, noc, station) -> None:  # type: ignore[no-untyped-def]
    """What stands retained when the station connects is none of its requests."""
    async with connected("127.0.0.1", broker.port, client_id="early") as early:
        topic = f"{station.prefix}/request/noc"
        await early.publish(topic, b"{}", qos=1, is_retained=True)
    async with noc(broker) as (somebody, b, _):
        await somebody.until_refused(1, "is retained")
    assert b.alarms.asked == []


async def test_a_request_sent_to_stay_is_refused(guarded, noc) -> None:  # type: ignore[no-untyped-def]
    """A live request with the retain flag is refused, where the broker passes the flag on."""
    await guarded.start("topic readwrite #\n")
    async with noc(guarded) as (somebody, b, _):
        await somebody.send(somebody.signed("test-alarm")[1], retained=True)
        await somebody.until_refused(1, "is retained")
    assert b.alarms.asked == []


async def test_a_key_is_read_anew(broker, noc, tmp_path, until) -> None:  # type: ignore[no-untyped-def]
    """A key that is too short is shown before anybody asks; a sound one counts from then on."""
    (tmp_path / "noc.key").write_text("short")
    (tmp_path / "noc.key").chmod(0o600)
    async with noc(broker) as (somebody, b, _):
        assert "5 characters" in b.uplink.status.requests.trouble
        await somebody.send(somebody.signed("test-alarm")[1])
        await somebody.until_refused(1, "has no key here")
        (tmp_path / "noc.key").write_text(KEY)
        assert (await somebody.ask("test-alarm"))["ok"] is True
        assert b.uplink.status.requests.trouble is None


async def test_a_request_is_done_once_whatever_becomes_of_its_reply(noc, broker, until) -> None:  # type: ignore[no-untyped-def]
    """With the connection gone before the reply, it is done all the same, and answered later."""
    async with noc(broker) as (somebody, b, _):
        request_id, payload = somebody.signed("test-alarm")
        desk_of = b.uplink._requests
        asked = b.alarms.answer
        gone = asyncio.Event()

        async def answer(request):  # type: ignore[no-untyped-def]
            gone.set()
            await until(lambda: b.uplink.status.attempts > 1)
            return await asked(request)

        b.alarms.answer = answer
        await somebody.send(payload)
        await gone.wait()
        # Who takes our client id takes our connection.
        ours = client_id_of(b.station, b.uplink._config)
        async with connected("127.0.0.1", broker.port, client_id=ours) as rival:
            await rival.disconnect()
        assert (await somebody.reply(request_id))["ok"] is True
        assert desk_of.status.accepted == 1
    assert len(b.alarms.asked) == 1


def sent(listener, request_id: str) -> list[dict[str, object]]:  # type: ignore[no-untyped-def]
    return [json.loads(m.payload) for m in listener.of(f"/reply/noc/{request_id}/records")]


async def test_a_replay_brings_the_records_again(broker, noc, until) -> None:  # type: ignore[no-untyped-def]
    """All records from first to last come as batches without a hole, the last one marked."""
    async with noc(broker) as (somebody, b, listener):
        await b.write(1000)
        await b.outbox.settled()
        reply = await somebody.ask("replay", first=11, last=900)
        batches = await until(
            lambda: (found := sent(listener, reply["id"])) and "end" in found[-1] and found
        )
    assert (reply["first"], reply["last"], reply["count"]) == (11, 900, 890)
    assert [r["seq"] for batch in batches for r in batch["records"]] == list(range(11, 901))
    assert [batch["after"] for batch in batches[1:]] == [batch["last"] for batch in batches[:-1]]
    assert {batch["replay"] for batch in batches} == {reply["id"]}
    assert {batch["journal"] for batch in batches} == {b.outbox.journal}
    assert [batch.get("end") for batch in batches] == [None] * (len(batches) - 1) + [True]


async def test_a_replay_of_nothing_says_so(broker, noc, until) -> None:  # type: ignore[no-untyped-def]
    """Where nothing is kept, the count is 0 and one empty batch is the end."""
    async with noc(broker) as (somebody, b, listener):
        reply = await somebody.ask("replay", first=5000, last=6000)
        (batch,) = await until(lambda: sent(listener, reply["id"]))
    assert (reply["ok"], reply["count"]) == (True, 0)
    assert batch == {
        "journal": b.outbox.journal, "after": 4999, "first": 5000, "last": 6000,
        "records": [], "replay": reply["id"], "end": True,
    }  # fmt: skip


async def test_one_replay_at_a_time(broker, noc, until) -> None:  # type: ignore[no-untyped-def]
    """A second replay is refused while the first goes on, and taken after its end."""
    async with noc(broker) as (somebody, b, listener):
        b.uplink._requests._replaying.add("noc")
        assert "goes on" in (await somebody.ask("replay", first=1, last=2))["why"]
        b.uplink._requests._replaying.clear()
        first = await somebody.ask("replay", first=1, last=2)
        await until(lambda: sent(listener, first["id"]))
        await until(lambda: not b.uplink._requests._replaying)
        assert (await somebody.ask("replay", first=1, last=2))["ok"] is True


async def test_a_rebirth_publishes_all_that_is_retained(broker, noc, until) -> None:  # type: ignore[no-untyped-def]
    """State, every birth, every device's values and the alarms come again; not twice at once."""
    async with noc(broker) as (somebody, b, listener):
        b.alarms.become("lid-open", "unacknowledged")
        b.measure("pfe", 1.0)
        wanted = {f"birth/{d}" for d in b.station.devices} | {f"now/{d}" for d in b.station.devices}
        wanted |= {"state", "alarms", "alarm/lid-open"}

        def seen() -> set[str]:
            return {m.topic.split("/", 4)[4] for m in listener.messages}

        await until(lambda: seen() >= wanted)
        await until(lambda: not b.uplink.refused_topics)
        listener.messages.clear()
        assert (await somebody.ask("rebirth"))["ok"] is True
        await until(lambda: seen() >= wanted)
        assert "within 10 s" in (await somebody.ask("rebirth"))["why"]


async def test_the_id_is_in_the_commit_of_its_record(broker, noc, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """What the file has after a reply is the record and the used id, as one commit left them."""
    async with noc(broker) as (somebody, _, _):
        reply = await somebody.ask("test-alarm")
        path = tmp_path / "copy.sqlite"
        for suffix in ("", "-wal"):
            (tmp_path / f"copy.sqlite{suffix}").write_bytes(
                (tmp_path / f"outbox.sqlite{suffix}").read_bytes()
            )
        with sqlite3.connect(path) as database:
            kept = database.execute("SELECT facts FROM kept WHERE name = 'request/0'").fetchone()
            rows = database.execute("SELECT body FROM record WHERE kind = 'audit'").fetchall()
        database.close()
    assert json.loads(kept[0])["id"] == f"noc/{reply['id']}"
    assert [json.loads(body)["id"] for (body,) in rows] == [reply["id"]]


async def test_replies_nobody_takes_are_bounded(station, tmp_path) -> None:  # type: ignore[no-untyped-def]
    """Without a connection the oldest replies go, and a replay that they promised with them."""
    async with Outbox.opened(tmp_path / "o.sqlite", size_bytes_max=4_000_000) as outbox:
        config = UplinkConfig(id="noc", url="mqtt://127.0.0.1:1")
        found = desk.RequestDesk(station.prefix, config, outbox, FakeAlarms())
        found._replaying.add("noc")
        span = desk.Span("noc", "request-0000", 0, 1, 1)
        for number in range(desk.REPLIES_MAX + 1):
            then = None if number else span
            found._reply("noc", f"request-{number:04}", "replay", why=None, then=then)
        assert len(found._replies) == desk.REPLIES_MAX
        assert found._replies[0].topic.endswith("request-0001")
        assert not found._replaying


EVERY_VERB = """
import asyncio, json, sys
from pathlib import Path
sys.path.append(sys.argv.pop())
from requester import signed
from shorewatch.alarmdesk import AlarmDesk
from shorewatch.alarmlist import compile_alarms
from shorewatch.assets import asset_folder
from shorewatch.config import VERBS, UplinkConfig, load_station
from shorewatch.image import Image
from shorewatch.mqtt.client import Message
from shorewatch.mqtt.desk import RequestDesk
from shorewatch.outbox import Outbox

MORE = {
    "acknowledge": {"alarm": "test-alarm"},
    "shelve": {"alarm": "disk-short", "for_s": 60, "reason": "x"},
    "unshelve": {"alarm": "disk-short"},
    "out-of-service": {"alarm": "disk-short", "reason": "x"},
    "in-service": {"alarm": "disk-short"},
    "note": {"alarm": "disk-short", "text": "x"},
    "replay": {"first": 1, "last": 9},
}
ORDER = ["test-alarm", *(verb for verb in VERBS if verb != "test-alarm")]

async def main(key_file, folder):
    station = load_station(asset_folder("stations") / "sumqayit.toml")
    rules, _ = compile_alarms(station)
    config = UplinkConfig.model_validate({"id": "noc", "url": "mqtt://127.0.0.1:1",
        "requester": [{"id": "noc", "key_file": key_file}]})
    async with Outbox.opened(Path(folder) / "o.sqlite", size_bytes_max=4_000_000) as outbox:
        alarms = AlarmDesk(station, rules, Image(station), outbox, dict)
        desk = RequestDesk(station.prefix, config, outbox, alarms)
        async with desk.working():
            for verb in ORDER:
                _, payload = signed(station.prefix, outbox.journal, verb, **MORE.get(verb, {}))
                desk.hear("noc", Message("x", payload, False))
            while len(desk._replies) < len(VERBS) and not desk.status.refused:
                await asyncio.sleep(0.01)
        done = [json.loads(reply.payload) for reply in desk._replies]
    print(json.dumps({"done": done, "modules": sorted(sys.modules)}))

asyncio.run(main(*sys.argv[1:]))
"""
FIELD = ("link", "wire", "direct", "events", "plan", "planfile", "ports", "plug", "gateway")


def test_no_verb_reaches_a_board(tmp_path) -> None:  # type: ignore[no-untyped-def]
    """Every verb is done in a process that has no code for links, ports, plans and serial lines."""
    key_file = tmp_path / "noc.key"
    key_file.write_text(KEY)
    key_file.chmod(0o600)
    command = [sys.executable, "-c", EVERY_VERB, str(key_file), str(tmp_path)]
    command.append(str(Path(__file__).parents[1]))
    found = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)

    assert {reply["do"]: reply.get("why") for reply in found["done"]} == dict.fromkeys(VERBS)
    loaded = {name for name in found["modules"] if name.startswith("shorewatch.")}
    assert loaded.isdisjoint(f"shorewatch.{name}" for name in FIELD)
    assert {"pymodbus", "serial"}.isdisjoint(found["modules"])


@asynccontextmanager
async def opened(station, tmp_path, *uplinks: str, kind: type[Outbox] = Outbox):  # type: ignore[no-untyped-def]
    """The desks of some uplinks of one station, at work without a connection."""
    key_file = tmp_path / "noc.key"
    key_file.write_text(KEY)
    key_file.chmod(0o600)
    requester = [{"id": "noc", "key_file": str(key_file)}]
    alarms = FakeAlarms()
    async with kind.opened(tmp_path / "o.sqlite", size_bytes_max=4_000_000) as outbox:
        desks = [
            desk.RequestDesk(
                station.prefix,
                UplinkConfig.model_validate(
                    {"id": uplink, "url": "mqtt://127.0.0.1:1", "requester": requester}
                ),
                outbox,
                alarms,
            )
            for uplink in uplinks
        ]
        async with AsyncExitStack() as working:
            for one in desks:
                await working.enter_async_context(one.working())
            yield outbox, alarms, desks


async def test_a_request_at_two_brokers_is_done_once(station, tmp_path, until) -> None:  # type: ignore[no-untyped-def]
    """A message that is carried to another broker is refused there, also while its record waits."""
    async with opened(station, tmp_path, "east", "west") as (outbox, alarms, desks):
        put, room = outbox.put, asyncio.Event()

        async def waiting(*given: object) -> bool:
            await room.wait()
            return await put(*given)

        outbox.put = waiting
        _, payload = signed(station.prefix, outbox.journal, "test-alarm")
        for one in desks:
            one.hear("noc", Message("x", payload, False))
        await until(lambda: sum(one.status.refused for one in desks) == 1)
        room.set()
        await until(lambda: sum(one.status.accepted for one in desks) == 1)
        await until(lambda: alarms.asked)
    assert sum(one.status.accepted for one in desks) == 1
    assert len(alarms.asked) == 1


async def test_what_is_not_done_in_time_is_told(station, tmp_path, until, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    """A request that does not reach the disk in time is answered so, and the next one is heard."""
    async with opened(station, tmp_path, "noc") as (outbox, alarms, (one,)):
        one.hear("noc", Message("x", signed(station.prefix, outbox.journal, "rebirth")[1], False))
        await until(lambda: len(one._replies) == 1)
        monkeypatch.setattr(desk, "DO_S_MAX", 0.05)
        answer, alarms.answer = alarms.answer, lambda request: asyncio.Event().wait()
        one.hear(
            "noc", Message("x", signed(station.prefix, outbox.journal, "test-alarm")[1], False)
        )
        await until(lambda: len(one._replies) == 2)
        alarms.answer = answer
        monkeypatch.undo()
        one.hear(
            "noc", Message("x", signed(station.prefix, outbox.journal, "test-alarm")[1], False)
        )
        await until(lambda: len(one._replies) == 3)
        replies = [json.loads(reply.payload) for reply in one._replies]
    assert [reply["ok"] for reply in replies] == [True, False, True]
    assert "not on record" in replies[1]["why"]


class SickOutbox(Outbox):
    """An outbox on a full disk."""

    @property
    def health(self) -> str:
        return "the disk is full: make room"


class FullOutbox(Outbox):
    """An outbox whose disk is sick since a moment ago, and whose queue is full."""

    async def put(self, *_: object) -> bool:
        return False


@pytest.mark.parametrize(("kind", "why"), [(SickOutbox, "make room"), (FullOutbox, "no room")])
async def test_nothing_is_done_that_cannot_be_put_on_record(
    station, tmp_path, until, kind, why
) -> None:  # type: ignore[no-untyped-def]
    """While a record cannot be written, a request is refused with the reason, and its id free."""
    async with opened(station, tmp_path, "noc", kind=kind) as (outbox, alarms, (one,)):
        _, payload = signed(station.prefix, outbox.journal, "test-alarm")
        one.hear("noc", Message("x", payload, False))
        await until(lambda: one._replies)
        reply = json.loads(one._replies[0].payload)
        assert "request/0" not in outbox.kept
    assert (reply["ok"], alarms.asked, one.status.accepted) == (False, [], 0)
    assert why in reply["why"]
