"""ports.py with a real daemon: who has a port, and how it comes back whatever the borrower does."""

import asyncio
import signal
import sys

import pytest
import serial
from running_station import room_samples, running_station, whats

from shorewatch.control import ControlError, borrowed

BORROWER = """
import sys, time
from pathlib import Path
from shorewatch.control import borrowed
with borrowed(Path(sys.argv[1]), "pfe-room", by="ali", reason="new board", seconds=600):
    print("mine", flush=True)
    time.sleep(600)
"""
TOOL = {"by": "ali", "reason": "new board", "seconds": 60.0}


def pfe_reason(live):
    return live["devices"]["pfe"]["points"]["line_current"]["reason"]


async def until_back(station) -> None:
    await station.until(lambda live: live["boards"]["pfe-room"]["up"])


async def test_a_borrowed_port_is_the_borrowers_alone(tmp_path, quiet_text):
    """It is open to the tool, its points are bad (maintenance), and it goes on after its return."""
    async with running_station(tmp_path, quiet_text) as station:
        await until_back(station)

        def work() -> None:
            with borrowed(station.state, "pfe-room", **TOOL) as found:
                serial.Serial(found["port"], found["baud"], exclusive=True).close()
                asyncio.run_coroutine_threadsafe(check(), loop).result()

        async def check() -> None:
            live = await station.ask("live", board="pfe-room")
            assert pfe_reason(live) == "maintenance"
            assert "lent to ali" in live["boards"]["pfe-room"]["reason"]
            sent = len(station.boards["pfe-room"].requests)
            await station.until_read_on()
            assert len(station.boards["pfe-room"].requests) == sent

        loop = asyncio.get_running_loop()
        await asyncio.to_thread(work)
        await until_back(station)
        await station.until_read_on()
        records = await station.stop()
    said = [r for r in records if r.get("source") == "board/pfe-room" and "by" in r]
    assert [(r["what"], r["by"], r["why"]) for r in said] == [
        ("port lent", "ali", "new board"),
        ("port taken back", "ali", "returned"),
    ]
    assert whats(records, "board/beach") == ["up"]
    assert all("bad" not in sample for sample in room_samples(records))


async def test_a_killed_borrower_returns_its_port_at_once(tmp_path, quiet_text):
    """kill -9 of the tool is the end of its loan, long before its time is over."""
    async with running_station(tmp_path, quiet_text) as station:
        await until_back(station)
        borrower = await asyncio.create_subprocess_exec(
            sys.executable, "-c", BORROWER, str(station.state), stdout=asyncio.subprocess.PIPE
        )
        assert borrower.stdout is not None
        assert await borrower.stdout.readline() == b"mine\n"
        assert not (await station.ask("live"))["boards"]["pfe-room"]["up"]
        borrower.send_signal(signal.SIGKILL)
        await until_back(station)
        await borrower.wait()
        records = await station.stop()
    (end,) = [r for r in records if r.get("what") == "port taken back"]
    assert end["why"] == "the borrower has gone"


async def test_a_port_is_taken_back_when_its_time_is_over(tmp_path, quiet_text):
    """The borrower that does not return it is told so."""
    async with running_station(tmp_path, quiet_text) as station:
        await until_back(station)

        def work() -> None:
            tool = TOOL | {"seconds": 0.5}
            with borrowed(station.state, "pfe-room", **tool):
                asyncio.run_coroutine_threadsafe(until_back(station), loop).result()

        loop = asyncio.get_running_loop()
        with pytest.raises(ControlError, match="pfe-room was taken back: its time was over"):
            await asyncio.to_thread(work)
        records = await station.stop()
    (end,) = [r for r in records if r.get("what") == "port taken back"]
    assert end["why"] == "its time was over"


async def test_a_port_has_one_borrower(tmp_path, quiet_text):
    """The second is told who has it and until when; another board's port can be had."""
    async with running_station(tmp_path, quiet_text) as station:
        await until_back(station)

        def work() -> None:
            with borrowed(station.state, "pfe-room", **TOOL):
                text = r"pfe-room is lent to ali until .* UTC \(new board\); ask them, or wait"
                with (
                    pytest.raises(ControlError, match=text),
                    borrowed(station.state, "pfe-room", by="eve", reason="mine", seconds=5),
                ):
                    pass
                with borrowed(station.state, "beach", **TOOL):
                    pass

        await asyncio.to_thread(work)
        await until_back(station)


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"board": "attic"}, "no board 'attic'; it has pfe-room, beach"),
        ({"by": " "}, "`by` is missing"),
        ({"reason": "x" * 201}, "`reason` must be one line of at most 200 characters"),
        ({"seconds": 0}, "up to 3600 s, not for 0"),
        ({"seconds": "long"}, "`seconds` is missing"),
    ],
)
async def test_a_wrong_request_is_refused(tmp_path, quiet_text, wrong, text):
    """What is wrong is named, and the port stays the gateway's."""
    async with running_station(tmp_path, quiet_text) as station:
        await until_back(station)
        with pytest.raises(ControlError, match=text):
            await station.ask("borrow", **{"board": "pfe-room", **TOOL, **wrong})
        assert (await station.ask("live"))["boards"]["pfe-room"]["up"]
        with pytest.raises(ControlError, match="has borrowed nothing"):
            await station.ask("return")


