"""What people switch on for a while: maintenance of the whole station, and a test alarm. Pure.

While the station is in maintenance its alarms are judged and recorded, but hidden; that it is so is
an alarm of its own, which nothing hides. A test alarm goes the way of every other one, through
record, page and list; it ends when acknowledged, or after `TEST_S`. `BUILT_IN` are these two
alarms; no station file can use their ids.

Time is monotonic; what is kept for a restart has remaining seconds. A test does not outlast one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from shorewatch.alarms import SHELF_S_MAX, AlarmError, Rule, When
from shorewatch.config import AlarmConfig
from shorewatch.model import from_text, to_text

MAINTENANCE: Final = "maintenance-mode"
TEST: Final = "test-alarm"
TEST_S: Final = 60.0
MAINTENANCE_S_MAX: Final = SHELF_S_MAX

BUILT_IN: Final = {
    config.id: config
    for config in (
        AlarmConfig(
            id=MAINTENANCE,
            text="Maintenance mode: other alarms are hidden",
            action="When the work is done, end it: shorewatch alarm maintenance --end.",
            priority="minor",
            event_type="processing-error",
            probable_cause="configurationOrCustomizationError",
            gateway="maintenance",
        ),
        AlarmConfig(
            id=TEST,
            text="Test alarm: nothing is wrong",
            action="Acknowledge it, and tell who asked for the test that it arrived.",
            priority="minor",
            event_type="processing-error",
            gateway="test",
        ),
    )
}
RULES: Final = tuple(
    Rule(config.id, config.source, When.BAD, is_always_shown=True) for config in BUILT_IN.values()
)


@dataclass(frozen=True, slots=True)
class Maintenance:
    """Somebody's work at the station, until `due_s`."""

    by: str
    reason: str
    since: datetime
    due_s: float


class Modes:
    """What is switched on at one station."""

    def __init__(self, saved: Mapping[str, object], now_s: float) -> None:
        """`saved` is what `saved()` gave before a restart; anything else counts as nothing."""
        self.maintenance: Maintenance | None = None
        self.test_due_s: float | None = None
        by, reason, since, left_s = (saved.get(key) for key in ("by", "note", "since", "left_s"))
        if isinstance(left_s, (int, float)) and isinstance(since, str) and left_s > 0:
            due_s = now_s + left_s
            self.maintenance = Maintenance(str(by), str(reason), from_text(since), due_s)

    @property
    def well(self) -> dict[str, bool]:
        """The sources of the built-in alarms, as parts of the gateway that are well."""
        return {
            BUILT_IN[MAINTENANCE].source: self.maintenance is None,
            BUILT_IN[TEST].source: self.test_due_s is None,
        }

    def begin(self, by: str, seconds: float, reason: str, now_s: float, at: datetime) -> None:
        """Begin maintenance, or set its reason and time anew."""
        if not 0 < seconds <= MAINTENANCE_S_MAX:
            raise AlarmError(f"maintenance lasts 1 s to {MAINTENANCE_S_MAX / 3600:.0f} h")
        if not reason.strip():
            raise AlarmError("maintenance needs a reason: who comes next will ask for it")
        since = at if self.maintenance is None else self.maintenance.since
        self.maintenance = Maintenance(by, reason, since, now_s + seconds)

    def end(self) -> None:
        """End maintenance."""
        if self.maintenance is None:
            raise AlarmError("the station is not in maintenance")
        self.maintenance = None

    def is_over(self, now_s: float) -> bool:
        """Whether the time of a maintenance is over that has not ended."""
        return self.maintenance is not None and self.maintenance.due_s <= now_s

    def test(self, now_s: float) -> None:
        """Begin a test alarm."""
        if self.test_due_s is not None:
            raise AlarmError("a test alarm is on already: acknowledge it, or wait a minute")
        self.test_due_s = now_s + TEST_S

    def end_test(self, now_s: float | None = None) -> None:
        """End the test alarm: at once, or only if it is due by `now_s`."""
        if self.test_due_s is not None and (now_s is None or self.test_due_s <= now_s):
            self.test_due_s = None

    def saved(self, now_s: float) -> dict[str, object]:
        """The maintenance as JSON, its time as remaining seconds; empty if there is none."""
        found = self.maintenance
        if found is None:
            return {}
        left_s = round(max(0.0, found.due_s - now_s), 3)
        return {
            "by": found.by, "note": found.reason, "since": to_text(found.since), "left_s": left_s,
        }  # fmt: skip
