"""Every demand is broken once and noticed; a right session breaks none."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mutations import ALSO, MUTATIONS, NOT_UTF8
from sessions import Node, Said, entries, plain, with_host

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


ACTIONS = {
    "data": lambda node, i: node.data(100 + i),
    "both": lambda node, i: node.data(100 + i, ("D1", 10)),
    "death": lambda node, i: node.ddeath("D2"),
    "birth": lambda node, i: node.dbirth("D2", 20),
    "rebirth": lambda node, i: node.rebirth_request().births(),
    "unasked": lambda node, i: node.births(),
    "wait": lambda node, i: node.wait(3),
}


@given(st.lists(st.sampled_from(sorted(ACTIONS)), max_size=30), st.sampled_from([4, 5]))
def test_no_order_of_right_steps_breaks_anything(names, version):
    """Data, deaths, births and rebirths in any order that a node may take break no demand."""
    node = Node(1, 0, version=version).connect().births()
    for i, name in enumerate(names):
        ACTIONS[name](node, i)

    assert judged(entries(node.leave().steps)).book.broken() == {}


@given(st.data())
def test_no_message_crashes_the_judge(data):
    """Whatever a node says, where and when: it is judged."""
    steps = with_host()
    levels = st.sampled_from(["spBv1.0", "G", "E", "D1", "NBIRTH", "DBIRTH", "NDATA", "DDEATH",
                              "NDEATH", "NCMD", "STATE", "scada", "", NOT_UTF8])  # fmt: skip
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(steps) - 1))
        what = steps[at].what
        topic = "/".join(data.draw(st.lists(levels, min_size=1, max_size=6))) or "x"
        payloads = [s.what.payload for s in steps if isinstance(s.what, Said)]
        payload = data.draw(st.sampled_from(payloads) | st.binary(max_size=30))
        if isinstance(what, Said):
            topic = data.draw(st.sampled_from([what.topic, topic]))
        side = data.draw(st.sampled_from(["node", "broker"]))
        steps.insert(at, replace(steps[at], what=Said(side, topic, payload)))
        if data.draw(st.booleans()):
            del steps[data.draw(st.integers(0, len(steps) - 1))]

    assert judged(entries(steps)).book.verdicts()
