"""One transaction at a time on one field bus port. A state machine: step() never waits.

IDLE -> SILENCE (t3.5 without a byte) -> SENDING (driver on) -> [ECHO] -> HEAD (5 bytes) -> BODY ->
IDLE; a frame that is not the reply goes through FOREIGN, which listens until the line is silent so
that damage (bad CRC) and another's frame (rejected) can be told apart.
Bytes that nobody asked for are drained and counted, also those that come while we transmit: a
device cannot answer a request that has not ended. t1.5 is not enforced.
A transceiver may echo what we send. A frame that repeats our request, as far as it goes, is never
an answer: it is skipped if it is the whole request, and no reply is made of it otherwise.
Every state has a limit; nothing here allocates. Source: MODBUS over Serial Line V1.02, 2.5.1.1.
"""

from station import frame
from station.crc import copy

TYPE_CHECKING = False  # a board has no typing module
if TYPE_CHECKING:
    from station.seams import Port, Ticks

IDLE = 0
SILENCE = 1
SENDING = 2
HEAD = 3
BODY = 4
FOREIGN = 5
ECHO = 6

FAR_US = 60000000
BABBLE_US = 500000  # a line that is never silent for t3.5 in this time is not usable
TX_EXTRA_US = 100000  # past the end of the request, then the transmitter counts as stuck
BUFFER_SIZE = 260


