"""station.toml: what this station has.

One file names the cable and the station, its boards with their buses and devices, the direct lines
(devices that the gateway reads itself), the uplinks, the outbox and the page. `load_station`
returns it validated, or raises one ConfigError that lists everything wrong with it: the shape
(pydantic) and what only the whole can show (profiles that do not exist, ids used twice, two devices
with one address on a bus, boards with too many buses). The second is looked for in the tables as
read, so that a mistake of the first kind hides none of it.

Relative paths (link ports, the outbox) are taken from the state directory of the running station;
that of the cable file from the folder of the station file, and else from that of the shipped ones.
"""

import difflib
import hashlib
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self, get_args
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, ValidationError, field_validator, model_validator

from shorewatch.assets import asset_folder
from shorewatch.cable.file import CableFile, load_cable
from shorewatch.errors import ConfigError, Problem
from shorewatch.point import Id, Point
from shorewatch.profile import Profile, load_profiles
from shorewatch.texts import Texts, english, load_texts
from shorewatch.toml import Key, Table, Text, TomlFile, load_toml, printable, read_toml

# The contacts of board `beach` are the device `beach-contacts`; how often their states are due.
CONTACTS = "-contacts"
CONTACTS_PERIOD_S = 1.0
_CONTACTS_BOARD_MAX = 40 - len(CONTACTS)
FilePath = Annotated[str, Field(min_length=1, max_length=400), AfterValidator(printable)]
Credential = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,100}$")]
# What can be asked by MQTT; nothing of it reaches a board or a field device.
Verb = Literal[
    "acknowledge", "shelve", "unshelve", "out-of-service", "in-service", "note", "test-alarm",
    "replay", "rebirth",
]  # fmt: skip
VERBS: Final[tuple[Verb, ...]] = get_args(Verb)


Baud = Literal[1200, 2400, 4800, 9600, 14400, 19200, 38400, 57600, 115200]
Format = Literal["8N1", "8E1", "8O1", "8N2"]


def _char_us(baud: int, form: str) -> float:
    """Microseconds of a character: 10 bits for 8N1, else 11."""
    return (10 if form == "8N1" else 11) * 1e6 / baud


def _t35_us(baud: int) -> int:
    """Source: MODBUS over Serial Line V1.02, 2.5.1.1."""
    return 1750 if baud > 19200 else round(3.5 * 11e6 / baud)


def parse_address(text: str) -> tuple[str, int]:
    """`ups.local:502` or `[2001:db8::7]:502` as host and TCP port; anything else: ValueError."""
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        colon = ""  # an IPv6 address without brackets: which colon is the port's?
    if not (
        colon and re.fullmatch(r"[0-9A-Za-z._:-]+", host) and re.fullmatch(r"[0-9]{1,5}", port)
    ):
        raise ValueError("must look like 192.0.2.7:502 or [2001:db8::7]:502")
    if not 1 <= int(port) <= 65535:
        raise ValueError("the port must be 1 to 65535")
    return host, int(port)


Priority = Literal["critical", "major", "minor", "warning"]
EventType = Literal[
    "communications", "quality-of-service", "processing-error", "equipment", "environmental"
]


class DeviceConfig(Table):
    """One device on a field bus."""

    id: Id
    name: Text
    profile: Id
    unit_id: Annotated[int, Field(ge=1, le=247)]
    # Points of the profile that this device has not.
    without: list[Id] = []


class DirectDeviceConfig(Table):
    """One device that the gateway reads itself; over TCP any unit id has its use."""

    id: Id
    name: Text
    profile: Id
    unit_id: Annotated[int, Field(ge=0, le=255)]
    without: list[Id] = []


class BusConfig(Table):
    """One RS-485 line of a board."""

    uart: Annotated[int, Field(ge=0, le=7)]
    baud: Baud
    format: Format = "8E1"
    device: Annotated[list[DeviceConfig], Field(min_length=1, max_length=32)]

    @property
    def char_us(self) -> float:
        """Microseconds a character takes on the wire."""
        return _char_us(self.baud, self.format)

    @property
    def t35_us(self) -> int:
        """Silence between frames."""
        return _t35_us(self.baud)


