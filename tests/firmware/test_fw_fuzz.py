"""Client, bus, events, inputs and server together under whatever hypothesis thinks of.

300 examples a run (some seconds); SHOREWATCH_FUZZ=20000 for a long one. An example is 1.5 s of a
board: what becomes of each reply, noise on the bus, chunks on the link, edges of a contact, the
length of a pass. It must not crash, not block, and take only what was answered to the last request.
"""

import os
import struct

from fw_fakes import Line, Ticks, reply_to, run, sealed
from fw_plan_file import blocks, bus, contact, device, plan_file, watch
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from station import bus as scheduler
from station import client, events, frame, image, inputs, parser, plan, server

EXAMPLES = int(os.environ.get("SHOREWATCH_FUZZ", "300"))
CHAR_US = 573
WORST_MS = 150
RUN_US = 1_500_000
ROWS = [(0, 4, 0x0000, 3, 200), (0, 4, 0x0600, 3, 200), (0, 1, 0x0300, 24, 300), (1, 3, 9, 4, 200)]
PLANNED = {sealed(struct.pack(">BBHH", 1 + row[0], *row[1:4])) for row in ROWS}
IDENTITY = [b"Shorewatch", b"virtual", b"0.1.0", b"5357000000000001", b"role", b""]
HEADER = sealed((1, 4, 0, 0, 0, 2))

LATEST_US = WORST_MS * 1000 - 30 * CHAR_US
SPOILS = st.one_of(
    st.just(("good",)),
    st.just(("silent",)),
    st.just(("exception",)),
    st.tuples(st.just("late"), st.integers(0, LATEST_US)),
    st.tuples(st.just("cut"), st.integers(1, 12)),
    # 3 flipped bits are always found by the CRC, and so is a burst of 16 (polynomial 0x8005).
    st.tuples(st.just("flip"), st.sets(st.integers(0, 8 * 8 - 1), min_size=1, max_size=3)),
    st.tuples(st.just("double"), st.integers(0, LATEST_US)),
    st.tuples(st.just("foreign"), st.integers(0, 30_000)),
    st.tuples(st.just("noise"), st.binary(min_size=1, max_size=20), st.integers(0, 20_000)),
    st.tuples(st.just("slow"), st.integers(9_000, 45_000)),
    st.tuples(st.just("echo"), st.integers(0, 3_000)),
    st.tuples(st.just("echo alone"), st.integers(0, 3_000)),
)
NOISE = st.tuples(st.integers(0, RUN_US), st.binary(min_size=1, max_size=30))
LINK = st.one_of(
    st.binary(max_size=300),
    st.builds(
        lambda pdu: sealed((1, *pdu)), st.lists(st.integers(0, 255), min_size=1, max_size=60)
    ),
    st.builds(
        lambda address, count: sealed(struct.pack(">BBHH", 1, 4, address, count)),
        st.one_of(st.integers(0, 0xFFFF), st.sampled_from([0, 0x800, 0x900, 0x1000, 0x8000])),
        st.one_of(st.integers(0, 130), st.integers(0, 0xFFFF)),
    ),
    st.builds(
        lambda at, code, wanted: sealed((1, 0x2B, at, code, wanted)),
        st.sampled_from([0x0E, 0x0D]),
        st.integers(0, 6),
        st.integers(0, 255),
    ),
)


class Contacts:
    count = 1
    wakes_idle = False

    def __init__(self, ticks, edges):
        self.ticks = ticks
        self.edges = sorted(edges)

    def read(self):
        return sum(at <= self.ticks.us for at in self.edges) & 1


