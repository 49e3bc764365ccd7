"""The line: frames, silence, collisions and pace, with an injected clock."""

import math
from collections.abc import Sequence

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from shorewatch.direct.frame import crc16, with_crc
from shorewatch.plant.line import Line, Refusal, answer

CHAR_S = 11 / 19200
T35_S = 3.5 * CHAR_S
TURNAROUND_S = 0.005
# The first is worked out in MODBUS over Serial Line V1.02, 6.2.2; the others are the bodies of
# 01 04 02 FF FF B8 80 and 01 03 00 00 00 0A C5 CD, the pair most vendors' manuals print.
CRC_VECTORS = [
    (bytes.fromhex("0207"), 0x1241),
    (bytes.fromhex("010402ffff"), 0x80B8),
    (bytes.fromhex("01030000000a"), 0xCDC5),
]


class Registers:
    """Unit that answers function 04 at 0 to 99 with address + 1000, and 02 with every third bit."""

    turnaround_s = TURNAROUND_S
    functions = frozenset({2, 4})

    def __init__(self) -> None:
        self.asked_at: list[float] = []

    def read(
        self, function: int, address: int, count: int, utc_s: float
    ) -> Sequence[int] | Refusal:
        self.asked_at.append(utc_s)
        if address + count > 100:
            return Refusal.ADDRESS
        cells = range(address, address + count)
        return [int(a % 3 == 0) for a in cells] if function == 2 else [a + 1000 for a in cells]


def line_of(*unit_ids: int) -> Line:
    servers = {unit_id: Registers() for unit_id in unit_ids}
    return Line(servers, char_s=CHAR_S, t35_s=T35_S, utc=lambda now_s: now_s + 1e9)


def request(unit_id: int, address: int, count: int, function: int = 4) -> bytes:
    return with_crc(bytes([unit_id, function]) + address.to_bytes(2) + count.to_bytes(2))


def reply(unit_id: int, address: int, count: int) -> bytes:
    words = b"".join((a + 1000).to_bytes(2) for a in range(address, address + count))
    return with_crc(bytes([unit_id, 4, 2 * count]) + words)


def run(line: Line, until_s: float = math.inf) -> list[tuple[float, bytes]]:
    """Serve the line at exactly its wake times; the chunks it sent, with their times."""
    sent = []
    while (wake_s := line.wake_s) is not None and wake_s <= until_s:
        if data := line.take(wake_s):
            sent.append((wake_s, data))
    return sent


def heard(chunks: list[tuple[float, bytes]]) -> bytes:
    return b"".join(data for _, data in chunks)


@pytest.mark.parametrize(("body", "crc"), CRC_VECTORS)
def test_crc_is_the_standards(body: bytes, crc: int) -> None:
    """The CRC equals the published ones, and is 0 over a frame that carries it."""
    assert crc16(body) == crc
    assert crc16(with_crc(body)) == 0


def test_golden_read() -> None:
    """A request for one register is answered with exactly the frame the standard prescribes.

    Source: MODBUS Application Protocol V1.1b3, 6.4, in RTU framing.
    """
    line = line_of(17)
    line.hear(0.0, bytes.fromhex("11 04 0008 0001 b298"))
    assert heard(run(line)) == with_crc(bytes.fromhex("11 04 02 03f0"))


def test_bits_are_packed_low_bit_first() -> None:
    """Ten discrete inputs come in two bytes, the first in bit 0, unused bits zero."""
    assert answer(Registers(), bytes.fromhex("02 0000 000a"), 0.0) == bytes.fromhex("02 02 49 02")


@pytest.mark.parametrize(
    ("pdu", "reply_pdu"),
    [
        ("03 0000 0001", "83 01"),
        ("05 0000 ff00", "85 01"),
        ("10 0000 0001 02 1234", "90 01"),
        ("2b 0e 01 00", "ab 01"),
        ("04 0000 0000", "84 03"),
        ("04 0000 007e", "84 03"),
        ("02 0000 07d1", "82 03"),
        ("04 0063 0002", "84 02"),
        ("04 ffff 0002", "84 02"),
        ("02 0060 0005", "82 02"),
    ],
)
def test_exceptions(pdu: str, reply_pdu: str) -> None:
    """A wrong function, quantity or address gets its own exception code, in this order."""
    assert answer(Registers(), bytes.fromhex(pdu), 0.0) == bytes.fromhex(reply_pdu)