class DirectConfig(Table):
    """Devices that the gateway reads itself: at one TCP address, or on one of its serial ports."""

    id: Id
    tcp: Text | None = None
    port: FilePath | None = None
    baud: Baud | None = None
    format: Format = "8E1"
    # What network and gateway, or the adapter, add to the time a device takes to answer.
    delay_ms: Annotated[int, Field(ge=0, le=5000)] | None = None
    device: Annotated[list[DirectDeviceConfig], Field(min_length=1, max_length=64)]

    @field_validator("tcp")
    @classmethod
    def _is_address(cls, tcp: str | None) -> str | None:
        if tcp is not None:
            parse_address(tcp)
        return tcp

    @model_validator(mode="after")
    def _is_one_line(self) -> Self:
        if (self.tcp is None) == (self.port is None):
            raise ValueError('must have one of tcp ("192.0.2.7:502") and port ("/dev/ttyUSB0")')
        if (self.baud is None) == (self.port is not None):
            raise ValueError("baud belongs to port, and port needs it")
        if self.tcp is not None and "format" in self.model_fields_set:
            raise ValueError("format belongs to port")
        return self

    @property
    def address(self) -> tuple[str, int] | None:
        """Host and TCP port; None of a serial line."""
        return None if self.tcp is None else parse_address(self.tcp)

    @property
    def where(self) -> str:
        """Its address, or its port and how that is set, as people write it."""
        return self.tcp or f"{self.port}, {self.baud} {self.format}"

    @property
    def delay_s(self) -> float:
        """`delay_ms` as given, else 100 ms over TCP, 20 ms for an adapter's latency timer."""
        given = (20 if self.tcp is None else 100) if self.delay_ms is None else self.delay_ms
        return given / 1000

    @property
    def char_us(self) -> float:
        """Microseconds a character takes: over TCP as on the 10 Mbit/s of small devices."""
        return 0.8 if self.baud is None else _char_us(self.baud, self.format)

    @property
    def t35_us(self) -> int:
        """Silence between frames; TCP needs none."""
        return 0 if self.baud is None else _t35_us(self.baud)


class LinkConfig(Table):
    """How the gateway reaches a board: a serial port that speaks Modbus RTU."""

    port: FilePath
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

    file: FilePath = "outbox.sqlite"
    size_mb_max: Annotated[int, Field(ge=4, le=100_000)] = 256


class HistoryConfig(Table):
    """What the points did: each change for some hours, then minutes; the least important file.

    Below `free_mb_min` of free disk it stops and gives its own room back.
    """

    record: bool = True
    file: FilePath = "history.sqlite"
    size_mb_max: Annotated[int, Field(ge=4, le=100_000)] = 256
    days: Annotated[int, Field(ge=1, le=3650)] = 90
    raw_hours: Annotated[int, Field(ge=1, le=24 * 31)] = 24
    free_mb_min: Annotated[int, Field(ge=0, le=100_000)] = 100


