"""The Modbus TCP server on the real VM, over real sockets: clients of every kind beside the bus."""

import asyncio
import json
import shutil
import socket
import struct
import subprocess
from pathlib import Path

import pytest
from free_ports import free_port
from fw_plan_file import blocks, bus, device, plan_file
from fw_vm import FIRMWARE, Board, Devices, find_vm, until
from pymodbus.client import AsyncModbusTcpClient

PLAN = plan_file([bus(0)], [device(0, 5)], blocks((0, 4, 0x20, 3, 100)))
SCRIPTS = Path(__file__).parent / "vm"
READ = bytes.fromhex("1234 0000 0006 01 04 0000 0002")
ANSWER = bytes.fromhex("1234 0000 0007 01 04 04 5357 0001")
GOOD = 1


class Rig:
    """A board with Ethernet, and a device on its first bus."""

    def __init__(self, folder):
        self.port = free_port()
        link = {"unit_id": 1, "tcp": {"address": "127.0.0.1", "port": self.port}}
        self.board = Board(folder, PLAN, settings=json.dumps({"role": "room", "link": link}))
        self.devices = Devices(self.board.buses[0])
        self.devices.start()
        self.sockets = []

    def connect(self):
        end = socket.create_connection(("127.0.0.1", self.port), timeout=15)
        self.sockets.append(end)
        return end

    def ask(self, end, data=READ):
        end.sendall(data)
        return self.receive(end)

    def receive(self, end):
        """One whole frame; less if the board has closed."""
        head = self._take(end, 6)
        return head + self._take(end, struct.unpack(">H", head[4:])[0]) if len(head) == 6 else head

    def _take(self, end, size):
        data = b""
        while len(data) < size:
            try:
                more = end.recv(size - len(data))
            except ConnectionResetError:
                more = b""
            if not more:
                break
            data += more
        return data

    def is_reading(self):
        """The bus goes on, and the watchdog is fed."""
        asked = len(self.devices.asked)
        until(lambda: len(self.devices.asked) > asked + 5, "requests beside the clients")
        assert self.board.beat() == b"."

    def close(self):
        for end in self.sockets:
            end.close()
        self.devices.stop()
        self.board.close()


@pytest.fixture
def rig(tmp_path):
    rig = Rig(tmp_path)
    yield rig
    rig.close()


@pytest.fixture
def running(rig):
    rig.board.start()
    return rig


async def test_another_client(running):
    """An independent client reads image and identity over TCP as over the link."""
    client = AsyncModbusTcpClient("127.0.0.1", port=running.port, timeout=5, retries=0)
    try:
        assert await client.connect()
        head = (await client.read_input_registers(0, count=0x40, device_id=1)).registers
        assert head[:2] == [0x5357, 1]
        assert tuple(head[6:8]) == running.board.read(6, 2), "one image"
        async with asyncio.timeout(15):
            block = [0, 0]
            while block[1] != GOOD:
                block = (await client.read_input_registers(0x1000, count=7, device_id=1)).registers
        assert block[4:] == [0x20, 0x21, 0x22]
        who = await client.read_device_information(read_code=3, device_id=1)
        assert who.information[1] == b"virtual" and who.information[0x81] == b"room"
        for wrong in (
            await client.read_holding_registers(0, count=1, device_id=1),
            await client.write_register(0, 1, device_id=1),
            await client.write_coil(0, True, device_id=1),
        ):
            assert wrong.exception_code == 1
        behind = await client.read_input_registers(0x7F00, count=1, device_id=1)
        assert behind.exception_code == 2
    finally:
        client.close()


def test_maintenance_is_refused(running):
    """0x41 with the right unique id is a function like any other over TCP: exception 01."""
    pdu = b"\x41" + b"5357000000000001"
    end = running.connect()
    answer = running.ask(end, struct.pack(">HHHB", 7, 0, len(pdu) + 1, 1) + pdu)
    assert answer == bytes.fromhex("0007 0000 0003 01 c1 01")
    assert running.ask(end) == ANSWER
    assert running.board.read(9, 1) == (0,)


def test_byte_by_byte(running):
    """A request that comes in 12 pieces is answered once."""
    end = running.connect()
    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for byte in READ[:-1]:
        end.sendall(bytes([byte]))
        running.board.beat()
    assert running.ask(end, READ[-1:]) == ANSWER


def test_many_requests_in_one_piece(running):
    """Pipelined requests are each answered, in order."""
    end = running.connect()
    end.sendall(b"".join(struct.pack(">H", i) + READ[2:] for i in range(50)))
    answers = [running.receive(end) for _ in range(50)]
    assert answers == [struct.pack(">H", i) + ANSWER[2:] for i in range(50)]


