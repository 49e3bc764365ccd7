"""Runs on the VM: clients that say nothing, ask in time, and ask without ever reading.

argv: the folder of the firmware, a free port. Prints whether the reader of nothing has brought its
answers to a stop, then which clients are still connected after 65 s of the server's clock.
"""

import socket
import sys
import time

sys.path.insert(0, sys.argv[1])

from station.tcp import TcpServer

ASK = b"\x00\x01\x00\x00\x00\x02\x01\x04"


class Ticks:
    ms = 0

    def ticks_ms(self):
        return self.ms

    def ticks_diff(self, end, start):
        return end - start


class Answers:
    out = bytearray(256)

    def answer(self, buf, at, size):
        return 250


ticks = Ticks()
server = TcpServer("127.0.0.1", int(sys.argv[2]), ticks, Answers(), 1)
ends = []
for _ in range(3):
    end = socket.socket()
    end.setsockopt(socket.SOL_SOCKET, 8, 4096)  # SO_RCVBUF of Linux: soon full
    end.connect(socket.getaddrinfo("127.0.0.1", int(sys.argv[2]))[0][-1])
    ends.append(end)
while server.clients[2].socket is None:
    ticks.ms += 10
    server.step(0, ticks.ms)
deaf = server.clients[2]
ends[2].setblocking(False)
stuck = 0
while stuck < 200:
    ends[2].write(ASK)
    sent = deaf.sent
    server.step(0, ticks.ms)
    stuck = stuck + 1 if deaf.size and deaf.sent == sent else 0
print("stopped", deaf.size > 0)
for _ in range(13):
    ticks.ms += 5000
    ends[1].write(ASK)
    time.sleep_ms(2)
    server.step(0, ticks.ms)
print(*[client.socket is not None for client in server.clients])
