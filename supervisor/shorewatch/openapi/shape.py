"""What the page answers to programs, as classes. Pure.

The answers are made as plain tables (status.py, describe.py, diary.py, history.py); these classes
say what all of them may hold, for the OpenAPI document and for tests that hold real answers against
them. Ages are seconds, times RFC 3339 in UTC. What may be null is said so.
"""

from typing import Annotated, Literal

from pydantic import Field

from shorewatch.alarms import State
from shorewatch.config import Priority
from shorewatch.model import Quality, Reason, Scalar
from shorewatch.mqtt.asking import Seq, Shape, Time
from shorewatch.mqtt.payload import AlarmRow, Certificate
from shorewatch.mqtt.record import Place, Record
from shorewatch.point import Id

Seconds = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class Fault(Shape):
    """One thing that is wrong: in English, and as keys of the page's texts with their values."""

    what: str
    since: Time | None
    more: str
    key: str
    more_key: str | None
    values: dict[str, str | int | list[str]]


class Verdict(Shape):
    """What the station says of itself in a word."""

    level: Literal["good", "warning", "alarm"]
    faults: list[Fault]


class _Counts(Shape):
    requests: Seq
    good: Seq
    timeouts: Seq
    crc_errors: Seq
    exceptions: Seq
    rejected: Seq
    stray_bytes: Seq
    busy_share: Seconds
    slips: Seq


class LineBus(_Counts):
    """What happened on a direct line."""


class BoardBus(_Counts):
    """What happened on a bus of a board since its boot."""

    uart: int
    baud: int
    format: str


class Board(Shape):
    """A board; what it says of itself is null until it has."""

    port: str
    up: bool
    reason: str | None
    since: Time
    round_trip_ms: Seconds
    drift_ppm: float | None
    firmware: str | None
    boot_reason: str | None
    running_s: Seq | None
    plan: str | None
    heap_free: Seq | None
    heap_free_least: Seq | None
    worst_pass_ms: Seconds | None
    events_stamped: Seq | None
    buses: list[BoardBus]


class Direct(Shape):
    """A line that the gateway reads itself."""

    up: bool
    reason: str | None
    since: Time
    where: str
    bus: LineBus | None


class Counters(Shape):
    """What happened with one device."""

    state: str
    failures: Seq
    exception: Seq
    reply_ms: Seq
    reply_ms_max: Seq
    good: Seq
    bad: Seq


class Point(Shape):
    """A value with its quality; a bad one may have a last good one beside it."""

    name: str
    text: str
    text_unit: Annotated[str, Field(description="what belongs behind `text`")]
    unit: Annotated[str, Field(description="the unit of `value`")]
    value: Scalar | None
    quality: Quality
    reason: Reason | None
    detail: str | None
    age_s_max: Seconds
    uncertainty_s: Seconds
    age_s: Seconds | None
    acquired_at: Time | None
    last_good_text: str | None = None
    last_good_at: Time | None = None


class _Placed(Shape):
    board: Id | None = None
    uart: int | None = None
    direct: Id | None = None
    unit_id: int | None


class Device(_Placed):
    """A device with its values."""

    name: str
    profile: str
    synthetic: bool
    counters: Counters | None
    hint: str | None
    points: dict[Id, Point]


class Maintenance(Shape):
    """Maintenance of the whole station."""

    by: str
    note: str
    since: Time
    left_s: Seconds


class Mode(Shape):
    """What changes how the list of alarms is to be read."""

    flood: bool
    maintenance: Maintenance | None


class Requests(Shape):
    """What a NOC has asked over an uplink."""

    accepted: Seq
    refused: Seq
    last_refusal: str | None
    trouble: str | None


class Uplink(Shape):
    """A way to a broker."""

    state: str
    text: str
    certificates: dict[Literal["own", "ca", "broker"], Certificate]
    silent: dict[Id, Time]
    since: Time
    published: Seq
    acknowledged: Seq
    waiting: Seq
    broker_acknowledged_only: bool
    refused_acks: Seq
    plane: Literal["json", "sparkplug"]
    refused_commands: Seq
    last_refusal: str | None
    requests: Requests


class Clock(Shape):
    """The gateway's wall clock."""

    is_set: bool
    kernel_synchronised: bool | None
    kernel_error_s_max: float | None


class Outbox(Shape):
    """The journal's file."""

    journal: str
    first: Seq
    last: Seq
    written: Seq
    health: str | None


class HistoryFile(Shape):
    """The history's file."""

    on: bool
    health: str | None
    recorded: Seq
    dropped: Seq
    size_bytes: Seq
    size_bytes_max: Seq


class End(Shape):
    """One end of the cable, as it is fed."""

    name: str
    volts: float | None
    amps: float | None


class Standing(Shape):
    """What stands on the cable."""

    what: str
    text: str
    since: Time
    place: Place | None


class Cable(Shape):
    """The cable, as both ends see it."""

    name: str
    length_km: float
    at: Time | None
    ends: dict[Id, End]
    balance_v: float | None
    sum_v: float | None
    leak_a: float | None
    trouble: str | None
    since: Time
    heard_at: Time | None
    standing: list[Standing]


class ConfigTrouble(Shape):
    """A station file on disk that was not taken."""

    text: str
    at: Time
    problems: list[str]
    count: Seq


