"""The alarms of a station: values, time and operators' words in, transitions out. Pure, no I/O.

Each alarm is a machine of ISA-18.2 / IEC 62682. What it is, is made of independent facts:

    is_on        the condition, after its delays          is_acked    the operator knows
    is_latched   was on, waits for a reset                hidden by   out of service, design, shelf,
                                                                      maintenance of the station

    is_on  is_acked  is_latched     state                     letter in ISA-18.2
    no     yes       no             normal                    A
    yes    no        any            unacknowledged            B
    yes    yes       any            acknowledged              C
    no     no        no             returned                  D
    no     no        yes            latched-unacknowledged    E
    no     yes       yes            latched-acknowledged      F
    any    any       any            shelved, suppressed, out-of-service: G, H, I
    any    any       any            maintenance: I as well, of the whole station

A hidden alarm goes on being evaluated and journalled; nobody has to acknowledge what came and went
while it was hidden. What cannot be judged (a bad value) leaves everything as it was, timers
included: that something is not known is the business of an alarm of its own (`when = "bad"`).

Time comes as an argument: monotonic seconds for timers, UTC for people. `Alarms.saved` gives the
state of one alarm with its timers as remaining seconds, for the outbox to keep.
"""

import heapq
import math
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from shorewatch.model import Quality, Scalar, Value, from_text, to_text

CHATTER_RAISES, CHATTER_S = 3, 60.0
FLOOD_RAISES, FLOOD_END, FLOOD_S = 10, 5, 600.0
HOLD_S = 30.0
SHELF_S_MAX = 24 * 3600.0


class State(StrEnum):
    """What an operator is shown of an alarm."""

    NORMAL = "normal"
    UNACKNOWLEDGED = "unacknowledged"
    ACKNOWLEDGED = "acknowledged"
    RETURNED = "returned"
    LATCHED_UNACKNOWLEDGED = "latched-unacknowledged"
    LATCHED_ACKNOWLEDGED = "latched-acknowledged"
    SHELVED = "shelved"
    SUPPRESSED = "suppressed"
    OUT_OF_SERVICE = "out-of-service"
    MAINTENANCE = "maintenance"


class When(StrEnum):
    """How a value is judged."""

    ABOVE = "above"
    BELOW = "below"
    IS = "is"
    IS_NOT = "is-not"
    BIT = "bit"
    BIT_CLEAR = "bit-clear"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Rule:
    """One alarm as configured. `source` names a value: `pfe.line_current`, `board.beach.up`."""

    id: str
    source: str
    when: When
    limit: Scalar = True
    deadband: float = 0.0
    on_delay_s: float = 0.0
    off_delay_s: float = 0.0
    is_latching: bool = False
    suppressed_by: tuple[str, ...] = ()
    group: str | None = None
    # Acknowledged and still on after so long, it is to be acknowledged again; 0: never.
    realarm_s: float = 0.0
    # Shown also while the station is in maintenance mode.
    is_always_shown: bool = False

    def judge(self, value: Value, *, was: bool) -> bool | None:
        """Whether the condition holds, given that it did (`was`); None if that is not known."""
        if self.when is When.BAD:
            return value.quality is Quality.BAD
        found = value.value
        if found is None:
            return None
        if self.when in (When.IS, When.IS_NOT):
            return (found == self.limit) is (self.when is When.IS)
        assert isinstance(found, (int, float)) and isinstance(self.limit, (int, float)), self.id
        if self.when in (When.BIT, When.BIT_CLEAR):
            return bool(int(found) >> int(self.limit) & 1) is (self.when is When.BIT)
        sign = 1.0 if self.when is When.ABOVE else -1.0
        beyond = sign * (found - self.limit)
        return beyond > (-self.deadband if was else 0.0)


@dataclass(frozen=True, slots=True)
class Transition:
    """What happened to one alarm: the content of its journal record.

    `what` is raised, realarmed, returned, acknowledged, reset, shelved, unshelved, suppressed,
    unsuppressed, out-of-service, in-service, note or removed. `by` and `text` are an operator's.
    `facts` is what `Alarms.saved` gives at this moment, without later transitions of the same look.
    """

    alarm: str
    what: str
    state: State
    at: datetime
    value: Scalar | None = None
    by: str | None = None
    text: str | None = None
    is_first_out: bool = False
    is_chattering: bool = False
    facts: Mapping[str, object] = field(default_factory=dict)


class AlarmError(ValueError):
    """An operator's word that does not fit the alarm; its text says why."""


