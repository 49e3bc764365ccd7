"""Boards that lose their power, their link, their mind or their place."""

import asyncio
import time

import pytest

from shorewatch.hil.bench import Bench
from shorewatch.hil.noc import BenchNoc
from shorewatch.hil.part import Edge

pytestmark = pytest.mark.timeout(240)
CUTS = 50


def reason_of(noc: BenchNoc, device: str, point: str) -> str | None:
    seen = noc.seen(device, point)
    return None if seen is None else seen.reason


def boots(bench: Bench, board: str) -> list[str]:
    return [event["what"] for event in bench.noc.events(f"board/{board}") if "up" in event["what"]]


@pytest.mark.needs("north", "LINK")
async def test_an_unplugged_link_is_told_and_loses_no_event(bench: Bench) -> None:
    """While a link is out its values are bad; what a contact did meanwhile comes with the link."""
    board = bench.boards["north"]
    await board.pull_link()
    await bench.noc.until(
        lambda noc: reason_of(noc, "pfe", "line_voltage") == "link-down" or None, "link-down"
    )
    assert bench.noc.seen("pfe", "line_voltage").value is None
    assert bench.noc.seen("mains", "power").quality == "good"
    await board.move([Edge(1, is_closed=False), Edge(1, is_closed=True, after_us=200_000)])
    await asyncio.sleep(0.5)
    await board.plug_link()
    await bench.until_good()
    events = await bench.noc.until(
        lambda noc: found if len(found := noc.events("north-contacts.door")) >= 2 else None,
        "what the contact did meanwhile",
    )
    assert [event["what"] for event in events[:2]] == ["raised", "over"]
    assert bench.wrong() == []


@pytest.mark.needs("north", "HANG")
async def test_a_hung_program_is_reset_by_its_watchdog(bench: Bench) -> None:
    """A board whose loop hangs while its bus is busy is reset, says so, and works again."""
    hung_s = time.monotonic()
    await bench.boards["north"].hang()
    await bench.noc.until(
        lambda noc: any("watchdog" in what for what in boots(bench, "north")) or None,
        "a start by the watchdog",
    )
    bench.figures["from a hung loop to the board at work, s"] = time.monotonic() - hung_s
    await bench.until_good()
    assert bench.wrong() == []


@pytest.mark.needs("north", "POWER")
async def test_power_cuts_at_any_moment_leave_a_board_that_works(bench: Bench) -> None:
    """Fifty times without power, at moments of no order, and each time it starts and reads on."""
    board = bench.boards["north"]
    for turn in range(CUTS):
        await board.cut_power()
        await board.give_power()
        # From the first instruction to full work: where a cut hits is spread over all of it.
        await asyncio.sleep(0.05 + (turn * 37 % 50) / 50)
    await bench.until_good()
    assert bench.wrong() == []
    live = await bench.gateway.ask("live")
    assert live["boards"]["north"]["up"]
    bench.figures["power cuts"] = CUTS


@pytest.mark.simulated
@pytest.mark.needs("north", "SWAP")
async def test_swapped_boards_give_no_values(bench: Bench) -> None:
    """Two boards plugged in where the other belongs are named, and no value of theirs is shown."""
    north, south = bench.boards["north"], bench.boards["south"]
    north_tty, south_tty = north.tty, south.tty
    await asyncio.gather(north.pull_link(), south.pull_link())
    await bench.noc.until(
        lambda noc: reason_of(noc, "pfe", "line_voltage") == "link-down" or None, "link-down"
    )
    shown = dict(bench.noc.shown)
    await asyncio.gather(north.plug_into(south_tty), south.plug_into(north_tty))

    def named(live: dict) -> bool | None:
        return (
            all("is plugged in where" in live["boards"][name]["reason"] for name in bench.boards)
            or None
        )

    await bench.gateway.until(named, "the gateway to name the wrong board")
    await asyncio.sleep(2)
    late = [key for key in bench.noc.shown if key not in shown]
    assert [key for key in late if key[0] in ("pfe", "mains")] == []
    await asyncio.gather(north.plug_into(north_tty), south.plug_into(south_tty))
    await bench.until_good()
    assert bench.wrong() == []
