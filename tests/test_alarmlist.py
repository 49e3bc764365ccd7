"""alarmlist.py: what an alarm may ask of a point depends on the point's type."""

import pytest

from shorewatch.compiled import load_compiled
from shorewatch.errors import ConfigError

PROFILE = """
id = "gauge"
name = "Gauge"
source = "none: a device of this test"
[[point]]
id = "state"
name = "State"
table = "holding"
address = 0
type = "enum32"
labels = { 1 = "well", 65537 = "failed" }
[[point]]
id = "part"
name = "Part"
table = "holding"
address = 2
type = "bits"
first_bit = 8
bit_count = 4
labels = { 2 = "door" }
[[point]]
id = "model"
name = "Model"
table = "holding"
address = 3
type = "string"
registers = 4
"""
DEVICE = '[[board.bus.device]]\nid = "gauge"\nname = "G"\nprofile = "gauge"\nunit_id = 77\n\n'
ALARM = '\n[[alarm]]\nid = "g"\ntext = "G"\naction = "Do."\npriority = "minor"\n'


@pytest.fixture
def station_with(write, tmp_path, station_text):
    """Compiles the shipped station with a gauge and an alarm of it."""

    def _compiled(condition: str):
        (tmp_path / "profiles").mkdir(exist_ok=True)
        write("profiles/gauge.toml", PROFILE)
        text = station_text.replace("[[board.bus.device]]", f"{DEVICE}[[board.bus.device]]", 1)
        return load_compiled(write("s.toml", f"{text}{ALARM}{condition}\n"))

    return _compiled


@pytest.mark.parametrize(
    ("condition", "limit"),
    [
        ('point = "gauge.state"\nis = "failed"', "failed"),
        ('point = "gauge.part"\nbit = "door"', 2),
        ('point = "gauge.part"\nbit = 3', 3),
        ('point = "gauge.model"\nis_not = "TG-1"', "TG-1"),
    ],
)
def test_an_alarm_may_ask_what_its_point_can_say(station_with, condition, limit):
    """A 32-bit code by its label, a bit of a part of a register, a text."""
    (rule,) = [rule for rule in station_with(condition).rules if rule.id == "g"]

    assert rule.limit == limit


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        ('point = "gauge.state"\nis = "broken"', "state is one of 'well', 'failed'"),
        ('point = "gauge.part"\nbit = 4', "part is one of 'door'"),
        ('point = "gauge.model"\nis = 7', "model is of type string: give a text"),
        ('point = "gauge.model"\nabove = 7', "it is no number"),
    ],
)
def test_what_a_point_can_never_say_is_refused(station_with, condition, words):
    """A label, a bit or a kind of value that the point has not is told with what it has."""
    with pytest.raises(ConfigError) as caught:
        station_with(condition)

    assert words in str(caught.value)
