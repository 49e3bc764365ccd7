"""TOML files as validated tables, with every problem at its line.

`load_toml` reads one file into a pydantic model; whatever is wrong (syntax, unknown key, type,
range, a rule between keys) becomes a `Problem` with file, line, key, value and rule, all of them
in one ConfigError. Who has rules of its own reads the file with `read_toml` and adds its problems
to those of the shape. tomllib keeps no positions, so `locate` finds lines by scanning the text.
"""

import difflib
import os
import re
import stat
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from shorewatch.disk import open_at_once
from shorewatch.errors import ConfigError, Problem

Key = tuple[str | int, ...]
_HEADER = re.compile(r"^\s*(\[\[|\[)\s*([^\]]+?)\s*\]")
_ASSIGNMENT = re.compile(r"^\s*([A-Za-z0-9_\-.\"']+)\s*=")
_FILE_SIZE_MAX = 8_000_000
_SECRET = re.compile("pass|pwd|secret|token|private|^key$", re.IGNORECASE)
_NO_SECRETS = (
    "no secret stands in this file: put it into a file that only its owner can read, and name that "
    "(password_file, key_file), or a systemd credential (password_credential, key_credential)"
)
# A password may have any character of a url in it, and may stand behind the address too.
_LOGIN = re.compile("://.*@")
_QUERY = re.compile("(://[^?#]*[?#]).*")


