"""Sixty days of a board in simulated time: ticks of 30 bits wrap, and nothing old looks young.

Microseconds wrap each 18 minutes, milliseconds each 12 days; the parts rest as long as they say, a
minute at most, so that the days pass in some hundred thousand passes.
"""

import gc
import struct
from itertools import pairwise

from fw_fakes import Line, Ticks, reply_to, sealed
from fw_plan_file import blocks, bus, contact, device, plan_file, watch

from station import bus as scheduler
from station import client, events, frame, health, image, inputs, parser, plan

DAY_US = 86_400 * 1_000_000
DAYS = 60
REST_MAX_US = 60_000_000
NEVER = 0xFFFFFFFF


class Contacts:
    count = 2
    wakes_idle = True

    def __init__(self, ticks):
        self.ticks = ticks
        self.changes = []  # (us, level) of contact 0
        self.level = 0

    def read(self):
        while self.changes and self.changes[0][0] <= self.ticks.us:
            self.level = self.changes.pop(0)[1]
        return self.level


class Station:
    """Two devices, one of which is dead from day 10 to day 40, a contact that moves twice a day."""

    def __init__(self, before_wrap_us):
        self.ticks = ticks = Ticks(before_wrap_us)
        self.plan = plan.Plan()
        rows = blocks((0, 4, 0, 3, 600_000), (1, 4, 0, 3, 3_600_000), (0, 3, 9, 2, 3_600_000))
        data = plan_file(
            [bus(0)],
            [device(0, 1), device(0, 2, 5000, 10000)],
            rows,
            [contact(0, debounce_ms=50)],
            [watch(0, 1, 16, code=5)],
        )
        assert parser.parse(data, self.plan) == parser.ACCEPTED
        self.image = image.Image(self.plan, ticks)
        self.events = events.Events(self.plan, self.image, ticks)
        self.contacts = Contacts(ticks)
        self.inputs = inputs.Inputs(self.plan, self.image, self.events, self.contacts, ticks)
        self.line = Line(ticks, self.answer)
        wire = client.Client(self.line, ticks, 2005, 573)
        self.bus = scheduler.Bus(0, self.plan, self.image, self.events, wire, ticks)
        self.machines = [self.inputs, self.bus, self.events]
        self.answered_us = {}
        self.tended_us = 0

    def answer(self, request):
        unit, function = request[:2]
        day = self.ticks.us / DAY_US
        if unit == 2 and 10 <= day < 40:
            return []
        self.answered_us[unit, function] = self.line.sent[-1][0]
        reply = reply_to(request)
        if (unit, function) == (1, 4):
            # Bit 0 of the second register changes each day.
            data = struct.pack(">3H", 0, int(day) & 1, 7)
            reply = sealed(bytes((unit, function, len(data))) + data)
        return [(5000, reply)]

    def run(self, until_us, look):
        ticks = self.ticks
        while ticks.us < until_us:
            now_us, now_ms = ticks.ticks_us(), ticks.ticks_ms()
            wait_us = min(machine.step(now_us, now_ms) for machine in self.machines)
            self.image.advance_clock(now_ms)
            if ticks.us - self.tended_us >= 60_000_000:
                self.tended_us = ticks.us
                for _ in range(3):
                    self.image.tend(now_ms)
                look()
            wake_us = ticks.us + min(wait_us, REST_MAX_US)
            for at in (self.line.next_us(), self.contacts.changes and self.contacts.changes[0][0]):
                wake_us = min(wake_us, at) if at else wake_us
            ticks.us = max(ticks.us + 100, wake_us)

    def block(self, index):
        start, count = self.plan.block_image[index], self.plan.block_registers(index)
        buf = bytearray(2 * count)
        assert self.image.read(start, count, self.ticks.ticks_ms(), buf, 0)
        words = struct.unpack(f">{count}H", buf)
        return words[0], words[1], words[2] << 16 | words[3]

    def clock_ms(self):
        words = [image.get(self.image.board, image.CLOCK + i) for i in range(3)]
        return words[0] << 32 | words[1] << 16 | words[2]

    def recorded(self):
        for n in range(image.get(self.image.board, image.EVENT_NEXT + 1)):
            words = [image.get(self.image.events, 8 * (n % 256) + i) for i in range(8)]
            if words[1] == n:
                yield words[2], words[3], words[5] << 32 | words[6] << 16 | words[7]


