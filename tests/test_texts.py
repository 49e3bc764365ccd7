"""texts.py: the page's words by key, and a language of one's own with what is wrong in it."""

import json

import pytest

from shorewatch.config import read_station
from shorewatch.errors import ConfigError
from shorewatch.texts import SIZE_BYTES_MAX, Texts, english, load_texts


def test_a_language_of_one_s_own_is_english_where_it_lacks_a_text(write):
    """A text that the file has is its own, plural forms too; every other is the English one."""
    own = {"nav.alarms": "Siqnallar", "points": {"other": "{count} nöqtə"}}
    texts = load_texts(write("az.json", json.dumps(own)), "az")

    assert texts.language == "az"
    assert texts.said("nav.alarms") == "Siqnallar"
    assert texts.said("points", {"count": 1}) == "1 nöqtə"
    assert texts.said("nav.devices") == "Devices"


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        ('{"nav.alarm": "x"}', "nav.alarm: is no key of the page; did you mean nav.alarms?"),
        ('{"board.title": "Lövhə"}', "must have the places of the English text: {id} (found"),
        ('{"board.title": "Lövhə {ad}"}', "must have the places of the English text: {id}"),
        ('{"board.title": "Lövhə {id} {"}', "must have the places of the English text: {id}"),
        ('{"points": "{count}"}', "counts something: must have plural forms"),
        ('{"points": {"one": "{count}"}}', "must have the form other"),
        ('{"points": {"other": "{count}", "all": "{count}"}}', "must have the form other"),
        ('{"points": {"one": "bir", "other": "{count}"}}', "must have the places"),
        ('{"points": {"other": 3}}', "must be a text"),
        ('{"nav.alarms": {"other": "x"}}', "must be a text, in quotation marks"),
        ('{"nav.alarms": " "}', "must have 1 to 400 characters"),
        ('{"nav.alarms": "a\\u001bb"}', "must have 1 to 400 characters that can be seen"),
        ('{"nav.alarms": "a", "nav.alarms": "b"}', "is there twice"),
        ('["nav.alarms"]', "must be one JSON object"),
        ("{", "must be JSON in UTF-8"),
        ("[" * 100_000, "must be JSON in UTF-8"),
        (" " * (SIZE_BYTES_MAX + 1), "must have at most"),
    ],
)
def test_what_is_wrong_with_a_language_is_told_with_file_and_key(write, content, rule):
    """Each mistake is an error with the file, the key and the rule."""
    path = write("az.json", content)
    with pytest.raises(ConfigError) as raised:
        load_texts(path, "az")
    assert rule in str(raised.value)
    assert str(raised.value).startswith(str(path))


def test_all_mistakes_of_a_language_are_told_at_their_lines(write):
    """Two wrong keys are two problems, each at the line where it stands."""
    path = write("az.json", '{\n"nav.alarms": "",\n"x.y": "z"\n}')
    with pytest.raises(ConfigError) as raised:
        load_texts(path, "az")
    assert [(problem.line, problem.key) for problem in raised.value.problems] == [
        (2, "nav.alarms"), (3, "x.y"),
    ]  # fmt: skip


def test_a_file_that_cannot_be_read_is_told(tmp_path):
    """By its path, with what to do."""
    with pytest.raises(ConfigError, match=r"none\.json: file: cannot be read"):
        load_texts(tmp_path / "none.json", "az")


def test_a_station_file_names_its_language_and_check_tells_its_mistakes(write, station_text):
    """The file beside it is read with it; what is wrong there stands beside its own mistakes."""
    text = station_text.replace("[page]", '[page]\nlanguage = "az"\ntexts = "az.json"')
    write("az.json", '{"nav.alarms": "Siqnallar"}')
    station, problems = read_station(write("s.toml", text))
    assert not [problem for problem in problems if "page" in problem.key]
    assert (station.texts.language, station.texts.said("nav.alarms")) == ("az", "Siqnallar")

    write("az.json", '{"nav.alarm": "Siqnallar"}')
    _, problems = read_station(write("s.toml", text.replace("unit_id = 1", "unit_id = 0", 1)))
    assert {problem.key for problem in problems} >= {"nav.alarm"}
    assert any(problem.key.endswith("unit_id") for problem in problems)


@pytest.mark.parametrize(
    ("keys", "rule"),
    [
        ('language = "az"', "language az needs texts"),
        ('texts = "az.json"', "texts needs language"),
        ('language = "Azərbaycan"\ntexts = "az.json"', "should match pattern"),
    ],
)
def test_a_language_without_its_other_half_is_told(write, station_text, keys, rule):
    """A language other than English needs its texts, texts their language."""
    text = station_text.replace("[page]", f"[page]\n{keys}")
    _, problems = read_station(write("s.toml", text))
    assert any(rule in problem.rule for problem in problems), problems


def test_another_english_needs_no_texts(write, station_text):
    """`en-GB` is the language of the page as shipped."""
    text = station_text.replace("[page]", '[page]\nlanguage = "en-GB"')
    station, _ = read_station(write("s.toml", text))
    assert (station.texts.language, station.texts.by_key) == ("en-GB", english().by_key)


def test_a_text_in_a_page_is_escaped():
    """What a translator writes cannot become markup, in an attribute neither."""
    texts = Texts("az", {"a": '<b>"&'})
    assert texts.filled('<p lang="{{language}}" title="{{a}}">') == (
        '<p lang="az" title="&lt;b&gt;&quot;&amp;">'
    )


def test_what_the_gateway_says_itself_in_that_language_counts_nothing():
    """Only a browser knows the plural forms of a language."""
    refused = {key: text for key, text in english().by_key.items() if key.startswith("refused.")}
    assert refused and all(isinstance(text, str) for text in refused.values())


def test_the_english_texts_keep_the_rules_for_others(write):
    """The shipped file, given as a language of one's own, has no mistake."""
    path = write("en.json", json.dumps(dict(english().by_key)))
    assert load_texts(path, "en").by_key == english().by_key
