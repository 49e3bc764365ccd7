"""What is to be written into the history, gathered in memory. Pure: time comes as an argument.

Each value set is compared with what was recorded last; a change gets a time and waits in the open
list of its point, until a commit has put it into a chunk. A point's times ascend strictly. They are
those of acquisition; of bad values, which have none, those of being told. At each full hour what
holds then is recorded again, so that an hour can be read without the ones before.

Times run on the monotonic clock plus an offset. Until the wall clock is set there is none: changes
wait undated, and are dated when it is. A `gap` is for time in which changes were missed: nothing is
then held to have lasted.

Limit: `OPEN_MAX` changes in memory. Beyond it there is a gap until half of them are written down;
the values that came meanwhile are counted.
"""

from collections.abc import Mapping
from typing import Final

from shorewatch.model import Quality, Scalar, Value
from shorewatch.trend import HOUR_MS, NOT_RECORDED, Change, to_state

OPEN_MAX: Final = 100_000
CHUNK_CHANGES: Final = 256
_ENDLESS_MS: Final = 2**62


class Recorder:
    """The open changes of a station; `names` gives each recorded (device, point) its name."""

    def __init__(self, names: Mapping[tuple[str, str], str]) -> None:
        self._names: dict[str, dict[str, str]] = {}
        self._last: dict[str, tuple[int, Scalar | None]] = {}
        self._last_ms: dict[str, int] = {}
        self._open: dict[str, list[Change]] = {}
        # How many of a point's open changes are in the file's tail already.
        self._safe: dict[str, int] = {}
        self._chunk_changes = CHUNK_CHANGES
        self._count = 0
        self._offset_ms: int | None = None
        self._hour_ms = _ENDLESS_MS
        self._is_full = False
        self.recorded = 0
        self.dropped = 0
        self.adopt(names, 0.0)

    def adopt(self, names: Mapping[tuple[str, str], str], now_s: float) -> None:
        """Record these points from here on; of the others nothing is known any more."""
        self._names = {}
        for (device, point), name in names.items():
            self._names.setdefault(device, {})[point] = name
        wanted = set(names.values())
        for name in wanted - self._open.keys():
            self._open[name], self._safe[name] = [], 0
        for name in self._last.keys() - wanted:
            self._add(name, self.now_ms(now_s), NOT_RECORDED, None)
            del self._last[name]
        self._chunk_changes = max(1, min(CHUNK_CHANGES, OPEN_MAX // 4 // max(1, len(self._open))))

    @property
    def is_dated(self) -> bool:
        """Whether the wall clock was ever set."""
        return self._offset_ms is not None

    def now_ms(self, now_s: float) -> int:
        """The history's time at monotonic `now_s`."""
        return round(now_s * 1000) + (self._offset_ms or 0)

    def off_ms(self, now_s: float, wall_ms: int) -> int:
        """How far the wall clock is ahead of the history's time."""
        return wall_ms - self.now_ms(now_s)

    def set_clock(self, now_s: float, wall_ms: int) -> None:
        """Follow the wall clock; the first time, date what waits."""
        offset_ms = wall_ms - round(now_s * 1000)
        if self._offset_ms is None:
            for name, changes in self._open.items():
                dated = [change._replace(at_ms=change.at_ms + offset_ms) for change in changes]
                self._open[name] = dated
                if dated:
                    self._last_ms[name] = dated[-1].at_ms
            self._hour_ms = _next_hour(wall_ms)
        self._offset_ms = offset_ms

    def first_ms(self, now_s: float) -> int:
        """The time of the first open change, or now."""
        found = (changes[0].at_ms for changes in self._open.values() if changes)
        return min(found, default=self.now_ms(now_s))

    def take(self, device_id: str, values: Mapping[str, Value], now_s: float) -> None:
        """Compare values of one device with what was recorded last."""
        now_ms = self.now_ms(now_s)
        if now_ms >= self._hour_ms:
            self._turn_hour(now_ms)
        names, last = self._names.get(device_id, {}), self._last
        for point, value in values.items():
            name = names.get(point)
            if name is None:
                continue
            found = to_state(value), value.value
            if last.get(name) == found:
                continue
            is_timed = value.quality is not Quality.BAD and value.acquired_s is not None
            at_ms = self.now_ms(value.acquired_s or 0.0) if is_timed else now_ms
            self._put(name, at_ms, *found)

    def gap(self, at_ms: int) -> None:
        """From `at_ms` on nothing is known, until values come again."""
        for name in self._last:
            self._add(name, at_ms, NOT_RECORDED, None)

    def restart(self, from_ms: int) -> None:
        """A new session: what holds, holds from `from_ms` on. Changes that are open are dropped."""
        self.dropped += self._count
        self._count = 0
        for name, changes in self._open.items():
            changes.clear()
            self._safe[name] = 0
        self._last_ms.clear()
        self._hour_ms = _next_hour(from_ms)
        for name, (state, value) in self._last.items():
            self._add(name, from_ms, state, value)

    def forget_file(self) -> None:
        """Nothing of what is open is in a file any more."""
        self._safe = dict.fromkeys(self._open, 0)

    def fresh(self) -> dict[str, list[Change]]:
        """The open changes that are in no file yet."""
        return {
            name: changes[self._safe[name] :]
            for name, changes in self._open.items()
            if len(changes) > self._safe[name]
        }

    def chunks(self, *, is_whole: bool) -> dict[str, list[Change]]:
        """The open changes that make a chunk, or all of them."""
        least = 1 if is_whole else self._chunk_changes
        return {name: list(some) for name, some in self._open.items() if len(some) >= least}

    def open(self, name: str) -> list[Change]:
        """The open changes of one point."""
        return list(self._open[name])

    def written(
        self, fresh: Mapping[str, list[Change]], chunks: Mapping[str, list[Change]]
    ) -> None:
        """Take note that `fresh` and `chunks` were committed."""
        for name, changes in fresh.items():
            self._safe[name] += len(changes)
        for name, changes in chunks.items():
            del self._open[name][: len(changes)]
            self._safe[name] = max(0, self._safe[name] - len(changes))
            self._count -= len(changes)
        if self._count < OPEN_MAX // 2:
            self._is_full = False

    def _turn_hour(self, now_ms: int) -> None:
        hour_ms = now_ms // HOUR_MS * HOUR_MS
        for name, (state, value) in self._last.items():
            if state != NOT_RECORDED and self._last_ms[name] < hour_ms:
                self._add(name, hour_ms, state, value)
        self._hour_ms = hour_ms + HOUR_MS

    def _put(self, name: str, at_ms: int, state: int, value: Scalar | None) -> None:
        if self._count >= OPEN_MAX and not self._is_full:
            self._is_full = True
            self.gap(at_ms)
        if self._is_full:
            self.dropped += 1
            return
        self.recorded += 1
        self._add(name, at_ms, state, value)

    def _add(self, name: str, at_ms: int, state: int, value: Scalar | None) -> None:
        at_ms = max(at_ms, self._last_ms.get(name, at_ms - 1) + 1)
        self._open[name].append(Change(at_ms, state, value))
        self._count += 1
        self._last[name] = state, value
        self._last_ms[name] = at_ms


def _next_hour(at_ms: int) -> int:
    return (at_ms // HOUR_MS + 1) * HOUR_MS
