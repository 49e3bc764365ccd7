"""One RS-485 line with its Modbus RTU servers, as bytes and times; no I/O, no clock.

    request   unit u8 | function u8 | data ... | CRC-16, low byte first
    reply     the same; an exception is function | 0x80 and one code

It stands between a pty (run.py) and the simulated devices (devices.py). The client's bytes occupy
the wire from the moment they are heard, one character time each; a frame ends after t3.5 of
silence; a reply starts one turnaround later and leaves byte by byte. As on copper:

- a request that starts within t3.5 of the frame before it is not taken for a request;
- what is sent while a reply is leaving spoils both, byte for byte;
- wrong CRC, wrong length, unknown unit, broadcast: silence;
- what is wrong with the line (trouble.py) spoils, delays, doubles and takes replies;
- a server that is still busy with one request does not hear the next.

t1.5 is not enforced (an operating system cannot keep it), parity is not carried by a pty. All
times are monotonic seconds given by the caller. A caller that is late hears late: time is lost,
never gained. Limits: a frame of 256 bytes, one request a server.

Source: MODBUS over Serial Line V1.02, 2.4 and 2.5; MODBUS Application Protocol V1.1b3, 6 and 7.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Protocol

from shorewatch.direct.frame import crc16, with_crc
from shorewatch.plant.trouble import QUIET, Fates, Trouble

FRAME_SIZE_MAX = 256
_REGISTERS_MAX = 125
_BITS_MAX = 2000
_CHUNK_S = 0.001
_NOBODY = -1  # strays and echoes are no device's


class Refusal(IntEnum):
    """Exception codes a server answers with."""

    FUNCTION = 1
    ADDRESS = 2
    VALUE = 3
    BUSY = 6


class Server(Protocol):
    """A device as the line sees it."""

    @property
    def turnaround_s(self) -> float:
        """From the end of the request (its t3.5 included) to the first bit of the reply."""

    @property
    def functions(self) -> frozenset[int]:
        """The read functions (1 to 4) it knows."""

    def read(
        self, function: int, address: int, count: int, utc_s: float
    ) -> Sequence[int] | Refusal:
        """Registers or bits as they stand at `utc_s`: exactly `count`, or a refusal."""


@dataclass(slots=True)
class Counts:
    """What happened on the line since it was made."""

    frames: int = 0  # ended on the wire, whatever was in them
    answered: int = 0  # replies, exceptions included
    exceptions: int = 0
    early: int = 0  # began within t3.5 of a reply's end
    collisions: int = 0  # met a reply on the wire
    garbled: int = 0  # wrong CRC or length
    foreign: int = 0  # no such unit here, or broadcast
    busy: int = 0  # for a server with a reply still to give
    strays: int = 0  # bytes that noise put on the line


@dataclass(slots=True)
class _Reply:
    """One reply on its way: byte i is on the wire from start_s + i char_s, for char_s.

    An echo is what the client's own transceiver hears: it meets nothing on the wire.
    """

    unit_id: int
    data: bytes
    start_s: float
    char_s: float
    is_echo: bool = False
    sent: int = 0
    lost: set[int] = field(default_factory=set)

    @property
    def end_s(self) -> float:
        return self.at(len(self.data))

    def at(self, index: int) -> float:
        """When byte `index` starts."""
        return self.start_s + index * self.char_s

    def lose(self, start_s: float, end_s: float) -> None:
        """Spoil the bytes that share the wire with something from `start_s` to `end_s`."""
        for index in range(self.sent, len(self.data)):
            if self.at(index) < end_s and start_s < self.at(index + 1):
                self.lost.add(index)

    def take(self, now_s: float) -> bytes:
        """The bytes whose stop bit has left by `now_s` and that were not given before."""
        first = self.sent
        while self.sent < len(self.data) and self.at(self.sent + 1) <= now_s:
            self.sent += 1
        return bytes(self.data[i] for i in range(first, self.sent) if i not in self.lost)


class Line:
    """The line; call `hear` with what arrives, `take` when `wake_s` has come."""

    def __init__(
        self,
        servers: Mapping[int, Server],
        *,
        char_s: float,
        t35_s: float,
        utc: Callable[[float], float],
        trouble: Callable[[float], Trouble] | None = None,
        fates: Fates | None = None,
        is_paced: bool = False,
    ) -> None:
        """`servers` by unit id; `utc` turns the caller's monotonic seconds into Unix seconds.

        `trouble` says what is wrong with the line at such a second, `fates` what comes of it. Where
        a real wire `is_paced` already, how soon after a reply a request arrives says nothing.
        """
        self.counts = Counts()
        self._servers = servers
        self._char_s = char_s
        self._t35_s = t35_s
        self._quiet_s = 0.0 if is_paced else t35_s
        self._utc = utc
        self._trouble = trouble
        self._fates = fates or Fates(0, "line")
        self._stray_s: float | None = None
        self._chunk = max(1, math.ceil(_CHUNK_S / char_s))
        self._frame = bytearray()
        self._frame_end_s = -math.inf
        self._is_spoiled = False
        self._replies: list[_Reply] = []

    def hear(self, now_s: float, data: bytes) -> None:
        """Put the client's bytes on the wire, after those of its that are still leaving."""
        self._advance(now_s)
        trouble = self._now(now_s)
        if not data or trouble.is_cut:
            return
        start_s = max(now_s, self._frame_end_s)
        end_s = start_s + len(data) * self._char_s
        for reply in self._replies:
            if reply.is_echo:
                continue
            if reply.start_s < end_s and start_s < reply.end_s:
                reply.lose(start_s, end_s)
                self.counts.collisions += 1
                self._is_spoiled = True
            elif self._is_one_frame(reply, start_s, end_s):
                self.counts.early += 1
                self._is_spoiled = True
        self._frame += data[: FRAME_SIZE_MAX + 1 - len(self._frame)]
        self._frame_end_s = end_s
        if trouble.is_echoing:
            self._replies.append(_Reply(_NOBODY, data, start_s, self._char_s, is_echo=True))

    def take(self, now_s: float) -> bytes:
        """The reply bytes that have left the wire by `now_s`, each given once."""
        self._advance(now_s)
        return b"".join(reply.take(now_s) for reply in self._replies)

    @property
    def wake_s(self) -> float | None:
        """When to call `take` next; None if only the client can make something happen.

        Bytes are worth a call when there is a millisecond of them, or the reply is complete.
        """
        times = [
            reply.at(min(reply.sent + self._chunk, len(reply.data)))
            for reply in self._replies
            if reply.sent < len(reply.data)
        ]
        if self._frame:
            times.append(self._frame_end_s + self._t35_s)
        if self._stray_s is not None:
            times.append(self._stray_s)
        return min(times, default=None)

    def _advance(self, now_s: float) -> None:
        """End the frame on the wire if t3.5 of silence have passed; forget what is over."""
        ended_s = self._frame_end_s + self._t35_s
        if self._frame and ended_s <= now_s:
            frame, is_spoiled = bytes(self._frame), self._is_spoiled
            self._frame.clear()
            self._is_spoiled = False
            self.counts.frames += 1
            if not is_spoiled:
                self._serve(frame, ended_s)
        self._add_strays(now_s)
        self._replies = [
            reply
            for reply in self._replies
            if reply.sent < len(reply.data) or now_s < reply.end_s + self._t35_s
        ]

    def _now(self, now_s: float) -> Trouble:
        return QUIET if self._trouble is None else self._trouble(self._utc(now_s))

    def _add_strays(self, now_s: float) -> None:
        trouble = self._now(now_s)
        if trouble.noise_per_s <= 0 or trouble.is_cut:
            self._stray_s = None
            return
        if self._stray_s is None:
            self._stray_s = now_s + self._fates.gap_s(trouble.noise_per_s)
        while self._stray_s <= now_s:
            self.counts.strays += 1
            self._put(_Reply(_NOBODY, self._fates.stray(), self._stray_s, self._char_s))
            self._stray_s += self._fates.gap_s(trouble.noise_per_s)

    def _is_one_frame(self, reply: _Reply, start_s: float, end_s: float) -> bool:
        return reply.start_s < end_s + self._quiet_s and start_s < reply.end_s + self._quiet_s

    def _serve(self, frame: bytes, ended_s: float) -> None:
        unit_id = frame[0]
        server = self._servers.get(unit_id)
        if not 4 <= len(frame) <= FRAME_SIZE_MAX or crc16(frame) != 0:
            self.counts.garbled += 1
        elif unit_id == 0 or server is None:
            self.counts.foreign += 1
        elif any(r.unit_id == unit_id and r.sent < len(r.data) for r in self._replies):
            self.counts.busy += 1
        else:
            pdu = answer(server, frame[1:-2], self._utc(ended_s))
            if pdu is None:
                self.counts.garbled += 1
            else:
                self._reply(unit_id, pdu, ended_s + server.turnaround_s)

    def _reply(self, unit_id: int, pdu: bytes, start_s: float) -> None:
        data = with_crc(bytes([unit_id]) + pdu)
        self.counts.answered += 1
        self.counts.exceptions += pdu[0] >> 7
        for arrival in self._fates.reply(self._now(start_s), unit_id, data):
            late_s = start_s + arrival.late_s
            self._put(_Reply(unit_id, arrival.data, late_s, self._char_s))

    def _put(self, reply: _Reply) -> None:
        """Let it leave; what it meets on the wire is spoiled, and so is it."""
        for other in self._replies:
            if not other.is_echo:
                reply.lose(other.start_s, other.end_s)
                other.lose(reply.start_s, reply.end_s)
        self._replies.append(reply)


