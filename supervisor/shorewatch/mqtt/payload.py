"""Every payload of the JSON plane as a class, and as JSON Schema for a NOC. Pure.

topics.py makes the payloads as plain tables, for speed; these classes say what they hold, and tests
hold real traffic against the schemas made from them. Records stand in record.py, requests and
replies in asking.py. A key with the default None is left out where there is nothing to say; one
that may be null has no default. No payload has other keys than these.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import Field, TypeAdapter

from shorewatch.alarms import State
from shorewatch.config import EventType, Priority
from shorewatch.model import Quality, Reason, Scalar
from shorewatch.mqtt.asking import REQUEST, Envelope, JournalId, Reply, RequestId, Seq, Shape, Time
from shorewatch.mqtt.record import Record
from shorewatch.point import Id


class LineState(Shape):
    """A board or direct line."""

    up: bool
    reason: str | None


class Certificate(Shape):
    """When a certificate of the connection ends."""

    until: Time
    days: Annotated[int, Field(description="whole days left; below 0 when it has ended")]


class Online(Shape):
    """A living station; repeated every 30 s."""

    online: Literal[True]
    station: Id
    name: str
    cable: Id
    version: str
    config: Annotated[str, Field(description="hash of station file and profiles")]
    journal: JournalId
    first: Annotated[Seq, Field(description="first sequence kept; 0 if none is")]
    last: Annotated[Seq, Field(description="last sequence committed")]
    cursor: Annotated[Seq, Field(description="acknowledged by all consumers of this uplink")]
    at: Time
    since: Annotated[Time, Field(description="when this connection began")]
    boards: dict[Id, LineState]
    directs: dict[Id, LineState]
    points: dict[Quality, Seq]
    outbox: Annotated[str | None, Field(description="what is wrong with it")]
    silent_consumers: Annotated[
        dict[Id, Time], Field(description="those that acknowledge nothing, and since when")
    ]
    gateway: Annotated[str, Field(description="host and process: two of them are two gateways")]
    certificates: Annotated[
        dict[Literal["own", "ca", "broker"], Certificate],
        Field(description="of this connection; empty without TLS"),
    ]


class Offline(Shape):
    """A station that is gone: its Will, or its own last word (`at` and `last`)."""

    online: Literal[False]
    reason: Annotated[str, Field(description="connection lost (Will), or stopped")]
    station: Id
    gateway: str
    journal: JournalId
    since: Time
    at: Time | None = None
    last: Seq | None = None


class BirthPoint(Shape):
    """All that is to be known of a point."""

    name: str
    unit: str
    type: str
    table: Literal["coil", "discrete", "holding", "input"]
    address: Annotated[int, Field(ge=0, le=65_535, description="0-based")]
    scale: float
    range: Annotated[list[float], Field(min_length=2, max_length=2)] | None
    labels: dict[str, str]
    period_s: float
    age_s_max: Annotated[float, Field(description="older values are bad (stale)")]
    unchanged_s_max: float | None
    deadband: float
    digits: int | None


class Birth(Shape):
    """All that is to be known of a device."""

    device: Id
    name: str
    profile: str
    profile_name: str
    source: Annotated[str, Field(description="the document that the registers are from")]
    synthetic: bool
    board: Id | None
    uart: int | None
    direct: Id | None
    unit_id: int | None
    points: dict[Id, BirthPoint]


class _NowPoint(Shape):
    acquired_at: Time | None
    age_s: Annotated[float | None, Field(description="at the message's `at`; null: never read")]
    uncertainty_s: Annotated[float, Field(description="how far `acquired_at` may be off")]
    detail: Annotated[str | None, Field(description="what the device says of it")] = None


class TrustedPoint(_NowPoint):
    """A point's last value, good or uncertain."""

    value: Scalar
    quality: Literal[Quality.GOOD, Quality.UNCERTAIN]
    reason: Reason | None


