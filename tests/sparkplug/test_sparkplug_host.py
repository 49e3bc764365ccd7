"""What a host says: who is believed, and what is obeyed."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shorewatch.sparkplug.host import (
    AUDIT_S_MIN,
    ECHO_S_MAX,
    REBIRTH_S_MIN,
    RIVAL_S,
    Commands,
    Echo,
    PrimaryHost,
)
from shorewatch.sparkplug.payload import DataType, Metric, Payload, encode

NCMD = "spBv1.0/caspian/NCMD/sumqayit"


def state(is_online: object, at_ms: object) -> bytes:
    return json.dumps({"online": is_online, "timestamp": at_ms}).encode()


def rebirth(value: bool = True) -> bytes:
    metric = Metric("Node Control/Rebirth", None, None, DataType.BOOLEAN, value)
    return encode(Payload(1, None, (metric,)))


def test_the_first_word_is_believed():
    """With nothing to compare it with, a STATE counts, whatever its time."""
    for is_online in (True, False):
        host = PrimaryHost("scada")
        assert host.hear(state(is_online, 5)) is None
        assert host.is_online is is_online


def test_an_offline_older_than_the_last_online_is_ignored():
    """The death of an earlier life ends nothing; one of the same time does."""
    host = PrimaryHost("scada")
    host.hear(state(True, 10))

    assert "before 10" in str(host.hear(state(False, 9)))
    assert host.is_online
    assert host.hear(state(False, 10)) is None
    assert not host.is_online


def test_times_are_kept_over_connections():
    """At the next broker the host must say again that it is there, and not an older time."""
    host = PrimaryHost("scada")
    host.hear(state(True, 10))
    host.forget()

    assert host.is_online is None
    assert host.hear(state(True, 9)) is not None and host.is_online is None
    assert host.hear(state(True, 10)) is None and host.is_online


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 50)), max_size=20))
def test_online_is_never_by_an_older_message(said):
    """Whatever comes in whatever order: no online counts that is older than one that counted."""
    host = PrimaryHost("scada")
    counted = -1
    for is_online, at_ms in said:
        if host.hear(state(is_online, at_ms)) is None:
            if is_online:
                assert at_ms >= counted
            counted = max(at_ms, counted)


@pytest.mark.parametrize(
    "payload",
    [b"ONLINE", b"{}", b"[]", state("true", 1), state(True, "1"), state(True, True), state(1, 1)],
)
def test_what_is_no_state_is_ignored(payload):
    """The text of older versions, and anything else that is not online and timestamp."""
    host = PrimaryHost("scada")

    assert "is no" in str(host.hear(payload))
    assert host.is_online is None


def test_a_rebirth_is_obeyed_at_once_and_then_in_its_turn():
    """The first does not wait; another within the limit waits for the rest of it."""
    commands = Commands()
    commands.born(0.0, is_first=True)
    assert commands.hear(NCMD, rebirth(), 1.0, is_retained=False) is None
    assert commands.is_asked and commands.wait_s(1.0) == 0

    commands.born(1.0, is_first=False)
    assert not commands.is_asked
    commands.hear(NCMD, rebirth(), 2.0, is_retained=False)
    assert commands.is_asked and commands.wait_s(2.0) == REBIRTH_S_MIN - 1


@pytest.mark.parametrize(
    ("topic", "payload", "is_retained", "why"),
    [
        (NCMD, rebirth(), True, "retained"),
        (NCMD, rebirth(False), False, "only Node Control/Rebirth = true is obeyed"),
        (NCMD, encode(Payload(1)), False, "sets nothing"),
        (NCMD, b"\xff", False, "is no command"),
        (NCMD.replace("NCMD", "DCMD") + "/pfe", rebirth(), False, "command to a device"),
    ],
)
def test_all_else_is_refused_and_put_on_record(topic, payload, is_retained, why):
    """What was asked, where, and why nothing was done."""
    commands = Commands()
    body = commands.hear(topic, payload, 0.0, is_retained=is_retained)

    assert body is not None and why in str(body["why"])
    assert (body["what"], body["topic"], body["count"]) == ("command refused", topic, 1)
    assert commands.refused == 1 and not commands.is_asked


def test_a_flood_of_commands_makes_few_records():
    """One record at once, then one each minute, with the count of all since."""
    commands = Commands()
    bodies = [commands.hear(NCMD, b"x", number / 100, is_retained=False) for number in range(500)]
    last = commands.hear(NCMD, b"x", AUDIT_S_MIN, is_retained=False)

    assert [body is None for body in bodies] == [False] + [True] * 499
    assert last is not None and last["count"] == 500
    assert commands.refused == 501


def test_a_birth_that_does_not_come_back_is_missing():
    """After a while; one that came back never is, until the next."""
    echo = Echo()
    assert not echo.is_missing(1e9)
    echo.sent(b"first", 0.0)
    assert not echo.is_missing(ECHO_S_MAX) and echo.is_missing(ECHO_S_MAX + 0.1)

    echo.hear(b"first", 20.0)
    assert not echo.is_missing(1e9) and not echo.has_rival(20.0)
    echo.sent(b"second", 30.0)
    echo.hear(b"first", 31.0)
    assert echo.is_missing(50.0) and not echo.has_rival(50.0)


def test_a_birth_that_is_not_ours_is_a_rivals():
    """For a minute after each that is heard."""
    echo = Echo()
    echo.sent(b"ours", 0.0)
    echo.hear(b"theirs", 1.0)

    assert echo.has_rival(RIVAL_S) and not echo.has_rival(RIVAL_S + 1)
