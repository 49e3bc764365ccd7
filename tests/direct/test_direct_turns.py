"""direct/turns.py: whose turn it is, and what becomes of a line with sick devices."""

import random
from collections import Counter
from itertools import pairwise

import pytest
from direct_field import Field, blocks_of, line, played, profile
from hypothesis import given, settings
from hypothesis import strategies as st

from shorewatch.direct.frame import Outcome
from shorewatch.direct.rtu import RtuClient
from shorewatch.direct.turns import TIMEOUT_FLOOR_S, Turn, Turns


def seen_on(there, for_s, units=(1, 2, 3), **kind):
    """Everything that happened on a serial line with these devices."""
    where = line(units)
    turns = Turns(where, blocks_of(where, profile(**kind)), 0.0)
    client = RtuClient(where.char_us / 1e6, where.t35_us / 1e6)
    return list(played(turns, client, there, for_s)), turns


def good_at(seen, unit_id):
    return [
        s.at_s
        for s in seen
        if s.turn.request.unit_id == unit_id and s.result.outcome is Outcome.GOOD
    ]


@settings(max_examples=100)
@given(st.integers(0, 2**32), st.integers(1, 3), st.booleans())
def test_a_late_reply_is_never_taken_for_anothers(seed, blocks, copies):
    """Replies late by anything up to the worst, lost or doubled: what is taken is always right."""
    lateness = (0.002, 0.02, 0.09, 0.11, 0.15, 0.29, -1)
    there = Field(rng=random.Random(seed), lateness=lateness, copies=copies)

    seen, _ = seen_on(there, 30.0, blocks=blocks, period_s=0.5)

    good = [s for s in seen if s.result.outcome is Outcome.GOOD]
    assert good
    assert all(s.is_right for s in good)


def test_a_line_keeps_its_place_in_the_period():
    """Every block is due at once, then at the line's part of its period, however it began."""
    where = line((1,))
    turns = Turns(where, blocks_of(where, profile(period_s=2.0)), 0.0)
    client = RtuClient(where.char_us / 1e6, where.t35_us / 1e6)
    turns.restart(0.0, place=0.25)

    seen = list(played(turns, client, Field(), 10.0))

    assert [round(s.at_s, 1) for s in seen] == [0.0, 0.5, 2.5, 4.5, 6.5, 8.5]


def test_a_device_that_was_late_is_left_alone_and_others_go_on():
    """After a time-out the device is not asked before its worst reply time; the others are."""
    there = Field(answers={1: [0.28]})
    seen_on(there, 5.0, units=(1, 2), period_s=0.1)

    asked = [at for at, unit_id, _ in there.asked if unit_id == 1]
    assert all(later - sooner >= 0.3 for sooner, later in pairwise(asked))
    between = [at for at, unit_id, _ in there.asked if unit_id == 2 and asked[0] < at < asked[1]]
    assert between


def test_dead_devices_cost_a_twentieth_of_the_line():
    """Eight dead devices take at most 5 % of a minute's time, once they are known."""
    there = Field(answers={unit: [] for unit in range(2, 10)})
    seen, _ = seen_on(there, 120.0, units=range(1, 10), period_s=0.5)

    spent_s = sum(
        after.at_s - before.at_s if after.turn.request.unit_id != 1 else 0.0
        for before, after in pairwise(seen)
        if after.at_s > 60 and after.at_s - before.at_s < after.turn.timeout_s + 0.05
    )
    assert spent_s / 60 <= 0.05
    periods = [b - a for a, b in pairwise(at for at in good_at(seen, 1) if at > 60)]
    assert sum(periods) / len(periods) == pytest.approx(0.5, rel=0.02)


def test_the_first_answer_of_a_dark_line_brings_all_back():
    """While nothing answers, probing never pauses; one answer lets all be asked within a second."""
    there = Field(answers={unit: [] for unit in (1, 2, 3)})
    where = line((1, 2, 3))
    turns = Turns(where, blocks_of(where, profile()), 0.0)
    client = RtuClient(where.char_us / 1e6, where.t35_us / 1e6)
    seen = []
    for one in played(turns, client, there, 40.0):
        seen.append(one)
        if one.at_s > 30.0:
            there.answers.clear()
    assert turns.is_dark is False
    back = [good_at(seen, unit)[0] for unit in (1, 2, 3)]
    assert max(back) - 30.0 < 2.0
    assert turns.bus_counters(40.0, 0).slips == 0


def test_a_device_that_fails_three_times_is_bad_with_all_its_blocks():
    """The third failure in a row names every block of the device, and its counters say down."""
    seen, turns = seen_on(Field(answers={1: []}), 3.0, units=(1,), blocks=2)

    bad = [s.result.blocks for s in seen if s.result.blocks]
    assert max(map(len, bad)) == 2
    assert turns.device_counters()["d1"].state == "down"
    assert turns.bus_counters(3.0, 0).timeouts == len(seen)


def test_a_retry_that_works_tells_nobody():
    """One lost reply is asked again and makes nothing bad."""

    class Once(Field):
        def hear(self, frame, end_s):
            self.answers = {1: [] if len(self.asked) == 1 else [0.005]}
            super().hear(frame, end_s)

    seen, _ = seen_on(Once(), 4.0, units=(1,))

    assert [s.result.outcome for s in seen].count(Outcome.TIMEOUT) == 1
    assert not [s for s in seen if s.result.blocks and s.result.outcome is not Outcome.GOOD]


