"""The words of the page and of the verdict by key: English as shipped, others from a file.

    {"nav.alarms": "Alarms",                                        a text
     "uplink.title": "Uplink {id}",                                 one with a place, by name
     "points": {"one": "{count} point", "other": "{count} points"}} one that counts, by plural form

A file of another language has the keys of `languages/en.json`, each with the same places; those
that it lacks are English. Plural forms are those of Unicode CLDR (zero, one, two, few, many,
other); a browser knows which number takes which. What stations and profiles call their own, and
what the gateway says of a fault in detail, stands in no table. Limits: 500 kB, 400 characters.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from html import escape
from pathlib import Path
from typing import Final

from shorewatch.errors import ConfigError, Problem

Text = str | Mapping[str, str]

FORMS: Final = ("zero", "one", "two", "few", "many", "other")
SIZE_BYTES_MAX: Final = 500_000
TEXT_CHARS_MAX: Final = 400
_ENGLISH: Final = Path(__file__).parent / "languages" / "en.json"
_PLACE = re.compile(r"\{(\w+)\}")
_SLOT = re.compile(r"\{\{([\w.-]+)\}\}")


@dataclass(frozen=True, slots=True, eq=False)
class Texts:
    """All texts in one language, a BCP 47 tag like `az` or `kk-Cyrl`."""

    language: str
    by_key: Mapping[str, Text]

    def said(self, key: str, values: Mapping[str, object] | None = None) -> str:
        """A text with its places filled, lists joined; what counts is counted as in English."""
        values = values or {}
        text = self.by_key[key]
        if not isinstance(text, str):
            text = text["one" if values.get("count") == 1 and "one" in text else "other"]
        return _PLACE.sub(lambda place: _shown(values[place[1]]), text)

    def filled(self, html: str) -> str:
        """A page in which `{{key}}` stands for a text, and `{{language}}` for the language."""

        def text(slot: re.Match[str]) -> str:
            return escape(self.language if slot[1] == "language" else self.said(slot[1]))

        return _SLOT.sub(text, html)


@cache
def english() -> Texts:
    """The texts as shipped."""
    return Texts("en", json.loads(_ENGLISH.read_text("utf-8")))


def load_texts(path: Path, language: str) -> Texts:
    """The texts of a file over the English ones; raises ConfigError with all that is wrong."""
    try:
        with path.open("rb") as file:
            data = file.read(SIZE_BYTES_MAX + 1)
    except OSError as error:
        rule = f"cannot be read: {error.strerror}; name a file beside the station file"
        raise ConfigError([Problem(str(path), None, "file", None, rule)]) from error
    if len(data) > SIZE_BYTES_MAX:
        rule = f"must have at most {SIZE_BYTES_MAX} bytes"
        raise ConfigError([Problem(str(path), None, "file", None, rule)])
    try:
        pairs = json.loads(data.decode("utf-8"), object_pairs_hook=lambda pairs: pairs)
    except (ValueError, RecursionError) as error:
        line = getattr(error, "lineno", None)
        rule = f"must be JSON in UTF-8: {error}"
        raise ConfigError([Problem(str(path), line, "file", None, rule)]) from error
    lines = data.decode("utf-8").splitlines()
    problems = [
        Problem(str(path), _line(lines, key), key, value, rule)
        for key, value, rule in _flaws(pairs)
    ]
    if problems:
        raise ConfigError(problems)
    own = {key: dict(text) if isinstance(text, list) else text for key, text in pairs}
    return Texts(language, {**english().by_key, **own})


def _flaws(pairs: object) -> Iterator[tuple[str, str | None, str]]:
    """What is wrong with a file's content, read as lists of pairs: key, value, rule."""
    if not isinstance(pairs, list) or not all(isinstance(pair, tuple) for pair in pairs):
        yield "file", None, 'must be one JSON object: {"nav.alarms": "...", ...}'
        return
    seen: set[str] = set()
    for key, text in pairs:
        if key in seen:
            yield key, None, "is there twice: leave one out"
        seen.add(key)
        if key not in english().by_key:
            near = get_close_matches(key, english().by_key, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            yield key, None, f"is no key of the page{hint} (`shorewatch schema` writes them all)"
        else:
            for value, rule in _text_flaws(english().by_key[key], text):
                yield key, value, rule


def _text_flaws(model: Text, text: object) -> Iterator[tuple[str | None, str]]:
    """What is wrong with one text, beside its English `model`: value, rule."""
    if isinstance(model, str):
        yield from _form_flaws(model, text)
        return
    if not isinstance(text, list) or not all(isinstance(pair, tuple) for pair in text):
        yield None, 'counts something: must have plural forms, like {"one": "...", "other": "..."}'
        return
    forms = [form for form, _ in text]
    if "other" not in forms or len(set(forms)) < len(forms) or not {*forms} <= {*FORMS}:
        yield ", ".join(map(str, forms)), f"must have the form other, each of {FORMS} at most once"
        return
    for _, form in text:
        yield from _form_flaws(model["other"], form)


def _form_flaws(model: str, text: object) -> Iterator[tuple[str | None, str]]:
    if not isinstance(text, str):
        yield None, "must be a text, in quotation marks"
    elif not text.strip() or not text.isprintable() or len(text) > TEXT_CHARS_MAX:
        rule = f"must have 1 to {TEXT_CHARS_MAX} characters that can be seen"
        yield repr(text[:80]), rule
    elif _places(text) != _places(model):
        wanted = ", ".join(sorted(_places(model))) or "none"
        yield repr(text[:80]), f"must have the places of the English text: {wanted}"


def _places(text: str) -> set[str]:
    """The places of a text; a brace that belongs to none counts as one, so that it is told."""
    rest = _PLACE.sub("", text)
    return {f"{{{name}}}" for name in _PLACE.findall(text)} | {c for c in "{}" if c in rest}


def _line(lines: list[str], key: str) -> int | None:
    """Where a key stands, if it stands there as it is."""
    found = (number for number, line in enumerate(lines, 1) if f'"{key}"' in line)
    return next(found, None)


def _shown(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
