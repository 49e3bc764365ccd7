"""Puts the board's parts together: board.json, plan.bin, ports, state machines. Decides nothing.

Both files are read here, once. Needed at start only: app.py then forgets this and the parser, some
8 kB of a board's heap. Safe mode (a strap, on boards whose maintenance is "link") opens no field
bus: the link answers, no more.
"""

import json
import os

from station import VERSION, crash, health, image, parser, plan
from station.bus import Bus
from station.client import Client
from station.events import Events
from station.health import Health
from station.image import Image
from station.inputs import Inputs
from station.server import Server
from station.slots import Trial

TYPE_CHECKING = False  # a board has no typing module
if TYPE_CHECKING:
    from typing import Any

    from station.plan import Plan
    from station.seams import Board, Dog, Machine, Port, Ticks

SIZE_MAX = 200  # bytes of a text of the identity


def build(
    board: "Board", ticks: "Ticks", dog: "Dog"
) -> "tuple[tuple[Bus, ...], Server, Events, Health]":
    """All state machines; health has the list of them, in the order of a pass."""
    settings = load_settings()
    contacts = board.open_inputs()
    loaded, bits = load_plan()
    if board.strap():
        # A board whose strap opens the REPL does not come here with its strap bridged.
        loaded, bits = plan.Plan(), health.SAFE_MODE
    try:
        ports = open_ports(board, loaded, contacts.count)
    except ValueError:
        loaded, bits, ports = plan.Plan(), health.PLAN_REFUSED, []
    img = Image(loaded, ticks)
    text = crash.read()
    if text:
        bits |= health.CRASH_STORED
        text = text[-len(img.crash) :]
        img.crash[0 : len(text)] = text
    if board.boot_reason() == 2:  # the watchdog
        bits |= health.BY_WATCHDOG
    root = os.getcwd()
    trial = Trial(root if root.endswith("/") else root + "/")
    if trial.is_fallback:
        bits |= health.FALLBACK
    fill_board(img, loaded, board, bits)
    events = Events(loaded, img, ticks)
    # Inputs first: the time of a pass is theirs.
    inputs = Inputs(loaded, img, events, contacts, ticks)
    buses = tuple([make_bus(i, loaded, img, events, ports[i], ticks) for i in range(len(ports))])
    link = settings["link"]
    identity = identify(board, settings, trial)
    server = Server(board.open_link(link), ticks, img, link["unit_id"], identity)
    server.allows_maintenance = board.MAINTENANCE == "link"
    house = Health(img, ticks, dog, buses)
    # (MicroPython has no * in a tuple.)
    machines: tuple[Machine, ...] = (inputs,) + buses + (server, events, house)
    house.machines = machines + open_network(board, link, server)
    house.watch(server, trial)
    return buses, server, events, house


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
        settings = json.loads(read_file("board.json", 4096) or b"{}")
    except ValueError:
        pass
    if not isinstance(settings, dict):
        settings = {}
    link = settings.get("link")
    settings["link"] = link = link if isinstance(link, dict) else {}
    unit_id = link.get("unit_id")
    if not isinstance(unit_id, int) or not 1 <= unit_id <= 247:
        link["unit_id"] = 1
    return settings


def load_plan() -> "tuple[Plan, int]":
    """The plan and the health bits that tell what became of it."""
    data = read_file("plan.bin", parser.SIZE_MAX)
    if data is None:
        return plan.Plan(), health.NO_PLAN
    loaded = plan.Plan()
    if parser.parse(data, loaded) != parser.ACCEPTED:
        return plan.Plan(), health.PLAN_REFUSED
    return loaded, 0


def open_ports(board: "Board", loaded: "Plan", count: int) -> "list[Port]":
    """A port for each bus; ValueError if the board has no such UART or contact."""
    for index in loaded.input_index:
        if index >= count:
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


def make_bus(
    i: int, loaded: "Plan", img: Image, events: Events, port: "Port", ticks: "Ticks"
) -> Bus:
    """Bus i of the plan on its port."""
    # A character: start bit, 8 data bits, parity, stop bits.
    bits = 9 + (1 if loaded.bus_parity[i] else 0) + loaded.bus_stop_bits[i]
    char_us = bits * 1000000 // loaded.bus_baud[i] + 1
    client = Client(port, ticks, loaded.bus_t35_us[i], char_us)
    return Bus(i, loaded, img, events, client, ticks)


def identify(board: "Board", settings: "dict[str, Any]", trial: "Trial") -> "list[bytes]":
    """Vendor, product, version, unique id, role, content."""
    texts = (
        "Shorewatch",
        board.TYPE,
        ".".join([str(n) for n in VERSION]),
        board.unique_id(),
        str(settings.get("role", "")),
        trial.content,
    )
    return [text.encode()[:SIZE_MAX] for text in texts]


def open_network(board: "Board", link: "dict[str, Any]", server: Server) -> "tuple[Any, ...]":
    """The Modbus TCP server, if board.json wants one and the board has a network."""
    settings = link.get("tcp")
    if not isinstance(settings, dict) or not board.open_network(settings):
        return ()
    from station import tcp  # a board without a network has no sockets

    address, port = str(settings.get("address")), settings.get("port", 502)
    if not isinstance(port, int) or not 1 <= port <= 65535:
        return ()
    return (tcp.TcpServer(address, port, server.ticks, server.answers, link["unit_id"]),)


def fill_board(img: "Image", loaded: "Plan", board: "Board", bits: int) -> None:
    """The words of the board segment that stay as they are until the next boot."""
    data = os.urandom(4)
    head = [0x5357, 1, loaded.crc_high, loaded.crc_low, VERSION[0] << 8 | VERSION[1], VERSION[2]]
    head += [data[0] << 8 | data[1], data[2] << 8 | data[3], board.boot_reason(), bits]
    for word in range(len(head)):  # the last one is image.HEALTH
        image.put(img.board, word, head[word])
    image.put(img.board, image.COUNTS, len(loaded.bus_uart))
    image.put(img.board, image.COUNTS + 1, len(loaded.device_bus))
    image.put(img.board, image.COUNTS + 2, len(loaded.block_image))
    image.put(img.board, image.COUNTS + 3, loaded.area_registers())
    image.put(img.board, image.WATCHDOG, board.WATCHDOG_MS)
