"""`shorewatch bench chaos`: disturb running stations again and again, then account for everything.

Real processes on this machine (scene.py). Each part that can be disturbed has a lane, and all lanes
run at once: in each one disturbance follows another after a pause; which, when and how long comes
from the seed. Now and then all lanes stand still until everything has caught up. One gateway lives
from beginning to end, so that what it holds can be compared; two are killed, too: at any moment,
while they start, while they stop, at some step on their disk, with or without its power, or while
they bring an old database up to date. At the end witness.py judges.

A seed repeats what each lane draws, not the instants: processes run as the machine lets them.
"""

import asyncio
import random
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import (
    AsyncIterator,
    Collection,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from shorewatch.bench import machine
from shorewatch.bench.figures import Figure, Result
from shorewatch.bench.kinds import KINDS, Kind
from shorewatch.bench.scene import Need, Scene, playing
from shorewatch.bench.uplink import Say
from shorewatch.bench.victim import Size, Victim
from shorewatch.bench.witness import Account

CALM_EVERY_S: Final = 20.0
PAUSE_S_MAX: Final = 0.6


@dataclass(frozen=True, slots=True)
class Extent:
    """How long: until each kind was made `each` times, and `minutes` have passed."""

    seed: int
    each: int = 1
    minutes: float = 0.0
    first_port: int = 19000


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was done how often, what the steady gateway held before and after, and the account.

    `skipped` are the kinds that could not be made here, and why.
    """

    done: Mapping[str, int]
    skipped: Mapping[str, str]
    before: Size
    after: Size
    crashes: tuple[str, ...]
    account: Account

    @property
    def faults(self) -> tuple[str, ...]:
        """What is wrong, in sentences; the first few of each sort."""
        return (*self.crashes, *self.account.faults)


class Deck:
    """Draws the disturbances of a lane: those made least come first, so none is left out."""

    def __init__(self, kinds: Sequence[Kind], chance: random.Random, done: Counter[str]) -> None:
        self._kinds = kinds
        self._chance = chance
        self._done = done

    @property
    def least(self) -> int:
        """How often the one that was made least was made, not counting those used up."""
        return min(self._done[kind.name] for kind in self._left)

    def draw(self) -> Kind:
        """It counts as made."""
        found = min(self._left, key=lambda kind: (self._done[kind.name], self._chance.random()))
        self._done[found.name] += 1
        return found

    @property
    def _left(self) -> list[Kind]:
        return [kind for kind in self._kinds if self._done[kind.name] < (kind.count_max or 1 << 62)]


class Calm:
    """Between disturbances a lane waits here while all is to stand still."""

    def __init__(self) -> None:
        self._go = asyncio.Event()
        self._go.set()
        self._still = asyncio.Event()
        self._busy = 0

    @asynccontextmanager
    async def disturbing(self) -> AsyncIterator[None]:
        """Inside something is disturbed."""
        await self._go.wait()
        self._busy += 1
        try:
            yield
        finally:
            self._busy -= 1
            self._still.set()

    @asynccontextmanager
    async def calm(self) -> AsyncIterator[None]:
        """Inside nothing is."""
        self._go.clear()
        while self._busy:
            self._still.clear()
            await self._still.wait()
        yield
        self._go.set()


def run_chaos(extent: Extent, say: Say) -> Result:
    """Disturb and judge; `say` is told what happens, each fault included.

    Raises DemoError if a part cannot be started, falls silent or does not catch up. The folder of
    the run is kept, and named, if anything is wrong.
    """
    busy = machine.ticks()
    folder = Path(tempfile.mkdtemp(prefix="shorewatch-chaos-"))
    say(f"seed {extent.seed}, in {folder}")
    try:
        outcome = asyncio.run(disturb(folder, extent, say))
    except KeyboardInterrupt:
        shutil.rmtree(folder)
        raise
    for text in outcome.faults:
        say(text)
    figures = dict(_figures(outcome))
    if all(figure.is_kept for figure in figures.values()):
        shutil.rmtree(folder)
    else:
        say(f"seed {extent.seed}: not all was kept; everything of the run is in {folder}")
    for name, why in outcome.skipped.items():
        say(f"{name}: skipped ({why})")
    found = machine.load(busy) | {"seed": extent.seed, "skipped": dict(outcome.skipped)}
    return Result(figures, machine.versions(), found)


async def disturb(folder: Path, extent: Extent, say: Say) -> Outcome:
    """All of it, in `folder`."""
    chance = random.Random(extent.seed)
    async with playing(folder, first_port=extent.first_port, chance=chance) as scene:
        skipped = {kind.name: why for kind in KINDS if (why := scene.why_not(kind.needs))}
        if why := scene.why_not(Need.MOUNT):
            say(f"a disk is full when the layer below SQLite says so: {why}")
        say(f"{len(KINDS) - len(skipped)} kinds of disturbances, all parts at once")
        done: Counter[str] = Counter()
        before, after = await _disturbed(scene, _lanes(scene, skipped), done, extent)
        say("the account")
        account = await scene.account()
        return Outcome(done, skipped, before, after, tuple(scene.crashes), account)


def _lanes(scene: Scene, skipped: Collection[str]) -> list[tuple[list[Kind], list[Victim]]]:
    """What goes on at the same time: kinds, and whom they may hit."""
    kinds = [kind for kind in KINDS if kind.name not in skipped]
    shared = dict.fromkeys(kind.lane for kind in kinds if kind.lane != "gateway")
    gateway = [kind for kind in kinds if kind.lane == "gateway"]
    lanes = [([kind for kind in kinds if kind.lane == lane], scene.victims) for lane in shared]
    return lanes + [(gateway, [victim]) for victim in scene.victims[1:]]


async def _disturbed(
    scene: Scene,
    lanes: Sequence[tuple[Sequence[Kind], Sequence[Victim]]],
    done: Counter[str],
    extent: Extent,
) -> tuple[Size, Size]:
    """Run all lanes to the end; what the steady gateway held after a while, and at the end."""
    deadline_s = time.monotonic() + 60 * extent.minutes
    chance = random.Random(extent.seed)
    # A generator for each: what one draws must not depend on when another does.
    own = [random.Random(chance.getrandbits(64)) for _ in lanes]
    decks = [Deck(kinds, one, done) for (kinds, _), one in zip(lanes, own, strict=True)]
    calm = Calm()

    def is_over() -> bool:
        is_late = time.monotonic() >= deadline_s
        return is_late and all(deck.least >= extent.each for deck in decks)

    async def run(deck: Deck, victims: Sequence[Victim], chance: random.Random) -> None:
        while not is_over():
            await asyncio.sleep(chance.uniform(0, PAUSE_S_MAX))
            # No lane runs ahead: the slowest is to be disturbed by all others to its end.
            if deck.least > min(other.least for other in decks):
                continue
            async with calm.disturbing():
                kind, victim = deck.draw(), chance.choice(victims)
                if kind.lane == "gateway":
                    await victim.look()  # one that does not run yet is not disturbed much
                await kind.make(scene, victim, chance)

    sizes: list[Size] = []
    try:
        async with asyncio.TaskGroup() as tasks:
            running = {
                tasks.create_task(run(deck, victims, one))
                for deck, (_, victims), one in zip(decks, lanes, own, strict=True)
            }
            while running:
                _, running = await asyncio.wait(running, timeout=CALM_EVERY_S)
                async with calm.calm():
                    await scene.caught_up()
                    sizes.append(scene.victims[0].size())
    except ExceptionGroup as group:
        raise group.exceptions[0] from group
    return sizes[0], sizes[-1]


def _figures(outcome: Outcome) -> Iterator[tuple[str, Figure]]:
    account, before, after = outcome.account, outcome.before, outcome.after
    for kind in KINDS:
        if kind.name not in outcome.skipped:
            yield kind.name, Figure(outcome.done[kind.name], "times", 1, is_least=True)
    yield "crashes", Figure(len(outcome.crashes), "processes", 0)
    yield "journals", Figure(account.journals, "journals", 1, is_least=True)
    yield "records", Figure(account.records, "records", 1, is_least=True)
    yield "records_undelivered", Figure(account.undelivered, "records", account.records)
    yield "sequences_wrong", Figure(account.sequences_wrong, "records", 0)
    yield "records_differing", Figure(account.records_differing, "records", 0)
    yield "verdicts_wrong", Figure(account.verdicts_wrong, "consumers", 0)
    yield "answers", Figure(account.answers, "answers", 1, is_least=True)
    yield "answers_told_lost", Figure(account.answers_told_lost, "answers", account.answers)
    yield "answers_lost", Figure(account.answers_lost, "answers", 0)
    yield "answers_doubled", Figure(account.answers_doubled, "answers", 0)
    yield "answers_wrong", Figure(account.answers_wrong, "answers", 0)
    yield "answers_on_the_way", Figure(account.answers_on_the_way, "answers", account.answers)
    yield "answers_uncommitted", Figure(account.answers_uncommitted, "answers", account.answers)
    yield "uncommitted_ms_max", Figure(account.uncommitted_ms_max, "ms", 5000)
    yield "rss_growth_mb", Figure(after.rss_mb - before.rss_mb, "MB", 10)
    yield "files_growth", Figure(after.files - before.files, "files", 4)
    yield "threads_growth", Figure(after.threads - before.threads, "threads", 8)
