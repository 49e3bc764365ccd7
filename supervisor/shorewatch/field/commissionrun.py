"""A commissioning at work: what is read, who is asked, what is put on record, step by step.

Who answers is a `Talk`: a person at a terminal, or a file of answers. Whoever it is, the value that
counts is the one of the moment of the answer, and commission.py says what it may come to. A contact
is not answered but seen: it must change, and come back.

Limits: a contact is waited for as long as `contact_s`; a value that was never read, `FIRST_S`; the
figures of a bus, `BUSES_S`.
"""

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from shorewatch.compiled import Compiled
from shorewatch.disk import write_durably
from shorewatch.errors import LinkError, ShorewatchError, UsageError
from shorewatch.field.commission import (
    ASKED,
    Kind,
    Outcome,
    Reading,
    Result,
    Step,
    answered,
    failed_by_persons,
    identity,
    reading,
    steps,
    still_open,
    why_not,
)
from shorewatch.field.commissionfile import Ledger
from shorewatch.field.commissionpaper import page, record, written
from shorewatch.field.doctor import advise, as_row
from shorewatch.field.doctorfigures import COUNT_MIN, Bus, buses
from shorewatch.field.sight import Sight, settled
from shorewatch.model import to_text, utc_now

FIRST_S = 10.0
BUSES_S = 15.0
LOOK_S = 0.2

AGAIN = "again"


class QuitError(ShorewatchError):
    """Whoever answers wants to go on another time."""


class Talk(Protocol):
    """Who answers."""

    @property
    def how(self) -> str:
        """How answers come, for the record."""

    def tell(self, text: str, *, is_bad: bool = False) -> None:
        """Say something."""

    async def answer(self, step: Step, seen: Reading | None, place: str) -> str:
        """An answer as `answered` takes it, or AGAIN; raises QuitError."""

    async def wanted(self, step: Step, seen: Reading | None, place: str) -> str | None:
        """Ask for a contact to be changed; an answer if it shall not be waited for."""

    def heard(self) -> str | None:
        """An answer that came while a contact is waited for; raises QuitError."""

    async def given_up(self, step: Step, why: str) -> str:
        """An answer where a contact was not seen to change; AGAIN waits again."""


