"""A consumer's questions to a station, signed, and where the answers come: pure.

    <prefix>/request/<identity>               {"request": JSON text, "hmac": 64 hex digits}
    <prefix>/reply/<identity>/<id>            {"id", "ok", "do", "why" when refused, ...}
    <prefix>/reply/<identity>/<id>/records    batches of a replay, the last with "end": true

The HMAC is over the text as it stands, with prefix and identity before it, so that nothing has to
be made canonical and no request is good for another station.
Limits: a request expires after `EXPIRES_S`; a station that says nothing for `SILENT_S` is asked
anew.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from shorewatch.model import to_text
from shorewatch.mqtt.asking import signature
from shorewatch.mqtt.topics import ROOT, encode

EXPIRES_S: Final = 60
SILENT_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Key:
    """Who asks, and the secret that the stations know for that identity."""

    identity: str
    secret: str = field(repr=False)

    def sign(self, prefix: str, request: bytes) -> bytes:
        """The payload that carries `request`, a JSON object as it is encoded."""
        text = request.decode()
        digest = signature(self.secret, prefix, self.identity, text)
        return encode({"request": text, "hmac": digest})


class ReplyAddress(NamedTuple):
    """A topic of a reply taken apart."""

    prefix: str
    identity: str
    id: str
    is_records: bool


def parse_reply_topic(topic: str) -> ReplyAddress | None:
    """A reply's topic taken apart, or None for anything else."""
    parts = topic.split("/")
    is_records = len(parts) == 8 and parts[7] == "records"
    if "/".join(parts[:2]) != ROOT or parts[4:5] != ["reply"] or "" in parts:
        return None
    if len(parts) != 7 and not is_records:
        return None
    return ReplyAddress("/".join(parts[:4]), parts[5], parts[6], is_records)


@dataclass(slots=True)
class Replay:
    """first..last of a journal, asked for as request `id`.

    `kept` is how many of these records the station says it keeps; `came` counts those up to `to`.
    """

    id: str
    journal: str
    first: int
    last: int
    heard_s: float
    kept: int | None = None
    came: int = 0
    to: int = 0

    def note(self, seqs: Sequence[int]) -> None:
        """Records of it came, ascending; one that comes again counts no more."""
        self.came += sum(self.to < seq <= self.last for seq in seqs)
        self.to = max(self.to, seqs[-1])

    def request(self, at: datetime) -> bytes:
        """The request as JSON, to be signed."""
        return encode(
            {
                "id": self.id,
                "journal": self.journal,
                "expires": to_text(at + timedelta(seconds=EXPIRES_S)),
                "do": "replay",
                "first": self.first,
                "last": self.last,
            }
        )

    def is_silent(self, mono_s: float) -> bool:
        """Whether nothing was heard of it for too long."""
        return mono_s - self.heard_s >= SILENT_S

    @property
    def is_complete(self) -> bool:
        """Whether all came that the station said it keeps of it: the rest is gone there."""
        return self.kept is not None and self.came >= self.kept
