"""Puts the board together and runs the superloop. Reads files and the board; decides nothing.

board.json and plan.bin are read once, here. Nothing is written in normal running. Safe mode (a
strap, on boards whose maintenance is "link") opens no field bus: the link answers, no more.
"""

import gc
import json
import os

from station import VERSION, crash, health, image, plan
from station.bus import Bus
from station.client import Client
from station.events import Events
from station.health import CRASH_STORED, NO_PLAN, PLAN_REFUSED, Health
from station.image import Image
from station.inputs import Inputs
from station.server import Server
from station.slots import Trial

TYPE_CHECKING = False  # a board has no typing module
if TYPE_CHECKING:
    from typing import Any

    from station.plan import Plan
    from station.seams import Board, Dog, Machine, Port, Ticks

PLAN_FILE = "plan.bin"
BOARD_FILE = "board.json"
REST_MAX_US = 50000
IDENTITY_SIZE_MAX = 200
UNIT_ID = 1  # of a board that has not been told
WATCHDOG = 2  # board.boot_reason()
MAINTENANCE = 5  # for board.reset()
MAINTENANCE_AFTER_MS = 500  # the reply leaves, the buses come to rest


def read_file(name: str, size_max: int) -> "bytes | None":
    """The file's bytes, or None if there is no such file."""
    try:
        with open(name, "rb") as file:
            data: bytes = file.read(size_max)
            return data
    except OSError:
        return None


def load_settings() -> "dict[str, Any]":
    """board.json, with defaults where it is missing or damaged: a board always answers."""
    settings: dict[str, Any] = {}
    try:
        settings = json.loads(read_file(BOARD_FILE, 4096) or b"{}")
    except ValueError:
        pass
    if not isinstance(settings, dict):
        settings = {}
    link = settings.get("link")
    settings["link"] = link = link if isinstance(link, dict) else {}
    unit_id = link.get("unit_id")
    if not isinstance(unit_id, int) or not 1 <= unit_id <= 247:
        link["unit_id"] = UNIT_ID
    return settings


def load_plan() -> "tuple[Plan, int]":
    """The plan and the health bits that tell what became of it."""
    data = read_file(PLAN_FILE, plan.SIZE_MAX)
    if data is None:
        return plan.Plan(), NO_PLAN
    loaded = plan.Plan()
    if plan.parse(data, loaded) != plan.ACCEPTED:
        return plan.Plan(), PLAN_REFUSED
    return loaded, 0


def open_ports(board: "Board", loaded: "Plan", contacts: int) -> "list[Port]":
    """A port for each bus of the plan; ValueError if the board has no such UART or contact."""
    for index in loaded.input_index:
        if index >= contacts:
            raise ValueError("no such input")
    return [
        board.open_bus(
            loaded.bus_uart[i],
            loaded.bus_baud[i],
            loaded.bus_parity[i],
            loaded.bus_stop_bits[i],
        )
        for i in range(len(loaded.bus_uart))
    ]


