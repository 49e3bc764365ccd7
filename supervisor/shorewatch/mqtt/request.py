"""Whether a request of a NOC is believed: pure; time, key and bytes in, a verdict out.

    request/<identity>   {"request": text, "hmac": hex}, not retained, at most 4,000 bytes

The HMAC-SHA256 is by the identity's key over `shorewatch-request-1`, prefix, identity and the text,
with line feeds in between. A request counts once: its id is remembered in the outbox (`kept`) in
the commit of its audit record, until its slot is needed for another and its time is over, so that
also a clock that was set back lets none in again. It names our journal and ends within 10 minutes.

Refused without a reply is what cannot be trusted: anybody may have sent it. An id that was used has
had its reply. Limits: each identity 10 at once and one in 2 s, all together 20 and one a second,
refused ones included; 1,000 ids, more than 10 minutes can bring.
"""

import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from pydantic import ValidationError

from shorewatch.clock import CLOCK_AT_MIN
from shorewatch.config import VERBS, RequesterConfig
from shorewatch.model import from_text, to_text
from shorewatch.mqtt.asking import REQUEST, REQUEST_BYTES_MAX, Envelope, Head, Request, signature

AHEAD_S_MAX: Final = 600.0
KEY_CHARS_MIN: Final = 32
KEY_CHARS_MAX: Final = 200
IDS_MAX: Final = 1000
BURST: Final = 10
EVERY_S: Final = 2.0
ALL_BURST: Final = 20
ALL_EVERY_S: Final = 1.0
_SLOT: Final = "request/"
_UNKNOWN: Final = ""
_MARGIN: Final = timedelta(seconds=1)

Kept = Mapping[str, Mapping[str, object]]


@dataclass(frozen=True, slots=True)
class Accepted:
    """A request that is to be done, and what is to be kept with its record: (name, facts)."""

    identity: str
    by: str
    request: Request
    keep: tuple[str, Mapping[str, object]]


@dataclass(frozen=True, slots=True)
class Refused:
    """A request that changes nothing; `id` and `do` are of one that gets a reply, else None."""

    identity: str
    why: str
    id: str | None = None
    do: str | None = None


class Bucket:
    """Lets `burst` pass at once, and then one each `every_s`."""

    def __init__(self, burst: int, every_s: float) -> None:
        self._burst, self._every_s = burst, every_s
        self._left = float(burst)
        self._at_s = float("-inf")

    def take(self, now_s: float) -> bool:
        """Whether one more may pass."""
        gained = (now_s - self._at_s) / self._every_s
        self._left, self._at_s = min(self._burst, self._left + gained), now_s
        if self._left < 1:
            return False
        self._left -= 1
        return True