def test_twins_that_say_the_same_are_kept_apart_and_all_read():
    """Blocks with equal replies are asked a worst reply time apart, and none is starved."""
    there = Field(says=5)
    seen, _ = seen_on(there, 30.0, units=(1,), blocks=3, period_s=0.4)

    assert all(b - a >= 0.3 for (a, _, _), (b, _, _) in pairwise(there.asked[3:]))
    counts = Counter(s.turn.request.address for s in seen if s.result.outcome is Outcome.GOOD)
    assert len(counts) == 3 and min(counts.values()) > 0.8 * max(counts.values())
    assert sum(counts.values()) > 80


def test_a_copy_of_a_twins_reply_is_doubted():
    """A reply that repeats what a twin just said is rejected, and its block asked anew."""
    where = line((1,))
    turns = Turns(where, blocks_of(where, profile(blocks=2)), 0.0)

    class Done:
        outcome, latency_s, was_sent = Outcome.GOOD, 0.005, True
        reply = bytes([4, 4, 0, 0, 0, 1])

        def __init__(self, at_s):
            self.asked_s = self.sent_s = at_s
            self.ended_s = at_s + 0.01

    first = turns.next(0.0)
    assert isinstance(first, Turn)
    assert turns.end(0.01, Done(0.0)).outcome is Outcome.GOOD
    second = turns.next(0.02)
    assert isinstance(second, Turn) and second.request.address != first.request.address
    result = turns.end(0.03, Done(0.02))
    assert result.outcome is Outcome.REJECTED and not result.blocks
    assert isinstance(turns.next(0.04), float)  # the device is in quarantine
    again = turns.next(0.5)
    assert isinstance(again, Turn) and again.request == second.request
    assert turns.end(0.51, Done(0.5)).outcome is Outcome.GOOD


def test_a_gateways_no_is_the_devices_silence():
    """Exception 0B is counted as one, and takes the device down as silence does."""
    where = line((1, 2), "192.0.2.7:502")
    turns = Turns(where, blocks_of(where, profile()), 0.0)

    class No:
        outcome, latency_s, was_sent = Outcome.EXCEPTION, 0.005, True
        reply = bytes([0x84, 0x0B])

        def __init__(self, at_s):
            self.asked_s = self.sent_s = at_s
            self.ended_s = at_s + 0.005

    now_s, results = 0.0, []
    while now_s < 20.0:
        turn = turns.next(now_s)
        if isinstance(turn, Turn):
            results.append(turns.end(now_s + 0.005, No(now_s)))
        now_s += 0.1
    assert turns.is_dark
    assert {r.outcome for r in results} == {Outcome.TIMEOUT}
    assert turns.device_counters()["d1"].exception == 0x0B
    assert turns.bus_counters(now_s, 0).exceptions == len(results)


def test_the_timeout_follows_the_device():
    """It falls to four turnarounds or the floor once the device is known, and rises at once."""
    there = Field(answers={1: [0.001]})
    seen, _ = seen_on(there, 60.0, units=(1,), timeout_ms=900, worst_ms=1000)
    wire_s = 9 * line((1,)).char_us / 1e6
    assert seen[0].turn.timeout_s == pytest.approx(0.9 + wire_s)
    assert seen[-1].turn.timeout_s == pytest.approx(TIMEOUT_FLOOR_S + wire_s)

    class Slower(Field):
        def hear(self, frame, end_s):
            self.answers = {1: [0.001 if end_s < 10 else 0.09]}
            super().hear(frame, end_s)

    seen, _ = seen_on(Slower(), 13.0, units=(1,), timeout_ms=900, worst_ms=1000)
    first = next(i for i, one in enumerate(seen) if one.at_s > 10.05)
    assert seen[first + 1].turn.timeout_s == pytest.approx(4 * 0.09, rel=0.1)
    assert {one.result.outcome for one in seen} == {Outcome.GOOD}


def test_an_overloaded_line_slips_and_counts():
    """Asked for more than it can carry, every device still gets its turn, and slips are counted."""
    there = Field(answers={unit: [0.08] for unit in range(1, 6)})
    seen, turns = seen_on(there, 20.0, units=range(1, 6), period_s=0.1)

    counts = Counter(s.turn.request.unit_id for s in seen)
    assert min(counts.values()) > 0.8 * max(counts.values())
    assert turns.bus_counters(20.0, 0).slips > 100


def test_a_line_that_goes_deaf_is_told_from_a_dead_device():
    """Three devices that fall silent with no answer in between are the line's fault, one is not."""
    there = Field()
    where = line(range(1, 9))
    turns = Turns(where, blocks_of(where, profile()), 0.0)
    client = RtuClient(where.char_us / 1e6, where.t35_us / 1e6)
    deaf_at_s = None
    for one in played(turns, client, there, 20.0):
        if one.at_s > 5.0:
            there.answers = {1: []}
            assert one.at_s > 10.0 or not turns.is_deaf
        if one.at_s > 10.0:
            there.answers = {unit: [] for unit in range(1, 9)}
            deaf_at_s = deaf_at_s or (one.at_s if turns.is_deaf else None)
    assert deaf_at_s is not None and deaf_at_s < 12.0