class PageConfig(Table):
    """The local status page."""

    host: Text = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535)]
    # Host names under which browsers ask for it, beside addresses and the machine's own names.
    names: Annotated[tuple[Text, ...], Field(max_length=16)] = ()
    cert_file: FilePath | None = None
    key_file: FilePath | None = None
    # A BCP 47 tag, and the file with the page's words in it (texts.py), from the station file's
    # folder; without a file they are English.
    language: Annotated[str, Field(pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}$")] = "en"
    texts: FilePath | None = None

    @model_validator(mode="after")
    def _check_language(self) -> Self:
        if self.texts is None and self.language.partition("-")[0] != "en":
            raise ValueError(
                f"language {self.language} needs texts, a file with the page's words in it: "
                "`shorewatch schema` writes the English ones to start from"
            )
        if self.texts is not None and "language" not in self.model_fields_set:
            raise ValueError('texts needs language: in which it is written, like "az"')
        return self

    @model_validator(mode="after")
    def _check_tls(self) -> Self:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("needs both of cert_file and key_file, or neither")
        return self


class RequesterConfig(Table):
    """Who may ask something of the station by MQTT, and what; secret.py reads the key."""

    id: Id
    key_file: FilePath | None = None
    key_credential: Credential | None = None
    may: Annotated[list[Verb], Field(min_length=1)] = list(VERBS)

    @model_validator(mode="after")
    def _is_one_key(self) -> Self:
        if (self.key_file is None) == (self.key_credential is None):
            raise ValueError("must have one of key_file and key_credential: where its key stands")
        if self.key_file is not None and not self.key_file.startswith("/"):
            raise ValueError("key_file must be a whole path, from / on")
        return self


class UplinkConfig(Table):
    """One broker; with no consumers, the broker's acknowledgement is all we wait for."""

    id: Id
    url: Text
    plane: Literal["json", "sparkplug"] = "json"
    # The Sparkplug host without which nothing is sent; what was missed follows when it is back.
    primary_host: Annotated[str, Field(pattern=r"^[^+#/\x00-\x1f]{1,100}$")] | None = None
    client_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_./-]{1,64}$")] | None = None
    consumers: Annotated[list[Id], Field(max_length=8)] = []
    # What a backlog takes at most of what broker and line carry; live messages have the rest.
    backfill_share: Annotated[float, Field(ge=0.05, le=1.0)] = 0.8
    user: Text | None = None
    # Where its password stands (secret.py).
    password_file: FilePath | None = None
    password_credential: Credential | None = None
    # With mqtts://: whose brokers are trusted (else the system's CAs), and who we are (tls.py).
    ca_file: FilePath | None = None
    cert_file: FilePath | None = None
    key_file: FilePath | None = None
    requester: Annotated[list[RequesterConfig], Field(max_length=16)] = []

    @field_validator("url")
    @classmethod
    def _is_broker(cls, url: str) -> str:
        parts = urlsplit(url)
        is_address = parts.path in ("", "/") and not parts.query and not parts.fragment
        if parts.scheme not in ("mqtt", "mqtts") or not parts.hostname or not is_address:
            raise ValueError("must look like mqtt://host:1883 or, with TLS, mqtts://host:8883")
        if parts.username or parts.password:
            raise ValueError(
                "must not contain a user or a password; there are keys for them: user, and "
                "password_file or password_credential"
            )
        try:
            parts.hostname.encode("idna")
        except UnicodeError as error:
            raise ValueError("must name a host: no empty or overlong part between dots") from error
        if parts.port == 0:
            raise ValueError("the port must be 1 to 65535")
        return url

    @model_validator(mode="after")
    def _is_one_plane(self) -> Self:
        if self.plane == "json" and self.primary_host is not None:
            raise ValueError('primary_host belongs to plane = "sparkplug"')
        if self.plane == "sparkplug" and self.consumers:
            raise ValueError("consumers acknowledge the JSON plane: Sparkplug has nothing like it")
        if self.plane == "sparkplug" and self.requester:
            raise ValueError("requesters ask on the JSON plane: give it an uplink of its own")
        return self

    @model_validator(mode="after")
    def _is_one_login(self) -> Self:
        places = [self.password_file, self.password_credential]
        if self.password_file is not None and not self.password_file.startswith("/"):
            raise ValueError("password_file must be a whole path, from / on")
        if None not in places:
            raise ValueError("has two passwords: leave out password_file or password_credential")
        if self.user is None and places != [None, None]:
            raise ValueError("has a password but no user")
        return self

    @model_validator(mode="after")
    def _is_one_tls(self) -> Self:
        files = {"ca_file": self.ca_file, "cert_file": self.cert_file, "key_file": self.key_file}
        for key, path in files.items():
            if path is not None and not path.startswith("/"):
                raise ValueError(f"{key} must be a whole path, from / on")
            if path is not None and not self.is_tls:
                raise ValueError(f"{key} belongs to TLS: the url must begin with mqtts://")
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("needs both of cert_file and key_file, or neither")
        return self

    @property
    def host(self) -> str:
        """The broker's host."""
        return str(urlsplit(self.url).hostname)

    @property
    def port(self) -> int:
        """The broker's TCP port: 1883, with TLS 8883, unless the url names one."""
        return urlsplit(self.url).port or (8883 if self.is_tls else 1883)

    @property
    def is_tls(self) -> bool:
        """Whether the connection is encrypted and the broker's identity checked."""
        return urlsplit(self.url).scheme == "mqtts"


