"""The history: what every point did, for people who look back. It may be lost; the outbox may not.

    image ─▶ recorder (memory) ─▶ archive (a thread) ─▶ file ─▶ reader (another thread) ─▶ query

It is given every value set as it is put, and looks at all of them once a second, for values age
without anybody telling. Putting costs a comparison and never waits. Every `FLUSH_S` what changed is
committed, so that a crash costs no more than that; full chunks and, at each hour, minutes follow.

Nothing that befalls the file ends or slows the gateway. One that is damaged, foreign or of a newer
version is moved aside (the newest `ASIDE_MAX` are kept) and a new one begun; one that cannot be
written is tried again. With less than `free_mb_min` of free disk it writes no more, and deletes its
oldest until there is; if the disk is too full even for that, it deletes itself. `health` says so.

Points with `record = false` are left out. Minutes are made of numbers; what a bit, a label or a
text did is kept as changes for all its days: a mean of states says nothing, and they are few.
"""

import asyncio
import difflib
import logging
import sqlite3
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from shorewatch.archive import Archive, Live, Reader
from shorewatch.clock import CLOCK_AT_MIN
from shorewatch.config import Station
from shorewatch.control import Caller, Reply, Request
from shorewatch.database import (
    DAMAGED,
    asides,
    delete,
    explained,
    move_aside,
    primary_code,
    run_in,
)
from shorewatch.disk import free_bytes
from shorewatch.errors import HistoryError
from shorewatch.image import Image
from shorewatch.model import Value, from_text, to_json, to_text, utc_now
from shorewatch.point import Point
from shorewatch.recorder import Recorder
from shorewatch.trend import HOUR_MS, MINUTE_MS, Span, thinned, to_words

LOOK_S: Final = 1.0
FLUSH_S: Final = 5.0
GAP_S: Final = 10.0
STEP_MS: Final = 1000
TAIL_CHANGES_MAX: Final = 100_000
RETRY_S: Final = 30.0
POINTS_MAX: Final = 5000
_FREE_STEP_BYTES = 1_000_000
_FREE_STEPS_MAX = 500

_T = TypeVar("_T")
_log = logging.getLogger("shorewatch.history")


@dataclass(frozen=True, slots=True)
class World:
    """The clocks and the disk, which tests replace."""

    clock: Callable[[], float] = time.monotonic
    wall: Callable[[], datetime] = utc_now
    free_bytes: Callable[[Path], int] = free_bytes


REAL: Final = World()


