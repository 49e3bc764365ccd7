"""Recordings of real or troubled lines, played back to the firmware: they give what they gave then.

Each file in `transcripts` is named <station>-<board>-<uart>.wire, after a file in `stations`.
"""

import asyncio
from pathlib import Path

import pytest
from free_ports import free_ports

from shorewatch.field.sniff import Kind
from shorewatch.hil import witness
from shorewatch.hil.bench import Bench, opened
from shorewatch.hil.bundle import talks
from shorewatch.hil.witness import Served
from shorewatch.plant.record import read_recording
from shorewatch.plant.trouble import Trouble

pytestmark = [pytest.mark.timeout(180), pytest.mark.simulated]
TRANSCRIPTS = sorted((Path(__file__).parent / "transcripts").glob("*.wire"))


def served(path: Path) -> list[Served]:
    """What the whole replies of a recording say."""
    found = []
    for talk in talks(read_recording(path), 1e-4, 2e-3):
        if talk.request is None or talk.reply is None or talk.reply.kind is not Kind.REPLY:
            continue
        asked, data = talk.request, talk.reply.data[3:-2]
        if asked.function < 3:
            bits = int.from_bytes(data, "little")
            cells = tuple(bits >> i & 1 for i in range(asked.count))
        else:
            cells = tuple(talk.words or ())
        one = Served(0.0, asked.unit_id, asked.function, asked.address, asked.count, cells)
        found.append(one)
    return found


async def played(bench: Bench, name: str, path: Path) -> None:
    """The line of a bench is this recording; what the NOC is shown of it stands in it."""
    _, board, uart = name.split("-")
    bench.buses[board, int(uart)].process.more = ["--replay", str(path)]
    await bench.start()
    known = witness.Testimony()
    known.add(bench.compiled.plans, {(board, int(uart)): served(path)})
    assert known.values, "no reply of the plan is in that recording"
    devices = {device for device, _ in known.values}

    def shown() -> set[tuple[str, str]]:
        return {(device, point) for device, point, _ in bench.noc.shown}

    # Points whose registers are always what is no value are never shown.
    wanted = {key for key, values in known.values.items() if any(v is not None for v in values)}
    await bench.noc.until(lambda _: wanted <= shown() or None, "every point of the recording")
    await asyncio.sleep(3)
    for (device, point, at), value in bench.noc.shown.items():
        if device in devices:
            assert value in known.values[device, point], f"{device}.{point} at {at}"
    bench.figures["points played back"] = len(wanted)


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: path.stem)
async def test_a_recording_gives_the_values_that_it_has(cold: Bench, path: Path) -> None:
    """Played back to the firmware, a recorded line gives the NOC the values in its replies."""
    await played(cold, path.stem, path)


async def test_a_line_in_trouble_is_recorded_and_played_back(bench: Bench, tmp_path: Path) -> None:
    """What a bench has recorded of a bad line can be played back on another bench."""
    trouble = Trouble(damaged=0.05, dropped=0.02, doubled=0.02, noise_per_s=2)
    await bench.buses["north", 0].set_trouble(trouble)
    await asyncio.sleep(8)
    await bench.end()
    path = bench.buses["north", 0].wire
    async with opened(bench.file, tmp_path / "again", port=free_ports(2)) as again:
        await played(again, path.stem, path)
