"""The station's own look at its cable: both ends in, events and a standing fault out."""

import json
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cable_field import START_S, faulty, shown
from hypothesis import given
from hypothesis import strategies as st

from shorewatch.config import Station, load_station
from shorewatch.image import Image
from shorewatch.locator import APART_S_MAX, SILENT_S, Locator
from shorewatch.model import Quality, Reason, Value, good_value, to_text
from shorewatch.mqtt.record import CableFinding
from shorewatch.outbox import Outbox
from shorewatch.plant.cable import HEALTHY, Circuit, Cut

STATIONS = Path(__file__).parents[1] / "supervisor" / "stations"
NEVER = Value(Quality.BAD, Reason.DEVICE_TIMEOUT)


class FakeImage(Image):
    """The last values of the own end, as a test sets them."""

    def __init__(self) -> None:
        self.values: dict[str, Value] = {}

    def look(self, device_id: str) -> dict[str, Value]:
        assert device_id == "pfe"
        return self.values


class Sea:
    """Sumqayit's locator and both ends of a cable, second by second."""

    def __init__(self, outbox: Outbox, folder: Path, start_s: float = START_S) -> None:
        self.now_s = start_s
        self.image = FakeImage()
        self.locator = Locator(
            sumqayit(), self.image, outbox, folder, clock=lambda: self.now_s, utc=self.utc
        )

    def utc(self) -> datetime:
        return datetime.fromtimestamp(self.now_s, UTC)

    def far(self, volts: object, amps: object, *, off_s: float = 0.0) -> bytes:
        at = to_text(datetime.fromtimestamp(self.now_s + off_s, UTC))
        points = {
            name: {"value": value, "quality": "good", "acquired_at": at}
            for name, value in (("line_voltage", volts), ("line_current", amps))
        }
        return json.dumps({"device": "pfe", "at": at, "points": points}).encode()

    async def second(
        self, circuit: Circuit, *, is_far_there: bool = True, off_s: float = 0.0
    ) -> None:
        self.now_s += 1
        a, b = shown(circuit)
        at, ripple = self.utc(), 0.05 * math.sin(self.now_s)
        self.image.values = {
            name: good_value(value, at, self.now_s, 0.01)
            for name, value in (("line_voltage", a.volts + ripple), ("line_current", a.amps))
        }
        if is_far_there:
            message = self.far(-(b.volts - ripple), b.amps, off_s=off_s)
            self.locator.hear(message, is_retained=False)
        await self.locator.look()

    async def run(self, circuit: Circuit, count: int, **how: Any) -> None:
        for _ in range(count):
            await self.second(circuit, **how)


def sumqayit() -> Station:
    return load_station(STATIONS / "sumqayit.toml")


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[Outbox]:
    async with Outbox.opened(folder / "outbox.sqlite", size_bytes_max=10_000_000) as outbox:
        yield outbox


async def events(outbox: Outbox) -> list[dict[str, Any]]:
    await outbox.settled()
    return [{"at": record.at, **record.body} for record in await outbox.read(0, 100)]


async def test_a_fault_is_an_event_and_stands_until_it_is_over(tmp_path: Path) -> None:
    """Found within seconds with its interval, told again when sure, and gone with its repair."""
    async with opened(tmp_path) as outbox:
        sea = Sea(outbox, tmp_path)
        await sea.run(HEALTHY, 120)
        assert sea.locator.text == ""
        await sea.run(faulty(100.0), 60)

        text = sea.locator.text
        assert text is not None and text.startswith("shunt fault 100.")
        assert "between repeaters 1 and 2" in text
        facts = sea.locator.snapshot()
        assert facts["balance_v"] == pytest.approx(-135, abs=1) and 563 < facts["sum_v"] < 565
        await sea.run(HEALTHY, 40)
        assert sea.locator.text == ""
        found = await events(outbox)
    assert [event["what"] for event in found] == ["shunt", "shunt", "over"]
    assert found[0]["place"]["low_km"] < 100 < found[0]["place"]["high_km"]
    for event in found:
        body = {**event, "kind": "event", "seq": 1, "at": to_text(event["at"])}
        CableFinding.model_validate_json(json.dumps(body))


async def test_a_fault_stands_over_a_restart(tmp_path: Path) -> None:
    """A gateway that was killed knows the fault, and sees when it has ended meanwhile or later."""
    async with opened(tmp_path) as outbox:
        sea = Sea(outbox, tmp_path)
        await sea.run(HEALTHY, 120)
        await sea.run(faulty(100.0), 60)
        text = sea.locator.text
        await outbox.settled()
    async with opened(tmp_path) as outbox:
        sea = Sea(outbox, tmp_path, START_S + 300)
        assert sea.locator.text == text
        await sea.run(faulty(100.0), 100)
        assert sea.locator.text == text
        await sea.run(HEALTHY, 40)
        assert sea.locator.text == ""


