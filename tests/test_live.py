"""live.py with a real daemon: what tools see of it, once and as it changes."""

import asyncio

import pytest
from running_station import running_station

from shorewatch.assets import asset_folder
from shorewatch.config import load_station
from shorewatch.control import ControlError, followed
from shorewatch.live import FOLLOWERS_MAX

DEVICES = set(load_station(asset_folder("stations") / "sumqayit.toml").devices)


async def test_one_board_or_device_can_be_asked_for(tmp_path, quiet_text):
    """The snapshot is cut to what was asked for, a board with its events; else it is refused."""
    async with running_station(tmp_path, quiet_text) as station:
        await station.until_good()
        whole = await station.ask("live")
        assert whole["devices"].keys() == DEVICES
        beach = await station.ask("live", board="beach")
        assert set(beach["boards"]) == {"beach"}
        assert beach["boards"]["beach"]["events"][0]["what"] == "up"
        assert set(beach["devices"]) == {"manhole", "room", "beach-contacts"}
        room = await station.ask("live", device="room")
        assert (set(room["boards"]), set(room["devices"])) == (set(), {"room"})
        with pytest.raises(ControlError, match="no device 'attic'"):
            await station.ask("live", device="attic")
        with pytest.raises(ControlError, match="no board 'attic'"):
            await station.ask("follow", board="attic")


async def test_a_follower_gets_a_line_a_change(tmp_path, quiet_text):
    """First each device as it is, then what changes: values, qualities, and a device that goes."""
    async with running_station(tmp_path, quiet_text) as station:
        await station.until_good()
        loop = asyncio.get_running_loop()

        def work() -> None:
            lines = followed(station.state, {})
            first = [next(lines) for _ in DEVICES]
            assert {line["device"] for line in first} == DEVICES

            def until(is_wanted):
                return next(line for line in lines if is_wanted(line))

            def temperature(line):
                return line["points"]["temperature"]

            was = next(temperature(line)["value"] for line in first if line["device"] == "room")
            until(lambda line: line.get("device") == "room" and temperature(line)["value"] != was)
            asyncio.run_coroutine_threadsafe(silence(), loop).result()
            until(lambda line: line.get("device") == "room" and temperature(line)["reason"])
            asyncio.run_coroutine_threadsafe(remove(), loop).result()
            until(lambda line: line.get("device") == "manhole" and line.get("removed"))

        async def silence() -> None:
            station.boards["beach"].delay_s = None

        async def remove() -> None:
            before, _, rest = quiet_text.partition('[[board]]\nid = "beach"')
            keep = rest.partition("[[board.bus]]\nuart = 1")[2]
            head = rest.partition("[[board.bus]]")[0]
            text = f'{before}[[board]]\nid = "beach"{head}[[board.bus]]\nuart = 1{keep}'
            station.path.write_text(text)
            await station.ask("reload")

        await asyncio.to_thread(work)


async def test_too_many_followers_are_refused_and_one_that_leaves_makes_room(tmp_path, quiet_text):
    """The limit is told, and tools that only ask are served all the same."""
    async with running_station(tmp_path, quiet_text) as station:
        await station.until_good()

        def work() -> None:
            following = [followed(station.state, {}) for _ in range(FOLLOWERS_MAX)]
            for lines in following:
                next(lines)
            with pytest.raises(ControlError, match=f"{FOLLOWERS_MAX} tools follow"):
                next(followed(station.state, {}))
            following.pop().close()
            while True:
                try:
                    next(followed(station.state, {}))
                except ControlError:
                    continue
                return

        await asyncio.to_thread(work)
        assert (await station.ask("live"))["ok"]
