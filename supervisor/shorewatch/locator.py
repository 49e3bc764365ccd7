"""Where this station's cable is damaged: its own end and the other's, second by second.

    image (own PFE) ────────────────────┐
    now/<device> of the other station ──┴▶ pairing ─▶ watcher ─▶ findings ─▶ events, standing

The other end's values come by an uplink (mqtt/session.py hands them over) as that station published
them; nothing is sent to it. Both are paired by the time of acquisition. What is found is an event
in the journal, with what must outlive a restart in the same commit; what stands is the text of the
alarm source `gateway/cable`. What hours have taught (the healthy sum, slow drifts) is a file,
`cable.json` in the state directory, written each `SAVE_S`; without it, it is learned again.

A value of the other end whose time is more than `APART_S_MAX` from our clock is not paired: then
one of the two clocks is wrong, and `trouble` says so. Limit: `HEARD_MAX` values wait to be paired.
"""

import asyncio
import hashlib
import json
import logging
import math
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from shorewatch.cable.budget import Baseline, Shown
from shorewatch.cable.finding import Finding
from shorewatch.cable.line import End
from shorewatch.cable.pairing import Pair, Pairing, Reading
from shorewatch.cable.picture import picture
from shorewatch.cable.standing import SETTLED, Standing
from shorewatch.cable.watcher import Watcher
from shorewatch.cable.window import row_of
from shorewatch.cable.words import place_record, record, sentence
from shorewatch.config import Station
from shorewatch.disk import write_durably
from shorewatch.image import Image
from shorewatch.model import Quality, Value, to_text, utc_now
from shorewatch.mqtt import said, topics
from shorewatch.outbox import Outbox

LOOK_S: Final = 1.0
SAVE_S: Final = 600.0
APART_S_MAX: Final = 10.0
SILENT_S: Final = 10.0
HEARD_MAX: Final = 100
FILE: Final = "cable.json"
_KEY: Final = "cable"
_NUMBER_MAX: Final = 1e6
_FINDING: Final[TypeAdapter[Finding]] = TypeAdapter(Finding)

_log = logging.getLogger("shorewatch.cable")


@dataclass(frozen=True, slots=True)
class CableStatus:
    """The cable for the page: each end's last values and age, what stands, what is in the way.

    `trouble` is why nothing can be judged now, or None; `since` is since when it stands so.
    """

    trouble: str | None
    since: datetime
    pair: Pair | None
    standing: tuple[Finding, ...]
    heard_at: datetime | None


