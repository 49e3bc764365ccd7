"""topics.py: names and payloads as both ends know them."""

import json
import math
from collections.abc import Callable
from datetime import datetime

from hypothesis import given
from hypothesis import strategies as st

from shorewatch.config import Station
from shorewatch.model import NEVER, Quality, Reason, Value
from shorewatch.mqtt import topics
from shorewatch.outbox import Record

At = Callable[[float], datetime]


def test_every_topic_is_taken_apart_as_it_was_made(station: Station) -> None:
    """`parse_topic` undoes each of the builders."""
    prefix = station.prefix
    assert topics.parse_topic(topics.state_topic(prefix)) == (prefix, "state", "")
    assert topics.parse_topic(topics.journal_topic(prefix)) == (prefix, "journal", "")
    assert topics.parse_topic(topics.birth_topic(prefix, "pfe")) == (prefix, "birth", "pfe")
    assert topics.parse_topic(topics.now_topic(prefix, "pfe")) == (prefix, "now", "pfe")
    assert topics.parse_topic(topics.ack_topic(prefix, "noc")) == (prefix, "ack", "noc")


@given(st.text(alphabet="/abvshorewt1state", max_size=60))
def test_no_text_breaks_the_parser(text: str) -> None:
    """Any topic is either ours, with five or six levels, or None."""
    found = topics.parse_topic(text)
    assert found is None or text == "/".join([p for p in found if p])


def test_foreign_topics_are_none_of_ours(station: Station) -> None:
    """Another version, a missing device, a level too many: not ours."""
    prefix = station.prefix
    other = prefix.replace("v1", "v2")
    for topic in ("", "shorewatch", prefix, f"{prefix}/now", f"{prefix}/state/x",
                  f"{prefix}/now/pfe/x", f"{prefix}/request", f"{other}/state",
                  "shorewatch/v1//sumqayit/state"):  # fmt: skip
        assert topics.parse_topic(topic) is None, topic


def test_a_now_message_says_age_and_quality(station: Station, at: At) -> None:
    """A good value has its age at publication; a bad one has no value but its last good one."""
    good = Value(Quality.GOOD, value=1.5, acquired_at=at(0), acquired_s=100.0, uncertainty_s=0.01)
    body = topics.now(
        "pfe", {"a": good, "b": good.made_bad(Reason.DEVICE_TIMEOUT), "c": NEVER}, at(2), 102.0
    )
    points = json.loads(topics.encode(body))["points"]
    assert points["a"] == {
        "value": 1.5, "quality": "good", "reason": None, "uncertainty_s": 0.01, "age_s": 2.0,
        "acquired_at": "2026-11-22T16:44:00.000Z",
    }  # fmt: skip
    assert (points["b"]["value"], points["b"]["last_good"]) == (None, 1.5)
    assert (points["b"]["quality"], points["b"]["reason"]) == ("bad", "device-timeout")
    assert (points["c"]["age_s"], points["c"]["acquired_at"]) == (None, None)


def test_what_a_device_says_of_a_value_is_published(station: Station, at: At) -> None:
    """The device's own words stand beside the reason; without any there is no such key."""
    doubt = Value(Quality.BAD, Reason.SENTINEL, acquired_at=at(0), detail="transducer fault")
    body = topics.now("pfe", {"a": doubt, "b": NEVER}, at(2), 102.0)
    points = json.loads(topics.encode(body))["points"]

    assert points["a"]["detail"] == "transducer fault"
    assert "detail" not in points["b"]


@given(ages_s=st.lists(st.floats(0, 100), min_size=1, max_size=3))
def test_now_expires_before_a_good_value_is_too_old(station: Station, ages_s: list[float]) -> None:
    """When the broker drops a message, no good value in it is past its maximum age by a second."""
    device = station.devices["pfe"]
    names = list(device.points)[: len(ages_s)]
    values = {
        name: Value(Quality.GOOD, value=1.0, acquired_s=100.0 - age_s).aged(
            100.0, device.points[name].age_max_s
        )
        for name, age_s in zip(names, ages_s, strict=True)
    }
    expiry_s = topics.expiry_s(device, values, 100.0)
    assert expiry_s >= 1
    for name, value in values.items():
        if value.quality is Quality.GOOD:
            assert value.age_s(100.0) + expiry_s <= max(device.points[name].age_max_s, 0) + 1


