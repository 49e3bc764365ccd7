"""Who answers a commissioning: a person at a terminal, or answers that were written before.

Both are a `Talk` (commissionrun.py). A person types a line an answer, also from a pipe; the end of
the input means: another time. Keys: Enter or p pass, f WHY fail, n TEXT note, r read again, l
later, q quit. A line that makes no sense is said, and asked for again.
"""

import asyncio
import os
import select
from collections.abc import Mapping

from rich.console import Console
from rich.text import Text

from shorewatch.field.commission import ASKED, Reading, Step, answered, why_not
from shorewatch.field.commissionrun import AGAIN, QuitError

PAUSE_S = 0.05
_KEYS = {"": "pass", "p": "pass", "f": "fail", "n": "note", "l": "later", "r": AGAIN}


class Written:
    """Answers that were given before."""

    def __init__(self, answers: Mapping[str, str], default: str, how: str) -> None:
        self.how = how
        self._answers = answers
        self._default = default

    def tell(self, text: str, *, is_bad: bool = False) -> None:
        print(text)

    async def answer(self, step: Step, seen: Reading | None, place: str) -> str:
        self.tell(f"[{place}] {step.id}: {seen}")
        return self._answers.get(step.id, self._default)

    async def wanted(self, step: Step, seen: Reading | None, place: str) -> str | None:
        self.tell(f"[{place}] {step.id}: {seen}; change it now, then bring it back")
        answer = self._answers.get(step.id, self._default)
        return None if answer == "pass" else answer

    def heard(self) -> str | None:
        return None

    async def given_up(self, step: Step, why: str) -> str:
        return f"fail: {why}"


class Terminal:
    """A person who types."""

    how = ASKED

    def __init__(self, fd: int) -> None:
        self._console = Console(highlight=False, markup=False, emoji=False)
        self._fd = fd
        self._heard = b""

    def tell(self, text: str, *, is_bad: bool = False) -> None:
        self._console.print(Text(text, style="bold red" if is_bad else ""))

    async def answer(self, step: Step, seen: Reading | None, place: str) -> str:
        why = why_not(seen)
        self._head(step, place)
        self.tell(f"  {seen}", is_bad=why is not None)
        keys = "Enter pass" if why is None else f"it cannot pass: {why}"
        while True:
            self._ask(f"  {keys}, f WHY, n NOTE, r read again, l later, q quit: ")
            found = self._meant(await self._line())
            if found is None or (found == "pass" and why is not None):
                continue
            return found

    async def wanted(self, step: Step, seen: Reading | None, place: str) -> str | None:
        self._head(step, place)
        self.tell(f"  {seen}", is_bad=why_not(seen) is not None)
        self.tell("  change it now (open, press, lift); or f WHY, l later, q quit")
        return None

    def heard(self) -> str | None:
        line = self._typed()
        found = None if line is None else self._meant(line)
        return None if found in (AGAIN, "pass") else found

    async def given_up(self, step: Step, why: str) -> str:
        self.tell(f"  {why}", is_bad=True)
        while True:
            self._ask("  r wait again, f WHY, l later, q quit: ")
            found = self._meant(await self._line())
            if found is not None and found != "pass":
                return found

    def _head(self, step: Step, place: str) -> None:
        self.tell(f"\n[{place}] {step.name} ({step.id})")
        if step.limits:
            self.tell(f"  range {step.limits}")

    def _ask(self, text: str) -> None:
        self._console.print(text, end="", soft_wrap=True)

    def _meant(self, line: str) -> str | None:
        """What a line means; None if it means nothing, which is then said."""
        key, _, more = line.strip().partition(" ")
        if key == "q":
            raise QuitError
        found = _KEYS.get(key.lower())
        if found is None:
            self.tell(f"  {line.strip()!r} is none of the keys", is_bad=True)
            return None
        answer = f"{found}: {more}" if found in ("fail", "note", "later") and more else found
        if answer == AGAIN:
            return AGAIN
        try:
            answered(answer, None)
        except ValueError as error:
            self.tell(f"  {error}", is_bad=True)
            return None
        return answer

    async def _line(self) -> str:
        while True:
            line = self._typed()
            if line is not None:
                return line
            await asyncio.sleep(PAUSE_S)

    def _typed(self) -> str | None:
        """The next line that was typed, if there is one; raises QuitError at the end of all."""
        if b"\n" not in self._heard and select.select([self._fd], [], [], 0)[0]:
            data = os.read(self._fd, 4096)
            if not data:
                raise QuitError
            self._heard += data
        line, found, rest = self._heard.partition(b"\n")
        if not found:
            return None
        self._heard = rest
        return line.decode(errors="replace")
