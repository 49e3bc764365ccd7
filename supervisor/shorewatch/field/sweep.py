"""What a scan asks, in which order, and how long that takes. Pure.

A bus speaks one baud rate and one parity, so they are tried from the usual to the rare; the first
at which anything answers is taken to be the bus'. `8N2` comes last: all but the strictest devices
that are set to it answer at 8N1 as well. Each unit is asked once with function 03, the silent ones
again with 04: some devices do not answer a function that they do not know.

A unit that is silent costs the request, the wait, and the time of the shortest reply on the wire.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from shorewatch.config import Baud, DirectConfig, Format
from shorewatch.errors import UsageError

UNIT_ID_MAX = 247
BAUDS: tuple[Baud, ...] = (9600, 19200, 115200, 38400, 57600, 4800, 2400, 14400, 1200)
FORMATS: tuple[Format, ...] = ("8N1", "8E1", "8O1", "8N2")
LISTEN_S = 2.0
# A request, and a reply with one register.
_BYTES = 15

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Setting:
    """How a serial port is set."""

    baud: Baud
    format: Format

    def __str__(self) -> str:
        return f"{self.baud} {self.format}"

    @property
    def char_s(self) -> float:
        """Seconds that a character takes."""
        return (10 if self.format == "8N1" else 11) / self.baud


def parse_units(text: str) -> tuple[int, ...]:
    """`1-247` or `1,3,10-12` as unit ids, ascending; raises UsageError for anything else."""
    found: set[int] = set()
    for part in text.replace(" ", "").split(","):
        match = re.fullmatch(r"(\d{1,3})(?:-(\d{1,3}))?", part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
        if not 1 <= first <= last <= UNIT_ID_MAX:
            rule = f"unit ids are 1 to {UNIT_ID_MAX}, given as 1-247 or 1,3,10-12"
            raise UsageError(f"--units {text}: {part or 'nothing'!r} is none: {rule}")
        found |= set(range(first, last + 1))
    return tuple(sorted(found))


def parse_settings(baud: str, form: str) -> tuple[Setting, ...]:
    """`auto` or lists such as `9600,19200` and `8N1,8E1` as settings, the usual ones first."""
    bauds = _chosen("--baud", baud, {str(known): known for known in BAUDS})
    forms = _chosen("--format", form, {known: known for known in FORMATS})
    return tuple(sorted((Setting(b, f) for f in forms for b in bauds), key=_rarity))


def wait_s_for(setting: Setting, wait_s: float) -> float:
    """What one unit that does not answer costs."""
    return _BYTES * setting.char_s + wait_s


def span_s(
    settings: Sequence[Setting], units: Sequence[int], wait_s: float, rounds: int
) -> tuple[float, float]:
    """How long a scan takes if the first setting is right, and if nothing ever answers."""
    each = [rounds * len(units) * wait_s_for(setting, wait_s) for setting in settings]
    return LISTEN_S + each[0], LISTEN_S + sum(each)


def line_of(port: str, setting: Setting | None) -> DirectConfig:
    """A line as direct/ opens it: a serial port, or with no setting HOST:PORT of Modbus TCP."""
    how = (
        {"tcp": port}
        if setting is None
        else {"port": port, "baud": setting.baud, "format": setting.format}
    )
    device = {"id": "device", "name": "Device", "profile": "profile", "unit_id": 1}
    # How long is waited says the scan, the adapter's or the network's time included.
    return DirectConfig.model_validate({"id": "scan", **how, "delay_ms": 0, "device": [device]})


def _rarity(setting: Setting) -> tuple[bool, int, int]:
    """The two usual ones first, then by parity and baud rate."""
    is_usual = (setting.baud, setting.format) in ((9600, "8N1"), (19200, "8E1"))
    form = FORMATS.index(setting.format)
    return not is_usual, form, BAUDS.index(setting.baud)


def _chosen(option: str, text: str, known: Mapping[str, T]) -> list[T]:
    """The values that a list names; all of them for auto."""
    if text == "auto":
        return list(known.values())
    found = []
    for part in text.replace(" ", "").split(","):
        if part not in known:
            raise UsageError(f"{option} {text}: {part!r} is none of auto, {', '.join(known)}")
        found.append(known[part])
    return found