async def test_a_reload_leaves_a_borrowed_port_alone(tmp_path, quiet_text):
    """The changed link of a lent board is opened when the port is back, not before."""
    async with running_station(tmp_path, quiet_text) as station:
        await until_back(station)

        def work() -> None:
            with borrowed(station.state, "pfe-room", **TOOL):
                asyncio.run_coroutine_threadsafe(change(), loop).result()

        async def change() -> None:
            station.path.write_text(quiet_text.replace("timeout_s = 0.3", "timeout_s = 0.4"))
            assert len((await station.ask("reload"))["lines"]) == 4
            sent = len(station.boards["pfe-room"].requests)
            await station.until_read_on()
            assert "lent to ali" in (await station.ask("live"))["boards"]["pfe-room"]["reason"]
            assert len(station.boards["pfe-room"].requests) == sent

        loop = asyncio.get_running_loop()
        await asyncio.to_thread(work)
        await until_back(station)


async def test_a_lent_port_stays_lent_under_another_name(tmp_path, quiet_text):
    """A board that is renamed meanwhile neither opens its port nor lends it again."""
    async with running_station(tmp_path, quiet_text) as station:
        await until_back(station)

        def work() -> None:
            with borrowed(station.state, "pfe-room", **TOOL):
                asyncio.run_coroutine_threadsafe(rename(), loop).result()
                with (
                    pytest.raises(ControlError, match="board east is lent to ali"),
                    borrowed(station.state, "east", by="eve", reason="mine", seconds=5),
                ):
                    pass

        async def rename() -> None:
            station.path.write_text(quiet_text.replace('id = "pfe-room"', 'id = "east"'))
            await station.ask("reload")
            sent = len(station.boards["pfe-room"].requests)
            await station.until_read_on()
            assert "lent to ali" in (await station.ask("live"))["boards"]["east"]["reason"]
            assert len(station.boards["pfe-room"].requests) == sent

        loop = asyncio.get_running_loop()
        await asyncio.to_thread(work)
        await station.until(lambda live: "push the plan" in live["boards"]["east"]["reason"])


async def test_a_station_that_ends_takes_its_ports_with_it(tmp_path, quiet_text):
    """SIGTERM while a port is lent ends the daemon in order, and the borrower hears of it."""
    async with running_station(tmp_path, quiet_text) as station:
        await until_back(station)

        def work() -> None:
            with borrowed(station.state, "pfe-room", **TOOL):
                asyncio.run_coroutine_threadsafe(station.stop(), loop).result()

        loop = asyncio.get_running_loop()
        with pytest.raises(ControlError):
            await asyncio.to_thread(work)


async def test_the_wait_for_a_board_at_its_prompt_can_be_ended(tmp_path, quiet_text):
    """`resume` polls it at once; a board that is not waited for cannot be resumed."""
    async with running_station(tmp_path, quiet_text) as station:
        await until_back(station)
        with pytest.raises(ControlError, match="pfe-room is not waited for"):
            await station.ask("resume", board="pfe-room")
        board = station.boards["pfe-room"]
        board.prompt = b"\r\n>>> "
        await station.until(lambda live: pfe_reason(live) == "maintenance")
        board.prompt = None
        await station.ask("resume", board="pfe-room")
        await until_back(station)
        records = await station.stop()
    (said,) = [r for r in records if r.get("what") == "maintenance ended"]
    assert (said["source"], said["by"]) == ("board/pfe-room", "ali")


async def test_a_port_can_be_borrowed_again_and_again(tmp_path, quiet_text):
    """Whatever the link is at when its port is asked for, it lets go and comes back."""
    async with running_station(tmp_path, quiet_text) as station:

        def work() -> None:
            for _ in range(30):
                with borrowed(station.state, "beach", **TOOL) as found:
                    serial.Serial(found["port"], found["baud"], exclusive=True).close()

        await until_back(station)
        await asyncio.to_thread(work)
        await station.until(lambda live: live["boards"]["beach"]["up"])
