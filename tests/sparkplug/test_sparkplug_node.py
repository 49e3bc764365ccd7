"""The edge node on a real broker, heard by a host that believes nothing that breaks a rule."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from fake_host import NODE, FakeHost
from fake_peer import CONNECT, Peer
from slow_line import throttled
from sparkplug_bench import Bench, hearing

from shorewatch.config import UplinkConfig
from shorewatch.model import Reason, utc_now
from shorewatch.mqtt.client import TIMEOUT_S
from shorewatch.mqtt.uplink import Uplink
from shorewatch.outbox import Outbox
from shorewatch.sparkplug.payload import DataType, Metric, Payload, encode

REBIRTH = Metric("Node Control/Rebirth", None, None, DataType.BOOLEAN, True)


@pytest.fixture
def bench(station, tmp_path, mosquitto):
    """An edge node that runs at mosquitto, and a host that hears it."""

    @asynccontextmanager
    async def make(**config: str) -> AsyncIterator[Bench]:
        path = tmp_path / "outbox.sqlite"
        async with Outbox.opened(path, size_bytes_max=64_000_000) as outbox:
            made = Bench(station, outbox, mosquitto.port, **config)
            async with hearing(made.host, mosquitto.port) as connection:
                made.connection = connection
                made.running = asyncio.create_task(made.node.run())
                try:
                    yield made
                finally:
                    await made.node.stop()
                    with suppress(asyncio.CancelledError):
                        await made.running

    return make


async def say_state(bench: Bench, is_online: bool, at_ms: int, host: str = "scada") -> None:
    body = json.dumps({"online": is_online, "timestamp": at_ms}).encode()
    await bench.connection.publish(f"spBv1.0/STATE/{host}", body, qos=1, is_retained=True)


async def command(bench: Bench, metric: Metric, topic: str = "NCMD", **more: bool) -> None:
    place = f"spBv1.0/{bench.station.cable}/{topic}/{bench.station.id}"
    if topic == "DCMD":
        place += "/pfe"
    await bench.connection.publish(place, encode(Payload(1, None, (metric,))), qos=1, **more)


def ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)


async def test_a_session_has_birth_data_and_death(bench, until):
    """NBIRTH, DBIRTH of what is known, DDATA of what changes, NDEATH before it leaves."""
    async with bench() as made:
        made.measure("pfe", line_voltage=1.5)
        await until(lambda: made.last("pfe", "line_voltage") == 1.5, "DBIRTH")
        made.measure("pfe", line_voltage=2.5)
        await until(lambda: made.last("pfe", "line_voltage") == 2.5, "DDATA")
        assert made.host.kinds[0] == "NBIRTH" and made.host.devices == {"pfe"}
        assert made.node.status.state == "online"
        await made.node.stop()
        await until(lambda: made.host.deaths, "NDEATH")
        assert made.host.kinds[-1] == "NDEATH" and not made.host.is_online


async def test_a_lost_device_dies_and_is_born_again(bench, until):
    """DDEATH as soon as nothing is known of a device, DBIRTH when it answers again."""
    async with bench() as made:
        made.measure("room", temperature=21.0)
        await until(lambda: made.host.devices == {"room"}, "DBIRTH")
        made.image.put_bad("room", Reason.DEVICE_TIMEOUT)
        await until(lambda: not made.host.devices, "DDEATH")
        made.measure("room", temperature=22.0)
        await until(lambda: made.last("room", "temperature") == 22.0, "DBIRTH")
        assert [k for k in made.host.kinds if k.startswith("D")] == ["DBIRTH", "DDEATH", "DBIRTH"]


async def test_a_connection_that_breaks_is_told_by_the_will(bench, until):
    """The broker's NDEATH has the bdSeq of the NBIRTH that it ends."""
    async with bench() as made:
        await until(lambda: made.host.is_online)
        made.running.cancel()
        await until(lambda: made.host.deaths == 1, "the Will")
        assert not made.host.is_online


