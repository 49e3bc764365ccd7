"""Which state under our own topic is another gateway's."""

import json

import pytest

from shorewatch.mqtt.rival import RIVAL_S, Rival


@pytest.fixture
def rival(at) -> Rival:
    made = Rival("here/1", "j1", prefix="shorewatch/v1/c/s", where="broker:1883")
    made.connection_ended(at(0))
    return made


def state(**facts: object) -> bytes:
    return json.dumps({"online": True, "gateway": "there/2"} | facts).encode()


def test_one_that_is_online_while_we_are_is_named_for_a_while(rival) -> None:
    """Another process that says online is a rival until nothing was heard of it for long."""
    assert rival.hear(state(), 10.0, is_retained=False)
    assert rival.is_near(10.0 + RIVAL_S - 1)
    assert not rival.is_near(10.0 + RIVAL_S)
    assert "there/2; we are here/1" in str(rival.error)


def test_our_own_state_is_none(rival) -> None:
    """Our own state comes back from the broker and is no rival's."""
    assert not rival.hear(state(gateway="here/1"), 10.0, is_retained=False)
    assert not rival.hear(state(gateway=None, journal="j1"), 10.0, is_retained=False)
    assert not rival.is_near(10.0)


def test_what_stood_before_our_last_connection_was_ours(rival, at) -> None:
    """A retained state counts only if it began after our own last connection did."""
    assert not rival.hear(state(since=at(-1).isoformat()), 10.0, is_retained=True)
    assert rival.hear(state(since=at(1).isoformat()), 10.0, is_retained=True)


@pytest.mark.parametrize("payload", [b"", b"\xff", b"[1]", b"{}"])
def test_nonsense_is_no_rival(rival, payload) -> None:
    """Who says nothing of a gateway that is online is nobody."""
    assert not rival.hear(payload, 10.0, is_retained=False)


def test_a_name_is_shown_without_what_cannot_be_printed(rival) -> None:
    """Control characters of another's name never reach page or log."""
    assert rival.hear(state(gateway="a\x1b[31m\nb" + "c" * 200), 10.0, is_retained=False)
    assert "(a[31mb" in str(rival.error)
    assert "c" * 80 not in str(rival.error)
