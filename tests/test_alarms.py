"""alarms.py: the machine of ISA-18.2, its timers, and what a restart must not change."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shorewatch import alarms as module
from shorewatch.alarms import AlarmError, Alarms, Rule, State, When
from shorewatch.model import Quality, Reason, Scalar, Value

START = datetime(2026, 11, 22, tzinfo=UTC)
BAD = Value(Quality.BAD, Reason.LINK_DOWN)


def good(value: Scalar) -> Value:
    return Value(Quality.GOOD, value=value, acquired_at=START, acquired_s=0.0)


@dataclass
class Bench:
    """Alarms with a hand-driven clock, kept over restarts as JSON, as the outbox would."""

    rules: list[Rule]
    now_s: float = 1000.0
    told: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.alarms = Alarms(self.rules, {}, self.now_s)

    @property
    def at(self) -> datetime:
        return START + timedelta(seconds=self.now_s)

    def take(self, *values: tuple[str, Scalar | None]) -> list[module.Transition]:
        judged = [(source, BAD if value is None else good(value)) for source, value in values]
        return self._tell(self.alarms.take(judged, self.now_s, self.at))

    def wait(self, seconds: float) -> list[module.Transition]:
        self.now_s += seconds
        return self._tell(self.alarms.tick(self.now_s, self.at))

    def restart(self, away_s: float = 0.0) -> None:
        kept = {r.id: json.loads(json.dumps(self.saved(r.id))) for r in self.rules}
        self.now_s += away_s
        self.alarms = Alarms(self.rules, kept, self.now_s)

    def saved(self, alarm_id: str) -> dict[str, Any]:
        return self.alarms.saved(alarm_id, self.now_s)

    def state(self, alarm_id: str = "a") -> State:
        return self.alarms[alarm_id].state

    def _tell(self, said: list[module.Transition]) -> list[module.Transition]:
        self.told += [(t.alarm, t.what) for t in said]
        return said


def above(**keys: Any) -> Rule:
    return Rule("a", "x", When.ABOVE, 5.0, **keys)


@pytest.mark.parametrize(
    ("rule", "quiet", "loud"),
    [
        (Rule("a", "x", When.ABOVE, 5.0), [5.0, 4, -1], [5.01, 6]),
        (Rule("a", "x", When.BELOW, 5.0), [5.0, 6], [4.99, -1]),
        (Rule("a", "x", When.IS, True), [False], [True]),
        (Rule("a", "x", When.IS, "fault"), ["on", "fault?"], ["fault"]),
        (Rule("a", "x", When.IS_NOT, "auto"), ["auto"], ["manual", "unknown (7)"]),
        (Rule("a", "x", When.BIT, 3), [0, 7, 0xF7], [8, 0xFF]),
        (Rule("a", "x", When.BIT_CLEAR, 3), [8, 0xFF], [0, 7, 0xF7]),
        (Rule("a", "x", When.BAD), [0, 7.5, "x"], [None]),
    ],
)
def test_conditions(rule: Rule, quiet: list[Scalar | None], loud: list[Scalar | None]) -> None:
    """Each kind of condition holds for what it should, and for nothing else."""
    for value in quiet:
        bench = Bench([rule])
        bench.take(("x", value))
        assert bench.state() is State.NORMAL, value
    for value in loud:
        bench = Bench([rule])
        (said,) = bench.take(("x", value))
        assert (said.what, said.value, said.at) == ("raised", value, bench.at)
        assert bench.state() is State.UNACKNOWLEDGED


def test_the_whole_round() -> None:
    """Raised, acknowledged, returned: normal; and raised, returned, acknowledged as well."""
    bench = Bench([above()])
    bench.take(("x", 6))
    assert bench.alarms.acknowledge("a", "ali", bench.at).state is State.ACKNOWLEDGED
    (said,) = bench.take(("x", 5))
    assert said.state is State.NORMAL
    bench.take(("x", 6))
    (said,) = bench.take(("x", 5))
    assert said.state is State.RETURNED
    assert bench.alarms.acknowledge("a", "ali", bench.at).by == "ali"
    assert bench.state() is State.NORMAL
    with pytest.raises(AlarmError, match="a is normal: there is nothing to acknowledge"):
        bench.alarms.acknowledge("a", "ali", bench.at)


def test_a_deadband_holds_the_alarm() -> None:
    """Once over the limit, it takes the deadband as well to come back."""
    bench = Bench([above(deadband=1.0)])
    for value, state in [(5.5, "un"), (4.5, "un"), (4.01, "un"), (4.0, "re"), (4.9, "re")]:
        bench.take(("x", value))
        assert bench.state().value.startswith(state), value


def test_delays_are_timed_from_the_change_not_from_the_look() -> None:
    """The transition has the time at which the delay was over, however late anybody looked."""
    bench = Bench([above(on_delay_s=10, off_delay_s=4)])
    begun = bench.at
    bench.take(("x", 6))
    assert bench.alarms.next_due_s == 1010.0
    bench.wait(9)
    assert bench.state() is State.NORMAL
    (said,) = bench.wait(7)
    assert (said.what, said.at) == ("raised", begun + timedelta(seconds=10))
    bench.take(("x", 1))
    (said,) = bench.wait(4)
    assert said.what == "returned"


def test_a_short_excursion_is_no_alarm() -> None:
    """What is over before its delay is never raised."""
    bench = Bench([above(on_delay_s=10)])
    bench.take(("x", 6))
    bench.wait(9)
    bench.take(("x", 4))
    bench.wait(60)
    bench.take(("x", 6))
    bench.wait(9)
    assert bench.told == []


def test_what_is_not_known_neither_raises_nor_clears() -> None:
    """While the value is bad the delay stands still; the alarm stays as it was."""
    bench = Bench([above(on_delay_s=10)])
    bench.take(("x", 6))
    bench.wait(6)
    bench.take(("x", None))
    bench.wait(600)
    assert bench.state() is State.NORMAL
    bench.take(("x", 7))
    bench.wait(3.9)
    assert bench.state() is State.NORMAL
    bench.wait(0.1)
    assert bench.state() is State.UNACKNOWLEDGED
    bench.take(("x", None))
    bench.wait(600)
    assert bench.state() is State.UNACKNOWLEDGED


def test_a_latch_needs_condition_over_knowledge_and_reset() -> None:
    """A latched alarm stays until it is acknowledged and then reset, in this order."""
    bench = Bench([above(is_latching=True)])
    bench.take(("x", 6))
    with pytest.raises(AlarmError, match="only a latched alarm whose condition is over"):
        bench.alarms.reset("a", "ali", bench.at)
    bench.take(("x", 1))
    assert bench.state() is State.LATCHED_UNACKNOWLEDGED
    bench.alarms.acknowledge("a", "ali", bench.at)
    assert bench.state() is State.LATCHED_ACKNOWLEDGED
    assert bench.alarms.reset("a", "ali", bench.at).state is State.NORMAL


def test_a_shelf_hides_and_gives_back() -> None:
    """What is on when the shelf's time is over is shown; what came and went is not."""
    bench = Bench([above()])
    with pytest.raises(AlarmError, match="needs a reason"):
        bench.alarms.shelve("a", "ali", 60, " ", bench.now_s, bench.at)
    with pytest.raises(AlarmError, match="1 s to 24 h"):
        bench.alarms.shelve("a", "ali", 1e6, "work", bench.now_s, bench.at)
    bench.alarms.shelve("a", "ali", 60, "work on it", bench.now_s, bench.at)
    bench.take(("x", 6))
    bench.take(("x", 1))
    bench.take(("x", 6))
    assert bench.state() is State.SHELVED
    (said,) = bench.wait(60)
    assert (said.what, said.state) == ("unshelved", State.UNACKNOWLEDGED)

    bench.alarms.shelve("a", "ali", 60, "again", bench.now_s, bench.at)
    bench.take(("x", 1))
    assert bench.alarms.unshelve("a", "ali", bench.at).state is State.NORMAL


