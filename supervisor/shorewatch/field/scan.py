"""A line scanned: how it is set, who is on it, what they are, what is wrong with it.

    listen ──▶ hunt: every setting, every unit, function 03 ──▶ the silent again, function 04
           ──▶ each unit found: asked some more times, identification, signatures, long answers

Only `Read` and `Identify` requests leave (direct/frame.py). Before the first one the line is
listened to: on a line that another client uses nothing is asked. What is known so far stands in the
scan's attributes at any moment, so that Ctrl-C costs only what is not done yet. Where only damaged
answers come, the hunt goes on: another setting may be the right one.

Limits: one request at a time; a silent unit costs `wait_s`; a unit that was found is asked at most
some 80 times more.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace

from shorewatch.direct.frame import Identify, Outcome, Read
from shorewatch.field.guess import Guess, guess, seen_in
from shorewatch.field.probe import Asker, Trial, probing
from shorewatch.field.sweep import LISTEN_S, Setting, line_of
from shorewatch.field.symptom import (
    DAMAGED_MIN,
    Case,
    Symptom,
    cases,
    dissect,
    others_on,
    symptoms,
)
from shorewatch.profile import Profile
from shorewatch.sign import Ask, Seen

CHECKS = 8
LENGTHS = (120, 60, 30, 16, 8)
WAIT_S_FOUND = 0.5  # for what is asked of a unit that is known to be there
LATE_S = 1.0
BEHIND_S = 0.03  # behind an answer, for a second one
SILENT_MAX = 2  # requests of one function that a device may leave unanswered
_NOBODY = (0x0A, 0x0B)  # a gateway's exceptions: there is no such unit behind it

Tell = Callable[[str, int, int], None]
Opener = Callable[[Setting | None], AbstractAsyncContextManager[Asker]]


@dataclass(slots=True)
class Found:
    """One unit that answers, or of which damaged answers come."""

    unit_id: int
    setting: Setting | None
    is_clear: bool = True  # whether a proper answer ever came
    reply_ms: float = 0.0
    wait_s: float = WAIT_S_FOUND
    identity: dict[int, str] = field(default_factory=dict)
    guess: Guess = field(default_factory=Guess)
    is_checked: bool = False


@dataclass(slots=True)
class _Silences:
    """Which functions a device does not answer at all."""

    silent: dict[int, int] = field(default_factory=dict)
    known: set[int] = field(default_factory=set)

    def is_deaf(self, function: int) -> bool:
        return function not in self.known and self.silent.get(function, 0) >= SILENT_MAX

    def note(self, function: int, trial: Trial) -> None:
        if trial.is_answer:
            self.known.add(function)
        else:
            self.silent[function] = self.silent.get(function, 0) + 1


class Scan:
    """Scans one port; `settings` of None stands for HOST:PORT of Modbus TCP.

    Attributes:
        setting: how the line is set, once somebody has answered.
        found: who answers, by unit id.
        is_busy: another client was heard, so that nothing was asked.
        setting_is_known: somebody has answered properly.
        is_whole: everything was asked.
        opener: opens the line at a setting; as it is left, the port of this machine.
        uart: the board's that asks; None where an adapter does.
    """

    def __init__(
        self,
        port: str,
        settings: Sequence[Setting] | None,
        units: Sequence[int],
        profiles: Sequence[Profile],
        *,
        wait_s: float,
        functions: Sequence[int] = (3, 4),
        listen_s: float = LISTEN_S,
        tell: Tell = lambda text, done, total: None,
    ) -> None:
        self.port = port
        self.uart: int | None = None
        self.opener: Opener = lambda setting: probing(line_of(port, setting))
        self.units = units
        self.setting: Setting | None = None
        self.found: dict[int, Found] = {}
        self.is_busy = self.is_whole = self.setting_is_known = False
        self._settings: Sequence[Setting | None] = settings or [None]
        self._profiles = profiles
        self._wait_s = wait_s
        self._functions = functions
        self._listen_s = listen_s
        self.tell = tell
        self._trials: list[Trial] = []
        self._damaged_trials: list[Trial] = []  # of the first setting with damaged answers alone
        self._silence = b""
        self._silence_s = 0.0

    @property
    def is_serial(self) -> bool:
        return self._settings[0] is not None

    @property
    def asked(self) -> int:
        """Requests that were sent to the setting at which somebody answered, or to the last one."""
        return len(self._trials)

    @property
    def symptoms(self) -> list[Symptom]:
        """What is wrong with the line, as far as was heard."""
        if not self.is_serial:
            return []
        return symptoms(self._trials, self._silence, self._silence_s)

    async def run(self) -> None:
        """Scan; raises LinkError if the port does not open or is lost."""
        if self.is_serial and await self._is_in_use():
            return
        for function in self._functions:
            for at, setting in enumerate(self._settings):
                async with self.opener(setting) as prober:
                    await self._try(prober, setting, function, at)
                if self.setting_is_known:
                    break
            if self.found:
                break
        if not self.setting_is_known and self._damaged_trials:
            self._trials = self._damaged_trials
        self.is_whole = True

    async def _try(self, prober: Asker, setting: Setting | None, function: int, at: int) -> None:
        """One setting: hunt, and if somebody answers, everything else."""
        self._trials = []
        text = f"{setting or self.port}, function {function:02}"
        await self._ask_all(prober, setting, function, text, at)
        unclear = [f for f in self.found.values() if not f.is_clear and f.setting == setting]
        for found in unclear:
            await self._repeat(prober, found)
        if unclear and not self._damaged_trials:
            self._damaged_trials = self._trials
        if any(found.is_clear for found in self.found.values()):
            self.setting, self.setting_is_known = setting, True
            for more in self._functions[self._functions.index(function) + 1 :]:
                await self._ask_all(prober, setting, more, f"{setting or self.port} again", at)
            await self._check_all(prober)

    async def _is_in_use(self) -> bool:
        """Whether another client is heard; where there are bytes, at any of the baud rates."""
        heard_at: set[int] = set()
        for setting in self._settings:
            assert setting is not None, "a serial line has settings"
            if setting.baud in heard_at:
                continue
            heard_at.add(setting.baud)
            self.tell(f"listening at {setting.baud}: is somebody else on this line?", 0, 0)
            async with self.opener(setting) as prober:
                heard = await prober.listen(self._listen_s)
            self.is_busy = bool(others_on(heard))
            if self.is_busy or not self._silence_s:
                self._silence, self._silence_s = heard, self._listen_s
            if self.is_busy or len(heard) < DAMAGED_MIN:
                break
        return self.is_busy

    async def _ask_all(
        self, prober: Asker, setting: Setting | None, function: int, text: str, at: int
    ) -> None:
        """Ask every unit that has not answered yet for one register."""
        silent = [unit for unit in self.units if not self._is_clear(unit)]
        begun = len(self._trials)
        total = len(self.units) * len(self._settings)
        for count, unit_id in enumerate(silent):
            self.tell(f"{text}: unit {unit_id}", at * len(self.units) + count, total)
            await self._ask(prober, setting, Read(unit_id, function, 0, 1), self._wait_s)
        if silent:
            await self._listen_on(prober, min(self._wait_s, 0.2))
        for unit_id in self._late(begun):
            await self._ask(prober, setting, Read(unit_id, function, 0, 1), LATE_S)

    async def _listen_on(self, prober: Asker, for_s: float) -> None:
        """Hear what comes behind the last request: a late answer, a second one."""
        if self.is_serial and self._trials:
            heard = await prober.listen(for_s)
            self._trials[-1] = replace(self._trials[-1], after=heard)

    def _late(self, begun: int) -> list[int]:
        """Units whose answers came when another one was being asked, and those others."""
        found = set()
        for trial in self._trials[begun:]:
            if dissect(trial) is Case.FOREIGN and not self._is_clear(trial.unit_id):
                found.add(trial.unit_id)  # its own answer may have met the late one
            for piece in others_on(trial.before) + others_on(trial.heard + trial.after):
                is_asked = piece.unit_id in self.units and not self._is_clear(piece.unit_id)
                if is_asked and piece.data != trial.frame:
                    found.add(piece.unit_id)
        return sorted(found)

    async def _ask(
        self, prober: Asker, setting: Setting | None, request: Read, wait_s: float
    ) -> Trial:
        trial = await prober.ask(request, wait_s)
        self._trials.append(trial)
        unit_id = trial.unit_id
        if trial.is_answer and trial.exception not in _NOBODY:
            found = self.found.setdefault(unit_id, Found(unit_id, setting))
            found.is_clear, found.setting = True, setting
            found.reply_ms = max(found.reply_ms, trial.reply_s * 1000)
            found.wait_s = max(found.wait_s, 2 * trial.reply_s)
        elif self.is_serial and dissect(trial) not in (Case.SILENT, Case.FOREIGN):
            self.found.setdefault(unit_id, Found(unit_id, setting, is_clear=False))
        return trial

    def _is_clear(self, unit_id: int) -> bool:
        return unit_id in self.found and self.found[unit_id].is_clear

    async def _check_all(self, prober: Asker) -> None:
        units = sorted(self.found)
        for at, unit_id in enumerate(units):
            found = self.found[unit_id]
            self.tell(f"unit {unit_id}: is it sound?", at, len(units))
            await self._repeat(prober, found)
            if found.is_clear:
                self.tell(f"unit {unit_id}: what is it?", at, len(units))
                await self._identify(prober, found)
                await self._stretch(prober, found)
            found.is_checked = True
        self.tell("done", len(units), len(units))

    async def _repeat(self, prober: Asker, found: Found) -> None:
        """Ask a unit the same again, with time enough between for a second answer."""
        request = self._short(found)
        for _ in range(CHECKS):
            await self._ask(prober, found.setting, request, found.wait_s)
            await self._listen_on(prober, BEHIND_S)

    def _short(self, found: Found) -> Read:
        """The first request that this unit has answered, or was heard after."""
        own = [t for t in self._trials if t.unit_id == found.unit_id and t.heard]
        best = next((t for t in own if t.is_answer), own[0] if own else None)
        if best is not None and isinstance(best.request, Read):
            return best.request
        return Read(found.unit_id, 3, 0, 1)

    async def _identify(self, prober: Asker, found: Found) -> None:
        unit_id = found.unit_id
        silences = _Silences()

        async def read(ask: Ask) -> Seen:
            if silences.is_deaf(ask.function):
                return None
            request = Read(unit_id, ask.function, ask.address, ask.count)
            trial = await self._ask(prober, found.setting, request, WAIT_S_FOUND)
            if not trial.is_answer:  # once more: a word that was damaged is no silence
                trial = await self._ask(prober, found.setting, request, WAIT_S_FOUND)
            silences.note(ask.function, trial)
            return seen_in(trial)

        identity = Identify(unit_id)
        trial = await prober.ask(identity, found.wait_s)
        if trial.outcome is Outcome.GOOD:
            found.identity = identity.objects(trial.reply)
        baud = None if found.setting is None else found.setting.baud
        found.guess = await guess(self._profiles, read, unit_id=unit_id, baud=baud)

    async def _stretch(self, prober: Asker, found: Found) -> None:
        """Ask for as many registers at once as the unit gives, some times: damage by length."""
        if not self.is_serial:
            return
        for start in self._starts(found.unit_id):
            for count in LENGTHS:
                request = Read(found.unit_id, *start, count)
                trial = await self._ask(prober, found.setting, request, found.wait_s)
                if trial.exception is None and dissect(trial) is not Case.SILENT:
                    for _ in range(CHECKS - 1):
                        await self._ask(prober, found.setting, request, found.wait_s)
                    return

    def _starts(self, unit_id: int) -> list[tuple[int, int]]:
        """Where registers of a unit can be read: (function, address), at most three."""
        good = {
            (t.request.function, t.request.address): None
            for t in self._trials
            if t.unit_id == unit_id
            and t.outcome is Outcome.GOOD
            and isinstance(t.request, Read)
            and t.request.function in (3, 4)
        }
        return list(good)[:3]

    def damaged(self, unit_id: int) -> tuple[int, int]:
        """Of a unit's answers: how many were damaged, and how many were heard."""
        seen = [case for trial, case in cases(self._trials) if trial.unit_id == unit_id]
        heard = [case for case in seen if case is not Case.SILENT]
        return sum(case not in (Case.CLEAN, Case.DOUBLE) for case in heard), len(heard)
