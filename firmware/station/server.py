"""What a board answers: FC 04 reads the image, 2B/0E tells who the board is, no more.

Answers knows PDUs; Server frames them as Modbus RTU on the link, tcp.py as Modbus TCP.
A request is known by its length and CRC at once, or else by 5 ms of silence; after silence its tail
is tried too, so that noise before a request does not cost it. Anything else is dropped unanswered.
A pass reads at most one buffer of 256 bytes and answers at most one request; nothing blocks,
nothing allocates. Source: MODBUS Application Protocol V1.1b3, 6.4, 6.21 and 7.

On the link only, and only where board.py says MAINTENANCE = "link": 0x41 with the board's unique id
(its text in ASCII) asks for maintenance and is echoed. Otherwise 0x41 is a function like any other.
"""

from station import frame
from station.crc import copy
from station.image import READ_MAX

TYPE_CHECKING = False  # a board has no typing module
if TYPE_CHECKING:
    from station.image import Image
    from station.seams import Port, Ticks

READ = 0x04
MAINTENANCE = 0x41
ILLEGAL_FUNCTION = 1
ILLEGAL_ADDRESS = 2
ILLEGAL_VALUE = 3

SILENCE_US = 5000
TX_MAX_US = 1000000
FRAME_MAX = 256
FAR_US = 60000000
UNIQUE_ID = 3  # position among the objects
CONFORMITY = 0x83  # extended identification, by stream and one by one

EMPTY = 0
FILLING = 1
NOISE = 2
ANSWERING = 3


def request_size(function: int) -> int:
    """Length in bytes of a request by its function, 0 if it has to end by silence."""
    if 1 <= function <= 6:
        return 8
    return 7 if function == frame.IDENTIFY else 0


class Answers:
    """The answer to a request, whatever its framing; built in `out` from byte 1 on, unit at 0.

    Attributes:
        looks: reads of the image's first register, wraps at 2^16.
    """

    def __init__(self, img: "Image", identity: "list[bytes]") -> None:
        """identity: vendor, product, version, unique id, role, content, of 200 bytes each."""
        self.image = img
        self.looks = 0
        self.out = bytearray(FRAME_MAX)
        self._object_ids = bytes((0x00, 0x01, 0x02, 0x80, 0x81, 0x82))
        self._objects = [bytearray(text) for text in identity]

    def answer(self, buf: bytearray, at: int, size: int) -> int:
        """Answers the PDU buf[at:at + size], size at least 1; returns the end of the reply."""
        out = self.out
        out[1] = buf[at]
        if out[1] == READ and size == 5:
            address = buf[at + 1] << 8 | buf[at + 2]
            return self._read(address, buf[at + 3] << 8 | buf[at + 4])
        if out[1] == frame.IDENTIFY and size == 4 and buf[at + 1] == frame.IDENTIFICATION:
            return self._identify(buf[at + 2], buf[at + 3])
        return self.refuse(ILLEGAL_FUNCTION)

    def is_unique_id(self, buf: bytearray, at: int, size: int) -> bool:
        """Whether buf[at:at + size] is the board's unique id."""
        wanted = self._objects[UNIQUE_ID]
        if size != len(wanted):
            return False
        for i in range(size):
            if buf[at + i] != wanted[i]:
                return False
        return True

    def refuse(self, code: int) -> int:
        """An exception; returns the end of the reply."""
        self.out[1] |= 0x80
        self.out[2] = code
        return 3

    def _read(self, address: int, count: int) -> int:
        if not 1 <= count <= READ_MAX:
            return self.refuse(ILLEGAL_VALUE)
        # Not the time of the pass, which may have begun before the request was sent: the gateway
        # takes clock and ages for those of an instant between its request and the reply.
        now_ms = self.image.ticks.ticks_ms()
        if not self.image.read(address, count, now_ms, self.out, 3):
            return self.refuse(ILLEGAL_ADDRESS)
        if address == 0:
            self.looks = (self.looks + 1) & 0xFFFF
        self.out[2] = 2 * count
        return 3 + 2 * count

    def _identify(self, code: int, wanted: int) -> int:
        if not 1 <= code <= 4:
            return self.refuse(ILLEGAL_VALUE)
        out = self.out
        first = self._find(wanted)
        if first < 0:
            if code == 4:
                return self.refuse(ILLEGAL_ADDRESS)
            first = 0  # the source: an unknown start of a stream is its beginning
        end = first + 1 if code == 4 else (6 if code == 3 else 3)
        out[2] = frame.IDENTIFICATION
        out[3] = code
        out[4] = CONFORMITY
        out[5] = out[6] = out[7] = 0
        length = 8
        i = first if first < end else 0
        while i < end:
            text = self._objects[i]
            if length + 2 + len(text) > FRAME_MAX - 2:
                out[5] = 0xFF
                out[6] = self._object_ids[i]
                break
            out[length] = self._object_ids[i]
            out[length + 1] = len(text)
            copy(out, length + 2, text, 0, len(text))
            length += 2 + len(text)
            out[7] += 1
            i += 1
        return length

    def _find(self, object_id: int) -> int:
        for i in range(len(self._object_ids)):
            if self._object_ids[i] == object_id:
                return i
        return -1


