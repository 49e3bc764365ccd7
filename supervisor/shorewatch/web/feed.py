"""What all viewers of the page see: one look a period, encoded once, for as many as watch.

    event: whole   data: the snapshot (status.py)
    event: part    data: {"at", "set": {section: {id: row}}, "gone": {section: [id]}, ...}

A viewer gets the whole snapshot first, then the parts: rows that changed in the sections that have
rows, and everything else that changed under its own key. Ages go on by themselves: a row of values
is sent again when a value was acquired, changed its quality, or left. A viewer that missed a part,
because it reads slowly, gets the whole again: nobody is owed a queue. While nobody watches nothing
is looked at.

Events are compressed once for all viewers, too, where these take it: each by itself, as deflate
blocks that end on a byte and refer to no other event, so that the same bytes follow any of them.
Source: RFC 1951, 3.2; RFC 1952, 2.3.
"""

import asyncio
import zlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from typing import Any

from shorewatch.model import encode

Snapshot = dict[str, Any]
Look = Callable[[], Snapshot]

PERIOD_S = 1.0
# The head of a gzip member: deflate, no name, no time, any system.
GZIP_HEAD = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
SECTIONS = ("boards", "directs", "devices", "uplinks")


class Feed:
    """One stream of snapshots for all viewers."""

    def __init__(self, look: Look, period_s: float = PERIOD_S) -> None:
        self.viewers = 0
        self._look = look
        self._period_s = period_s
        self._turn = 0
        self._shown: Snapshot = {}
        self._part = _Event()
        self._whole: _Event | None = None
        self._turned = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Look once a period while somebody watches, until `stop` is set."""
        while not stop.is_set():
            if self.viewers:
                self._take(self._look())
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), self._period_s)
        self._wake()

    async def follow(self, stop: asyncio.Event, *, is_small: bool = False) -> AsyncIterator[bytes]:
        """The events for one viewer until `stop` is set; it counts while it reads.

        `is_small`: as a gzip stream, which has no end.
        """
        self.viewers += 1
        try:
            if self.viewers == 1:  # nobody has looked for a while
                self._take(self._look())
            turn = self._turn
            yield (GZIP_HEAD if is_small else b"") + self._everything().sent(is_small=is_small)
            while not stop.is_set():
                if self._turn == turn:
                    await self._turned.wait()
                    continue
                is_next, turn = self._turn == turn + 1, self._turn
                yield (self._part if is_next else self._everything()).sent(is_small=is_small)
        finally:
            self.viewers -= 1

    def _take(self, snapshot: Snapshot) -> None:
        self._part = _Event("part", difference(self._shown, snapshot))
        self._shown, self._whole = snapshot, None
        self._turn += 1
        self._wake()

    def _wake(self) -> None:
        self._turned.set()
        self._turned = asyncio.Event()

    def _everything(self) -> "_Event":
        if self._whole is None:
            self._whole = _Event("whole", self._shown)
        return self._whole


class _Event:
    """One event as it is sent, compressed when the first viewer wants it so."""

    __slots__ = ("_plain", "_small")

    def __init__(self, name: str = "", body: Snapshot | None = None) -> None:
        self._plain = b"event: " + name.encode() + b"\ndata: " + encode(body or {}) + b"\n\n"
        self._small: bytes | None = None

    def sent(self, *, is_small: bool) -> bytes:
        if not is_small:
            return self._plain
        if self._small is None:
            packer = zlib.compressobj(5, zlib.DEFLATED, -zlib.MAX_WBITS)
            self._small = packer.compress(self._plain) + packer.flush(zlib.Z_SYNC_FLUSH)
        return self._small


def difference(before: Snapshot, after: Snapshot) -> Snapshot:
    """What a viewer of `before` must be told to see `after`; ages do not count as changes."""
    found: Snapshot = {key: value for key, value in after.items() if _is_new(key, before, value)}
    rows = {name: _changed(before.get(name, {}), after.get(name, {})) for name in SECTIONS}
    gone = {
        name: [*(before.get(name, {}).keys() - after.get(name, {}).keys())] for name in SECTIONS
    }
    found["set"] = {name: changed for name, changed in rows.items() if changed}
    found["gone"] = {name: ids for name, ids in gone.items() if ids}
    return found


def _is_new(key: str, before: Snapshot, value: object) -> bool:
    return key not in SECTIONS and (key not in before or before[key] != value)


def _changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> Mapping[str, Any]:
    return {
        name: row
        for name, row in after.items()
        if _without_age(before.get(name)) != _without_age(row)
    }


def _without_age(row: Mapping[str, Any] | None) -> object:
    """A row as it is compared: of its values all but the ages."""
    if row is None or "points" not in row:
        return row
    points = row["points"].items()
    seen = [(name, p["acquired_at"], p["quality"], p["reason"], p["text"]) for name, p in points]
    return seen, {key: value for key, value in row.items() if key != "points"}