class History:
    """The history of one station. It takes values from the beginning, and writes once it runs."""

    def __init__(
        self, station: Station, image: Image, state_dir: Path, world: World = REAL
    ) -> None:
        config = station.file.history
        self._image, self._config, self._world = image, config, world
        self._path = state_dir / config.file
        self._size_bytes_max = config.size_mb_max * 1_000_000
        self._recorder = Recorder({})
        self._writing = ThreadPoolExecutor(1, thread_name_prefix="history")
        self._reading = ThreadPoolExecutor(1, thread_name_prefix="history-reader")
        self._archive: Archive | None = None
        self._reader: Reader | None = None
        self._session: tuple[int, int] | None = None
        self._damage: str | None = None
        self._trouble: str | None = None
        self._notice: str | None = None
        self._alive_s = self._flush_s = world.clock()
        self._retry_s = -1e9
        self._tail_changes = 0
        self._hour_ms = self._purge_ms = 0
        self._used_bytes = 0
        self._stop = asyncio.Event()
        self._flushing = asyncio.Lock()
        self._has_failed = False
        self.adopt(station)
        if config.record:
            image.listen(self.take)

    @property
    def is_well(self) -> bool:
        """Whether it records, or is switched off."""
        return self._trouble is None and not self._has_failed

    @property
    def health(self) -> str | None:
        """None if all is well, else what is wrong or was lost, and what to do."""
        if self._has_failed:
            return "The history failed by a fault of its own (see the log): restart the gateway."
        return self._trouble or self._notice

    @property
    def status(self) -> dict[str, Any]:
        """What the page shows of it."""
        return {
            "on": self._config.record, "health": self.health,
            "recorded": self._recorder.recorded, "dropped": self._recorder.dropped,
            "size_bytes": self._used_bytes, "size_bytes_max": self._size_bytes_max,
        }  # fmt: skip

    def take(self, device_id: str, values: Mapping[str, Value]) -> None:
        """Compare the values of one device with what was recorded last; never waits."""
        if self._has_failed:
            return
        now_s = self._world.clock()
        if now_s - self._alive_s > GAP_S:  # stopped, or suspended: nobody looked
            self._recorder.gap(self._recorder.now_ms(self._alive_s))
            self._alive_s = now_s
        self._recorder.take(device_id, values, now_s)

    def look(self) -> None:
        """Take what went stale with nobody telling; what is put comes by itself."""
        self._image.age()
        self._alive_s = self._world.clock()

    def adopt(self, station: Station) -> None:
        """Record the points of `station` from here on; its [history] is that of the start."""
        self._station = station
        points = [
            (device.id, point)
            for device in station.devices.values()
            for point in device.points.values()
            if point.record
        ]
        names = {(device, point.id): _series_name(device, point) for device, point in points}
        self._series = {names[device, point.id]: point.is_numeric for device, point in points}
        self._is_registered = False
        self._recorder.adopt(names, self._world.clock())

    async def flush(self, *, is_last: bool = False) -> None:
        """Write down what is open, as far as the disk lets us, and keep the file in order."""
        if not self._config.record:
            return
        async with self._flushing:
            await self._flush(is_last=is_last)

    async def _flush(self, *, is_last: bool) -> None:
        now_s = self._flush_s = self._world.clock()
        if not await self._follow_clock(now_s):
            return
        is_wanted = self._path.exists() or not self._is_short()
        if self._archive is None and now_s >= self._retry_s and is_wanted:
            self._retry_s = now_s + RETRY_S
            await self._open()
        if await self._has_room() and await self._commit(now_s, is_whole=is_last) and not is_last:
            await self._keep_order(now_s)

    async def run(self) -> None:
        """Record until cancelled, then write down what is left. Its own faults end only itself."""
        if not self._config.record:
            return
        recording = asyncio.create_task(self._record(), name="history recording")
        try:
            await asyncio.wait([recording])
        finally:
            self._stop.set()
            await asyncio.wait([recording])
            self._has_failed = recording.exception() is not None
            if self._has_failed:
                _log.error("the history failed", exc_info=recording.exception())
            await self._shut()
            self._writing.shutdown(wait=False)
            self._reading.shutdown(wait=False)

    async def query(
        self, device: str, point: str, from_at: datetime, to_at: datetime, points_max: int = 500
    ) -> list[Span]:
        """What a point did from-to, at most until now, as at most `points_max` spans, no hole.

        Minutes are not cut at the edges. Raises HistoryError if there is no such point, or the
        file cannot be read.
        """
        found = self._station.devices.get(device)
        known = None if found is None else found.points.get(point)
        if not self._config.record:
            raise HistoryError("the history is switched off: [history] record in the station file")
        if known is None or not known.record:
            raise HistoryError(self._unknown(device, point))
        name = _series_name(device, known)
        if not 2 <= points_max <= POINTS_MAX:
            raise HistoryError(f"{points_max} points: ask for 2 to {POINTS_MAX}")
        if self._reader is None or self._session is None:
            raise HistoryError(self.health or "the wall clock was not set yet: set it")
        now_ms = self._recorder.now_ms(self._world.clock())
        from_ms, to_ms = _to_ms(from_at), min(_to_ms(to_at), now_ms)
        if from_ms >= to_ms:
            raise HistoryError("the span must begin before it ends, and before now")
        live = Live(*self._session, now_ms, self._recorder.open(name))
        is_coarse = to_ms - from_ms >= 2 * MINUTE_MS * points_max
        read = partial(self._reader.read, name, from_ms, to_ms, live, is_coarse=is_coarse)
        try:
            spans = await run_in(self._reading, read)
        except sqlite3.Error as error:
            raise HistoryError(explained("history", self._path, error)) from error
        return await run_in(self._reading, partial(thinned, spans, points_max))

    async def answer(self, request: Request, caller: Caller | None = None) -> Reply:
        """What people ask: {"do": "history", "point": "pfe.line_current", "from", "to", "points"}.

        Raises ValueError for what does not fit.
        """
        source, points_max = str(request.get("point", "")), request.get("points", 500)
        device, _, point = source.partition(".")
        if not isinstance(points_max, int):
            raise ValueError("points is a whole number")
        try:
            from_at, to_at = (from_text(str(request.get(key))) for key in ("from", "to"))
            spans = await self.query(device, point, from_at, to_at, points_max)
        except HistoryError as error:
            raise ValueError(str(error)) from error
        known = self._station.devices[device].points[point]
        return {
            "point": source, "name": known.name, "unit": known.unit, "health": self.health,
            "spans": [_row(span) for span in spans],
        }  # fmt: skip

    def _unknown(self, device: str, point: str) -> str:
        found = self._station.devices.get(device)
        if found is None:
            known = ", ".join(self._station.devices)
            return f"there is no device {device!r}; there are {known}"
        if point in found.points:
            return f"{device}.{point} is not recorded: record = false in its profile"
        near = difflib.get_close_matches(point, found.points, 1)
        hint = f"; did you mean {near[0]!r}?" if near else f"; it has {', '.join(found.points)}"
        return f"{device} has no point {point!r}{hint}"

    async def _record(self) -> None:
        while not self._stop.is_set():
            await self.flush()
            while self._world.clock() - self._flush_s < FLUSH_S and not self._stop.is_set():
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._stop.wait(), LOOK_S)
                self.look()
        await self.flush(is_last=True)

    async def _follow_clock(self, now_s: float) -> bool:
        """Date what is recorded; False while the wall clock was never set."""
        recorder, wall_at = self._recorder, self._world.wall()
        if wall_at < CLOCK_AT_MIN:
            return recorder.is_dated
        wall_ms = _to_ms(wall_at)
        is_step = recorder.is_dated and abs(recorder.off_ms(now_s, wall_ms)) > STEP_MS
        if is_step:
            await self._commit(now_s, is_whole=True)
        recorder.set_clock(now_s, wall_ms)
        if is_step:
            recorder.restart(wall_ms)
            self._session = None
        return True

    async def _commit(self, now_s: float, *, is_whole: bool) -> bool:
        """Write down what is open; False if the disk does not take it."""
        archive, recorder = self._archive, self._recorder
        if archive is None:
            return False
        if self._session is None:
            from_ms = recorder.first_ms(now_s)
            session = await self._tried(partial(archive.begin, from_ms))
            if session is None:
                return False
            self._session = session, from_ms
        if not self._is_registered:
            if not await self._tried(partial(archive.register, self._series)):
                return False
            self._is_registered = True
        now_ms = recorder.now_ms(now_s)
        hour_ms = now_ms // HOUR_MS * HOUR_MS
        is_whole |= hour_ms != self._hour_ms or self._tail_changes > TAIL_CHANGES_MAX
        chunks = recorder.chunks(is_whole=is_whole)
        fresh = {name: some for name, some in recorder.fresh().items() if name not in chunks}
        alive_ms = recorder.now_ms(self._alive_s)
        work = partial(archive.commit, alive_ms, fresh, chunks, is_whole=is_whole)
        used_bytes = await self._tried(work)
        if used_bytes is None:
            return False
        recorder.written(fresh, chunks)
        self._tail_changes = 0 if is_whole else self._tail_changes + sum(map(len, fresh.values()))
        self._hour_ms, self._used_bytes, self._trouble = hour_ms, used_bytes, None
        return True

    async def _keep_order(self, now_s: float) -> None:
        """Make minutes, delete what is too old; step by step, for nothing else waits for it."""
        archive, now_ms = self._archive, self._recorder.now_ms(now_s)
        if archive is None:
            return
        roll = partial(archive.roll, self._hour_ms)
        while await self._tried(roll):
            pass
        if archive is not self._archive or now_ms < self._purge_ms:
            return
        self._purge_ms = now_ms + HOUR_MS
        raw_ms = now_ms - self._config.raw_hours * HOUR_MS
        await self._tried(partial(archive.purge, raw_ms, now_ms - self._config.days * 24 * HOUR_MS))

    async def _has_room(self) -> bool:
        """Give room back while the disk is short; False if it stays so, and nothing is written."""
        for _ in range(_FREE_STEPS_MAX):
            if not self._is_short():
                return True
            self._say(
                f"The history is stopped, and deletes its oldest: the disk of {self._path} has "
                f"less than {self._config.free_mb_min} MB free (free_mb_min). Free some space."
            )
            if not await self._give_back():
                break
        return False

    def _is_short(self) -> bool:
        least = self._config.free_mb_min * 1_000_000
        return self._world.free_bytes(self._path.parent) < least

    async def _give_back(self) -> bool:
        """Delete the least useful of what is left; False if there is nothing more."""
        if old := asides(self._path):
            return delete(old[0])
        if self._archive is None:
            return False
        if not await self._tried(partial(self._archive.shrink, _FREE_STEP_BYTES)):
            await self._shut()
            delete(self._path)
        return True

    async def _tried(self, work: Callable[[], _T]) -> _T | None:
        """What `work` gives in the writer's thread; None if the disk failed: `health` tells."""
        try:
            return await run_in(self._writing, work)
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.ProgrammingError):
                raise
            await self._suffer(error)
            return None

    async def _suffer(self, error: sqlite3.DatabaseError) -> None:
        """Do what helps against a disk's error: a new file, less of the old one, or patience."""
        self._say(explained("history", self._path, error))
        code = primary_code(error)
        if code == sqlite3.SQLITE_FULL and self._archive is not None:
            try:
                await run_in(
                    self._writing, partial(self._archive.shrink, self._size_bytes_max // 50)
                )
            except sqlite3.DatabaseError:
                await self._shut()
                self._delete_itself()
            return
        await self._shut()
        if code in DAMAGED:
            self._damage, self._retry_s = self._trouble, 0.0

    async def _open(self) -> None:
        """Open the file, or say why not; one that is not ours to use is moved aside first."""
        for _ in range(2):
            try:
                if self._damage is not None:
                    await run_in(self._writing, partial(self._move_aside, self._damage))
                    self._damage = None
                make = partial(Archive, self._path, self._size_bytes_max)
                self._archive = await run_in(self._writing, make)
                self._reader = await run_in(self._reading, partial(Reader, self._path))
                return
            except HistoryError as error:
                self._damage = f"{error}."
            except sqlite3.DatabaseError as error:
                self._say(explained("history", self._path, error))
                if primary_code(error) == sqlite3.SQLITE_FULL:
                    self._delete_itself()
                if primary_code(error) not in DAMAGED:
                    return
                self._damage = self._trouble
            except OSError as error:
                text = f"{self._damage} It cannot be moved aside: {error.strerror}. Move it away."
                self._say(text)
                return

    async def _shut(self) -> None:
        if self._reader is not None:
            await run_in(self._reading, self._reader.close)
        if self._archive is not None:
            await run_in(self._writing, self._archive.close)
        self._archive = self._reader = self._session = None
        self._is_registered = False
        self._recorder.forget_file()

    def _move_aside(self, why: str) -> None:
        aside = move_aside(self._path, self._world.wall())
        self._notice = f"{why} It was moved to {aside.name}, and a new one began."
        _log.error("%s", self._notice)

    def _delete_itself(self) -> None:
        delete(self._path)
        self._notice = f"The history {self._path} was deleted: the disk was full. It began anew."
        _log.error("%s", self._notice)

    def _say(self, text: str) -> None:
        if text != self._trouble:
            _log.error("%s", text)
        self._trouble = text


def _series_name(device: str, point: Point) -> str:
    """What a point's past is kept under: numbers of another unit are another past."""
    return f"{device}.{point.id} {point.unit}".rstrip()


def _to_ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)


def _row(span: Span) -> dict[str, object]:
    quality, reason = to_words(span.worst)
    length_ms = span.to_ms - span.from_ms
    return {
        "from": to_text(datetime.fromtimestamp(span.from_ms / 1000, UTC)),
        "to": to_text(datetime.fromtimestamp(span.to_ms / 1000, UTC)),
        "low": to_json(span.low), "mean": to_json(span.mean), "high": to_json(span.high),
        "last": to_json(span.last), "quality": str(quality), "reason": reason,
        "good": round(span.good_ms / length_ms, 4), "known": round(span.known_ms / length_ms, 4),
    }  # fmt: skip