class Judge:
    """The rules of one uplink's requests. `kept` is read anew each time: what was used before."""

    def __init__(
        self, prefix: str, journal: str, requesters: Iterable[RequesterConfig], kept: Kept
    ) -> None:
        self._prefix = prefix
        self._journal = journal
        self._may = {requester.id: frozenset(requester.may) for requester in requesters}
        self._kept = kept
        self._all = Bucket(ALL_BURST, ALL_EVERY_S)
        self._buckets = {name: Bucket(BURST, EVERY_S) for name in (*self._may, _UNKNOWN)}

    def admit(
        self, identity: str, payload: bytes, now_s: float, *, is_retained: bool
    ) -> Refused | None:
        """What is wrong with a message before its key is looked at: cheap, it may be a flood."""
        is_known = identity in self._may
        bucket = self._buckets[identity if is_known else _UNKNOWN]
        if not (bucket.take(now_s) and self._all.take(now_s)):
            return Refused(
                identity, f"comes too fast: one in {EVERY_S:g} s, at most {BURST} at once"
            )
        if not is_known:
            return Refused(identity, "is no configured requester")
        if is_retained:
            return Refused(identity, "is retained, so it may be old: publish it without retain")
        if len(payload) > REQUEST_BYTES_MAX:
            return Refused(identity, f"has {len(payload)} bytes, more than {REQUEST_BYTES_MAX}")
        return None

    def decide(self, identity: str, payload: bytes, key: str, at: datetime) -> Accepted | Refused:
        """Judge an admitted message at wall clock `at`."""
        try:
            envelope = Envelope.model_validate_json(payload)
        except ValidationError:
            return Refused(identity, 'is no {"request": JSON as text, "hmac": 64 hex digits}')
        wanted = signature(key, self._prefix, identity, envelope.request)
        if not hmac.compare_digest(wanted, envelope.hmac):
            return Refused(identity, "is signed with another key, or for another station")
        try:
            head = Head.model_validate_json(envelope.request)
        except ValidationError as error:
            return Refused(identity, f"is signed, but no request: {_first(error)}")
        if (slot := find_slot(self._kept, f"{identity}/{head.id}", at)) is None:
            return Refused(identity, f"has the id {head.id}, which was used before: make another")
        why = self._flaw(identity, head, at)
        if why is None and not slot:
            why = f"is one too many: {IDS_MAX} requests have not expired yet"
        if why is not None:
            return Refused(identity, why, head.id, head.do)
        try:
            request = REQUEST.validate_json(envelope.request)
        except ValidationError as error:
            return Refused(identity, f"asks {head.do} wrongly: {_first(error)}", head.id, head.do)
        operator = request.operator
        return Accepted(
            identity,
            identity if operator is None else f"{operator} ({identity})",
            request,
            (slot, {"id": f"{identity}/{head.id}", "expires": to_text(from_text(head.expires))}),
        )

    def _flaw(self, identity: str, head: Head, at: datetime) -> str | None:
        if at < CLOCK_AT_MIN:
            return "cannot be judged: the gateway's clock is not set, so nobody knows its age"
        if head.journal != self._journal:
            return f"is for journal {head.journal}; this one is {self._journal}"
        try:
            left_s = (from_text(head.expires) - at).total_seconds()
        except ValueError:
            return f"expires at {head.expires}, which is no time"
        if left_s <= 0:
            return f"expired {-left_s:.0f} s ago by the gateway's clock, {to_text(at)}"
        if left_s > AHEAD_S_MAX:
            return (
                f"expires {left_s:.0f} s ahead, more than {AHEAD_S_MAX:.0f}, by the gateway's"
                f" clock, {to_text(at)}"
            )
        if head.do not in VERBS:
            return f"asks {head.do[:40]!r}: known are {', '.join(VERBS)}"
        if head.do not in self._may[identity]:
            return f"asks {head.do}, which {identity} may not: `may` in the station file"
        return None


def key_flaw(key: str) -> str | None:
    """Why `key` is none, or None."""
    if KEY_CHARS_MIN <= len(key) <= KEY_CHARS_MAX and key.isprintable():
        return None
    return (
        f"it has {len(key)} characters and must have {KEY_CHARS_MIN} to {KEY_CHARS_MAX} printable"
        " ones: openssl rand -hex 32"
    )


def find_slot(kept: Kept, used: str, at: datetime) -> str | None:
    """The name under which the id `used` is to be kept; None if it was used, "" if all are taken.

    An empty slot comes first. Then that of the request that ended first, once it has.
    """
    slots = [f"{_SLOT}{number}" for number in range(IDS_MAX)]
    taken = [(str(kept[slot].get("expires")), slot) for slot in slots if slot in kept]
    if any(kept[slot].get("id") == used for _, slot in taken):
        return None
    if len(taken) < IDS_MAX:
        return next(slot for slot in slots if slot not in kept)
    expires, slot = min(taken)
    return slot if expires < str(to_text(at - _MARGIN)) else ""


def _first(error: ValidationError) -> str:
    """The first thing wrong, as `key: rule`."""
    found = error.errors(include_url=False, include_input=False)[0]
    # The first part of a place is the verb, by which the shape was chosen.
    where = ".".join(str(part) for part in found["loc"] if part not in VERBS)
    where = "".join(filter(str.isprintable, where))[:80]
    rule = found["msg"].removeprefix("Value error, ")[:200]
    return f"{where}: {rule}" if where else rule
