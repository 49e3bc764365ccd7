"""A board, its link and the gateway's clocks in virtual time: seeded, no ports, no waiting.

True time is the loop's; the gateway's monotonic clock shows it. The wall clock is off by `wall_s`,
the board's clock by its boot and its rate. What the room sensor says tells when it was asked for.
"""

import asyncio
import random
import selectors
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

from shorewatch.clock import StationClock
from shorewatch.config import LinkConfig
from shorewatch.errors import SilenceError
from shorewatch.plan import Block, BoardPlan

BASE_AT = datetime(2026, 11, 23, tzinfo=UTC)
GOOD, TIMEOUT = 1, 2
RING = 256


class VirtualLoop(asyncio.SelectorEventLoop):
    """Waits for nothing: when all wait, time goes on to the next that does not."""

    def __init__(self) -> None:
        self.now_s = 1_000_000.0
        super().__init__(_Selector(self))

    def time(self) -> float:
        return self.now_s


class _Selector(selectors.SelectSelector):
    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout=None):
        assert timeout is not None, "everybody waits for somebody else"
        self._loop.now_s += max(timeout, 0.0)
        return []


def run_virtual(main: Coroutine[None, None, None]) -> None:
    """Run a coroutine to its end in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(main)


def now_s() -> float:
    return asyncio.get_running_loop().time()


class World:
    """What happens to link, board, bus, device and wall clock; `rng` decides what is not given."""

    def __init__(self, plan: BoardPlan, seed: int, *, ppm: float, up_s: float) -> None:
        self.plan = plan
        self.rng = random.Random(seed)
        self.rate = 1 + ppm * 1e-6
        self.wall_s = 0.0
        self.walls: list[tuple[float, float]] = [(now_s(), 0.0)]
        self.is_cut = self.is_dead = self.is_off = self.is_hung = False
        # Since when link, device and board are all well.
        self.well_s = now_s()
        self.boots = 0
        self.stamped: list[tuple[int, int, float]] = []  # boot, sequence, true time
        self.asked_s: dict[int, float] = {}
        self.clock = StationClock(mono_s=now_s, utc=self.wall)
        self.boot(now_s() - up_s)

    @property
    def is_well(self) -> bool:
        return not (self.is_cut or self.is_dead or self.is_off or self.is_hung)

    def wall(self) -> datetime:
        return BASE_AT + timedelta(seconds=now_s() + self.wall_s)

    def set_wall(self, wall_s: float) -> None:
        self.wall_s = wall_s
        self.walls.append((now_s(), wall_s))

    def walls_since(self, since_s: float) -> list[float]:
        """By how much the wall clock was off, from that time on."""
        before = [wall_s for at_s, wall_s in self.walls if at_s <= since_s]
        return [before[-1], *(wall_s for at_s, wall_s in self.walls if at_s > since_s)]

    # The board

    def boot(self, at_s: float) -> None:
        self.boots += 1
        self.boot_id = 1000 + self.boots
        self.boot_s = at_s
        self.generations = [0] * len(self.plan.blocks)
        self.blocks: dict[int, tuple[int, int | None, list[int]]] = {}
        self.next_event = 0
        self.ring: dict[int, list[int]] = {}
        self.contacts = 0

    def clock_ms(self, at_s: float | None = None) -> int:
        return int(((now_s() if at_s is None else at_s) - self.boot_s) * self.rate * 1000)

    async def follow(self, block: Block) -> None:
        """The board asks for one block, over and over."""
        reading = self.rng.randrange(700)
        await asyncio.sleep(self.rng.random() * block.period_ms / 1000)
        while True:
            boot, asked_s = self.boots, now_s()
            await asyncio.sleep(0.02)
            if not (self.is_off or self.is_hung) and boot == self.boots:
                self.generations[block.index] = self.generations[block.index] + 1 & 0xFFFF
                _, asked_ms, data = self.blocks.get(block.index, (0, None, [0] * block.registers))
                if self.is_dead:
                    self.blocks[block.index] = TIMEOUT, asked_ms, data
                else:
                    reading = (reading + 1) % 700
                    data = [reading] + [1] * (block.registers - 1)
                    if block.device.id == "room":
                        self.asked_s[reading] = asked_s
                    self.blocks[block.index] = GOOD, self.clock_ms(asked_s), data
            await asyncio.sleep(asked_s + block.period_ms / 1000 - now_s())

    def stamp(self, source: int, code: int, value: int, late_s: float = 0.0) -> None:
        """Something happens at this instant; the board sees it up to `late_s` later."""
        if self.is_off:
            return
        sequence = self.next_event
        clock_ms = self.clock_ms(now_s() + late_s)
        words = [sequence >> 16, sequence & 0xFFFF, source, code, value]
        words += [clock_ms >> 32, clock_ms >> 16 & 0xFFFF, clock_ms & 0xFFFF]
        self.ring[sequence % RING] = words
        self.next_event += 1
        self.stamped.append((self.boot_id, sequence, now_s()))

    def words(self, address: int, count: int) -> list[int]:
        """The image, as it is served at this instant."""
        return [self._word(address + i) for i in range(count)]

    def _word(self, address: int) -> int:
        clock_ms = self.clock_ms()
        crc = self.plan.crc
        head = {
            0: 0x5357, 1: 1, 2: crc >> 16, 3: crc & 0xFFFF, 7: self.boot_id,
            10: clock_ms >> 32, 11: clock_ms >> 16 & 0xFFFF, 12: clock_ms & 0xFFFF, 13: 5,
            22: self.next_event >> 16, 23: self.next_event & 0xFFFF, 24: RING,
            0x900: self.contacts, 0x901: 0xFFFF,
        }  # fmt: skip
        if address in head:
            return head[address]
        if address >= 0x8000:
            place, word = divmod(address - 0x8000, 8)
            return self.ring.get(place, [0xFFFF] * 8)[word]
        if address >= 0x1000:
            return self._block_word(address)
        if address >= 0x0800:
            return self.generations[address - 0x0800]
        return 0

    def _block_word(self, address: int) -> int:
        block = next(b for b in self.plan.blocks if b.image <= address < b.image + b.size)
        status, asked_ms, data = self.blocks.get(block.index, (0, None, [0] * block.registers))
        age_ms = 0xFFFFFFFF if asked_ms is None else self.clock_ms() - asked_ms
        head = [self.generations[block.index], status, age_ms >> 16, age_ms & 0xFFFF]
        return [*head, *data][address - block.image]

    # The link: a Wire

    @asynccontextmanager
    async def opened(self, _port: str, config: LinkConfig) -> AsyncIterator["World"]:
        self.timeout_s = config.timeout_s
        yield self

    async def identify(self) -> str:
        await self._pass(now_s())
        return self.plan.station.boards[self.plan.board_id].unique_id

    async def read(self, address: int, count: int) -> list[int]:
        asked_s = now_s()
        await self._pass(asked_s)
        words = self.words(address, count)
        await self._pass(asked_s)
        return words

    async def _pass(self, asked_s: float) -> None:
        """Go one way, mostly fast; without a link or a board, only the timeout ends it."""
        await asyncio.sleep(self.rng.choice((0.0005, 0.002, 0.02)) * self.rng.random())
        if self.is_cut or self.is_off:
            await asyncio.sleep(max(0.0, asked_s + self.timeout_s - now_s()))
            raise SilenceError("no answer in this world")


class Journal:
    """Records with how far the wall clock was off when they came; implements events.Records."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.all: list[tuple[str, datetime, dict[str, object], float]] = []
        self.kept: dict[str, dict[str, object]] = {}

    async def put(self, kind, at, body, keep=None) -> bool:
        self.all.append((kind, at, body, self._world.wall_s))
        if keep is not None:
            self.kept[keep[0]] = keep[1]
        return True

    def keep(self, name, facts) -> bool:
        self.kept[name] = facts
        return True
