"""Our own edge node, exercised at a real broker and judged through the proxy."""

import asyncio
import time
from contextlib import suppress

from fake_alarms import FakeAlarms

from shorewatch.assets import asset_folder
from shorewatch.config import UplinkConfig, load_station
from shorewatch.image import Image
from shorewatch.model import Quality, Reason, Value, utc_now
from shorewatch.mqtt.client import connected
from shorewatch.outbox import Outbox
from shorewatch.sparkplug import node
from shorewatch.sparkplugcheck.exercise import Exercise
from shorewatch.sparkplugcheck.judge import judged
from shorewatch.sparkplugcheck.proxy import Proxy, Recording

PERIOD_S = 0.05
PAUSE_S = 1.0


def good(value: float) -> Value:
    return Value(Quality.GOOD, value=value, acquired_at=utc_now(), acquired_s=time.monotonic())


async def field(image: Image) -> None:
    """Values that change for ever, of a device that stays and of one that comes and goes."""
    count = 0
    while True:
        count += 1
        image.put("pfe", {"line_voltage": good(float(count))})
        if count % 40 < 30:
            image.put("room", {"temperature": good(float(count % 7))})
        else:
            image.put_bad("room", Reason.DEVICE_TIMEOUT)
        await asyncio.sleep(PERIOD_S)


async def test_our_edge_node_breaks_nothing(broker_port, tmp_path):
    """Births, data, deaths, rebirth, a host that comes and goes and a cut: nothing fails."""
    station = load_station(asset_folder("stations") / "sumqayit.toml")
    recording = Recording(time.time)
    proxy = Proxy(recording, "127.0.0.1", broker_port)
    async with (
        connected("127.0.0.1", broker_port, client_id="host") as broker,
        proxy.listening("127.0.0.1", 0) as port,
        Outbox.opened(tmp_path / "outbox.sqlite", size_bytes_max=64_000_000) as outbox,
    ):
        url = f"mqtt://127.0.0.1:{port}"
        config = UplinkConfig.model_validate(
            {"id": "scada", "url": url, "plane": "sparkplug", "primary_host": "scada"}
        )
        image = Image(station)
        ours = node.EdgeNode(station, config, image, outbox, dict, FakeAlarms())
        tasks = [asyncio.create_task(field(image)), asyncio.create_task(ours.run())]
        exercise = Exercise(
            recording, broker, proxy.cut, time.time, lambda text: None, pause_s=PAUSE_S
        )
        await exercise.run()
        await ours.stop()
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
    judge = judged(recording.entries)

    exercised = {verdict.rule for verdict in judge.book.verdicts() if verdict.judged}
    assert judge.book.broken() == {}
    assert "operational-behavior-data-commands-rebirth-action-2" in exercised
    assert "message-flow-edge-node-birth-publish-phid-offline" in exercised
    assert "topics-ddeath-topic" in exercised