def test_units(running):
    """The board answers for its unit and 255, and for no other."""
    end = running.connect()
    for unit in (0, 2, 247):
        end.sendall(READ[:6] + bytes([unit]) + READ[7:])
    assert running.ask(end, READ[:6] + b"\xff" + READ[7:]) == ANSWER[:6] + b"\xff" + ANSWER[7:]
    assert running.ask(end) == ANSWER


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", id="another protocol"),
        pytest.param(READ[:2] + b"\x00\x01" + READ[4:], id="protocol 1"),
        pytest.param(READ[:4] + b"\x00\x00" + READ[6:], id="length 0"),
        pytest.param(READ[:4] + b"\x00\x01" + READ[6:], id="length 1"),
        pytest.param(READ[:4] + b"\x00\xff" + READ[6:], id="length 255"),
        pytest.param(READ[:4] + b"\xff\xff" + READ[6:], id="length 65535"),
        pytest.param(bytes(range(256)) * 40, id="garbage"),
    ],
)
def test_what_is_no_mbap_is_closed(running, data):
    """A stream that is no Modbus TCP is closed at once; others are served on."""
    other, end = running.connect(), running.connect()
    assert running.ask(other) == ANSWER
    assert running.ask(end, data) == b""
    assert running.ask(other) == ANSWER


@pytest.mark.parametrize(
    ("pdu", "answer"), [("04", "84 01"), ("04 0000", "84 01"), ("2b 0e", "ab 01"), ("00", "80 01")]
)
def test_a_pdu_that_is_too_short(running, pdu, answer):
    """A PDU of the wrong length is refused, not read past its end."""
    data = bytes.fromhex(pdu)
    frame = struct.pack(">HHHB", 7, 0, len(data) + 1, 1) + data
    assert running.ask(running.connect(), frame)[7:] == bytes.fromhex(answer)


def test_the_longest_request(running):
    """A request of 260 bytes is taken whole, and the next one is answered."""
    end = running.connect()
    frame = struct.pack(">HHHB", 7, 0, 254, 1) + b"\x10" + bytes(252)
    assert running.ask(end, frame)[7:] == b"\x90\x01"
    assert running.ask(end) == ANSWER


def test_four_clients(running):
    """Four clients are served, a fifth is closed, and one that leaves makes room."""
    ends = [running.connect() for _ in range(4)]
    assert [running.ask(end) for end in ends] == [ANSWER] * 4
    assert running.ask(running.connect()) == b""
    ends[1].close()
    assert running.ask(ends[0]) == ANSWER

    def has_room():
        return running.ask(running.connect()) == ANSWER

    until(has_room, "room for another")
    assert running.ask(ends[3]) == ANSWER


def test_a_client_that_never_reads(running):
    """A client that asks and never reads stops nobody: not the bus, not the other clients."""
    deaf, end = running.connect(), running.connect()
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    deaf.setblocking(False)
    request = READ[:-1] + b"\x40"
    sent = 0
    for _ in range(300):
        try:
            sent += deaf.send(request * 200)
        except BlockingIOError:
            running.board.beat()
    assert sent > 200_000, "its requests have filled what there is to fill"
    assert running.ask(end) == ANSWER
    running.is_reading()


def test_a_flood(running):
    """Three clients that flood with requests and garbage do not disturb the bus."""
    ends = [running.connect() for _ in range(3)]
    for end in ends:
        end.setblocking(False)
    for _ in range(50):
        for end in ends:
            try:
                end.send(READ * 500)
                end.recv(65536)
            except BlockingIOError:
                pass
    running.is_reading()
    assert running.ask(running.connect()) == ANSWER


def test_connections_in_quick_succession(running):
    """Thirty connections made and dropped at once leave the board serving and fed."""
    for _ in range(30):
        running.connect().close()
    running.is_reading()
    assert until(lambda: running.ask(running.connect()) == ANSWER, "an answer after the rush")


def test_a_port_in_use(rig):
    """A board whose TCP port is taken answers on its link, and on TCP once the port is free."""
    with socket.create_server(("127.0.0.1", rig.port)):
        rig.board.start()
        assert rig.board.read(0, 1) == (0x5357,)

    def answers():
        try:
            return rig.ask(rig.connect()) == ANSWER
        except ConnectionRefusedError:
            return False

    until(answers, "the port")


@pytest.mark.parametrize("tcp", [{}, {"port": "x"}, {"port": 70000}, {"address": "nowhere"}, 3])
def test_damaged_settings(tmp_path, tcp):
    """A board whose network settings are damaged still answers on its link."""
    settings = json.dumps({"link": {"unit_id": 1, "tcp": tcp}})
    board = Board(tmp_path, PLAN, settings=settings)
    try:
        board.start()
        assert board.read(0, 2) == (0x5357, 1)
    finally:
        board.close()


def test_a_client_of_no_use_is_closed():
    """A client that asks nothing, or takes no answer, for 60 s is closed; another stays."""
    done = subprocess.run(
        [find_vm(), str(SCRIPTS / "tcp_idle.py"), str(FIRMWARE), str(free_port())],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "stopped True\nFalse True False False\n"), (
        done.stderr
    )


def test_requests_allocate_nothing(rig):
    """The whole board serves 1,000 requests over TCP with the heap locked."""
    shutil.copy(SCRIPTS / "tcp_locked.py", rig.board.flash)
    rig.board.start(program=("tcp_locked.py", "1000"))
    end = rig.connect()
    for _ in range(1010):
        assert rig.ask(end) == ANSWER
    code, told = rig.board.end()
    assert code == 0, told
    facts = dict(line.split(" ", 1) for line in told.splitlines())
    assert facts["allocated"] == "0"
    assert 0 < int(facts["connection"]) < 2048
