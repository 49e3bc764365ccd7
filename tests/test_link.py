"""link.py against a board that behaves, and boards that do not."""

import asyncio
from collections.abc import Callable
from contextlib import asynccontextmanager
from datetime import datetime

import pytest
from fake_board import FakeBoard, fake_board

from shorewatch.config import load_station
from shorewatch.image import Image
from shorewatch.link import BoardLink
from shorewatch.model import Quality, Reason
from shorewatch.plan import compile_board
from shorewatch.report import Reporter


class Kept:
    """Records, kept in a list."""

    def __init__(self) -> None:
        self.all: list[tuple[str, dict[str, object]]] = []
        self.kept: dict[str, object] = {}

    async def put(self, kind: str, at: datetime, body: dict[str, object], keep=None) -> None:
        self.all.append((kind, body))

    def keep(self, name: str, facts: object) -> bool:
        return True


@pytest.fixture
def plan(write, station_text):
    """The beach board's plan, polled fast."""
    text = station_text.replace('port = "boards/beach.link"', 'port = "b.link"\ntimeout_s = 0.1')
    return compile_board(load_station(write("s.toml", text)), "beach")


@asynccontextmanager
async def running(plan, tmp_path):
    image, records = Image(plan.station), Kept()
    link = BoardLink(plan, tmp_path, image, reporter=Reporter(plan.station), records=records)
    task = asyncio.create_task(link.run())
    try:
        yield link, image, records
    finally:
        # Python 3.11's wait_for drops a cancellation that meets its result: then once more.
        while not task.done():
            task.cancel()
            await asyncio.wait([task], timeout=0.1)
        assert task.cancelled(), "only we end it"


async def until(is_true: Callable[[], bool], limit_s: float = 20.0) -> None:
    async with asyncio.timeout(limit_s):
        while not is_true():
            await asyncio.sleep(0.01)


def serve_room(board: FakeBoard, celsius_tenths: int) -> None:
    (block,) = [b for b in board.plan.blocks if b.device.id == "room"]
    board.set_block(block.index, status=1, age_ms=20, data=[celsius_tenths, 500])


async def test_values_arrive_and_changes_are_recorded(plan, tmp_path):
    """What the board serves becomes good values, and one record a changed block."""
    with fake_board(plan, tmp_path / "b.link") as board:
        serve_room(board, 215)
        async with running(plan, tmp_path) as (link, image, records):
            await until(lambda: image.look("room")["temperature"].value == 21.5)
            serve_room(board, 230)
            await until(lambda: image.look("room")["temperature"].value == 23.0)

            assert link.status.up
            samples = [b for k, b in records.all if k == "sample" and b["device"] == "room"]
            assert [s["points"]["temperature"] for s in samples] == [21.5, 23.0]


async def test_an_unchanged_image_is_not_read_again(plan, tmp_path):
    """Blocks whose generation stands still cost no read of the block area."""
    with fake_board(plan, tmp_path / "b.link") as board:
        serve_room(board, 215)
        async with running(plan, tmp_path) as (_, image, _):
            await until(lambda: image.look("room")["temperature"].value == 21.5)
            await until(lambda: len(board.requests) > 10)
            board.requests.clear()
            await until(lambda: len(board.requests) > 10)

            assert all(int.from_bytes(r[2:4]) < 0x1000 for r in board.requests)


async def test_another_board_gives_no_values(plan, tmp_path):
    """A board with another unique id is named, and its values are not taken."""
    with fake_board(plan, tmp_path / "b.link") as board:
        board.unique_id = "feedfeedfeedfeed"
        serve_room(board, 215)
        async with running(plan, tmp_path) as (link, image, _):
            await until(lambda: "feedfeedfeedfeed" in str(link.status.reason))

            assert not link.status.up
            assert image.look("room")["temperature"].reason is Reason.CONFIG
            assert image.look("room")["temperature"].last_good is None


async def test_another_plan_gives_no_values(plan, tmp_path):
    """A board whose plan differs is told apart, with what to do."""
    with fake_board(plan, tmp_path / "b.link") as board:
        board.plan_crc ^= 1
        serve_room(board, 215)
        async with running(plan, tmp_path) as (link, image, _):
            await until(lambda: "push the plan" in str(link.status.reason))

            assert image.look("room")["temperature"].last_good is None