def test_a_consequence_is_hidden_by_its_cause_and_a_while_longer() -> None:
    """Mains failed implies the rectifier's alarm: shown neither with it nor just after it."""
    mains = Rule("mains", "m", When.BELOW, 180.0)
    rectifier = Rule("rectifier", "r", When.IS, True, suppressed_by=("mains",))
    bench = Bench([mains, rectifier])
    bench.take(("r", True))
    bench.take(("m", 0))
    assert bench.told == [("rectifier", "raised"), ("mains", "raised"), ("rectifier", "suppressed")]
    bench.take(("m", 230))
    bench.wait(module.HOLD_S - 1)
    bench.take(("r", False))
    bench.wait(1)
    assert bench.state("rectifier") is State.NORMAL
    bench.take(("m", 0), ("r", True), ("m", 230))
    bench.wait(module.HOLD_S)
    assert bench.state("rectifier") is State.UNACKNOWLEDGED


def test_a_cause_out_of_service_hides_nothing() -> None:
    """Its consequences are shown again, and hidden again when it is back."""
    rules = [Rule("c", "c", When.IS), Rule("a", "x", When.IS, suppressed_by=("c",))]
    bench = Bench(rules)
    bench.take(("c", True), ("x", True))
    assert bench.state() is State.SUPPRESSED
    bench.alarms.set_out_of_service("c", "ali", "sensor broken", bench.now_s, bench.at)
    bench.wait(module.HOLD_S)
    assert bench.state() is State.UNACKNOWLEDGED
    bench.alarms.set_in_service("c", "ali", bench.now_s, bench.at)
    assert bench.state() is State.SUPPRESSED