class Server:
    """Serves one port. progress is set by each step within its limits, cleared by the owner.

    Attributes:
        wants_maintenance: it was asked for, rightly, and the reply has left.
    """

    def __init__(
        self, port: "Port", ticks: "Ticks", img: "Image", unit_id: int, identity: "list[bytes]"
    ) -> None:
        """identity: vendor, product, version, unique id, role, content, of 200 bytes each."""
        self.port = port
        self.ticks = ticks
        self.answers = Answers(img, identity)
        self.unit_id = unit_id
        self.progress = True
        self.requests = 0
        self.allows_maintenance = False
        self.wants_maintenance = False
        self._is_asked = False
        self._in = bytearray(FRAME_MAX)
        self._more = frame.MORE
        self._state = EMPTY
        self._got = 0
        self._since_us = ticks.ticks_us()

    @property
    def looks(self) -> int:
        """Reads of the image's header so far, by any framing; wraps at 2^16."""
        return self.answers.looks

    def step(self, now_us: int, now_ms: int) -> int:
        """Takes what has come, answers at most once; returns the microseconds it can wait."""
        self.progress = True
        if self._state == ANSWERING:
            return self._release(now_us)
        ready = self.port.any()
        if ready == 0:
            if self._state == EMPTY:
                return FAR_US
            left_us = SILENCE_US - self.ticks.ticks_diff(now_us, self._since_us)
            if left_us > 0:
                return left_us
            self._end_by_silence(now_us)
            return 0
        self._since_us = now_us
        if self._state == NOISE:
            self._take_noise()
            return 0
        self._state = FILLING
        # Byte counts are asked for exactly, so that a next request stays in the port.
        wanted = request_size(self._in[1]) if self._got >= 2 else 2
        if wanted == 0:
            wanted = FRAME_MAX
        if self._got < wanted:
            self._take(wanted - self._got)
        if self._got >= 2 and self._got == request_size(self._in[1]):
            if frame.has_crc(self._in, 0, self._got):
                self._answer(0, self._got, now_us)
            else:
                self._state = NOISE
        elif self._got == FRAME_MAX:
            self._state = NOISE
        return 0

    def _take(self, size: int) -> None:
        n = self.port.readinto(self._more, size)
        copy(self._in, self._got, self._more, 0, n)
        self._got += n

    def _take_noise(self) -> None:
        # All that fits, since its end may make it a frame; past that, the last bytes only.
        n = self.port.readinto(self._more, FRAME_MAX)
        if self._got + n > FRAME_MAX:
            left = 0 if n >= 8 else 8
            copy(self._in, 0, self._in, self._got - left, left)
            self._got = left
        copy(self._in, self._got, self._more, 0, n)
        self._got += n

    def _end_by_silence(self, now_us: int) -> None:
        got = self._got
        self._clear()
        if frame.has_crc(self._in, 0, got):
            self._answer(0, got, now_us)
            return
        for size in (8, 7):
            at = got - size
            if at <= 0 or self._in[at] != self.unit_id:
                continue
            if request_size(self._in[at + 1]) == size and frame.has_crc(self._in, at, got):
                self._answer(at, size, now_us)
                return

    def _clear(self) -> None:
        self._got = 0
        self._state = EMPTY

    def _answer(self, at: int, size: int, now_us: int) -> None:
        self._clear()
        if self._in[at] != self.unit_id:
            return
        self.requests = (self.requests + 1) & 0xFFFF
        out = self.answers.out
        if self._in[at + 1] == MAINTENANCE and self._is_allowed(at + 2, size - 4):
            self._is_asked = True
            length = size - 2
            copy(out, 0, self._in, at, length)
        else:
            length = self.answers.answer(self._in, at + 1, size - 3)
            out[0] = self.unit_id
        frame.seal(out, length)
        self.port.de(True)
        self.port.write(out, length + 2)
        self._state = ANSWERING
        self._since_us = now_us

    def _is_allowed(self, at: int, size: int) -> bool:
        return self.allows_maintenance and self.answers.is_unique_id(self._in, at, size)

    def _release(self, now_us: int) -> int:
        spent_us = self.ticks.ticks_diff(now_us, self._since_us)
        if spent_us <= TX_MAX_US and not self.port.tx_idle():
            return 100
        self.port.de(False)
        self._clear()
        self.wants_maintenance = self._is_asked
        return 0
