"""A line that plays a recording (plant/record.py) back to whoever asks as it was asked then. Pure.

    request heard ─▶ the recording's next answer to the same request ─▶ its bytes, as late as then

Bytes come as they came: damaged, doubled, missing, in pieces, or not at all. After the last answer
to a request the first comes again. A request that the recording has not is not answered. It takes
the place of a Line of plant/line.py.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from shorewatch.plant.line import Counts
from shorewatch.plant.record import Direction, Entry

FRAME_SIZE_MAX = 256


@dataclass(frozen=True, slots=True)
class Answer:
    """What came after a request: pieces, each so many seconds after its end."""

    pieces: tuple[tuple[float, bytes], ...]


def answers(entries: Iterable[Entry]) -> Mapping[bytes, Sequence[Answer]]:
    """Every request of a recording with its answers, in order."""
    found: dict[bytes, list[Answer]] = {}
    request, end_s = b"", 0.0
    pieces: list[tuple[float, bytes]] = []
    for entry in entries:
        now_s = entry.at.timestamp()
        if entry.direction is Direction.FROM_DEVICES:
            pieces.append((now_s - end_s, entry.data))
            continue
        if request and not pieces and now_s - end_s < 0.02:
            request += entry.data  # a frame that was written in two
        else:
            if request:
                found.setdefault(request, []).append(Answer(tuple(pieces)))
            request, pieces = entry.data, []
        end_s = now_s
    # Of the last one nobody knows whether all was recorded.
    return found


class Replay:
    """The line; call `hear` with what arrives, `take` when `wake_s` has come."""

    def __init__(self, found: Mapping[bytes, Sequence[Answer]], t35_s: float) -> None:
        self.counts = Counts()
        self._answers = found
        self._t35_s = t35_s
        self._turns = dict.fromkeys(found, 0)
        self._frame = bytearray()
        self._heard_s = 0.0
        self._due: list[tuple[float, bytes]] = []

    @property
    def wake_s(self) -> float | None:
        """When to call `take` next; None if only the client can make something happen."""
        times = [at_s for at_s, _ in self._due]
        if self._frame:
            times.append(self._heard_s + self._t35_s)
        return min(times, default=None)

    def hear(self, now_s: float, data: bytes) -> None:
        """Take the client's bytes."""
        self._advance(now_s)
        if data:
            self._frame += data[: FRAME_SIZE_MAX - len(self._frame)]
            self._heard_s = now_s

    def take(self, now_s: float) -> bytes:
        """What is due by `now_s`, each once."""
        self._advance(now_s)
        due = [data for at_s, data in self._due if at_s <= now_s]
        self._due = [(at_s, data) for at_s, data in self._due if at_s > now_s]
        return b"".join(due)

    def _advance(self, now_s: float) -> None:
        if not self._frame or now_s < self._heard_s + self._t35_s:
            return
        request = bytes(self._frame)
        self._frame.clear()
        self.counts.frames += 1
        known = self._answers.get(request)
        if known is None:
            self.counts.foreign += 1
            return
        turn = self._turns[request]
        self._turns[request] = turn + 1
        answer = known[turn % len(known)]
        self.counts.answered += bool(answer.pieces)
        self._due += [(self._heard_s + after_s, data) for after_s, data in answer.pieces]