class Locator:
    """Judges the cable that `station.cable_file` describes; `far_topic` is to be heard for it."""

    def __init__(
        self,
        station: Station,
        image: Image,
        outbox: Outbox,
        state_dir: Path,
        *,
        clock: Callable[[], float] = time.monotonic,
        utc: Callable[[], datetime] = utc_now,
    ) -> None:
        file = station.cable_file
        end = None if file is None else file.end_of(station.id)
        assert file is not None and end is not None, "whoever makes it has looked"
        self.file = file
        self._end: End = end
        self._own = file.named(end)
        self._far = file.named("B" if end == "A" else "A")
        self.far_topic = topics.far_topic(station)
        self._image = image
        self._outbox = outbox
        self._path = state_dir / FILE
        self._clock = clock
        self._utc = utc
        self._heard: deque[Reading] = deque(maxlen=HEARD_MAX)
        self._heard_at: datetime | None = None
        self._apart_s: float | None = None
        self._pairing = Pairing()
        self._pair: Pair | None = None
        self._newest_s = 0.0
        self._trouble: str | None = "it has just begun"
        self._since = utc()
        facts = outbox.kept.get(_KEY, {})
        self._standing = Standing(
            file.line, _finding(facts.get("fault")), _finding(facts.get("feed")),
            SETTLED if facts.get("watched") is None else 0,
        )  # fmt: skip
        known = _load(self._path, self._identity)
        self._watcher = self._watching({**known, "fault": facts.get("watched")})

    def hear(self, payload: bytes, *, is_retained: bool) -> None:
        """Take what came on `far_topic`; what is no value of that end changes nothing.

        What is retained may have lain there for long; the next one comes soon.
        """
        reading = None if is_retained else self._read(topics.parse_object(payload))
        if reading is None:
            return
        apart_s = reading.at_s - self._utc().timestamp()
        self._heard_at = self._utc()
        self._apart_s = apart_s if abs(apart_s) > APART_S_MAX else None
        if self._apart_s is None:
            self._heard.append(reading)

    async def run(self) -> None:
        """Judge each second, until cancelled; then what was learned is saved."""
        save_s = self._clock() + SAVE_S
        try:
            while True:
                await asyncio.sleep(LOOK_S)
                await self.look()
                if self._clock() >= save_s:
                    save_s = self._clock() + SAVE_S
                    await asyncio.to_thread(self.save)
        finally:
            self.save()

    async def look(self) -> None:
        """Judge what has come."""
        own = self._own_reading()
        if own.at_s < self._newest_s - APART_S_MAX:
            self._pairing, self._pair = Pairing(), None  # the clock was set back
            self._newest_s = own.at_s
        readings = [*self._heard, own]
        self._heard.clear()
        for reading in readings:
            self._newest_s = max(self._newest_s, reading.at_s)
            for pair in self._pairing.take(reading, self._clock()):
                self._pair = pair
                for finding in self._standing.take(pair):
                    await self._found(finding)
                # Weighing all places of a fault takes some 0.1 s of processor.
                for finding in await asyncio.to_thread(list, self._watcher.take(pair)):
                    await self._found(finding)
        self._look_for_trouble()

    @property
    def baseline(self) -> Baseline | None:
        """The healthy sum of both ends' voltages as learned; None before ten minutes."""
        return self._watcher.baseline

    @property
    def text(self) -> str | None:
        """What stands, in words; "" if nothing does, None if that is not known."""
        texts = [sentence(self.file, finding) for finding in self._standing.findings]
        if texts:
            return "; before that: ".join(texts)
        return None if self._trouble else ""

    @property
    def status(self) -> CableStatus:
        """A snapshot for the page."""
        findings = tuple(self._standing.findings)
        return CableStatus(self._trouble, self._since, self._pair, findings, self._heard_at)

    def snapshot(self) -> dict[str, Any]:
        """The same as JSON."""
        ends = {}
        shown = (None, None) if self._pair is None else (self._pair.a, self._pair.b)
        for config, one in zip(self.file.end, shown, strict=True):
            ends[config.station] = {
                "name": config.name,
                "volts": one and round(one.volts, 1),
                "amps": one and round(one.amps, 5),
            }
        at_s = None if self._pair is None else self._pair.at_s
        feed, row = self.file.feed, None
        if self._pair is not None and self._pair.a is not None and self._pair.b is not None:
            row = row_of(self.file.line, feed.droop_a, feed.droop_b, self._pair)
        return {
            "name": self.file.cable.name,
            "length_km": self.file.cable.length_km,
            "at": at_s and to_text(datetime.fromtimestamp(at_s, UTC)),
            "ends": ends,
            "balance_v": row and round(row.balance_v, 1),
            "sum_v": row and round(row.sum_v, 1),
            "leak_a": row and round(row.leak_a, 5),
            "trouble": self._trouble,
            "since": to_text(self._since),
            "heard_at": to_text(self._heard_at),
            "standing": [
                {
                    "what": finding.kind,
                    "text": sentence(self.file, finding),
                    "since": to_text(datetime.fromtimestamp(finding.since_s, UTC)),
                    "place": finding.place and place_record(self.file, finding.place),
                }
                for finding in self._standing.findings
            ],
        }

    def draw(self, is_narrow: bool) -> str:
        """The cable as SVG, with what both ends showed last and the fault that stands."""
        pair, fault = self._pair, self._standing.fault
        a, b = (None, None) if pair is None else (pair.a, pair.b)
        place = None if fault is None else fault.place
        return picture(self.file, a, b, place, is_narrow=is_narrow)

    async def _found(self, finding: Finding) -> None:
        self._standing.note(finding)
        body = record(self.file, finding)
        at = datetime.fromtimestamp(finding.at_s, UTC)
        del body["at"]
        facts = {
            name: None if one is None else _FINDING.dump_python(one, mode="json")
            for name, one in (("fault", self._standing.fault), ("feed", self._standing.feed))
        }
        facts["watched"] = self._watcher.saved["fault"]
        _log.warning("cable %s: %s", self.file.cable.id, body["text"])
        await self._outbox.put("event", at, {"source": "cable", **body}, (_KEY, facts))

    def _own_reading(self) -> Reading:
        """What our end shows, if that is news; at the time of now if it is bad."""
        values: Mapping[str, Value] = {}
        with suppress(KeyError):  # a reload may have taken the device
            values = self._image.look(self._own.device)
        found = [values.get(name) for name in (self._own.voltage, self._own.current)]
        shown = _shown(*(_good(value) for value in found))
        times = [value.acquired_at for value in found if value and value.acquired_at]
        at_s = (max(times) if shown is not None else self._utc()).timestamp()
        return Reading(at_s, self._end, shown)

    def _read(self, body: Mapping[str, object] | None) -> Reading | None:
        """The other end's message as a reading; None for what is none."""
        points = {} if body is None else body.get("points")
        if body is None or not isinstance(points, dict):
            return None
        found = [points.get(name) for name in (self._far.voltage, self._far.current)]
        values = [
            said.number(point.get("value"), math.nan)
            if isinstance(point, dict) and point.get("quality") == Quality.GOOD
            else math.nan
            for point in found
        ]
        shown = _shown(*(value if abs(value) < _NUMBER_MAX else None for value in values))
        times = [said.time(p.get("acquired_at")) for p in found if isinstance(p, dict)]
        known = [at for at in times if at is not None and shown is not None]
        at = max(known, default=said.time(body.get("at")))
        if at is None:
            return None
        return Reading(at.timestamp(), "B" if self._end == "A" else "A", shown)

    def _look_for_trouble(self) -> None:
        """Note what is in the way of judging, and since when."""
        trouble = self._find_trouble()
        if trouble != self._trouble:
            self._trouble, self._since = trouble, self._utc()

    def _find_trouble(self) -> str | None:
        now, far = self._utc(), self._far
        if self._own_reading().shown is None:
            return f"{self._own.name}: {self._own.device} has no good values"
        if self._apart_s is not None:
            names = f"{self._own.name} and {far.name}"
            return f"the clocks of {names} are {abs(self._apart_s):.0f} s apart"
        if self._heard_at is None or (now - self._heard_at).total_seconds() > SILENT_S:
            return f"{far.name}: {far.device} is not heard of"
        pair = self._pair
        if pair is None or now.timestamp() - pair.at_s > SILENT_S:
            return "waiting for values of one second from both ends"
        if pair.a is None or pair.b is None:
            return f"{far.name}: {far.device} has no good values"
        return None

    @property
    def _identity(self) -> str:
        """Of what `cable.json` was learned: of another cable nothing is."""
        return hashlib.sha256(self.file.model_dump_json().encode()).hexdigest()

    def _watching(self, known: Mapping[str, Any]) -> Watcher:
        line, sigmas, feed = self.file.line, self.file.sigmas, self.file.feed
        try:
            return Watcher(line, sigmas, feed, known)
        except (LookupError, TypeError, ValueError):
            return Watcher(line, sigmas, feed)

    def save(self) -> None:
        """Write what was learned; a disk that refuses is logged."""
        body = {"cable": self._identity, "tracked": self._watcher.saved["tracked"]}
        try:
            write_durably(self._path, json.dumps(body).encode())
        except OSError as error:  # it is learned again
            _log.warning("%s cannot be written: %s", self._path, error.strerror)


def _load(path: Path, identity: str) -> Mapping[str, Any]:
    """What was learned of this very cable; nothing if there is none."""
    with suppress(OSError, ValueError, RecursionError):
        body = json.loads(path.read_bytes())
        if isinstance(body, dict) and body.get("cable") == identity:
            return {"tracked": body.get("tracked")}
    return {}


def _finding(facts: object) -> Finding | None:
    with suppress(ValidationError):
        return None if facts is None else _FINDING.validate_python(facts)
    return None


def _good(value: Value | None) -> float | None:
    """A good value as a number."""
    if value is None or value.quality is not Quality.GOOD:
        return None
    return said.number(value.value, math.nan)


def _shown(volts: float | None, amps: float | None) -> Shown | None:
    """Both as magnitudes; None unless both are numbers."""
    if volts is None or amps is None or not math.isfinite(volts + amps):
        return None
    return Shown(abs(volts), abs(amps))
