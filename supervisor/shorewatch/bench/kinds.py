"""The disturbances of `bench chaos`: each is made, lasts as long as chance wants, and is over.

A kind belongs to a lane, the part that it touches: of one lane only one is made at a time. Each
leaves everything running.
"""

import asyncio
import random
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Final

from shorewatch.bench.breaking import Side
from shorewatch.bench.scene import Need, Scene
from shorewatch.bench.victim import Victim

# The consumers' accounts remember 64 journals of a station; each new database is one of two.
NEW_DATABASES_MAX: Final = 100
_STEPS_S: Final = (0.2, 30.0, 3600.0, 86_400.0)

Make = Callable[[Scene, Victim, random.Random], Coroutine[None, None, None]]


@dataclass(frozen=True, slots=True)
class Kind:
    """A disturbance: of which lane it is, and how it is made. It leaves all as it was.

    It needs a disk that is a file system of its own, the layer below SQLite, or either of them.
    """

    name: str
    lane: str
    make: Make
    count_max: int | None = None
    needs: Need = Need.NOTHING


async def _broker_killed(scene: Scene, victim: Victim, chance: random.Random) -> None:
    await scene.kill("broker")
    await asyncio.sleep(chance.uniform(0, 0.8))
    await scene.start_broker()


async def _broker_stopped(scene: Scene, victim: Victim, chance: random.Random) -> None:
    await scene.stop_broker()
    await asyncio.sleep(chance.uniform(0, 0.8))
    await scene.start_broker()


async def _line_closed(scene: Scene, victim: Victim, chance: random.Random) -> None:
    await scene.line.cut(is_reset=False)


async def _line_reset(scene: Scene, victim: Victim, chance: random.Random) -> None:
    await scene.line.cut(is_reset=True)


async def _line_half_open(scene: Scene, victim: Victim, chance: random.Random) -> None:
    sides: Sequence[Side] = ("client", "server")
    scene.line.swallow(set(chance.sample(sides, chance.randint(1, 2))))
    await asyncio.sleep(chance.uniform(0, 1.5))
    await scene.line.mend()


async def _line_slow(scene: Scene, victim: Victim, chance: random.Random) -> None:
    scene.line.is_slow = True
    await asyncio.sleep(chance.uniform(0, 1))
    scene.line.is_slow = False


async def _consumer_killed(scene: Scene, victim: Victim, chance: random.Random) -> None:
    await scene.kill("noc")
    await asyncio.sleep(chance.uniform(0, 0.5))
    await scene.start_consumer("noc")


async def _judge_killed(scene: Scene, victim: Victim, chance: random.Random) -> None:
    await scene.kill("judge")
    await asyncio.sleep(chance.uniform(0, 0.5))
    await scene.start_consumer("judge")


async def _judge_stopped(scene: Scene, victim: Victim, chance: random.Random) -> None:
    await asyncio.sleep(chance.uniform(0, 1))
    await scene.stop_consumer("judge")
    await scene.start_consumer("judge")


async def _clock_stepped(scene: Scene, victim: Victim, chance: random.Random) -> None:
    """There and back, so one step of each direction."""
    victim.levers.step_s = chance.choice((-1, 1)) * chance.choice(_STEPS_S)
    await asyncio.sleep(chance.uniform(0, 1))
    victim.levers.step_s = 0


async def _rival_played(scene: Scene, victim: Victim, chance: random.Random) -> None:
    await scene.play_rival(chance.uniform(1, 2.5))


async def _disk_full(scene: Scene, victim: Victim, chance: random.Random) -> None:
    await victim.fill_disk(chance.uniform(0.2, 1.5))


async def _disk_failing(scene: Scene, victim: Victim, chance: random.Random) -> None:
    await victim.fail_disk(chance.uniform(0.1, 1))


async def _started_read_only(scene: Scene, victim: Victim, chance: random.Random) -> None:
    await victim.start_read_only(chance)


async def _gateway_killed(scene: Scene, victim: Victim, chance: random.Random) -> None:
    await asyncio.sleep(chance.uniform(0, 0.5))
    await victim.kill()
    await victim.start()


async def _gateway_killed_starting(scene: Scene, victim: Victim, chance: random.Random) -> None:
    await victim.kill()
    await victim.start()
    await asyncio.sleep(chance.uniform(0.3, 1.2))
    await victim.kill()
    await victim.start()


async def _gateway_killed_stopping(scene: Scene, victim: Victim, chance: random.Random) -> None:
    await victim.kill_while_stopping(chance.uniform(0, 0.2))
    await victim.start()


async def _database_taken(scene: Scene, victim: Victim, chance: random.Random) -> None:
    await victim.take_outbox()


async def _killed_in_migration(scene: Scene, victim: Victim, chance: random.Random) -> None:
    await victim.kill_in_migration(chance)


async def _power_cut(scene: Scene, victim: Victim, chance: random.Random) -> None:
    await victim.cut_power(chance)


KINDS: Final = (
    Kind("broker killed", "broker", _broker_killed),
    Kind("broker stopped", "broker", _broker_stopped),
    Kind("line closed", "line", _line_closed),
    Kind("line reset", "line", _line_reset),
    Kind("line half-open", "line", _line_half_open),
    Kind("line slow, in pieces", "line", _line_slow),
    Kind("consumer killed", "consumer", _consumer_killed),
    Kind("judge killed", "judge", _judge_killed),
    Kind("judge stopped", "judge", _judge_stopped),
    Kind("clock stepped", "clock", _clock_stepped),
    Kind("rival gateway", "rival", _rival_played),
    Kind("disk full", "disk", _disk_full, needs=Need.EITHER),
    Kind("disk failing", "disk", _disk_failing, needs=Need.LAYER),
    Kind("started read-only", "gateway", _started_read_only, needs=Need.MOUNT),
    Kind("gateway killed", "gateway", _gateway_killed),
    Kind("gateway killed starting", "gateway", _gateway_killed_starting),
    Kind("gateway killed stopping", "gateway", _gateway_killed_stopping),
    Kind("killed in migration", "gateway", _killed_in_migration, needs=Need.LAYER),
    Kind("power cut", "gateway", _power_cut, needs=Need.LAYER),
    Kind("database taken away", "gateway", _database_taken, NEW_DATABASES_MAX),
)