class Commissioning:
    """One board's."""

    def __init__(
        self,
        compiled: Compiled,
        board_id: str,
        sight: Sight,
        ledger: Ledger,
        talk: Talk,
        *,
        by: str,
        contact_s: float,
    ) -> None:
        self._compiled = compiled
        self._board_id = board_id
        self._sight = sight
        self._ledger = ledger
        self._talk = talk
        self._by = by
        self._contact_s = contact_s
        self.plan = steps(compiled, board_id)
        self._before: Mapping[str, Any] = {}

    async def begin(self) -> None:
        """Look who is there; raises LinkError if it is not the board, or nobody."""
        look = await settled(self._sight, self._board_id)
        self._before = look
        outcome, why = identity(look, self._compiled, self._board_id)
        self._put("board", outcome, why, how="measured")
        self._talk.tell(f"board {self._board_id}: {why}", is_bad=outcome is Outcome.FAIL)
        if outcome is Outcome.FAIL:
            raise LinkError(f"board {self._board_id} cannot be commissioned: {why}")

    async def walk(self) -> None:
        """Every step that is open; raises QuitError."""
        todo = list(still_open(self.plan, self._ledger.results))
        done = len([s for s in self.plan if s.kind in (Kind.POINT, Kind.CONTACT)]) - len(todo)
        if done:
            self._talk.tell(f"{done} steps are done already; {len(todo)} are open")
        failed = failed_by_persons(self._ledger.results)
        for at, step in enumerate(todo, 1):
            place = f"{at} of {len(todo)}"
            before = failed.get(step.id)
            if before is not None and self._talk.how != ASKED:
                text = f"[{place}] {step.id}: {before.by} has failed it: {before.why}"
                self._talk.tell(f"{text}; only a person can pass it", is_bad=True)
            elif step.kind is Kind.CONTACT:
                await self._contact(step, place)
            else:
                await self._point(step, place)

    async def end(self, facts: Mapping[str, Any], path: Path) -> dict[str, Any]:
        """Judge the buses, write the record and its page; returns the record."""
        judged = [(bus, advise(bus)) for bus in await self._buses()]
        for step, (bus, advice) in zip(self._bus_steps, judged, strict=False):
            why = "; ".join(f"{each.said}: {each.evidence}" for each in advice)
            outcome = Outcome.FAIL if advice else Outcome.PASS
            self._put(step.id, outcome, why or _counted(bus), how="measured")
            self._talk.tell(f"{step.name}: {why or _counted(bus)}", is_bad=bool(advice))
        rows = [as_row(bus, advice) for bus, advice in judged]
        body = record(facts, self.plan, self._ledger.results, rows)
        for file, data in ((path, written(body)), (path.with_suffix(".html"), page(body))):
            try:
                write_durably(file, data)
            except OSError as error:
                text = f"{file}: {error.strerror}; name another --record"
                raise UsageError(text) from error
        return body

    @property
    def _bus_steps(self) -> list[Step]:
        return [step for step in self.plan if step.kind is Kind.BUS]

    async def _buses(self) -> list[Bus]:
        """What the buses have counted since the beginning, as soon as it says anything."""
        until_s = time.monotonic() + BUSES_S
        while True:
            found = buses(await settled(self._sight, self._board_id), self._before)
            if all(bus.counts.requests >= COUNT_MIN for bus in found) or time.monotonic() > until_s:
                return found
            await asyncio.sleep(LOOK_S)

    async def _point(self, step: Step, place: str) -> None:
        while True:
            answer = await self._talk.answer(step, await self._first(step), place)
            if answer == AGAIN:
                continue
            seen = await self._read(step)
            outcome, why = answered(answer, seen)
            self._put(step.id, outcome, why, seen)
            self._say(outcome, why)
            return

    async def _contact(self, step: Step, place: str) -> None:
        seen = await self._first(step)
        answer = await self._talk.wanted(step, seen, place)
        while answer in (None, AGAIN):
            was = seen.text if seen is not None and why_not(seen) is None else None
            answer, changed = await self._until(step, was)
            if answer is not None:
                break
            if changed is not None:
                self._talk.tell(f"  it changed to {changed.text}; now bring it back")
                answer, back = await self._until(step, changed.text)
                if back is not None:
                    why = f"{was} to {changed.text} at {changed.acquired_at}, back to {back.text}"
                    self._put(step.id, Outcome.PASS, why, back, how="seen to change")
                    self._say(Outcome.PASS, why)
                    return
                if answer is not None:
                    break
            why = f"no change was seen in {self._contact_s:g} s"
            answer = await self._talk.given_up(step, why)
            seen = await self._read(step)
        assert answer is not None, "the loop ends with one"
        if answer == "pass":
            answer = "fail: it was not seen to change"
        outcome, why = answered(answer, seen)
        self._put(step.id, outcome, why, seen)
        self._say(outcome, why)

    async def _until(self, step: Step, was: str | None) -> tuple[str | None, Reading | None]:
        """An answer that came, or the contact off the state `was`; neither: time is over."""
        until_s = time.monotonic() + self._contact_s
        while time.monotonic() < until_s:
            if (answer := self._talk.heard()) is not None:
                return answer, None
            seen = await self._read(step)
            if seen is not None and why_not(seen) is None:
                if was is not None and seen.text != was:
                    return None, seen
                was = seen.text if was is None else was
            await asyncio.sleep(LOOK_S)
        return None, None

    async def _first(self, step: Step) -> Reading | None:
        """The step's point as soon as it was read, or as it is after a while."""
        until_s = time.monotonic() + FIRST_S
        while True:
            seen = await self._read(step)
            if (seen is not None and seen.age_s is not None) or time.monotonic() >= until_s:
                return seen
            await asyncio.sleep(LOOK_S)

    async def _read(self, step: Step) -> Reading | None:
        return reading(await self._sight.look(self._board_id), step)

    def _put(
        self,
        id_: str,
        outcome: Outcome,
        why: str,
        seen: Reading | None = None,
        how: str | None = None,
    ) -> None:
        at = str(to_text(utc_now()))
        self._ledger.add(Result(id_, outcome, at, self._by, how or self._talk.how, why, seen))

    def _say(self, outcome: Outcome, why: str) -> None:
        text = f"  {outcome}{f': {why}' if why else ''}"
        self._talk.tell(text, is_bad=outcome is Outcome.FAIL)


def _counted(bus: Bus) -> str:
    counts = bus.counts
    return f"{counts.requests} requests meanwhile, {counts.good} good, {counts.timeouts} unanswered"
