"""Lines, devices and a serial field for the tests of direct/, all by a clock of the test's own."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from shorewatch.config import Device, DirectConfig, DirectDeviceConfig
from shorewatch.direct.frame import Outcome, crc16, with_crc
from shorewatch.direct.rtu import RtuClient
from shorewatch.direct.turns import Result, Turn, Turns
from shorewatch.plan import Block, compile_blocks
from shorewatch.profile import Profile

STEP = 1000  # between the addresses of a device's blocks


def profile(*, blocks: int = 1, period_s: float = 1.0, **given: object) -> Profile:
    """A device type with so many blocks of two registers, all of one shape."""
    point = {"name": "P", "table": "input", "type": "u32", "period_s": period_s}
    points = [{**point, "id": f"p{i}", "address": STEP * i} for i in range(blocks)]
    known = {"timeout_ms": 100, "worst_ms": 300, "retries": 1}
    return Profile.model_validate(
        {"id": "p", "name": "P", "source": "test", "point": points} | known | given
    )


def line(units: Sequence[int], tcp: str | None = None) -> DirectConfig:
    """A direct line with devices d<unit id>: at `tcp`, or serial, 19,200 baud."""
    devices = [{"id": f"d{u}", "name": "D", "profile": "p", "unit_id": u} for u in units]
    how = {"tcp": tcp} if tcp else {"port": "tty", "baud": 19200, "format": "8E1", "delay_ms": 0}
    return DirectConfig.model_validate({"id": "x", **how, "device": devices})


def blocks_of(where: DirectConfig, kind: Profile) -> tuple[Block, ...]:
    """What is read of a line all of whose devices are of one type."""

    def device(config: DirectDeviceConfig) -> Device:
        return Device(config, kind, None, where)

    return compile_blocks([device(config) for config in where.device])


@dataclass
class Field:
    """Devices on a serial line: `answers` gives the delays after which a request is answered.

    A reply tells who answers and about which address: unit and block, and a number of its own.
    """

    answers: dict[int, list[float]] = field(default_factory=dict)
    rng: random.Random = field(default_factory=lambda: random.Random(0))
    lateness: tuple[float, ...] = ()  # or one of these for each request, at random; -1: silence
    copies: bool = False
    says: int | None = None  # the second register of every reply, else a number of its own
    coming: list[tuple[float, bytes]] = field(default_factory=list)
    asked: list[tuple[float, int, int]] = field(default_factory=list)

    def hear(self, frame: bytes, end_s: float) -> None:
        assert frame[1] == 4 and crc16(frame) == 0
        unit_id, address = frame[0], int.from_bytes(frame[2:4])
        self.asked.append((end_s, unit_id, address))
        delays = self.answers.get(unit_id, [0.005])
        if self.lateness:
            delays = [self.rng.choice(self.lateness)]
            delays += [self.rng.choice(self.lateness)] * self.copies
        number = len(self.asked) & 0xFFFF if self.says is None else self.says
        word = (0 if self.says is not None else unit_id << 8 | address // STEP) & 0xFFFF
        reply = with_crc(bytes([unit_id, 4, 4]) + word.to_bytes(2) + number.to_bytes(2))
        self.coming += [(end_s + delay, reply) for delay in delays if delay >= 0]
        self.coming.sort()

    def next_s(self) -> float:
        return self.coming[0][0] if self.coming else float("inf")


@dataclass(frozen=True)
class Seen:
    """One transaction that has ended."""

    at_s: float
    turn: Turn
    result: Result
    reply: bytes

    @property
    def is_right(self) -> bool:
        """Whether a good result is of the unit and the block that were asked."""
        wanted = self.turn.request.unit_id << 8 | self.turn.request.address // STEP
        return int.from_bytes(self.reply[2:4]) == wanted


def played(turns: Turns, client: RtuClient, there: Field, for_s: float) -> Iterator[Seen]:
    """The gateway's loop of a serial line, without its port, for so many seconds."""
    now_s = 0.0
    while now_s < for_s:
        turn = turns.next(now_s)
        if isinstance(turn, Turn):
            client.start(now_s, turn.request, turn.timeout_s)
            while client.outcome is Outcome.PENDING:
                if sending := client.poll(now_s):
                    there.hear(sending, client.sent_s)
                if client.outcome is Outcome.PENDING:
                    now_s = max(now_s, min(client.wake_s, there.next_s()))
                    _deliver(client, there, now_s)
            yield Seen(now_s, turn, turns.end(now_s, client), client.reply)
        else:
            now_s = max(now_s, min(turn, there.next_s(), for_s))
            _deliver(client, there, now_s)


def _deliver(client: RtuClient, there: Field, now_s: float) -> None:
    while there.next_s() <= now_s:
        client.hear(now_s, there.coming.pop(0)[1])