class BadPoint(_NowPoint):
    """A point without a value, and the last good one with its time, if there was any."""

    value: None
    quality: Literal[Quality.BAD]
    reason: Reason
    last_good: Scalar | None
    last_good_at: Time | None


class Now(Shape):
    """A device's last values; expires with the shortest-lived of them."""

    device: Id
    at: Time
    points: dict[Id, TrustedPoint | BadPoint]


class AlarmRow(Shape):
    """An alarm that is not normal."""

    id: Id
    text: str
    action: Annotated[str, Field(description="what to do")]
    priority: Priority
    state: State
    active: bool
    since: Time | None
    source: str
    event_type: EventType
    probable_cause: str
    value: Scalar | None
    first_out: bool
    chattering: bool
    shelf_left_s: float | None
    note: str | None
    left_s: float | None


class Alarms(Shape):
    """Every alarm that is not normal, the most urgent first; at least as new as record `seq`."""

    journal: JournalId
    seq: Seq
    at: Time
    count: Annotated[Seq, Field(description="also those that a packet had no room for")]
    alarms: list[AlarmRow]


class Batch(Shape):
    """Records: everything that is still kept of `after` < seq <= `last`."""

    journal: JournalId
    after: Seq
    first: Seq
    last: Seq
    records: list[Record]


class JournalBatch(Batch):
    """A batch of the journal."""

    records: Annotated[list[Record], Field(min_length=1)]
    history: Annotated[
        Literal[True] | None, Field(description="sent before, or older than the newest")
    ] = None


class ReplayBatch(Batch):
    """A batch of a replay; the last one, which may be empty, says `end`."""

    replay: RequestId
    end: Literal[True] | None = None


class Ack(Shape):
    """The consumer has everything up to `seq`."""

    journal: JournalId
    seq: Seq


SHAPES: Final[Mapping[str, tuple[TypeAdapter[Any], str]]] = {
    "state": (TypeAdapter(Online | Offline), "The state of a station"),
    "birth": (TypeAdapter(Birth), "A device's metadata"),
    "now": (TypeAdapter(Now), "A device's last values"),
    "alarms": (TypeAdapter(Alarms), "The list of alarms"),
    "alarm": (TypeAdapter(AlarmRow), "One alarm while it is not normal"),
    "journal": (TypeAdapter(JournalBatch), "A batch of the journal"),
    "ack": (TypeAdapter(Ack), "A consumer's acknowledgement"),
    "request": (TypeAdapter(Envelope), "A signed request"),
    "request-text": (REQUEST, "What stands in a request's text"),
    "reply": (TypeAdapter(Reply), "What became of a request"),
    "records": (TypeAdapter(ReplayBatch), "A batch of a replay"),
}


def payload_schemas(ref_template: str = "#/$defs/{model}") -> dict[str, dict[str, Any]]:
    """The schema of each payload by its name in `SHAPES`; what they share is in their `$defs`."""
    return {
        name: _plain(shape.json_schema(ref_template=ref_template)) | {"title": title}
        for name, (shape, title) in SHAPES.items()
    }


def _plain(found: Any) -> Any:
    """A schema that says what really goes over the wire, in words that every dialect has.

    Keys that may be absent are never null, tables have no other keys, and no class is named by
    OpenAPI's `discriminator`.
    """
    if isinstance(found, list):
        return [_plain(entry) for entry in found]
    if not isinstance(found, dict):
        return found
    plain = {key: _plain(value) for key, value in found.items() if key != "discriminator"}
    if plain.get("default", 0) is None:
        del plain["default"]
        options = [entry for entry in plain.get("anyOf", ()) if entry != {"type": "null"}]
        if len(options) == 1:
            del plain["anyOf"]
            plain |= options[0]
        elif options:
            plain["anyOf"] = options
    for entry in plain.get("properties", {}).values():
        entry.pop("title", None)  # the key again, in other letters
    if "patternProperties" in plain:
        plain.setdefault("additionalProperties", False)
    return plain