class Board:
    """A whole board but for its files and its health, on two simulated lines."""

    def __init__(self, spoils, edges, before_wrap_us):
        self.ticks = ticks = Ticks(before_wrap_us)
        self.plan = plan.Plan()
        watches = [watch(0, 1, 16 + i, code=i) for i in range(8)] + [watch(3, 2, 1, 9, 2, 8)]
        devices = [device(0, 1 + i, 60, WORST_MS, i) for i in range(2)]
        data = plan_file([bus(0)], devices, blocks(*ROWS), [contact(0, 0, 15)], watches)
        assert parser.parse(data, self.plan) == parser.ACCEPTED
        self.image = image.Image(self.plan, ticks)
        image.put(self.image.board, 0, 0x5357)
        self.events = events.Events(self.plan, self.image, ticks)
        self.line = Line(ticks, self.answer)
        self.link = Line(ticks, char_us=0)
        self.client = client.Client(self.line, ticks, 2005, CHAR_US)
        self.bus = scheduler.Bus(0, self.plan, self.image, self.events, self.client, ticks)
        contacts = Contacts(ticks, edges)
        self.machines = [
            inputs.Inputs(self.plan, self.image, self.events, contacts, ticks),
            self.bus,
            server.Server(self.link, ticks, self.image, 1, IDENTITY),
            self.events,
        ]
        self.spoils = spoils
        self.number = 0
        self.truth = b""
        self.taken = 0
        self.answered = []  # (us, request, reply)
        store = self.events.store

        def watched_store(block, reply, asked_ms, now_ms):
            got = bytes(reply[: self.client.size])
            request = self.line.sent[-1][1]
            # A late copy of the same block's last reply is the one thing that nobody can tell.
            allowed = [r for at, q, r in self.answered if q == request and at >= self.oldest_us()]
            assert got in allowed, f"{got.hex()} was taken for {self.truth.hex()}"
            self.taken += 1
            store(block, reply, asked_ms, now_ms)

        self.events.store = watched_store

    def oldest_us(self):
        """When the request of a reply that may still come was sent at the earliest."""
        return self.line.sent[-1][0] - (WORST_MS + 10) * 1000

    def answer(self, request):
        spoil = self.spoils[self.number % len(self.spoils)] if self.spoils else ("good",)
        self.number += 1
        reply = bytearray(reply_to(request)[:-2])
        reply[-1] = self.number & 0x7F  # so that no two replies in a row are alike
        self.truth = sealed(reply)
        self.answered.append((self.ticks.us, request, self.truth))
        return list(self.parts(spoil, request, self.truth))

    def parts(self, spoil, request, reply):
        kind = spoil[0]
        if kind == "late":
            yield from by_bytes(spoil[1], reply)
        elif kind == "cut":
            yield from by_bytes(5_000, reply[: spoil[1]])
        elif kind == "flip":
            damaged = bytearray(reply)
            for bit in spoil[1]:
                damaged[bit // 8] ^= 1 << bit % 8
            yield from by_bytes(5_000, damaged)
        elif kind == "exception":
            yield from by_bytes(5_000, sealed((request[0], request[1] | 0x80, 2)))
        elif kind == "foreign":
            yield from by_bytes(spoil[1], sealed((9, *reply[1:-2])))
            yield from by_bytes(10_000, reply)
        elif kind == "noise":
            yield from by_bytes(spoil[2], spoil[1])
            yield from by_bytes(10_000, reply)
        elif kind == "echo alone":
            yield from by_bytes(spoil[1] - 8 * CHAR_US, request)
        elif kind != "silent":
            if kind == "echo":
                yield from by_bytes(spoil[1] - 8 * CHAR_US, request)
            yield from by_bytes(spoil[1] if kind == "slow" else 9_000, reply)
            if kind == "double":
                yield from by_bytes(max(spoil[1], 9_000 + len(reply) * CHAR_US), reply)

    def step(self, now_us, now_ms):
        waits = [machine.step(now_us, now_ms) for machine in self.machines]
        assert min(waits) >= 0
        self.image.tend(now_ms)
        return min(waits)

    def run(self, us, pass_us):
        run(self, [self.line, self.link], self.ticks, self.ticks.us + us, pass_us)


def by_bytes(after_us, data):
    return [(after_us + i * CHAR_US, bytes(data[i : i + 1])) for i in range(len(data))]


@settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck), print_blob=True)
@given(
    spoils=st.lists(SPOILS, min_size=1, max_size=12),
    noise=st.lists(NOISE, max_size=3),
    chunks=st.lists(st.tuples(st.integers(0, RUN_US), LINK), max_size=10),
    edges=st.lists(st.integers(0, RUN_US), max_size=20),
    pass_us=st.sampled_from([250, 700, 2_000, 6_000]),
    before_wrap_us=st.integers(1_000, 3_000_000),
)
def test_nothing_wrong_is_taken(spoils, noise, chunks, edges, pass_us, before_wrap_us):
    """Under any mix of faults a board goes on, asks only its plan, answers well, takes no wrong."""
    board = Board(spoils, edges, before_wrap_us)
    for at_us, data in noise:
        for after_us, byte in by_bytes(at_us, data):
            board.line.arrive(byte, after_us)
    for at_us, data in chunks:
        board.link.arrive(data, at_us)
    board.run(RUN_US, pass_us)
    assert {request for _, request in board.line.sent} <= PLANNED
    assert board.number >= 3, "the bus has stopped"
    for _, answer in board.link.sent:
        assert sealed(answer[:-2]) == answer
        assert answer[0] == 1
        assert answer[1] in (4, 0x2B) or answer[1] & 0x80
    event(f"taken: {min(board.taken, 20) // 5 * 5} or more")
    # When the faults are over, all is well again.
    board.spoils = []
    board.run(4_000_000, 700)  # a down device may have to wait 19 times the cost of its last probe
    for index in range(len(ROWS)):
        word = board.plan.block_image[index] - 0x1000 + 1
        assert image.get(board.image.area, word) == frame.GOOD
    before = len(board.link.sent)
    board.link.arrive(HEADER, 20_000)
    board.run(50_000, 700)
    assert board.link.sent[before:][-1][1] == sealed((1, 4, 4, 0x53, 0x57, 0, 0))
    assert all(machine.progress for machine in board.machines)