@pytest.mark.parametrize("pdu", ["04 0000 0001 00", "04 0000", "04", "80 0000 0001", "00"])
def test_a_request_of_the_wrong_length_gets_silence(pdu: str) -> None:
    """A known function with missing or spare bytes, or no function at all, is not answered."""
    assert answer(Registers(), bytes.fromhex(pdu), 0.0) is None


@given(
    now_s=st.floats(0, 1e6),
    unit_id=st.integers(1, 247),
    address=st.integers(0, 99),
    count=st.integers(1, 100),
)
def test_every_valid_read_gets_its_reply_in_time(
    now_s: float, unit_id: int, address: int, count: int
) -> None:
    """Byte k of the reply is there when its last bit has left the wire, and not before."""
    count = min(count, 100 - address)
    line = line_of(unit_id)
    line.hear(now_s, request(unit_id, address, count))
    wanted = reply(unit_id, address, count)
    start_s = now_s + 8 * CHAR_S + T35_S + TURNAROUND_S
    for k in range(len(wanted)):
        end_s = start_s + (k + 1) * CHAR_S
        assert line.take(end_s - 1e-6) == b""
        assert line.take(end_s + 1e-6) == wanted[k : k + 1]
    assert line.wake_s is None


@given(address=st.integers(0, 99), count=st.integers(1, 100))
def test_served_at_its_wake_times_a_line_is_never_late(address: int, count: int) -> None:
    """The last byte is sent when it is due, and no chunk is a millisecond longer than its bytes."""
    count = min(count, 100 - address)
    line = line_of(1)
    line.hear(0.0, request(1, address, count))
    chunks = run(line)
    wanted = reply(1, address, count)
    assert heard(chunks) == wanted
    last_s = 8 * CHAR_S + T35_S + TURNAROUND_S + len(wanted) * CHAR_S
    assert chunks[-1][0] == pytest.approx(last_s, abs=1e-9)
    assert max(len(data) for _, data in chunks) == min(2, len(wanted))


@given(garbage=st.binary(max_size=600), cuts=st.lists(st.floats(0, 0.01), max_size=8))
def test_garbage_gets_silence(garbage: bytes, cuts: list[float]) -> None:
    """Bytes without a right CRC get no answer and break nothing, however they are cut in time."""
    line = line_of(*range(1, 248))
    now_s = 0.0
    step = len(garbage) // (len(cuts) + 1) + 1
    pieces = [garbage[i : i + step] for i in range(0, len(garbage), step)]
    for piece, pause_s in zip(pieces, [*cuts, 0.0], strict=False):
        assume(all(crc16(piece[:n]) for n in range(4, len(piece) + 1)))
        line.hear(now_s, piece)
        now_s += pause_s
    assume(crc16(garbage) != 0)
    assert heard(run(line)) == b""
    line.hear(now_s + 10, request(1, 0, 1))
    assert heard(run(line)) == reply(1, 0, 1)


