"""uplink.py when the station that it publishes becomes another one."""

import json

from shorewatch.config import Station, load_station
from shorewatch.diff import kept_points


def changed(write, station_text: str) -> Station:  # type: ignore[no-untyped-def]
    """Sumqayit with its device `mains` renamed, and its `room` named otherwise."""
    text = station_text.partition("\n[[alarm]]")[0].replace('id = "mains"', 'id = "grid"')
    return load_station(write("s.toml", text.replace("Equipment room climate", "Room climate")))


def adopt(bench, station: Station) -> None:  # type: ignore[no-untyped-def]
    bench.image.adopt(station, kept_points(bench.station, station))
    bench.uplink.adopt(station)


def standing(listener) -> dict[str, bytes]:  # type: ignore[no-untyped-def]
    """What stands on the broker by what was heard: the last message of each topic."""
    found = {m.topic.split("/", 4)[4]: m.payload for m in listener.messages}
    return {topic: payload for topic, payload in found.items() if payload}


async def test_a_changed_station_is_born_anew_while_online(
    broker, bench, listening, until, write, station_text
) -> None:  # type: ignore[no-untyped-def]
    """State shows the configuration, new and other devices are born, removed ones are emptied."""
    station = changed(write, station_text)
    async with bench(broker.url) as b, listening(broker.port) as listener:
        await until(lambda: {"now/mains", "birth/room", "birth/pfe"} <= standing(listener).keys())
        await until(lambda: len(listener.of("/birth/pfe")) == 1)
        adopt(b, station)
        await until(lambda: "birth/grid" in standing(listener) and "now/grid" in standing(listener))
        await until(lambda: not {"birth/mains", "now/mains"} & standing(listener).keys())
        await until(lambda: json.loads(standing(listener)["birth/room"])["name"] == "Room climate")
        await until(
            lambda: json.loads(standing(listener)["state"])["config"] == station.config_hash
        )
        topics = [m.topic.split("/", 4)[4] for m in listener.messages]
        assert topics.index("birth/grid") < topics.index("now/grid")
        assert len(listener.of("/birth/pfe")) == 1  # what is the same is not born again
        assert b.uplink.status.state == "online"


async def test_what_an_earlier_run_left_is_emptied(
    broker, bench, listening, until, write, station_text
) -> None:  # type: ignore[no-untyped-def]
    """A device that went while no broker was there is taken away at the next connection."""
    async with bench(broker.url) as b:
        async with listening(broker.port) as listener:
            await until(lambda: "birth/mains" in standing(listener))
        await until(lambda: "mains" in b.outbox.kept["births/noc"]["names"])
    station = changed(write, station_text)
    async with bench(broker.url, station=station), listening(broker.port) as listener:
        await until(lambda: "birth/grid" in standing(listener))
        await until(lambda: not {"birth/mains", "now/mains"} & standing(listener).keys())


async def test_an_alarm_that_an_earlier_run_had_is_emptied(broker, bench, listening, until) -> None:  # type: ignore[no-untyped-def]
    """An alarm that is in no station file any more leaves nothing at the next connection."""
    async with bench(broker.url) as b:
        b.alarms.become("lid-open", "unacknowledged")
        async with listening(broker.port) as listener:
            await until(lambda: "alarm/lid-open" in standing(listener))
    async with listening(broker.port) as listener:
        await until(lambda: "alarm/lid-open" in standing(listener))
        async with bench(broker.url) as b:
            b.alarms.ids = ()
            await until(lambda: "alarm/lid-open" not in standing(listener))
            await until(lambda: b.outbox.kept["alarms/noc"]["names"] == [])