def test_sixty_days():
    """Over 60 days ages are true, periods kept, dead data never fresh, and events in their time."""
    station = Station(before_wrap_us=777_000_000)
    ticks = station.ticks
    moved = [
        (day * DAY_US + half, level)
        for day in range(1, DAYS)
        for half, level in ((3_600_000_000, 1), (40_000_000_000, 0))
    ]
    station.contacts.changes = list(moved)
    looks = {"aged": 0, "never": 0}

    def look():
        for index, key in ((0, (1, 4)), (1, (2, 4)), (2, (1, 3))):
            _, status, age_ms = station.block(index)
            if key not in station.answered_us:
                assert age_ms == NEVER
                continue
            true_ms = (ticks.us - station.answered_us[key]) // 1000
            if true_ms >= 1 << 28:
                assert age_ms == NEVER
                assert status != frame.GOOD
                looks["never"] += 1
            else:
                # Up to one transaction younger: its data are stored when its reply has come.
                assert -1 <= age_ms - true_ms <= 1 or true_ms < 100
                looks["aged"] += 1
        assert abs(station.clock_ms() - ticks.us // 1000) <= REST_MAX_US // 1000

    station.run(DAYS * DAY_US, look)
    assert looks["aged"] > 150_000 and looks["never"] > 20_000
    assert station.block(1)[1] == frame.GOOD
    hours = DAYS * 24
    asked = [request for _, request in station.line.sent if request[0] == 1]
    assert abs(sum(request[1] == 4 for request in asked) - 6 * hours) <= 2
    assert abs(sum(request[1] == 3 for request in asked) - hours) <= 2
    # Down for 30 days, probed all the time, at most a twentieth of it.
    probes = [at for at, r in station.line.sent if r[0] == 2 and 11 <= at / DAY_US < 39]
    gaps_s = [(b - a) / 1e6 for a, b in pairwise(probes)]
    assert max(gaps_s) < 170
    assert sum(gaps_s) / len(gaps_s) >= 20 * 5
    assert image.get(station.image.devices, 8 + image.STATE) == scheduler.UP
    changes = [row for row in station.recorded() if row[0] == 0x0100]
    assert [(code >> 15, at_ms) for _, code, at_ms in changes] == [
        (level, at // 1000) for at, level in moved
    ][-len(changes) :]
    days = [at_ms for source, _, at_ms in station.recorded() if source == 0]
    assert all(at_ms % 86_400_000 <= 600_200 for at_ms in days) and len(days) > 40


def test_a_quarantine_ends_once():
    """A quarantine that ended unseen does not come back when the ticks have wrapped."""
    station = Station(before_wrap_us=5_000_000)
    station.bus.quarantined[0] = 1
    station.bus.quarantine_end_ms[0] = station.ticks.ticks_add(station.ticks.ticks_ms(), 300)
    station.run(DAY_US // 24, lambda: None)
    assert station.bus.quarantined[0] == 0
    for _ in range(20):
        station.run(station.ticks.us + DAY_US, lambda: None)
        assert station.bus._quarantine_left_ms(0, station.ticks.ticks_ms()) == 0


def test_the_busy_share_stays_true(monkeypatch):
    """The share of busy time is the same in every window of 10 s, wherever the ticks wrap."""
    monkeypatch.setattr(gc, "mem_free", lambda: 100_000, raising=False)
    station = Station(before_wrap_us=20_000_000)
    station.plan.block_period_ms[0] = 100
    dog = type("Dog", (), {"feed": lambda self: None})()
    house = health.Health(station.image, station.ticks, dog, (station.bus,))
    house.machines = (station.bus, house)
    station.machines.append(house)
    shares = []
    for _ in range(12):
        station.run(station.ticks.us + 10_000_000, lambda: None)
        shares.append(image.get(station.image.board, image.BUS_START + image.BUSY))
    # 100 ms: request, 5 ms, reply of 11 characters.
    expected = (19 * 573 + 5000) / 100
    assert all(abs(share - expected) < 12 for share in shares[2:])
