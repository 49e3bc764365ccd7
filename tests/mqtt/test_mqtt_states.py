"""Each trouble with a broker has a state and words of its own, by what a scripted peer answers."""

import asyncio
import json
import os

import pytest
from fake_alarms import FakeAlarms
from fake_peer import CONNECT, PINGREQ, PUBLISH, SUBSCRIBE, Peer

from shorewatch.config import Station, UplinkConfig
from shorewatch.image import Image
from shorewatch.mqtt.client import connected
from shorewatch.mqtt.uplink import IDENTITY, Uplink
from shorewatch.outbox import Outbox


@pytest.mark.parametrize(
    ("code", "state", "said"),
    [
        (0x84, "wrong-protocol", "does it speak MQTT 5?"),
        (0x86, "not-authorised", "bad user name or password"),
        (0x87, "not-authorised", "not authorized"),
        (0x8A, "not-authorised", "banned"),
        (0x88, "refused", "server unavailable"),
        (0x89, "refused", "server busy"),
        (0x97, "quota", "quota exceeded"),
        (0x9F, "quota", "connection rate exceeded"),
    ],
)
async def test_a_refused_connection_is_named_by_its_code(bench, code, state, said) -> None:  # type: ignore[no-untyped-def]
    """What the CONNACK says is the state, and stands in the text."""
    peer = Peer()
    peer.connack = code
    async with peer.listening(), bench(peer.url) as b:
        await b.until_state(state)
        assert said in b.uplink.status.text.lower() or said in b.uplink.status.text


async def test_a_broker_of_3_1_1_is_the_wrong_protocol(bench) -> None:  # type: ignore[no-untyped-def]
    """A CONNACK as MQTT 3.1.1 has it, code 1, is wrong-protocol."""
    peer = Peer()
    peer.instead = {CONNECT: b"\x20\x02\x00\x01"}
    async with peer.listening(), bench(peer.url) as b:
        await b.until_state("wrong-protocol")
        assert "MQTT 5" in b.uplink.status.text


@pytest.mark.parametrize(
    ("code", "state"),
    [(0x87, "not-authorised"), (0x97, "quota"), (0x99, "refused"), (0x80, "refused")],
)
async def test_a_refused_publish_is_named_by_its_code(bench, until, code, state) -> None:  # type: ignore[no-untyped-def]
    """A PUBACK that refuses the journal names its topic; the connection and the rest go on."""
    peer = Peer()
    peer.puback = lambda topic: code if topic.endswith("/journal") else 0
    async with peer.listening(), bench(peer.url) as b:
        await b.write(1)
        await b.until_state(state)
        assert f"{b.prefix}/journal" in b.uplink.status.text
        assert (b.uplink.status.attempts, b.uplink.status.published) == (1, 0)
        peer.puback = lambda topic: 0
        await b.until_state("online")
        await until(lambda: b.uplink.status.published == 1)


@pytest.mark.parametrize(("code", "state"), [(0x87, "not-authorised"), (0x97, "quota")])
async def test_a_refused_subscription_is_named(bench, code, state) -> None:  # type: ignore[no-untyped-def]
    """A SUBACK that refuses acknowledgements names the topic we asked for."""
    peer = Peer()
    peer.suback = code
    async with peer.listening(), bench(peer.url) as b:
        await b.until_state(state)
        assert f"a subscription to {b.prefix}/ack/+" in b.uplink.status.text


@pytest.mark.parametrize(
    ("code", "state"),
    [
        (0x8E, "taken-over"),
        (0x8B, "lost"),
        (0x87, "not-authorised"),
        (0x97, "quota"),
        (0x82, "wrong-protocol"),
        (0x98, "refused"),
    ],
)
async def test_the_reason_of_a_disconnect_is_the_state(bench, until, code, state) -> None:  # type: ignore[no-untyped-def]
    """A broker that dismisses us with a reason is shown with that reason while it stays away."""
    peer = Peer()
    async with peer.listening(), bench(peer.url) as b:
        await b.until_state("online")
        peer.is_silent = True
        peer.dismiss(code)
        await b.until_state(state)


@pytest.mark.parametrize("packet", [CONNECT, SUBSCRIBE, PUBLISH])
async def test_a_broker_that_goes_at_any_packet_is_used_again(bench, packet) -> None:  # type: ignore[no-untyped-def]
    """Whichever packet a broker leaves at, the uplink is online once it answers that one, too."""
    peer = Peer()
    peer.instead = {packet: b""}
    async with peer.listening(), bench(peer.url) as b:
        await b.until_state("refused" if packet == CONNECT else "lost")
        peer.instead = {}
        await b.until_state("online")


async def test_a_receive_maximum_is_kept(bench, until) -> None:  # type: ignore[no-untyped-def]
    """A broker that allows two unanswered messages is never sent a third."""
    peer = Peer()
    peer.connack_properties = b"\x21\x00\x02"  # Receive Maximum 2
    peer.puback_s = 0.001
    async with peer.listening(), bench(peer.url) as b:
        await b.write(2000)
        await until(lambda: b.uplink.status.published == 2000)
    assert peer.unanswered_max == 2


async def test_a_keepalive_is_answered(until) -> None:  # type: ignore[no-untyped-def]
    """A quiet connection stays up: its pings have an answer."""
    peer = Peer()
    async with (
        peer.listening(),
        connected("127.0.0.1", peer.port, client_id="quiet", keepalive_s=1) as connection,
    ):
        await until(lambda: peer.seen[PINGREQ] >= 2)
        assert await connection.publish("still/there", b"", qos=1) == 0


async def test_the_state_says_which_process_it_is(broker, bench, listening, until) -> None:  # type: ignore[no-untyped-def]
    """Host and process stand in the state, while online and in the last word."""
    async with listening(broker.port) as listener:
        async with bench(broker.url) as b:
            await b.until_state("online")
        await until(lambda: b'"online":false' in listener.of("/state")[-1].payload)
        names = {json.loads(m.payload)["gateway"] for m in listener.of("/state")}
    assert names == {IDENTITY}
    assert IDENTITY.startswith(os.uname().nodename[:64] + "/")


async def test_a_copy_of_the_gateway_is_named(broker, station: Station, until, tmp_path) -> None:  # type: ignore[no-untyped-def]
    """Two processes with one journal, as of a copied machine, name each other."""
    path = tmp_path / "one.sqlite"
    async with Outbox.opened(path, size_bytes_max=4_000_000) as outbox:
        names = ("east/111111", "west/222222")
        uplinks = [
            Uplink(
                station,
                UplinkConfig(id="noc", url=broker.url, client_id=name[:4]),
                Image(station),
                outbox,
                dict,
                FakeAlarms(),
                identity=name,
            )
            for name in names
        ]
        running = []
        try:
            for uplink in uplinks:
                running.append(asyncio.create_task(uplink.run()))
                await until(lambda u=uplink: u.status.attempts and u.status.state != "connecting")
            await until(lambda: uplinks[0].status.state == "taken-over")
            assert "(west/222222; we are east/111111)" in uplinks[0].status.text
        finally:
            for uplink in uplinks:
                await uplink.stop()
            await asyncio.wait(running)
