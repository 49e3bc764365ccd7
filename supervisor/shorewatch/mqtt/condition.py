"""How an uplink is: the state in words for page and log, and the last trouble. No I/O but the log.

A repeating trouble is logged when it changes; it stays readable after it is over.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from shorewatch.config import UplinkConfig
from shorewatch.errors import UplinkError
from shorewatch.model import utc_now
from shorewatch.mqtt.desk import Requests


@dataclass(frozen=True, slots=True)
class UplinkStatus:
    """An uplink at one moment, for the page.

    `state` is connecting, online, unreachable, refused, no-secret, bad-certificate, needs-tls,
    no-tls, not-authorised, wrong-protocol, quota, lost, taken-over or stopped; `text` says it in a
    sentence with what to do. `published` is the highest sequence the broker took, `backlog` counts
    from the cursor to the newest record. `plane` is json or sparkplug; the latter has
    `refused_commands`, and may be waiting (for its primary host) or failed (by a fault of its own).
    `certificates` says when `own`, `ca` and `broker` end, of those that are known.
    `last_trouble` stays readable after it is over. `acks` has the last time of each consumer,
    `silent` those that acknowledge nothing although records wait for them, and since when.
    """

    id: str
    url: str
    state: str
    text: str
    since: datetime
    published: int
    cursor: int
    backlog: int
    acks: Mapping[str, datetime | None]
    refused_acks: int
    last_refusal: str | None
    last_trouble: str | None
    last_trouble_at: datetime | None
    attempts: int
    silent: Mapping[str, datetime]
    requests: Requests
    plane: str = "json"
    refused_commands: int = 0
    certificates: Mapping[str, datetime] = field(default_factory=dict)

    @property
    def is_broker_acknowledged_only(self) -> bool:
        """Whether nobody but the broker confirms what it got."""
        return not self.acks


class Condition:
    """The state of one uplink, in which `state` and `text` are as `UplinkStatus` has them."""

    def __init__(self, config: UplinkConfig, log: logging.Logger) -> None:
        self._log = log
        self._id = config.id
        self._trying = f"connecting to {config.host}:{config.port}"
        self.state, self.text, self.since = "connecting", self._trying, utc_now()
        self.trouble: str | None = None
        self.trouble_at: datetime | None = None
        self.attempts = 0

    def attempt(self) -> None:
        """Another attempt begins; after a trouble, that is shown until it succeeds."""
        self.attempts += 1
        if self.trouble is None:
            self.become("connecting", self._trying)

    def become(self, state: str, text: str) -> None:
        """Have the page show this."""
        if state != self.state:
            self.since = utc_now()
        self.state, self.text = state, text

    def suffer(self, error: UplinkError) -> None:
        """Have the page show what is wrong, and the log, if it is another than before."""
        if (error.state, str(error)) != (self.state, self.text):
            self._log.warning("uplink %s: %s: %s", self._id, error.state, error)
        self.show_trouble(error)

    def show_trouble(self, error: UplinkError) -> None:
        """Have the page show what is wrong; somebody else logs it."""
        self.trouble, self.trouble_at = str(error), utc_now()
        self.become(error.state, str(error))


def first_of(group: BaseExceptionGroup[UplinkError]) -> UplinkError:
    """The first error of a group; its siblings are the same end seen by other tasks."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, UplinkError), "except* gave these"
    return error
