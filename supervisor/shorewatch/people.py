"""Who may act at this station's page: names and the hashes of their passwords.

`users.json` in the state directory, mode 0600, written whole and durably; `shorewatch user` writes
it, the page reads it at each login, so that a change counts at once. Passwords are hashed with
Argon2id and stand nowhere. Whoever can write that folder owns the station anyway.

Limits: 200 users; names of 1 to 32 of a-z, 0-9, ".", "_", "-"; passwords of 10 to 200 characters.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from shorewatch.disk import write_durably
from shorewatch.errors import PeopleError
from shorewatch.model import from_text, to_text

NAME = "users.json"
USERS_MAX = 200
PASSWORD_CHARS = (10, 200)
_NAMES = re.compile(r"[a-z0-9._-]{1,32}")
_VERSION = 1
_SIZE_BYTES_MAX = 100_000

# OWASP's first choice for Argon2id (19 MiB), and one pass more: a gateway is a small machine.
_hasher = PasswordHasher(time_cost=3, memory_cost=19_456, parallelism=1)


@dataclass(frozen=True, slots=True)
class Person:
    """One user: since when, and the hash of the password."""

    name: str
    hash: str
    added_at: datetime


def load_people(state_dir: Path) -> dict[str, Person]:
    """All users, by name; none where there is no file. Raises PeopleError with what to do."""
    path = state_dir / NAME
    try:
        with path.open("rb") as stream:
            data = stream.read(_SIZE_BYTES_MAX + 1)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise PeopleError(f"{path} cannot be read: {error.strerror}") from error
    try:
        found = json.loads(data)
        if found["version"] != _VERSION:
            raise PeopleError(f"{path} is of version {found['version']}, not {_VERSION}: update")
        people = [_person(name, row) for name, row in found["users"].items()]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        text = f"{path} is damaged; take it from a backup, or remove it and add the users anew"
        raise PeopleError(text) from error
    return {person.name: person for person in people}


def save_person(state_dir: Path, name: str, password: str, at: datetime) -> bool:
    """Add a user, or give one another password; True if it is a new one. Raises PeopleError."""
    check_name(name)
    check_password(password)
    people = load_people(state_dir)
    is_new = name not in people
    if is_new and len(people) >= USERS_MAX:
        raise PeopleError(f"there are {USERS_MAX} users already: remove one first")
    added_at = at if is_new else people[name].added_at
    _save(state_dir, people | {name: Person(name, _hasher.hash(password), added_at)})
    return is_new


def remove_person(state_dir: Path, name: str) -> None:
    """Remove a user; who is logged in stays so until the session is looked at (session.py)."""
    people = load_people(state_dir)
    if name not in people:
        raise PeopleError(f"there is no user {name!r}; there are: {', '.join(people) or 'none'}")
    del people[name]
    _save(state_dir, people)


def is_password(person: Person | None, password: str) -> bool:
    """Whether this is the user's password; takes as long, some 50 ms, for a user that is none."""
    nobody = _nobody()
    try:
        _hasher.verify(nobody if person is None else person.hash, password)
    except (VerificationError, InvalidHashError):
        return False
    return person is not None


@cache
def _nobody() -> str:
    """Compared with where there is no such user: no answer's time tells a name."""
    return _hasher.hash("nobody has this password")


def check_name(name: str) -> None:
    """Raises PeopleError for what cannot be a user's name."""
    if not _NAMES.fullmatch(name):
        rule = "1 to 32 of a to z, 0 to 9, '.', '_' and '-'"
        raise PeopleError(f"{name!r} cannot be a user's name: it must be {rule}")


def check_password(password: str) -> None:
    """Raises PeopleError for what cannot be a password."""
    low, high = PASSWORD_CHARS
    if not low <= len(password) <= high or not password.isprintable():
        raise PeopleError(f"a password must be {low} to {high} printable characters")


def _person(name: str, row: Mapping[str, str]) -> Person:
    if not (_NAMES.fullmatch(name) and isinstance(row["hash"], str)):
        raise ValueError(name)
    return Person(name, row["hash"], from_text(row["added"]))


def _save(state_dir: Path, people: Mapping[str, Person]) -> None:
    users = {p.name: {"hash": p.hash, "added": to_text(p.added_at)} for p in people.values()}
    text = json.dumps({"version": _VERSION, "users": users}, indent=1) + "\n"
    try:
        write_durably(state_dir / NAME, text.encode(), mode=0o600)
    except OSError as error:
        raise PeopleError(f"{state_dir / NAME} cannot be written: {error.strerror}") from error
