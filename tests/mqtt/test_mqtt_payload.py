"""payload.py and record.py: the schemas say what really goes over the wire, and nothing else."""

import json
import os
from collections.abc import Mapping

import jsonschema
import pytest
from pydantic import TypeAdapter
from requester import KEY, signed
from running_station import RunningStation, running_station

from shorewatch.control import borrowed
from shorewatch.model import utc_now
from shorewatch.mqtt import topics
from shorewatch.mqtt.client import connected
from shorewatch.mqtt.payload import payload_schemas
from shorewatch.mqtt.record import Record
from shorewatch.outbox import SIZE_BYTES_MIN, Outbox

MORE = """
[[uplink]]
id = "noc"
url = "{url}"
consumers = ["noc"]

[[uplink.requester]]
id = "noc"
key_file = "{key_file}"

[[direct]]
id = "ups-net"
tcp = "127.0.0.1:1"

[[direct.device]]
id = "rack"
name = "UPS"
profile = "xy-md02"
unit_id = 1

[[alarm]]
id = "room-warm"
text = "Room is warm"
action = "Check the air conditioning."
priority = "minor"
point = "room.temperature"
above = 1

[[alarm]]
id = "ups-lost"
text = "UPS is lost"
action = "Look at it."
priority = "major"
direct = "ups-net"
"""
Checkers = Mapping[str, jsonschema.Draft202012Validator]


@pytest.fixture(scope="module")
def checkers() -> Checkers:
    return {
        name: jsonschema.Draft202012Validator(schema) for name, schema in payload_schemas().items()
    }


def kind_of(topic: str) -> str:
    """Which schema a topic's payloads have."""
    parts = topic.split("/")[4:]
    return "records" if parts[-1] == "records" else parts[0]


def wrong(checkers: Checkers, topic: str, payload: bytes) -> list[str]:
    """What a schema finds wrong with a message."""
    found = checkers[kind_of(topic)].iter_errors(json.loads(payload))
    return [f"{topic}: {jsonschema.exceptions.best_match([error])}: {payload!r}" for error in found]


def shapes(records: list[dict[str, object]]) -> set[str]:
    """The classes of records."""
    shape: TypeAdapter[Record] = TypeAdapter(Record)
    return {type(shape.validate_json(json.dumps(record))).__name__ for record in records}


def stamp(station: RunningStation, board_id: str, *events: tuple[int, int, int]) -> None:
    """Events (source, code, value) in a board's ring, as many as it has stamped since its boot."""
    words = station.boards[board_id].words
    for sequence, (source, code, value) in enumerate(events):
        entry = [0, sequence, source, code, value, 0, 0, 1000]
        words.update({0x8000 + 8 * sequence + place: word for place, word in enumerate(entry)})
    words.update({22: 0, 23: len(events), 24: 256})


async def test_all_that_a_station_says_is_right_by_its_schemas(
    guarded, tmp_path, quiet_text, listening, until, checkers
) -> None:  # type: ignore[no-untyped-def]
    """A day's traffic of a whole gateway, requests and replies included, breaks no schema."""
    await guarded.start("topic readwrite #\n")
    key_file = tmp_path / "noc.key"
    key_file.write_text(KEY)
    key_file.chmod(0o600)
    text = quiet_text + MORE.format(url=guarded.url, key_file=key_file)
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "outbox.sqlite").write_bytes(b"garbled" * 1000)
    async with (
        listening(guarded.port) as listener,
        connected("127.0.0.1", guarded.port, client_id=f"noc-{os.urandom(4).hex()}") as noc,
        running_station(tmp_path, text) as station,
    ):
        prefix = topics.ROOT + "/trans-caspian/sumqayit"

        def last(suffix: str) -> dict[str, object]:
            found = [m for m in listener.of(suffix) if m.payload]
            return json.loads(found[-1].payload) if found else {}

        async def send(payload: bytes) -> None:
            await noc.publish(f"{prefix}/request/noc", payload, qos=1)

        async def ask(do: str, **more: object) -> dict[str, object]:
            request_id, payload = signed(prefix, str(last("/state")["journal"]), do, **more)
            await send(payload)
            await until(lambda: listener.of(f"/reply/noc/{request_id}"), do)
            return last(f"/reply/noc/{request_id}")

        await station.until_good()
        await until(lambda: last("/state").get("online"))
        stamp(station, "beach", (0x0100, 0x8000, 1), (0x0200, 3, 4))
        stamp(station, "pfe-room", (0, 0x8000, 1))
        assert (await ask("test-alarm", operator="Aysel"))["ok"] is True
        await until(lambda: last("/alarm/test-alarm"))
        assert (await ask("acknowledge", alarm="test-alarm"))["ok"] is True
        assert (await ask("shelve", alarm="ups-lost", for_s=60, reason="known"))["ok"] is True
        assert (await ask("note", alarm="room-warm", text="it is summer"))["ok"] is True
        assert (await ask("unshelve", alarm="room-warm"))["ok"] is False
        assert (await ask("rebirth"))["ok"] is True
        await send(b"{}")
        await noc.publish(f"{prefix}/ack/nobody", b"{}", qos=1)
        journal = str(last("/state")["journal"])
        payload = topics.encode(topics.ack(journal, 3))
        await noc.publish(f"{prefix}/ack/noc", payload, qos=1, is_retained=True)
        await station.ask("maintenance-begin", text="work", seconds=60)
        await station.ask("maintenance-end")
        with borrowed(station.state, "pfe-room", by="ali", reason="look", seconds=60):
            pass
        await station.until(lambda live: live["boards"]["pfe-room"]["up"])
        station.boards["beach"].boot_id = 8
        stamp(station, "beach")
        station.path.write_text(text.replace("Room is warm", "The room is warm"))
        await station.ask("reload")
        reply = await ask("replay", first=1, last=1000)
        await until(lambda: last(f"{reply['id']}/records").get("end"))
        reply = await ask("replay", first=100_000, last=100_001)
        await until(lambda: last(f"{reply['id']}/records").get("end"))

        def recorded() -> list[dict[str, object]]:
            return [r for m in listener.of("/journal") for r in json.loads(m.payload)["records"]]

        wanted = {
            "Sample", "ContactChanged", "WordChanged", "BitChanged", "LineEvent", "Started",
            "Reloaded", "AlarmRecord", "Dropped", "EventsLost", "Maintenance", "AckRefused",
            "RequestRefused", "Requested", "RequestFailed",
        }  # fmt: skip
        await until(lambda: shapes(recorded()) >= wanted, "every kind of record")
        station.process.terminate()
        await station.process.wait()
        await until(lambda: not last("/state")["online"])
        assert "Stopped" in shapes(recorded())
    said = [m for m in listener.messages if m.payload]
    sent_wrongly = (b"{}",)
    assert {kind_of(m.topic) for m in said} == checkers.keys() - {"request-text"}
    assert [
        text
        for m in said
        if m.payload not in sent_wrongly
        for text in wrong(checkers, m.topic, m.payload)
    ] == []
    asked = [json.loads(m.payload) for m in said if kind_of(m.topic) == "request"]
    texts = [json.loads(body["request"]) for body in asked if body]
    assert texts
    assert all(checkers["request-text"].is_valid(text) for text in texts)


