"""The alarms at work: what the image shows goes in, records and a list for people come out.

The desk looks at each device that changed, at all of them once a second (values age without anybody
telling), and whenever a delay runs out. A transition's record and the alarm's state are committed
together; after a restart the desk goes on where the last commit was. Remaining times of shelves are
kept anew each `KEEP_S`, so that a shelf never lasts longer than that beyond its time. The same
holds for the maintenance of the whole station, whose begin and end are audit records.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from shorewatch.alarms import Alarm, AlarmError, Alarms, Rule, State, Transition
from shorewatch.config import AlarmConfig, Station
from shorewatch.image import Changes, Image
from shorewatch.mode import BUILT_IN, MAINTENANCE, RULES, TEST, Modes
from shorewatch.model import Quality, Reason, Value, to_json, to_text, utc_now
from shorewatch.outbox import Outbox

LOOK_S = 1.0
KEEP_S = 30.0
_KEY = "alarm/"
_MODE_KEY = "maintenance"
_SWITCHES = ("maintenance-begin", "maintenance-end", "test")
_LONG_AGO = datetime.min.replace(tzinfo=UTC)
_PRIORITIES = ("critical", "major", "minor", "warning")
_THERE = Value(Quality.GOOD, value=True)
_LOST = Value(Quality.BAD, Reason.LINK_DOWN)
# What a source that says what is wrong with it says: of these the alarm's text ends with it.
_TELLING = "gateway/cable"

There = Callable[[], Mapping[str, bool | str | None]]

_log = logging.getLogger("shorewatch.alarms")


class AlarmDesk:
    """The alarms of one station.

    `there` says of boards and uplinks (`board/beach`) if they are, of the cable (`gateway/cable`)
    what is wrong with it: "" for nothing, None where that is not known.
    """

    def __init__(
        self,
        station: Station,
        rules: Sequence[Rule],
        image: Image,
        outbox: Outbox,
        there: There,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        rules = [*rules, *RULES]
        self._image = image
        self._outbox = outbox
        self._there = there
        self._clock = clock
        saved = {
            name.removeprefix(_KEY): facts
            for name, facts in outbox.kept.items()
            if name.startswith(_KEY)
        }
        self._alarms = Alarms(rules, saved, clock())
        # Alarms whose last record found no room while the disk was sick: their state is kept later.
        self._unkept: set[str] = set()
        self._modes = Modes(outbox.kept.get(_MODE_KEY, {}), clock())
        self._is_mode_unkept = False
        self._alarms.set_maintenance(self._modes.maintenance is not None)
        self._watchers: list[Changes] = []
        self._words: object = ""
        # Held while alarms are judged or answered, and by whoever changes what there is to judge.
        self.turn = asyncio.Lock()
        self._watch(station, rules)

    async def adopt(self, station: Station, rules: Sequence[Rule]) -> None:
        """Judge by other rules from here on; the caller has the `turn`.

        The change itself comes before the first wait, so that image and alarms can change as one.
        Alarms that are no more are told by a record (removed), and forgotten.
        """
        before = self._configs
        rules = [*rules, *RULES]
        said = self._alarms.adopt(rules, self._clock(), utc_now())
        self._alarms.set_maintenance(self._modes.maintenance is not None)
        self._watch(station, rules)
        other = [name for name, config in self._configs.items() if before.get(name) != config]
        for changes in self._watchers:
            for alarm_id in other:
                changes.add(alarm_id)
        for one in said:
            configs = before if one.what == "removed" else self._configs
            await self._record(one, configs[one.alarm])

    def _watch(self, station: Station, rules: Sequence[Rule]) -> None:
        self._configs = {config.id: config for config in station.file.alarm} | BUILT_IN
        sources = {rule.source for rule in rules}
        self._points: dict[str, list[str]] = {}
        for source in sorted(sources):
            device, dot, point = source.partition(".")
            if dot:
                self._points.setdefault(device, []).append(point)
        self._lost_devices = {
            source.removeprefix("device/") for source in sources if source.startswith("device/")
        }
        self._devices = self._points.keys() | self._lost_devices

    async def run(self) -> None:
        """Judge until cancelled."""
        changes = self._image.watch()
        full_look_s = keep_s = self._clock()
        try:
            while True:
                now_s = self._clock()
                wait_s = min(full_look_s, self._alarms.next_due_s) - now_s
                changed: set[str] = set()
                with suppress(TimeoutError):
                    async with asyncio.timeout(max(0.0, wait_s)):
                        changed = await changes.take()
                if self._clock() >= full_look_s:
                    changed = set(self._devices)
                    full_look_s = self._clock() + LOOK_S
                await self._look(changed)
                if self._clock() >= keep_s:
                    keep_s = self._clock() + KEEP_S
                    self._keep_again()
        finally:
            changes.close()

    @property
    def ids(self) -> Sequence[str]:
        """Every alarm there is, in the file's order."""
        return list(self._configs)

    def watch(self) -> Changes:
        """Hear of alarms that changed from now on, by id; close it when done."""
        changes = Changes(self._watchers)
        self._watchers.append(changes)
        return changes

    def listed(self, most: int | None = None) -> list[dict[str, Any]]:
        """Every alarm that is not normal, the most urgent first, the newest of these first.

        Of many, `most` is how many are wanted.
        """
        alarms = [alarm for alarm in self._alarms if _is_listed(alarm)]
        alarms.sort(key=lambda alarm: alarm.on_since or _LONG_AGO, reverse=True)
        alarms.sort(key=lambda a: (a.is_hidden, _PRIORITIES.index(self._config(a).priority)))
        return [self._row(alarm) for alarm in alarms[:most]]

    @property
    def count(self) -> int:
        """How many alarms are not normal."""
        return sum(map(_is_listed, self._alarms))

    @property
    def mode(self) -> dict[str, Any]:
        """What changes how the list is to be read: a flood of alarms, maintenance of the station.

        Maintenance is by somebody, with a note, since and for how many seconds more; or None.
        """
        return {
            "flood": self._alarms.is_flood,
            "maintenance": self._modes.saved(self._clock()) or None,
        }

    async def answer(self, request: Mapping[str, object]) -> dict[str, object]:
        """What people ask: {"do": "alarms"}, or a word on one alarm or on the station, by somebody.

        It is durable before this returns. Raises ValueError (AlarmError) for what does not fit, and
        for what could not be written down.
        """
        do, alarm_id, by, text = (
            str(request.get(key, "")) for key in ("do", "alarm", "by", "text")
        )
        if do == "alarms":
            return {"alarms": self.listed()} | self.mode
        if not by:
            raise AlarmError("who asks? `by` is missing")
        if do == "note" and not alarm_id:
            return await self._note(by, text)
        async with self.turn:
            if do in _SWITCHES:
                alarm_id = await self._switch(do, by, text, request.get("seconds"))
            else:
                for said in self._tell(do, alarm_id, by, text, request.get("seconds")):
                    await self._record(said, self._configs[said.alarm])
            state = self._alarms[alarm_id].state
        if alarm_id in self._unkept or self._is_mode_unkept:
            raise AlarmError(f"{do} is done, but not on record: {self._outbox.health}")
        await self._outbox.settled()
        return {"alarm": alarm_id, "state": str(state)} | self.mode

    async def _note(self, by: str, text: str) -> dict[str, object]:
        """A remark on the station, for those who come after."""
        if not text.strip():
            raise AlarmError("a note needs a text")
        if not await self._outbox.put("note", utc_now(), {"by": by, "text": text}):
            raise AlarmError(f"the note is not on record: {self._outbox.health}")
        await self._outbox.settled()
        return {"noted": text} | self.mode

    async def _switch(self, do: str, by: str, text: str, seconds: object) -> str:
        """Maintenance and test; returns the alarm that tells of it, raised or returned."""
        now_s = self._clock()
        if do == "test":
            self._modes.test(now_s)
        else:
            if do == "maintenance-end":
                self._modes.end()
            elif isinstance(seconds, (int, float)):
                self._modes.begin(by, seconds, text, now_s, utc_now())
            else:
                raise AlarmError("for how many seconds? `seconds` is missing")
            await self._record_mode(do, by, text)
        await self._judge(())
        return TEST if do == "test" else MAINTENANCE

    async def _record_mode(self, what: str, by: str | None, text: str) -> None:
        """Hide or show all alarms, as the mode is, and put that on record."""
        mode = self._modes.saved(self._clock())
        self._alarms.set_maintenance(bool(mode))
        _log.warning("%s by %s: %s", what, by or "the clock", text)
        body = {"what": what, "by": by, "note": text, "left_s": mode.get("left_s")}
        kept = {key: value for key, value in body.items() if value is not None}
        is_kept = await self._outbox.put("audit", utc_now(), kept, (_MODE_KEY, mode))
        self._is_mode_unkept = not is_kept

    def _tell(
        self, do: str, alarm_id: str, by: str, text: str, seconds: object
    ) -> list[Transition]:
        alarms, now_s, at = self._alarms, self._clock(), utc_now()
        if do == "acknowledge":
            acknowledged = [alarms.acknowledge(alarm_id, by, at)]
            if alarm_id == TEST:
                self._modes.end_test()
            return acknowledged
        if do == "reset":
            return [alarms.reset(alarm_id, by, at)]
        if do == "shelve":
            if not isinstance(seconds, (int, float)):
                raise AlarmError("for how many seconds? `seconds` is missing")
            return [alarms.shelve(alarm_id, by, seconds, text, now_s, at)]
        if do == "unshelve":
            return [alarms.unshelve(alarm_id, by, at)]
        if do == "out-of-service":
            return alarms.set_out_of_service(alarm_id, by, text, now_s, at)
        if do == "in-service":
            return alarms.set_in_service(alarm_id, by, now_s, at)
        if do == "note":
            return [alarms.note(alarm_id, by, text, at)]
        raise AlarmError(f"{do!r} is nothing that can be done to an alarm")

    async def _look(self, devices: Iterable[str]) -> None:
        async with self.turn:
            await self._judge(self._devices.intersection(devices))

    async def _judge(self, devices: Iterable[str]) -> None:
        """Judge devices and all else there is, and end what is over; the caller has the turn."""
        now_s = self._clock()
        self._modes.end_test(now_s)
        if self._modes.is_over(now_s):
            self._modes.end()
            await self._record_mode("maintenance-end", None, "its time is over")
        values = list(self._values(devices))
        for said in self._alarms.take(values, self._clock(), utc_now()):
            await self._record(said, self._configs[said.alarm])
        self._tell_other_words(dict(values).get(_TELLING))
        if self._alarms[TEST].state is State.RETURNED:  # nobody has to answer what is over
            said = self._alarms.acknowledge(TEST, "shorewatch", utc_now())
            await self._record(said, BUILT_IN[TEST])

    def _tell_other_words(self, value: Value | None) -> None:
        """An alarm that stands says something else: that is a change, and no transition."""
        if value is None or value.value in (None, self._words):
            return
        self._words = value.value
        for config in self._configs.values():
            if config.source == _TELLING:
                for changes in self._watchers:
                    changes.add(config.id)

    def _values(self, devices: Iterable[str]) -> Iterator[tuple[str, Value]]:
        for device in devices:
            found = self._image.look(device)
            for point in self._points.get(device, ()):
                yield f"{device}.{point}", found[point]
            if device in self._lost_devices:
                is_lost = all(value.quality is Quality.BAD for value in found.values())
                yield f"device/{device}", _LOST if is_lost else _THERE
        for source, is_well in {**self._there(), **self._modes.well}.items():
            if isinstance(is_well, str):
                yield source, Value(Quality.GOOD, value=is_well)
            else:
                yield source, _THERE if is_well else _LOST

    async def _record(self, said: Transition, config: AlarmConfig) -> None:
        level = logging.WARNING if said.what == "raised" else logging.INFO
        _log.log(level, "alarm %s (%s) %s: %s", config.id, config.priority, said.what, config.text)
        body: dict[str, object] = {
            "alarm": config.id, "what": said.what, "state": str(said.state),
            "text": _text(config, said.value),
            "priority": config.priority, "source": config.source,
            "event_type": config.event_type, "probable_cause": config.probable_cause,
            "perceived_severity": config.priority if said.facts.get("on") else "cleared",
        }  # fmt: skip
        extra = {
            "value": to_json(said.value), "by": said.by, "note": said.text,
            "first_out": said.is_first_out or None, "chattering": said.is_chattering or None,
            "action": config.action if said.what == "raised" else None,
        }  # fmt: skip
        body |= {key: value for key, value in extra.items() if value is not None}
        if await self._outbox.put("alarm", said.at, body, (_KEY + config.id, said.facts)):
            self._unkept.discard(config.id)
        else:
            self._unkept.add(config.id)
        for changes in self._watchers:
            changes.add(config.id)

    def _keep_again(self) -> None:
        timed = {alarm.rule.id for alarm in self._alarms if alarm.is_timed}
        for alarm_id in timed | self._unkept:
            if self._outbox.keep(*self._kept(alarm_id)):
                self._unkept.discard(alarm_id)
        if self._modes.maintenance is not None or self._is_mode_unkept:
            is_kept = self._outbox.keep(_MODE_KEY, self._modes.saved(self._clock()))
            self._is_mode_unkept = self._is_mode_unkept and not is_kept

    def _kept(self, alarm_id: str) -> tuple[str, dict[str, object]]:
        is_known = alarm_id in self._configs
        return _KEY + alarm_id, self._alarms.saved(alarm_id, self._clock()) if is_known else {}

    def _config(self, alarm: Alarm) -> AlarmConfig:
        return self._configs[alarm.rule.id]

    def _row(self, alarm: Alarm) -> dict[str, Any]:
        config = self._config(alarm)
        now_s = self._clock()
        mode = self._modes.saved(now_s) if config.id == MAINTENANCE else {}
        shelf_s = alarm.shelf_due_s and max(0.0, alarm.shelf_due_s - now_s)
        return {
            "id": config.id,
            "text": _text(config, alarm.last_value),
            "action": config.action,
            "priority": config.priority,
            "state": str(alarm.state),
            "active": alarm.is_on,
            "since": to_text(alarm.on_since),
            "source": config.source,
            "event_type": config.event_type,
            "probable_cause": config.probable_cause,
            "value": to_json(alarm.last_value),
            "first_out": alarm.was_first_out,
            "chattering": alarm.is_chattering(now_s),
            "shelf_left_s": shelf_s and round(shelf_s),
            "note": f"{mode['by']}: {mode['note']}" if mode else None,
            "left_s": mode.get("left_s"),
        }


def _text(config: AlarmConfig, value: object) -> str:
    """What people read; of a source that says what is wrong, with that."""
    tells = config.source == _TELLING and isinstance(value, str) and value
    return f"{config.text}: {value}" if tells else config.text


def _is_listed(alarm: Alarm) -> bool:
    if alarm.is_hidden:
        return alarm.is_on or alarm.is_out_of_service or alarm.shelf_due_s is not None
    return alarm.state is not State.NORMAL
