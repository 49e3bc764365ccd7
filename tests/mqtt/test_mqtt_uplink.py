"""uplink.py against real brokers: live first, journal complete, nothing believed without reason."""

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path

import pytest
from fake_alarms import FakeAlarms

from shorewatch.config import UplinkConfig
from shorewatch.image import Image
from shorewatch.model import utc_now
from shorewatch.mqtt import journal
from shorewatch.mqtt.client import NO_SUBSCRIBERS, connected
from shorewatch.mqtt.follower import Follower
from shorewatch.mqtt.uplink import Uplink
from shorewatch.mqtt.watch import follow
from shorewatch.outbox import Outbox


async def publish(port: int, topic: str, body: object, *, retained: bool = False) -> int:
    payload = body if isinstance(body, bytes) else json.dumps(body).encode()
    async with connected("127.0.0.1", port, client_id=f"by-{os.urandom(4).hex()}") as connection:
        code = await connection.publish(topic, payload, qos=1, is_retained=retained)
        await connection.disconnect()
    return code


def sequences(messages) -> list[int]:  # type: ignore[no-untyped-def]
    return [record["seq"] for m in messages for record in json.loads(m.payload)["records"]]


async def test_a_late_subscriber_finds_everything_retained(broker, bench, listening, until) -> None:  # type: ignore[no-untyped-def]
    """State, every birth and every device's values stand on the broker for who comes later."""
    async with bench(broker.url) as b:
        b.measure("pfe", 1.0)
        await b.until_state("online")
        await until(lambda: not b.uplink.refused_topics)
        async with listening(broker.port) as listener:
            expected = {f"{b.prefix}/state"}
            for device in b.station.devices:
                expected |= {f"{b.prefix}/birth/{device}", f"{b.prefix}/now/{device}"}
            await until(lambda: {m.topic for m in listener.messages} >= expected)
            state = json.loads(listener.of("/state")[0].payload)
            birth = json.loads(listener.of("/birth/pfe")[0].payload)
            now = json.loads(listener.of("/now/pfe")[-1].payload)
    assert (state["online"], state["journal"]) == (True, b.outbox.journal)
    assert birth["points"].keys() == now["points"].keys() == b.station.devices["pfe"].points.keys()
    assert birth["synthetic"] is True
    assert {point["quality"] for point in now["points"].values()} == {"good"}


async def test_an_orderly_stop_leaves_its_word(broker, bench, listening, until) -> None:  # type: ignore[no-untyped-def]
    """After `stop` the retained state is offline, reason stopped, and no Will follows."""
    async with bench(broker.url) as b:
        await b.until_state("online")
    assert b.uplink.status.state == "stopped"
    async with listening(broker.port) as listener:
        (message,) = await until(lambda: listener.of("/state"))
        await asyncio.sleep(0.2)
        assert len(listener.of("/state")) == 1
    state = json.loads(message.payload)
    assert (state["online"], state["reason"]) == (False, "stopped")
    assert state["at"] > state["since"]


async def test_a_killed_station_is_offline_by_its_will(broker, listening, until, tmp_path) -> None:  # type: ignore[no-untyped-def]
    """SIGKILL of the client process makes the broker say offline, reason connection lost."""
    code = """
import asyncio, sys
from pathlib import Path
sys.path.append(sys.argv[3])
from fake_alarms import FakeAlarms
from shorewatch.assets import asset_folder
from shorewatch.config import UplinkConfig, load_station
from shorewatch.image import Image
from shorewatch.mqtt.uplink import Uplink
from shorewatch.outbox import Outbox
async def main():
    station = load_station(asset_folder("stations") / "sumqayit.toml")
    async with Outbox.opened(Path(sys.argv[2]), size_bytes_max=4_000_000) as outbox:
        config = UplinkConfig(id="noc", url=sys.argv[1])
        await Uplink(station, config, Image(station), outbox, dict, FakeAlarms()).run()
asyncio.run(main())
"""
    async with listening(broker.port) as listener:
        with subprocess.Popen(  # noqa: ASYNC220 (it does not block)
            [
                sys.executable,
                "-c",
                code,
                broker.url,
                tmp_path / "o.sqlite",
                Path(__file__).parents[1],
            ]
        ) as process:
            await until(lambda: listener.of("/state"))
            assert json.loads(listener.of("/state")[-1].payload)["online"] is True
            os.kill(process.pid, signal.SIGKILL)
        await until(lambda: not json.loads(listener.of("/state")[-1].payload)["online"])
        first, last = (json.loads(listener.of("/state")[i].payload) for i in (0, -1))
    assert last["reason"] == "connection lost"
    assert (last["journal"], last["since"]) == (first["journal"], first["since"])


