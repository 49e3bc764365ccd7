"""What is shown and logged of an uplink's state."""

import logging

import pytest

from shorewatch.config import UplinkConfig
from shorewatch.errors import UplinkError
from shorewatch.mqtt.condition import Condition, first_of

LOG = logging.getLogger("tests.condition")


@pytest.fixture
def condition() -> Condition:
    return Condition(UplinkConfig(id="noc", url="mqtt://broker:1884"), LOG)


def test_a_trouble_is_logged_when_it_changes(condition, caplog) -> None:
    """The same trouble again is shown, and not logged again."""
    for text in ("gone", "gone", "gone again"):
        condition.suffer(UplinkError("lost", text))
    assert [record.message for record in caplog.records] == [
        "uplink noc: lost: gone",
        "uplink noc: lost: gone again",
    ]


def test_a_trouble_stays_readable_after_it_is_over(condition) -> None:
    """Online again, the page still knows what was."""
    condition.suffer(UplinkError("lost", "gone"))
    condition.become("online", "connected")
    assert (condition.state, condition.trouble) == ("online", "gone")
    assert condition.trouble_at is not None


def test_an_attempt_hides_no_trouble(condition) -> None:
    """Only before the first trouble does an attempt show as connecting."""
    condition.attempt()
    assert (condition.state, condition.attempts) == ("connecting", 1)
    condition.suffer(UplinkError("unreachable", "no route"))
    condition.attempt()
    assert (condition.state, condition.attempts) == ("unreachable", 2)


def test_since_is_when_the_state_began(condition) -> None:
    """Another text of the same state does not begin it anew."""
    condition.become("online", "one")
    since = condition.since
    condition.become("online", "two")
    assert condition.since is since


def test_the_first_error_of_a_group_is_the_one_to_show() -> None:
    """However deep the groups are."""
    inner = ExceptionGroup("tasks", [UplinkError("quota", "a"), UplinkError("lost", "b")])
    assert str(first_of(ExceptionGroup("session", [inner]))) == "a"