async def test_a_silent_board_is_down_and_comes_back(plan, tmp_path):
    """Silence makes every point bad (link-down) with its last good value; an answer heals it."""
    with fake_board(plan, tmp_path / "b.link") as board:
        serve_room(board, 215)
        async with running(plan, tmp_path) as (link, image, records):
            await until(lambda: image.look("room")["temperature"].value == 21.5)
            board.delay_s = None
            await until(lambda: image.look("room")["temperature"].reason is Reason.LINK_DOWN)
            assert not link.status.up
            assert image.look("room")["temperature"].last_good == 21.5

            board.delay_s = 0.0
            await until(lambda: image.look("room")["temperature"].value == 21.5)
            whats = [b["what"] for k, b in records.all if k == "event"]
            assert whats == ["up", "down", "up"]


@pytest.mark.parametrize("delay_s", [0.15, 0.62, 0.7, 0.8])
async def test_a_late_reply_is_never_taken_for_another(plan, tmp_path, delay_s):
    """A board that answers after the timeout gives no value at all, rather than a wrong one.

    The longer delays make the answer arrive when the port is open again, and the next request out.
    """
    with fake_board(plan, tmp_path / "b.link") as board:
        serve_room(board, 215)
        async with running(plan, tmp_path) as (link, image, _):
            await until(lambda: image.look("room")["temperature"].value == 21.5)
            board.delay_s = delay_s
            serve_room(board, 999)
            await until(lambda: not link.status.up)
            for _ in range(3):
                asked = len(board.requests)
                await until(lambda asked=asked: len(board.requests) > asked)
                value = image.look("room")["temperature"]
                assert value.quality is Quality.BAD and value.last_good == 21.5


async def test_a_restarted_board_is_noticed(plan, tmp_path):
    """A new boot id is an event, and everything is read afresh."""
    with fake_board(plan, tmp_path / "b.link") as board:
        serve_room(board, 215)
        async with running(plan, tmp_path) as (_, image, records):
            await until(lambda: image.look("room")["temperature"].value == 21.5)
            board.boot_id = 8
            await until(lambda: any("started by" in str(b.get("what")) for _, b in records.all))


async def test_values_of_a_board_that_is_read_in_part_are_not_taken(write, station_text, tmp_path):
    """While one of several reads fails the board stays down, and so do the values of the others."""
    more = "".join(
        f'[[board.bus.device]]\nid = "t{i}"\nname = "T"\nprofile = "xy-md02"\nunit_id = {i}\n\n'
        for i in range(21, 25)
    )
    text = station_text.replace('port = "boards/pfe-room.link"', 'port = "b.link"\ntimeout_s = 0.1')
    before, after = text.split('[[board]]\nid = "beach"')
    text = f'{before}{more}[[board]]\nid = "beach"{after}'
    plan = compile_board(load_station(write("s.toml", text)), "pfe-room")
    whole, cut = (group for group in plan.reads(plan.blocks))
    with fake_board(plan, tmp_path / "b.link") as board:
        (block,) = [b for b in whole if b.device.id == "t21"]
        board.set_block(block.index, status=1, age_ms=20, data=[215, 500])
        board.set_block(cut[0].index, status=1, age_ms=20, data=[215, 500])
        board.silent_from = cut[0].image
        async with running(plan, tmp_path) as (link, image, _):
            await until(lambda: "not when its data are read" in str(link.status.reason))
            for _ in range(3):
                asked = len(board.requests)
                await until(lambda asked=asked: len(board.requests) > asked + 3)
                assert image.look("t21")["temperature"].reason is Reason.LINK_DOWN
            board.silent_from = 0x10000
            await until(lambda: image.look("t21")["temperature"].value == 21.5)


@pytest.mark.parametrize("was_up", [True, False])
async def test_a_board_whose_data_cannot_be_read_is_down(plan, tmp_path, was_up):
    """A header alone makes no board up; it goes down once, gives no values, and comes back."""
    with fake_board(plan, tmp_path / "b.link") as board:
        serve_room(board, 215)
        board.silent_from = 0x10000 if was_up else 0x1000
        async with running(plan, tmp_path) as (link, image, records):
            await until(lambda: image.look("room")["temperature"].value == 21.5 or not was_up)
            board.silent_from = 0x1000
            board.boot_id += was_up
            serve_room(board, 230)
            await until(lambda: "not when its data are read" in str(link.status.reason))
            for _ in range(4):
                asked = len(board.requests)
                await until(lambda asked=asked: len(board.requests) > asked + 2)
                assert not link.status.up
                assert image.look("room")["temperature"].reason is Reason.LINK_DOWN

            board.silent_from = 0x10000
            await until(lambda: image.look("room")["temperature"].value == 23.0)
            whats = [b["what"] for k, b in records.all if k == "event"]
            assert [what.split(";")[0] for what in whats] == ["up"] * was_up + ["down", "up"]
            assert ("started" in whats[-1]) is was_up