class AlarmConfig(Table):
    """One alarm: what it watches, when it is on, how urgent that is, and what to do then.

    It watches a point and has one condition (`above = 57.0`), or a device, board, direct line,
    uplink or part of the gateway, and is on when that is lost or not well. Event type and probable
    cause are those of ITU-T X.733 and M.3100.
    """

    id: Id
    text: Text
    action: Annotated[str, Field(min_length=1, max_length=400), AfterValidator(printable)]
    priority: Priority
    event_type: EventType = "equipment"
    probable_cause: Annotated[str, Field(pattern=r"^[A-Za-z0-9]{1,60}$")] = "indeterminate"
    point: Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,40}\.[a-z0-9_-]{1,40}$")] | None = None
    device: Id | None = None
    board: Id | None = None
    direct: Id | None = None
    uplink: Id | None = None
    # The uplink whose consumers acknowledge nothing.
    consumers: Id | None = None
    gateway: (
        Literal[
            "outbox", "history", "clock", "disk", "certificate", "cable", "maintenance", "test"
        ]
        | None
    ) = None  # fmt: skip
    above: float | None = None
    below: float | None = None
    is_: Annotated[bool | int | str | None, Field(alias="is")] = None
    is_not: bool | int | str | None = None
    bit: int | str | None = None
    bit_clear: int | str | None = None
    bad: Literal[True] | None = None
    deadband: Annotated[float, Field(ge=0)] = 0.0
    on_delay_s: Annotated[float, Field(ge=0, le=86_400)] = 0.0
    off_delay_s: Annotated[float, Field(ge=0, le=86_400)] = 0.0
    realarm_s: Annotated[float, Field(ge=60, le=604_800)] | None = None
    latch: bool = False
    suppressed_by: Annotated[list[Id], Field(max_length=20)] = []
    group: Id | None = None

    @property
    def source(self) -> str:
        """What it watches, as one word: `pfe.line_current`, `board/beach`, `gateway/disk`."""
        for noun in ("device", "board", "direct", "uplink", "consumers", "gateway"):
            if (found := getattr(self, noun)) is not None:
                return f"{noun}/{found}"
        return str(self.point)

    @property
    def conditions(self) -> dict[str, float | int | str]:
        """Its conditions by their keys in the file."""
        keys = {"above": "above", "below": "below", "is": "is_", "is_not": "is_not"}
        keys |= {"bit": "bit", "bit_clear": "bit_clear", "bad": "bad"}
        found = {key: getattr(self, name) for key, name in keys.items()}
        return {key: value for key, value in found.items() if value is not None}

    @model_validator(mode="after")
    def _is_one_question(self) -> Self:
        sources = [
            self.point, self.device, self.board, self.direct,
            self.uplink, self.consumers, self.gateway,
        ]  # fmt: skip
        if sum(source is not None for source in sources) != 1:
            raise ValueError(
                "must name one of point, device, board, direct, uplink, consumers, gateway"
            )
        if self.point is not None and len(self.conditions) != 1:
            raise ValueError("a point needs one of above, below, is, is_not, bit, bit_clear, bad")
        if self.point is None and self.conditions:
            raise ValueError(f"{self.source} is either there or lost: it takes no condition")
        if self.deadband and not {"above", "below"} & self.conditions.keys():
            raise ValueError("deadband belongs to above and below")
        return self


class CableTable(Table):
    """What the station watches its cable by; see cable/file.py.

    The other end's volts and amperes come from the broker of `uplink`, by default the first with
    the JSON plane.
    """

    file: FilePath
    uplink: Id | None = None


class StationFile(Table):
    """The whole of a station.toml."""

    station: StationTable
    cable: CableTable | None = None
    outbox: OutboxConfig = OutboxConfig()
    history: HistoryConfig = HistoryConfig()
    page: PageConfig | None = None
    uplink: Annotated[list[UplinkConfig], Field(max_length=4)] = []
    board: Annotated[list[BoardConfig], Field(max_length=16)] = []
    direct: Annotated[list[DirectConfig], Field(max_length=500)] = []
    alarm: Annotated[list[AlarmConfig], Field(max_length=10_000)] = []

    @model_validator(mode="after")
    def _watches_something(self) -> Self:
        if not (self.board or self.direct):
            raise ValueError("a station needs a [[board]] or a [[direct]]: it has nothing to read")
        return self


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
    # `sys.implementation._machine` up to " with ", and the USB ids that MicroPython has there.
    machine: Text
    usb: list[Annotated[str, Field(pattern=r"^[0-9a-f]{4}:[0-9a-f]{4}$")]] = []
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
    # What a person does: to bridge the strap, to restart the board, to reach its bootloader.
    strap_bridge: Text
    restart: Text
    bootloader: Text | None = None
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
    """A device with everything known of it: where it hangs and what it is.

    `board` is None where the gateway reads the device itself; `line` is then the direct line.
    The contacts of a board are a device, too; their `line` is None, and they have no unit id.
    """

    config: DeviceConfig | DirectDeviceConfig
    profile: Profile
    board: BoardConfig | None
    line: BusConfig | DirectConfig | None

    @property
    def id(self) -> str:
        """Its id, unique in the station."""
        return self.config.id

    @property
    def points(self) -> Mapping[str, Point]:
        """Its points by id."""
        return self.profile.points

    @property
    def bus(self) -> BusConfig | DirectConfig:
        """The bus or direct line that it hangs on; contacts hang on none."""
        assert self.line is not None, f"{self.id} is on no bus"
        return self.line

    @property
    def unit_id(self) -> int | None:
        """Its address on the bus; None for contacts."""
        return None if self.line is None else self.config.unit_id

    @property
    def place(self) -> Mapping[str, str | int | None]:
        """Where it hangs, as the page and a NOC are told: board and UART, or direct line."""
        if isinstance(self.line, DirectConfig):
            return {"board": None, "uart": None, "direct": self.line.id}
        assert self.board is not None, "a bus is a board's, and so are contacts"
        uart = None if self.line is None else self.line.uart
        return {"board": self.board.id, "uart": uart, "direct": None}