async def test_a_cancelled_uplink_is_offline_by_its_will(
    broker, station, listening, until, tmp_path
) -> None:  # type: ignore[no-untyped-def]
    """An uplink that ends without `stop` does not stay online on the broker."""
    async with (
        listening(broker.port) as listener,
        Outbox.opened(tmp_path / "o.sqlite", size_bytes_max=4_000_000) as outbox,
    ):
        config = UplinkConfig(id="noc", url=broker.url)
        uplink = Uplink(station, config, Image(station), outbox, dict, FakeAlarms())
        running = asyncio.create_task(uplink.run())
        await until(lambda: uplink.status.state == "online" and listener.of("/state"))
        running.cancel()
        await asyncio.wait([running])
        assert running.cancelled()
        await until(lambda: b"connection lost" in listener.of("/state")[-1].payload)


async def test_the_journal_is_complete_after_a_broker_kill(broker, bench, until) -> None:  # type: ignore[no-untyped-def]
    """A broker killed with SIGKILL and started empty costs a consumer no record."""
    follower = Follower()
    async with bench(broker.url) as b:
        following = asyncio.create_task(follow(broker.url, follower, acknowledge="noc"))
        await b.write(1000)
        await until(lambda: b.uplink.status.cursor > 0)
        for _ in range(2):
            await broker.kill()
            await b.write(2000)
            await broker.start()
            await b.write(500)
        await until(lambda: b.uplink.status.backlog == 0, "everything acknowledged")
        known = follower.stations[b.prefix]
        assert known.received_to == b.outbox.last == 6000
        assert (known.gaps, known.lost) == ([], 0)
        assert known.kinds == {"sample": 6000}
        following.cancel()
        await asyncio.wait([following])


async def test_the_state_tells_of_a_board_at_once(broker, bench, listening, until) -> None:  # type: ignore[no-untyped-def]
    """A board that goes down is in the retained state without waiting for its repetition."""
    async with bench(broker.url) as b, listening(broker.port) as listener:
        await b.until_state("online")
        b.boards = {"board/pfe-room": {"up": False, "reason": "no answer"}}
        await until(
            lambda: listener.of("/state") and b"no answer" in listener.of("/state")[-1].payload
        )


async def test_unchanged_values_are_resent_before_they_expire(
    broker, bench, listening, until
) -> None:  # type: ignore[no-untyped-def]
    """A device that changes nothing keeps a retained message of its own on the broker."""
    async with bench(broker.url) as b, listening(broker.port) as listener:
        b.measure("pfe", 1.0)
        await until(lambda: len(listener.of("/now/pfe")) >= 4)
    points = [json.loads(m.payload)["points"] for m in listener.of("/now/pfe")]
    ages = [next(iter(p.values()))["age_s"] for p in points]
    assert ages[-1] > ages[1] >= 0


async def test_with_no_consumer_the_broker_acknowledges(broker, bench, listening, until) -> None:  # type: ignore[no-untyped-def]
    """With no consumer configured the cursor follows the PUBACKs, if there is a listener."""
    async with listening(broker.port) as listener, bench(broker.url, []) as b:
        await b.write(500)
        await until(lambda: b.uplink.status.cursor == 500)
        assert b.uplink.status.is_broker_acknowledged_only
        assert sequences(listener.of("/journal")) == list(range(1, 501))


async def test_nobody_listening_moves_no_cursor(guarded, bench, listening, until) -> None:  # type: ignore[no-untyped-def]
    """PUBACK 0x10 (no matching subscribers) counts as not delivered; a later listener gets all."""
    await guarded.start("topic readwrite #\n")
    async with bench(guarded.url, []) as b:
        await b.until_state("online")
        assert await publish(guarded.port, "nobody/listens", {}) == NO_SUBSCRIBERS
        await b.write(300)
        await until(lambda: b.uplink.status.backlog == 300)
        await asyncio.sleep(1)
        assert (b.uplink.status.published, b.uplink.status.cursor) == (0, 0)
        async with listening(guarded.port) as listener:
            await until(lambda: b.uplink.status.cursor == 300)
            assert sequences(listener.of("/journal")) == list(range(1, 301))


