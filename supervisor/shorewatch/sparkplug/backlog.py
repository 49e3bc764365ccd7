"""The journal as a Sparkplug host gets it: what it missed, and what may be called delivered. Pure.

Sparkplug's DATA is QoS 0: nobody confirms it. What is known is said, and no more:

    sent        written to the connection, in order: the past record by record, then live values
    confirmed   the broker answered something that was sent after it: it has all before that
    cursor      confirmed for `HELD_S`: by then a host that was gone without a word is known as gone

After a lost connection, an absent primary host or a restart, everything after the cursor is sent
again as history; what a host had already comes a second time, with the same time and value. That
a host has stored it, nobody says: for that there is the JSON plane.

Only samples go out; events, alarms and audits have no form in Sparkplug but the node's own metrics.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Final

from shorewatch.model import Reason
from shorewatch.outbox import Record
from shorewatch.sparkplug.metrics import BAD, GOOD, STALE, Said, fitted, to_ms
from shorewatch.sparkplug.session import Session

HELD_S: Final = 60.0


class Progress:
    """How far one session is in the journal: from the `cursor` on it is past up to `born`."""

    def __init__(self, cursor: int, born: int) -> None:
        self._after = cursor
        self._born = max(cursor, born)
        self._live = self._born
        self._confirmed: deque[tuple[int, float]] = deque()
        self._cursor = cursor

    @property
    def after(self) -> int:
        """The last record of the past that was sent."""
        return self._after

    @property
    def is_past_told(self) -> bool:
        """Whether all is sent that was recorded before the birth."""
        return self._after >= self._born

    @property
    def past_left(self) -> int:
        """Records of the past that are not sent yet."""
        return max(0, self._born - self._after)

    @property
    def sent(self) -> int:
        """The highest record up to which all went out, as history or as live values."""
        return self._live if self.is_past_told else self._after

    def told_past(self, seq: int) -> None:
        """The past up to `seq` went out."""
        assert seq > self._after, "the past is told in order"
        self._after = seq

    def told_live(self, seq: int) -> None:
        """Everything recorded up to `seq` is in the image, and that went out."""
        self._live = max(seq, self._live)

    def confirmed(self, seq: int, now_s: float) -> None:
        """The broker has answered what was sent after `seq`."""
        if not self._confirmed or self._confirmed[-1][0] < seq:
            self._confirmed.append((seq, now_s))

    def cursor(self, now_s: float) -> int:
        """Up to where nothing will be sent again."""
        while self._confirmed and now_s - self._confirmed[0][1] >= HELD_S:
            self._cursor = max(self._cursor, self._confirmed.popleft()[0])
        return self._cursor


def past_of(session: Session, records: Sequence[Record]) -> dict[str, dict[str, list[Said]]]:
    """What `records` say of points that the session knows, by device and point.

    What fits no point as it is defined today is left out: another profile, another past.
    """
    found: dict[str, dict[str, list[Said]]] = {}
    for record in records:
        device = record.body.get("device")
        if record.kind != "sample" or not isinstance(device, str):
            continue
        points, bad, uncertain = (_table(record, key) for key in ("points", "bad", "uncertain"))
        at_ms = to_ms(record.at, 0)
        for name in points.keys() | bad.keys():
            metric = session.metric_of(device, name)
            if metric is None:
                continue
            if name in bad:
                code = STALE if bad[name] == Reason.STALE else BAD
                said = Said(None, code, str(bad[name]), at_ms)
            else:
                value = points[name]
                assert isinstance(value, (int, float, str)), "a sample holds plain values"
                number = fitted(value, metric.datatype)
                if number is None:
                    continue
                doubt = uncertain.get(name)
                code = GOOD if doubt is None else BAD
                said = Said(number, code, None if doubt is None else str(doubt), at_ms)
            found.setdefault(device, {}).setdefault(name, []).append(said)
    return found


def _table(record: Record, key: str) -> Mapping[str, object]:
    found = record.body.get(key, {})
    assert isinstance(found, dict), "a sample is made of tables"
    return found
