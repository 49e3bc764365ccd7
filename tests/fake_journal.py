"""A station's journal that a test can write, evict and send, in the form of mqtt/topics.py."""

import json
from collections.abc import Iterable, Iterator

from shorewatch.model import to_text, utc_now


class FakeJournal:
    """Numbered records, of which some were evicted, each eviction told by a loss record."""

    def __init__(self, identity: str = "a" * 32) -> None:
        self.identity = identity
        self.kept: dict[int, dict[str, object]] = {}
        self.last = 0
        self.cursor = 0
        self.evicted: set[int] = set()
        self.explained: set[int] = set()

    @property
    def first(self) -> int:
        return min(self.kept, default=0)

    def write(self, number: int = 1, kind: str = "sample", **body: object) -> None:
        for _ in range(number):
            self.last += 1
            at = to_text(utc_now())
            self.kept[self.last] = {"seq": self.last, "kind": kind, "at": at} | body

    def evict(self, seqs: Iterable[int], *, is_told: bool = True) -> None:
        """Let go of what is kept of `seqs`; with a loss record over all of it, if `is_told`."""
        gone = sorted(seq for seq in seqs if seq in self.kept)
        for seq in gone:
            del self.kept[seq]
        self.evicted |= set(gone)
        if gone and is_told:
            self.explained |= set(range(gone[0], gone[-1] + 1))
            self.write(1, "loss", **{"from": gone[0], "to": gone[-1], "count": len(gone)})

    def state(self, **more: object) -> bytes:
        body = {
            "online": True, "journal": self.identity, "first": self.first, "last": self.last,
            "cursor": self.cursor, "at": to_text(utc_now()),
        }  # fmt: skip
        return json.dumps(body | more).encode()

    def batch(self, after: int, count: int = 200, **more: object) -> bytes | None:
        """The next `count` kept records behind `after`, or None."""
        seqs = sorted(seq for seq in self.kept if seq > after)[:count]
        return self._message(after, seqs, **more) if seqs else None

    def replay(self, id: str, first: int, last: int, count: int = 200) -> Iterator[bytes]:
        """The reply to a replay, then its batches."""
        seqs = [seq for seq in sorted(self.kept) if first <= seq <= last]
        reply = {"id": id, "ok": True, "do": "replay", "count": len(seqs)}
        yield json.dumps(reply | {"first": first, "last": last}).encode()
        after = first - 1
        for i in range(0, len(seqs), count):
            part = seqs[i : i + count]
            is_end = i + count >= len(seqs)
            yield self._message(after, part, replay=id, **({"end": True} if is_end else {}))
            after = part[-1]
        if not seqs:
            body = {"journal": self.identity, "after": after, "first": first, "last": last}
            yield json.dumps(body | {"records": [], "replay": id, "end": True}).encode()

    def _message(self, after: int, seqs: list[int], **more: object) -> bytes:
        records = [self.kept[seq] for seq in seqs]
        body = {"journal": self.identity, "after": after, "first": seqs[0], "last": seqs[-1]}
        return json.dumps(body | {"records": records} | more).encode()
