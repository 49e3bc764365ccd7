"""Modbus RTU frames in bytes that were heard: where they begin and end, whose they are. Pure.

    unit u8 | function u8 | data ... | CRC-16, low byte first

A listener knows no request that it made, so lengths come from the frames: of a known function's
request or reply, or what is left until the line was silent. A frame is one if its CRC is right.
Bytes in which no frame is found are noise, told as they came.

`split` cuts one burst (bytes with no longer silence between them); `Listener` takes bytes with
their times, pairs requests with replies and names what a function does. An operating system
delivers late and in pieces, so a burst ends after 20 ms or t3.5, whichever is longer.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum

from shorewatch.direct.frame import RTU_SIZE_MAX, crc16
from shorewatch.direct.rtu import GAP_S

SIZE_MIN = 4
BURST_MAX = 16 * RTU_SIZE_MAX
READS = {
    1: "read coils", 2: "read discrete inputs", 3: "read holding registers",
    4: "read input registers", 0x2B: "read identification",
}  # fmt: skip
WRITES = {
    5: "write one coil", 6: "write one register", 15: "write coils", 16: "write registers",
    21: "write a file record", 22: "mask-write a register", 23: "write and read registers",
}  # fmt: skip
OTHERS = {
    7: "read exception status", 8: "diagnostics", 11: "read the event counter",
    12: "read the event log", 17: "report the server's id", 20: "read a file record",
    24: "read a queue",
}  # fmt: skip


class Kind(Enum):
    """What a piece of what was heard is."""

    REQUEST = "request"
    REPLY = "reply"
    EXCEPTION = "exception"
    FRAME = "frame"  # a right CRC, and a function or length that is not known
    NOISE = "noise"  # no frame


@dataclass(frozen=True, slots=True)
class Piece:
    """A frame, or bytes that are none; times are when its burst began and was last heard."""

    kind: Kind
    data: bytes
    at_s: float = 0.0
    end_s: float = 0.0

    @property
    def is_frame(self) -> bool:
        """Whether its CRC is right."""
        return self.kind is not Kind.NOISE

    @property
    def unit_id(self) -> int:
        return self.data[0]

    @property
    def function(self) -> int:
        """Without the bit of an exception."""
        return self.data[1] & 0x7F

    @property
    def is_write(self) -> bool:
        """Whether it asks for something to be changed, or says that it was."""
        return self.is_frame and self.function in WRITES

    @property
    def is_foreign(self) -> bool:
        """Whether it is of a function that Shorewatch never uses."""
        return self.is_frame and self.function not in READS

    @property
    def address(self) -> int:
        """Of a request that names one."""
        return int.from_bytes(self.data[2:4])

    @property
    def count(self) -> int:
        """Of a request that reads."""
        return int.from_bytes(self.data[4:6])


def sizes(data: bytes) -> Iterator[tuple[Kind, int]]:
    """What a frame that begins so can be, and how long that is with its CRC."""
    if len(data) < 3:
        return
    function = data[1]
    if function & 0x80:
        yield Kind.EXCEPTION, 5
    elif function in (1, 2, 3, 4):
        yield Kind.REQUEST, 8
        yield Kind.REPLY, 5 + data[2]
    elif function in (5, 6):
        yield Kind.REQUEST, 8  # its reply looks the same
    elif function in (15, 16):
        if len(data) > 6:
            yield Kind.REQUEST, 9 + data[6]
        yield Kind.REPLY, 8
    elif function == 0x2B:
        yield Kind.REQUEST, 7
        if size := _identity_size(data):
            yield Kind.REPLY, size


def split(data: bytes, at_s: float = 0.0, end_s: float = 0.0) -> list[Piece]:
    """Frames and noise of one burst, in order; nothing of it is left out."""
    pieces: list[Piece] = []
    noise = bytearray()
    at = 0
    while at < len(data):
        found = _frame(data[at:])
        if found is None:
            noise.append(data[at])
            at += 1
            continue
        if noise:
            pieces.append(Piece(Kind.NOISE, bytes(noise), at_s, end_s))
            noise.clear()
        kind, size = found
        pieces.append(Piece(kind, data[at : at + size], at_s, end_s))
        at += size
    if noise:
        pieces.append(Piece(Kind.NOISE, bytes(noise), at_s, end_s))
    return pieces


def _frame(data: bytes) -> tuple[Kind, int] | None:
    # The longest: a frame whose CRC ends in 00 is whole without that byte, too.
    for kind, size in sorted(sizes(data), key=lambda found: -found[1]):
        if SIZE_MIN <= size <= len(data) and crc16(data[:size]) == 0:
            return kind, size
    is_whole = SIZE_MIN <= len(data) <= RTU_SIZE_MAX and crc16(data) == 0
    return (Kind.FRAME, len(data)) if is_whole else None


def _identity_size(data: bytes) -> int | None:
    """The length of a reply to 2B/0E, which its objects tell; None if they are not all there."""
    if len(data) < 8:
        return None
    at = 8
    for _ in range(data[7]):
        if len(data) < at + 2:
            return None
        at += 2 + data[at + 1]
    return at + 2


@dataclass(frozen=True, slots=True)
class Talk:
    """A request and what answered it; one of them may be missing."""

    request: Piece | None
    reply: Piece | None

    @property
    def head(self) -> Piece:
        """The piece it begins with."""
        found = self.request or self.reply
        assert found is not None, "one of both is there"
        return found

    @property
    def reply_s(self) -> float | None:
        """From the end of the request to the end of the reply, as heard here."""
        if self.request is None or self.reply is None:
            return None
        return self.reply.end_s - self.request.end_s

    @property
    def words(self) -> list[int] | None:
        """The registers that a good reply to 03 or 04 brought."""
        if self.reply is None or self.reply.kind is not Kind.REPLY:
            return None
        if self.reply.function not in (3, 4):
            return None
        data = self.reply.data[3:-2]
        return [int.from_bytes(data[i : i + 2]) for i in range(0, len(data) - 1, 2)]


@dataclass(slots=True)
class Heard:
    """What was heard since the beginning, counted."""

    frames: int = 0
    noise_bytes: int = 0
    damaged: int = 0  # bursts with bytes that make no frame
    unanswered: int = 0
    exceptions: int = 0
    writes: int = 0
    units: dict[int, int] = field(default_factory=dict)


class Listener:
    """hear() what comes with its times, end() when the line may be silent: both give talks."""

    def __init__(self, char_s: float, t35_s: float) -> None:
        self.counts = Heard()
        self._gap_s = max(GAP_S, t35_s) + char_s
        self._burst = bytearray()
        self._at_s = self._end_s = -math.inf
        self._asked: Piece | None = None
        self._waiting_s_max = 2.0

    @property
    def wake_s(self) -> float:
        """When to call end() if nothing comes."""
        if self._burst:
            return self._end_s + self._gap_s
        return math.inf if self._asked is None else self._asked.end_s + self._waiting_s_max

    def hear(self, now_s: float, data: bytes) -> list[Talk]:
        """Take what has come; a burst that has ended before is told."""
        done = self.end(now_s)
        if not self._burst:
            self._at_s = now_s
        self._burst += data
        self._end_s = now_s
        if len(self._burst) > BURST_MAX:
            done += self._close()
        return done

    def end(self, now_s: float) -> list[Talk]:
        """Let time pass: end the burst, and the wait for an answer, that are over."""
        done = self._close() if self._burst and now_s >= self._end_s + self._gap_s else []
        asked = self._asked
        if asked is not None and now_s >= asked.end_s + self._waiting_s_max:
            done += self._unanswered()
        return done

    def _close(self) -> list[Talk]:
        pieces = split(bytes(self._burst), self._at_s, self._end_s)
        self._burst.clear()
        done: list[Talk] = []
        for piece in pieces:
            done += self._take(piece)
        return done

    def _take(self, piece: Piece) -> list[Talk]:
        counts = self.counts
        if not piece.is_frame:
            counts.damaged += 1
            counts.noise_bytes += len(piece.data)
            return [Talk(None, piece)]
        counts.frames += 1
        counts.writes += piece.is_write
        counts.exceptions += piece.kind is Kind.EXCEPTION
        counts.units[piece.unit_id] = counts.units.get(piece.unit_id, 0) + 1
        asked = self._asked
        if asked is not None and _answers(piece, asked):
            self._asked = None
            return [Talk(asked, piece)]
        if piece.kind is Kind.REQUEST:
            done = self._unanswered()
            self._asked = piece
            return done
        return [*self._unanswered(), Talk(None, piece)]

    def _unanswered(self) -> list[Talk]:
        asked, self._asked = self._asked, None
        if asked is None:
            return []
        self.counts.unanswered += asked.unit_id != 0
        return [Talk(asked, None)]


def _answers(piece: Piece, asked: Piece) -> bool:
    """Whether a frame can be the answer to a request that was heard before it."""
    if (piece.unit_id, piece.function) != (asked.unit_id, asked.function):
        return False
    if piece.kind is Kind.EXCEPTION:
        return True
    if asked.function in (5, 6):
        return piece.data == asked.data
    if piece.kind is not Kind.REPLY:
        return False
    if asked.function in (3, 4):
        return piece.data[2] == 2 * asked.count
    if asked.function in (1, 2):
        return piece.data[2] == (asked.count + 7) // 8
    return True