async def test_nothing_is_retained(bench, until):
    """Who connects after a death hears of none of it: birth, data and Will are not kept."""
    async with bench() as made:
        made.measure("room", temperature=21.0)
        await until(lambda: made.host.devices == {"room"})
        made.running.cancel()
        await until(lambda: made.host.deaths == 1, "the Will")
        late = FakeHost()
        async with hearing(late, made.port):
            again = made.made()
            running = asyncio.create_task(again.run())
            await until(lambda: late.is_online)
            assert late.kinds[0] == "NBIRTH"
            await again.stop()
            await running


async def test_leaving_is_told_by_the_node_and_by_the_broker(bench, until):
    """NDEATH is published, and DISCONNECT asks for the Will: a host hears both."""
    async with bench() as made:
        await until(lambda: made.host.is_online)
        await made.node.stop()
        await until(lambda: made.host.kinds.count("NDEATH") == 2)


async def test_attempts_that_reach_no_broker_use_up_no_number(bench, until, mosquitto):
    """bdSeq counts CONNECTs: the first after an outage has the one after the last before it."""
    async with bench() as made:
        await until(lambda: made.host.bdseq == 0)
        for bdseq in (1, 2):
            await mosquitto.kill()
            before = made.node.status.attempts
            await until(lambda before=before: made.node.status.attempts > before + 2, "attempts")
            await mosquitto.start()
            host = FakeHost()
            async with hearing(host, mosquitto.port) as connection:
                made.connection = connection
                await command_until(made, until, lambda host=host: host.is_online)
                assert host.bdseq == bdseq


async def test_bdseq_goes_on_over_connections_and_restarts(bench, until, mosquitto):
    """Each CONNECT has the next number, also that of another process on the same disk."""
    async with bench() as made:
        await until(lambda: made.host.is_online)
        first = made.host.bdseq
        made.running.cancel()
        await until(lambda: made.host.deaths == 1)
        again = made.made()
        running = asyncio.create_task(again.run())
        await until(lambda: made.host.births == 2)
        assert (first, made.host.bdseq) == (0, 1)
        await again.stop()
        await running
        assert made.outbox.kept["sparkplug/scada"] == {"bdseq": 1}


async def command_until(made: Bench, until, fact: Callable[[], object]) -> None:
    """A host that came late asks for a rebirth, as hosts do."""
    await until(lambda: made.node.status.state == "online")
    await command(made, REBIRTH)
    await until(fact, "a rebirth")


async def test_a_rebirth_is_the_whole_of_it_again(bench, until):
    """NCMD Rebirth brings NBIRTH with the same bdSeq and DBIRTH of each device."""
    async with bench() as made:
        made.measure("room", temperature=21.0)
        await until(lambda: made.host.devices == {"room"})
        bdseq = made.host.bdseq
        await command(made, REBIRTH)
        await until(lambda: made.host.births == 2 and made.host.devices == {"room"})
        assert made.host.bdseq == bdseq and made.host.deaths == 0


@pytest.mark.parametrize("topic", ["NCMD", "DCMD"])
async def test_any_other_command_does_nothing_and_is_shown(bench, until, topic):
    """It is counted for page and hosts, put on record, and no birth follows."""
    async with bench() as made:
        made.measure("pfe", line_voltage=1.5)
        await until(lambda: made.host.devices)
        await command(made, Metric("line_voltage", None, None, DataType.DOUBLE, 7.0), topic)
        await until(lambda: made.last(NODE, "Commands Refused") == 1, "NDATA")
        await made.outbox.settled()
        records = [r for r in await made.outbox.read(0, 100) if r.kind == "audit"]
        assert [r.body["what"] for r in records] == ["command refused"]
        assert made.node.status.refused_commands == 1
        assert made.host.births == 1 and made.last("pfe", "line_voltage") == 1.5


