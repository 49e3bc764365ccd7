"""An edge node at a real broker, exercised and judged through the proxy."""

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import replace

from edge_node import EdgeNode

from shorewatch.mqtt.client import connected
from shorewatch.sparkplugcheck.exercise import Exercise
from shorewatch.sparkplugcheck.judge import Judge, judged
from shorewatch.sparkplugcheck.packet import Connect, Packet, Publish, Subscribe, Will
from shorewatch.sparkplugcheck.proxy import Proxy, Recording
from shorewatch.sparkplugcheck.session import Passed, Seen
from shorewatch.sparkplugcheck.stream import Frame

PAUSE_S = 0.3


async def exercised(broker_port: int, spoil: Callable[[Packet], Packet]) -> Judge:
    """What the judge says of the test's edge node after the whole exercise."""
    recording = Recording(time.time)
    proxy = Proxy(recording, "127.0.0.1", broker_port)
    async with (
        connected("127.0.0.1", broker_port, client_id="host") as broker,
        proxy.listening("127.0.0.1", 0) as port,
    ):
        node = asyncio.create_task(EdgeNode(port, spoil).run())
        exercise = Exercise(
            recording, broker, proxy.cut, time.time, lambda text: None,
            pause_s=PAUSE_S, old_offline_s=0,
        )  # fmt: skip
        await exercise.run()
        node.cancel()
        await asyncio.gather(node, return_exceptions=True)
    return judged(recording.entries)


async def test_a_right_node_passes_the_exercise(broker_port):
    """Rebirth, a host that comes and goes, and a cut are all exercised, and nothing fails."""
    judge = await exercised(broker_port, lambda packet: packet)

    words = {verdict.rule: verdict.word for verdict in judge.book.verdicts()}
    edge = "message-flow-edge-node-birth-publish-"
    rebirth = "operational-behavior-data-commands-rebirth-action-"
    wanted = (
        f"{edge}phid-wait", f"{edge}phid-wait-online", f"{edge}phid-wait-timestamp",
        f"{edge}phid-offline", f"{rebirth}1", f"{rebirth}2", f"{rebirth}3",
        "topics-nbirth-bdseq-increment",
        "operational-behavior-edge-node-intentional-disconnect-ndeath",
    )  # fmt: skip
    assert judge.book.broken() == {}
    assert {words[rule] for rule in wanted} == {"passed"}


async def test_a_wrong_node_is_caught_at_a_real_broker(broker_port):
    """A node with a retained Will that answers rebirths at QoS 1 fails for these two alone."""

    def spoil(packet: Packet) -> Packet:
        if isinstance(packet, Connect) and packet.will is not None:
            return replace(packet, will=replace(packet.will, is_retained=True))
        if isinstance(packet, Publish) and "/DBIRTH/" in packet.topic:
            return replace(packet, qos=1, packet_id=1)
        return packet

    judge = await exercised(broker_port, spoil)

    assert set(judge.book.broken()) == {"will-retain", "dbirth-qos"}


class Host:
    """A broker's end that only remembers what is published."""

    def __init__(self) -> None:
        self.topics: list[str] = []
        self.retained: dict[str, bytes] = {}

    async def publish(self, topic: str, payload: bytes, *, qos: int, is_retained: bool) -> int:
        self.topics.append(topic)
        if is_retained:
            self.retained[topic] = payload
        return 0


def begun() -> Recording:
    """A node has connected, asked for the STATE of scada, and is born."""
    recording = Recording(lambda: 0.0)
    will = Will("spBv1.0/G/NDEATH/E", b"", 1, False)
    for packet in (
        Connect(5, "c", True, 10, will),
        Subscribe(1, (("spBv1.0/STATE/scada", 1),)),
        Publish("spBv1.0/G/NBIRTH/E", b""),
    ):
        recording.add(1, Passed("node", Frame(packet, b"")))
    return recording


async def test_an_exercise_that_is_stopped_takes_its_state_back():
    """Whenever it ends, no host is left online at the broker that is not there."""
    host = Host()

    async def cut() -> None: ...

    exercise = Exercise(begun(), host, cut, lambda: 0.0, lambda text: None, pause_s=0)
    running = asyncio.create_task(exercise.run())
    while b"true" not in host.retained.get("spBv1.0/STATE/scada", b""):
        await asyncio.sleep(0)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)

    assert host.retained["spBv1.0/STATE/scada"] == b""


async def test_another_hosts_state_is_left_alone():
    """While somebody else's primary host is online, the exercise publishes no STATE."""
    recording, host, said = begun(), Host(), []
    online = json.dumps({"online": True, "timestamp": 1}).encode()
    recording.add(0, Seen("spBv1.0/STATE/scada", online, True))

    async def cut() -> None:
        recording.add(2, recording.entries[0].what)
        recording.add(2, recording.entries[2].what)

    async def answer() -> None:
        while not host.topics:
            await asyncio.sleep(0)
        recording.add(1, recording.entries[2].what)

    answering = asyncio.create_task(answer())
    await Exercise(recording, host, cut, lambda: 0.0, said.append, pause_s=0).run()
    await answering

    assert host.topics == ["spBv1.0/G/NCMD/E"]
    assert said[0] == "the host scada is online by somebody else: its STATE is left alone"
