"""Another configuration for a gateway that runs: read, judged, then applied whole or not at all.

Who asks (SIGHUP, or `shorewatch reload` by the control socket) waits in a queue; one loop reads the
station file again, in a thread, for acquisition must not wait for it. A file with errors changes
nothing, and neither does one that differs where only a restart can follow (diff.py says where):
both are logged, recorded, and shown on the page until a file is taken. What was applied is one
record as well.

Limits: 16 may wait; a record lists at most 50 lines, of 1000 characters each and 40 kB together.
"""

import asyncio
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from shorewatch.compiled import Compiled
from shorewatch.control import Caller, Request
from shorewatch.diff import Diff, compare
from shorewatch.errors import ConfigError, Problem
from shorewatch.gateway import Gateway
from shorewatch.model import to_text, utc_now

WAITING_MAX = 16
LINES_MAX = 50
LINE_MAX = 1000
LINES_BYTES_MAX = 40_000

_log = logging.getLogger("shorewatch.reload")


@dataclass(eq=False)
class _Asked:
    by: str
    answer: asyncio.Future[Diff] = field(default_factory=asyncio.Future)


class Reloader:
    """Reads one gateway's configuration anew with `load`, which raises ConfigError."""

    def __init__(self, gateway: Gateway, load: Callable[[], Compiled]) -> None:
        self._gateway = gateway
        self._load = load
        self._asked: asyncio.Queue[_Asked] = asyncio.Queue(WAITING_MAX)

    def hang_up(self) -> None:
        """SIGHUP: nobody waits for the answer; a queue that is full will do it anyway."""
        with suppress(asyncio.QueueFull):
            self._asked.put_nowait(_Asked("SIGHUP"))

    async def answer(self, request: Request, caller: Caller) -> dict[str, object]:
        """{"by"}: {"lines", "diff"} of what changed; ValueError with all that is in the way."""
        by = request.get("by")
        if not isinstance(by, str) or not by:
            raise ValueError("who asks? `by` is missing")
        asked = _Asked(by)
        try:
            self._asked.put_nowait(asked)
        except asyncio.QueueFull as error:
            raise ValueError(f"{WAITING_MAX} wait for a reload already") from error
        try:
            diff = await asked.answer
        except ConfigError as error:
            raise ValueError(str(error)) from error
        return {"lines": diff.lines(), "diff": diff.to_json()}

    async def run(self) -> None:
        """Do what is asked, one at a time, until cancelled."""
        while True:
            asked = await self._asked.get()
            try:
                diff = await self._reload(asked.by)
            except ConfigError as error:
                await self._refuse(asked.by, error.problems)
                if not asked.answer.done():
                    asked.answer.set_exception(error)
                    asked.answer.exception()  # after a SIGHUP nobody asks for it
            else:
                if not asked.answer.done():
                    asked.answer.set_result(diff)

    async def _reload(self, by: str) -> Diff:
        """Raises ConfigError, and then nothing has changed."""
        try:
            compiled, diff = await asyncio.to_thread(self._read, self._gateway.compiled)
        except OSError as error:
            rule = f"cannot be read: {error.strerror}"
            raise ConfigError([Problem(str(error.filename), None, "file", None, rule)]) from error
        if problems := _restarts(diff, compiled):
            raise ConfigError(problems)
        if not diff.is_empty:
            await self._gateway.apply(compiled)
        self._gateway.trouble = None
        for line in diff.lines():
            _log.info("reload by %s: %s", by, line)
        body = {"what": "reloaded", "by": by, "was": diff.old, "config": diff.new}
        await self._record(body, diff.lines()[1:])
        return diff

    def _read(self, old: Compiled) -> tuple[Compiled, Diff]:
        compiled = self._load()
        return compiled, compare(old, compiled)

    async def _refuse(self, by: str, problems: Sequence[Problem]) -> None:
        gateway = self._gateway
        at = utc_now()
        lines = [str(problem) for problem in problems]
        for line in lines:
            _log.error("reload by %s refused, nothing has changed: %s", by, line)
        gateway.trouble = {
            "text": (
                f"the file on disk cannot be taken; running configuration "
                f"{gateway.station.config_hash} since {gateway.config_since:%Y-%m-%d %H:%M:%S} UTC"
            ),
            "at": to_text(at),
            "problems": _some(lines),
            "count": len(lines),
        }
        await self._record({"what": "reload refused", "by": by}, lines)

    async def _record(self, body: Mapping[str, object], lines: Sequence[str]) -> None:
        more = {"lines": _some(lines), "count": len(lines)}
        await self._gateway.outbox.put("event", utc_now(), {"source": "gateway", **body, **more})


def _some(lines: Sequence[str]) -> list[str]:
    """As many of the lines as a record has room for, each as far as `LINE_MAX`."""
    found: list[str] = []
    room_bytes = LINES_BYTES_MAX
    for line in lines[:LINES_MAX]:
        text = line if len(line) <= LINE_MAX else line[: LINE_MAX - 1] + "…"
        room_bytes -= len(json.dumps(text))
        if room_bytes < 0:
            break
        found.append(text)
    return found


def _restarts(diff: Diff, compiled: Compiled) -> list[Problem]:
    """What the gateway cannot take while it runs, each at its place in the file."""
    rule = "cannot change while the gateway runs: restart it, or put back what was there"
    source = compiled.station.source
    return [
        source.problem((change.noun, key), None if new is None else repr(new), f"{rule} ({old!r})")
        if key
        else source.problem((change.noun,), change.what, rule)
        for change in diff.restarts
        for key, old, new in change.keys or (("", None, None),)
    ]