@dataclass(frozen=True)
class Station:
    """A validated station: the file, its devices joined with their profiles, where it was read."""

    file: StationFile
    devices: Mapping[str, Device]
    source: TomlFile
    cable_file: CableFile | None = None
    texts: Texts = field(default_factory=english)

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

    @property
    def cable_uplink(self) -> str | None:
        """The uplink by which the other end's values come; None if there is none."""
        if self.file.cable is None:
            return None
        uplinks = [uplink.id for uplink in self.file.uplink if uplink.plane == "json"]
        return self.file.cable.uplink or next(iter(uplinks), None)

    @cached_property
    def boards(self) -> Mapping[str, BoardConfig]:
        """The boards by id, in the file's order."""
        return {board.id: board for board in self.file.board}

    @cached_property
    def directs(self) -> Mapping[str, DirectConfig]:
        """The direct lines by id, in the file's order."""
        return {direct.id: direct for direct in self.file.direct}

    @cached_property
    def contacts(self) -> Mapping[str, Device]:
        """The contacts of each board that has any, as a device, by the board's id."""
        contacts = (device for device in self.devices.values() if device.line is None)
        return {device.board.id: device for device in contacts if device.board is not None}

    @cached_property
    def config_hash(self) -> str:
        """What the file, its profiles and its cable file say, in 16 hexadecimal digits."""
        digest = hashlib.sha256(self.file.model_dump_json().encode())
        if self.cable_file is not None:
            digest.update(self.cable_file.model_dump_json().encode())
        used = {device.profile.id: device.profile for device in self.devices.values()}
        for name in sorted(used):
            digest.update(used[name].model_dump_json().encode())
        return digest.hexdigest()[:16]

    def problem(self, board_id: str, value: str, rule: str, *, uart: int | None = None) -> Problem:
        """What is wrong with a board, or with the speed of its bus on `uart`, and where."""
        boards = _tables(self.source.data, "board")
        at, board = next((at, board) for at, board in boards if board.get("id") == board_id)
        if uart is not None:
            buses = _tables(board, "bus", at)
            at = (*next(place for place, bus in buses if bus.get("uart") == uart), "baud")
        return self.source.problem(at, value, rule)

    def direct_problem(self, direct_id: str, key: str, value: str, rule: str) -> Problem:
        """What is wrong with a key of a direct line, and where."""
        directs = _tables(self.source.data, "direct")
        at = next(at for at, direct in directs if direct.get("id") == direct_id)
        return self.source.problem((*at, key), value, rule)

    def alarm_problem(self, alarm_id: str, key: str, value: str | None, rule: str) -> Problem:
        """What is wrong with a key of one alarm, and where."""
        alarms = _tables(self.source.data, "alarm")
        at = next(at for at, alarm in alarms if alarm.get("id") == alarm_id)
        return self.source.problem((*at, key), value, rule)

    def has_raw(self, table: str, id_: str) -> bool:
        """Whether the file names such a board, device and so on at all, sound or not."""
        data = self.source.data
        boards = [board for _, board in _tables(data, "board")]
        if table == "device" and any(id_ == f"{board.get('id')}{CONTACTS}" for board in boards):
            return True
        parents = [line for _, line in _lines(data)] if table == "device" else [data]
        found = (entry for parent in parents for _, entry in _tables(parent, table))
        return any(entry.get("id") == id_ for entry in found)

    def of_board(self, board_id: str) -> list[Device]:
        """The devices on a board's buses, in plan order: bus by bus, as in the file."""
        on_lines = (device for device in self.devices.values() if device.line is not None)
        return [d for d in on_lines if d.board is not None and d.board.id == board_id]

    def of_direct(self, direct_id: str) -> list[Device]:
        """The devices of one direct line, as in the file."""
        direct = self.directs[direct_id]
        return [device for device in self.devices.values() if device.line is direct]


