"""A bus with devices on a simulated line: shared by the tests of scheduler and wire."""

import struct

from fw_fakes import Line, Ticks, reply_to, run
from fw_plan_file import blocks, bus, plan_file

from station import bus as scheduler
from station import client, events, image, parser, plan

BAUDS = {19200: (573, 2005), 115200: (96, 1750)}
LATENCY_US = 5000


class Field:
    """A bus with devices on a simulated line; `dead` units stay silent, `answers` override."""

    def __init__(self, devices, rows, baud=19200, before_wrap_us=3_000_000):
        char_us, t35_us = BAUDS[baud]
        self.ticks = Ticks(before_wrap_us)
        self.plan = plan.Plan()
        data = plan_file([bus(0, baud=baud, t35_us=t35_us)], devices, blocks(*rows))
        assert parser.parse(data, self.plan) == parser.ACCEPTED
        self.line = Line(self.ticks, self.answer, char_us)
        self.image = image.Image(self.plan, self.ticks)
        self.events = events.Events(self.plan, self.image, self.ticks)
        self.client = client.Client(self.line, self.ticks, t35_us, char_us)
        self.bus = scheduler.Bus(0, self.plan, self.image, self.events, self.client, self.ticks)
        self.dead = set()
        self.answers = {}

    def answer(self, request):
        unit = request[0]
        if unit in self.answers:
            return self.answers[unit](request)
        return [] if unit in self.dead else [(LATENCY_US, reply_to(request))]

    def run(self, seconds):
        run(self.bus, [self.line], self.ticks, self.ticks.us + int(seconds * 1e6))

    def requests(self, since_us=0, unit=None, address=None):
        """Start times of the requests, in microseconds."""
        return [
            at
            for at, data in self.line.sent
            if at >= since_us
            and unit in (None, data[0])
            and address in (None, data[2] << 8 | data[3])
        ]

    def word(self, offset):
        return image.get(self.image.board, image.BUS_START + offset)

    def device(self, index, offset):
        return image.get(self.image.devices, 8 * index + offset)

    def block(self, index):
        """generation, status, age ms, data of one block, as served."""
        start = self.plan.block_image[index]
        count = self.plan.block_registers(index)
        buf = bytearray(2 * count)
        assert self.image.read(start, count, self.ticks.ticks_ms(), buf, 0)
        words = struct.unpack(f">{count}H", buf)
        return words[0], words[1], words[2] << 16 | words[3], list(words[4:])
