"""toml.py: every problem, at its line."""

import os
import re
from pathlib import Path
from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from shorewatch.errors import ConfigError
from shorewatch.toml import Table, load_toml, locate, read_toml


class Wheel(Table):
    size: Annotated[int, Field(ge=1, le=9)]
    colour: str = "grey"


class Car(Table):
    name: str
    wheel: list[Wheel] = []


CAR = """\
name = "a"

[[wheel]]
size = 3

[[wheel]]
size = 4
colour = "red"
"""


def problems(path: Path) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_toml(path, Car)
    return [str(problem).replace(str(path), "car.toml") for problem in caught.value.problems]


def test_a_good_file_loads(write):
    """A valid file becomes its model."""
    assert load_toml(write("car.toml", CAR), Car).wheel[1].colour == "red"


def test_all_problems_are_listed_with_their_lines(write):
    """Three mistakes are three problems, each with line, key and value."""
    text = CAR.replace('"a"', "7").replace("size = 4", "size = 40").replace("colour", "color")

    found = problems(write("car.toml", text))

    assert len(found) == 3
    assert found[0].startswith("car.toml:1: name: ")
    assert found[1].startswith("car.toml:7: wheel.1.size: ") and "found 40" in found[1]
    assert found[2].startswith("car.toml:8: wheel.1.color: is no key")
    assert "did you mean 'colour'?" in found[2]


def test_a_missing_key_points_at_its_table(write):
    """What is not there is reported where it belongs."""
    found = problems(write("car.toml", CAR.replace("size = 4\n", "")))

    assert found == ["car.toml:6: wheel.1.size: is missing"]


def test_broken_syntax_names_the_line(write):
    """A file that is no TOML is one problem with its line."""
    (found,) = problems(write("car.toml", 'name = "a"\n[[wheel]\n'))

    assert re.match(r"car\.toml:2: syntax: is not TOML: ", found)


@pytest.mark.parametrize("data", [b"\xff\xfe", b'name = "\xc3\x28"'])
def test_what_is_no_text_is_said_so(tmp_path, data):
    """Bytes that are no UTF-8 give a clear error."""
    path = tmp_path / "car.toml"
    path.write_bytes(data)

    assert "is not UTF-8" in problems(path)[0]


def test_a_file_that_is_not_there_is_said_so(tmp_path):
    """A missing file is a problem with the system's reason."""
    assert "cannot be read: No such file" in problems(tmp_path / "car.toml")[0]


@given(st.integers(1, 5), st.integers(0, 4), st.integers(0, 3))
def test_locate_finds_any_key_of_nested_tables(count, index, blanks):
    """A key in the n-th table of a nested array is found at its own line."""
    index %= count
    lines = []
    for outer in range(count):
        lines += ["[[bus]]", f"n = {outer}", "", "[[bus.device]]", "a = 1"]
        lines += ["", "[[bus.device]]", *[""] * blanks, "a = 2"]

    found = locate(lines, ("bus", index, "device", 1, "a"))

    assert found is not None
    assert lines[found - 1] == "a = 2"
    assert sum(line == "[[bus]]" for line in lines[:found]) == index + 1


def test_overrides_are_laid_over_the_file(write):
    """An override replaces the file's value and is validated like it."""
    path = write("car.toml", CAR)

    good, none = read_toml(path, [("wheel.0.size", 9)]).parse(Car)
    bad, (problem,) = read_toml(path, [("wheel.0.size", 10)]).parse(Car)

    assert good is not None and good.wheel[0].size == 9 and none == []
    assert bad is None
    assert re.match(r"--set: wheel.0.size: .*found 10", str(problem))


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("name.x", "name is a value"),
        ("wheel.2.size", "from 0 to 1"),
        ("wheel.x.size", "from 0 to 1"),
        ("wheel.0.size.x", "wheel.0.size is a value"),
        ("wheel.9", "from 0 to 1"),
    ],
)
def test_an_override_without_a_place_is_said_so(write, key, words):
    """A key that leads nowhere names itself and what is there."""
    with pytest.raises(ConfigError, match=words):
        read_toml(write("car.toml", CAR), [(key, 1)])


def test_a_file_of_any_length_is_refused_past_the_limit(write):
    """What is longer than a file may be is not parsed."""
    assert "is larger than" in problems(write("car.toml", " " * 8_000_001))[0]


@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_what_is_no_file_is_refused_at_once(tmp_path, kind):
    """Neither a pipe that nobody writes to nor a device without end is read."""
    path = tmp_path / "car.toml"
    os.mkfifo(path) if kind == "pipe" else path.symlink_to("/dev/zero")
    assert "is no regular file" in problems(path)[0]


def test_a_number_without_end_is_refused(write):
    """An integer of more digits than Python converts is a problem with the file, not a crash."""
    assert "is not TOML: " in problems(write("car.toml", "name = " + "1" * 5_000))[0]


def test_a_file_nested_without_end_is_refused(write):
    """A hundred thousand brackets are a problem with the file, not a crash."""
    assert "nested too deeply" in problems(write("car.toml", "name = " + "[" * 100_000))[0]
