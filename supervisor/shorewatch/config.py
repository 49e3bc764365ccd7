"""station.toml: what this station has.

One file names the cable and the station, its boards with their buses and devices, the uplinks, the
outbox and the page. `load_station` returns it validated, or raises one ConfigError that lists
everything wrong with it: the shape (pydantic) and what only the whole can show (profiles that do
not exist, ids used twice, two devices with one address on a bus, boards with too many buses).

Relative paths (link ports, the outbox) are taken from the state directory of the running station.
"""

import hashlib
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from shorewatch.assets import asset_folder
from shorewatch.errors import ConfigError, Problem
from shorewatch.profile import Id, Point, Profile, load_profiles
from shorewatch.toml import Key, Table, load_toml, locate

Text = Annotated[str, Field(min_length=1, max_length=80)]


class DeviceConfig(Table):
    """One device on a field bus."""

    id: Id
    name: Text
    profile: Id
    unit_id: Annotated[int, Field(ge=1, le=247)]


class BusConfig(Table):
    """One RS-485 line of a board."""

    uart: Annotated[int, Field(ge=0, le=7)]
    baud: Literal[1200, 2400, 4800, 9600, 14400, 19200, 38400, 57600, 115200]
    format: Literal["8N1", "8E1", "8O1", "8N2"] = "8E1"
    device: Annotated[list[DeviceConfig], Field(min_length=1, max_length=32)]

    @property
    def char_us(self) -> float:
        """Microseconds a character takes on the wire: 10 bits for 8N1, else 11."""
        return (10 if self.format == "8N1" else 11) * 1e6 / self.baud

    @property
    def t35_us(self) -> int:
        """Silence between frames. Source: MODBUS over Serial Line V1.02, 2.5.1.1."""
        return 1750 if self.baud > 19200 else round(3.5 * 11e6 / self.baud)


class LinkConfig(Table):
    """How the gateway reaches a board: a serial port that speaks Modbus RTU."""

    port: Text
    unit_id: Annotated[int, Field(ge=1, le=247)] = 1
    baud: Literal[9600, 19200, 38400, 57600, 115200] = 115200
    timeout_s: Annotated[float, Field(ge=0.05, le=5)] = 0.5
    poll_s: Annotated[float, Field(ge=0.02, le=60)] = 0.1


class InputConfig(Table):
    """One dry contact of a board; `normally` is how it stands while all is well."""

    id: Id
    name: Text
    input: Annotated[int, Field(ge=0, le=15)]
    normally: Literal["open", "closed"]
    debounce_ms: Annotated[int, Field(ge=1, le=10_000)] = 20


class BoardConfig(Table):
    """One microcontroller: its type, its identity, its link, its buses, its contacts."""

    id: Id
    type: Id
    unique_id: Annotated[str, Field(pattern=r"^[0-9a-f]{8,32}$")]
    link: LinkConfig
    bus: Annotated[list[BusConfig], Field(min_length=1, max_length=2)]
    input: Annotated[list[InputConfig], Field(max_length=16)] = []


class StationTable(Table):
    """Who this is."""

    id: Id
    name: Text
    cable: Id
    cable_name: Text


class OutboxConfig(Table):
    """The durable queue in front of the uplinks."""

    file: Text = "outbox.sqlite"
    size_mb_max: Annotated[int, Field(ge=4, le=100_000)] = 256


class PageConfig(Table):
    """The local status page."""

    host: Text = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535)]


