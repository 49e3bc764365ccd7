"""A scenario played in virtual time against stations' own files: what their alarms would say.

    World ─▶ devices ─▶ Line ─▶ RtuClient, Turns ─▶ decode ─▶ Alarms ─▶ Told     a bus at a time
                                   both ends of the cable ─▶ Watcher ──┘         a second at a time

Minutes of a scenario take seconds; nothing is started and no port is opened. The lines keep their
baud rates and their troubles; requests, time-outs, retries and breakers are those of the gateway's
direct lines, whose rules are a board's. What is left out: boards, links and their latency, so times
are up to a second early, and the alarms that watch boards, uplinks and the gateway's own parts.
"""

import heapq
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from shorewatch.alarmlist import compile_alarms
from shorewatch.alarms import Alarms, Rule, Transition
from shorewatch.cable.budget import Shown
from shorewatch.cable.file import EndConfig
from shorewatch.cable.line import End
from shorewatch.cable.pairing import Pairing, Reading
from shorewatch.cable.standing import Standing
from shorewatch.cable.watcher import Watcher
from shorewatch.cable.words import sentence
from shorewatch.config import BusConfig, Device, DirectConfig, Station
from shorewatch.decode import AGE_NEVER, Moment, decode_block
from shorewatch.direct.frame import Outcome
from shorewatch.direct.rtu import RtuClient
from shorewatch.direct.turns import Turn, Turns
from shorewatch.errors import ConfigError
from shorewatch.model import Quality, Reason, Value
from shorewatch.plan import Block, compile_blocks
from shorewatch.plant.devices import servers, simulated
from shorewatch.plant.judgement import Judgement, Told, judge
from shorewatch.plant.line import Line, Server
from shorewatch.plant.run import made_line
from shorewatch.plant.scenario import Play, Scenario
from shorewatch.plant.world import World

CONTACTS_EVERY_S = 0.5
LEAD_S = 45.0  # before it begins: who watches the cable must have seen it sound
_START_UTC_S = 1_795_000_000.0
_THERE = Value(Quality.GOOD, value=True)
_LOST = Value(Quality.BAD, Reason.DEVICE_TIMEOUT)
_NEVER_READ = Value(Quality.BAD, Reason.NEVER_READ)


def rehearse(
    stations: Sequence[Station], scenario: Scenario, *, seed: int = 1, speed: float = 1.0
) -> dict[str, Judgement]:
    """Play it through; the judgement of each station, by id.

    Raises ConfigError for what these stations do not have, DemoError for a device that has no
    simulation.
    """
    scenario.check(stations)
    play = Play(scenario, _START_UTC_S + LEAD_S, speed)
    world = World(seed, play)
    rehearsals = [_Rehearsal(station, world, play) for station in stations]
    cable = _Cable(rehearsals)
    buses = [bus for rehearsal in rehearsals for bus in rehearsal.buses]
    due = [(0.0, i) for i in range(len(buses))]
    tick_s = 0.0
    while tick_s < LEAD_S + scenario.file.length_s / speed:
        tick_s += CONTACTS_EVERY_S
        while due[0][0] <= tick_s:
            at_s, i = heapq.heappop(due)
            heapq.heappush(due, (buses[i].turn(at_s), i))
        world.bring(_START_UTC_S + tick_s)
        for rehearsal in rehearsals:
            rehearsal.tick(tick_s)
        cable.tick(tick_s)
    return {
        rehearsal.station.id: judge(scenario.expected(rehearsal.station.id), rehearsal.told)
        for rehearsal in rehearsals
    }


class _Cable:
    """What both stations' locators find, each second, if both have the cable's file."""

    def __init__(self, rehearsals: "Sequence[_Rehearsal]") -> None:
        files = [r.station.cable_file for r in rehearsals if r.station.cable_file is not None]
        self._file = files[0] if len(files) == 2 else None
        self._rehearsals = rehearsals
        self._pairing = Pairing()
        if self._file is not None:
            line = self._file.line
            self._watcher = Watcher(line, self._file.sigmas, self._file.feed)
            self._standing = Standing(line)

    def tick(self, now_s: float) -> None:
        """Take what both ends showed last."""
        file = self._file
        if file is None or now_s % 1:
            return
        for rehearsal in self._rehearsals:
            end = file.end_of(rehearsal.station.id)
            reading = end and rehearsal.reading(file.named(end), end)
            if reading is None:
                continue
            for pair in self._pairing.take(reading, now_s):
                for finding in (*self._standing.take(pair), *self._watcher.take(pair)):
                    self._standing.note(finding)
        text = "; ".join(sentence(file, finding) for finding in self._standing.findings)
        for rehearsal in self._rehearsals:
            rehearsal.hear("gateway/cable", Value(Quality.GOOD, value=text), now_s)


@dataclass(slots=True)
class _Bus:
    """One bus and its client, in virtual time."""

    owner: "_Rehearsal"
    line: Line
    client: RtuClient
    turns: Turns

    def turn(self, now_s: float) -> float:
        """Make the next transaction, or rest; returns when it is over."""
        turn = self.turns.next(now_s)
        if not isinstance(turn, Turn):
            return max(turn, now_s + 0.001)
        end_s = self._exchange(turn, now_s)
        result = self.turns.end(end_s, self.client)
        code = self.client.reply[1] if result.outcome is Outcome.EXCEPTION else 0
        words = turn.request.words(self.client.reply) if result.outcome is Outcome.GOOD else None
        for block in result.blocks:
            self.owner.take(block, code << 8 | result.outcome, words, end_s)
        return end_s

    def _exchange(self, turn: Turn, now_s: float) -> float:
        line, client = self.line, self.client
        client.start(now_s, turn.request, turn.timeout_s)
        while client.outcome is Outcome.PENDING:
            data = line.take(now_s)
            if data:
                client.hear(now_s, data)
            sending = client.poll(now_s)
            if sending:
                line.hear(now_s, sending)
            wake_s = client.wake_s if line.wake_s is None else min(client.wake_s, line.wake_s)
            if client.outcome is Outcome.PENDING:
                now_s = max(now_s + 1e-5, wake_s)
        return now_s