class Status(Shape):
    """The station now."""

    station: Id
    name: str
    cable: str
    at: Time
    started_at: Time
    version: str
    config: str
    config_trouble: ConfigTrouble | None
    points: dict[Quality, Seq]
    boards: dict[Id, Board]
    directs: dict[Id, Direct]
    devices: dict[Id, Device]
    alarms: Annotated[list[AlarmRow], Field(description="the most urgent first")]
    alarms_more: Annotated[Seq, Field(description="how many there are beside `alarms`")]
    alarm_mode: Mode | None
    uplinks: dict[Id, Uplink]
    clock: Clock
    outbox: Outbox
    history: HistoryFile | None
    cable_watch: Cable | None
    verdict: Verdict


class Limit(Shape):
    """Where an alarm comes."""

    alarm: Id
    text: str
    priority: Priority
    when: str
    at: Scalar


class PointFacts(Shape):
    """What a point is."""

    name: str
    unit: str
    digits: int | None
    range: Annotated[list[float], Field(min_length=2, max_length=2)] | None
    headline: bool
    function: int | None
    address: int | None
    count: int
    type: str
    period_s: Seconds
    age_s_max: Seconds
    recorded: bool
    limits: list[Limit]


class DeviceFacts(_Placed):
    """What a device is."""

    name: str
    profile: str
    type: str
    source: str
    synthetic: bool
    area: str | None
    points: dict[Id, PointFacts]


class Station(Shape):
    """What the station is, as its file says."""

    station: Id
    name: str
    cable: str
    config: str
    devices: dict[Id, DeviceFacts]


class Span(Shape):
    """What a point did from one time to another."""

    from_: Annotated[Time, Field(alias="from")]
    to: Time
    low: Scalar | None
    mean: Scalar | None
    high: Scalar | None
    last: Scalar | None
    quality: str
    reason: str | None
    good: Annotated[Share, Field(description="share of the time in which the value was good")]
    known: Annotated[Share, Field(description="share of the time in which it was recorded")]


class BlockWords(Shape):
    """A read request and what its last good answer held."""

    function: Annotated[int, Field(ge=1, le=4)]
    address: Annotated[int, Field(ge=0, le=0xFFFF)]
    count: Annotated[int, Field(ge=1, description="registers, or bits with functions 1 and 2")]
    words: Annotated[
        list[Annotated[str, Field(pattern="^[0-9a-f]{4}$")]],
        Field(description="hexadecimal; bits stand 16 to a word, the least first; empty: none yet"),
    ]
    reason: Annotated[Reason | None, Field(description="why the last request was not good")]
    exception: Annotated[Seq, Field(description="the code that it was answered with, 0 for none")]
    acquired_at: Time | None
    age_s: Seconds | None


class Words(Shape):
    """A device's registers as they came."""

    device: Id
    at: Time
    blocks: list[BlockWords]


class History(Shape):
    """What a point did."""

    point: str
    name: str
    unit: str
    health: str | None
    spans: list[Span]


class Records(Shape):
    """Records of the journal, the newest first."""

    records: list[Record]
    before: Annotated[Seq | None, Field(description="ask for `before` this for older ones")]
    journal: Annotated[str | None, Field(description="... and for this journal")]
    reaches: Annotated[Time | None, Field(description="when the first record kept was written")]


class HourCount(Shape):
    """Alarms in an hour of the clock."""

    from_: Annotated[Time, Field(alias="from")]
    count: Seq


class Flood(Shape):
    """A time in which more came than people can follow."""

    from_: Annotated[Time, Field(alias="from")]
    to: Time


class AlarmCount(Shape):
    """How often an alarm came."""

    alarm: Id
    count: Seq


class TopAlarm(AlarmCount):
    """One of the most frequent."""

    share: Share


class StaleAlarm(Shape):
    """An alarm that is on for more than a day."""

    alarm: Id
    since: Time


class CountShare(Shape):
    """A part of all alarms."""

    count: Seq
    share: Share


class Figures(Shape):
    """How the alarms serve people: ISA-18.2, IEC 62682; `aim` is what to compare with."""

    from_: Annotated[Time, Field(alias="from")]
    to: Time
    raised: Seq
    per_hour: Seconds
    per_day: Seconds
    busiest_hour: HourCount
    hours_over_30: Share
    by_hour: list[HourCount]
    floods: list[Flood]
    flood_share: Share
    top: list[TopAlarm]
    top_share: Share
    priorities: dict[Priority, CountShare]
    chattering: list[AlarmCount]
    stale: list[StaleAlarm]
    aim: dict[str, float]
    reaches: Time | None


class Session(Shape):
    """Who is logged in; both null for nobody. `proof` goes into the header X-Shorewatch-Proof."""

    user: str | None
    proof: str | None


class Login(Shape):
    """A name and its password."""

    name: Annotated[str, Field(max_length=32)]
    password: Annotated[str, Field(max_length=200)]


class Deed(Shape):
    """What a named user does: to an alarm, or to the station where none is named."""

    do: Literal[
        "acknowledge", "reset", "shelve", "unshelve", "out-of-service", "in-service", "note",
        "test", "maintenance-begin", "maintenance-end",
    ]  # fmt: skip
    alarm: str | None = None
    text: Annotated[str | None, Field(description="a reason, or a note")] = None
    seconds: Annotated[float | None, Field(description="how long a shelf or maintenance is")] = None


class Done(Mode):
    """What became of it."""

    alarm: Id | None = None
    state: State | None = None
    noted: str | None = None


class Nothing(Shape):
    """No arguments."""


class Refusal(Shape):
    """Why not, in one sentence."""

    error: str