class Table(BaseModel):
    """Base of everything read from TOML: unknown keys are errors, values are not coerced."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


T = TypeVar("T", bound=Table)


def printable(text: str) -> str:
    """`text`, which is shown to people as it is; raises ValueError for what steers a terminal."""
    if not text.isprintable():
        raise ValueError("must not contain control characters")
    return text


Text = Annotated[str, Field(min_length=1, max_length=80), AfterValidator(printable)]


@dataclass(frozen=True)
class TomlFile:
    """A TOML file as read: its values, and the lines they stand on.

    `overrides` are (dotted key, value) pairs that were laid over it; they have no line.
    """

    path: Path
    lines: Sequence[str]
    data: Mapping[str, Any]
    overrides: Sequence[tuple[str, Any]] = ()

    def problem(self, key: Key, value: str | None, rule: str) -> Problem:
        """What is wrong with `key`, told with its place."""
        name = ".".join(map(str, key)) or "file"
        if any(f"{name}.".startswith(f"{over}.") for over, _ in self.overrides):
            return Problem("--set", None, name, value, rule)
        return Problem(str(self.path), locate(self.lines, key), name, value, rule)

    def parse(self, shape: type[T]) -> tuple[T | None, list[Problem]]:
        """The values as `shape`, or None and everything that is wrong with them."""
        try:
            return shape.model_validate(self.data), []
        except ValidationError as error:
            return None, [self._problem(shape, e) for e in error.errors()]

    def _problem(self, shape: type[Table], error: ErrorDetails) -> Problem:
        key = error["loc"]
        rule = error["msg"].removeprefix("Value error, ")
        if error["type"] == "extra_forbidden" and _SECRET.search(str(key[-1])):
            return self.problem(key, None, _NO_SECRETS)
        if error["type"] == "extra_forbidden":
            rule = "is no key of this table"
            near = difflib.get_close_matches(str(key[-1]), _fields(shape, key[:-1]), 1)
            rule += f"; did you mean {near[0]!r}?" if near else ""
        elif error["type"] == "missing":
            rule = "is missing"
        return self.problem(
            key, None if error["type"] == "missing" else _short(error["input"]), rule
        )


def load_toml(path: Path, shape: type[T]) -> T:
    """Read `path` as `shape`.

    Raises ConfigError: the file cannot be read, is no TOML, or breaks rules (all are listed).
    """
    found, problems = read_toml(path).parse(shape)
    if found is None:
        raise ConfigError(problems)
    return found


def read_toml(path: Path, overrides: Sequence[tuple[str, Any]] = ()) -> TomlFile:
    """Read `path` and lay `overrides` over it; nothing is validated yet.

    Raises ConfigError: the file cannot be read or is no TOML, or an override has no place in it.
    """
    text = _read(path)
    try:
        data = tomllib.loads(text)
    except ValueError as error:  # TOMLDecodeError, or a number of more digits than int() takes
        found = re.search(r"line (\d+)", str(error))
        line = int(found.group(1)) if found else None
        rule = f"is not TOML: {str(error).split(' (at')[0]}"
        raise ConfigError([Problem(str(path), line, "syntax", None, rule)]) from error
    except RecursionError as error:
        rule = "is nested too deeply"
        raise ConfigError([Problem(str(path), None, "syntax", None, rule)]) from error
    for key, value in overrides:
        _override(data, key, value)
    return TomlFile(path, text.splitlines(), data, overrides)


def locate(lines: Sequence[str], key: Key) -> int | None:
    """The 1-based line on which `key` (or, failing that, its nearest parent) stands."""
    best: int | None = None
    counts: dict[tuple[str, ...], int] = {}
    wanted = _names_and_indices(key)
    here: list[tuple[str, int]] = []
    depth = -1
    for number, line in enumerate(lines, 1):
        if header := _HEADER.match(line):
            path = tuple(_split(header.group(2)))
            if header.group(1) == "[[":
                counts[path] = counts.get(path, -1) + 1
                for deeper in [p for p in counts if len(p) > len(path) and p[: len(path)] == path]:
                    del counts[deeper]
            here = [(name, counts.get(path[: i + 1], 0)) for i, name in enumerate(path)]
            found = here
        elif assignment := _ASSIGNMENT.match(line):
            found = here + [(name, 0) for name in _split(assignment.group(1))]
        else:
            continue
        if found == wanted[: len(found)] and len(found) > depth:
            best, depth = number, len(found)
    return best


def _read(path: Path) -> str:
    try:
        with open(path, "rb", opener=open_at_once) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                rule = "is no regular file (a pipe or a device): put the file itself there"
                raise ConfigError([Problem(str(path), None, "file", None, rule)])
            data = file.read(_FILE_SIZE_MAX + 1)
        if len(data) > _FILE_SIZE_MAX:
            rule = f"is larger than {_FILE_SIZE_MAX:,} bytes"
            raise ConfigError([Problem(str(path), None, "file", None, rule)])
        return data.decode().replace("\r\n", "\n")
    except OSError as error:
        rule = f"cannot be read: {error.strerror}"
        raise ConfigError([Problem(str(path), None, "file", None, rule)]) from error
    except UnicodeDecodeError as error:
        rule = f"is not UTF-8 text (byte {error.start})"
        raise ConfigError([Problem(str(path), None, "file", None, rule)]) from error


def _override(data: dict[str, Any], key: str, value: Any) -> None:
    parents = key.split(".")
    last = parents.pop()
    node: Any = data
    for done, part in enumerate(parents):
        if isinstance(node, dict):
            node = node.setdefault(part, {})
        else:
            node = node[_index(node, part, key)]
        if not isinstance(node, (dict, list)):
            rule = f"{'.'.join(parents[: done + 1])} is a value, not a table"
            raise ConfigError([Problem("--set", None, key, None, rule)])
    node[last if isinstance(node, dict) else _index(node, last, key)] = value


def _index(node: Sequence[Any], part: str, key: str) -> int:
    """`part` of `key` as a place in a list that is there."""
    if not part.isdecimal() or int(part) >= len(node):
        rule = f"{part!r} must be a number from 0 to {len(node) - 1}"
        raise ConfigError([Problem("--set", None, key, None, rule)])
    return int(part)


def _short(value: Any) -> str | None:
    if isinstance(value, (dict, list, BaseModel)):
        return None
    text = _QUERY.sub(r"\1...", _LOGIN.sub("://...@", repr(value)))
    return text if len(text) <= 60 else text[:57] + "..."


def _fields(shape: Any, key: Iterable[str | int]) -> list[str]:
    """The keys allowed where an unknown one was found."""
    for part in key:
        if isinstance(part, int):
            continue
        field = getattr(shape, "model_fields", {}).get(part)
        if field is None:
            return []
        shape = _innermost(field.annotation)
    return list(getattr(shape, "model_fields", {}))


def _innermost(annotation: Any) -> Any:
    """The table class inside list[...], dict[str, ...], Optional[...] or Annotated[...]."""
    while not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
        inner = [a for a in get_args(annotation) if a is not str and a is not type(None)]
        if not inner:
            return None
        annotation = inner[0]
    return annotation


def _names_and_indices(key: Key) -> list[tuple[str, int]]:
    pairs: list[tuple[str, int]] = []
    for part in key:
        if isinstance(part, int) and pairs:
            pairs[-1] = (pairs[-1][0], part)
        else:
            pairs.append((str(part), 0))
    return pairs


def _split(dotted: str) -> list[str]:
    return [part.strip().strip("\"'") for part in dotted.split(".")]
