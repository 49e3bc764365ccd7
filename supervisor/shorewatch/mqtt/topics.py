"""Topic names and payloads of the JSON plane: pure, both ends use it.

    shorewatch/v1/<cable>/<station>/
        state              retained  online or offline (the Will), journal, counts, boards
        birth/<device>     retained  every point of a device with its metadata
        now/<device>       retained  the device's last values; expires with its shortest age
        alarms             retained  every alarm that is not normal, the most urgent first
        alarm/<id>         retained  one of them; emptied when it is normal again
        journal                      batches of numbered records, strictly ascending
        ack/<consumer>     retained  to the station: {"journal", "seq"}
        request/<identity>           to the station: {"request", "hmac"} (request.py)
        reply/<identity>/<request>   what became of it; below it `records`, a replay's batches

Payloads are UTF-8 JSON objects; times are RFC 3339 UTC with milliseconds. A batch says `after`:
every record the station still keeps in (after, last] is in it, so that a consumer can tell a batch
it missed from records that were evicted before they were sent. With `history` true it comes late.
Limits: an ack of 1 kB, a request of 4 kB, a batch of `BATCH_BYTES_MAX`, or one record if that is
longer.
"""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from importlib.metadata import version
from typing import Final, NamedTuple

import orjson

from shorewatch.certificate import listed
from shorewatch.config import Device, Station
from shorewatch.model import Quality, Value, to_json, to_text
from shorewatch.model import encode as encode
from shorewatch.outbox import Record

ROOT: Final = "shorewatch/v1"
SPARKPLUG: Final = "spBv1.0"  # the namespace of the other plane
ACK_BYTES_MAX: Final = 1000
BATCH_RECORDS_MAX: Final = 200
BATCH_BYTES_MAX: Final = 128_000
_ALONE: Final = ("state", "alarms", "journal")
_NAMED: Final = ("birth", "now", "alarm", "ack", "request")


class Address(NamedTuple):
    """A topic taken apart: whose, what, and of which device or consumer ("" if none)."""

    prefix: str
    kind: str
    name: str


class Batch(NamedTuple):
    """One journal message: its payload, and the sequences it covers, (after, last]."""

    after: int
    last: int
    payload: bytes


def state_topic(prefix: str) -> str:
    """Where the station says that it lives."""
    return f"{prefix}/state"


def birth_topic(prefix: str, device: str) -> str:
    """Where a device's metadata stands."""
    return f"{prefix}/birth/{device}"


def now_topic(prefix: str, device: str) -> str:
    """Where a device's last values stand."""
    return f"{prefix}/now/{device}"


def alarms_topic(prefix: str) -> str:
    """Where the list of alarms stands."""
    return f"{prefix}/alarms"


def alarm_topic(prefix: str, alarm: str) -> str:
    """Where one alarm stands while it is not normal."""
    return f"{prefix}/alarm/{alarm}"


def journal_topic(prefix: str) -> str:
    """Where records go."""
    return f"{prefix}/journal"


def ack_topic(prefix: str, consumer: str) -> str:
    """Where a consumer acknowledges; `+` for all of them."""
    return f"{prefix}/ack/{consumer}"


def request_topic(prefix: str, identity: str) -> str:
    """Where somebody asks the station for something; `+` for all of them."""
    return f"{prefix}/request/{identity}"


def reply_topic(prefix: str, identity: str, request_id: str) -> str:
    """Where the station says what became of a request."""
    return f"{prefix}/reply/{identity}/{request_id}"


def records_topic(prefix: str, identity: str, request_id: str) -> str:
    """Where the records of a replay go."""
    return f"{reply_topic(prefix, identity, request_id)}/records"


def parse_topic(topic: str) -> Address | None:
    """A topic of ours taken apart, or None for anything else."""
    parts = topic.split("/")
    if "/".join(parts[:2]) != ROOT or len(parts) not in (5, 6) or "" in parts:
        return None
    kind, name = parts[4], "".join(parts[5:])
    if kind not in (_ALONE if not name else _NAMED):
        return None
    return Address("/".join(parts[:4]), kind, name)


def far_topic(station: Station) -> str:
    """Where the values of its cable's other end are, of a station that has a cable file."""
    assert station.cable_file is not None, "whoever asks has looked"
    far = next(end for end in station.cable_file.end if end.station != station.id)
    return now_topic(f"{ROOT}/{station.cable}/{far.station}", far.device)