@pytest.mark.parametrize("prompt", [b"\r\n>>> ", b"raw REPL; CTRL-B to exit\r\n>"])
async def test_a_prompt_is_left_alone(plan, tmp_path, monkeypatch, prompt):
    """One frame meets the prompt at most; then nothing is sent until maintenance must be over."""
    monkeypatch.setattr("shorewatch.link.MAINTENANCE_S", 3.0)
    with fake_board(plan, tmp_path / "b.link") as board:
        serve_room(board, 215)
        async with running(plan, tmp_path) as (link, image, records):
            await until(lambda: image.look("room")["temperature"].value == 21.5)
            board.requests.clear()
            board.prompt = prompt
            await until(lambda: image.look("room")["temperature"].reason is Reason.MAINTENANCE)
            assert "MicroPython prompt" in str(link.status.reason)
            sent = len(board.requests)
            await asyncio.sleep(1.5)
            assert len(board.requests) == sent

            board.prompt = None
            await until(lambda: image.look("room")["temperature"].value == 21.5)
            whats = [b["what"] for k, b in records.all if k == "event"]
            assert whats == ["up", "down", "up"]


async def test_a_port_plugged_in_anew_ends_the_wait(plan, tmp_path):
    """Maintenance is over at once when the board comes back as another device."""
    with fake_board(plan, tmp_path / "b.link") as board:
        board.prompt = b">>> "
        async with running(plan, tmp_path) as (_, image, _):
            await until(lambda: image.look("room")["temperature"].reason is Reason.MAINTENANCE)
            (tmp_path / "b.link").rename(tmp_path / "old.link")
            with fake_board(plan, tmp_path / "b.link") as again:
                serve_room(again, 230)
                await until(lambda: image.look("room")["temperature"].value == 23.0)
            (tmp_path / "old.link").rename(tmp_path / "b.link")


async def test_data_that_spell_a_prompt_are_data(plan, tmp_path):
    """Registers that happen to hold the prompt's letters stop nothing."""
    with fake_board(plan, tmp_path / "b.link") as board:
        (block,) = [b for b in plan.blocks if b.device.id == "room"]
        board.set_block(block.index, status=1, age_ms=20, data=[0x3E3E, 0x3E20])
        async with running(plan, tmp_path) as (link, _, _):
            await until(lambda: link.status.up)
            board.delay_s = None
            await until(lambda: not link.status.up)
            assert "no answer" in str(link.status.reason)


async def test_a_port_that_goes_between_two_polls_comes_back(plan, tmp_path):
    """A board that is pulled while nothing is asked is down, and up when it is there again."""
    async with running(plan, tmp_path) as (link, image, _):
        for value in (215, 216, 217):
            with fake_board(plan, tmp_path / "b.link") as board:
                serve_room(board, value)
                await until(lambda v=value: image.look("room")["temperature"].value == v / 10)
            await until(lambda: image.look("room")["temperature"].reason is Reason.LINK_DOWN)
            assert not link.status.up


async def test_a_port_that_is_not_there_says_so(plan, tmp_path):
    """A missing port is told as such."""
    async with running(plan, tmp_path) as (link, image, _):
        await until(lambda: "no such port" in str(link.status.reason))

        assert image.look("room")["temperature"].reason is Reason.LINK_DOWN


async def test_a_frozen_device_is_recorded_as_frozen(plan, tmp_path):
    """A heartbeat that did not move in 20 s makes what is read, shown and recorded bad."""
    (block,) = [b for b in plan.blocks if b.device.id == "manhole" and b.function == 4]
    data = [5, 2000, 1200, 0, 900]
    with fake_board(plan, tmp_path / "b.link") as board:
        board.set_block(block.index, status=1, age_ms=20_000, data=data)
        async with running(plan, tmp_path) as (_, image, records):
            await until(lambda: image.look("manhole")["heartbeat"].last_good == 5)
            board.set_block(block.index, status=1, age_ms=20, data=data)
            await until(lambda: image.look("manhole")["water_level"].reason is Reason.FROZEN)

            (sample,) = [b for _, b in records.all if "bad" in b and b["device"] == "manhole"][-1:]
            assert sample["bad"]["water_level"] == "frozen"
            assert "points" not in sample
