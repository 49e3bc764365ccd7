"""The link in virtual time: whatever happens to link, board, device and clocks, time is honest.

What must hold is checked ten times a second of virtual time. A failure prints its history.
"""

import asyncio
from datetime import timedelta
from functools import cache
from pathlib import Path

from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from sim import BASE_AT, Journal, World, now_s, run_virtual

from shorewatch.assets import asset_folder
from shorewatch.config import load_station
from shorewatch.image import Image
from shorewatch.link import QUIET_S, BoardLink
from shorewatch.model import Quality, Value, to_text
from shorewatch.plan import BoardPlan, compile_board
from shorewatch.report import Reporter

POLL_S = 0.4
# The reads of one poll, each at its slowest.
READS_S = 12 * 0.04
LINK_TIMEOUT_S = 0.5

SPANS = st.sampled_from([0.07, 0.4, 1.3, 3.1, 9.0, 25.0])
ACTIONS = st.one_of(
    st.tuples(st.sampled_from(["cut", "dead", "off", "hung"]), SPANS),
    st.tuples(st.just("cut"), st.just(900.0)),
    st.tuples(st.just("wall"), st.sampled_from([-7200.0, -3.0, -0.02, 0.0, 0.3, 60.0, 86400.0])),
    st.tuples(st.just("unset"), st.just(0.0)),
    st.tuples(st.just("stamp"), st.integers(1, 40)),
    st.tuples(st.just("flood"), st.integers(250, 600)),
    st.tuples(st.just("wait"), SPANS),
)


@cache
def beach() -> BoardPlan:
    """The beach board, with contacts."""
    path = asset_folder("stations") / "sumqayit.toml"
    return compile_board(load_station(path), "beach")