def parse_object(payload: bytes) -> dict[str, object] | None:
    """A payload as a JSON object, or None if it is none (also: too deep, no UTF-8, NaN)."""
    try:
        found = orjson.loads(payload)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def online(
    station: Station,
    *,
    journal: tuple[str, int, int, int],
    times: tuple[datetime, datetime],
    lines: Mapping[str, Mapping[str, object]],
    points: Mapping[Quality, int],
    outbox: str | None,
    silent: Mapping[str, datetime],
    gateway: str,
    certificates: Mapping[str, datetime],
) -> dict[str, object]:
    """The state of a living station.

    `journal` is its identity, first kept, last committed and acknowledged sequence; `times` are now
    and when this connection began; `lines` what is known of `board/<id>` and `direct/<id>`.
    `silent` are the consumers that acknowledge nothing, and since when; `gateway` is which process
    this is; `certificates` are when those of its own connection end.
    """
    identity, first, last, cursor = journal
    at, since = times
    return {
        "online": True,
        "station": station.id,
        "name": station.file.station.name,
        "cable": station.cable,
        "gateway": gateway,
        "version": version("shorewatch"),
        "config": station.config_hash,
        "journal": identity,
        "first": first,
        "last": last,
        "cursor": cursor,
        "at": to_text(at),
        "since": to_text(since),
        "boards": _of_kind("board", lines),
        "directs": _of_kind("direct", lines),
        "points": {str(quality): count for quality, count in points.items()},
        "outbox": outbox,
        "silent_consumers": {name: to_text(since) for name, since in silent.items()},
        "certificates": listed(certificates, at),
    }


def _of_kind(kind: str, lines: Mapping[str, Mapping[str, object]]) -> dict[str, object]:
    parted = ((source.partition("/"), dict(state)) for source, state in lines.items())
    return {name: state for (found, _, name), state in parted if found == kind}


def offline(
    station: Station,
    *,
    reason: str,
    journal: str,
    since: datetime,
    gateway: str,
    last: tuple[datetime, int] | None = None,
) -> dict[str, object]:
    """The state of a station that is gone: the Will, or its own last word.

    `last` is when it said that, and the last sequence of its journal: the Will knows neither.
    """
    state: dict[str, object] = {
        "online": False,
        "reason": reason,
        "station": station.id,
        "gateway": gateway,
        "journal": journal,
        "since": to_text(since),
    }
    return state if last is None else state | {"at": to_text(last[0]), "last": last[1]}


def birth(device: Device) -> dict[str, object]:
    """Everything a NOC must know of a device to read its values."""
    points = {
        point.id: {
            "name": point.name,
            "unit": point.unit,
            "type": point.type,
            "table": point.table,
            "address": point.address,
            "scale": float(point.scaling.gain),
            "range": point.range,
            "labels": point.labels,
            "period_s": point.period_s,
            "age_s_max": point.age_max_s,
            "unchanged_s_max": point.unchanged_s_max,
            "deadband": point.deadband,
            "digits": point.digits,
        }
        for point in device.points.values()
    }
    return {
        "device": device.id,
        "name": device.config.name,
        "profile": device.profile.id,
        "profile_name": device.profile.name,
        "source": device.profile.source,
        "synthetic": device.profile.synthetic,
        **device.place,
        "unit_id": device.unit_id,
        "points": points,
    }


def expiry_s(device: Device, values: Mapping[str, Value], now_s: float) -> int:
    """Whole seconds after which a `now` message must vanish, at least 1.

    When the first of its values that are not bad reaches its maximum age, rounded down; if all are
    bad, the shortest maximum age.
    """
    ages_s = [
        point.age_max_s - values[name].age_s(now_s)
        for name, point in device.points.items()
        if name in values and values[name].quality is not Quality.BAD
    ]
    ages_s = ages_s or [point.age_max_s for point in device.points.values()]
    return math.floor(max(1.0, min(ages_s)))


