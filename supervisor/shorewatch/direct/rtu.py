"""One Modbus RTU transaction at a time on a serial line: bytes and times in, outcome out. Pure.

IDLE -> SILENCE (t3.5 without a byte) -> WAITING (echo, reply) -> IDLE; a frame that is not the
reply goes through FOREIGN, which listens until the line is silent, so that damage (bad CRC) and
another's frame (rejected) can be told apart.

The rules are those of the boards' client (firmware/station/client.py): what nobody asked for is
drained and counted, also what comes before the request can have ended; what repeats our request, as
far as it goes, is an echo and never an answer; t1.5 is not enforced. An operating system delivers
late and in pieces (USB adapters each 16 ms), so a line on which anything odd was heard must be
silent for 20 ms. Times are monotonic seconds. Source: MODBUS over Serial Line V1.02, 2.5.1.1.
"""

import math
from enum import Enum, auto

from shorewatch.direct.frame import (
    RTU_SIZE_MAX,
    Outcome,
    Request,
    crc16,
    encode_rtu,
    judge,
)

GAP_S = 0.02
BABBLE_S = 0.5  # a line that is never silent in this time is not usable


class _State(Enum):
    IDLE = auto()
    SILENCE = auto()
    WAITING = auto()
    FOREIGN = auto()


class RtuClient:
    """start() a request; hear() what comes; poll() at `wake_s` and whenever something came.

    Attributes:
        outcome: PENDING while a transaction is under way.
        reply: the reply's PDU, if outcome is GOOD or EXCEPTION.
        asked_s, sent_s, ended_s: when the request began and ended, and the transaction ended.
        was_sent: whether the request went out at all.
        strays: bytes that nobody asked for, since the beginning.
        is_broken: always False: a serial line finds its frames again by silence.
    """

    is_broken = False

    def __init__(self, char_s: float, t35_s: float) -> None:
        self.outcome = Outcome.TIMEOUT
        self.reply = b""
        self.asked_s = self.sent_s = self.ended_s = 0.0
        self.was_sent = False
        self.strays = 0
        self._char_s = char_s
        self._t35_s = t35_s
        self._state = _State.IDLE
        self._request: Request
        self._frame = b""
        self._timeout_s = 0.0
        self._heard = bytearray()
        self._heard_s = -math.inf
        self._quiet_s = GAP_S  # the silence that the next request needs
        self._is_mixed = False

    @property
    def latency_s(self) -> float:
        """The device's turnaround in the last answered transaction."""
        size = len(self.reply) + 3
        return max(self.ended_s - self.sent_s - size * self._char_s, 1e-4)

    @property
    def wake_s(self) -> float:
        """When to poll next if nothing comes."""
        if self._state is _State.SILENCE:
            return self._heard_s + self._quiet_s
        if self._state is _State.WAITING:
            return self.sent_s + self._timeout_s
        return self._heard_s + GAP_S if self._state is _State.FOREIGN else math.inf

    def start(self, now_s: float, request: Request, timeout_s: float) -> None:
        """Begin a transaction; the reply must be whole `timeout_s` after the request's end."""
        assert self._state is _State.IDLE, "one transaction at a time"
        self._request = request
        self._frame = encode_rtu(request)
        self._timeout_s = timeout_s
        self._heard.clear()
        self._is_mixed = self.was_sent = False
        self.outcome = Outcome.PENDING
        self.asked_s = now_s
        self._state = _State.SILENCE

    def hear(self, now_s: float, data: bytes) -> None:
        """Take what has come."""
        self._heard_s = now_s
        if self._state in (_State.IDLE, _State.SILENCE):
            self.strays += len(data)
            self._quiet_s = GAP_S
            return
        self._heard += data[: RTU_SIZE_MAX + len(self._frame) + 1 - len(self._heard)]
        if self._state is _State.WAITING and now_s < self.sent_s:
            self._hear_early()
        elif self._state is _State.WAITING:
            self._judge(now_s)

    def poll(self, now_s: float) -> bytes:
        """Let time pass; returns what is to be transmitted at once."""
        if self._state is _State.SILENCE:
            if now_s >= self._heard_s + self._quiet_s:
                return self._send(now_s)
            if now_s > self.asked_s + BABBLE_S:
                self._finish(now_s, Outcome.TIMEOUT)
        elif self._state is _State.WAITING:
            if now_s >= self.sent_s:
                self._judge(now_s)
            if self._state is _State.WAITING and now_s >= self.sent_s + self._timeout_s:
                self._finish(now_s, Outcome.TIMEOUT)
        elif self._state is _State.FOREIGN:
            is_endless = now_s >= self.sent_s + self._timeout_s + BABBLE_S
            if is_endless or now_s >= self._heard_s + GAP_S:
                is_whole = len(self._heard) >= 4 and crc16(self._heard) == 0
                self._finish(now_s, Outcome.REJECTED if is_whole else Outcome.BAD_CRC)
        return b""

    def _send(self, now_s: float) -> bytes:
        self.was_sent = True
        self.asked_s = now_s
        self.sent_s = now_s + len(self._frame) * self._char_s
        self._state = _State.WAITING
        return self._frame

    def _hear_early(self) -> None:
        """What comes while the request still goes out is its echo, or a stray: never a reply."""
        if self._is_mixed or not self._frame.startswith(self._heard):
            self._is_mixed = True
            self.strays += len(self._heard)
            self._heard.clear()

    def _judge(self, now_s: float) -> None:
        frame, heard = self._frame, self._heard
        while heard.startswith(frame):
            del heard[: len(frame)]
        if frame.startswith(heard):
            return  # nothing, or an echo that has not ended
        size = self._request.reply_size(bytes(heard[1:])) if heard[0] == frame[0] else 0
        if size is None:
            return
        whole = bytes(heard[: size + 3])
        if size and len(whole) < size + 3:
            return
        if not size or crc16(whole) != 0:
            self._state = _State.FOREIGN
            return
        self.strays += len(heard) - len(whole)
        self.reply = whole[1:-2]
        self._finish(now_s, judge(self._request, whole[0], self.reply))

    def _finish(self, now_s: float, outcome: Outcome) -> None:
        self.outcome = outcome
        self.ended_s = now_s
        is_answer = outcome in (Outcome.GOOD, Outcome.EXCEPTION)
        self._quiet_s = self._t35_s if is_answer else GAP_S
        self._state = _State.IDLE