async def test_a_refused_publish_is_not_counted(guarded, bench, listening, until) -> None:  # type: ignore[no-untyped-def]
    """A refused journal is shown, holds up nothing live, and is sent once it is allowed."""
    await guarded.start("topic read #\ntopic write +/+/+/+/state\ntopic write +/+/+/+/now/#\n")
    async with bench(guarded.url, []) as b, listening(guarded.port) as listener:
        await b.write(100)
        await b.until_state("not-authorised")
        assert "allow it in its access rules" in b.uplink.status.text
        b.measure("pfe", 1.0)
        await until(lambda: any(b'"good"' in m.payload for m in listener.of("/now/pfe")))
        assert (b.uplink.status.published, b.uplink.status.cursor) == (0, 0)
        assert b.uplink.status.attempts == 1
        guarded.allow("topic readwrite #\n")
        await until(lambda: b.uplink.status.cursor == 100)


async def test_a_broker_that_refuses_the_state_is_named(guarded, bench) -> None:  # type: ignore[no-untyped-def]
    """Without the right to publish its state an uplink is not-authorised, and says which topic."""
    await guarded.start("topic read #\n")
    async with bench(guarded.url) as b:
        await b.until_state("not-authorised")
        assert f"{b.prefix}/state" in b.uplink.status.text


async def test_a_password_is_read_at_each_attempt(guarded, bench, tmp_path) -> None:  # type: ignore[no-untyped-def]
    """A missing, a wrong and the right password each show: no-secret, not-authorised, online."""
    own = tmp_path / "own"
    rules = "user sumqayit\ntopic readwrite #\n"
    await guarded.start(rules, guarded.passwords("sumqayit", "right"))
    async with bench(guarded.url, user="sumqayit", password_file=str(own)) as b:
        await b.until_state("no-secret")
        assert f"{own} cannot be read" in b.uplink.status.text
        own.touch(0o600)
        own.write_text("wrong\n")
        await b.until_state("not-authorised")
        own.write_text("right\n")
        await b.until_state("online")


async def test_a_packet_limit_is_a_quota_not_a_loop(guarded, bench, until) -> None:  # type: ignore[no-untyped-def]
    """Births too large for the broker are shown as quota; live values go on."""
    await guarded.start("topic readwrite #\n", "max_packet_size 2500\n")
    async with bench(guarded.url) as b:
        await b.until_state("quota")
        assert "raise its maximum packet size" in b.uplink.status.text
        await until(lambda: any("/birth/" in topic for topic in b.uplink.refused_topics))
        assert b.uplink.status.attempts == 1


async def test_acks_are_believed_only_within_the_rules(broker, bench, until) -> None:  # type: ignore[no-untyped-def]
    """A valid ack moves the cursor; forged, foreign, old, garbled and unknown ones are refused."""
    async with bench(broker.url) as b:
        follower = Follower()
        following = asyncio.create_task(follow(broker.url, follower))
        await b.write(200)
        await until(lambda: b.uplink.status.published == 200)
        journal, topic = b.outbox.journal, f"{b.prefix}/ack/noc"
        await publish(broker.port, topic, {"journal": journal, "seq": 150}, retained=True)
        await until(lambda: b.uplink.status.cursor == 150)
        assert b.uplink.status.acks["noc"] is not None
        bad = [
            (topic, {"journal": journal, "seq": 100_000}),
            (topic, {"journal": "0" * 32, "seq": 160}),
            (topic, {"journal": journal, "seq": 149}),
            (topic, {"journal": journal, "seq": "160"}),
            (topic, {"journal": journal, "seq": True}),
            (topic, b"\xff\xfe garbage"),
            (topic, b"[" * 900),
            (topic, b'{"journal": "' + journal.encode() + b'", "seq": NaN}'),
            (f"{b.prefix}/ack/spy", {"journal": journal, "seq": 160}),
        ]
        for where, body in bad:
            await publish(broker.port, where, body)
        await until(lambda: b.uplink.status.refused_acks == len(bad))
        assert (b.uplink.status.cursor, b.uplink.status.state) == (150, "online")
        await until(lambda: b.outbox.last == 201)
        (audit,) = [r for r in await b.outbox.read(200, 10) if r.kind == "audit"]
        assert (audit.body["uplink"], audit.body["consumer"]) == ("noc", "noc")
        following.cancel()
        await asyncio.wait([following])