async def test_a_retained_rebirth_is_refused(bench, until):
    """A command that the broker stores would be carried out at each connection."""
    async with bench() as made:
        await until(lambda: made.host.is_online)
        made.running.cancel()
        await until(lambda: made.host.deaths)
        await command(made, REBIRTH, is_retained=True)
        again = made.made()
        running = asyncio.create_task(again.run())
        await until(lambda: again.status.refused_commands == 1)
        assert "retained" in str(again.status.last_refusal)
        await again.stop()
        await running


async def test_a_retained_command_is_refused_once_a_connection(bench, until):
    """What stands at the broker is not counted again each time that the broker is asked."""
    async with bench() as made:
        await until(lambda: made.host.is_online)
        made.running.cancel()
        await until(lambda: made.host.deaths)
        await command(made, REBIRTH, is_retained=True)
        for number in range(1000):
            await made.outbox.put("sample", utc_now(), {"device": "pfe", "points": {"x": number}})
        await made.outbox.settled()
        again = made.made()
        running = asyncio.create_task(again.run())
        await until(lambda: again.status.backlog and again.status.published >= 1000)
        assert again.status.refused_commands == 1
        await again.stop()
        await running


async def test_a_state_that_counts_for_nothing_is_told(bench, until):
    """Who waits for a host whose clock went back can read why it is not believed."""
    async with bench(primary_host="scada") as made:
        await say_state(made, True, 5000)
        await until(lambda: made.host.is_online)
        await say_state(made, False, 5000)
        await until(lambda: made.node.status.state == "waiting")
        await say_state(made, True, 4000)
        await until(lambda: "timestamp 4000, which is before 5000" in made.node.status.text)


async def test_a_broker_that_says_nothing_does_not_hold_up_the_end(station, tmp_path):
    """Stopped while a broker owes the CONNACK, the node ends before its patience does."""
    peer = Peer()
    peer.is_silent = True
    path = tmp_path / "o.sqlite"
    async with peer.listening(), Outbox.opened(path, size_bytes_max=64_000_000) as outbox:
        made = Bench(station, outbox, peer.port)
        running = asyncio.create_task(made.node.run())
        while not peer.seen[CONNECT]:
            await asyncio.sleep(0.01)
        async with asyncio.timeout(TIMEOUT_S / 2):
            await made.node.stop()
        await running
        assert made.node.status.state == "stopped"


async def test_nothing_is_sent_before_the_primary_host_is_there(bench, until):
    """Connected, the node waits for STATE online of its own host; then it is born."""
    async with bench(primary_host="scada") as made:
        await until(lambda: made.node.status.state == "waiting")
        await say_state(made, True, 1000, host="another")
        await say_state(made, False, 1000)
        await until(lambda: "offline" in made.node.status.text)
        assert made.host.kinds == []
        await say_state(made, True, 2000)
        await until(lambda: made.host.is_online, "NBIRTH")


async def test_what_an_absent_host_missed_follows_as_history(bench, until):
    """STATE offline ends the session; back online, births come first, then the records."""
    async with bench(primary_host="scada") as made:
        await say_state(made, True, 1000)
        made.measure("pfe", line_voltage=1.0)
        await until(lambda: made.host.devices == {"pfe"})
        await say_state(made, False, 1000)
        await until(lambda: made.host.deaths >= 1, "NDEATH")
        await until(lambda: made.node.status.state == "waiting")
        at = utc_now() - timedelta(hours=1)
        for number in range(5):
            await made.sample("pfe", "line_voltage", 10.0 + number, at + timedelta(seconds=number))
        made.measure("pfe", line_voltage=20.0)
        assert not made.host.is_online
        await say_state(made, True, 3000)
        await until(lambda: len(made.past("pfe", "line_voltage")) == 5, "history")
        assert made.last("pfe", "line_voltage") == 20.0
        assert made.past("pfe", "line_voltage") == [
            (10.0 + number, ms(at + timedelta(seconds=number))) for number in range(5)
        ]


