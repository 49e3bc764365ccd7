"""bench/core.py: what is timed is what it says."""

import random

from shorewatch.bench import core
from shorewatch.decode import Moment, decode_block
from shorewatch.model import Quality, utc_now
from shorewatch.plan import blocks_alone


def test_the_timed_blocks_are_fifty_good_values_and_never_the_same():
    """One request of 50 points; every value is good; another block has other values."""
    (block,) = blocks_alone(core._profile(), 19200)
    chance = random.Random(1)
    moment = Moment(utc_now(), 1000.0, 0.01)
    first, second = (
        decode_block(block, list(core._words(block, chance)), moment) for _ in range(2)
    )

    assert len(first) == core.POINTS
    assert {value.quality for value in [*first.values(), *second.values()]} == {Quality.GOOD}
    assert sum(first[name].value != second[name].value for name in first) > core.POINTS / 2


def test_the_figure_stands_beside_pymodbus():
    """decode_rate gives points a second, ours and pymodbus's, of the same registers."""
    figure = core.decode_rate(runs=1)

    assert (figure.unit, figure.is_least, figure.limit) == ("points/s", True, 500_000)
    assert [name.split()[0] for name in figure.peers] == ["pymodbus"]
    assert figure.value > 0 and min(figure.peers.values()) > 0