async def test_an_ack_is_found_again_after_a_restart(broker, bench, until) -> None:  # type: ignore[no-untyped-def]
    """What was acknowledged while the gateway was down counts when it is back."""
    async with bench(broker.url) as b:
        follower = Follower()
        following = asyncio.create_task(follow(broker.url, follower))
        await b.write(50)
        await until(lambda: b.uplink.status.published == 50)
        journal = b.outbox.journal
        following.cancel()
        await asyncio.wait([following])
    ack = {"journal": journal, "seq": 40}
    await publish(broker.port, f"{b.prefix}/ack/noc", ack, retained=True)
    async with bench(broker.url) as b:
        await until(lambda: b.uplink.status.cursor == 40)


async def test_a_consumer_that_was_away_gets_what_it_missed(broker, bench, until) -> None:  # type: ignore[no-untyped-def]
    """A consumer that starts after everything was sent asks by its ack and gets it all."""
    async with bench(broker.url) as b:
        bystander = asyncio.create_task(follow(broker.url, Follower()))
        await b.write(500)
        await until(lambda: b.uplink.status.published == 500)
        follower = Follower()
        following = asyncio.create_task(follow(broker.url, follower, acknowledge="noc"))
        await until(lambda: b.uplink.status.cursor == 500)
        assert follower.stations[b.prefix].kinds == {"sample": 500}
        for task in (bystander, following):
            task.cancel()
        await asyncio.wait([bystander, following])


async def test_that_nobody_listens_is_said_and_since_when(
    broker, bench, listening, until, monkeypatch
) -> None:  # type: ignore[no-untyped-def]
    """With records waiting and no acknowledgement, text, status and state say so; then no more."""
    monkeypatch.setattr(journal, "SILENT_S", 0.3)
    async with (
        listening(broker.port, "shorewatch/v1/+/+/state") as listener,
        bench(broker.url) as b,
    ):
        await b.write(1234)
        await until(lambda: "nobody is listening since" in b.uplink.status.text)
        await until(lambda: "1,234 records wait" in b.uplink.status.text)
        assert b.uplink.status.state == "online"
        await until(lambda: list(b.uplink.status.silent) == ["noc"])
        await until(lambda: json.loads(listener.messages[-1].payload)["silent_consumers"])
        following = asyncio.create_task(follow(broker.url, Follower(), acknowledge="noc"))
        await until(lambda: not b.uplink.status.silent)
        await until(lambda: "nobody" not in b.uplink.status.text)
        following.cancel()
        await asyncio.wait([following])


async def test_what_comes_late_is_marked_as_history(broker, bench, listening, until) -> None:  # type: ignore[no-untyped-def]
    """Records older than ten seconds, and those sent once more, are; live ones are not."""
    async with listening(broker.port) as listener, bench(broker.url) as b:
        await b.until_state("online")
        await b.outbox.put("event", utc_now() - timedelta(seconds=11), {"text": "old"})
        await until(lambda: b.uplink.status.published == 1)
        await b.outbox.put("event", utc_now(), {"text": "young"})
        await until(lambda: b.uplink.status.published == 2)
        await until(lambda: len(listener.of("/journal")) == 2)
        found = [json.loads(m.payload).get("history") for m in listener.of("/journal")]
        assert found == [True, None]
        for seq in (1, 1):
            await publish(
                broker.port, f"{b.prefix}/ack/noc", {"journal": b.outbox.journal, "seq": seq}
            )
        await until(lambda: len(listener.of("/journal")) == 3)
        again = json.loads(listener.of("/journal")[2].payload)
        assert (again["first"], again["history"]) == (2, True)


async def test_live_goes_on_while_a_backlog_drains(broker, bench, listening, until) -> None:  # type: ignore[no-untyped-def]
    """Values are published between the batches of a long journal, not after it."""
    async with listening(broker.port) as listener, bench(broker.url, []) as b:
        await b.until_state("online")
        async with asyncio.TaskGroup() as tasks:
            writing = tasks.create_task(b.write(60_000))
            while not writing.done() or b.uplink.status.backlog > 1000:
                b.measure("pfe", random.random())
                await asyncio.sleep(0.05)
        await until(lambda: b.uplink.status.cursor == 60_000)
        await until(lambda: sequences(listener.of("/journal"))[-1] == 60_000)
    kinds = [m.topic.split("/")[4] for m in listener.messages]
    inside = kinds[kinds.index("journal") : len(kinds) - kinds[::-1].index("journal")]
    assert inside.count("now") >= 2


