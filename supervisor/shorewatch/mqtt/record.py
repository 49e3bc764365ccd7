"""What stands in the journal: the shape of every record that a station writes. Pure.

    {"seq", "kind", "at", ...}     kind: sample, event, alarm, loss, audit, note

Who writes a record makes its body as a plain table; these classes say what all of them may hold,
for the schemas (payload.py) and for tests that hold real traffic against them. A key with the
default None is left out where there is nothing to say; one that may be null has no default.
"""

from typing import Annotated, Literal

from pydantic import Field

from shorewatch.alarms import State
from shorewatch.config import EventType, Priority, Verb
from shorewatch.model import Reason, Scalar
from shorewatch.mqtt.asking import RequestId, Seq, Shape, Time
from shorewatch.point import Id

Text = Annotated[str, Field(max_length=4000)]
Hex8 = Annotated[str, Field(pattern=r"^[0-9a-f]{8}$")]
Source = Annotated[str, Field(pattern=r"^[a-z0-9_./-]{1,90}$")]
Line = Annotated[str, Field(pattern=r"^(board|direct)/[a-z0-9_-]{1,40}$")]


class _Record(Shape):
    seq: Annotated[Seq, Field(ge=1, description="ascends strictly; never used twice")]
    at: Annotated[Time, Field(description="when it happened, by the station's clock")]


class Sample(_Record):
    """Changed points of one device at one acquisition."""

    kind: Literal["sample"]
    device: Id
    uncertainty_s: Annotated[float, Field(ge=0, description="how far the time may be off")]
    points: dict[Id, Scalar] | None = None
    bad: dict[Id, Reason] | None = None
    uncertain: dict[Id, Reason] | None = None


class _Event(_Record):
    kind: Literal["event"]


class _Stamped(_Event):
    """A change that a board has stamped."""

    source: Source
    what: Literal["raised", "over"]
    board: Id
    boot: Hex8
    sequence: Seq
    clock_ms: Seq
    uncertainty_s: Annotated[float, Field(ge=0)]
    uncertain: str | None = None


class BitChanged(_Stamped):
    """A labelled bit of a field of bits."""

    bit: Annotated[int, Field(ge=0, le=31)]
    label: str | None
    word: int


class WordChanged(_Stamped):
    """A single bit, or a number that passed a threshold; or what a board says of itself."""

    word: int
    above: float | None = None
    below: float | None = None
    value: Scalar | None = None
    code: int | None = None


class ContactChanged(_Stamped):
    """A dry contact; `changes` counts all of its changes and wraps at 65,536."""

    changes: Annotated[int, Field(ge=0, le=65_535)]


class LineEvent(_Event):
    """A board or direct line came or went, or its port was lent."""

    source: Line
    # "up; board started by watchdog": a start that was noticed stands behind it.
    what: Annotated[
        str,
        Field(pattern=r"^(up(; .+)?|down|port lent|port taken back|maintenance ended)$"),
    ]
    why: Text | None = None
    by: str | None = None


class _GatewayEvent(_Event):
    source: Literal["gateway"]


class Started(_GatewayEvent):
    """The gateway started."""

    what: Literal["started"]
    version: str
    config: str


class Stopped(_GatewayEvent):
    """The gateway was stopped in order."""

    what: Literal["stopped"]


class ClockStepped(_GatewayEvent):
    """The gateway's wall clock was set."""

    what: Literal["clock stepped"]
    step_s: float


class Reloaded(_GatewayEvent):
    """Another configuration was taken, or refused."""

    what: Literal["reloaded", "reload refused"]
    by: str
    was: str | None = None
    config: str | None = None
    lines: list[str]
    count: Seq


Kilometre = Annotated[float, Field(ge=0, le=30_000)]


class Place(Shape):
    """Where a fault of the cable is; kilometres from the first end of the cable file."""

    from_: Annotated[Id, Field(alias="from")]
    km: Annotated[Kilometre | None, Field(description="null where only an interval is honest")]
    low_km: Kilometre
    high_km: Kilometre
    confidence: Annotated[float, Field(gt=0, le=1)]
    method: str
    after_repeater: Annotated[int, Field(ge=0)]
    before_repeater: Annotated[int, Field(ge=0)]
    latitude: float | None
    longitude: float | None
    walk_km: dict[Id, float | None]
    fault_ohm: float | None
    fault_ohm_sigma: float | None
    if_leak_km: Annotated[list[float], Field(min_length=2, max_length=2)] | None
    sum_off_v: float | None
    sum_sigma_v: float | None
    is_consistent: bool
    assumed: list[str]
    disagrees: list[str]


