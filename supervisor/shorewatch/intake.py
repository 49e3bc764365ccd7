"""What was read goes in here, whoever read it: into the image, and as records into the outbox.

A board's link and a direct line end here: values of one block become the image's newest, changes
worth it become a `sample` record; a line that is lost makes all its devices bad at once; one that
comes or goes is said once, in the log and as an `event` record.
"""

import logging
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Protocol

from shorewatch.image import Image
from shorewatch.model import Reason, Value
from shorewatch.report import Reporter


class Records(Protocol):
    """Where records go: the outbox."""

    async def put(self, kind: str, at: datetime, body: dict[str, object]) -> object: ...


class Intake:
    """The gateway's side of one source (`board/beach`, `direct/ups`)."""

    def __init__(
        self, source: str, image: Image, reporter: Reporter, records: Records, log: logging.Logger
    ) -> None:
        self._source = source
        self._image = image
        self._reporter = reporter
        self._records = records
        self._log = log

    async def take(self, device_id: str, values: Mapping[str, Value], at: datetime) -> None:
        """Values of one acquisition; `at` is the record's time where none of them has one."""
        values = self._image.put(device_id, values)
        body = self._reporter.changes(device_id, values)
        if body is not None:
            times = [v.acquired_at for v in values.values() if v.value is not None]
            await self._records.put("sample", (times and times[0]) or at, body)

    async def lose(self, device_ids: Iterable[str], reason: Reason, at: datetime) -> None:
        """Nothing is known of these devices any more."""
        bodies = []
        for device_id in device_ids:
            self._image.put_bad(device_id, reason)
            bodies.append(self._reporter.changes(device_id, self._image.look(device_id)))
        for body in filter(None, bodies):
            await self._records.put("sample", at, body)

    async def say(self, what: str, why: str | None, at: datetime) -> None:
        """The source comes (`why` None) or goes."""
        self._log.log(
            logging.INFO if why is None else logging.WARNING,
            "%s is %s%s", self._source.replace("/", " "), what, "" if why is None else f": {why}",
        )  # fmt: skip
        body: dict[str, object] = {"source": self._source, "what": what}
        await self._records.put("event", at, body if why is None else body | {"why": why})
