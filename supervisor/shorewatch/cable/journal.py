"""Records of stations' journals to readings of the two ends; pure.

A record of kind `sample` holds the points that changed at one acquisition; an unchanged one is
repeated before half its maximum age. So each end's last volts and amperes go on until they change,
are bad, or are older than the pairing holds them. Volts and amperes are taken as magnitudes.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from shorewatch.cable.budget import Shown
from shorewatch.cable.file import CableFile, EndConfig
from shorewatch.cable.line import End
from shorewatch.cable.pairing import HOLD_S, Reading


@dataclass(slots=True)
class _Last:
    """What one point last was, and when."""

    value: float | None = None
    at_s: float = 0.0


class JournalReader:
    """Takes records of any stations and kinds; gives readings of one cable's two ends."""

    def __init__(self, cable: CableFile) -> None:
        self._cable = cable
        self._last: dict[tuple[End, str], _Last] = {}

    def take(self, station: str, body: Mapping[str, object]) -> Iterator[Reading]:
        """A record of `<cable>/<station>` as it came."""
        cable_id, _, station_id = station.partition("/")
        end = self._cable.end_of(station_id)
        if cable_id != self._cable.cable.id or end is None or body.get("kind") != "sample":
            return
        config = self._cable.named(end)
        at_s = _seconds(body.get("at"))
        if body.get("device") != config.device or at_s is None:
            return
        if self._note(end, config, body, at_s):
            yield Reading(at_s, end, self._shown(end, config, at_s))

    def _note(self, end: End, config: EndConfig, body: Mapping[str, object], at_s: float) -> bool:
        """Keep what the record says of volts and amperes; whether it says anything."""
        is_news = False
        for point in (config.voltage, config.current):
            for group in ("points", "bad", "uncertain"):
                table = body.get(group)
                if isinstance(table, Mapping) and point in table:
                    value = table[point] if group == "points" else None
                    is_number = isinstance(value, int | float) and not isinstance(value, bool)
                    self._last[end, point] = _Last(value if is_number else None, at_s)
                    is_news = True
        return is_news

    def _shown(self, end: End, config: EndConfig, at_s: float) -> Shown | None:
        found = [self._last.get((end, p), _Last()) for p in (config.voltage, config.current)]
        volts, amps = (last.value if at_s - last.at_s < HOLD_S else None for last in found)
        return None if volts is None or amps is None else Shown(abs(volts), abs(amps))


def _seconds(text: object) -> float | None:
    if not isinstance(text, str):
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment.timestamp() if moment.tzinfo is not None else None
