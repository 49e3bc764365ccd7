"""What a board runs while it is scanned through: its own client at work for a laptop. Pure.

The program is an application, no REPL session: it switches Ctrl-C off before it opens a bus, takes
lines and gives lines, and ends in a reset, however it ends. So no transmitter is ever on while the
REPL is open (Promise 1). It asks by the board's station/client.py, which can encode reads alone.

    to the board                                    from it, each line behind the mark
    O baud parity stop_bits char_us t35_us          (nothing)
    R unit function address count timeout_us        result,reply_us,before,heard,reply
    I unit object timeout_us                        the same
    L ms                                            heard
    Q                                               (it restarts)

Numbers are decimal, bytes hexadecimal; a line that begins with "!" says why it ends. Limits: 20 s
without a line, 9 minutes in all, 512 bytes of a kind in a line.
"""

from dataclasses import dataclass

from shorewatch.direct.frame import Outcome, Read, Request
from shorewatch.field.probe import Trial
from shorewatch.field.sweep import Setting

MARK = "errand:"
SPAN_S_MAX = 540  # before the 10 minutes of maintenance are over
IDLE_S = 20
_PARITIES = "NEO"

PROGRAM = f"""
import sys
def errand(uart, idle_ms={IDLE_S * 1000}, all_ms={SPAN_S_MAX * 1000}):
    import binascii, select, time
    import board, micropython
    micropython.kbd_intr(-1)
    def say(text):
        print("{MARK}" + text)
    class Tap:
        def __init__(self, port):
            self.any = port.any
            self.tx_idle = port.tx_idle
            self.de = port.de
            self.port = port
            self.clear()
        def clear(self):
            self.before = bytearray()
            self.heard = bytearray()
            self.kept = self.before
        def readinto(self, buf, n):
            got = self.port.readinto(buf, n)
            room = 512 - len(self.kept)
            self.kept.extend(buf[:min(got, room)])
            return got
        def write(self, buf, n):
            self.kept = self.heard
            return self.port.write(buf, n)
    poll = select.poll()
    poll.register(sys.stdin, select.POLLIN)
    def take(left_ms):
        text = ""
        while len(text) < 80 and poll.poll(min(idle_ms, left_ms)):
            char = sys.stdin.read(1)
            if char in ("", "\\r", "\\n"):
                if text or not char:
                    return text
            else:
                text += char
        return ""
    def work(words):
        nonlocal tap, one
        numbers = [int(word) for word in words[1:]]
        if words[0] == "O":
            baud, parity, stop, char_us, t35_us = numbers
            if tap is not None:
                tap.de(False)
            tap = Tap(board.open_bus(uart, baud, parity, stop))
            one = client.Client(tap, time, t35_us, char_us)
            return ""
        if words[0] == "L":
            begun = time.ticks_ms()
            while time.ticks_diff(time.ticks_ms(), begun) < numbers[0]:
                left_ms = numbers[0] - time.ticks_diff(time.ticks_ms(), begun)
                wait_us = one.step(time.ticks_us(), time.ticks_ms())
                board.idle(max(0, min(wait_us, left_ms * 1000)))
            heard = binascii.hexlify(tap.before).decode()
            tap.clear()
            return heard
        one.timeout_us = numbers[-1]
        if words[0] == "R":
            one.start(time.ticks_us(), *numbers[:4])
        elif words[0] == "I":
            one.start_identify(time.ticks_us(), numbers[0], 1, numbers[1])
        else:
            raise ValueError("no such request")
        while one.state != client.IDLE:
            wait_us = one.step(time.ticks_us(), time.ticks_ms())
            if one.state != client.IDLE:
                board.idle(wait_us)
        is_reply = one.result in (frame.GOOD, frame.EXCEPTION)
        parts = (tap.before, tap.heard, one.reply[:one.size] if is_reply else b"")
        told = [binascii.hexlify(part).decode() for part in parts]
        tap.clear()
        return ",".join([str(one.result), str(one.reply_us)] + told)
    begun = time.ticks_ms()
    tap = one = None
    try:
        from station import VERSION, client, frame
        say(board.TYPE + "," + ".".join([str(part) for part in VERSION]))
        while True:
            left_ms = all_ms - time.ticks_diff(time.ticks_ms(), begun)
            text = take(left_ms) if left_ms > 0 else ""
            if not text or text[0] == "Q":
                say("!its time is over")
                break
            say(work(text.split()))
    except Exception as error:
        say("!" + repr(error))
    finally:
        if tap is not None:
            tap.de(False)
        board.reset()
"""


def encode_open(setting: Setting, char_us: float, t35_us: int) -> str:
    """The line that opens the bus at a setting."""
    parity, stop_bits = _PARITIES.index(setting.format[1]), setting.format[2]
    return f"O {setting.baud} {parity} {stop_bits} {round(char_us)} {t35_us}"


def encode_request(request: Request, timeout_s: float) -> str:
    """The line that asks; only what `Request` has can be written."""
    timeout_us = round(timeout_s * 1e6)
    if isinstance(request, Read):
        words = (request.unit_id, request.function, request.address, request.count)
        return f"R {' '.join(map(str, words))} {timeout_us}"
    return f"I {request.unit_id} {request.object_id} {timeout_us}"


def encode_listen(for_s: float) -> str:
    """The line that only listens."""
    return f"L {round(for_s * 1000)}"


def parse_trial(request: Request, text: str) -> Trial:
    """What came of a request; ValueError for what is no such line."""
    result, reply_us, before, heard, reply = text.split(",")
    frame = bytes.fromhex(reply)
    return Trial(
        request,
        Outcome(int(result)),
        bytes.fromhex(before),
        bytes.fromhex(heard),
        frame[1:-2],
        int(reply_us) / 1e6,
    )


@dataclass(frozen=True, slots=True)
class Hello:
    """What a board says when it begins."""

    type: str
    version: str


def parse_hello(text: str) -> Hello:
    """The first line; ValueError for what is none."""
    kind, version = text.split(",")
    return Hello(kind, version)
