"""One connection's dealings with its primary host: who may be believed, and what must follow. Pure.

What the broker delivered of `spBv1.0/STATE/<host>` on this connection is what the node knows. A
STATE counts if its timestamp is not older than that of the last one that counted. Deadlines are the
checker's, where the specification says "immediately" or says no time.
"""

import json
from dataclasses import dataclass
from typing import Final

from shorewatch.sparkplugcheck.book import Book
from shorewatch.sparkplugcheck.rebirth import GRACE_S
from shorewatch.sparkplugcheck.session import Entry
from shorewatch.sparkplugcheck.topic import STATE, host_of

OFFLINE_S_MAX: Final = 10.0
OLD_OFFLINE_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class _State:
    entry: Entry
    is_online: bool
    timestamp_ms: int


@dataclass(slots=True)
class _Leaving:
    """The host went offline; what the node has done since."""

    entry: Entry
    is_ndeath_sent: bool = False


class HostWatch:
    """Judges one connection by the STATE messages that it was given."""

    def __init__(self, book: Book, host: str | None) -> None:
        self._book = book
        self.host = host
        self._last: _State | None = None
        self._is_foreign_online = False
        self._old_online: _State | None = None
        self._old_offline: _State | None = None
        self._leaving: _Leaving | None = None

    def subscribed(self, topic: str) -> None:
        """A node that asks for one host's STATE has that one as its primary host."""
        if self.host is None:
            self.host = host_of(topic)

    def received(self, entry: Entry, topic: str, payload: bytes, is_born: bool) -> None:
        """The broker delivered a STATE."""
        state = _parse(entry, payload)
        if self.host is None or state is None:
            return
        if topic != STATE + self.host:
            self._is_foreign_online |= state.is_online
            return
        if self._last is not None and state.timestamp_ms < self._last.timestamp_ms:
            if state.is_online and not self._last.is_online:
                self._old_online = state
            elif not state.is_online and self._last.is_online and is_born:
                self._old_offline = state
            return
        was_online = self._last is not None and self._last.is_online
        self._last = state
        if not state.is_online and was_online and is_born:
            self._leaving = _Leaving(entry)
            self._old_offline = None  # leaving is right from here on

    def born(self, entry: Entry, topic: str, *, is_subscribed: bool) -> None:
        """The node has published NBIRTH."""
        if self.host is None:
            return
        self._book.at(entry, topic)
        judge = self._book.judge
        judge("host-subscribe", is_subscribed, f"no subscription to {STATE}{self.host}")
        is_online = self._last is not None and self._last.is_online
        seen = "NBIRTH, but no STATE of the primary host" if self._last is None else (
            f"NBIRTH after STATE online {str(is_online).lower()}"
        )  # fmt: skip
        judge("host-wait", is_online, seen)
        judge("host-id", is_online or not self._is_foreign_online, "NBIRTH after another's STATE")
        if self._old_online is not None:
            old = f"NBIRTH after timestamp {self._old_online.timestamp_ms}"
            judge("host-timestamp", is_online, old)
            self._old_online = None
        else:
            is_silent = self._last is None or self._is_foreign_online
            judge("host-online", is_online or is_silent, seen)

    def published(self, entry: Entry, kind: str) -> None:
        """The node has published something."""
        leaving = self._leaving
        if leaving is None:
            return
        if kind == "NDEATH":
            leaving.is_ndeath_sent = True
        elif leaving.is_ndeath_sent or entry.at_s > leaving.entry.at_s + GRACE_S:
            self._judge_ndeath(leaving, False, f"{kind} in entry {entry.number}")

    def passed(self, at_s: float) -> None:
        """It is `at_s` and the connection is still open."""
        leaving, old = self._leaving, self._old_offline
        if leaving is not None and at_s > leaving.entry.at_s + OFFLINE_S_MAX:
            self._leaving = None
            self._left(leaving, is_left=False)
        if old is not None and at_s > old.entry.at_s + OLD_OFFLINE_S:
            self._old_offline = None
            self._book.at(old.entry)
            self._book.judge("host-offline-old", True)

    def ended(self, *, is_node: bool) -> None:
        """The connection is over, by the node's doing or not."""
        leaving, self._leaving = self._leaving, None
        old, self._old_offline = self._old_offline, None
        if leaving is not None and is_node:
            self._left(leaving, is_left=True)
        if old is not None and is_node:
            self._book.at(old.entry)
            seen = f"it left after a STATE with timestamp {old.timestamp_ms}"
            self._book.judge("host-offline-old", False, seen)

    def _left(self, leaving: _Leaving, *, is_left: bool) -> None:
        self._judge_ndeath(leaving, leaving.is_ndeath_sent, "no NDEATH")
        seen = f"still connected after {OFFLINE_S_MAX:g} s"
        self._book.judge("host-offline", is_left, seen)

    def _judge_ndeath(self, leaving: _Leaving, holds: bool, seen: str) -> None:
        self._book.at(leaving.entry)
        self._book.judge("host-offline-ndeath", holds, seen)


def _parse(entry: Entry, payload: bytes) -> _State | None:
    """None for what is no STATE: hosts are not judged here, and a node may ignore it."""
    try:
        found = json.loads(payload)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    is_online, timestamp_ms = found.get("online"), found.get("timestamp")
    if not isinstance(is_online, bool) or isinstance(timestamp_ms, bool):
        return None
    if not isinstance(timestamp_ms, int):
        return None
    return _State(entry, is_online, timestamp_ms)
