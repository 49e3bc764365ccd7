"""What a stranger's message says, taken out with care: pure.

Each function gives the thing itself or what stands for its absence; `whole` raises Nonsense, since
a message with a wrong sequence is none. Nothing here can raise anything else, whatever JSON holds.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Final

from shorewatch.model import from_text

SEQ_MAX: Final = 2**53 - 1
JsonObject = dict[str, object]


class Nonsense(Exception):
    """A message that is not what its topic promises; its text is the rule that it breaks."""


def whole(value: object) -> int:
    """A sequence: a whole number that every reader of JSON holds exactly."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= SEQ_MAX:
        raise Nonsense("a sequence that is no number")
    return value


def number(value: object, otherwise: float) -> float:
    """A number, or `otherwise`."""
    try:
        return float(value) if isinstance(value, (int, float)) else otherwise
    except OverflowError:
        return otherwise


def text(value: object) -> str | None:
    """A text, or None."""
    return value if isinstance(value, str) else None


def time(value: object) -> datetime | None:
    """A time with its zone, or None."""
    try:
        return from_text(value) if isinstance(value, str) else None
    except (ValueError, OverflowError):
        return None


def entries(value: object) -> Iterator[tuple[object, Mapping[object, object]]]:
    """The tables in a table."""
    for name, entry in value.items() if isinstance(value, dict) else ():
        if isinstance(entry, dict):
            yield name, entry