def load_station(path: Path, overrides: Sequence[tuple[str, Any]] = ()) -> Station:
    """Read, validate and join a station file; raises ConfigError with every problem found."""
    station, problems = read_station(path, overrides)
    if problems:
        raise ConfigError(problems)
    return station


def read_station(
    path: Path, overrides: Sequence[tuple[str, Any]] = ()
) -> tuple[Station, list[Problem]]:
    """A station file as far as it is sound, and everything that is wrong with it.

    With problems, only what is sound by itself is in the station, boards and devices: enough to
    look for what is wrong with their plans too. Raises ConfigError if the file cannot be read.
    """
    source = read_toml(path, overrides)
    file, problems = source.parse(StationFile)
    folder = path.parent / "profiles"
    own = {entry.stem for entry in folder.glob("*.toml")}
    try:
        profiles = load_profiles(folder if own else None)
    except ConfigError as error:
        problems += error.problems
        profiles = load_profiles()
    problems += [source.problem(*found) for found in _problems(source.data, {*profiles, *own})]
    problems += [source.problem(*found) for found in _lacking(source.data, profiles)]
    if file is None or problems:
        alarms = [
            AlarmConfig.model_validate(table)
            for _, table in _tables(source.data, "alarm")
            if _is(AlarmConfig, table)
        ]
        boards = list(_sound_boards(source.data, profiles))
        directs = [
            DirectConfig.model_validate(table)
            for table in _sound_lines(source.data, "direct", DirectDeviceConfig, profiles)
            if _is(DirectConfig, table)
        ]
        file = StationFile.model_construct(board=boards, direct=directs, alarm=alarms)
    lines: list[tuple[BoardConfig | None, BusConfig | DirectConfig]] = [
        (board, bus) for board in file.board for bus in board.bus
    ]
    lines += [(None, direct) for direct in file.direct]
    devices: dict[str, Device] = {}
    for owner, line in lines:
        for device in line.device:
            profile = profiles[device.profile].without(device.without)
            found = Device(device, profile, owner, line)
            devices.setdefault(device.id, found)
    for board in file.board:
        if board.input and len(board.id) <= _CONTACTS_BOARD_MAX:
            contacts = contacts_of(board)
            devices.setdefault(contacts.id, contacts)
    cable_file = None
    try:
        cable_file = _cable(source, file, devices)
    except ConfigError as error:
        problems += error.problems
    texts = english()
    try:
        texts = _texts(source)
    except ConfigError as error:
        problems += error.problems
    problems.sort(key=lambda problem: (problem.file, problem.line or 0))
    return Station(file, devices, source, cable_file, texts), problems


def _texts(source: TomlFile) -> Texts:
    """The page's words as the station file wants them, if its page is sound."""
    table = source.data.get("page")
    if not (isinstance(table, dict) and _is(PageConfig, table)):
        return english()
    page = PageConfig.model_validate(table)
    if page.texts is None:
        return english() if page.language == "en" else Texts(page.language, english().by_key)
    return load_texts(source.path.parent / page.texts, page.language)


def _cable(source: TomlFile, file: StationFile, devices: Mapping[str, Device]) -> CableFile | None:
    """The cable file, if the sound station `file` names one; ConfigError for what does not fit."""
    table: CableTable | None = getattr(file, "cable", None)
    if table is None:
        return None
    station = file.station
    path, shipped = source.path.parent / table.file, asset_folder("stations") / table.file
    found = load_cable(path if path.exists() or not shipped.exists() else shipped)
    end = found.end_of(station.id)
    flaws: list[tuple[str, str, str]] = []
    if found.cable.id != station.cable:
        rule = f"is the file of cable {found.cable.id}; the station is of {station.cable}"
        flaws.append(("file", table.file, rule))
    elif end is None:
        ends = " and ".join(config.station for config in found.end)
        flaws.append(("file", table.file, f"has the ends {ends}, and not {station.id}"))
    else:
        config = found.named(end)
        points = devices[config.device].points if config.device in devices else {}
        for point in (config.voltage, config.current):
            if point not in points or not points[point].is_numeric:
                rule = f"says that {config.device}.{point} is this end: there is no such number"
                flaws.append(("file", table.file, rule))
    uplinks = [uplink.id for uplink in file.uplink if uplink.plane == "json"]
    if table.uplink is not None and table.uplink not in uplinks:
        rule = f"is no uplink of the JSON plane; there is {', '.join(uplinks) or 'none'}"
        flaws.append(("uplink", table.uplink, rule))
    if flaws:
        raise ConfigError([source.problem(("cable", key), *flaw) for key, *flaw in flaws])
    return found


