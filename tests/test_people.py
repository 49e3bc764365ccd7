"""people.py and `shorewatch user`: who may log in."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from shorewatch.errors import PeopleError
from shorewatch.model import utc_now
from shorewatch.people import (
    NAME,
    USERS_MAX,
    Person,
    is_password,
    load_people,
    remove_person,
    save_person,
)

WORD = "correct horse 9"


def user(state: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "shorewatch", "user", *arguments, "--state-dir", str(state)]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL
    )


def test_a_password_opens_for_its_user_alone(tmp_path):
    """Right for its user, wrong for another and for nobody; only a hash is on disk."""
    assert save_person(tmp_path, "ali", WORD, utc_now())
    assert not save_person(tmp_path, "ali", WORD + "!", utc_now())
    people = load_people(tmp_path)
    assert is_password(people["ali"], WORD + "!")
    assert not is_password(people["ali"], WORD)
    assert not is_password(None, WORD)
    text = (tmp_path / NAME).read_text()
    assert WORD not in text and "$argon2id$" in text
    assert (tmp_path / NAME).stat().st_mode & 0o777 == 0o600
    remove_person(tmp_path, "ali")
    assert load_people(tmp_path) == {}


@pytest.mark.parametrize(
    ("name", "password", "words"),
    [
        ("Ali", WORD, "'Ali' cannot be a user's name"),
        ("a b", WORD, "cannot be a user's name"),
        ("", WORD, "cannot be a user's name"),
        ("ali", "short", "must be 10 to 200 printable"),
        ("ali", "x" * 201, "must be 10 to 200 printable"),
        ("ali", "tab\tin the word", "must be 10 to 200 printable"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path, name, password, words):
    """With the rule, and nothing is written."""
    with pytest.raises(PeopleError, match=words):
        save_person(tmp_path, name, password, utc_now())
    assert not (tmp_path / NAME).exists()


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"version": 1}', '{"version": 1, "users": {"a": {}}}', "[" * 5000,
     '{"version": 1, "users": {"A B": {"hash": "x", "added": "2026-11-23T00:00:00Z"}}}'],
)  # fmt: skip
def test_a_damaged_file_opens_nothing(tmp_path, text):
    """It is named, with what to do, and never overwritten by the next user."""
    (tmp_path / NAME).write_text(text)
    with pytest.raises(PeopleError, match="is damaged; take it from a backup"):
        save_person(tmp_path, "ali", WORD, utc_now())
    assert (tmp_path / NAME).read_text() == text


def test_there_is_a_limit_to_users(tmp_path):
    """One more than the limit is refused, a new password of an old user is not."""
    row = {"hash": "x", "added": "2026-11-23T00:00:00Z"}
    users = {f"u{i}": row for i in range(USERS_MAX)}
    (tmp_path / NAME).write_text(json.dumps({"version": 1, "users": users}))
    with pytest.raises(PeopleError, match="200 users already"):
        save_person(tmp_path, "ali", WORD, utc_now())
    assert not save_person(tmp_path, "u1", WORD, utc_now())
    assert not is_password(Person("u2", "x", utc_now()), WORD)


def test_the_command_adds_lists_and_removes(tmp_path):
    """Each in one sentence; a password comes from the user's file or a terminal."""
    word = tmp_path / "word"
    word.write_text(WORD + "\n")
    word.chmod(0o600)
    done = user(tmp_path, "add", "ali", "--password-file", str(word))
    assert (done.returncode, done.stdout) == (0, "ali may log in now\n"), done.stderr
    assert is_password(load_people(tmp_path)["ali"], WORD)
    done = user(tmp_path, "list", "--json")
    assert [row["name"] for row in json.loads(done.stdout)] == ["ali"]
    done = user(tmp_path, "add", "eve")
    assert done.returncode == 64 and "--password-file" in done.stderr
    done = user(tmp_path, "remove", "bob")
    assert done.returncode == 1 and "no user 'bob'; there are: ali" in done.stderr
    assert user(tmp_path, "remove", "ali").returncode == 0
    assert "nobody can log in" in user(tmp_path, "list").stdout


def test_an_unreadable_file_says_so(tmp_path):
    """With the system's reason."""
    (tmp_path / NAME).mkdir()
    with pytest.raises(PeopleError, match="cannot be read: Is a directory"):
        load_people(tmp_path)