async def test_what_was_evicted_is_told_by_its_schema(tmp_path, checkers) -> None:  # type: ignore[no-untyped-def]
    """The loss record of a full outbox is what the schema says."""
    async with Outbox.opened(tmp_path / "o.sqlite", size_bytes_max=SIZE_BYTES_MIN) as outbox:
        outbox.cursor("noc")
        body = {"device": "pfe", "uncertainty_s": 0.0, "points": {"text": "x" * 3000}}
        for _ in range(800):
            await outbox.put("sample", utc_now(), body)
        await outbox.settled()
        records = [r for r in await outbox.read(0, 1000) if r.kind == "loss"]
        batch = topics.batch(outbox.journal, 0, records)
    assert wrong(checkers, "a/b/c/d/journal", batch.payload) == []
    assert shapes(json.loads(batch.payload)["records"]) == {"Evicted"}


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("ack", {"journal": "ab", "seq": 1, "more": 1}),
        ("ack", {"journal": "ab", "seq": -1}),
        ("reply", {"id": "request-1", "ok": True, "do": "rebirth", "at": "yesterday"}),
        ("reply", {"id": "r", "ok": True, "do": "rebirth", "at": "2026-11-22T16:44:00.123Z"}),
        ("reply", {"id": "request-1", "ok": True, "do": "rebirth", "why": None,
                   "at": "2026-11-22T16:44:00.123Z"}),
        ("journal", {"journal": "ab", "after": 0, "first": 1, "last": 1, "records": []}),
        ("now", {"device": "pfe", "at": "2026-11-22T16:44:00.123Z", "points": {"U V": {}}}),
        ("state", {"online": True, "station": "a", "journal": "ab"}),
    ],
)  # fmt: skip
def test_a_schema_refuses_what_is_none_of_ours(checkers, kind, body) -> None:  # type: ignore[no-untyped-def]
    """A key too many, one too few, null for nothing and a wrong form are all seen."""
    assert not checkers[kind].is_valid(body)


def test_a_reply_with_all_it_may_say_is_one(checkers) -> None:  # type: ignore[no-untyped-def]
    """The cases above fail for their own fault: the same bodies without it are right."""
    at = "2026-11-22T16:44:00.123Z"
    checkers["ack"].validate({"journal": "ab", "seq": 1})
    checkers["reply"].validate({"id": "request-1", "ok": True, "do": "rebirth", "at": at})
    checkers["now"].validate({"device": "pfe", "at": at, "points": {}})


def test_every_schema_closes_its_tables(checkers) -> None:  # type: ignore[no-untyped-def]
    """No table in any schema takes keys that it does not name."""

    def tables(schema: object) -> list[dict[str, object]]:
        if isinstance(schema, list):
            return [found for entry in schema for found in tables(entry)]
        if not isinstance(schema, dict):
            return []
        inner = [found for entry in schema.values() for found in tables(entry)]
        return [schema, *inner] if schema.get("type") == "object" else inner

    for name, checker in checkers.items():
        assert tables(checker.schema), name
        for table in tables(checker.schema):
            assert table.get("additionalProperties") is not None, (name, table)