def contacts_of(board: BoardConfig) -> Device:
    """A board's contacts as a device with a profile of its own: a point an input."""
    points = [
        Point(
            id=contact.id,
            name=contact.name,
            table="discrete",
            type="bit",
            address=place,
            labels=dict(zip("01", _levels(contact), strict=True)),
            period_s=CONTACTS_PERIOD_S,
            headline=True,
        )
        for place, contact in enumerate(board.input)
    ]
    device_id, name = f"{board.id}{CONTACTS}", f"Contacts of board {board.id}"
    profile = Profile(
        id=device_id, name=name, source="the station file", area="security", point=points
    )
    config = DeviceConfig.model_construct(id=device_id, name=name, profile=device_id)
    return Device(config, profile, board, None)


def _levels(contact: InputConfig) -> tuple[str, str]:
    """How a contact stands in its normal state, and off it."""
    return ("open", "closed") if contact.normally == "open" else ("closed", "open")


def load_board_type(board_type: str) -> BoardFile:
    """The facts of one board type; raises ConfigError if there is no such type."""
    return load_toml(asset_folder("boards") / board_type / "board.toml", BoardFile)


def board_types() -> list[str]:
    """The board types there are, by name."""
    return sorted(p.parent.name for p in asset_folder("boards").glob("*/board.toml"))


def _tables(
    parent: Mapping[str, Any], key: str, at: Key = ()
) -> Iterator[tuple[Key, Mapping[str, Any]]]:
    """The tables of the array `key`, each with its whole key; other shapes are left out."""
    entries = parent.get(key)
    for index, entry in enumerate(entries if isinstance(entries, list) else ()):
        if isinstance(entry, dict):
            yield (*at, key, index), entry


def _sound_boards(data: Mapping[str, Any], profiles: Iterable[str]) -> Iterator[BoardConfig]:
    """The boards of a file with mistakes, without the devices that are not sound."""
    for _, table in _tables(data, "board"):
        if table.get("type") not in board_types():
            continue
        found = _sound_lines(table, "bus", DeviceConfig, profiles)
        buses = [bus for bus in found if _is(BusConfig, bus)]
        sound = {**table, "bus": buses}
        if _is(BoardConfig, sound):
            yield BoardConfig.model_validate(sound)


def _sound_lines(
    parent: Mapping[str, Any], key: str, shape: type[Table], profiles: Iterable[str]
) -> Iterator[dict[str, Any]]:
    """Buses or direct lines, without the devices that are not sound (of `shape`)."""
    for _, line in _tables(parent, key):
        devices = [device for _, device in _tables(line, "device") if _is(shape, device)]
        yield {**line, "device": [d for d in devices if d["profile"] in profiles]}


def _lines(data: Mapping[str, Any]) -> list[tuple[Key, Mapping[str, Any]]]:
    """Everything that devices hang on: the buses of all boards, and the direct lines."""
    boards = _tables(data, "board")
    buses = [entry for at, board in boards for entry in _tables(board, "bus", at)]
    return [*buses, *_tables(data, "direct")]


def _is(shape: type[Table], table: Mapping[str, Any]) -> bool:
    with suppress(ValidationError):
        return bool(shape.model_validate(table))
    return False


def _problems(
    data: Mapping[str, Any], profiles: Iterable[str]
) -> Iterator[tuple[Key, str | None, str]]:
    """What only the whole file shows: (key, value, rule). The shape need not be right."""
    boards = list(_tables(data, "board"))
    directs = list(_tables(data, "direct"))
    lines = _lines(data)
    inputs = [entry for at, board in boards for entry in _tables(board, "input", at)]
    devices = [entry for at, line in lines for entry in _tables(line, "device", at)]
    links = [
        ((*at, "link"), board["link"])
        for at, board in boards
        if isinstance(board.get("link"), dict)
    ]
    yield from _repeats(boards, "id", "board")
    yield from _repeats([*links, *directs], "port", "port")
    yield from _repeats(directs, "id", "direct line")
    yield from _repeats(directs, "tcp", "TCP address")
    yield from _repeats(boards, "unique_id", "unique id")
    yield from _repeats(_tables(data, "uplink"), "id", "uplink")
    for at, uplink in _tables(data, "uplink"):
        yield from _repeats(_tables(uplink, "requester", at), "id", "requester of this uplink")
    for plane, noun in (("json", "JSON"), ("sparkplug", "Sparkplug")):
        same = [up for up in _tables(data, "uplink") if up[1].get("plane", "json") == plane]
        yield from _repeats(same, "url", f"broker of a {noun} uplink")
    yield from _repeats(devices, "id", "device")
    yield from _repeats(inputs, "id", "input")
    yield from _repeats(_tables(data, "alarm"), "id", "alarm")
    for at, line in lines:
        on_line = list(_tables(line, "device", at))
        yield from _repeats(on_line, "unit_id", "unit id on this bus")
        for place, device in on_line if "port" in line else ():
            if device.get("unit_id") in (0, *range(248, 256)):
                rule = "must be 1 to 247 on a serial line (0 is for all, above is reserved)"
                yield (*place, "unit_id"), str(device["unit_id"]), rule
    types = board_types()
    for at, board in boards:
        yield from _repeats(_tables(board, "bus", at), "uart", "UART of this board")
        yield from _repeats(_tables(board, "input", at), "input", "input of this board")
        yield from _unknown((*at, "type"), board.get("type"), types, "board type")
        if board.get("type") in types:
            yield from _absent(at, board, load_board_type(board["type"]))
        yield from _unnameable(at, board, devices)
    for at, device in devices:
        yield from _unknown((*at, "profile"), device.get("profile"), profiles, "profile")


