"""`shorewatch bench chaos`: disturb a running station again and again, then account for everything.

Real processes on this machine (scene.py). A round draws one to four disturbances that touch
different parts and makes them at once; which, when and how long comes from the seed. In the first
half the gateway itself lives on, so that what it holds can be compared; in the second it is killed,
too: at any moment, while it starts, while it stops; and its database is taken away while the old
acknowledgement still stands at the broker. At the end witness.py judges.

A seed repeats the choices, not the instants: processes run as the machine lets them.
"""

import asyncio
import random
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from shorewatch.bench import machine
from shorewatch.bench.breaking import Side
from shorewatch.bench.figures import Figure, Result
from shorewatch.bench.scene import Scene, Size, playing
from shorewatch.bench.uplink import Say
from shorewatch.bench.witness import Account

TOGETHER_MAX: Final = 4
CALM_EVERY: Final = 8
# The consumer's account remembers 64 journals of a station; each new database is one.
NEW_DATABASES_MAX: Final = 40
PAUSE_S_MAX: Final = 0.5
_STEPS_S: Final = (0.2, 30.0, 3600.0, 86_400.0)

Make = Callable[[Scene, random.Random], Coroutine[None, None, None]]


@dataclass(frozen=True, slots=True)
class Kind:
    """A disturbance: what part it touches, and how it is made. It leaves all as it was."""

    name: str
    part: str
    make: Make
    count_max: int | None = None


