"""A paced RS-485 line with equal devices that notes what was asked when; no I/O, no clock.

A request of eight bytes (03 or 04) occupies the wire from its arrival, one character time each; its
reply starts one turnaround after its last bit and leaves byte by byte. A register holds its own
address, so that replies to different requests differ. Tolerant devices answer each request they can
read; strict ones do not take a request that began within t3.5 of the frame before it. What arrives
while a reply is leaving is lost.

Differs from the plant's line in what it is for: it judges the client. So it keeps a list of what
happened, and a device knows the end of a request by its length, not by silence.

How far it can be trusted. A pty carries bytes and no time. A request's first bit is taken for sent
when its bytes were seen here, the reply's last bit for gone when it was handed over: the gap
between the two is longer than the client's own by the time it takes to write and to wake (some
20 to 50 us on a free processor, any number of milliseconds on a busy one). A client that falls
short of t3.5 by less than that is not caught, and one that keeps t3.5 is never accused.
Speed is the other way round: each delay counts against the client. Whether the firmware keeps t3.5
exactly is proven in simulated time, by the firmware's own tests.

Source: MODBUS over Serial Line V1.02, 2.5.1.1 (t3.5: 3.5 characters, 1.75 ms above 19,200 baud).
"""

import math
from collections.abc import Collection
from dataclasses import dataclass

from shorewatch.direct.frame import crc16, with_crc

CHAR_BITS = 11
REQUEST_SIZE = 8
_CHUNK_S = 0.001


@dataclass(slots=True)
class Exchange:
    """One request: the start of its first bit, the silence before it, the end of its reply."""

    unit_id: int
    start_s: float
    gap_s: float
    end_s: float | None = None  # None: not answered


def char_s(baud: int) -> float:
    """Seconds a character takes: start bit, 8 data bits, parity or second stop bit, stop bit."""
    return CHAR_BITS / baud


def t35_s(baud: int) -> float:
    """Seconds of silence that end a frame."""
    return 0.00175 if baud > 19200 else 3.5 * char_s(baud)


class Wire:
    """The line: `hear` what arrives, `take` what is due at `wake_s`; monotonic seconds."""

    def __init__(
        self, units: Collection[int], *, baud: int, turnaround_s: float, is_strict: bool
    ) -> None:
        self.exchanges: list[Exchange] = []
        self.late_s_max = 0.0  # by how much the caller was late to take the end of a reply
        self._units = frozenset(units)
        self._char_s = char_s(baud)
        self._t35_s = t35_s(baud)
        self._turnaround_s = turnaround_s
        self._is_strict = is_strict
        self._chunk = max(1, math.ceil(_CHUNK_S / self._char_s))
        self._frame = bytearray()
        self._quiet_s = -math.inf  # end of what was last on the wire
        self._reply = b""
        self._reply_start_s = 0.0
        self._sent = 0

    def hear(self, now_s: float, data: bytes) -> None:
        """Take the client's bytes as on the wire from `now_s` on."""
        if not data:
            return
        if self._reply:
            end_s = self._at(len(self._reply))
            self.exchanges.append(Exchange(data[0], now_s, now_s - end_s))
            return
        if self._frame and now_s >= self._quiet_s + self._t35_s:
            self._frame.clear()
        if not self._frame:
            self.exchanges.append(Exchange(data[0], now_s, now_s - self._quiet_s))
        self._frame += data
        self._quiet_s = max(now_s, self._quiet_s) + len(data) * self._char_s
        if len(self._frame) >= REQUEST_SIZE:
            self._serve(bytes(self._frame))
            self._frame.clear()

    def take(self, now_s: float) -> bytes:
        """The reply's bytes that have left by `now_s`, each given once."""
        first = self._sent
        while self._sent < len(self._reply) and self._at(self._sent + 1) <= now_s:
            self._sent += 1
        data = self._reply[first : self._sent]
        if self._reply and self._sent == len(self._reply):
            self.late_s_max = max(self.late_s_max, now_s - self._at(self._sent))
            self.exchanges[self._asked].end_s = self._quiet_s = now_s
            self._reply = b""
        return data

    @property
    def wake_s(self) -> float | None:
        """When to `take` next: about a millisecond of bytes, or the end; None without a reply."""
        if not self._reply:
            return None
        return self._at(min(self._sent + self._chunk, len(self._reply)))

    def _at(self, index: int) -> float:
        return self._reply_start_s + index * self._char_s

    def _serve(self, frame: bytes) -> None:
        exchange = self.exchanges[-1]
        is_early = exchange.gap_s < self._t35_s
        is_read = len(frame) == REQUEST_SIZE and frame[1] in (3, 4) and crc16(frame) == 0
        if not is_read or frame[0] not in self._units or (is_early and self._is_strict):
            return
        address, count = int.from_bytes(frame[2:4]), int.from_bytes(frame[4:6])
        words = b"".join((address + i & 0xFFFF).to_bytes(2) for i in range(count))
        self._asked = len(self.exchanges) - 1
        self._reply = with_crc(frame[:2] + bytes([len(words)]) + words)
        self._reply_start_s = self._quiet_s + self._turnaround_s
        self._sent = 0