async def test_a_fault_that_ended_while_nobody_watched_is_over(tmp_path: Path) -> None:
    """The first minute after a restart shows the balance as it was before the fault."""
    async with opened(tmp_path) as outbox:
        sea = Sea(outbox, tmp_path)
        await sea.run(HEALTHY, 120)
        await sea.run(faulty(100.0), 60)
        await outbox.settled()
    async with opened(tmp_path) as outbox:
        sea = Sea(outbox, tmp_path, START_S + 300)
        await sea.run(HEALTHY, 80)
        assert sea.locator.text == ""
        assert (await events(outbox))[-1]["what"] == "over"


async def test_a_cut_stands_until_the_cable_is_fed_again(tmp_path: Path) -> None:
    """No current is told at once, and that it is back."""
    async with opened(tmp_path) as outbox:
        sea = Sea(outbox, tmp_path)
        await sea.run(HEALTHY, 120)
        await sea.run(replace(HEALTHY, cut=Cut(120)), 30)
        assert (sea.locator.text or "").startswith("no current and both ends at high voltage")
        await sea.run(HEALTHY, 120)

        assert sea.locator.text == ""
        assert [event["what"] for event in await events(outbox)] == ["cut", "fed"]


async def test_a_far_end_that_is_not_heard_is_named(tmp_path: Path) -> None:
    """Of one end alone nothing is judged: whether there is a fault is not known."""
    async with opened(tmp_path) as outbox:
        sea = Sea(outbox, tmp_path)
        await sea.run(HEALTHY, 30)
        await sea.run(HEALTHY, int(SILENT_S) + 2, is_far_there=False)

        assert sea.locator.text is None
        assert sea.locator.snapshot()["trouble"] == "Aktau: pfe is not heard of"


async def test_an_own_end_without_values_is_named(tmp_path: Path) -> None:
    """What our own power feed equipment does not say cannot be judged either."""
    async with opened(tmp_path) as outbox:
        sea = Sea(outbox, tmp_path)
        await sea.run(HEALTHY, 30)
        sea.image.values = {"line_voltage": NEVER, "line_current": NEVER}
        sea.now_s += 1
        await sea.locator.look()

        assert sea.locator.snapshot()["trouble"] == "Sumqayit: pfe has no good values"


async def test_clocks_that_are_apart_are_named(tmp_path: Path) -> None:
    """Values of another time are never paired with ours."""
    async with opened(tmp_path) as outbox:
        sea = Sea(outbox, tmp_path)
        await sea.run(HEALTHY, 30, off_s=APART_S_MAX + 20)

        assert sea.locator.text is None
        assert (
            sea.locator.snapshot()["trouble"] == "the clocks of Sumqayit and Aktau are 30 s apart"
        )


async def test_a_clock_that_was_set_back_stops_nothing(tmp_path: Path) -> None:
    """After a step of both clocks to an hour before, a fault is found as ever."""
    async with opened(tmp_path) as outbox:
        sea = Sea(outbox, tmp_path)
        await sea.run(HEALTHY, 120)
        sea.now_s -= 3600
        await sea.run(HEALTHY, 120)
        await sea.run(faulty(300.0), 20)

        assert (sea.locator.text or "").startswith("shunt fault")


async def test_what_hours_have_taught_survives_a_restart(tmp_path: Path) -> None:
    """The healthy sum is in a file, for this very cable only."""
    async with opened(tmp_path) as outbox:
        sea = Sea(outbox, tmp_path)
        await sea.run(HEALTHY, 700)
        sea.locator.save()
        again = Sea(outbox, tmp_path)
        assert again.locator.baseline == sea.locator.baseline is not None

        text = json.loads((tmp_path / "cable.json").read_text()) | {"cable": "another"}
        (tmp_path / "cable.json").write_text(json.dumps(text))
        assert Sea(outbox, tmp_path).locator.baseline is None


@pytest.mark.parametrize(
    "spoil",
    [
        lambda body: b"\xff" + body,
        lambda body: body.replace(b'"good"', b'"bad"'),
        lambda body: body.replace(b"-", b"", 1).replace(b'"value": ', b'"value": 1e999, "x": ', 1),
        lambda body: b"[" * 5000 + body,
    ],
)
async def test_a_message_that_is_none_is_no_value(
    tmp_path: Path, spoil: Callable[[bytes], bytes]
) -> None:
    """What is damaged, bad or no number pairs with nothing."""
    async with opened(tmp_path) as outbox:
        sea = Sea(outbox, tmp_path)
        await sea.run(HEALTHY, 30)
        before = sea.locator.snapshot()["at"]
        for _ in range(8):
            sea.now_s += 1
            sea.locator.hear(spoil(sea.far(282.0, 1.0)), is_retained=False)
            await sea.second(HEALTHY, is_far_there=False)

        pair = sea.locator.status.pair
        assert pair is not None and (pair.b is None or sea.locator.snapshot()["at"] == before)


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["points", "line_voltage", "line_current", "value", "quality", "at"])
            | st.text(max_size=4),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


class Nowhere(Outbox):
    """Keeps nothing."""

    def __init__(self) -> None:
        self.kept = {}


@given(json_values)
def test_no_message_breaks_it(body: object) -> None:
    """Whatever comes on the far end's topic, hearing it raises nothing."""
    locator = Locator(sumqayit(), FakeImage(), Nowhere(), Path("/nonexistent"))
    locator.hear(json.dumps(body).encode(), is_retained=False)
