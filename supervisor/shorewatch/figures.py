"""How an alarm system serves its people, in the figures of ISA-18.2 and IEC 62682. Pure.

From what was raised within a span: how often (an hour, a day, at worst), of which priority, which
alarms most, which chatter, for how much of the time more came than anybody can follow; and which
alarms stand for more than a day. An alarm counts when it is shown to somebody: raised, or raised
anew (realarmed), and neither hidden nor a test.

Beside each figure stands its aim (`aim`), where the standards' literature gives one for a person at
a desk. It is there to compare with, not to filter by. Sources: EEMUA 191; ISA-18.2, clause 16.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from shorewatch.alarms import (
    CHATTER_RAISES,
    CHATTER_S,
    FLOOD_END,
    FLOOD_RAISES,
    FLOOD_S,
    State,
)
from shorewatch.model import from_text, to_text

TOP: Final = 10
STALE_S: Final = 86_400.0
HOUR_S: Final = 3600.0
HIDDEN: Final = frozenset({
    State.SHELVED, State.SUPPRESSED, State.OUT_OF_SERVICE, State.MAINTENANCE,
})  # fmt: skip
PRIORITIES: Final = ("critical", "major", "minor", "warning")
AIMS: Final[Mapping[str, float]] = {
    "per_hour": 6, "per_day": 150, "hours_over_30": 0.01, "flood_share": 0.01, "top_share": 0.05,
    "chattering": 0, "stale": 5,
}  # fmt: skip
_BUSY_HOUR: Final = 30

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Raised:
    """An alarm that was shown to somebody, at a time."""

    at: datetime
    alarm: str
    priority: str


def figures(
    raised: Sequence[Raised],
    from_at: datetime,
    to_at: datetime,
    standing: Sequence[Mapping[str, Any]],
) -> Row:
    """The figures of a span. `standing` are the alarms that are not normal (alarmdesk.py).

    Rates are over the span, and over an hour at least: a minute says nothing about a day.
    """
    raised = sorted((one for one in raised if from_at <= one.at <= to_at), key=lambda one: one.at)
    hours = max((to_at - from_at).total_seconds(), HOUR_S) / HOUR_S
    by_hour = _by_hour(raised, from_at, to_at)
    busy = max(by_hour, key=lambda row: row["count"])
    top = Counter(one.alarm for one in raised).most_common(TOP)
    count = len(raised)
    floods = list(_floods(raised, to_at))
    flood_s = sum((end - begin).total_seconds() for begin, end in floods)
    return {
        "from": to_text(from_at),
        "to": to_text(to_at),
        "raised": count,
        "per_hour": round(count / hours, 2),
        "per_day": round(24 * count / hours, 1),
        "busiest_hour": busy,
        "hours_over_30": _share(sum(row["count"] > _BUSY_HOUR for row in by_hour), len(by_hour)),
        "by_hour": by_hour,
        "floods": [{"from": to_text(begin), "to": to_text(end)} for begin, end in floods],
        "flood_share": _share(flood_s, hours * HOUR_S),
        "top": [{"alarm": name, "count": n, "share": _share(n, count)} for name, n in top],
        "top_share": _share(sum(n for _, n in top), count),
        "priorities": _priorities(raised),
        "chattering": _chattering(raised),
        "stale": _stale(standing, to_at),
        "aim": dict(AIMS),
    }


def _by_hour(raised: Sequence[Raised], from_at: datetime, to_at: datetime) -> list[Row]:
    """How many in each hour of the clock that the span touches."""
    counts = Counter(_hour(one.at) for one in raised)
    hour, found = _hour(from_at), []
    while hour <= to_at:
        found.append({"from": to_text(hour), "count": counts[hour]})
        hour += timedelta(hours=1)
    return found


def _hour(at: datetime) -> datetime:
    return at.replace(minute=0, second=0, microsecond=0)


def _floods(raised: Sequence[Raised], to_at: datetime) -> Iterator[tuple[datetime, datetime]]:
    """When more came than people can follow: the same rule that the page's list goes by."""
    span = timedelta(seconds=FLOOD_S)
    steps = sorted([(one.at, 1) for one in raised] + [(one.at + span, -1) for one in raised])
    count, begin = 0, None
    for at, step in steps:
        count += step
        if at > to_at:
            break
        if begin is None and count >= FLOOD_RAISES:
            begin = at
        elif begin is not None and count < FLOOD_END:
            yield begin, at
            begin = None
    if begin is not None:
        yield begin, to_at


def _priorities(raised: Sequence[Raised]) -> Row:
    counts = Counter(one.priority for one in raised)
    return {
        name: {"count": counts[name], "share": _share(counts[name], len(raised))}
        for name in PRIORITIES
    }


def _chattering(raised: Sequence[Raised]) -> list[Row]:
    """Alarms raised `CHATTER_RAISES` times within `CHATTER_S`, and how many raises that were."""
    by_alarm: dict[str, list[datetime]] = {}
    for one in raised:
        by_alarm.setdefault(one.alarm, []).append(one.at)
    found: dict[str, set[int]] = {}
    for name, times in by_alarm.items():
        for i in range(len(times) - CHATTER_RAISES + 1):
            run = range(i, i + CHATTER_RAISES)
            if (times[run[-1]] - times[i]).total_seconds() <= CHATTER_S:
                found.setdefault(name, set()).update(run)
    rows = [{"alarm": name, "count": len(those)} for name, those in found.items()]
    return sorted(rows, key=lambda row: (-int(str(row["count"])), str(row["alarm"])))


def _stale(standing: Sequence[Mapping[str, Any]], to_at: datetime) -> list[Row]:
    """Alarms that are shown, and on for more than a day."""
    return [
        {"alarm": row["id"], "since": row["since"]}
        for row in standing
        if row["active"] and row["since"] and row["state"] not in HIDDEN
        and (to_at - from_text(row["since"])).total_seconds() > STALE_S
    ]  # fmt: skip


def _share(part: float, whole: float) -> float:
    return round(part / whole, 4) if whole else 0.0
