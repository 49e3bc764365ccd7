"""Contacts: from the switch at a door to the NOC, with the time it moved."""

from datetime import datetime

import pytest

from shorewatch.hil.bench import Bench
from shorewatch.hil.noc import BenchNoc
from shorewatch.hil.part import Edge
from shorewatch.model import from_text

pytestmark = [pytest.mark.timeout(180), pytest.mark.needs("north", "CONTACTS")]
LID, DOOR = 0, 1
PAIRS = 20
APART_US = 3000


def moved(noc: BenchNoc, contact: str) -> list[dict]:
    return noc.events(f"north-contacts.{contact}")


async def test_an_alarm_has_the_time_its_contact_moved(bench: Bench) -> None:
    """An opened lid is an alarm at the NOC, with the time it moved to the stated uncertainty."""
    errors_ms, uncertainties_ms = [], []
    for turn in range(8):
        at = await bench.boards["north"].move([Edge(LID, is_closed=False)])
        await bench.noc.until(lambda noc, n=turn: len(moved(noc, "lid")) > 2 * n or None, "lid")
        await bench.boards["north"].move([Edge(LID, is_closed=True)])
        events = await bench.noc.until(
            lambda noc, n=turn: moved(noc, "lid") if len(moved(noc, "lid")) > 2 * n + 1 else None,
            "the lid closed again",
        )
        opened = events[2 * turn]
        assert opened["what"] == "raised" and events[2 * turn + 1]["what"] == "over"
        error_s = (from_text(opened["at"]) - at).total_seconds()
        uncertainty_s = opened["uncertainty_s"]
        assert error_s >= -uncertainty_s, "it is stamped before it moved"
        errors_ms.append(error_s * 1000)
        uncertainties_ms.append(uncertainty_s * 1000)
    # What is left is what the bench takes to move a contact; it is a busy computer, so the best.
    assert min(abs(e) for e in errors_ms) <= max(uncertainties_ms) + 20

    alarms = await bench.noc.until(
        lambda noc: noc.alarms("lid-open") if len(noc.alarms("lid-open")) >= 16 else None,
        "every alarm",
    )
    assert [a["what"] for a in alarms[:2]] == ["raised", "returned"]
    bench.figures["stamped after the contact moved, ms"] = errors_ms
    bench.figures["stated uncertainty of the stamp, ms"] = uncertainties_ms


async def test_two_contacts_3_ms_apart_keep_their_order(bench: Bench) -> None:
    """Whichever of two contacts moved first is first at the NOC, in sequence and in time."""
    apart_ms = []
    for turn in range(PAIRS):
        is_closed = turn % 2 == 1
        first, second = (LID, DOOR) if turn % 4 < 2 else (DOOR, LID)
        edges = [Edge(first, is_closed=is_closed), Edge(second, is_closed, APART_US)]
        await bench.boards["north"].move(edges)
        await bench.noc.until(
            lambda noc, n=turn + 1: (
                (len(moved(noc, "lid")) >= n and len(moved(noc, "door")) >= n) or None
            ),
            "both contacts",
        )
        names = ("lid", "door") if first == LID else ("door", "lid")
        one, two = (moved(bench.noc, name)[turn] for name in names)
        assert one["seq"] < two["seq"] and one["sequence"] < two["sequence"]
        between: datetime = from_text(two["at"]) - from_text(one["at"])
        apart_ms.append(between.total_seconds() * 1000)
        assert apart_ms[-1] > 0
    bench.figures["between two contacts 3 ms apart, ms"] = apart_ms