@given(bit=st.integers(0, 63))
def test_one_flipped_bit_gets_silence(bit: int) -> None:
    """A request with any one bit wrong is not answered."""
    frame = bytearray(request(1, 0, 10))
    frame[bit // 8] ^= 1 << bit % 8
    line = line_of(*range(1, 248))
    line.hear(0.0, bytes(frame))
    assert run(line) == []
    assert line.counts.garbled == 1


@pytest.mark.parametrize("size", range(8))
def test_a_truncated_request_gets_silence(size: int) -> None:
    """The first bytes of a request alone are not answered, and do not harm the next one."""
    line = line_of(1)
    line.hear(0.0, request(1, 0, 2)[:size])
    assert run(line) == []
    line.hear(1.0, request(1, 0, 2))
    assert heard(run(line)) == reply(1, 0, 2)


def test_a_request_in_pieces_is_one_frame() -> None:
    """Bytes that follow each other within t3.5 make one request."""
    line = line_of(1)
    for k, byte in enumerate(request(1, 0, 2)):
        line.hear(k * (CHAR_S + 0.9 * T35_S), bytes([byte]))
    assert heard(run(line)) == reply(1, 0, 2)


def test_bytes_heard_at_once_still_take_their_time() -> None:
    """Pieces that arrive together follow each other on the wire; the reply waits for the last."""
    line = line_of(1)
    line.hear(0.0, request(1, 0, 2)[:4])
    line.hear(0.0, request(1, 0, 2)[4:])
    start_s = 8 * CHAR_S + T35_S + TURNAROUND_S
    assert run(line)[-1][0] == pytest.approx(start_s + 9 * CHAR_S, abs=1e-9)


def test_a_pause_of_t35_ends_the_frame() -> None:
    """A request torn apart by more than t3.5 is two broken frames."""
    line = line_of(1)
    line.hear(0.0, request(1, 0, 2)[:4])
    line.hear(4 * CHAR_S + 1.1 * T35_S, request(1, 0, 2)[4:])
    assert run(line) == []
    assert line.counts.frames == 2


def test_two_requests_without_a_pause_are_one_broken_frame() -> None:
    """A request that follows another within t3.5 spoils both."""
    line = line_of(1, 2)
    line.hear(0.0, request(1, 0, 2))
    line.hear(8 * CHAR_S + 0.9 * T35_S, request(2, 0, 2))
    assert run(line) == []


@pytest.mark.parametrize(("pause", "is_answered"), [(0.0, False), (0.99, False), (1.01, True)])
def test_a_request_right_after_a_reply_is_dropped(pause: float, is_answered: bool) -> None:
    """A request that starts within t3.5 of a reply's end is not heard; after it, it is."""
    line = line_of(1)
    line.hear(0.0, request(1, 0, 2))
    end_s = run(line)[-1][0]
    line.hear(end_s + pause * T35_S, request(1, 4, 2))
    assert heard(run(line)) == (reply(1, 4, 2) if is_answered else b"")
    assert line.counts.early == (0 if is_answered else 1)


def test_where_a_wire_has_paced_a_request_right_after_a_reply_is_answered() -> None:
    """Behind an adapter times of arrival are no silences; a pause still ends a frame."""
    line = Line({1: Registers()}, char_s=1e-6, t35_s=0.005, utc=float, is_paced=True)
    line.hear(0, request(1, 0, 1))
    ((end_s, _),) = run(line)
    line.hear(end_s + 1e-4, request(1, 1, 1))
    assert heard(run(line)) == reply(1, 1, 1)
    assert line.counts.early == 0 and line.counts.answered == 2


def test_bytes_sent_into_a_reply_spoil_both() -> None:
    """What the client sends while a reply leaves is lost, and so are the reply's bytes under it."""
    line = line_of(1, 2)
    line.hear(0.0, request(1, 0, 10))
    start_s = 8 * CHAR_S + T35_S + TURNAROUND_S
    before = heard(run(line, until_s=start_s + 4.5 * CHAR_S))
    line.hear(start_s + 4.5 * CHAR_S, request(2, 0, 1))
    after = heard(run(line))
    wanted = reply(1, 0, 10)
    assert before + after == wanted[:4] + wanted[13:]
    assert line.counts.collisions == 1
    line.hear(1.0, request(2, 0, 1))
    assert heard(run(line)) == reply(2, 0, 1)


def test_a_busy_server_does_not_hear() -> None:
    """A second request to a unit that has not answered the first one yet gets nothing."""
    line = line_of(1)
    line.hear(0.0, request(1, 0, 2)[:0])
    line.hear(0.0, request(1, 0, 2))
    slow = line._servers[1]
    assert isinstance(slow, Registers)
    slow.turnaround_s = 0.1
    assert line.take(8 * CHAR_S + T35_S) == b""
    line.hear(0.05, request(1, 8, 1))
    assert heard(run(line)) == reply(1, 0, 2)
    assert line.counts.busy == 1


def test_broadcast_and_foreign_units_get_silence() -> None:
    """Unit 0 and units that are not on the line are not answered."""
    line = line_of(0, 1)
    for k, unit_id in enumerate((0, 2, 247, 255)):
        line.hear(k, request(unit_id, 0, 1))
        assert run(line) == []
    assert line.counts.foreign == 4


def test_values_are_of_the_moment_the_request_was_understood() -> None:
    """The server is asked for the state at the end of the request's t3.5, in UTC."""
    line = line_of(1)
    line.hear(5.0, request(1, 0, 1))
    line.take(6.0)
    server = line._servers[1]
    assert isinstance(server, Registers)
    assert server.asked_at == [pytest.approx(1e9 + 5.0 + 8 * CHAR_S + T35_S)]


def test_a_frame_of_256_bytes_is_the_longest() -> None:
    """A request for an unknown function may fill 256 bytes; with one more it is noise."""
    for size, answered in ((256, 1), (257, 1)):
        line = line_of(1)
        line.hear(0.0, with_crc(bytes([1, 0x44]) + bytes(size - 4)))
        run(line)
        assert line.counts.answered == (answered if size <= 256 else 0)
