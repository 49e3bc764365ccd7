"""Making room in the outbox's file: what goes first, and what is said of it.

The oldest of the most dispensable class goes: acknowledged records, then samples, then the rest.
For each uplink that had not acknowledged what goes, a loss is counted; a loss record that must go
itself is folded into it, so that nothing lost is ever forgotten. Within the caller's transaction.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import orjson

# What a record costs on disk beside its body: row header, time, kind, its entry in the index.
ROW_BYTES = 40


@dataclass(slots=True)
class _Loss:
    """What one uplink loses of one class."""

    first: int
    last: int
    count: int = 0

    def add(self, first: int, last: int, count: int) -> None:
        self.first, self.last = min(first, self.first), max(last, self.last)
        self.count += count


class Eviction:
    """One commit's deletions; `cursors` says what each uplink has, `last` the newest sequence."""

    def __init__(
        self, db: sqlite3.Connection, cursors: Mapping[str, int], last: int, chunk_bytes: int
    ) -> None:
        self._db = db
        self._cursors = cursors
        self._chunk_bytes = chunk_bytes
        self._classes: Sequence[tuple[str, str, tuple[int, ...]]] = (
            ("record", "seq <= ?", (min(cursors.values(), default=last),)),
            ("sample", "kind = 'sample'", ()),
            ("record", "true", ()),
        )
        self._losses: dict[tuple[str, str], _Loss] = {}

    def take(self, *, is_sparing: bool) -> bool:
        """Delete about `chunk_bytes`; False when nothing is left.

        `is_sparing` leaves alone what is neither acknowledged nor a sample.
        """
        for what, condition, values in self._classes[:2] if is_sparing else self._classes:
            taken = self._oldest(condition, values)
            if not taken:
                continue
            self._db.execute(
                f"DELETE FROM record WHERE seq BETWEEN ? AND ? AND {condition}",
                (taken[0][0], taken[-1][0], *values),
            )
            for uplink, cursor in self._cursors.items():
                self._account(uplink, what, [row for row in taken if row[0] > cursor])
            return True
        return False

    def bodies(self, why: str) -> list[dict[str, object]]:
        """The loss records of what went and was not acknowledged."""
        return [
            {
                "uplink": uplink, "what": what, "from": loss.first, "to": loss.last,
                "count": loss.count, "why": why,
            }
            for (uplink, what), loss in self._losses.items()
        ]  # fmt: skip

    def _oldest(self, condition: str, values: tuple[int, ...]) -> list[tuple[int, bytes | None]]:
        """The oldest rows of a class that make a chunk: sequence, and the body of a loss record."""
        rows = self._db.execute(
            f"SELECT seq, coalesce(length(body), 0), CASE kind WHEN 'loss' THEN"
            f" coalesce(CAST(body AS BLOB), x'') END FROM record WHERE {condition}"
            f" ORDER BY seq",
            values,
        )
        taken: list[tuple[int, bytes | None]] = []
        size = 0
        for seq, length, body in rows:
            taken.append((seq, body))
            size += length + ROW_BYTES
            if size >= self._chunk_bytes:
                break
        rows.close()
        return taken

    def _account(self, uplink: str, what: str, lost: Sequence[tuple[int, bytes | None]]) -> None:
        if not lost:
            return
        loss = self._losses.setdefault((uplink, what), _Loss(lost[0][0], lost[-1][0]))
        loss.add(lost[0][0], lost[-1][0], len(lost))
        for _, body in lost:
            old = {} if body is None else _facts(body)
            first, last, count = old.get("from"), old.get("to"), old.get("count")
            if not isinstance(count, int):
                continue
            if old.get("uplink") is None:
                loss.count += count
            elif old["uplink"] == uplink and isinstance(first, int) and isinstance(last, int):
                loss.add(first, last, count)


def _facts(body: bytes) -> Mapping[str, object]:
    """A loss record's body; one that a disk has garbled says nothing more."""
    with suppress(ValueError):
        found = orjson.loads(body)
        if isinstance(found, dict):
            return found
    return {}