def answer(server: Server, pdu: bytes, utc_s: float) -> bytes | None:
    """One request's PDU (1 to 253 bytes) to the reply's; None where a server keeps silent.

    Checks in the order of the standard's state diagrams: function, quantity, address.
    """
    function = pdu[0]
    if not 0 < function < 0x80:
        return None
    if function not in server.functions:
        return bytes([function | 0x80, Refusal.FUNCTION])
    if len(pdu) != 5:
        return None
    address, count = int.from_bytes(pdu[1:3]), int.from_bytes(pdu[3:5])
    if not 1 <= count <= (_BITS_MAX if function < 3 else _REGISTERS_MAX):
        return bytes([function | 0x80, Refusal.VALUE])
    cells = server.read(function, address, count, utc_s)
    if isinstance(cells, Refusal):
        return bytes([function | 0x80, cells])
    assert len(cells) == count, "a server answers as much as it was asked for"
    data = _packed(cells) if function < 3 else b"".join(cell.to_bytes(2) for cell in cells)
    return bytes([function, len(data)]) + data


def _packed(bits: Sequence[int]) -> bytes:
    """Bits as bytes, the first in the lowest place."""
    number = sum(bit << index for index, bit in enumerate(bits))
    return number.to_bytes((len(bits) + 7) // 8, "little")
