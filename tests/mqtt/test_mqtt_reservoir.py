"""reservoir.py: quantiles out of bounded memory."""

import pytest

from shorewatch.mqtt.reservoir import KEPT_MAX, Reservoir


def test_a_reservoir_is_bounded_and_fair() -> None:
    """However many numbers, the quantiles stay near the truth and the memory small."""
    reservoir = Reservoir()
    for i in range(50_000):
        reservoir.add(i / 50_000)
    assert len(reservoir._kept) == KEPT_MAX
    assert reservoir.quantile(0.5) == pytest.approx(0.5, abs=0.05)
    assert Reservoir().quantile(0.5) is None
