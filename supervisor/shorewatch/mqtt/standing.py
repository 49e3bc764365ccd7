"""What of ours stands retained at a broker, or may: remembered over restarts, to be taken away.

Kept in the outbox beside the journal, by uplink and url: another broker has nothing of ours.
"""

from collections.abc import Set

from shorewatch.config import UplinkConfig
from shorewatch.outbox import Outbox


class Standing:
    """Names of one sort (`what`: births, alarms) that stand at the uplink's broker, or may."""

    def __init__(self, what: str, config: UplinkConfig, outbox: Outbox) -> None:
        self._key = f"{what}/{config.id}"
        self._url = config.url
        self._outbox = outbox

    @property
    def names(self) -> frozenset[str]:
        """What stands there, or may."""
        facts = self._outbox.kept.get(self._key, {})
        names = facts.get("names") if facts.get("url") == self._url else None
        return frozenset(names if isinstance(names, list) else ())

    def note(self, names: Set[str]) -> None:
        """Remember it."""
        if names != self.names:
            self._outbox.keep(self._key, {"url": self._url, "names": sorted(names)})