def test_first_out_chatter_and_flood() -> None:
    """The first of a group is marked; three raises a minute chatter; ten in ten minutes flood."""
    rules = [Rule(f"a{i}", f"x{i}", When.IS, group="pfe") for i in range(10)]
    bench = Bench(rules)
    (first,) = bench.take(("x3", True))
    (second,) = bench.take(("x4", True))
    assert first.is_first_out and not second.is_first_out
    bench.take(*((f"x{i}", True) for i in range(9)))
    assert not bench.alarms.is_flood
    bench.take(("x9", True))
    bench.wait(0)
    assert bench.alarms.is_flood
    bench.wait(module.FLOOD_S + 1)
    assert not bench.alarms.is_flood
    for expected in (False, False, True):
        bench.take(("x0", False))
        (said,) = bench.take(("x0", True))
        bench.wait(29)
        assert said.is_chattering is expected


def test_damaged_state_is_no_crash() -> None:
    """What an older version or a sick disk left is taken as far as it goes."""
    kept = {"a": {"on": "yes", "due_left_s": "x", "since": 7, "value": []}, "gone": {}}
    assert Alarms([above()], kept, 0.0)["a"].state is State.ACKNOWLEDGED


@dataclass
class Naive:
    """The same alarm, second by second, with counters: slow, and plainly right."""

    rule: Rule
    raw: bool = False
    known: bool = False
    on: bool = False
    acked: bool = True
    latched: bool = False
    out: bool = False
    shelf_left: int = 0
    waited: int = 0

    def second(self) -> None:
        if self.shelf_left:
            self.shelf_left -= 1
        if self.known and self.raw != self.on:
            self.waited += 1
            self.settle()

    def value(self, value: int | None) -> None:
        self.known = value is not None
        if value is None:
            return
        raw = value > self.rule.limit - self.rule.deadband if self.raw else value > self.rule.limit
        if raw != self.raw:
            self.raw, self.waited = raw, 0
        self.settle()

    def settle(self) -> None:
        delay = self.rule.on_delay_s if self.raw else self.rule.off_delay_s
        if self.raw != self.on and self.waited >= delay:
            self.on = self.raw
            if self.on:
                self.acked, self.latched = False, self.rule.is_latching
            elif self.out or self.shelf_left:
                self.acked = True

    @property
    def state(self) -> str:
        if self.out:
            return "out-of-service"
        if self.shelf_left:
            return "shelved"
        if self.on:
            return "acknowledged" if self.acked else "unacknowledged"
        if self.latched:
            return "latched-acknowledged" if self.acked else "latched-unacknowledged"
        return "normal" if self.acked else "returned"


