"""One connection's rebirth requests: whether DATA stops, and all that lives is born again. Pure.

Deadlines are the checker's: the specification says "immediately", but what was under way when the
request was delivered is no fault.
"""

from dataclasses import dataclass
from typing import Final

from shorewatch.sparkplugcheck.book import Book
from shorewatch.sparkplugcheck.session import Entry

GRACE_S: Final = 1.0
REBIRTH_S_MAX: Final = 10.0


@dataclass(slots=True)
class _Request:
    """One that is being answered; `waits_for` are devices to be born once NBIRTH has come."""

    entry: Entry
    topic: str
    waits_for: set[str] | None = None
    has_late_data: bool = False


class RebirthWatch:
    """Judges the answers of one connection's node; one request at a time."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._request: _Request | None = None

    @property
    def is_waiting(self) -> bool:
        """Whether a request waits for its NBIRTH."""
        return self._request is not None and self._request.waits_for is None

    def asked(self, entry: Entry, topic: str) -> None:
        """A request was delivered to a node that is born."""
        if self._request is None:
            self._request = _Request(entry, topic)

    def nbirth(self, living: set[str]) -> None:
        """NBIRTH has come; `living` are the devices that lived before it."""
        request = self._request
        if request is None:
            return
        if not request.has_late_data:
            self._book.judge("rebirth-stop", True)
        request.waits_for = set(living)
        self._settle(request)

    def told_of(self, device: str) -> None:
        """The device is born, or dead."""
        request = self._request
        if request is not None and request.waits_for is not None:
            request.waits_for.discard(device)
            self._settle(request)

    def data(self, entry: Entry, kind: str) -> None:
        """DATA was published."""
        request = self._request
        if request is None or request.waits_for is not None or request.has_late_data:
            return
        late_s = entry.at_s - request.entry.at_s
        if late_s > GRACE_S:
            request.has_late_data = True
            self._book.judge("rebirth-stop", False, f"{kind} {late_s:.1f} s after the request")

    def passed(self, at_s: float) -> None:
        """It is `at_s` and the connection is still open."""
        request = self._request
        if request is not None and at_s > request.entry.at_s + REBIRTH_S_MAX:
            lacking = f"DBIRTH of {', '.join(sorted(request.waits_for or ()))}"
            seen = "NBIRTH" if request.waits_for is None else lacking
            self._book.at(request.entry, request.topic)
            self._book.judge("rebirth-births", False, f"no {seen} within {REBIRTH_S_MAX:g} s")
            self._request = None

    def died(self) -> None:
        """The node has published NDEATH: nothing more is to come."""
        self._request = None

    def _settle(self, request: _Request) -> None:
        if not request.waits_for:
            self._book.judge("rebirth-births", True)
            self._request = None