class Run:
    """One history: the link runs, things happen, and what is shown is looked at."""

    def __init__(self, plan: BoardPlan, seed: int, ppm: float, up_s: float) -> None:
        self.world = World(plan, seed, ppm=ppm, up_s=up_s)
        self.image = Image(plan.station, clock=now_s)
        self.journal = Journal(self.world)
        self.plan = plan
        self.link = self.linked()
        self.up_s: float | None = None

    def linked(self) -> BoardLink:
        return BoardLink(
            self.plan, Path("/nowhere"), self.image, reporter=Reporter(self.plan.station),
            records=self.journal, clock=self.world.clock, opened=self.world.opened,
        )  # fmt: skip

    async def live(self, actions) -> None:
        world = self.world
        tasks = [asyncio.create_task(world.follow(block)) for block in self.plan.blocks]
        tasks.append(asyncio.create_task(self.link.run()))
        await self.watch(2.0)
        for kind, size in actions:
            if kind == "wait":
                await self.watch(size)
            elif kind == "wall":
                world.set_wall(size)
            elif kind == "unset":
                world.set_wall(-BASE_AT.timestamp() - now_s() + 100.0)
            elif kind in ("stamp", "flood"):
                await self.stamp(size, 0.1 if kind == "stamp" else 0.001)
            else:
                await self.fault(kind, size)
            await self.watch(0.1)
        await self.watch(30.0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def fault(self, kind: str, span_s: float) -> None:
        setattr(self.world, f"is_{kind}", True)
        await self.watch(span_s / 2)
        await self.stamp(3, 0.1)
        await self.watch(span_s / 2)
        setattr(self.world, f"is_{kind}", False)
        if kind == "off":
            self.world.boot(now_s())
        self.world.well_s = now_s()

    async def stamp(self, count: int, apart_s: float) -> None:
        for i in range(count):
            self.world.stamp(0x0100, i % 2 << 15, i, late_s=self.world.rng.random() * 0.0014)
            await self.watch(self.world.rng.random() * apart_s)

    async def watch(self, span_s: float) -> None:
        end_s, step_s = now_s() + span_s, 0.1 if span_s < 60 else 2.0
        while now_s() < end_s:
            await asyncio.sleep(min(step_s, end_s - now_s()))
            self.look()

    def look(self) -> None:
        is_up = self.link.status.up and not (self.world.is_cut or self.world.is_off)
        self.up_s = (self.up_s or now_s()) if is_up else None
        if self.world.is_well:
            waited_s = now_s() - self.world.well_s
            assert is_up or waited_s < LINK_TIMEOUT_S + QUIET_S + READS_S + 0.1, "still down"
        for device in [*self.plan.station.of_board("beach"), self.plan.station.contacts["beach"]]:
            for name, value in self.image.look(device.id).items():
                point = device.points[name]
                self.judge(value, point.age_max_s, point.period_s)
        value = self.image.look("room")["temperature"]
        if value.quality is not Quality.BAD:
            self.judge_time(value, self.plan.station.devices["room"].points["temperature"])

    def judge(self, value: Value, age_s_max: float, period_s: float) -> None:
        if value.quality is Quality.BAD and self.up_s is not None and self.world.is_well:
            waited_s = now_s() - max(self.up_s, self.world.well_s)
            assert waited_s < period_s + POLL_S + READS_S + 0.1, value
        if value.quality is not Quality.BAD:
            assert now_s() - value.acquired_s <= age_s_max

    def judge_time(self, value: Value, point) -> None:
        """What the sensor said tells when it was asked for."""
        true_s = self.world.asked_s[round(value.value * 10)]
        assert now_s() - true_s <= point.age_max_s
        assert value.acquired_s <= true_s
        offs_s = [
            (value.acquired_at - BASE_AT - timedelta(seconds=true_s + wall_s)).total_seconds()
            for wall_s in self.world.walls_since(true_s)
        ]
        assert min(map(abs, offs_s)) <= value.uncertainty_s + 1e-5, offs_s

    def judge_events(self) -> None:
        """Each event is a record once, or told as lost; its time is within what is said of it."""
        told: dict[tuple[int, int], tuple[float, float]] = {}
        for kind, at, body, wall_s in self.journal.all:
            if kind == "event" and "sequence" in body:
                key = int(str(body["boot"]), 16), body["sequence"]
                assert key not in told, f"{key} twice"
                off_at = at - BASE_AT - timedelta(seconds=wall_s)
                told[key] = off_at.total_seconds(), body["uncertainty_s"]
        losses = [body for kind, _, body, _ in self.journal.all if kind == "loss"]
        for boot, sequence, true_s in self.world.stamped:
            if (boot, sequence) in told:
                at_s, uncertainty_s = told[boot, sequence]
                assert abs(at_s - true_s) <= uncertainty_s, (at_s - true_s, uncertainty_s)
            else:
                why = f"{sequence} of boot {boot} is lost unseen"
                assert any(self.is_told(loss, boot, sequence, true_s) for loss in losses), why

    def is_told(self, loss, boot: int, sequence: int, true_s: float) -> bool:
        """Whether a loss record speaks of this event, with the right time if clocks never step."""
        first = 0 if loss["last_read"] is None else loss["last_read"] + 1
        count, before = loss["count"], int(loss["boot"], 16)
        is_spoken_of = boot == before and first <= sequence
        if count is not None:
            is_spoken_of &= sequence < first + count
        elif before < boot < int(loss["next_boot"], 16):
            is_spoken_of = True  # a boot that came and went while nobody looked
        if not is_spoken_of or len(self.world.walls) > 1:
            return is_spoken_of
        at = to_text(BASE_AT + timedelta(seconds=true_s))
        return loss["from_at"] <= at <= loss["to_at"]


# A history is short as it is, and making it shorter would take minutes.
@settings(max_examples=60, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(
    actions=st.lists(ACTIONS, min_size=4, max_size=8),
    seed=st.integers(0, 2**32),
    ppm=st.floats(-100, 100),
    up_s=st.sampled_from([0.5, 70.0, 5000.0, 4e6]),
)
def test_time_is_honest(actions, seed, ppm, up_s):
    """Nothing older than its maximum age is good, nothing good long called bad, no time wrong."""

    async def history() -> None:
        run = Run(beach(), seed, ppm, up_s)
        await run.live(actions)
        run.judge_events()

    run_virtual(history())