def now(device: str, values: Mapping[str, Value], at: datetime, now_s: float) -> dict[str, object]:
    """The last values of a device, aged to monotonic `now_s`, which is wall clock `at`."""
    points: dict[str, dict[str, object]] = {}
    # Values of one acquisition share its time.
    acquired_at: datetime | None = None
    acquired_s: float | None = None
    text: str | None = None
    age_s: float | None = None
    exact_s = uncertainty_s = 0.0
    for name, value in values.items():
        if value.acquired_at is not acquired_at:
            acquired_at, text = value.acquired_at, to_text(value.acquired_at)
        if value.acquired_s != acquired_s:
            acquired_s = value.acquired_s
            age_s = None if acquired_s is None else round(value.age_s(now_s), 3)
        if value.uncertainty_s != exact_s:
            exact_s, uncertainty_s = value.uncertainty_s, round(value.uncertainty_s, 4)
        points[name] = {
            "value": to_json(value.value),
            "quality": value.quality,
            "reason": value.reason,
            "acquired_at": text,
            "age_s": age_s,
            "uncertainty_s": uncertainty_s,
        }
        if value.detail is not None:
            points[name]["detail"] = value.detail
        if value.reason is not None and value.quality is Quality.BAD:
            points[name]["last_good"] = to_json(value.last_good)
            points[name]["last_good_at"] = to_text(value.last_good_at)
    return {"device": device, "at": to_text(at), "points": points}


def alarms(
    rows: Sequence[Mapping[str, object]],
    *,
    journal: tuple[str, int],
    at: datetime,
    bytes_max: int = BATCH_BYTES_MAX,
) -> dict[str, object]:
    """The list of alarms; as many of `rows`, the most urgent first, as fit `bytes_max`.

    `journal` is its identity and last sequence: the list is at least as new as that record, so that
    later alarm records change it. `count` is that of all of them, also of those that did not fit.
    """
    shown: list[Mapping[str, object]] = []
    size = 200
    for row in rows:
        size += len(encode(row)) + 1
        if size > bytes_max:
            break
        shown.append(row)
    identity, seq = journal
    head = {"journal": identity, "seq": seq, "at": to_text(at), "count": len(rows)}
    return head | {"alarms": shown}


def batch(
    journal: str,
    after: int,
    records: Sequence[Record],
    *,
    bytes_max: int = BATCH_BYTES_MAX,
    is_history: bool = False,
) -> Batch:
    """A journal message with as many of `records` as fit `bytes_max`, at least one.

    `is_history` says that they come late: from before, or once more.
    """
    assert records, "an empty batch says nothing"
    texts: list[bytes] = []
    size = 150
    for record in records[:BATCH_RECORDS_MAX]:
        text = _numbered(record)
        size += len(text) + 1
        if texts and size > bytes_max:
            break
        texts.append(text)
    first, last = records[0].seq, records[len(texts) - 1].seq
    assert after < first, "sequences ascend"
    numbers = {"journal": journal, "after": after, "first": first, "last": last}
    head = encode(numbers | ({"history": True} if is_history else {}))
    payload = head[:-1] + b',"records":[' + b",".join(texts) + b"]}"
    return Batch(after, last, payload)


def replayed(batch: Batch, request_id: str, *, is_end: bool) -> Batch:
    """The batch as one of a replay; `is_end` if it is the last."""
    extra = encode({"replay": request_id} | ({"end": True} if is_end else {}))
    return batch._replace(payload=batch.payload[:-1] + b"," + extra[1:])


def replayed_nothing(journal: str, first: int, last: int, request_id: str) -> Batch:
    """The end of a replay of which nothing is kept (any more) from `first` to `last`."""
    numbers = {"after": first - 1, "first": first, "last": last}
    payload = encode({"journal": journal, **numbers, "records": []})
    return replayed(Batch(first - 1, last, payload), request_id, is_end=True)


def ack(journal: str, seq: int) -> dict[str, object]:
    """A consumer's acknowledgement of everything up to `seq`."""
    return {"journal": journal, "seq": seq}


def _numbered(record: Record) -> bytes:
    """A record with its number, kind and time before its body."""
    head = {"seq": record.seq, "kind": record.kind, "at": to_text(record.at)}
    if record.text is None or not head.keys().isdisjoint(record.body):
        return encode(head | {k: v for k, v in record.body.items() if k not in head})
    # Spares putting it into JSON again: it is valid, it was read.
    return encode(head)[:-1] + b"," + record.text[1:] if record.body else encode(head)