class CableFinding(_Event):
    """What happened to the cable, told from the voltages and currents of both ends."""

    source: Literal["cable"]
    cable: Id
    what: Literal[
        "shunt", "leak", "cut", "lost", "over", "fed", "source", "unclear", "off", "storm", "calm",
    ]  # fmt: skip
    since: Time
    text: str
    is_fault: bool
    is_final: Annotated[bool, Field(description="told again, from more readings")]
    balance_step_v: float
    leak_a: float
    sum_off_v: float
    place: Place | None = None


class AlarmRecord(_Record):
    """What happened to an alarm."""

    kind: Literal["alarm"]
    alarm: Id
    what: Literal[
        "raised", "realarmed", "returned", "acknowledged", "reset", "shelved", "unshelved",
        "suppressed", "unsuppressed", "out-of-service", "in-service", "note", "removed",
    ]  # fmt: skip
    state: State
    text: str
    priority: Priority
    source: str
    event_type: EventType
    probable_cause: str
    perceived_severity: Priority | Literal["cleared"]
    value: Scalar | None = None
    by: str | None = None
    note: str | None = None
    first_out: Literal[True] | None = None
    chattering: Literal[True] | None = None
    action: str | None = None


class _Loss(_Record):
    kind: Literal["loss"]
    why: Text


class Evicted(_Loss):
    """Numbered records that had to go before this uplink had them acknowledged."""

    uplink: Id | None
    what: Literal["sample", "record"]
    from_: Annotated[Seq, Field(alias="from")]
    to: Seq
    count: Seq


class Dropped(_Loss):
    """Records that never got a number, while the disk could not be written."""

    uplink: None
    what: Literal["sample", "record"]
    from_: Annotated[None, Field(alias="from")]
    to: None
    count: Seq | None
    from_at: Time | None
    to_at: Time | None


class EventsLost(_Loss):
    """What a board stamped and nobody can read any more; `count` null: unknown, perhaps none."""

    uplink: None
    what: Literal["event"]
    from_: Annotated[None, Field(alias="from")]
    to: None
    count: Seq | None
    source: Line
    boot: Hex8
    next_boot: Hex8
    last_read: Seq | None
    from_at: Time
    to_at: Time


class _Audit(_Record):
    kind: Literal["audit"]


class Maintenance(_Audit):
    """Maintenance of the whole station."""

    what: Literal["maintenance-begin", "maintenance-end"]
    by: str | None = None
    note: str
    left_s: float | None = None


class AckRefused(_Audit):
    """An acknowledgement that did not count; `count` are those since the last such record."""

    what: Literal["ack refused"]
    uplink: Id
    topic: str
    consumer: str
    why: Text
    count: Seq


class RequestRefused(_Audit):
    """A request that changed nothing; `count` are those since the last such record."""

    what: Literal["request refused"]
    uplink: Id
    topic: str
    identity: str
    why: Text
    count: Seq


class Requested(_Audit):
    """A request that was accepted, with what it asked for."""

    what: Literal["request"]
    uplink: Id
    identity: Id
    id: RequestId
    do: Verb
    by: str
    alarm: Id | None = None
    for_s: float | None = None
    reason: str | None = None
    text: str | None = None
    first: Seq | None = None
    last: Seq | None = None


class RequestFailed(_Audit):
    """An accepted request that could not be done."""

    what: Literal["request failed"]
    uplink: Id
    identity: Id
    id: RequestId
    do: Verb
    why: Text


class AtPage(_Audit):
    """Who came to the page's door, or took the support bundle; `from` is an address."""

    what: Literal["login", "login-refused", "logout", "support"]
    source: Literal["page"]
    by: str
    from_: Annotated[str | None, Field(alias="from")] = None


class NoteRecord(_Record):
    """Words of somebody at the station that belong to no alarm."""

    kind: Literal["note"]
    by: str
    text: Text


Record = (
    Sample | BitChanged | WordChanged | ContactChanged | LineEvent | Started | Stopped
    | ClockStepped | Reloaded | CableFinding | AlarmRecord | Evicted | Dropped | EventsLost
    | Maintenance | AckRefused | RequestRefused | Requested | RequestFailed | AtPage | NoteRecord
)  # fmt: skip
