"""Runs on the VM: transactions, link requests, events, contacts with the heap locked: 0 bytes.

argv: the folder of the firmware, plan.bin, "viper" or "bytecode", and how many transactions a bus
has to make at least (1,000). Prints one line a fact.
The plan's units answer by their number: 1 to 9 well, 11 with an exception, 12 with a wrong CRC,
13 with another's frame, any other not at all.
"""

import gc
import sys

import micropython

sys.path.insert(0, sys.argv[1])

from station import crc

if sys.argv[3] == "bytecode":
    crc.crc16 = crc.crc16_bytecode
    crc.copy = crc.copy_bytecode

from station import bus, client, events, frame, health, image, inputs, parser, plan, server

WANTED = int(sys.argv[4]) if len(sys.argv) > 4 else 1000


class Ticks:
    def __init__(self):
        self.us = (1 << 30) - 1000000
        self.ms = (1 << 30) - 1000

    def advance(self, us):
        self.us = (self.us + us) & 0x3FFFFFFF
        if us >= 1000:
            self.ms = (self.ms + us // 1000) & 0x3FFFFFFF

    def ticks_us(self):
        return self.us

    def ticks_ms(self):
        return self.ms

    def ticks_diff(self, end, start):
        return ((end - start + 0x20000000) & 0x3FFFFFFF) - 0x20000000

    def ticks_add(self, ticks, delta):
        return (ticks + delta) & 0x3FFFFFFF


class Memory:
    """A port in memory that answers as its unit says."""

    def __init__(self):
        self.reply = bytearray(260)
        self.ready = 0
        self.taken = 0
        self.written = 0

    def any(self):
        return self.ready - self.taken

    def readinto(self, buf, n):
        n = min(n, self.any())
        crc.copy(buf, 0, self.reply, self.taken, n)
        self.taken += n
        return n

    def write(self, buf, n):
        self.written += 1
        self.taken = self.ready = 0
        self.answer(buf)
        return n

    def answer(self, buf):
        unit = buf[0]
        reply = self.reply
        count = buf[4] << 8 | buf[5]
        size = frame.reply_size(buf[1], count) - 2
        reply[0] = 9 if unit == 13 else unit
        reply[1] = buf[1]
        reply[2] = size - 3
        # Other data each time, so that watches find changes and no two blocks look alike.
        reply[3] = self.written & 0xFF
        reply[4] = buf[3]
        if unit == 11:
            reply[1] |= 0x80
            size = 3
        frame.seal(reply, size)
        if unit == 12:
            reply[size] ^= 1
        if unit <= 13:
            self.ready = size + 2

    def tx_idle(self):
        return True

    def de(self, on):
        pass


class Link(Memory):
    def __init__(self):
        Memory.__init__(self)
        self.asked = 0

    def answer(self, buf):
        pass

    def ask(self):
        kind = self.asked % 8
        self.asked += 1
        self.taken = 0
        reply = self.reply
        reply[0] = 1
        reply[1] = 4
        reply[2] = (0, 9, 1, 8, 10, 16, 0x80, 0)[kind]
        reply[3] = (0, 0, 0, 0, 0, 0, 8, 0)[kind]
        reply[4] = 0
        reply[5] = (0x40, 18, 8, 1, 32, 20, 120, 0)[kind]
        size = 6
        if kind == 7:
            reply[1] = 0x2B
            reply[2] = 0x0E
            reply[3] = 3
            reply[4] = 0
            size = 5
        frame.seal(reply, size)
        self.ready = size + 2


class Contacts:
    """Sixteen contacts: one changes each 40 passes, the last one chatters."""

    def __init__(self):
        self.count = 16
        self.wakes_idle = False
        self.passes = 0
        self.mask = 0

    def read(self):
        self.passes += 1
        if self.passes % 40 == 0:
            self.mask ^= 1 << self.passes // 40 % 15
        if self.passes % 3 == 0:
            self.mask ^= 1 << 15
        return self.mask


class Dog:
    def __init__(self):
        self.fed = 0

    def feed(self):
        self.fed += 1


def make():
    ticks = Ticks()
    loaded = plan.Plan()
    with open(sys.argv[2], "rb") as file:
        assert parser.parse(file.read(), loaded) == parser.ACCEPTED
    img = image.Image(loaded, ticks)
    ring = events.Events(loaded, img, ticks)
    ports = [Memory() for _ in loaded.bus_uart]
    buses = tuple(
        bus.Bus(i, loaded, img, ring, client.Client(ports[i], ticks, 1750, 96), ticks)
        for i in range(len(ports))
    )
    dog = Dog()
    house = health.Health(img, ticks, dog, buses)
    contacts = inputs.Inputs(loaded, img, ring, Contacts(), ticks)
    link = Link()
    identity = [b"Shorewatch", b"virtual", b"0.1.0", b"5357000000000001", b"role", b""]
    serve = server.Server(link, ticks, img, 1, identity)
    house.machines = (contacts,) + buses + (serve, ring, house)
    return ticks, house, ports, link, dog, img


def run(ticks, house, ports, link):
    while min(link.written, ports[0].written, ports[1].written) < WANTED:
        if link.any() == 0:
            link.ask()
        for machine in house.machines:
            machine.step(ticks.us, ticks.ms)
        house.note_pass(250)
        ticks.advance(1000)


before = 0  # the name is there before it counts
ticks, house, ports, link, dog, img = make()
gc.collect()
gc.disable()
before = gc.mem_alloc()
micropython.heap_lock()
try:
    run(ticks, house, ports, link)
finally:
    micropython.heap_unlock()
print("allocated", gc.mem_alloc() - before)
print("transactions", *[port.written for port in ports])
print("answers", link.written, "of", link.asked)
print("fed", dog.fed)
print("events", image.get(img.board, image.EVENT_NEXT + 1))
kinds = {image.get(img.events, 8 * i + 2) >> 8 for i in range(image.EVENT_RING)}
print("sources", *sorted(kinds))
for index in range(len(ports)):
    words = [image.get(img.board, image.BUS_START + 16 * index + i) for i in range(11)]
    print("bus", *words)
print("generations", *[image.get(img.generations, i) for i in range(img.blocks)])
