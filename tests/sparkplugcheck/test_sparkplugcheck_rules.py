"""Every demand is broken once and noticed; a right session breaks none."""

import pytest
from mutations import ALSO, MUTATIONS
from sessions import entries, plain, with_host

from shorewatch.sparkplugcheck.demands import DEMANDS, RULES, TOTAL, level_of
from shorewatch.sparkplugcheck.judge import judged
from shorewatch.sparkplugcheck.scope import OTHERS, UNJUDGED


@pytest.mark.parametrize("session", [with_host, plain])
def test_a_right_session_breaks_nothing(session):
    """A session that keeps the specification has no failure and no warning."""
    assert judged(entries(session())).book.broken() == {}


def test_right_sessions_exercise_every_assertion():
    """No assertion passes for want of being looked at: together the right sessions judge each."""
    idle = [
        {v.rule for v in judged(entries(make())).book.verdicts() if v.word == "not-exercised"}
        for make in (with_host, plain)
    ]

    assert set.intersection(*idle) == set()


def test_every_demand_has_its_mutation():
    """There is one broken session for each demand."""
    assert set(MUTATIONS) == set(DEMANDS)


@pytest.mark.parametrize("demand", DEMANDS)
def test_a_broken_demand_is_noticed(demand):
    """A session that breaks one demand breaks that one, and those that say a part of the same."""
    mutation = MUTATIONS[demand]

    broken = judged(entries(mutation.make()), mutation.host).book.broken()

    assert set(broken) == {demand, *ALSO.get(demand, "").split()}


@pytest.mark.parametrize("demand", DEMANDS)
def test_a_broken_demand_is_the_verdict_of_its_assertions(demand):
    """Each assertion of a broken demand fails, or warns where the specification says SHOULD."""
    mutation = MUTATIONS[demand]

    verdicts = judged(entries(mutation.make()), mutation.host).book.verdicts()

    words = {v.rule: v.word for v in verdicts}
    for rule in DEMANDS[demand].ids:
        assert words[rule] == ("failed" if level_of(rule) == "must" else "warned")


def test_every_assertion_stands_in_one_table():
    """All assertions of the specification are judged, or have a reason why not, and only once."""
    tables = [*RULES, *UNJUDGED, *OTHERS]

    assert len(tables) == len(set(tables)) == TOTAL


def test_evidence_says_where():
    """A failure names the entry, the topic, the field and what was seen."""
    broken = judged(entries(MUTATIONS["ndata-qos"].make())).book.broken()

    [evidence] = broken["ndata-qos"].evidence
    assert (evidence.topic, evidence.field, evidence.seen) == ("spBv1.0/G/NDATA/E", "QoS", "QoS 1")
    assert evidence.number == 12


def test_evidence_is_bounded():
    """Of a demand that breaks often the first evidence is kept and the rest counted."""
    steps = [s for s in plain() if not hasattr(s.what, "topic") or "NBIRTH" not in s.what.topic]

    broken = judged(entries(steps)).book.broken()

    assert broken["ndata-order"].count == 301
    assert len(broken["ndata-order"].evidence) == 5