def test_now_of_bad_values_expires_with_its_shortest_maximum_age(station: Station) -> None:
    """A message in which nothing is good stays for the shortest maximum age, a second at least."""
    for device in station.devices.values():
        shortest_s = min(point.age_max_s for point in device.points.values())
        found = topics.expiry_s(device, dict.fromkeys(device.points, NEVER), 100.0)
        assert found == max(1, math.floor(shortest_s))


def test_a_birth_has_every_point_with_its_age(station: Station) -> None:
    """A consumer needs no second source: each point has unit, range and maximum age."""
    for device in station.devices.values():
        body = json.loads(topics.encode(topics.birth(device)))
        assert body["points"].keys() == device.points.keys()
        for point in body["points"].values():
            assert point["age_s_max"] > point["period_s"]


def test_the_state_tells_boards_from_direct_lines(station: Station, at: At) -> None:
    """What is known of each line stands under its kind, by its id."""
    lines = {"board/a": {"up": True, "reason": None}, "direct/a": {"up": False, "reason": "x"}}
    state = topics.online(
        station,
        journal=("j", 0, 0, 0),
        times=(at(0), at(0)),
        lines=lines,
        points={},
        outbox=None,
        silent={},
        gateway="here/1",
        certificates={},
    )
    assert state["boards"] == {"a": {"up": True, "reason": None}}
    assert state["directs"] == {"a": {"up": False, "reason": "x"}}


def test_a_batch_covers_what_it_says(at: At) -> None:
    """A batch holds as many records as fit, and says after which sequence it begins."""
    records = [Record(seq, "sample", at(seq), {"text": "x" * 100}) for seq in range(11, 400, 2)]
    batch = topics.batch("j" * 32, 9, records, bytes_max=5000)
    body = json.loads(batch.payload)
    assert len(batch.payload) <= 5000
    assert (body["after"], body["first"], body["last"]) == (9, 11, batch.last)
    assert [record["seq"] for record in body["records"]] == list(range(11, batch.last + 1, 2))
    assert body["records"][0]["text"] == "x" * 100


def test_a_batch_has_at_least_one_record_and_a_limited_count(at: At) -> None:
    """A record longer than the limit goes alone; short ones stop at the count."""
    long = [Record(seq, "note", at(0), {"text": "x" * 9000}) for seq in (1, 2)]
    assert topics.batch("j" * 32, 0, long, bytes_max=5000).last == 1
    short = [Record(seq, "note", at(0), {}) for seq in range(1, 999)]
    assert topics.batch("j" * 32, 0, short).last == topics.BATCH_RECORDS_MAX


def test_a_body_cannot_forge_the_numbering(at: At) -> None:
    """A body with keys of its own named seq, kind or at does not replace ours."""
    record = Record(7, "note", at(0), {"seq": 99, "kind": "alarm", "at": "never", "text": "hello"})
    body = json.loads(topics.batch("j" * 32, 6, [record]).payload)["records"][0]
    assert body == {"seq": 7, "kind": "note", "at": "2026-11-22T16:44:00.000Z", "text": "hello"}


def test_a_record_goes_out_as_it_was_kept(at: At) -> None:
    """The text in the file is sent, number, kind and time before it, unless it has keys of ours."""
    kept = [
        Record(1, "note", at(0), {"text": "x", "n": [1]}, b'{"text":"x","n":[1]}'),
        Record(2, "note", at(0), {}, b"{}"),
        Record(3, "note", at(0), {"seq": 9, "text": "x"}, b'{"seq":9,"text":"x"}'),
    ]
    plain = [Record(record.seq, record.kind, record.at, record.body) for record in kept]
    assert topics.batch("j", 0, kept).payload == topics.batch("j", 0, plain).payload


def test_only_objects_of_honest_json_are_parsed() -> None:
    """NaN, deep nesting, lists and broken UTF-8 are none."""
    assert topics.parse_object(b'{"a": 1}') == {"a": 1}
    for payload in (b"", b"1", b"[]", b'{"a": NaN}', b'{"a": Infinity}', b"\xff", b"[" * 99_999):
        assert topics.parse_object(payload) is None, payload[:20]