_WORDS = ["ack", "reset", "unshelve", "out", "in", "restart", "reload"]
STEPS = st.one_of(
    st.tuples(st.just("wait"), st.integers(1, 6)),
    st.tuples(st.just("value"), st.one_of(st.none(), st.integers(2, 8))),
    st.tuples(st.sampled_from(_WORDS), st.just(0)),
    st.tuples(st.just("shelve"), st.integers(1, 9)),
)
RULES = st.builds(
    above,
    deadband=st.sampled_from([0.0, 2.0]),
    on_delay_s=st.integers(0, 4),
    off_delay_s=st.integers(0, 4),
    is_latching=st.booleans(),
)


@given(RULES, st.lists(STEPS, max_size=60))
@example(above(off_delay_s=1), [("value", 6), ("shelve", 1), ("value", 2), ("wait", 1)])
@settings(max_examples=400)
def test_any_history_agrees_with_the_naive_machine(
    rule: Rule, steps: list[tuple[str, Any]]
) -> None:
    """With restarts and reloads the machine shows what counting second by second shows."""
    bench, naive = Bench([rule]), Naive(rule)
    alarms = bench.alarms
    for what, number in steps:
        alarms, now_s, at = bench.alarms, bench.now_s, bench.at
        if what == "wait":
            bench.wait(number)
            for _ in range(number):
                naive.second()
        elif what == "value":
            bench.take(("x", number))
            naive.value(number)
        elif what == "ack" and not naive.acked:
            alarms.acknowledge("a", "x", at)
            naive.acked = True
        elif what == "reset" and naive.latched and naive.acked and not naive.on:
            alarms.reset("a", "x", at)
            naive.latched = False
        elif what == "shelve":
            alarms.shelve("a", "x", number, "y", now_s, at)
            naive.shelf_left = number
        elif what == "unshelve" and naive.shelf_left:
            alarms.unshelve("a", "x", at)
            naive.shelf_left = 0
        elif what == "out" and not naive.out:
            alarms.set_out_of_service("a", "x", "y", now_s, at)
            naive.out = True
        elif what == "in" and naive.out:
            alarms.set_in_service("a", "x", now_s, at)
            naive.out = False
        elif what == "restart":
            bench.restart()
            naive.known = False
        elif what == "reload":
            assert alarms.adopt([rule], now_s, at) == []
        assert bench.state() == naive.state, (what, number)


def adopted(bench: Bench, *rules: Rule) -> list[tuple[str, str]]:
    bench.rules = list(rules)
    said = bench.alarms.adopt(rules, bench.now_s, bench.at)
    return [(t.alarm, t.what) for t in bench._tell(said)]


def test_an_alarm_whose_limit_changes_keeps_its_state_and_its_timers():
    """It is as acknowledged and as far into its delay as before; the next value meets the limit."""
    bench = Bench([above(off_delay_s=10)])
    bench.take(("x", 6))
    bench.alarms.acknowledge("a", "ali", bench.at)
    bench.take(("x", 4))
    bench.wait(6)
    assert adopted(bench, Rule("a", "x", When.ABOVE, 7.0, off_delay_s=10)) == []
    assert bench.state() is State.ACKNOWLEDGED
    bench.wait(4)
    assert bench.state() is State.NORMAL
    bench.take(("x", 6.5))
    assert bench.state() is State.NORMAL


def test_an_alarm_that_is_no_more_ends_with_its_timers():
    """It is said to be removed, and nothing of it runs out later."""
    bench = Bench([above(on_delay_s=5), Rule("b", "x", When.ABOVE, 5.0)])
    bench.take(("x", 6))
    bench.alarms.shelve("b", "ali", 20, "work", bench.now_s, bench.at)
    assert adopted(bench) == [("a", "removed"), ("b", "removed")]
    assert bench.wait(100) == [] and bench.alarms.next_due_s == float("inf")
    with pytest.raises(AlarmError, match="no alarm 'a'"):
        bench.state()


