"""talk.py: who is at the other end, asked so that nothing is harmed."""

from collections.abc import Callable

from shorewatch.direct.frame import with_crc
from shorewatch.field.talk import Answer, ask_who

BANNER = b"\r\nMicroPython v1.24.1 on 2024-11-29; Raspberry Pi Pico with RP2040\r\n>>> "
Reply = Callable[[bytes], bytes]


class FakeLine:
    """A port whose other end answers each write with what `reply` makes of it."""

    def __init__(self, reply: Reply, waiting: bytes = b"") -> None:
        self.sent: list[bytes] = []
        self._reply = reply
        self._waiting = waiting

    def write(self, data: bytes) -> None:
        self.sent.append(data)
        self._waiting += self._reply(data)

    def read(self, wait_s: float) -> bytes:
        data, self._waiting = self._waiting, b""
        return data


def test_a_prompt_is_known_by_its_answer_to_a_bare_return() -> None:
    """And no Modbus frame is typed into it."""
    line = FakeLine(lambda data: {b"\r": b"\r\n>>> ", b"\x02": BANNER}.get(data, b""))
    found = ask_who(line)

    assert found.answer is Answer.PROMPT
    assert found.machine == "Raspberry Pi Pico with RP2040"
    assert all(len(data) == 1 for data in line.sent)


def test_a_raw_prompt_that_a_killed_tool_has_left_is_found() -> None:
    """Ctrl-C ends what it has half sent, Ctrl-B leads to the prompt."""

    def reply(data: bytes) -> bytes:
        is_free = b"\x03" in line.sent
        return BANNER if data == b"\x02" and is_free else b""

    line = FakeLine(reply, waiting=b"R\x01\x80\x00\x01")
    assert ask_who(line, may_interrupt=True).answer is Answer.PROMPT


def test_a_prompt_that_comes_late_is_no_wrong_board() -> None:
    """One that was busy until the first frame came is asked again."""

    def reply(data: bytes) -> bytes:
        is_awake = any(len(sent) > 1 for sent in line.sent)
        return BANNER if is_awake else b""

    line = FakeLine(reply)
    assert ask_who(line, may_interrupt=True).answer is Answer.PROMPT


def test_a_field_device_is_none_of_ours() -> None:
    """What answers an identification with another vendor is left alone."""
    text = b"\x00\x03Abc\x01\x01X\x02\x011"

    def reply(data: bytes) -> bytes:
        if len(data) < 4:
            return b""
        return with_crc(b"\x01\x2b\x0e\x03\x83\x00\x00\x03" + text)

    assert ask_who(FakeLine(reply)).answer is Answer.OTHER


def test_nobody_is_silence() -> None:
    """A port on which nothing comes back."""
    assert ask_who(FakeLine(lambda data: b"")).answer is Answer.SILENCE
