"""`shorewatch cable locate --url` at real brokers: a fault is told while it happens."""

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cable_field import faulty, seconds
from fake_journal import FakeJournal

from shorewatch import cablecli
from shorewatch.assets import asset_folder
from shorewatch.cable.file import load_cable
from shorewatch.config import load_station
from shorewatch.model import to_text
from shorewatch.mqtt import topics
from shorewatch.mqtt.client import connected
from shorewatch.noc import Access
from shorewatch.plant.cable import HEALTHY

FILE = load_cable(asset_folder("stations") / "cables" / "trans-caspian.toml")


def journals(fault_km: float) -> dict[str, FakeJournal]:
    """Two stations' journals of 90 s in which a fault comes."""
    found = {"sumqayit": FakeJournal("a" * 32), "aktau": FakeJournal("b" * 32)}

    for pair in seconds(lambda second: HEALTHY if second < 60 else faulty(fault_km), 90):
        at = to_text(datetime.fromtimestamp(pair.at_s - 0.3, UTC))
        for station, shown, sign in (("sumqayit", pair.a, 1), ("aktau", pair.b, -1)):
            assert shown is not None, "both ends speak"
            points = {"line_voltage": sign * shown.volts, "line_current": shown.amps}
            found[station].write(device="pfe", uncertainty_s=0.01, points=points)
            found[station].kept[found[station].last]["at"] = at
    return found


async def test_a_fault_is_told_live(  # type: ignore[no-untyped-def]
    broker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """From both stations' journals on a broker the place is printed, recorded, exit code 1."""
    out = tmp_path / "found.json"
    stations = journals(100.0)
    told: list[str] = []
    locating = asyncio.create_task(cablecli._from_broker(FILE, broker.url, Access(), 12.0, out))
    async with connected(
        "127.0.0.1", broker.port, client_id="stations", incoming_bytes_max=10_000
    ) as connection:
        while "shunt fault" not in "".join(told) and not locating.done():
            for station, journal in stations.items():
                prefix = f"shorewatch/v1/trans-caspian/{station}"
                await connection.publish(
                    f"{prefix}/state", journal.state(), qos=1, is_retained=True
                )
                batch = journal.batch(0)
                assert batch is not None
                await connection.publish(f"{prefix}/journal", batch, qos=1)
            await asyncio.sleep(0.2)
            told.append(capsys.readouterr().out)
        code = await locating
    assert code == 1, "".join(told) + capsys.readouterr().out + capsys.readouterr().err
    first = json.loads(out.read_text())[0]
    assert first["what"] == "shunt"
    assert first["place"]["low_km"] < 100 < first["place"]["high_km"]


class Ear:
    """What came of the far end."""

    def __init__(self, topic: str) -> None:
        self.far_topic = topic
        self.heard: list[tuple[bytes, bool]] = []

    def hear(self, payload: bytes, *, is_retained: bool) -> None:
        self.heard.append((payload, is_retained))


async def test_an_uplink_brings_the_far_ends_values(broker, bench, until) -> None:  # type: ignore[no-untyped-def]
    """What the other station says of its PFE comes, retained or live, and nothing else does."""
    stations = asset_folder("stations")
    ear = Ear(topics.far_topic(load_station(stations / "sumqayit.toml")))
    assert ear.far_topic == topics.now_topic(load_station(stations / "aktau.toml").prefix, "pfe")
    async with connected(
        "127.0.0.1", broker.port, client_id="aktau", incoming_bytes_max=10_000
    ) as aktau:
        await aktau.publish(ear.far_topic, b"1", qos=1, is_retained=True)
        async with bench(broker.url, far=ear) as b:
            await b.until_state("online")
            await until(lambda: ear.heard, "what stands there")
            await aktau.publish(ear.far_topic.replace("pfe", "room"), b"2", qos=1)
            await aktau.publish(ear.far_topic, b"3", qos=1, is_retained=True)
            await until(lambda: len(ear.heard) == 2, "the next")
        assert ear.heard == [(b"1", True), (b"3", False)]
