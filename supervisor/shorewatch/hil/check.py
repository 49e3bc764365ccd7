"""`shorewatch bench check`: whether a lab's bench is wired as its file says, and what to do if not.

    programs ─▶ ports ─▶ boards ─▶ power ─▶ halt ─▶ buses ─▶ contacts

A step whose part the file leaves out is passed over; one that needs another that failed is not
made. Buses are judged by both ends: what a rack (rack.py) heard, and what its board says of it. So
two buses that are swapped, a wire that is off, A and B exchanged, and a line that is only heard one
way have words of their own. Boards are read only, but for their plan: that of the bench's station,
which must be on them (the stories push it).
"""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from shorewatch.compiled import Compiled, load_compiled
from shorewatch.config import parse_override
from shorewatch.errors import DemoError, FieldError, ShorewatchError
from shorewatch.field.port import opened
from shorewatch.field.sight import Row, Sight, seen
from shorewatch.field.talk import Answer, Found, ask_who
from shorewatch.hil.bus import Bus
from shorewatch.hil.file import BenchFile, BoardPlug, ContactPlug
from shorewatch.hil.lab import Lab
from shorewatch.hil.part import LOOK_S
from shorewatch.hil.switch import Uhubctl, run_program
from shorewatch.hil.witness import asked_on