class Alarm:
    """One alarm's facts. Only `Alarms` changes them."""

    __slots__ = (
        "due_s", "held_at_s", "hold_due_s", "is_acked", "is_in_maintenance", "is_latched", "is_on",
        "is_out_of_service", "is_raw", "is_suppressed", "last_value", "on_since", "raises",
        "realarm_due_s", "rule", "shelf_due_s", "was_first_out",
    )  # fmt: skip

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.is_raw = False
        self.is_on = False
        self.is_acked = True
        self.is_latched = False
        self.is_suppressed = False
        self.is_out_of_service = False
        self.is_in_maintenance = False
        self.was_first_out = False
        # When is_on shall follow is_raw; while the value is bad the timer stands at `held_at_s`.
        self.due_s: float | None = None
        self.held_at_s: float | None = None
        self.shelf_due_s: float | None = None
        self.realarm_due_s: float | None = None
        # The cause is over: until then its consequences stay suppressed, they need time as well.
        self.hold_due_s: float | None = None
        self.on_since: datetime | None = None
        self.last_value: Scalar | None = None
        self.raises: deque[float] = deque(maxlen=CHATTER_RAISES)

    @property
    def is_hidden(self) -> bool:
        """Whether it is kept from the operator's list."""
        is_taken_out = self.is_out_of_service or self.is_in_maintenance
        return is_taken_out or self.is_suppressed or self.shelf_due_s is not None

    @property
    def is_timed(self) -> bool:
        """Whether a timer of it is running."""
        timers = (self.due_s, self.shelf_due_s, self.hold_due_s, self.realarm_due_s)
        return any(due_s is not None for due_s in timers)

    @property
    def state(self) -> State:
        """What an operator is shown."""
        if self.is_out_of_service:
            return State.OUT_OF_SERVICE
        if self.is_in_maintenance:
            return State.MAINTENANCE
        if self.is_suppressed:
            return State.SUPPRESSED
        if self.shelf_due_s is not None:
            return State.SHELVED
        if self.is_on:
            return State.ACKNOWLEDGED if self.is_acked else State.UNACKNOWLEDGED
        if self.is_latched:
            return State.LATCHED_ACKNOWLEDGED if self.is_acked else State.LATCHED_UNACKNOWLEDGED
        return State.NORMAL if self.is_acked else State.RETURNED

    def is_chattering(self, now_s: float) -> bool:
        """Raised `CHATTER_RAISES` times within `CHATTER_S`."""
        return len(self.raises) == CHATTER_RAISES and now_s - self.raises[0] <= CHATTER_S