async def test_an_old_state_message_ends_nothing(bench, until):
    """STATE offline with an older timestamp than the last online one is of a life before."""
    async with bench(primary_host="scada") as made:
        await say_state(made, True, 2000)
        await until(lambda: made.host.is_online)
        await say_state(made, False, 1999)
        made.measure("pfe", line_voltage=1.0)
        await until(lambda: made.last("pfe", "line_voltage") == 1.0)
        assert made.host.deaths == 0


async def test_records_from_before_the_connection_are_history(bench, until, station, tmp_path):
    """What was recorded while there was no broker comes with its own times, behind live values."""
    at = datetime(2026, 11, 22, 16, 44, tzinfo=UTC)
    path = tmp_path / "outbox.sqlite"
    async with Outbox.opened(path, size_bytes_max=64_000_000) as outbox:
        for number in range(450):
            body = {"device": "pfe", "uncertainty_s": 0.0, "points": {"line_voltage": number}}
            await outbox.put("sample", at + timedelta(seconds=number), body)
    async with bench() as made:
        made.measure("pfe", line_voltage=1.0)
        await until(lambda: len(made.past("pfe", "line_voltage")) == 450, "history")
        times = [at_ms for _, at_ms in made.past("pfe", "line_voltage")]
        assert times == [ms(at + timedelta(seconds=number)) for number in range(450)]
        assert made.last("pfe", "line_voltage") == 1.0


async def test_much_history_passes_a_slow_line(station, mosquitto, until, tmp_path):
    """What takes a line a quarter of a minute is sent in one session, piece by piece."""
    points = [point.id for point in station.devices["pfe"].points.values() if point.is_numeric]
    path = tmp_path / "outbox.sqlite"
    async with (
        throttled(mosquitto.port, 8000) as port,
        Outbox.opened(path, size_bytes_max=64_000_000) as outbox,
    ):
        for number in range(200):
            body = {"device": "pfe", "uncertainty_s": 0.0, "points": dict.fromkeys(points, number)}
            await outbox.put("sample", utc_now(), body)
        await outbox.settled()
        made = Bench(station, outbox, port)
        made.measure("pfe", line_voltage=1.0)
        async with hearing(made.host, mosquitto.port):
            running = asyncio.create_task(made.node.run())
            await until(lambda: len(made.past("pfe", points[0])) == 200, "history")
            assert (made.node.status.attempts, made.host.births) == (1, 1)
            await made.node.stop()
            await running


async def test_a_lost_device_is_born_for_its_past_and_dies(bench, until, tmp_path):
    """The history of a device that does not answer is told, and then its death."""
    at = datetime(2026, 11, 22, 16, 44, tzinfo=UTC)
    path = tmp_path / "outbox.sqlite"
    async with Outbox.opened(path, size_bytes_max=64_000_000) as outbox:
        body = {"device": "room", "uncertainty_s": 0.0, "points": {"temperature": 21.5}}
        await outbox.put("sample", at, body)
    async with bench() as made:
        await until(lambda: "DDEATH" in made.host.kinds)
        assert [k for k in made.host.kinds if k[0] == "D"] == ["DBIRTH", "DDATA", "DDEATH"]
        assert made.host.devices == set()


async def test_json_and_sparkplug_run_side_by_side(bench, until, listening):
    """Both planes of one station at one broker, each with a connection and cursor of its own."""
    async with bench() as made, listening(made.port) as noc:
        config = UplinkConfig.model_validate({"id": "noc", "url": made.config.url})
        uplink = Uplink(
            made.station, config, made.image, made.outbox, lambda: made.lines, made.alarms
        )
        running = asyncio.create_task(uplink.run())
        made.measure("room", temperature=21.0)
        await until(lambda: made.host.devices == {"room"}, "DBIRTH")
        await until(lambda: noc.of("now/room"), "now")
        assert uplink.status.state == made.node.status.state == "online"
        await uplink.stop()
        await running


