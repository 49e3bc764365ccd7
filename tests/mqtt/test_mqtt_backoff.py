"""How long an uplink waits between attempts."""

import random

from shorewatch.mqtt.backoff import ABSENT_S_MAX, BACKOFF_S_MAX, Backoff


def test_the_backoff_is_bounded_and_starts_small() -> None:
    """Waits double up to their maximum, with jitter, and start again after a steady connection."""
    backoff = Backoff(random.Random(1))
    waits = [backoff.wait_s("bad-certificate") for _ in range(20)]
    assert waits[0] <= 0.2
    assert all(0 < wait <= BACKOFF_S_MAX for wait in waits)
    assert min(waits[6:]) >= BACKOFF_S_MAX / 2
    backoff.reset()
    assert backoff.wait_s("lost") <= 0.2
    assert backoff.wait_s("taken-over") >= BACKOFF_S_MAX / 2


def test_a_broker_that_is_not_there_is_tried_often() -> None:
    """However long it is away, it is found within two seconds of its return."""
    backoff = Backoff(random.Random(1))
    waits = [backoff.wait_s(state) for state in ("lost", *["unreachable"] * 20)]

    assert max(waits) <= ABSENT_S_MAX < 2
    assert min(waits[6:]) >= ABSENT_S_MAX / 2