class Client:
    """start() a read, step() until state is IDLE again, then look at result, reply and times.

    start_identify() reads a device's identity instead; nothing in normal running calls it.

    Attributes:
        result: a code of frame.py; PENDING while under way.
        reply: the whole reply, if result is GOOD or EXCEPTION; `size` is its length.
        asked_ms, sent_ms: when the request began and ended; valid if was_sent.
        reply_us: from the end of the request to the end of the reply.
        strays: bytes drained so far, wraps at 2^16.
    """

    def __init__(self, port: "Port", ticks: "Ticks", t35_us: int, char_us: int) -> None:
        self.port = port
        self.ticks = ticks
        self.t35_us = t35_us
        self.char_us = char_us
        self.request_us = char_us * frame.REQUEST_SIZE
        self.request_size = frame.REQUEST_SIZE
        self.request = bytearray(frame.REQUEST_SIZE)
        self.reply = bytearray(BUFFER_SIZE)
        self.more = frame.MORE
        self.state = IDLE
        self.result = frame.PENDING
        self.was_sent = False
        self.asked_ms = self.sent_ms = self.reply_us = self.strays = 0
        self.unit_id = self.function = self.count = self.timeout_us = 0
        self._got = self.size = 0
        self._echoed = 0  # bytes of our request heard while sending; -1: others were heard
        self._since_us = ticks.ticks_us()  # start of the present state
        self._heard_us = self._since_us  # last byte on the line
        self._silent = False

    def start(self, now_us: int, unit_id: int, function: int, address: int, count: int) -> None:
        """Begins a read; timeout_us has been set, the state is IDLE."""
        assert self.state == IDLE, "one transaction at a time"
        frame.encode_read(self.request, unit_id, function, address, count)
        self.request_size = frame.REQUEST_SIZE
        self._begin(now_us, unit_id, function, count)

    def start_identify(self, now_us: int, unit_id: int, code: int, object_id: int) -> None:
        """Begins a read of identity (2B/0E); timeout_us has been set, the state is IDLE."""
        assert self.state == IDLE, "one transaction at a time"
        frame.encode_identify(self.request, unit_id, code, object_id)
        self.request_size = frame.IDENTIFY_SIZE
        self._begin(now_us, unit_id, frame.IDENTIFY, code)

    def _begin(self, now_us: int, unit_id: int, function: int, count: int) -> None:
        self.unit_id = unit_id
        self.function = function
        self.count = count
        self.result = frame.PENDING
        self.was_sent = False
        self.state = SILENCE
        self._since_us = now_us

    def step(self, now_us: int, now_ms: int) -> int:
        """Advances; returns the microseconds it can wait if no byte comes."""
        if self.state <= SILENCE:
            return self._listen(now_us, now_ms)
        if self.state == SENDING:
            return self._send(now_us, now_ms)
        spent_us = self.ticks.ticks_diff(now_us, self._since_us)
        if self.state == FOREIGN:
            return self._foreign(now_us, spent_us)
        if self.state == ECHO and self.port.any() >= self.request_size - self._got:
            self._end_echo(now_us, spent_us)
        if self.state == HEAD and self.port.any() >= frame.HEAD_SIZE - self._got:
            self._head(now_us, spent_us)
        if self.state == BODY and self.port.any() >= self.size - self._got:
            self._body(now_us, spent_us)
        if self.state == IDLE:
            return 0
        if spent_us >= self.timeout_us:
            self._finish(now_us, spent_us, frame.TIMEOUT)
            return 0
        return self.t35_us if self.state == FOREIGN else self.timeout_us - spent_us

    def _drain(self) -> bool:
        if not self.port.any():
            return False
        self.strays = (self.strays + self.port.readinto(self.more, BUFFER_SIZE)) & 0xFFFF
        self._heard_us = self.ticks.ticks_us()
        self._silent = False
        return True

    def _listen(self, now_us: int, now_ms: int) -> int:
        left_us = 0
        if self._drain():
            left_us = self.t35_us
        elif not self._silent:
            # Remembered, since a difference of ticks means nothing after some minutes.
            left_us = self.t35_us - self.ticks.ticks_diff(now_us, self._heard_us)
            self._silent = left_us <= 0
        if self.state == IDLE:
            return FAR_US if self._silent else left_us
        if self._silent:
            self.port.de(True)
            self.port.write(self.request, self.request_size)
            self._echoed = 0
            self.asked_ms = now_ms
            self.was_sent = True
            self.state = SENDING
            self._since_us = now_us
            return self.request_us
        if self.ticks.ticks_diff(now_us, self._since_us) > BABBLE_US:
            self._finish(now_us, 0, frame.TIMEOUT)
        return left_us

    def _send(self, now_us: int, now_ms: int) -> int:
        spent_us = self.ticks.ticks_diff(now_us, self._since_us)
        self.sent_ms = now_ms
        if self.port.tx_idle():
            self.port.de(False)
            self._since_us = now_us
            self._await()
            return 0
        self._hear_echo(now_us)
        if spent_us > self.request_us + TX_EXTRA_US:
            self.port.de(False)
            self._finish(now_us, 0, frame.TIMEOUT)
            return 0
        return max(self.request_us - spent_us, 50)

    def _hear_echo(self, now_us: int) -> None:
        """Takes what comes while we transmit: the beginning of our own request, or strays."""
        if not self.port.any():
            return
        n = self.port.readinto(self.more, BUFFER_SIZE)
        left = self.request_size - self._echoed
        if self._echoed >= 0 and n <= left and self._repeats(self.more, self._echoed, n):
            self._echoed += n
            return
        self.strays = (self.strays + n + max(self._echoed, 0)) & 0xFFFF
        self._echoed = -1

    def _repeats(self, buf: bytearray, at: int, n: int) -> bool:
        """Whether the first n bytes of buf are those of our request from at."""
        for i in range(n):
            if buf[i] != self.request[at + i]:
                return False
        return True

    def _await(self) -> None:
        """Begins to listen for the rest of an echo that has begun, or for the reply."""
        self._got = 0
        self.state = HEAD
        if 0 < self._echoed < self.request_size:
            # Its beginning may also have been a stray's: what follows must be the rest, or nothing.
            copy(self.reply, 0, self.request, 0, self._echoed)
            self._got = self._echoed
            self.state = ECHO
        else:
            self._echoed = 0

    def _end_echo(self, now_us: int, spent_us: int) -> None:
        self._append(self.request_size - self._got)
        if self._repeats(self.reply, 0, self.request_size):
            self._got = self._echoed = 0
            self.state = HEAD
        elif self._echoed:
            self._reject()
        else:
            self._judge_head(now_us, spent_us)

    def _reject(self) -> None:
        self.state = FOREIGN
        self._heard_us = self.ticks.ticks_us()

    def _head(self, now_us: int, spent_us: int) -> None:
        self._append(frame.HEAD_SIZE - self._got)
        if self._repeats(self.reply, 0, frame.HEAD_SIZE) and not self._is_short():
            self.state = ECHO  # the bytes that follow will tell
        else:
            self._judge_head(now_us, spent_us)

    def _is_short(self) -> bool:
        """Whether this may be the head of a good reply of fewer bytes than an echo."""
        if self.function == frame.IDENTIFY:
            return False
        head = frame.check_head(self.reply, self.unit_id, self.function, self.count)
        size = frame.reply_size(self.function, self.count)
        return head == frame.GOOD and size < self.request_size

    def _judge_head(self, now_us: int, spent_us: int) -> None:
        if self.function == frame.IDENTIFY:
            self._reject()  # of no known length: judged when the line is silent
            return
        head = frame.check_head(self.reply, self.unit_id, self.function, self.count)
        size = frame.reply_size(self.function, self.count)
        if head == frame.GOOD and self._got <= size:
            self.size = size
            self.state = BODY
        elif head == frame.EXCEPTION and frame.has_crc(self.reply, 0, frame.HEAD_SIZE):
            self.size = frame.HEAD_SIZE
            self._finish(now_us, spent_us, head)
        else:
            self._reject()

    def _body(self, now_us: int, spent_us: int) -> None:
        self._append(self.size - self._got)
        if self.size < self.request_size and self._repeats(self.reply, 0, self.size):
            self.state = ECHO
        else:
            result = frame.check_reply(
                self.reply, self.size, self.unit_id, self.function, self.count
            )
            self._finish(now_us, spent_us, result)

    def _foreign(self, now_us: int, spent_us: int) -> int:
        if self.port.any():
            self._append(BUFFER_SIZE)
            self._heard_us = self.ticks.ticks_us()
        elif self.ticks.ticks_diff(now_us, self._heard_us) >= self.t35_us:
            self._finish(now_us, spent_us, self._judge_silenced())
            return 0
        if spent_us >= self.timeout_us + BABBLE_US:
            self._finish(now_us, spent_us, frame.BAD_CRC)
        return self.t35_us

    def _judge_silenced(self) -> int:
        """What a frame was that has ended by silence."""
        if self.function == frame.IDENTIFY and not self._echoed:
            self.size = self._got
            return frame.check_identity(self.reply, self._got, self.unit_id, self.count)
        return frame.REJECTED if frame.has_crc(self.reply, 0, self._got) else frame.BAD_CRC

    def _append(self, size: int) -> None:
        n = self.port.readinto(self.more, size)
        n = min(n, BUFFER_SIZE - self._got)
        copy(self.reply, self._got, self.more, 0, n)
        self._got += n

    def _finish(self, now_us: int, spent_us: int, result: int) -> None:
        self.result = result
        self.reply_us = spent_us
        self.state = IDLE
        self._heard_us = self.ticks.ticks_us()
        self._silent = False