@dataclass(frozen=True, slots=True)
class Extent:
    """How long: until each kind was made `each` times, and `minutes` have passed."""

    seed: int
    each: int = 1
    minutes: float = 0.0
    first_port: int = 19000


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was done how often, what the gateway held before and after, and the account."""

    done: Mapping[str, int]
    before: Size
    after: Size
    crashes: tuple[str, ...]
    account: Account

    @property
    def faults(self) -> tuple[str, ...]:
        """What is wrong, in sentences; the first few of each sort."""
        return (*self.crashes, *self.account.faults)


async def _broker_killed(scene: Scene, chance: random.Random) -> None:
    await scene.kill("broker")
    await asyncio.sleep(chance.uniform(0, 1))
    await scene.start_broker()


async def _broker_stopped(scene: Scene, chance: random.Random) -> None:
    await scene.stop("broker")
    await asyncio.sleep(chance.uniform(0, 1))
    await scene.start_broker()


async def _line_closed(scene: Scene, chance: random.Random) -> None:
    await scene.line.cut(is_reset=False)


async def _line_reset(scene: Scene, chance: random.Random) -> None:
    await scene.line.cut(is_reset=True)


async def _line_half_open(scene: Scene, chance: random.Random) -> None:
    sides: Sequence[Side] = ("client", "server")
    scene.line.swallow(set(chance.sample(sides, chance.randint(1, 2))))
    await asyncio.sleep(chance.uniform(0, 2))
    await scene.line.mend()


async def _line_slow(scene: Scene, chance: random.Random) -> None:
    scene.line.is_slow = True
    await asyncio.sleep(chance.uniform(0, 1))
    scene.line.is_slow = False


async def _consumer_killed(scene: Scene, chance: random.Random) -> None:
    await scene.kill("consumer")
    await asyncio.sleep(chance.uniform(0, 0.5))
    await scene.start_consumer()


async def _clock_stepped(scene: Scene, chance: random.Random) -> None:
    """There and back, so one step of each direction."""
    scene.step_clock(chance.choice((-1, 1)) * chance.choice(_STEPS_S))
    await asyncio.sleep(chance.uniform(0, 1))
    scene.step_clock(0)


async def _rival_played(scene: Scene, chance: random.Random) -> None:
    await scene.play_rival(chance.uniform(1, 3))


async def _gateway_killed(scene: Scene, chance: random.Random) -> None:
    await asyncio.sleep(chance.uniform(0, 1))
    await scene.kill("gateway")
    await scene.start_gateway()


async def _gateway_killed_starting(scene: Scene, chance: random.Random) -> None:
    await scene.kill("gateway")
    await scene.start_gateway()
    await asyncio.sleep(chance.uniform(0, 1.5))
    await scene.kill("gateway")
    await scene.start_gateway()


async def _gateway_killed_stopping(scene: Scene, chance: random.Random) -> None:
    await scene.kill_while_stopping("gateway", chance.uniform(0, 0.2))
    await scene.start_gateway()


async def _database_taken(scene: Scene, chance: random.Random) -> None:
    await scene.stop("gateway")
    scene.take_outbox()
    await scene.start_gateway()


KINDS: Final = (
    Kind("broker killed", "broker", _broker_killed),
    Kind("broker stopped", "broker", _broker_stopped),
    Kind("line closed", "line", _line_closed),
    Kind("line reset", "line", _line_reset),
    Kind("line half-open", "line", _line_half_open),
    Kind("line slow, in pieces", "line", _line_slow),
    Kind("consumer killed", "consumer", _consumer_killed),
    Kind("clock stepped", "clock", _clock_stepped),
    Kind("rival gateway", "rival", _rival_played),
    Kind("gateway killed", "gateway", _gateway_killed),
    Kind("gateway killed starting", "gateway", _gateway_killed_starting),
    Kind("gateway killed stopping", "gateway", _gateway_killed_stopping),
    Kind("database taken away", "gateway", _database_taken, NEW_DATABASES_MAX),
)


class Deck:
    """Draws the disturbances of a round: those made least come first, so none is left out."""

    def __init__(self, kinds: Sequence[Kind], chance: random.Random, done: Counter[str]) -> None:
        self._kinds = kinds
        self._chance = chance
        self.done = done

    @property
    def least(self) -> int:
        """How often the one that was made least was made, not counting those used up."""
        return min(self.done[kind.name] for kind in self._kinds if not self._is_used_up(kind))

    def draw(self) -> list[Kind]:
        """One to TOGETHER_MAX kinds that touch different parts; they count as made."""
        kinds = [kind for kind in self._kinds if not self._is_used_up(kind)]
        self._chance.shuffle(kinds)
        kinds.sort(key=lambda kind: self.done[kind.name])
        drawn: dict[str, Kind] = {}
        for kind in kinds:
            drawn.setdefault(kind.part, kind)
        together = list(drawn.values())[: self._chance.randint(1, TOGETHER_MAX)]
        self.done.update(kind.name for kind in together)
        return together

    def _is_used_up(self, kind: Kind) -> bool:
        return kind.count_max is not None and self.done[kind.name] >= kind.count_max


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
    found = machine.load(busy) | {"seed": extent.seed}
    return Result(figures, machine.versions(), found)


async def disturb(folder: Path, extent: Extent, say: Say) -> Outcome:
    """All of it, in `folder`."""
    chance = random.Random(extent.seed)
    done: Counter[str] = Counter()
    async with playing(folder, first_port=extent.first_port, chance=chance) as scene:
        calm = Deck([kind for kind in KINDS if kind.part != "gateway"], chance, done)
        say("the gateway lives on")
        await _rounds(scene, calm, chance, each=1, minutes=0)
        before = scene.size()
        await _rounds(scene, calm, chance, each=extent.each // 2, minutes=extent.minutes / 2)
        after = scene.size()
        say("the gateway is killed, too")
        deck = Deck(KINDS, chance, done)
        await _rounds(scene, deck, chance, each=extent.each, minutes=extent.minutes / 2)
        say("the account")
        account = await scene.account()
        return Outcome(done, before, after, tuple(scene.crashes), account)


async def _rounds(
    scene: Scene, deck: Deck, chance: random.Random, *, each: int, minutes: float
) -> None:
    """Rounds until each kind was made that often and the time is over; then all has caught up."""
    deadline_s = time.monotonic() + 60 * minutes
    rounds = 0
    while deck.least < each or time.monotonic() < deadline_s:
        # A generator for each: what one draws must not depend on when another does.
        made = [(kind.make, random.Random(chance.getrandbits(64))) for kind in deck.draw()]
        try:
            async with asyncio.TaskGroup() as tasks:
                for make, own in made:
                    tasks.create_task(make(scene, own))
        except ExceptionGroup as group:
            raise group.exceptions[0] from group
        rounds += 1
        if rounds % CALM_EVERY == 0:
            await scene.caught_up()
        else:
            await asyncio.sleep(chance.uniform(0, PAUSE_S_MAX))
    await scene.caught_up()


def _figures(outcome: Outcome) -> Iterator[tuple[str, Figure]]:
    account, before, after = outcome.account, outcome.before, outcome.after
    for kind in KINDS:
        yield kind.name, Figure(outcome.done[kind.name], "times", 1, is_least=True)
    yield "crashes", Figure(len(outcome.crashes), "processes", 0)
    yield "journals", Figure(account.journals, "journals", 1, is_least=True)
    yield "records", Figure(account.records, "records", 1, is_least=True)
    yield "records_undelivered", Figure(account.undelivered, "records", account.records)
    yield "sequences_wrong", Figure(account.sequences_wrong, "records", 0)
    yield "records_differing", Figure(account.records_differing, "records", 0)
    yield "answers", Figure(account.answers, "answers", 1, is_least=True)
    yield "answers_lost", Figure(account.answers_lost, "answers", 0)
    yield "answers_doubled", Figure(account.answers_doubled, "answers", 0)
    yield "answers_wrong", Figure(account.answers_wrong, "answers", 0)
    yield "answers_on_the_way", Figure(account.answers_on_the_way, "answers", account.answers)
    yield "answers_uncommitted", Figure(account.answers_uncommitted, "answers", account.answers)
    yield "uncommitted_ms_max", Figure(account.uncommitted_ms_max, "ms", 5000)
    yield "rss_growth_mb", Figure(after.rss_mb - before.rss_mb, "MB", 10)
    yield "files_growth", Figure(after.files - before.files, "files", 4)
    yield "threads_growth", Figure(after.threads - before.threads, "threads", 8)
