"""The support bundle: what somebody far away needs to find out what is wrong with a station.

A zip of JSON and text: versions, the station and its device types as validated, a status snapshot,
the last log lines, a day of the journal but its samples, facts of the databases, of this process
and of the machine. Where no gateway answers (`parts_here` alone) there is what the folder and the
machine tell.

No secret is in it. Passwords, keys and users' hashes stand in files of their own: of the files only
names, sizes and times are taken, never content. The station's text is not taken either, for people
write anything into comments.

Limits: LOG_LINES lines of LINE_CHARS, RECORDS_MAX records of each kind, ZIP_BYTES_MAX in all: over
it the older half of the records goes, again and again.
"""

import asyncio
import io
import json
import logging
import os
import platform
import sys
import time
import zipfile
from base64 import b64encode
from collections import deque
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from shorewatch.control import Caller, Reply, Request
from shorewatch.diary import EVENTS, HISTORY
from shorewatch.disk import free_bytes
from shorewatch.errors import OutboxError
from shorewatch.gateway import Gateway
from shorewatch.model import encode, to_text, utc_now

LOG_LINES: Final = 1000
LINE_CHARS: Final = 2000
RECORDS_MAX: Final = 5000
ZIP_BYTES_MAX: Final = 2_500_000
FILES_MAX: Final = 500
SPAN: Final = timedelta(days=1)
_LIBRARIES: Final = (
    "shorewatch", "pymodbus", "pyserial", "aiomqtt", "paho-mqtt", "pydantic", "starlette",
    "uvicorn", "protobuf", "orjson",
)  # fmt: skip
_FORMAT = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
_FORMAT.converter = time.gmtime

Parts = dict[str, bytes]


class LastLines(logging.Handler):
    """The last lines of the log, kept in memory while its `async with` block lasts."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: deque[str] = deque(maxlen=LOG_LINES)

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(_FORMAT.format(record)[:LINE_CHARS])

    async def __aenter__(self) -> "LastLines":
        logging.getLogger().addHandler(self)
        return self

    async def __aexit__(self, *_: object) -> None:
        logging.getLogger().removeHandler(self)


class Support:
    """Makes the bundle of a gateway that runs."""

    def __init__(self, gateway: Gateway, state_dir: Path, log: LastLines) -> None:
        self._gateway = gateway
        self._state_dir = state_dir
        self._log = log

    async def bundle(self, by: str) -> bytes:
        """The zip; `by` is who asked for it."""
        gateway, now_at = self._gateway, utc_now()
        station = gateway.station
        parts = await asyncio.to_thread(parts_here, self._state_dir, by)
        parts["log.txt"] = "\n".join([*self._log.lines, ""]).encode()
        parts["status.json"] = encode(gateway.look())
        parts["station.json"] = station.file.model_dump_json(indent=1).encode()
        for device in station.devices.values():
            profile = device.profile
            parts[f"profiles/{profile.id}.json"] = profile.model_dump_json(indent=1).encode()
        outbox = gateway.outbox
        parts["databases.json"] = encode({
            "outbox": {
                "journal": outbox.journal, "first": outbox.first, "last": outbox.last,
                "written": outbox.written, "queued": outbox.queued, "health": outbox.health,
            },
            "history": gateway.history.status,
        })  # fmt: skip
        records = {}
        for name, kinds in (("alarms", HISTORY), ("events", EVENTS)):
            try:
                records[name] = await gateway.diary.records(kinds, now_at - SPAN, RECORDS_MAX)
            except OutboxError as error:
                parts[f"{name}.txt"] = str(error).encode()
        return await asyncio.to_thread(packed, parts, records)

    async def answer(self, request: Request, caller: Caller) -> Reply:
        """For tools: {"do": "support", "by"} is answered by {"zip": ..., in base64}."""
        data = await self.bundle(str(request.get("by") or "?"))
        return {"zip": b64encode(data).decode()}


def packed(parts: Mapping[str, bytes], records: Mapping[str, Sequence[Mapping[str, Any]]]) -> bytes:
    """The zip of all parts; records as lines of JSON, the newest of them that find room."""
    while True:
        lines = {
            f"{name}.jsonl": b"".join(encode(row) + b"\n" for row in rows)
            for name, rows in records.items()
        }
        data = _zipped({**parts, **lines})
        if len(data) <= ZIP_BYTES_MAX or not any(records.values()):
            return data
        records = {name: rows[(len(rows) + 1) // 2 :] for name, rows in records.items()}


def parts_here(state_dir: Path, by: str) -> Parts:
    """What this machine and the state folder tell without a gateway."""
    about = {
        "made_at": to_text(utc_now()),
        "by": by,
        "python": sys.version,
        "machine": platform.platform(),
        "libraries": {name: _version(name) for name in _LIBRARIES},
    }
    return {
        "about.json": _pretty(about),
        "files.json": _pretty({"folder": str(state_dir), "files": _files(state_dir)}),
        "machine.json": _pretty(_machine(state_dir)),
    }


def _zipped(parts: Mapping[str, bytes]) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in sorted(parts.items()):
            archive.writestr(f"shorewatch-support/{name}", content)
    return data.getvalue()


def _files(folder: Path) -> list[dict[str, Any]]:
    """Names, sizes and times; what goes meanwhile is left out."""
    found = []
    for path in sorted(folder.rglob("*"))[:FILES_MAX]:
        try:
            facts = path.lstat()
        except OSError:
            continue
        found.append({
            "name": str(path.relative_to(folder)),
            "size_bytes": facts.st_size,
            "mode": f"{facts.st_mode:o}",
            "changed_at": to_text(datetime.fromtimestamp(facts.st_mtime, UTC)),
        })  # fmt: skip
    return found


def _machine(folder: Path) -> dict[str, Any]:
    """Figures of this process and of the machine; None where Linux does not tell them."""
    process = _table(Path("/proc/self/status"))
    memory = _table(Path("/proc/meminfo"))
    wanted = ("VmRSS", "VmHWM", "Threads", "voluntary_ctxt_switches")
    return {
        "free_bytes": free_bytes(folder),
        "process": {name: process.get(name) for name in wanted} | {"pid": os.getpid()},
        "memory": {name: memory.get(name) for name in ("MemTotal", "MemAvailable", "SwapFree")},
        "load": _text(Path("/proc/loadavg")),
        "uptime": _text(Path("/proc/uptime")),
        "processors": os.cpu_count(),
    }


def _table(path: Path) -> dict[str, str]:
    pairs = (line.partition(":") for line in (_text(path) or "").splitlines())
    return {name: value.strip() for name, _, value in pairs}


def _text(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:
        return None


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _pretty(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body, indent=1, ensure_ascii=False).encode()