def _lacking(
    data: Mapping[str, Any], profiles: Mapping[str, Profile]
) -> Iterator[tuple[Key, str | None, str]]:
    """What devices cannot be without: points that there are not, or that others need."""
    devices = [entry for at, line in _lines(data) for entry in _tables(line, "device", at)]
    for at, device in devices:
        names, profile = device.get("without"), profiles.get(str(device.get("profile")))
        if profile is None or not isinstance(names, list):
            continue
        names = [name for name in names if isinstance(name, str)]
        key = (*at, "without")
        for name in names:
            yield from _unknown(key, name, profile.points, f"point of {profile.id}")
            if (needing := profile.needs(name, names)) is not None:
                yield key, name, f"{needing} cannot be read without it: leave that out, too"
        if profile.points.keys() <= set(names):
            yield key, None, "leaves no point: leave the device out instead"


def _absent(
    at: Key, board: Mapping[str, Any], kind: BoardFile
) -> Iterator[tuple[Key, str | None, str]]:
    """The UARTs and inputs that a board of this type does not have."""
    has = {"uart": [uart.uart for uart in kind.uarts], "input": [i.input for i in kind.inputs]}
    for table, key, noun in (("bus", "uart", "UARTs"), ("input", "input", "inputs")):
        known = f"{noun} {', '.join(map(str, has[key]))}" if has[key] else f"no {noun}"
        for place, entry in _tables(board, table, at):
            if isinstance(entry.get(key), int) and entry[key] not in has[key]:
                yield (*place, key), str(entry[key]), f"board type {kind.name} has {known}"


def _unnameable(
    at: Key, board: Mapping[str, Any], devices: Iterable[tuple[Key, Mapping[str, Any]]]
) -> Iterator[tuple[Key, str | None, str]]:
    """Why the contacts of this board could not be a device called after it."""
    board_id, has_inputs = board.get("id"), any(True for _ in _tables(board, "input"))
    if not isinstance(board_id, str) or not has_inputs:
        return
    if len(board_id) > _CONTACTS_BOARD_MAX:
        rule = f"at most {_CONTACTS_BOARD_MAX} characters here: contacts add {CONTACTS} to it"
        yield (*at, "id"), board_id, rule
    for place, device in devices:
        if device.get("id") == f"{board_id}{CONTACTS}":
            yield (*place, "id"), device["id"], f"is the name of the contacts of board {board_id}"


def _unknown(
    key: Key, value: object, known: Iterable[str], noun: str
) -> Iterator[tuple[Key, str, str]]:
    if isinstance(value, str) and value not in known:
        near = difflib.get_close_matches(value, known, 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        yield key, value, f"is no {noun}; there are {', '.join(sorted(known))}{hint}"


def _repeats(
    tables: Iterable[tuple[Key, Mapping[str, Any]]], key: str, noun: str
) -> Iterator[tuple[Key, str, str]]:
    """The tables whose `key` has a value that an earlier one has."""
    seen: dict[object, Key] = {}
    for at, table in tables:
        value = table.get(key)
        if not isinstance(value, (str, int)):
            continue
        if value in seen:
            first = ".".join(map(str, seen[value]))
            yield (*at, key), str(value), f"{noun} is used twice (first at {first})"
        seen.setdefault(value, (*at, key))


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
