"""The page about a run: every story with its outcome and figures, and nothing of them as markup."""

from pathlib import Path

from shorewatch.hil.page import Course, Figure, Story, write_page


def test_the_page_has_every_story_and_no_markup_of_theirs(tmp_path: Path) -> None:
    """Promises, reasons and figures stand there as text, failures first."""
    path = tmp_path / "deep" / "page.html"
    write_page(path, "<sim>", [
        Story("a", "It <holds>.", "passed", 1.0, {"latency, ms": [1.0, 2.0], "kind": "<b>"}),
        Story("b", "It breaks.", "failed", 2.0, {"share": 0.12345}, "<script>"),
        Story("c", "", "skipped", 0.0, {"none": []}, "for want of a board"),
    ])  # fmt: skip
    text = path.read_text("utf-8")
    assert text.index("It breaks.") < text.index("It &lt;holds&gt;.") < text.index("for want of")
    assert "<script>" not in text and "<b>" not in text and "&lt;sim&gt;" in text
    assert "1 passed, 1 failed, 1 skipped" in text and "0.1235" in text


def drawn(folder: Path, **figures: Figure) -> str:
    write_page(folder / "page.html", "sim", [Story("a", "It holds.", "passed", 1.0, figures)])
    return (folder / "page.html").read_text("utf-8")


def test_figures_below_nought_are_drawn_where_they_are(tmp_path: Path) -> None:
    """The axis begins at the lowest value, or at 0."""
    text = drawn(tmp_path, error=[-5.0, -10.0])
    assert ">-10</text>" in text and ">0</text>" in text
    assert "half at most -5, 99 % at most -5, largest -5, of 2" in text
    assert "20.0," in text
    assert ">7</text>" in drawn(tmp_path, one=[7.0])


def test_a_course_is_drawn_over_its_time(tmp_path: Path) -> None:
    """From left to right, its least value at the bottom; both ends are said in words."""
    text = drawn(tmp_path, memory=Course(every_s=1800, values=[60.0, 62.0, 61.0]))
    assert "first 60, last 61, least 60, largest 62" in text and ">1.5 h</text>" in text
    assert "points='20.0,70.0 180.0,10.0 340.0,40.0'" in text
    assert "<polyline" in drawn(tmp_path, one=Course(every_s=10, values=[1.0]))