@dataclass(slots=True)
class _Rehearsal:
    """One station: its buses, its values, its alarms, and what they told."""

    station: Station
    world: World
    play: Play
    buses: list[_Bus] = field(default_factory=list)
    told: list[Told] = field(default_factory=list)
    values: dict[str, dict[str, Value]] = field(default_factory=dict)
    alarms: Alarms = field(init=False)

    def __post_init__(self) -> None:
        rules, problems = compile_alarms(self.station)
        if problems:
            raise ConfigError(problems)
        self.alarms = Alarms(rules, {}, 0.0)
        wanted = _watched(self.station, rules)
        for board in self.station.file.board:
            for bus in board.bus:
                devices = [d for d in self.station.of_board(board.id) if d.bus is bus]
                found = servers(self.station, board.id, bus, self.world)
                self._add(f"{board.id}/{bus.uart}", bus, devices, found, wanted)
        for direct in self.station.file.direct:
            devices = self.station.of_direct(direct.id)
            found = {d.config.unit_id: simulated(d, self.station.id, self.world) for d in devices}
            self._add(direct.id, direct, devices, found, wanted)

    def take(self, block: Block, status: int, words: list[int] | None, now_s: float) -> None:
        """One answer, or none, as the gateway would take it."""
        age_ms = AGE_NEVER if words is None else 0
        served = [0, status, age_ms >> 16, age_ms & 0xFFFF, *(words or [0] * block.registers)]
        moment = Moment(self._at(now_s), now_s, 0.0, rate_max=0.0)
        known = self.values.setdefault(block.device.id, {})
        known.update(decode_block(block, served, moment))
        self._judge(block.device, [name for name, _ in block.points], now_s)

    def tick(self, now_s: float) -> None:
        """Contacts, and timers."""
        site = self.world.site(self.station.id)
        found = [
            (f"{device.id}.{name}", Value(Quality.GOOD, value=site.contact_is_off(name)))
            for device in self.station.contacts.values()
            for name in device.points
        ]
        self._tell(self.alarms.take(found, now_s, self._at(now_s)))

    def hear(self, source: str, value: Value, now_s: float) -> None:
        """What a part of the gateway says."""
        self._tell(self.alarms.take([(source, value)], now_s, self._at(now_s)))

    def reading(self, config: EndConfig, end: End) -> Reading | None:
        """What this station's end of the cable showed last."""
        known = self.values.get(config.device, {})
        volts, amps = (known.get(name, _NEVER_READ) for name in (config.voltage, config.current))
        at = volts.acquired_at
        if at is None or not isinstance(volts.value, float) or not isinstance(amps.value, float):
            return None
        return Reading(at.timestamp(), end, Shown(abs(volts.value), abs(amps.value)))

    def _add(
        self,
        name: str,
        bus: BusConfig | DirectConfig,
        devices: Sequence[Device],
        found: Mapping[int, Server],
        wanted: set[str],
    ) -> None:
        blocks = [b for b in compile_blocks(devices) if _is_wanted(b, wanted)]
        if not blocks:
            return
        line = made_line(found, bus, self.world, self.station.id, name, utc=_utc)
        config = DirectConfig.model_validate(
            {
                "id": "bus", "port": "rehearsal", "baud": bus.baud or 115200,
                "format": bus.format, "delay_ms": 0,
                "device": [d.config.model_dump(exclude_none=True) for d in devices],
            }
        )  # fmt: skip
        client = RtuClient(config.char_us / 1e6, config.t35_us / 1e6)
        self.buses.append(_Bus(self, line, client, Turns(config, blocks, 0.0)))

    def _judge(self, device: Device, names: Sequence[str], now_s: float) -> None:
        known = self.values[device.id]
        found = [(f"{device.id}.{name}", known.get(name, _NEVER_READ)) for name in names]
        is_lost = all(value.quality is Quality.BAD for value in known.values())
        found.append((f"device/{device.id}", _LOST if is_lost else _THERE))
        self._tell(self.alarms.take(found, now_s, self._at(now_s)))

    def _tell(self, transitions: Sequence[Transition]) -> None:
        for said in transitions:
            at_s = self.play.at_s(said.at.timestamp())
            self.told.append(Told(said.alarm, said.what, said.state, at_s))

    def _at(self, now_s: float) -> datetime:
        return datetime.fromtimestamp(_utc(now_s), UTC)


def _utc(now_s: float) -> float:
    return _START_UTC_S + now_s


def _watched(station: Station, rules: Sequence[Rule]) -> set[str]:
    """The points that alarms ask for, with those they are decoded with, as device.point."""
    sources = {rule.source for rule in rules}

    def named() -> Iterator[str]:
        for device in station.devices.values():
            is_watched = f"device/{device.id}" in sources
            for point in device.points.values():
                if is_watched or f"{device.id}.{point.id}" in sources:
                    yield f"{device.id}.{point.id}"

    return set(named())


def _is_wanted(block: Block, wanted: set[str]) -> bool:
    return any(f"{block.device.id}.{name}" in wanted for name, _ in block.points)
