"""One Modbus TCP transaction at a time on one connection: bytes and times in, outcome out. Pure.

A transaction number tells a late reply from the one that is waited for: what bears another number
is counted and dropped. Frames may come in pieces or several at once. Where the stream makes no
sense (protocol not 0, impossible length) no later frame of it can be trusted: `is_broken`, and the
owner must connect anew. Times are monotonic seconds.
Source: MODBUS Messaging on TCP/IP Implementation Guide V1.0b, 3.1.3 and 4.
"""

import math
import struct

from shorewatch.direct.frame import LENGTH_MAX, MBAP_SIZE, Outcome, Request, encode_tcp, judge


class TcpClient:
    """start() a request; hear() what comes; poll() at `wake_s` and whenever something came.

    Attributes are those of RtuClient; `strays` are the bytes of frames that answered nothing.
    One object serves one connection.
    """

    def __init__(self) -> None:
        self.outcome = Outcome.TIMEOUT
        self.reply = b""
        self.asked_s = self.sent_s = self.ended_s = 0.0
        self.was_sent = False
        self.strays = 0
        self.is_broken = False
        self._request: Request
        self._transaction = 0
        self._timeout_s = 0.0
        self._heard = bytearray()

    @property
    def latency_s(self) -> float:
        """From request to reply in the last answered transaction."""
        return max(self.ended_s - self.sent_s, 1e-4)

    @property
    def wake_s(self) -> float:
        """When to poll next if nothing comes."""
        return self.sent_s + self._timeout_s if self.outcome is Outcome.PENDING else math.inf

    def start(self, now_s: float, request: Request, timeout_s: float) -> None:
        """Begin a transaction; the reply must be whole `timeout_s` later."""
        assert self.outcome is not Outcome.PENDING, "one transaction at a time"
        self._request = request
        self._timeout_s = timeout_s
        self._transaction = (self._transaction + 1) & 0xFFFF
        self.was_sent = False
        self.outcome = Outcome.PENDING
        self.asked_s = self.sent_s = now_s

    def hear(self, now_s: float, data: bytes) -> None:
        """Take what has come."""
        self._heard += data
        while len(self._heard) >= MBAP_SIZE and not self.is_broken:
            transaction, protocol, length, unit_id = struct.unpack_from(">HHHB", self._heard)
            if protocol != 0 or not 2 <= length <= LENGTH_MAX:
                self.is_broken = True
                self._finish(now_s, Outcome.REJECTED)
            elif len(self._heard) < 6 + length:
                return
            else:
                pdu = bytes(self._heard[MBAP_SIZE : 6 + length])
                del self._heard[: 6 + length]
                self._take(now_s, transaction, unit_id, pdu)

    def poll(self, now_s: float) -> bytes:
        """Let time pass; returns what is to be transmitted at once."""
        if self.outcome is Outcome.PENDING:
            if not self.was_sent:
                self.was_sent = True
                self.asked_s = self.sent_s = now_s
                return encode_tcp(self._request, self._transaction)
            if now_s >= self.sent_s + self._timeout_s:
                self._finish(now_s, Outcome.TIMEOUT)
        return b""

    def _take(self, now_s: float, transaction: int, unit_id: int, pdu: bytes) -> None:
        if not self._is_awaited(transaction):
            self.strays += MBAP_SIZE + len(pdu)
            return
        outcome = judge(self._request, unit_id, pdu)
        if outcome is not Outcome.REJECTED:
            self.reply = pdu
        self._finish(now_s, outcome)

    def _is_awaited(self, transaction: int) -> bool:
        is_asked = self.outcome is Outcome.PENDING and self.was_sent
        return is_asked and transaction == self._transaction

    def _finish(self, now_s: float, outcome: Outcome) -> None:
        if self.outcome is Outcome.PENDING:
            self.outcome = outcome
            self.ended_s = now_s