FOUND_S: Final = 6.0
BUS_S: Final = 5.0
_COUNTED: Final = ("requests", "good", "timeouts", "crc_errors")
CONTACT_S: Final = 3.0
OFF_S: Final = 2.0
BOOT_S_MAX: Final = 20.0
WATCHDOG_S_MAX: Final = 10.0
Verdict = Literal["ok", "wrong", "left out"]
Asked = tuple[int, int, int, int]  # unit, function, address, count


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at: what it is, whether it is right, and what to do if it is not."""

    what: str
    verdict: Verdict
    text: str


Findings = AsyncIterator[Finding]


async def check(bench: BenchFile, station: Path) -> Findings:
    """Every finding, as it is made; raises LackError, ConfigError where no start can be made."""
    for finding in programs(bench):
        yield finding
    boards: dict[str, bool] = {}
    for plug in bench.board:
        finding = await asyncio.to_thread(_board, plug, bench)
        boards[plug.id] = finding.verdict == "ok"
        yield finding
    for plug in bench.board:
        if boards[plug.id]:
            yield await _power(plug, bench)
            yield await _halt(plug)
    if not all(boards.values()):
        yield Finding("buses", "left out", "first the boards must be right")
        return
    lab = Lab(bench, load_compiled(station))
    compiled = load_compiled(station, [parse_override(text) for text in lab.settings()])
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="shorewatch-bench-")))
        sight = await stack.enter_async_context(seen(folder / "none", compiled))
        async for finding in _buses(stack, sight, compiled, station, lab, folder):
            yield finding
        async for finding in _contacts(sight, bench, compiled):
            yield finding


def programs(bench: BenchFile) -> list[Finding]:
    """Programs that switches of the file need."""
    switches = [
        switch
        for plug in bench.board
        for switch in (plug.power, plug.link, plug.strap, *(c.switch for c in plug.contact))
    ]
    if not any(isinstance(switch, Uhubctl) for switch in switches):
        return []
    if shutil.which("uhubctl"):
        return [Finding("uhubctl", "ok", "is installed")]
    return [Finding("uhubctl", "wrong", "is not installed: apt install uhubctl")]


def _board(plug: BoardPlug, bench: BenchFile) -> Finding:
    what = f"board {plug.id}"
    if not Path(plug.port).exists():
        text = f"{plug.port} is not there: is its USB plug in, is its power on? "
        return Finding(what, "wrong", text + "`shorewatch boards` lists what is there")
    try:
        found = _asked(plug.port)
    except FieldError as error:
        return Finding(what, "wrong", str(error))
    identity = found.identity
    if identity is None:
        said = {
            Answer.PROMPT: "MicroPython's prompt answers: flash it (shorewatch flash)",
            Answer.SILENCE: "nothing answers: is it a board, and has it its firmware?",
        }.get(found.answer, "what answers is no Shorewatch board: is this its port?")
        return Finding(what, "wrong", f"{plug.port}: {said}")
    if identity.unique_id != plug.unique_id:
        others = {other.unique_id: other.id for other in bench.board}
        whose = others.get(identity.unique_id)
        text = f"{plug.port}: there is {identity.unique_id}, the file has {plug.unique_id}; "
        if whose is not None:
            return Finding(what, "wrong", text + f"that is board {whose}: exchange the two plugs")
        return Finding(what, "wrong", text + "correct unique_id, or plug in the right one")
    return Finding(what, "ok", f"{identity.unique_id}, firmware {identity.version}")


def _asked(port: str) -> Found:
    with opened(port) as line:
        return ask_who(line)


async def _power(plug: BoardPlug, bench: BenchFile) -> Finding:
    what = f"power of {plug.id}"
    if plug.power is None:
        return Finding(what, "left out", "no switch in the file: stories of power are skipped")
    try:
        await plug.power.switch(is_on=False)
        await asyncio.sleep(OFF_S)
        still = await asyncio.to_thread(_board, plug, bench)
        await plug.power.switch(is_on=True)
    except DemoError as error:
        return Finding(what, "wrong", str(error))
    if still.verdict == "ok":
        text = "switched off, the board still answers: is it another port's switch, or has the "
        return Finding(what, "wrong", text + "board a second supply?")
    for _ in range(round(BOOT_S_MAX / OFF_S)):
        await asyncio.sleep(OFF_S)
        if (await asyncio.to_thread(_board, plug, bench)).verdict == "ok":
            return Finding(what, "ok", "off it is silent, on it answers")
    return Finding(what, "wrong", f"switched on, it does not answer for {BOOT_S_MAX:g} s")


async def _halt(plug: BoardPlug) -> Finding:
    """Whether the program that halts does it, and the watchdog then restarts the board."""
    what = f"halt of {plug.id}"
    if plug.halt is None:
        return Finding(what, "left out", "no program in the file: the watchdog's story is skipped")
    try:
        await run_program(plug.halt)
    except DemoError as error:
        return Finding(what, "wrong", str(error))
    for _ in range(round((BOOT_S_MAX + WATCHDOG_S_MAX) / OFF_S)):
        await asyncio.sleep(OFF_S)
        with suppress(FieldError):
            found = await asyncio.to_thread(_asked, plug.port)
            if found.header is not None and found.header.boot_reason == "watchdog":
                return Finding(what, "ok", "halted, its watchdog restarts it")
    text = "halted, its watchdog does not restart it: does the program halt this board's processor?"
    return Finding(what, "wrong", text)


async def _buses(
    stack: AsyncExitStack, sight: Sight, compiled: Compiled, station: Path, lab: Lab, folder: Path
) -> Findings:
    racks: dict[tuple[str, int], Bus] = {}
    for name, board in compiled.station.boards.items():
        for config in board.bus:
            bus = Bus(
                compiled.station, station, name, config.uart, folder,
                pty=None, adapter=lab.adapter(name, config.uart), seed=1,
            )  # fmt: skip
            try:
                await bus.start()
            except DemoError as error:
                yield Finding(f"bus {bus.name}", "wrong", f"{error}; is the adapter plugged in?")
                continue
            stack.push_async_callback(bus.process.end)
            racks[name, config.uart] = bus
    # Until boards have found devices that were silent before; what counts is what is new since.
    await asyncio.sleep(FOUND_S)
    before = await sight.look()
    await asyncio.sleep(BUS_S)
    row = await sight.look()
    wanted = {
        (name, uart): {
            (b.device.config.unit_id, b.function, b.address, b.count)
            for b in compiled.plans[name].blocks
            if getattr(b.device.bus, "uart", None) == uart
        }
        for name, uart in racks
    }
    for (name, uart), bus in racks.items():
        frames = [piece for piece in asked_on(bus.recorded()) if piece.is_frame]
        asked = {(p.unit_id, p.function, p.address, p.count) for p in frames}
        figures = _since(before, row, name, uart)
        reason = row["boards"][name]["reason"]
        yield judge_bus(bus.name, asked, wanted, (name, uart), await bus.counts(), figures, reason)


def _since(before: Row, after: Row, board_id: str, uart: int) -> dict[str, int] | None:
    """How often each happened on a bus between two looks; None if its board told nothing."""
    found = []
    for row in (before, after):
        buses = row["boards"][board_id]["buses"]
        found.append(next((bus for bus in buses if bus["uart"] == uart), None))
    first, last = found
    if first is None or last is None:
        return None
    return {name: last[name] - first[name] for name in _COUNTED}


def judge_bus(
    name: str,
    asked: set[Asked],
    wanted: Mapping[tuple[str, int], set[Asked]],
    key: tuple[str, int],
    counts: Mapping[str, int],
    figures: Mapping[str, Any] | None,
    reason: str | None,
) -> Finding:
    """What both ends say of a bus: requests heard, those of each bus's plan, the rack's counts."""
    what = f"bus {name}"
    if figures is None:
        return Finding(what, "wrong", f"its board gives no figures: {reason or 'no plan on it?'}")
    if not counts["frames"]:
        text = "nothing is heard at the adapter: are both wires of the pair on, is the transceiver"
        return Finding(what, "wrong", text + " supplied, is this the adapter of this bus?")
    if asked and not asked & wanted[key]:
        other = next((k for k, has in wanted.items() if k != key and asked & has), None)
        if other is not None:
            text = f"the adapter hears what belongs to bus {other[0]}/{other[1]}: exchange the two"
            return Finding(what, "wrong", text)
    if not asked:
        text = f"{counts['garbled']} frames are heard, none of them whole: exchange A and B, then "
        return Finding(what, "wrong", text + "compare baud rate and parity; is it this bus?")
    if not figures["good"]:
        text = f"{counts['answered']} answers went out, the board had none: does its transceiver "
        return Finding(what, "wrong", text + "switch to receiving (DE), is RX connected?")
    bad = figures["timeouts"] + figures["crc_errors"]
    if bad > figures["good"]:
        text = f"{bad} of {figures['requests']} requests failed: look at termination and bias"
        return Finding(what, "wrong", text)
    return Finding(what, "ok", f"{figures['good']} of {figures['requests']} requests answered")


async def _contacts(sight: Sight, bench: BenchFile, compiled: Compiled) -> Findings:
    for plug in bench.board:
        names = {c.input: c.id for c in compiled.station.boards[plug.id].input}
        if not plug.contact:
            yield Finding(
                f"contacts of {plug.id}", "left out", "none in the file: their stories are skipped"
            )
        for contact in plug.contact:
            what = f"contact {plug.id}/{contact.input}"
            if contact.input not in names:
                yield Finding(what, "left out", "the station file has no such input")
                continue
            try:
                yield await _contact(sight, plug, contact, names, what)
            except ShorewatchError as error:
                yield Finding(what, "wrong", str(error))


async def _contact(
    sight: Sight, plug: BoardPlug, contact: ContactPlug, names: Mapping[int, str], what: str
) -> Finding:
    before = _states(await sight.look(), plug.id)
    await contact.switch.switch(is_on=False)
    opened_ = await _changed(sight, plug.id, before)
    await contact.switch.switch(is_on=True)
    await _changed(sight, plug.id, opened_)
    moved = [name for name in opened_ if opened_[name] != before.get(name)]
    wanted = names[contact.input]
    if moved == [wanted]:
        return Finding(what, "ok", f"its relay moves {wanted}")
    if not moved:
        return Finding(what, "wrong", f"its relay moves nothing: is it wired to input {wanted}?")
    return Finding(
        what, "wrong", f"its relay moves {', '.join(moved)}, not {wanted}: exchange them"
    )


async def _changed(sight: Sight, board_id: str, before: Mapping[str, Any]) -> dict[str, Any]:
    loop = asyncio.get_running_loop()
    end_s = loop.time() + CONTACT_S
    while True:
        found = _states(await sight.look(), board_id)
        if found != before or loop.time() > end_s:
            return found
        await asyncio.sleep(LOOK_S)


def _states(row: Row, board_id: str) -> dict[str, Any]:
    points = row["devices"].get(f"{board_id}-contacts", {}).get("points", {})
    return {name: point["value"] for name, point in points.items()}
