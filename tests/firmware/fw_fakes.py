"""A clock that wraps as a board's does, and a field bus line in simulated time. No I/O."""

import struct

PERIOD = 1 << 30


def crc16(data):
    """Bit by bit, from the definition; the firmware's is by table."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ 0xA001 if crc & 1 else crc >> 1
    return crc


def sealed(data):
    """Data with its CRC, low byte first."""
    return bytes(data) + struct.pack("<H", crc16(data))


class Ticks:
    """time.ticks_*() of a 32-bit board: 30 bits. Starts just before both counters wrap."""

    def __init__(self, before_wrap_us=3_000_000):
        self.us = 0
        self._us_offset = PERIOD - before_wrap_us
        self._ms_offset = PERIOD - before_wrap_us // 1000

    def advance(self, us):
        self.us += us

    def ticks_us(self):
        return (self.us + self._us_offset) % PERIOD

    def ticks_ms(self):
        return (self.us // 1000 + self._ms_offset) % PERIOD

    def ticks_diff(self, end, start):
        assert 0 <= end < PERIOD and 0 <= start < PERIOD, "a tick that no ticks_add() made"
        return ((end - start + PERIOD // 2) % PERIOD) - PERIOD // 2

    def ticks_add(self, ticks, delta):
        assert abs(delta) < PERIOD // 2, "beyond half of the period"
        return (ticks + delta) % PERIOD


class Line:
    """A port and all that hangs on its wire, at one character per char_us.

    answer(request) gives a list of (microseconds from the end of the request, bytes), each part
    arriving whole at that time plus its own length on the wire.
    """

    def __init__(self, ticks, answer=lambda request: [], char_us=573):
        self.ticks = ticks
        self.answer = answer
        self.char_us = char_us
        self.sent = []  # (start us, bytes)
        self.driver = []  # (us, on)
        self._coming = []
        self._here = bytearray()
        self._free_us = 0

    def arrive(self, data, in_us=0):
        """Bytes that come on their own, in_us from now."""
        self._coming.append((self.ticks.us + in_us, bytes(data)))

    def next_us(self):
        """Time of the next change on the line, or None."""
        times = [at for at, _ in self._coming]
        if self._free_us > self.ticks.us:
            times.append(self._free_us)
        return min(times, default=None)

    def any(self):
        for part in sorted(part for part in self._coming if part[0] <= self.ticks.us):
            self._coming.remove(part)
            self._here += part[1]
        return len(self._here)

    def readinto(self, buf, n):
        n = min(self.any(), n)
        buf[:n] = self._here[:n]
        del self._here[:n]
        return n

    def write(self, buf, n):
        data = bytes(buf[:n])
        self.sent.append((self.ticks.us, data))
        self._free_us = max(self.ticks.us, self._free_us) + n * self.char_us
        for after_us, part in self.answer(data):
            at_us = self._free_us + after_us + len(part) * self.char_us
            self._coming.append((at_us, bytes(part)))
        return n

    def tx_idle(self):
        return self.ticks.us >= self._free_us

    def de(self, on):
        self.driver.append((self.ticks.us, on))


def run(machine, lines, ticks, until_us, pass_us=100, on_pass=None):
    """The superloop in simulated time: a pass costs pass_us, rests end at the next byte."""
    while ticks.us < until_us:
        wait_us = machine.step(ticks.ticks_us(), ticks.ticks_ms())
        if on_pass and on_pass():
            return
        wake_us = min(ticks.us + min(wait_us, 50_000), until_us)
        for line in lines:
            next_us = line.next_us()
            if next_us is not None:
                wake_us = min(wake_us, next_us)
        ticks.us = max(ticks.us + pass_us, wake_us)


def reply_to(request, words=None):
    """The right reply of a device to a read request: registers count up from the address."""
    unit, function, address, count = struct.unpack(">BBHH", request[:6])
    if function <= 2:
        data = bytes((address + i) & 0xFF for i in range((count + 7) // 8))
    else:
        data = struct.pack(f">{count}H", *((address + i) & 0xFFFF for i in range(count)))
    return sealed(bytes((unit, function, len(data))) + data)
