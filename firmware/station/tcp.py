"""Modbus TCP server for boards with Ethernet: the answers of the link, framed by MBAP.

  0 transaction u16   2 protocol u16 = 0   4 length u16 of what follows   6 unit u8   7 PDU
A request is at most 260 bytes; at most 4 clients, each with buffers of its own made at start. A
pass reads and answers at most one request a client; nothing blocks. A client whose stream is no
MBAP is closed at once, one without a whole request (or that does not take its answer) after 60 s; a
fifth is closed when it comes. Requests allocate nothing; a connection allocates its socket, and so
at most one is taken each 250 ms: a flood of them cannot outrun the collector. Units other than the
board's and 255 get no answer. Imported only on boards with a network: others have no sockets.
Source: MODBUS Messaging on TCP/IP Implementation Guide V1.0b, 3.1.3.
"""

import select
import socket

from station.crc import copy

TYPE_CHECKING = False  # a board has no typing module
if TYPE_CHECKING:
    from typing import Any

    from station.seams import Ticks
    from station.server import Answers

ANY_UNIT = 255
CLIENTS_MAX = 4
IDLE_MS = 60000
ACCEPT_MS = 250
REOPEN_MS = 5000
HEAD_SIZE = 7
FRAME_MAX = 260
BUSY_US = 5000
REST_US = 20000


class Client:
    """One connection, or room for one."""

    def __init__(self) -> None:
        self.socket: Any = None
        self.ready = 0  # poll flags of this pass
        self.request = bytearray(FRAME_MAX)
        self.got = 0
        self.reply = bytearray(FRAME_MAX)
        self.size = 0  # of a reply under way, 0 if there is none
        self.sent = 0
        self.active_ms: Any = 0

    def wanted(self) -> int:
        """Bytes to the end of the head, or of the request; -1 if this is no MBAP."""
        if self.got < HEAD_SIZE:
            return HEAD_SIZE - self.got
        head = self.request
        length = head[4] << 8 | head[5]
        if head[2] or head[3] or not 2 <= length <= FRAME_MAX - 6:
            return -1
        return 6 + length - self.got


class TcpServer:
    """Serves one TCP port. progress is set by each step, cleared by the owner."""

    def __init__(
        self, address: str, port: int, ticks: "Ticks", answers: "Answers", unit_id: int
    ) -> None:
        self.ticks = ticks
        self.answers = answers
        self.unit_id = unit_id
        self.progress = True
        self.clients = tuple(Client() for _ in range(CLIENTS_MAX))
        self._where = (address, port)
        self._listener: Any = None
        self._knocks = False
        self._poll = select.poll()
        self._more = bytearray(FRAME_MAX)
        self._accepted_ms: Any = ticks.ticks_ms()
        self._open()

    def step(self, now_us: int, now_ms: int) -> int:
        """Takes, answers and sends what can be; returns the microseconds it can wait."""
        self.progress = True
        if self._listener is None:
            if self.ticks.ticks_diff(now_ms, self._accepted_ms) >= REOPEN_MS:
                self._accepted_ms = now_ms
                self._open()
            return REST_US
        self._look()
        if self._knocks and self.ticks.ticks_diff(now_ms, self._accepted_ms) >= ACCEPT_MS:
            self._accepted_ms = now_ms
            self._accept(now_ms)
        rest_us = REST_US
        for client in self.clients:
            if client.socket is not None:
                rest_us = BUSY_US
                self._serve(client, now_ms)
        return rest_us

    def _open(self) -> None:
        listener = None
        try:
            listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(socket.getaddrinfo(self._where[0], self._where[1])[0][-1])
            listener.listen(CLIENTS_MAX)
            listener.setblocking(False)
        except OSError:
            if listener is not None:
                listener.close()
            return
        self._poll.register(listener, select.POLLIN)
        self._listener = listener

    def _look(self) -> None:
        self._knocks = False
        for found, flags in self._poll.ipoll(0):
            if found is self._listener:
                self._knocks = True
            else:
                for client in self.clients:
                    if client.socket is found:
                        client.ready = flags

    def _accept(self, now_ms: int) -> None:
        try:
            found = self._listener.accept()[0]
        except OSError:
            return  # gone again
        for client in self.clients:
            if client.socket is None:
                found.setblocking(False)
                self._poll.register(found, select.POLLIN | select.POLLOUT)
                client.socket = found
                client.ready = client.got = client.size = 0
                client.active_ms = now_ms
                return
        found.close()

    def _serve(self, client: Client, now_ms: int) -> None:
        ready = client.ready
        client.ready = 0
        try:
            if ready & (select.POLLERR | select.POLLHUP):
                is_open = False
            elif client.size:
                is_open = not ready & select.POLLOUT or self._send(client)
            else:
                is_open = not ready & select.POLLIN or self._receive(client, now_ms)
        except OSError:
            is_open = False
        if not is_open or self.ticks.ticks_diff(now_ms, client.active_ms) >= IDLE_MS:
            self._poll.unregister(client.socket)
            client.socket.close()
            client.socket = None

    def _receive(self, client: Client, now_ms: int) -> bool:
        for _ in range(2):  # head, then body
            wanted = client.wanted()
            if wanted < 0:
                return False
            n = client.socket.readinto(self._more, wanted)
            if n is None:
                return True
            if n == 0:
                return False
            copy(client.request, client.got, self._more, 0, n)
            client.got += n
            if client.got > HEAD_SIZE and client.wanted() == 0:
                client.active_ms = now_ms
                return self._answer(client)
        return client.wanted() >= 0

    def _answer(self, client: Client) -> bool:
        size = client.got - HEAD_SIZE
        client.got = 0
        if client.request[6] != self.unit_id and client.request[6] != ANY_UNIT:
            return True
        length = self.answers.answer(client.request, HEAD_SIZE, size)
        copy(client.reply, 0, client.request, 0, HEAD_SIZE)
        copy(client.reply, HEAD_SIZE, self.answers.out, 1, length - 1)
        client.reply[4] = length >> 8
        client.reply[5] = length & 0xFF
        client.size = length + 6
        client.sent = 0
        return self._send(client)

    def _send(self, client: Client) -> bool:
        n = client.socket.write(client.reply, client.sent, client.size - client.sent)
        if n is not None:
            client.sent += n
        if client.sent == client.size:
            client.size = 0
        return True
