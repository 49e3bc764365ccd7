"""What a NOC may ask for and what it is told: the shapes of requests and replies. Pure.

    envelope   {"request": the request as JSON text, "hmac": 64 hexadecimal digits}
    request    {"id", "journal", "expires", "operator"?, "do": one of `VERBS`, what that takes}
    reply      {"id", "ok", "do", "at", "why" when refused, and what came of it}

The text in the envelope is what was signed and what is parsed: nothing has to be brought into one
form. Whether a request is believed is judged by request.py. The schemas that are written for a NOC
(payload.py) are made from these classes. Limits stand at the fields.
"""

import hashlib
import hmac
from typing import Annotated, Any, ClassVar, Final, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    TypeAdapter,
    model_validator,
)

from shorewatch.alarms import SHELF_S_MAX
from shorewatch.config import Verb
from shorewatch.point import Id
from shorewatch.toml import printable

REQUEST_BYTES_MAX: Final = 4000
REPLAY_SEQUENCES_MAX: Final = 100_000
SEQ_MAX: Final = 2**53 - 1

Line = Annotated[str, Field(min_length=1, max_length=400), AfterValidator(printable)]
RequestId = Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{8,64}$")]
Time = Annotated[
    str,
    Field(
        pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?Z$",
        json_schema_extra={"format": "date-time"},
        description="RFC 3339 in UTC",
    ),
]
JournalId = Annotated[str, Field(pattern=r"^[0-9a-f]{1,64}$", description="the journal's identity")]
Seq = Annotated[int, Field(ge=0, le=SEQ_MAX)]


def signature(key: str, prefix: str, identity: str, request: str) -> str:
    """The HMAC of a request's text, for the station `prefix`, as 64 hexadecimal digits."""
    said = f"shorewatch-request-1\n{prefix}\n{identity}\n{request}"
    return hmac.new(key.encode(), said.encode(), hashlib.sha256).hexdigest()


class Shape(BaseModel):
    """Base of what goes over the wire: no other keys, nothing coerced."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Envelope(Shape):
    """A signed request."""

    request: Annotated[str, Field(max_length=REQUEST_BYTES_MAX, description="JSON text, signed")]
    hmac: Annotated[
        str,
        Field(
            pattern=r"^[0-9a-f]{64}$",
            description="HMAC-SHA256 over shorewatch-request-1, prefix, identity and request, each"
            " ended by a line feed but the last",
        ),
    ]


class Head(BaseModel):
    """What every request says, whatever it asks for."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)

    id: RequestId
    journal: JournalId
    expires: Time
    do: Annotated[str, Field(max_length=40)]


class _Request(Shape):
    id: Annotated[RequestId, Field(description="never used before; the reply's topic ends with it")]
    journal: JournalId
    expires: Annotated[Time, Field(description="at most 10 minutes ahead")]
    operator: Annotated[Line, Field(max_length=100)] | None = None
    do: Verb
    # What the alarm desk calls it, and the names that it has there for what it takes.
    desk_do: ClassVar[str | None] = None
    desk_keys: ClassVar[dict[str, str]] = {}

    @property
    def arguments(self) -> dict[str, object]:
        """What it takes beside what every request has."""
        found: dict[str, object] = self.model_dump(exclude=set(_Request.model_fields))
        return found

    @property
    def for_desk(self) -> dict[str, object]:
        """The question as the alarm desk takes it."""
        asked = {self.desk_keys.get(key, key): value for key, value in self.arguments.items()}
        return {"do": self.desk_do or self.do, **asked}


class Acknowledge(_Request):
    """Somebody has seen an alarm."""

    do: Literal["acknowledge"]
    alarm: Id


class Shelve(_Request):
    """Put an alarm aside for a time."""

    do: Literal["shelve"]
    alarm: Id
    for_s: Annotated[float, Field(gt=0, le=SHELF_S_MAX)]
    reason: Line
    desk_keys = {"for_s": "seconds", "reason": "text"}


class Unshelve(_Request):
    """Take an alarm from its shelf."""

    do: Literal["unshelve"]
    alarm: Id


class OutOfService(_Request):
    """Take an alarm out of service until it is put back."""

    do: Literal["out-of-service"]
    alarm: Id
    reason: Line
    desk_keys = {"reason": "text"}


class InService(_Request):
    """Put an alarm back into service."""

    do: Literal["in-service"]
    alarm: Id


class Note(_Request):
    """Write something down beside an alarm."""

    do: Literal["note"]
    alarm: Id
    text: Line


class TestAlarm(_Request):
    """Raise the test alarm."""

    do: Literal["test-alarm"]
    desk_do = "test"


class Replay(_Request):
    """Send records again, from `first` to `last`."""

    do: Literal["replay"]
    first: Annotated[Seq, Field(ge=1)]
    last: Annotated[Seq, Field(ge=1)]

    @model_validator(mode="after")
    def _is_bounded(self) -> Self:
        count = self.last - self.first + 1
        if not 1 <= count <= REPLAY_SEQUENCES_MAX:
            raise ValueError(f"first to last must be 1 to {REPLAY_SEQUENCES_MAX:,} sequences")
        return self


class Rebirth(_Request):
    """Publish state, births, values and alarms again."""

    do: Literal["rebirth"]


Request = (
    Acknowledge | Shelve | Unshelve | OutOfService | InService | Note | TestAlarm | Replay | Rebirth
)
REQUEST: Final[TypeAdapter[Request]] = TypeAdapter(Annotated[Request, Discriminator("do")])


class Reply(Shape):
    """What became of a request."""

    id: RequestId
    ok: bool
    do: Annotated[str, Field(max_length=40)]
    at: Time
    why: str | None = None
    alarm: Id | None = None
    state: str | None = None
    first: Seq | None = None
    last: Seq | None = None
    count: Seq | None = None

    def body(self) -> dict[str, Any]:
        """As it goes out: what there is nothing to say of is left out."""
        return self.model_dump(exclude_none=True)