class App:
    """All state machines of a board; step() is one pass of the superloop."""

    def __init__(self, board: "Board", ticks: "Ticks", dog: "Dog") -> None:
        self.ticks = ticks
        settings = load_settings()
        loaded, health_bits = load_plan()
        plan.forget_parser()
        contacts = board.open_inputs()
        if board.strap():
            # A board whose strap opens the REPL does not come here with its strap bridged.
            loaded, health_bits = plan.Plan(), health.SAFE_MODE
        try:
            ports = open_ports(board, loaded, contacts.count)
        except ValueError:
            loaded, health_bits, ports = plan.Plan(), PLAN_REFUSED, []
        img = Image(loaded, ticks)
        text = crash.read()
        if text:
            health_bits |= CRASH_STORED
            tail = text[-len(img.crash) :]
            img.crash[0 : len(tail)] = tail
        if board.boot_reason() == WATCHDOG:
            health_bits |= health.BY_WATCHDOG
        trial = Trial(root_folder())
        if trial.is_fallback:
            health_bits |= health.FALLBACK
        fill_board(img, loaded, board, health_bits)
        events = Events(loaded, img, ticks)
        inputs = Inputs(loaded, img, events, contacts, ticks)
        buses = []
        for i in range(len(ports)):
            # A character: start bit, 8 data bits, parity, stop bits.
            bits = 9 + (1 if loaded.bus_parity[i] else 0) + loaded.bus_stop_bits[i]
            char_us = bits * 1000000 // loaded.bus_baud[i] + 1
            client = Client(ports[i], ticks, loaded.bus_t35_us[i], char_us)
            buses.append(Bus(i, loaded, img, events, client, ticks))
        link = settings["link"]
        texts = (
            "Shorewatch",
            board.TYPE,
            ".".join(str(number) for number in VERSION),
            board.unique_id(),
            str(settings.get("role", "")),
        )
        identity = [text.encode()[:IDENTITY_SIZE_MAX] for text in texts]
        server = Server(board.open_link(link), ticks, img, link["unit_id"], identity)
        server.allows_maintenance = board.MAINTENANCE == "link"
        self.image = img
        self.events = events
        self.buses = tuple(buses)
        self.server = server
        self.health = Health(img, ticks, dog, self.buses)
        # Inputs first: the time of a pass is theirs. (MicroPython has no * in a tuple.)
        self.machines: tuple[Machine, ...] = (inputs,) + self.buses + (server, events, self.health)
        self.health.machines = self.machines
        self._asked_ms = 0
        self._is_ending = False
        self._open_network(board, link)
        self.health.watch(server, trial)
        gc.collect()
        self.health.note_heap()

    def _open_network(self, board: "Board", link: "dict[str, Any]") -> None:
        settings = link.get("tcp")
        if not isinstance(settings, dict) or not board.open_network(settings):
            return
        from station.tcp import PORT, TcpServer  # a board without a network has no sockets

        address, port = str(settings.get("address")), settings.get("port", PORT)
        if isinstance(port, int) and 1 <= port <= 65535:
            answers = self.server.answers
            tcp = TcpServer(address, port, self.ticks, answers, link["unit_id"])
            self.machines += (tcp,)
            self.health.machines = self.machines

    def step(self) -> int:
        """One pass; returns the microseconds to rest."""
        now_us = self.ticks.ticks_us()
        now_ms = self.ticks.ticks_ms()
        rest_us = REST_MAX_US
        for machine in self.machines:
            wait_us = machine.step(now_us, now_ms)
            if wait_us < rest_us:
                rest_us = wait_us
        self.health.note_pass(self.ticks.ticks_diff(self.ticks.ticks_us(), now_us))
        return rest_us

    def ends(self) -> bool:
        """Whether the board is to restart for maintenance: asked for, answered, buses at rest."""
        if not self.server.wants_maintenance:
            return False
        now_ms = self.ticks.ticks_ms()
        if not self._is_ending:
            self._is_ending = True
            self._asked_ms = now_ms
            bits = image.get(self.image.board, image.HEALTH) | health.MAINTENANCE_ASKED
            image.put(self.image.board, image.HEALTH, bits)
        for bus in self.buses:
            bus.hold = True
        return self.ticks.ticks_diff(now_ms, self._asked_ms) >= MAINTENANCE_AFTER_MS


def root_folder() -> str:
    """The current folder with a slash at its end."""
    root: str = os.getcwd()
    return root if root.endswith("/") else root + "/"


def fill_board(img: "Image", loaded: "Plan", board: "Board", health_bits: int) -> None:
    """The words of the board segment that stay as they are until the next boot."""
    boot_id = os.urandom(4)
    words = (
        (0, image.MAGIC),
        (1, image.MAP_VERSION),
        (image.PLAN_CRC, loaded.crc_high),
        (image.PLAN_CRC + 1, loaded.crc_low),
        (image.FIRMWARE, VERSION[0] << 8 | VERSION[1]),
        (image.FIRMWARE + 1, VERSION[2]),
        (image.BOOT_ID, boot_id[0] << 8 | boot_id[1]),
        (image.BOOT_ID + 1, boot_id[2] << 8 | boot_id[3]),
        (image.BOOT_REASON, board.boot_reason()),
        (image.HEALTH, health_bits),
        (image.COUNTS, len(loaded.bus_uart)),
        (image.COUNTS + 1, len(loaded.device_bus)),
        (image.COUNTS + 2, len(loaded.block_image)),
        (image.COUNTS + 3, loaded.area_registers()),
        (image.WATCHDOG, board.WATCHDOG_MS),
    )
    for word, value in words:
        image.put(img.board, word, value)


def run(board: "Board", ticks: "Ticks") -> None:
    """Runs until an exception or maintenance ends it."""
    app = App(board, ticks, board.watchdog())
    gc.disable()
    board.led(True)
    while not app.ends():
        rest_us = app.step()
        if rest_us > 0:
            board.idle(rest_us)
    board.reset(MAINTENANCE)
