"""field/sweep.py: what a scan asks, and how long it says that takes."""

import pytest

from shorewatch.errors import UsageError
from shorewatch.field.sweep import BAUDS, Setting, line_of, parse_settings, parse_units, span_s


@pytest.mark.parametrize(
    ("text", "found"), [("7", [7]), ("1-3", [1, 2, 3]), ("9, 2-3,2", [2, 3, 9]), ("247", [247])]
)
def test_unit_ids_are_lists_and_spans(text: str, found: list[int]) -> None:
    """Each unit id named is asked once, in ascending order."""
    assert list(parse_units(text)) == found


@pytest.mark.parametrize("text", ["", "0", "248", "3-1", "a", "1-", "1,,2", "-5"])
def test_what_is_no_unit_id_is_refused(text: str) -> None:
    """The error names the part that is wrong, and the rule."""
    with pytest.raises(UsageError, match="1 to 247"):
        parse_units(text)


def test_the_usual_settings_come_first() -> None:
    """auto begins with 9600 8N1 and 19200 8E1, tries every pair once, and two stop bits last."""
    found = parse_settings("auto", "auto")
    assert [str(setting) for setting in found[:2]] == ["9600 8N1", "19200 8E1"]
    assert len(set(found)) == len(found) == 4 * len(BAUDS)
    assert all(setting.format == "8N2" for setting in found[-len(BAUDS) :])


def test_a_setting_that_does_not_exist_is_refused() -> None:
    """The error names it, and those there are."""
    with pytest.raises(UsageError, match="'9601' is none of auto"):
        parse_settings("9600,9601", "auto")


def test_the_estimate_is_what_silence_costs() -> None:
    """247 units at 9600 8N1 and 150 ms: 2 s of listening, 15 characters and the wait for each."""
    settings = [Setting(9600, "8N1"), Setting(19200, "8N1")]
    first, last = span_s(settings, range(1, 248), 0.15, 1)
    assert first == pytest.approx(2 + 247 * (0.15 + 15 * 10 / 9600))
    assert last == pytest.approx(first + 247 * (0.15 + 15 * 10 / 19200))


def test_a_line_adds_no_delay_of_its_own() -> None:
    """How long is waited is what the technician has said."""
    assert line_of("/dev/x", Setting(9600, "8N1")).delay_s == 0
    assert line_of("127.0.0.1:502", None).delay_s == 0