class Alarms:
    """All alarms of a station."""

    def __init__(
        self, rules: Sequence[Rule], saved: Mapping[str, Mapping[str, object]], now_s: float
    ) -> None:
        """`saved` holds what `saved()` gave before a restart; what no rule knows is left out."""
        self._set_alarms([Alarm(rule) for rule in rules])
        # (due, a number that makes entries comparable, alarm); stale entries are skipped.
        self._timers: list[tuple[float, int, Alarm]] = []
        self._timer_count = 0
        self._raises: deque[float] = deque()
        self.is_flood = False
        self._now_s = now_s
        for alarm_id, state in saved.items():
            if alarm_id in self._alarms:
                self._restore(self._alarms[alarm_id], state, now_s)

    def _set_alarms(self, alarms: Sequence[Alarm]) -> None:
        self._alarms = {alarm.rule.id: alarm for alarm in alarms}
        assert len(self._alarms) == len(alarms), "alarm ids are unique"
        self._by_source: dict[str, list[Alarm]] = {}
        self._consequences: dict[str, list[Alarm]] = {}
        self._groups: dict[str, list[Alarm]] = {}
        for alarm in alarms:
            rule = alarm.rule
            self._by_source.setdefault(rule.source, []).append(alarm)
            for cause in rule.suppressed_by:
                assert cause in self._alarms, f"{rule.id}: {cause} is no alarm"
                self._consequences.setdefault(cause, []).append(alarm)
            if rule.group is not None:
                self._groups.setdefault(rule.group, []).append(alarm)

    def adopt(self, rules: Sequence[Rule], now_s: float, at: datetime) -> list[Transition]:
        """Judge by `rules` from here on.

        An alarm that asks the same of the same source keeps its state and its timers, whatever its
        limit is; every other one of before ends (`removed`), and others begin normal.
        """
        before, alarms = self._alarms, []
        for rule in rules:
            old = before.get(rule.id)
            stays = old is not None and (old.rule.source, old.rule.when) == (rule.source, rule.when)
            alarms.append(old if old is not None and stays else Alarm(rule))
        staying = set(alarms)
        ended = [alarm for alarm in before.values() if alarm not in staying]
        for alarm in ended:
            alarm.due_s = alarm.shelf_due_s = alarm.hold_due_s = alarm.realarm_due_s = None
        out = [Transition(alarm.rule.id, "removed", State.NORMAL, at) for alarm in ended]
        for alarm, rule in zip(alarms, rules, strict=True):
            alarm.rule = rule
            if rule.realarm_s <= 0:
                alarm.realarm_due_s = None
            if alarm.is_latched and not rule.is_latching:
                alarm.is_latched = False
                out.append(self._said(alarm, "reset", at, text="its rule does not latch"))
        self._set_alarms(alarms)
        for alarm in alarms:
            self._review(alarm, now_s, at, out)
        return out

    def __getitem__(self, alarm_id: str) -> Alarm:
        """Raises AlarmError if there is no such alarm."""
        if alarm_id not in self._alarms:
            raise AlarmError(f"there is no alarm {alarm_id!r}")
        return self._alarms[alarm_id]

    def __iter__(self) -> Iterator[Alarm]:
        return iter(self._alarms.values())

    @property
    def next_due_s(self) -> float:
        """When `tick` has something to do at the earliest; infinity if nothing is running."""
        return self._timers[0][0] if self._timers else math.inf

    def take(
        self, values: Iterable[tuple[str, Value]], now_s: float, at: datetime
    ) -> list[Transition]:
        """Judge new values, (source, value) each, after every timer that is due."""
        out = self.tick(now_s, at)
        for source, value in values:
            for alarm in self._by_source.get(source, ()):
                self._judge(alarm, value, now_s, at, out)
        return out

    def tick(self, now_s: float, at: datetime) -> list[Transition]:
        """Let timers run out. A transition has the time at which its timer did."""
        self._now_s = now_s
        out: list[Transition] = []
        while self._timers and self._timers[0][0] <= now_s:
            due_s, _, alarm = heapq.heappop(self._timers)
            due_at = at - timedelta(seconds=now_s - due_s)
            # What hides an alarm ends before its condition changes: in doubt it is shown.
            if alarm.shelf_due_s == due_s:
                alarm.shelf_due_s = None
                out.append(self._said(alarm, "unshelved", due_at, text="its time is over"))
            if alarm.hold_due_s == due_s:
                self._set_suppressed(alarm, False, due_at, out)
            if alarm.due_s == due_s and alarm.held_at_s is None:
                self._flip(alarm, due_s, due_at, out)
            if alarm.realarm_due_s == due_s:
                alarm.realarm_due_s = None
                alarm.is_acked = False
                out.append(
                    self._said(alarm, "realarmed", due_at, text="acknowledged, and still on")
                )
        self._watch_flood(now_s)
        return out

    def acknowledge(self, alarm_id: str, by: str, at: datetime) -> Transition:
        """The operator knows."""
        alarm = self[alarm_id]
        if alarm.is_acked:
            raise AlarmError(f"{alarm_id} is {alarm.state}: there is nothing to acknowledge")
        alarm.is_acked = True
        if alarm.is_on and alarm.rule.realarm_s > 0:
            alarm.realarm_due_s = self._now_s + alarm.rule.realarm_s
            self._start(alarm, alarm.realarm_due_s)
        return self._said(alarm, "acknowledged", at, by)

    def reset(self, alarm_id: str, by: str, at: datetime) -> Transition:
        """Release a latch: only when the condition is over, and known to the operator."""
        alarm = self[alarm_id]
        if not alarm.is_latched or alarm.is_on or not alarm.is_acked:
            raise AlarmError(
                f"{alarm_id} is {alarm.state}: only a latched alarm whose condition is over, and "
                f"which is acknowledged, can be reset"
            )
        alarm.is_latched = False
        return self._said(alarm, "reset", at, by)

    def shelve(
        self, alarm_id: str, by: str, seconds: float, reason: str, now_s: float, at: datetime
    ) -> Transition:
        """Hide an alarm for a time; shelving it again sets the time anew."""
        alarm = self[alarm_id]
        if not 0 < seconds <= SHELF_S_MAX:
            raise AlarmError(f"an alarm is shelved for 1 s to {SHELF_S_MAX / 3600:.0f} h")
        if not reason.strip():
            raise AlarmError("shelving needs a reason: who comes next will ask for it")
        alarm.shelf_due_s = now_s + seconds
        self._start(alarm, alarm.shelf_due_s)
        return self._said(alarm, "shelved", at, by, reason)

    def unshelve(self, alarm_id: str, by: str, at: datetime) -> Transition:
        """Show a shelved alarm again before its time."""
        alarm = self[alarm_id]
        if alarm.shelf_due_s is None:
            raise AlarmError(f"{alarm_id} is {alarm.state}: it is not shelved")
        alarm.shelf_due_s = None
        return self._said(alarm, "unshelved", at, by)

    def set_out_of_service(
        self, alarm_id: str, by: str, reason: str, now_s: float, at: datetime
    ) -> list[Transition]:
        """Take an alarm out of service until it is put back; its consequences are shown again."""
        alarm = self[alarm_id]
        if alarm.is_out_of_service:
            raise AlarmError(f"{alarm_id} is out of service already")
        if not reason.strip():
            raise AlarmError("taking an alarm out of service needs a reason")
        alarm.is_out_of_service = True
        out = [self._said(alarm, "out-of-service", at, by, reason)]
        self._review_consequences(alarm, now_s, at, out)
        return out

    def set_in_service(
        self, alarm_id: str, by: str, now_s: float, at: datetime
    ) -> list[Transition]:
        """Put an alarm back into service."""
        alarm = self[alarm_id]
        if not alarm.is_out_of_service:
            raise AlarmError(f"{alarm_id} is {alarm.state}: it is in service")
        alarm.is_out_of_service = False
        out = [self._said(alarm, "in-service", at, by)]
        self._review_consequences(alarm, now_s, at, out)
        return out

    def set_maintenance(self, is_on: bool) -> None:
        """Hide all alarms, or show them as they are evaluated; those always shown are not hidden.

        What was raised meanwhile and is still on is then unacknowledged.
        """
        for alarm in self._alarms.values():
            alarm.is_in_maintenance = is_on and not alarm.rule.is_always_shown

    def note(self, alarm_id: str, by: str, text: str, at: datetime) -> Transition:
        """An operator's remark for those who come after."""
        if not text.strip():
            raise AlarmError("a note needs a text")
        return self._said(self[alarm_id], "note", at, by, text)

    def saved(self, alarm_id: str, now_s: float) -> dict[str, object]:
        """One alarm's facts as JSON, timers as remaining seconds."""
        alarm = self[alarm_id]

        def left(due_s: float | None, stands_at_s: float | None = None) -> float | None:
            if due_s is None:
                return None
            return round(due_s - (now_s if stands_at_s is None else stands_at_s), 3)

        return {
            "raw": alarm.is_raw, "on": alarm.is_on, "acked": alarm.is_acked,
            "latched": alarm.is_latched, "suppressed": alarm.is_suppressed,
            "out_of_service": alarm.is_out_of_service, "first_out": alarm.was_first_out,
            "since": to_text(alarm.on_since), "value": alarm.last_value,
            "due_left_s": left(alarm.due_s, alarm.held_at_s),
            "shelf_left_s": left(alarm.shelf_due_s), "hold_left_s": left(alarm.hold_due_s),
            "realarm_left_s": left(alarm.realarm_due_s),
        }  # fmt: skip

    def _restore(self, alarm: Alarm, state: Mapping[str, object], now_s: float) -> None:
        def due(key: str) -> float | None:
            left = state.get(key)
            return now_s + max(0.0, left) if isinstance(left, (int, float)) else None

        alarm.is_raw, alarm.is_on = bool(state.get("raw")), bool(state.get("on"))
        alarm.is_acked = bool(state.get("acked", True))
        alarm.is_latched = bool(state.get("latched")) and alarm.rule.is_latching
        alarm.is_out_of_service = bool(state.get("out_of_service"))
        alarm.was_first_out = bool(state.get("first_out"))
        is_caused = bool(alarm.rule.suppressed_by)
        alarm.is_suppressed = bool(state.get("suppressed")) and is_caused
        since, value = state.get("since"), state.get("value")
        alarm.on_since = from_text(since) if isinstance(since, str) else None
        alarm.last_value = value if isinstance(value, (int, float, str)) else None
        alarm.due_s, alarm.shelf_due_s = due("due_left_s"), due("shelf_left_s")
        alarm.hold_due_s = due("hold_left_s") if alarm.is_suppressed else None
        alarm.realarm_due_s = due("realarm_left_s") if alarm.rule.realarm_s > 0 else None
        # Nothing has been read yet: the delay goes on when the value is known again.
        alarm.held_at_s = None if alarm.due_s is None else now_s
        for due_s in (alarm.shelf_due_s, alarm.hold_due_s, alarm.realarm_due_s):
            if due_s is not None:
                self._start(alarm, due_s)

    def _judge(
        self, alarm: Alarm, value: Value, now_s: float, at: datetime, out: list[Transition]
    ) -> None:
        is_raw = alarm.rule.judge(value, was=alarm.is_raw)
        if is_raw is None:
            if alarm.due_s is not None and alarm.held_at_s is None:
                alarm.held_at_s = now_s
            return
        alarm.last_value = value.value
        if alarm.held_at_s is not None and alarm.due_s is not None:
            alarm.due_s += now_s - alarm.held_at_s
            self._start(alarm, alarm.due_s)
        alarm.held_at_s = None
        if is_raw is alarm.is_raw:
            return
        alarm.is_raw = is_raw
        if is_raw is alarm.is_on:
            alarm.due_s = None
            return
        delay_s = alarm.rule.on_delay_s if is_raw else alarm.rule.off_delay_s
        if delay_s > 0:
            alarm.due_s = now_s + delay_s
            self._start(alarm, alarm.due_s)
        else:
            self._flip(alarm, now_s, at, out)

    def _flip(self, alarm: Alarm, now_s: float, at: datetime, out: list[Transition]) -> None:
        """The condition comes or goes, its delay being over."""
        alarm.due_s = alarm.realarm_due_s = None
        alarm.is_on = alarm.is_raw
        if alarm.is_on:
            alarm.is_acked = False
            alarm.is_latched = alarm.rule.is_latching
            alarm.on_since = at
            alarm.raises.append(now_s)
            group = self._groups.get(alarm.rule.group or "", [])
            alarm.was_first_out = bool(group) and not any(
                other.is_on for other in group if other is not alarm
            )
            if not alarm.is_hidden:
                self._raises.append(now_s)
        elif alarm.is_hidden:
            alarm.is_acked = True
        said = self._said(alarm, "raised" if alarm.is_on else "returned", at)
        out.append(replace(said, is_chattering=alarm.is_chattering(now_s)))
        self._review_consequences(alarm, now_s, at, out)

    def _review_consequences(
        self, cause: Alarm, now_s: float, at: datetime, out: list[Transition]
    ) -> None:
        for alarm in self._consequences.get(cause.rule.id, ()):
            self._review(alarm, now_s, at, out)

    def _review(self, alarm: Alarm, now_s: float, at: datetime, out: list[Transition]) -> None:
        """Suppress an alarm while one of its causes is on, and for a while after that."""
        causes = (self._alarms[other] for other in alarm.rule.suppressed_by)
        if any(c.is_on and not c.is_out_of_service for c in causes):
            self._set_suppressed(alarm, True, at, out)
        elif alarm.is_suppressed and alarm.hold_due_s is None:
            alarm.hold_due_s = now_s + HOLD_S
            self._start(alarm, alarm.hold_due_s)

    def _set_suppressed(
        self, alarm: Alarm, is_suppressed: bool, at: datetime, out: list[Transition]
    ) -> None:
        alarm.hold_due_s = None
        if alarm.is_suppressed is not is_suppressed:
            alarm.is_suppressed = is_suppressed
            out.append(self._said(alarm, "suppressed" if is_suppressed else "unsuppressed", at))

    def _said(
        self, alarm: Alarm, what: str, at: datetime, by: str | None = None, text: str | None = None
    ) -> Transition:
        return Transition(
            alarm.rule.id, what, alarm.state, at, alarm.last_value, by, text,
            is_first_out=alarm.was_first_out, facts=self.saved(alarm.rule.id, self._now_s),
        )  # fmt: skip

    def _start(self, alarm: Alarm, due_s: float) -> None:
        self._timer_count += 1
        heapq.heappush(self._timers, (due_s, self._timer_count, alarm))

    def _watch_flood(self, now_s: float) -> None:
        while self._raises and now_s - self._raises[0] > FLOOD_S:
            self._raises.popleft()
        count = len(self._raises)
        self.is_flood = count >= FLOOD_RAISES or (self.is_flood and count >= FLOOD_END)