async def test_a_stalled_broker_is_lost_and_found_again(broker, bench, until) -> None:  # type: ignore[no-untyped-def]
    """A broker that stops answering is given up, told, and used again when it answers."""
    follower = Follower()
    async with bench(broker.url) as b:
        following = asyncio.create_task(follow(broker.url, follower, acknowledge="noc"))
        await b.until_state("online")
        broker.signal(signal.SIGSTOP)
        await b.write(100)
        await until(lambda: "has not answered for" in b.uplink.status.text)
        assert b.uplink.status.state == "online"
        await until(lambda: b.uplink.status.state in ("lost", "unreachable"))
        assert "stalled" in b.uplink.status.text
        broker.signal(signal.SIGCONT)
        await until(lambda: b.uplink.status.backlog == 0)
        assert b.uplink.status.state == "online"
        assert follower.stations[b.prefix].sequence_gaps == 0
        following.cancel()
        await asyncio.wait([following])


@pytest.mark.parametrize("client_ids", [("same", "same"), ("one", "other")])
async def test_a_second_gateway_with_our_identity_is_named(
    broker, station, until, tmp_path, client_ids
) -> None:  # type: ignore[no-untyped-def]
    """Two gateways that run as one station both say so, also with brokers that do not (0x8E)."""
    async with AsyncExitStack() as stack:
        uplinks = []
        for number, client_id in enumerate(client_ids):
            path = tmp_path / f"{number}.sqlite"
            outbox = await stack.enter_async_context(Outbox.opened(path, size_bytes_max=4_000_000))
            config = UplinkConfig(id="noc", url=broker.url, client_id=client_id)
            uplink = Uplink(
                station, config, Image(station), outbox, dict, FakeAlarms(), identity=f"g/{number}"
            )
            running = asyncio.create_task(uplink.run())
            stack.push_async_callback(asyncio.wait, [running])
            stack.push_async_callback(uplink.stop)
            await until(lambda u=uplink: u.status.state == "online")
            uplinks.append(uplink)
        if broker.kind == "rumqttd" and client_ids[0] == client_ids[1]:
            # It publishes the newcomer's Will in place of the old one's: no trace of a rival.
            await until(lambda: "has our client id same" in uplinks[0].status.text)
            return
        await until(lambda: uplinks[0].status.state == "taken-over")
        assert "two run with one identity" in uplinks[0].status.text
        assert "(g/1; we are g/0)" in uplinks[0].status.text
        if client_ids[0] == client_ids[1]:
            await until(lambda: uplinks[1].status.state == "taken-over")


async def test_a_new_database_is_no_rival(broker, bench, tmp_path, until) -> None:  # type: ignore[no-untyped-def]
    """The retained state of our own former journal is not taken for another gateway's."""
    async with bench(broker.url) as b:
        await b.until_state("online")
    for path in tmp_path.glob("outbox.sqlite*"):
        path.unlink()
    async with bench(broker.url) as b:
        await b.until_state("online")
        await until(lambda: b.uplink.status.state == "online")
        await asyncio.sleep(0.3)
        assert b.uplink.status.state == "online"


async def test_no_broker_is_unreachable(bench, free_port) -> None:  # type: ignore[no-untyped-def]
    """With nothing listening an uplink says unreachable and goes on trying."""
    async with bench(f"mqtt://127.0.0.1:{free_port}") as b:
        await b.until_state("unreachable")
        assert f"127.0.0.1:{free_port} cannot be reached" in b.uplink.status.text


async def test_what_is_no_mqtt_5_broker_is_told_so(bench) -> None:  # type: ignore[no-untyped-def]
    """A port that closes without a word, or answers in another protocol, is named as such."""

    async def close(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async def old(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"\x20\x02\x00\x01")  # a CONNACK of MQTT 3.1.1: unacceptable version
        await writer.drain()
        await reader.read(100)
        writer.close()

    for handler, states in ((close, ("refused",)), (old, ("wrong-protocol",))):
        server = await asyncio.start_server(handler, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with bench(f"mqtt://127.0.0.1:{port}") as b:
            for _ in range(500):
                if b.uplink.status.state in states:
                    break
                await asyncio.sleep(0.02)
            assert b.uplink.status.state in states, b.uplink.status
            assert "MQTT 5" in b.uplink.status.text
        server.close()


async def test_many_failed_attempts_leave_no_sockets(bench, until) -> None:  # type: ignore[no-untyped-def]
    """A port that takes connections and drops them costs no descriptor per attempt."""

    async def close(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(close, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with bench(f"mqtt://127.0.0.1:{port}") as b:
        await until(lambda: b.uplink.status.attempts >= 2)
        before = len(list(Path("/proc/self/fd").iterdir()))
        await until(lambda: b.uplink.status.attempts >= 5)
        assert len(list(Path("/proc/self/fd").iterdir())) <= before + 3
    server.close()
