"""repl.py: mpremote as a child, at a bare virtual board, and where nobody answers."""

from pathlib import Path

import pytest

from shorewatch.errors import AbsentError, FieldError
from shorewatch.field.repl import Repl

from .conftest import Bench
from .scripted import scripted


@pytest.fixture
def repl(empty: Bench) -> Repl:
    """A board that is at its prompt."""
    empty.until(lambda: str(empty.boards()["state"]).startswith("MicroPython"), "the prompt")
    return Repl(str(empty.link))


def test_a_program_hands_over_what_it_answers(repl: Repl, empty: Bench, tmp_path: Path) -> None:
    """JSON values come back; what it prints beside them does not disturb; files are copied."""
    assert repl.run("print('hello')\nanswer({'a': [1, None, 'Ə']})") == {"a": [1, None, "Ə"]}
    assert repl.run("x = 1") is None
    assert repl.run("answer(x)") == 1  # what was defined stays

    (tmp_path / "f.txt").write_text("text")
    copied: list[str] = []
    root = str(repl.run("import os; answer(os.getcwd())"))
    repl.copy(tmp_path, {"f.txt": f"{root}/g.txt"}, copied.append)
    assert (empty.flash_folder / "g.txt").read_text() == "text" and len(copied) == 1
    repl.copy(tmp_path, {})


def test_a_program_that_fails_is_told_in_its_words(repl: Repl) -> None:
    """The last line of its traceback; a full file system is named as such."""
    with pytest.raises(FieldError, match="MicroPython says: ValueError: no such thing"):
        repl.run("raise ValueError('no such thing')")
    with pytest.raises(FieldError, match="file system is full: remove"):
        repl.run("raise OSError(28)")


def test_a_board_that_says_nothing_is_not_waited_for_for_ever(repl: Repl) -> None:
    """After so long without a word the child is ended, and power is what to check."""
    with pytest.raises(AbsentError, match="has said nothing for 1 s; has it power"):
        repl.run("while True: pass", timeout_s=1.0)


def test_a_port_without_a_repl_is_a_board_that_has_gone(tmp_path: Path) -> None:
    """Nobody there, or no port at all: the plug is what to check."""
    with pytest.raises(AbsentError, match="is its USB plug in"):
        Repl(str(tmp_path / "none")).run("answer(1)")
    with scripted(lambda _: b"") as port, pytest.raises(AbsentError):
        Repl(port).run("answer(1)", timeout_s=15)
