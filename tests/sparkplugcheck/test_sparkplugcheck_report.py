"""The report says what failed, where, and how much was looked at."""

import json
from dataclasses import replace

from mutations import MUTATIONS
from sessions import entries, with_host

from shorewatch.sparkplugcheck.judge import judged
from shorewatch.sparkplugcheck.report import as_json, is_failed, text
from shorewatch.sparkplugcheck.session import Broken, Entry


def test_a_right_session_is_all_counts():
    """Without a failure the text is the counts alone, and they come from the tables."""
    judge = judged(entries(with_host()))

    assert text(judge).splitlines() == [
        "edge node: G/E",
        "0 failed, 0 warned, 186 passed, 2 not exercised (--json FILE names them)",
        "covers 188 of the 200 assertions on edge nodes (299 in all; 99 are on hosts and brokers)",
    ]
    assert not is_failed(judge)


def test_a_failure_comes_with_its_evidence():
    """What must be, which assertions say so, when, where and what was seen."""
    judge = judged(entries(MUTATIONS["ndata-qos"].make()))

    assert text(judge).startswith(
        "FAILED  NDATA has QoS 0\n"
        "  broken 1 of 8 times; it is part of\n"
        "    tck-id-topics-ndata-mqtt\n"
        "    tck-id-payloads-ndata-qos\n"
        "  08:00:01.200 UTC, entry 12, connection 1, spBv1.0/G/NDATA/E\n"
        "    QoS: QoS 1\n"
    )
    assert is_failed(judge)


def test_a_broken_should_fails_nothing():
    """What only SHOULD be is a warning after the failures, and the check passes."""
    judge = judged(entries(MUTATIONS["case-names"].make()))

    assert text(judge).startswith("WARNED  no two metric names differ only in upper and lower case")
    assert not is_failed(judge)


def test_json_has_every_assertion():
    """Each of the specification's assertions stands in it once, judged or with a reason."""
    found = json.loads(json.dumps(as_json(judged(entries(MUTATIONS["ndata-qos"].make())))))

    assert len(found["verdicts"]) + len(found["not_judged"]) == found["covers"]["all"]
    failed = [rule for rule, body in found["verdicts"].items() if body["verdict"] == "failed"]
    assert failed == ["tck-id-topics-ndata-mqtt", "tck-id-payloads-ndata-qos"]
    assert found["ok"] is False


def test_what_was_seen_cannot_steer_a_terminal():
    """Control characters from the wire are shown as their codes."""
    steps = with_host()
    index = next(i for i, s in enumerate(steps) if getattr(s.what, "topic", "").endswith("NDATA/E"))
    steps[index] = replace(
        steps[index], what=replace(steps[index].what, topic="spBv1.0/G\x1b[2J/NDATA/E")
    )

    assert "\x1b" not in text(judged(entries(steps)))


def test_bytes_that_are_no_mqtt_fail_the_check():
    """A node whose bytes break MQTT is not right, though no assertion of Sparkplug says so."""
    opened, *_ = with_host()
    broken = Entry(2, 1_800_000_001.0, 1, Broken("node", "PUBLISH has QoS 3"))
    judge = judged([*entries([opened]), broken])

    assert text(judge).startswith("FAILED  entry 2 is no MQTT: PUBLISH has QoS 3\n")
    assert is_failed(judge)