@pytest.mark.parametrize("rule", [Rule("a", "y", When.ABOVE, 5.0), Rule("a", "x", When.BELOW, 5.0)])
def test_an_alarm_that_asks_something_else_begins_anew(rule):
    """Its id is the same, the question is not: what stood is removed."""
    bench = Bench([above()])
    bench.take(("x", 6))
    assert adopted(bench, rule) == [("a", "removed")]
    assert bench.state() is State.NORMAL


def test_a_new_cause_suppresses_at_once_and_a_lost_one_lets_go():
    """Suppression follows the rules; without its cause a consequence is shown after the hold."""
    bench = Bench([above(), Rule("b", "x", When.ABOVE, 5.0)])
    bench.take(("x", 6))
    assert adopted(bench, above(), Rule("b", "x", When.ABOVE, 5.0, suppressed_by=("a",))) == [
        ("b", "suppressed")
    ]
    adopted(bench, Rule("b", "x", When.ABOVE, 5.0))
    assert bench.state("b") is State.SUPPRESSED
    bench.wait(module.HOLD_S)
    assert bench.state("b") is State.UNACKNOWLEDGED


def test_an_alarm_that_stops_latching_is_reset():
    """The latch goes with the rule that held it, and that is said."""
    bench = Bench([above(is_latching=True)])
    bench.take(("x", 6))
    bench.take(("x", 4))
    assert adopted(bench, above()) == [("a", "reset")]
    assert bench.state() is State.RETURNED


def test_what_stays_on_is_to_be_acknowledged_again() -> None:
    """After its re-alarm time, which goes on over a restart; not when it is over before that."""
    bench = Bench([above(realarm_s=3600.0)])
    bench.take(("x", 6))
    bench.alarms.acknowledge("a", "ali", bench.at)
    bench.wait(1800)
    bench.restart(away_s=600)
    bench.take(("x", 7))
    assert bench.wait(1799) == [] and bench.state() is State.ACKNOWLEDGED
    (said,) = bench.wait(2)
    assert said.what == "realarmed" and bench.state() is State.UNACKNOWLEDGED

    bench.alarms.acknowledge("a", "ali", bench.at)
    bench.take(("x", 4))
    assert bench.wait(7200) == [] and bench.state() is State.NORMAL


def test_maintenance_hides_what_is_not_always_shown() -> None:
    """At its end each alarm is as it was evaluated; what came and went meanwhile is normal."""
    rules = [above(), Rule("b", "y", When.ABOVE, 5.0), Rule("c", "z", When.BAD)]
    rules.append(Rule("d", "z", When.BAD, is_always_shown=True))
    bench = Bench(rules)
    bench.alarms.set_maintenance(True)
    bench.take(("x", 6), ("y", 6), ("z", None))
    bench.take(("y", 4))
    assert [bench.state(a) for a in "abc"] == [State.MAINTENANCE] * 3
    assert bench.state("d") is State.UNACKNOWLEDGED
    bench.alarms.set_maintenance(False)
    assert [bench.state(a) for a in "abc"] == [
        State.UNACKNOWLEDGED, State.NORMAL, State.UNACKNOWLEDGED,
    ]  # fmt: skip
    assert ("b", "raised") in bench.told and ("b", "returned") in bench.told


def test_a_transition_carries_the_state_of_its_own_moment() -> None:
    """Of two transitions of one alarm in one look, the first knows nothing of the second."""
    bench = Bench([above(), Rule("b", "y", When.ABOVE, 5.0, suppressed_by=("a",))])
    said = bench.take(("y", 6), ("x", 6))
    mine = [one for one in said if one.alarm == "b"]
    assert [(one.what, one.facts["suppressed"]) for one in mine] == [
        ("raised", False), ("suppressed", True),
    ]  # fmt: skip
    assert mine[-1].facts == bench.saved("b")
