"""web/feed.py: one look for all viewers, and what each is told."""

import asyncio
import json
from copy import deepcopy

from still import device, point, still

from shorewatch.web.feed import Feed, difference


def applied(before, part):
    """What a page makes of a part."""
    part = deepcopy(part)
    rows, gone = part.pop("set"), part.pop("gone")
    found = {**deepcopy(before), **part}
    for section, changed in rows.items():
        found[section].update(changed)
    for section, ids in gone.items():
        for name in ids:
            del found[section][name]
    return found


def test_a_part_leads_to_the_next_snapshot():
    """Values, lines, a device that comes and one that goes, what stands alone: all of it."""
    before, after = still(), still()
    after["at"] = "2026-11-23T06:00:01.000Z"
    after["devices"]["room"] = device("Room", "inland", point("bad", "sentinel"), point())
    after["devices"]["new"] = device("New", "beach")
    del after["devices"]["lid"]
    after["boards"]["beach"] = after["boards"]["beach"] | {"up": False}
    after["outbox"]["last"] = 4712
    part = difference(before, after)
    assert applied(before, part) == after
    assert set(part["set"]["devices"]) == {"room", "new"} and "cable" not in part


def test_a_value_that_only_grew_older_is_not_sent_again():
    """The viewer counts on; a new acquisition of the same value is told."""
    before, after = still(), still()
    for row in after["devices"]["room"]["points"].values():
        row["age_s"] += 1
    assert difference(before, after) == {"set": {}, "gone": {}}
    after["devices"]["room"]["points"]["p0"]["acquired_at"] = after["at"]
    assert set(difference(before, after)["set"]) == {"devices"}


async def test_nobody_watching_costs_no_look():
    """The station is looked at for viewers only, and once for all of them."""
    looks = 0

    def look():
        nonlocal looks
        looks += 1
        return {"n": looks}

    stop, feed = asyncio.Event(), Feed(look, period_s=0.01)
    running = asyncio.create_task(feed.run(stop))
    await asyncio.sleep(0.05)
    assert looks == 0
    viewers = [feed.follow(stop) for _ in range(5)]
    first = [json.loads((await anext(v)).partition(b"data: ")[2]) for v in viewers]
    assert len({row["n"] for row in first}) == 1 and feed.viewers == 5
    parts = [await anext(v) for v in viewers]
    assert all(part.startswith(b"event: ") for part in parts)
    for viewer in viewers:
        await viewer.aclose()
    assert feed.viewers == 0
    stop.set()
    await running


async def test_a_viewer_that_missed_a_part_gets_the_whole():
    """However slowly it reads, what it has is right."""
    numbers = iter(range(1000))
    stop, feed = asyncio.Event(), Feed(lambda: {"n": next(numbers), "still": 1}, period_s=1000)
    slow = feed.follow(stop)
    await anext(slow)
    for _ in range(3):
        feed._take(feed._look())
    name, _, data = (await anext(slow)).partition(b"\n")
    assert name == b"event: whole"
    assert json.loads(data.removeprefix(b"data: ")) == {"n": 3, "still": 1}
    feed._take(feed._look())
    assert (await anext(slow)).startswith(b"event: part")
    await slow.aclose()
