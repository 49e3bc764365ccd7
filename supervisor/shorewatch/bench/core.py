"""How fast the gateway's own work is done, without lines, brokers or disks: pure code, timed.

    decode_points_per_s    blocks of 50 points of all common types to values with quality and time,
                           on one core; beside pymodbus's decoder, one call a point, for the same
                           registers: that one neither scales nor judges nor stamps
    alarms_cpu_share, plan_compile_s    see judging.py

Processor time is counted, not wall clock; medians of the runs. Every block has other registers, so
that nothing is as it was. The garbage collector runs as it does in the gateway.
"""

import random
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from statistics import median

from shorewatch.bench import judging, machine, peers
from shorewatch.bench.figures import Figure, Result
from shorewatch.decode import Moment, decode_block
from shorewatch.model import Scalar
from shorewatch.plan import Block, blocks_alone
from shorewatch.point import Point
from shorewatch.profile import Profile

POINTS = 50
_DECODE_MIN = 500_000.0
_BLOCKS = 400
_ROUNDS = 10
_SEED = 1
_ALARMS_S = 20.0
_READ = 1  # status of a block whose last read was good
# As in the shipped profiles: most are scaled words, some floats, some with swapped words.
_KINDS: Sequence[tuple[int, dict[str, object]]] = (
    (16, {"type": "s16", "scale": 0.1, "range": [-1000, 1000], "sentinels": [-32768]}),
    (8, {"type": "u16", "scale": 0.01}),
    (10, {"type": "f32", "range": [-1e6, 1e6]}),
    (4, {"type": "f32", "order": "CDAB", "range": [-1e6, 1e6]}),
    (4, {"type": "u32", "scale": 0.1}),
    (2, {"type": "s32"}),
    (3, {"type": "enum", "labels": {"0": "off", "1": "on", "2": "failed"}}),
    (3, {"type": "bits", "labels": {"0": "running", "3": "alarm"}}),
)


def run_core(say: Callable[[str], None]) -> Result:
    """Measure everything; `say` is told what is being done."""
    busy = machine.ticks()
    say("decoding")
    found = {"decode_points_per_s": decode_rate()}
    say("alarms")
    found["alarms_cpu_share"] = judging.alarms_share(_ALARMS_S)
    say("plans")
    found["plan_compile_s"] = judging.plan_time()
    versions = machine.versions() | {"pymodbus": version("pymodbus")}
    return Result(found, versions, machine.load(busy))


def decode_rate(runs: int = 5) -> Figure:
    """`decode_points_per_s`, the median of so many runs."""
    (block,) = blocks_alone(_profile(), 19200)
    chance = random.Random(_SEED)
    readings = [list(_words(block, chance)) for _ in range(_BLOCKS)]
    ours, theirs = [], []
    kinds = [(p.type, p.order, p.address) for p in block.device.profile.point]
    data = [words[4:] for words in readings]
    for _ in range(runs):
        ours.append(_rate(block, readings))
        theirs.append(peers.decode_rate(kinds, data))
    peer = {f"pymodbus {version('pymodbus')}": median(theirs)}
    return Figure(median(ours), "points/s", _DECODE_MIN, is_least=True, peers=peer)


def _rate(block: Block, readings: Sequence[Sequence[int]]) -> float:
    moment = Moment(datetime.now(UTC), time.monotonic(), 0.01)
    start_s = time.process_time()
    for _ in range(_ROUNDS):
        for words in readings:
            decode_block(block, words, moment)
    return _ROUNDS * len(readings) * POINTS / (time.process_time() - start_s)


def _profile() -> Profile:
    points: list[dict[str, object]] = []
    address = 0
    for number, keys in _KINDS:
        for _ in range(number):
            name = f"p{len(points)}"
            points.append({"id": name, "name": name, "table": "input", "address": address, **keys})
            address += Point.model_validate(points[-1]).count
    assert len(points) == POINTS, "the figure is for blocks of this size"
    facts = {"id": "bench", "name": "Bench device", "source": "none: a device of the benchmark"}
    return Profile.model_validate({**facts, "point": points})


def _words(block: Block, chance: random.Random) -> Iterator[int]:
    """A block as a board serves it, with good values at random."""
    yield from (1, _READ, 0, chance.randrange(1000))
    for point in block.device.profile.point:
        yield from point.encode(_value(point, chance))


def _value(point: Point, chance: random.Random) -> Scalar:
    if point.labels:
        return chance.choice([int(code) for code in point.labels])
    low, high = point.range or (0.0, 600.0)
    return chance.uniform(low, high)
