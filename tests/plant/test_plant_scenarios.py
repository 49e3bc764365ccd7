"""Scenarios: the shipped ones bring the alarms that they name, wrong ones are told."""

from collections.abc import Callable
from pathlib import Path

import pytest

from shorewatch.config import Station
from shorewatch.errors import ConfigError, UsageError
from shorewatch.plant.judgement import Told, judge
from shorewatch.plant.rehearsal import rehearse
from shorewatch.plant.scenario import Event, Expect, load_scenario, names, play_of

HEAD = 'id = "mine"\nname = "M"\nstory = "S"\nlength_s = 100\n'
Written = Callable[[str], Path]


@pytest.fixture
def written(tmp_path: Path) -> Written:
    def write(text: str) -> Path:
        path = tmp_path / "mine.toml"
        path.write_text(HEAD + text, "utf-8")
        return path

    return write


def test_the_shipped_scenarios_are_those_that_are_promised() -> None:
    """Seven, each with events, a story, and something that must come or must not."""
    assert names() == [
        "anchor-drag", "bus-trouble", "geomagnetic-storm", "intrusion", "mains-failure",
        "manhole-flood", "slow-leak",
    ]  # fmt: skip
    for name in names():
        file = load_scenario(name).file
        assert file.event and file.story.strip() and file.expect


@pytest.mark.parametrize("name", names())
def test_a_shipped_scenario_brings_its_alarms(sumqayit: Station, aktau: Station, name: str) -> None:
    """At both stations, in the order given, and no others; played ten times as fast."""
    judged = rehearse([sumqayit, aktau], load_scenario(name), speed=10.0)

    said = {station: list(one.lines()) for station, one in judged.items()}
    assert all(one.is_right for one in judged.values()), said


def test_an_alarm_that_does_not_come_is_missed(
    sumqayit: Station, aktau: Station, written: Written
) -> None:
    """A scenario in which nothing of it happens names what was to come; an unexpected one, too."""
    text = '[[event]]\nat_s = 1\nsay = "x"\nstation = "sumqayit"\nlid_open = true\n'
    text += '[[expect]]\nstation = "sumqayit"\nalarms = ["mains-lost"]\n'
    judged = rehearse([sumqayit, aktau], load_scenario(str(written(text))), speed=10.0)

    assert judged["sumqayit"].missing == ["mains-lost"]
    assert "manhole-lid-open" in judged["sumqayit"].unexpected
    assert judged["aktau"].is_right


def test_alarms_that_come_in_another_order_are_told() -> None:
    """Within one chain the order counts, between two it does not."""
    told = [Told(alarm, "raised", "unacknowledged", i) for i, alarm in enumerate("bac")]
    chains = [Expect(station="s", alarms=["a", "b"]), Expect(station="s", alarms=["c"])]

    found = judge(chains, told)
    assert not found.is_right and found.disorder == ["b was shown at 0:00:00, before a at 0:00:01"]
    assert judge([Expect(station="s", alarms=["b", "a"], may=["c"])], told).is_right


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[[event]]\nat_s = 1\nsay = "x"\n', "nothing happens"),
        ('[[event]]\nat_s = 200\nsay = "x"\ngrid = false\n', "length_s, 100"),
        ('[[event]]\nat_s = 1\nover_s = 5\nsay = "x"\ngrid = false\n', "cannot slide"),
        ('[[event]]\nat_s = 1\nsay = "x"\nstation = "aktau"\nleak_ohm = 9\n', "is the cable's"),
        ('[[event]]\nat_s = 1\nsay = "x"\nrain = 3\n', "did you mean 'rain_mm_h'"),
        (
            '[[event]]\nat_s = 9\nsay = "x"\ngrid = false\n'
            '[[event]]\nat_s = 3\nsay = "x"\ngrid = true\n',
            "must not be before the event above it",
        ),
    ],
)
def test_a_wrong_scenario_is_told_with_its_line(written: Written, text: str, said: str) -> None:
    """What, where, and the rule."""
    path = written(text)
    with pytest.raises(ConfigError, match=said) as caught:
        load_scenario(str(path))
    assert str(caught.value).startswith(f"{path}:")


def test_what_the_stations_do_not_have_is_told(
    sumqayit: Station, aktau: Station, written: Written
) -> None:
    """Lines, contacts and alarms are looked up before anything is played; of others, if all are."""
    text = '[[event]]\nat_s = 1\nsay = "x"\nstation = "sumqayit"\n'
    text += 'lines."beach/7" = { dead = [1] }\ncontacts_off = ["hatch"]\n'
    text += '[[expect]]\nstation = "sumqayit"\nalarms = ["flood"]\nnever = ["x-*"]\n'
    with pytest.raises(ConfigError) as caught:
        load_scenario(str(written(text))).check([sumqayit, aktau])
    rules = [problem.rule for problem in caught.value.problems]
    assert len(rules) == 4 and "is no line of sumqayit" in rules[0]

    with pytest.raises(ConfigError, match="is none of the stations here: aktau"):
        load_scenario("intrusion").check([aktau])
    load_scenario("intrusion").check([aktau], is_all=False)


@pytest.mark.parametrize(
    ("given", "start", "speed", "said"),
    [
        (None, None, 2.0, "belong to a --scenario"),
        ("flood", None, 1.0, "choose one of anchor-drag"),
        ("intrusion", "now", 1.0, "is no time"),
        ("intrusion", None, 50.0, "must be 0.1 to 10, which intrusion takes at most"),
    ],
)
def test_a_command_line_that_makes_no_sense_is_refused(
    given: str | None, start: str | None, speed: float, said: str
) -> None:
    """With what would make sense."""
    with pytest.raises(UsageError, match=said):
        play_of(given, start, speed)


def test_every_key_of_an_event_is_explained() -> None:
    """The README beside the scenarios has each of them."""
    text = (Path(str(names.__globals__["_FOLDER"])) / "README.md").read_text()
    for name in (*Event.model_fields, *Expect.model_fields):
        assert f"`{name}`" in text, name
