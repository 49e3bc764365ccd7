"""What is wrong with a cable at this moment, from findings and pairs, and when it is over; pure.

A shunt fault stands until the watcher says that it is over, and a lost feed until the cable is fed
again. While it is not fed, nothing is known of a fault that stood before, and so it stands. Fed
again it is over, unless the balance is still far from nominal (`off`): that is waited for over
`SETTLED` pairs. A leak that grows stands until the cable was without feed, as for its repair.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from shorewatch.cable.finding import Finding
from shorewatch.cable.line import Cable
from shorewatch.cable.pairing import Pair

SETTLED: Final = 90
_LIVE_SHARE: Final = 0.9


@dataclass(slots=True)
class Standing:
    """`fault` is the shunt or leak that stands, `feed` the cut or trip; None if there is none."""

    cable: Cable
    fault: Finding | None = None
    feed: Finding | None = None
    unsettled: int = 0

    @property
    def findings(self) -> list[Finding]:
        """All that stands, the feed first."""
        return [finding for finding in (self.feed, self.fault) if finding is not None]

    def note(self, finding: Finding) -> None:
        """Something was found."""
        match finding.kind:
            case "shunt":
                self.fault, self.unsettled = finding, 0
            case "leak" if self.fault is None or self.fault.kind == "leak":
                self.fault, self.unsettled = finding, 0
            case "cut" | "lost":
                self.feed = finding
            case "over":
                self.fault = None
            case "fed":
                self.feed = None
            case "off":
                self.unsettled = 0

    def take(self, pair: Pair) -> Iterator[Finding]:
        """Look at one second; what is over is a finding, to be noted like the others."""
        if pair.a is None or pair.b is None:
            return
        if (pair.a.amps + pair.b.amps) / 2 < _LIVE_SHARE * self.cable.nominal_a:
            self.unsettled = SETTLED if self.fault is not None else 0
            return
        if self.feed is not None:
            yield Finding("fed", pair.at_s, pair.at_s)
        if self.unsettled:
            self.unsettled -= 1
            if not self.unsettled and self.fault is not None:
                yield Finding("over", pair.at_s, pair.at_s)