class UplinkConfig(Table):
    """One broker; with no consumers, the broker's acknowledgement is all we wait for."""

    id: Id
    url: Text
    client_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_./-]{1,64}$")] | None = None
    consumers: Annotated[list[Id], Field(max_length=8)] = []

    @field_validator("url")
    @classmethod
    def _is_broker(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme != "mqtt" or not parts.hostname or parts.path not in ("", "/"):
            raise ValueError("must look like mqtt://host:1883")
        if parts.username or parts.password:
            raise ValueError("must not contain a user or a password")
        try:
            parts.hostname.encode("idna")
        except UnicodeError as error:
            raise ValueError("must name a host: no empty or overlong part between dots") from error
        if parts.port == 0:
            raise ValueError("the port must be 1 to 65535")
        return url

    @property
    def host(self) -> str:
        """The broker's host."""
        return str(urlsplit(self.url).hostname)

    @property
    def port(self) -> int:
        """The broker's TCP port, 1883 unless the url names one."""
        return urlsplit(self.url).port or 1883


class StationFile(Table):
    """The whole of a station.toml."""

    station: StationTable
    outbox: OutboxConfig = OutboxConfig()
    page: PageConfig | None = None
    uplink: Annotated[list[UplinkConfig], Field(max_length=4)] = []
    board: Annotated[list[BoardConfig], Field(min_length=1, max_length=16)]


class UartFile(Table):
    """One UART of a board type: its pins, or (virtual board) the variable that names its tty."""

    uart: Annotated[int, Field(ge=0, le=7)]
    tx: int | None = None
    rx: int | None = None
    de: int | None = None
    tty: Text | None = None


class InputFile(Table):
    """One contact input of a board type, and its pin if it has one."""

    input: Annotated[int, Field(ge=0, le=15)]
    pin: int | None = None


class LimitsFile(Table):
    """How much a board type can carry."""

    buses: Annotated[int, Field(ge=1, le=2)]
    devices: Annotated[int, Field(ge=1, le=32)]
    blocks: Annotated[int, Field(ge=1, le=120)]


class BoardFile(Table):
    """boards/<type>/board.toml: the facts of a board type. Pins are the MCU's GPIO numbers."""

    name: Id
    mcu: Text
    micropython_port: Text
    micropython_version: Annotated[str, Field(pattern=r"^[0-9]+\.[0-9]+$")]
    micropython_build: Text
    uarts: Annotated[list[UartFile], Field(min_length=1, max_length=8)]
    inputs: Annotated[list[InputFile], Field(max_length=16)] = []
    links: Annotated[list[Literal["usb", "uart", "tcp", "tty"]], Field(min_length=1)]
    strap_pin: Annotated[int, Field(ge=0, le=63)] | None = None
    led_pin: Annotated[int, Field(ge=0, le=63)] | None = None
    watchdog_ms: Annotated[int, Field(ge=500, le=60000)]
    watchdog_limit_ms: Annotated[int, Field(ge=500, le=60000)]
    heap_floor_kb: Annotated[int, Field(ge=32, le=8192)]
    flash_method: Text
    maintenance: Literal["strap", "link"]
    tested_on_hardware: bool
    limits: LimitsFile

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        if self.watchdog_ms > self.watchdog_limit_ms:
            raise ValueError("watchdog_ms must not exceed watchdog_limit_ms")
        if self.maintenance == "strap" and self.strap_pin is None:
            raise ValueError('maintenance = "strap" needs a strap_pin')
        pins = [self.strap_pin, self.led_pin, *(contact.pin for contact in self.inputs)]
        for uart in self.uarts:
            pins += [uart.tx, uart.rx, uart.de]
        used = [pin for pin in pins if pin is not None]
        twice = {pin for pin in used if used.count(pin) > 1}
        if twice:
            raise ValueError(f"pin {min(twice)} is used twice")
        return self


@dataclass(frozen=True, slots=True)
class Device:
    """A device with everything known of it: where it hangs and what it is."""

    config: DeviceConfig
    profile: Profile
    board: BoardConfig
    bus: BusConfig

    @property
    def id(self) -> str:
        """Its id, unique in the station."""
        return self.config.id

    @property
    def points(self) -> Mapping[str, Point]:
        """Its points by id."""
        return self.profile.points


@dataclass(frozen=True)
class Station:
    """A validated station: the file, and its devices joined with their profiles."""

    file: StationFile
    devices: Mapping[str, Device]
    config_hash: str

    @property
    def id(self) -> str:
        """The station's id."""
        return self.file.station.id

    @property
    def cable(self) -> str:
        """The cable's id."""
        return self.file.station.cable

    @property
    def prefix(self) -> str:
        """The root of its MQTT topics."""
        return f"shorewatch/v1/{self.cable}/{self.id}"

    @cached_property
    def boards(self) -> Mapping[str, BoardConfig]:
        """The boards by id, in the file's order."""
        return {board.id: board for board in self.file.board}

    def of_board(self, board_id: str) -> list[Device]:
        """The devices of one board, in plan order: bus by bus, as in the file."""
        return [device for device in self.devices.values() if device.board.id == board_id]


def load_station(path: Path, overrides: Sequence[tuple[str, Any]] = ()) -> Station:
    """Read, validate and join a station file; raises ConfigError with every problem found."""
    file = load_toml(path, StationFile, overrides)
    profiles = load_profiles(
        path.parent / "profiles" if (path.parent / "profiles").is_dir() else None
    )
    lines = path.read_text(encoding="utf-8").splitlines()
    problems = [
        Problem(str(path), locate(lines, key), ".".join(map(str, key)), value, rule)
        for key, value, rule in _problems(file, profiles)
    ]
    if problems:
        raise ConfigError(problems)
    devices = {
        device.id: Device(device, profiles[device.profile], board, bus)
        for board in file.board
        for bus in board.bus
        for device in bus.device
    }
    used = sorted({device.profile.id for device in devices.values()})
    digest = hashlib.sha256(file.model_dump_json().encode())
    for name in used:
        digest.update(profiles[name].model_dump_json().encode())
    return Station(file, devices, digest.hexdigest()[:16])


def load_board_type(board_type: str) -> BoardFile:
    """The facts of one board type; raises ConfigError if there is no such type."""
    return load_toml(asset_folder("boards") / board_type / "board.toml", BoardFile)


def _problems(
    file: StationFile, profiles: Mapping[str, Profile]
) -> Iterator[tuple[Key, str | None, str]]:
    """What only the whole file shows: (key, value, rule)."""
    yield from _repeats(
        ((("board", i, "id"), board.id) for i, board in enumerate(file.board)), "board"
    )
    yield from _repeats(
        ((("board", i, "link", "port"), board.link.port) for i, board in enumerate(file.board)),
        "link port",
    )
    yield from _repeats(
        ((("board", i, "unique_id"), board.unique_id) for i, board in enumerate(file.board)),
        "unique id",
    )
    yield from _repeats(
        ((("uplink", i, "id"), uplink.id) for i, uplink in enumerate(file.uplink)), "uplink"
    )
    yield from _repeats(
        (
            (("board", b, "bus", u, "device", d, "id"), device.id)
            for b, board in enumerate(file.board)
            for u, bus in enumerate(board.bus)
            for d, device in enumerate(bus.device)
        ),
        "device",
    )
    yield from _repeats(
        (
            (("board", b, "input", i, "id"), contact.id)
            for b, board in enumerate(file.board)
            for i, contact in enumerate(board.input)
        ),
        "input",
    )
    types = sorted(p.name for p in asset_folder("boards").iterdir() if (p / "board.toml").is_file())
    for b, board in enumerate(file.board):
        if board.type not in types:
            yield (
                ("board", b, "type"),
                board.type,
                f"is no board type; there are {', '.join(types)}",
            )
        else:
            kind = load_board_type(board.type)
            uarts = [uart.uart for uart in kind.uarts]
            for u, bus in enumerate(board.bus):
                if bus.uart not in uarts:
                    rule = f"board type {board.type} has UARTs {', '.join(map(str, uarts))}"
                    yield ("board", b, "bus", u, "uart"), str(bus.uart), rule
            inputs = [entry.input for entry in kind.inputs]
            for i, contact in enumerate(board.input):
                if contact.input not in inputs:
                    has = f"inputs {', '.join(map(str, inputs))}" if inputs else "no inputs"
                    rule = f"board type {board.type} has {has}"
                    yield ("board", b, "input", i, "input"), str(contact.input), rule
        yield from _repeats(
            ((("board", b, "bus", u, "uart"), str(bus.uart)) for u, bus in enumerate(board.bus)),
            "UART of this board",
        )
        yield from _repeats(
            ((("board", b, "input", i, "input"), str(c.input)) for i, c in enumerate(board.input)),
            "input of this board",
        )
        for u, bus in enumerate(board.bus):
            yield from _repeats(
                (
                    (("board", b, "bus", u, "device", d, "unit_id"), str(device.unit_id))
                    for d, device in enumerate(bus.device)
                ),
                "unit id on this bus",
            )
            for d, device in enumerate(bus.device):
                if device.profile not in profiles:
                    known = ", ".join(sorted(profiles))
                    key = ("board", b, "bus", u, "device", d, "profile")
                    yield key, device.profile, f"is no profile; there are {known}"


def _repeats(entries: Iterator[tuple[Key, str]], noun: str) -> Iterator[tuple[Key, str, str]]:
    seen: dict[str, Key] = {}
    for key, value in entries:
        if value in seen:
            first = ".".join(map(str, seen[value]))
            yield key, value, f"{noun} is used twice (first at {first})"
        seen.setdefault(value, key)


def parse_override(text: str) -> tuple[str, Any]:
    """`key=value` from a command line as an override; the value is TOML, or else plain text.

    Raises ConfigError for anything without a key and an equals sign.
    """
    key, equals, value = text.partition("=")
    if not equals or not re.fullmatch(r"[a-z0-9_]+(\.[a-z0-9_]+)*", key):
        rule = "must look like page.port=8101"
        raise ConfigError([Problem("--set", None, key or "key", repr(text), rule)])
    try:
        return key, tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return key, value