async def test_a_fault_of_its_own_ends_it_alone_and_it_starts_again(bench, until):
    """An error in the node makes it failed; it comes back by itself, and the Will was told."""
    async with bench() as made:
        await until(lambda: made.host.is_online)
        made.lines["board/beach"] = {}  # no `up`: a fault that no broker made
        await until(lambda: made.node.status.state == "failed", "the fault")
        assert "KeyError('up')" in made.node.status.text
        await until(lambda: made.host.deaths == 1, "the Will")
        del made.lines["board/beach"]
        await until(lambda: made.host.is_online and made.node.status.state == "online")


async def test_another_configuration_is_born_anew(bench, until, station):
    """After a reload NBIRTH and DBIRTHs say what there is; devices that went are not born."""
    async with bench() as made:
        made.measure("room", temperature=21.0)
        made.measure("pfe", line_voltage=1.0)
        await until(lambda: made.host.devices == {"room", "pfe"})
        devices = {name: device for name, device in station.devices.items() if name != "room"}
        changed = replace(station, devices=devices)
        made.image.adopt(changed, {name: set(d.points) for name, d in devices.items()})
        made.node.adopt(changed)
        await until(lambda: made.host.births == 2 and made.host.devices == {"pfe"})


async def test_a_second_edge_node_of_our_names_is_named(bench, until, tmp_path):
    """Another gateway with this identity, but another client id, is told from its NBIRTH."""
    async with bench() as made:
        await until(lambda: made.node.status.state == "online")
        path = tmp_path / "other.sqlite"
        async with Outbox.opened(path, size_bytes_max=64_000_000) as outbox:
            other = Bench(made.station, outbox, made.port, client_id="other")
            running = asyncio.create_task(other.node.run())
            await until(lambda: made.node.status.state == "taken-over")
            assert "trans-caspian/sumqayit" in made.node.status.text
            await other.node.stop()
            await running


async def test_a_broker_that_swallows_what_we_send_is_named(station, guarded, until, tmp_path):
    """QoS 0 is refused without a word: a birth that never comes back is what shows it."""
    await guarded.start("topic read #\n")
    late_s = 0.0
    async with Outbox.opened(tmp_path / "o.sqlite", size_bytes_max=64_000_000) as outbox:
        made = Bench(station, outbox, guarded.port)
        made.node = made.made(clock=lambda: time.monotonic() + late_s)
        running = asyncio.create_task(made.node.run())
        await until(lambda: made.node.status.state == "online")
        late_s = 11.0
        await until(lambda: made.node.status.state == "not-authorised")
        assert "access rules" in made.node.status.text
        await made.node.stop()
        await running


async def test_a_broker_too_small_for_a_birth_is_named(station, guarded, until, tmp_path):
    """What exceeds its packets is not sent; the text says how much is needed."""
    await guarded.start("topic readwrite #\n", "max_packet_size 800\n")
    async with Outbox.opened(tmp_path / "o.sqlite", size_bytes_max=64_000_000) as outbox:
        made = Bench(station, outbox, guarded.port)
        running = asyncio.create_task(made.node.run())
        await until(lambda: made.node.status.state == "quota")
        assert "NBIRTH" in made.node.status.text and "800" in made.node.status.text
        await made.node.stop()
        await running


async def test_a_wrong_password_is_named(station, guarded, until, tmp_path):
    """The login is that of the station file; a broker that refuses it makes a clear state."""
    await guarded.start("topic readwrite #\n", guarded.passwords("u", "right"))
    async with Outbox.opened(tmp_path / "o.sqlite", size_bytes_max=64_000_000) as outbox:
        secret = tmp_path / "secret"
        secret.write_text("wrong")
        secret.chmod(0o600)
        made = Bench(station, outbox, guarded.port, user="u", password_file=str(secret))
        running = asyncio.create_task(made.node.run())
        await until(lambda: made.node.status.state == "not-authorised")
        await made.node.stop()
        await running
